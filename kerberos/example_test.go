package kerberos_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// exampleRealm starts a realm with one user and one service.
func exampleRealm() *fakekdc.Realm {
	realm, err := fakekdc.New(
		fakekdc.WithRealm("EXAMPLE.TEST"),
		fakekdc.WithUser("alice", "secret"),
		fakekdc.WithService("HTTP/localhost"))
	if err != nil {
		log.Fatal(err)
	}
	return realm
}

// put writes a file below a temporary folder.
func put(name string, b []byte) (path string, remove func()) {
	dir, err := os.MkdirTemp("", "kerberos")
	if err != nil {
		log.Fatal(err)
	}
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		log.Fatal(err)
	}
	return path, func() { os.RemoveAll(dir) }
}

func Example() {
	realm := exampleRealm()
	defer realm.Close()

	source, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal:    "alice@EXAMPLE.TEST",
		Krb5ConfText: realm.Config(), // a program leaves this to /etc/krb5.conf
	})
	if err != nil {
		log.Fatal(err)
	}
	in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	sc, err := in.Initiate(ctx, middleware.Target{Host: "localhost", Port: "80"})
	if err != nil {
		log.Fatal(err)
	}
	token, err := sc.Step(ctx, nil)
	fmt.Println(len(token) > 0, sc.Verified(), err)
	// Output: true false <nil>
}

func ExampleFromPassword() {
	realm := exampleRealm()
	defer realm.Close()

	source, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal: "alice@EXAMPLE.TEST", Krb5ConfText: realm.Config(),
	})
	if err != nil {
		log.Fatal(err)
	}
	ticket, err := source.ServiceTicket(context.Background(), "HTTP/localhost")
	fmt.Println(ticket.Client(), ticket.SPN(), err)
	// Output: alice@EXAMPLE.TEST HTTP/localhost@EXAMPLE.TEST <nil>
}

func ExampleFromKeytab() {
	realm := exampleRealm()
	defer realm.Close()
	path, remove := put("alice.keytab", realm.Keytab("alice"))
	defer remove()

	source, err := kerberos.FromKeytab(path, kerberos.SourceOptions{Krb5ConfText: realm.Config()})
	if err != nil {
		log.Fatal(err)
	}
	ticket, err := source.ServiceTicket(context.Background(), "HTTP/localhost")
	fmt.Println(ticket.Client(), err)
	// Output: alice@EXAMPLE.TEST <nil>
}

func ExampleFromCCache() {
	realm := exampleRealm()
	defer realm.Close()
	path, remove := put("krb5cc", realm.CCache("alice")) // as kinit leaves it
	defer remove()

	source, err := kerberos.FromCCache("FILE:"+path, kerberos.SourceOptions{Krb5ConfText: realm.Config()})
	if err != nil {
		log.Fatal(err)
	}
	ticket, err := source.ServiceTicket(context.Background(), "HTTP/localhost")
	fmt.Println(ticket.Client(), ticket.Source() == "FILE:"+path, err)
	// Output: alice@EXAMPLE.TEST true <nil>
}

func ExampleFromEnvironment() {
	realm := exampleRealm()
	defer realm.Close()
	path, remove := put("krb5cc", realm.CCache("alice"))
	defer remove()

	source, err := kerberos.FromEnvironment(kerberos.SourceOptions{
		Krb5ConfText: realm.Config(),
		Getenv: func(name string) string { // default: os.Getenv
			return map[string]string{"KRB5CCNAME": path}[name]
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ticket, err := source.ServiceTicket(context.Background(), "HTTP/localhost")
	fmt.Println(ticket.Client(), err)
	// Output: alice@EXAMPLE.TEST <nil>
}

func ExampleSource_ServiceTicket() {
	realm := exampleRealm()
	defer realm.Close()
	source, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal: "alice@EXAMPLE.TEST", Krb5ConfText: realm.Config(),
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = source.ServiceTicket(context.Background(), "HTTP/unknown.example")
	var e *middleware.Error
	fmt.Println(errors.Is(err, middleware.ErrKDC), errors.As(err, &e), e.SPN, e.Code, e.Temporary())
	// Output: true true HTTP/unknown.example 7 false
}

func ExampleNewInitiator() {
	source := sourceFunc(func(spn string) { fmt.Println("wanted:", spn) })
	in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{Service: "WSMAN", HostOverride: "win.example.com"})
	if err != nil {
		log.Fatal(err)
	}
	in.Initiate(context.Background(), middleware.Target{Host: "192.0.2.7", Port: "5985"})
	// Output: wanted: WSMAN/win.example.com
}

func ExampleTicket() {
	realm := exampleRealm()
	defer realm.Close()
	source, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal: "alice@EXAMPLE.TEST", Krb5ConfText: realm.Config(),
	})
	if err != nil {
		log.Fatal(err)
	}
	var t kerberos.Ticket
	fmt.Println(t, t.IsZero())
	if t, err = source.ServiceTicket(context.Background(), "HTTP/localhost"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.Client(), t.SPN(), t.Etype(), t.Source(), t.EndTime().After(time.Now()))
	// Output:
	// [no ticket] true
	// alice@EXAMPLE.TEST HTTP/localhost@EXAMPLE.TEST 18 password true
}

type sourceFunc func(spn string)

func (f sourceFunc) ServiceTicket(_ context.Context, spn string) (kerberos.Ticket, error) {
	f(spn)
	return kerberos.Ticket{}, errors.New("no ticket")
}

func ExampleSource_ForwardedTicket() {
	realm := exampleRealm()
	defer realm.Close()
	source, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal: "alice@EXAMPLE.TEST", Krb5ConfText: realm.Config(), Forwardable: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	service, err := source.ServiceTicket(ctx, "HTTP/localhost")
	if err != nil {
		log.Fatal(err)
	}
	forwarded, err := source.ForwardedTicket(ctx, service)
	fmt.Println(forwarded.Client(), forwarded.SPN(), err)
	// Output: alice@EXAMPLE.TEST krbtgt/EXAMPLE.TEST@EXAMPLE.TEST <nil>
}

func ExampleFromPasswordFunc() {
	realm := exampleRealm()
	defer realm.Close()

	source, err := kerberos.FromPasswordFunc(func(ctx context.Context, principal string) (kerberos.Secret, error) {
		fmt.Println("the password of", principal, "is fetched")
		return kerberos.NewSecret("secret"), nil
	}, kerberos.SourceOptions{Principal: "alice@EXAMPLE.TEST", Krb5ConfText: realm.Config()})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		ticket, err := source.ServiceTicket(context.Background(), "HTTP/localhost")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ticket.Client(), "has a ticket for", ticket.SPN())
	}
	// Output:
	// the password of alice@EXAMPLE.TEST is fetched
	// alice@EXAMPLE.TEST has a ticket for HTTP/localhost@EXAMPLE.TEST
	// alice@EXAMPLE.TEST has a ticket for HTTP/localhost@EXAMPLE.TEST
}

// A host's keytab armours the login (FAST), as kinit -T does with a cache: nobody on the way
// can guess at the password then.
func ExampleFromPassword_armor() {
	realm, err := fakekdc.New(fakekdc.WithRealm("EXAMPLE.TEST"), fakekdc.WithFASTRequired(),
		fakekdc.WithUser("alice", "secret"), fakekdc.WithService("host/localhost"), fakekdc.WithService("HTTP/localhost"))
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	keytab, remove := put("krb5.keytab", realm.Keytab("host/localhost"))
	defer remove()

	host, err := kerberos.FromKeytab(keytab, kerberos.SourceOptions{Krb5ConfText: realm.Config()})
	if err != nil {
		log.Fatal(err)
	}
	source, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal: "alice@EXAMPLE.TEST", Armor: host, Krb5ConfText: realm.Config(),
	})
	if err != nil {
		log.Fatal(err)
	}
	ticket, err := source.ServiceTicket(context.Background(), "HTTP/localhost")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ticket.Client(), "has a ticket for", ticket.SPN())
	// Output: alice@EXAMPLE.TEST has a ticket for HTTP/localhost@EXAMPLE.TEST
}

// A user logs in with one-time passwords, which FAST protects on their way.
func ExampleFromPassword_oneTimePassword() {
	realm, err := fakekdc.New(fakekdc.WithRealm("EXAMPLE.TEST"), fakekdc.WithFAST(),
		fakekdc.WithUser("alice", "", fakekdc.OTP("123456")), fakekdc.WithService("host/localhost"), fakekdc.WithService("HTTP/localhost"))
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	keytab, remove := put("krb5.keytab", realm.Keytab("host/localhost"))
	defer remove()

	host, err := kerberos.FromKeytab(keytab, kerberos.SourceOptions{Krb5ConfText: realm.Config()})
	if err != nil {
		log.Fatal(err)
	}
	source, err := kerberos.FromPassword(kerberos.Secret{}, kerberos.SourceOptions{
		Principal: "alice@EXAMPLE.TEST", Armor: host, Krb5ConfText: realm.Config(),
		OTP: func(ctx context.Context, c kerberos.OTPChallenge) (kerberos.OTPAnswer, error) {
			fmt.Printf("%s types what the token of %s shows\n", c.Principal, c.Tokens[0].Vendor)
			return kerberos.OTPAnswer{Value: kerberos.NewSecret("123456")}, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ticket, err := source.ServiceTicket(context.Background(), "HTTP/localhost")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ticket.Client(), "has a ticket for", ticket.SPN())
	// Output:
	// alice@EXAMPLE.TEST types what the token of fakekdc shows
	// alice@EXAMPLE.TEST has a ticket for HTTP/localhost@EXAMPLE.TEST
}

// A password has expired. The program gives a new one, which the realm's server (kpasswd)
// takes, and keeps it where the old one came from.
func ExampleFromPassword_newPassword() {
	realm, err := fakekdc.New(fakekdc.WithRealm("EXAMPLE.TEST"), fakekdc.WithKpasswd(nil),
		fakekdc.WithUser("alice", "secret", fakekdc.Refuse(fakekdc.CodeKeyExpired)), fakekdc.WithService("HTTP/localhost"))
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()

	source, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal: "alice@EXAMPLE.TEST", Krb5ConfText: realm.Config(),
		NewPassword: func(ctx context.Context, r kerberos.NewPasswordRequest) (kerberos.Secret, error) {
			fmt.Println("the password of", r.Principal, "has expired")
			return kerberos.NewSecret("a new secret"), nil // that a vault keeps, say
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ticket, err := source.ServiceTicket(context.Background(), "HTTP/localhost")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ticket.Client(), "has a ticket for", ticket.SPN())
	// Output:
	// the password of alice@EXAMPLE.TEST has expired
	// alice@EXAMPLE.TEST has a ticket for HTTP/localhost@EXAMPLE.TEST
}

func ExampleMemoryCaches() {
	realm := exampleRealm()
	defer realm.Close()

	// A vault gives what kinit would have put into a file.
	var caches kerberos.MemoryCaches
	file := realm.CCache("alice")
	if err := caches.Put("job", file); err != nil {
		log.Fatal(err)
	}
	source, err := kerberos.FromCCache("MEMORY:job", kerberos.SourceOptions{MemoryCaches: &caches, Krb5ConfText: realm.Config()})
	if err != nil {
		log.Fatal(err)
	}
	ticket, err := source.ServiceTicket(context.Background(), "HTTP/localhost")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ticket.Client(), "from", ticket.Source())

	// What to give back to the vault: the service ticket is in it too.
	after, _ := caches.Get("job")
	fmt.Println("tickets came:", len(after) > len(file))
	// Output:
	// alice@EXAMPLE.TEST from MEMORY:job
	// tickets came: true
}

func ExampleSource_KeepFresh() {
	realm := exampleRealm()
	defer realm.Close()

	source, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal: "alice@EXAMPLE.TEST", Krb5ConfText: realm.Config(),
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- source.KeepFresh(ctx) }()

	// ... requests, for days ...

	stop()
	fmt.Println(<-ended)
	// Output: context canceled
}

// exampleDNS knows one alias.
type exampleDNS struct{ *net.Resolver }

func (exampleDNS) LookupCNAME(context.Context, string) (string, error) {
	return "node7.example.test.", nil
}

func ExampleHostCanonicalization() {
	realm, err := fakekdc.New(
		fakekdc.WithRealm("EXAMPLE.TEST"),
		fakekdc.WithUser("alice", "secret"),
		fakekdc.WithService("HTTP/node7.example.test"))
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()

	source, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal: "alice@EXAMPLE.TEST", Krb5ConfText: realm.Config(), Resolver: exampleDNS{},
	})
	if err != nil {
		log.Fatal(err)
	}
	in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{Canonicalize: kerberos.CanonicalizeFallback})
	if err != nil {
		log.Fatal(err)
	}
	ctx := middleware.WithTrace(context.Background(), func(e middleware.Event) {
		if e, ok := e.(middleware.TicketEvent); ok {
			fmt.Println("ticket for", e.SPN)
		}
	})
	if _, err := in.Initiate(ctx, middleware.Target{Host: "www.example.test", Port: "80"}); err != nil {
		log.Fatal(err)
	}
	// Output: ticket for HTTP/node7.example.test@EXAMPLE.TEST
}

func ExampleInitiatorOptions() {
	// One server is known by another name, and strangers get no token.
	_, err := kerberos.NewInitiator(exampleSource{}, kerberos.InitiatorOptions{
		HostOverrides: map[string]string{"www.example.test": "HTTP/node7.example.test@EXAMPLE.TEST"},
		AllowedHosts:  []string{"*.example.test"},
	})
	fmt.Println(err)
	// Output: <nil>
}

type exampleSource struct{}

func (exampleSource) ServiceTicket(context.Context, string) (kerberos.Ticket, error) {
	return kerberos.Ticket{}, errors.New("no tickets today")
}
