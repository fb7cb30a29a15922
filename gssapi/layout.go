package gssapi

import "encoding/binary"

// A layout says how a C compiler lays out structures: where a member begins depends on
// its size, and on the pragma pack(2) of gssapi.h on Macs with Intel processors.
type layout struct {
	word  int // size of size_t and of pointers
	align int // largest alignment of a member
}

// A packer writes one structure.
type packer struct {
	layout
	b    []byte
	most int // alignment of the structure
}

func (l layout) begin() *packer { return &packer{layout: l, most: 1} }

// to pads to where a member of that size begins.
func (p *packer) to(size int) {
	a := min(size, p.align)
	p.most = max(p.most, a)
	for len(p.b)%a != 0 {
		p.b = append(p.b, 0)
	}
}

// u32 writes an OM_uint32.
func (p *packer) u32(v uint32) *packer {
	p.to(4)
	p.b = binary.NativeEndian.AppendUint32(p.b, v)
	return p
}

// ptr writes a pointer or a size_t.
func (p *packer) ptr(v uintptr) *packer {
	p.to(p.word)
	if p.word == 4 {
		p.b = binary.NativeEndian.AppendUint32(p.b, uint32(v))
	} else {
		p.b = binary.NativeEndian.AppendUint64(p.b, uint64(v))
	}
	return p
}

// bytes returns the structure, padded to its size in an array.
func (p *packer) bytes() []byte {
	for len(p.b)%p.most != 0 {
		p.b = append(p.b, 0)
	}
	return p.b
}

// oid is a gss_OID_desc.
func (l layout) oid(length uint32, elements uintptr) []byte {
	return l.begin().u32(length).ptr(elements).bytes()
}

// stores is a gss_key_value_set_desc, which is in gssapi_ext.h and so is not packed.
func (l layout) stores(count uint32, elements uintptr) []byte {
	l.align = l.word
	return l.oid(count, elements)
}

// buffer is a gss_buffer_desc, and a gss_OID_set_desc or a key of a store too.
func (l layout) buffer(length, value uintptr) []byte {
	return l.begin().ptr(length).ptr(value).bytes()
}

// bindings are a gss_channel_bindings_struct without addresses.
func (l layout) bindings(length, value uintptr) []byte {
	p := l.begin()
	p.u32(0).ptr(0).ptr(0)
	p.u32(0).ptr(0).ptr(0)
	return p.ptr(length).ptr(value).bytes()
}

// An iov is a gss_iov_buffer_desc.
func (l layout) iov(kind uint32, length, value uintptr) []byte {
	return l.begin().u32(kind).ptr(length).ptr(value).bytes()
}
