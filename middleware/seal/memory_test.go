package seal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What is kept of a body for the next one is wiped, and is not much.
func TestReleasedBodiesAreWiped(t *testing.T) {
	s := &session{Options: Options{MaxBody: defaultMaxBody}}
	for name, body := range map[string]string{"a body": "secret message", "more than is kept": strings.Repeat("x", maxSpare+1)} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequest(http.MethodPost, "http://a.example/", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			b, err := s.readBody(r)
			if err != nil || b.String() != body {
				t.Fatal(b, err)
			}
			memory := b.Bytes()
			s.release(b)
			if !bytes.Equal(memory, make([]byte, len(body))) {
				t.Errorf("%.20q is left", memory)
			}
			if kept, ok := s.bodies.Get().(*bytes.Buffer); ok && kept.Cap() > maxSpare {
				t.Errorf("%d bytes are kept", kept.Cap())
			}
		})
	}
}

// A Read that waits is left when the context ends, whatever is around it.
func TestReadThatWaits(t *testing.T) {
	waits, end := io.Pipe()
	defer end.Close()
	s := &session{Options: Options{MaxBody: defaultMaxBody}}
	for name, body := range map[string]io.Reader{
		"bytes":            bytes.NewReader([]byte("x")),
		"buffer":           bytes.NewBufferString("x"),
		"string":           strings.NewReader("x"),
		"a pipe":           waits,
		"a buffered pipe":  bufio.NewReader(waits),
		"a limit to bytes": io.LimitReader(strings.NewReader("x"), 1),
	} {
		t.Run(name, func(t *testing.T) {
			waiting := strings.HasSuffix(name, "pipe")
			wait := time.Minute
			if waiting {
				wait = 10 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://a.example/", io.NopCloser(body))
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = -1
			b, err := s.readBody(r)
			if waiting != errors.Is(err, context.DeadlineExceeded) || !waiting && b.String() != "x" {
				t.Errorf("%v, %v", b, err)
			}
		})
	}
}
