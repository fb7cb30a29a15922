package krb

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// The encoders that there were before [Writer], on cryptobyte: a second opinion on
// every byte that it writes.

func oldAuthenticator(a *Authenticator) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 512))
	b.AddASN1(App(2), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			AddInt(b, 0, 5)
			AddString(b, 1, a.Client.Realm)
			AddName(b, 2, a.Client)
			if a.Checksum.Value != nil {
				b.AddASN1(Ctx(3), func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						AddInt(b, 0, int64(a.Checksum.Type))
						AddOctets(b, 1, a.Checksum.Value)
					})
				})
			}
			AddInt(b, 4, int64(a.Cusec))
			AddTime(b, 5, a.CTime)
			if !a.Subkey.IsZero() {
				AddKey(b, 6, a.Subkey)
			}
			if a.HasSeq {
				AddInt(b, 7, int64(a.Seq))
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
			AddInt(b, 0, 5)
			AddInt(b, 1, 14)
			AddFlags(b, 2, options)
			b.AddASN1(Ctx(3), func(b *cryptobyte.Builder) { b.AddBytes(t.Raw) })
			AddEncrypted(b, 4, EncryptedData{Etype: t.Key.Etype(), Cipher: sealed})
		})
	})
	return b.Bytes()
}

func oldEncAPRepPart(p *EncAPRepPart) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(App(27), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			AddTime(b, 0, p.CTime)
			AddInt(b, 1, int64(p.Cusec))
			if !p.Subkey.IsZero() {
				AddKey(b, 2, p.Subkey)
			}
			if p.HasSeq {
				AddInt(b, 3, int64(p.Seq))
			}
		})
	})
	return b.Bytes()
}

func oldAPRep(session Key, sealed []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(App(15), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			AddInt(b, 0, 5)
			AddInt(b, 1, 15)
			AddEncrypted(b, 2, EncryptedData{Etype: session.Etype(), Cipher: sealed})
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
			AddTime(b, 2, now)
			AddInt(b, 3, int64(now.Nanosecond()/1000))
		})
	})
	return part.Bytes()
}

func oldKRBCred(session Key, t *Ticket, sealed []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(t.Raw)+len(sealed)+64))
	b.AddASN1(App(22), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			AddInt(b, 0, 5)
			AddInt(b, 1, 22)
			b.AddASN1(Ctx(2), func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(t.Raw) })
			})
			AddEncrypted(b, 3, EncryptedData{Etype: session.Etype(), Cipher: sealed})
		})
	})
	return b.Bytes()
}

// oldCredInfo writes KrbCredInfo with every field that MIT's acceptors ask for.
func oldCredInfo(b *cryptobyte.Builder, t *Ticket) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		AddKey(b, 0, t.Key)
		AddString(b, 1, t.Client.Realm)
		AddName(b, 2, t.Client)
		AddFlags(b, 3, t.Flags)
		AddTime(b, 4, t.AuthTime)
		if !t.StartTime.IsZero() {
			AddTime(b, 5, t.StartTime)
		}
		AddTime(b, 6, t.EndTime)
		if !t.RenewTill.IsZero() {
			AddTime(b, 7, t.RenewTill)
		}
		AddString(b, 8, t.Server.Realm)
		AddName(b, 9, t.Server)
	})
}
