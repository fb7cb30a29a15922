package replay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sharing returns a request whose GetBody sets its one reader back.
func sharing(tb testing.TB, body *seekable) *http.Request {
	tb.Helper()
	r := request(tb, body)
	r.ContentLength = -1
	r.GetBody = func() (io.ReadCloser, error) {
		_, err := body.Seek(0, io.SeekStart)
		return body, err
	}
	return r
}

// An attempt that goes on reading never gets what the next one should have, whoever
// asks GetBody for that: Next, the transport, or a second Body between.
func TestSharedReader(t *testing.T) {
	text := strings.Repeat("0123456789", 50_000)
	for name, again := range map[string]func(b *Body, attempt *http.Request) (io.ReadCloser, error){
		"Next":    func(b *Body, _ *http.Request) (io.ReadCloser, error) { return next(b) },
		"GetBody": func(_ *Body, attempt *http.Request) (io.ReadCloser, error) { return attempt.GetBody() },
		"GetBody of GetBody": func(_ *Body, attempt *http.Request) (io.ReadCloser, error) {
			inner, err := New(attempt, Options{})
			if err != nil {
				return nil, err
			}
			defer inner.Close()
			first, err := inner.Next()
			if err != nil {
				return nil, err
			}
			if _, err := io.ReadFull(first.Body, make([]byte, 100)); err != nil {
				return nil, err
			}
			return next(inner)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // an attempt that does not end is waited for
				for range 5 {
					b, err := New(sharing(t, newSeekable(text)), Options{})
					if err != nil {
						t.Fatal(err)
					}
					first, err := b.Next()
					if err != nil {
						t.Fatal(err)
					}
					var wg sync.WaitGroup
					if name != "GetBody of GetBody" { // that reads it itself
						if _, err := io.ReadFull(first.Body, make([]byte, 100)); err != nil {
							t.Fatal(err)
						}
						wg.Go(func() { // a transport that does not hurry
							var err error
							for n, buf := 0, make([]byte, 100); err == nil; n++ {
								if n%100 == 0 {
									time.Sleep(time.Millisecond)
								}
								_, err = first.Body.Read(buf)
							}
							if err != io.EOF && !errors.Is(err, errPassed) {
								t.Error(err)
							}
							first.Body.Close()
						})
					}
					second, err := again(b, first)
					if err != nil {
						t.Fatal(err)
					}
					if got := send(t, second); got != text {
						t.Errorf("the second attempt sent %d bytes, want %d", len(got), len(text))
					}
					if n, err := first.Body.Read(make([]byte, 10)); n != 0 || err == nil {
						t.Errorf("the first attempt reads %d bytes, %v", n, err)
					}
					b.Close()
					wg.Wait()
				}
			})
		})
	}
}

// An attempt is left some time to come to its end, and then cut.
func TestHandover(t *testing.T) {
	for name, tc := range map[string]struct {
		after time.Duration // until the first attempt is closed; 0: never
		took  time.Duration
	}{
		"closed in time":  {handover / 2, handover / 2},
		"closed too late": {2 * handover, handover},
		"never closed":    {0, handover},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, err := New(sharing(t, newSeekable("the body")), Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				first, err := next(b)
				if err != nil {
					t.Fatal(err)
				}
				if tc.after > 0 {
					time.AfterFunc(tc.after, func() { first.Close() })
				}
				began := time.Now()
				second, err := next(b)
				if err != nil || time.Since(began) != tc.took {
					t.Errorf("after %v, want %v; %v", time.Since(began), tc.took, err)
				}
				if got := send(t, second); got != "the body" {
					t.Errorf("sent %q", got)
				}
				if n, err := first.Read(make([]byte, 1)); n != 0 || err != errPassed && err != errClosed {
					t.Errorf("the first attempt reads %d bytes, %v", n, err)
				}
			})
		})
	}
}

// An attempt whose end was read is not waited for, although nobody has closed it.
func TestEndIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(sharing(t, newSeekable("the body")), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		first, err := next(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(first); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		second, err := next(b)
		if err != nil || time.Since(began) != 0 {
			t.Errorf("after %v, %v", time.Since(began), err)
		}
		if got := send(t, second); got != "the body" {
			t.Errorf("sent %q", got)
		}
	})
}

// A Read that blocks is ended by closing the body, and one that does not even end
// then holds Next no longer than the context lives.
func TestBlockedRead(t *testing.T) {
	for name, unblocks := range map[string]bool{"Close unblocks": true, "Close is ignored": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				enough := errors.New("enough")
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, enough)
				defer cancel()
				pr, pw := io.Pipe()
				defer pw.Close()
				first := &counted{Reader: pr}
				if unblocks {
					first.onClose = func() { pr.Close() }
				}
				r := request(t, first).WithContext(ctx)
				asked := false
				r.GetBody = func() (io.ReadCloser, error) {
					asked = true
					return io.NopCloser(bytes.NewReader([]byte("again"))), nil
				}
				b, err := New(r, Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				attempt, err := next(b)
				if err != nil {
					t.Fatal(err)
				}
				go attempt.Read(make([]byte, 1))
				synctest.Wait()
				began := time.Now()
				again, err := next(b)
				if unblocks {
					if err != nil || time.Since(began) != 2*handover {
						t.Fatalf("after %v, %v", time.Since(began), err)
					}
					if got := send(t, again); got != "again" {
						t.Errorf("sent %q", got)
					}
					return
				}
				if again != nil || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, enough) || asked {
					t.Errorf("%v, %v, GetBody was asked: %v", again, err, asked)
				}
			})
		})
	}
}
