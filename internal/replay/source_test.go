package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// seekable is a body that can be set back, and must not be read by two.
type seekable struct {
	*bytes.Reader
	counted
	busy sync.Mutex
}

func newSeekable(text string) *seekable { return &seekable{Reader: bytes.NewReader([]byte(text))} }

func (s *seekable) Read(b []byte) (int, error) {
	if !s.busy.TryLock() {
		return 0, errors.New("two read at once")
	}
	defer s.busy.Unlock()
	s.reads.Add(1)
	return s.Reader.Read(b)
}

func (s *seekable) Seek(offset int64, whence int) (int64, error) {
	if !s.busy.TryLock() {
		return 0, errors.New("set back while it is read")
	}
	defer s.busy.Unlock()
	return s.Reader.Seek(offset, whence)
}

func (s *seekable) Close() error { return s.counted.Close() }

// A body that stands somewhere in its middle is sent from there, by each attempt,
// and closed once when the last attempt is through.
func TestSeeker(t *testing.T) {
	body := newSeekable("skipped, the body")
	if _, err := body.Seek(9, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	b, err := New(request(t, body), Options{Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for attempt := range 3 {
		r, err := b.Next()
		if err != nil {
			t.Fatal(err)
		}
		if got := send(t, r.Body); got != "the body" {
			t.Errorf("attempt %d sent %q", attempt, got)
		}
		if r.GetBody == nil || !b.Replayable() || b.Once() {
			t.Error("said not to be replayable")
		}
	}
	last, err := next(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil || body.closes.Load() != 0 {
		t.Errorf("closed %d times while an attempt has it: %v", body.closes.Load(), err)
	}
	if got := send(t, last); got != "the body" || body.closes.Load() != 1 {
		t.Errorf("sent %q, closed %d times", got, body.closes.Load())
	}
	if again, err := next(b); again != nil || err == nil {
		t.Errorf("an attempt after Close: %v, %v", again, err)
	}
}

// A transport that goes on reading the attempt before is turned away, and reads
// nothing that the new attempt should have.
func TestSeekerLegsAtOnce(t *testing.T) {
	text := strings.Repeat("0123456789", 5000)
	body := newSeekable(text)
	b, err := New(request(t, body), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var sent string
	for i := range 20 {
		attempt, err := next(b)
		if err != nil {
			t.Fatal(err)
		}
		if i == 19 {
			sent = send(t, attempt)
			break
		}
		if _, err := io.ReadFull(attempt, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			_, err := io.Copy(io.Discard, attempt)
			if err != nil && !errors.Is(err, errPassed) && !errors.Is(err, errClosed) {
				t.Error(err)
			}
			attempt.Close()
		})
	}
	wg.Wait()
	b.Close()
	if sent != text || body.closes.Load() != 1 {
		t.Errorf("sent %d bytes, closed %d times", len(sent), body.closes.Load())
	}
}

// What says that it can be set back, and cannot.
func TestSeekerRefuses(t *testing.T) {
	bad := errors.New("not that kind of seeker")
	for name, tc := range map[string]struct {
		fails int // the call of Seek that does
		want  error
	}{
		"at first": {1, nil}, // it is buffered like any other
		"later":    {2, ErrNotReplayable},
	} {
		t.Run(name, func(t *testing.T) {
			body := &refusing{seekable: newSeekable("the body"), left: tc.fails, err: bad}
			b, err := New(request(t, body), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			for attempt := range 2 {
				again, err := next(b)
				if attempt == 0 || tc.want == nil {
					if err != nil {
						t.Fatal(err)
					}
					if got := send(t, again); got != "the body" {
						t.Errorf("attempt %d sent %q", attempt, got)
					}
				} else if !errors.Is(err, tc.want) || !errors.Is(err, bad) || b.Replayable() || b.Repeatable() {
					t.Errorf("error %v, replayable %v, repeatable %v", err, b.Replayable(), b.Repeatable())
				}
			}
			b.Close()
			if n := body.closes.Load(); n != 1 {
				t.Errorf("closed %d times", n)
			}
		})
	}
}

type refusing struct {
	*seekable
	left int
	err  error
}

func (r *refusing) Seek(offset int64, whence int) (int64, error) {
	if r.left--; r.left <= 0 {
		return 0, r.err
	}
	return r.seekable.Seek(offset, whence)
}

// A file is sent from where it stands, by any number of attempts at once.
func TestFile(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 10<<10)
	f := tempFile(t, "head"+text)
	if _, err := f.Seek(4, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	b, err := New(request(t, f), Options{Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		attempt, err := next(b)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			got, err := io.ReadAll(attempt)
			if err != nil || string(got) != text {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			attempt.Close()
			attempt.Close()
		})
	}
	b.Close()
	wg.Wait()
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file was open: %v", err)
	}
}

func tempFile(t *testing.T, text string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A pipe is a file, too, and cannot be set back.
func TestPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "through the pipe"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	b, err := New(request(t, r), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for range 2 {
		attempt, err := next(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := send(t, attempt); got != "through the pipe" {
			t.Errorf("sent %q", got)
		}
	}
}

// A device can be set back, too, and need not say the same again.
func TestDevice(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(request(t, f), Options{Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if !b.Once() {
		t.Error("taken for a file that every attempt can read")
	}
}

// A copy that is shorter than what was sent before is an error and no end of the
// body: nothing is sent short.
func TestNeverShort(t *testing.T) {
	const text = "the whole body"
	for name, tc := range map[string]struct {
		body  func(t *testing.T, r *http.Request)
		read  int // bytes that the first attempt reads
		again string
		err   error
	}{
		"GetBody returns what was read": {func(_ *testing.T, r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(text))
			r.GetBody = func() (io.ReadCloser, error) { return r.Body, nil }
		}, len(text), "", io.ErrUnexpectedEOF},
		"GetBody returns the rest": {func(_ *testing.T, r *http.Request) {
			r.Body = io.NopCloser(iotest.OneByteReader(strings.NewReader(text)))
			r.GetBody = func() (io.ReadCloser, error) { return r.Body, nil }
		}, 10, "body", io.ErrUnexpectedEOF},
		"GetBody returns more": {func(_ *testing.T, r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(text))
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text + "!")), nil }
		}, len(text), text + "!", nil},
		"a file that was cut": {func(t *testing.T, r *http.Request) {
			f := tempFile(t, text)
			r.Body = &cut{f}
		}, len(text), "the", io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // an attempt that does not end is waited for
				r := request(t, nil)
				tc.body(t, r)
				r.ContentLength = -1
				if c, ok := r.Body.(*cut); ok {
					r.Body = c.f
				}
				b, err := New(r, Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				first, err := next(b)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(first, make([]byte, tc.read)); err != nil {
					t.Fatal(err)
				}
				if f, ok := r.Body.(*os.File); ok {
					if err := f.Truncate(3); err != nil {
						t.Fatal(err)
					}
				}
				again, err := next(b)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(again)
				if string(got) != tc.again || !errors.Is(err, tc.err) {
					t.Errorf("second attempt: %q, %v", got, err)
				}
				first.Close()
				again.Close()
			})
		})
	}
}

type cut struct{ f *os.File }

func (c *cut) Read(b []byte) (int, error) { return c.f.Read(b) }
func (c *cut) Close() error               { return c.f.Close() }

// Above the limit a body goes to a file that nobody can open, and every attempt
// reads that.
func TestSpill(t *testing.T) {
	whole := make([]byte, 300<<10)
	_, _ = rand.NewChaCha8([32]byte{}).Read(whole)
	for name, tc := range map[string]struct {
		size          int
		length        int64
		limit, spill  int64
		slow          bool
		replayable    bool
		spilled       bool
		getBodyOfLegs bool
	}{
		"fits into memory":            {1000, -1, 1000, 1 << 20, false, true, false, true},
		"one byte too many":           {1001, -1, 1000, 1 << 20, false, true, true, true},
		"large":                       {300 << 10, -1, 1000, 1 << 20, false, true, true, true},
		"large, declared":             {300 << 10, 300 << 10, 1000, 1 << 20, false, true, true, true},
		"large, declared too small":   {300 << 10, 10, 1000, 1 << 20, false, true, true, true},
		"just the limit":              {300 << 10, -1, 1000, 300 << 10, false, true, true, true},
		"just above the limit":        {300 << 10, -1, 1000, 300<<10 - 1, false, false, true, false},
		"declared above the limit":    {300 << 10, 300 << 10, 1000, 300<<10 - 1, false, false, false, false},
		"nothing in memory":           {10, -1, -1, 1 << 20, false, true, true, true},
		"nothing in memory, empty":    {0, -1, -1, 1 << 20, false, true, true, true},
		"byte by byte":                {2000, -1, 1000, 1 << 20, true, true, true, true},
		"limit of files below memory": {2000, -1, 1000, 999, false, false, false, false},
		"limits that are equal":       {2000, -1, 1000, 1000, false, false, false, false},
		"the largest limit of files":  {300 << 10, -1, 1000, math.MaxInt64, false, true, true, true},
		"the largest, of files alone": {300 << 10, -1, -1, math.MaxInt64, false, true, true, true},
		"the largest limits":          {2000, -1, math.MaxInt64, math.MaxInt64, false, true, false, true},
	} {
		for _, ahead := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, ahead %v", name, ahead), func(t *testing.T) {
				dir := t.TempDir()
				want := whole[:tc.size]
				var reader io.Reader = bytes.NewReader(want)
				if tc.slow {
					reader = iotest.OneByteReader(reader)
				}
				body := &counted{Reader: reader}
				r := request(t, body)
				r.ContentLength = tc.length
				before := openFiles(t)
				b, err := New(r, Options{Limit: tc.limit, SpillLimit: tc.spill, SpillDir: dir, Ahead: ahead})
				if err != nil {
					t.Fatal(err)
				}
				for attempt := range 3 {
					r, err := b.Next()
					if attempt > 0 && !tc.replayable {
						if !errors.Is(err, ErrNotReplayable) {
							t.Errorf("attempt %d: %v", attempt, err)
						}
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					var head [1]byte
					n, err := io.ReadFull(r.Body, head[:])
					if err != nil && err != io.EOF {
						t.Fatal(err)
					}
					if now := openFiles(t); (ahead || attempt > 0) && before >= 0 && (now > before) != tc.spilled {
						t.Errorf("%d files are open, before %d", now, before)
					}
					if got := string(head[:n]) + send(t, r.Body); got != string(want) {
						t.Errorf("attempt %d sent %d bytes, want %d", attempt, len(got), len(want))
					}
					if left, err := os.ReadDir(dir); err != nil || len(left) != 0 && runtime.GOOS != "windows" {
						t.Errorf("files with a name: %v, %v", left, err)
					}
					// It may not be known before the body is read.
					if has := r.GetBody != nil; has != tc.getBodyOfLegs && (ahead || attempt > 0) {
						t.Errorf("attempt %d has GetBody: %v", attempt, has)
					}
					if b.Replayable() != tc.replayable {
						t.Errorf("attempt %d: replayable %v", attempt, b.Replayable())
					}
				}
				if err := b.Close(); err != nil {
					t.Error(err)
				}
				if now := openFiles(t); now != before {
					t.Errorf("%d files are open, before %d", now, before)
				}
				if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
					t.Errorf("files that are left: %v, %v", left, err)
				}
				if n := body.closes.Load(); n != 1 {
					t.Errorf("closed %d times", n)
				}
			})
		}
	}
}

// openFiles counts the files that the process has open, -1 where that is not
// known.
func openFiles(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return -1
	}
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	n := 0
	for _, e := range all {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.Contains(target, "body-") {
			n++
		}
	}
	return n
}

// A file that cannot be written is no reason not to send the body.
func TestSpillFails(t *testing.T) {
	text := strings.Repeat("0123456789", 1000)
	body := &counted{Reader: strings.NewReader(text)}
	b, err := New(request(t, body), Options{Limit: 10, SpillLimit: 1 << 20, SpillDir: filepath.Join(t.TempDir(), "none"), Ahead: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	first, err := next(b)
	if err != nil {
		t.Fatal(err)
	}
	if !b.Once() {
		t.Error("said to be replayable")
	}
	if got := send(t, first); got != text {
		t.Errorf("sent %d bytes", len(got))
	}
	if _, err := next(b); !errors.Is(err, ErrNotReplayable) || !strings.Contains(err.Error(), "temporary file") {
		t.Errorf("error %v", err)
	}
	if n := body.closes.Load(); n != 1 {
		t.Errorf("closed %d times", n)
	}
}

// An error of the body while it goes to the file is that of Next.
func TestSpillReadFails(t *testing.T) {
	bad := errors.New("bad")
	before := openFiles(t)
	body := &counted{Reader: io.MultiReader(strings.NewReader(strings.Repeat("x", 1000)), iotest.ErrReader(bad))}
	b, err := New(request(t, body), Options{Limit: 10, SpillLimit: 1 << 20, SpillDir: t.TempDir(), Ahead: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := next(b); !errors.Is(err, bad) {
		t.Errorf("error %v", err)
	}
	b.Close()
	if now := openFiles(t); now != before || body.closes.Load() != 1 {
		t.Errorf("%d files are open, closed %d times", now-before, body.closes.Load())
	}
}

// What is given up while it goes to a file leaves none.
func TestSpillCancelled(t *testing.T) {
	before := openFiles(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1e9)
		defer cancel()
		pr, pw := io.Pipe()
		body := &counted{Reader: io.MultiReader(strings.NewReader(strings.Repeat("x", 1000)), pr), onClose: func() { pr.Close() }}
		b, err := New(request(t, body).WithContext(ctx), Options{Limit: 10, SpillLimit: 1 << 20, SpillDir: t.TempDir(), Ahead: true})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if again, err := next(b); again != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v, %v", again, err)
		}
		pw.Close()
	})
	if now := openFiles(t); now != before {
		t.Errorf("%d files are open, before %d", now, before)
	}
}

// A body of which nothing was read is there for the next attempt, whether the one
// before has closed it or not.
func TestUntouched(t *testing.T) {
	text := strings.Repeat("0123456789", 1000)
	for name, o := range map[string]Options{
		"no buffer":              {Limit: -1},
		"kept":                   {Limit: 1 << 20},
		"too large":              {Limit: 100},
		"spill":                  {Limit: 100, SpillLimit: 1 << 20, SpillDir: t.TempDir()},
		"too large, ahead":       {Limit: 100, Ahead: true},
		"spill too large, ahead": {Limit: 100, SpillLimit: 200, SpillDir: t.TempDir(), Ahead: true},
	} {
		t.Run(name, func(t *testing.T) {
			body := &counted{Reader: strings.NewReader(text)}
			r := request(t, body)
			r.ContentLength = -1
			b, err := New(r, o)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			var attempts []io.ReadCloser
			for i := range 4 {
				attempt, err := next(b)
				if err != nil {
					t.Fatal(err)
				}
				if !b.Replayable() || o.Limit > 0 && b.Once() != o.Ahead {
					t.Errorf("attempt %d: replayable %v, once %v", i, b.Replayable(), b.Once())
				}
				if i%2 == 0 {
					attempt.Close()
				}
				attempts = append(attempts, attempt)
			}
			if !o.Ahead && body.reads.Load() != 0 {
				t.Errorf("read %d times", body.reads.Load())
			}
			for _, attempt := range attempts[:3] {
				if n, err := attempt.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
					t.Errorf("an attempt that lost the body reads %d bytes, %v", n, err)
				}
				attempt.Close()
			}
			if n := body.closes.Load(); n != 0 && o.Limit != 1<<20 {
				t.Errorf("closed %d times", n)
			}
			if got := send(t, attempts[3]); got != text {
				t.Errorf("sent %d bytes", len(got))
			}
			b.Close()
			if n := body.closes.Load(); n != 1 {
				t.Errorf("closed %d times", n)
			}
		})
	}
}

// Once nobody wants it, a body of which nothing was read is closed, by Close or
// by the attempt that has it, whichever comes last.
func TestUntouchedIsClosed(t *testing.T) {
	for _, order := range []string{"attempt, Close", "Close, attempt", "Close"} {
		for _, o := range []Options{{}, {Limit: -1}, {Limit: -1, SpillLimit: 10, SpillDir: t.TempDir()}} {
			t.Run(fmt.Sprintf("%s, limit %v, %v", order, o.Limit, o.SpillLimit), func(t *testing.T) {
				body := &counted{Reader: strings.NewReader("x")}
				b, err := New(request(t, body), o)
				if err != nil {
					t.Fatal(err)
				}
				var attempt io.ReadCloser
				if order != "Close" {
					if attempt, err = next(b); err != nil {
						t.Fatal(err)
					}
				}
				for step := range strings.SplitSeq(order, ", ") {
					if n := body.closes.Load(); n != 0 {
						t.Errorf("closed before %s", step)
					}
					if step == "Close" {
						err = b.Close()
					} else {
						err = attempt.Close()
					}
					if err != nil {
						t.Error(err)
					}
				}
				if n, m := body.closes.Load(), body.reads.Load(); n != 1 || m != 0 {
					t.Errorf("closed %d times, read %d times", n, m)
				}
			})
		}
	}
}

// An attempt that is closed in the middle leaves what it has read, and the rest.
func TestClosedInTheMiddle(t *testing.T) {
	body := &counted{Reader: strings.NewReader("the body")}
	b, err := New(request(t, body), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for attempt := range 3 {
		again, err := next(b)
		if err != nil {
			t.Fatal(err)
		}
		if attempt == 1 {
			if _, err := again.Read(make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			again.Close()
			continue
		}
		if got := send(t, again); got != "the body" {
			t.Errorf("attempt %d sent %q", attempt, got)
		}
	}
	if n := body.closes.Load(); n != 1 {
		t.Errorf("closed %d times", n)
	}
}

// A caller fills in Trailer while its body is read, and each attempt has its values
// in a map of its own.
func TestTrailer(t *testing.T) {
	const text = "the body"
	for name, tc := range map[string]struct {
		o        Options
		getBody  bool
		seek     bool
		attempts int
	}{
		"buffered": {Options{}, false, false, 3},
		"spilled":  {Options{Limit: 1, SpillLimit: 1 << 20, SpillDir: t.TempDir()}, false, false, 3},
		"streamed": {Options{Limit: -1}, false, false, 1},
		"ahead":    {Options{Ahead: true}, false, false, 3},
		"GetBody":  {Options{}, true, false, 3},
		"seeker":   {Options{}, false, true, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // an attempt that does not end is waited for
				r := request(t, nil)
				r.ContentLength = -1
				r.Trailer = http.Header{"X-Sum": nil, "X-Read": nil}
				reads := 0
				sum := func() { // what a caller's reader does at its end
					reads++
					r.Trailer.Set("X-Sum", "42")
					r.Trailer.Set("X-Read", fmt.Sprint(reads))
				}
				made := func() io.ReadCloser {
					return &summing{Reader: strings.NewReader(text), end: sum}
				}
				r.Body = made()
				if tc.getBody {
					r.GetBody = func() (io.ReadCloser, error) { return made(), nil }
				}
				if tc.seek {
					r.Body = &seekSumming{summing{Reader: strings.NewReader(text), end: sum}}
				}
				b, err := New(r, tc.o)
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				var late []io.ReadCloser
				for attempt := range tc.attempts {
					sent, err := b.Next()
					if err != nil {
						t.Fatal(err)
					}
					if attempt == 1 && (tc.getBody || tc.seek) {
						// The transport of this one goes on reading beside the next.
						if _, err := sent.Body.Read(make([]byte, 1)); err != nil {
							t.Fatal(err)
						}
						late = append(late, sent.Body)
						continue
					}
					if got := send(t, sent.Body); got != text {
						t.Errorf("attempt %d sent %q", attempt, got)
					}
					want := http.Header{"X-Sum": {"42"}, "X-Read": {"1"}}
					if attempt == 2 && (tc.getBody || tc.seek) {
						want.Set("X-Read", "2")
					}
					if d := cmp.Diff(want, sent.Trailer); d != "" {
						t.Errorf("attempt %d (-want +got):\n%s", attempt, d)
					}
					for _, b := range late {
						if n, err := io.Copy(io.Discard, b); n != 0 || err == nil {
							t.Errorf("an attempt that is over reads %d bytes, %v", n, err)
						}
					}
					sent.Trailer.Set("X-Sum", "changed by the transport")
				}
			})
		})
	}
}

type summing struct {
	io.Reader
	end func()
}

func (s *summing) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err == io.EOF && s.end != nil {
		s.end()
	}
	return n, err
}

func (s *summing) Close() error { return nil }

type seekSumming struct{ summing }

func (s *seekSumming) Seek(offset int64, whence int) (int64, error) {
	return s.Reader.(io.Seeker).Seek(offset, whence)
}

// Transports that resend by themselves get copies from GetBody.
func TestGetBodyOfAttempt(t *testing.T) {
	for name, body := range map[string]io.ReadCloser{
		"buffered": &counted{Reader: strings.NewReader("the body")},
		"seeker":   newSeekable("the body"),
		"file":     tempFile(t, "the body"),
	} {
		t.Run(name, func(t *testing.T) {
			b, err := New(request(t, body), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			r, err := b.Next()
			if err != nil {
				t.Fatal(err)
			}
			all := r.Body
			for range 3 {
				if got := send(t, all); got != "the body" {
					t.Errorf("sent %q", got)
				}
				if all, err = r.GetBody(); err != nil {
					t.Fatal(err)
				}
			}
			all.Close()
			b.Close()
			if again, err := r.GetBody(); again != nil || err == nil {
				t.Errorf("a copy after Close: %v, %v", again, err)
			}
		})
	}
}
