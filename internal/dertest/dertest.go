// Package dertest writes the DER of RFC 4120 for tests, on cryptobyte: messages that are
// malformed, and a second opinion about what internal/krb writes.
package dertest

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// ctx is the tag [n], constructed.
func ctx(n uint8) asn1.Tag { return asn1.Tag(0xa0 | n) }

// AddRaw writes [n] around an encoded element, nothing where there is none.
func AddRaw(b *cryptobyte.Builder, n uint8, der []byte) {
	if der != nil {
		b.AddASN1(ctx(n), func(b *cryptobyte.Builder) { b.AddBytes(der) })
	}
}

// AddString writes [n] KerberosString.
func AddString(b *cryptobyte.Builder, n uint8, s string) {
	b.AddASN1(ctx(n), func(b *cryptobyte.Builder) { addGeneralString(b, s) })
}

func addGeneralString(b *cryptobyte.Builder, s string) {
	b.AddASN1(asn1.GeneralString, func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
}

// AddInt writes [n] INTEGER.
func AddInt(b *cryptobyte.Builder, n uint8, v int64) {
	b.AddASN1(ctx(n), func(b *cryptobyte.Builder) { b.AddASN1Int64(v) })
}

// AddOctets writes [n] OCTET STRING.
func AddOctets(b *cryptobyte.Builder, n uint8, v []byte) {
	b.AddASN1(ctx(n), func(b *cryptobyte.Builder) { b.AddASN1OctetString(v) })
}

// AddTime writes [n] KerberosTime: UTC, whole seconds.
func AddTime(b *cryptobyte.Builder, n uint8, t time.Time) {
	b.AddASN1(ctx(n), func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(t.UTC().Truncate(time.Second)) })
}

// AddFlags writes [n] KerberosFlags of 32 bits, bit 0 the most significant.
func AddFlags(b *cryptobyte.Builder, n uint8, flags uint32) {
	b.AddASN1(ctx(n), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.BIT_STRING, func(b *cryptobyte.Builder) {
			b.AddUint8(0)
			b.AddUint32(flags)
		})
	})
}

// AddName writes [n] PrincipalName.
func AddName(b *cryptobyte.Builder, n uint8, kind int32, components ...string) {
	b.AddASN1(ctx(n), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			AddInt(b, 0, int64(kind))
			b.AddASN1(ctx(1), func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					for _, c := range components {
						addGeneralString(b, c)
					}
				})
			})
		})
	})
}

// AddKey writes [n] EncryptionKey.
func AddKey(b *cryptobyte.Builder, n uint8, etype int32, key []byte) { addTyped(b, n, etype, key) }

// AddChecksum writes [n] Checksum.
func AddChecksum(b *cryptobyte.Builder, n uint8, kind int32, sum []byte) { addTyped(b, n, kind, sum) }

// addTyped writes [n] SEQUENCE of a type and octets.
func addTyped(b *cryptobyte.Builder, n uint8, kind int32, value []byte) {
	b.AddASN1(ctx(n), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			AddInt(b, 0, int64(kind))
			AddOctets(b, 1, value)
		})
	})
}

// AddEncrypted writes [n] EncryptedData. A zero kvno is left out.
func AddEncrypted(b *cryptobyte.Builder, n uint8, etype int32, kvno uint32, cipher []byte) {
	b.AddASN1(ctx(n), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			AddInt(b, 0, int64(etype))
			if kvno != 0 {
				AddInt(b, 1, int64(kvno))
			}
			AddOctets(b, 2, cipher)
		})
	})
}
