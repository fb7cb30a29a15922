package krb

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/der"
)

// DER as RFC 4120 section 5 uses it: explicit context tags around everything.

// App returns the tag [APPLICATION n], constructed.
func App(n uint8) asn1.Tag { return asn1.Tag(0x60 | n) }

// Ctx returns the tag [n], constructed.
func Ctx(n uint8) asn1.Tag { return asn1.Tag(0xa0 | n) }

// flat returns the tag [n], primitive: that of IMPLICIT where the type is primitive.
func flat(n uint8) asn1.Tag { return asn1.Tag(0x80 | n) }

// ErrMalformed is wrapped by every decoding error of this package.
var ErrMalformed = errors.New("malformed Kerberos message")

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

// A Fields reads the explicitly tagged fields of one SEQUENCE in order. The
// first failure sticks; ask Err at the end.
type Fields struct {
	rest cryptobyte.String
	what string
	part string // of what, for errors
	err  error
}

// OpenFields enters the SEQUENCE that b must be, whole. The name is for errors.
func OpenFields(what string, b []byte) Fields {
	f := Fields{what: what}
	f.enter(b)
	return f
}

// OpenApp enters the SEQUENCE inside [APPLICATION n] that b must be, whole.
func OpenApp(what string, n uint8, b []byte) Fields {
	f := Fields{what: what}
	s := cryptobyte.String(b)
	var inner cryptobyte.String
	if der.Take(&s, &inner, App(n)) && s.Empty() {
		f.enter(inner)
	} else {
		f.fail(fmt.Sprintf("no [APPLICATION %d]", n))
	}
	return f
}

// openChoice enters the SEQUENCE of alternative n of a CHOICE that b must be, whole.
func openChoice(what string, n uint8, b []byte) Fields {
	f := Fields{what: what}
	s := cryptobyte.String(b)
	var inner cryptobyte.String
	if der.Take(&s, &inner, Ctx(n)) && s.Empty() {
		f.enter(inner)
	} else {
		f.fail(fmt.Sprintf("no alternative %d", n))
	}
	return f
}

// open enters the SEQUENCE that field n must be.
func (f *Fields) open(part string, n uint8) Fields {
	in := Fields{what: f.what, part: part}
	in.enter(f.Raw(n))
	return in
}

func (f *Fields) enter(s cryptobyte.String) {
	if !der.Take(&s, &f.rest, asn1.SEQUENCE) || !s.Empty() {
		f.fail("no sequence")
	}
}

func (f *Fields) fail(why string) {
	if f.err == nil {
		f.err = malformed(f.what + f.part + ": " + why)
		f.rest = nil
	}
}

// within makes the failure of what a field holds that of the whole.
func (f *Fields) within(err error) {
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("%s: %w", f.what, err)
		f.rest = nil
	}
}

// Err returns the first failure. With end set, what is left of the sequence is
// a failure too.
func (f *Fields) Err(end bool) error {
	if f.err == nil && end && !f.rest.Empty() {
		f.fail("unknown or misplaced field")
	}
	return f.err
}

// header reads pvno and msg-type, the first two fields of a message of the given type.
func (f *Fields) header(first uint8, kind uint8) {
	version, msg := f.Int32(first), f.Int32(first+1)
	if f.err == nil && (version != pvno || msg != int32(kind)) {
		f.fail(fmt.Sprintf("version %d type %d, want %d and %d", version, msg, pvno, kind))
	}
}

// padatas reads [n] SEQUENCE OF PA-DATA.
func (f *Fields) padatas(n uint8) []PAData {
	s := f.Raw(n)
	if f.err != nil {
		return nil
	}
	list, err := ParsePADatas(s)
	f.within(err)
	return list
}

// Has reports whether field n comes next.
func (f *Fields) Has(n uint8) bool { return f.err == nil && f.rest.PeekASN1Tag(Ctx(n)) }

// Raw returns the content of field n: the element inside its explicit tag.
func (f *Fields) Raw(n uint8) cryptobyte.String {
	var out cryptobyte.String
	if f.err == nil && !der.Take(&f.rest, &out, Ctx(n)) {
		f.fail(fmt.Sprintf("field %d missing", n))
		return nil
	}
	return out
}

// Optional returns the content of field n, nil when it is absent.
func (f *Fields) Optional(n uint8) cryptobyte.String {
	if !f.Has(n) {
		return nil
	}
	return f.Raw(n)
}

// Int reads [n] INTEGER within 64 bits.
func (f *Fields) Int(n uint8) int64 {
	s := f.Raw(n)
	var v int64
	if f.err == nil && (!der.TakeInt(&s, &v) || !s.Empty()) {
		f.fail(fmt.Sprintf("field %d is no integer", n))
	}
	return v
}

// Int32 reads [n] INTEGER within 32 bits, signed or unsigned: peers disagree
// about the sign of nonces and sequence numbers.
func (f *Fields) Int32(n uint8) int32 {
	return int32(uint32(f.nonce(n)))
}

// Microseconds reads [n] Microseconds, from 0 to 999999 (RFC 4120 section 5.2.4).
func (f *Fields) Microseconds(n uint8) int {
	v := f.Int(n)
	if f.err == nil && (v < 0 || v > 999_999) {
		f.fail(fmt.Sprintf("field %d is no microsecond", n))
	}
	return int(v)
}

// nonce reads [n] INTEGER within 32 bits, as it came: peers disagree about its sign.
func (f *Fields) nonce(n uint8) int64 {
	v := f.Int(n)
	if f.err == nil && (v < -1<<31 || v >= 1<<32) {
		f.fail(fmt.Sprintf("field %d exceeds 32 bits", n))
	}
	return v
}

// Octets reads [n] OCTET STRING. The result shares memory with the input.
func (f *Fields) Octets(n uint8) []byte {
	s := f.Raw(n)
	var v cryptobyte.String
	if f.err == nil && (!der.Take(&s, &v, asn1.OCTET_STRING) || !s.Empty()) {
		f.fail(fmt.Sprintf("field %d is no octet string", n))
	}
	return v
}

// hasFlat reports whether [n] IMPLICIT of a primitive type comes next, as the module of
// RFC 6560 has them.
func (f *Fields) hasFlat(n uint8) bool { return f.err == nil && f.rest.PeekASN1Tag(flat(n)) }

// flat returns the contents of [n] IMPLICIT of a primitive type.
func (f *Fields) flat(n uint8) []byte {
	var v cryptobyte.String
	if f.err == nil && !der.Take(&f.rest, &v, flat(n)) {
		f.fail(fmt.Sprintf("field %d missing", n))
	}
	return v
}

// optionalFlat is flat for a field that may be left out, nil when it is.
func (f *Fields) optionalFlat(n uint8) []byte {
	if !f.hasFlat(n) {
		return nil
	}
	return f.flat(n)
}

// flatInt reads [n] IMPLICIT Int32, nil when it is absent.
func (f *Fields) flatInt(n uint8) *int32 {
	if !f.hasFlat(n) {
		return nil
	}
	var v int64
	if !f.rest.ReadASN1Int64WithTag(&v, flat(n)) || v != int64(int32(v)) {
		f.fail(fmt.Sprintf("field %d is no integer of 32 bits", n))
	}
	out := int32(v)
	return &out
}

// Text reads [n] KerberosString. Besides GeneralString it takes the other
// eight-bit strings that peers have been seen to write.
func (f *Fields) Text(n uint8) string {
	s := f.Raw(n)
	if f.err != nil {
		return ""
	}
	v, ok := readString(&s)
	if !ok || !s.Empty() {
		f.fail(fmt.Sprintf("field %d is no string", n))
	}
	return v
}

func readString(s *cryptobyte.String) (string, bool) {
	for _, tag := range [...]asn1.Tag{asn1.GeneralString, asn1.IA5String, asn1.UTF8String, asn1.PrintableString} {
		if s.PeekASN1Tag(tag) {
			var v cryptobyte.String
			ok := der.Take(s, &v, tag)
			return string(v), ok
		}
	}
	return "", false
}

// Time reads [n] KerberosTime.
func (f *Fields) Time(n uint8) time.Time {
	s := f.Raw(n)
	var t time.Time
	if f.err == nil && !readTime(s, &t) {
		f.fail(fmt.Sprintf("field %d is no time", n))
	}
	return t
}

// readTime reads GeneralizedTime, which must be all of s.
func readTime(s cryptobyte.String, t *time.Time) bool {
	if len(s) != 2+len("20060102150405Z") || s[0] != byte(asn1.GeneralizedTime) || s[1] != byte(len(s)-2) || s[len(s)-1] != 'Z' {
		return s.ReadASN1GeneralizedTime(t) && s.Empty() // which tells what else is one, at its leisure
	}
	var v [7]int // year / 100, year % 100, month, day, hour, minute, second
	for i := range v {
		tens, ones := s[2+2*i]-'0', s[3+2*i]-'0'
		if tens > 9 || ones > 9 {
			return false
		}
		v[i] = 10*int(tens) + int(ones)
	}
	month := time.Month(v[2])
	*t = time.Date(100*v[0]+v[1], month, v[3], v[4], v[5], v[6], 0, time.UTC)
	// A day that there is not is one of another month.
	return t.Month() == month && v[4] < 24 && v[5] < 60 && v[6] < 60
}

// Flags reads [n] KerberosFlags; bits beyond 32 are dropped, missing ones are 0.
func (f *Fields) Flags(n uint8) uint32 {
	s := f.Raw(n)
	var v cryptobyte.String
	if f.err == nil && (!der.Take(&s, &v, asn1.BIT_STRING) || !s.Empty()) {
		f.fail(fmt.Sprintf("field %d is no bit string", n))
	}
	return f.bits(n, v)
}

// bits reads the contents of a BIT STRING as Flags does.
func (f *Fields) bits(n uint8, v []byte) uint32 {
	if f.err != nil {
		return 0
	}
	if len(v) < 1 || v[0] > 7 || v[0] != 0 && len(v) == 1 {
		f.fail(fmt.Sprintf("field %d is no bit string", n))
		return 0
	}
	var flags uint32
	for i, c := range v[1:] {
		if i == 4 {
			break
		}
		flags |= uint32(c) << (24 - 8*i)
	}
	return flags
}

// maxComponents bounds a name; real ones have two or three.
const maxComponents = 64

// Name reads [n] PrincipalName, without a realm.
func (f *Fields) Name(n uint8) Principal {
	in := f.open(" name", n)
	if f.err != nil {
		return Principal{}
	}
	p := Principal{Type: in.Int32(0)}
	list := in.Raw(1)
	var seq cryptobyte.String
	if err := in.Err(true); err != nil {
		f.err, f.rest = err, nil // which names the whole
		return Principal{}
	}
	if !der.Take(&list, &seq, asn1.SEQUENCE) || !list.Empty() {
		f.fail(fmt.Sprintf("field %d is no name", n))
		return Principal{}
	}
	for !seq.Empty() {
		c, ok := readString(&seq)
		if !ok || len(p.Components) == maxComponents {
			f.fail(fmt.Sprintf("field %d is no name", n))
			return Principal{}
		}
		p.Components = append(p.Components, c)
	}
	return p
}

// Key reads [n] EncryptionKey of a supported type.
func (f *Fields) Key(n uint8) Key {
	in := f.open(" key", n)
	if f.err != nil {
		return Key{}
	}
	etype, value := in.Int32(0), in.Octets(1)
	if err := in.Err(true); err != nil {
		f.err, f.rest = err, nil // which names the whole
		return Key{}
	}
	k, err := NewKey(etype, value)
	f.within(err)
	return k
}
