package replay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/panics"
)

// stream is a body that can be read once. What passes is kept as far as the limits
// allow, so that another attempt can send that again and then go on with the rest.
type stream struct {
	ctx    context.Context // of the request; net/http waits for a Read even after that
	body   *progress
	ahead  bool // to be read before the first attempt
	closer io.Closer
	once   sync.Once // of closer
	closed error     // what closer said

	mu       sync.Mutex
	kept     record
	err      error          // what ended the body, io.EOF or another; nil before
	over     bool           // the body is closed
	reading  chan struct{}  // closed when the Read under way is through; nil for none
	cur      *streamAttempt // the attempt that has the body
	attempts int            // that are open
	touched  bool           // an attempt has read
	released bool
}

func newStream(r *http.Request, o Options) *stream {
	return &stream{
		ctx: r.Context(), body: &progress{r: r.Body}, closer: r.Body,
		ahead: o.Ahead, kept: newRecord(o, r.ContentLength),
	}
}

func (s *stream) left() left {
	s.mu.Lock()
	defer s.mu.Unlock()
	return left{another: s.refusal() == nil, any: s.complete(), over: s.kept.over}
}

// complete reports whether all of it is kept. The caller holds mu.
func (s *stream) complete() bool { return s.err == io.EOF && !s.kept.over }

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

func (s *stream) open() (io.ReadCloser, error) {
	if s.ahead {
		s.ahead = false
		if err := s.fill(); err != nil {
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
	if s.cur != nil && !s.cur.closed {
		close(s.cur.done)
	}
	s.cur = &streamAttempt{s: s, done: make(chan struct{})}
	s.attempts++
	return s.cur, nil
}

// fill reads until all is kept, or more than can be.
func (s *stream) fill() error {
	for {
		s.mu.Lock()
		full, err, n := s.err != nil || !s.fetch(), s.err, s.kept.size()
		reading := s.reading
		s.mu.Unlock()
		switch {
		case err != nil && err != io.EOF:
			return fmt.Errorf("reading the request body ahead, after %d bytes: %w", n, err)
		case full:
			return nil
		}
		select {
		case <-reading:
		case <-s.ctx.Done():
			_ = s.shut() // the context says why
			return ended.Because(s.ctx, "reading the request body ahead", nil)
		}
	}
}

// fetch sees to it that a Read is under way, in a goroutine of its own: an attempt that
// is closed or loses the body must not wait for whoever produces it, and what the
// Read brings must not be lost with the attempt. It reports whether there is one; there
// is none where nothing more can be kept. The caller holds mu.
func (s *stream) fetch() bool {
	if s.reading != nil {
		return true
	}
	buf := s.kept.room()
	if buf == nil {
		return false
	}
	reading := make(chan struct{})
	s.reading = reading
	go func() {
		defer close(reading)
		n, err := s.read(buf)
		s.mu.Lock()
		s.reading = nil
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

// read begins no Read of a body that is closed by now.
func (s *stream) read(p []byte) (n int, err error) {
	defer panics.Into(&err)
	s.mu.Lock()
	over := s.over
	s.mu.Unlock()
	if over {
		return 0, errClosed
	}
	return s.body.Read(p)
}

// shut closes the body, of which no Read begins any more. One that is about to, or
// returns at once, is waited for: whoever made the body need not expect it to be
// read once it is closed. One that waits for its producer is ended by closing.
func (s *stream) shut() error {
	s.mu.Lock()
	s.over = true
	reading := s.reading
	s.mu.Unlock()
	if reading != nil {
		select {
		case <-reading:
		case <-time.After(beforeClose):
		}
	}
	s.once.Do(func() {
		defer panics.Into(&s.closed) // in a goroutine of ours, as a rule
		s.closed = s.closer.Close()
	})
	return s.closed
}

// unlocked calls f without mu, which the caller holds before and after, however f ends.
func (s *stream) unlocked(f func()) {
	s.mu.Unlock()
	defer s.mu.Lock()
	f()
}

// beforeClose is how long a Read that is under way holds up closing.
const beforeClose = 20 * time.Millisecond

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
	done chan struct{} // closed when it is not to wait any more
	// Under s.mu:
	pos    int64
	closed bool
}

func (a *streamAttempt) Read(p []byte) (int, error) {
	s := a.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case a.closed:
			return 0, errClosed
		case s.cur != a && !s.complete():
			return 0, errPassed
		case a.pos < s.kept.size():
			s.touched = true
			n, err := s.kept.readAt(p, a.pos)
			a.pos += int64(n)
			return n, err
		case s.ctx.Err() != nil:
			s.unlocked(func() { _ = s.shut() }) // the context says why
			return 0, ended.Because(s.ctx, "reading the request body", nil)
		case s.err != nil:
			return 0, s.err
		}
		s.touched = true
		if !s.fetch() {
			return a.readAlone(p)
		}
		reading := s.reading
		s.mu.Unlock()
		select {
		case <-reading:
		case <-a.done:
		case <-s.ctx.Done():
		}
		s.mu.Lock()
	}
}

// readAlone reads what cannot be kept, from where on the body is this attempt's alone.
// The caller holds s.mu, which is not held while it reads.
func (a *streamAttempt) readAlone(p []byte) (int, error) {
	s := a.s
	s.kept.drop()
	reading := make(chan struct{})
	s.reading = reading
	s.mu.Unlock()
	// By the rules of net/http this ends a Read.
	stop := context.AfterFunc(s.ctx, func() { _ = s.shut() })
	defer func() {
		stop()
		s.mu.Lock()
		s.reading = nil
		close(reading)
	}()
	return s.read(p)
}

// Close leaves what another attempt could send to that, until there can be none.
func (a *streamAttempt) Close() error {
	s := a.s
	s.mu.Lock()
	a.closed = true
	if s.cur == a {
		close(a.done)
	}
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
