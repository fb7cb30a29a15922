package replay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// getBody is a body of which the caller makes copies. Many make none: they set the
// one reader back and return it (go-retryablehttp, azcore, ConnectRPC), and it
// cannot be told from here. So while one attempt can read, GetBody is not called.
type getBody struct {
	original io.ReadCloser // the first attempt's, who closes it
	get      func() (io.ReadCloser, error)
	attempts int
}

func (s *getBody) open() (io.ReadCloser, error) {
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
	return body, nil
}

func (s *getBody) release() error {
	if s.attempts > 0 {
		return nil
	}
	return s.original.Close()
}

// rewound is a body that every attempt reads from where it stood at first: a file by
// readers of their own, anything else by setting it back. It is closed when whoever
// holds it has let go: each attempt, and the Body.
type rewound struct {
	body     io.ReadSeekCloser
	file     *os.File // body, nil if it is none
	start    int64
	attempts int
	holders  atomic.Int32
}

// newRewound returns nil for a body that cannot tell where it is, or, as a pipe, not be
// set back.
func newRewound(of io.ReadCloser) *rewound {
	body, ok := of.(io.ReadSeekCloser)
	if !ok {
		return nil
	}
	file, ok := body.(*os.File)
	if ok {
		if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
			return nil
		}
	}
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil
	}
	s := &rewound{body: body, file: file, start: start}
	s.holders.Store(1)
	return s
}

func (s *rewound) open() (io.ReadCloser, error) {
	s.attempts++
	var r io.Reader = s.body
	if s.file != nil {
		r = &offsetReader{s.file, s.start}
	} else if s.attempts > 1 {
		if _, err := s.body.Seek(s.start, io.SeekStart); err != nil {
			return nil, fmt.Errorf("%w: going back to its beginning for attempt %d: %w", ErrNotReplayable, s.attempts, err)
		}
	}
	s.holders.Add(1)
	return holder{r, s}, nil
}

func (s *rewound) release() error {
	if s.holders.Add(-1) > 0 {
		return nil
	}
	return s.body.Close()
}

// A holder reads from a rewound body, and lets go of it when it is closed.
type holder struct {
	io.Reader
	of *rewound
}

func (h holder) Close() error { return h.of.release() }

// An offsetReader reads on from an offset to wherever the end is by then.
type offsetReader struct {
	file   *os.File
	offset int64
}

func (r *offsetReader) Read(p []byte) (int, error) {
	n, err := r.file.ReadAt(p, r.offset)
	r.offset += int64(n)
	if n > 0 && err == io.EOF {
		err = nil // it may not be the end the next time
	}
	return n, err
}
