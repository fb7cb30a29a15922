package fakeweb_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net/http"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
)

// behindProxy runs a proxy, and a server with a certificate behind it.
func behindProxy(realm *fakekdc.Realm, w fakeweb.Options) (*fakeweb.Proxy, *fakeweb.Server) {
	proxy := fakeweb.ServeProxy(realm, "HTTP/localhost", w, fakeweb.ServerOptions{})
	server := fakeweb.Serve(realm, http.NotFoundHandler(), fakeweb.ServerOptions{Host: "app.example", TLS: true})
	return proxy, server
}

// fetch asks without credentials and says what came of it.
func fetch(p *fakeweb.Proxy, s *fakeweb.Server) string {
	transport := p.Transport(s)
	defer transport.CloseIdleConnections()
	r, err := http.NewRequest(http.MethodGet, s.URL(), nil)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return err.Error()
	}
	resp.Body.Close()
	return resp.Status
}

func ExampleServeProxy() {
	realm := newRealm()
	defer realm.Close()
	proxy, server := behindProxy(realm, fakeweb.Options{})
	fmt.Println(proxy.URL().Hostname(), fetch(proxy, server))
	// Output: localhost Proxy Authentication Required
}

func ExampleProxy() {
	realm := newRealm()
	defer realm.Close()
	proxy, server := behindProxy(realm, fakeweb.Options{})
	proxy.SetQuirks(fakeweb.Quirks{Challenge: []string{"NTLM"}})
	fmt.Println(fetch(proxy, server))
	proxy.SetQuirks(fakeweb.Quirks{Before: fakeweb.ForwardProxy()})
	fmt.Println(fetch(proxy, server))
	// Output:
	// Proxy Authentication Required
	// 404 Not Found
}

func ExampleProxy_URL() {
	realm := newRealm()
	defer realm.Close()
	proxy, _ := behindProxy(realm, fakeweb.Options{})
	transport := &http.Transport{Proxy: http.ProxyURL(proxy.URL())}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://app.example/")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.StatusCode)
	// Output: 407
}

func ExampleProxy_DropTunnels() {
	realm := newRealm()
	defer realm.Close()
	proxy, server := behindProxy(realm, fakeweb.Options{Quirks: fakeweb.Quirks{Before: fakeweb.ForwardProxy()}})
	transport := proxy.Transport(server)
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for range 2 {
		resp, err := client.Get(server.URL())
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		proxy.DropTunnels() // the second request opens another one
	}
	fmt.Println(proxy.Tunnels())
	// Output: 2
}

func ExampleProxy_Transport() {
	realm := newRealm()
	defer realm.Close()
	proxy, server := behindProxy(realm, fakeweb.Options{Quirks: fakeweb.Quirks{Before: fakeweb.ForwardProxy()}})
	transport := proxy.Transport(server)
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(server.URL())
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status, server.Connections())
	// Output: 404 Not Found 1
}

// Clients find it by what realm.ConfigWithKDCProxy says.
func ExampleKDCProxy() {
	realm := newRealm()
	defer realm.Close()
	proxy := fakeweb.Serve(realm, fakeweb.KDCProxy(realm), fakeweb.ServerOptions{TLS: true})
	tickets, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal: "alice", Krb5ConfText: realm.ConfigWithKDCProxy(proxy.URL()+"/KdcProxy", ""),
		ProxyTLS: &tls.Config{RootCAs: proxy.CertPool()},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err = tickets.ServiceTicket(context.Background(), "HTTP/localhost"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(realm.Exchanges()[2])
	// Output: TGS/kkdcp alice@A.EXAMPLE for HTTP/localhost@A.EXAMPLE: aes256-cts-hmac-sha1-96
}
