package fakeweb_test

import (
	"crypto/tls"
	"fmt"
	"log"
	"net/http"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
)

// A server in the manner of IIS authenticates connections, and wants it again
// when its session has ended.
func ExampleHandler_ForgetConnections() {
	realm := newRealm()
	defer realm.Close()
	service := fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{ConnectionBound: true, SignalPersistent: true})
	server := fakeweb.Serve(realm, service, fakeweb.ServerOptions{})
	c := clienttest.New(nil, realm, "alice", client.Options{TrustConnection: true})
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
	service := fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{Bindings: fakekdc.BindingsRequired})
	server := fakeweb.Serve(realm, service, fakeweb.ServerOptions{TLS: true})
	for _, mode := range []kerberos.Bindings{kerberos.BindingsAuto, kerberos.BindingsOff} {
		c := clienttest.New(nil, realm, "alice", client.Options{
			Bindings: mode, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: server.CertPool()}},
		})
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
