package fakekdc_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
)

// A whole test without a socket: the KDC, the web service, its TLS and its channel
// bindings are all within the process, and hosts may have any name.
func ExampleWithoutSockets() {
	realm := newRealm(fakekdc.WithoutSockets(), fakekdc.WithService("HTTP/app.example"))
	defer realm.Close()
	service := realm.Handler("HTTP/app.example", fakekdc.WebOptions{Bindings: fakekdc.BindingsRequired})
	server := realm.ServeMemory(service, fakekdc.ServerOptions{Host: "app.example", TLS: true, HTTP2: true})

	c := clienttest.New(nil, realm, "alice", client.Options{Transport: server.Transport()})
	defer c.CloseIdleConnections()
	fmt.Println(page(c, "https://app.example/"))
	fmt.Println(service.Statuses())
	// Output:
	// 200 hello alice@A.EXAMPLE
	// [401 200]
}

func ExampleRealm_Dial() {
	realm := newRealm(fakekdc.WithoutSockets())
	defer realm.Close()
	tickets, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal: "alice", Krb5ConfText: realm.Config(), Now: realm.Now,
		Dial: realm.Dial,
	})
	if err != nil {
		log.Fatal(err)
	}
	ticket, err := tickets.ServiceTicket(context.Background(), "HTTP/localhost")
	fmt.Println(ticket.Client(), err)
	// Output: alice@A.EXAMPLE <nil>
}

func ExampleRealm_ServeMemory() {
	realm := newRealm(fakekdc.WithoutSockets())
	defer realm.Close()
	server := realm.ServeMemory(realm.Handler("HTTP/localhost", fakekdc.WebOptions{}), fakekdc.ServerOptions{})
	c := clienttest.New(nil, realm, "alice", client.Options{Transport: server.Transport()})
	defer c.CloseIdleConnections()
	fmt.Println(server.URL(), page(c, server.URL()))
	// Output: http://localhost 200 hello alice@A.EXAMPLE
}

func ExampleNewMemoryServer() {
	server, err := fakekdc.NewMemoryServer(http.NotFoundHandler(), fakekdc.ServerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	c := &http.Client{Transport: server.Transport()}
	defer c.CloseIdleConnections()
	fmt.Println(page(c, "http://whatever.example/"))
	// Output: 404 404 page not found
}

func ExampleMemoryServer_URL() {
	server, err := fakekdc.NewMemoryServer(http.NotFoundHandler(), fakekdc.ServerOptions{Host: "app.example", TLS: true})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	fmt.Println(server.URL())
	// Output: https://app.example
}

func ExampleMemoryServer_Transport() {
	server, err := fakekdc.NewMemoryServer(http.NotFoundHandler(), fakekdc.ServerOptions{TLS: true, HTTP2: true})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	transport := server.Transport()
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(httptest.NewRequest(http.MethodGet, server.URL(), nil))
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Proto, server.Connections(), "connection")
	// Output: HTTP/2.0 1 connection
}

// A transport of one's own connects with Dial.
func ExampleMemoryServer_Dial() {
	server, err := fakekdc.NewMemoryServer(http.NotFoundHandler(), fakekdc.ServerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	c := &http.Client{Transport: &http.Transport{DialContext: server.Dial, DisableKeepAlives: true}}
	fmt.Println(page(c, server.URL()))
	server.Close()
	_, err = server.Dial(context.Background(), "tcp", "localhost:80")
	fmt.Println(errors.Is(err, syscall.ECONNREFUSED))
	// Output:
	// 404 404 page not found
	// true
}

func ExampleNewServerOn() {
	lis, err := net.Listen("tcp", "127.0.0.1:0") // or at a certain port
	if err != nil {
		log.Fatal(err)
	}
	server, err := fakekdc.NewServerOn(lis, http.NotFoundHandler(), fakekdc.ServerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	fmt.Println(server.Addr() == lis.Addr().String())
	// Output: true
}

func ExampleContextWithCaller() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := fakekdc.CallerOf(r.Context())
		fmt.Fprint(w, "hello ", caller.Name)
	})
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	ctx := fakekdc.ContextWithCaller(req.Context(), fakekdc.Caller{Name: "alice@A.EXAMPLE"})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, req.WithContext(ctx))
	fmt.Println(w.Body)
	// Output: hello alice@A.EXAMPLE
}
