package client_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
)

// A web application passes on its callers' requests as the callers, with the tickets that
// they presented to it, by S4U2Proxy alone: it may not name users by itself. Whatever
// accepts callers in earnest gives the ticket of the AP-REQ that it has verified.
func ExampleNew_actingForCallers() {
	realm, err := fakekdc.New(
		fakekdc.WithRealm("A.EXAMPLE"), fakekdc.WithUser("alice", "secret"), fakekdc.WithUser("bob", "other"), fakekdc.WithService("HTTP/archive.example"),
		fakekdc.WithService("HTTP/localhost", fakekdc.AllowedToDelegateTo("HTTP/archive.example")))
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	behind := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/archive.example", fakeweb.Options{}), fakeweb.ServerOptions{Host: "archive.example"})
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	keytab := filepath.Join(dir, "app.keytab")
	if err := os.WriteFile(keytab, realm.Keytab("HTTP/localhost"), 0o600); err != nil {
		log.Fatal(err)
	}

	service, err := kerberos.FromKeytab(keytab, kerberos.SourceOptions{
		Principal: "HTTP/localhost", Krb5ConfText: realm.Config(), // Principal alone in earnest
	})
	if err != nil {
		log.Fatal(err)
	}
	onward, err := client.New(client.Options{Source: kerberos.NewImpersonator(service), Transport: behind.Transport()})
	if err != nil {
		log.Fatal(err)
	}
	defer onward.CloseIdleConnections()
	app := fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := kerberos.AsCaller(r.Context(), fakeweb.TicketOf(r.Context()))
		again, err := http.NewRequestWithContext(ctx, http.MethodGet, behind.URL(), nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		resp, err := onward.Do(again)
		if err != nil {
			http.Error(w, "the archive does not answer", http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		fmt.Fprint(w, "the archive says: ")
		io.Copy(w, resp.Body)
	})})
	front := fakeweb.Serve(realm, app, fakeweb.ServerOptions{})

	for _, user := range []string{"alice", "bob"} {
		c := clienttest.New(nil, realm, user, client.Options{})
		resp, err := c.Get(front.URL())
		if err != nil {
			log.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		c.CloseIdleConnections()
		fmt.Printf("%d %s", resp.StatusCode, b)
	}
	// Output:
	// 200 the archive says: hello alice@A.EXAMPLE
	// 200 the archive says: hello bob@A.EXAMPLE
}
