package pac

import (
	"encoding/binary"
	"unicode/utf16"
)

// An ndr writes one structure in the form of type serialization version 1
// ([MS-RPCE] section 2.2.6, little-endian): what pointers point to comes after
// what they are in, in the order of the pointers.
type ndr struct {
	b        []byte
	deferred []func()
	pointers uint32
}

// newNDR begins a structure that the first pointer points to.
func newNDR() *ndr {
	n := &ndr{b: make([]byte, 16, 512)}
	n.pointer(true)
	return n
}

func (n *ndr) u16(v uint16) { n.b = binary.LittleEndian.AppendUint16(n.b, v) }

func (n *ndr) u32(v ...uint32) {
	n.align(4)
	for _, v := range v {
		n.b = binary.LittleEndian.AppendUint32(n.b, v)
	}
}

func (n *ndr) bytes(b ...byte) { n.b = append(n.b, b...) }

func (n *ndr) align(size int) {
	for len(n.b)%size != 0 {
		n.b = append(n.b, 0)
	}
}

// pointer writes a referent ID, 0 for a null pointer.
func (n *ndr) pointer(there bool) {
	if !there {
		n.u32(0)
		return
	}
	n.pointers++
	n.u32(0x20000 + 4*(n.pointers-1))
}

// text writes RPC_UNICODE_STRING ([MS-DTYP] section 2.3.10).
func (n *ndr) text(s string) {
	u := utf16.Encode([]rune(s))
	n.align(4)
	n.u16(uint16(2 * len(u)))
	n.u16(uint16(2 * len(u)))
	n.pointer(true)
	n.later(func() {
		n.u32(uint32(len(u)), 0, uint32(len(u)))
		for _, c := range u {
			n.u16(c)
		}
	})
}

// later writes what a pointer points to.
func (n *ndr) later(f func()) { n.deferred = append(n.deferred, f) }

// flush writes what the pointers so far point to, and what those point to.
func (n *ndr) flush() {
	list := n.deferred
	n.deferred = nil
	for _, f := range list {
		f()
		n.flush()
	}
}

// finish returns the whole with its headers.
func (n *ndr) finish() []byte {
	n.flush()
	n.align(8)
	h := n.b[:0]
	h = append(h, 1, 0x10, 8, 0, 0xcc, 0xcc, 0xcc, 0xcc)
	h = binary.LittleEndian.AppendUint32(h, uint32(len(n.b)-16))
	binary.LittleEndian.AppendUint32(h, 0)
	return n.b
}

// An ndrReader reads what an ndr writes. The first failure sticks.
type ndrReader struct {
	whole, b []byte
	bad      bool
}

// openNDR reads the headers and the first pointer.
func openNDR(b []byte) *ndrReader {
	r := &ndrReader{whole: b, b: b}
	if h := r.take(8); r.bad || h[0] != 1 || h[1] != 0x10 {
		r.bad = true
	}
	r.take(8)
	if r.u32() == 0 {
		r.bad = true
	}
	return r
}

func (r *ndrReader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return make([]byte, min(n, 8))
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *ndrReader) u32() uint32 {
	if odd := (len(r.whole) - len(r.b)) % 4; odd != 0 {
		r.take(4 - odd)
	}
	return binary.LittleEndian.Uint32(r.take(4))
}

// text reads RPC_UNICODE_STRING and returns the number of the units that its pointer
// points to, -1 for a null pointer.
func (r *ndrReader) text() (units int) {
	if odd := (len(r.whole) - len(r.b)) % 4; odd != 0 {
		r.take(4 - odd)
	}
	n := binary.LittleEndian.Uint16(r.take(2))
	r.take(2)
	if r.u32() == 0 {
		return -1
	}
	return int(n / 2)
}

// units reads what a text points to.
func (r *ndrReader) units(n int) string {
	if n < 0 {
		return ""
	}
	r.u32()
	if r.u32() != 0 || r.u32() != uint32(n) {
		r.bad = true
	}
	raw := r.take(2 * n)
	if r.bad {
		return ""
	}
	u := make([]uint16, n)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(raw[2*i:])
	}
	return string(utf16.Decode(u))
}
