package krb

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte/asn1"
)

// A Writer writes DER into one buffer, from its end to its front: what stands last
// is written first. So the length of everything is known when its tag is written, and
// nothing is built apart and copied. The zero Writer is empty and ready.
//
// The first failure sticks, and is what Result returns at the end.
type Writer struct {
	buf []byte
	at  int // what was written is buf[at:]
	err error
}

// NewWriter returns an empty Writer with room for size bytes.
func NewWriter(size int) Writer { return Writer{buf: make([]byte, size), at: size} }

// Bytes returns what was written, in the memory of w.
func (w *Writer) Bytes() []byte { return w.buf[w.at:] }

// Len returns how many bytes were written.
func (w *Writer) Len() int { return len(w.buf) - w.at }

// Result returns what was written, in the memory of w, or the first failure.
func (w *Writer) Result() ([]byte, error) {
	if w.err != nil {
		clear(w.Bytes())
		return nil, w.err
	}
	return w.Bytes(), nil
}

// Fail makes err the failure of w, if it is the first.
func (w *Writer) Fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// Grow makes room for n bytes in front of what was written, and returns them to be
// filled. Memory that is too small for that is wiped.
func (w *Writer) Grow(n int) []byte {
	if w.at < n {
		old := w.Bytes()
		grown := make([]byte, max(512, 2*(n+len(old))))
		w.at = len(grown) - copy(grown[len(grown)-len(old):], old)
		w.buf = grown
		clear(old)
	}
	w.at -= n
	return w.buf[w.at : w.at+n]
}

// Raw writes bytes as they are.
func (w *Writer) Raw(b []byte) { copy(w.Grow(len(b)), b) }

// Element writes a tag and a length in front of what fill writes.
func (w *Writer) Element(tag asn1.Tag, fill func()) {
	end := w.Len()
	fill()
	w.head(tag, w.Len()-end)
}

// head writes tag and length in front of n bytes of contents.
func (w *Writer) head(tag asn1.Tag, n int) {
	octets := byte(0)
	for rest := n; n > 0x7f && rest > 0; rest >>= 8 {
		w.Grow(1)[0] = byte(rest)
		octets++
	}
	b := w.Grow(1)
	if b[0] = 0x80 | octets; octets == 0 {
		b[0] = byte(n)
	}
	w.Grow(1)[0] = byte(tag)
}

// Sequence writes a SEQUENCE of what fill writes, its last field first.
func (w *Writer) Sequence(fill func()) { w.Element(asn1.SEQUENCE, fill) }

// App writes [APPLICATION n], the SEQUENCE of what fill writes.
func (w *Writer) App(n uint8, fill func()) {
	w.Element(App(n), func() { w.Sequence(fill) })
}

// Field writes [n] around what fill writes.
func (w *Writer) Field(n uint8, fill func()) { w.Element(Ctx(n), fill) }

// RawField writes [n] around an encoded element, nothing where there is none.
func (w *Writer) RawField(n uint8, der []byte) {
	if der != nil {
		w.Field(n, func() { w.Raw(der) })
	}
}

// text writes the one or other string type.
func (w *Writer) text(tag asn1.Tag, s string) {
	copy(w.Grow(len(s)), s)
	w.head(tag, len(s))
}

// String writes [n] KerberosString.
func (w *Writer) String(n uint8, s string) {
	w.Field(n, func() { w.text(asn1.GeneralString, s) })
}

// integer writes INTEGER, in as few bytes as its sign allows.
func (w *Writer) integer(v int64) { w.integerAs(asn1.INTEGER, v) }

func (w *Writer) integerAs(tag asn1.Tag, v int64) {
	n := 1
	w.Grow(1)[0] = byte(v)
	for rest := v >> 7; rest != 0 && rest != -1; rest >>= 8 {
		w.Grow(1)[0] = byte(rest >> 1)
		n++
	}
	w.head(tag, n)
}

// integers writes SEQUENCE OF Int32.
func (w *Writer) integers(list []int32) {
	w.Sequence(func() {
		for _, v := range slices.Backward(list) {
			w.integer(int64(v))
		}
	})
}

// Int writes [n] INTEGER.
func (w *Writer) Int(n uint8, v int64) {
	w.Field(n, func() { w.integer(v) })
}

// Octets writes [n] OCTET STRING.
func (w *Writer) Octets(n uint8, v []byte) {
	w.Field(n, func() {
		w.Raw(v)
		w.head(asn1.OCTET_STRING, len(v))
	})
}

var errYear = errors.New("the year of a time is not one of four digits")

// OptionalTime writes [n] KerberosTime, or nothing for the zero time.
func (w *Writer) OptionalTime(n uint8, t time.Time) {
	if !t.IsZero() {
		w.Time(n, t)
	}
}

// Time writes [n] KerberosTime: UTC, whole seconds.
func (w *Writer) Time(n uint8, t time.Time) {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	if year < 0 || year > 9999 {
		w.Fail(errYear)
		return
	}
	w.Field(n, func() {
		w.Grow(1)[0] = 'Z'
		for _, v := range [...]int{second, minute, hour, day, int(month), year % 100, year / 100} {
			b := w.Grow(2)
			b[0], b[1] = byte('0'+v/10), byte('0'+v%10)
		}
		w.head(asn1.GeneralizedTime, len("20060102150405Z"))
	})
}

// Flags writes [n] KerberosFlags of 32 bits, bit 0 the most significant.
func (w *Writer) Flags(n uint8, flags uint32) {
	w.Field(n, func() {
		copy(w.Grow(5), []byte{0, byte(flags >> 24), byte(flags >> 16), byte(flags >> 8), byte(flags)})
		w.head(asn1.BIT_STRING, 5)
	})
}

// Name writes [n] PrincipalName.
func (w *Writer) Name(n uint8, p Principal) {
	w.Field(n, func() {
		w.Sequence(func() {
			w.Field(1, func() {
				w.Sequence(func() {
					for _, c := range slices.Backward(p.Components) {
						w.text(asn1.GeneralString, c)
					}
				})
			})
			w.Int(0, int64(p.Type))
		})
	})
}

// Key writes [n] EncryptionKey.
func (w *Writer) Key(n uint8, k Key) {
	if k.IsZero() {
		w.Fail(errNoKey)
		return
	}
	w.Field(n, func() {
		w.Sequence(func() {
			w.Octets(1, k.m.bytes())
			w.Int(0, int64(k.Etype()))
		})
	})
}

// Sealed writes [n] EncryptedData of what fill writes, which is encrypted where it
// is (RFC 4120 section 5.2.9). A zero kvno is left out. If that fails, Result leaves
// nothing of the plaintext.
func (w *Writer) Sealed(n uint8, k Key, kvno, usage uint32, fill func()) {
	w.Field(n, func() { w.sealed(k, kvno, usage, fill) })
}

func (w *Writer) sealed(k Key, kvno, usage uint32, fill func()) {
	head, tail := k.room()
	w.Sequence(func() {
		w.Field(2, func() {
			end := w.Len()
			w.Grow(tail)
			fill()
			w.Grow(head)
			sealed := w.Bytes()[:w.Len()-end]
			if w.err == nil {
				w.err = k.seal(usage, sealed)
			}
			w.head(asn1.OCTET_STRING, len(sealed))
		})
		if kvno != 0 {
			w.Int(1, int64(kvno))
		}
		w.Int(0, int64(k.Etype()))
	})
}
