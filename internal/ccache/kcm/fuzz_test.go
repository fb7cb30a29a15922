package kcm

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/ccache"
)

// streams returns what daemons answer to one Load and to one Stores, by dialect.
func streams(tb testing.TB) (loads, lists map[string][]byte) {
	tb.Helper()
	loads, lists = map[string][]byte{}, map[string][]byte{}
	for name, d := range dialects {
		f := &fake{dialect: d, primary: "1000:b"}
		o := Options{Socket: "inside", Dial: func(context.Context, string, string) (net.Conn, error) {
			return &inside{f: f}, nil
		}}
		for _, cache := range []string{"KCM:1000:a", "KCM:1000:b"} {
			if err := primary(tb, open(tb, cache, o)).Replace(context.Background(), cacheOf(alice, "krbtgt/R", "HTTP/a")); err != nil {
				tb.Fatal(err)
			}
		}
		var said []byte
		o.Dial = func(context.Context, string, string) (net.Conn, error) { return &inside{f: f, said: &said}, nil }
		if _, err := primary(tb, open(tb, "KCM:1000:a", o)).Load(context.Background()); err != nil {
			tb.Fatal(err)
		}
		loads[name], said = said, nil
		if _, err := open(tb, "KCM:", o).Stores(context.Background()); err != nil {
			tb.Fatal(err)
		}
		lists[name] = said
	}
	return loads, lists
}

// inside is a connection to a daemon that is called, not served.
type inside struct {
	net.Conn
	f    *fake
	said *[]byte
	out  []byte
}

func (c *inside) Close() error { return nil }
func (c *inside) Write(b []byte) (int, error) {
	status, result, body := c.f.answer(b[4:])
	rep := reply(status, result, body)
	c.out = append(c.out, rep...)
	if c.said != nil {
		*c.said = append(*c.said, rep...)
	}
	return len(b), nil
}
func (c *inside) Read(b []byte) (int, error) {
	n := copy(b, c.out)
	c.out = c.out[n:]
	return n, nil
}

// loadStream has a store read a stream, and checks that it gives a result or a
// good error.
func loadStream(tb testing.TB, b []byte) *ccache.Cache {
	c, err := one(b).Load(context.Background())
	switch {
	case err == nil && c == nil || err != nil && c != nil:
		tb.Fatalf("%v, %v", c, err)
	case err != nil && !known(err):
		tb.Fatalf("an error of another kind: %v", err)
	case err == nil:
		if _, err := c.Marshal(); err != nil {
			tb.Fatal(err)
		}
	}
	return c
}

func listStream(tb testing.TB, b []byte) []ccache.Store {
	c, err := Open(ccache.Name{Type: kind}, streaming(b))
	if err != nil {
		tb.Fatal(err)
	}
	list, err := c.Stores(context.Background())
	switch {
	case err != nil && (list != nil || !known(err)):
		tb.Fatalf("%v, %v", list, err)
	case len(list) > maxStores:
		tb.Fatalf("%d caches", len(list))
	}
	for _, st := range list {
		if n := st.Name().Residual; n == "" || len(n) > maxName || strings.Contains(n, "\x00") {
			tb.Fatalf("a cache named %q", n)
		}
	}
	return list
}

// Streams are cut at each byte: a daemon that dies there gives an error, never
// half a cache.
func TestTruncations(t *testing.T) {
	loads, lists := streams(t)
	for name, b := range loads {
		if c := loadStream(t, b); c == nil || len(c.Credentials) != 2 || len(c.Config) != 2 {
			t.Fatalf("%s: %v of the whole stream", name, c)
		}
		for n := range b {
			if c := loadStream(t, b[:n]); c != nil {
				t.Errorf("%s: a cache of %d of %d bytes", name, n, len(b))
			}
		}
	}
	for name, b := range lists {
		if list := listStream(t, b); len(list) != 2 {
			t.Fatalf("%s: %d caches of the whole stream", name, len(list))
		}
		for n := range b {
			if list := listStream(t, b[:n]); list != nil {
				t.Errorf("%s: %d caches of %d of %d bytes", name, len(list), n, len(b))
			}
		}
	}
}

// 100,000 changes of one byte: result or error, and memory in proportion.
func TestMutations(t *testing.T) {
	const each, batch = 12500, 500
	rnd := rand.New(rand.NewPCG(1, 2))
	loads, lists := streams(t)
	mutate := func(name string, b []byte, read func([]byte)) {
		b = slices.Clone(b)
		var before, after runtime.MemStats
		for n := range each {
			if n%batch == 0 {
				runtime.ReadMemStats(&before)
			}
			i := rnd.IntN(len(b))
			old := b[i]
			b[i] ^= byte(1 + rnd.IntN(255))
			read(b)
			b[i] = old
			if n%batch == batch-1 {
				runtime.ReadMemStats(&after)
				if used, bound := (after.TotalAlloc-before.TotalAlloc)/batch, uint64(64<<10+32*len(b)); used > bound {
					t.Errorf("%s: %d bytes of memory for each of %d, more than %d", name, used, len(b), bound)
				}
			}
		}
	}
	if len(loads)*each+len(lists)*each < 100000 {
		t.Fatal("too few")
	}
	for name, b := range loads {
		mutate(name, b, func(b []byte) { loadStream(t, b) })
	}
	for name, b := range lists {
		mutate(name, b, func(b []byte) { listStream(t, b) })
	}
}

func TestSeeds(t *testing.T) {
	if loads, lists := streams(t); len(loads) == 0 || len(lists) == 0 || len(capture(t)) == 0 {
		t.Fatal("no seeds")
	}
}

func FuzzLoad(f *testing.F) {
	loads, _ := streams(f)
	for _, b := range loads {
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	for _, run := range capture(f) {
		var b []byte
		for _, x := range run {
			b = append(b, x.rep...)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { loadStream(t, b) })
}

func FuzzStores(f *testing.F) {
	_, lists := streams(f)
	for _, b := range lists {
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) { listStream(t, b) })
}

// What the readers of reply bodies accept, they accept for what it is: written
// again it is the same.
func FuzzBodies(f *testing.F) {
	for _, run := range capture(f) {
		for _, x := range run {
			f.Add([]byte(x.rep[min(len(x.rep), 12):]))
		}
	}
	loads, lists := streams(f)
	for _, b := range []map[string][]byte{loads, lists} {
		for _, b := range b {
			for r := b; len(r) >= 12; {
				n := 8 + int(r[2])<<8 + int(r[3])
				f.Add(r[12:max(n, 12)])
				r = r[n:]
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(what string, again []byte, err error) {
			t.Helper()
			if _, ok := errors.AsType[*ccache.ParseError](err); err != nil && !ok {
				t.Errorf("%s: %v", what, err)
			}
			if err == nil && !slices.Equal(again, b) {
				t.Errorf("%s: %x is not %x", what, again, b)
			}
		}
		name, err := parseName(b)
		check("name", stringz(name), err)
		ids, err := parseUUIDs(b)
		var again []byte
		for _, id := range ids {
			again = append(again, id[:]...)
		}
		check("UUIDs", again, err)
		offset, err := parseOffset(b)
		check("offset", u32(uint32(offset)), err)
		list, err := parseList(b)
		again = u32(uint32(len(list)))
		for _, c := range list {
			again = append(append(again, u32(uint32(len(c)))...), c...)
		}
		check("list", again, err)
	})
}
