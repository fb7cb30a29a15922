package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// stream is a body that can be sent once: by the first leg that reads from it.
type stream struct {
	original *onceCloser
	head     io.Reader // what was read before; nil for nothing
	spill    *spill    // what head reads from, nil for memory
	why      string    // it can be sent once only

	// lazy, when not nil, reads ahead when the first byte is wanted.
	lazy *ahead

	mu       sync.Mutex
	cur      *streamLeg
	touched  bool
	released bool
	filled   chan struct{} // closed when lazy has read; nil before it began
	fillErr  error

	closing  sync.Once
	closeErr error
}

func newStream(original *onceCloser, lazy *ahead, why string) *stream {
	return &stream{original: original, lazy: lazy, why: why}
}

// after puts before the stream what was read of it.
func (s *stream) after(g gathered) *stream {
	s.head, s.spill = io.MultiReader(g.reader(), s.original), g.spill
	return s
}

func (s *stream) shares() bool { return false }

// replayable reports whether all of it turned out to be kept.
func (s *stream) replayable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	inner := s.inner()
	return inner != nil && s.fillErr == nil && inner.replayable()
}

// untouched reports whether another leg could have it.
func (s *stream) untouched() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.touched
}

func (s *stream) open(ctx context.Context) (io.ReadCloser, error) {
	s.mu.Lock()
	if !s.touched {
		defer s.mu.Unlock()
		s.cur = &streamLeg{s: s}
		return s.cur, nil
	}
	filled := s.filled
	s.mu.Unlock()
	if s.lazy == nil {
		return nil, s.gone()
	}
	select {
	case <-filled:
	case <-ctx.Done():
		_ = s.original.Close() // the context says why
		return nil, fmt.Errorf("reading the request body ahead: %w", ctx.Err())
	}
	switch {
	case s.fillErr != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotReplayable, s.fillErr)
	case !s.lazy.replayable():
		return nil, s.gone()
	}
	return s.lazy.inner.open(ctx)
}

func (s *stream) gone() error {
	why := s.why
	if s.lazy != nil {
		if inner, ok := s.lazy.inner.(*stream); ok {
			why = inner.why
		}
	}
	return fmt.Errorf("%w: %s; set Request.GetBody, raise the limit, send Expect: 100-continue, or authenticate preemptively", ErrNotReplayable, why)
}

func (s *stream) release() error {
	s.mu.Lock()
	s.released = true
	inner := s.inner()
	mine := s.cur == nil || s.cur.closed
	s.mu.Unlock()
	switch {
	case inner != nil:
		return inner.release()
	case mine:
		return s.close()
	}
	return nil // the leg closes it
}

// inner returns what lazy made of the body, nil if it did not yet. The caller
// holds mu.
func (s *stream) inner() source {
	if s.lazy == nil || s.filled == nil {
		return nil
	}
	select {
	case <-s.filled:
		return s.lazy.inner
	default:
		return nil
	}
}

func (s *stream) close() error {
	s.closing.Do(func() {
		s.closeErr = s.original.Close()
		if s.spill != nil {
			s.closeErr = errors.Join(s.closeErr, s.spill.release())
		}
	})
	return s.closeErr
}

// A streamLeg has the stream, until it loses it to another, or closes it.
type streamLeg struct {
	s *stream
	// Under s.mu:
	from   io.ReadCloser // what it reads; nil before it began
	closed bool
}

func (l *streamLeg) Read(p []byte) (int, error) {
	from, err := l.begin()
	if err != nil {
		return 0, err
	}
	return from.Read(p)
}

// begin takes the stream for this leg, and finds out what to read from.
func (l *streamLeg) begin() (io.ReadCloser, error) {
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.cur != l:
		return nil, errPassed
	case l.closed:
		return nil, errClosed
	case l.from != nil:
		return l.from, nil
	case s.touched:
		return nil, s.fillErr
	}
	s.touched = true
	if s.lazy == nil {
		var r io.Reader = s.original
		if s.head != nil {
			r = s.head
		}
		l.from = closing{r, s.close}
		return l.from, nil
	}
	filled := make(chan struct{})
	s.filled = filled
	s.mu.Unlock()
	// Whoever wants to end the reading closes the body.
	g, err := s.lazy.gather()
	s.mu.Lock()
	defer close(filled)
	if err != nil {
		s.fillErr = err
		return nil, err
	}
	s.lazy.inner = s.lazy.settle(g)
	l.from, err = s.lazy.inner.open(context.Background())
	s.fillErr = err
	if s.released {
		err = errors.Join(err, s.lazy.inner.release())
	}
	if l.closed && l.from != nil {
		err = errors.Join(err, errClosed, l.from.Close())
	}
	return l.from, err
}

// Close leaves a stream of which nothing was read to the next leg, until there
// can be none.
func (l *streamLeg) Close() error {
	s := l.s
	s.mu.Lock()
	if l.closed {
		s.mu.Unlock()
		return nil
	}
	l.closed = true
	from := l.from
	mine := s.cur == l && (s.touched || s.released)
	s.mu.Unlock()
	switch {
	case from != nil:
		return from.Close()
	case mine:
		return s.close()
	}
	return nil
}

// closing is a reader with a Close of its own.
type closing struct {
	io.Reader
	close func() error
}

func (c closing) Close() error { return c.close() }
