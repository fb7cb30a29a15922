// Package frames reads messages over TCP (RFC 4120 section 7.2.2).
package frames

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// Frames are those of one connection at a time. Most fit into their memory, so that one call of
// the system reads a request.
type Frames struct {
	in *bufio.Reader
	// Out is memory for what is written.
	Out []byte
}

// Room is the size of that memory.
const Room = 4 << 10

// ErrTooLong: a frame is longer than any request, or has the high bit set, which is reserved.
var ErrTooLong = errors.New("frame longer than any request")

// New returns Frames of no connection yet.
func New() *Frames { return &Frames{in: bufio.NewReaderSize(nil, Room)} }

// Reset has the next frames read from r, which may be nil.
func (f *Frames) Reset(r io.Reader) { f.in.Reset(r) }

// Next returns the contents of the next frame, of that many bytes at most, in memory of its own.
func (f *Frames) Next(most uint32) ([]byte, error) {
	head, err := f.in.Peek(4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head)
	if n > most {
		return nil, ErrTooLong
	}
	if _, err := f.in.Discard(len(head)); err != nil {
		return nil, err
	}
	if n > Room { // which is a promise yet
		packet, err := io.ReadAll(io.LimitReader(f.in, int64(n)))
		if err == nil && uint32(len(packet)) != n {
			err = io.ErrUnexpectedEOF
		}
		return packet, err
	}
	packet := make([]byte, n)
	_, err = io.ReadFull(f.in, packet)
	return packet, err
}
