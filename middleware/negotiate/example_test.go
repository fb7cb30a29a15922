package negotiate_test

import (
	"fmt"
	"net/http"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

func ExampleNew() {
	// In earnest, an initiator of package kerberos and a real transport.
	initiator := new(stagetest.Initiator)
	server := stagetest.NewNegotiating()

	client := &http.Client{Transport: kerbchain.Wrap(
		kerbchain.Next(server.Next),
		negotiate.New(initiator, negotiate.Options{}),
	)}
	resp, err := client.Get("http://intranet.example/report")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	for i, r := range server.Requests() {
		fmt.Printf("request %d: %q\n", i+1, r.Auth)
	}
	// Output:
	// 200 OK
	// request 1: ""
	// request 2: "Negotiate client-1"
}
