package spake

import (
	"crypto/fips140"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"slices"

	"filippo.io/edwards25519"
	"filippo.io/nistec"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A group is one of RFC 9588 section 12.2. Scalars are of the form that random
// returns; elements are encoded.
type group interface {
	// random returns a private scalar.
	random() ([]byte, error)
	// mask returns x*G + w*mask.
	mask(x, w []byte, mask string) ([]byte, error)
	// shared returns x*(element - w*mask).
	shared(x, w []byte, mask string, element []byte) ([]byte, error)
}

// A definition is a row of the registry.
type definition struct {
	number int32
	name   string // as krb5.conf spells it
	group  group
	m, n   string // encoded, in hexadecimal: of the KDC's side, of the client's
	wLen   int    // of the multiplier that is made of the client's key
	hash   func() hash.Hash
}

func definitions() []definition {
	return []definition{
		{krb.SPAKEEdwards25519, "edwards25519", edwards{},
			"d048032c6ea0b6d697ddc2e86bda85a33adac920f1bf18e1b0c6d166a5cecdaf",
			"d3bfb518f44f3430f29d0c92af503865a1ed3281dc69b35dd868ba85f886c4ab", 32, sha256.New},
		{krb.SPAKEP256, "P-256", p256{},
			"02886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f",
			"03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49", 32, sha256.New},
	}
}

var (
	// ErrGroup: a group is not one of ours.
	ErrGroup = errors.New("SPAKE group not supported")
	// ErrElement: a public value is no element of its group.
	ErrElement = errors.New("public value is no element of its SPAKE group")
)

func define(number int32) (definition, error) {
	all := definitions()
	i := slices.IndexFunc(all, func(d definition) bool { return d.number == number })
	if i < 0 {
		return definition{}, fmt.Errorf("%w: %d", ErrGroup, number)
	}
	return all[i], nil
}

// Groups returns the numbers of the groups that names stand for, as in
// spake_preauth_groups of krb5.conf, in that order; those that are not ours are left
// out, as MIT krb5 does. Where FIPS 140-3 is enforced there is none: the arithmetic is
// not that of an approved module.
func Groups(names []string) []int32 {
	if fips140.Enforced() {
		return nil
	}
	var out []int32
	for _, name := range names {
		for _, d := range definitions() {
			if d.name == name && !slices.Contains(out, d.number) {
				out = append(out, d.number)
			}
		}
	}
	return out
}

// Name returns a group's name, or "group N" for one that is not ours.
func Name(number int32) string {
	if d, err := define(number); err == nil {
		return d.name
	}
	return fmt.Sprintf("group %d", number)
}

func constant(mask string) []byte {
	b, err := hex.DecodeString(mask)
	if err != nil {
		panic(err) // constants of this file
	}
	return b
}

// edwards is edwards25519. Its curve has eight times as many points as the group:
// private scalars are multiples of eight, so that what others send is in the group
// once it is multiplied. A scalar here is an eighth of the private one.
type edwards struct{}

func (edwards) random() ([]byte, error) {
	var b [64]byte
	rand.Read(b[:]) // never fails since Go 1.24
	x, err := edwards25519.NewScalar().SetUniformBytes(b[:])
	if err != nil {
		return nil, err
	}
	return x.Bytes(), nil
}

// multiplier reduces w, little-endian, by the order of the group.
func (edwards) multiplier(w []byte) (*edwards25519.Scalar, error) {
	var wide [64]byte
	copy(wide[:], w)
	return edwards25519.NewScalar().SetUniformBytes(wide[:])
}

func (e edwards) mask(x, w []byte, mask string) ([]byte, error) {
	eighth, err := edwards25519.NewScalar().SetCanonicalBytes(x)
	if err != nil {
		return nil, err
	}
	masked, err := e.times(w, mask)
	if err != nil {
		return nil, err
	}
	p := new(edwards25519.Point).ScalarBaseMult(eighth)
	p.MultByCofactor(p)
	return p.Add(p, masked).Bytes(), nil
}

// times returns w*mask.
func (e edwards) times(w []byte, mask string) (*edwards25519.Point, error) {
	scalar, err := e.multiplier(w)
	if err != nil {
		return nil, err
	}
	p, err := new(edwards25519.Point).SetBytes(constant(mask))
	if err != nil {
		return nil, err
	}
	return p.ScalarMult(scalar, p), nil
}

func (e edwards) shared(x, w []byte, mask string, element []byte) ([]byte, error) {
	p, err := new(edwards25519.Point).SetBytes(element)
	if err != nil {
		return nil, ErrElement
	}
	eighth, err := edwards25519.NewScalar().SetCanonicalBytes(x)
	if err != nil {
		return nil, err
	}
	masked, err := e.times(w, mask)
	if err != nil {
		return nil, err
	}
	p.Subtract(p, masked)
	p.MultByCofactor(p)
	return p.ScalarMult(eighth, p).Bytes(), nil
}

// p256 is P-256, whose elements are compressed points.
type p256 struct{}

// order of the group (FIPS 186-5).
const p256Order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"

func (p256) random() ([]byte, error) {
	order := new(big.Int).SetBytes(constant(p256Order))
	x, err := rand.Int(rand.Reader, order)
	if err != nil {
		return nil, err
	}
	return x.FillBytes(make([]byte, 32)), nil
}

// times returns w*mask. The library reduces w, big-endian, by the order of the group,
// in constant time.
func (p256) times(w []byte, mask string) (*nistec.P256Point, error) {
	p, err := nistec.NewP256Point().SetBytes(constant(mask))
	if err != nil {
		return nil, err
	}
	return p.ScalarMult(p, w)
}

func (g p256) mask(x, w []byte, mask string) ([]byte, error) {
	masked, err := g.times(w, mask)
	if err != nil {
		return nil, err
	}
	p, err := nistec.NewP256Point().ScalarBaseMult(x)
	if err != nil {
		return nil, err
	}
	return p.Add(p, masked).BytesCompressed(), nil
}

func (g p256) shared(x, w []byte, mask string, element []byte) ([]byte, error) {
	p := nistec.NewP256Point()
	// The library reads points that are not compressed too, and the one at infinity.
	if len(element) != 33 {
		return nil, ErrElement
	}
	if _, err := p.SetBytes(element); err != nil {
		return nil, ErrElement
	}
	masked, err := g.times(w, mask)
	if err != nil {
		return nil, err
	}
	p.Add(p, nistec.NewP256Point().Negate(masked))
	if p, err = p.ScalarMult(p, x); err != nil {
		return nil, err
	}
	out := p.BytesCompressed()
	if len(out) != len(element) { // infinity: the share was the mask alone
		return nil, ErrElement
	}
	return out, nil
}
