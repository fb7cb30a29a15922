package fakekdc_test

import (
	"crypto/x509"
	"fmt"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"

	"github.com/kerbchain/kerbchain/fakekdc"
)

func ExampleRealm_Handler() {
	realm := newRealm()
	defer realm.Close()
	service := realm.Handler("HTTP/localhost", fakekdc.WebOptions{Next: http.NotFoundHandler()})
	server := realm.Serve(service, fakekdc.ServerOptions{})
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
	service := realm.Handler("HTTP/localhost", fakekdc.WebOptions{})
	server := realm.Serve(service, fakekdc.ServerOptions{})
	fmt.Println(get(realm, server.URL()))
	service.SetQuirks(fakekdc.Quirks{Token: fakekdc.TokenForged})
	fmt.Println(get(realm, server.URL()))
	// Output:
	// 200 OK: hello alice@A.EXAMPLE
	// the client refused the answer
}

// trial fetches a page from a service with quirks.
func trial(q fakekdc.Quirks) string {
	realm := newRealm()
	defer realm.Close()
	server := realm.Serve(realm.Handler("HTTP/localhost", fakekdc.WebOptions{Quirks: q}), fakekdc.ServerOptions{})
	return get(realm, server.URL())
}

func ExampleQuirks() {
	fmt.Println(trial(fakekdc.Quirks{Token: fakekdc.TokenReplayed}))
	fmt.Println(trial(fakekdc.Quirks{Reject: true})[:3])
	fmt.Println(trial(fakekdc.Quirks{Raw: true}))
	// Output:
	// the client refused the answer
	// 401
	// 200 OK: hello alice@A.EXAMPLE
}

func ExampleChallenges() {
	for _, name := range slices.Sorted(maps.Keys(fakekdc.Challenges())) {
		if got := trial(fakekdc.Quirks{Challenge: fakekdc.Challenges()[name]}); got != "200 OK: hello alice@A.EXAMPLE" {
			fmt.Println(name, got)
		}
	}
	fmt.Println(fakekdc.Challenges()["quoted decoy"])
	// Output: [Basic realm="a, Negotiate b", Negotiate]
}

func ExampleHugeChallenge() {
	lines := fakekdc.HugeChallenge(64 << 10)
	fmt.Println(len(lines), len(lines[0]))
	// Output: 1 65546
}

func ExampleBrokenChallenge() {
	fmt.Println(fakekdc.BrokenChallenge())
	// Output: [Negotiate ~~~not~base64~~~]
}

func ExampleOnErrors() {
	fmt.Println(trial(fakekdc.Quirks{TokenOn: fakekdc.OnErrors}))
	// Output: the client refused the answer
}

func ExampleOnSuccess() {
	fmt.Println(trial(fakekdc.Quirks{TokenOn: fakekdc.OnSuccess}))
	// Output: 200 OK: hello alice@A.EXAMPLE
}

func ExampleCallerOf() {
	realm := newRealm()
	defer realm.Close()
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, ok := fakekdc.CallerOf(r.Context())
		fmt.Fprintln(w, caller.Name, caller.Service, caller.Mutual, ok)
	})
	server := realm.Serve(realm.Handler("", fakekdc.WebOptions{Next: next}), fakekdc.ServerOptions{})
	fmt.Println(get(realm, server.URL()))
	// Output: 200 OK: alice@A.EXAMPLE HTTP/localhost@A.EXAMPLE true true
}

func ExampleConnContext() {
	realm := newRealm()
	defer realm.Close()
	server := httptest.NewUnstartedServer(realm.Handler("HTTP/localhost", fakekdc.WebOptions{ConnectionBound: true}))
	server.Config.ConnContext = fakekdc.ConnContext
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
	proxy := realm.Serve(realm.Handler("HTTP/localhost", fakekdc.WebOptions{Proxy: true, Next: fakekdc.ForwardProxy()}), fakekdc.ServerOptions{})
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

func ExampleNewServer() {
	server, err := fakekdc.NewServer(http.NotFoundHandler(), fakekdc.ServerOptions{
		Host: "web.example", TLS: true, Signature: x509.ECDSAWithSHA384,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	transport := server.Transport()
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(server.URL())
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode, server.Certificate().SignatureAlgorithm, server.Connections())
	// Output: 404 ECDSA-SHA384 1
}
