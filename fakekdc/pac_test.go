package fakekdc

import (
	"bytes"
	"log"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	gokrb5 "github.com/jcmturner/gokrb5/v8/pac"
	"github.com/jcmturner/gokrb5/v8/service"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/fakekdc/internal/pac"
	"github.com/kerbchain/kerbchain/internal/krb"
)

func pacRealm(tb testing.TB, opts ...Option) *Realm {
	tb.Helper()
	return s4uRealm(tb, append([]Option{WithPAC(), WithRealm("PAC.EXAMPLE"), WithUser("grouped", "secret", Groups(1234, 512)), WithUser("Zoë", "secret", NoPreauth())}, opts...)...)
}

// gokrb5PAC lets gokrb5 verify and read the PAC of a service's ticket.
func gokrb5PAC(t *testing.T, r *Realm, ticket *krb.Ticket) gokrb5.PACType {
	t.Helper()
	kt := keytab.New()
	if err := kt.Unmarshal(r.Keytab(ticket.Server.Name())); err != nil {
		t.Fatal(err)
	}
	var tkt messages.Ticket
	if err := tkt.Unmarshal(ticket.Raw); err != nil {
		t.Fatal(err)
	}
	if err := tkt.DecryptEncPart(kt, nil); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	is, p, err := tkt.GetPACType(kt, nil, log.New(&said, "", 0))
	if err != nil || !is {
		t.Fatalf("PAC %t: %v", is, err)
	}
	if said.Len() > 0 {
		t.Errorf("gokrb5 says %s", &said)
	}
	return p
}

// TestPACByGokrb5: another implementation verifies the service's signature and
// reads what is signed. It knows of no SHA-2.
func TestPACByGokrb5(t *testing.T) {
	for _, e := range []int32{AES256SHA1, AES128SHA1, RC4HMAC} {
		t.Run(krb.EtypeName(e), func(t *testing.T) {
			r := pacRealm(t, WithEtypes(e))
			tgs := krb.TGS(r.Name(), r.Name()).Name()
			st := ticketFor(t, r, login(t, r, "grouped", "secret", e, body(r, "grouped", e)), forService(r, "HTTP/back"))
			p := gokrb5PAC(t, r, st)
			k := p.KerbValidationInfo
			if k.EffectiveName.String() != "grouped" || k.LogonDomainName.String() != "PAC" || k.LogonServer.String() != "KDC" || k.PrimaryGroupID != 513 ||
				k.UserID != firstRID+8 || k.UserAccountControl != 0x10 || !k.LogOnTime.Time().Equal(st.AuthTime) {
				t.Errorf("logon %+v", k)
			}
			sid := k.LogonDomainID.String()
			if !strings.HasPrefix(sid, "S-1-5-21-") || strings.Count(sid, "-") != 6 {
				t.Errorf("domain %s", sid)
			}
			if d := cmp.Diff([]string{sid + "-513", sid + "-1234", sid + "-512"}, k.GetGroupMembershipSIDs()); d != "" {
				t.Error(d)
			}
			if p.ClientInfo.Name != "grouped" || !p.ClientInfo.ClientID.Time().Equal(st.AuthTime) {
				t.Errorf("client %+v", p.ClientInfo)
			}
			// A name that is not ASCII, of a user who must not be delegated.
			p = gokrb5PAC(t, r, ticketFor(t, r, minted(t, r, "Zoë", tgs), forService(r, "HTTP/back")))
			if p.ClientInfo.Name != "Zoë" || p.KerbValidationInfo.EffectiveName.String() != "Zoë" || p.KerbValidationInfo.UserAccountControl != 0x10010 {
				t.Errorf("client %+v, logon %+v", p.ClientInfo, p.KerbValidationInfo)
			}
			p = gokrb5PAC(t, r, minted(t, r, "bob", "HTTP/back"))
			if p.KerbValidationInfo.UserAccountControl != 0x4010 {
				t.Errorf("account %x", p.KerbValidationInfo.UserAccountControl)
			}
			// Delegated twice.
			self, _, _ := asSelf(t, r, "HTTP/front", "alice").ticket(t, r)
			if p := gokrb5PAC(t, r, self); p.ClientInfo.Name != "alice" || p.S4UDelegationInfo != nil {
				t.Errorf("S4U2Self: client %+v, delegation %+v", p.ClientInfo, p.S4UDelegationInfo)
			}
			r.Modify("HTTP/back", AllowedToDelegateTo("HTTP/plain"))
			proxy, _, _ := asProxy(t, r, "HTTP/front", self, "HTTP/back").ticket(t, r)
			again, _, _ := asProxy(t, r, "HTTP/back", proxy, "HTTP/plain").ticket(t, r)
			p = gokrb5PAC(t, r, again)
			if got := p.S4UDelegationInfo; p.ClientInfo.Name != "alice" || got == nil || got.S4U2proxyTarget.String() != "HTTP/plain" || got.TransitedListSize != 2 ||
				got.S4UTransitedServices[0].String() != "HTTP/front@"+r.Name() || got.S4UTransitedServices[1].String() != "HTTP/back@"+r.Name() {
				t.Errorf("S4U2Proxy: client %+v, delegation %+v", p.ClientInfo, got)
			}
		})
	}
}

// TestGokrb5ServiceWithPAC: its acceptor decodes the PAC by default, and its
// users go by the groups.
func TestGokrb5ServiceWithPAC(t *testing.T) {
	r := Start(t, WithPAC(), WithUser("alice", "secret", Groups(2222)), WithService("HTTP/localhost"))
	c := client.NewWithPassword("alice", r.Name(), "secret", gokrb5Config(t, r), client.DisablePAFXFAST(true))
	defer c.Destroy()
	if err := c.Login(); err != nil {
		t.Fatal(err)
	}
	tkt, key, err := c.GetServiceTicket("HTTP/localhost")
	if err != nil {
		t.Fatal(err)
	}
	kt := keytab.New()
	if err := kt.Unmarshal(r.Keytab("HTTP/localhost")); err != nil {
		t.Fatal(err)
	}
	a, err := types.NewAuthenticator(r.Name(), types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	a.CTime, a.Cusec = krb.UniqueTime(r.Now())
	req, err := messages.NewAPReq(tkt, key, a)
	if err != nil {
		t.Fatal(err)
	}
	ok, creds, err := service.VerifyAPREQ(&req, service.NewSettings(kt))
	if err != nil || !ok {
		t.Fatal(err)
	}
	if got := creds.GetADCredentials(); len(got.GroupMembershipSIDs) != 2 || !strings.HasSuffix(got.GroupMembershipSIDs[1], "-2222") || got.EffectiveName != "alice" {
		t.Errorf("%+v", got)
	}
}

// buffersOf is the PAC of a ticket, parsed.
func buffersOf(t *testing.T, r *Realm, ticket *krb.Ticket) (raw []byte, list []pac.Buffer, g *grant) {
	t.Helper()
	g = opened(t, r, ticket)
	raw, _, err := splitAuthData(g.authData, false)
	if err != nil {
		t.Fatal(err)
	}
	if raw == nil {
		return nil, nil, g
	}
	if list, err = pac.Parse(raw); err != nil {
		t.Fatal(err)
	}
	return raw, list, g
}

// TestPACSignatures works them out from [MS-PAC] section 2.8 alone, for every
// type of key and for keys of two types.
func TestPACSignatures(t *testing.T) {
	for _, kdc := range allEtypes {
		r := pacRealm(t, WithEtypes(kdc), WithService("HTTP/other", Etypes(AES128SHA256)))
		tgs := krb.TGS(r.Name(), r.Name())
		tgsKey, _, err := r.lookup(tgs).sealing()
		if err != nil {
			t.Fatal(err)
		}
		q := forService(r, "HTTP/other", AES128SHA256)
		st := ticketFor(t, r, minted(t, r, "alice", tgs.Name()), q)
		raw, list, g := buffersOf(t, r, st)
		sum := func(kind uint32) []byte {
			b, found := pac.Find(list, kind)
			if !found {
				t.Fatalf("no buffer %d", kind)
			}
			return b[4:]
		}
		server, _, err := r.lookup(krb.NewPrincipal(r.Name(), "HTTP", "other")).sealing()
		if err != nil {
			t.Fatal(err)
		}
		zeroed := bytes.Clone(raw)
		for _, kind := range []uint32{pac.KindServerSum, pac.KindKDCSum} {
			copy(zeroed[bytes.Index(zeroed, sum(kind)):], make([]byte, len(sum(kind))))
		}
		if server.VerifyChecksum(17, sum(pac.KindServerSum), zeroed) != nil {
			t.Error("server's signature")
		}
		if tgsKey.VerifyChecksum(17, sum(pac.KindKDCSum), sum(pac.KindServerSum)) != nil {
			t.Error("KDC's signature")
		}
		copy(zeroed[bytes.Index(zeroed, sum(pac.KindFullSum)):], make([]byte, len(sum(pac.KindFullSum))))
		if tgsKey.VerifyChecksum(17, sum(pac.KindFullSum), zeroed) != nil {
			t.Error("extended signature of the KDC")
		}
		// The ticket with one byte of 0 in place of the PAC.
		g.authData = ifRelevant(krb.ADWin2kPAC, []byte{0})
		der, err := g.part().Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if tgsKey.VerifyChecksum(17, sum(pac.KindTicketSum), der) != nil {
			t.Error("signature of the ticket")
		}
		_, list, _ = buffersOf(t, r, minted(t, r, "alice", tgs.Name()))
		var kinds []uint32
		for _, b := range list {
			kinds = append(kinds, b.Kind)
		}
		if d := cmp.Diff([]uint32{pac.KindLogonInfo, pac.KindClientInfo, pac.KindServerSum, pac.KindKDCSum}, kinds); d != "" {
			t.Errorf("ticket-granting ticket: %s", d)
		}
	}
}

// TestPACFollows: renewed, forwarded and rotated, the PAC stays true.
func TestPACFollows(t *testing.T) {
	r := pacRealm(t)
	tgs := krb.TGS(r.Name(), r.Name()).Name()
	b := body(r, "alice")
	b.Options = krb.OptionRenewable | krb.OptionForwardable
	tgt := login(t, r, "alice", "secret", AES256SHA1, b)
	renew := body(r, "")
	renew.Options = krb.OptionRenew
	forward := body(r, "")
	forward.Options = krb.OptionForwarded | krb.OptionForwardable
	if err := r.Rotate(tgs); err != nil {
		t.Fatal(err)
	}
	st := ticketFor(t, r, ticketFor(t, r, ticketFor(t, r, tgt, renew), forward), forService(r, "HTTP/back"))
	if p := gokrb5PAC(t, r, st); p.ClientInfo.Name != "alice" {
		t.Errorf("client %+v", p.ClientInfo)
	}
	// Other authorization data stay too, behind the PAC.
	other := ifRelevant(141, []byte("x"))
	st, _, _ = tgsAsk{tgt: tgt, body: forService(r, "HTTP/back"), authData: other}.ticket(t, r)
	list, err := krb.ParseAuthData(opened(t, r, st).authData)
	if err != nil {
		t.Fatal(err)
	}
	if _, found := findPAC(list[0]); !found || len(list) != 2 {
		t.Errorf("%d elements, the first a PAC: %t", len(list), found)
	}
	gokrb5PAC(t, r, st)
	padded := pacRealm(t, WithUser("big", "secret", TicketPadding(100)))
	gokrb5PAC(t, padded, ticketFor(t, padded, minted(t, padded, "big", krb.TGS(padded.Name(), padded.Name()).Name()), forService(padded, "HTTP/back")))
}

func TestPACAcrossRealms(t *testing.T) {
	a := Start(t, WithPAC(), WithRealm("A.EXAMPLE"), WithUser("alice", "secret"))
	b := Start(t, WithPAC(), WithRealm("B.EXAMPLE"), WithService("HTTP/back"))
	plain := Start(t, WithRealm("C.EXAMPLE"), WithService("HTTP/back"), WithUser("carol", "secret"))
	a.Trust(b)
	a.Trust(plain)
	b.Trust(plain)
	tgt := homeTicket(t, a, "alice")
	st := ticketFor(t, b, hopTo(t, a, tgt, "B.EXAMPLE"), forService(b, "HTTP/back"))
	if p := gokrb5PAC(t, b, st); p.ClientInfo.Name != "alice" || p.KerbValidationInfo.LogonDomainName.String() != "A" {
		t.Errorf("client %+v", p.ClientInfo)
	}
	// A realm that knows of none takes it out: nobody could verify it.
	st = ticketFor(t, plain, hopTo(t, a, tgt, "C.EXAMPLE"), forService(plain, "HTTP/back"))
	if raw, _, g := buffersOf(t, plain, st); raw != nil || g.authData != nil {
		t.Errorf("authorization data %x", g.authData)
	}
	st = ticketFor(t, b, hopTo(t, plain, homeTicket(t, plain, "carol"), "B.EXAMPLE"), forService(b, "HTTP/back"))
	if raw, _, _ := buffersOf(t, b, st); raw != nil {
		t.Error("a PAC of nobody's making")
	}
}

func TestPACRequest(t *testing.T) {
	r := pacRealm(t)
	for name, tc := range map[string]struct {
		value []byte
		want  bool
	}{
		"true":      {[]byte{0x30, 5, 0xa0, 3, 1, 1, 0xff}, true},
		"false":     {[]byte{0x30, 5, 0xa0, 3, 1, 1, 0}, false},
		"malformed": {[]byte{0x30}, true},
	} {
		key := keyOf(t, r, "alice", "secret", AES256SHA1)
		req := marshalReq(t, krb.MsgASReq, []krb.PAData{timestamp(t, key, r.Now()), {Type: krb.PAPACRequest, Value: tc.value}}, body(r, "alice"))
		tgt, _ := openRep(t, krb.MsgASRep, exchange(t, r, "tcp", req), key, krb.UsageASRepEncPart)
		st := ticketFor(t, r, tgt, forService(r, "HTTP/back"))
		for _, ticket := range []*krb.Ticket{tgt, st} {
			if raw, _, _ := buffersOf(t, r, ticket); (raw != nil) != tc.want {
				t.Errorf("%s: PAC of %d bytes in the ticket for %v", name, len(raw), ticket.Server)
			}
		}
	}
}

// changed reseals a ticket whose PAC is changed, as who has the key can.
func changed(t *testing.T, r *Realm, ticket *krb.Ticket, change func(raw []byte, g *grant) []byte) *krb.Ticket {
	t.Helper()
	raw, _, old := buffersOf(t, r, ticket)
	return resealed(t, r, ticket, func(g *grant) {
		*g = *old
		raw = change(bytes.Clone(raw), g)
		if g.authData = nil; raw != nil {
			g.authData = ifRelevant(krb.ADWin2kPAC, raw)
		}
	})
}

// TestForgedPAC: the service has its own key and can sign what it likes, but the
// KDC knows what it has said.
func TestForgedPAC(t *testing.T) {
	r, without := pacRealm(t), s4uRealm(t)
	tgs := krb.TGS(r.Name(), r.Name()).Name()
	self, _, _ := asSelf(t, r, "HTTP/plain", "alice").ticket(t, r) // which is not forwardable
	forwardable := func(raw []byte, g *grant) []byte { g.flags |= krb.FlagForwardable; return raw }
	// What no signature looks at: the "bronze bit".
	open, _, _ := asSelf(t, without, "HTTP/plain", "alice").ticket(t, without)
	if got := asProxy(t, without, "HTTP/plain", with(t, without, open, krb.FlagForwardable), "HTTP/back").code(t, without); got != 0 {
		t.Errorf("without PACs: %s", krb.ErrorName(got))
	}
	service, _, err := r.lookup(krb.NewPrincipal(r.Name(), "HTTP", "front")).sealing()
	if err != nil {
		t.Fatal(err)
	}
	resigned := func(f func([]pac.Buffer) []pac.Buffer) func([]byte, *grant) []byte {
		return func(raw []byte, _ *grant) []byte {
			list, err := pac.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			whole, placed := pac.Marshal(f(list))
			for _, b := range placed {
				if b.Kind == pac.KindServerSum || b.Kind == pac.KindKDCSum {
					clear(b.Data[4:])
				}
			}
			sum, err := service.Checksum(krb.UsageNonKerberosChecksum, whole)
			if err != nil {
				t.Fatal(err)
			}
			old, _ := pac.Find(list, pac.KindKDCSum)
			for _, b := range placed {
				switch b.Kind {
				case pac.KindServerSum:
					copy(b.Data[4:], sum)
				case pac.KindKDCSum:
					copy(b.Data, old)
				}
			}
			return whole
		}
	}
	good, _, _ := asSelf(t, r, "HTTP/front", "alice").ticket(t, r)
	drop := func(kind uint32) func([]byte, *grant) []byte {
		return func(raw []byte, _ *grant) []byte {
			list, err := pac.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			whole, _ := pac.Marshal(slices.DeleteFunc(list, func(b pac.Buffer) bool { return b.Kind == kind }))
			return whole
		}
	}
	tgt := minted(t, r, "alice", tgs)
	flip := func(raw []byte, _ *grant) []byte { raw[len(raw)-1-8] ^= 1; return raw }
	for name, tc := range map[string]struct{ got, want int32 }{
		"as it is":                  {asProxy(t, r, "HTTP/front", good, "HTTP/back").code(t, r), 0},
		"flag of the ticket":        {asProxy(t, r, "HTTP/plain", changed(t, r, self, forwardable), "HTTP/back").code(t, r), krb.CodeModified},
		"client of the ticket":      {asProxy(t, r, "HTTP/front", changed(t, r, good, func(raw []byte, g *grant) []byte { g.client.Components = []string{"grouped"}; return raw }), "HTTP/back").code(t, r), krb.CodeModified},
		"without":                   {asProxy(t, r, "HTTP/front", changed(t, r, good, func([]byte, *grant) []byte { return nil }), "HTTP/back").code(t, r), krb.CodeModified},
		"cut off":                   {asProxy(t, r, "HTTP/front", changed(t, r, good, func(raw []byte, _ *grant) []byte { return raw[:50] }), "HTTP/back").code(t, r), krb.CodeModified},
		"a byte":                    {asProxy(t, r, "HTTP/front", changed(t, r, good, flip), "HTTP/back").code(t, r), krb.CodeModified},
		"groups, signed":            {asProxy(t, r, "HTTP/front", changed(t, r, good, resigned(func(l []pac.Buffer) []pac.Buffer { l[0].Data = bytes.Clone(l[0].Data); l[0].Data[20] ^= 1; return l })), "HTTP/back").code(t, r), krb.CodeModified},
		"no signature of the KDC":   {asProxy(t, r, "HTTP/front", changed(t, r, good, drop(pac.KindKDCSum)), "HTTP/back").code(t, r), krb.CodeModified},
		"no signature of the whole": {asProxy(t, r, "HTTP/front", changed(t, r, good, drop(pac.KindFullSum)), "HTTP/back").code(t, r), krb.CodeModified},
		"no signature over ticket":  {asProxy(t, r, "HTTP/front", changed(t, r, good, drop(pac.KindTicketSum)), "HTTP/back").code(t, r), krb.CodeModified},
		"no signature at all":       {asProxy(t, r, "HTTP/front", changed(t, r, good, drop(pac.KindServerSum)), "HTTP/back").code(t, r), krb.CodeModified},
		"TGT, a byte":               {(tgsAsk{tgt: changed(t, r, tgt, flip), body: forService(r, "HTTP/back")}).code(t, r), krb.CodeModified},
		"TGT of another":            {(tgsAsk{tgt: changed(t, r, tgt, func(raw []byte, g *grant) []byte { g.client.Components = []string{"bob"}; return raw }), body: forService(r, "HTTP/back")}).code(t, r), krb.CodeBadOption},
		"TGT without":               {(tgsAsk{tgt: changed(t, r, tgt, func([]byte, *grant) []byte { return nil }), body: forService(r, "HTTP/back")}).code(t, r), 0},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %s, want %s", name, krb.ErrorName(tc.got), krb.ErrorName(tc.want))
		}
	}
}

func TestDelegatedTooOften(t *testing.T) {
	var long pac.Delegation
	for range pac.MaxVia {
		long.Via = append(long.Via, "x")
	}
	g := &grant{pac: []pac.Buffer{{Kind: pac.KindDelegation, Data: long.Marshal()}}}
	if no := g.delegate(krb.Principal{}, krb.Principal{}); no == nil || no.code != krb.CodePolicy {
		t.Errorf("delegated without end: %v", no)
	}
}
