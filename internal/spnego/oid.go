package spnego

import (
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// An OID is an object identifier as the contents of its DER encoding, without
// tag and length. It can be compared, be a map key, and be a constant.
type OID string

// Mechanisms that HTTP peers are known to name.
const (
	SPNEGO  OID = "\x2b\x06\x01\x05\x05\x02"                 // 1.3.6.1.5.5.2
	KRB5    OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"     // 1.2.840.113554.1.2.2
	MSKRB5  OID = "\x2a\x86\x48\x82\xf7\x12\x01\x02\x02"     // 1.2.840.48018.1.2.2, a slip of Windows 2000 that stayed
	OldKRB5 OID = "\x2b\x05\x01\x05\x02"                     // 1.3.5.1.5.2, from before RFC 1964
	KRB5U2U OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x03" // 1.2.840.113554.1.2.2.3, user to user
	IAKERB  OID = "\x2b\x06\x01\x05\x02\x05"                 // 1.3.6.1.5.2.5
	NTLM    OID = "\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a" // 1.3.6.1.4.1.311.2.2.10
	NegoEx  OID = "\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x1e" // 1.3.6.1.4.1.311.2.2.30
)

// IsKRB5 reports whether o is Kerberos under one of its three names: KRB5,
// MSKRB5, OldKRB5. Peers answer one with another; they mean the same tokens.
func (o OID) IsKRB5() bool {
	return o == KRB5 || o == MSKRB5 || o == OldKRB5
}

// String returns the name of a known mechanism, else the dotted form. It is
// for people.
func (o OID) String() string {
	switch o {
	case "":
		return "no mechanism"
	case SPNEGO:
		return "SPNEGO"
	case KRB5:
		return "Kerberos"
	case MSKRB5:
		return "Kerberos (Microsoft)"
	case OldKRB5:
		return "Kerberos (draft)"
	case KRB5U2U:
		return "Kerberos user-to-user"
	case IAKERB:
		return "IAKERB"
	case NTLM:
		return "NTLM"
	case NegoEx:
		return "NegoEx"
	}
	der := cryptobyte.String(appendOID(nil, o))
	var id asn1.ObjectIdentifier
	if len(o) > maxOID || !der.ReadASN1ObjectIdentifier(&id) {
		return fmt.Sprintf("invalid identifier of %d bytes", len(o))
	}
	return id.String()
}

// maxOID bounds the identifiers that are read, in bytes; the longest known
// one has ten.
const maxOID = 64

// intern returns b as an OID, without an allocation for the known ones.
func intern(b []byte) OID {
	switch string(b) {
	case string(SPNEGO):
		return SPNEGO
	case string(KRB5):
		return KRB5
	case string(MSKRB5):
		return MSKRB5
	case string(OldKRB5):
		return OldKRB5
	case string(KRB5U2U):
		return KRB5U2U
	case string(IAKERB):
		return IAKERB
	case string(NTLM):
		return NTLM
	case string(NegoEx):
		return NegoEx
	}
	return OID(b)
}
