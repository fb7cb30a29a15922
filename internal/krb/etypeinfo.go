package krb

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/der"
)

// EtypeInfo is one entry of ETYPE-INFO2 (RFC 4120 section 5.2.7.5) or of the older
// ETYPE-INFO (section 5.2.7.4), which has no Params.
type EtypeInfo struct {
	Etype   int32
	Salt    string
	HasSalt bool // an empty salt is not an absent one
	Params  []byte
}

// ParseEtypeInfo2 reads ETYPE-INFO2-SEQUENCE. An empty one is an error.
func ParseEtypeInfo2(b []byte) ([]EtypeInfo, error) {
	return parseEtypeInfos("ETYPE-INFO2", b, func(f *Fields) EtypeInfo {
		e := EtypeInfo{Etype: f.Int32(0)}
		if f.Has(1) {
			e.Salt, e.HasSalt = f.Text(1), true
		}
		if f.Has(2) {
			e.Params = f.Octets(2)
		}
		return e
	})
}

// ParseEtypeInfo reads ETYPE-INFO, in which salts are raw bytes. An empty one is an
// error.
func ParseEtypeInfo(b []byte) ([]EtypeInfo, error) {
	return parseEtypeInfos("ETYPE-INFO", b, func(f *Fields) EtypeInfo {
		e := EtypeInfo{Etype: f.Int32(0)}
		if f.Has(1) {
			e.Salt, e.HasSalt = string(f.Octets(1)), true
		}
		return e
	})
}

func parseEtypeInfos(what string, b []byte, entry func(*Fields) EtypeInfo) ([]EtypeInfo, error) {
	s := cryptobyte.String(b)
	var seq cryptobyte.String
	if !der.Take(&s, &seq, asn1.SEQUENCE) || !s.Empty() {
		return nil, malformed(what + ": no sequence")
	}
	var out []EtypeInfo
	for !seq.Empty() {
		var el cryptobyte.String
		if !seq.ReadASN1Element(&el, asn1.SEQUENCE) {
			return nil, malformed(what)
		}
		f := OpenFields(what, el)
		out = append(out, entry(&f))
		if err := f.Err(true); err != nil {
			return nil, err
		}
		if len(out) > maxPAData {
			return nil, malformed(what + ": too many entries")
		}
	}
	if len(out) == 0 {
		return nil, malformed(what + ": empty")
	}
	return out, nil
}

// MarshalEtypeInfo2 returns ETYPE-INFO2-SEQUENCE.
func MarshalEtypeInfo2(list []EtypeInfo) ([]byte, error) {
	w := NewWriter(96 * len(list))
	w.Sequence(func() {
		for _, e := range slices.Backward(list) {
			w.Sequence(func() {
				if e.Params != nil {
					w.Octets(2, e.Params)
				}
				if e.HasSalt {
					w.String(1, e.Salt)
				}
				w.Int(0, int64(e.Etype))
			})
		}
	})
	return w.Result()
}
