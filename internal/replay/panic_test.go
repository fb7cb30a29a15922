package replay

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
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
