package mutual_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// A refused answer whose connection the transport has in its pool by then ends nothing
// that another request has got of it meanwhile, and no later request is written to that
// connection.
func TestRefusedAnswerSparesOthers(t *testing.T) {
	read := func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			resp, err := next(r)
			if err != nil {
				return nil, err
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			resp.Body = io.NopCloser(bytes.NewReader(b))
			return resp, err
		}
	}
	for name, inner := range map[string]kerbchain.Middleware{"no body": nil, "a body that a stage has read": read} {
		for _, secure := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", TLS"}[secure], func(t *testing.T) {
				asked, refused := make(chan struct{}), make(chan struct{})
				srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					switch r.URL.Path {
					case "/refused":
						if inner != nil {
							_, _ = io.WriteString(w, "read")
						}
						return
					case "/beside":
						close(asked)
						<-refused
					}
					_, _ = io.Copy(io.Discard, r.Body)
					w.WriteHeader(http.StatusNotFound)
					_, _ = io.WriteString(w, r.URL.Path)
				}))
				if secure {
					srv.TLS = &tls.Config{Certificates: []tls.Certificate{stagetest.SelfSigned(t)}}
					srv.StartTLS()
				} else {
					srv.Start()
				}
				defer srv.Close()
				tr := srv.Client().Transport.(*http.Transport)
				next := kerbchain.Chain(mutual.New(mutual.Options{}), inner)(tr.RoundTrip)
				send := func(ctx context.Context, path string, once io.Reader) (body string, conns []net.Conn, err error) {
					ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { conns = append(conns, info.Conn) }})
					r, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+path, once)
					if err != nil {
						return "", nil, err
					}
					resp, err := next(r)
					if err != nil {
						return "", conns, err
					}
					defer resp.Body.Close()
					b, err := io.ReadAll(resp.Body)
					return string(b), conns, err
				}

				judged := make(chan struct{})
				done := make(chan error, 1)
				var first []net.Conn
				go func() {
					ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
						if _, ok := e.(middleware.VerdictEvent); ok {
							close(judged)
							<-asked
						}
					})
					var err error
					_, first, err = send(ctx, "/refused", nil)
					close(refused)
					done <- err
				}()
				<-judged
				body, beside, err := send(t.Context(), "/beside", nil)
				if body != "/beside" || err != nil {
					t.Errorf("the request beside it: %q, %v", body, err)
				}
				if err := <-done; !errors.Is(err, middleware.ErrNotVerified) {
					t.Errorf("%v; want a refusal", err)
				}
				if len(first) != 1 || len(beside) != 1 || beside[0] != first[0] {
					t.Fatal("the request beside it took another connection")
				}
				// A body that can be sent once is not risked for another connection.
				for range 3 {
					if body, _, err := send(t.Context(), "/once", io.MultiReader(strings.NewReader("body"))); body != "/once" || err != nil {
						t.Errorf("a body that can be sent once: %q, %v", body, err)
					}
				}
				for range 3 {
					body, later, err := send(t.Context(), "/later", nil)
					if body != "/later" || err != nil || later[len(later)-1] == first[0] {
						t.Errorf("a later request: %q, %v; over the same connection %t", body, err, len(later) > 0 && later[len(later)-1] == first[0])
					}
				}
			})
		}
	}
}

// A request that ends before its answer was verified fails because of that: nothing was
// found out about the server. What was found out stays the reason.
func TestEndedBeforeTheVerdict(t *testing.T) {
	for name, tc := range map[string]struct {
		token   string
		refused bool
	}{
		"a good token": {stagetest.ServerOK, false}, "a bad token": {"forged", false}, "none": {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			server := func(r *http.Request) (*http.Response, error) {
				cancel()
				if tc.token == "" {
					return stagetest.Respond(http.StatusOK, "")(r)
				}
				return stagetest.Respond(http.StatusOK, "", wwwAuth, value(tc.token))(r)
			}
			r := httptest.NewRequest(http.MethodGet, "http://web.test/", nil).WithContext(ctx)
			_, err := kerbchain.Chain(mutual.New(mutual.Options{}), sign(new(stagetest.Initiator), origin))(server)(r)
			if errors.Is(err, middleware.ErrNotVerified) != tc.refused || errors.Is(err, context.Canceled) == tc.refused {
				t.Errorf("%v", err)
			}
			if want := "mutual: verifying the answer of web.test:80: context canceled"; !tc.refused && err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
}
