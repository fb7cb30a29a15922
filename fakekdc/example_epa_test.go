package fakekdc_test

import (
	"crypto/tls"
	"fmt"
	"log"
	"net/http"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
)

// A server in the manner of IIS authenticates connections, and wants it again
// when its session has ended.
func ExampleHandler_ForgetConnections() {
	realm := newRealm()
	defer realm.Close()
	service := realm.Handler("HTTP/localhost", fakekdc.WebOptions{ConnectionBound: true, SignalPersistent: true})
	server := realm.Serve(service, fakekdc.ServerOptions{})
	c, err := client.New(client.Options{Source: source(realm, "alice", "secret"), TrustConnection: true})
	if err != nil {
		log.Fatal(err)
	}
	defer c.CloseIdleConnections()
	for n := range 4 {
		if n == 2 {
			service.ForgetConnections()
		}
		resp, err := c.Head(server.URL())
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
	}
	fmt.Println(service.Statuses(), server.Connections())
	// Output:
	// [401 200 200 401 200 200] 1
}

// Extended Protection: who sends no bindings is refused.
func ExampleBindings() {
	realm := newRealm()
	defer realm.Close()
	service := realm.Handler("HTTP/localhost", fakekdc.WebOptions{Bindings: fakekdc.BindingsRequired})
	server := realm.Serve(service, fakekdc.ServerOptions{TLS: true})
	for _, mode := range []kerberos.Bindings{kerberos.BindingsAuto, kerberos.BindingsOff} {
		c, err := client.New(client.Options{
			Source: source(realm, "alice", "secret"), Bindings: mode,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: server.CertPool()}},
		})
		if err != nil {
			log.Fatal(err)
		}
		resp, err := c.Get(server.URL())
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		c.CloseIdleConnections()
		last := service.Requests()[len(service.Requests())-1]
		fmt.Printf("%s, bound %t, %q\n", resp.Status, last.Caller.Bound, last.Reason)
	}
	// Output:
	// 200 OK, bound true, ""
	// 401 Unauthorized, bound false, "channel bindings required"
}
