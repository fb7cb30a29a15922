package fakekdc

import (
	"fmt"
	"net/http"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/kerberos"
)

// Client returns an HTTP client that has logged in as the user: the standard
// stack of package client, with the tickets that kinit -f would have left, and on
// the realm's clock. What else o says counts too, for example
//
//	realm.Client("alice", client.Options{Transport: server.Transport()})
//
// Its idle connections are closed with the test. An error ends the test; in a
// realm made by [New] the result is nil then.
func (r *Realm) Client(user string, o client.Options) *http.Client {
	o, err := r.clientOptions(user, o)
	if r.fail(err) != nil {
		return nil
	}
	c, err := client.New(o)
	if r.fail(err) != nil {
		return nil
	}
	if r.tb != nil {
		r.tb.Cleanup(c.CloseIdleConnections)
	}
	return c
}

// ClientOptions returns o with what leads to the realm: its clock, and as Source the
// user's tickets. What o says of krb5.conf and of KDCs goes into that source. For no
// user they are its clock and its krb5.conf, so that a client can log in by itself:
//
//	realm.ClientOptions("", client.Options{Principal: "alice", Password: secret})
//
// They are for client.New, Retryable, NewTransport and NewStack. Errors are as
// with [Realm.Client]; the result is as good as o then.
func (r *Realm) ClientOptions(user string, o client.Options) client.Options {
	full, err := r.clientOptions(user, o)
	if r.fail(err) != nil {
		return o
	}
	return full
}

func (r *Realm) clientOptions(user string, o client.Options) (client.Options, error) {
	if o.Initiator != nil {
		if user != "" {
			return o, fmt.Errorf("client for %s: the options have an initiator of their own", user)
		}
		return o, nil
	}
	if o.Now == nil {
		o.Now = r.now
	}
	if o.Source != nil && user == "" {
		return o, nil
	}
	if o.Krb5ConfText == "" && o.Krb5Conf == nil {
		o.Krb5ConfText = r.Config()
	}
	if o.Dial == nil && r.inMemory() {
		o.Dial = r.Dial
	}
	credentials := o.Source != nil || !o.Password.IsZero() || o.Keytab != "" || o.CCache != ""
	switch _, _, password := kerberos.SplitPassword(o.Principal); {
	case user == "" && (credentials || password):
		return o, nil
	case credentials || password:
		return o, fmt.Errorf("client for %s: the options have credentials of their own", user)
	}
	source, err := r.source(user, kerberos.Options{
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
// Errors are as with [Realm.Client].
func (r *Realm) TicketSource(user string) *kerberos.Source {
	o := kerberos.Options{Krb5ConfText: r.Config(), Now: r.now}
	if r.inMemory() {
		o.Dial = r.Dial
	}
	s, err := r.source(user, o)
	if r.fail(err) != nil {
		return nil
	}
	return s
}

// source reads the cache of a user from memory. The environment of the process
// has no say in it.
func (r *Realm) source(user string, o kerberos.Options) (*kerberos.Source, error) {
	b, err := r.ccache(user, nil)
	if err != nil {
		return nil, err
	}
	o.MemoryCaches = new(kerberos.MemoryCaches)
	if err := o.MemoryCaches.Put("fakekdc", b); err != nil {
		return nil, err
	}
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	return kerberos.CCache("MEMORY:fakekdc", o)
}
