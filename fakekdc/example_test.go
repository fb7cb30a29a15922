package fakekdc_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
)

// newRealm is a realm with a user and a service, and what else is wanted.
func newRealm(opts ...fakekdc.Option) *fakekdc.Realm {
	realm, err := fakekdc.New(append([]fakekdc.Option{
		fakekdc.WithRealm("A.EXAMPLE"),
		fakekdc.WithUser("alice", "secret"),
		fakekdc.WithService("HTTP/localhost"),
	}, opts...)...)
	if err != nil {
		log.Fatal(err)
	}
	return realm
}

// source logs in with a password when it is first asked for a ticket.
func source(realm *fakekdc.Realm, user, password string, lines ...string) kerberos.TicketSource {
	s, err := kerberos.FromPassword(kerberos.NewSecret(password), kerberos.SourceOptions{
		Principal: user, Krb5ConfText: realm.Config(lines...), Now: realm.Now,
		Logins: new(kerberos.Logins), // what one source was refused, another may be granted
	})
	if err != nil {
		log.Fatal(err)
	}
	return s
}

// login asks for one ticket and says whether there was one.
func login(realm *fakekdc.Realm, user, password string) string {
	_, err := source(realm, user, password).ServiceTicket(context.Background(), "HTTP/localhost")
	if err != nil {
		return "refused"
	}
	return "ok"
}

// show prints what the KDC has done since the last time.
func show(realm *fakekdc.Realm) {
	for _, e := range realm.Exchanges() {
		fmt.Println(e)
	}
	realm.ResetExchanges()
}

// get fetches a page with the standard stack and says how it went.
func get(realm *fakekdc.Realm, url string) string {
	c, err := client.New(client.Options{Source: source(realm, "alice", "secret")})
	if err != nil {
		log.Fatal(err)
	}
	defer c.CloseIdleConnections()
	resp, err := c.Get(url)
	if err != nil {
		return "the client refused the answer"
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	return resp.Status + ": " + strings.TrimSpace(string(b))
}

// A whole test: a realm, a service, and a client of the standard stack.
func Example() {
	realm := newRealm()
	defer realm.Close()
	service := fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{
		Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			caller, _ := fakeweb.CallerOf(r.Context())
			fmt.Fprintf(w, "this is for %s", caller.Name)
		}),
	})
	server := fakeweb.Serve(realm, service, fakeweb.ServerOptions{})

	fmt.Println(get(realm, server.URL()))
	fmt.Println(service.Statuses())
	show(realm)
	// Output:
	// 200 OK: this is for alice@A.EXAMPLE
	// [401 200]
	// AS/udp alice@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: KDC_ERR_PREAUTH_REQUIRED
	// AS/udp alice@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96
	// TGS/udp alice@A.EXAMPLE for HTTP/localhost@A.EXAMPLE: aes256-cts-hmac-sha1-96
}

// Tickets end when the clock says so; nobody waits.
func Example_expiry() {
	clock := &fakekdc.Clock{}
	realm := newRealm(fakekdc.WithClock(clock.Now), fakekdc.WithLifetime(time.Hour, 0))
	defer realm.Close()
	tickets := source(realm, "alice", "secret")
	for range 3 {
		if _, err := tickets.ServiceTicket(context.Background(), "HTTP/localhost"); err != nil {
			log.Fatal(err)
		}
		fmt.Println(realm.Count(fakekdc.AS, 0), "logins,", realm.Count(fakekdc.TGS, 0), "service tickets")
		clock.Advance(45 * time.Minute)
	}
	// Output:
	// 1 logins, 1 service tickets
	// 1 logins, 1 service tickets
	// 2 logins, 2 service tickets
}

// An outage is a method call.
func Example_outage() {
	realm := newRealm()
	defer realm.Close()
	tickets := source(realm, "alice", "secret")
	ask := func(ctx context.Context) {
		_, err := tickets.ServiceTicket(ctx, "HTTP/localhost")
		fmt.Println("got a ticket:", err == nil)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	realm.Pause()
	ask(ctx)
	realm.Resume()
	ask(context.Background())
	// Output:
	// got a ticket: false
	// got a ticket: true
}

func ExampleStart() {
	// In a test this is the parameter t; the realm ends with the test.
	var t fakekdc.TB = &testing.B{}
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"))
	defer realm.Close()
	fmt.Println(strings.HasPrefix(realm.Name(), "TEST-"), realm.Principals()[0] == "alice@"+realm.Name())
	// Output: true true
}

func ExampleNew() {
	realm, err := fakekdc.New(fakekdc.WithRealm("A.EXAMPLE"), fakekdc.WithUser("alice", "secret"))
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	fmt.Println(realm.Name(), realm.Principals())

	_, err = fakekdc.New(fakekdc.WithAddress("0.0.0.0:88"))
	fmt.Println(err)
	// Output:
	// A.EXAMPLE [alice@A.EXAMPLE]
	// address 0.0.0.0:88 is not a loopback address: this realm is for tests only
}

func ExampleRealm_AddUser() {
	realm := newRealm()
	defer realm.Close()
	fmt.Println(realm.AddUser("bob", "secret"), realm.AddService("HTTP/web.example"))
	fmt.Println(realm.Principals())
	fmt.Println(realm.AddUser("bob", "other"))
	// Output:
	// <nil> <nil>
	// [alice@A.EXAMPLE HTTP/localhost@A.EXAMPLE bob@A.EXAMPLE HTTP/web.example@A.EXAMPLE]
	// principal bob@A.EXAMPLE is there already: use Modify, SetPassword or Rotate
}

func ExampleRealm_Modify() {
	realm := newRealm()
	defer realm.Close()
	fmt.Println(realm.Modify("alice", fakekdc.Refuse(fakekdc.CodeClientRevoked)), login(realm, "alice", "secret"))
	fmt.Println(realm.Modify("alice", fakekdc.Refuse(0)), login(realm, "alice", "secret"))
	fmt.Println(realm.SetPassword("alice", "changed"), login(realm, "alice", "secret"), login(realm, "alice", "changed"))
	fmt.Println(realm.Remove("alice"), login(realm, "alice", "changed"))
	// Output:
	// <nil> refused
	// <nil> ok
	// <nil> refused ok
	// <nil> refused
}

func ExampleRealm_Rotate() {
	realm := newRealm()
	defer realm.Close()
	server := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{}), fakeweb.ServerOptions{})
	old, err := client.New(client.Options{Source: source(realm, "alice", "secret")})
	if err != nil {
		log.Fatal(err)
	}
	defer old.CloseIdleConnections()
	status := func() int {
		resp, err := old.Get(server.URL())
		if err != nil {
			log.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	fmt.Println(status())
	fmt.Println(realm.Rotate("HTTP/localhost"), status(), "the old key still opens old tickets")
	// Output:
	// 200
	// <nil> 200 the old key still opens old tickets
}

func ExampleRealm_Purge() {
	realm := newRealm()
	defer realm.Close()
	before := len(realm.Keytab("HTTP/localhost"))
	fmt.Println(realm.Rotate("HTTP/localhost"), len(realm.Keytab("HTTP/localhost")) > before)
	fmt.Println(realm.Purge("HTTP/localhost"), len(realm.Keytab("HTTP/localhost")) == before)
	// Output:
	// <nil> true
	// <nil> true
}

func ExampleRealm_Config() {
	realm := newRealm(fakekdc.WithEtypes(fakekdc.AES256SHA1))
	defer realm.Close()
	text := realm.Config("udp_preference_limit = 1")
	fmt.Print(strings.ReplaceAll(text, realm.Addr(), "127.0.0.1:port"))
	// Output:
	// # TEST ONLY: a realm inside a test, gone when the test ends.
	// [libdefaults]
	// 	default_realm = A.EXAMPLE
	// 	dns_lookup_kdc = false
	// 	dns_lookup_realm = false
	// 	dns_canonicalize_hostname = false
	// 	rdns = false
	// 	permitted_enctypes = aes256-cts-hmac-sha1-96
	// 	default_tgs_enctypes = aes256-cts-hmac-sha1-96
	// 	default_tkt_enctypes = aes256-cts-hmac-sha1-96
	// 	udp_preference_limit = 1
	//
	// [realms]
	// 	A.EXAMPLE = {
	// 		kdc = 127.0.0.1:port
	// 	}
	//
	// [domain_realm]
	// 	localhost = A.EXAMPLE
}

func ExampleRealm_Keytab() {
	realm := newRealm()
	defer realm.Close()
	// A file for a service outside of the test, such as a web server.
	keytab := realm.Keytab("HTTP/localhost")
	fmt.Printf("%x...\n", keytab[:2])
	// Output: 0502...
}

func ExampleRealm_CCache() {
	realm := newRealm()
	defer realm.Close()
	// A file for KRB5CCNAME, as if kinit and kvno had been run.
	cache := realm.CCache("alice", "HTTP/localhost")
	fmt.Printf("%x... %d exchanges\n", cache[:2], realm.Count(fakekdc.Any))
	// Output: 0504... 0 exchanges
}

func ExampleRealm_Exchanges() {
	realm := newRealm()
	defer realm.Close()
	fmt.Println(login(realm, "alice", "guess"))
	for _, e := range realm.Exchanges() {
		fmt.Println(e.Kind, e.Client, e.Code)
	}
	fmt.Println("wrong passwords:", realm.Count(fakekdc.AS, fakekdc.CodePreauthFailed))
	fmt.Println("forwardable tickets:", realm.Exchanges()[0].Options&fakekdc.OptionForwardable != 0)
	// Output:
	// refused
	// AS alice@A.EXAMPLE 25
	// AS alice@A.EXAMPLE 24
	// wrong passwords: 1
	// forwardable tickets: false
}

func ExampleRealm_FailNext() {
	realm := newRealm()
	defer realm.Close()
	realm.FailNext(fakekdc.TGS, fakekdc.ReplyError(fakekdc.CodeGeneric, nil))
	fmt.Println(login(realm, "alice", "secret"), login(realm, "alice", "secret"))
	fmt.Println(realm.PendingFaults())

	realm.FailNext(fakekdc.AS, fakekdc.Repeat(3, fakekdc.Drop())...)
	fmt.Println(realm.PendingFaults())
	realm.ClearFaults()
	fmt.Println(realm.PendingFaults())
	// Output:
	// refused ok
	// 0
	// 3
	// 0
}

func ExampleClock() {
	clock := &fakekdc.Clock{}
	realm := newRealm(fakekdc.WithClock(clock.Now))
	defer realm.Close()
	before := realm.Now()
	clock.Advance(time.Hour)
	fmt.Println(realm.Now().Sub(before) >= time.Hour)
	// Output: true
}
