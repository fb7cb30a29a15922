package replay

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// firstChunk is what is read of a body of unknown length to begin with.
const firstChunk = 4 << 10

// readAhead reads up to one byte more than the limit and returns the first
// leg's body.
func (b *Body) readAhead() (io.ReadCloser, error) {
	size := int64(firstChunk)
	if b.length > 0 {
		size = min(b.length, DefaultLimit) + 1 // one more, to meet the end
	}
	res, err := b.read(min(size, b.limit+1))
	if err != nil {
		return nil, b.fail(err)
	}
	if !res.whole {
		b.owned = true
		return &stream{Reader: io.MultiReader(bytes.NewReader(res.data), b.original), Closer: b.original}, nil
	}
	b.buf, b.buffered, b.owned = res.data, true, true
	// The bytes are all here; what Close has to say about them comes too late
	// to matter to the request.
	b.original.Close()
	return newCopy(b.buf), nil
}

type result struct {
	data  []byte
	whole bool
	err   error
}

// read waits for fill or the end of the context, whichever comes first. The
// buffer belongs to fill until it has returned.
func (b *Body) read(size int64) (result, error) {
	if b.ctx.Done() == nil {
		res := fill(b.original, size, b.limit)
		return res, res.err
	}
	done := make(chan result, 1)
	go func() { done <- fill(b.original, size, b.limit) }()
	select {
	case res := <-done:
		return res, res.err
	case <-b.ctx.Done():
		return result{}, fmt.Errorf("reading the request body ahead: %w", b.ctx.Err())
	}
}

// fill reads up to limit+1 bytes into a buffer of size bytes that grows.
func fill(r io.Reader, size, limit int64) result {
	r = &progress{r: r}
	buf := make([]byte, 0, size)
	for int64(len(buf)) <= limit {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, len(buf))
		}
		n, err := r.Read(buf[len(buf):min(int64(cap(buf)), limit+1)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return result{data: buf, whole: int64(len(buf)) <= limit}
		}
		if err != nil {
			return result{err: fmt.Errorf("reading the request body ahead, after %d bytes: %w", len(buf), err)}
		}
	}
	return result{data: buf}
}

// A stream is a body whose head was read ahead.
type stream struct {
	io.Reader
	io.Closer
}

// newCopy returns a reader of its own over the whole body.
func newCopy(b []byte) io.ReadCloser {
	return io.NopCloser(bytes.NewReader(b))
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
