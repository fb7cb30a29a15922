package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// wantBound fails unless every request that was signed bore the right bindings.
func wantBound(t *testing.T, h *fakeweb.Handler, signed int) {
	t.Helper()
	n := 0
	for _, r := range h.Requests() {
		if r.Token == 0 {
			continue
		}
		if n++; !r.Caller.Bound || r.Status != 200 {
			t.Errorf("%v, bound %t", r, r.Caller.Bound)
		}
	}
	if n != signed {
		t.Errorf("%d signed requests, want %d: %v", n, signed, h.Requests())
	}
}

// policies are ways to come by a first token.
func policies() map[string]preemptive.Policy {
	return map[string]preemptive.Policy{"challenged": nil, "signed at once": preemptive.Always(), "learned": preemptive.Learned()}
}

// issue makes a certificate, by its own key if there is no issuer.
func issue(t *testing.T, name string, issuer *tls.Certificate, alg x509.SignatureAlgorithm) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), SignatureAlgorithm: alg,
		IsCA: name != "localhost", BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	c := &tls.Certificate{PrivateKey: key}
	parent, signer := template, any(key)
	if issuer != nil {
		parent, signer = issuer.Leaf, issuer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if c.Leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	c.Certificate = [][]byte{der}
	if issuer != nil && issuer.Leaf.Subject.CommonName != "root" {
		c.Certificate = append(c.Certificate, issuer.Certificate...)
	}
	return c
}

// Of a chain of certificates the server's own counts, with the hash of its own
// signature.
func TestBindingsOfChain(t *testing.T) {
	realm := start(t)
	root := issue(t, "root", nil, x509.ECDSAWithSHA256)
	middle := issue(t, "middle", root, x509.ECDSAWithSHA512)
	leaf := issue(t, "localhost", middle, x509.ECDSAWithSHA384)
	if len(leaf.Certificate) != 2 {
		t.Fatalf("%d certificates", len(leaf.Certificate))
	}
	pool := x509.NewCertPool()
	pool.AddCert(root.Leaf)
	for name, policy := range policies() {
		t.Run(name, func(t *testing.T) {
			h := fakeweb.New(realm, spn, fakeweb.Options{Bindings: fakekdc.BindingsRequired, Certificate: leaf.Leaf})
			s := httptest.NewUnstartedServer(h)
			s.TLS = &tls.Config{Certificates: []tls.Certificate{*leaf}, MinVersion: tls.VersionTLS12}
			s.StartTLS()
			defer s.Close()
			o := kinit(t, realm, spn)
			o.Preemptive = policy
			o.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
			c := newClient(t, o)
			for range 2 {
				status, body, err := get(t, c, "https://localhost:"+portOf(t, s.Listener.Addr().String()))
				ok(t, status, body, err)
			}
			wantBound(t, h, 2)
			c.CloseIdleConnections()
		})
	}
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// In a tunnel the server's certificate counts, and never the proxy's.
func TestBindingsThroughTunnel(t *testing.T) {
	realm := start(t)
	for _, secure := range []bool{false, true} {
		for name, policy := range policies() {
			t.Run(fmt.Sprintf("%s, proxy with TLS %t", name, secure), func(t *testing.T) {
				h := fakeweb.New(realm, spn, fakeweb.Options{Bindings: fakekdc.BindingsRequired})
				server := fakeweb.Serve(realm, h, fakeweb.ServerOptions{TLS: true})
				proxy := fakeweb.Serve(realm, fakeweb.ForwardProxy(), fakeweb.ServerOptions{TLS: secure})
				at, err := url.Parse(proxy.URL())
				if err != nil {
					t.Fatal(err)
				}
				o := kinit(t, realm, spn)
				o.Preemptive, o.Bindings = policy, kerberos.BindingsRequired
				tr := server.Transport()
				tr.DialContext, tr.Proxy = nil, http.ProxyURL(at)
				if secure {
					tr.TLSClientConfig.RootCAs.AddCert(proxy.Certificate())
				}
				o.Transport = tr
				c := newClient(t, o)
				for range 2 {
					status, body, err := get(t, c, server.URL())
					ok(t, status, body, err)
				}
				wantBound(t, h, 2)
				if server.Connections() != 1 || proxy.Connections() != 1 {
					t.Errorf("%d and %d connections", server.Connections(), proxy.Connections())
				}
				c.CloseIdleConnections()
			})
		}
	}
}

// A token is for the connection that carries it: when that one goes, and the
// next one leads to a server with another certificate, so does the token.
func TestBindingsFollowTheConnection(t *testing.T) {
	realm := start(t)
	for name, policy := range policies() {
		for _, mode := range []kerberos.Bindings{kerberos.BindingsAuto, kerberos.BindingsRequired} {
			t.Run(fmt.Sprintf("%s, mode %d", name, mode), func(t *testing.T) {
				var handlers []*fakeweb.Handler
				var servers []*fakeweb.Server
				pool := x509.NewCertPool()
				for range 2 {
					h := fakeweb.New(realm, spn, fakeweb.Options{Bindings: fakekdc.BindingsRequired})
					s := fakeweb.Serve(realm, h, fakeweb.ServerOptions{TLS: true})
					pool.AddCert(s.Certificate())
					handlers, servers = append(handlers, h), append(servers, s)
				}
				var dials atomic.Int64
				o := kinit(t, realm, spn)
				o.Preemptive, o.Bindings = policy, mode
				o.Transport = &http.Transport{
					TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
					DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
						var d net.Dialer
						return d.DialContext(ctx, network, servers[dials.Add(1)%2].Addr())
					},
				}
				c := newClient(t, o)
				const calls = 6
				for n := range calls {
					status, body, err := get(t, c, "https://localhost/")
					ok(t, status, body, err)
					if n%2 == 1 {
						for _, s := range servers {
							s.DropConnections() // the client may notice before or after it sends
						}
					}
				}
				signed := 0
				for _, h := range handlers {
					for _, r := range h.Requests() {
						if r.Caller.Name != "" {
							signed++
						}
						if r.Token > 0 && !r.Caller.Bound {
							t.Errorf("%v", r)
						}
					}
				}
				if signed != calls {
					t.Errorf("%d requests were accepted, want %d", signed, calls)
				}
				c.CloseIdleConnections()
			})
		}
	}
}

// Somebody in between who ends TLS gets a token, and it is of no use there.
func TestBindingsAgainstRelay(t *testing.T) {
	realm := start(t)
	evil := issue(t, "localhost", nil, x509.ECDSAWithSHA256)
	pool := x509.NewCertPool()
	pool.AddCert(evil.Leaf)
	for name, tc := range map[string]struct {
		mode   fakekdc.Bindings
		client kerberos.Bindings
		want   int
	}{
		"required":               {fakekdc.BindingsRequired, kerberos.BindingsAuto, 401},
		"when supported":         {fakekdc.BindingsWhenSupported, kerberos.BindingsAuto, 401},
		"off":                    {fakekdc.BindingsOff, kerberos.BindingsAuto, 200},
		"off at the client":      {fakekdc.BindingsWhenSupported, kerberos.BindingsOff, 200},
		"off at one, and needed": {fakekdc.BindingsRequired, kerberos.BindingsOff, 401},
	} {
		t.Run(name, func(t *testing.T) {
			h := fakeweb.New(realm, spn, fakeweb.Options{Bindings: tc.mode})
			server := fakeweb.Serve(realm, h, fakeweb.ServerOptions{TLS: true})
			there := server.Transport()
			defer there.CloseIdleConnections()
			relay := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				out := r.Clone(r.Context())
				out.RequestURI, out.URL.Scheme, out.URL.Host = "", "https", r.Host
				resp, err := there.RoundTrip(out)
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				w.Header()["Www-Authenticate"] = resp.Header["Www-Authenticate"]
				w.WriteHeader(resp.StatusCode)
				io.Copy(w, resp.Body)
			}))
			relay.TLS = &tls.Config{Certificates: []tls.Certificate{*evil}, MinVersion: tls.VersionTLS12}
			relay.Config.ErrorLog = log.New(io.Discard, "", 0)
			relay.StartTLS()
			defer relay.Close()
			o := kinit(t, realm, spn)
			o.Bindings = tc.client
			o.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
			c := newClient(t, o)
			status, _, err := get(t, c, "https://localhost:"+portOf(t, relay.Listener.Addr().String()))
			if err != nil || status != tc.want {
				t.Errorf("%d, %v; want %d", status, err, tc.want)
			}
			c.CloseIdleConnections()
		})
	}
}

// krb5.conf says so, and servers are told; see TestBindingsAware of kerberos.
func TestBindingsAware(t *testing.T) {
	realm := start(t)
	h := fakeweb.New(realm, spn, fakeweb.Options{})
	server := fakeweb.Serve(realm, h, fakeweb.ServerOptions{TLS: true})
	for _, aware := range []bool{false, true} {
		o := kinit(t, realm, spn)
		o.Krb5ConfText = realm.Config(fmt.Sprintf("client_aware_channel_bindings = %t", aware))
		o.Transport = server.Transport()
		h.ResetRequests()
		status, body, err := get(t, newClient(t, o), server.URL())
		ok(t, status, body, err)
		if last := h.Requests()[1]; last.Caller.Aware != aware || !last.Caller.Bound {
			t.Errorf("%+v", last.Caller)
		}
	}
}
