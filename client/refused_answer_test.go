package client_test

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// A hiddenConn is a connection that does not tell what it wraps, as instrumented ones
// do, so that nothing can be remembered of it.
type hiddenConn struct{ net.Conn }

// A connection whose answer was refused carries nothing more. Of a server that
// authenticates connections nothing on it would be proved any more, and each request
// would be refused as long as the connection lived.
func TestRefusedAnswerEndsConnection(t *testing.T) {
	realm := start(t)
	web := fakeweb.Options{ConnectionBound: true, Next: echo}
	const refused = "no token on a reused connection"
	for name, server := range map[string]fakeweb.ServerOptions{"http": {}, "TLS": {TLS: true}} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			t.Run(name+" "+method, func(t *testing.T) {
				t.Parallel()
				srv := fakeweb.Serve(realm, fakeweb.New(realm, spn, web), server)
				o := kinit(t, realm, spn)
				tr := srv.Transport()
				dial := new(net.Dialer).DialContext
				tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := dial(ctx, network, address)
					if err != nil {
						return nil, err
					}
					return hiddenConn{c}, nil
				}
				o.Transport = tr
				c := newClient(t, o)
				proved := "200 proved"
				if method == http.MethodHead {
					proved += " empty"
				}
				want := []string{proved, refused, proved, refused, proved}
				if server.TLS {
					want = []string{proved, proved, proved, proved, proved} // a TLS connection can be told from others
				}
				var got []string
				for range want {
					got = append(got, seen(t, c, method, srv.URL()+"/", "something"))
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}
