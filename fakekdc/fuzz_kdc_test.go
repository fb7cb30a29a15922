package fakekdc

import (
	"encoding/hex"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/fakekdc/internal/pac"
	"github.com/kerbchain/kerbchain/internal/dertest"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// fuzzS4U is a realm with all that the fuzzers want, which stands still in time.
func fuzzS4U(f *testing.F, opts ...Option) *Realm {
	f.Helper()
	at := time.Unix(1800000000, 0)
	return s4uRealm(f, append([]Option{
		WithRealm("MIT.TEST"), WithEtypes(AES256SHA1), WithClock(func() time.Time { return at }), WithEncPARep(), WithKpasswd(nil),
		WithUser("root", "secret", SetsPasswords(), Postdatable(), Iterations(1)),
	}, opts...)...)
}

// FuzzAS changes what is inside of a login: the body and the timestamp, sealed so
// that it counts, and what else the client sends.
func FuzzAS(f *testing.F) {
	r := fuzzS4U(f, WithPAC())
	key, ok := r.lookup(krb.NewPrincipal("MIT.TEST", "root")).keys[0].key(AES256SHA1)
	if !ok {
		f.Fatal("no key")
	}
	stamp := cryptobyte.NewBuilder(nil)
	stamp.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		dertest.AddTime(b, 0, r.Now())
		dertest.AddInt(b, 1, 7)
	})
	seeds := 0
	for _, options := range []uint32{0, krb.OptionForwardable | krb.OptionProxiable | krb.OptionRenewable | krb.OptionCanonicalize, krb.OptionPostdated | krb.OptionAllowPostdate, krb.OptionAnonymous} {
		b := body(r, "root")
		b.Options = options
		der, err := b.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der, stamp.BytesOrPanic(), []byte{0x30, 5, 0xa0, 3, 1, 1, 0})
		f.Add(fromTime(f, der, r.Now().Add(time.Hour)), stamp.BytesOrPanic(), []byte{})
		seeds++
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, der, stamp, include []byte) {
		sealed, err := key.Seal(krb.UsagePAEncTimestamp, stamp)
		if err != nil {
			t.Fatal(err)
		}
		list := []krb.PAData{
			{Type: krb.PAEncTimestamp, Value: encrypted(key, sealed)}, {Type: krb.PAReqEncPARep, Value: []byte{}}, {Type: krb.PAPACRequest, Value: include},
		}
		packet, err := krb.MarshalKDCReq(krb.MsgASReq, list, der)
		if err != nil {
			return
		}
		checkReply(t, r, packet)
	})
}

// encrypted returns EncryptedData.
func encrypted(key krb.Key, sealed []byte) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		dertest.AddInt(b, 0, int64(key.Etype()))
		dertest.AddOctets(b, 2, sealed)
	})
	return b.BytesOrPanic()
}

// FuzzS4U changes what is inside of requests with a second ticket, or for another
// user: the body, the part of the ticket that is sealed, and the user's names,
// with all checksums made to fit.
func FuzzS4U(f *testing.F) {
	r := fuzzS4U(f)
	tgs := krb.TGS(r.Name(), r.Name())
	tgt := minted(f, r, "HTTP/front", tgs.Name())
	sealing := func(name krb.Principal) krb.Key {
		key, _, err := r.lookup(name).sealing()
		if err != nil {
			f.Fatal(err)
		}
		return key
	}
	front := krb.NewPrincipal(r.Name(), "HTTP", "front")
	keys := []struct {
		name krb.Principal
		key  krb.Key
	}{{front, sealing(front)}, {tgs, sealing(tgs)}}
	plain := func(ticket *krb.Ticket) []byte {
		g := opened(f, r, ticket)
		b, err := g.part().Marshal()
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	id := func(user krb.Principal) []byte {
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			dertest.AddInt(b, 0, 12345)
			dertest.AddName(b, 1, user.Type, user.Components...)
			dertest.AddString(b, 2, user.Realm)
			dertest.AddFlags(b, 4, krb.S4UReplyUsage)
		})
		return b.BytesOrPanic()
	}
	alice := krb.NewPrincipal(r.Name(), "alice")
	restriction := ifRelevant(141, []byte("x"))
	add := func(server string, options uint32, which uint8, ticket *krb.Ticket, user krb.Principal, data []byte) {
		b := forService(r, server)
		b.Options = options
		der, err := b.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der, plain(ticket), id(user), user.Name(), which, rbcd.Value, data)
	}
	const second, sealedByTGS, old, recent = 1, 2, 4, 8
	add("HTTP/front", krb.OptionForwardable, old|recent, tgt, alice, nil)
	add("HTTP/front", krb.OptionForwardable, recent, tgt, krb.Principal{Type: krb.NTEnterprise, Components: []string{"alice@" + r.Name()}, Realm: r.Name()}, restriction)
	add("HTTP/back", krb.OptionForwardable|krb.OptionCNameInAddlTkt, second, minted(f, r, "alice", "HTTP/front"), alice, nil)
	add("HTTP/open", krb.OptionCNameInAddlTkt, second, minted(f, r, "bob", "HTTP/front"), alice, restriction)
	add("alice", krb.OptionEncTktInSKey, second|sealedByTGS, minted(f, r, "alice", tgs.Name()), alice, nil)
	f.Fuzz(func(t *testing.T, der, part, id []byte, name string, which uint8, options, data []byte) {
		by := keys[0]
		if which&sealedByTGS != 0 {
			by = keys[1]
		}
		s := cryptobyte.String(der)
		var in cryptobyte.String
		if s.ReadASN1(&in, asn1.SEQUENCE) {
			b := cryptobyte.NewBuilder(nil)
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(in)
				if data != nil {
					sealed, err := tgt.Key.Seal(krb.UsageTGSReqAuthDataSession, data)
					if err != nil {
						t.Fatal(err)
					}
					dertest.AddEncrypted(b, 10, tgt.Key.Etype(), 0, sealed)
				}
				if which&second != 0 {
					sealed, err := by.key.Seal(krb.UsageTicket, part)
					if err != nil {
						t.Fatal(err)
					}
					b.AddASN1(krb.Ctx(11), func(b *cryptobyte.Builder) {
						b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
							b.AddASN1(krb.App(1), func(b *cryptobyte.Builder) {
								b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
									dertest.AddInt(b, 0, 5)
									dertest.AddString(b, 1, r.Name())
									dertest.AddName(b, 2, by.name.Type, by.name.Components...)
									dertest.AddEncrypted(b, 3, by.key.Etype(), 1, sealed)
								})
							})
						})
					})
				}
			})
			if out, err := b.Bytes(); err == nil {
				der = out
			}
		}
		sum, err := tgt.Key.Checksum(krb.UsageTGSReqChecksum, der)
		if err != nil {
			t.Fatal(err)
		}
		a := &krb.Authenticator{Client: tgt.Client, Checksum: krb.Checksum{Type: tgt.Key.ChecksumType(), Value: sum}}
		a.CTime, a.Cusec = krb.UniqueTime(r.Now())
		ap, err := krb.MakeAPReq(tgt, a, krb.UsageTGSReqAuth, 0)
		if err != nil {
			t.Fatal(err)
		}
		list := []krb.PAData{{Type: krb.PATGSReq, Value: ap}, {Type: krb.PAPACOptions, Value: options}}
		if which&old != 0 {
			list = append(list, krb.PAData{Type: krb.PAForUser, Value: forUserPA(t, tgt.Key, krb.NewPrincipal(r.Name(), name))})
		}
		if which&recent != 0 {
			list = append(list, krb.PAData{Type: krb.PAS4UX509User, Value: x509DER(t, tgt.Key, 0, id)})
		}
		packet, err := krb.MarshalKDCReq(krb.MsgTGSReq, list, der)
		if err != nil {
			return
		}
		checkReply(t, r, packet)
	})
}

// FuzzPAC changes the PAC of a ticket-granting ticket and of evidence, as it is
// and signed anew, and what is in it of delegation.
func FuzzPAC(f *testing.F) {
	r := fuzzS4U(f, WithPAC())
	tgs := krb.TGS(r.Name(), r.Name())
	tgt := minted(f, r, "HTTP/front", tgs.Name())
	evidence := minted(f, r, "alice", "HTTP/front")
	kdc, _, err := r.lookup(tgs).sealing()
	if err != nil {
		f.Fatal(err)
	}
	for _, ticket := range []*krb.Ticket{tgt, evidence} {
		raw, _, err := splitAuthData(opened(f, r, ticket).authData, false)
		if err != nil || raw == nil {
			f.Fatal(err)
		}
		list, err := pac.Parse(raw)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, (&pac.Delegation{Target: "x", Via: []string{"y", ""}}).Marshal(), true)
		whole, _ := pac.Marshal(slices.DeleteFunc(list, func(b pac.Buffer) bool { return b.Kind == pac.KindKDCSum }))
		f.Add(whole, []byte{}, false)
	}
	f.Fuzz(func(t *testing.T, raw, info []byte, sign bool) {
		list, _ := pac.Parse(raw) // nil of what is none, which the KDC gets all the same
		rewritten := func(ticket *krb.Ticket, server krb.Key) *krb.Ticket {
			var err error
			g := opened(t, r, ticket)
			g.authData = ifRelevant(krb.ADWin2kPAC, raw)
			if sign && list != nil {
				g.pac = slices.DeleteFunc(slices.Clone(list), pac.Buffer.Signature)
				if _, found := pac.Find(g.pac, pac.KindClientInfo); !found {
					g.pac = append(g.pac, pac.Buffer{Kind: pac.KindClientInfo, Data: pac.ClientInfo(g.client.Name(), g.authTime)})
				}
				if _, found := pac.Find(g.pac, pac.KindDelegation); !found {
					g.pac = append(g.pac, pac.Buffer{Kind: pac.KindDelegation, Data: info})
				}
				if len(g.pac) > pac.MaxBuffers-4 {
					return nil
				}
				g.authData = nil
				g.authData, err = r.signPAC(g, server)
			}
			if err != nil {
				return nil
			}
			c := *ticket
			if c.Raw, err = g.seal(server, 1); err != nil {
				return nil
			}
			return &c
		}
		service, _, err := r.lookup(evidence.Server).sealing()
		if err != nil {
			t.Fatal(err)
		}
		asked, shown := rewritten(tgt, kdc), rewritten(evidence, service)
		if asked == nil || shown == nil {
			return
		}
		packet, _, _ := tgsAsk{tgt: asked, body: forService(r, "HTTP/back")}.request(t, r)
		r.answer(nil, "tcp", packet)
		packet, _, _ = asProxy(t, r, "HTTP/front", shown, "HTTP/back").request(t, r)
		r.answer(nil, "tcp", packet)
	})
}

// FuzzKpasswd changes what is inside of a request for another password.
func FuzzKpasswd(f *testing.F) {
	r := fuzzS4U(f)
	name := krb.NewPrincipal(r.Name(), "kadmin", "changepw")
	tk := minted(f, r, "root", name.Name())
	tk = resealedFor(f, r, tk)
	priv := func(data []byte) []byte {
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(krb.App(28), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				dertest.AddOctets(b, 0, data)
				dertest.AddInt(b, 3, 5)
				dertest.AddRaw(b, 4, addresses(krb.AddressIPv4, loopbackAddr.AsSlice())[2:]) // of a list the one
			})
		})
		return b.BytesOrPanic()
	}
	auth := &krb.Authenticator{Client: tk.Client, CTime: r.Now(), Cusec: 1}
	plain, err := auth.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	alice := krb.NewPrincipal(r.Name(), "alice")
	f.Add(uint16(krb.KpasswdChange), plain, priv([]byte("another one")), uint16(0))
	f.Add(uint16(krb.KpasswdSet), plain, priv(changeData("another one", nil)), uint16(0))
	f.Add(uint16(krb.KpasswdSet), plain, priv(changeData("another one", &alice)), uint16(0))
	f.Add(uint16(7), plain, []byte{}, uint16(1))
	for _, c := range mitCaptures(f) {
		if c.Kpasswd {
			b, err := hex.DecodeString(c.Request)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint16(krb.KpasswdChange), b, b, uint16(len(b)))
		}
	}
	f.Fuzz(func(t *testing.T, version uint16, plain, part []byte, off uint16) {
		if a, err := krb.ParseAuthenticator(plain); err == nil {
			a.CTime, a.Cusec = krb.UniqueTime(r.Now()) // no two may be the same
			if plain, err = a.Marshal(); err != nil {
				return
			}
		}
		ap := sealedAPReq(t, tk, plain, krb.UsageAPReqAuth)
		sealed, err := tk.Key.Seal(krb.UsageKRBPriv, part)
		if err != nil {
			t.Fatal(err)
		}
		message := cryptobyte.NewBuilder(nil)
		message.AddASN1(krb.App(krb.MsgKRBPriv), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				dertest.AddInt(b, 0, 5)
				dertest.AddInt(b, 1, int64(krb.MsgKRBPriv))
				dertest.AddEncrypted(b, 3, tk.Key.Etype(), 0, sealed)
			})
		})
		rest, err := message.Bytes()
		if err != nil {
			return
		}
		b := cryptobyte.NewBuilder(nil)
		b.AddUint16(uint16(6+len(ap)+len(rest)) ^ off&1)
		b.AddUint16(version)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(ap) })
		b.AddBytes(rest)
		packet, err := b.Bytes()
		if err != nil {
			return
		}
		out := r.answerKpasswd(r.changes, "tcp", loopbackAddr, packet)
		if out.reply != nil && (len(out.reply) < 6 || len(out.reply) > 4096) {
			t.Errorf("answer of %d bytes", len(out.reply))
		}
		r.answerKpasswd(r.changes, "tcp", loopbackAddr, plain)
		// Keys of old pile up otherwise.
		r.Purge("alice")
		r.Purge("root")
	})
}

// resealedFor is a ticket that was got with the password.
func resealedFor(tb testing.TB, r *Realm, old *krb.Ticket) *krb.Ticket {
	tb.Helper()
	g := opened(tb, r, old)
	g.flags |= krb.FlagInitial
	c := *old
	var err error
	if c.Raw, err = g.seal(g.opened, 1); err != nil {
		tb.Fatal(err)
	}
	return &c
}
