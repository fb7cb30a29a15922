package kcm

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/krb"
)

var (
	alice = krb.NewPrincipal("R", "alice")
	bob   = krb.NewPrincipal("R", "bob")
	noon  = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
)

func credential(client krb.Principal, service string) ccache.Credential {
	return ccache.FromTicket(&krb.Ticket{
		Client: client, Server: krb.NewPrincipal("R", strings.Split(service, "/")...),
		AuthTime: noon, StartTime: noon, EndTime: noon.Add(time.Hour), Flags: krb.FlagForwardable, Raw: []byte("ticket for " + service),
	})
}

func cacheOf(client krb.Principal, services ...string) *ccache.Cache {
	c := &ccache.Cache{Version: 4, Client: client}
	c.Config = []ccache.Config{{Key: "fast_avail", Principal: "krbtgt/R@R", Value: []byte("yes")}, {Key: "start_realm", Value: []byte("R")}}
	for _, s := range services {
		c.Credentials = append(c.Credentials, credential(client, s))
	}
	return c
}

// text is a cache as its file would be, the order of entries aside.
func text(t *testing.T, c *ccache.Cache) string {
	t.Helper()
	sorted := *c
	sorted.Config, sorted.Credentials = slices.Clone(c.Config), slices.Clone(c.Credentials)
	slices.SortFunc(sorted.Config, func(a, b ccache.Config) int { return strings.Compare(a.Key, b.Key) })
	slices.SortFunc(sorted.Credentials, func(a, b ccache.Credential) int { return strings.Compare(string(a.Raw), string(b.Raw)) })
	b, err := sorted.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func state(t *testing.T, st ccache.Store) string {
	t.Helper()
	s, err := st.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func forEach(t *testing.T, test func(*testing.T, *fake)) {
	t.Helper()
	for name, d := range dialects {
		t.Run(name, func(t *testing.T) { test(t, start(t, d)) })
	}
}

// locked runs f while the daemon serves nobody.
func (f *fake) locked(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *fake) dialled() (n int) {
	f.locked(func() { n = f.dials })
	return n
}

func (f *fake) requests() (out []opcode) {
	f.locked(func() { out, f.asked = f.asked, nil })
	return out
}

func TestReadWrite(t *testing.T) {
	forEach(t, func(t *testing.T, f *fake) {
		st := f.store(t, "KCM:1000:work")
		if st.Name().String() != "KCM:1000:work" {
			t.Error(st.Name())
		}
		want := cacheOf(alice, "krbtgt/R", "HTTP/a")
		want.KDCOffset = -90 * time.Second
		if err := st.Replace(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		got := load(t, st)
		if diff := cmp.Diff(text(t, want), text(t, got)); diff != "" || got.Version != 4 || !got.Client.Equal(alice) {
			t.Errorf("version %d client %v: %s", got.Version, got.Client, diff)
		}

		before := state(t, st)
		if again := state(t, st); again != before {
			t.Errorf("state %s, then %s", before, again)
		}
		if err := st.Add(t.Context(), credential(alice, "HTTP/b"), credential(alice, "HTTP/c")); err != nil {
			t.Fatal(err)
		}
		want.Credentials = append(want.Credentials, credential(alice, "HTTP/b"), credential(alice, "HTTP/c"))
		if diff := cmp.Diff(text(t, want), text(t, load(t, st))); diff != "" {
			t.Error(diff)
		}
		after := state(t, st)
		if after == before {
			t.Error("the state does not tell that credentials were added")
		}

		// The same again is another state, and so is another offset alone.
		if err := st.Replace(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if s := state(t, st); s == after {
			t.Error("the state does not tell that the cache was replaced")
		} else {
			after = s
		}
		f.locked(func() { f.find("1000:work").offset = 1 })
		if state(t, st) == after {
			t.Error("the state does not tell of the clock offset")
		}

		f.locked(func() { f.find("1000:work").offset = 0 })
		ofAlice := state(t, st)
		p, err := ccache.MarshalPrincipal(bob)
		if err != nil {
			t.Fatal(err)
		}
		f.locked(func() { f.find("1000:work").principal = p })
		if state(t, st) == ofAlice {
			t.Error("the state does not tell of the principal")
		}

		empty := &ccache.Cache{Client: bob}
		if err := st.Replace(t.Context(), empty); err != nil {
			t.Fatal(err)
		}
		got = load(t, st)
		if !got.Client.Equal(bob) || len(got.Credentials)+len(got.Config) != 0 || got.KDCOffset != 0 {
			t.Errorf("an empty cache: %v %v %v %v", got.Client, got.Credentials, got.Config, got.KDCOffset)
		}
		f.locked(func() {
			if n := len(f.caches); n != 1 {
				t.Errorf("the daemon keeps %d caches", n)
			}
		})
	})
}

// One call talks over one connection.
func TestRoundTrips(t *testing.T) {
	for name, tc := range map[string]struct {
		load, state, replace []opcode
	}{
		"sssd": {
			load:    []opcode{opGetPrincipal, opGetKDCOffset, opGetCredList, opGetPrincipal},
			state:   []opcode{opGetPrincipal, opGetKDCOffset, opGetCredUUIDList},
			replace: []opcode{opReplace, opInitialize, opSetKDCOffset, opStore, opStore, opStore},
		},
		"Heimdal": {
			load: []opcode{opGetPrincipal, opGetKDCOffset, opGetCredList, opGetCredUUIDList, opGetCredByUUID, opGetCredByUUID,
				opGetCredByUUID, opGetPrincipal},
			state:   []opcode{opGetPrincipal, opGetKDCOffset, opGetCredUUIDList},
			replace: []opcode{opReplace, opInitialize, opSetKDCOffset, opStore, opStore, opStore},
		},
		"all extensions": {
			load:    []opcode{opGetPrincipal, opGetKDCOffset, opGetCredList, opGetPrincipal},
			state:   []opcode{opGetPrincipal, opGetKDCOffset, opGetCredUUIDList},
			replace: []opcode{opReplace},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, dialects[name])
			st := f.store(t, "KCM:1000")
			if err := st.Replace(t.Context(), cacheOf(alice, "krbtgt/R")); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.replace, f.requests()); diff != "" {
				t.Error(diff)
			}
			load(t, st)
			if diff := cmp.Diff(tc.load, f.requests()); diff != "" {
				t.Error(diff)
			}
			state(t, st)
			if diff := cmp.Diff(tc.state, f.requests()); diff != "" {
				t.Error(diff)
			}
			if n := f.dialled(); n != 3 {
				t.Errorf("%d connections for 3 calls", n)
			}
		})
	}
}

func TestNotThere(t *testing.T) {
	forEach(t, func(t *testing.T, f *fake) {
		for name, do := range map[string]func(ccache.Store) error{
			"load":  func(st ccache.Store) error { _, err := st.Load(t.Context()); return err },
			"state": func(st ccache.Store) error { _, err := st.State(t.Context()); return err },
			"add":   func(st ccache.Store) error { return st.Add(t.Context(), credential(alice, "HTTP/a")) },
		} {
			err := do(f.store(t, "KCM:1000:none"))
			if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || !known(err) || !strings.Contains(err.Error(), "kinit") {
				t.Errorf("%s: %v", name, err)
			}
		}
		f.locked(func() {
			if len(f.caches) != 0 {
				t.Error("a cache was made")
			}
			f.caches = []*kept{{name: "1000:raw", id: f.newID()}}
		})
		for name, do := range map[string]func(ccache.Store) error{
			"load":  func(st ccache.Store) error { _, err := st.Load(t.Context()); return err },
			"state": func(st ccache.Store) error { _, err := st.State(t.Context()); return err },
		} {
			if err := do(f.store(t, "KCM:1000:raw")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s of a cache that was never initialised: %v", name, err)
			}
		}
	})
}

func TestCollection(t *testing.T) {
	forEach(t, func(t *testing.T, f *fake) {
		c := f.open(t, "KCM:")
		f.locked(func() { f.primary = "1000" })
		stores := func(c ccache.Collection) (out []string) {
			t.Helper()
			list, err := c.Stores(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, st := range list {
				out = append(out, st.Name().String())
			}
			return out
		}
		if got := stores(c); got != nil {
			t.Errorf("none: %v", got)
		}
		if st := primary(t, c); st.Name().String() != "KCM:1000" {
			t.Errorf("primary %v", st.Name())
		}
		for _, name := range []string{"KCM:1000:a", "KCM:1000:b", "KCM:1000:c"} {
			if err := f.store(t, name).Replace(t.Context(), cacheOf(alice)); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]string{"KCM:1000:a", "KCM:1000:b", "KCM:1000:c"}, stores(c)); diff != "" {
			t.Errorf("the primary does not exist: %s", diff)
		}
		f.locked(func() { f.primary = "1000:b" })
		if diff := cmp.Diff([]string{"KCM:1000:b", "KCM:1000:a", "KCM:1000:c"}, stores(c)); diff != "" {
			t.Error(diff)
		}
		if st := primary(t, c); st.Name().String() != "KCM:1000:b" {
			t.Errorf("primary %v", st.Name())
		}

		// A cache that is listed twice is one.
		f.locked(func() { f.caches = append(f.caches, f.find("1000:a")) })
		if diff := cmp.Diff([]string{"KCM:1000:b", "KCM:1000:a", "KCM:1000:c"}, stores(c)); diff != "" {
			t.Errorf("listed twice: %s", diff)
		}
		f.locked(func() { f.caches = f.caches[:len(f.caches)-1] })

		// One is destroyed while they are listed.
		f.locked(func() {
			f.before = func(op opcode, _ string) (int32, int32, bool) {
				if op == opGetCacheByUUID {
					f.destroy("1000:c")
				}
				return 0, 0, false
			}
		})
		if diff := cmp.Diff([]string{"KCM:1000:b", "KCM:1000:a"}, stores(c)); diff != "" {
			t.Error(diff)
		}

		if diff := cmp.Diff([]string{"KCM:1000:a"}, stores(f.open(t, "KCM:1000:a"))); diff != "" {
			t.Errorf("a cache without its siblings: %s", diff)
		}
		if got := stores(f.open(t, "KCM:1000:c")); got != nil {
			t.Errorf("a cache that is not there: %v", got)
		}
	})
}

func TestManyStores(t *testing.T) {
	f := start(t, dialects["sssd"])
	f.locked(func() {
		f.primary = "1000"
		for n := range maxStores + 10 {
			f.initialize(fmt.Sprintf("1000:%d", n), []byte{0})
		}
	})
	list, err := f.open(t, "KCM:").Stores(t.Context())
	if err != nil || len(list) != maxStores {
		t.Errorf("%d caches, %v", len(list), err)
	}
}

// A daemon that lists more caches than it has keeps nobody waiting for long.
func TestManyPhantoms(t *testing.T) {
	f := start(t, dialects["sssd"])
	asked := 0
	f.locked(func() {
		f.primary = "1000"
		for n := range maxStores + 10 {
			f.initialize(fmt.Sprintf("1000:%d", n), []byte{0})
		}
		f.before = func(op opcode, _ string) (status, result int32, answered bool) {
			if op == opGetCacheByUUID {
				asked++
				return 0, ccEnd, true
			}
			return 0, 0, false
		}
	})
	if list, err := f.open(t, "KCM:").Stores(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%d caches, %v", len(list), err)
	}
	f.locked(func() {
		if asked != maxStores {
			t.Errorf("asked about %d caches", asked)
		}
	})
}

// sssd that cannot remove has two entries about one thing, the newer one first.
func TestConfigTwice(t *testing.T) {
	f := start(t, dialects["sssd, old"])
	st := f.store(t, "KCM:1000")
	if err := st.Replace(t.Context(), cacheOf(alice)); err != nil {
		t.Fatal(err)
	}
	newer := ccache.Config{Key: "start_realm", Value: []byte("NEWER")}
	if err := st.Add(t.Context(), newer.Credential(alice)); err != nil {
		t.Fatal(err)
	}
	c := load(t, st)
	if v, ok := c.ConfigValue("start_realm", ""); !ok || string(v) != "NEWER" || len(c.Config) != 2 {
		t.Errorf("start_realm %q of %v", v, c.Config)
	}
}

// The daemon's caches change while one is read.
func TestChanging(t *testing.T) {
	// nth calls do ahead of the n-th request of a kind.
	nth := func(f *fake, op opcode, n int, do func()) {
		f.before = func(got opcode, _ string) (int32, int32, bool) {
			if got == op {
				if n--; n == 0 {
					do()
				}
			}
			return 0, 0, false
		}
	}
	services := func(list ...string) (out []string) {
		for _, s := range list {
			out = append(out, s+"@R")
		}
		return out
	}
	for name, tc := range map[string]struct {
		dialect string
		op      opcode
		n       int
		do      func(f *fake, c *kept)
		client  krb.Principal // of the result; none for fs.ErrNotExist
		want    []string
	}{
		"destroyed before its offset":     {"Heimdal", opGetKDCOffset, 1, func(f *fake, c *kept) { f.destroy(c.name) }, krb.Principal{}, nil},
		"destroyed before its list":       {"Heimdal", opGetCredUUIDList, 1, func(f *fake, c *kept) { f.destroy(c.name) }, krb.Principal{}, nil},
		"destroyed after its list":        {"Heimdal", opGetCredByUUID, 2, func(f *fake, c *kept) { f.destroy(c.name) }, krb.Principal{}, nil},
		"destroyed before sssd lists":     {"sssd", opGetCredList, 1, func(f *fake, c *kept) { f.destroy(c.name) }, krb.Principal{}, nil},
		"destroyed after sssd listed":     {"sssd", opGetPrincipal, 2, func(f *fake, c *kept) { f.destroy(c.name) }, krb.Principal{}, nil},
		"destroyed before old sssd lists": {"sssd, old", opGetCredUUIDList, 1, func(f *fake, c *kept) { f.destroy(c.name) }, krb.Principal{}, nil},
		"a credential removed":            {"Heimdal", opGetCredByUUID, 1, func(_ *fake, c *kept) { c.creds = c.creds[:1] }, alice, services("krbtgt/R")},
		"filled anew": {"Heimdal", opGetCredByUUID, 2, func(f *fake, c *kept) {
			old := c.creds
			f.initialize(c.name, c.principal)
			for _, cred := range slices.Backward(old) {
				f.keep(c, cred.b)
			}
		}, alice, services("HTTP/a", "krbtgt/R")},
		"another's": {"sssd", opGetCredList, 1, func(f *fake, c *kept) {
			p, _ := ccache.MarshalPrincipal(bob)
			cred := credential(bob, "HTTP/b")
			b, _ := cred.Marshal()
			f.initialize(c.name, p)
			f.keep(c, b)
		}, bob, services("HTTP/b")},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, dialects[tc.dialect])
			st := f.store(t, "KCM:1000")
			initial := cacheOf(alice, "krbtgt/R", "HTTP/a")
			initial.Config = nil
			if err := st.Replace(t.Context(), initial); err != nil {
				t.Fatal(err)
			}
			f.locked(func() { nth(f, tc.op, tc.n, func() { tc.do(f, f.find("1000")) }) })
			c, err := st.Load(t.Context())
			if tc.client.IsZero() {
				if !errors.Is(err, fs.ErrNotExist) || !known(err) {
					t.Errorf("%v, %v", c, err)
				}
				return
			}
			if err != nil || !c.Client.Equal(tc.client) {
				t.Fatalf("%v, %v", c, err)
			}
			if diff := cmp.Diff(tc.want, names(c)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A credential that is listed for ever and never there is left out.
func TestPhantom(t *testing.T) {
	f := start(t, dialects["Heimdal"])
	st := f.store(t, "KCM:1000")
	if err := st.Replace(t.Context(), cacheOf(alice, "krbtgt/R")); err != nil {
		t.Fatal(err)
	}
	f.locked(func() {
		n := 0
		f.before = func(op opcode, _ string) (int32, int32, bool) {
			if op == opGetCredByUUID {
				n++
				return 0, ccEnd, n%3 == 0 // the last of three
			}
			return 0, 0, false
		}
	})
	f.requests()
	c := load(t, st)
	if len(c.Config) != 2 || len(c.Credentials) != 0 {
		t.Errorf("%v %v", c.Config, c.Credentials)
	}
	lists := 0
	for _, op := range f.requests() {
		if op == opGetCredUUIDList {
			lists++
		}
	}
	if lists != rounds {
		t.Errorf("listed %d times, want %d", lists, rounds)
	}
}

func TestNotOurs(t *testing.T) {
	f := start(t, dialects["sssd"])
	other := f.store(t, "KCM:1001:x")
	for name, err := range map[string]error{
		"add":     other.Add(t.Context(), credential(alice, "HTTP/a")),
		"replace": other.Replace(t.Context(), cacheOf(alice)),
	} {
		if !errors.Is(err, ccache.ErrNotOurs) || !strings.Contains(err.Error(), "1001") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if asked := f.requests(); len(asked) != 0 {
		t.Errorf("the daemon was asked: %v", asked)
	}
	for name, uid := range map[string]int{"KCM:1001": 1001, "KCM:1001:y": 1001, "KCM:work": 1000, "KCM:99999999999": 1000, "KCM:5:x": -1} {
		st := f.store(t, name)
		st.(*store).daemon.uid = uid
		if err := st.Replace(t.Context(), cacheOf(alice)); err != nil {
			t.Errorf("%s by %d: %v", name, uid, err)
		}
	}

	for _, code := range []int32{fccPerm, sysPerm, sysAccess} {
		f.locked(func() {
			f.before = func(opcode, string) (int32, int32, bool) { return 0, code, true }
		})
		st := f.store(t, "KCM:1000")
		for name, err := range map[string]error{
			"add":     st.Add(t.Context(), credential(alice, "HTTP/a")),
			"replace": st.Replace(t.Context(), cacheOf(alice)),
		} {
			if !errors.Is(err, ccache.ErrNotOurs) || !errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s refused with %d: %v", name, code, err)
			}
		}
		if _, err := st.Load(t.Context()); !errors.Is(err, fs.ErrPermission) || errors.Is(err, ccache.ErrNotOurs) {
			t.Errorf("load refused with %d: %v", code, err)
		}
		if stores, err := f.open(t, "KCM:1000").Stores(t.Context()); err != nil || len(stores) != 0 {
			t.Errorf("stores refused with %d: %v, %v", code, stores, err)
		}
	}
}

// sssd has the largest number for an offset that nobody set.
func TestNoOffset(t *testing.T) {
	f := start(t, dialects["sssd"])
	p, err := ccache.MarshalPrincipal(alice)
	if err != nil {
		t.Fatal(err)
	}
	f.locked(func() { f.initialize("1000", p) })
	if c := load(t, f.store(t, "KCM:1000")); c.KDCOffset != 0 {
		t.Errorf("offset %v", c.KDCOffset)
	}
}

// A daemon that tells no clock offset is not asked to have one.
func TestOffset(t *testing.T) {
	f := start(t, dialects["sssd, old"])
	f.locked(func() {
		f.before = func(op opcode, _ string) (int32, int32, bool) {
			return fccInternal, 0, op == opGetKDCOffset || op == opSetKDCOffset
		}
	})
	st := f.store(t, "KCM:1000")
	c := cacheOf(alice, "krbtgt/R")
	if err := st.Replace(t.Context(), c); err != nil {
		t.Errorf("no offset: %v", err)
	}
	if got := load(t, st); got.KDCOffset != 0 {
		t.Errorf("offset %v", got.KDCOffset)
	}
	c.KDCOffset = time.Minute
	if err := st.Replace(t.Context(), c); !refused(err) {
		t.Errorf("an offset that is not kept: %v", err)
	}

	f = start(t, dialects["all extensions"])
	st = f.store(t, "KCM:1000")
	for offset, want := range map[time.Duration]time.Duration{
		1499 * time.Millisecond:     time.Second,
		-1501 * time.Millisecond:    -2 * time.Second,
		math.MinInt32 * time.Second: math.MinInt32 * time.Second,
		math.MaxInt32 * time.Second: -1,
		math.MaxInt64:               -1,
	} {
		c.KDCOffset = offset
		err := st.Replace(t.Context(), c)
		if want == -1 {
			if err == nil {
				t.Errorf("offset %v was taken", offset)
			}
			continue
		}
		if err != nil || load(t, st).KDCOffset != want {
			t.Errorf("offset %v: %v, %v", offset, load(t, st).KDCOffset, err)
		}
	}
}

// What cannot be written is not begun.
func TestUnwritable(t *testing.T) {
	f := start(t, dialects["Heimdal"])
	st := f.store(t, "KCM:1000")
	late := credential(alice, "HTTP/a")
	late.EndTime = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := st.Add(t.Context(), late); err == nil {
		t.Error("an end time beyond 32 bits was stored")
	}
	if err := st.Replace(t.Context(), &ccache.Cache{Client: alice, Credentials: []ccache.Credential{late}}); err == nil {
		t.Error("an end time beyond 32 bits was stored")
	}
	if err := st.Add(t.Context()); err != nil {
		t.Error(err)
	}
	huge := credential(alice, "HTTP/a")
	huge.Raw = make([]byte, maxMessage)
	if err := st.Add(t.Context(), huge); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a ticket of 10 MiB: %v", err)
	}
	if asked := f.requests(); len(asked) != 0 {
		t.Errorf("the daemon was asked: %v", asked)
	}
}

// What would not be read again is not written, once it is known how much is there.
func TestFull(t *testing.T) {
	f := start(t, dialects["all extensions"])
	web := credential(alice, "HTTP/web")
	b, err := web.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	fill := func(n int) {
		f.locked(func() {
			c := f.find("1000")
			for c.creds = nil; len(c.creds) < n; {
				c.creds = append(c.creds, keptCred{f.newID(), b})
			}
		})
	}
	for name, look := range map[string]func(st ccache.Store) error{
		"state": func(st ccache.Store) error { _, err := st.State(t.Context()); return err },
		"load":  func(st ccache.Store) error { _, err := st.Load(t.Context()); return err },
		"replace": func(st ccache.Store) error {
			return st.Replace(t.Context(), &ccache.Cache{Client: alice, Credentials: slices.Repeat([]ccache.Credential{web}, ccache.MaxEntries-1)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := f.store(t, "KCM:1000")
			if err := st.Replace(t.Context(), cacheOf(alice, "krbtgt/R")); err != nil {
				t.Fatal(err)
			}
			fill(ccache.MaxEntries - 1)
			if err := look(st); err != nil {
				t.Fatal(err)
			}
			full := func(what string, err error) {
				if err == nil || !strings.Contains(err.Error(), "16385 entries") || !strings.Contains(err.Error(), "KCM:1000") {
					t.Errorf("%s: %v", what, err)
				}
			}
			full("two where one has room", st.Add(t.Context(), web, web))
			if err := st.Add(t.Context(), web); err != nil {
				t.Errorf("the last one: %v", err)
			}
			full("one more", st.Add(t.Context(), web))
			full("a cache of too many", st.Replace(t.Context(), &ccache.Cache{Client: alice, Credentials: slices.Repeat([]ccache.Credential{web}, ccache.MaxEntries+1)}))
			f.locked(func() {
				if n := len(f.find("1000").creds); n != ccache.MaxEntries {
					t.Errorf("%d entries were stored", n)
				}
			})
			fill(1)
			if err := look(st); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A full cache that is replaced has room again, whatever the daemon has for that.
func TestRoomAfterReplace(t *testing.T) {
	forEach(t, func(t *testing.T, f *fake) {
		st := f.store(t, "KCM:1000")
		web := credential(alice, "HTTP/web")
		if err := st.Replace(t.Context(), cacheOf(alice, "krbtgt/R")); err != nil {
			t.Fatal(err)
		}
		b, err := web.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		f.locked(func() {
			for c := f.find("1000"); len(c.creds) < ccache.MaxEntries; {
				c.creds = append(c.creds, keptCred{f.newID(), b})
			}
		})
		if _, err := st.State(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := st.Add(t.Context(), web); err == nil || !strings.Contains(err.Error(), "16385 entries") {
			t.Errorf("added to a full cache: %v", err)
		}
		if err := st.Replace(t.Context(), cacheOf(alice, "krbtgt/R")); err != nil {
			t.Fatal(err)
		}
		if err := st.Add(t.Context(), web); err != nil {
			t.Errorf("added to the one in its place: %v", err)
		}
	})
}

// Heimdal hangs up on a REPLACE that is too long for it.
func TestLarge(t *testing.T) {
	forEach(t, func(t *testing.T, f *fake) {
		c := cacheOf(alice, "krbtgt/R")
		for n := range 100 {
			cred := credential(alice, fmt.Sprintf("HTTP/%03d", n))
			cred.Raw = append(cred.Raw, make([]byte, 4<<10)...)
			c.Credentials = append(c.Credentials, cred)
		}
		st := f.store(t, "KCM:1000")
		if err := st.Replace(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if text(t, load(t, st)) != text(t, c) {
			t.Error("another cache came back")
		}
	})
}

func TestTogether(t *testing.T) {
	forEach(t, func(t *testing.T, f *fake) {
		st := f.store(t, "KCM:1000")
		if err := st.Replace(t.Context(), cacheOf(alice, "krbtgt/R")); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for n := range 8 {
			wg.Go(func() {
				if err := st.Add(t.Context(), credential(alice, fmt.Sprintf("HTTP/%d", n))); err != nil {
					t.Error(err)
				}
				if c, err := st.Load(t.Context()); err != nil || len(c.Credentials) < 2 {
					t.Errorf("%v, %v", c, err)
				}
				if _, err := st.State(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(load(t, st).Credentials); n != 9 {
			t.Errorf("%d credentials, want 9", n)
		}
	})
}
