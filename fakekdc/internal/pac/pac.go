// Package pac reads and writes privilege attribute certificates ([MS-PAC]) in the parts
// that a KDC for tests has a use for. What they say, and whether to believe it, is the
// KDC's.
package pac

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"
	"unicode/utf16"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Kinds of buffers ([MS-PAC] section 2.4).
const (
	KindLogonInfo  uint32 = 1
	KindServerSum  uint32 = 6
	KindKDCSum     uint32 = 7
	KindClientInfo uint32 = 10
	KindDelegation uint32 = 11
	KindTicketSum  uint32 = 16
	KindFullSum    uint32 = 19
)

// MaxBuffers bounds the parts of a PAC that is read.
const MaxBuffers = 64

// A Buffer is one part of a PAC.
type Buffer struct {
	Kind uint32
	Data []byte
}

// Signature reports whether b signs the others, or the ticket.
func (b Buffer) Signature() bool {
	return b.Kind == KindServerSum || b.Kind == KindKDCSum || b.Kind == KindTicketSum || b.Kind == KindFullSum
}

// Parse reads PACTYPE ([MS-PAC] section 2.3). The data share memory with b.
func Parse(b []byte) ([]Buffer, error) {
	bad := fmt.Errorf("%w: PAC", krb.ErrMalformed)
	if len(b) < 8 {
		return nil, bad
	}
	count, version := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	if version != 0 || count > MaxBuffers || len(b) < 8+16*int(count) {
		return nil, bad
	}
	out := make([]Buffer, count)
	for i := range out {
		h := b[8+16*i:]
		kind, size, at := binary.LittleEndian.Uint32(h), binary.LittleEndian.Uint32(h[4:]), binary.LittleEndian.Uint64(h[8:])
		if at < uint64(8+16*count) || at > uint64(len(b)) || uint64(size) > uint64(len(b))-at {
			return nil, bad
		}
		if _, twice := Find(out[:i], kind); twice {
			return nil, bad
		}
		out[i] = Buffer{kind, b[at:][:size:size]}
	}
	return out, nil
}

// Find returns the data of the buffer of a kind.
func Find(list []Buffer, kind uint32) ([]byte, bool) {
	for _, b := range list {
		if b.Kind == kind {
			return b.Data, true
		}
	}
	return nil, false
}

// Marshal returns PACTYPE, and the data of its buffers in it.
func Marshal(list []Buffer) (whole []byte, placed []Buffer) {
	n := 8 + 16*len(list)
	for _, b := range list {
		n += (len(b.Data) + 7) &^ 7
	}
	whole = make([]byte, n)
	binary.LittleEndian.PutUint32(whole, uint32(len(list)))
	at := 8 + 16*len(list)
	for i, b := range list {
		h := whole[8+16*i:]
		binary.LittleEndian.PutUint32(h, b.Kind)
		binary.LittleEndian.PutUint32(h[4:], uint32(len(b.Data)))
		binary.LittleEndian.PutUint64(h[8:], uint64(at))
		copy(whole[at:], b.Data)
		placed = append(placed, Buffer{b.Kind, whole[at:][:len(b.Data)]})
		at += (len(b.Data) + 7) &^ 7
	}
	return whole, placed
}

// fileTime is FILETIME ([MS-DTYP] section 2.3.3).
func fileTime(t time.Time) uint64 { return uint64(t.Unix()+11644473600) * 1e7 }

// ClientInfo returns PAC_CLIENT_INFO ([MS-PAC] section 2.7).
func ClientInfo(name string, authTime time.Time) []byte {
	u := utf16.Encode([]rune(name))
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, 10+2*len(u)), fileTime(authTime))
	b = binary.LittleEndian.AppendUint16(b, uint16(2*len(u)))
	for _, c := range u {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return b
}

// ClientName reads the name in PAC_CLIENT_INFO.
func ClientName(b []byte) (string, error) {
	if len(b) < 10 || int(binary.LittleEndian.Uint16(b[8:])) != len(b)-10 || len(b)%2 != 0 {
		return "", fmt.Errorf("%w: client in a PAC", krb.ErrMalformed)
	}
	u := make([]uint16, (len(b)-10)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[10+2*i:])
	}
	return string(utf16.Decode(u)), nil
}

// Named returns a PAC with another name of its user in it: with the realm in tickets that
// are on the way to another one ([MS-SFU] section 3.2.5.1.1), and without it in all
// others.
func Named(list []Buffer, name string, authTime time.Time) []Buffer {
	out := slices.Clone(list)
	for i := range out {
		if out[i].Kind == KindClientInfo {
			out[i].Data = ClientInfo(name, authTime)
		}
	}
	return out
}
