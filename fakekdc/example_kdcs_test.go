package fakekdc_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
)

// One KDC is down, and clients go to the other.
func ExampleRealm_AddKDC() {
	realm := newRealm()
	defer realm.Close()
	second := realm.AddKDC()
	realm.KDCs()[0].Close()
	fmt.Println(login(realm, "alice", "secret"))
	for _, e := range realm.Exchanges() {
		fmt.Println(e.Kind, e.KDC == second.Addr())
	}
	// Output:
	// ok
	// AS true
	// AS true
	// TGS true
}

func ExampleKDC_Pause() {
	realm := newRealm(fakekdc.WithKDCs(2))
	defer realm.Close()
	first := realm.KDCs()[0]
	first.Pause()
	// Over UDP clients wait for the first; with TCP they are told at once.
	s := source(realm, "alice", "secret", "udp_preference_limit = 1")
	_, err := s.ServiceTicket(context.Background(), "HTTP/localhost")
	fmt.Println(err == nil, len(realm.Exchanges()))
	// Output: true 3
}

func ExampleKDC_FailNext() {
	realm := newRealm(fakekdc.WithKDCs(2))
	defer realm.Close()
	first := realm.KDCs()[0]
	first.FailNext(fakekdc.Any, fakekdc.ReplyError(fakekdc.CodeUnavailable, nil)) // KDC_ERR_SVC_UNAVAILABLE
	fmt.Println(login(realm, "alice", "secret"))
	for _, e := range realm.Exchanges()[:2] {
		fmt.Println(e.KDC == first.Addr(), e.Code)
	}
	// Output:
	// ok
	// true 29
	// false 25
}

func ExampleRealm_ConfigWithKDCProxy() {
	realm := newRealm()
	defer realm.Close()
	_, text, _ := strings.Cut(realm.ConfigWithKDCProxy("https://localhost:8443/KdcProxy", "FILE:/tmp/ca.pem"), "[realms]\n")
	text, _, _ = strings.Cut(text, "\n\n")
	fmt.Println(text)
	// Output:
	// 	A.EXAMPLE = {
	// 		kdc = https://localhost:8443/KdcProxy
	// 		http_anchors = FILE:/tmp/ca.pem
	// 	}
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
