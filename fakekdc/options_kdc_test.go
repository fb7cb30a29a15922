package fakekdc

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/dertest"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// addresses returns HostAddresses.
func addresses(kind int32, values ...[]byte) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, v := range values {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				dertest.AddInt(b, 0, int64(kind))
				dertest.AddOctets(b, 1, v)
			})
		}
	})
	return b.BytesOrPanic()
}

var (
	hereV4   = addresses(krb.AddressIPv4, []byte{127, 0, 0, 1})
	hereV6   = addresses(krb.AddressIPv6, []byte{10: 0xff, 11: 0xff, 12: 127, 15: 1})
	there    = addresses(krb.AddressIPv4, []byte{192, 0, 2, 1}, []byte{192, 0, 2, 2})
	netBIOS  = addresses(20, []byte("WORKSTATION     "))
	noneAtIP = addresses(krb.AddressIPv4, []byte{1, 2})
)

// TestTGSOptions is what each option does to the ticket or to the request.
func TestTGSOptions(t *testing.T) {
	r := Start(t, WithUser("alice", "secret", Postdatable()), WithService("HTTP/localhost", Postdatable()), WithService("HTTP/now"),
		WithService("HTTP/odd", TicketFlags(krb.FlagOKAsDelegate, krb.FlagTransitedOK), SessionEtypes(AES128SHA1)))
	tgs := krb.TGS(r.Name(), r.Name())
	tgt := with(t, r, minted(t, r, "alice", tgs.Name()), krb.OptionAllowPostdate)
	plain := without(t, r, tgt, krb.FlagForwardable|krb.FlagProxiable|krb.FlagRenewable|krb.OptionAllowPostdate)
	st := minted(t, r, "alice", "HTTP/localhost")
	ask := func(ticket *krb.Ticket, server string, options uint32, more ...func(*tgsAsk)) tgsAsk {
		a := tgsAsk{tgt: ticket, body: forService(r, server)}
		a.body.Options = options
		for _, f := range more {
			f(&a)
		}
		return a
	}
	const common = krb.FlagPreAuthent | krb.FlagTransitedOK
	for name, tc := range map[string]struct {
		ask   tgsAsk
		want  int32
		flags uint32
		at    []byte // addresses
	}{
		"none":                        {ask: ask(tgt, "HTTP/localhost", 0), flags: common},
		"forwardable, proxiable":      {ask: ask(tgt, "HTTP/localhost", krb.OptionForwardable|krb.OptionProxiable), flags: common | krb.OptionForwardable | krb.OptionProxiable},
		"more than the ticket has":    {ask: ask(plain, "HTTP/localhost", krb.OptionForwardable|krb.OptionProxiable|krb.OptionRenewable), flags: common},
		"forwarded":                   {ask: ask(tgt, tgs.Name(), krb.OptionForwarded|krb.OptionForwardable), flags: common | krb.OptionForwarded | krb.OptionForwardable},
		"forwarded elsewhere":         {ask: ask(tgt, tgs.Name(), krb.OptionForwarded, func(a *tgsAsk) { a.address = there }), flags: common | krb.OptionForwarded, at: there},
		"forwarded stays":             {ask: ask(with(t, r, tgt, krb.FlagForwarded), "HTTP/localhost", 0), flags: common | krb.OptionForwarded},
		"not forwardable":             {ask: ask(plain, tgs.Name(), krb.OptionForwarded), want: krb.CodeBadOption},
		"service ticket forwarded":    {ask: ask(st, "HTTP/localhost", krb.OptionForwarded), flags: common | krb.OptionForwarded},
		"proxy":                       {ask: ask(tgt, "HTTP/localhost", krb.OptionProxy, func(a *tgsAsk) { a.address = there }), flags: common | krb.FlagProxy, at: there},
		"proxy of a service ticket":   {ask: ask(st, "HTTP/localhost", krb.OptionProxy, func(a *tgsAsk) { a.address = there }), flags: common | krb.FlagProxy, at: there},
		"proxy for another service":   {ask: ask(st, "HTTP/now", krb.OptionProxy), want: krb.CodeNotUs},
		"proxy of all":                {ask: ask(tgt, tgs.Name(), krb.OptionProxy), want: krb.CodeBadOption},
		"not proxiable":               {ask: ask(plain, "HTTP/localhost", krb.OptionProxy), want: krb.CodeBadOption},
		"anonymous":                   {ask: ask(tgt, "HTTP/localhost", krb.OptionAnonymous), want: krb.CodeBadOption},
		"path not checked":            {ask: ask(tgt, "HTTP/localhost", krb.OptionNoTransitCheck), flags: krb.FlagPreAuthent},
		"renewal of what is not":      {ask: ask(plain, tgs.Name(), krb.OptionRenew), want: krb.CodeBadOption},
		"validation of what is valid": {ask: ask(tgt, tgs.Name(), krb.OptionValidate), want: krb.CodeBadOption},
		"validation for another":      {ask: ask(with(t, r, tgt, krb.FlagInvalid), "HTTP/localhost", krb.OptionValidate), want: krb.CodeServerNoMatch},
		"may postdate":                {ask: ask(tgt, "HTTP/localhost", krb.OptionAllowPostdate), flags: common | krb.OptionAllowPostdate},
		"may postdate, not the user":  {ask: ask(plain, "HTTP/localhost", krb.OptionAllowPostdate), want: krb.CodeBadOption},
		"may postdate, not there":     {ask: ask(tgt, "HTTP/now", krb.OptionAllowPostdate), want: krb.CodeCannotPostdate},
		"flags of a service":          {ask: ask(tgt, "HTTP/odd", 0), flags: krb.FlagPreAuthent | krb.FlagOKAsDelegate},
		"unknown options":             {ask: ask(tgt, "HTTP/localhost", 1<<(31-9)|1<<(31-20)), flags: common},
		"address":                     {ask: ask(addressed(t, r, tgt, hereV4), "HTTP/localhost", 0), flags: common, at: hereV4},
		"address, the other way":      {ask: ask(addressed(t, r, tgt, hereV6), "HTTP/localhost", 0), flags: common, at: hereV6},
		"other addresses":             {ask: ask(addressed(t, r, tgt, there), "HTTP/localhost", 0), want: krb.CodeBadAddress},
		"addresses of another kind":   {ask: ask(addressed(t, r, tgt, netBIOS), "HTTP/localhost", 0), flags: common, at: netBIOS},
		"no address":                  {ask: ask(addressed(t, r, tgt, noneAtIP), "HTTP/localhost", 0), want: krb.CodeBadAddress},
		"malformed addresses":         {ask: ask(addressed(t, r, tgt, []byte{0x30, 2, 5, 0}), "HTTP/localhost", 0), want: krb.CodeBadAddress},
		"ended before it begins":      {ask: ask(tgt, "HTTP/localhost", 0, func(a *tgsAsk) { a.body.Till = r.Now().Add(-time.Second) }), want: krb.CodeNeverValid},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.ask.code(t, r); got != tc.want {
				t.Fatalf("got %s, want %s", krb.ErrorName(got), krb.ErrorName(tc.want))
			}
			if tc.want != 0 {
				return
			}
			got, part, _ := tc.ask.ticket(t, r)
			inside := opened(t, r, got)
			if part.Flags != tc.flags || inside.flags != tc.flags {
				t.Errorf("flags %08x, %08x inside, want %08x", part.Flags, inside.flags, tc.flags)
			}
			if d := cmp.Diff(tc.at, inside.addresses); d != "" {
				t.Error(d)
			}
		})
	}
	if got := ticketFor(t, r, tgt, forService(r, "HTTP/odd")); got.Key.Etype() != AES128SHA1 {
		t.Errorf("session key of etype %d", got.Key.Etype())
	}
}

func addressed(tb testing.TB, r *Realm, ticket *krb.Ticket, at []byte) *krb.Ticket {
	return resealed(tb.(*testing.T), r, ticket, func(g *grant) { g.addresses = at })
}

// fromTime adds [4] from to a request for an initial ticket.
func fromTime(tb testing.TB, der []byte, from time.Time) []byte {
	tb.Helper()
	s := cryptobyte.String(der)
	var in cryptobyte.String
	if !s.ReadASN1(&in, asn1.SEQUENCE) {
		tb.Fatal("no sequence")
	}
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for !in.Empty() {
			var el cryptobyte.String
			var tag asn1.Tag
			if !in.ReadAnyASN1Element(&el, &tag) {
				tb.Fatal("no element")
			}
			if tag == krb.Ctx(5) {
				dertest.AddTime(b, 4, from)
			}
			b.AddBytes(el)
		}
	})
	return b.BytesOrPanic()
}

func TestPostdated(t *testing.T) {
	clock := &Clock{}
	r := Start(t, WithClock(clock.Now), WithUser("alice", "secret", Postdatable()), WithUser("bob", "secret"), WithService("HTTP/localhost"))
	now := r.Now().Truncate(time.Second)
	ask := func(user string, options uint32, from time.Time, till time.Time) []byte {
		b := body(r, user)
		b.Options, b.Till = options, till
		der, err := b.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if !from.IsZero() {
			der = fromTime(t, der, from)
		}
		key := keyOf(t, r, user, "secret", AES256SHA1)
		req, err := krb.MarshalKDCReq(krb.MsgASReq, []krb.PAData{timestamp(t, key, r.Now())}, der)
		if err != nil {
			t.Fatal(err)
		}
		return exchange(t, r, "tcp", req)
	}
	key := keyOf(t, r, "alice", "secret", AES256SHA1)
	for name, tc := range map[string]struct {
		user    string
		options uint32
		from    time.Time
		want    int32
	}{
		"refused":            {"bob", krb.OptionPostdated, now.Add(time.Hour), krb.CodeCannotPostdate},
		"flag refused":       {"bob", krb.OptionAllowPostdate, time.Time{}, krb.CodeCannotPostdate},
		"ends before":        {"alice", krb.OptionPostdated, now.Add(3 * time.Hour), krb.CodeNeverValid},
		"options of the TGS": {"alice", krb.OptionValidate, time.Time{}, krb.CodeBadOption},
		"anonymous":          {"alice", krb.OptionAnonymous, time.Time{}, krb.CodeBadOption},
	} {
		if got := codeOf(t, ask(tc.user, tc.options, tc.from, now.Add(2*time.Hour))); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, krb.ErrorName(got), krb.ErrorName(tc.want))
		}
	}
	// A time without the option means nothing, one that has passed is now.
	for _, options := range []uint32{0, krb.OptionPostdated} {
		from := now.Add(time.Hour)
		if options != 0 {
			from = now.Add(-time.Hour)
		}
		got, _ := openRep(t, krb.MsgASRep, ask("alice", options, from, now.Add(2*time.Hour)), key, krb.UsageASRepEncPart)
		if d := got.StartTime.Sub(now); d < 0 || d > time.Minute {
			t.Errorf("options %08x: begins %v", options, got.StartTime)
		}
	}
	tgt, _ := openRep(t, krb.MsgASRep, ask("alice", krb.OptionPostdated|krb.OptionAllowPostdate|krb.OptionForwardable, now.Add(time.Hour), now.Add(2*time.Hour)), key, krb.UsageASRepEncPart)
	if want := uint32(krb.FlagPostdated | krb.OptionAllowPostdate | krb.FlagInvalid | krb.FlagInitial | krb.FlagPreAuthent | krb.FlagForwardable); tgt.Flags != want || !tgt.StartTime.Equal(now.Add(time.Hour)) || !tgt.EndTime.Equal(now.Add(2*time.Hour)) {
		t.Fatalf("flags %08x, want %08x, from %v until %v", tgt.Flags, want, tgt.StartTime, tgt.EndTime)
	}
	validate := tgsAsk{tgt: tgt, body: body(r, "")}
	validate.body.Options = krb.OptionValidate
	if got := validate.code(t, r); got != krb.CodeTicketNotYet {
		t.Errorf("too early: %s", krb.ErrorName(got))
	}
	clock.Advance(61 * time.Minute)
	if got := (tgsAsk{tgt: tgt, body: forService(r, "HTTP/localhost")}).code(t, r); got != krb.CodeTicketNotYet {
		t.Errorf("not validated: %s", krb.ErrorName(got))
	}
	valid, _, _ := validate.ticket(t, r)
	if want := tgt.Flags&^krb.FlagInvalid | krb.FlagTransitedOK; valid.Flags != want || !valid.StartTime.Equal(tgt.StartTime) || !valid.EndTime.Equal(tgt.EndTime) {
		t.Errorf("flags %08x, want %08x, from %v until %v", valid.Flags, want, valid.StartTime, valid.EndTime)
	}
	ticketFor(t, r, valid, forService(r, "HTTP/localhost"))
}

// TestAuthDataOfClient: what the client wants to have in the ticket gets there,
// but for what is for KDCs to say.
func TestAuthDataOfClient(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"), WithUser("padded", "secret", TicketPadding(10)), WithService("HTTP/localhost"))
	tgt := minted(t, r, "alice", krb.TGS(r.Name(), r.Name()).Name())
	restriction := ifRelevant(141, []byte("restriction"))
	forgery := ifRelevant(krb.ADWin2kPAC, []byte("of my own"))
	issued := krb.MarshalAuthData(krb.AuthData{Type: krb.ADKDCIssued, Data: []byte("by me")})
	both, err := joinAuthData(restriction, forgery)
	if err == nil {
		both, err = joinAuthData(both, issued)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, noSubkey := range []bool{false, true} {
		got, _, _ := tgsAsk{tgt: tgt, body: forService(r, "HTTP/localhost"), authData: both, noSubkey: noSubkey}.ticket(t, r)
		if d := cmp.Diff(restriction, opened(t, r, got).authData); d != "" {
			t.Error(d)
		}
		// The next ticket has it as well, and what is added.
		got, _, _ = tgsAsk{tgt: resealed(t, r, tgt, func(g *grant) { g.authData = restriction }), body: forService(r, "HTTP/localhost"), authData: restriction, noSubkey: noSubkey}.ticket(t, r)
		if list, err := krb.ParseAuthData(opened(t, r, got).authData); err != nil || len(list) != 2 {
			t.Errorf("%d elements, %v", len(list), err)
		}
		// Padding is beside it, once, although the ticket-granting ticket has its own.
		got, _, _ = tgsAsk{tgt: minted(t, r, "padded", krb.TGS(r.Name(), r.Name()).Name()), body: forService(r, "HTTP/localhost"), authData: both, noSubkey: noSubkey}.ticket(t, r)
		list, err := krb.ParseAuthData(opened(t, r, got).authData)
		if err != nil || len(list) != 2 || !bytes.Equal(krb.MarshalAuthData(list[0]), restriction) {
			t.Errorf("with padding: %v, %v", list, err)
		}
	}
	for name, tc := range map[string]struct {
		ask  tgsAsk
		want int32
	}{
		"malformed":        {tgsAsk{tgt: tgt, body: forService(r, "HTTP/localhost"), authData: []byte{1}}, krb.CodeGeneric},
		"malformed before": {tgsAsk{tgt: resealed(t, r, tgt, func(g *grant) { g.authData = []byte{0x30, 1, 0} }), body: forService(r, "HTTP/localhost")}, krb.CodeGeneric},
	} {
		if got := tc.ask.code(t, r); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, krb.ErrorName(got), krb.ErrorName(tc.want))
		}
	}
	// Under another key than the reply's.
	a := tgsAsk{tgt: tgt, body: forService(r, "HTTP/localhost"), authData: restriction}
	der, err := a.body.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	q := &request{KDCReqBody: krb.KDCReqBody{AuthData: der}}
	if no := r.addAuthData(q, &grant{}, &grant{session: tgt.Key}, &krb.Authenticator{}); no == nil || no.code != krb.CodeGeneric {
		t.Errorf("no encrypted data: %v", no)
	}
	sealed, err := tgt.Key.Seal(9, restriction)
	if err != nil {
		t.Fatal(err)
	}
	b := cryptobyte.NewBuilder(nil)
	dertest.AddEncrypted(b, 0, tgt.Key.Etype(), 0, sealed)
	s := cryptobyte.String(b.BytesOrPanic())
	var inner cryptobyte.String
	s.ReadASN1(&inner, krb.Ctx(0))
	q.AuthData = inner
	if no := r.addAuthData(q, &grant{}, &grant{session: tgt.Key}, &krb.Authenticator{}); no == nil || no.code != krb.CodeBadIntegrity {
		t.Errorf("sealed for something else: %v", no)
	}
}

// TestEncPARep: the proof is of the very bytes that were sent.
func TestEncPARep(t *testing.T) {
	r := Start(t, WithEncPARep(), WithEtypes(allEtypes...), WithUser("alice", "secret"))
	silent := Start(t, WithUser("alice", "secret"))
	ask := func(r *Realm, etype int32, asked bool) ([]byte, krb.Key, *krb.EncKDCRepPart) {
		t.Helper()
		key := keyOf(t, r, "alice", "secret", etype)
		list := []krb.PAData{timestamp(t, key, r.Now())}
		if asked {
			list = append(list, krb.PAData{Type: krb.PAReqEncPARep, Value: []byte{}})
		}
		req := marshalReq(t, krb.MsgASReq, list, body(r, "alice", etype))
		_, part := openRep(t, krb.MsgASRep, exchange(t, r, "tcp", req), key, krb.UsageASRepEncPart)
		return req, key, part
	}
	for _, e := range allEtypes {
		req, key, part := ask(r, e, true)
		if part.Flags&krb.FlagEncPARep == 0 || len(part.PAData) != 2 || part.PAData[0].Type != krb.PAReqEncPARep || part.PAData[1].Type != krb.PAFXFast || len(part.PAData[1].Value) != 0 {
			t.Fatalf("flags %08x, padata %v", part.Flags, part.PAData)
		}
		f := krb.OpenFields("checksum", part.PAData[0].Value)
		if kind, sum := f.Int32(0), f.Octets(1); kind != key.ChecksumType() || key.VerifyChecksum(krb.UsageASReqChecksum, sum, req) != nil {
			t.Errorf("checksum of type %d is not the request's", kind)
		}
	}
	for name, part := range map[string]*krb.EncKDCRepPart{
		"not asked for": func() *krb.EncKDCRepPart { _, _, p := ask(r, 18, false); return p }(),
		"not offered":   func() *krb.EncKDCRepPart { _, _, p := ask(silent, 18, true); return p }(),
	} {
		if part.Flags&krb.FlagEncPARep != 0 || len(part.PAData) > 0 {
			t.Errorf("%s: flags %08x, padata %v", name, part.Flags, part.PAData)
		}
	}
}
