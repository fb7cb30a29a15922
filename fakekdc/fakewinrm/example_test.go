package fakewinrm_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
	"github.com/kerbchain/kerbchain/middleware"
)

// winRM sends messages to an endpoint and prints what comes back. Between them it
// does what is wanted.
func winRM(o fakewinrm.Options, between func(*fakewinrm.Endpoint)) {
	realm, err := fakekdc.New(fakekdc.WithRealm("A.EXAMPLE"), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	endpoint := fakewinrm.New(realm, "HTTP/localhost", o)
	server := fakeweb.Serve(realm, endpoint, fakeweb.ServerOptions{})
	c, err := client.NewWinRM(client.WinRMOptions{Resend: true, Options: clienttest.Options(nil, realm, "alice", client.Options{Transport: server.Transport()})})
	if err != nil {
		log.Fatal(err)
	}
	defer c.CloseIdleConnections()
	for _, message := range []string{strings.Repeat("<one/>", 6), strings.Repeat("<two/>", 6)} {
		resp, err := c.Post(server.URL()+"/wsman", "application/soap+xml;charset=UTF-8", strings.NewReader(message))
		var refused *middleware.Error
		if errors.As(err, &refused) {
			fmt.Println("refused:", refused.Reason)
			continue
		} else if err != nil {
			log.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		fmt.Println(resp.StatusCode, string(b))
		between(endpoint)
	}
	for _, m := range endpoint.Messages() {
		fmt.Println("-", m.Caller, m.Sealed, m.Size, m.Status)
	}
}

// An endpoint that answers each message with a fault.
func ExampleNew() {
	winRM(fakewinrm.Options{Answer: func(c fakekdc.Caller, soap []byte) (int, []byte) {
		return http.StatusInternalServerError, []byte("<Fault>" + c.Name + "</Fault>")
	}}, func(*fakewinrm.Endpoint) {})
	// Output:
	// 500 <Fault>alice@A.EXAMPLE</Fault>
	// 500 <Fault>alice@A.EXAMPLE</Fault>
	// - alice@A.EXAMPLE true 36 500
	// - alice@A.EXAMPLE true 36 500
}

// After a while servers forget who a connection belongs to.
func ExampleEndpoint_Forget() {
	winRM(fakewinrm.Options{}, (*fakewinrm.Endpoint).Forget)
	// Output:
	// 200 <one/><one/><one/><one/><one/><one/>
	// 200 <two/><two/><two/><two/><two/><two/>
	// - alice@A.EXAMPLE true 36 200
	// - alice@A.EXAMPLE true 36 200
}

// Someone on the way answers with what was sent before.
func ExampleForgeries() {
	winRM(fakewinrm.Options{}, func(w *fakewinrm.Endpoint) { w.SetForgery(fakewinrm.Forgeries()["replayed"]) })
	// Output:
	// 200 <one/><one/><one/><one/><one/><one/>
	// refused: replayed message
	// - alice@A.EXAMPLE true 36 200
	// - alice@A.EXAMPLE true 36 200
}

// A server drops an answer, and sends one of its own.
func ExampleEndpoint_SetForgery() {
	winRM(fakewinrm.Options{}, func(w *fakewinrm.Endpoint) {
		w.SetForgery(func(a *fakewinrm.SealedAnswer) {
			body, err := a.Seal(append([]byte("not "), a.Plain()...))
			if err != nil {
				log.Fatal(err)
			}
			a.Body = body
		})
	})
	// Output:
	// 200 <one/><one/><one/><one/><one/><one/>
	// refused: message out of order
	// - alice@A.EXAMPLE true 36 200
	// - alice@A.EXAMPLE true 36 200
}

// What there is to forge with.
func ExampleSealedAnswer() {
	winRM(fakewinrm.Options{}, func(w *fakewinrm.Endpoint) {
		w.SetForgery(func(a *fakewinrm.SealedAnswer) {
			fmt.Println(len(a.Plain()), len(a.Request()) == len(a.Body), len(a.Earlier()) == len(a.Body))
			a.Body = a.Request()
		})
	})
	// Output:
	// 200 <one/><one/><one/><one/><one/><one/>
	// 36 true true
	// refused: message of our own
	// - alice@A.EXAMPLE true 36 200
	// - alice@A.EXAMPLE true 36 200
}
