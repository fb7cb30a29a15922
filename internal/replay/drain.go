package replay

import (
	"io"
	"math"
	"net/http"
	"time"

	"github.com/kerbchain/kerbchain/internal/panics"
)

// DefaultDrainTime is how long a body is drained where no other time was chosen.
// Another connection costs a round trip or two, so that there is no gain in
// waiting longer for the rest of a body.
const DefaultDrainTime = 500 * time.Millisecond

// Drain reads the body of resp to its end, so that the connection it came on can
// be used again, and closes it in every case. It reads no more than limit bytes,
// and no longer than atMost, where that is above 0. What is not at its end by
// then is closed: net/http ends the connection, or from Go 1.27 on reads on for a
// moment, while the next request takes another. Of a response after which the server
// closes the connection (resp.Close) nothing is read. A nil body counts as
// complete.
//
// complete tells that the end was reached. An error of reading is returned
// with complete false; if all was read, the error is that of Close. Waiting
// for bytes ends with the context of the request that the body answers.
func Drain(resp *http.Response, limit int64, atMost time.Duration) (complete bool, err error) {
	body := resp.Body
	switch {
	case body == nil:
		return true, nil
	case resp.Close:
		_ = body.Close() // nothing depends on it
		return false, nil
	case body == http.NoBody, atMost <= 0:
		complete, err = toEnd(body, limit)
	default:
		complete, err = toEndWithin(body, limit, atMost)
	}
	if closed := body.Close(); complete {
		err = closed
	}
	return complete, err
}

// toEndWithin is toEnd for a body that may keep us waiting. Closing ends a Read of
// net/http that is under way when it returns.
func toEndWithin(body io.Reader, limit int64, atMost time.Duration) (bool, error) {
	done := make(chan struct{})
	var complete bool
	var err error
	go func() {
		defer close(done)
		defer panics.Into(&err)
		complete, err = toEnd(body, limit)
	}()
	late := time.NewTimer(atMost)
	defer late.Stop()
	select {
	case <-done:
		return complete, err
	case <-late.C:
		return false, nil
	}
}

// toEnd reads up to limit bytes, and reports whether that was all.
func toEnd(body io.Reader, limit int64) (bool, error) {
	limit = min(max(limit, 0), math.MaxInt64-1)
	// One byte more tells a body of just that size from a longer one.
	n, err := io.Copy(io.Discard, io.LimitReader(&progress{r: body}, limit+1))
	return err == nil && n <= limit, err
}
