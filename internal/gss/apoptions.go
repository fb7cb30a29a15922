package gss

import (
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Types of authorization data (RFC 4120 section 5.2.6, [MS-KILE] section
// 3.2.5.8), and the one option of the latter.
const (
	adIfRelevant = 1
	adAPOptions  = 143
	apOptionsCBT = 0x4000
)

// bindingsAware returns the DER of the AuthorizationData that says that the
// client knows of channel bindings: AD-IF-RELEVANT with KERB_AUTH_DATA_AP_OPTIONS
// in it.
func bindingsAware() []byte {
	return authData(adIfRelevant, authData(adAPOptions, binary.LittleEndian.AppendUint32(nil, apOptionsCBT)))
}

// authData returns an AuthorizationData of one element.
func authData(kind int64, data []byte) []byte {
	b := cryptobyte.NewFixedBuilder(make([]byte, 0, len(data)+16))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			krb.AddInt(b, 0, kind)
			krb.AddOctets(b, 1, data)
		})
	})
	return b.BytesOrPanic() // there is nothing in it that could fail
}
