package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/logging"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/middleware/sanitize"
)

// An intranet is a realm with one web service, for the examples: what the
// process's surroundings are in earnest.
type intranet struct {
	realm  *fakekdc.Realm
	web    *fakeweb.Handler
	server *fakeweb.Server
	dir    string
	url    string
	// options lead into the intranet: its krb5.conf, its address, and a
	// credential cache of alice's in the environment.
	options client.Options
}

func newIntranet(service string, o fakeweb.Options) *intranet {
	return intranetOf(service, o, func(h http.Handler) http.Handler { return h }, fakeweb.ServerOptions{})
}

// newSecureIntranet is one of https, with something in front of the service.
func newSecureIntranet(service string, o fakeweb.Options, front func(http.Handler) http.Handler) *intranet {
	return intranetOf(service, o, front, fakeweb.ServerOptions{TLS: true})
}

func intranetOf(service string, o fakeweb.Options, front func(http.Handler) http.Handler, so fakeweb.ServerOptions) *intranet {
	realm, err := fakekdc.New(fakekdc.WithRealm("EXAMPLE.COM"), fakekdc.WithEtypes(fakekdc.AES256SHA1),
		fakekdc.WithUser("alice", "secret"), fakekdc.WithService(service))
	if err != nil {
		log.Fatal(err)
	}
	in := &intranet{realm: realm, web: fakeweb.New(realm, service, o)}
	in.server = fakeweb.Serve(realm, front(in.web), so)
	in.url = in.server.URL()
	if in.dir, err = os.MkdirTemp("", "intranet"); err != nil {
		log.Fatal(err)
	}
	cache := in.file("krb5cc", realm.CCache("alice"))
	in.options = client.Options{
		Krb5ConfText: realm.Config(),
		Getenv:       func(name string) string { return map[string]string{"KRB5CCNAME": cache}[name] },
		Transport:    in.server.Transport(),
	}
	return in
}

func (in *intranet) file(name string, b []byte) string {
	path := filepath.Join(in.dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		log.Fatal(err)
	}
	return path
}

func (in *intranet) close() {
	in.realm.Close()
	if err := os.RemoveAll(in.dir); err != nil {
		log.Fatal(err)
	}
}

// show prints a response.
func show(resp *http.Response, err error) {
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, b)))
}

// Whoever ran kinit calls a service, which proves who it is.
func ExampleNew() {
	intranet := newIntranet("HTTP/localhost", fakeweb.Options{})
	defer intranet.close()

	c, err := client.New(intranet.options) // client.Options{} in earnest
	if err != nil {
		log.Fatal(err)
	}
	defer c.CloseIdleConnections()
	show(c.Get(intranet.url))
	// Output:
	// 200 hello alice@EXAMPLE.COM
}

// A server that cannot prove itself is no server to get answers from.
func ExampleNew_notVerified() {
	forger := newIntranet("HTTP/localhost", fakeweb.Options{Quirks: fakeweb.Quirks{Proof: fakeweb.ProofForged}})
	defer forger.close()

	c, err := client.New(forger.options)
	if err != nil {
		log.Fatal(err)
	}
	defer c.CloseIdleConnections()
	_, err = c.Get(forger.url)
	var e *middleware.Error
	if errors.Is(err, middleware.ErrNotVerified) && errors.As(err, &e) {
		fmt.Println(e.SPN, "-", e.Reason)
	}
	// Output:
	// HTTP/localhost@EXAMPLE.COM - wrong key
}

// A transport for clients that are made elsewhere.
func ExampleNewTransport() {
	intranet := newIntranet("HTTP/localhost", fakeweb.Options{})
	defer intranet.close()

	o := intranet.options
	o.Principal, o.Password = "alice@EXAMPLE.COM", kerberos.NewSecret("secret")
	rt, err := client.NewTransport(o)
	if err != nil {
		log.Fatal(err)
	}
	c := &http.Client{Transport: rt}
	defer c.CloseIdleConnections()
	show(c.Get(intranet.url))
	// Output:
	// 200 hello alice@EXAMPLE.COM
}

// Every try is signed anew.
func ExampleNewRetryable() {
	busy := true
	intranet := newIntranet("HTTP/localhost", fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if busy {
			busy = false
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		}
		caller, _ := fakeweb.CallerOf(r.Context())
		fmt.Fprintln(w, "report for", caller.Name)
	})})
	defer intranet.close()

	o := intranet.options
	o.Keytab = intranet.file("report.keytab", intranet.realm.Keytab("alice"))
	c, err := client.NewRetryable(o)
	if err != nil {
		log.Fatal(err)
	}
	defer c.HTTPClient.CloseIdleConnections()
	c.RetryWaitMin, c.RetryWaitMax = 1, 1 // nanoseconds, for an example

	show(c.Get(intranet.url))
	fmt.Println(intranet.web.Statuses())
	// Output:
	// 200 report for alice@EXAMPLE.COM
	// [401 503 200]
}

// A wrong password will not become right by being sent again.
func ExampleCheckRetry() {
	for _, err := range []error{
		&middleware.Error{Stage: "kerberos", Kind: middleware.ErrCredentials, Code: 24},
		&middleware.Error{Stage: "kerberos", Kind: middleware.ErrKDC, IsTemporary: true},
	} {
		again, _ := client.CheckRetry(context.Background(), nil, err)
		fmt.Println(err, "- again:", again)
	}
	// Output:
	// kerberos: no usable Kerberos credentials (code 24) - again: false
	// kerberos: key distribution centre failed - again: true
}

// The standard stages, outermost first.
func ExampleNewStack() {
	o := client.Options{
		Keytab:  "/etc/report.keytab",
		Logging: logging.Options{Handler: slog.DiscardHandler},
	}
	if _, err := client.NewStack(o); errors.Is(err, middleware.ErrCredentials) {
		fmt.Println("there is no such keytab here")
	}
	o.Keytab, o.Initiator = "", middleware.InitiatorFunc(func(context.Context, middleware.Target) (middleware.SecurityContext, error) {
		return nil, errors.New("another mechanism")
	})
	o.Preemptive = preemptive.Learned()
	stack, err := client.NewStack(o)
	fmt.Println(stack, err)
	// Output:
	// there is no such keytab here
	// [logging sanitize mutual preemptive negotiate] <nil>
}

// requestID is a stage of one's own.
func requestID(next kerbchain.Next) kerbchain.Next {
	return func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.Header.Set("X-Request-Id", "42")
		return next(r)
	}
}

// A chain of one's own, made without a Stack.
func ExampleNewStack_customChain() {
	intranet := newIntranet("HTTP/localhost", fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "request", r.Header.Get("X-Request-Id"))
	})})
	defer intranet.close()

	source, err := kerberos.FromEnvironment(kerberos.SourceOptions{
		Krb5ConfText: intranet.options.Krb5ConfText, Getenv: intranet.options.Getenv, // neither in earnest
	})
	if err != nil {
		log.Fatal(err)
	}
	in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{})
	if err != nil {
		log.Fatal(err)
	}
	rt := kerbchain.Wrap(client.Connections(in, intranet.options.Transport.(*http.Transport)), // nil in earnest
		requestID,
		mutual.New(mutual.Options{}),
		negotiate.New(in, negotiate.Options{}),
	)
	c := &http.Client{Transport: rt}
	defer c.CloseIdleConnections()
	show(c.Get(intranet.url))
	// Output:
	// 200 request 42
}

// WinRM proves itself on the first response of a connection, and reports with
// SOAP faults of status 500. So every request is signed, and faults are kept.
func ExampleNewStack_winRM() {
	answer := "fault"
	host := newIntranet("WSMAN/localhost", fakeweb.Options{
		ConnectionBound: true,
		Quirks:          fakeweb.Quirks{ProofOn: fakeweb.OnSuccess}, // faults are not signed
		Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			switch answer {
			case "fault":
				w.Header().Set("Content-Type", "application/soap+xml;charset=UTF-8")
				w.WriteHeader(http.StatusInternalServerError)
				fmt.Fprint(w, "<s:Fault>the operation timed out</s:Fault>")
			case "page":
				http.Error(w, "<script>", http.StatusInternalServerError)
			default:
				fmt.Fprint(w, "<s:Body/>")
			}
		}),
	})
	defer host.close()

	o := host.options
	o.Service = "WSMAN"
	o.Preemptive = preemptive.Always()
	o.KeepError = sanitize.KeepWSMan
	stack, err := client.NewStack(o)
	if err != nil {
		log.Fatal(err)
	}
	c := &http.Client{Transport: stack.Without(client.Logging).Wrap(o.Transport)}
	defer c.CloseIdleConnections()
	for _, answer = range []string{"response", "fault", "page"} {
		show(c.Post(host.url+"/wsman", "application/soap+xml", strings.NewReader("<s:Envelope/>")))
	}
	fmt.Println("requests:", host.web.Statuses())
	// Output:
	// 200 <s:Body/>
	// 500 <s:Fault>the operation timed out</s:Fault>
	// 500
	// requests: [200 500 500]
}

// named makes a stack of stages that do nothing, for the examples below.
func named(names ...string) client.Stack {
	var s client.Stack
	for _, name := range names {
		s = append(s, client.Stage{Name: name, Middleware: kerbchain.Chain()})
	}
	return s
}

// Without sanitize, errors of unverified servers arrive whole.
func ExampleStack_Without() {
	intranet := newIntranet("HTTP/localhost", fakeweb.Options{
		Quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone},
		Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "what went wrong", http.StatusInternalServerError)
		}),
	})
	defer intranet.close()

	stack, err := client.NewStack(intranet.options)
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range []client.Stack{stack, stack.Without("sanitize")} {
		c := &http.Client{Transport: s.Wrap(intranet.options.Transport)}
		show(c.Get(intranet.url))
		c.CloseIdleConnections()
	}
	// Output:
	// 500
	// 500 what went wrong
}

// One's own stage in the place of a standard one.
func ExampleStack_Replace() {
	stack := named("logging", "negotiate").Replace("logging", func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			fmt.Println(r.Method, r.URL.Path)
			return next(r)
		}
	})
	c := &http.Client{Transport: stack.Wrap(nowhere)}
	show(c.Get("http://localhost/report"))
	// Output:
	// GET /report
	// 204
}

// nowhere answers everything with 204.
var nowhere = kerbchain.Next(func(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}, nil
})

// A stage just outside negotiate sees one request per call.
func ExampleStack_Before() {
	stack := named("mutual", "negotiate")
	fmt.Println(stack.Before("negotiate", client.Stage{Name: "requestID", Middleware: requestID}))
	// Output:
	// [mutual requestID negotiate]
}

// A stage just inside negotiate sees each request that is sent.
func ExampleStack_After() {
	intranet := newIntranet("HTTP/localhost", fakeweb.Options{})
	defer intranet.close()

	stack, err := client.NewStack(intranet.options)
	if err != nil {
		log.Fatal(err)
	}
	stack = stack.After("negotiate", client.Stage{Name: "wire", Middleware: func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			resp, err := next(r)
			if err == nil {
				fmt.Println("signed:", r.Header.Get("Authorization") != "", "-", resp.Status)
			}
			return resp, err
		}
	}})
	c := &http.Client{Transport: stack.Wrap(intranet.options.Transport)}
	defer c.CloseIdleConnections()
	show(c.Get(intranet.url))
	// Output:
	// signed: false - 401 Unauthorized
	// signed: true - 200 OK
	// 200 hello alice@EXAMPLE.COM
}
