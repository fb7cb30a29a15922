// Package replay gives each attempt of an authentication exchange a fresh copy of
// the caller's request body, and drains the response in between.
//
// Where copies come from, the first that applies:
//
//   - no body (nil or http.NoBody): nothing to copy;
//   - Request.GetBody: the first attempt sends Body, each later one what GetBody
//     returns, which may be the same reader, set back to its start;
//   - a body that can be rewound: an *os.File of a regular file is read at the
//     offset at which it stands, by every attempt for itself; any other io.Seeker is
//     set back to that offset for each attempt, and closed at the end of all;
//   - a record: the body is sent as it comes, and what has passed is kept, in
//     memory or above that in a temporary file; the next attempt sends the record and
//     goes on with the rest. With Options.Ahead all is read before the first attempt;
//   - of a body that is longer than what is kept, what one attempt began to read is
//     no other attempt's any more: Next says ErrNotReplayable. An attempt that ends without
//     having read a byte of it, as with Expect: 100-continue (RFC 9110 section
//     10.1.1), leaves it to the next one.
//
// Nothing is ever sent short. An attempt never reads what another one can still read:
// a transport goes on with a body after the response has come, so it is left a
// moment to finish, and then its attempt is cut, which ends in an error and not in an
// end of the body. So does an attempt that gets less than an earlier one has read.
//
// The caller's body is closed exactly once whatever happens. Of the request,
// Body, GetBody, ContentLength and Trailer are only read, never set: a body that
// is longer or shorter than declared reaches the transport as it is, and the
// transport judges it.
package replay

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/kerbchain/kerbchain/internal/ended"
)

// defaultLimit is Options.Limit where that is 0.
const defaultLimit = 1 << 20

// ErrNotReplayable is wrapped by the error of a Next that has no fresh body to
// give.
var ErrNotReplayable = errors.New("request body cannot be sent again")

var errReleased = errors.New("request body was already released")

// Options bound what is kept of a body.
type Options struct {
	// Limit is up to how many bytes of a body without GetBody are kept in memory:
	// 0 means 1 MiB, a negative limit that none are.
	Limit int64
	// SpillLimit is up to how many bytes of a body that exceeds Limit are kept in
	// a temporary file; up to Limit and below, there is none.
	SpillLimit int64
	// SpillDir is the folder of that file, empty for that of os.TempDir.
	SpillDir string
	// Ahead has a body without GetBody read before the first attempt, until its end or
	// beyond the limits, so that Once tells which it is.
	Ahead bool
}

// A source makes the bodies of the attempts.
type source interface {
	// open returns the body of the next attempt, which is closed once.
	open() (io.ReadCloser, error)
	// release ends the opening, once. It does not disturb an attempt that is open.
	release() error
}

// left is what can be had of a body yet.
type left struct {
	another bool // one more attempt
	any     bool // any number of attempts
	over    bool // there is more of the body than is kept
}

// A Body hands out the copies of one request's body. It is for one goroutine
// at a time; the readers it hands out may be used beside it and beside each
// other, so that a transport may go on reading one attempt's body while the next attempt
// is being sent.
type Body struct {
	r   *http.Request
	err error // answers every further Next

	src source // nil when there is no body
	// announced are the trailers, without values. The caller fills in the
	// request's own map while its body is read, which may be going on.
	announced http.Header
	gate      *gate // nil where attempts may be read at once
	most      atomic.Int64

	mu       sync.Mutex // over what GetBody of an attempt may use beside Next
	last     *attempt
	released bool
}

// New prepares the body of r. It reads nothing.
//
// If the context of r is done already, New closes the body and returns the
// context's error. Otherwise the caller must call Close, in a defer.
func New(r *http.Request, o Options) (*Body, error) {
	b := &Body{r: r}
	if r.Body != nil && r.Body != http.NoBody {
		if len(r.Trailer) > 0 {
			b.announced = make(http.Header, len(r.Trailer))
			for name := range r.Trailer {
				b.announced[name] = nil
			}
		}
		b.choose(o)
	}
	if ctx := r.Context(); ctx.Err() != nil {
		_ = b.Close() // the context says why
		return nil, ended.Because(ctx, "", nil)
	}
	return b, nil
}

// Without returns the Body of a request that has none, and which may have been sent.
func Without(r *http.Request) *Body { return &Body{r: r} }

func (b *Body) choose(o Options) {
	if b.r.GetBody != nil {
		b.src, b.gate = &getBody{original: b.r.Body, get: b.r.GetBody}, newGate()
		return
	}
	s := newRewound(b.r.Body)
	if s == nil {
		b.src = newStream(b.r, o)
		return
	}
	b.src = s
	if s.file == nil {
		b.gate = newGate()
	}
}

// Next returns a shallow copy of the request with the body of the next attempt: the
// request itself where there is none. The body belongs to the caller and must be
// closed, as http.Transport does with the body it is given. GetBody of the copy
// is set where more copies can be had, for transports that resend by themselves,
// and Trailer is a map of its own that is filled in when the body has been read.
//
// With Options.Ahead the first Next waits for a body that is being produced. It
// gives up when the request's context ends: the body is closed, which by the rules
// of net/http unblocks its Read, and the context's error is returned even if it
// does not.
//
// Errors wrap ErrNotReplayable, when there is no fresh body to be had, the
// context's error, or that of Body.Read or GetBody. There is nothing to close
// with an error.
func (b *Body) Next() (*http.Request, error) {
	if b.err != nil {
		return nil, b.err
	}
	if b.src == nil {
		return b.r, nil
	}
	out := *b.r
	out.Trailer = b.announced.Clone()
	body, err := b.open(out.Trailer)
	if err != nil {
		// A GetBody that fails may do better the next time; the rest will not.
		if _, again := b.src.(*getBody); !again {
			b.err = err
		}
		return nil, err
	}
	out.Body, out.GetBody = body, nil
	if !b.left().over {
		trailer := out.Trailer
		out.GetBody = func() (io.ReadCloser, error) { return b.open(trailer) }
	}
	return &out, nil
}

// open returns the body of an attempt, which fills in trailer at its end.
func (b *Body) open(trailer http.Header) (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.released {
		return nil, errReleased
	}
	a := &attempt{most: &b.most, gate: b.gate, done: make(chan struct{})}
	if b.gate != nil {
		if err := b.gate.take(b.r.Context(), a, b.last); err != nil {
			return nil, fmt.Errorf("request body not read: %w", err)
		}
		defer b.gate.leave()
	}
	body, err := b.src.open()
	b.last = nil
	if err != nil {
		return nil, err
	}
	_, once := b.src.(*stream)
	_, live := body.(*streamAttempt)
	switch {
	case len(b.announced) > 0:
		a.end = func() { fill(trailer, b.r.Trailer) }
	case once && !live:
		return body, nil // all in memory, and a copy of ours
	}
	a.body, b.last = body, a
	return a, nil
}

// fill copies the values of trailers that were announced.
func fill(to, from http.Header) {
	for name := range to {
		to[name] = append([]string(nil), from[name]...)
	}
}

// left tells what can be had of the body yet: of all but a stream, whatever is asked for.
func (b *Body) left() left {
	if s, ok := b.src.(*stream); ok {
		return s.left()
	}
	return left{another: true, any: true}
}

// Replayable reports whether one more attempt could be sent, as far as is known yet.
func (b *Body) Replayable() bool { return b.err == nil && b.left().another }

// Repeatable reports whether any number of attempts can be sent: whether that is the
// kind of body, or all of it is kept already.
func (b *Body) Repeatable() bool { return b.err == nil && b.left().any }

// Once reports whether the body can be sent once only, to a server that reads it:
// there is more of it than is kept. That may not be known before the body was read;
// see Options.Ahead.
func (b *Body) Once() bool { return b.left().over }

// Cut reports whether the last attempt was read in part only, and so did not reach
// the server whole. It is false where that is not known.
func (b *Body) Cut() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last != nil && b.last.cut(b.r.ContentLength)
}

// Close ends the handing out, and closes the caller's body unless that was
// done or is left to an attempt: it never disturbs a reader that Next returned. It
// may be called more than once, and its error is that of closing the body.
func (b *Body) Close() error {
	b.mu.Lock()
	again := b.released
	b.released = true
	b.mu.Unlock()
	if again || b.src == nil {
		return nil
	}
	b.err = errReleased
	return b.src.release()
}
