package fakekdc_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
)

func ExampleWithClock() {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	realm := newRealm(fakekdc.WithClock(func() time.Time { return at }))
	defer realm.Close()
	fmt.Println(realm.Now(), login(realm, "alice", "secret"))
	// Output: 2030-01-02 03:04:05 +0000 UTC ok
}

func ExampleWithLifetime() {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	realm := newRealm(fakekdc.WithClock(func() time.Time { return at }), fakekdc.WithLifetime(time.Minute, 0))
	defer realm.Close()
	t, err := source(realm, "alice", "secret").ServiceTicket(context.Background(), "HTTP/localhost")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Contains(fmt.Sprint(t), "2030-01-02T03:05:05Z"))
	// Output: true
}

func ExampleWithUDPLimit() {
	realm := newRealm(fakekdc.WithUDPLimit(1), fakekdc.WithUser("bob", "secret", fakekdc.NoPreauth()))
	defer realm.Close()
	login(realm, "bob", "secret")
	for _, e := range realm.Exchanges()[:2] {
		fmt.Println(e)
	}
	// Output:
	// AS/udp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: KRB_ERR_RESPONSE_TOO_BIG
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96
}

func ExampleWithHosts() {
	realm := newRealm(fakekdc.WithHosts(".web.example"))
	defer realm.Close()
	_, hosts, _ := strings.Cut(realm.Config(), "[domain_realm]\n")
	fmt.Print(hosts)
	// Output:
	// 	localhost = A.EXAMPLE
	// 	.web.example = A.EXAMPLE
}

// principal shows a login of a user bob, who has the options.
func principal(opts ...fakekdc.PrincipalOption) {
	realm := newRealm(fakekdc.WithUser("bob", "secret", opts...))
	defer realm.Close()
	fmt.Println(login(realm, "bob", "secret"), "after", realm.Count(fakekdc.AS), "AS exchanges")
}

// How users log in whose accounts differ from the usual one.
func ExamplePrincipalOption() {
	principal(fakekdc.Etypes(fakekdc.AES128SHA256), fakekdc.Salt("A.EXAMPLEbob-before-the-wedding"), fakekdc.Iterations(50_000))
	principal(fakekdc.NoPreauth())
	principal(fakekdc.Lifetime(30*time.Minute, -1), fakekdc.NotForwardable())
	// Output:
	// ok after 2 AS exchanges
	// ok after 1 AS exchanges
	// ok after 2 AS exchanges
}

func ExampleRefuse() {
	principal(fakekdc.Refuse(fakekdc.CodePolicy))
	// Output: refused after 1 AS exchanges
}

func ExampleServicePassword() {
	// As accounts in Active Directory have it: two realms, the same keys.
	a := newRealm(fakekdc.WithService("HTTP/web.example", fakekdc.ServicePassword("svc")))
	defer a.Close()
	b := newRealm(fakekdc.WithService("HTTP/web.example", fakekdc.ServicePassword("svc")))
	defer b.Close()
	tail := func(r *fakekdc.Realm) string { k := r.Keytab("HTTP/web.example"); return string(k[len(k)-20:]) }
	fmt.Println(tail(a) == tail(b))
	// Output: true
}
