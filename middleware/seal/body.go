package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/panics"
	"github.com/kerbchain/kerbchain/middleware"
)

// readBody reads the body of r whole and closes it. It waits no longer than the
// context of r lives; by the rules of net/http, closing a body ends a Read of it.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	// What is closed has been read, or is of no more use.
	defer func() { _ = r.Body.Close() }()
	ctx := r.Context()
	if ctx.Err() != nil {
		return nil, ended.Because(ctx, "seal: reading the request", nil)
	}
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		var res result
		defer func() { done <- res }()
		defer panics.Into(&res.err)
		res.b, res.err = readAll(r.Body, r.ContentLength, limit)
	}()
	var res result
	select {
	case res = <-done:
	case <-ctx.Done():
		return nil, ended.Because(ctx, "seal: reading the request", nil)
	}
	switch {
	case errors.Is(res.err, errTooLong):
		return nil, &middleware.Error{
			Stage: name, Kind: middleware.ErrConfiguration, Host: host(r),
			Err: fmt.Errorf("request of more than %d bytes", limit), Hint: "raise Options.MaxBody",
		}
	case res.err != nil:
		return nil, fmt.Errorf("seal: reading the request: %w", res.err)
	case r.ContentLength > 0 && r.ContentLength != int64(len(res.b)):
		return nil, fmt.Errorf("seal: the request's ContentLength is %d, and its body has %d bytes", r.ContentLength, len(res.b))
	}
	return res.b, nil
}

var errTooLong = errors.New("too long")

// firstChunk is what a peer can make us allocate by a promise.
const firstChunk = 1 << 20

// readAll reads up to limit bytes.
func readAll(r io.Reader, length, limit int64) ([]byte, error) {
	if length > limit {
		return nil, errTooLong
	}
	var b bytes.Buffer
	// ReadFrom wants room for the end as well.
	b.Grow(int(min(max(length, 0), firstChunk)) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(r, limit+1)); err != nil {
		return nil, err
	}
	if int64(b.Len()) > limit {
		return nil, errTooLong
	}
	return b.Bytes(), nil
}

// readAnswer reads the body of resp whole and closes it.
func readAnswer(resp *http.Response, limit int64) ([]byte, error) {
	if resp.Body == nil {
		return nil, nil
	}
	defer closeAnswer(resp)
	return readAll(resp.Body, resp.ContentLength, limit)
}

func newReader(b []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }

// closeRequest closes the body of a request that is not sent.
func closeRequest(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close() // nothing of it is used
	}
}

// closeAnswer closes the body of an answer of which nothing is used.
func closeAnswer(resp *http.Response) {
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
}

// host returns the address that r names.
func host(r *http.Request) string { return middleware.TargetOfURL(r.URL).HostPort() }
