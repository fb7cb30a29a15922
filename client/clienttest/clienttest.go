// Package clienttest makes clients and tickets of this module for tests with a realm
// of package fakekdc:
//
//	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
//	server := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{Next: app}), fakeweb.ServerOptions{TLS: true})
//	alice := clienttest.New(t, realm, "alice", client.Options{Transport: server.Transport()})
//
// They are apart from fakekdc, so that tests of other programs that use the realm do
// not depend on the client.
//
// An error ends the test. Programs that are no tests, and examples, give nil for it:
// an error is a panic then.
package clienttest

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
)

// New returns an HTTP client that has logged in as the user: the standard stack of
// package client, with the tickets that kinit -f would have left, and on the realm's
// clock. What else o says counts too. Its idle connections are closed with the test.
func New(tb fakekdc.TB, realm *fakekdc.Realm, user string, o client.Options) *http.Client {
	c, err := newClient(realm, user, o)
	if err != nil {
		fail(tb, err)
		return nil
	}
	if tb != nil {
		tb.Cleanup(c.CloseIdleConnections)
	}
	return c
}

func newClient(realm *fakekdc.Realm, user string, o client.Options) (*http.Client, error) {
	o, err := options(realm, user, o)
	if err != nil {
		return nil, err
	}
	return client.New(o)
}

// Options returns o with what leads to the realm: its clock, and as Source the user's
// tickets. What o says of krb5.conf and of KDCs goes into that source. For no user they
// are its clock and its krb5.conf, so that a client can log in by itself:
//
//	clienttest.Options(t, realm, "", client.Options{Principal: "alice", Password: secret})
//
// They are for client.New, NewRetryable, NewTransport and NewStack.
func Options(tb fakekdc.TB, realm *fakekdc.Realm, user string, o client.Options) client.Options {
	o, err := options(realm, user, o)
	if err != nil {
		fail(tb, err)
	}
	return o
}

// fail ends the test, or the goroutine where there is none.
func fail(tb fakekdc.TB, err error) {
	if tb == nil {
		panic(fmt.Errorf("clienttest: %w", err))
	}
	tb.Helper()
	tb.Fatalf("clienttest: %v", err)
}

func options(realm *fakekdc.Realm, user string, o client.Options) (client.Options, error) {
	if o.Initiator != nil {
		if user != "" {
			return o, fmt.Errorf("client for %s: the options have an initiator of their own", user)
		}
		return o, nil
	}
	if o.Now == nil {
		o.Now = realm.Now
	}
	if o.Source != nil && user == "" {
		return o, nil
	}
	if o.Krb5ConfText == "" && o.Krb5Conf == nil {
		o.Krb5ConfText = realm.Config()
	}
	if o.Dial == nil && realm.InMemory() {
		o.Dial = realm.Dial
	}
	credentials := o.Source != nil || !o.Password.IsZero() || o.Keytab != "" || o.CCache != ""
	switch _, _, password := kerberos.SplitPassword(o.Principal); {
	case user == "" && (credentials || password):
		return o, nil
	case user == "":
		return o, errors.New("client without credentials: name a user, or set credentials in the options")
	case credentials || password:
		return o, fmt.Errorf("client for %s: the options have credentials of their own", user)
	}
	source, err := source(realm, user, kerberos.SourceOptions{
		Krb5Conf: o.Krb5Conf, Krb5ConfText: o.Krb5ConfText, AllowRC4: o.AllowRC4,
		Dial: o.Dial, Resolver: o.Resolver, Now: o.Now, Getenv: o.Getenv,
	})
	if err != nil {
		return o, err
	}
	o.Source = source
	// The source has them.
	o.Krb5Conf, o.Krb5ConfText, o.AllowRC4, o.Dial, o.Resolver, o.Getenv = nil, "", false, nil, nil, nil
	return o, nil
}

// TicketSource returns a source of tickets with the ticket-granting ticket that
// kinit -f would have left to the user. It asks the realm's KDC for all others.
func TicketSource(tb fakekdc.TB, realm *fakekdc.Realm, user string) *kerberos.Source {
	s, err := source(realm, user, realmOptions(realm))
	if err != nil {
		fail(tb, err)
	}
	return s
}

// realmOptions lead a source to the realm.
func realmOptions(realm *fakekdc.Realm) kerberos.SourceOptions {
	o := kerberos.SourceOptions{Krb5ConfText: realm.Config(), Now: realm.Now}
	if realm.InMemory() {
		o.Dial = realm.Dial
	}
	return o
}

// source reads the cache of a user from memory, with tickets for services that it need
// not ask for. The environment of the process has no say in it.
func source(realm *fakekdc.Realm, user string, o kerberos.SourceOptions, services ...string) (*kerberos.Source, error) {
	b := realm.CCache(user, services...)
	if b == nil { // in a realm of no test, which would have ended
		return nil, why(realm, user, services)
	}
	o.MemoryCaches = new(kerberos.MemoryCaches)
	if err := o.MemoryCaches.Put("realm", b); err != nil {
		return nil, err
	}
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	return kerberos.FromCCache("MEMORY:realm", o)
}

// why says why the realm makes no cache of a user.
func why(realm *fakekdc.Realm, user string, services []string) error {
	for _, name := range append([]string{user}, services...) {
		if _, err := realm.Principal(name); err != nil {
			return err
		}
	}
	return fmt.Errorf("realm %s: %s or a service of %q has no key of its encryption types: rotate its keys", realm.Name(), user, services)
}
