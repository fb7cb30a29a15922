//go:build (linux && !android && (386 || amd64 || arm || arm64 || loong64 || ppc64le || riscv64)) || (darwin && !ios && (amd64 || arm64)) || (freebsd && (amd64 || arm64) && (cgo || gssapi_nocgo))

package gssapi

import (
	"encoding/binary"
	"runtime"
	"unsafe"
)

// An arena is the memory that one call of C is given: one block of Go's, pinned for as
// long as the call lasts, into which all goes that C reads and writes, pointers within
// it included. C may keep no pointer into it: what a library keeps of a name, a token,
// an identifier or a store it copies, as RFC 2744 section 3 demands.
//
// What a library allocates, and returns a pointer to, is never Go's: it is copied by
// [fromC] and released by the call that the library has for it.
type arena struct {
	block []byte
	base  uintptr
	used  int
	pin   runtime.Pinner
}

// here is how structures are laid out on this system. MIT's, Heimdal's and Apple's
// gssapi.h agree on it.
var here = layout{word: int(unsafe.Sizeof(uintptr(0))), align: alignment()}

func alignment() int {
	if runtime.GOOS == "darwin" && runtime.GOARCH == "amd64" {
		return 2
	}
	return int(unsafe.Sizeof(uintptr(0)))
}

// newArena returns one with room for n structures and that many bytes of data.
func newArena(n, data int) *arena {
	words := make([]uint64, 10*n+(data+7)/8+1)
	a := &arena{block: unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*len(words))}
	a.pin.Pin(&words[0])
	a.base = uintptr(unsafe.Pointer(&words[0]))
	return a
}

// free ends the arena when the call is over.
func (a *arena) free() { a.pin.Unpin() }

// put copies bytes into the arena, and returns where they are.
func (a *arena) put(b []byte) uintptr {
	at := a.used
	if len(b) > len(a.block)-at {
		panic("gssapi: arena too small")
	}
	copy(a.block[at:], b)
	a.used += (len(b) + 7) &^ 7
	return a.base + uintptr(at)
}

// out makes room for a word, which C sets, 0 at first.
func (a *arena) out() uintptr { return a.put(make([]byte, 8)) }

// text puts text with a zero byte at its end.
func (a *arena) text(s string) uintptr { return a.put(append([]byte(s), 0)) }

// buffer puts data and a descriptor of them.
func (a *arena) buffer(data []byte) uintptr {
	var at uintptr
	if len(data) > 0 {
		at = a.put(data)
	}
	return a.put(here.buffer(uintptr(len(data)), at))
}

// oid puts an identifier and a descriptor of it.
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

// bytes are what is in the arena.
func (a *arena) bytes(at uintptr, n int) []byte { return a.block[at-a.base:][:n] }

// fromC copies memory of C's.
func fromC(at uintptr, n uintptr) []byte {
	if at == 0 || n == 0 {
		return nil
	}
	// The address is none that Go's collector knows, or moves.
	p := *(*unsafe.Pointer)(unsafe.Pointer(&at))
	return append([]byte(nil), unsafe.Slice((*byte)(p), n)...)
}
