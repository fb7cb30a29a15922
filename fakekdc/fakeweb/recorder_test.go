package fakeweb_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
)

// TestRecorder: a handler that is called without a server: every field that it sets
// is found by [http.Header.Get], and a request needs no body.
func TestRecorder(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	for name, h := range map[string]http.Handler{
		"an offer":   fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{}),
		"offers":     fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{Quirks: fakeweb.Quirks{Challenge: []string{"Basic", "Negotiate"}}}),
		"of a proxy": fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{Proxy: true}),
		"of WinRM":   fakewinrm.New(realm, "HTTP/localhost", fakewinrm.Options{}),
	} {
		for _, auth := range []string{"", "Negotiate AAAA", "Basic YTpi"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", nil)
			if err != nil {
				t.Fatal(err)
			}
			field, status := "WWW-Authenticate", http.StatusUnauthorized
			if name == "of a proxy" {
				field, status = "Proxy-Authenticate", http.StatusProxyAuthRequired
			}
			if auth != "" {
				r.Header.Set(map[string]string{"WWW-Authenticate": "Authorization", "Proxy-Authenticate": "Proxy-Authorization"}[field], auth)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != status || w.Header().Get(field) == "" || w.Result().Header.Get(field) == "" {
				t.Errorf("%s to %q: status %d, header %v", name, auth, w.Code, w.Header())
			}
			for key := range w.Header() {
				if key != http.CanonicalHeaderKey(key) {
					t.Errorf("%s to %q: the key %q", name, auth, key)
				}
			}
			if r.Body != nil {
				t.Error("the caller's request was changed")
			}
		}
	}
	// And whole calls can be made that way.
	h := fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{})
	c := clienttest.New(t, realm, "alice", client.Options{Transport: kerbchain.Next(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result(), nil
	})})
	resp, err := c.Get("http://localhost/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || len(h.Requests()) != 2 {
		t.Errorf("status %d after %d requests", resp.StatusCode, len(h.Requests()))
	}
}
