package stagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/testmain"
)

func TestMain(m *testing.M) { testmain.Run(m) }

// recorder is a T that remembers.
type recorder struct {
	mu   sync.Mutex
	said []string
}

func (*recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func (r *recorder) heard(want string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(strings.Join(r.said, "\n"), want)
}

func TestGoodStages(t *testing.T) {
	for name, stage := range map[string]kerbchain.Middleware{
		"nothing": kerbchain.Chain(),
		"clones": func(next kerbchain.Next) kerbchain.Next {
			return func(r *http.Request) (*http.Response, error) {
				again := r.Clone(r.Context())
				if again.Header == nil {
					again.Header = make(http.Header)
				}
				again.Header.Set("X-Mine", "yes")
				return next(again)
			}
		},
		"refuses": func(kerbchain.Next) kerbchain.Next {
			return func(r *http.Request) (*http.Response, error) {
				return nil, errors.Join(errors.New("no"), closeBody(r))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			Run(t, func() kerbchain.Middleware { return stage })
		})
	}
}

// onReturn makes a stage of what is done with the outcome of a call.
func onReturn(f func(r *http.Request, resp *http.Response, err error) (*http.Response, error)) func() kerbchain.Middleware {
	return always(func(next kerbchain.Next, r *http.Request) (*http.Response, error) {
		resp, err := next(r)
		return f(r, resp, err)
	})
}

func always(f func(next kerbchain.Next, r *http.Request) (*http.Response, error)) func() kerbchain.Middleware {
	return func() kerbchain.Middleware {
		return func(next kerbchain.Next) kerbchain.Next {
			return func(r *http.Request) (*http.Response, error) { return f(next, r) }
		}
	}
}

func TestBrokenStages(t *testing.T) {
	var kept http.Header
	var keptNext kerbchain.Next
	for name, tc := range map[string]struct {
		stage func() kerbchain.Middleware
		want  string // in the report
	}{
		"sets the caller's header": {always(func(next kerbchain.Next, r *http.Request) (*http.Response, error) {
			if r.Header != nil {
				r.Header.Set("Authorization", "x")
			}
			return next(r)
		}), "request changed when a request was sent"},
		"sets a field of the request afterwards": {onReturn(func(r *http.Request, resp *http.Response, err error) (*http.Response, error) {
			r.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
			return resp, err
		}), "request changed after the call"},
		"changes the URL in passing": {always(func(next kerbchain.Next, r *http.Request) (*http.Response, error) {
			old := r.URL.Host
			r.URL.Host = "other.example"
			defer func() { r.URL.Host = old }()
			return next(r)
		}), "request changed when a request was sent"},
		"wraps the caller's body in place": {always(func(next kerbchain.Next, r *http.Request) (*http.Response, error) {
			if r.Body != nil {
				r.Body = struct{ io.ReadCloser }{r.Body}
			}
			return next(r)
		}), "another Body"},
		"sets a field of a nil header": {always(func(next kerbchain.Next, r *http.Request) (*http.Response, error) {
			again := r.Clone(r.Context())
			again.Header["X"] = nil
			return next(again)
		}), "panic: assignment to entry in nil map"},
		"closes the request's body too": {onReturn(func(r *http.Request, resp *http.Response, err error) (*http.Response, error) {
			return resp, errors.Join(err, closeBody(r))
		}), "closed 2 times"},
		"forgets the request's body": {always(func(kerbchain.Next, *http.Request) (*http.Response, error) {
			return nil, errors.New("no")
		}), "closed 0 times"},
		"forgets a body of GetBody": {always(func(next kerbchain.Next, r *http.Request) (*http.Response, error) {
			if r.GetBody != nil {
				if _, err := r.GetBody(); err != nil {
					return nil, errors.Join(err, closeBody(r))
				}
			}
			return next(r)
		}), "request body 2 of 2 was closed 0 times"},
		"sends the used body again": {always(func(next kerbchain.Next, r *http.Request) (*http.Response, error) {
			resp, err := next(r)
			if err != nil || resp.StatusCode != 401 {
				return resp, err
			}
			if err := resp.Body.Close(); err != nil {
				return nil, err
			}
			return next(r)
		}), "read after it had been closed"},
		"cuts the body short": {always(func(next kerbchain.Next, r *http.Request) (*http.Response, error) {
			again := r.Clone(r.Context())
			if r.Body != nil {
				again.Body = struct {
					io.Reader
					io.Closer
				}{io.LimitReader(r.Body, 100), r.Body}
			}
			return next(again)
		}), "body cut short"},
		"sends no body": {always(func(next kerbchain.Next, r *http.Request) (*http.Response, error) {
			again := r.Clone(r.Context())
			again.Body = nil
			resp, err := next(again)
			return resp, errors.Join(err, closeBody(r))
		}), "body lost"},
		"changes the length": {always(func(next kerbchain.Next, r *http.Request) (*http.Response, error) {
			again := r.Clone(r.Context())
			again.ContentLength = -1
			return next(again)
		}), "body length"},
		"returns both": {onReturn(func(_ *http.Request, resp *http.Response, err error) (*http.Response, error) {
			return resp, errors.Join(err, errors.New("too"))
		}), "both: a response and the error"},
		"returns neither": {onReturn(func(_ *http.Request, resp *http.Response, err error) (*http.Response, error) {
			if err != nil {
				return nil, err
			}
			return nil, resp.Body.Close()
		}), "neither a response nor an error"},
		"swallows errors": {onReturn(func(r *http.Request, resp *http.Response, err error) (*http.Response, error) {
			if err != nil {
				return answer(r, 502)
			}
			return resp, nil
		}), "error from below swallowed"},
		"replaces errors": {onReturn(func(_ *http.Request, resp *http.Response, err error) (*http.Response, error) {
			if err != nil {
				return nil, errors.New("something failed")
			}
			return resp, nil
		}), "error from below lost"},
		"leaks responses": {onReturn(func(_ *http.Request, resp *http.Response, err error) (*http.Response, error) {
			if err == nil && resp.StatusCode == 401 {
				return nil, errors.New("unauthorized")
			}
			return resp, err
		}), "response body leaked"},
		"reads closed responses": {onReturn(func(_ *http.Request, resp *http.Response, err error) (*http.Response, error) {
			if err == nil {
				err = resp.Body.Close()
			}
			return resp, err
		}), "read after it had been closed"},
		"returns a nil body": {onReturn(func(_ *http.Request, resp *http.Response, err error) (*http.Response, error) {
			if err == nil {
				err = resp.Body.Close()
				resp.Body = nil
			}
			return resp, err
		}), "nil Body"},
		"drops the context": {always(func(next kerbchain.Next, r *http.Request) (*http.Response, error) {
			return next(r.WithContext(context.Background()))
		}), "context values lost: a request"},
		"drops the context of resp.Request": {onReturn(func(r *http.Request, resp *http.Response, err error) (*http.Response, error) {
			if err == nil {
				resp.Request = r.WithContext(context.Background())
			}
			return resp, err
		}), "context values lost: resp.Request"},
		"detaches the context": {always(func(next kerbchain.Next, r *http.Request) (*http.Response, error) {
			return next(r.WithContext(context.WithoutCancel(r.Context())))
		}), "cancelled context: got error stagetest: the context"},
		"ends the context at once": {always(func(next kerbchain.Next, r *http.Request) (*http.Response, error) {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			return next(r.WithContext(ctx))
		}), "context ended too soon"},
		"waits for ever": {always(func(next kerbchain.Next, r *http.Request) (*http.Response, error) {
			if r.Context().Err() != nil {
				time.Sleep(time.Hour)
			}
			return next(r)
		}), "hang"},
		"reads resp.Request": {onReturn(func(_ *http.Request, resp *http.Response, err error) (*http.Response, error) {
			if err == nil && resp.Request.URL == nil {
				return nil, resp.Body.Close()
			}
			return resp, err
		}), "panic: runtime error: invalid memory address"},
		"reads the first certificate": {onReturn(func(_ *http.Request, resp *http.Response, err error) (*http.Response, error) {
			if err == nil && resp.TLS != nil && resp.TLS.PeerCertificates[0] == nil {
				return nil, resp.Body.Close()
			}
			return resp, err
		}), "panic: runtime error: index out of range"},
		"clears the sent header": {always(func(next kerbchain.Next, r *http.Request) (*http.Response, error) {
			again := r.Clone(r.Context())
			if again.Header == nil {
				again.Header = make(http.Header)
			}
			again.Header.Set("Authorization", "x")
			resp, err := next(again)
			// Beside a reader that is not gated this is a data race, which the
			// detector reports by itself.
			if l := labOf(r); l != nil && l.gated {
				again.Header.Del("Authorization")
			}
			return resp, err
		}), "sent request changed"},
		"wraps upgrades": {onReturn(func(_ *http.Request, resp *http.Response, err error) (*http.Response, error) {
			if err == nil {
				resp.Body = struct{ io.ReadCloser }{resp.Body}
			}
			return resp, err
		}), "upgrade: the body of a 101"},
		"cuts responses short": {onReturn(func(_ *http.Request, resp *http.Response, err error) (*http.Response, error) {
			if err == nil {
				resp.Body = struct {
					io.Reader
					io.Closer
				}{io.MultiReader(io.LimitReader(resp.Body, 3), bytes.NewReader(nil), failing{}), resp.Body}
			}
			return resp, err
		}), "response cut short"},
		"keeps a response": {onReturn(func(_ *http.Request, resp *http.Response, err error) (*http.Response, error) {
			if err == nil {
				if kept == nil {
					kept = resp.Header
				}
				resp.Header = kept
			}
			return resp, err
		}), "mixed up"},
		"keeps a transport": {func() kerbchain.Middleware {
			keptNext = nil
			return func(next kerbchain.Next) kerbchain.Next {
				if keptNext == nil {
					keptNext = next
				}
				first := keptNext
				return func(r *http.Request) (*http.Response, error) { return first(r) }
			}
		}, "wiring: a call through wiring b came out of wiring a"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // as Run does
				defer time.Sleep(2 * time.Hour) // what hangs comes to its end
				var rec recorder
				k := kit{newStage: tc.stage, timeout: 20 * time.Second}
				for _, p := range peers() {
					if k.matrix(&rec, p); rec.heard(tc.want) {
						return
					}
				}
				for name, rule := range k.rules() {
					// What is broken here would be a data race there.
					if name == "parallel calls" {
						continue
					}
					if rule(&rec); rec.heard(tc.want) {
						return
					}
				}
				t.Errorf("the kit said nothing of %q, but: %q", tc.want, rec.said)
			})
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("cut") }
