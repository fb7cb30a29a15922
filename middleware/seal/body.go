package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/panics"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// readBody reads the body of r whole and closes it. It waits no longer than the
// context of r lives; by the rules of net/http, closing a body ends a Read of it.
// What it returns must be released.
func (s *session) readBody(r *http.Request) (*bytes.Buffer, error) {
	b, ok := s.bodies.Get().(*bytes.Buffer)
	if !ok {
		b = new(bytes.Buffer)
	}
	if !stage.HasBody(r) {
		return b, nil
	}
	defer stage.CloseRequest(r)
	ctx := r.Context()
	err := ctx.Err()
	if err == nil {
		err = s.fill(b, r)
	}
	if err != nil && ctx.Err() != nil {
		return nil, ended.Because(ctx, "seal: reading the request", nil) // b may still be filled
	}
	switch {
	case errors.Is(err, errTooLong):
		err = &middleware.Error{
			Stage: name, Kind: middleware.ErrConfiguration, Host: stage.Host(r),
			Err: fmt.Errorf("request of more than %d bytes", s.MaxBody), Hint: "raise Options.MaxBody",
		}
	case err != nil:
		err = fmt.Errorf("seal: reading the request: %w", err)
	case r.ContentLength > 0 && r.ContentLength != int64(b.Len()):
		err = fmt.Errorf("seal: the request's ContentLength is %d, and its body has %d bytes", r.ContentLength, b.Len())
	}
	if err != nil {
		s.release(b)
		return nil, err
	}
	return b, nil
}

// fill reads the body of r into b. It leaves a Read that waits when the context of r
// ends, and then b must not be used.
func (s *session) fill(b *bytes.Buffer, r *http.Request) (err error) {
	if r.Context().Done() == nil {
		defer panics.Into(&err)
		return readAll(b, r.Body, r.ContentLength, s.MaxBody)
	}
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() { done <- err }()
		defer panics.Into(&err)
		err = readAll(b, r.Body, r.ContentLength, s.MaxBody)
	}()
	select {
	case err := <-done:
		return err
	case <-r.Context().Done():
		return r.Context().Err()
	}
}

// maxSpare is how much memory of one body is kept for the next at most.
const maxSpare = 1 << 20

// release wipes a body, and keeps its memory for the next.
func (s *session) release(b *bytes.Buffer) {
	clear(b.Bytes())
	b.Reset()
	if b.Cap() <= maxSpare {
		s.bodies.Put(b)
	}
}

var errTooLong = errors.New("too long")

// firstChunk bounds the memory that is allocated for a body because of its ContentLength
// alone.
const firstChunk = 1 << 20

// readAll reads up to limit bytes into b.
func readAll(b *bytes.Buffer, r io.Reader, length, limit int64) error {
	if length > limit {
		return errTooLong
	}
	// ReadFrom wants room for the end as well.
	b.Grow(int(min(max(length, 0), firstChunk)) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(r, limit+1)); err != nil {
		return err
	}
	if int64(b.Len()) > limit {
		return errTooLong
	}
	return nil
}

// readAnswer reads the body of resp whole and closes it.
func readAnswer(resp *http.Response, limit int64) ([]byte, error) {
	if resp.Body == nil {
		return nil, nil
	}
	defer stage.CloseResponse(resp)
	var b bytes.Buffer
	err := readAll(&b, resp.Body, resp.ContentLength, limit)
	return b.Bytes(), err
}

func newReader(b []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }
