package preemptive_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// An identifier knows whose its contexts will be.
type identifier struct{ *stagetest.Initiator }

func (identifier) Identity(context.Context, middleware.Target) (string, error) {
	return "alice@A.EXAMPLE", nil
}

type secured struct{ net.Conn }

func (secured) ConnectionState() tls.ConnectionState {
	return tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{{Raw: []byte("certificate")}}}
}

// A token for https is made once, when there is a connection, where the transport is
// known to tell: because it was said, or since its first answer.
func TestMadeOnce(t *testing.T) {
	plain, identified := middleware.Initiator(new(stagetest.Initiator)), middleware.Initiator(identifier{new(stagetest.Initiator)})
	once, twice := []string{"1 false"}, []string{"1 false", "1 true"}
	for name, tc := range map[string]struct {
		in      middleware.Initiator
		netHTTP bool
		tells   bool
		want    [][]string // how often each request was signed
	}{
		"said":                      {identified, true, true, [][]string{once, once, once}},
		"found out":                 {identified, false, true, [][]string{twice, once, once}},
		"the transport tells not":   {identified, false, false, [][]string{once, once, once}},
		"nobody identified":         {plain, false, true, [][]string{twice, twice, twice}},
		"nobody identified, though": {plain, true, true, [][]string{twice, twice, twice}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := stagetest.NewServer()
			next := preemptive.New(tc.in, preemptive.Always(), preemptive.Options{NetHTTP: tc.netHTTP})(func(r *http.Request) (*http.Response, error) {
				if trace := httptrace.ContextClientTrace(r.Context()); tc.tells {
					trace.GetConn("a.example:443")
					trace.GotConn(httptrace.GotConnInfo{Conn: secured{}})
				}
				return srv.Next(r)
			})
			var got [][]string
			for range tc.want {
				var signed []string
				listen := func(next kerbchain.Next) kerbchain.Next {
					return func(r *http.Request) (*http.Response, error) {
						return next(r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
							if e, ok := e.(middleware.SendEvent); ok {
								signed = append(signed, fmt.Sprint(e.Request, e.Again))
							}
						})))
					}
				}
				if _, err := call(t, listen(next), "https://a.example/"); err != nil {
					t.Fatal(err)
				}
				got = append(got, signed)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("signed (-want +got):\n%s", d)
			}
			for _, r := range srv.Requests() {
				if r.Auth == "" {
					t.Errorf("%+v is not signed", r)
				}
			}
		})
	}
}
