package client_test

import (
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
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
)

// clientCertificates returns certificates of clients by one authority, and the authority.
func clientCertificates(names ...string) (*x509.CertPool, map[string]tls.Certificate) {
	must := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	issue := func(serial int64, name string, ca bool, by *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
			IsCA: ca, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		if by == nil {
			by, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, signer)
		must(err)
		cert, err := x509.ParseCertificate(der)
		must(err)
		return cert, key
	}
	authority, signer := issue(1, "authority", true, nil, nil)
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	out := make(map[string]tls.Certificate)
	for i, name := range names {
		cert, key := issue(int64(2+i), name, false, authority, signer)
		out[name] = tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
	}
	return pool, out
}

// A gateway knows its users by their certificates, in mutual TLS, and calls the server
// behind it as each of them. The KDC says whose a certificate is; that it is genuine, and
// that the visitor holds its key, the gateway must have verified.
func ExampleNewTransport_actingForCertificates() {
	authority, certificates := clientCertificates("alice", "mallory")
	realm, err := fakekdc.New(
		fakekdc.WithRealm("A.EXAMPLE"), fakekdc.WithUser("alice", "secret", fakekdc.Certificate(certificates["alice"].Leaf.Raw)), fakekdc.WithService("HTTP/localhost"),
		fakekdc.WithService("HTTP/gateway", fakekdc.TrustedToAuth(), fakekdc.AllowedToDelegateTo("HTTP/localhost")))
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	behind := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{}), fakeweb.ServerOptions{})
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	keytab := filepath.Join(dir, "gateway.keytab")
	if err := os.WriteFile(keytab, realm.Keytab("HTTP/gateway"), 0o600); err != nil {
		log.Fatal(err)
	}

	service, err := kerberos.FromKeytab(keytab, kerberos.SourceOptions{
		Principal: "HTTP/gateway", Krb5ConfText: realm.Config(), // Principal alone in earnest
	})
	if err != nil {
		log.Fatal(err)
	}
	rt, err := client.NewTransport(client.Options{Source: kerberos.NewImpersonator(service)})
	if err != nil {
		log.Fatal(err)
	}
	defer (&http.Client{Transport: rt}).CloseIdleConnections()
	upstream, err := url.Parse(behind.URL())
	if err != nil {
		log.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Transport: rt,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.Out.Header.Del("Authorization")
			r.Out.Header.Del("Cookie")
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, "not for you", http.StatusForbidden)
		},
	}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visitor := r.TLS.VerifiedChains[0][0] // of RequireAndVerifyClientCert
		proxy.ServeHTTP(w, r.WithContext(kerberos.AsCertificate(r.Context(), visitor.Raw)))
	}))
	front.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority}
	front.StartTLS()
	defer front.Close()

	for _, name := range []string{"alice", "mallory"} {
		visitor := front.Client().Transport.(*http.Transport).Clone()
		visitor.TLSClientConfig.Certificates = []tls.Certificate{certificates[name]}
		resp, err := (&http.Client{Transport: visitor}).Get(front.URL)
		if err != nil {
			log.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		visitor.CloseIdleConnections()
		fmt.Printf("%d %s", resp.StatusCode, b)
	}
	// Output:
	// 200 hello alice@A.EXAMPLE
	// 403 not for you
}
