package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// bodies are the kinds of them, each of which says text.
func bodies(tb testing.TB, text string) map[string]*http.Request {
	tb.Helper()
	out := map[string]*http.Request{"stream": request(tb, &counted{Reader: strings.NewReader(text)})}
	out["GetBody"] = request(tb, &counted{Reader: strings.NewReader(text)})
	out["GetBody"].GetBody = func() (io.ReadCloser, error) { return &counted{Reader: strings.NewReader(text)}, nil }
	out["seeker"] = request(tb, newSeekable(text))
	f, err := os.CreateTemp(tb.TempDir(), "")
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	out["file"] = request(tb, f)
	return out
}

// Nothing is read of an attempt that was closed, at any point of it, once or twice, and no
// other attempt is touched by that.
func TestNothingIsReadAfterClose(t *testing.T) {
	const text = "0123456789"
	for _, o := range []Options{{}, {Limit: 3}, {Limit: 3, SpillLimit: 100, SpillDir: t.TempDir()}, {Ahead: true}} {
		for name, r := range bodies(t, text) {
			t.Run(fmt.Sprintf("%s, limit %d, %v", name, o.Limit, o.Ahead), func(t *testing.T) {
				b, err := New(r, o)
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				first, err := next(b)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(first, make([]byte, 2)); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if err := first.Close(); err != nil {
						t.Error(err)
					}
					if _, inMemory := first.(interface {
						WriteTo(io.Writer) (int64, error)
					}); inMemory {
						continue // net/http's own kind, which takes no heed
					}
					if n, err := first.Read(make([]byte, 2)); n != 0 || err == nil || err == io.EOF {
						t.Errorf("read %d, %v", n, err)
					}
				}
				second, err := next(b)
				if err != nil {
					if name == "stream" && o.Limit == 3 && o.SpillLimit == 0 {
						return // what was read is kept, and the rest is nobody's any more
					}
					t.Fatal(err)
				}
				_ = first.Close() // once more
				if got := send(t, second); got != text {
					t.Errorf("the next attempt sent %q", got)
				}
			})
		}
	}
}

// Attempts of a file are read side by side, each for itself; and a file that grows is read on.
func TestLegsOfAFileAreTheirOwn(t *testing.T) {
	r := bodies(t, "0123456789")["file"]
	b, err := New(r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var attempts [2]io.ReadCloser
	for i := range attempts {
		if attempts[i], err = next(b); err != nil {
			t.Fatal(err)
		}
	}
	var got [2]strings.Builder
	for range 5 {
		for i, l := range attempts {
			p := make([]byte, 2)
			if n, err := l.Read(nil); n != 0 || err != nil {
				t.Errorf("nothing was read: %d, %v", n, err)
			}
			n, err := io.ReadFull(l, p)
			if err != nil {
				t.Fatalf("attempt %d: %v", i, err)
			}
			got[i].Write(p[:n])
		}
	}
	if got[0].String() != "0123456789" || got[1].String() != "0123456789" {
		t.Errorf("%q, %q", got[0].String(), got[1].String())
	}
	f := r.Body.(*os.File)
	if _, err := f.WriteAt([]byte("abc"), 10); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 10)
	if n, err := attempts[0].Read(p); string(p[:n]) != "abc" || err != nil {
		t.Errorf("of what was written since: %q, %v", p[:n], err)
	}
	if n, err := attempts[0].Read(p); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

// A file that was closed is no reason to panic.
func TestClosedFile(t *testing.T) {
	r := bodies(t, "text")["file"]
	r.Body.Close()
	b, err := New(r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	l, err := next(b)
	if err == nil {
		_, err = io.ReadAll(l)
		l.Close()
	}
	if !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v", err)
	}
}

// A GetBody that failed once may do better, and its body that was never used is closed.
func TestGetBodyLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // an attempt that does not end is waited for
		body := &counted{Reader: strings.NewReader("text")}
		r := request(t, body)
		bad := errors.New("bad")
		get := func() (io.ReadCloser, error) { return nil, bad }
		r.GetBody = func() (io.ReadCloser, error) { return get() }
		b, err := New(r, Options{})
		if err != nil {
			t.Fatal(err)
		}
		first, err := next(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := next(b); !errors.Is(err, bad) || !errors.Is(err, ErrNotReplayable) || !b.Replayable() {
			t.Errorf("%v, replayable %v", err, b.Replayable())
		}
		get = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("text")), nil }
		second, err := next(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := send(t, second); got != "text" {
			t.Error(got)
		}
		if err := errors.Join(first.Close(), b.Close()); err != nil {
			t.Error(err)
		}

		used := &counted{Reader: strings.NewReader("text")}
		r.Body = used
		if b, err = New(r, Options{}); err != nil {
			t.Fatal(err)
		}
		if first, err = next(b); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil || used.closes.Load() != 0 {
			t.Errorf("%v, the attempt's body was closed %d times beside it", err, used.closes.Load())
		}
		if got := send(t, first); got != "text" {
			t.Error(got)
		}

		unused := &counted{Reader: strings.NewReader("text")}
		r.Body = unused
		if b, err = New(r, Options{}); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil || unused.closes.Load() != 1 {
			t.Errorf("never used: %v, closed %d times", err, unused.closes.Load())
		}
		if _, err := next(b); err == nil {
			t.Error("an attempt of what is closed")
		}
	})
}

// What is all in memory is of a kind that net/http knows, and so sends with its length.
func TestBodyInMemoryIsNetHTTPsKind(t *testing.T) {
	for _, o := range []Options{{}, {Ahead: true}} {
		b, err := New(bodies(t, "text")["stream"], o)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		l, err := next(b)
		if err != nil {
			t.Fatal(err)
		}
		if !o.Ahead {
			send(t, l)
			if l, err = next(b); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := fmt.Sprintf("%T", l), fmt.Sprintf("%T", io.NopCloser(bytes.NewReader(nil))); got != want {
			t.Errorf("%+v: a body of type %s, want %s", o, got, want)
		}
		if got := send(t, l); got != "text" {
			t.Error(got)
		}
	}
}

// An attempt that lost a body to the next one reads on once all of it is kept, and its end
// does not end the other.
func TestLegThatWasPassed(t *testing.T) {
	for _, released := range []bool{false, true} {
		body := &counted{Reader: strings.NewReader("0123456789")}
		b, err := New(request(t, struct{ io.ReadCloser }{body}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		first, err := next(b)
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 3)
		if _, err := io.ReadFull(first, p); err != nil {
			t.Fatal(err)
		}
		second, err := next(b)
		if err != nil {
			t.Fatal(err)
		}
		if released {
			if _, err := io.ReadFull(second, p); err != nil {
				t.Fatal(err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if err := first.Close(); err != nil {
				t.Error(err)
			}
			if got := string(p) + send(t, second); got != "0123456789" {
				t.Errorf("after the other was closed: %q", got)
			}
			continue
		}
		if got := send(t, second); got != "0123456789" {
			t.Errorf("%q", got)
		}
		if rest, err := io.ReadAll(first); string(rest) != "3456789" || err != nil {
			t.Errorf("of the first: %q, %v", rest, err)
		}
		first.Close()
		b.Close()
		if n := body.closes.Load(); n != 1 {
			t.Errorf("closed %d times", n)
		}
	}
}

// waiting is a body that has a text and then waits to be closed.
type waiting struct {
	text   io.Reader
	closed chan struct{}
	closes atomic.Int32
}

func (w *waiting) Read(p []byte) (int, error) {
	if n, err := w.text.Read(p); err == nil {
		return n, nil
	}
	<-w.closed
	return 0, errors.New("closed by its owner")
}

func (w *waiting) Close() error {
	if w.closes.Add(1) == 1 {
		close(w.closed)
	}
	return nil
}

// Nobody waits for a body's producer longer than for the context's end or the attempt's,
// be the body kept or beyond what is.
func TestReadThatWaitsHasAnEnd(t *testing.T) {
	for _, limit := range []int64{100, 2} {
		for _, how := range []string{"context", "attempt"} {
			t.Run(fmt.Sprintf("limit %d, end of the %s", limit, how), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					w := &waiting{text: strings.NewReader("text"), closed: make(chan struct{})}
					b, err := New(request(t, w).WithContext(ctx), Options{Limit: limit})
					if err != nil {
						t.Fatal(err)
					}
					l, err := next(b)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadFull(l, make([]byte, 4)); err != nil {
						t.Fatal(err)
					}
					done := make(chan error, 1)
					go func() {
						_, err := l.Read(make([]byte, 1))
						done <- err
					}()
					synctest.Wait()
					begin := time.Now()
					if how == "context" {
						cancel()
					} else if err := l.Close(); err != nil {
						t.Error(err)
					}
					if err := <-done; err == nil || err == io.EOF {
						t.Errorf("read: %v", err)
					}
					if took := time.Since(begin); took > time.Second {
						t.Errorf("waited for %v", took)
					}
					l.Close()
					if err := b.Close(); err != nil {
						t.Error(err)
					}
					if n := w.closes.Load(); n != 1 {
						t.Errorf("closed %d times", n)
					}
				})
			})
		}
	}
}

// After a body that failed there is no other attempt, and what failed is said.
func TestNoLegAfterAFailure(t *testing.T) {
	bad := errors.New("bad")
	for _, limit := range []int64{100, 2} {
		b, err := New(request(t, io.NopCloser(io.MultiReader(strings.NewReader("text"), readerFunc(func([]byte) (int, error) { return 0, bad })))), Options{Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		l, err := next(b)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(l); string(got) != "text" || !errors.Is(err, bad) {
			t.Errorf("%q, %v", got, err)
		}
		l.Close()
		if b.Replayable() {
			t.Error("said to be good for another attempt")
		}
		if _, err := next(b); !errors.Is(err, ErrNotReplayable) || limit == 100 && !errors.Is(err, bad) {
			t.Errorf("limit %d: %v", limit, err)
		}
		b.Close()
	}
}

// A reader may return nothing now and then, but not for ever.
func TestReaderThatReturnsNothing(t *testing.T) {
	for _, tc := range []struct {
		idle []int // so often nothing comes before each byte
		want string
		err  error
	}{
		{[]int{0, 0}, "xx", nil},
		{[]int{99, 99, 99}, "xxx", nil},
		{[]int{1, 100}, "x", io.ErrNoProgress},
		{[]int{100}, "", io.ErrNoProgress},
	} {
		idle := append([]int(nil), tc.idle...)
		r := &progress{r: readerFunc(func(p []byte) (int, error) {
			switch {
			case len(p) == 0:
				return 0, nil
			case len(idle) == 0:
				return 0, io.EOF
			case idle[0] > 0:
				idle[0]--
				return 0, nil
			}
			idle = idle[1:]
			p[0] = 'x'
			return 1, nil
		})}
		for range 200 { // which is asked for nothing
			if n, err := r.Read(nil); n != 0 || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
		}
		if got, err := io.ReadAll(r); string(got) != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%v: %q, %v", tc.idle, got, err)
		}
	}
}

// A response's body whose Read panics ends the answer with an error, not the program.
func TestDrainOfAPanic(t *testing.T) {
	for _, patience := range []time.Duration{time.Minute} {
		complete, err := Drain(&http.Response{Body: panicking{}}, 100, patience)
		if complete || err == nil || !strings.Contains(err.Error(), "panic") {
			t.Errorf("patience %v: %v, %v", patience, complete, err)
		}
	}
}
