package replay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/kerbchain/kerbchain/internal/panics"
)

// firstChunk is what is read of a body of unknown length to begin with.
const firstChunk = 4 << 10

// ahead is a body that is read ahead and kept, if it is not too large.
type ahead struct {
	original *onceCloser
	o        Options
	length   int64  // as declared; 0 or less: unknown
	inner    source // what became of it, once it was read
}

func (s *ahead) shares() bool { return false }

func (s *ahead) replayable() bool { return s.inner == nil || s.inner.replayable() }

func (s *ahead) open(ctx context.Context) (io.ReadCloser, error) {
	if s.inner == nil {
		g, err := s.wait(ctx)
		if err != nil {
			_ = s.original.Close() // err says more
			return nil, err
		}
		s.inner = s.settle(g)
	}
	return s.inner.open(ctx)
}

func (s *ahead) release() error {
	if s.inner != nil {
		return s.inner.release()
	}
	return s.original.Close()
}

// settle turns what was read into a source.
func (s *ahead) settle(g gathered) source {
	switch {
	case !g.whole:
		return newStream(s.original, nil, s.refusal(g)).after(g)
	case g.spill != nil:
		// Here and below the bytes are all there; what Close has to say about
		// the body comes too late to matter to the request.
		_ = s.original.Close()
		return g.spill
	}
	_ = s.original.Close()
	return memory(g.data)
}

func (s *ahead) refusal(g gathered) string {
	why := fmt.Sprintf("it has no Request.GetBody and more than the %d bytes kept of a body for another try", max(s.o.most(), 0))
	if g.fault != nil {
		why += fmt.Sprintf(", or than could be kept (%v)", g.fault)
	}
	return why
}

// wait gathers, until it is done or the context ends, whichever comes first.
// What is being gathered belongs to gather until it has returned.
func (s *ahead) wait(ctx context.Context) (gathered, error) {
	if ctx.Done() == nil {
		return s.gather()
	}
	type result struct {
		g   gathered
		err error
	}
	done := make(chan result)
	go func() {
		var res result
		func() {
			defer panics.Into(&res.err)
			res.g, res.err = s.gather()
		}()
		select {
		case done <- res:
		case <-ctx.Done():
			res.g.discard()
		}
	}()
	select {
	case res := <-done:
		return res.g, res.err
	case <-ctx.Done():
		return gathered{}, fmt.Errorf("reading the request body ahead: %w", ctx.Err())
	}
}

// gathered is what was read of a body ahead of its sending: data, or first what
// is in the file and then data.
type gathered struct {
	data  []byte
	spill *spill
	whole bool
	fault error // of the file; it holds what it has
}

// discard gives up what is in the file.
func (g gathered) discard() {
	if g.spill != nil {
		_ = g.spill.release() // of a file that is of no more use
	}
}

// reader returns what was gathered, to be read once.
func (g gathered) reader() io.Reader {
	if g.spill == nil {
		return bytes.NewReader(g.data)
	}
	return io.MultiReader(g.spill.section(), bytes.NewReader(g.data))
}

// gather reads up to one byte more than the limits.
func (s *ahead) gather() (gathered, error) {
	r := &progress{r: s.original}
	limit := s.o.Limit
	size := int64(firstChunk)
	if s.length > 0 {
		size = min(s.length, DefaultLimit) + 1 // one more, to meet the end
	}
	if s.length > limit || limit < 0 {
		limit = -1 // straight into the file
	}
	g, err := gather(r, min(size, limit+1), limit)
	if err != nil || g.whole || s.o.SpillLimit <= max(s.o.Limit, 0) {
		return g, err
	}
	return s.spill(r, g.data)
}

// gather reads up to limit+1 bytes into a buffer of size bytes that grows.
func gather(r io.Reader, size, limit int64) (gathered, error) {
	buf := make([]byte, 0, size)
	for int64(len(buf)) <= limit {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(len(buf), 1))
		}
		n, err := r.Read(buf[len(buf):min(int64(cap(buf)), limit+1)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return gathered{data: buf, whole: int64(len(buf)) <= limit}, nil
		}
		if err != nil {
			return gathered{}, aheadError(int64(len(buf)), err)
		}
	}
	return gathered{data: buf}, nil
}

func aheadError(n int64, err error) error {
	return fmt.Errorf("reading the request body ahead, after %d bytes: %w", n, err)
}

// memory is a body that is all there.
type memory []byte

func (m memory) replayable() bool { return true }
func (m memory) shares() bool     { return false }
func (m memory) release() error   { return nil }

// open returns a reader of its own, of a kind that net/http knows to be in
// memory.
func (m memory) open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m)), nil
}

// maxIdle is how often in a row a Read may return nothing at all.
const maxIdle = 100

// progress turns a reader that returns nothing for ever into an error.
type progress struct {
	r    io.Reader
	idle int
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n < 0 || n > len(b) {
		return 0, fmt.Errorf("reader returned a count of %d for %d bytes", n, len(b))
	}
	if n > 0 || err != nil || len(b) == 0 {
		p.idle = 0
		return n, err
	}
	if p.idle++; p.idle >= maxIdle {
		return 0, io.ErrNoProgress
	}
	return 0, nil
}
