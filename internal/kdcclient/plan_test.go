package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A world is a network in memory: KDCs by address, silence elsewhere. It counts
// the connections per "network address".
type world struct {
	kdcs  map[string]*scripted // by host:port
	names map[string]func(ctx context.Context) ([]netip.Addr, error)

	mu     sync.Mutex
	dialed []string
	looked []string
}

func (w *world) dial(_ context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, network+" "+address)
	w.mu.Unlock()
	return &wire{network: network, kdc: w.kdcs[address], in: make(chan []byte, 8), gone: make(chan struct{})}, nil
}

func (w *world) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	w.looked = append(w.looked, host)
	w.mu.Unlock()
	if f := w.names[host]; f != nil {
		return f(ctx)
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// taken returns and forgets what was dialled, looked up first.
func (w *world) taken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.dialed
	for _, l := range slices.Backward(w.looked) {
		out = slices.Insert(out, 0, "name "+l)
	}
	w.dialed, w.looked = nil, nil
	return out
}

// addresses is a name that is known.
func addresses(list ...string) func(context.Context) ([]netip.Addr, error) {
	return func(context.Context) (out []netip.Addr, err error) {
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out, nil
	}
}

// wire is a connection to a KDC in memory, or to nobody.
type wire struct {
	net.Conn
	network string
	kdc     *scripted
	in      chan []byte
	rest    []byte
	once    sync.Once
	gone    chan struct{}
}

func (c *wire) Write(b []byte) (int, error) {
	if c.kdc == nil {
		return len(b), nil
	}
	msg := b
	if c.network == "tcp" {
		msg = b[4:]
	}
	for _, r := range c.kdc.handle(c.network, slices.Clone(msg)) {
		c.in <- r
	}
	return len(b), nil
}

func (c *wire) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		select {
		case c.rest = <-c.in:
		case <-c.gone:
			return 0, net.ErrClosed
		}
	}
	n := copy(b, c.rest)
	if c.rest = c.rest[n:]; c.network == "udp" {
		c.rest = nil
	}
	return n, nil
}

func (c *wire) Close() error { c.once.Do(func() { close(c.gone) }); return nil }

// One KDC is dead and another alive: whatever is asked for, and by whichever
// network, a call sends the dead one nothing twice, and later calls nothing.
func TestDeadKDC(t *testing.T) {
	for name, tc := range map[string]struct {
		dead  KDC
		names bool
		want  []string // what the first call sends to the dead one
	}{
		"address":       {KDC{Host: "192.0.2.1"}, false, []string{"udp 192.0.2.1:88"}},
		"name":          {KDC{Host: "dead.test"}, true, []string{"udp 192.0.2.1:88"}},
		"UDP alone":     {KDC{Host: "192.0.2.1", Network: "udp"}, false, []string{"udp 192.0.2.1:88"}},
		"unknown name":  {KDC{Host: "unknown.test"}, true, []string{"name unknown.test"}},
		"name server":   {KDC{Host: "silent.test"}, true, []string{"name silent.test"}},
		"proxy as well": {KDC{Host: "192.0.2.1", Network: "https", URL: "https://192.0.2.1/"}, false, []string{"tcp 192.0.2.1:443"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newScripted(t, realmA)
				w := &world{
					kdcs: map[string]*scripted{"192.0.2.2:88": k},
					names: map[string]func(context.Context) ([]netip.Addr, error){
						"dead.test": addresses("192.0.2.1"), "alive.test": addresses("192.0.2.2"),
						"silent.test": func(ctx context.Context) ([]netip.Addr, error) {
							<-ctx.Done()
							return nil, ctx.Err()
						},
					},
				}
				alive := KDC{Host: "192.0.2.2"}
				o := Options{Dial: w.dial, Lookup: w.lookup, Pacing: Pacing{Next: time.Second}}
				if tc.names {
					alive.Host = "alive.test"
				}
				o.Locate = at(tc.dead, alive)
				toDead := func() (out []string) {
					for _, where := range w.taken() {
						if strings.Contains(where, tc.dead.Host) || strings.Contains(where, "192.0.2.1:") {
							out = append(out, where)
						}
					}
					return out
				}
				c := client(o)
				tgt := login(t, c) // two messages
				got := slices.DeleteFunc(toDead(), func(s string) bool { return s == "name dead.test" })
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("the first call (-want +got):\n%s", diff)
				}
				// A ticket by TCP, as if it were long.
				c.o.UDPPreferenceLimit = 1
				if _, err := c.TGS(t.Context(), tgt, web, TGSOptions{}); err != nil {
					t.Fatal(err)
				}
				if got := toDead(); len(got) > 1 || len(got) == 1 && got[0] != "name dead.test" {
					t.Errorf("the next call: %q", got)
				}
				// Many at once, with no memory of it.
				c = client(o)
				errs := make([]error, 10)
				var wg sync.WaitGroup
				for i := range errs {
					wg.Go(func() {
						_, errs[i] = c.AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password)})
					})
				}
				wg.Wait()
				if err := errors.Join(errs...); err != nil {
					t.Fatal(err)
				}
				if got := slices.DeleteFunc(toDead(), func(s string) bool { return s == "name dead.test" }); len(got) > len(errs) {
					t.Errorf("%d calls, %d messages to the dead one", len(errs), len(got))
				}
			})
		})
	}
}

// Every address of a name is a KDC of its own.
func TestAddresses(t *testing.T) {
	k := newScripted(t, realmA)
	k.preauth = false
	many := make([]string, 3*maxAddresses)
	for i := range many {
		many[i] = fmt.Sprintf("198.51.100.%d", i)
	}
	names := map[string]func(context.Context) ([]netip.Addr, error){
		"two.test":    addresses("2001:db8::1", "192.0.2.2"),
		"mapped.test": addresses("::ffff:192.0.2.2", "192.0.2.2"),
		"same.test":   addresses("192.0.2.2"),
		"many.test":   addresses(many...),
		"none.test":   addresses(),
		"slow.test": func(ctx context.Context) ([]netip.Addr, error) {
			select {
			case <-time.After(1500 * time.Millisecond):
				return addresses("192.0.2.2")(ctx)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	}
	quick := Pacing{Next: time.Second, Passes: []time.Duration{time.Second}, Connected: time.Second}
	for name, tc := range map[string]struct {
		kdcs   []KDC
		limit  int
		want   []string
		failed bool
		says   []string // in the error
	}{
		"the second answers":  {kdcs: []KDC{{Host: "two.test"}}, want: []string{"name two.test", "udp [2001:db8::1]:88", "udp 192.0.2.2:88"}},
		"TCP, a port":         {kdcs: []KDC{{Host: "two.test", Port: 750}, {Host: "same.test"}}, limit: 1, want: []string{"name two.test", "name same.test", "tcp [2001:db8::1]:750", "tcp 192.0.2.2:750", "tcp 192.0.2.2:88"}},
		"IPv4 in IPv6":        {kdcs: []KDC{{Host: "mapped.test"}}, want: []string{"name mapped.test", "udp 192.0.2.2:88"}},
		"an address":          {kdcs: []KDC{{Host: "192.0.2.2"}}, want: []string{"udp 192.0.2.2:88"}},
		"an address, IPv6":    {kdcs: []KDC{{Host: "2001:db8::1"}, {Host: "192.0.2.2"}}, want: []string{"udp [2001:db8::1]:88", "udp 192.0.2.2:88"}},
		"no address":          {kdcs: []KDC{{Host: "none.test"}, {Host: "same.test"}}, want: []string{"name none.test", "name same.test", "udp 192.0.2.2:88"}},
		"a name that is slow": {kdcs: []KDC{{Host: "slow.test"}}, want: []string{"name slow.test", "udp 192.0.2.2:88"}},
		"slow, another too":   {kdcs: []KDC{{Host: "slow.test"}, {Host: "192.0.2.9"}}, want: []string{"name slow.test", "udp 192.0.2.9:88", "udp 192.0.2.2:88"}},
		"an alias of another": {
			kdcs: []KDC{{Host: "two.test", Network: "udp"}, {Host: "unknown.test"}, {Host: "192.0.2.3", Network: "tcp"}, {Host: "none.test"}}, limit: 1,
			want: []string{"name unknown.test", "name none.test", "name two.test", "tcp 192.0.2.3:88", "udp [2001:db8::1]:88", "udp 192.0.2.2:88"},
		},
		"nobody": {
			kdcs: []KDC{{Host: "unknown.test"}, {Host: "none.test"}}, failed: true,
			want: []string{"name unknown.test", "name none.test"},
			says: []string{"unknown.test:88/udp lookup unknown.test: no such host", "none.test:88/udp lookup none.test: the name has no address"},
		},
		"nobody answers": {
			kdcs: []KDC{{Host: "two.test", Port: 750, Network: "udp"}}, failed: true,
			want: []string{"name two.test", "udp [2001:db8::1]:750", "udp 192.0.2.2:750"},
			says: []string{"two.test:750 [2001:db8::1]/udp no answer in", "two.test:750 [192.0.2.2]/udp no answer in"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{kdcs: map[string]*scripted{"192.0.2.2:88": k}, names: names}
				_, err := try1(t, client(Options{Dial: w.dial, Lookup: w.lookup, Locate: at(tc.kdcs...), UDPPreferenceLimit: tc.limit, Pacing: quick}))
				if diff := cmp.Diff(tc.want, w.taken()); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
				if (err != nil) != tc.failed {
					t.Fatal(err)
				}
				for _, s := range tc.says {
					if !strings.Contains(err.Error(), s) {
						t.Errorf("%q is not in: %v", s, err)
					}
				}
				if dns := new(net.DNSError); tc.failed && strings.Contains(tc.says[0], "lookup") && !errors.As(err, &dns) {
					t.Error("the cause is lost")
				}
			})
		})
	}
	t.Run("too many", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := &world{names: names}
			kdcs := []KDC{{Host: "many.test"}}
			for i := range 2 * maxTries {
				kdcs = append(kdcs, KDC{Host: "many.test", Port: 1000 + i})
			}
			if _, err := try1(t, client(Options{Dial: w.dial, Lookup: w.lookup, Locate: at(kdcs...), Pacing: quick})); err == nil {
				t.Error("a ticket")
			}
			if n := len(w.taken()); n > maxTries+1 || n < maxAddresses {
				t.Errorf("%d lookups and connections", n)
			}
		})
	})
	t.Run("names are for Dial", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := &world{kdcs: map[string]*scripted{"two.test:88": k}, names: names}
			if _, err := try1(t, client(Options{Dial: w.dial, Locate: at(KDC{Host: "two.test"})})); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff([]string{"udp two.test:88"}, w.taken()); diff != "" {
				t.Error(diff)
			}
		})
	})
}

// An answer that does not fit is fetched from the same address.
func TestTooBigByName(t *testing.T) {
	big := func() *scripted {
		k := newScripted(t, realmA)
		k.preauth = false
		k.before = func(r *request) ([][]byte, bool) {
			if r.network == "udp" {
				return [][]byte{k.refuse(r, krb.CodeResponseTooBig, nil)}, true
			}
			return nil, false
		}
		return k
	}
	for name, tc := range map[string]struct {
		kdcs  []KDC
		limit int
		want  []string
	}{
		"UDP first": {
			[]KDC{{Host: "other.test"}, {Host: "two.test"}}, DefaultUDPPreferenceLimit,
			[]string{"name other.test", "name two.test", "udp 192.0.2.9:88", "udp 192.0.2.1:88", "udp 192.0.2.2:88", "tcp 192.0.2.2:88"},
		},
		// TCP is tried first and nobody takes it up; then a datagram.
		"TCP first": {
			[]KDC{{Host: "192.0.2.1", Network: "tcp"}, {Host: "two.test"}}, 1,
			[]string{"name two.test", "tcp 192.0.2.1:88", "tcp 192.0.2.2:88"},
		},
		"a service for each": {
			[]KDC{{Host: "192.0.2.2", Network: "udp"}, {Host: "192.0.2.9", Network: "tcp"}, {Host: "192.0.2.2", Network: "tcp"}}, DefaultUDPPreferenceLimit,
			[]string{"udp 192.0.2.2:88", "tcp 192.0.2.2:88"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{
					kdcs:  map[string]*scripted{"192.0.2.2:88": big()},
					names: map[string]func(context.Context) ([]netip.Addr, error){"two.test": addresses("192.0.2.1", "192.0.2.2"), "other.test": addresses("192.0.2.9")},
				}
				_, err := try1(t, client(Options{Dial: w.dial, Lookup: w.lookup, Locate: at(tc.kdcs...), UDPPreferenceLimit: tc.limit, Pacing: Pacing{Next: time.Second, Connected: time.Second}}))
				if err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(tc.want, slices.Compact(w.taken())); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// With TCP first a KDC that is slow there may be asked by UDP, where the answer
// does not fit: it is fetched over TCP nevertheless.
func TestTooBigAfterTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newScripted(t, realmA)
		k.preauth = false
		tcp := 0
		k.before = func(r *request) ([][]byte, bool) {
			if r.network == "udp" {
				return [][]byte{k.refuse(r, krb.CodeResponseTooBig, nil)}, true
			}
			tcp++
			return nil, tcp == 1
		}
		w := &world{kdcs: map[string]*scripted{"192.0.2.2:88": k}}
		_, err := try1(t, client(Options{Dial: w.dial, Locate: at(KDC{Host: "192.0.2.2"}), UDPPreferenceLimit: 1, Pacing: Pacing{Next: time.Second, Connected: time.Second}}))
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"tcp 192.0.2.2:88", "udp 192.0.2.2:88", "tcp 192.0.2.2:88"}, w.taken()); diff != "" {
			t.Error(diff)
		}
	})
}

// request_timeout ends an exchange however many KDCs there are.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		c := client(Options{Dial: w.dial, Locate: at(KDC{Host: "192.0.2.1"}, KDC{Host: "192.0.2.2"}), Timeout: 1500 * time.Millisecond, Pacing: Pacing{Next: time.Second}})
		start := time.Now()
		_, err := try1(t, c)
		e := failure(t, err)
		if e.Kind != KindUnreachable || !e.Temporary() || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "request_timeout") {
			t.Error(err)
		}
		if took := time.Since(start); took != 1500*time.Millisecond {
			t.Errorf("took %v of virtual time", took)
		}
		if diff := cmp.Diff([]string{"udp 192.0.2.1:88", "udp 192.0.2.2:88"}, w.taken()); diff != "" {
			t.Error(diff)
		}
		if !c.isShunned("udp 192.0.2.1:88") || c.isShunned("udp 192.0.2.2:88") {
			t.Error("it counts against whoever had time to answer, and nobody else")
		}
	})
}

func TestLocate(t *testing.T) {
	if kdcs, err := New(Options{}).Locate(t.Context(), realmA); err != nil || len(kdcs) != 0 {
		t.Error(kdcs, err)
	}
	if kdcs, err := New(Options{Locate: at(KDC{Host: "a"})}).Locate(t.Context(), realmA); err != nil || len(kdcs) != 1 {
		t.Error(kdcs, err)
	}
}

// TestOverTCP: what does not fit into a datagram is asked for over TCP at the address that said
// so, first of all and once, if that KDC takes TCP.
func TestOverTCP(t *testing.T) {
	one, other := KDC{Host: "k.test"}, KDC{Host: "l.test"}
	at := func(k KDC, network, address string) *try { return &try{kdc: k, network: network, address: address} }
	from := at(one, "udp", "192.0.2.1:88")
	for name, tc := range map[string]struct{ tries, want []*try }{
		"UDP alone":   {[]*try{from, at(other, "tcp", "192.0.2.3:88")}, []*try{from, at(other, "tcp", "192.0.2.3:88")}},
		"by its name": {[]*try{from, at(other, "tcp", "192.0.2.3:88"), at(one, "tcp", "k.test:88")}, []*try{at(one, "tcp", "192.0.2.1:88"), from, at(other, "tcp", "192.0.2.3:88"), at(one, "tcp", "k.test:88")}},
		"first":       {[]*try{at(one, "tcp", "k.test:88"), from}, []*try{at(one, "tcp", "192.0.2.1:88"), at(one, "tcp", "k.test:88"), from}},
		"once":        {[]*try{at(other, "tcp", "192.0.2.3:88"), at(one, "tcp", "192.0.2.1:88"), from}, []*try{at(one, "tcp", "192.0.2.1:88"), at(other, "tcp", "192.0.2.3:88"), from}},
	} {
		got := overTCP(from, slices.Clone(tc.tries))
		same := func(a, b *try) bool { return a.kdc == b.kdc && a.same(b) }
		if !slices.EqualFunc(got, tc.want, same) {
			t.Errorf("%s: %d tries", name, len(got))
			for _, g := range got {
				t.Log(g.where())
			}
		}
	}
}

// TestExpand: an address is asked once over each network, whatever names stand for it, and
// none that is not to be asked; and there are so many at most.
func TestExpand(t *testing.T) {
	named := func(name, network string) *try {
		return &try{kdc: KDC{Host: name}, network: network, address: name + ":88", name: name}
	}
	const old, later = "192.0.2.9", "192.0.2.7"
	x := &exchange{c: New(Options{}), except: []string{"192.0.2.8:88"}}
	x.tries = []*try{
		{kdc: KDC{Host: old}, network: "udp", address: old + ":88"},
		named("a.test", "udp"), named("a.test", "tcp"), named("b.test", "udp"), named("b.test", "tcp"),
		{kdc: KDC{Host: later}, network: "udp", address: later + ":88"},
	}
	x.asked = []*try{x.tries[1]}
	var addrs []netip.Addr
	for _, a := range []string{old, later, "192.0.2.8", "192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1"} {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	where := func() (out []string) {
		for _, t := range x.tries {
			out = append(out, t.where())
		}
		return out
	}
	x.expand(x.tries[1], addrs)
	first := []string{"udp " + old + ":88", "udp 192.0.2.1:88", "tcp " + old + ":88", "tcp " + later + ":88", "tcp 192.0.2.1:88"}
	last := "udp " + later + ":88"
	if diff := cmp.Diff(append(slices.Clone(first), "name b.test", "name b.test", last), where()); diff != "" || len(x.asked) != 0 {
		t.Errorf("%d asked\n%s", len(x.asked), diff)
	}
	x.expand(x.tries[5], addrs)
	if diff := cmp.Diff(append(first, last), where()); diff != "" {
		t.Error(diff)
	}
	addrs = nil
	for i := range maxTries {
		addrs = append(addrs, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
	}
	x.tries = append(x.tries, named("c.test", "udp"), named("c.test", "tcp"))
	if x.expand(x.tries[6], addrs); len(x.tries) != maxTries {
		t.Errorf("%d tries, want %d", len(x.tries), maxTries)
	}
}

// TestWhoAnswered: it is by the address that answered, not by a name that stands for others
// too, that a KDC is asked again.
func TestWhoAnswered(t *testing.T) {
	by := &try{address: "192.0.2.1:88"}
	for name, tc := range map[string]struct {
		r    reply
		want string
	}{
		"by its name":  {reply{from: KDC{Host: "k.test"}, by: by}, "192.0.2.1"},
		"a proxy":      {reply{from: KDC{Host: "k.test", Network: "https"}, by: by}, "k.test"},
		"a socket":     {reply{from: KDC{Host: "/run/kdc", Network: "unix"}, by: by}, "/run/kdc"},
		"nobody knows": {reply{from: KDC{Host: "k.test"}}, "k.test"},
		"an odd one":   {reply{from: KDC{Host: "k.test"}, by: &try{address: "odd"}}, "k.test"},
	} {
		if got := tc.r.where(); got.Host != tc.want || got.Network != tc.r.from.Network {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
