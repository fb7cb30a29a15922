package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// A body that is being produced is passed on as it comes; an attempt that is closed or
// loses it while it waits ends at once, and what was read for it, and is read yet,
// is the next one's.
func TestStreamsOn(t *testing.T) {
	for name, o := range map[string]Options{
		"memory":           {},
		"just the limit":   {Limit: int64(len("one two three four"))},
		"spilled":          {Limit: 5, SpillLimit: 100, SpillDir: t.TempDir()},
		"spilled at once":  {Limit: -1, SpillLimit: 100, SpillDir: t.TempDir()},
		"spilled in parts": {Limit: 5, SpillLimit: int64(len("one two three four")), SpillDir: t.TempDir()},
	} {
		for _, closes := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, closed %v", name, closes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					pr, pw := io.Pipe()
					body := &counted{Reader: pr, onClose: func() { pr.Close() }}
					r := request(t, body)
					r.ContentLength = -1
					b, err := New(r, o)
					if err != nil {
						t.Fatal(err)
					}
					defer b.Close()
					read := func(attempt io.Reader, want string) {
						t.Helper()
						if got := make([]byte, len(want)); !reads(attempt, got) || string(got) != want {
							t.Errorf("read %q, want %q", got, want)
						}
					}
					var attempts []io.ReadCloser
					attempt := must(t, b)
					for i, text := range []string{"one ", "two ", "three "} {
						read(attempt, "one two three "[:4*i])
						go io.WriteString(pw, text)
						read(attempt, text)
						ended := make(chan error)
						go func() {
							_, err := attempt.Read(make([]byte, 10))
							ended <- err
						}()
						synctest.Wait()
						attempts = append(attempts, attempt)
						want := errPassed
						if closes {
							want = errClosed
							attempt.Close()
						}
						attempt = must(t, b)
						if err := <-ended; err != want {
							t.Errorf("attempt %d: %v, want %v", i, err, want)
						}
						if !b.Replayable() || b.Once() || b.Repeatable() {
							t.Error("not so far replayable")
						}
					}
					// A Read for the attempt before is under way.
					go func() {
						io.WriteString(pw, "four")
						pw.Close()
					}()
					if got := send(t, attempt); got != "one two three four" {
						t.Errorf("sent %q", got)
					}
					if !b.Repeatable() {
						t.Error("not all is kept")
					}
					if got := send(t, must(t, b)); got != "one two three four" {
						t.Errorf("sent %q", got)
					}
					for _, l := range attempts {
						l.Close()
					}
					if err := b.Close(); err != nil || body.closes.Load() != 1 {
						t.Errorf("%v, closed %d times", err, body.closes.Load())
					}
					if n := openFiles(t); n > 0 {
						t.Errorf("%d files are open", n)
					}
				})
			})
		}
	}
}

func must(t *testing.T, b *Body) io.ReadCloser {
	t.Helper()
	attempt, err := next(b)
	if err != nil {
		t.Fatal(err)
	}
	return attempt
}

// reads fills p.
func reads(r io.Reader, p []byte) bool {
	_, err := io.ReadFull(r, p)
	return err == nil
}

// Whoever is the last to let go closes a body that is waited for, which ends the
// waiting: the attempt that has it, or Close where none has.
func TestStreamIsClosed(t *testing.T) {
	for _, order := range []string{"attempt, Close", "Close, attempt"} {
		for _, o := range []Options{{}, {Limit: -1}, {Limit: 2}} {
			t.Run(fmt.Sprintf("%s, limit %d", order, o.Limit), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					pr, pw := io.Pipe()
					defer pw.Close()
					body := &counted{Reader: io.MultiReader(strings.NewReader("head"), pr), onClose: func() { pr.Close() }}
					r := request(t, body)
					r.ContentLength = -1
					b, err := New(r, o)
					if err != nil {
						t.Fatal(err)
					}
					attempt := must(t, b)
					ended := make(chan error)
					go func() {
						_, err := io.ReadAll(attempt)
						ended <- err
					}()
					synctest.Wait()
					again := false
					for i, step := range strings.Split(order, ", ") {
						if n := body.closes.Load(); n != 0 && (i == 0 || again) {
							t.Errorf("closed before %s", step)
						}
						if step == "Close" {
							b.Close()
						} else {
							attempt.Close()
						}
						again = b.Replayable()
					}
					if err := <-ended; err == nil {
						t.Error("no error")
					}
					synctest.Wait()
					if n := body.closes.Load(); n != 1 {
						t.Errorf("closed %d times", n)
					}
				})
			})
		}
	}
}

// No Read begins for a request whose context has ended: the body is closed then, which
// must not meet a Read.
func TestContextEndedBeforeRead(t *testing.T) {
	for name, o := range map[string]Options{"kept": {}, "not kept": {Limit: -1}, "beyond the limit": {Limit: 2}} {
		for _, began := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, began %v", name, began), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cause := errors.New("cause")
					ctx, cancel := context.WithCancelCause(t.Context())
					body := &counted{Reader: iotest.OneByteReader(strings.NewReader("the body"))}
					b, err := New(request(t, body).WithContext(ctx), o)
					if err != nil {
						t.Fatal(err)
					}
					attempt := must(t, b)
					if began && !reads(attempt, make([]byte, 4)) {
						t.Error("cannot be read")
					}
					before := body.reads.Load()
					cancel(cause)
					for range 3 {
						if n, err := attempt.Read(make([]byte, 4)); n != 0 || !errors.Is(err, cause) {
							t.Errorf("%d bytes, error %v", n, err)
						}
					}
					synctest.Wait()
					if n, m := body.closes.Load(), body.reads.Load()-before; n != 1 || m != 0 {
						t.Errorf("closed %d times, read %d times", n, m)
					}
					attempt.Close()
					b.Close()
					if n := body.closes.Load(); n != 1 {
						t.Errorf("closed %d times", n)
					}
				})
			})
		}
	}
}

// A Read that is about to return holds up closing, so that the body's owner does not meet
// both at once; one that waits for its producer does not for long.
func TestClosingWaitsForRead(t *testing.T) {
	for name, o := range map[string]Options{"kept": {}, "not kept": {Limit: -1}} {
		for _, takes := range []time.Duration{beforeClose / 2, 2 * beforeClose} {
			t.Run(fmt.Sprintf("%s, %v", name, takes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					began := time.Now()
					var closed time.Duration
					body := &counted{Reader: readerFunc(func(p []byte) (int, error) {
						time.Sleep(takes)
						return copy(p, "x"), nil
					}), onClose: func() { closed = time.Since(began) }}
					b, err := New(request(t, body).WithContext(ctx), o)
					if err != nil {
						t.Fatal(err)
					}
					attempt := must(t, b)
					go attempt.Read(make([]byte, 1))
					synctest.Wait()
					cancel()
					attempt.Close()
					b.Close()
					time.Sleep(time.Minute)
					if want := min(takes, beforeClose); closed != want || body.closes.Load() != 1 {
						t.Errorf("closed after %v, want %v; %d times", closed, want, body.closes.Load())
					}
				})
			})
		}
	}
}

// A Read that was about to begin when the body was closed does not.
func TestNoReadAfterClosing(t *testing.T) {
	body := &counted{Reader: strings.NewReader("the body")}
	s := newStream(request(t, body), Options{})
	if err := s.shut(); err != nil {
		t.Error(err)
	}
	if n, err := s.read(make([]byte, 1)); n != 0 || err != errClosed || body.reads.Load() != 0 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// Once there can be no other attempt, nothing is kept for one.
func TestKeepsNothingLonger(t *testing.T) {
	text := strings.Repeat("0123456789", 1000)
	dir := t.TempDir()
	for name, o := range map[string]Options{"memory": {}, "file": {Limit: 10, SpillLimit: 1 << 20, SpillDir: dir}} {
		t.Run(name, func(t *testing.T) {
			body := &counted{Reader: iotest.OneByteReader(strings.NewReader(text))}
			r := request(t, body)
			r.ContentLength = -1
			b, err := New(r, o)
			if err != nil {
				t.Fatal(err)
			}
			first, attempt := must(t, b), must(t, b)
			if !reads(attempt, make([]byte, 100)) {
				t.Fatal("cannot be read")
			}
			s := b.src.(*stream)
			b.Close()
			if got := send(t, attempt); got != text[100:] {
				t.Errorf("sent %d bytes more", len(got))
			}
			if n := s.kept.size(); n != 0 || openFiles(t) > 0 {
				t.Errorf("%d bytes are kept, %d files are open", n, openFiles(t))
			}
			first.Close()
			if n := body.closes.Load(); n != 1 {
				t.Errorf("closed %d times", n)
			}
		})
	}
}

// Transports that read on in random steps while one attempt takes over from another,
// until one comes to the end: it sends the whole, or there is an error if more has
// passed than is kept.
func TestStreamProperty(t *testing.T) {
	dir := t.TempDir()
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		text := make([]byte, rnd.IntN(300_000))
		_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(text)
		o := Options{Limit: int64(rnd.IntN(400_000)) - 50_000, SpillLimit: int64(rnd.IntN(400_000)) - 200_000, SpillDir: dir, Ahead: rnd.IntN(4) == 0}
		o.Limit = max(o.Limit, -1)
		kept := max(o.Limit, o.SpillLimit)
		if o.Limit == 0 {
			kept = defaultLimit
		}
		var reader io.Reader = bytes.NewReader(text)
		if rnd.IntN(2) == 0 {
			reader = iotest.DataErrReader(reader)
		}
		body := &counted{Reader: &ragged{reader, rnd.IntN(20_000) + 1}}
		r := request(t, body)
		r.ContentLength = -1
		if rnd.IntN(2) == 0 {
			r.ContentLength = int64(len(text))
		}
		b, err := New(r, o)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		most := int64(0)
		for range 5 {
			attempt, err := next(b)
			if err != nil {
				if !errors.Is(err, ErrNotReplayable) || int64(len(text)) <= kept {
					t.Errorf("seed %d: %d bytes, %d kept, %d were read: %v", seed, len(text), kept, most, err)
				}
				break
			}
			n, err := io.CopyN(io.Discard, attempt, int64(rnd.IntN(len(text)+1)))
			if err != nil {
				t.Errorf("seed %d: %v after %d bytes", seed, err, n)
			}
			most = max(most, n)
			wg.Go(func() { // the transport reads on
				got, err := io.ReadAll(attempt)
				if err == nil && n+int64(len(got)) != int64(len(text)) {
					t.Errorf("seed %d: ended after %d bytes, want %d", seed, n+int64(len(got)), len(text))
				}
				attempt.Close()
			})
		}
		if last, err := next(b); err == nil {
			got, err := io.ReadAll(last)
			if err != nil || !bytes.Equal(got, text) {
				t.Errorf("seed %d: the last attempt sent %d bytes, want %d; %v", seed, len(got), len(text), err)
			}
			last.Close()
		}
		b.Close()
		wg.Wait()
		if n := body.closes.Load(); n != 1 {
			t.Errorf("seed %d: closed %d times", seed, n)
		}
		if n := openFiles(t); n > 0 {
			t.Errorf("seed %d: %d files are open", seed, n)
		}
	}
}

// ragged reads no more than n bytes at once.
type ragged struct {
	r io.Reader
	n int
}

func (r *ragged) Read(p []byte) (int, error) { return r.r.Read(p[:min(len(p), r.n)]) }

// An attempt is cut if some of the body was read and some not, as far as that is known.
func TestCut(t *testing.T) {
	const text = "the body"
	unknown := int64(-1)
	for name, body := range map[string]func() (io.ReadCloser, func() (io.ReadCloser, error)){
		"stream": func() (io.ReadCloser, func() (io.ReadCloser, error)) {
			return &counted{Reader: strings.NewReader(text)}, nil
		},
		"GetBody": func() (io.ReadCloser, func() (io.ReadCloser, error)) {
			get := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
			b, _ := get()
			return b, get
		},
	} {
		for what, tc := range map[string]struct {
			length int64
			read   int // len(text)+1 is its end, too
			want   bool
		}{
			"nothing":                     {int64(len(text)), 0, false},
			"a part":                      {int64(len(text)), 1, true},
			"all but a byte":              {int64(len(text)), len(text) - 1, true},
			"all":                         {int64(len(text)), len(text), false},
			"and the end":                 {int64(len(text)), len(text) + 1, false},
			"nothing, length not known":   {unknown, 0, false},
			"a part, length not known":    {unknown, 1, true},
			"all, length not known":       {unknown, len(text), true},
			"the end, length not known":   {unknown, len(text) + 1, false},
			"a part, length not declared": {0, 1, true},
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				r := request(t, nil)
				r.Body, r.GetBody = body()
				r.ContentLength = tc.length
				b, err := New(r, Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				if b.Cut() {
					t.Error("cut before there is an attempt")
				}
				for range 2 { // a later one as well as the first
					attempt := must(t, b)
					if b.Cut() {
						t.Error("cut before it is read")
					}
					if tc.read > len(text) {
						send(t, attempt)
					} else if !reads(attempt, make([]byte, tc.read)) {
						t.Error("cannot be read")
					}
					if b.Cut() != tc.want {
						t.Errorf("cut: %v, want %v", b.Cut(), tc.want)
					}
					attempt.Close()
					if name == "stream" && tc.read > len(text) {
						break // another attempt is all in memory, and not watched
					}
				}
			})
		}
	}
	b, err := New(request(t, nil), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Next(); err != nil || b.Cut() {
		t.Errorf("no body: cut %v, %v", b.Cut(), err)
	}
}

// A body that says it has read more than there was room for, or less than nothing, is
// an error, whoever makes the attempts; and an attempt that is closed reads nothing.
func TestImpossibleCounts(t *testing.T) {
	for _, n := range []int{-1, 11} {
		bad := func() io.ReadCloser {
			return io.NopCloser(readerFunc(func([]byte) (int, error) { return n, nil }))
		}
		r := request(t, bad())
		r.GetBody = func() (io.ReadCloser, error) { return bad(), nil }
		b, err := New(r, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			attempt := must(t, b)
			if got, err := attempt.Read(make([]byte, 10)); got != 0 || err == nil || !strings.Contains(err.Error(), "count") {
				t.Errorf("a count of %d: %d, %v", n, got, err)
			}
			attempt.Close()
			if got, err := attempt.Read(make([]byte, 10)); got != 0 || err != errClosed {
				t.Errorf("after Close: %d, %v", got, err)
			}
		}
		b.Close()
	}
}
