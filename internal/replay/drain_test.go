package replay

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func TestDrain(t *testing.T) {
	bad := errors.New("bad")
	text := func() io.Reader { return strings.NewReader("0123456789") }
	for name, tc := range map[string]struct {
		reader   io.Reader
		limit    int64
		closeErr error
		complete bool
		err      error
		left     int64
	}{
		"all":              {text(), 100, nil, true, nil, 0},
		"just the limit":   {text(), 10, nil, true, nil, 0},
		"one too many":     {text(), 9, nil, false, nil, 0},
		"bounded":          {text(), 4, nil, false, nil, 5},
		"nothing allowed":  {text(), 0, nil, false, nil, 9},
		"below nothing":    {text(), -5, nil, false, nil, 9},
		"nothing there":    {strings.NewReader(""), 0, nil, true, nil, 0},
		"largest limit":    {text(), math.MaxInt64, nil, true, nil, 0},
		"read error":       {iotest.ErrReader(bad), 10, nil, false, bad, 0},
		"close error":      {text(), 10, bad, true, bad, 0},
		"no progress":      {readerFunc(func([]byte) (int, error) { return 0, nil }), 10, nil, false, io.ErrNoProgress, 0},
		"cut close, error": {text(), 4, bad, false, nil, 5},
	} {
		t.Run(name, func(t *testing.T) {
			body := &counted{Reader: tc.reader, closeErr: tc.closeErr}
			complete, err := Drain(&http.Response{Body: body}, tc.limit, time.Minute)
			if complete != tc.complete || !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Errorf("%v, %v, want %v, %v", complete, err, tc.complete, tc.err)
			}
			if n := body.closes.Load(); n != 1 {
				t.Errorf("closed %d times", n)
			}
			if tc.err == nil {
				if left, _ := io.Copy(io.Discard, tc.reader); left != tc.left {
					t.Errorf("%d bytes left unread, want %d", left, tc.left)
				}
			}
		})
	}
	if complete, err := Drain(new(http.Response), 1, time.Minute); !complete || err != nil {
		t.Errorf("nil: %v, %v", complete, err)
	}
}

// Without a bound in time it is the same.
func TestDrainWithoutPatience(t *testing.T) {
	bad := errors.New("bad")
	for name, tc := range map[string]struct {
		text          string
		limit         int64
		complete      bool
		closeErr, err error
	}{
		"all":         {"0123", 4, true, nil, nil},
		"cut":         {"0123", 3, false, nil, nil},
		"close error": {"0123", 4, true, bad, bad},
		"both":        {"0123", 3, false, bad, nil},
	} {
		t.Run(name, func(t *testing.T) {
			body := &counted{Reader: strings.NewReader(tc.text), closeErr: tc.closeErr}
			complete, err := Drain(&http.Response{Body: body}, tc.limit, 0)
			if n := body.closes.Load(); complete != tc.complete || !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) || n != 1 {
				t.Errorf("%v, %v, closed %d times", complete, err, n)
			}
		})
	}
}

// A body that drips is given up when the time is over, whether its Read heeds
// Close or not; one that is at its end by then is not.
func TestDrainHasAnEnd(t *testing.T) {
	for name, heeds := range map[string]bool{"heeds Close": true, "does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				closed, over := make(chan struct{}), make(chan struct{})
				reader := readerFunc(func(p []byte) (int, error) {
					if heeds {
						select {
						case <-closed:
							return 0, http.ErrBodyReadAfterClose
						case <-time.After(100 * time.Millisecond):
						}
						return copy(p, "x"), nil
					}
					<-over
					return 0, io.EOF
				})
				body := &counted{Reader: reader, onClose: sync.OnceFunc(func() { close(closed) })}
				began := time.Now()
				complete, err := Drain(&http.Response{Body: body}, 1<<20, time.Second)
				if took := time.Since(began); complete || err != nil || took != time.Second || body.closes.Load() != 1 {
					t.Errorf("%v, %v, after %v, closed %d times", complete, err, took, body.closes.Load())
				}
				close(over)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		drips := 0
		body := &counted{Reader: readerFunc(func(p []byte) (int, error) {
			if drips++; drips > 9 {
				return 0, io.EOF
			}
			time.Sleep(100 * time.Millisecond)
			return copy(p, "x"), nil
		})}
		if complete, err := Drain(&http.Response{Body: body}, 1<<20, time.Second); !complete || err != nil {
			t.Errorf("in time: %v, %v", complete, err)
		}
		drips = -100
		if complete, err := Drain(&http.Response{Body: body}, 1<<20, -1); !complete || err != nil {
			t.Errorf("no bound: %v, %v", complete, err)
		}
	})
}

// A connection that ends with the response is not worth a byte, however the
// body's end is told.
func TestDrainOfTheLast(t *testing.T) {
	read := false
	body := &counted{Reader: readerFunc(func([]byte) (int, error) {
		read = true
		return 0, io.EOF
	})}
	complete, err := Drain(&http.Response{Body: body, Close: true, ContentLength: -1}, 1<<20, 0)
	if complete || err != nil || read || body.closes.Load() != 1 {
		t.Errorf("%v, %v, read %v, closed %d times", complete, err, read, body.closes.Load())
	}
}

// A drained response gives its connection back. Of a body that is cut short net/http may
// read on by itself, as it does from Go 1.27 on.
func TestDrainKeepsConnection(t *testing.T) {
	const size = 512 << 10
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		for range 8 {
			fmt.Fprint(w, strings.Repeat("x", size/8))
		}
	}))
	defer srv.Close()
	for limit, want := range map[int64]bool{size: true, size / 2: false} {
		tr := &http.Transport{}
		defer tr.CloseIdleConnections()
		var reused bool
		for range 2 {
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused },
			})
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			if complete, err := Drain(resp, limit, time.Minute); complete != want || err != nil {
				t.Fatalf("limit %d: complete %v, %v", limit, complete, err)
			}
		}
		if want && !reused {
			t.Errorf("limit %d: another connection", limit)
		}
	}
}
