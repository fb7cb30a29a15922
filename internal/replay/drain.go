package replay

import (
	"io"
	"math"
)

// Drain reads body to its end, so that the connection it came on can be used
// again, but reads no more than limit bytes, and closes it in every case. A
// nil body counts as complete.
//
// complete tells that the end was reached. An error of reading is returned
// with complete false; if all was read, the error is that of Close. Waiting
// for bytes ends with the context of the request that the body answers.
func Drain(body io.ReadCloser, limit int64) (complete bool, err error) {
	if body == nil {
		return true, nil
	}
	limit = min(max(limit, 0), math.MaxInt64-1)
	// One byte more tells a body of just that size from a longer one.
	n, err := io.Copy(io.Discard, io.LimitReader(&progress{r: body}, limit+1))
	closed := body.Close()
	if err != nil {
		return false, err
	}
	if n > limit {
		return false, nil
	}
	return true, closed
}
