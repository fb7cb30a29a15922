package keyring

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/testmain"
)

func TestMain(m *testing.M) { testmain.Run(m) }

// A capture is one key or keyring of testdata/mit.txt.
type capture struct {
	ring       string // that it is in
	kind, name string
	payload    []byte
}

func captured(tb testing.TB) []capture {
	tb.Helper()
	b, err := os.ReadFile("testdata/mit.txt")
	if err != nil {
		tb.Fatal(err)
	}
	var out []capture
	ring := ""
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		switch {
		case f[0] == "#":
		case f[0] == kindRing:
			ring = f[1]
		default:
			payload, err := hex.DecodeString(f[2])
			if err != nil {
				tb.Fatal(err)
			}
			out = append(out, capture{ring, f[0], f[1], payload})
		}
	}
	if len(out) != 10 {
		tb.Fatalf("%d captured keys", len(out))
	}
	return out
}

// entriesOf returns the captured keys of one cache.
func entriesOf(tb testing.TB, cache string) (out []entry) {
	tb.Helper()
	for _, c := range captured(tb) {
		if c.ring == cache {
			out = append(out, entry{c.name, c.payload})
		}
	}
	return out
}

// current returns what MIT wrote, with tickets that end in so many hours and a
// half.
func current(tb testing.TB, cache string, hours int) *ccache.Cache {
	tb.Helper()
	c, err := assemble(entriesOf(tb, cache))
	if err != nil {
		tb.Fatal(err)
	}
	for i := range c.Credentials {
		c.Credentials[i].EndTime = time.Now().Add(time.Duration(hours)*time.Hour + 30*time.Minute).UTC().Truncate(time.Second)
	}
	return c
}

// flat gives caches a form in which they can be compared.
func flat(tb testing.TB, c *ccache.Cache) map[string]string {
	tb.Helper()
	if c == nil {
		return nil
	}
	entries, err := disassemble(c, false)
	if err != nil {
		tb.Fatal(err)
	}
	out := make(map[string]string)
	for _, e := range entries {
		out[e.name] = hex.EncodeToString(e.payload)
	}
	return out
}

// another returns a credential like those of c for another server.
func another(c *ccache.Cache, host string) ccache.Credential {
	out := c.Credentials[0]
	out.Server = krb.NewPrincipal(c.Client.Realm, "HTTP", host)
	return out
}

// newSession gives the test's thread a session of its own, which ends with the
// test.
func newSession(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread and all its keyrings end with the test's goroutine
	if _, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0); err != nil {
		noKeyrings(t, err)
		t.Fatal(err)
	}
}

// noKeyrings skips a test if the kernel does not let one handle keys, as in
// many containers.
func noKeyrings(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) {
		t.Skipf("no keyrings here: %v", err)
	}
}

// collectionName returns a name that nobody has.
func collectionName() string { return "kerbchain-test-" + rand.Text() }

func open(t *testing.T, residual string) ccache.Collection {
	t.Helper()
	c, err := Open(ccache.Name{Type: "KEYRING", Residual: residual})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// openStore opens the cache that is primary.
func openStore(t *testing.T, residual string) *store {
	t.Helper()
	s, err := open(t, residual).Primary(t.Context())
	if err != nil {
		noKeyrings(t, err)
		t.Fatal(err)
	}
	return s.(*store)
}

// load reads a cache that must be there.
func load(t *testing.T, s ccache.Store) map[string]string {
	t.Helper()
	c, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return flat(t, c)
}

func names(t *testing.T, c ccache.Collection) []string {
	t.Helper()
	stores, err := c.Stores(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, s := range stores {
		out = append(out, s.Name().Residual)
	}
	return out
}

// put makes a key, or a keyring if its type is that.
func put(t *testing.T, ring serial, kind, name string, payload []byte) serial {
	t.Helper()
	return must(withQuota(t.Context(), func() (serial, error) { return addKey(ring, kind, name, payload) }))(t)
}

// must returns what a call gave that cannot fail in this test.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// clean takes the caches made by a test out of its user's keyrings.
func clean(t *testing.T, residual string) {
	r := must(parseName(ccache.Name{Type: "KEYRING", Residual: residual}))(t)
	ctx := context.Background() // the test's has ended when it is cleaned up
	existed := ownThread(func() error { _, err := r.find(ctx); return err }) == nil
	t.Cleanup(func() {
		err := ownThread(func() error {
			ring, name, err := r.parent(ctx)
			if err != nil {
				return err
			}
			id, err := withQuota(ctx, func() (serial, error) { return search(ring, kindRing, name, threadRing) })
			if err != nil {
				return err
			}
			if existed {
				ring = id
				if id, err = search(ring, kindRing, r.cache, 0); err != nil {
					return err
				}
			}
			return unlink(id, ring)
		})
		if err != nil && !absent(err) {
			t.Error(err)
		}
	})
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
