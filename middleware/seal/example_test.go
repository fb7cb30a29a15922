package seal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

// newEndpoint starts a realm with a WinRM endpoint that echoes, for the examples.
func newEndpoint() (realm *fakekdc.Realm, endpoint *fakewinrm.Endpoint, server *fakeweb.Server, in middleware.Initiator) {
	realm, err := fakekdc.New(fakekdc.WithRealm("EXAMPLE.COM"), fakekdc.WithEtypes(fakekdc.AES256SHA1),
		fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	if err != nil {
		log.Fatal(err)
	}
	endpoint = fakewinrm.New(realm, "HTTP/localhost", fakewinrm.Options{})
	source, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal: "alice", Krb5ConfText: realm.Config(), Getenv: func(string) string { return "" },
	})
	if err != nil {
		log.Fatal(err)
	}
	if in, err = kerberos.NewInitiator(source, kerberos.InitiatorOptions{}); err != nil {
		log.Fatal(err)
	}
	return realm, endpoint, fakeweb.Serve(realm, endpoint, fakeweb.ServerOptions{}), in
}

func show(resp *http.Response, err error) {
	if err != nil {
		var e *middleware.Error
		if errors.As(err, &e) {
			err = fmt.Errorf("%s: %s", e.Stage, e.Reason)
		}
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.StatusCode, string(b))
}

// A chain over a transport with one connection. What client.NewWinRM makes has
// several of them.
func ExampleNew() {
	realm, endpoint, server, in := newEndpoint()
	defer realm.Close()

	transport := &http.Transport{MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	auth := kerbchain.Chain(
		mutual.New(mutual.Options{}),
		preemptive.New(in, preemptive.Always(), preemptive.Options{}),
		negotiate.New(in, negotiate.Options{}),
	)
	c := &http.Client{Transport: kerbchain.Wrap(transport, mutual.New(mutual.Options{}), seal.New(auth, seal.Options{}))}

	const soap = "application/soap+xml;charset=UTF-8"
	show(c.Post(server.URL()+"/wsman", soap, strings.NewReader("<Envelope/>")))
	show(c.Post(server.URL()+"/wsman", soap, strings.NewReader("<Envelope/>")))

	endpoint.SetForgery(fakewinrm.Forgeries()["replayed"])
	show(c.Post(server.URL()+"/wsman", soap, strings.NewReader("<Envelope/>")))
	fmt.Println(endpoint.Messages()[0].Sealed, server.Connections())
	// Output:
	// 200 <Envelope/>
	// 200 <Envelope/>
	// seal: replayed message
	// true 1
}

// A connection that is opened by hand is one that cannot change.
func ExampleNew_clientConn() {
	realm, _, server, in := newEndpoint()
	defer realm.Close()

	connection, err := new(http.Transport).NewClientConn(context.Background(), "http", server.Addr())
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	auth := kerbchain.Chain(mutual.New(mutual.Options{}), negotiate.New(in, negotiate.Options{}))
	c := &http.Client{Transport: kerbchain.Wrap(connection, seal.New(auth, seal.Options{}))}
	for range 2 {
		show(c.Post(server.URL()+"/wsman", "application/soap+xml", strings.NewReader("<Envelope/>")))
	}
	// Output:
	// 200 <Envelope/>
	// 200 <Envelope/>
}
