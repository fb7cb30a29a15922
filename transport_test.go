package kerbchain_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/kerbchain/kerbchain"
)

// replaceDefault puts a wrapper where net/http has its transport, as packages
// for tracing recommend, until the test ends.
func replaceDefault(t *testing.T) {
	t.Helper()
	old := http.DefaultTransport
	http.DefaultTransport = struct{ http.RoundTripper }{old}
	t.Cleanup(func() { http.DefaultTransport = old })
}

// The transport that is made where the default one is no model any more has all
// that net/http's has.
func TestNewTransportHasTheSettingsOfNetHTTP(t *testing.T) {
	model := kerbchain.NewTransport()
	replaceDefault(t)
	got := kerbchain.NewTransport()
	a, b := reflect.ValueOf(model).Elem(), reflect.ValueOf(got).Elem()
	for i := range a.NumField() {
		f := a.Type().Field(i)
		if !f.IsExported() || f.Name == "TLSClientConfig" || f.Name == "TLSNextProto" {
			continue // net/http sets up HTTP/2 in these before it clones
		}
		same := reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface())
		if f.Name == "HTTP2" && b.Field(i).IsNil() {
			same = a.Field(i).IsNil() || a.Field(i).Elem().IsZero() // from Go 1.27 on it is filled in, too
		}
		if f.Type.Kind() == reflect.Func {
			same = a.Field(i).IsNil() == b.Field(i).IsNil()
		}
		if !same {
			t.Errorf("%s is %v, want %v", f.Name, b.Field(i), a.Field(i))
		}
	}
	if got.Proxy == nil || reflect.ValueOf(got.Proxy).Pointer() != reflect.ValueOf(http.ProxyFromEnvironment).Pointer() {
		t.Error("the proxy is not that of the environment")
	}
}

// A chain over nil shares no connection with the program's other requests, nor
// with another chain, whatever became of the default transport.
func TestWrapOfNilHasItsOwnConnections(t *testing.T) {
	type conn struct{}
	mark := func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Negotiate token")
			return next(r)
		}
	}
	for name, replaced := range map[string]bool{"the default": false, "replaced": true} {
		t.Run(name, func(t *testing.T) {
			if replaced {
				replaceDefault(t)
			}
			// Whose a connection is it says to everybody who comes after.
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				known := r.Context().Value(conn{}).(*bool)
				*known = *known || r.Header.Get("Authorization") != ""
				if !*known {
					w.WriteHeader(http.StatusUnauthorized)
				}
			}))
			server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
				return context.WithValue(ctx, conn{}, new(bool))
			}
			server.Start()
			defer server.Close()
			signed := &http.Client{Transport: kerbchain.Wrap(nil, mark)}
			defer signed.CloseIdleConnections()
			bare := &http.Client{Transport: kerbchain.Wrap(nil)}
			defer bare.CloseIdleConnections()
			defer http.DefaultClient.CloseIdleConnections()
			for range 2 {
				for c, want := range map[*http.Client]int{signed: 200, bare: 401, http.DefaultClient: 401} {
					resp, err := c.Get(server.URL)
					if err != nil {
						t.Fatal(err)
					}
					if resp.Body.Close(); resp.StatusCode != want {
						t.Errorf("status %d, want %d", resp.StatusCode, want)
					}
				}
			}
		})
	}
}
