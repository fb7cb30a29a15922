package stagetest

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing/iotest"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/middleware"
)

var (
	errGetBody = errors.New("stagetest: GetBody fails")
	errBelow   = errors.New("stagetest: the transport fails")
	errUnknown = errors.New("stagetest: a request whose context does not carry the caller's values")
)

// A peer is a transport with a server behind it. It obeys the contract of
// [http.RoundTripper] and closes the body of the request.
type peer struct {
	name  string
	serve func(l *lab, r *http.Request) (*http.Response, error)
}

// transport makes p a Next. With anonymous, responses have no Request.
func transport(p peer, anonymous bool) kerbchain.Next {
	return func(r *http.Request) (*http.Response, error) {
		l := labOf(r)
		if l == nil {
			// Not known whose call this is: call tells it by the error.
			return nil, errors.Join(errUnknown, closeBody(r))
		}
		l.checkUnchanged("when a request was sent")
		resp, err := p.serve(l, r)
		l.mu.Lock()
		l.last = err
		l.mu.Unlock()
		if err != nil {
			return nil, err
		}
		resp.Header.Set(echoField, l.id())
		if _, ok := resp.Body.(io.Writer); !ok {
			if _, ok := resp.Body.(*responseBody); !ok {
				resp.Body = l.track(r, resp.Body)
			}
		}
		if anonymous {
			resp.Request = nil
		}
		return resp, nil
	}
}

// plain is a peer that reads the request whole and gives one answer.
func plain(name string, status int, fields ...string) peer {
	return peer{name, func(l *lab, r *http.Request) (*http.Response, error) {
		if _, err := l.consume(r); err != nil {
			return nil, err
		}
		return answer(r, status, fields...)
	}}
}

// challenging asks for authentication and then proves itself.
func challenging() peer {
	return peer{"challenges", func(l *lab, r *http.Request) (*http.Response, error) {
		if _, err := l.consume(r); err != nil {
			return nil, err
		}
		if r.Header.Get("Authorization") == "" {
			return answer(r, 401, "WWW-Authenticate", "Negotiate")
		}
		return answer(r, 200, "WWW-Authenticate", Value(middleware.Negotiate, ServerOK))
	}}
}

func peers() []peer {
	ask := []string{"WWW-Authenticate", "Negotiate"}
	return []peer{
		plain("is content", 200),
		plain("proves itself", 200, "WWW-Authenticate", Value(middleware.Negotiate, ServerOK)),
		plain("bears a wrong token", 200, "WWW-Authenticate", Value(middleware.Negotiate, "forged")),
		plain("bears no base64", 200, "WWW-Authenticate", "Negotiate !!"),
		plain("finds nothing", 404, "Set-Cookie", "a=b"),
		plain("fails inside", 500, "Content-Type", "text/plain"),
		plain("redirects", 302, "Location", "http://elsewhere.example/"),
		plain("has no content", 204),
		challenging(),
		plain("challenges for ever", 401, ask...),
		plain("wants more for ever", 401, "WWW-Authenticate", Value(middleware.Negotiate, ServerMore)),
		plain("rejects", 401, "WWW-Authenticate", Value(middleware.Negotiate, ServerReject)),
		plain("challenges without base64", 401, "WWW-Authenticate", "Negotiate !!"),
		plain("wants Basic", 401, "WWW-Authenticate", `Basic realm="Negotiate"`),
		plain("says 401 without a challenge", 401),
		plain("is a proxy that challenges for ever", 407, "Proxy-Authenticate", "Negotiate"),
		{"is a proxy and an origin that challenge", func(l *lab, r *http.Request) (*http.Response, error) {
			if _, err := l.consume(r); err != nil {
				return nil, err
			}
			switch {
			case r.Header.Get("Proxy-Authorization") == "":
				return answer(r, 407, "Proxy-Authenticate", "Negotiate")
			case r.Header.Get("Authorization") == "":
				return answer(r, 401, ask...)
			}
			return answer(r, 200, "WWW-Authenticate", Value(middleware.Negotiate, ServerOK))
		}},
		{"upgrades", func(l *lab, r *http.Request) (*http.Response, error) {
			if _, err := l.consume(r); err != nil {
				return nil, err
			}
			resp, err := answer(r, 101, "Connection", "Upgrade", "Upgrade", "test")
			if err != nil {
				return nil, err
			}
			resp.Body = duplex{l.track(r, resp.Body)}
			return resp, nil
		}},
		{"fails after reading", func(l *lab, r *http.Request) (*http.Response, error) {
			if _, err := l.consume(r); err != nil {
				return nil, err
			}
			return nil, errBelow
		}},
		{"fails before reading", func(_ *lab, r *http.Request) (*http.Response, error) {
			return nil, errors.Join(errBelow, closeBody(r))
		}},
		{"fails after a challenge", func(l *lab, r *http.Request) (*http.Response, error) {
			if _, err := l.consume(r); err != nil {
				return nil, err
			}
			if r.Header.Get("Authorization") == "" {
				return answer(r, 401, ask...)
			}
			return nil, errBelow
		}},
		{"challenges before reading", func(l *lab, r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") == "" {
				if err := closeBody(r); err != nil {
					return nil, err
				}
				return answer(r, 401, ask...)
			}
			if _, err := l.consume(r); err != nil {
				return nil, err
			}
			return answer(r, 200)
		}},
		{"breaks off in the body", func(l *lab, r *http.Request) (*http.Response, error) {
			l.torn = true
			if _, err := l.consume(r); err != nil {
				return nil, err
			}
			resp, err := answer(r, 401, ask...)
			if err != nil {
				return nil, err
			}
			resp.Body = l.track(r, io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF)))
			return resp, nil
		}},
		{"sends a body without end", func(l *lab, r *http.Request) (*http.Response, error) {
			if _, err := l.consume(r); err != nil {
				return nil, err
			}
			resp, err := answer(r, 401, ask...)
			if err != nil {
				return nil, err
			}
			resp.ContentLength = -1
			// "Without end" as far as a stage should go: a bounded drain
			// stops long before this.
			resp.Body = l.track(r, io.LimitReader(zeros{}, 2<<20))
			return resp, nil
		}},
		lingering("goes on reading at once", 200, false),
		lingering("goes on reading at once after a challenge", 401, false, ask...),
		lingering("goes on reading later", 200, true),
		lingering("goes on reading later after a challenge", 401, true, ask...),
	}
}

// lingering answers at once and reads the request in the background: beside
// the stage, for the race detector, or gated, once the stage has returned. Its
// challenge is satisfied by an Authorization header.
func lingering(name string, status int, gated bool, fields ...string) peer {
	return peer{name, func(l *lab, r *http.Request) (*http.Response, error) {
		l.gated = gated
		header := r.Header.Clone()
		begun := make(chan struct{})
		l.background.Go(func() {
			if gated {
				<-l.returned
			} else {
				close(begun)
			}
			if r.Body != nil {
				// The stage may have taken the body away in order to send
				// it again, so an error is no surprise.
				_, _ = io.Copy(io.Discard, r.Body)
				if err := r.Body.Close(); err != nil {
					l.problem("closing the request's body: %v", err)
				}
			}
			if d := (snapshot{Header: header}).diff(snapshot{Header: r.Header}); d != "" {
				l.problem("sent request changed: its header, while the transport held it: %s", d)
			}
		})
		if !gated {
			<-begun
		}
		if r.Header.Get("Authorization") != "" {
			return answer(r, 200, "WWW-Authenticate", Value(middleware.Negotiate, ServerOK))
		}
		return answer(r, status, fields...)
	}}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// duplex is the body of a 101 response.
type duplex struct{ *responseBody }

func (d duplex) Write(p []byte) (int, error) { return len(p), nil }
