package krb

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/dertest"
)

// The encoders that there were before [Writer], on cryptobyte: a second opinion on
// every byte that it writes.

func oldAuthenticator(a *Authenticator) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 512))
	b.AddASN1(App(2), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			dertest.AddInt(b, 0, 5)
			dertest.AddString(b, 1, a.Client.Realm)
			dertest.AddName(b, 2, a.Client.Type, a.Client.Components...)
			if a.Checksum.Value != nil {
				b.AddASN1(Ctx(3), func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						dertest.AddInt(b, 0, int64(a.Checksum.Type))
						dertest.AddOctets(b, 1, a.Checksum.Value)
					})
				})
			}
			dertest.AddInt(b, 4, int64(a.Cusec))
			dertest.AddTime(b, 5, a.CTime)
			if !a.Subkey.IsZero() {
				dertest.AddKey(b, 6, a.Subkey.Etype(), a.Subkey.Bytes())
			}
			if a.HasSeq {
				dertest.AddInt(b, 7, int64(a.Seq))
			}
			if a.AuthData != nil {
				b.AddASN1(Ctx(8), func(b *cryptobyte.Builder) { b.AddBytes(a.AuthData) })
			}
		})
	})
	return b.Bytes()
}

func oldAPReq(t *Ticket, sealed []byte, options uint32) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(t.Raw)+len(sealed)+64))
	b.AddASN1(App(14), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			dertest.AddInt(b, 0, 5)
			dertest.AddInt(b, 1, 14)
			dertest.AddFlags(b, 2, options)
			b.AddASN1(Ctx(3), func(b *cryptobyte.Builder) { b.AddBytes(t.Raw) })
			dertest.AddEncrypted(b, 4, t.Key.Etype(), 0, sealed)
		})
	})
	return b.Bytes()
}

func oldEncAPRepPart(p *EncAPRepPart) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(App(27), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			dertest.AddTime(b, 0, p.CTime)
			dertest.AddInt(b, 1, int64(p.Cusec))
			if !p.Subkey.IsZero() {
				dertest.AddKey(b, 2, p.Subkey.Etype(), p.Subkey.Bytes())
			}
			if p.HasSeq {
				dertest.AddInt(b, 3, int64(p.Seq))
			}
		})
	})
	return b.Bytes()
}

func oldAPRep(session Key, sealed []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(App(15), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			dertest.AddInt(b, 0, 5)
			dertest.AddInt(b, 1, 15)
			dertest.AddEncrypted(b, 2, session.Etype(), 0, sealed)
		})
	})
	return b.Bytes()
}

func oldEncKrbCredPart(t *Ticket, now time.Time) ([]byte, error) {
	part := cryptobyte.NewBuilder(nil)
	part.AddASN1(App(29), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(Ctx(0), func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { oldCredInfo(b, t) })
			})
			dertest.AddTime(b, 2, now)
			dertest.AddInt(b, 3, int64(now.Nanosecond()/1000))
		})
	})
	return part.Bytes()
}

func oldKRBCred(session Key, t *Ticket, sealed []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(t.Raw)+len(sealed)+64))
	b.AddASN1(App(22), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			dertest.AddInt(b, 0, 5)
			dertest.AddInt(b, 1, 22)
			b.AddASN1(Ctx(2), func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(t.Raw) })
			})
			dertest.AddEncrypted(b, 3, session.Etype(), 0, sealed)
		})
	})
	return b.Bytes()
}

// oldCredInfo writes KrbCredInfo with every field that MIT's acceptors ask for.
func oldCredInfo(b *cryptobyte.Builder, t *Ticket) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		dertest.AddKey(b, 0, t.Key.Etype(), t.Key.Bytes())
		dertest.AddString(b, 1, t.Client.Realm)
		dertest.AddName(b, 2, t.Client.Type, t.Client.Components...)
		dertest.AddFlags(b, 3, t.Flags)
		dertest.AddTime(b, 4, t.AuthTime)
		if !t.StartTime.IsZero() {
			dertest.AddTime(b, 5, t.StartTime)
		}
		dertest.AddTime(b, 6, t.EndTime)
		if !t.RenewTill.IsZero() {
			dertest.AddTime(b, 7, t.RenewTill)
		}
		dertest.AddString(b, 8, t.Server.Realm)
		dertest.AddName(b, 9, t.Server.Type, t.Server.Components...)
	})
}
