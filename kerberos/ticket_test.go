package kerberos_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// one is a source of one ticket.
type one struct{ kerberos.Ticket }

func (o one) ServiceTicket(context.Context, string) (kerberos.Ticket, error) { return o.Ticket, nil }

// parts returns those of a ticket that a KDC granted.
func parts(t *testing.T, r *fakekdc.Realm, user, service string) kerberos.TicketParts {
	t.Helper()
	cache, err := ccache.Parse(r.CCache(user, service))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cache.Credentials {
		if c.Server.Name() != service {
			continue
		}
		ticket, err := c.Ticket()
		if err != nil {
			t.Fatal(err)
		}
		return kerberos.TicketParts{
			Client: ticket.Client.String(), Server: ticket.Server.String(), DER: ticket.Raw,
			Etype: ticket.Key.Etype(), Key: kerberos.NewSecret(string(ticket.Key.Bytes())),
			Flags: ticket.Flags, AuthTime: ticket.AuthTime, EndTime: ticket.EndTime, Source: "a drawer",
		}
	}
	t.Fatalf("no ticket for %s", service)
	return kerberos.TicketParts{}
}

// A ticket that was made of its parts signs as the one that they are of.
func TestNewTicket(t *testing.T) {
	for _, etype := range []int32{fakekdc.AES256SHA1, fakekdc.AES128SHA256, fakekdc.RC4HMAC} {
		r := fakekdc.Start(t, fakekdc.WithEtypes(etype), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
		p := parts(t, r, "alice", "HTTP/localhost")
		ticket, err := kerberos.NewTicket(p)
		if err != nil {
			t.Fatal(err)
		}
		if ticket.Client() != p.Client || ticket.SPN() != p.Server || ticket.Etype() != etype || ticket.Source() != "a drawer" || !ticket.EndTime().Equal(p.EndTime) {
			t.Errorf("%v of etype %d from %q until %v", ticket, ticket.Etype(), ticket.Source(), ticket.EndTime())
		}
		in, err := kerberos.NewInitiator(one{ticket}, kerberos.InitiatorOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for scheme, want := range map[middleware.Scheme]spnego.Kind{middleware.Kerberos: spnego.APReq, middleware.Negotiate: spnego.NegTokenInit} {
			sc, err := in.Initiate(t.Context(), middleware.Target{Host: "localhost", Port: "80", Scheme: scheme})
			if err != nil {
				t.Fatal(err)
			}
			if token, err := sc.Step(t.Context(), nil); err != nil || spnego.Classify(token) != want {
				t.Errorf("a token of %s is %s: %v", scheme, spnego.Classify(token), err)
			}
		}
		sc, err := in.Initiate(t.Context(), middleware.Target{Host: "localhost", Port: "80"})
		if err != nil {
			t.Fatal(err)
		}
		token, err := sc.Step(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := r.Accept(token, fakekdc.AcceptOptions{Service: "HTTP/localhost"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sc.Step(t.Context(), accepted.Response()); err != nil || !sc.Verified() {
			t.Errorf("etype %d: verified %v: %v", etype, sc.Verified(), err)
		}
	}
}

func TestNewTicketRefuses(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	for name, tc := range map[string]struct {
		change func(*kerberos.TicketParts)
		want   string
	}{
		"no client":       {func(p *kerberos.TicketParts) { p.Client = "" }, "ticket's client: principal name is empty"},
		"no server":       {func(p *kerberos.TicketParts) { p.Server = "" }, "ticket's server: principal name is empty"},
		"no ticket":       {func(p *kerberos.TicketParts) { p.DER = nil }, "malformed Kerberos message: ticket"},
		"no etype":        {func(p *kerberos.TicketParts) { p.Etype = 0 }, "ticket's session key: encryption type not supported"},
		"another's etype": {func(p *kerberos.TicketParts) { p.Etype = krb.AES128SHA1 }, "ticket's session key: key of 32 bytes for aes128"},
		"no key":          {func(p *kerberos.TicketParts) { p.Key = kerberos.Secret{} }, "ticket's session key: key of 0 bytes"},
	} {
		p := parts(t, r, "alice", "HTTP/localhost")
		tc.change(&p)
		if ticket, err := kerberos.NewTicket(p); err == nil || !strings.HasPrefix(err.Error(), tc.want) || !ticket.IsZero() {
			t.Errorf("%s: %v, %v, want %q", name, ticket, err, tc.want)
		}
	}
}

// Nothing prints the session key of what a ticket is to be made of.
func TestTicketPartsKeepTheKey(t *testing.T) {
	p := kerberos.TicketParts{Source: "canary", Key: kerberos.NewSecret("sixteen bytes ..")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		text := fmt.Sprintf(verb, p)
		for _, key := range []string{"sixteen", fmt.Sprintf("%x", "sixteen"), base64.StdEncoding.EncodeToString([]byte("sixteen"))[:8]} {
			if strings.Contains(text, key) {
				t.Errorf("%s: %s", verb, text)
			}
		}
		if verb != "%x" && !strings.Contains(text, "canary") {
			t.Errorf("%s shows nothing: %s", verb, text)
		}
	}
}
