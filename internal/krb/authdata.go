package krb

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/der"
)

// AuthData is one element of AuthorizationData (RFC 4120 section 5.2.6).
type AuthData struct {
	Type int32
	Data []byte
}

const maxAuthData = 64 // elements on one level

// ParseAuthData reads AuthorizationData. The result shares memory with b.
func ParseAuthData(b []byte) ([]AuthData, error) {
	s := cryptobyte.String(b)
	var list cryptobyte.String
	if !der.Take(&s, &list, asn1.SEQUENCE) || !s.Empty() {
		return nil, malformed("authorization data")
	}
	var out []AuthData
	for !list.Empty() {
		var el cryptobyte.String
		if !list.ReadASN1Element(&el, asn1.SEQUENCE) || len(out) == maxAuthData {
			return nil, malformed("authorization data")
		}
		f := OpenFields("authorization data", el)
		out = append(out, AuthData{f.Int32(0), f.Octets(1)})
		if err := f.Err(true); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// MarshalAuthData returns AuthorizationData.
func MarshalAuthData(list ...AuthData) []byte {
	n := 32
	for _, e := range list {
		n += len(e.Data) + 32
	}
	w := NewWriter(n)
	w.Sequence(func() {
		for _, e := range slices.Backward(list) {
			w.Sequence(func() {
				w.Octets(1, e.Data)
				w.Int(0, int64(e.Type))
			})
		}
	})
	return w.Bytes() // there is nothing in it that could fail
}

// IfRelevant returns an element inside AD-IF-RELEVANT (RFC 4120 section 5.2.6.1).
func IfRelevant(e AuthData) AuthData {
	return AuthData{ADIfRelevant, MarshalAuthData(e)}
}

// FindAuthData returns the data of the first element of a type.
func FindAuthData(list []AuthData, kind int32) (data []byte, found bool) {
	i := slices.IndexFunc(list, func(e AuthData) bool { return e.Type == kind })
	if i < 0 {
		return nil, false
	}
	return list[i].Data, true
}
