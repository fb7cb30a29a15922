package krb

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// MakeKRBCred returns [APPLICATION 22] KRB-CRED with one ticket and what its
// new owner must know of it, sealed under the given key (RFC 4120 section 5.8).
// In a GSS-API token that is the session key of the service's ticket, never a
// subkey (RFC 4121 section 4.1.1).
func MakeKRBCred(session Key, t *Ticket, now time.Time) ([]byte, error) {
	part := cryptobyte.NewBuilder(nil)
	part.AddASN1(App(29), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(Ctx(0), func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addCredInfo(b, t) })
			})
			AddTime(b, 2, now)
			AddInt(b, 3, int64(now.Nanosecond()/1000))
		})
	})
	plain, err := part.Bytes()
	if err != nil {
		return nil, err
	}
	sealed, err := session.Seal(UsageKRBCred, plain)
	if err != nil {
		return nil, err
	}
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

// addCredInfo writes KrbCredInfo with every field that MIT's acceptors ask for.
func addCredInfo(b *cryptobyte.Builder, t *Ticket) {
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
