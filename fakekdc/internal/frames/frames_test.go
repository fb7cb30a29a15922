package frames

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
)

const most = 3 * Room

// Whatever is sent, frames are what their heads promise, or an error is.
func FuzzNext(f *testing.F) {
	for _, b := range [][]byte{nil, {0, 0, 0, 0}, {0, 0, 0, 1, 'x', 0, 0}, {0x80, 0, 0, 0}, {0, 0, 0x2f, 0xff, 'x'}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fr := New()
		fr.Reset(bytes.NewReader(b))
		for rest := b; ; {
			got, err := fr.Next(most)
			switch {
			case len(rest) < 4:
				if err == nil {
					t.Fatalf("a frame of %x", rest)
				}
			case binary.BigEndian.Uint32(rest) > most:
				if !errors.Is(err, ErrTooLong) {
					t.Fatalf("%d bytes, %v of %x", len(got), err, rest[:4])
				}
			case uint32(len(rest)-4) < binary.BigEndian.Uint32(rest):
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("%d bytes, %v of %x", len(got), err, rest[:4])
				}
			default:
				n := 4 + int(binary.BigEndian.Uint32(rest))
				if err != nil || !bytes.Equal(got, rest[4:n]) {
					t.Fatalf("%d bytes, %v of %x", len(got), err, rest[:4])
				}
				rest = rest[n:]
				continue
			}
			return
		}
	})
}

// Long frames are read whole, one after the other.
func TestLong(t *testing.T) {
	var b []byte
	for n := 0; n <= most; n += Room / 2 {
		b = append(binary.BigEndian.AppendUint32(b, uint32(n)), bytes.Repeat([]byte{byte(n / Room)}, n)...)
	}
	fr := New()
	fr.Reset(bytes.NewReader(b))
	for n := 0; n <= most; n += Room / 2 {
		if got, err := fr.Next(most); err != nil || len(got) != n {
			t.Errorf("%d bytes of %d, %v", len(got), n, err)
		}
	}
}
