package replay

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("a reader's own fault") }
func (panicking) Close() error             { return nil }

// A body is read ahead in a goroutine that nobody else can recover in.
func TestReaderThatPanics(t *testing.T) {
	for name, o := range map[string]Options{"in memory": {Ahead: true}, "to disk": {Limit: -1, SpillLimit: 1 << 20, SpillDir: t.TempDir(), Ahead: true}} {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost", io.NopCloser(panicking{}))
		if err != nil {
			t.Fatal(err)
		}
		b, err := New(r, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Next(); err == nil || !strings.Contains(err.Error(), "a reader's own fault") {
			t.Errorf("%s: got %v, want the panic as an error", name, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		cancel()
	}
}

// So is a body that a transport reads in a goroutine of its own, be it kept or not.
func TestReaderThatPanicsWhileItIsSent(t *testing.T) {
	for name, o := range map[string]Options{"kept": {}, "not kept": {Limit: -1}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost", io.NopCloser(panicking{}))
		if err != nil {
			t.Fatal(err)
		}
		b, err := New(r, o)
		if err != nil {
			t.Fatal(err)
		}
		attempt, err := next(b)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := attempt.Read(make([]byte, 1)); n != 0 || err == nil || !strings.Contains(err.Error(), "a reader's own fault") {
			t.Errorf("%s: %d bytes, %v, want the panic as an error", name, n, err)
		}
		attempt.Close()
		b.Close()
	}
}

// A closing is a body with a Close of its own.
type closing struct {
	io.Reader
	close func()
}

func (c closing) Close() error { c.close(); return nil }

// A body whose Close panics ends no program, in whichever goroutine it is closed. One
// whose Close ends that goroutine, as a test does that fails there, ends nothing else.
func TestCloserThatPanics(t *testing.T) {
	panics := func() { panic("a closer's own fault") }
	begin := func(body closing) (*Body, io.ReadCloser, context.CancelFunc) {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost", body)
		if err != nil {
			t.Fatal(err)
		}
		b, err := New(r, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return b, must(t, b), cancel
	}

	// What is read to its end is closed at once.
	b, attempt, cancel := begin(closing{iotest.DataErrReader(strings.NewReader("text")), panics})
	if got, err := io.ReadAll(attempt); string(got) != "text" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if err := errors.Join(attempt.Close(), b.Close()); err != nil {
		t.Error(err)
	}
	cancel()

	b, attempt, cancel = begin(closing{strings.NewReader("text"), panics})
	if err := attempt.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err == nil || !strings.Contains(err.Error(), "a closer's own fault") {
		t.Errorf("closed unread: %v, want the panic as an error", err)
	}
	cancel()

	for _, end := range []func(){panics, runtime.Goexit} {
		b, attempt, cancel = begin(closing{strings.NewReader("text"), end})
		cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if n, err := attempt.Read(make([]byte, 1)); n != 0 || !errors.Is(err, context.Canceled) {
				t.Errorf("the context has ended: %d bytes, %v", n, err)
			}
		}()
		<-done
		attempt.Close()
		b.Close()
	}
}
