package kerberos_test

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/initiatortest"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// Servers are told that we know of bindings where that is so, and asked for.
func TestBindingsAware(t *testing.T) {
	t.Parallel()
	const conf = "client_aware_channel_bindings = true"
	for name, tc := range map[string]struct {
		line      string
		o         kerberos.InitiatorOptions
		server    fakeweb.ServerOptions
		aware     bool
		bound     bool
		elsewhere bool // the source is not one of the package
	}{
		"not asked for":               {server: fakeweb.ServerOptions{TLS: true}, bound: true},
		"said no":                     {line: "client_aware_channel_bindings = false", server: fakeweb.ServerOptions{TLS: true}, bound: true},
		"krb5.conf":                   {line: conf, server: fakeweb.ServerOptions{TLS: true}, aware: true, bound: true},
		"krb5.conf, required":         {line: conf, o: kerberos.InitiatorOptions{Bindings: kerberos.BindingsRequired}, server: fakeweb.ServerOptions{TLS: true}, aware: true, bound: true},
		"krb5.conf, plain HTTP":       {line: conf, aware: true},
		"krb5.conf, off":              {line: conf, o: kerberos.InitiatorOptions{Bindings: kerberos.BindingsOff}, server: fakeweb.ServerOptions{TLS: true}},
		"krb5.conf, off, plain HTTP":  {line: conf, o: kerberos.InitiatorOptions{Bindings: kerberos.BindingsOff}},
		"krb5.conf, none are defined": {line: conf, server: fakeweb.ServerOptions{TLS: true, Signature: x509.PureEd25519}},
		"krb5.conf, other source":     {line: conf, server: fakeweb.ServerOptions{TLS: true}, bound: true, elsewhere: true},
		"options":                     {o: kerberos.InitiatorOptions{ClientAwareBindings: true}, server: fakeweb.ServerOptions{TLS: true}, aware: true, bound: true, elsewhere: true},
		"options, off":                {o: kerberos.InitiatorOptions{ClientAwareBindings: true, Bindings: kerberos.BindingsOff}, server: fakeweb.ServerOptions{TLS: true}},
		"options, mutual off":         {o: kerberos.InitiatorOptions{ClientAwareBindings: true, NoMutual: true}, server: fakeweb.ServerOptions{TLS: true}, aware: true, bound: true},
	} {
		t.Run(name, func(t *testing.T) {
			realm := start(t, fakekdc.WithEtypes(fakekdc.AES256SHA1))
			ko := environment(realm)
			ko.Krb5ConfText = realm.Config(tc.line)
			var source kerberos.TicketSource
			source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice", spn)), ko)
			if err != nil {
				t.Fatal(err)
			}
			if tc.elsewhere {
				source = struct{ kerberos.TicketSource }{source}
			}
			in, err := kerberos.NewInitiator(source, tc.o)
			if err != nil {
				t.Fatal(err)
			}
			h := fakeweb.New(realm, spn, fakeweb.Options{})
			_, resp, err := initiatortest.Exchange(t, in, fakeweb.Serve(realm, h, tc.server), middleware.Negotiate)
			if resp == nil || resp.StatusCode != 200 {
				t.Fatalf("%v, %v", resp, err)
			}
			last := h.Requests()[len(h.Requests())-1]
			if last.Caller.Aware != tc.aware || last.Caller.Bound != tc.bound {
				t.Errorf("aware %t, bound %t; want %t, %t", last.Caller.Aware, last.Caller.Bound, tc.aware, tc.bound)
			}
		})
	}
}

// A token that was made for plain HTTP is of no use at a TLS server, once
// clients tell that they know of bindings.
func TestBindingsAwareAgainstRelay(t *testing.T) {
	realm := start(t, fakekdc.WithEtypes(fakekdc.AES256SHA1))
	source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice", spn)), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	for _, aware := range []bool{false, true} {
		in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{ClientAwareBindings: aware})
		if err != nil {
			t.Fatal(err)
		}
		// The initiator sees plain HTTP, and whoever listens there passes it on.
		relayed := middleware.InitiatorFunc(func(ctx context.Context, _ middleware.Target) (middleware.SecurityContext, error) {
			return in.Initiate(ctx, middleware.Target{Host: "localhost", Port: "80"})
		})
		server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{}), fakeweb.ServerOptions{TLS: true})
		_, resp, err := initiatortest.Exchange(t, relayed, server, middleware.Negotiate)
		if resp == nil {
			t.Fatal(err)
		}
		want := 200
		if aware {
			want = 401
		}
		if resp.StatusCode != want {
			t.Errorf("aware %t: %d, want %d", aware, resp.StatusCode, want)
		}
	}
}

// What cannot be bound is told as what it is.
func TestBindingsOfProxy(t *testing.T) {
	realm := start(t, fakekdc.WithEtypes(fakekdc.AES256SHA1), fakekdc.WithService("HTTP/proxy.example"))
	source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		o  kerberos.InitiatorOptions
		ok bool
	}{
		"required of all": {kerberos.InitiatorOptions{Bindings: kerberos.BindingsRequired}, false},
		"of its own":      {kerberos.InitiatorOptions{Bindings: kerberos.BindingsRequired, Proxy: &kerberos.InitiatorOptions{}}, true},
		"auto":            {kerberos.InitiatorOptions{}, true},
	} {
		in, err := kerberos.NewInitiator(source, tc.o)
		if err != nil {
			t.Fatal(err)
		}
		sc, err := in.Initiate(t.Context(), middleware.Target{Host: "proxy.example", Port: "3128", Proxy: true})
		if err != nil {
			t.Fatal(err)
		}
		_, err = sc.Step(t.Context(), nil)
		if (err == nil) != tc.ok || !tc.ok && (!errors.Is(err, middleware.ErrToken) || !strings.Contains(err.Error(), "InitiatorOptions.Proxy")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
