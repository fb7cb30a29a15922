package fakekdc_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
)

func ExampleWithRealm() {
	realm, err := fakekdc.New(fakekdc.WithRealm("A.EXAMPLE"))
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	fmt.Println(realm.Name())
	// Output: A.EXAMPLE
}

func ExampleWithAddress() {
	realm := newRealm(fakekdc.WithAddress("127.0.0.1:0"))
	defer realm.Close()
	_, err := fakekdc.New(fakekdc.WithAddress(realm.Addr()))
	fmt.Println("the port is taken:", err != nil)
	// Output: the port is taken: true
}

func ExampleWithUser() {
	realm := newRealm(fakekdc.WithUser("bob", "other"))
	defer realm.Close()
	fmt.Println(login(realm, "bob", "other"))
	// Output: ok
}

func ExampleWithService() {
	realm := newRealm(fakekdc.WithService("host/web.example"))
	defer realm.Close()
	fmt.Println(realm.Principals()[2])
	// Output: host/web.example@A.EXAMPLE
}

func ExampleWithClock() {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	realm := newRealm(fakekdc.WithClock(func() time.Time { return at }))
	defer realm.Close()
	fmt.Println(realm.Now(), login(realm, "alice", "secret"))
	// Output: 2030-01-02 03:04:05 +0000 UTC ok
}

func ExampleWithEtypes() {
	realm := newRealm(fakekdc.WithEtypes(fakekdc.AES256SHA384, fakekdc.AES128SHA256))
	defer realm.Close()
	fmt.Println(login(realm, "alice", "secret"))
	fmt.Println(realm.Exchanges()[2])
	// Output:
	// ok
	// TGS/udp alice@A.EXAMPLE for HTTP/localhost@A.EXAMPLE: aes256-cts-hmac-sha384-192
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

func ExampleWithSkew() {
	clock := &fakekdc.Clock{}
	realm := newRealm(fakekdc.WithClock(clock.Now), fakekdc.WithSkew(time.Hour))
	defer realm.Close()
	fmt.Println(login(realm, "alice", "secret"))
	// Output: ok
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

func ExampleEtypes() {
	principal(fakekdc.Etypes(fakekdc.AES128SHA256))
	// Output: ok after 2 AS exchanges
}

func ExampleSalt() {
	principal(fakekdc.Salt("A.EXAMPLEbob-before-the-wedding"))
	// Output: ok after 2 AS exchanges
}

func ExampleIterations() {
	principal(fakekdc.Iterations(5000))
	// Output: ok after 2 AS exchanges
}

func ExampleNoPreauth() {
	principal(fakekdc.NoPreauth())
	// Output: ok after 1 AS exchanges
}

func ExampleRefuse() {
	const policy = 12
	principal(fakekdc.Refuse(policy))
	// Output: refused after 1 AS exchanges
}

func ExampleLifetime() {
	principal(fakekdc.Lifetime(30*time.Minute, -1))
	// Output: ok after 2 AS exchanges
}

func ExampleNotForwardable() {
	principal(fakekdc.NotForwardable())
	// Output: ok after 2 AS exchanges
}

func ExampleNotProxiable() {
	principal(fakekdc.NotProxiable())
	// Output: ok after 2 AS exchanges
}

func ExampleTicketPadding() {
	realm := newRealm(fakekdc.WithUser("bob", "secret", fakekdc.TicketPadding(10000)))
	defer realm.Close()
	fmt.Println(len(realm.CCache("bob")) > 10000)
	// Output: true
}

func ExampleKvno() {
	realm := newRealm(fakekdc.WithService("host/a", fakekdc.Kvno(7)))
	defer realm.Close()
	keytab := realm.Keytab("host/a")
	fmt.Println(keytab[len(keytab)-1])
	// Output: 7
}

func ExampleOKAsDelegate() {
	realm := newRealm(fakekdc.WithService("HTTP/web.example", fakekdc.OKAsDelegate()))
	defer realm.Close()
	fmt.Println(len(realm.CCache("alice", "HTTP/web.example")) > 0)
	// Output: true
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
