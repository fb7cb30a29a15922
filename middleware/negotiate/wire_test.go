package negotiate_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

// A wire is a connection that counts how often it was closed.
type wire struct {
	net.Conn
	closes int
}

func (w *wire) Close() error {
	w.closes++
	return nil
}

// tell says over which connection r goes, as a transport does.
func tell(r *http.Request, w net.Conn, reused bool) {
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: w, Reused: reused})
	}
}

// signedWith returns the token of r for its server.
func signedWith(r *http.Request) string {
	_, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return decoded(text)
}

// opened are bodies that were opened and not closed yet.
type opened struct {
	all   int
	count int
	fails int // which GetBody fails, from 1; 0 for none
}

func (o *opened) body(size int64) io.ReadCloser {
	o.all++
	o.count++
	return &openBody{content(size), o, false}
}

func (o *opened) on(r *http.Request, size int64) {
	r.Body, r.ContentLength = o.body(size), size
	r.GetBody = func() (io.ReadCloser, error) {
		if o.all == o.fails {
			return nil, errGetBody
		}
		return o.body(size), nil
	}
}

type openBody struct {
	io.Reader
	o      *opened
	closed bool
}

func (b *openBody) Close() error {
	if !b.closed {
		b.closed = true
		b.o.count--
	}
	return nil
}

var errGetBody = errors.New("no body any more")

// A connection over which a server answered before it had all of a long body is closed,
// whether the length of that is told or not. A body that is short, or was written, does
// not cost the connection.
func TestConnectionOfAnEarlyAnswer(t *testing.T) {
	const size = 100 << 10
	for name, tc := range map[string]struct {
		length int64
		read   int64
		closes int
	}{
		"long":                {size, 10, 1},
		"long, nothing read":  {size, 0, 0},
		"long, all read":      {size, size, 0},
		"just short":          {64<<10 - 1, 10, 0},
		"just long":           {64 << 10, 10, 1},
		"unknown":             {-1, 10, 1},
		"unknown, not set":    {0, 10, 1},
		"unknown, at its end": {0, size + 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // a body that is still being read is waited for
				w, bodies, sent := new(wire), new(opened), 0
				r := request(t, http.MethodPost, "http://origin.example/", "")
				bodies.on(r, size)
				r.ContentLength = tc.length
				resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{})(func(r *http.Request) (*http.Response, error) {
					if sent++; sent == 2 {
						return stagetest.Respond(200, "ok")(r)
					}
					tell(r, w, true)
					if w.closes > 0 {
						t.Error("the connection was closed before there was an answer")
					}
					if _, err := io.CopyN(io.Discard, r.Body, tc.read); err != nil && !errors.Is(err, io.EOF) {
						t.Error(err)
					}
					return stagetest.Challenge(401, "Negotiate")(r)
				})(r)
				finish(t, resp, err)
				if w.closes != tc.closes || sent != 2 {
					t.Errorf("the connection was closed %d times, %d requests", w.closes, sent)
				}
			})
		})
	}
}

// A signed request that is lost with its connection is sent again, with another token
// and over a new connection, if nobody else does that, it is known to be safe and it
// can be done.
func TestLostWithItsConnection(t *testing.T) {
	none := func(*http.Request, *opened) {}
	body := func(r *http.Request, o *opened) { o.on(r, 5) }
	stream := func(r *http.Request, o *opened) { r.Body, r.ContentLength = o.body(5), 5 }
	for name, tc := range map[string]struct {
		method string
		make   func(*http.Request, *opened)
		o      negotiate.Options
		proto  int  // of the challenge, 1 if not said
		first  bool // the connection of the signed request is a new one
		silent bool // the transport tells of no connection
		more   bool // it is the second token that is lost
		not    bool // it is answered, though the transport does not say that it begins
		fail   int  // of the initiator, 0 never
		fails  int  // of GetBody, likewise
		want   []string
		err    error
	}{
		"no body":              {make: none, want: []string{"", "client-1", "client-2"}},
		"GetBody":              {make: body, want: []string{"", "client-1", "client-2"}},
		"kept":                 {make: stream, want: []string{"", "client-1", "client-2"}},
		"GET":                  {method: http.MethodGet, make: none, want: []string{"", "client-1"}, err: io.EOF},
		"GET with a body":      {method: http.MethodGet, make: body, want: []string{"", "client-1", "client-2"}},
		"answered":             {make: body, not: true, want: []string{"", "client-1"}},
		"not to be":            {make: body, o: negotiate.Options{NoResend: true}, want: []string{"", "client-1"}, err: io.EOF},
		"over HTTP/2":          {make: body, proto: 2, want: []string{"", "client-1"}, err: io.EOF},
		"over a new one":       {make: body, first: true, want: []string{"", "client-1"}, err: io.EOF},
		"over nobody knows":    {make: body, silent: true, want: []string{"", "client-1"}, err: io.EOF},
		"to be gone on with":   {make: body, more: true, want: []string{"", "client-1", "client-1-more"}, err: io.EOF},
		"after a probe":        {make: stream, o: negotiate.Options{BodyLimit: -1, OneShot: negotiate.Probe}, want: []string{"", "client-1"}, err: io.EOF},
		"no ticket":            {make: body, fail: 2, want: []string{"", "client-1"}, err: middleware.ErrCredentials},
		"no ticket, no body":   {make: none, fail: 2, want: []string{"", "client-1"}, err: middleware.ErrCredentials},
		"GetBody fails":        {make: body, fails: 2, want: []string{"", "client-1"}, err: errGetBody},
		"GetBody fails before": {make: body, fails: 1, want: []string{""}, err: errGetBody},
	} {
		t.Run(name, func(t *testing.T) {
			used, fresh, bodies := new(wire), new(wire), &opened{fails: tc.fails}
			var got []string
			lost := func(n int) bool { return n == 2 && !tc.more && !tc.not || n == 3 && tc.more }
			next := func(r *http.Request) (*http.Response, error) {
				got = append(got, signedWith(r))
				n := len(got)
				if !tc.silent {
					tell(r, used, !tc.first || n == 1)
				}
				if n == 3 && used.closes > 0 {
					tell(r, fresh, false)
				} else if used.closes > 0 {
					t.Error("the connection was closed while there was no need to")
				}
				if r.Body != nil {
					if b, err := io.ReadAll(r.Body); len(b) != 5 || err != nil || r.Body.Close() != nil {
						t.Errorf("%d bytes came, %v", len(b), err)
					}
				}
				if lost(n) {
					return nil, io.EOF
				}
				reply := stagetest.Respond(200, "ok")
				switch {
				case n == 1:
					reply = stagetest.Challenge(401, "Negotiate")
				case n == 2 && tc.more:
					reply = stagetest.Challenge(401, stagetest.Value(middleware.Negotiate, stagetest.ServerMore))
				}
				resp, err := reply(r)
				if tc.proto > 0 {
					resp.ProtoMajor = tc.proto
				}
				return resp, err
			}
			in := &stagetest.Initiator{Fail: func(n int, target middleware.Target) error {
				if n == tc.fail {
					return without(n, target)
				}
				return nil
			}}
			if tc.method == "" {
				tc.method = http.MethodPost
			}
			r := request(t, tc.method, "http://origin.example/", "")
			tc.make(r, bodies)
			resp, err := negotiate.New(in, tc.o)(next)(r)
			if err == nil {
				finish(t, resp, nil)
			}
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Errorf("error %v, want %v", err, tc.err)
			}
			if len(got) > 1 && err != nil && (!errors.Is(err, io.EOF) || tc.err == io.EOF && errors.Is(err, middleware.ErrBodyNotReplayable)) {
				t.Errorf("error %v, want that of the transport in it", err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("tokens (-want +got):\n%s", d)
			}
			if want := map[bool]int{true: 1}[len(tc.want) == 3 && !tc.more]; used.closes != want || fresh.closes != 0 {
				t.Errorf("the connection that was used was closed %d times, the fresh one %d", used.closes, fresh.closes)
			}
			if bodies.count != 0 {
				t.Errorf("%d bodies are open", bodies.count)
			}
		})
	}
}
