package fakekdc

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/krb"
)

const (
	adKDCIssued = 4   // RFC 4120 section 5.2.6.2
	adWin2kPAC  = 128 // [MS-KILE] section 3.3.5.6.3

	maxAuthData = 64 // elements on one level
)

// An authElement is one element of AuthorizationData (RFC 4120 section 5.2.6).
// data shares memory with what was read.
type authElement struct {
	kind int32
	data []byte
	raw  []byte // the whole element
}

// parseAuthData reads AuthorizationData.
func parseAuthData(der []byte) ([]authElement, error) {
	s := cryptobyte.String(der)
	var list cryptobyte.String
	if !s.ReadASN1(&list, asn1.SEQUENCE) || !s.Empty() {
		return nil, fmt.Errorf("%w: authorization data", krb.ErrMalformed)
	}
	var out []authElement
	for !list.Empty() {
		var el cryptobyte.String
		if !list.ReadASN1Element(&el, asn1.SEQUENCE) || len(out) == maxAuthData {
			return nil, fmt.Errorf("%w: authorization data", krb.ErrMalformed)
		}
		f := krb.OpenFields("authorization data", el)
		e := authElement{kind: f.Int32(0), data: f.Octets(1), raw: el}
		if err := f.Err(true); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// authData returns AuthorizationData of one element and others that are encoded.
func authData(kind int32, data []byte, more ...[]byte) ([]byte, error) {
	n := len(data) + 32
	for _, m := range more {
		n += len(m)
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, n))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			krb.AddInt(b, 0, int64(kind))
			krb.AddOctets(b, 1, data)
		})
		for _, m := range more {
			b.AddBytes(m)
		}
	})
	return b.Bytes()
}

// ifRelevant returns AuthorizationData of one element inside AD-IF-RELEVANT, and
// of others after it.
func ifRelevant(kind int32, data []byte, more ...[]byte) ([]byte, error) {
	inner, err := authData(kind, data)
	if err != nil {
		return nil, err
	}
	return authData(adIfRelevant, inner, more...)
}

// splitAuthData takes the PAC out of authorization data. rest is what remains,
// nil for nothing; kdcOnly says whether to take out too what only a KDC may say.
func splitAuthData(der []byte, kdcOnly bool) (pac, rest []byte, err error) {
	if der == nil {
		return nil, nil, nil
	}
	list, err := parseAuthData(der)
	if err != nil {
		return nil, nil, err
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(der)))
	kept := 0
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, e := range list {
			if found, ok := findPAC(e); ok {
				if pac == nil {
					pac = found
				}
				continue
			}
			if kdcOnly && e.kind == adKDCIssued {
				continue
			}
			b.AddBytes(e.raw)
			kept++
		}
	})
	if rest, err = b.Bytes(); err != nil || kept == 0 {
		return pac, nil, err
	}
	return pac, rest, nil
}

// findPAC looks for the PAC in an element, or in the AD-IF-RELEVANT that it is.
func findPAC(e authElement) (pac []byte, found bool) {
	switch e.kind {
	case adWin2kPAC:
		return e.data, true
	case adIfRelevant:
		inner, err := parseAuthData(e.data)
		if err != nil {
			return nil, false // which nobody has to understand
		}
		for _, i := range inner {
			if i.kind == adWin2kPAC {
				return i.data, true
			}
		}
	}
	return nil, false
}

// joinAuthData returns the elements of both, nil for none.
func joinAuthData(a, b []byte) ([]byte, error) {
	if a == nil || b == nil {
		return append(a, b...), nil
	}
	first, err := parseAuthData(a)
	if err != nil {
		return nil, err
	}
	second, err := parseAuthData(b)
	if err != nil {
		return nil, err
	}
	out := cryptobyte.NewBuilder(make([]byte, 0, len(a)+len(b)))
	out.AddASN1(asn1.SEQUENCE, func(out *cryptobyte.Builder) {
		for _, e := range append(first, second...) {
			out.AddBytes(e.raw)
		}
	})
	return out.Bytes()
}
