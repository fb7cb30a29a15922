package client_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// HTTP/2 without TLS shares its connection as with TLS, and the connection does not tell:
// nobody ends it under the requests of others.
func TestUnencryptedHTTP2(t *testing.T) {
	t.Parallel()
	realm := start(t)
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	for name, o := range map[string]client.Options{
		"challenged": {}, "learned": {Preemptive: preemptive.Learned()}, "always": {Preemptive: preemptive.Always()},
		"trusted": {TrustConnection: true},
	} {
		t.Run(name, func(t *testing.T) {
			web := fakeweb.New(realm, spn, fakeweb.Options{Next: echo})
			s := httptest.NewUnstartedServer(web)
			s.Config.Protocols = &protocols
			s.Start()
			defer s.Close()
			url := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
			opts := kinit(t, realm, spn)
			opts.Transport = &http.Transport{Protocols: &protocols, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
			}}
			opts.Preemptive, opts.TrustConnection = o.Preemptive, o.TrustConnection
			c := newClient(t, opts)
			var wg sync.WaitGroup
			for worker := range 8 {
				wg.Go(func() {
					for n := range 20 {
						method, body := http.MethodGet, ""
						if (worker+n)%3 == 0 {
							method, body = http.MethodPost, strings.Repeat("x", 1<<10)
						}
						resp, err := c.Do(h2cRequest(t, method, url, body))
						if err != nil {
							t.Errorf("%s: %v", method, err)
							continue
						}
						b, err := io.ReadAll(resp.Body)
						resp.Body.Close()
						if want := fmt.Sprintf("%d bytes of alice", len(body)); err != nil || resp.StatusCode != 200 || resp.ProtoMajor != 2 || !strings.HasPrefix(string(b), want) {
							t.Errorf("%s: %d %q, %v", method, resp.StatusCode, b, err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func h2cRequest(t *testing.T, method, url, body string) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
	}
	return r
}
