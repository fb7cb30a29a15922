//go:build interop

package interop

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// TestUploads sends bodies to Apache, which says 401 as soon as it has read the
// header, and 100 Continue when a CGI begins to read.
func TestUploads(t *testing.T) {
	r := startRealm(t, etypes[0])
	l := &lab{r, startWeb(t, r)}
	sizes := map[string]int64{"empty": 0, "a byte": 1, "64 KiB": 64 << 10, "64 MiB": 64 << 20}
	for _, kind := range kinds {
		for name, size := range sizes {
			for upload, u := range uploads {
				if size == 0 && u.once {
					continue // nothing that could not be kept
				}
				t.Run(fmt.Sprintf("%s of %s over %s", upload, name, kind), func(t *testing.T) { l.testUpload(t, kind, u, size) })
			}
		}
	}
}

// An upload is a way to send a body.
type upload struct {
	make   func(t *testing.T, r *http.Request, size int64)
	change func(t *testing.T, o *client.Options)
	once   bool     // it cannot be sent twice
	want   []string // statuses
}

var uploads = map[string]upload{
	"GetBody": {
		make: func(_ *testing.T, r *http.Request, size int64) {
			r.Body, r.ContentLength = io.NopCloser(random(size)), size
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(random(size)), nil }
		},
		want: []string{"401", "200"},
	},
	"file of unknown length": {
		make: func(t *testing.T, r *http.Request, size int64) {
			f, err := os.Create(filepath.Join(t.TempDir(), "body"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(f, random(size)); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			r.Body = f
		},
		want: []string{"401", "200"},
	},
	"stream that is spilled": {
		make:   stream,
		change: func(t *testing.T, o *client.Options) { o.SpillLimit, o.SpillDir = 1<<30, t.TempDir() },
		want:   []string{"401", "200"},
	},
	"stream with Expect": {
		make: stream, once: true,
		change: func(_ *testing.T, o *client.Options) { o.BodyLimit, o.OneShot = -1, negotiate.Expect },
		want:   []string{"401", "200"},
	},
	"stream after a probe": {
		make: stream, once: true,
		change: func(_ *testing.T, o *client.Options) { o.BodyLimit, o.OneShot = -1, negotiate.Probe },
		want:   []string{"401", "200"},
	},
	"stream that is signed at once": {
		make: stream, once: true,
		change: func(_ *testing.T, o *client.Options) { o.BodyLimit, o.Preemptive = -1, preemptive.Always() },
		want:   []string{"200"},
	},
}

// random returns size bytes that are the same each time.
func random(size int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), size) }

// stream makes a body of a length that is not told, which can be read once.
func stream(_ *testing.T, r *http.Request, size int64) {
	r.Body, r.ContentLength = io.NopCloser(random(size)), -1
}

func (l *lab) testUpload(t *testing.T, kind string, u upload, size int64) {
	o := l.options(t)
	tr := o.Transport.(*http.Transport)
	tr.ExpectContinueTimeout = patience / 2 // longer than Apache takes
	if u.change != nil {
		u.change(t, &o)
	}
	c := newClient(t, o)
	path := "/auth/cgi/sum?" + strings.NewReplacer(" ", "_", "/", "_").Replace(t.Name())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.url(t, kind, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	u.make(t, r, size)
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, random(size)); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%d %x\n", size, h.Sum(nil)); string(got) != want {
		t.Errorf("status %d, %q, want %q", resp.StatusCode, got, want)
	}
	if (kind == "h2") != (resp.ProtoMajor == 2) {
		t.Errorf("over %s", resp.Proto)
	}
	c.CloseIdleConnections() // Apache may log what came over HTTP/2 no earlier
	if got := slices.Sorted(slices.Values(l.requests(t, path, len(u.want)))); !slices.Equal(got, slices.Sorted(slices.Values(u.want))) {
		t.Errorf("Apache logged %v, want %v", got, u.want)
	}
}
