package fakeweb_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"syscall"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

func ExampleNew() {
	realm := newRealm()
	defer realm.Close()
	service := fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{Next: http.NotFoundHandler()})
	server := fakeweb.Serve(realm, service, fakeweb.ServerOptions{})
	fmt.Println(get(realm, server.URL()+"/page"))
	for _, r := range service.Requests() {
		fmt.Println(r.Method, r.URI, r.Status, r.Caller.Name, r.Proved)
	}
	// Output:
	// 404 Not Found: 404 page not found
	// GET /page 401  false
	// GET /page 404 alice@A.EXAMPLE true
}

func ExampleHandler_SetQuirks() {
	realm := newRealm()
	defer realm.Close()
	service := fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{})
	server := fakeweb.Serve(realm, service, fakeweb.ServerOptions{})
	fmt.Println(get(realm, server.URL()))
	service.SetQuirks(fakeweb.Quirks{Proof: fakeweb.ProofForged})
	fmt.Println(get(realm, server.URL()))
	// Output:
	// 200 OK: hello alice@A.EXAMPLE
	// the client refused the answer
}

// trial fetches a page from a service with quirks.
func trial(q fakeweb.Quirks) string {
	realm := newRealm()
	defer realm.Close()
	server := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{Quirks: q}), fakeweb.ServerOptions{})
	return get(realm, server.URL())
}

func ExampleQuirks() {
	fmt.Println(trial(fakeweb.Quirks{Proof: fakeweb.ProofReplayed}))
	fmt.Println(trial(fakeweb.Quirks{Reject: true})[:3])
	fmt.Println(trial(fakeweb.Quirks{Raw: true}))
	// Output:
	// the client refused the answer
	// 401
	// 200 OK: hello alice@A.EXAMPLE
}

func ExampleChallenges() {
	for _, name := range slices.Sorted(maps.Keys(fakeweb.Challenges())) {
		if got := trial(fakeweb.Quirks{Challenge: fakeweb.Challenges()[name]}); got != "200 OK: hello alice@A.EXAMPLE" {
			fmt.Println(name, got)
		}
	}
	fmt.Println(fakeweb.Challenges()["quoted decoy"])
	// Output: [Basic realm="a, Negotiate b", Negotiate]
}

func ExampleCallerOf() {
	realm := newRealm()
	defer realm.Close()
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, ok := fakeweb.CallerOf(r.Context())
		fmt.Fprintln(w, caller.Name, caller.Service, caller.Mutual, ok)
	})
	server := fakeweb.Serve(realm, fakeweb.New(realm, "", fakeweb.Options{Next: next}), fakeweb.ServerOptions{})
	fmt.Println(get(realm, server.URL()))
	// Output: 200 OK: alice@A.EXAMPLE HTTP/localhost@A.EXAMPLE true true
}

func ExampleConnContext() {
	realm := newRealm()
	defer realm.Close()
	server := httptest.NewUnstartedServer(fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{ConnectionBound: true}))
	server.Config.ConnContext = fakeweb.ConnContext
	server.Start()
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(get(realm, "http://localhost:"+u.Port()))
	// Output: 200 OK: hello alice@A.EXAMPLE
}

func ExampleForwardProxy() {
	realm := newRealm()
	defer realm.Close()
	proxy := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{Proxy: true, Next: fakeweb.ForwardProxy()}), fakeweb.ServerOptions{})
	at, err := url.Parse(proxy.URL())
	if err != nil {
		log.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(at)}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(httptest.NewRequest("GET", "http://web.example/", nil))
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, resp.Header["Proxy-Authenticate"])
	// Output: 407 Proxy Authentication Required [Negotiate]
}

// A whole test without a socket: the KDC, the web service, its TLS and its channel
// bindings are all within the process, and hosts may have any name.
func Example_withoutSockets() {
	realm := newRealm(fakekdc.WithoutSockets(), fakekdc.WithService("HTTP/app.example"))
	defer realm.Close()
	service := fakeweb.New(realm, "HTTP/app.example", fakeweb.Options{Bindings: fakekdc.BindingsRequired})
	server := fakeweb.Serve(realm, service, fakeweb.ServerOptions{Host: "app.example", TLS: true, HTTP2: true, InMemory: true})

	c := clienttest.New(nil, realm, "alice", client.Options{Transport: server.Transport()})
	defer c.CloseIdleConnections()
	fmt.Println(page(c, "https://app.example/"))
	fmt.Println(service.Statuses())
	// Output:
	// 200 OK: hello alice@A.EXAMPLE
	// [401 200]
}

func ExampleServer_Transport() {
	server, err := fakeweb.NewServer(http.NotFoundHandler(), fakeweb.ServerOptions{TLS: true, HTTP2: true, InMemory: true})
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
func ExampleServer_Dial() {
	server, err := fakeweb.NewServer(http.NotFoundHandler(), fakeweb.ServerOptions{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	c := &http.Client{Transport: &http.Transport{DialContext: server.Dial, DisableKeepAlives: true}}
	fmt.Println(page(c, server.URL()))
	server.Close()
	_, err = server.Dial(context.Background(), "tcp", "localhost:80")
	fmt.Println(errors.Is(err, syscall.ECONNREFUSED))
	// Output:
	// 404 Not Found: 404 page not found
	// true
}

func ExampleContextWithCaller() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := fakeweb.CallerOf(r.Context())
		fmt.Fprint(w, "hello ", caller.Name)
	})
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	ctx := fakeweb.ContextWithCaller(req.Context(), fakekdc.Caller{Name: "alice@A.EXAMPLE"})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, req.WithContext(ctx))
	fmt.Println(w.Body)
	// Output: hello alice@A.EXAMPLE
}
