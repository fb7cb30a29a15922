package fakekdc_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/middleware"
)

// winRM sends messages to an endpoint and prints what comes back. Between them it
// does what is wanted.
func winRM(o fakekdc.WinRMOptions, between func(*fakekdc.WinRM)) {
	realm := newRealm()
	defer realm.Close()
	endpoint := realm.WinRM("HTTP/localhost", o)
	server := realm.Serve(endpoint, fakekdc.ServerOptions{})
	c, err := client.NewWinRM(client.WinRMOptions{Resend: true, Options: client.Options{Source: source(realm, "alice", "secret"), Transport: server.Transport()}})
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
func ExampleRealm_WinRM() {
	winRM(fakekdc.WinRMOptions{Answer: func(c fakekdc.Caller, soap []byte) (int, []byte) {
		return http.StatusInternalServerError, []byte("<Fault>" + c.Name + "</Fault>")
	}}, func(*fakekdc.WinRM) {})
	// Output:
	// 500 <Fault>alice@A.EXAMPLE</Fault>
	// 500 <Fault>alice@A.EXAMPLE</Fault>
	// - alice@A.EXAMPLE true 36 500
	// - alice@A.EXAMPLE true 36 500
}

// After a while servers forget who a connection belongs to.
func ExampleWinRM_Forget() {
	winRM(fakekdc.WinRMOptions{}, (*fakekdc.WinRM).Forget)
	// Output:
	// 200 <one/><one/><one/><one/><one/><one/>
	// 200 <two/><two/><two/><two/><two/><two/>
	// - alice@A.EXAMPLE true 36 200
	// - alice@A.EXAMPLE true 36 200
}

// Someone on the way answers with what was sent before.
func ExampleForgeries() {
	winRM(fakekdc.WinRMOptions{}, func(w *fakekdc.WinRM) { w.SetForgery(fakekdc.Forgeries()["replayed"]) })
	// Output:
	// 200 <one/><one/><one/><one/><one/><one/>
	// refused: replayed message
	// - alice@A.EXAMPLE true 36 200
	// - alice@A.EXAMPLE true 36 200
}

// A server drops an answer, and sends one of its own.
func ExampleWinRM_SetForgery() {
	winRM(fakekdc.WinRMOptions{}, func(w *fakekdc.WinRM) {
		w.SetForgery(func(a *fakekdc.SealedAnswer) {
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
	winRM(fakekdc.WinRMOptions{}, func(w *fakekdc.WinRM) {
		w.SetForgery(func(a *fakekdc.SealedAnswer) {
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
