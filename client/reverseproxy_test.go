package client_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// startReverseProxy starts the example's proxy before a service.
func startReverseProxy(t *testing.T, wo fakeweb.Options, policy preemptive.Policy) (*fakeweb.Handler, *httptest.Server) {
	t.Helper()
	realm := start(t)
	web := fakeweb.New(realm, spn, wo)
	server := fakeweb.Serve(realm, web, fakeweb.ServerOptions{})
	o := kinit(t, realm)
	o.Transport, o.Preemptive = server.Transport(), policy
	upstream, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(reverseProxy(upstream, newClient(t, o).Transport))
	t.Cleanup(front.Close)
	return web, front
}

// visitFront sends what a visitor sends, and returns the answer and its body.
func visitFront(t *testing.T, front *httptest.Server, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := front.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// What visitors say to a reverse proxy does not reach the server behind it, and
// keeps nothing from being signed and verified.
func TestReverseProxyInbound(t *testing.T) {
	for name, header := range map[string]http.Header{
		"nothing":       {},
		"Basic":         {"Authorization": {"Basic YTpi"}},
		"Negotiate":     {"Authorization": {"Negotiate YIIB"}},
		"two":           {"Authorization": {"Bearer a", "Basic YTpi"}},
		"for a proxy":   {"Proxy-Authorization": {"Basic YTpi"}},
		"a session":     {"Cookie": {"session=1"}},
		"hop by hop":    {"Authorization": {"Basic YTpi"}, "Connection": {"Authorization"}},
		"another field": {"authorization": {"Basic YTpi"}},
	} {
		for _, policy := range []preemptive.Policy{nil, preemptive.Always()} {
			t.Run(name, func(t *testing.T) {
				var mu sync.Mutex
				var seen []http.Header
				_, front := startReverseProxy(t, fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					defer mu.Unlock()
					seen = append(seen, r.Header.Clone())
					caller, _ := fakeweb.CallerOf(r.Context())
					io.WriteString(w, caller.Name)
				})}, policy)
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header = header.Clone()
				if resp, body := visitFront(t, front, r); resp.StatusCode != 200 || !strings.HasPrefix(body, "alice@") {
					t.Fatalf("%s: %s", resp.Status, body)
				}
				if len(seen) != 1 {
					t.Fatalf("%d requests were served", len(seen))
				}
				got := seen[0]
				if len(got["Authorization"]) != 1 || !strings.HasPrefix(got.Get("Authorization"), "Negotiate ") || got.Get("Authorization") == "Negotiate YIIB" ||
					got.Get("Proxy-Authorization") != "" || got.Get("Cookie") != "" {
					t.Errorf("the server behind was sent %v", got)
				}
			})
		}
	}
}

// What concerns the proxy and the server behind it alone reaches no visitor: not in
// a header, a trailer or an informational response, of whatever status.
func TestReverseProxyOutbound(t *testing.T) {
	const secret = "not for visitors"
	private := []string{"Set-Cookie", "Persistent-Auth", "Authentication-Info"}
	for _, status := range []int{200, 201, 204, 302, 404, 500} { // 201 has announced trailers
		web, front := startReverseProxy(t, fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", secret)
			w.Header().Set("Set-Cookie", secret)
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			w.Header().Set("X-Page", "for visitors")
			w.Header().Set("Location", "/")
			for _, name := range private {
				w.Header().Set(name, secret)
			}
			if status == 201 {
				w.Header()["Trailer"] = append([]string{"X-Sum"}, private...)
			}
			w.WriteHeader(status)
			if status <= 201 {
				io.WriteString(w, strings.Repeat("page", 2000))
			}
			for _, name := range private {
				w.Header().Set(http.TrailerPrefix+name, secret)
				w.Header().Set(name, secret)
			}
			w.Header().Set("X-Sum", "for visitors")
		})}, nil)
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				t.Errorf("status %d: the visitor was told %d %v", status, code, header)
				return nil
			},
		}), http.MethodGet, front.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		rt := front.Client().Transport
		resp, err := rt.RoundTrip(r) // not to follow the redirect
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != status || resp.Header.Get("X-Page") == "" || status <= 201 && len(page) != 8000 || status == 201 && resp.Trailer.Get("X-Sum") == "" {
			t.Errorf("status %d and %d bytes, want %d: %v", resp.StatusCode, len(page), status, web.Statuses())
		}
		var all bytes.Buffer
		resp.Header.Write(&all)
		resp.Trailer.Write(&all)
		if text := all.String(); strings.Contains(text, secret) || strings.Contains(text, "Negotiate") {
			t.Errorf("status %d: the visitor was sent\n%s", status, text)
		}
	}
}

// A server that does not let the proxy in, or does not prove itself, is the proxy's
// affair: visitors are asked for no token, and get nothing that it said.
func TestReverseProxyRefused(t *testing.T) {
	for name, quirks := range map[string]fakeweb.Quirks{
		"refused":      {Reject: true},
		"not verified": {Proof: fakeweb.ProofForged},
		"no token":     {Proof: fakeweb.ProofNone},
	} {
		t.Run(name, func(t *testing.T) {
			_, front := startReverseProxy(t, fakeweb.Options{Quirks: quirks}, nil)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, body := visitFront(t, front, r)
			if resp.StatusCode != http.StatusBadGateway || body != "" || resp.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("%s %q %v", resp.Status, body, resp.Header)
			}
		})
	}
}

// A body that is longer than what is kept goes on whole, as it comes.
func TestReverseProxyStreams(t *testing.T) {
	sum := 0
	_, front := startReverseProxy(t, fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Error(err)
		}
		sum = int(n)
	})}, preemptive.Always())
	const size = 3 << 20
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, front.URL, io.LimitReader(zeroReader{}, size))
	if err != nil {
		t.Fatal(err)
	}
	if resp, body := visitFront(t, front, r); resp.StatusCode != 200 || sum != size {
		t.Errorf("%s %q, %d bytes", resp.Status, body, sum)
	}
}

// zeroReader is a body without an end, and without a way back.
type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
