package fakekdc_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/kerbchain/kerbchain/fakekdc"
)

// newOther is a realm B.EXAMPLE with a user bob and a service.
func newOther(opts ...fakekdc.Option) *fakekdc.Realm {
	other, err := fakekdc.New(append([]fakekdc.Option{
		fakekdc.WithRealm("B.EXAMPLE"),
		fakekdc.WithUser("bob", "secret"),
		fakekdc.WithService("HTTP/web.b.example"),
	}, opts...)...)
	if err != nil {
		log.Fatal(err)
	}
	return other
}

// visit lets alice of the realm ask for a ticket.
func visit(realm *fakekdc.Realm, service string) string {
	if _, err := source(realm, "alice", "secret").ServiceTicket(context.Background(), service); err != nil {
		return "refused"
	}
	return "ok"
}

// granted prints what the ticket-granting services of the realms gave.
func granted(realms ...*fakekdc.Realm) {
	for _, r := range realms {
		for _, e := range r.Exchanges() {
			switch {
			case e.Kind == fakekdc.TGS && e.Code != 0:
				fmt.Println(e.Realm, "refused", e.Server)
			case e.Kind == fakekdc.TGS:
				fmt.Println(e.Realm, "granted", e.Granted)
			}
		}
	}
}

// alice of A.EXAMPLE is referred to the realm that has the service.
func ExampleRealm_Trust() {
	realm, other := newRealm(), newOther()
	defer realm.Close()
	defer other.Close()
	if err := realm.Trust(other); err != nil {
		log.Fatal(err)
	}
	fmt.Println(visit(realm, "HTTP/web.b.example"))
	granted(realm, other)
	// Output:
	// ok
	// A.EXAMPLE granted krbtgt/B.EXAMPLE@A.EXAMPLE
	// B.EXAMPLE granted HTTP/web.b.example@B.EXAMPLE
}

func ExampleRealm_TrustOneWay() {
	realm, other := newRealm(), newOther()
	defer realm.Close()
	defer other.Close()
	if err := realm.TrustOneWay(other); err != nil {
		log.Fatal(err)
	}
	fmt.Println("users of A in B:", visit(realm, "HTTP/web.b.example"))
	_, err := source(other, "bob", "secret").ServiceTicket(context.Background(), "HTTP/localhost")
	fmt.Println("users of B in A:", err == nil)
	// Output:
	// users of A in B: refused
	// users of B in A: true
}

func ExampleRealm_DenyTransit() {
	realm, other := newRealm(), newOther()
	defer realm.Close()
	defer other.Close()
	far, err := fakekdc.New(fakekdc.WithRealm("C.EXAMPLE"), fakekdc.WithService("HTTP/web.c.example"))
	if err != nil {
		log.Fatal(err)
	}
	defer far.Close()
	for _, err := range []error{realm.Trust(other), other.Trust(far)} {
		if err != nil {
			log.Fatal(err)
		}
	}
	far.DenyTransit("B.EXAMPLE")
	fmt.Println(visit(realm, "HTTP/web.c.example"))
	granted(realm, other, far)
	// Output:
	// refused
	// A.EXAMPLE granted krbtgt/B.EXAMPLE@A.EXAMPLE
	// B.EXAMPLE granted krbtgt/C.EXAMPLE@B.EXAMPLE
	// C.EXAMPLE refused HTTP/web.c.example@C.EXAMPLE
}

func ExampleRealm_Refer() {
	realm, other := newRealm(), newOther()
	defer realm.Close()
	defer other.Close()
	if err := realm.Trust(other); err != nil {
		log.Fatal(err)
	}
	if err := realm.Refer(".intranet.example", "B.EXAMPLE"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(visit(realm, "HTTP/wiki.intranet.example")) // B.EXAMPLE has none
	granted(realm)
	// Output:
	// refused
	// A.EXAMPLE granted krbtgt/B.EXAMPLE@A.EXAMPLE
}

// A referral in circles: each KDC says that the other has the service.
func ExampleReferTo() {
	realm, other := newRealm(), newOther()
	defer realm.Close()
	defer other.Close()
	if err := realm.Trust(other); err != nil {
		log.Fatal(err)
	}
	realm.FailNext(fakekdc.TGS, fakekdc.ReferTo("B.EXAMPLE"))
	other.FailNext(fakekdc.TGS, fakekdc.ReferTo("A.EXAMPLE"))
	fmt.Println(visit(realm, "HTTP/localhost"))
	granted(realm, other)
	// Output:
	// refused
	// A.EXAMPLE granted krbtgt/B.EXAMPLE@A.EXAMPLE
	// B.EXAMPLE granted krbtgt/A.EXAMPLE@B.EXAMPLE
}

func ExampleRealm_Alias() {
	realm := newRealm()
	defer realm.Close()
	fmt.Println(realm.Alias("alice.smith@corp.example", "alice"))
	// kinit -E alice.smith@corp.example now gets tickets of alice@A.EXAMPLE.
	fmt.Println(realm.Alias("bob.smith@corp.example", "bob"))
	// Output:
	// <nil>
	// alias "bob.smith@corp.example": realm A.EXAMPLE has no principal bob: add it first
}

func ExampleRealm_ReferUsers() {
	realm := newRealm()
	defer realm.Close()
	// kinit -E someone@corp.example is told to ask B.EXAMPLE.
	fmt.Println(realm.ReferUsers("@corp.example", "B.EXAMPLE"))
	// Output: <nil>
}

func ExampleRealm_ConfigWithCapaths() {
	realm, other := newRealm(), newOther()
	defer realm.Close()
	defer other.Close()
	if err := realm.Trust(other); err != nil {
		log.Fatal(err)
	}
	_, text, _ := strings.Cut(realm.ConfigWithCapaths(), "[domain_realm]\n")
	fmt.Print(strings.ReplaceAll(text, "\n\n", "\n"))
	// Output:
	// 	localhost = A.EXAMPLE
	// 	web.b.example = B.EXAMPLE
	// [capaths]
	// 	A.EXAMPLE = {
	// 		B.EXAMPLE = .
	// 	}
	// 	B.EXAMPLE = {
	// 		A.EXAMPLE = .
	// 	}
}
