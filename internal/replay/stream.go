package replay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/panics"
)

// stream is a body that can be read once. What passes is kept as far as the limits
// allow, so that another attempt can send that again and then go on with the rest.
type stream struct {
	original *onceCloser
	in       io.Reader // original, but for one that returns nothing for ever
	ahead    bool      // to be read before the first attempt

	mu       sync.Mutex
	kept     record
	err      error          // what ended the body, io.EOF or another; nil before
	over     bool           // the body is closed
	reading  chan struct{}  // like fetching, for an attempt that has the body for itself
	fetching chan struct{}  // closed when the Read under way is through; nil for none
	cur      *streamAttempt // the attempt that has the body
	attempts int            // that are open
	touched  bool           // an attempt has read
	released bool
}

func newStream(original *onceCloser, o Options, length int64) *stream {
	return &stream{original: original, in: &progress{r: original}, ahead: o.Ahead, kept: newRecord(o, length)}
}

func (s *stream) shares() bool { return false }

// replayable reports whether all of it is kept.
func (s *stream) replayable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.complete()
}

// complete is replayable for those who hold mu.
func (s *stream) complete() bool { return s.err == io.EOF && !s.kept.over }

// repeats reports whether another attempt can be had, and whether so far that is due
// to what is kept, and not to nothing having been read.
func (s *stream) repeats() (again, kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusal() == nil, !s.kept.over
}

// refusal is why no other attempt can be had. The caller holds mu.
func (s *stream) refusal() error {
	switch {
	case s.err != nil && s.err != io.EOF:
		return fmt.Errorf("%w: reading it failed: %w", ErrNotReplayable, s.err)
	case s.kept.over && s.touched:
		return fmt.Errorf("%w: %s; set Request.GetBody, raise the limit, send Expect: 100-continue, or authenticate preemptively", ErrNotReplayable, s.kept.why())
	}
	return nil
}

func (s *stream) open(ctx context.Context) (io.ReadCloser, error) {
	if s.ahead {
		s.ahead = false
		if err := s.fill(ctx); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refusal(); err != nil {
		return nil, err
	}
	if s.complete() && s.kept.file == nil {
		// A reader of its own, of a kind that net/http knows to be in memory.
		return io.NopCloser(bytes.NewReader(s.kept.mem)), nil
	}
	if s.cur != nil {
		s.cur.wake()
	}
	s.cur = &streamAttempt{s: s, ctx: ctx, done: make(chan struct{})}
	s.attempts++
	return s.cur, nil
}

// fill reads until all is kept, or more than can be.
func (s *stream) fill(ctx context.Context) error {
	for {
		s.mu.Lock()
		full, err, n := s.err != nil || !s.fetch(), s.err, s.kept.size()
		fetching := s.fetching
		s.mu.Unlock()
		switch {
		case err != nil && err != io.EOF:
			return fmt.Errorf("reading the request body ahead, after %d bytes: %w", n, err)
		case full:
			return nil
		}
		select {
		case <-fetching:
		case <-ctx.Done():
			_ = s.shut() // the context says why
			return fmt.Errorf("reading the request body ahead: %w", ctx.Err())
		}
	}
}

// fetch sees to it that a Read is under way, in a goroutine of its own: an attempt that
// is closed or loses the body must not wait for whoever produces it, and what the
// Read brings must not be lost with the attempt. It reports whether there is one; there
// is none where nothing more can be kept. The caller holds mu.
func (s *stream) fetch() bool {
	if s.fetching != nil {
		return true
	}
	buf := s.kept.room()
	if buf == nil {
		return false
	}
	done := make(chan struct{})
	s.fetching = done
	go func() {
		defer close(done)
		s.mu.Lock()
		over := s.over
		s.mu.Unlock()
		n, err := 0, errClosed
		if !over {
			n, err = read(s.in, buf)
		}
		s.mu.Lock()
		s.fetching = nil
		s.kept.add(buf[:n])
		s.err = err
		s.mu.Unlock()
		if err != nil {
			// The bytes are all there, or never will be: what Close has to say
			// is of no matter to the request.
			_ = s.shut()
		}
	}()
	return true
}

// shut closes the body, of which no Read begins any more. One that is about to, or
// returns at once, is waited for: whoever made the body need not expect it to be
// read once it is closed. One that waits for its producer is ended by closing.
func (s *stream) shut() error {
	s.mu.Lock()
	s.over = true
	under := []chan struct{}{s.fetching, s.reading}
	s.mu.Unlock()
	for _, read := range under {
		if read == nil {
			continue
		}
		timer := time.NewTimer(beforeClose)
		select {
		case <-read:
		case <-timer.C:
		}
		timer.Stop()
	}
	return s.original.Close()
}

// beforeClose is how long a Read that is under way holds up closing.
const beforeClose = 20 * time.Millisecond

func read(r io.Reader, p []byte) (n int, err error) {
	defer panics.Into(&err)
	return r.Read(p)
}

// release lets the attempt that has the body finish it, and keeps nothing more.
func (s *stream) release() error {
	s.mu.Lock()
	s.released = true
	if s.err == nil {
		s.kept.over = true
	}
	idle := s.err == nil && (s.cur == nil || s.cur.closed)
	s.tidy()
	s.mu.Unlock()
	if idle {
		return s.shut()
	}
	return nil
}

// tidy drops what nobody will read. The caller holds mu.
func (s *stream) tidy() {
	if s.released && s.attempts == 0 {
		s.kept.drop()
	}
}

// A streamAttempt has the stream, until it loses it to another, or closes it.
type streamAttempt struct {
	s    *stream
	ctx  context.Context // of the request, which net/http waits for a Read beyond
	once sync.Once
	done chan struct{} // closed when it is not to wait any more
	// Under s.mu:
	pos    int64
	closed bool
}

func (a *streamAttempt) wake() { a.once.Do(func() { close(a.done) }) }

func (a *streamAttempt) Read(p []byte) (int, error) {
	s := a.s
	s.mu.Lock()
	for {
		switch {
		case a.closed:
			s.mu.Unlock()
			return 0, errClosed
		case s.cur != a && !s.complete():
			s.mu.Unlock()
			return 0, errPassed
		case a.pos < s.kept.size():
			s.touched = true
			n, err := s.kept.readAt(p, a.pos)
			a.pos += int64(n)
			s.mu.Unlock()
			return n, err
		case a.ctx.Err() != nil:
			s.mu.Unlock()
			_ = s.shut() // the context says why
			return 0, ended.Because(a.ctx, "reading the request body", nil)
		case s.err != nil:
			err := s.err
			s.mu.Unlock()
			return 0, err
		}
		s.touched = true
		if !s.fetch() {
			// From here on the body is this attempt's alone.
			s.kept.drop()
			if s.over {
				s.mu.Unlock()
				return 0, errClosed
			}
			reading := make(chan struct{})
			defer close(reading)
			s.reading = reading
			s.mu.Unlock()
			// By the rules of net/http this ends a Read.
			stop := context.AfterFunc(a.ctx, func() { _ = s.shut() })
			defer stop()
			return s.in.Read(p)
		}
		fetching := s.fetching
		s.mu.Unlock()
		select {
		case <-fetching:
		case <-a.done:
		case <-a.ctx.Done():
		}
		s.mu.Lock()
	}
}

// Close leaves what another attempt could send to that, until there can be none.
func (a *streamAttempt) Close() error {
	s := a.s
	s.mu.Lock()
	if a.closed {
		s.mu.Unlock()
		return nil
	}
	a.closed = true
	a.wake()
	s.attempts--
	last := s.cur == a && s.err == nil && (s.released || s.refusal() != nil)
	s.tidy()
	s.mu.Unlock()
	if last {
		return s.shut()
	}
	return nil
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
