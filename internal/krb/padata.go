package krb

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/der"
)

// PAData is one element of pre-authentication data (RFC 4120 section 5.2.7).
type PAData struct {
	Type  int32
	Value []byte
}

// maxPAData bounds a sequence of them; MIT and AD send fewer than twenty.
const maxPAData = 128

// ParsePADatas reads a SEQUENCE OF PA-DATA, as in METHOD-DATA.
func ParsePADatas(b []byte) ([]PAData, error) {
	s := cryptobyte.String(b)
	var seq cryptobyte.String
	if !der.Take(&s, &seq, asn1.SEQUENCE) || !s.Empty() {
		return nil, malformed("pre-authentication data: no sequence")
	}
	var out []PAData
	for !seq.Empty() {
		var el cryptobyte.String
		if !seq.ReadASN1Element(&el, asn1.SEQUENCE) {
			return nil, malformed("pre-authentication data")
		}
		f := OpenFields("pre-authentication data", el)
		out = append(out, PAData{f.Int32(1), f.Octets(2)})
		if err := f.Err(true); err != nil {
			return nil, err
		}
		if len(out) > maxPAData {
			return nil, malformed("pre-authentication data: too many elements")
		}
	}
	return out, nil
}

// MarshalPADatas returns a bare SEQUENCE OF PA-DATA, as in METHOD-DATA.
func MarshalPADatas(list []PAData) ([]byte, error) {
	var w Writer
	w.padatas(list)
	return w.Result()
}

// padatas writes SEQUENCE OF PA-DATA.
func (w *Writer) padatas(list []PAData) {
	w.Sequence(func() {
		for _, pa := range slices.Backward(list) {
			w.Sequence(func() {
				w.Octets(2, pa.Value)
				w.Int(1, int64(pa.Type))
			})
		}
	})
}

// FindPAData returns the value of the first element of a type.
func FindPAData(list []PAData, kind int32) (value []byte, found bool) {
	i := slices.IndexFunc(list, func(pa PAData) bool { return pa.Type == kind })
	if i < 0 {
		return nil, false
	}
	return list[i].Value, true
}
