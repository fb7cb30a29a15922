package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// getBody is a body of which the caller makes copies. Many make none: they set the
// one reader back and return it (go-retryablehttp, azcore, ConnectRPC), and it
// cannot be told from here. So while one attempt can read, GetBody is not called.
type getBody struct {
	original *onceCloser
	get      func() (io.ReadCloser, error)
	attempts int
}

func (s *getBody) replayable() bool { return true }
func (s *getBody) shares() bool     { return true }

func (s *getBody) open(context.Context) (io.ReadCloser, error) {
	s.attempts++
	if s.attempts == 1 {
		return s.original, nil
	}
	body, err := s.get()
	if err == nil && body == nil {
		err = errors.New("returned no body")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: Request.GetBody for attempt %d: %w", ErrNotReplayable, s.attempts, err)
	}
	return &onceCloser{ReadCloser: body}, nil
}

func (s *getBody) release() error {
	if s.attempts > 0 {
		return nil
	}
	s.attempts++
	return s.original.Close()
}

// A shared is what is closed when the last of its holders has let go.
type shared struct {
	mu     sync.Mutex
	refs   int
	closer func() error
}

// newShared has one holder.
func newShared(closer func() error) *shared { return &shared{refs: 1, closer: closer} }

func (s *shared) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refs++
}

func (s *shared) letGo() error {
	s.mu.Lock()
	s.refs--
	last := s.refs == 0
	s.mu.Unlock()
	if last {
		return s.closer()
	}
	return nil
}

// A holder reads from something shared.
type holder struct {
	io.Reader
	s    *shared
	once sync.Once
	err  error
}

func (s *shared) reader(r io.Reader) *holder {
	s.hold()
	return &holder{Reader: r, s: s}
}

func (h *holder) Close() error {
	h.once.Do(func() { h.err = h.s.letGo() })
	return h.err
}

// seeker is a body that is set back to where it began.
type seeker struct {
	r        io.Reader
	seek     func(offset int64, whence int) (int64, error)
	start    int64
	attempts int
	*shared
}

// newSeeker returns nil if body cannot tell where it is.
func newSeeker(body io.Seeker, original *onceCloser) source {
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil
	}
	return &seeker{r: original, seek: body.Seek, start: start, shared: newShared(original.Close)}
}

func (s *seeker) replayable() bool { return true }
func (s *seeker) shares() bool     { return true }
func (s *seeker) release() error   { return s.letGo() }

func (s *seeker) open(context.Context) (io.ReadCloser, error) {
	if s.attempts++; s.attempts > 1 {
		if _, err := s.seek(s.start, io.SeekStart); err != nil {
			return nil, fmt.Errorf("%w: going back to its beginning for attempt %d: %w", ErrNotReplayable, s.attempts, err)
		}
	}
	return s.reader(s.r), nil
}

// file is a body that every attempt reads for itself.
type file struct {
	at    io.ReaderAt
	start int64
	*shared
}

// newFile returns nil for what is no regular file, such as a pipe.
func newFile(f *os.File, original *onceCloser) source {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	start, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil
	}
	return &file{at: f, start: start, shared: newShared(original.Close)}
}

func (s *file) replayable() bool { return true }
func (s *file) shares() bool     { return false }
func (s *file) release() error   { return s.letGo() }

func (s *file) open(context.Context) (io.ReadCloser, error) {
	return s.reader(&offsetReader{s.at, s.start}), nil
}

// An offsetReader reads on from an offset to wherever the end is by then.
type offsetReader struct {
	at     io.ReaderAt
	offset int64
}

func (r *offsetReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.at.ReadAt(p, r.offset)
	r.offset += int64(n)
	if n > 0 && err == io.EOF {
		err = nil // it may not be the end the next time
	}
	return n, err
}
