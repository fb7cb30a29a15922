package replay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

// A counted body counts what is done to it.
type counted struct {
	io.Reader
	reads, closes atomic.Int32
	closeErr      error
	onClose       func()
}

func (c *counted) Read(b []byte) (int, error) {
	c.reads.Add(1)
	return c.Reader.Read(b)
}

func (c *counted) Close() error {
	c.closes.Add(1)
	if c.onClose != nil {
		c.onClose()
	}
	return c.closeErr
}

func request(tb testing.TB, body io.ReadCloser) *http.Request {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, "http://a.test/", nil)
	if err != nil {
		tb.Fatal(err)
	}
	r.Body = body
	return r
}

// next returns the body of the next attempt.
func next(b *Body) (io.ReadCloser, error) {
	r, err := b.Next()
	if r == nil || err != nil {
		return nil, err
	}
	return r.Body, nil
}

// send does what a transport does: reads the body and closes it, twice.
func send(tb testing.TB, body io.ReadCloser) string {
	tb.Helper()
	b, err := io.ReadAll(body)
	if err != nil {
		tb.Fatal(err)
	}
	body.Close()
	body.Close()
	return string(b)
}

// Where all fits, each of three attempts sends the whole.
func TestReplayable(t *testing.T) {
	const text = "the whole body"
	whole := func() io.Reader { return strings.NewReader(text) }
	for name, tc := range map[string]struct {
		reader  io.Reader
		length  int64
		limit   int64
		getBody bool
		early   int32 // reads before the first attempt was read
		want    string
	}{
		"buffered":                {whole(), 0, 0, false, -1, text},
		"buffered, declared":      {whole(), int64(len(text)), 0, false, -1, text},
		"buffered, unknown":       {whole(), -1, 0, false, -1, text},
		"just the limit":          {whole(), 0, int64(len(text)), false, -1, text},
		"just the limit, known":   {whole(), int64(len(text)), int64(len(text)), false, -1, text},
		"byte by byte":            {iotest.OneByteReader(whole()), 0, 0, false, -1, text},
		"end with the last bytes": {iotest.DataErrReader(whole()), 0, int64(len(text)), false, -1, text},
		"shorter than declared":   {whole(), 100, 0, false, -1, text},
		"longer than declared":    {whole(), 3, 0, false, -1, text},
		"empty":                   {strings.NewReader(""), 0, 1, false, -1, ""},
		"largest limit":           {whole(), 0, math.MaxInt64, false, -1, text},
		"huge declared":           {whole(), math.MaxInt64 / 2, math.MaxInt64, false, -1, text},
		"larger than a chunk":     {strings.NewReader(strings.Repeat(text, 9999)), 0, 0, false, -1, strings.Repeat(text, 9999)},
		"GetBody":                 {whole(), int64(len(text)), 0, true, 0, text},
		"GetBody, small limit":    {whole(), int64(len(text)), 2, true, 0, text},
		"GetBody, no buffer":      {whole(), int64(len(text)), -1, true, 0, text},
	} {
		t.Run(name, func(t *testing.T) {
			body := &counted{Reader: tc.reader}
			r := request(t, body)
			r.ContentLength = tc.length
			var copies []*counted
			if tc.getBody {
				r.GetBody = func() (io.ReadCloser, error) {
					copies = append(copies, &counted{Reader: whole()})
					return copies[len(copies)-1], nil
				}
			}
			b, err := New(r, Options{Limit: tc.limit})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if n := body.reads.Load(); n != 0 {
				t.Errorf("read %d times before the first attempt", n)
			}
			for attempt := range 3 {
				if !b.Replayable() {
					t.Errorf("attempt %d: said not to be replayable", attempt)
				}
				again, err := next(b)
				if err != nil {
					t.Fatalf("attempt %d: %v", attempt, err)
				}
				if n := body.reads.Load(); attempt == 0 && tc.early >= 0 && n != tc.early {
					t.Errorf("read %d times before the attempt was sent", n)
				}
				if got := send(t, again); got != tc.want {
					t.Errorf("attempt %d sent %d bytes, want %d", attempt, len(got), len(tc.want))
				}
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if n := body.closes.Load(); n != 1 {
				t.Errorf("closed %d times", n)
			}
			if want := map[bool]int{true: 2}[tc.getBody]; len(copies) != want {
				t.Errorf("%d copies, want %d", len(copies), want)
			}
			if r.ContentLength != tc.length || r.Body != io.ReadCloser(body) || (r.GetBody != nil) != tc.getBody {
				t.Error("the request was changed")
			}
		})
	}
}

func TestNoBody(t *testing.T) {
	for name, body := range map[string]io.ReadCloser{"nil": nil, "NoBody": http.NoBody} {
		t.Run(name, func(t *testing.T) {
			b, err := New(request(t, body), Options{})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if again, err := next(b); err != nil || again != body || !b.Replayable() {
					t.Fatalf("%v, %v", again, err)
				}
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What does not fit is sent whole once, and never short.
func TestNotReplayable(t *testing.T) {
	text := strings.Repeat("0123456789", 1000)
	for name, tc := range map[string]struct {
		length, limit int64
		ahead         bool
	}{
		"one byte too many":    {0, int64(len(text)) - 1, true},
		"far too many":         {-1, 1, true},
		"declared too small":   {1, 10, true},
		"declared above limit": {int64(len(text)), 10, false},
		"declared wrongly":     {int64(len(text)) + 99, int64(len(text)) + 98, false},
		"no buffer":            {0, -1, false},
	} {
		t.Run(name, func(t *testing.T) {
			body := &counted{Reader: strings.NewReader(text)}
			r := request(t, body)
			r.ContentLength = tc.length
			b, err := New(r, Options{Limit: tc.limit, Ahead: tc.ahead})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			first, err := next(b)
			if err != nil {
				t.Fatal(err)
			}
			if ahead := body.reads.Load() > 0; ahead != tc.ahead {
				t.Errorf("read ahead %v, want %v", ahead, tc.ahead)
			}
			if n, err := io.ReadFull(first, make([]byte, 1)); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if b.Replayable() || !b.Once() {
				t.Error("said to be replayable")
			}
			for range 2 {
				again, err := next(b)
				if again != nil || !errors.Is(err, ErrNotReplayable) {
					t.Fatalf("second attempt: %v, %v", again, err)
				}
				for _, hint := range []string{"GetBody", "limit", "preemptively"} {
					if !strings.Contains(err.Error(), hint) {
						t.Errorf("%q does not speak of %s", err, hint)
					}
				}
			}
			b.Close()
			if n := body.closes.Load(); n != 0 {
				t.Errorf("closed %d times while an attempt has it", n)
			}
			if got := send(t, first); got != text[1:] {
				t.Errorf("sent %d bytes, want %d", len(got), len(text)-1)
			}
			if n := body.closes.Load(); n != 1 {
				t.Errorf("closed %d times", n)
			}
		})
	}
}

func TestNeverUsed(t *testing.T) {
	bad := errors.New("bad")
	body := &counted{Reader: strings.NewReader("x"), closeErr: bad}
	b, err := New(request(t, body), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != bad {
		t.Errorf("Close: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if again, err := next(b); again != nil || err == nil || b.Replayable() {
		t.Errorf("an attempt after Close: %v, %v", again, err)
	}
	if n, m := body.closes.Load(), body.reads.Load(); n != 1 || m != 0 {
		t.Errorf("closed %d times, read %d times", n, m)
	}
}

func TestContextDoneBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	body := &counted{Reader: strings.NewReader("x")}
	b, err := New(request(t, body).WithContext(ctx), Options{})
	if b != nil || !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, %v", b, err)
	}
	if n := body.closes.Load(); n != 1 {
		t.Errorf("closed %d times", n)
	}
}

// A body that produces nothing holds Next no longer than the context lives,
// whether or not Close unblocks its Read.
func TestStalledReader(t *testing.T) {
	for name, unblocks := range map[string]bool{"Close unblocks": true, "Close is ignored": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				enough := errors.New("enough")
				ctx, cancel := context.WithTimeoutCause(t.Context(), 1e9, enough)
				defer cancel()
				pr, pw := io.Pipe()
				body := &counted{Reader: io.MultiReader(strings.NewReader("head"), pr)}
				if unblocks {
					body.onClose = func() { pr.Close() }
				}
				b, err := New(request(t, body).WithContext(ctx), Options{Ahead: true})
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if again, err := next(b); again != nil || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, enough) {
						t.Fatalf("%v, %v", again, err)
					}
				}
				b.Close()
				if n := body.closes.Load(); n != 1 {
					t.Errorf("closed %d times", n)
				}
				pw.Close()
			})
		})
	}
}

func TestReadAheadFails(t *testing.T) {
	bad := errors.New("disk on fire")
	for name, tc := range map[string]struct {
		reader io.Reader
		want   error
	}{
		"at once":       {iotest.ErrReader(bad), bad},
		"in the middle": {io.MultiReader(strings.NewReader("some"), iotest.ErrReader(bad)), bad},
		"no progress":   {readerFunc(func([]byte) (int, error) { return 0, nil }), io.ErrNoProgress},
	} {
		t.Run(name, func(t *testing.T) {
			for _, ctx := range []context.Context{t.Context(), context.Background()} {
				body := &counted{Reader: tc.reader}
				b, err := New(request(t, body).WithContext(ctx), Options{Ahead: true})
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if again, err := next(b); again != nil || !errors.Is(err, tc.want) {
						t.Fatalf("%v, %v", again, err)
					}
				}
				b.Close()
				if n := body.closes.Load(); n != 1 {
					t.Errorf("closed %d times", n)
				}
			}
		})
	}
	body := &counted{Reader: readerFunc(func(b []byte) (int, error) { return len(b) + 1, nil })}
	b, err := New(request(t, body), Options{Ahead: true})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := next(b); again != nil || err == nil || !strings.Contains(err.Error(), "count") {
		t.Errorf("a count beyond the buffer: %v, %v", again, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// Past the head that was read ahead, an error of the body is the transport's.
func TestStreamErrorPassesOn(t *testing.T) {
	bad := errors.New("bad")
	body := &counted{Reader: io.MultiReader(strings.NewReader("0123456789"), iotest.ErrReader(bad))}
	b, err := New(request(t, body), Options{Limit: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	again, err := next(b)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got, err := io.ReadAll(again); string(got) != "0123456789" || err != bad {
		t.Errorf("%q, %v", got, err)
	}
}

func TestGetBodyFails(t *testing.T) {
	bad := errors.New("file is gone")
	for name, tc := range map[string]struct {
		getBody func() (io.ReadCloser, error)
		want    error
	}{
		"error":   {func() (io.ReadCloser, error) { return nil, bad }, bad},
		"nothing": {func() (io.ReadCloser, error) { return nil, nil }, ErrNotReplayable},
	} {
		t.Run(name, func(t *testing.T) {
			body := &counted{Reader: strings.NewReader("x")}
			r := request(t, body)
			r.GetBody = tc.getBody
			b, err := New(r, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			first, err := next(b)
			if err != nil {
				t.Fatal(err)
			}
			if got := send(t, first); got != "x" {
				t.Errorf("first attempt sent %q", got)
			}
			again, err := next(b)
			if again != nil || !errors.Is(err, ErrNotReplayable) || !errors.Is(err, tc.want) || !strings.Contains(err.Error(), "attempt 2") {
				t.Errorf("%v, %v", again, err)
			}
			if n := body.closes.Load(); n != 1 {
				t.Errorf("closed %d times", n)
			}
		})
	}
}

// A transport may go on reading one attempt's body while the next is sent.
func TestLegsAtOnce(t *testing.T) {
	text := bytes.Repeat([]byte("abcdefgh"), 10000)
	body := &counted{Reader: iotest.HalfReader(bytes.NewReader(text))}
	b, err := New(request(t, body), Options{Ahead: true})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		again, err := next(b)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			got, err := io.ReadAll(iotest.OneByteReader(again))
			if err != nil || !bytes.Equal(got, text) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			again.Close()
		})
	}
	b.Close()
	wg.Wait()
	if n := body.closes.Load(); n != 1 {
		t.Errorf("closed %d times", n)
	}
}

// The one attempt of a streamed body is closed by its transport while the stage
// asks for another and leaves.
func TestStreamWhileReleased(t *testing.T) {
	body := &counted{Reader: strings.NewReader(strings.Repeat("x", 1<<16))}
	b, err := New(request(t, body), Options{Limit: 16})
	if err != nil {
		t.Fatal(err)
	}
	again, err := next(b)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := again.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { again.Close() })
	}
	wg.Go(func() { io.Copy(io.Discard, again) })
	if _, err := next(b); !errors.Is(err, ErrNotReplayable) {
		t.Error(err)
	}
	b.Close()
	wg.Wait()
	if n := body.closes.Load(); n != 1 {
		t.Errorf("closed %d times", n)
	}
}
