package replay

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"slices"
)

const (
	// firstChunk is what is read of a body of unknown length to begin with.
	firstChunk = 4 << 10
	// spillChunk is how much of a body is in memory on its way to a file.
	spillChunk = 64 << 10
)

// A record is what is kept of a body, from its beginning on: in memory up to a
// limit, above that in a temporary file up to another. It holds what was added in
// any case; over says that it is not to get any more.
type record struct {
	limit, fileLimit int64 // less than 0: none
	dir              string
	length           int64 // as declared; 0 or less: unknown

	mem   []byte // what is not in file
	file  *spill // nil for none
	chunk []byte // on its way to file
	over  bool
	fault error // of the file; it holds what it has
}

func newRecord(o Options, length int64) record {
	k := record{limit: cmp.Or(o.Limit, defaultLimit), fileLimit: o.SpillLimit, dir: o.SpillDir, length: length}
	// One byte more than a limit is asked for, to know of it.
	k.limit, k.fileLimit = min(k.limit, math.MaxInt64-1), min(k.fileLimit, math.MaxInt64-1)
	if k.fileLimit <= max(k.limit, 0) {
		k.fileLimit = -1
	}
	if most := max(k.limit, k.fileLimit); most < 0 || length > most {
		k.over = true
	} else if length > k.limit {
		k.limit = -1 // straight into the file
	}
	return k
}

// why says why not all of a body is kept.
func (k *record) why() string {
	if k.fault != nil {
		return fmt.Sprintf("it has no Request.GetBody, and cannot be kept for another try (%v)", k.fault)
	}
	return fmt.Sprintf("it has no Request.GetBody and more than the %d bytes kept of a body for another try", max(k.limit, k.fileLimit, 0))
}

func (k *record) size() int64 {
	n := int64(len(k.mem))
	if k.file != nil {
		n += k.file.size
	}
	return n
}

// room returns where to put what comes next, at most one byte more than the
// limits, nil for nowhere. It stays in place until it is added.
func (k *record) room() []byte {
	if !k.over && k.file == nil && k.limit < 0 {
		k.toFile()
	}
	switch {
	case k.over:
		return nil
	case k.file != nil:
		if k.chunk == nil {
			k.chunk = make([]byte, spillChunk)
		}
		return k.chunk[:min(spillChunk, k.fileLimit+1-k.file.size)]
	}
	n := len(k.mem)
	switch {
	case n < cap(k.mem):
	case n > 0:
		k.mem = slices.Grow(k.mem, n)
	case k.length > 0:
		k.mem = make([]byte, 0, min(k.length, k.limit, defaultLimit)+1) // one more, to meet the end
	default:
		k.mem = make([]byte, 0, min(k.limit+1, firstChunk))
	}
	return k.mem[n:min(int64(cap(k.mem)), k.limit+1)]
}

// add keeps b, the beginning of what room returned.
func (k *record) add(b []byte) {
	switch {
	case k.file != nil:
		k.write(b)
	case k.mem != nil:
		k.mem = k.mem[:len(k.mem)+len(b)]
		if int64(len(k.mem)) > k.limit {
			k.toFile()
		}
	}
}

// toFile moves what is in memory to a file, if there is to be one. A file that
// cannot be written is no reason not to send a body, which can then be sent once.
func (k *record) toFile() {
	if k.fileLimit < 0 {
		k.over = true
		return
	}
	f, err := newSpill(k.dir)
	if err != nil {
		k.over, k.fault = true, fmt.Errorf("temporary file: %w", err)
		return
	}
	k.file = f
	b := k.mem
	k.mem = nil
	k.write(b)
}

func (k *record) write(b []byte) {
	n, err := k.file.f.WriteAt(b, k.file.size)
	k.file.size += int64(n)
	if err != nil {
		k.over, k.fault, k.mem = true, err, b[n:] // where it is, since nothing more is added
	}
	k.over = k.over || k.file.size > k.fileLimit
}

// readAt reads from an offset that is less than the size.
func (k *record) readAt(p []byte, at int64) (int, error) {
	if k.file == nil {
		return copy(p, k.mem[at:]), nil
	}
	if left := k.file.size - at; left > 0 {
		return k.file.f.ReadAt(p[:min(int64(len(p)), left)], at)
	}
	return copy(p, k.mem[at-k.file.size:]), nil
}

// drop gives up all that is kept, and keeps nothing more.
func (k *record) drop() {
	if k.file != nil {
		k.file.close()
	}
	k.over, k.mem, k.file, k.chunk = true, nil, nil, nil
}

// spill is a temporary file that has no name any more.
type spill struct {
	f    *os.File
	path string // where a file that is open cannot lose its name
	size int64
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
	return s, nil
}

// close removes it; nothing depends on whether that succeeds.
func (s *spill) close() {
	_ = s.f.Close()
	if s.path != "" {
		_ = os.Remove(s.path)
	}
}
