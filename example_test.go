package kerbchain_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/kerbchain/kerbchain"
)

// telling is a stage that tells what passes it.
func telling(name string) kerbchain.Middleware {
	return func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			fmt.Println(name+" stage: before", r.Method)
			resp, err := next(r)
			if err != nil {
				return nil, err
			}
			fmt.Println(name+" stage: after", resp.StatusCode)
			return resp, nil
		}
	}
}

// hello stands for a transport.
func hello(r *http.Request) (*http.Response, error) {
	fmt.Println("sent")
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("hello")), Request: r}, nil
}

// send sends one request and closes the response.
func send(rt http.RoundTripper, url string) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := rt.RoundTrip(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := resp.Body.Close(); err != nil {
		fmt.Println(err)
	}
}

// The first stage is outermost.
func ExampleChain() {
	chain := kerbchain.Chain(telling("outer"), telling("inner"))
	send(chain(hello), "http://www.example.com/")
	// Output:
	// outer stage: before GET
	// inner stage: before GET
	// sent
	// inner stage: after 200
	// outer stage: after 200
}

// Stages that are switched off can be nil, and chains hold chains.
func ExampleChain_nested() {
	var off kerbchain.Middleware
	judging := kerbchain.Chain(telling("first"), off, telling("second"))
	send(kerbchain.Chain(judging, telling("third"))(hello), "http://www.example.com/")
	// Output:
	// first stage: before GET
	// second stage: before GET
	// third stage: before GET
	// sent
	// third stage: after 200
	// second stage: after 200
	// first stage: after 200
}

// A client sends through the stages, and its transport's idle connections can
// still be closed through it.
func ExampleWrap() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello")
	}))
	defer server.Close()

	client := &http.Client{Transport: kerbchain.Wrap(&http.Transport{}, telling("outer"), telling("inner"))}
	defer client.CloseIdleConnections()
	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%s %v\n", body, err)
	// Output:
	// outer stage: before GET
	// inner stage: before GET
	// inner stage: after 200
	// outer stage: after 200
	// hello <nil>
}

// A stage can be kept to some hosts.
func ExampleWhen() {
	intranet := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Hostname(), ".corp.example.com") }
	next := kerbchain.When(intranet, telling("intranet"))(hello)
	send(next, "http://www.example.com/")
	send(next, "http://wiki.corp.example.com/")
	// Output:
	// sent
	// intranet stage: before GET
	// sent
	// intranet stage: after 200
}

// agent is a transport in the form in which other libraries ship theirs.
type agent struct{ base http.RoundTripper }

func (a agent) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", "example/1.0")
	return a.base.RoundTrip(r)
}

// A transport of another library becomes a stage among ours.
func ExampleAdapt() {
	foreign := kerbchain.Adapt(func(base http.RoundTripper) http.RoundTripper { return agent{base} })
	chain := kerbchain.Chain(telling("outer"), foreign)
	send(chain(func(r *http.Request) (*http.Response, error) {
		fmt.Println("sent by", r.UserAgent())
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
	}), "http://www.example.com/")
	// Output:
	// outer stage: before GET
	// sent by example/1.0
	// outer stage: after 200
}

// A stage of one's own is a function. It clones a request before it changes it.
func ExampleMiddleware() {
	var accept kerbchain.Middleware = func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Header.Set("Accept", "application/json")
			return next(r)
		}
	}
	send(accept(func(r *http.Request) (*http.Response, error) {
		fmt.Println("wants", r.Header.Get("Accept"))
		return hello(r)
	}), "http://www.example.com/")
	// Output:
	// wants application/json
	// sent
}
