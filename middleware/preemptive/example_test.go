package preemptive_test

import (
	"fmt"
	"net/http"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// get sends a request for each URL through the stages to a server that
// challenges, and prints what arrives there.
func get(stage kerbchain.Middleware, urls ...string) {
	server := stagetest.NewNegotiating()
	client := &http.Client{Transport: kerbchain.Wrap(kerbchain.Next(server.Next), stage)}
	for _, url := range urls {
		resp, err := client.Get(url)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
	}
	for _, r := range server.Requests() {
		fmt.Printf("%s %q\n", r.URL, r.Auth)
	}
}

func ExampleNew() {
	// In earnest, an initiator of package kerberos.
	initiator := new(stagetest.Initiator)

	get(kerbchain.Chain(
		preemptive.New(initiator, preemptive.Learned(), preemptive.Options{}),
		negotiate.New(initiator, negotiate.Options{}),
	), "http://a.example/1", "http://a.example/2")
	// Output:
	// http://a.example/1 ""
	// http://a.example/1 "Negotiate client-1"
	// http://a.example/2 "Negotiate client-2"
}

func ExampleAlways() {
	initiator := new(stagetest.Initiator)

	get(preemptive.New(initiator, preemptive.Always(), preemptive.Options{}),
		"http://a.example/", "http://b.example/")
	// Output:
	// http://a.example/ "Negotiate client-1"
	// http://b.example/ "Negotiate client-2"
}

func ExampleHosts() {
	initiator := new(stagetest.Initiator)
	policy := preemptive.Hosts("*.corp.example", "intranet:8080")

	get(preemptive.New(initiator, policy, preemptive.Options{}),
		"http://wiki.corp.example/", "http://intranet:8080/", "http://intranet/", "http://evilcorp.example/")
	// Output:
	// http://wiki.corp.example/ "Negotiate client-1"
	// http://intranet:8080/ "Negotiate client-2"
	// http://intranet/ ""
	// http://evilcorp.example/ ""
}

func ExampleLearned() {
	initiator := new(stagetest.Initiator)

	get(kerbchain.Chain(
		preemptive.New(initiator, preemptive.Learned(), preemptive.Options{}),
		negotiate.New(initiator, negotiate.Options{}),
	), "http://a.example/", "http://b.example/", "http://b.example/")
	// Output:
	// http://a.example/ ""
	// http://a.example/ "Negotiate client-1"
	// http://b.example/ ""
	// http://b.example/ "Negotiate client-2"
	// http://b.example/ "Negotiate client-3"
}
