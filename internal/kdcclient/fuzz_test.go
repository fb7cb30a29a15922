package kdcclient

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
)

// replies returns real messages of a KDC: KRB-ERROR with METHOD-DATA, AS-REP
// and TGS-REP, and the sealed parts of the latter two in clear.
func replies(tb testing.TB) (messages, parts [][]byte) {
	tb.Helper()
	k := newScripted(tb, realmA)
	k.now = func() time.Time { return epoch }
	k.before = func(r *request) ([][]byte, bool) {
		k.hooks.Lock()
		defer k.hooks.Unlock()
		b := k.respond(r)
		messages = append(messages, b)
		return [][]byte{b}, true
	}
	k.start()
	c := client(Options{Now: k.now}, k)
	tgt, err := c.AS(context.Background(), ASRequest{Client: alice, Keys: Password(alice, k.password)})
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := c.TGS(context.Background(), tgt, web, TGSOptions{}); err != nil {
		tb.Fatal(err)
	}
	k.hooks.Lock()
	defer k.hooks.Unlock()
	for _, a := range k.sealed {
		b, err := a.part.Marshal()
		if err != nil {
			tb.Fatal(err)
		}
		parts = append(parts, b)
	}
	return messages, parts
}

func TestSeeds(t *testing.T) {
	messages, parts := replies(t)
	if len(messages) != 3 || len(parts) != 2 {
		t.Fatalf("%d messages and %d parts to start from", len(messages), len(parts))
	}
}

// one is a connection that answers with the given bytes, then ends.
type one struct {
	net.Conn
	reply []byte
}

func (c *one) Write(b []byte) (int, error) { return len(b), nil }
func (c *one) Close() error                { return nil }
func (c *one) Read(b []byte) (int, error) {
	if len(c.reply) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, c.reply)
	c.reply = c.reply[n:]
	return n, nil
}

var fuzzKey = func() krb.Key {
	k, err := krb.NewKey(krb.AES128SHA1, make([]byte, 16))
	if err != nil {
		panic(err)
	}
	return k
}()

// Whatever comes over the network: an error of ours, and no ticket, since
// nobody else knows the key or the nonce.
func FuzzReply(f *testing.F) {
	messages, _ := replies(f)
	for _, b := range messages {
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	c := New(Options{Now: func() time.Time { return epoch }, Timesync: true})
	keys := KeyTable([]KeyEntry{{Key: fuzzKey, Kvno: 1}})
	body := &krb.KDCReqBody{Nonce: newNonce(), Till: epoch.Add(time.Hour)}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, kind := range []uint8{krb.MsgASRep, krb.MsgTGSRep} {
			x := &exchange{c: c, kind: kind}
			for _, read := range []func() (*reply, error){
				func() (*reply, error) { return x.datagrams(&one{reply: b}) },
				func() (*reply, error) { return x.stream(&one{reply: b}) },
				func() (*reply, error) { return x.stream(&one{reply: framed(b)}) },
			} {
				r, err := read()
				if (r == nil) == (err == nil) {
					t.Fatalf("%v and %v", r, err)
				}
				if r == nil {
					continue
				}
				a := &asCall{c: c, r: ASRequest{Client: alice, Server: tgsA, Keys: keys, Etypes: []int32{17}}, etypes: []int32{17}}
				a.call = call{exchange: "AS", realm: realmA, path: []string{realmA}, client: alice, server: tgsA}
				if r.err != nil {
					_ = a.prepare(t.Context(), r)
					if e := a.refused(r); e.Kind == 0 || e.Code != r.err.Code || printable.Text(e.Error()) != e.Error() {
						t.Fatal(e)
					}
					a.r.Canonicalize, a.key = true, KeyEntry{}
					if a.wrongRealm(r.err) {
						if fail := a.move(r.err.Client.Realm); (fail == nil) != (a.realm == r.err.Client.Realm) || a.r.Client.Realm != a.realm {
							t.Fatalf("moved to %q, asking for %v: %v", a.realm, a.r.Client, fail)
						}
					}
					continue
				}
				if got, fail := a.accept(t.Context(), r, body, nil); fail == nil || got != nil {
					t.Fatalf("a ticket: %v", got)
				}
				g := &tgsCall{c: c, o: TGSOptions{Etypes: []int32{17}}, tgt: &krb.Ticket{Client: alice, Key: fuzzKey}}
				g.call = call{exchange: "TGS", realm: realmA, client: alice, server: web}
				if got, err := g.accept(r, &tgsRequest{wanted: wanted{server: web, canonicalize: true}, body: body, subkey: fuzzKey, now: epoch}); err == nil || got != nil {
					t.Fatalf("a ticket: %v", got)
				}
			}
		}
		if d := c.Offset(realmA); d != 0 {
			t.Fatalf("offset %v without a verified reply", d)
		}
		_, _, _ = etypeInfos([]krb.PAData{{Type: krb.PAEtypeInfo, Value: b}}, nil)
	})
}

// What a KDC seals: accepted only if it is what was asked for.
func FuzzSealed(f *testing.F) {
	messages, parts := replies(f)
	asRep, err := krb.ParseKDCRep(messages[1], krb.MsgASRep)
	if err != nil {
		f.Fatal(err)
	}
	tgsRep, err := krb.ParseKDCRep(messages[2], krb.MsgTGSRep)
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range parts {
		part, err := krb.ParseEncKDCRepPart(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p, int32(part.Nonce))
	}
	etypes := krb.DefaultEtypes(false)
	c := New(Options{Now: func() time.Time { return epoch }, Timesync: true})
	keys := KeyTable([]KeyEntry{{Key: fuzzKey, Kvno: 1}})
	f.Fuzz(func(t *testing.T, plain []byte, nonce int32) {
		seal := func(rep *krb.KDCRep, usage uint32) *krb.KDCRep {
			sealed, err := fuzzKey.Seal(usage, plain)
			if err != nil {
				t.Fatal(err)
			}
			out := *rep
			out.PAData = nil
			out.EncPart = krb.EncryptedData{Etype: fuzzKey.Etype(), Cipher: sealed}
			return &out
		}
		check := func(got *krb.Ticket, server krb.Principal, till time.Time) {
			part, err := krb.ParseEncKDCRepPart(plain)
			if err != nil {
				t.Fatal(err)
			}
			if part.Nonce != int64(nonce) || !part.Server.Equal(server) || !got.Client.Equal(alice) || !got.Server.Equal(server) || got.Key.IsZero() ||
				got.EndTime.After(till) || !got.EndTime.After(got.StartTime) {
				t.Fatalf("accepted %v of %+v", got, part)
			}
		}
		till := epoch.Add(24 * time.Hour)

		a := &asCall{c: c, r: ASRequest{Client: alice, Server: tgsA, Keys: keys, Etypes: etypes}, etypes: etypes}
		a.call = call{exchange: "AS", realm: realmA, client: alice, server: tgsA}
		body := &krb.KDCReqBody{Nonce: int64(nonce), Till: till}
		if got, fail := a.accept(t.Context(), &reply{rep: seal(asRep, krb.UsageASRepEncPart), at: epoch}, body, nil); fail == nil {
			check(got, tgsA, till)
		}
		a.r.Canonicalize = true
		_, _ = a.accept(t.Context(), &reply{rep: seal(asRep, krb.UsageASRepEncPart), at: epoch}, body, []byte("request"))

		g := &tgsCall{c: c, o: TGSOptions{Etypes: etypes}, tgt: &krb.Ticket{Client: alice, Key: fuzzKey}}
		g.call = call{exchange: "TGS", realm: realmA, client: alice, server: web}
		q := &tgsRequest{wanted: wanted{server: web}, body: body, subkey: fuzzKey, now: epoch}
		if got, err := g.accept(&reply{rep: seal(tgsRep, krb.UsageTGSRepSubkey), at: epoch}, q); err == nil {
			check(got, web, till)
		}
		q.canonicalize = true
		if got, err := g.accept(&reply{rep: seal(tgsRep, krb.UsageTGSRepSubkey), at: epoch}, q); err == nil && !got.Server.Equal(web) {
			if s := got.Server; !s.IsTGS() || s.Realm != realmA || s.Components[1] == realmA {
				t.Fatalf("referred to %v", s)
			}
			check(got, got.Server, till)
		}
	})
}
