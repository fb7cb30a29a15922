package fakekdc

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// threeRealms trust in a row, A <-> B <-> C, and each has a user and a service.
func threeRealms(t *testing.T, opts ...Option) (a, b, c *Realm) {
	t.Helper()
	start := func(name, user string) *Realm {
		return Start(t, append([]Option{WithRealm(name + ".EXAMPLE"), WithUser(user, "secret"),
			WithService("HTTP/web." + string(name[0]+'a'-'A') + ".example")}, opts...)...)
	}
	a, b, c = start("A", "alice"), start("B", "bob"), start("C", "carol")
	for _, err := range []error{a.Trust(b), b.Trust(c)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return a, b, c
}

// hopTo asks r for krbtgt/realm, or for what r gives in its place.
func hopTo(t *testing.T, r *Realm, tgt *krb.Ticket, realm string) *krb.Ticket {
	t.Helper()
	b := body(r, "")
	b.Server, b.Options = krb.TGS(realm, r.Name()), tgt.Flags&(krb.OptionForwardable|krb.OptionRenewable)
	return ticketFor(t, r, tgt, b)
}

// inside opens a ticket with its server's key.
func inside(t *testing.T, r *Realm, ticket *krb.Ticket) (g *grant, realms []string) {
	t.Helper()
	f, err := krb.ParseTicket(ticket.Raw)
	if err != nil {
		t.Fatal(err)
	}
	key, code := r.lookup(f.Server).find(f.EncPart.Etype, f.EncPart.Kvno)
	if code != 0 {
		t.Fatalf("no key: %d", code)
	}
	if g, err = openTicket(f, key); err != nil {
		t.Fatal(err)
	}
	if realms, err = parseTransited(g.transited, g.client.Realm, g.server.Realm); err != nil {
		t.Fatal(err)
	}
	return g, realms
}

func homeTicket(t *testing.T, r *Realm, user string) *krb.Ticket {
	t.Helper()
	b := body(r, user)
	b.Options = krb.OptionForwardable | krb.OptionRenewable
	return login(t, r, user, "secret", AES256SHA1, b)
}

func TestCrossRealm(t *testing.T) {
	a, b, c := threeRealms(t)
	tgt := homeTicket(t, a, "alice")

	toB := hopTo(t, a, tgt, "B.EXAMPLE")
	if got := toB.Server.String(); got != "krbtgt/B.EXAMPLE@A.EXAMPLE" || toB.Flags&krb.FlagInitial != 0 || toB.Flags&krb.FlagForwardable == 0 || toB.EndTime.After(tgt.EndTime) {
		t.Errorf("%s with flags %08x until %v", got, toB.Flags, toB.EndTime)
	}
	direct := ticketFor(t, b, toB, forService(b, "HTTP/web.b.example"))
	g, realms := inside(t, b, direct)
	if g.client.String() != "alice@A.EXAMPLE" || len(realms) != 0 || g.flags&krb.FlagTransitedOK == 0 || g.flags&krb.FlagPreAuthent == 0 {
		t.Errorf("ticket of %v by way of %q with flags %08x", g.client, realms, g.flags)
	}

	// A knows no C, but the way there.
	if got := hopTo(t, a, tgt, "C.EXAMPLE").Server.String(); got != "krbtgt/B.EXAMPLE@A.EXAMPLE" {
		t.Errorf("first hop to C: %s", got)
	}
	toC := hopTo(t, b, toB, "C.EXAMPLE")
	g, realms = inside(t, c, toC)
	if g.client.String() != "alice@A.EXAMPLE" || len(realms) != 0 {
		t.Errorf("ticket of %v by way of %q", g.client, realms)
	}
	far := ticketFor(t, c, toC, forService(c, "HTTP/web.c.example"))
	g, realms = inside(t, c, far)
	if d := cmp.Diff([]string{"B.EXAMPLE"}, realms); d != "" || g.flags&krb.FlagTransitedOK == 0 || g.client.String() != "alice@A.EXAMPLE" {
		t.Errorf("ticket of %v with flags %08x: %s", g.client, g.flags, d)
	}

	type line struct{ Realm, Client, Server, Via, Granted string }
	var got []line
	for _, r := range []*Realm{a, b, c} {
		for _, e := range r.Exchanges() {
			if e.Kind == TGS {
				got = append(got, line{e.Realm, e.Client, e.Server, e.Via, e.Granted})
			}
		}
	}
	const alice = "alice@A.EXAMPLE"
	want := []line{
		{"A.EXAMPLE", alice, "krbtgt/B.EXAMPLE@A.EXAMPLE", "", "krbtgt/B.EXAMPLE@A.EXAMPLE"},
		{"A.EXAMPLE", alice, "krbtgt/C.EXAMPLE@A.EXAMPLE", "", "krbtgt/B.EXAMPLE@A.EXAMPLE"},
		{"B.EXAMPLE", alice, "HTTP/web.b.example@B.EXAMPLE", "A.EXAMPLE", "HTTP/web.b.example@B.EXAMPLE"},
		{"B.EXAMPLE", alice, "krbtgt/C.EXAMPLE@B.EXAMPLE", "A.EXAMPLE", "krbtgt/C.EXAMPLE@B.EXAMPLE"},
		{"C.EXAMPLE", alice, "HTTP/web.c.example@C.EXAMPLE", "B.EXAMPLE", "HTTP/web.c.example@C.EXAMPLE"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got, want := a.Exchanges()[len(a.Exchanges())-1].String(), "TGS/udp alice@A.EXAMPLE for krbtgt/C.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96, granted krbtgt/B.EXAMPLE@A.EXAMPLE"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestTransitedGrows: every realm on the way but the first is in the list, and a
// web service at the end greets who comes that way.
func TestTransitedGrows(t *testing.T) {
	var row []*Realm
	for _, name := range []string{"HERE.EXAMPLE", "EDU", "MIT.EDU", "ATHENA.MIT.EDU", "THERE.EXAMPLE"} {
		r := Start(t, WithRealm(name), WithUser("alice", "secret"), WithService("HTTP/localhost"))
		if n := len(row); n > 0 {
			r.Trust(row[n-1])
		}
		row = append(row, r)
	}
	ticket := homeTicket(t, row[0], "alice")
	for i, r := range row[:len(row)-1] {
		ticket = hopTo(t, r, ticket, row[i+1].Name())
	}
	end := row[len(row)-1]
	ticket = ticketFor(t, end, ticket, forService(end, "HTTP/localhost"))
	g, realms := inside(t, end, ticket)
	if d := cmp.Diff([]string{"EDU", "MIT.EDU", "ATHENA.MIT.EDU"}, realms); d != "" {
		t.Error(d)
	}
	f := krb.OpenFields("transited", g.transited)
	if f.Int32(0); string(f.Octets(1)) != "EDU,MIT.,ATHENA." {
		t.Errorf("transited %x", g.transited)
	}
	a, no := visited(t, end, ticket)
	if no != nil || a.caller.Name != "alice@HERE.EXAMPLE" {
		t.Errorf("%v, %v", a, no)
	}
}

// visited is what a web service makes of a ticket.
func visited(t *testing.T, r *Realm, ticket *krb.Ticket) (*acceptance, *refusal) {
	t.Helper()
	_, _, req, err := spnego.Unframe((&plainclient.Client{TB: t, Now: r.Now, Ticket: ticket}).APReq())
	if err != nil {
		t.Fatal(err)
	}
	return r.accept(req, demand{})
}

func TestDenyTransit(t *testing.T) {
	a, b, c := threeRealms(t)
	toC := hopTo(t, b, hopTo(t, a, homeTicket(t, a, "alice"), "B.EXAMPLE"), "C.EXAMPLE")
	ask := func(options uint32) []byte {
		t.Helper()
		q := forService(c, "HTTP/web.c.example")
		q.Options = options
		req, key := tgsReq(t, c, toC, q, nil)
		reply := exchange(t, c, "udp", req)
		if options == 0 {
			return reply
		}
		st, _ := openRep(t, krb.MsgTGSRep, reply, key, krb.UsageTGSRepSubkey)
		if st.Flags&krb.FlagTransitedOK != 0 {
			t.Errorf("flags %08x of a path that the KDC was not to check", st.Flags)
		}
		_, no := visited(t, c, st)
		if no == nil || no.code != krb.CodePolicy {
			t.Errorf("web service: %v", no)
		}
		return nil
	}
	c.DenyTransit("X.EXAMPLE", "B.EXAMPLE")
	if got := codeOf(t, ask(0)); got != krb.CodePolicy {
		t.Errorf("got %s", krb.ErrorName(got))
	}
	ask(krb.OptionNoTransitCheck)
	c.DenyTransit()
	ticketFor(t, c, toC, forService(c, "HTTP/web.c.example"))
}

func TestCrossRealmRefusals(t *testing.T) {
	a, b, c := threeRealms(t)
	tgt := homeTicket(t, a, "alice")
	toB := hopTo(t, a, tgt, "B.EXAMPLE")
	code := func(r *Realm, ticket *krb.Ticket, q krb.KDCReqBody) int32 {
		t.Helper()
		req, _ := tgsReq(t, r, ticket, q, nil)
		return codeOf(t, exchange(t, r, "tcp", req))
	}
	renew := body(b, "")
	renew.Options, renew.Server = krb.OptionRenew, toB.Server
	away := krb.TGS("NOWHERE.EXAMPLE", "")
	nowhere := body(a, "")
	nowhere.Server = away
	// Sealed as A would, but of B's own bob, and with a list of another type.
	forged := resealed(t, a, toB, func(g *grant) { g.client = krb.NewPrincipal("B.EXAMPLE", "bob") })
	odd := resealed(t, a, toB, func(g *grant) { g.transited = []byte{0x30, 7, 0xa0, 3, 2, 1, 2, 0xa1, 0} })
	odd2 := resealed(t, a, toB, func(g *grant) { g.transited = []byte{0x30, 9, 0xa0, 3, 2, 1, 2, 0xa1, 2, 4, 0} })
	for name, tc := range map[string]struct {
		got, want int32
	}{
		"no ticket of ours":          {code(c, toB, forService(c, "HTTP/web.c.example")), krb.CodeNotUs},
		"at home":                    {code(a, toB, forService(a, "HTTP/web.a.example")), krb.CodeNotUs},
		"unknown service":            {code(b, toB, forService(b, "HTTP/nowhere")), krb.CodeServerUnknown},
		"renewed abroad":             {code(b, toB, renew), krb.CodeNotUs},
		"no way":                     {code(a, tgt, nowhere), krb.CodeServerUnknown},
		"client of ours from abroad": {code(b, forged, forService(b, "HTTP/web.b.example")), krb.CodePolicy},
		"malformed list of realms":   {code(b, odd, forService(b, "HTTP/web.b.example")), krb.CodeGeneric},
		"list of another type":       {code(b, odd2, forService(b, "HTTP/web.b.example")), krb.CodeTransitedNoSupport},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %s, want %s", name, krb.ErrorName(tc.got), krb.ErrorName(tc.want))
		}
	}
}

// TestTrustOutOfStep: each side has its own copy of the keys.
func TestTrustOutOfStep(t *testing.T) {
	a, b, _ := threeRealms(t)
	tgt := homeTicket(t, a, "alice")
	ask := func() int32 {
		t.Helper()
		req, _ := tgsReq(t, b, hopTo(t, a, tgt, "B.EXAMPLE"), forService(b, "HTTP/web.b.example"), nil)
		reply := exchange(t, b, "udp", req)
		if e, err := krb.ParseKRBError(reply); err == nil {
			return e.Code
		}
		return 0
	}
	for _, step := range []struct {
		name string
		do   func() error
		want int32
	}{
		{"A alone has new keys", func() error { return a.Rotate("krbtgt/B.EXAMPLE") }, krb.CodeBadKvno},
		{"trust anew", func() error { return b.Trust(a) }, 0},
		{"B has no keys", func() error { return b.Remove("krbtgt/B.EXAMPLE@A.EXAMPLE") }, krb.CodeNotUs},
		{"trust once more", func() error { return b.TrustOneWay(a) }, 0},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got := ask(); got != step.want {
			t.Errorf("%s: got %d, want %d", step.name, got, step.want)
		}
	}
	if err := a.Remove("krbtgt/B.EXAMPLE"); err != nil {
		t.Fatal(err)
	}
	req, _ := tgsReq(t, a, tgt, func() krb.KDCReqBody { q := body(a, ""); q.Server = krb.TGS("B.EXAMPLE", ""); return q }(), nil)
	if got := codeOf(t, exchange(t, a, "udp", req)); got != krb.CodeServerUnknown {
		t.Errorf("without trust: %d", got)
	}
}

func TestTrustOptions(t *testing.T) {
	a := Start(t, WithRealm("A.EXAMPLE"), WithUser("alice", "secret"), WithEtypes(AES256SHA1, AES128SHA1))
	b := Start(t, WithRealm("B.EXAMPLE"), WithUser("bob", "secret"), WithEtypes(AES128SHA1, AES256SHA384))
	// Users of A in B, not the other way about.
	if err := b.TrustOneWay(a, OKAsDelegate(), Lifetime(time.Hour, -1), Kvno(7)); err != nil {
		t.Fatal(err)
	}
	toB := hopTo(t, a, homeTicket(t, a, "alice"), "B.EXAMPLE")
	f, err := krb.ParseTicket(toB.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if f.EncPart.Etype != AES128SHA1 || f.EncPart.Kvno != 7 || toB.Flags&krb.FlagOKAsDelegate == 0 || !toB.RenewTill.IsZero() || toB.EndTime.Sub(toB.StartTime) != time.Hour {
		t.Errorf("etype %d, kvno %d, flags %08x, until %v", f.EncPart.Etype, f.EncPart.Kvno, toB.Flags, toB.EndTime)
	}
	q := body(b, "")
	q.Server = krb.TGS("A.EXAMPLE", "B.EXAMPLE")
	tgt := login(t, b, "bob", "secret", AES128SHA1, body(b, "bob"))
	req, _ := tgsReq(t, b, tgt, q, nil)
	if got := codeOf(t, exchange(t, b, "udp", req)); got != krb.CodeServerUnknown {
		t.Errorf("from B to A: %s", krb.ErrorName(got))
	}
	if d := cmp.Diff([]string{"alice@A.EXAMPLE"}, a.Principals()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(a.Keytab("krbtgt/B.EXAMPLE")[20:], b.Keytab("krbtgt/B.EXAMPLE@A.EXAMPLE")[20:]); d != "" && a.start.Unix() == b.start.Unix() {
		t.Error("the ends of the trust have different keys")
	}

	// A password is what trust with other KDCs is made of.
	if err := a.AddService("krbtgt/MIT.EXAMPLE", ServicePassword("shared")); err != nil {
		t.Fatal(err)
	}
	m := Start(t, WithRealm("MIT.EXAMPLE"), WithService("HTTP/localhost"), WithService("krbtgt/MIT.EXAMPLE@A.EXAMPLE", ServicePassword("shared"), Etypes(AES256SHA1)))
	ticketFor(t, m, hopTo(t, a, homeTicket(t, a, "alice"), "MIT.EXAMPLE"), forService(m, "HTTP/localhost"))
}

func TestTrustErrors(t *testing.T) {
	a, err := New(WithRealm("A.EXAMPLE"), WithEtypes(AES256SHA1))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	twin := Start(t, WithRealm("A.EXAMPLE"))
	other := Start(t, WithEtypes(AES128SHA1))
	for name, err := range map[string]error{
		"itself":          a.Trust(a),
		"namesake":        a.Trust(twin),
		"nobody":          a.TrustOneWay(nil),
		"no common etype": a.Trust(other),
		"bad option":      a.TrustOneWay(other, Etypes(3)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if got := len(a.acquainted()); got != 1 {
		t.Errorf("%d realms known, want 1", got)
	}
}

// TestTrustTogether: realms that trust one another from all sides, while clients
// ask, neither deadlock nor end up with keys that differ.
func TestTrustTogether(t *testing.T) {
	a, b, c := threeRealms(t)
	realms := []*Realm{a, b, c}
	tgt := homeTicket(t, a, "alice")
	var wg sync.WaitGroup
	for i := range 24 {
		r, s := realms[i%3], realms[(i+1+i/3%2)%3]
		wg.Go(func() { r.Trust(s) })
		wg.Go(func() {
			q := forService(a, "HTTP/web.c.example")
			q.Options = krb.OptionCanonicalize
			ticketFor(t, a, tgt, q)
		})
	}
	wg.Wait()
	for _, r := range realms {
		for _, s := range realms {
			if r == s {
				continue
			}
			name := krb.TGS(r.Name(), s.Name())
			if x, y := r.lookup(name), s.lookup(name); x.keys[0].kvno != y.keys[0].kvno {
				t.Errorf("%v: kvno %d and %d", name, x.keys[0].kvno, y.keys[0].kvno)
			} else if kx, _, _ := x.sealing(); true {
				if ky, _, _ := y.sealing(); !kx.Equal(ky) {
					t.Errorf("%v: different keys", name)
				}
			}
		}
	}
}
