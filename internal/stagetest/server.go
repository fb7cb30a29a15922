package stagetest

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/kerbchain/kerbchain/middleware"
)

// A Reply answers one request. It may look at the request, whose body has been
// read already.
type Reply func(r *http.Request) (*http.Response, error)

// Respond replies with a status, a body and header fields, given as name and
// value in turn. A name that occurs twice gets two lines.
func Respond(status int, body string, fields ...string) Reply {
	return func(r *http.Request) (*http.Response, error) {
		h := make(http.Header)
		for pair := range slices.Chunk(fields, 2) {
			h.Add(pair[0], pair[1])
		}
		return &http.Response{
			Status:        fmt.Sprintf("%d %s", status, http.StatusText(status)),
			StatusCode:    status,
			Proto:         "HTTP/1.1",
			ProtoMajor:    1,
			ProtoMinor:    1,
			Header:        h,
			Body:          io.NopCloser(strings.NewReader(body)),
			ContentLength: int64(len(body)),
			Request:       r,
		}, nil
	}
}

// Challenge replies with 401 and WWW-Authenticate lines, or 407 and
// Proxy-Authenticate lines.
func Challenge(status int, lines ...string) Reply {
	name := "WWW-Authenticate"
	if status == http.StatusProxyAuthRequired {
		name = "Proxy-Authenticate"
	}
	fields := make([]string, 0, 2*len(lines))
	for _, line := range lines {
		fields = append(fields, name, line)
	}
	return Respond(status, "challenge", fields...)
}

// Fail replies with an error.
func Fail(err error) Reply {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// Bearing adds to a response the line by which a server proves itself:
// WWW-Authenticate: Negotiate and the token in base64.
func Bearing(token string, reply Reply) Reply {
	return func(r *http.Request) (*http.Response, error) {
		resp, err := reply(r)
		if err == nil {
			resp.Header.Add("WWW-Authenticate", Value(middleware.Negotiate, token))
		}
		return resp, err
	}
}

// Anonymous replies with a response that does not name its request, as fakes
// and some transports do.
func Anonymous(reply Reply) Reply {
	return func(r *http.Request) (*http.Response, error) {
		resp, err := reply(r)
		if err == nil {
			resp.Request = nil
		}
		return resp, err
	}
}

// Value returns the value of a header field that bears a token.
func Value(s middleware.Scheme, token string) string {
	return string(s) + " " + base64.StdEncoding.EncodeToString([]byte(token))
}

// A Request is what a [Server] saw of a request.
type Request struct {
	Method string
	URL    string
	Auth   string // Authorization: the scheme and the token, decoded from base64
	Proxy  string // Proxy-Authorization, likewise
	Body   string
}

// A Server is a scripted peer in the place of a transport. It reads and closes
// each request's body, notes the request, and gives the next reply; the last
// reply is given again for ever. It is safe for concurrent use.
type Server struct {
	mu      sync.Mutex
	replies []Reply
	seen    []Request
	raw     []*http.Request
}

// NewServer returns a server that gives these replies in turn.
func NewServer(replies ...Reply) *Server {
	if len(replies) == 0 {
		replies = []Reply{Respond(http.StatusOK, "ok")}
	}
	return &Server{replies: replies}
}

// NewNegotiating returns a server that challenges every request without an
// Authorization header and answers each other with 200 and [ServerOK].
func NewNegotiating() *Server {
	ok := Bearing(ServerOK, Respond(http.StatusOK, "ok"))
	ask := Challenge(http.StatusUnauthorized, string(middleware.Negotiate))
	return NewServer(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") == "" {
			return ask(r)
		}
		return ok(r)
	})
}

// Next is the server as a [kerbchain.Next].
func (s *Server) Next(r *http.Request) (*http.Response, error) {
	seen := Request{
		Method: r.Method,
		URL:    r.URL.String(),
		Auth:   decode(r.Header.Get("Authorization")),
		Proxy:  decode(r.Header.Get("Proxy-Authorization")),
	}
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if cerr := r.Body.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return nil, err
		}
		seen.Body = string(b)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	reply := s.replies[min(len(s.seen), len(s.replies)-1)]
	s.seen = append(s.seen, seen)
	s.raw = append(s.raw, r)
	s.mu.Unlock()
	return reply(r)
}

// Requests returns what has been seen so far, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Raw returns the requests themselves, in order; they belong to the stage that
// sent them and are for looking at only.
func (s *Server) Raw() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.raw)
}

// decode makes "Negotiate Y2xpZW50LTE=" readable; what is not of that form
// stays as it is.
func decode(value string) string {
	scheme, text, ok := strings.Cut(value, " ")
	if !ok {
		return value
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return value
	}
	return scheme + " " + string(b)
}
