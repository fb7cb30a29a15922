package clienttest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// newRealm is what fakekdc.Start(t, ...) is in a test.
func newRealm(opts ...fakekdc.Option) *fakekdc.Realm {
	realm, err := fakekdc.New(append([]fakekdc.Option{
		fakekdc.WithRealm("A.EXAMPLE"), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"),
	}, opts...)...)
	if err != nil {
		log.Fatal(err)
	}
	return realm
}

// page returns the status and the text of a page, or what kind of error there was.
func page(c *http.Client, url string) string {
	resp, err := c.Get(url)
	switch {
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
	return fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(b)))
}

func ExampleNew() {
	realm := newRealm()
	defer realm.Close()
	server := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{}), fakeweb.ServerOptions{TLS: true})
	alice := clienttest.New(nil, realm, "alice", client.Options{Transport: server.Transport()}) // in a test t takes the place of nil
	fmt.Println(page(alice, server.URL()))
	alice.CloseIdleConnections() // in a test this is done
	// Output: 200 hello alice@A.EXAMPLE
}

func ExampleOptions() {
	realm := newRealm()
	defer realm.Close()
	server := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{}), fakeweb.ServerOptions{})
	stack, err := client.NewStack(clienttest.Options(nil, realm, "alice", client.Options{}))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stack)
	transport := server.Transport()
	fmt.Println(page(&http.Client{Transport: stack.Wrap(transport)}, server.URL()))
	transport.CloseIdleConnections()
	// Output:
	// [sanitize mutual negotiate]
	// 200 hello alice@A.EXAMPLE
}

func ExampleTicketSource() {
	realm := newRealm()
	defer realm.Close()
	ticket, err := clienttest.TicketSource(nil, realm, "alice").ServiceTicket(context.Background(), "HTTP/localhost")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ticket.Client(), "at", ticket.SPN())
	for _, e := range realm.Exchanges() {
		fmt.Println(e)
	}
	// Output:
	// alice@A.EXAMPLE at HTTP/localhost@A.EXAMPLE
	// TGS/udp alice@A.EXAMPLE for HTTP/localhost@A.EXAMPLE: aes256-cts-hmac-sha1-96
}

// Code that only hands tickets on needs no realm.
func ExampleStrayTicket() {
	ticket := clienttest.StrayTicket(nil, "alice@A.EXAMPLE", "HTTP/app.example")
	fmt.Println(ticket.Client(), "at", ticket.SPN())
	// Output: alice@A.EXAMPLE at HTTP/app.example@A.EXAMPLE
}

// A source of tickets for a test of one's own.
type drawer map[string]kerberos.Ticket

func (d drawer) ServiceTicket(_ context.Context, spn string) (kerberos.Ticket, error) {
	if ticket, ok := d[spn]; ok {
		return ticket, nil
	}
	return kerberos.Ticket{}, &middleware.Error{Kind: middleware.ErrKDC, SPN: spn, Err: errors.New("not in the drawer")}
}

func ExampleTicket() {
	realm := newRealm(fakekdc.WithoutSockets())
	defer realm.Close()
	source := drawer{"HTTP/localhost": clienttest.Ticket(nil, realm, "alice", "HTTP/localhost")}

	server := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{}), fakeweb.ServerOptions{InMemory: true})
	c, err := client.New(client.Options{Source: source, Transport: server.Transport()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.CloseIdleConnections()
	fmt.Println(page(c, "http://localhost/"))
	fmt.Println(page(c, "http://elsewhere.example/"))
	fmt.Println(len(realm.Exchanges()), "exchanges")
	// Output:
	// 200 hello alice@A.EXAMPLE
	// no KDC
	// 0 exchanges
}

// Code that looks at the security context of a response, without anything sent.
func ExampleSecurityContext() {
	realm := newRealm(fakekdc.WithoutSockets())
	defer realm.Close()
	from := func(resp *http.Response) string {
		if sc := middleware.SecurityOf(resp.Request); sc != nil && sc.Verified() {
			return "verified"
		}
		return "not verified"
	}
	for _, verified := range []bool{true, false} {
		sc := clienttest.SecurityContext(nil, realm, "alice", "http://localhost/", verified)
		req := middleware.WithSecurity(httptest.NewRequest(http.MethodGet, "/", nil), sc)
		fmt.Println(from(&http.Response{Request: req}))
	}
	// Output:
	// verified
	// not verified
}
