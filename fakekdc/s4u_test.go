package fakekdc

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// s4uRealm has a front that may act for users at the back, one that may do so
// only with tickets that users brought, and a back that lets another in.
func s4uRealm(tb testing.TB, opts ...Option) *Realm {
	tb.Helper()
	return Start(tb, append([]Option{
		WithUser("alice", "secret"), WithUser("bob", "secret", NotForwardable()), WithUser("locked", "secret", Refuse(krb.CodeClientRevoked)),
		WithService("HTTP/front", TrustedToAuth(), AllowedToDelegateTo("HTTP/back")),
		WithService("HTTP/plain", AllowedToDelegateTo("HTTP/back")),
		WithService("HTTP/back"), WithService("HTTP/open", AllowedToDelegateFrom("HTTP/plain", "HTTP/front")),
	}, opts...)...)
}

func (a tgsAsk) with(f func(*tgsAsk)) tgsAsk {
	f(&a)
	return a
}

// asSelf is a service's request for a ticket of a user for itself.
func asSelf(tb testing.TB, r *Realm, service, user string) tgsAsk {
	tb.Helper()
	b := forService(r, service)
	b.Options = krb.OptionForwardable | krb.OptionCanonicalize
	name := krb.NewPrincipal(r.Name(), user)
	return tgsAsk{tgt: minted(tb, r, service, krb.TGS(r.Name(), r.Name()).Name()), body: b, self: &name}
}

// asProxy is a service's request for a ticket of a user for another service.
func asProxy(tb testing.TB, r *Realm, service string, evidence *krb.Ticket, target string) tgsAsk {
	tb.Helper()
	b := forService(r, target)
	b.Options = krb.OptionForwardable | krb.OptionCanonicalize | krb.OptionCNameInAddlTkt
	return tgsAsk{tgt: minted(tb, r, service, krb.TGS(r.Name(), r.Name()).Name()), body: b, tickets: [][]byte{evidence.Raw}, padata: []krb.PAData{rbcd}}
}

func TestS4U2Self(t *testing.T) {
	for _, etype := range allEtypes {
		t.Run(krb.EtypeName(etype), func(t *testing.T) {
			r := s4uRealm(t, WithEtypes(etype))
			for name, tc := range map[string]struct {
				service, user string
				change        func(*tgsAsk)
				forwardable   bool
			}{
				"both forms":             {"HTTP/front", "alice", nil, true},
				"old form":               {"HTTP/front", "alice", func(a *tgsAsk) { a.forms = "old" }, true},
				"new form":               {"HTTP/front", "alice", func(a *tgsAsk) { a.forms = "new" }, true},
				"session key":            {"HTTP/front", "alice", func(a *tgsAsk) { a.noSubkey = true }, true},
				"not asked for":          {"HTTP/front", "alice", func(a *tgsAsk) { a.body.Options = 0 }, false},
				"user not to delegate":   {"HTTP/front", "bob", nil, false},
				"service of no targets":  {"HTTP/open", "alice", nil, true},
				"service not trusted":    {"HTTP/plain", "alice", nil, false},
				"ticket not forwardable": {"HTTP/front", "alice", func(a *tgsAsk) { a.tgt = without(t, r, a.tgt, krb.FlagForwardable) }, false},
				"enterprise name": {"HTTP/front", "alice", func(a *tgsAsk) {
					a.self = &krb.Principal{Type: krb.NTEnterprise, Components: []string{"alice@" + r.Name()}, Realm: r.Name()}
				}, true},
				"enterprise name, old form": {"HTTP/front", "alice", func(a *tgsAsk) {
					a.self, a.forms = &krb.Principal{Type: krb.NTEnterprise, Components: []string{"Alice@Corp"}, Realm: r.Name()}, "old"
				}, true},
			} {
				t.Run(name, func(t *testing.T) {
					if err := r.Alias("alice@corp", "alice"); err != nil {
						t.Fatal(err)
					}
					a := asSelf(t, r, tc.service, tc.user)
					if tc.change != nil {
						tc.change(&a)
					}
					packet, key, usage := a.request(t, r)
					reply := exchange(t, r, "tcp", packet)
					got, part := openRep(t, krb.MsgTGSRep, reply, key, usage)
					user, service := krb.NewPrincipal(r.Name(), tc.user), krb.NewPrincipal(r.Name(), "HTTP", tc.service[5:])
					inside := opened(t, r, got)
					if !got.Client.Equal(user) || !inside.client.Equal(user) || !got.Server.Equal(service) || part.Nonce != a.body.Nonce {
						t.Errorf("ticket of %v, %v inside, for %v", got.Client, inside.client, got.Server)
					}
					if (got.Flags&krb.FlagForwardable != 0) != tc.forwardable || got.Flags != inside.flags {
						t.Errorf("flags %08x, %08x inside, want forwardable %t", got.Flags, inside.flags, tc.forwardable)
					}
					checkS4UReply(t, a, packet, reply, part, key, user)
				})
			}
		})
	}
}

// checkS4UReply is what clients verify: that the KDC understood.
func checkS4UReply(t *testing.T, a tgsAsk, packet, reply []byte, part *krb.EncKDCRepPart, key krb.Key, user krb.Principal) {
	t.Helper()
	rep, err := krb.ParseKDCRep(reply, krb.MsgTGSRep)
	if err != nil {
		t.Fatal(err)
	}
	if a.forms == "old" {
		if len(rep.PAData) != 0 || len(part.PAData) != 0 {
			t.Errorf("padata %v and %v for a client of old", rep.PAData, part.PAData)
		}
		return
	}
	if len(rep.PAData) != 1 || rep.PAData[0].Type != krb.PAS4UX509User {
		t.Fatalf("padata %v", rep.PAData)
	}
	f := krb.OpenFields("PA-S4U-X509-USER", rep.PAData[0].Value)
	id := f.Raw(0)
	in := krb.OpenFields("checksum", f.Raw(1))
	kind, sum := in.Int32(0), in.Octets(1)
	u := krb.OpenFields("user", id)
	nonce, name := u.Int32(0), u.Name(1)
	name.Realm = u.Text(2)
	if u.Flags(4) != krb.S4UReplyUsage || u.Err(true) != nil || f.Err(true) != nil || in.Err(true) != nil || int64(nonce) != a.body.Nonce || !name.Equal(user) {
		t.Errorf("reply for %v, nonce %d: %x", name, nonce, rep.PAData[0].Value)
	}
	if kind != key.ChecksumType() || key.VerifyChecksum(krb.UsageS4UX509Reply, sum, id) != nil {
		t.Errorf("checksum of type %d is wrong", kind)
	}
	q, err := parseRequest(packet)
	if err != nil {
		t.Fatal(err)
	}
	asked, no := readX509User(mustFind(t, q, krb.PAS4UX509User), q, key)
	if no != nil {
		t.Fatal(no.text)
	}
	var inside []krb.PAData
	if key.Etype() == krb.RC4HMAC {
		inside = []krb.PAData{{Type: krb.PAS4UX509User, Value: append(bytes.Clone(asked.sum.Value), sum...)}}
	}
	if d := cmp.Diff(inside, part.PAData); d != "" {
		t.Error(d)
	}
}

func mustFind(t *testing.T, q *request, pa int32) []byte {
	t.Helper()
	v, found := q.find(pa)
	if !found {
		t.Fatalf("no padata %d", pa)
	}
	return v
}

// TestS4U2SelfMD4: with keys of RC4, clients of old send a checksum without a key.
func TestS4U2SelfMD4(t *testing.T) {
	r := s4uRealm(t, WithEtypes(RC4HMAC))
	a := asSelf(t, r, "HTTP/front", "alice")
	a.sumType = krb.ChecksumRSAMD4
	got, part, outside := a.ticket(t, r)
	if !got.Client.Equal(krb.NewPrincipal(r.Name(), "alice")) || len(part.PAData) != 1 || len(part.PAData[0].Value) != 32 || len(outside) != 1 {
		t.Errorf("ticket of %v, padata %v in %v", got.Client, part.PAData, outside)
	}
	aes := s4uRealm(t)
	a = asSelf(t, aes, "HTTP/front", "alice")
	a.sumType = krb.ChecksumRSAMD4
	if got := a.code(t, aes); got != krb.CodeInappChecksum {
		t.Errorf("with a key of AES: %s", krb.ErrorName(got))
	}
}

func TestS4U2SelfRefusals(t *testing.T) {
	r := s4uRealm(t)
	last := func(a *tgsAsk, f func([]byte) []byte) {
		a.spoilPA = func(list []krb.PAData) { list[len(list)-1].Value = f(list[len(list)-1].Value) }
	}
	for name, tc := range map[string]struct {
		user   string
		change func(*tgsAsk)
		want   int32
	}{
		"all is well":     {user: "alice"},
		"unknown user":    {"nobody", nil, krb.CodeClientUnknown},
		"locked user":     {"locked", nil, krb.CodeClientRevoked},
		"another realm's": {"alice", func(a *tgsAsk) { a.self.Realm = "OTHER.EXAMPLE" }, krb.CodePolicy},
		"another service": {"alice", func(a *tgsAsk) { a.body.Server = krb.NewPrincipal("", "HTTP", "back") }, krb.CodeBadMatch},
		"no such service": {"alice", func(a *tgsAsk) { a.body.Server = krb.NewPrincipal("", "HTTP", "none") }, krb.CodeServerUnknown},
		"forwarded":       {"alice", func(a *tgsAsk) { a.body.Options |= krb.OptionForwarded }, krb.CodeBadOption},
		"user to user":    {"alice", func(a *tgsAsk) { a.body.Options |= krb.OptionEncTktInSKey }, krb.CodeBadOption},
		"S4U2Proxy":       {"alice", func(a *tgsAsk) { a.body.Options |= krb.OptionCNameInAddlTkt }, krb.CodeBadOption},
		"old, changed": {"alice", func(a *tgsAsk) {
			a.forms = "old"
			last(a, func(b []byte) []byte { return bytes.Replace(b, []byte("alice"), []byte("carol"), 1) })
		}, krb.CodeModified},
		"new, changed": {"alice", func(a *tgsAsk) { a.forms = "new"; last(a, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }) }, krb.CodeModified},
		"old, cut off": {"alice", func(a *tgsAsk) { a.forms = "old"; last(a, func(b []byte) []byte { return b[:9] }) }, krb.CodeGeneric},
		"new, cut off": {"alice", func(a *tgsAsk) { last(a, func(b []byte) []byte { return b[:9] }) }, krb.CodeGeneric},
		"old, without key": {"alice", func(a *tgsAsk) {
			a.forms = "old"
			last(a, func([]byte) []byte { return forUserDER(*a.self, krb.Checksum{Type: 7, Value: make([]byte, 16)}) })
		}, krb.CodeInappChecksum},
		"new, another nonce": {"alice", func(a *tgsAsk) {
			a.forms, a.noSubkey = "new", true
			last(a, func([]byte) []byte { return x509UserPA(t, a.tgt.Key, 0, 1, *a.self) })
		}, krb.CodeModified},
		"new, nobody": {"alice", func(a *tgsAsk) { a.self = &krb.Principal{Realm: r.Name()}; a.forms = "new" }, krb.CodeClientUnknown},
		"new, no user": {"alice", func(a *tgsAsk) {
			a.forms, a.noSubkey = "new", true
			last(a, func([]byte) []byte { return x509DER(t, a.tgt.Key, 0, []byte{0x30, 0}) })
		}, krb.CodeGeneric},
	} {
		t.Run(name, func(t *testing.T) {
			a := asSelf(t, r, "HTTP/front", tc.user)
			if tc.change != nil {
				tc.change(&a)
			}
			if got := a.code(t, r); got != tc.want {
				t.Errorf("got %s, want %s", krb.ErrorName(got), krb.ErrorName(tc.want))
			}
		})
	}
}

// TestForUserChecksums: MIT's clients of old took the checksum of the session
// key. The other is worked out here from RFC 4757 alone.
func TestForUserChecksums(t *testing.T) {
	r := s4uRealm(t)
	a := asSelf(t, r, "HTTP/front", "alice")
	a.forms = "old"
	spoilt := byte(0)
	a.spoilPA = func(list []krb.PAData) {
		data := append([]byte{1, 0, 0, 0}, "alice"+r.Name()+"Kerberos"...)
		sum, err := a.tgt.Key.Checksum(krb.UsageNonKerberosChecksum, data)
		if err != nil {
			t.Fatal(err)
		}
		sum[0] ^= spoilt
		list[1].Value = forUserDER(*a.self, krb.Checksum{Type: a.tgt.Key.ChecksumType(), Value: sum})
	}
	if got := a.code(t, r); got != 0 {
		t.Errorf("the session key's: %s", krb.ErrorName(got))
	}
	spoilt = 1
	if got := a.code(t, r); got != krb.CodeModified {
		t.Errorf("one that is not the session key's: %s", krb.ErrorName(got))
	}
	key, err := krb.NewKey(RC4HMAC, []byte("sixteen bytes...")[:16])
	if err != nil {
		t.Fatal(err)
	}
	want, err := key.Checksum(krb.UsageNonKerberosChecksum, []byte("data"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, key.ChecksumHMACMD5(krb.UsageNonKerberosChecksum, []byte("data"))); d != "" {
		t.Errorf("not the checksum of RC4: %s", d)
	}
}

func TestS4U2Proxy(t *testing.T) {
	clock := &Clock{}
	r := s4uRealm(t, WithClock(clock.Now), WithLifetime(10*time.Hour, 24*time.Hour))
	brought := minted(t, r, "alice", "HTTP/plain")
	self := func(service, user string) *krb.Ticket {
		got, _, _ := asSelf(t, r, service, user).ticket(t, r)
		return got
	}
	toFront := self("HTTP/front", "alice")
	for name, tc := range map[string]struct {
		ask  tgsAsk
		want int32
	}{
		"with S4U2Self":                {ask: asProxy(t, r, "HTTP/front", toFront, "HTTP/back")},
		"with what a user brought":     {ask: asProxy(t, r, "HTTP/plain", brought, "HTTP/back")},
		"resource-based":               {ask: asProxy(t, r, "HTTP/front", toFront, "HTTP/open")},
		"resource, not forwardable":    {ask: asProxy(t, r, "HTTP/plain", self("HTTP/plain", "alice"), "HTTP/open")},
		"resource, old client":         {asProxy(t, r, "HTTP/front", toFront, "HTTP/open").with(func(a *tgsAsk) { a.padata = nil }), krb.CodeBadOption},
		"resource, user not delegated": {asProxy(t, r, "HTTP/plain", self("HTTP/plain", "bob"), "HTTP/open"), krb.CodeBadOption},
		"not forwardable":              {asProxy(t, r, "HTTP/plain", self("HTTP/plain", "alice"), "HTTP/back"), krb.CodeBadOption},
		"not allowed":                  {asProxy(t, r, "HTTP/front", toFront, "HTTP/plain"), krb.CodeBadOption},
		"no evidence":                  {asProxy(t, r, "HTTP/front", toFront, "HTTP/back").with(func(a *tgsAsk) { a.tickets = nil }), krb.CodeBadOption},
		"another's evidence":           {asProxy(t, r, "HTTP/front", brought, "HTTP/back"), krb.CodeServerNoMatch},
		"ticket-granting ticket":       {asProxy(t, r, "HTTP/front", toFront, krb.TGS(r.Name(), r.Name()).Name()), krb.CodePolicy},
		"forwarded":                    {asProxy(t, r, "HTTP/front", toFront, "HTTP/back").with(func(a *tgsAsk) { a.body.Options |= krb.OptionForwarded }), krb.CodeBadOption},
		"user is gone":                 {asProxy(t, r, "HTTP/front", renamed(t, r, toFront, "carol"), "HTTP/back"), krb.CodeClientUnknown},
		"locked user":                  {asProxy(t, r, "HTTP/front", renamed(t, r, toFront, "locked"), "HTTP/back"), krb.CodeClientRevoked},
		"evidence does not decrypt": {asProxy(t, r, "HTTP/front", toFront, "HTTP/back").with(func(a *tgsAsk) {
			raw := bytes.Clone(toFront.Raw)
			raw[len(raw)-1] ^= 1
			a.tickets = [][]byte{raw}
		}), krb.CodeBadIntegrity},
		"evidence has ended": {asProxy(t, r, "HTTP/front", resealed(t, r, toFront, func(g *grant) { g.end = r.Now().Add(-time.Second) }), "HTTP/back"), krb.CodeTicketExpired},
		"malformed options":  {asProxy(t, r, "HTTP/front", toFront, "HTTP/open").with(func(a *tgsAsk) { a.padata = []krb.PAData{{Type: krb.PAPACOptions, Value: []byte{0x30}}} }), krb.CodeBadOption},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.ask.code(t, r); got != tc.want {
				t.Errorf("got %s, want %s", krb.ErrorName(got), krb.ErrorName(tc.want))
			}
		})
	}
	t.Run("ticket", func(t *testing.T) {
		evidence := resealed(t, r, toFront, func(g *grant) { g.end = g.start.Add(time.Minute); g.authTime = g.start.Add(-time.Hour) })
		got, part, _ := asProxy(t, r, "HTTP/front", evidence, "HTTP/back").ticket(t, r)
		inside := opened(t, r, got)
		alice := krb.NewPrincipal(r.Name(), "alice")
		if !got.Client.Equal(alice) || !inside.client.Equal(alice) || got.Server.Name() != "HTTP/back" || got.Flags&krb.FlagForwardable == 0 {
			t.Errorf("ticket of %v for %v, flags %08x", got.Client, got.Server, got.Flags)
		}
		if !got.EndTime.Equal(evidence.StartTime.Add(time.Minute)) || !got.AuthTime.Equal(evidence.StartTime.Add(-time.Hour)) {
			t.Errorf("authenticated %v, ends %v: not as the evidence", got.AuthTime, got.EndTime)
		}
		if d := cmp.Diff([]krb.PAData{rbcd}, part.PAData); d != "" {
			t.Errorf("PA-PAC-OPTIONS in the reply: %s", d)
		}
	})
	ask := asProxy(t, r, "HTTP/front", toFront, "HTTP/back")
	last := r.Exchanges()[len(r.Exchanges())-1].String()
	if want := "TGS/tcp HTTP/front@" + r.Name() + " for HTTP/back@" + r.Name() + ", S4U2Proxy for alice@" + r.Name() + ": aes256-cts-hmac-sha1-96"; last != want {
		t.Errorf("record %q, want %q", last, want)
	}
	r.Modify("HTTP/front", Refuse(krb.CodeClientRevoked))
	if got := ask.code(t, r); got != krb.CodeClientRevoked {
		t.Errorf("by a service that is locked: %s", krb.ErrorName(got))
	}
}

// TestS4U2ProxyOfForeigner: a user of another realm has no entry here, but the
// path of the ticket is kept.
func TestS4U2ProxyOfForeigner(t *testing.T) {
	a, b := Start(t, WithRealm("A.EXAMPLE"), WithUser("carol", "secret")), s4uRealm(t, WithRealm("B.EXAMPLE"))
	a.Trust(b)
	toB := hopTo(t, a, homeTicket(t, a, "carol"), "B.EXAMPLE")
	q := forService(b, "HTTP/front")
	q.Options = krb.OptionForwardable
	brought := ticketFor(t, b, toB, q)
	got, _, _ := asProxy(t, b, "HTTP/front", brought, "HTTP/back").ticket(t, b)
	if got.Client.String() != "carol@A.EXAMPLE" {
		t.Errorf("ticket of %v", got.Client)
	}
	if d := cmp.Diff(opened(t, b, brought).transited, opened(t, b, got).transited); d != "" {
		t.Errorf("path: %s", d)
	}
	if got := asProxy(t, b, "HTTP/front", brought, "HTTP/open").code(t, b); got != 0 {
		t.Errorf("to a target that allows it: %s", krb.ErrorName(got))
	}
	// A service of another realm is not this realm's to judge.
	stranger := asProxy(t, b, "HTTP/front", brought, "HTTP/open")
	stranger.tgt = resealed(t, b, stranger.tgt, func(g *grant) { g.client.Realm = "A.EXAMPLE" })
	if got := stranger.code(t, b); got != krb.CodeBadOption {
		t.Errorf("by a service of another realm: %s", krb.ErrorName(got))
	}
	front := hopTo(t, b, minted(t, b, "HTTP/front", krb.TGS("B.EXAMPLE", "B.EXAMPLE").Name()), "A.EXAMPLE")
	a.AddService("HTTP/web")
	ask := asProxy(t, a, "HTTP/web", brought, "HTTP/web")
	ask.tgt = front
	if got := ask.code(t, a); got != krb.CodeServerUnknown {
		t.Errorf("service of another realm: %s", krb.ErrorName(got))
	}
	ask = asSelf(t, a, "HTTP/web", "carol")
	ask.tgt = front
	if got := ask.code(t, a); got != krb.CodeBadMatch {
		t.Errorf("S4U2Self of another realm's service: %s", krb.ErrorName(got))
	}
}

func TestDelegationNames(t *testing.T) {
	r := Start(t, WithService("HTTP/front", AllowedToDelegateTo("HTTP/back", "HTTP/far@OTHER.EXAMPLE")))
	p := r.lookup(krb.NewPrincipal(r.Name(), "HTTP", "front"))
	if d := cmp.Diff([]string{"HTTP/back@" + r.Name(), "HTTP/far@OTHER.EXAMPLE"}, p.delegateTo); d != "" {
		t.Error(d)
	}
	for name, o := range map[string]PrincipalOption{
		"to": AllowedToDelegateTo("a\\"), "from": AllowedToDelegateFrom(""), "sessions": SessionEtypes(99), "groups": Groups(make([]uint32, maxGroups+1)...),
	} {
		if _, err := New(WithService("HTTP/x", o)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
