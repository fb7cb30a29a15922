//go:build (linux && !android && (386 || amd64 || arm || arm64 || loong64 || ppc64le || riscv64)) || (darwin && !ios && (amd64 || arm64)) || (freebsd && (amd64 || arm64) && (cgo || gssapi_nocgo))

package gssapi

import (
	"encoding/binary"
	"runtime"
	"unsafe"
)

// An arena is the memory that one call of C is given: one block of Go's, pinned while the
// call lasts, which holds everything that C reads and writes, with the pointers within
// it. C may keep no pointer into it. RFC 2744 section 3 demands that a library copies
// what it keeps of a name, a token, an identifier or a store.  Memory that a library
// allocates and returns a pointer to is never Go's: [fromC] copies it, and the library's
// own call for it releases it.
type arena struct {
	block []byte
	base  uintptr
	used  int
	pin   runtime.Pinner
}

// here is the layout of structures on this system, on which the gssapi.h of MIT, Heimdal
// and Apple agree.
var here = layout{word: int(unsafe.Sizeof(uintptr(0))), align: alignment()}

func alignment() int {
	if runtime.GOOS == "darwin" && runtime.GOARCH == "amd64" {
		return 2
	}
	return int(unsafe.Sizeof(uintptr(0)))
}

// newArena returns an arena with room for n structures and data bytes.
func newArena(n, data int) *arena {
	words := make([]uint64, 10*n+(data+7)/8+1)
	a := &arena{block: unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*len(words))}
	a.pin.Pin(&words[0])
	a.base = uintptr(unsafe.Pointer(&words[0]))
	return a
}

// free unpins the arena after the call.
func (a *arena) free() { a.pin.Unpin() }

// put copies bytes into the arena, and returns their address.
func (a *arena) put(b []byte) uintptr {
	at := a.used
	if len(b) > len(a.block)-at {
		panic("gssapi: arena too small")
	}
	copy(a.block[at:], b)
	a.used += (len(b) + 7) &^ 7
	return a.base + uintptr(at)
}

// out returns the address of a word that C sets; it is 0 at first.
func (a *arena) out() uintptr { return a.put(make([]byte, 8)) }

// text puts a string with a zero byte at its end.
func (a *arena) text(s string) uintptr { return a.put(append([]byte(s), 0)) }

// buffer puts data, and a gss_buffer_desc of them.
func (a *arena) buffer(data []byte) uintptr {
	var at uintptr
	if len(data) > 0 {
		at = a.put(data)
	}
	return a.put(here.buffer(uintptr(len(data)), at))
}

// oid puts an identifier, and a gss_OID_desc of it.
func (a *arena) oid(elements string) uintptr {
	return a.put(here.oid(uint32(len(elements)), a.put([]byte(elements))))
}

// word and u32 read what C has set.
func (a *arena) word(at uintptr) uintptr {
	b := a.block[at-a.base:]
	if here.word == 4 {
		return uintptr(binary.NativeEndian.Uint32(b))
	}
	return uintptr(binary.NativeEndian.Uint64(b))
}

func (a *arena) u32(at uintptr) uint32 { return binary.NativeEndian.Uint32(a.block[at-a.base:]) }

// bytes returns what stands at an address in the arena.
func (a *arena) bytes(at uintptr, n int) []byte { return a.block[at-a.base:][:n] }

// fromC copies memory of C.
func fromC(at uintptr, n uintptr) []byte {
	if at == 0 || n == 0 {
		return nil
	}
	// The address is not in Go's heap, so that the collector never moves it.
	p := *(*unsafe.Pointer)(unsafe.Pointer(&at))
	return append([]byte(nil), unsafe.Slice((*byte)(p), n)...)
}
