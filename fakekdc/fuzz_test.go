package fakekdc

import (
	"encoding/hex"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
	"github.com/kerbchain/kerbchain/internal/dertest"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// fuzzRealm has keys that cost nothing and stands still in time.
func fuzzRealm(f *testing.F) *Realm {
	f.Helper()
	at := time.Unix(mitRequests(f)[0].Time, 0)
	r := Start(f, WithRealm("MIT.TEST"), WithClock(func() time.Time { return at }), WithEtypes(allEtypes...),
		WithUser("alice", "secret", Iterations(1), Etypes(AES256SHA1)), WithUser("anyone", "secret", NoPreauth(), Iterations(1)),
		WithService("HTTP/localhost"))
	other := Start(f, WithRealm("OTHER.TEST"), WithClock(func() time.Time { return at }), WithService("HTTP/elsewhere"))
	for _, err := range []error{
		r.Trust(other), r.Refer(".far.test", "OTHER.TEST"), r.Alias("anyone@corp.test", "anyone"), r.ReferUsers("@other.test", "OTHER.TEST"),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
	return r
}

// checkReply fails on a reply that no client could read.
func checkReply(t *testing.T, r *Realm, packet []byte) {
	out := r.answer(nil, "tcp", packet)
	if out.reply == nil {
		return
	}
	if len(out.reply) > 2*len(packet)+4096 {
		t.Errorf("%d bytes asked, %d answered", len(packet), len(out.reply))
	}
	if _, err := krb.ParseKRBError(out.reply); err == nil {
		return
	}
	kind := krb.MsgASRep
	if packet[0] == byte(krb.App(krb.MsgTGSReq)) {
		kind = krb.MsgTGSRep
	}
	if _, err := krb.ParseKDCRep(out.reply, kind); err != nil {
		t.Errorf("neither KRB-ERROR nor reply: %v: %x", err, out.reply)
	}
}

// FuzzRequest feeds the KDC bytes, beginning with requests of MIT's, gokrb5's
// and our own making.
func FuzzRequest(f *testing.F) {
	r := fuzzRealm(f)
	seeds := 0
	add := func(b []byte) { f.Add(b); seeds++ }
	for _, m := range mitRequests(f) {
		b, err := hex.DecodeString(m.Request)
		if err != nil {
			f.Fatal(err)
		}
		add(b)
	}
	for _, c := range mitCaptures(f) {
		b, err := hex.DecodeString(c.Request)
		if err != nil {
			f.Fatal(err)
		}
		add(b)
	}
	conf, err := config.NewFromString(r.Config())
	if err != nil {
		f.Fatal(err)
	}
	as, err := messages.NewASReqForTGT(r.Name(), conf, types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, "anyone"))
	if err != nil {
		f.Fatal(err)
	}
	b, err := as.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	add(b)
	add(marshalReq(f, krb.MsgASReq, nil, body(r, "anyone")))
	for _, name := range []string{"anyone@corp.test", "x@other.test"} {
		q := body(r, "")
		q.Client, q.Options = krb.Principal{Type: krb.NTEnterprise, Components: []string{name}}, krb.OptionCanonicalize
		add(marshalReq(f, krb.MsgASReq, nil, q))
	}
	tgt := minted(f, r, "alice", krb.TGS(r.Name(), r.Name()).Name())
	tgs, _ := tgsReq(f, r, tgt, forService(r, "HTTP/localhost"), nil)
	add(tgs)
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkReply(t, r, b) })
}

// FuzzTGS changes what is inside of a TGS-REQ, seals it and makes the checksum
// fit, so that mutations reach what lies behind the cryptography.
func FuzzTGS(f *testing.F) {
	r := fuzzRealm(f)
	tgt := minted(f, r, "alice", krb.TGS(r.Name(), r.Name()).Name())
	var plain []byte
	add := func(b krb.KDCReqBody) {
		der, err := b.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		_, _ = tgsReq(f, r, tgt, b, func(a *krb.Authenticator) {
			a.Checksum.Value = nil // put in when sealed
			if plain, err = a.Marshal(); err != nil {
				f.Fatal(err)
			}
		})
		f.Add(der, plain)
	}
	add(forService(r, "HTTP/localhost"))
	renew := body(r, "alice")
	renew.Options = krb.OptionRenew | krb.OptionRenewable
	add(renew)
	forward := body(r, "")
	forward.Options = krb.OptionForwarded | krb.OptionForwardable | krb.OptionCanonicalize
	forward.Till = time.Unix(0, 0)
	add(forward)
	for _, name := range []string{"HTTP/elsewhere", "HTTP/a.far.test", "krbtgt/OTHER.TEST"} {
		q := forService(r, name)
		q.Options = krb.OptionCanonicalize
		add(q)
	}
	f.Fuzz(func(t *testing.T, der, plain []byte) {
		if a, err := krb.ParseAuthenticator(plain); err == nil {
			sum, err := tgt.Key.Checksum(krb.UsageTGSReqChecksum, der)
			if err != nil {
				t.Fatal(err)
			}
			a.Checksum = krb.Checksum{Type: tgt.Key.ChecksumType(), Value: sum}
			if plain, err = a.Marshal(); err != nil {
				return
			}
		}
		ap := sealedAPReq(t, tgt, plain, krb.UsageTGSReqAuth)
		packet, err := krb.MarshalKDCReq(krb.MsgTGSReq, []krb.PAData{{Type: krb.PATGSReq, Value: ap}}, der)
		if err != nil {
			return // longer than DER's builder goes
		}
		checkReply(t, r, packet)
	})
}

// sealedAPReq is an AP-REQ around bytes that need be no authenticator.
func sealedAPReq(tb testing.TB, t *krb.Ticket, plain []byte, usage uint32) []byte {
	tb.Helper()
	sealed, err := t.Key.Seal(usage, plain)
	if err != nil {
		tb.Fatal(err)
	}
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(krb.App(14), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			dertest.AddInt(b, 0, 5)
			dertest.AddInt(b, 1, 14)
			dertest.AddFlags(b, 2, krb.APMutualRequired)
			dertest.AddRaw(b, 3, t.Raw)
			dertest.AddEncrypted(b, 4, t.Key.Etype(), 0, sealed)
		})
	})
	return b.BytesOrPanic()
}

// FuzzAccept changes what is inside of a service ticket and its authenticator,
// and seals both.
func FuzzAccept(f *testing.F) {
	r := fuzzRealm(f)
	ticket := minted(f, r, "alice", "HTTP/localhost")
	p := r.lookup(krb.NewPrincipal(r.Name(), "HTTP", "localhost"))
	key, kvno, err := p.sealing()
	if err != nil {
		f.Fatal(err)
	}
	g := grant{client: ticket.Client, server: ticket.Server, session: ticket.Key, flags: ticket.Flags,
		authTime: ticket.AuthTime, start: ticket.StartTime, end: ticket.EndTime}
	part, err := g.part().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	c := &plainclient.Client{TB: f, Now: r.Now, Ticket: ticket, Aware: true}
	c.APReq()
	plain, err := c.Auth.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(part, plain)
	f.Fuzz(func(t *testing.T, part, plain []byte) {
		sealed, err := key.Seal(krb.UsageTicket, part)
		if err != nil {
			t.Fatal(err)
		}
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(krb.App(1), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				dertest.AddInt(b, 0, 5)
				dertest.AddString(b, 1, r.Name())
				dertest.AddName(b, 2, ticket.Server.Type, ticket.Server.Components...)
				dertest.AddEncrypted(b, 3, key.Etype(), kvno, sealed)
			})
		})
		forged := *ticket
		forged.Raw = b.BytesOrPanic()
		a, no := r.accept(sealedAPReq(t, &forged, plain, krb.UsageAPReqAuth), demand{service: ticket.Server, AcceptOptions: AcceptOptions{EndPoint: []byte("x")}})
		if (a == nil) == (no == nil) {
			t.Fatalf("both or neither: %v, %v", a, no)
		}
	})
}
