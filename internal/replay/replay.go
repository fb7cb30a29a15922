// Package replay gives each leg of an authentication exchange a fresh copy of
// the caller's request body, and drains the response in between.
//
// Where copies come from, the first that applies:
//
//   - no body (nil or http.NoBody): nothing to copy;
//   - Request.GetBody: the first leg sends Body, each later one what GetBody
//     returns;
//   - a buffer: the body is read ahead, when the first leg asks for it, and if
//     all of it is within the limit every leg reads the buffer;
//   - otherwise the first leg streams the body, what was read ahead first, and
//     there is no second one: Next says ErrNotReplayable and nothing is sent
//     short.
//
// The caller's body is closed exactly once whatever happens. Request.Body,
// GetBody and ContentLength are only read, never set: a body that is longer or
// shorter than declared reaches the transport as it is, and the transport
// judges it.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync"
)

// DefaultLimit is the most that is buffered of a body without GetBody, in
// bytes, where no other limit was chosen.
const DefaultLimit = 1 << 20

// ErrNotReplayable is wrapped by the error of a Next that has no fresh body to
// give.
var ErrNotReplayable = errors.New("request body cannot be sent again")

var errReleased = errors.New("request body was already released")

// A Body hands out the copies of one request's body. It is for one goroutine
// at a time; the readers it hands out are independent of it and of each other,
// so that a transport may go on reading one leg's body while the next leg is
// being sent.
type Body struct {
	ctx     context.Context
	limit   int64
	length  int64 // Request.ContentLength
	getBody func() (io.ReadCloser, error)

	original *onceCloser // nil when there is no body
	legs     int         // handed out so far
	owned    bool        // original is closed, or a leg will close it
	buffered bool        // buf is the whole body
	buf      []byte      // never written once buffered
	err      error       // answers every further Next
}

// New prepares the body of r. It reads nothing. limit is the size in bytes up
// to which a body without GetBody is buffered: 0 means DefaultLimit, a
// negative limit that nothing is.
//
// If the context of r is done already, New closes the body and returns the
// context's error. Otherwise the caller must call Close, in a defer.
func New(r *http.Request, limit int64) (*Body, error) {
	if limit == 0 {
		limit = DefaultLimit
	}
	limit = min(limit, math.MaxInt64-1)
	b := &Body{ctx: r.Context(), limit: limit, length: r.ContentLength, getBody: r.GetBody}
	if r.Body != nil && r.Body != http.NoBody {
		b.original = &onceCloser{ReadCloser: r.Body}
	}
	if err := b.ctx.Err(); err != nil {
		b.Close()
		return nil, fmt.Errorf("request body not read: %w", err)
	}
	return b, nil
}

// Next returns the body of the next leg, which belongs to the caller and must
// be closed, as http.Transport does with the body it is given. It is
// http.NoBody where the request has none.
//
// The first Next of a body with neither GetBody nor a ContentLength above the
// limit reads ahead, and so waits for a body that is being produced. It gives
// up when the request's context ends: the body is closed, which by the rules
// of net/http unblocks its Read, and the context's error is returned even if
// it does not. A body whose writer waits for the response first needs a
// negative limit.
//
// Errors wrap ErrNotReplayable, when there is no fresh body to be had, the
// context's error, or that of Body.Read or GetBody. There is nothing to close
// with an error.
func (b *Body) Next() (io.ReadCloser, error) {
	if b.err != nil {
		return nil, b.err
	}
	b.legs++
	switch {
	case b.original == nil:
		return http.NoBody, nil
	case b.buffered:
		return newCopy(b.buf), nil
	case b.legs > 1:
		return b.again()
	case b.getBody != nil || b.limit < 0 || b.length > b.limit:
		b.owned = true
		return b.original, nil
	}
	return b.readAhead()
}

// again is the answer to a second Next where nothing is buffered.
func (b *Body) again() (io.ReadCloser, error) {
	if b.getBody == nil {
		b.err = fmt.Errorf("%w: it has no Request.GetBody and more than the %d bytes kept of a body for another try; "+
			"set Request.GetBody, raise the limit, or authenticate preemptively", ErrNotReplayable, max(b.limit, 0))
		return nil, b.err
	}
	body, err := b.getBody()
	if err == nil && body == nil {
		err = errors.New("returned no body")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: Request.GetBody for leg %d: %w", ErrNotReplayable, b.legs, err)
	}
	return body, nil
}

// Replayable reports whether one more leg could be sent. Before the first Next
// it is true of a body that may yet turn out to be too large.
func (b *Body) Replayable() bool {
	return b.err == nil && (b.original == nil || b.buffered || b.getBody != nil || b.legs == 0)
}

// Close ends the handing out, and closes the caller's body unless that was
// done or is left to a leg: it never disturbs a reader that Next returned. It
// may be called more than once, and its error is that of closing the body.
func (b *Body) Close() error {
	if b.err == nil {
		b.err = errReleased
	}
	b.buf = nil
	if b.original == nil || b.owned {
		return nil
	}
	b.owned = true
	return b.original.Close()
}

// fail closes the caller's body and remembers err.
func (b *Body) fail(err error) error {
	b.err, b.owned = err, true
	b.original.Close()
	return err
}

// An onceCloser passes on the first Close alone. Close may run beside Read, as
// net/http asks of request bodies.
type onceCloser struct {
	io.ReadCloser
	once sync.Once
	err  error
}

func (c *onceCloser) Close() error {
	c.once.Do(func() { c.err = c.ReadCloser.Close() })
	return c.err
}
