package kdcclient_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/keytab"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// s4uRealms trust the one in the middle: the service is of SVC.TEST, users are there and
// in USR.TEST, and where it acts is in TGT.TEST.
type s4uRealms struct {
	svc, mid, usr, tgt *fakekdc.Realm
	dial               func(next dialer) dialer // around the realms'
	tickets            map[string]*krb.Ticket   // kept
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

var aliceCertificate, carolCertificate = []byte("alice's certificate"), []byte("carol's certificate")

func newS4URealms(tb testing.TB) *s4uRealms {
	tb.Helper()
	return s4uRealmsWith(tb, fakekdc.WithPAC())
}

func s4uRealmsWith(tb testing.TB, opts ...fakekdc.Option) *s4uRealms {
	tb.Helper()
	start := func(name string, more ...fakekdc.Option) *fakekdc.Realm {
		return fakekdc.Start(tb, append(append([]fakekdc.Option{
			fakekdc.WithRealm(name), fakekdc.WithoutSockets(), fakekdc.WithEtypes(krb.AES256SHA1),
		}, opts...), more...)...)
	}
	w := &s4uRealms{
		svc: start("SVC.TEST", fakekdc.WithUser("alice", password, fakekdc.Certificate(aliceCertificate)), fakekdc.WithService("HTTP/gw", fakekdc.TrustedToAuth(), fakekdc.AllowedToDelegateTo("HTTP/near")),
			fakekdc.WithService("HTTP/near")),
		mid: start("MID.TEST"),
		usr: start("USR.TEST", fakekdc.WithUser("carol", password, fakekdc.Certificate(carolCertificate)), fakekdc.WithUser("vip", password, fakekdc.NotForwardable()),
			fakekdc.WithUser("locked", password, fakekdc.Refuse(fakekdc.CodeClientRevoked))),
		tgt: start("TGT.TEST", fakekdc.WithUser("tom", password), fakekdc.WithService("HTTP/db", fakekdc.AllowedToDelegateFrom("HTTP/gw@SVC.TEST")), fakekdc.WithService("HTTP/shut")),
	}
	for _, r := range []*fakekdc.Realm{w.svc, w.usr, w.tgt} {
		if err := r.Trust(w.mid); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.usr.Alias("carol@corp.test", "carol"); err != nil {
		tb.Fatal(err)
	}
	return w
}

func (w *s4uRealms) all() []*fakekdc.Realm { return []*fakekdc.Realm{w.svc, w.mid, w.usr, w.tgt} }

// client knows the KDCs of all realms, and no path between them.
func (w *s4uRealms) client(tb testing.TB) *kdcclient.Client {
	tb.Helper()
	dial := dialer(w.svc.Dial)
	if w.dial != nil {
		dial = w.dial(dial)
	}
	return kdcclient.New(kdcclient.Options{
		Etypes: krb.DefaultEtypes(false), Now: w.svc.Now, Dial: dial, UDPPreferenceLimit: 1, Pacing: kdcclient.Pacing{Next: time.Minute},
		Locate: func(_ context.Context, realm string) ([]kdcclient.KDC, error) {
			for _, r := range w.all() {
				if r.Name() == realm {
					host, _, err := net.SplitHostPort(r.Addr())
					return []kdcclient.KDC{{Host: host, Port: 88}}, err
				}
			}
			return nil, nil
		},
	})
}

// service is the ticket-granting ticket of HTTP/gw.
func (w *s4uRealms) service(tb testing.TB) *krb.Ticket {
	tb.Helper()
	c, err := ccache.Parse(w.svc.CCache("HTTP/gw"))
	if err != nil {
		tb.Fatal(err)
	}
	tgt, err := c.Credentials[0].Ticket()
	if err != nil {
		tb.Fatal(err)
	}
	return tgt
}

// options keep cross-realm tickets.
func (w *s4uRealms) options() kdcclient.TGSOptions {
	if w.tickets == nil {
		w.tickets = make(map[string]*krb.Ticket)
	}
	return kdcclient.TGSOptions{
		Held: func(realm string) *krb.Ticket { return w.tickets[realm] },
		Keep: func(t *krb.Ticket) { w.tickets[t.Server.Components[1]] = t },
	}
}

// exchanges are what the realms were asked since the last time.
func (w *s4uRealms) exchanges() map[string][]string {
	out := make(map[string][]string)
	for _, r := range w.all() {
		for _, e := range r.Exchanges() {
			what := e.Kind.String() + " " + e.Server + " for " + e.For + ": " + e.Granted
			if e.Code != 0 {
				what = e.Kind.String() + " " + e.Server + ": " + krb.ErrorName(e.Code)
			}
			out[r.Name()] = append(out[r.Name()], what)
		}
		r.ResetExchanges()
	}
	return out
}

// TestS4USelfAcrossRealms: a user of another realm is asked for there, and the service's
// own realm gives the ticket. What was got on the way there is kept, what leads back not.
func TestS4USelfAcrossRealms(t *testing.T) {
	upn := krb.Principal{Type: krb.NTEnterprise, Components: []string{"carol@corp.test"}, Realm: "SVC.TEST"}
	for name, tc := range map[string]struct {
		user        krb.Principal
		certificate []byte
		want        string
		asked       map[string][]string
	}{
		"name": {user: krb.NewPrincipal("USR.TEST", "carol"), want: "carol@USR.TEST", asked: map[string][]string{
			"SVC.TEST": {"TGS krbtgt/USR.TEST@SVC.TEST for : krbtgt/MID.TEST@SVC.TEST", "TGS HTTP/gw@SVC.TEST for carol@USR.TEST: HTTP/gw@SVC.TEST"},
			"MID.TEST": {"TGS krbtgt/USR.TEST@MID.TEST for : krbtgt/USR.TEST@MID.TEST", `TGS HTTP\/gw\@SVC.TEST@MID.TEST for carol@USR.TEST: krbtgt/SVC.TEST@MID.TEST`},
			"USR.TEST": {`TGS HTTP\/gw\@SVC.TEST@USR.TEST for carol@USR.TEST: krbtgt/MID.TEST@USR.TEST`},
		}},
		"enterprise name": {user: upn, want: "carol@USR.TEST", asked: map[string][]string{
			"SVC.TEST": {"AS krbtgt/SVC.TEST@SVC.TEST: KDC_ERR_WRONG_REALM", "TGS krbtgt/USR.TEST@SVC.TEST for : krbtgt/MID.TEST@SVC.TEST", "TGS HTTP/gw@SVC.TEST for carol@USR.TEST: HTTP/gw@SVC.TEST"},
			"MID.TEST": {"TGS krbtgt/USR.TEST@MID.TEST for : krbtgt/USR.TEST@MID.TEST", `TGS HTTP\/gw\@SVC.TEST@MID.TEST for carol@USR.TEST: krbtgt/SVC.TEST@MID.TEST`},
			"USR.TEST": {"AS krbtgt/USR.TEST@USR.TEST: KDC_ERR_PREAUTH_REQUIRED", `TGS HTTP\/gw\@SVC.TEST@USR.TEST for carol@USR.TEST: krbtgt/MID.TEST@USR.TEST`},
		}},
		"enterprise name of a realm that is known": {user: krb.Principal{Type: krb.NTEnterprise, Components: []string{"carol@corp.test"}, Realm: "USR.TEST"}, want: "carol@USR.TEST", asked: map[string][]string{
			"SVC.TEST": {"TGS krbtgt/USR.TEST@SVC.TEST for : krbtgt/MID.TEST@SVC.TEST", "TGS HTTP/gw@SVC.TEST for carol@USR.TEST: HTTP/gw@SVC.TEST"},
			"MID.TEST": {"TGS krbtgt/USR.TEST@MID.TEST for : krbtgt/USR.TEST@MID.TEST", `TGS HTTP\/gw\@SVC.TEST@MID.TEST for carol@USR.TEST: krbtgt/SVC.TEST@MID.TEST`},
			"USR.TEST": {`TGS HTTP\/gw\@SVC.TEST@USR.TEST for carol@USR.TEST: krbtgt/MID.TEST@USR.TEST`},
		}},
		"certificate": {certificate: carolCertificate, want: "carol@USR.TEST", asked: map[string][]string{
			"SVC.TEST": {"AS krbtgt/SVC.TEST@SVC.TEST: KDC_ERR_WRONG_REALM", "TGS krbtgt/USR.TEST@SVC.TEST for : krbtgt/MID.TEST@SVC.TEST", "TGS HTTP/gw@SVC.TEST for carol@USR.TEST: HTTP/gw@SVC.TEST"},
			"MID.TEST": {"TGS krbtgt/USR.TEST@MID.TEST for : krbtgt/USR.TEST@MID.TEST", `TGS HTTP\/gw\@SVC.TEST@MID.TEST for carol@USR.TEST: krbtgt/SVC.TEST@MID.TEST`},
			"USR.TEST": {"AS krbtgt/USR.TEST@USR.TEST: KDC_ERR_PREAUTH_REQUIRED", `TGS HTTP\/gw\@SVC.TEST@USR.TEST for carol@USR.TEST: krbtgt/MID.TEST@USR.TEST`},
		}},
		"certificate of one's own realm": {certificate: aliceCertificate, want: "alice@SVC.TEST", asked: map[string][]string{
			"SVC.TEST": {"AS krbtgt/SVC.TEST@SVC.TEST: KDC_ERR_PREAUTH_REQUIRED", "TGS HTTP/gw@SVC.TEST for alice@SVC.TEST: HTTP/gw@SVC.TEST"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newS4URealms(t)
			c, tgt, o := w.client(t), w.service(t), w.options()
			self := func() (*krb.Ticket, error) {
				if tc.certificate != nil {
					return c.SelfByCertificate(t.Context(), tgt, tc.certificate, o)
				}
				return c.Self(t.Context(), tgt, tc.user, o)
			}
			got, err := self()
			if err != nil || got.Client.String() != tc.want || !got.Server.Equal(tgt.Client) || got.Flags&krb.FlagForwardable == 0 {
				t.Fatalf("%v, %v", got, err)
			}
			if diff := cmp.Diff(tc.asked, w.exchanges()); diff != "" {
				t.Error(diff)
			}
			if got.Client.Realm == "SVC.TEST" {
				return
			}
			// Only one's own realm may speak for others that were not on a path.
			if kept := slices.Sorted(maps.Keys(w.tickets)); !slices.Equal(kept, []string{"MID.TEST"}) {
				t.Errorf("kept are tickets for %v", kept)
			}
			for realm, kept := range w.tickets {
				if !kept.Client.Equal(tgt.Client) {
					t.Errorf("a ticket of %s for realm %s is kept", kept.Client, realm)
				}
			}
			if _, err := self(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestS4UProxyAcrossRealms: a target of another realm lets the service act for users of
// any realm, or does not.
func TestS4UProxyAcrossRealms(t *testing.T) {
	w := newS4URealms(t)
	c, tgt, o := w.client(t), w.service(t), w.options()
	evidence := func(user string) *krb.Ticket {
		t.Helper()
		p, err := krb.ParsePrincipal(user)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Self(t.Context(), tgt, p, o)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for name, tc := range map[string]struct {
		user, server string
		code         int32
		kind         kdcclient.Kind
	}{
		"by referral":             {"alice@SVC.TEST", "HTTP/db", 0, 0},
		"realm known":             {"alice@SVC.TEST", "HTTP/db@TGT.TEST", 0, 0},
		"user of a third realm":   {"carol@USR.TEST", "HTTP/db", 0, 0},
		"user of the target's":    {"tom@TGT.TEST", "HTTP/db", 0, 0},
		"near":                    {"carol@USR.TEST", "HTTP/near", 0, 0},
		"target that lets no one": {"carol@USR.TEST", "HTTP/shut", krb.CodeBadOption, kdcclient.KindRefused},
		"no such target":          {"carol@USR.TEST", "HTTP/none", krb.CodeServerUnknown, kdcclient.KindRefused},
		"wrong realm":             {"carol@USR.TEST", "HTTP/near@TGT.TEST", 0, kdcclient.KindReferral},
		"no such target there":    {"carol@USR.TEST", "HTTP/none@TGT.TEST", krb.CodeServerUnknown, kdcclient.KindRefused},
	} {
		t.Run(name, func(t *testing.T) {
			server, err := krb.ParsePrincipal(tc.server)
			if err != nil {
				t.Fatal(err)
			}
			ticket := evidence(tc.user)
			w.exchanges()
			got, err := c.Proxy(t.Context(), tgt, ticket, server, o)
			asked := w.exchanges()
			if plain := slices.ContainsFunc(asked["TGT.TEST"], func(s string) bool { return strings.HasPrefix(s, "TGS HTTP/db@TGT.TEST for : ") }); plain && server.Realm != "" {
				t.Errorf("the realm is known, and was looked for: %v", asked)
			}
			if n := len(asked["SVC.TEST"]); tc.code == krb.CodeServerUnknown && server.Realm != "" && n != 1 {
				t.Errorf("asked %d times for what another realm has: %v", n, asked)
			}
			if tc.kind == 0 {
				if err != nil || got.Client.String() != tc.user || !got.Server.SameName(server) {
					t.Errorf("%v, %v", got, err)
				}
			} else if e, ok := errors.AsType[*kdcclient.Error](err); !ok || e.Kind != tc.kind || e.Code != tc.code {
				t.Errorf("%v, %v", got, err)
			}
			for realm, kept := range w.tickets {
				if !kept.Client.Equal(tgt.Client) {
					t.Errorf("a ticket of %s for realm %s is kept", kept.Client, realm)
				}
			}
			// Kept tickets have no user in them: with one that has, a KDC gives no ticket
			// for a service.
			for _, r := range []string{"MID.TEST", "TGT.TEST"} {
				if w.tickets[r] == nil {
					continue
				}
				if _, err := c.TGS(t.Context(), tgt, krb.NewPrincipal("TGT.TEST", "HTTP", "db"), o); err != nil {
					t.Errorf("by the tickets that were kept: %v", err)
				}
			}
		})
	}
	// Users whom their realm forbids to delegate, in the first realm or the last.
	if _, err := c.Proxy(t.Context(), tgt, evidence("vip@USR.TEST"), krb.NewPrincipal("", "HTTP", "near"), o); err == nil {
		t.Error("a user who may not be delegated was")
	}
}

// TestS4UAcrossRealmsRefused: wherever on its way an answer is wrong, no ticket comes of it.
func TestS4UAcrossRealmsRefused(t *testing.T) {
	carol := krb.NewPrincipal("USR.TEST", "carol")
	upn := krb.Principal{Type: krb.NTEnterprise, Components: []string{"carol@corp.test"}, Realm: "SVC.TEST"}
	self := func(user krb.Principal) func(context.Context, *s4uRealms, *kdcclient.Client, *krb.Ticket, *krb.Ticket) error {
		return func(ctx context.Context, w *s4uRealms, c *kdcclient.Client, tgt, _ *krb.Ticket) error {
			_, err := c.Self(ctx, tgt, user, kdcclient.TGSOptions{})
			return err
		}
	}
	proxy := func(ctx context.Context, w *s4uRealms, c *kdcclient.Client, tgt, evidence *krb.Ticket) error {
		_, err := c.Proxy(ctx, tgt, evidence, krb.NewPrincipal("", "HTTP", "db"), kdcclient.TGSOptions{})
		return err
	}
	on := func(realm func(*s4uRealms) *fakekdc.Realm, kind fakekdc.Kind, skip int, fault fakekdc.Fault) func(*s4uRealms) {
		return func(w *s4uRealms) {
			var faults []fakekdc.Fault
			for range skip {
				faults = append(faults, fakekdc.Delay(0))
			}
			realm(w).FailNext(kind, append(faults, fault)...)
		}
	}
	svc, mid := func(w *s4uRealms) *fakekdc.Realm { return w.svc }, func(w *s4uRealms) *fakekdc.Realm { return w.mid }
	usr, tgt := func(w *s4uRealms) *fakekdc.Realm { return w.usr }, func(w *s4uRealms) *fakekdc.Realm { return w.tgt }
	for name, tc := range map[string]struct {
		do     func(context.Context, *s4uRealms, *kdcclient.Client, *krb.Ticket, *krb.Ticket) error
		spoilt func(*s4uRealms)
		says   string
	}{
		"unknown user":  {self(krb.NewPrincipal("USR.TEST", "nobody")), nil, "C_PRINCIPAL_UNKNOWN"},
		"locked user":   {self(krb.NewPrincipal("USR.TEST", "locked")), nil, "CLIENT_REVOKED"},
		"unknown realm": {self(krb.NewPrincipal("NO.TEST", "carol")), nil, "no way to realm"},
		"users led in a circle": {self(upn), func(w *s4uRealms) {
			w.usr.Alias("carol@corp.test", "")
			w.svc.ReferUsers("carol@corp.test", "USR.TEST")
			w.usr.ReferUsers("carol@corp.test", "SVC.TEST")
		}, "back to realm"},
		"users led nowhere":                   {self(upn), func(w *s4uRealms) { w.svc.ReferUsers("carol@corp.test", "NO.TEST") }, "no KDC is known"},
		"user's realm ignores the user":       {self(carol), on(usr, fakekdc.TGS, 0, fakekdc.IgnoreUser()), "nothing that is sealed says"},
		"realm between ignores the user":      {self(carol), on(mid, fakekdc.TGS, 1, fakekdc.IgnoreUser()), "another client's"},
		"own realm ignores the user":          {self(carol), on(svc, fakekdc.TGS, 1, fakekdc.IgnoreUser()), ""},
		"user's realm says it is mallory":     {self(carol), on(usr, fakekdc.TGS, 0, fakekdc.WrongUser()), "was changed"},
		"realm between says it is mallory":    {self(carol), on(mid, fakekdc.TGS, 1, fakekdc.WrongUser()), "was changed"},
		"own realm says it is mallory":        {self(carol), on(svc, fakekdc.TGS, 1, fakekdc.WrongUser()), "was changed"},
		"mallory's outside, user's realm":     {self(carol), on(usr, fakekdc.TGS, 0, fakekdc.WrongClient()), "for client mallory"},
		"mallory's outside, own realm":        {self(carol), on(svc, fakekdc.TGS, 1, fakekdc.WrongClient()), "for client mallory"},
		"other server, user's realm":          {self(carol), on(usr, fakekdc.TGS, 0, fakekdc.WrongServer()), "mallory.example"},
		"other realm, user's realm":           {self(carol), on(usr, fakekdc.TGS, 0, fakekdc.WrongRealm()), "ELSEWHERE"},
		"other nonce, realm between":          {self(carol), on(mid, fakekdc.TGS, 1, fakekdc.WrongNonce()), "nonce"},
		"led back to the user's realm":        {self(carol), on(mid, fakekdc.TGS, 1, fakekdc.ReferTo("USR.TEST")), "back to realm"},
		"led to oneself":                      {self(carol), on(usr, fakekdc.TGS, 0, fakekdc.ReferTo("USR.TEST")), ""},
		"led on from one's own realm":         {self(carol), on(svc, fakekdc.TGS, 1, fakekdc.ReferTo("MID.TEST")), "gives a ticket for krbtgt/MID.TEST"},
		"no PAC":                              {self(carol), nil, "TGT_REVOKED"},
		"proxy, mallory's outside, own realm": {proxy, on(svc, fakekdc.TGS, 0, fakekdc.WrongClient()), "for client mallory"},
		"proxy, mallory's outside, target's":  {proxy, on(tgt, fakekdc.TGS, 1, fakekdc.WrongClient()), "for client mallory"},
		"proxy, other server, target's":       {proxy, on(tgt, fakekdc.TGS, 1, fakekdc.WrongServer()), "mallory.example"},
		"proxy, other nonce, realm between":   {proxy, on(mid, fakekdc.TGS, 1, fakekdc.WrongNonce()), "nonce"},
		"proxy, led on from the target's":     {proxy, on(tgt, fakekdc.TGS, 1, fakekdc.ReferTo("MID.TEST")), ""},
		"proxy, led in a circle":              {proxy, on(mid, fakekdc.TGS, 0, fakekdc.ReferTo("SVC.TEST")), "back to realm"},
		"proxy, led in a circle, user":        {proxy, on(mid, fakekdc.TGS, 1, fakekdc.ReferTo("SVC.TEST")), "back to realm"},
		"proxy, silent of targets, own realm": {proxy, on(svc, fakekdc.TGS, 0, fakekdc.NoPACOptions()), "does not say that targets"},
		"proxy, silent of targets, target's":  {proxy, on(tgt, fakekdc.TGS, 1, fakekdc.NoPACOptions()), "does not say that targets"},
	} {
		t.Run(name, func(t *testing.T) {
			var w *s4uRealms
			if name == "no PAC" {
				w = s4uRealmsWith(t)
			} else {
				w = newS4URealms(t)
			}
			c, ticket := w.client(t), w.service(t)
			var evidence *krb.Ticket
			if strings.HasPrefix(name, "proxy") {
				var err error
				if evidence, err = c.Self(t.Context(), ticket, krb.NewPrincipal("SVC.TEST", "alice"), kdcclient.TGSOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			if tc.spoilt != nil {
				tc.spoilt(w)
			}
			err := tc.do(t.Context(), w, c, ticket, evidence)
			if e, ok := errors.AsType[*kdcclient.Error](err); !ok || !strings.Contains(e.Error(), tc.says) {
				t.Errorf("%v, after %v", err, w.exchanges())
			}
		})
	}
}

// TestS4UAcrossRealmsByKeys: where the KDCs seal whose the ticket is in the ticket alone,
// the service's keys tell.
func TestS4UAcrossRealmsByKeys(t *testing.T) {
	w := newS4URealms(t)
	c, tgt := w.client(t), w.service(t)
	var own []krb.Key
	for e, err := range keytab.Entries(w.svc.Keytab("HTTP/gw")) {
		if err != nil {
			t.Fatal(err)
		}
		key, err := e.Key()
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, key)
	}
	silent := func() {
		w.svc.FailNext(fakekdc.TGS, fakekdc.Delay(0), fakekdc.UserInTicketAlone())
		w.mid.FailNext(fakekdc.TGS, fakekdc.Delay(0), fakekdc.UserInTicketAlone())
		w.usr.FailNext(fakekdc.TGS, fakekdc.UserInTicketAlone())
	}
	silent()
	got, err := c.Self(t.Context(), tgt, krb.NewPrincipal("USR.TEST", "carol"), kdcclient.TGSOptions{Own: own})
	if err != nil || got.Client.String() != "carol@USR.TEST" {
		t.Errorf("%v, %v", got, err)
	}
	for _, r := range w.all() {
		r.ClearFaults()
	}
	silent()
	if got, err = c.SelfByCertificate(t.Context(), tgt, carolCertificate, kdcclient.TGSOptions{Own: own}); err == nil || !strings.Contains(err.Error(), "whose the certificate is") {
		t.Errorf("by certificate: %v, %v", got, err)
	}
}

// TestS4UByHeldTickets: cross-realm tickets of the caller's are the service's own way, and
// never stand for those that have a user in them; one that is no longer good is got anew.
func TestS4UByHeldTickets(t *testing.T) {
	w := newS4URealms(t)
	c, tgt, o := w.client(t), w.service(t), w.options()
	carol, db := krb.NewPrincipal("USR.TEST", "carol"), krb.NewPrincipal("TGT.TEST", "HTTP", "db")
	for _, realm := range []string{"USR.TEST", "TGT.TEST"} {
		cross, err := c.TGT(t.Context(), tgt, realm, o)
		if err != nil {
			t.Fatal(err)
		}
		w.tickets[realm] = cross
	}
	act := func(what string) {
		t.Helper()
		evidence, err := c.Self(t.Context(), tgt, carol, o)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		got, err := c.Proxy(t.Context(), tgt, evidence, db, o)
		if err != nil || !got.Client.Equal(carol) {
			t.Fatalf("%s: %v, %v", what, got, err)
		}
	}
	w.exchanges()
	act("at hand")
	if n := len(w.exchanges()["MID.TEST"]); n != 2 { // back from the user's realm, and on with the user
		t.Errorf("the realm in the middle was asked %d times", n)
	}
	// Each call may meet the dead ones anew, or what the last one kept.
	for _, realms := range [][]string{{"USR.TEST"}, {"TGT.TEST"}, {"MID.TEST", "USR.TEST", "TGT.TEST"}} {
		for _, realm := range realms {
			dead := *w.tickets[realm]
			key, err := krb.GenerateKey(dead.Key.Etype())
			if err != nil {
				t.Fatal(err)
			}
			dead.Key = key
			w.tickets[realm] = &dead
		}
		act(fmt.Sprint("dead are those for ", realms))
	}
}

// TestS4USeeks: which answers to a login tell that the user is here.
func TestS4USeeks(t *testing.T) {
	upn := krb.Principal{Type: krb.NTEnterprise, Components: []string{"alice@SVC.TEST"}, Realm: "SVC.TEST"}
	for code, here := range map[int32]bool{
		krb.CodePreauthRequired: true, krb.CodeKeyExpired: true, krb.CodeEtypeNoSupport: true,
		krb.CodeClientRevoked: false, krb.CodeClientUnknown: false, krb.CodePolicy: false, krb.CodeGeneric: false,
	} {
		w := newS4URealms(t)
		c, tgt := w.client(t), w.service(t)
		w.svc.FailNext(fakekdc.AS, fakekdc.ReplyError(code, nil))
		got, err := c.Self(t.Context(), tgt, upn, kdcclient.TGSOptions{})
		e, refused := errors.AsType[*kdcclient.Error](err)
		if (err == nil) != here || !here && (!refused || e.Code != code) {
			t.Errorf("%s: %v, %v", krb.ErrorName(code), got, err)
		}
	}
	// So does a ticket, for a user who gets one without any proof.
	w := newS4URealms(t)
	if err := w.svc.AddUser("open", password, fakekdc.NoPreauth()); err != nil {
		t.Fatal(err)
	}
	upn.Components = []string{"open@SVC.TEST"}
	if got, err := w.client(t).Self(t.Context(), w.service(t), upn, kdcclient.TGSOptions{}); err != nil || got.Client.Name() != "open" {
		t.Errorf("%v, %v", got, err)
	}
}

// TestS4UWithoutCanonicalize: KDCs that do not know the option are asked once more
// without it, and no more than once.
func TestS4UWithoutCanonicalize(t *testing.T) {
	for refusals := range 3 {
		r, c, tgt := serviceWorld(t, krb.AES256SHA1, nil)
		for range refusals {
			r.FailNext(fakekdc.TGS, fakekdc.ReplyError(krb.CodeBadOption, nil))
		}
		alice := krb.NewPrincipal(r.Name(), "alice")
		got, err := c.Self(t.Context(), tgt, alice, kdcclient.TGSOptions{})
		if (err == nil) != (refusals < 2) || r.Count(fakekdc.TGS, krb.CodeBadOption) != refusals {
			t.Errorf("after %d refusals: %v, %v", refusals, got, err)
		}
		evidence, err := c.Self(t.Context(), tgt, alice, kdcclient.TGSOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r.ResetExchanges()
		for range refusals {
			r.FailNext(fakekdc.TGS, fakekdc.ReplyError(krb.CodeBadOption, nil))
		}
		got, err = c.Proxy(t.Context(), tgt, evidence, krb.NewPrincipal("", "HTTP", "db"), kdcclient.TGSOptions{})
		if (err == nil) != (refusals < 2) || r.Count(fakekdc.TGS, krb.CodeBadOption) != refusals {
			t.Errorf("for another, after %d refusals: %v, %v", refusals, got, err)
		}
	}
}

// TestS4USeeksInArmor: with armour, an answer that is not sealed finds nobody.
func TestS4USeeksInArmor(t *testing.T) {
	w := s4uRealmsWith(t, fakekdc.WithPAC(), fakekdc.WithFAST())
	if err := w.svc.AddUser("open", password, fakekdc.NoPreauth()); err != nil {
		t.Fatal(err)
	}
	c := w.client(t)
	tgt := *w.service(t)
	tgt.FAST = true
	for user, fault := range map[string]fakekdc.Fault{"alice": fakekdc.Delay(0), "open": fakekdc.Delay(0), "open, unfinished": fakekdc.MissingFinished(), "open, another key": fakekdc.WrongArmorKey()} {
		name, spoilt, _ := strings.Cut(user, ",")
		w.svc.FailNext(fakekdc.AS, fault)
		got, err := c.Self(t.Context(), &tgt, krb.Principal{Type: krb.NTEnterprise, Components: []string{name + "@SVC.TEST"}, Realm: "SVC.TEST"}, kdcclient.TGSOptions{FAST: true})
		if (err == nil) != (spoilt == "") {
			t.Errorf("%s: %v, %v, after %v", user, got, err, w.exchanges())
		}
	}
	for _, e := range w.svc.Exchanges() {
		if !e.FAST {
			t.Errorf("without armour: %v", e)
		}
	}
}

// TestS4UCertificateIsForItsRealm: the certificate goes to the user's realm, once, and
// what it was told goes on from there.
func TestS4UCertificateIsForItsRealm(t *testing.T) {
	w := newS4URealms(t)
	var mu sync.Mutex
	var asked []string
	w.dial = func(next dialer) dialer {
		return func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := next(ctx, network, address)
			return &listener{Conn: conn, heard: func(b []byte) {
				q, err := krb.ParseKDCReq(b)
				if err != nil || q.Kind != krb.MsgTGSReq {
					return
				}
				for _, pa := range q.PAData {
					if pa.Type != krb.PAS4UX509User {
						continue
					}
					p, err := krb.ParsePAS4UX509(pa.Value)
					if err != nil {
						t.Error(err)
					}
					id, err := krb.ParseS4UUserID(p.UserID)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					asked = append(asked, id.User.Name()+"@"+id.User.Realm+" by "+string(id.Certificate))
					mu.Unlock()
				}
			}}, err
		}
	}
	if _, err := w.client(t).SelfByCertificate(t.Context(), w.service(t), carolCertificate, kdcclient.TGSOptions{}); err != nil {
		t.Fatal(err)
	}
	want := []string{"@USR.TEST by carol's certificate", "carol@USR.TEST by ", "carol@USR.TEST by "}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
}

// A listener hears what is written to a KDC over TCP.
type listener struct {
	net.Conn
	sent  []byte
	heard func([]byte)
}

func (l *listener) Write(b []byte) (int, error) {
	l.sent = append(l.sent, b...)
	if len(l.sent) > 4 && len(l.sent) == 4+int(binary.BigEndian.Uint32(l.sent)) {
		l.heard(l.sent[4:])
	}
	return l.Conn.Write(b)
}
