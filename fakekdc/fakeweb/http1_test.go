package fakeweb_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// Every stream of HTTP/2 is reset, small or large, and the connection goes on;
// HTTP/1.1 is served.
func TestHTTP11Required(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithEtypes(fakekdc.AES256SHA1))
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Proto", r.Proto)
	})
	server := fakeweb.Serve(realm, hello, fakeweb.ServerOptions{TLS: true, HTTP2: true, HTTP11Required: true})
	tr := server.Transport()
	defer tr.CloseIdleConnections()
	for _, size := range []int{10, 30 << 10} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Large", strings.Repeat("x", size)) // needs CONTINUATION
		resp, err := tr.RoundTrip(r)
		if err == nil {
			resp.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "HTTP_1_1_REQUIRED") {
			t.Errorf("error %v", err)
		}
	}
	if n := server.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
	plain := server.Transport()
	plain.Protocols = nil
	defer plain.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := plain.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Proto"); got != "HTTP/1.1" {
		t.Errorf("served over %q", got)
	}
}
