package fakekdc

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/internal/pac"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// An acting is three realms in a row, a <-> b <-> c, and what the service HTTP/front of a
// may do for carol of c and at HTTP/far of c.
type acting struct {
	a, b, c *Realm
	toB     *krb.Ticket // of the service, for the realm in the middle
	toC     *krb.Ticket
}

func newActing(t *testing.T, opts ...Option) *acting {
	t.Helper()
	if opts == nil {
		opts = []Option{WithPAC()}
	}
	start := func(name string, more ...Option) *Realm {
		return Start(t, slices.Concat(opts, []Option{WithRealm(name)}, more)...)
	}
	w := &acting{
		a: start("A.EXAMPLE", WithUser("alice", "secret"), WithUser("shy", "secret", NotForwardable()), WithService("HTTP/front", TrustedToAuth(), AllowedToDelegateTo("HTTP/back")), WithService("HTTP/back"), WithService("HTTP/other")),
		b: start("B.EXAMPLE"),
		c: start("C.EXAMPLE", WithUser("carol", "secret", Certificate([]byte("carol's"))), WithUser("bob", "secret", NotForwardable()), WithUser("locked", "secret", Refuse(krb.CodeClientRevoked)),
			WithService("HTTP/far", AllowedToDelegateFrom("HTTP/front@A.EXAMPLE")), WithService("HTTP/shut"),
			WithService("HTTP/too", AllowedToDelegateFrom("HTTP/front@A.EXAMPLE", "HTTP/other@A.EXAMPLE"))),
	}
	w.a.Trust(w.b)
	w.b.Trust(w.c)
	w.toB = hopTo(t, w.a, minted(t, w.a, "HTTP/front", "krbtgt/A.EXAMPLE"), "B.EXAMPLE")
	w.toC = hopTo(t, w.b, w.toB, "C.EXAMPLE")
	return w
}

// self is the request of a realm for a user's ticket for the service.
func (w *acting) self(r *Realm, tgt *krb.Ticket, user string) tgsAsk {
	b := body(r, "")
	b.Options = krb.OptionForwardable | krb.OptionCanonicalize
	b.Server = krb.Principal{Type: krb.NTEnterprise, Components: []string{"HTTP/front@A.EXAMPLE"}}
	if r == w.a {
		b.Server = krb.NewPrincipal("", "HTTP", "front")
	}
	name, realm, _ := strings.Cut(user, "@")
	p := krb.NewPrincipal(realm, name)
	return tgsAsk{tgt: tgt, body: b, self: &p}
}

// proxy is the request of a realm for a user's ticket for another service.
func (w *acting) proxy(r *Realm, tgt, evidence *krb.Ticket, target string) tgsAsk {
	b := forService(r, target)
	b.Options = krb.OptionForwardable | krb.OptionCanonicalize | krb.OptionCNameInAddlTkt
	return tgsAsk{tgt: tgt, body: b, tickets: [][]byte{evidence.Raw}, padata: []krb.PAData{rbcd}}
}

// wantPAC verifies of whom the PAC of a ticket is, and through whom it came.
func wantPAC(t *testing.T, r *Realm, ticket *krb.Ticket, client string, via ...string) {
	t.Helper()
	g := opened(t, r, ticket)
	if no := r.openPAC(g, !g.server.IsTGS()); no != nil {
		t.Fatal(no.text)
	}
	info, _ := pac.Find(g.pac, pac.KindClientInfo)
	name, err := pac.ClientName(info)
	if err != nil || name != client || g.isOf(client) != nil {
		t.Errorf("PAC of %q, want %q (%v)", name, client, err)
	}
	raw, found := pac.Find(g.pac, pac.KindDelegation)
	if found != (via != nil) {
		t.Fatalf("delegated: %v", found)
	}
	if found {
		d, err := pac.ParseDelegation(raw)
		if err != nil || !slices.Equal(d.Via, via) {
			t.Errorf("%+v, %v", d, err)
		}
	}
}

// TestS4UAcrossRealms goes the whole way that [MS-SFU] has for users and targets of other
// realms, and looks into every ticket.
func TestS4UAcrossRealms(t *testing.T) {
	w := newActing(t)
	front := krb.NewPrincipal("A.EXAMPLE", "HTTP", "front")
	toB, _, _ := w.self(w.c, w.toC, "carol@C.EXAMPLE").ticket(t, w.c)
	if toB.Server.String() != "krbtgt/B.EXAMPLE@C.EXAMPLE" || !toB.Client.Equal(front) {
		t.Fatalf("ticket of %v for %v", toB.Client, toB.Server)
	}
	wantPAC(t, w.b, toB, "carol@C.EXAMPLE")
	toA, _, _ := w.self(w.b, toB, "carol@C.EXAMPLE").ticket(t, w.b)
	if toA.Server.String() != "krbtgt/A.EXAMPLE@B.EXAMPLE" || !toA.Client.Equal(front) {
		t.Fatalf("ticket of %v for %v", toA.Client, toA.Server)
	}
	wantPAC(t, w.a, toA, "carol@C.EXAMPLE")
	evidence, _, _ := w.self(w.a, toA, "carol@C.EXAMPLE").ticket(t, w.a)
	if !evidence.Client.Equal(krb.NewPrincipal("C.EXAMPLE", "carol")) || !evidence.Server.Equal(front) || evidence.Flags&krb.FlagForwardable == 0 {
		t.Fatalf("ticket of %v for %v, flags %08x", evidence.Client, evidence.Server, evidence.Flags)
	}
	wantPAC(t, w.a, evidence, "carol")
	if _, realms := inside(t, w.a, evidence); !slices.Equal(realms, []string{"B.EXAMPLE"}) {
		t.Errorf("its path is %v", realms)
	}

	near, _, _ := w.proxy(w.a, minted(t, w.a, "HTTP/front", "krbtgt/A.EXAMPLE"), evidence, "HTTP/back").ticket(t, w.a)
	wantPAC(t, w.a, near, "carol", "HTTP/front@A.EXAMPLE")
	proxyB, part, _ := w.proxy(w.a, minted(t, w.a, "HTTP/front", "krbtgt/A.EXAMPLE"), evidence, "HTTP/far").ticket(t, w.a)
	if proxyB.Server.String() != "krbtgt/B.EXAMPLE@A.EXAMPLE" || !proxyB.Client.Equal(front) || len(part.PAData) != 1 {
		t.Fatalf("ticket of %v for %v", proxyB.Client, proxyB.Server)
	}
	wantPAC(t, w.b, proxyB, "carol@C.EXAMPLE", "HTTP/front@A.EXAMPLE")
	proxyC := hopTo(t, w.b, proxyB, "C.EXAMPLE")
	wantPAC(t, w.c, proxyC, "carol@C.EXAMPLE", "HTTP/front@A.EXAMPLE")
	far, _, _ := w.proxy(w.c, w.toC, proxyC, "HTTP/far").ticket(t, w.c)
	if !far.Client.Equal(evidence.Client) || far.Server.String() != "HTTP/far@C.EXAMPLE" {
		t.Fatalf("ticket of %v for %v", far.Client, far.Server)
	}
	wantPAC(t, w.c, far, "carol", "HTTP/front@A.EXAMPLE")
}

// TestS4UAcrossRealmsRefusals: what MIT's KDC refuses of S4U2Self and S4U2Proxy across
// realms, and with which codes.
func TestS4UAcrossRealmsRefusals(t *testing.T) {
	w, bare := newActing(t), newActing(t, WithEtypes(AES256SHA1))
	home := minted(t, w.a, "HTTP/front", "krbtgt/A.EXAMPLE")
	const carol = "carol@C.EXAMPLE"
	toB, _, _ := w.self(w.c, w.toC, carol).ticket(t, w.c)
	toA, _, _ := w.self(w.b, toB, carol).ticket(t, w.b)
	evidence, _, _ := w.self(w.a, toA, carol).ticket(t, w.a)
	proxyB, _, _ := w.proxy(w.a, home, evidence, "HTTP/far").ticket(t, w.a)
	proxyC := hopTo(t, w.b, proxyB, "C.EXAMPLE")
	shutB, _, _ := w.proxy(w.a, home, evidence, "HTTP/shut").ticket(t, w.a)
	others := minted(t, w.a, "HTTP/other", "krbtgt/A.EXAMPLE")
	othersC := hopTo(t, w.b, hopTo(t, w.a, others, "B.EXAMPLE"), "C.EXAMPLE")
	alice, _, _ := asSelf(t, w.a, "HTTP/front", "alice").ticket(t, w.a)
	shy, _, _ := asSelf(t, w.a, "HTTP/front", "shy").ticket(t, w.a)
	bareAlice, _, _ := asSelf(t, bare.a, "HTTP/front", "alice").ticket(t, bare.a)
	tooB, _, _ := w.proxy(w.a, home, evidence, "HTTP/too").ticket(t, w.a)
	tooC := hopTo(t, w.b, tooB, "C.EXAMPLE")
	renewable, _, _ := w.proxy(w.a, home, evidence, "HTTP/far").with(func(a *tgsAsk) {
		a.body.Options |= krb.OptionRenewable
		a.body.Renew = w.a.Now().Add(20 * time.Hour)
	}).ticket(t, w.a)
	if renewable.Flags&krb.FlagRenewable == 0 {
		t.Fatal("not renewable")
	}
	// What the realm in the middle would make of it, if it lied.
	lie := func(change func(*grant)) tgsAsk {
		return w.proxy(w.c, w.toC, resigned(t, w.b, w.c, proxyC, change), "HTTP/far")
	}
	for name, tc := range map[string]struct {
		r    *Realm
		ask  tgsAsk
		want int32
	}{
		"a user of another realm, with the ticket of one's own": {w.a, w.self(w.a, home, carol), krb.CodePolicy},
		"unknown user":                         {w.c, w.self(w.c, w.toC, "nobody@C.EXAMPLE"), krb.CodeClientUnknown},
		"locked user":                          {w.c, w.self(w.c, w.toC, "locked@C.EXAMPLE"), krb.CodeClientRevoked},
		"another user on the way":              {w.b, w.self(w.b, toB, "dave@C.EXAMPLE"), krb.CodeBadOption},
		"another user at the end":              {w.a, w.self(w.a, toA, "dave@C.EXAMPLE"), krb.CodeBadOption},
		"the user of another realm at the end": {w.a, w.self(w.a, toA, "carol@B.EXAMPLE"), krb.CodeBadOption},
		"a user of the realm at the end":       {w.a, w.self(w.a, toA, "alice@A.EXAMPLE"), krb.CodeClientUnknown},
		"the service's own ticket on the way":  {w.b, w.self(w.b, w.toB, carol), krb.CodeBadOption},
		"another service at the end":           {w.a, w.self(w.a, toA, carol).with(func(a *tgsAsk) { a.body.Server = krb.NewPrincipal("", "HTTP", "back") }), krb.CodeBadMatch},
		"a service of the user's realm":        {w.c, w.self(w.c, w.toC, carol).with(func(a *tgsAsk) { a.body.Server = krb.NewPrincipal("", "HTTP", "far") }), krb.CodeBadMatch},
		"for a realm that nobody knows":        {w.c, w.self(w.c, w.toC, carol).with(func(a *tgsAsk) { a.body.Server.Components = []string{"HTTP/front@NO.EXAMPLE"} }), krb.CodeServerUnknown},
		"without canonicalization":             {w.c, w.self(w.c, w.toC, carol).with(func(a *tgsAsk) { a.body.Options &^= krb.OptionCanonicalize }), krb.CodeServerUnknown},
		"a certificate of nobody's":            {w.c, byCertificate(t, w.self(w.c, w.toC, "@C.EXAMPLE"), "nobody's"), krb.CodeClientUnknown},
		"a certificate of another's":           {w.c, byCertificate(t, w.self(w.c, w.toC, "bob@C.EXAMPLE"), "carol's"), krb.CodeClientUnknown},
		"a certificate":                        {w.c, byCertificate(t, w.self(w.c, w.toC, "@C.EXAMPLE"), "carol's"), 0},
		"a certificate and a name":             {w.c, byCertificate(t, w.self(w.c, w.toC, carol), "carol's"), 0},
		"a certificate alone, on the way":      {w.b, byCertificate(t, w.self(w.b, toB, "@C.EXAMPLE"), "carol's"), krb.CodePolicy},
		"without PACs":                         {bare.c, bare.self(bare.c, bare.toC, carol), krb.CodeTGTRevoked},
		"a ticket with a user in it, plainly":  {w.a, tgsAsk{tgt: toA, body: forService(w.a, "HTTP/back")}, krb.CodePolicy},
		"one on the way, plainly":              {w.b, tgsAsk{tgt: toB, body: forService(w.b, "krbtgt/A.EXAMPLE")}, krb.CodeBadOption},
		"one with a delegation, plainly":       {w.c, tgsAsk{tgt: proxyC, body: forService(w.c, "HTTP/far")}, krb.CodeBadOption},
		"proxy":                                {w.c, w.proxy(w.c, w.toC, proxyC, "HTTP/far"), 0},
		"proxy, another target than was asked": {w.c, w.proxy(w.c, w.toC, proxyC, "HTTP/shut"), krb.CodeBadOption},
		"proxy, target that lets no one":       {w.c, w.proxy(w.c, w.toC, hopTo(t, w.b, shutB, "C.EXAMPLE"), "HTTP/shut"), krb.CodeBadOption},
		"proxy, another service's":             {w.c, w.proxy(w.c, othersC, proxyC, "HTTP/far"), krb.CodeBadOption},
		"proxy, with the ticket itself":        {w.c, w.proxy(w.c, proxyC, proxyC, "HTTP/far"), krb.CodeBadOption},
		"proxy, without a user":                {w.c, w.proxy(w.c, w.toC, w.toC, "HTTP/far"), krb.CodeBadOption},
		"proxy, first evidence":                {w.c, w.proxy(w.c, w.toC, evidence, "HTTP/far"), krb.CodeServerUnknown},
		"proxy, old client at the end":         {w.c, w.proxy(w.c, w.toC, proxyC, "HTTP/far").with(func(a *tgsAsk) { a.padata = nil }), krb.CodeBadOption},
		"proxy, old client at home":            {w.a, w.proxy(w.a, home, evidence, "HTTP/far").with(func(a *tgsAsk) { a.padata = nil }), krb.CodeBadOption},
		"proxy, to the next realm":             {w.c, w.proxy(w.c, w.toC, proxyC, "krbtgt/B.EXAMPLE"), krb.CodePolicy},
		"proxy, referred on":                   {w.b, w.proxy(w.b, w.toB, proxyB, "HTTP/far"), krb.CodeBadOption},
		"proxy, no such target":                {w.a, w.proxy(w.a, home, evidence, "HTTP/none"), krb.CodeServerUnknown},
		"for another realm's service, with the ticket of one's own": {w.a, w.self(w.a, home, "alice@A.EXAMPLE").with(func(a *tgsAsk) {
			a.body.Server = krb.Principal{Type: krb.NTEnterprise, Components: []string{"HTTP/far@C.EXAMPLE"}}
		}), krb.CodeServerUnknown},
		"proxy, user not to delegate":          {w.a, w.proxy(w.a, home, shy, "HTTP/far"), krb.CodeBadOption},
		"proxy, far, without PACs":             {bare.a, bare.proxy(bare.a, minted(t, bare.a, "HTTP/front", "krbtgt/A.EXAMPLE"), bareAlice, "HTTP/far"), krb.CodeModified},
		"proxy, another target that would let": {w.c, w.proxy(w.c, w.toC, proxyC, "HTTP/too"), krb.CodeBadOption},
		"proxy, for that target":               {w.c, w.proxy(w.c, w.toC, tooC, "HTTP/too"), 0},
		"proxy, another's whom it lets":        {w.c, w.proxy(w.c, othersC, tooC, "HTTP/too"), krb.CodeBadOption},
		"proxy, signed anew":                   {w.c, lie(func(*grant) {}), 0},
		"proxy, authenticated at another time": {w.c, lie(func(g *grant) { g.authTime = g.authTime.Add(-time.Hour) }), krb.CodeBadOption},
		"proxy, through another": {w.c, lie(func(g *grant) {
			_ = g.delegate(krb.NewPrincipal("", "HTTP", "far"), krb.NewPrincipal("A.EXAMPLE", "HTTP", "other"))
		}), krb.CodeBadOption},
		"proxy, a user of no realm":        {w.c, lie(func(g *grant) { g.pac = pac.Named(g.pac, "carol", g.authTime) }), krb.CodeBadOption},
		"proxy, renewed with a user in it": {w.a, tgsAsk{tgt: renewable, body: renewing(forService(w.a, "krbtgt/B.EXAMPLE"))}, krb.CodeBadOption},
		"proxy, own user":                  {w.a, w.proxy(w.a, home, alice, "HTTP/far"), 0},
		"proxy, not forwardable":           {w.c, w.proxy(w.c, w.toC, unforwardable(t, w.c, proxyC), "HTTP/far"), krb.CodeBadOption},
		"proxy, renewed":                   {w.c, w.proxy(w.c, w.toC, proxyC, "HTTP/far").with(func(a *tgsAsk) { a.body.Options |= krb.OptionForwarded }), krb.CodeBadOption},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.ask.code(t, tc.r); got != tc.want {
				t.Errorf("got %s, want %s: %v", krb.ErrorName(got), krb.ErrorName(tc.want), tc.r.Exchanges()[len(tc.r.Exchanges())-1])
			}
		})
	}
	// What became of the user since then.
	w.c.Modify("carol", Refuse(krb.CodeClientRevoked))
	if got := w.proxy(w.c, w.toC, proxyC, "HTTP/far").code(t, w.c); got != krb.CodeClientRevoked {
		t.Errorf("locked: %s", krb.ErrorName(got))
	}
	w.c.Remove("carol")
	if got := w.proxy(w.c, w.toC, proxyC, "HTTP/far").code(t, w.c); got != krb.CodeClientUnknown {
		t.Errorf("removed: %s", krb.ErrorName(got))
	}
}

func renewing(b krb.KDCReqBody) krb.KDCReqBody {
	b.Options |= krb.OptionRenew
	return b
}

// resigned is a ticket of one realm for another with other contents.
func resigned(t *testing.T, by, r *Realm, old *krb.Ticket, change func(*grant)) *krb.Ticket {
	t.Helper()
	g := opened(t, r, old)
	key := g.opened
	if no := r.openPAC(g, false); no != nil {
		t.Fatal(no.text)
	}
	change(g)
	var err error
	if g.authData, err = by.signPAC(g, key); err != nil {
		t.Fatal(err)
	}
	c := *old
	if c.Raw, err = g.seal(key, 1); err != nil {
		t.Fatal(err)
	}
	return &c
}

// TestS4UProxyTimes: a ticket that leads on is authenticated when the user's was, and
// lasts no longer.
func TestS4UProxyTimes(t *testing.T) {
	clock := &Clock{}
	w := newActing(t, WithPAC(), WithClock(clock.Now), WithLifetime(10*time.Hour, 24*time.Hour))
	evidence, _, _ := asSelf(t, w.a, "HTTP/front", "alice").ticket(t, w.a)
	clock.Advance(time.Hour)
	got, _, _ := w.proxy(w.a, minted(t, w.a, "HTTP/front", "krbtgt/A.EXAMPLE"), evidence, "HTTP/far").with(func(a *tgsAsk) { a.body.Till = evidence.EndTime.Add(time.Hour) }).ticket(t, w.a)
	if !got.AuthTime.Equal(evidence.AuthTime) || got.EndTime.After(evidence.EndTime) {
		t.Errorf("authenticated %v until %v, the user's %v until %v", got.AuthTime, got.EndTime, evidence.AuthTime, evidence.EndTime)
	}
}

// byCertificate is a request that names the user by a certificate, and by a name too if
// it has one.
func byCertificate(t *testing.T, a tgsAsk, der string) tgsAsk {
	t.Helper()
	user := *a.self
	if user.Components[0] == "" {
		user.Components = nil
	}
	a.forms, a.noSubkey = "new", true
	a.spoilPA = func(list []krb.PAData) {
		id, err := krb.S4UUserID{Nonce: uint32(a.body.Nonce), User: user, Certificate: []byte(der), Options: krb.S4UReplyUsage}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		list[len(list)-1].Value = x509DER(t, a.tgt.Key, 0, id)
	}
	return a
}

// unforwardable is a ticket without the flag, and otherwise as it was.
func unforwardable(t *testing.T, r *Realm, old *krb.Ticket) *krb.Ticket {
	t.Helper()
	g := opened(t, r, old)
	g.flags &^= krb.FlagForwardable
	c := *old
	var err error
	if c.Raw, err = g.seal(g.opened, 1); err != nil {
		t.Fatal(err)
	}
	return &c
}

// TestUsersByCertificate: a KDC says where the user of a certificate is, to who asks for
// that.
func TestUsersByCertificate(t *testing.T) {
	w := newActing(t)
	ask := func(r *Realm, der string, change func(*krb.KDCReqBody)) (int32, string) {
		b := body(r, "")
		b.Client, b.Server = krb.Principal{Type: krb.NTX500, Components: []string{""}, Realm: r.Name()}, krb.TGS(r.Name(), r.Name())
		b.Options = krb.OptionCanonicalize
		change(&b)
		raw, err := b.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		req, err := krb.MarshalKDCReq(krb.MsgASReq, []krb.PAData{{Type: krb.PAS4UX509User, Value: []byte(der)}}, raw)
		if err != nil {
			t.Fatal(err)
		}
		e, err := krb.ParseKRBError(exchange(t, r, "tcp", req))
		if err != nil {
			t.Fatal(err)
		}
		return e.Code, e.Client.Realm
	}
	for name, tc := range map[string]struct {
		r      *Realm
		der    string
		change func(*krb.KDCReqBody)
		want   int32
		realm  string
	}{
		"here":                     {w.c, "carol's", func(*krb.KDCReqBody) {}, krb.CodePreauthRequired, ""},
		"elsewhere":                {w.a, "carol's", func(*krb.KDCReqBody) {}, krb.CodeWrongRealm, "C.EXAMPLE"},
		"nobody's":                 {w.a, "nobody's", func(*krb.KDCReqBody) {}, krb.CodeClientUnknown, ""},
		"without canonicalization": {w.a, "carol's", func(b *krb.KDCReqBody) { b.Options = 0 }, krb.CodeClientUnknown, ""},
		"another type of name":     {w.c, "carol's", func(b *krb.KDCReqBody) { b.Client.Type = krb.NTPrincipal }, krb.CodeClientUnknown, ""},
		"no certificate":           {w.c, "", func(*krb.KDCReqBody) {}, krb.CodeClientUnknown, ""},
	} {
		code, realm := ask(tc.r, tc.der, tc.change)
		if code != tc.want || tc.realm != "" && realm != tc.realm {
			t.Errorf("%s: %s, %q", name, krb.ErrorName(code), realm)
		}
	}
	// What the option was given is the realm's own copy.
	der := []byte("bob's")
	o := Certificate(der)
	clear(der)
	w.c.Modify("bob", o)
	if p := w.c.byCertificate([]byte("bob's")); p == nil || p.name.Name() != "bob" {
		t.Error("the certificate changed")
	}
	if p := w.c.byCertificate([]byte("carol's")); p == nil || !bytes.Equal(p.certificates[0], []byte("carol's")) {
		t.Error("another's certificate went")
	}
}
