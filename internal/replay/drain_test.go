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
	"testing"
	"testing/iotest"
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
			complete, err := Drain(body, tc.limit)
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
	if complete, err := Drain(nil, 1); !complete || err != nil {
		t.Errorf("nil: %v, %v", complete, err)
	}
}

// A drained response gives its connection back; a body cut short does not.
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
			if complete, err := Drain(resp.Body, limit); complete != want || err != nil {
				t.Fatalf("limit %d: complete %v, %v", limit, complete, err)
			}
		}
		if reused != want {
			t.Errorf("limit %d: connection reused %v", limit, reused)
		}
	}
}
