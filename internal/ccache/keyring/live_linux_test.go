package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/kerbchain/kerbchain/internal/ccache"
)

// From nothing to a cache that is replaced, at each anchor.
func TestLife(t *testing.T) {
	name := collectionName()
	for anchor, tc := range map[string]struct {
		residual string
		cache    string // name of the primary one
		shared   bool   // below a keyring that outlives the test
	}{
		"session":            {"session:" + name, "session:" + name + ":" + name, false},
		"session, one cache": {"session:" + name + ":one", "session:" + name + ":one", false},
		"no collection":      {"session:", "session::tkt", false},
		"legacy":             {name, "legacy:" + name + ":" + name, false},
		"process":            {"process:" + name, "process:" + name + ":" + name, false},
		"thread":             {"thread:" + name, "thread:" + name + ":" + name, false},
		"user":               {"user:" + name, "user:" + name + ":" + name, true},
		"persistent":         {"persistent::" + name, "persistent::" + name, true},
		"persistent, number": {"persistent:" + strconv.Itoa(os.Geteuid()) + ":" + name, "persistent:" + strconv.Itoa(os.Geteuid()) + ":" + name, true},
	} {
		t.Run(anchor, func(t *testing.T) {
			newSession(t)
			if tc.shared {
				clean(t, tc.residual)
			}
			c := open(t, tc.residual)
			s := openStore(t, tc.residual)
			ctx := t.Context()
			if s.Name() != (ccache.Name{Type: "KEYRING", Residual: tc.cache}) {
				t.Errorf("primary %s, want %s", s.Name(), tc.cache)
			}

			lab := current(t, "lab", 10)
			if _, err := s.Load(ctx); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("load before it is there: %v", err)
			}
			if _, err := s.State(ctx); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("state before it is there: %v", err)
			}
			if err := s.Add(ctx, another(lab, "a")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("add before it is there: %v", err)
			}
			if got := names(t, c); len(got) > 0 {
				t.Errorf("caches %q", got)
			}

			want := flat(t, lab)
			if s.at.anchor == anchorLegacy {
				delete(want, offsetsKey)
			}
			if err := s.Replace(ctx, lab); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, load(t, s)); diff != "" {
				t.Errorf("loaded (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{tc.cache}, names(t, c)); diff != "" {
				t.Errorf("caches (-want +got):\n%s", diff)
			}

			states := []string{must(s.State(ctx))(t)}
			if same := must(s.State(ctx))(t); same != states[0] {
				t.Errorf("states %s and %s of one cache", states[0], same)
			}
			more := another(lab, "a")
			if err := s.Add(ctx, more, another(lab, "b")); err != nil {
				t.Fatal(err)
			}
			states = append(states, must(s.State(ctx))(t))
			more.EndTime = more.EndTime.Add(time.Hour)
			if err := s.Add(ctx, more); err != nil { // in the place of the other
				t.Fatal(err)
			}
			states = append(states, must(s.State(ctx))(t))
			both := *lab
			both.Credentials = append(slices.Clone(lab.Credentials), more, another(lab, "b"))
			want = flat(t, &both)
			if s.at.anchor == anchorLegacy {
				delete(want, offsetsKey)
			}
			if diff := cmp.Diff(want, load(t, s)); diff != "" {
				t.Errorf("loaded after add (-want +got):\n%s", diff)
			}

			second := current(t, "second", 10)
			second.KDCOffset = 0
			if err := s.Replace(ctx, second); err != nil {
				t.Fatal(err)
			}
			states = append(states, must(s.State(ctx))(t))
			if diff := cmp.Diff(flat(t, second), load(t, s)); diff != "" {
				t.Errorf("loaded after replace (-want +got):\n%s", diff)
			}
			slices.Sort(states)
			if n := len(slices.Compact(states)); n != 4 {
				t.Errorf("%d states of 4 contents", n)
			}
			if diff := cmp.Diff([]string{tc.cache}, names(t, c)); diff != "" {
				t.Errorf("caches (-want +got):\n%s", diff)
			}
			if id, err := search(threadRing, kindRing, scratch, 0); !absent(err) {
				t.Errorf("keyring %d was left behind: %v", id, err)
			}

			for name, err := range map[string]error{
				"load":    errOf(s.Load(cancelled())),
				"state":   errOf(s.State(cancelled())),
				"add":     s.Add(cancelled(), more),
				"replace": s.Replace(cancelled(), lab),
				"stores":  errOf(c.Stores(cancelled())),
				"primary": errOf(c.Primary(cancelled())),
			} {
				if !errors.Is(err, cancelled().Err()) {
					t.Errorf("%s after the context's end: %v", name, err)
				}
			}
		})
	}
}

func errOf[T any](_ T, err error) error { return err }

// lab makes a collection "lab" with what MIT wrote in a session of its own, and
// returns the keyrings.
func lab(t *testing.T) (collection serial, rings map[string]serial) {
	t.Helper()
	newSession(t)
	collection = put(t, sessionRing, kindRing, "_krb_lab", nil)
	rings = make(map[string]serial)
	for _, c := range captured(t) {
		if c.ring == "" {
			put(t, collection, c.kind, c.name, c.payload)
			continue
		}
		if rings[c.ring] == 0 {
			rings[c.ring] = put(t, collection, kindRing, c.ring, nil)
		}
		put(t, rings[c.ring], c.kind, c.name, c.payload)
	}
	return collection, rings
}

func revoke(t *testing.T, id serial) {
	t.Helper()
	must(unix.KeyctlInt(unix.KEYCTL_REVOKE, int(id), 0, 0, 0))(t)
}

func TestCollection(t *testing.T) {
	collection, rings := lab(t)
	c := open(t, "session:lab")
	put(t, collection, kindRing, "a;b", nil)
	revoke(t, put(t, collection, kindRing, "revoked", nil))
	put(t, collection, kindUser, "no cache", []byte("x"))
	want := []string{"session:lab:second", "session:lab:a;b", "session:lab:lab"}
	if diff := cmp.Diff(want, names(t, c)); diff != "" {
		t.Errorf("caches (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"session:lab:lab"}, names(t, open(t, "session:lab:lab"))); diff != "" {
		t.Errorf("one cache (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{}, names(t, open(t, "session:lab:third"))); diff != "" {
		t.Errorf("one that is not there (-want +got):\n%s", diff)
	}
	for cache := range rings {
		s := openStore(t, "session:lab:"+cache)
		if diff := cmp.Diff(flat(t, must(assemble(entriesOf(t, cache)))(t)), load(t, s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.Name(), diff)
		}
	}

	// A primary cache that is not there comes first in no list.
	put(t, collection, kindUser, primaryKey, []byte("\x00\x00\x00\x01\x00\x00\x00\x04gone"))
	if diff := cmp.Diff([]string{"session:lab:a;b", "session:lab:lab", "session:lab:second"}, names(t, c)); diff != "" {
		t.Errorf("caches (-want +got):\n%s", diff)
	}
	if n := openStore(t, "session:lab").Name().Residual; n != "session:lab:gone" {
		t.Errorf("primary %s", n)
	}
	key := put(t, collection, kindUser, primaryKey, []byte("\x00\x00\x00\x02"))
	for name, err := range map[string]error{
		"primary": errOf(c.Primary(t.Context())),
		"stores":  errOf(c.Stores(t.Context())),
	} {
		if pe, ok := errors.AsType[*ccache.ParseError](err); !ok || pe.Name != "KEYRING:session:lab" {
			t.Errorf("%s, primary key cut off: %v", name, err)
		}
	}
	revoke(t, key)
	if n := openStore(t, "session:lab").Name().Residual; n != "session:lab:lab" {
		t.Errorf("primary without a primary key %s", n)
	}
}

func TestPartsMissing(t *testing.T) {
	_, rings := lab(t)
	ring := rings["lab"]
	s := openStore(t, "session:lab:lab")
	put(t, ring, "logon", "afs:secret", []byte("not to be read"))
	put(t, ring, kindRing, "inner", nil)
	before := must(s.State(t.Context()))(t)
	find := func(name string) serial { return must(search(ring, kindUser, name, 0))(t) }

	want := flat(t, must(assemble(entriesOf(t, "lab")))(t))
	delete(want, "HTTP/localhost@A.EXAMPLE")
	revoke(t, find("HTTP/localhost@A.EXAMPLE"))
	if diff := cmp.Diff(want, load(t, s)); diff != "" {
		t.Errorf("without what was revoked (-want +got):\n%s", diff)
	}
	if after := must(s.State(t.Context()))(t); after == before {
		t.Error("the state is the same without one credential")
	}

	if err := unlink(find("krbtgt/A.EXAMPLE@A.EXAMPLE"), ring); err != nil {
		t.Fatal(err)
	}
	if c := must(s.Load(t.Context()))(t); len(c.Credentials) != 0 || len(c.Config) != 1 {
		t.Errorf("%d credentials, %d configuration entries", len(c.Credentials), len(c.Config))
	}

	put(t, ring, kindUser, "x@R", []byte("\x00\x00\x00\x01\xff"))
	_, err := s.Load(t.Context())
	if pe, ok := errors.AsType[*ccache.ParseError](err); !ok || pe.Name != "KEYRING:session:lab:lab" {
		t.Errorf("credential cut off: %v", err)
	}
	revoke(t, find("x@R"))

	if err := unlink(find(principalKey), ring); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "no principal") {
		t.Errorf("no principal: %v", err)
	}
	revoke(t, ring)
	for name, err := range map[string]error{
		"load":  errOf(s.Load(t.Context())),
		"state": errOf(s.State(t.Context())),
		"add":   s.Add(t.Context(), another(current(t, "lab", 1), "a")),
	} {
		if !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, unix.EKEYREVOKED) {
			t.Errorf("%s of what was revoked: %v", name, err)
		}
	}
	if err := s.Replace(t.Context(), current(t, "lab", 1)); err != nil {
		t.Fatal(err)
	}
	load(t, s)
}

func TestRefused(t *testing.T) {
	const nothing, view = 0, 0x01010000
	for name, tc := range map[string]struct {
		perm uint32
		of   func(collection serial, rings map[string]serial) serial
	}{
		"collection": {nothing, func(c serial, _ map[string]serial) serial { return c }},
		"cache":      {view, func(_ serial, r map[string]serial) serial { return r["lab"] }},
		"principal": {view, func(_ serial, r map[string]serial) serial {
			return must(search(r["lab"], kindUser, principalKey, 0))(t)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			collection, rings := lab(t)
			if err := unix.KeyctlSetperm(int(tc.of(collection, rings)), tc.perm); err != nil {
				t.Fatal(err)
			}
			s := openStore(t, "session:lab:lab")
			_, err := s.Load(t.Context())
			if !errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "KEYRING:session:lab:lab") {
				t.Errorf("load: %v", err)
			}
			if name == "principal" {
				return
			}
			if _, err := s.State(t.Context()); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("state: %v", err)
			}
			if err := s.Add(t.Context(), another(current(t, "lab", 1), "a")); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("add: %v", err)
			}
		})
	}
}

func TestNotOurs(t *testing.T) {
	_, rings := lab(t)
	const nobody = 65534
	if _, err := unix.KeyctlInt(unix.KEYCTL_CHOWN, int(rings["lab"]), nobody, -1, 0); err != nil {
		t.Skipf("may not give a keyring away: %v", err)
	}
	s := openStore(t, "session:lab:lab")
	before := load(t, s)
	if err := s.Add(t.Context(), another(current(t, "lab", 1), "a")); !errors.Is(err, ccache.ErrNotOurs) {
		t.Errorf("add: %v", err)
	}
	if err := s.Replace(t.Context(), current(t, "second", 1)); !errors.Is(err, ccache.ErrNotOurs) {
		t.Errorf("replace: %v", err)
	}
	if diff := cmp.Diff(before, load(t, s)); diff != "" {
		t.Errorf("afterwards (-want +got):\n%s", diff)
	}
}

func TestOtherUsersPersistent(t *testing.T) {
	newSession(t)
	other := strconv.Itoa(os.Geteuid() + 1)
	s := openStoreOf(t, "persistent:"+other+":lab")
	if err := s.Replace(t.Context(), current(t, "lab", 1)); !errors.Is(err, ccache.ErrNotOurs) && !errors.Is(err, fs.ErrPermission) {
		t.Errorf("replace: %v", err)
	}
}

func openStoreOf(t *testing.T, residual string) ccache.Store {
	t.Helper()
	return must(open(t, residual).Primary(t.Context()))(t)
}

// Old versions of MIT's library keep a cache in the session keyring itself.
func TestLegacy(t *testing.T) {
	newSession(t)
	old := put(t, sessionRing, kindRing, "lab", nil)
	for _, e := range entriesOf(t, "lab") {
		put(t, old, kindUser, e.name, e.payload)
	}
	c := open(t, "lab")
	s := openStore(t, "lab")
	if diff := cmp.Diff(flat(t, must(assemble(entriesOf(t, "lab")))(t)), load(t, s)); diff != "" {
		t.Errorf("loaded (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"legacy:lab:lab"}, names(t, c)); diff != "" {
		t.Errorf("caches (-want +got):\n%s", diff)
	}
	if _, err := openStore(t, "session:lab").Load(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("at another anchor: %v", err)
	}

	second := current(t, "second", 1)
	if err := s.Replace(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	collection := must(search(sessionRing, kindRing, "_krb_lab", 0))(t)
	inside := must(search(collection, kindRing, "lab", 0))(t)
	if direct := must(list(sessionRing))(t); !slices.Contains(direct, inside) || slices.Contains(direct, old) {
		t.Errorf("the session holds %d, not the new cache %d", direct, inside)
	}
	for _, id := range must(list(inside))(t) {
		if d := must(describe(id))(t); d.kind != kindUser {
			t.Errorf("%s is of type %s", d.name, d.kind)
		}
	}

	// A collection that names its primary cache has taken in what there was.
	if err := unlink(inside, collection); err != nil {
		t.Fatal(err)
	}
	put(t, collection, kindUser, primaryKey, []byte("\x00\x00\x00\x01\x00\x00\x00\x03lab"))
	if _, err := s.Load(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a collection with a primary key: %v", err)
	}
}

// The kernel drops what has ended.
func TestEnd(t *testing.T) {
	newSession(t)
	s := openStore(t, "session:lab")
	c := current(t, "lab", 10)
	c.KDCOffset = 0
	c.Credentials[0].EndTime = c.Credentials[0].EndTime.Add(-5 * time.Hour)
	if err := s.Replace(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	ring := must(s.at.findCache(t.Context(), "lab"))(t)
	key := func(name string) serial {
		id, err := search(ring, kindBig, name, 0)
		if absent(err) {
			id, err = search(ring, kindUser, name, 0)
		}
		return must(id, err)(t)
	}
	first, tgt := c.Credentials[0].Server.String(), c.Credentials[1].Server.String()
	ended := another(c, "ended")
	ended.EndTime = time.Now().Add(-time.Hour)
	if err := s.Add(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{
		"cache": ends(t, ring), "first": ends(t, key(first)), "TGT": ends(t, key(tgt)), "ended": ends(t, key(ended.Server.String())),
		"principal": ends(t, key(principalKey)),
	}
	want := map[string]string{"cache": "10h", "first": "5h", "TGT": "10h", "ended": "perm", "principal": "perm"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("time left (-want +got):\n%s", diff)
	}
	long := another(c, "long")
	long.EndTime = time.Now().Add(60*time.Hour + 30*time.Minute)
	if err := s.Add(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	if got := ends(t, ring); got != "2d" {
		t.Errorf("the cache with a ticket for 60 hours ends in %s", got)
	}
	// The KDC's clock, by which tickets end, may be another.
	c.KDCOffset = -7 * time.Hour
	if err := s.Replace(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := ends(t, must(s.at.findCache(t.Context(), "lab"))(t)); got != "17h" {
		t.Errorf("the cache ends in %s", got)
	}
}

// ends returns what /proc/keys says about the time that a key has left.
func ends(t *testing.T, id serial) string {
	t.Helper()
	b, err := os.ReadFile("/proc/keys")
	if err != nil {
		t.Skip(err)
	}
	m := regexp.MustCompile(`(?m)^0*` + strconv.FormatInt(int64(id), 16) + ` +\S+ +\S+ +(\S+)`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("/proc/keys does not show %08x", int(id))
	}
	return string(m[1])
}

// A cache that is replaced under an operation is looked up again.
func TestDisplaced(t *testing.T) {
	lab(t)
	s := openStore(t, "session:lab:lab")
	for name, errno := range map[string]unix.Errno{"gone": unix.ENOKEY, "out of reach": unix.EACCES} {
		t.Run(name, func(t *testing.T) {
			lab(t)
			var found []serial
			err := s.onRing(t.Context(), func(ring serial) error {
				found = append(found, ring)
				if len(found) == 1 {
					put(t, must(s.at.find(t.Context()))(t), kindRing, "lab", nil)
					return fault("keyctl_read", errno)
				}
				return nil
			})
			if err != nil || len(found) != 2 || found[0] == found[1] {
				t.Errorf("looked up %d, error %v", found, err)
			}
			found = nil
			err = s.onRing(t.Context(), func(ring serial) error {
				found = append(found, ring)
				return fault("keyctl_read", errno)
			})
			if !errors.Is(err, errno) || len(found) != 2 {
				t.Errorf("the same one: looked up %d, error %v", found, err)
			}
		})
	}
}

// Payloads are read whole, and what the kernel does not take leaves the cache as
// it was.
func TestLargePayload(t *testing.T) {
	newSession(t)
	s := openStore(t, "session:lab")
	c := current(t, "second", 1)
	c.Credentials[0].Raw = slices.Repeat([]byte("x"), 9_000)
	if err := s.Replace(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(flat(t, c), load(t, s)); diff != "" {
		t.Error("a ticket of 9,000 bytes came back as another")
	}
	large := another(c, "large")
	large.Raw = slices.Repeat([]byte("x"), 40_000)
	both := *c
	both.Credentials = append(slices.Clone(c.Credentials), large)
	err := s.Replace(t.Context(), &both)
	switch {
	case err == nil:
		c = &both
	case errors.Is(err, unix.EINVAL) && strings.Contains(err.Error(), "big_key"):
	case errors.Is(err, unix.EDQUOT) && strings.Contains(err.Error(), "quota"):
	default:
		t.Errorf("a ticket of 40,000 bytes: %v", err)
	}
	if diff := cmp.Diff(flat(t, c), load(t, s)); diff != "" {
		t.Error("afterwards the cache is another")
	}
	if id, err := search(threadRing, kindRing, scratch, 0); !absent(err) {
		t.Errorf("keyring %d was left behind: %v", id, err)
	}
}

// A cache of more keys than are read is refused, and so is a collection of as many.
func TestManyKeys(t *testing.T) {
	newSession(t)
	s := openStore(t, "session:lab")
	if err := s.Replace(t.Context(), current(t, "second", 1)); err != nil {
		t.Fatal(err)
	}
	ring := must(s.at.findCache(t.Context(), s.at.cache))(t)
	for i := len(must(list(ring))(t)); i < maxKeys; i++ {
		if _, err := addKey(ring, kindRing, fmt.Sprint(i), nil); errors.Is(err, unix.EDQUOT) {
			t.Skipf("the user may not have as many keys: %v", err)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Load(t.Context()); err != nil {
		t.Errorf("%d keys: %v", maxKeys, err)
	}
	before := must(list(ring))(t)
	if err := s.Add(t.Context(), another(current(t, "second", 1), "one-more")); err == nil || !strings.Contains(err.Error(), "16384 entries") || !strings.Contains(err.Error(), s.Name().String()) {
		t.Errorf("added to a full cache: %v", err)
	}
	if after := must(list(ring))(t); !slices.Equal(before, after) {
		t.Error("the full cache was changed")
	}
	put(t, ring, kindRing, "one more", nil)
	for name, err := range map[string]error{"load": errOf(s.Load(t.Context())), "state": errOf(s.State(t.Context()))} {
		if pe, ok := errors.AsType[*ccache.ParseError](err); !ok || !errors.Is(err, ccache.ErrMalformed) || !strings.Contains(err.Error(), "at most 16386 keys in a keyring") || pe.Name != s.Name().String() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A thread's keyring is that of no other thread.
func TestThreads(t *testing.T) {
	newSession(t)
	s := openStore(t, "thread:lab")
	if err := s.Replace(t.Context(), current(t, "lab", 1)); err != nil {
		t.Fatal(err)
	}
	load(t, s)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := s.Load(t.Context())
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "runtime.LockOSThread") {
			t.Errorf("from another thread: %v", err)
		}
	})
	wg.Wait()
	load(t, s)
}

func TestOwnThread(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	id := unix.Gettid()
	want := errors.New("want")
	if err := ownThread(func() error {
		if got := unix.Gettid(); got == id || got == unix.Getpid() {
			t.Errorf("runs on thread %d, called on %d of process %d", got, id, unix.Getpid())
		}
		return want
	}); err != want {
		t.Error(err)
	}
	if err := callersThread(func() error {
		if got := unix.Gettid(); got != id {
			t.Errorf("runs on thread %d, called on %d", got, id)
		}
		return want
	}); err != want {
		t.Error(err)
	}
}

// Readers see the old cache or the new one, whole, while writers are at work.
func TestConcurrent(t *testing.T) {
	newSession(t)
	residual := "user:" + collectionName()
	clean(t, residual)
	s := openStore(t, residual)
	caches := map[string]*ccache.Cache{"alice": current(t, "lab", 10), "bob": current(t, "second", 10)}
	if err := s.Replace(t.Context(), caches["alice"]); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 60 {
				c, err := s.Load(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				name := c.Client.Components[0]
				want := flat(t, caches[name])
				got := flat(t, c)
				delete(got, "HTTP/added@A.EXAMPLE")
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("the cache of %s (-want +got):\n%s", name, diff)
				}
				if _, err := s.State(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			for _, c := range caches {
				if err := s.Replace(t.Context(), c); err != nil {
					t.Error(err)
				}
			}
		}
	})
	wg.Go(func() {
		for range 20 {
			if err := s.Add(t.Context(), another(caches["bob"], "added")); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}
