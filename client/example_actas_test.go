package client_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
)

// verifiedSubject stands for what verifies a JSON Web Token, and returns its subject.
func verifiedSubject(r *http.Request) (user string, ok bool) {
	subjects := map[string]string{"Bearer token-of-alice": "alice", "Bearer token-of-bob": "bob"}
	user, ok = subjects[r.Header.Get("Authorization")]
	return user, ok
}

// A gateway knows its users by tokens of another kind, and calls the server behind it as
// each of them. The KDC says where it may do so; the user is the application's word.
func ExampleNewTransport_actingForUsers() {
	realm, err := fakekdc.New(
		fakekdc.WithRealm("A.EXAMPLE"), fakekdc.WithUser("alice", "secret"), fakekdc.WithUser("bob", "other"), fakekdc.WithService("HTTP/localhost"),
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
	proxy := &httputil.ReverseProxy{Transport: rt, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(upstream)
		r.Out.Header.Del("Authorization") // it is for us
		r.Out.Header.Del("Cookie")
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, ok := verifiedSubject(r)
		if !ok {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r.WithContext(kerberos.AsUser(r.Context(), user)))
	}))
	defer front.Close()

	for _, token := range []string{"token-of-alice", "token-of-bob", "forged"} {
		r, err := http.NewRequest(http.MethodGet, front.URL, nil)
		if err != nil {
			log.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := front.Client().Do(r)
		if err != nil {
			log.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		fmt.Printf("%d %s", resp.StatusCode, b)
	}
	// Output:
	// 200 hello alice@A.EXAMPLE
	// 200 hello bob@A.EXAMPLE
	// 401 who are you?
}
