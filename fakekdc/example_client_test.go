package fakekdc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// page gets a page and returns its status and body, or what kind of error it was.
func page(c *http.Client, url string) string {
	resp, err := c.Get(url)
	switch {
	case errors.Is(err, middleware.ErrCredentials):
		return "no usable credentials"
	case errors.Is(err, middleware.ErrKDC):
		return "no KDC"
	case err != nil:
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(string(b)))
}

// A test of code that uses go-retryablehttp: the service is busy at first, each
// try is signed anew, and a password that is wrong is not tried twice.
func Example_retryable() {
	realm := newRealm()
	defer realm.Close()
	busy := 2
	service := fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{
		Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if busy > 0 {
				busy--
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			caller, _ := fakeweb.CallerOf(r.Context())
			fmt.Fprintf(w, "hello %s", caller.Name)
		}),
	})
	server := fakeweb.Serve(realm, service, fakeweb.ServerOptions{})

	retrying, err := client.NewRetryable(clienttest.Options(nil, realm, "alice", client.Options{Preemptive: preemptive.Always()}))
	if err != nil {
		log.Fatal(err)
	}
	retrying.RetryWaitMin, retrying.RetryWaitMax = time.Millisecond, time.Millisecond
	fmt.Println(page(retrying.StandardClient(), server.URL()))
	fmt.Println(service.Statuses())

	locked, err := client.NewRetryable(clienttest.Options(nil, realm, "", client.Options{
		Principal: "alice", Password: kerberos.NewSecret("wrong"),
	}))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(page(locked.StandardClient(), server.URL()))
	fmt.Println(realm.Count(fakekdc.AS, 24), "wrong passwords")
	retrying.HTTPClient.CloseIdleConnections()
	locked.HTTPClient.CloseIdleConnections()
	// Output:
	// 200 hello alice@A.EXAMPLE
	// [503 503 200]
	// no usable credentials
	// 1 wrong passwords
}

// A test of what happens when tickets expire, by a clock that the test moves.
func Example_expiredTicket() {
	clock := &fakekdc.Clock{}
	realm := newRealm(fakekdc.WithClock(clock.Now), fakekdc.WithLifetime(time.Hour, 0))
	defer realm.Close()
	server := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{}), fakeweb.ServerOptions{})

	kinit := clienttest.New(nil, realm, "alice", client.Options{})
	daemon := clienttest.New(nil, realm, "", client.Options{Principal: "alice", Password: kerberos.NewSecret("secret")})
	for range 2 {
		fmt.Println("ran kinit:    ", page(kinit, server.URL()))
		fmt.Println("has a password:", page(daemon, server.URL()))
		clock.Advance(61 * time.Minute)
	}
	kinit.CloseIdleConnections()
	daemon.CloseIdleConnections()
	// Output:
	// ran kinit:     200 hello alice@A.EXAMPLE
	// has a password: 200 hello alice@A.EXAMPLE
	// ran kinit:     no usable credentials
	// has a password: 200 hello alice@A.EXAMPLE
}

// A test of an outage: one KDC is gone, then both, and then there is a new one.
func Example_outageOfKDCs() {
	realm := newRealm(fakekdc.WithKDCs(2), fakekdc.WithService("HTTP/one.example"), fakekdc.WithService("HTTP/two.example"))
	defer realm.Close()
	tickets := clienttest.TicketSource(nil, realm, "alice")
	ask := func(spn string) string {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if _, err := tickets.ServiceTicket(ctx, spn); err != nil {
			return "no ticket"
		}
		return "a ticket"
	}
	realm.KDCs()[0].Close()
	fmt.Println("one is down: ", ask("HTTP/one.example"))
	realm.KDCs()[1].Close()
	fmt.Println("both are:    ", ask("HTTP/two.example"))
	fmt.Println("what we have:", ask("HTTP/one.example"))
	realm.AddKDC()
	fmt.Println("a new one:   ", login(realm, "alice", "secret"))
	// Output:
	// one is down:  a ticket
	// both are:     no ticket
	// what we have: a ticket
	// a new one:    ok
}

// A test of a user of one realm at a service of another.
func Example_crossRealm() {
	users := newRealm(fakekdc.WithRealm("CORP.EXAMPLE"))
	defer users.Close()
	services, err := fakekdc.New(fakekdc.WithRealm("LAB.EXAMPLE"), fakekdc.WithService("HTTP/app.lab.example"))
	if err != nil {
		log.Fatal(err)
	}
	defer services.Close()
	if err := users.Trust(services); err != nil {
		log.Fatal(err)
	}
	service := fakeweb.New(services, "HTTP/app.lab.example", fakeweb.Options{})
	server := fakeweb.Serve(services, service, fakeweb.ServerOptions{Host: "app.lab.example"})

	c := clienttest.New(nil, users, "alice", client.Options{Transport: server.Transport()})
	fmt.Println(page(c, server.URL()))
	c.CloseIdleConnections()
	for _, e := range append(users.Exchanges(), services.Exchanges()...) {
		fmt.Println(e.Realm, "granted", e.Granted)
	}
	// Output:
	// 200 hello alice@CORP.EXAMPLE
	// CORP.EXAMPLE granted krbtgt/LAB.EXAMPLE@CORP.EXAMPLE
	// LAB.EXAMPLE granted HTTP/app.lab.example@LAB.EXAMPLE
}

// A test of delegation: credentials go to the service that the realm says is
// trusted with them, which acts as its callers, and to no other.
func Example_delegation() {
	realm := newRealm(fakekdc.WithService("HTTP/trusted.example", fakekdc.OKAsDelegate()), fakekdc.WithService("HTTP/archive.example"))
	defer realm.Close()
	service := fakeweb.New(realm, "", fakeweb.Options{
		Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			caller, _ := fakeweb.CallerOf(r.Context())
			if caller.Delegated.IsZero() {
				fmt.Fprint(w, "nothing delegated")
				return
			}
			var caches kerberos.MemoryCaches
			if err := caches.Put("caller", caller.Delegated.Bytes()); err != nil {
				log.Fatal(err)
			}
			source, err := kerberos.FromCCache("MEMORY:caller", kerberos.SourceOptions{Krb5ConfText: realm.Config(), MemoryCaches: &caches})
			if err != nil {
				log.Fatal(err)
			}
			ticket, err := source.ServiceTicket(r.Context(), "HTTP/archive.example")
			if err != nil {
				log.Fatal(err)
			}
			fmt.Fprintf(w, "at %s as %s", ticket.SPN(), ticket.Client())
		}),
	})
	server := fakeweb.Serve(realm, service, fakeweb.ServerOptions{})

	c := clienttest.New(nil, realm, "alice", client.Options{Transport: server.Transport(), Delegation: kerberos.DelegationPolicy})
	fmt.Println(page(c, "http://localhost/"))
	fmt.Println(page(c, "http://trusted.example/"))
	c.CloseIdleConnections()
	// Output:
	// 200 nothing delegated
	// 200 at HTTP/archive.example@A.EXAMPLE as alice@A.EXAMPLE
}

func ExampleCacheFile() {
	var none fakekdc.CacheFile // a Caller's who delegated nothing
	fmt.Println(none, none.IsZero(), len(none.Bytes()), none.Equal(fakekdc.CacheFile{}))
	// Output: [no credentials] true 0 true
}

// t is what a test has; an example has none.
type t struct{ cleanups []func() }

func (*t) Helper()                           {}
func (t *t) Cleanup(f func())                { t.cleanups = append(t.cleanups, f) }
func (*t) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }

func (t *t) end() {
	for _, f := range t.cleanups {
		defer f()
	}
}

// A program that the test runs finds the realm by its environment.
func ExampleRealm_Environ() {
	t := &t{}
	defer t.end()
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))

	cmd := exec.Command("kinit", "-R") // or whatever is to be tested
	cmd.Env = append(os.Environ(), realm.Environ("alice")...)
	for _, v := range cmd.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "KRB5") {
			fmt.Println(name)
		}
	}
	// Unordered output:
	// KRB5CCNAME
	// KRB5_CLIENT_KTNAME
	// KRB5_CONFIG
	// KRB5_KTNAME
}

func ExampleRealm_WriteFiles() {
	realm := newRealm(fakekdc.WithUser("bob", "hunter2"))
	defer realm.Close()
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	files, err := realm.WriteFiles(dir, "alice", "bob")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(filepath.Base(files.Config), filepath.Base(files.Keytab))
	for _, u := range files.Users {
		fmt.Println(u.Name, filepath.Base(u.CCache), filepath.Base(u.Keytab))
	}
	// Output:
	// krb5.conf service.keytab
	// alice@A.EXAMPLE alice.ccache alice.keytab
	// bob@A.EXAMPLE bob.ccache bob.keytab
}

func ExampleFiles_Environ() {
	files := fakekdc.Files{
		Config: "/tmp/realm/krb5.conf", Keytab: "/tmp/realm/service.keytab",
		Users: []fakekdc.UserFiles{{Name: "alice@A.EXAMPLE", CCache: "/tmp/realm/alice.ccache", Keytab: "/tmp/realm/alice.keytab"}},
	}
	for _, v := range files.Environ() {
		fmt.Println(v)
	}
	// Output:
	// KRB5_CONFIG=/tmp/realm/krb5.conf
	// KRB5_KTNAME=FILE:/tmp/realm/service.keytab
	// KRB5CCNAME=FILE:/tmp/realm/alice.ccache
	// KRB5_CLIENT_KTNAME=FILE:/tmp/realm/alice.keytab
}

func ExampleWithRemoteAddress() {
	_, err := fakekdc.New(fakekdc.WithAddress("192.0.2.1:88"))
	fmt.Println(err)
	// In a container this would be 0.0.0.0:88.
	realm, err := fakekdc.New(fakekdc.WithRemoteAddress("127.0.0.1:0"))
	if err != nil {
		log.Fatal(err)
	}
	realm.Close()
	// Output: address 192.0.2.1:88 is not a loopback address: this realm is for tests only
}
