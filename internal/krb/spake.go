package krb

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/der"
)

// SPAKE is one message of SPAKE pre-authentication, PA-SPAKE of RFC 9588 section 4.
// One of the fields is set.
type SPAKE struct {
	Support   []int32 // groups, preferred first
	Challenge *SPAKEChallenge
	Response  *SPAKEResponse
	EncData   *EncryptedData
}

// SPAKEChallenge is a KDC's share of the exchange (RFC 9588 section 4.3).
type SPAKEChallenge struct {
	Group   int32
	Public  []byte
	Factors []SPAKEFactor
}

// SPAKEResponse is a client's share of the exchange (RFC 9588 section 4.4).
type SPAKEResponse struct {
	Public []byte
	Factor EncryptedData // of a SPAKESecondFactor
}

// SPAKEFactor is SPAKESecondFactor of RFC 9588 section 4.3.
type SPAKEFactor struct {
	Type int32
	Data []byte // nil when absent
}

// The alternatives of PA-SPAKE.
const (
	spakeSupport   uint8 = 0
	spakeChallenge uint8 = 1
	spakeResponse  uint8 = 2
	spakeEncData   uint8 = 3
)

// maxSPAKE bounds lists of groups and of factors; four groups and one factor are
// registered.
const maxSPAKE = 32

// ParseSPAKE reads PA-SPAKE. The result shares memory with b.
func ParseSPAKE(b []byte) (*SPAKE, error) {
	rest := cryptobyte.String(b)
	var content cryptobyte.String
	var tag asn1.Tag
	if !rest.ReadAnyASN1(&content, &tag) || !rest.Empty() {
		return nil, malformed("PA-SPAKE")
	}
	m := &SPAKE{}
	var err error
	switch tag {
	case Ctx(spakeSupport):
		f := OpenFields("SPAKESupport", content)
		list := f.Raw(0)
		if err = f.Err(true); err == nil && (!parseInts(list, &m.Support, maxSPAKE) || len(m.Support) == 0) {
			err = malformed("SPAKESupport: bad list of groups")
		}
	case Ctx(spakeChallenge):
		m.Challenge, err = parseSPAKEChallenge(content)
	case Ctx(spakeResponse):
		f := OpenFields("SPAKEResponse", content)
		m.Response = &SPAKEResponse{f.Octets(0), f.Encrypted(1)}
		err = f.Err(true)
	case Ctx(spakeEncData):
		var ed EncryptedData
		ed, err = ParseEncrypted(content)
		m.EncData = &ed
	default:
		err = malformed("PA-SPAKE: unknown kind of message")
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

func parseSPAKEChallenge(b []byte) (*SPAKEChallenge, error) {
	f := OpenFields("SPAKEChallenge", b)
	c := &SPAKEChallenge{Group: f.Int32(0), Public: f.Octets(1)}
	list := f.Raw(2)
	if err := f.Err(true); err != nil {
		return nil, err
	}
	var seq cryptobyte.String
	if !der.Take(&list, &seq, asn1.SEQUENCE) || !list.Empty() || seq.Empty() {
		return nil, malformed("SPAKEChallenge: bad list of factors")
	}
	for !seq.Empty() {
		var el cryptobyte.String
		if !seq.ReadASN1Element(&el, asn1.SEQUENCE) || len(c.Factors) == maxSPAKE {
			return nil, malformed("SPAKEChallenge: bad list of factors")
		}
		factor, err := ParseSPAKEFactor(el)
		if err != nil {
			return nil, err
		}
		c.Factors = append(c.Factors, factor)
	}
	return c, nil
}

// ParseSPAKEFactor reads SPAKESecondFactor. The result shares memory with b.
func ParseSPAKEFactor(b []byte) (SPAKEFactor, error) {
	f := OpenFields("SPAKESecondFactor", b)
	out := SPAKEFactor{Type: f.Int32(0)}
	if f.Has(1) {
		out.Data = f.Octets(1)
	}
	return out, f.Err(true)
}

// Marshal returns PA-SPAKE.
func (m *SPAKE) Marshal() ([]byte, error) {
	var w Writer
	switch {
	case m.Challenge != nil:
		c := m.Challenge
		w.Field(spakeChallenge, func() {
			w.Sequence(func() {
				w.Field(2, func() {
					w.Sequence(func() {
						for _, factor := range slices.Backward(c.Factors) {
							w.factor(factor)
						}
					})
				})
				w.Octets(1, c.Public)
				w.Int(0, int64(c.Group))
			})
		})
	case m.Response != nil:
		w.Field(spakeResponse, func() {
			w.Sequence(func() {
				w.Encrypted(1, m.Response.Factor)
				w.Octets(0, m.Response.Public)
			})
		})
	case m.EncData != nil:
		w.Field(spakeEncData, func() { w.encrypted(*m.EncData) })
	default:
		w.Field(spakeSupport, func() {
			w.Sequence(func() { w.Field(0, func() { w.integers(m.Support) }) })
		})
	}
	return w.Result()
}

// Marshal returns SPAKESecondFactor.
func (s SPAKEFactor) Marshal() ([]byte, error) {
	var w Writer
	w.factor(s)
	return w.Result()
}

func (w *Writer) factor(s SPAKEFactor) {
	w.Sequence(func() {
		if s.Data != nil {
			w.Octets(1, s.Data)
		}
		w.Int(0, int64(s.Type))
	})
}
