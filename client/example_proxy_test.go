package client_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/tunnel"
)

// behindProxy is an intranet whose server is reached by https through a proxy
// that authenticates to localhost.
func behindProxy(o fakeweb.Options) (*intranet, *fakeweb.Proxy) {
	in := newIntranet("HTTP/localhost", fakeweb.Options{})
	in.server = fakeweb.Serve(in.realm, in.web, fakeweb.ServerOptions{TLS: true})
	in.url = in.server.URL()
	p := fakeweb.ServeProxy(in.realm, "HTTP/localhost", o, fakeweb.ServerOptions{})
	in.options.Transport = p.Transport(in.server)
	return in, p
}

// Proxy and server each get a token of their own within one call. The options of
// the transport, or the environment, say where the proxy is.
func ExampleNew_proxy() {
	in, p := behindProxy(fakeweb.Options{})
	defer in.close()

	c, err := client.New(in.options)
	if err != nil {
		log.Fatal(err)
	}
	defer c.CloseIdleConnections()
	show(c.Get(in.url))
	fmt.Println("proxy:", p.Statuses(), "server:", in.web.Statuses())
	// Output:
	// 200 hello alice@EXAMPLE.COM
	// proxy: [407 200] server: [401 200]
}

// No proxy gets a token that is not listed, and none opens a tunnel that does
// not prove itself.
func ExampleOptions_proxy() {
	in, p := behindProxy(fakeweb.Options{})
	defer in.close()
	o := in.options
	o.ForProxy = &kerberos.InitiatorOptions{AllowedHosts: []string{"proxy.corp.example"}}
	o.Tunnel = tunnel.Options{Proof: tunnel.ProofRequired}

	c, err := client.New(o)
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.Get(in.url)
	if e, ok := errors.AsType[*tunnel.ConnectError](err); ok {
		fmt.Println(e.Status, http.StatusText(e.Status), e.Signed)
	}
	fmt.Println(len(p.Connects()), p.Tunnels(), len(in.web.Requests()))
	// Output:
	// 407 Proxy Authentication Required false
	// 1 0 0
}
