package client_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/testmain"
)

// uploads makes TestUploads longer: so many calls for each protocol, body and
// size, and 64 MiB among the sizes.
var uploads = flag.Int("uploads", 0, "calls of TestUploads for each body and size, up to 64 MiB")

// A body arrives whole or the call fails, and here it does not fail: whatever
// GetBody does, over a server that says 401 on the header and swallows the rest
// of the unsigned body at its leisure, as Tomcat does.
func TestUploads(t *testing.T) {
	t.Parallel()
	sizes, calls := []int{1, 300_000, 2 << 20}, 2
	if testing.Short() {
		sizes, calls = sizes[:2], 1
	}
	if *uploads > 0 {
		sizes, calls = []int{300_000, 16 << 20, 64 << 20}, *uploads
	}
	for protocol, o := range map[string]fakeweb.ServerOptions{
		"HTTP1": {}, "HTTP1 over TLS": {TLS: true}, "HTTP2": {TLS: true, HTTP2: true},
	} {
		t.Run(protocol, func(t *testing.T) {
			realm := start(t)
			s := fakeweb.Serve(realm, swallowing(fakeweb.New(realm, spn, fakeweb.Options{Next: summing})), o)
			co := kinit(t, realm, spn)
			co.Transport = s.Transport()
			plain := newClient(t, co)
			retryable, err := client.NewRetryable(co)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(retryable.HTTPClient.CloseIdleConnections)
			retryable.RetryMax, retryable.Logger = 0, nil // what fails is to be seen
			for _, size := range sizes {
				data := make([]byte, size)
				_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(data)
				want := fmt.Sprintf("%d %x", size, sha256.Sum256(data))
				path := testmain.File(t, "upload", data)
				for kind, body := range sharedBodies {
					t.Run(fmt.Sprintf("%s of %d", kind, size), func(t *testing.T) {
						wrong, failed := map[string]int{}, map[string]int{}
						for range calls {
							got, err := body(t, upload{plain, retryable, s.URL(), data, path})
							if err != nil {
								failed[err.Error()]++
							} else if got != want {
								wrong[got]++
							}
						}
						if len(wrong)+len(failed) > 0 {
							t.Errorf("of %d calls, wrong with status 200: %v; failed: %v", calls, wrong, failed)
						}
					})
				}
			}
		})
	}
}

// summing answers with length and SHA-256 of the body.
var summing = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "%d %x", n, h.Sum(nil))
})

// swallowing answers what bears no token before it reads the body.
func swallowing(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			h.ServeHTTP(w, r)
			return
		}
		c := http.NewResponseController(w)
		if err := c.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			panic(err)
		}
		w.Header().Set("WWW-Authenticate", "Negotiate")
		w.Header().Set("Content-Length", "3")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "401")
		_ = c.Flush()
		if r.ProtoMajor > 1 {
			return // the client stops by itself, and waits for the end of the stream
		}
		for buf := make([]byte, 64<<10); ; time.Sleep(100 * time.Microsecond) {
			if _, err := r.Body.Read(buf); err != nil {
				return
			}
		}
	})
}

// An upload is one to send, in the ways of sharedBodies.
type upload struct {
	plain     *http.Client
	retryable *retryablehttp.Client
	url       string
	data      []byte
	path      string // of a file with the data
}

func (u upload) open(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(u.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// retry sends body through retryablehttp, which makes GetBody of it.
func (u upload) retry(t *testing.T, body any) (string, error) {
	t.Helper()
	r, err := retryablehttp.NewRequestWithContext(t.Context(), http.MethodPost, u.url, body)
	if err != nil {
		t.Fatal(err)
	}
	return uploaded(u.retryable.Do(r))
}

// send sends body, of which GetBody says how it is had again.
func (u upload) send(t *testing.T, body io.ReadCloser, length int64, again func() (io.ReadCloser, error)) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u.url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength, r.GetBody = length, again
	return uploaded(u.plain.Do(r))
}

func uploaded(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return "", errors.Join(fmt.Errorf("status %d", resp.StatusCode), err)
	}
	return string(b), err
}

// sharedBodies are ways to send an upload again; most set one reader back.
var sharedBodies = map[string]func(*testing.T, upload) (string, error){
	"file, retryable":           func(t *testing.T, u upload) (string, error) { return u.retry(t, u.open(t)) },
	"strings.Reader, retryable": func(t *testing.T, u upload) (string, error) { return u.retry(t, strings.NewReader(string(u.data))) },
	"bytes.Reader, retryable":   func(t *testing.T, u upload) (string, error) { return u.retry(t, bytes.NewReader(u.data)) },
	"seeker of unknown length, retryable": func(t *testing.T, u upload) (string, error) {
		return u.retry(t, struct{ io.ReadSeeker }{bytes.NewReader(u.data)})
	},
	"azcore":           func(t *testing.T, u upload) (string, error) { return u.azcore(t, int64(len(u.data))) },
	"azcore, chunked":  func(t *testing.T, u upload) (string, error) { return u.azcore(t, -1) },
	"connect":          func(t *testing.T, u upload) (string, error) { return u.connect(t, int64(len(u.data))) },
	"connect, chunked": func(t *testing.T, u upload) (string, error) { return u.connect(t, -1) },
	"copies": func(t *testing.T, u upload) (string, error) {
		again := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(u.data)), nil }
		body, _ := again()
		return u.send(t, body, -1, again)
	},
	"file": func(t *testing.T, u upload) (string, error) { return u.send(t, u.open(t), -1, nil) },
	"file that stands in its middle": func(t *testing.T, u upload) (string, error) {
		path := filepath.Join(t.TempDir(), "longer")
		if err := os.WriteFile(path, append([]byte("head"), u.data...), 0o600); err != nil {
			t.Fatal(err)
		}
		u.path = path
		f := u.open(t)
		if _, err := f.Seek(4, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		return u.send(t, f, -1, nil)
	},
	"seeker": func(t *testing.T, u upload) (string, error) {
		return u.send(t, seekCloser{bytes.NewReader(u.data)}, -1, nil)
	},
}

// azcore sends a body as Azure's SDK has it: GetBody seeks and returns the body.
func (u upload) azcore(t *testing.T, length int64) (string, error) {
	body := seekCloser{bytes.NewReader(u.data)}
	return u.send(t, body, length, func() (io.ReadCloser, error) {
		_, err := body.Seek(0, io.SeekStart)
		return body, err
	})
}

type seekCloser struct{ io.ReadSeeker }

func (seekCloser) Close() error { return nil }

// connect sends a body as ConnectRPC has it: one buffer, set back under a lock.
func (u upload) connect(t *testing.T, length int64) (string, error) {
	p := &payload{r: bytes.NewReader(u.data)}
	return u.send(t, p, length, func() (io.ReadCloser, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		_, err := p.r.Seek(0, io.SeekStart)
		return p, err
	})
}

type payload struct {
	mu sync.Mutex
	r  *bytes.Reader
}

func (p *payload) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.r.Read(b)
}

func (*payload) Close() error { return nil }
