package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// spill is a body in a temporary file that has no name any more.
type spill struct {
	f    *os.File
	path string // where a file that is open cannot lose its name
	size int64
	*shared
}

// newSpill makes an empty file that nobody else can read (mode 0600).
func newSpill(dir string) (*spill, error) {
	f, err := os.CreateTemp(dir, "body-*")
	if err != nil {
		return nil, err
	}
	s := &spill{f: f}
	if err := os.Remove(f.Name()); err != nil {
		s.path = f.Name()
	}
	s.shared = newShared(s.close)
	return s, nil
}

func (s *spill) close() error {
	err := s.f.Close()
	if s.path != "" {
		err = errors.Join(err, os.Remove(s.path))
	}
	return err
}

func (s *spill) replayable() bool { return true }
func (s *spill) shares() bool     { return false }
func (s *spill) release() error   { return s.letGo() }

func (s *spill) open(context.Context) (io.ReadCloser, error) { return s.reader(s.section()), nil }

func (s *spill) section() io.Reader { return io.NewSectionReader(s.f, 0, s.size) }

// write appends b, and returns what could not be written.
func (s *spill) write(b []byte) (left []byte, err error) {
	n, err := s.f.WriteAt(b, s.size)
	s.size += int64(n)
	return b[n:], err
}

// spillChunk is how much of a body is in memory on its way to a file.
const spillChunk = 64 << 10

// spill reads on into a file, which gets what was read so far. A file that
// cannot be written is no reason not to send a body, which can then be sent
// once.
func (s *ahead) spill(r io.Reader, head []byte) (gathered, error) {
	f, err := newSpill(s.o.SpillDir)
	if err != nil {
		return gathered{data: head, fault: fmt.Errorf("temporary file: %w", err)}, nil
	}
	g := gathered{spill: f}
	if g.data, g.fault = f.write(head); g.fault != nil {
		return g, nil
	}
	chunk := make([]byte, spillChunk)
	for f.size <= s.o.SpillLimit {
		n, err := r.Read(chunk[:min(int64(len(chunk)), s.o.SpillLimit+1-f.size)])
		if g.data, g.fault = f.write(chunk[:n]); g.fault != nil {
			if err != nil && err != io.EOF {
				g.discard()
				return gathered{}, aheadError(f.size, err)
			}
			return g, nil
		}
		switch {
		case err == io.EOF:
			g.whole = f.size <= s.o.SpillLimit
			return g, nil
		case err != nil:
			g.discard()
			return gathered{}, aheadError(f.size, err)
		}
	}
	return g, nil
}
