package kdcclient

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// deadPort returns where nobody listens, by UDP or TCP.
func deadPort(tb testing.TB) KDC {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return KDC{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}
}

// silent returns a KDC that takes everything and says nothing, and a channel
// that is closed when it is asked.
func silent(tb testing.TB) (k *scripted, asked <-chan struct{}) {
	k = newScripted(tb, realmA)
	c := make(chan struct{})
	once := sync.OnceFunc(func() { close(c) })
	k.before = func(*request) ([][]byte, bool) {
		once()
		return nil, true
	}
	return k.start(), c
}

func try1(tb testing.TB, c *Client) (*krb.Ticket, error) {
	tb.Helper()
	return c.AS(tb.Context(), ASRequest{Client: alice, Keys: known(alice, "correct horse")})
}

func TestNetworks(t *testing.T) {
	for name, tc := range map[string]struct {
		limit   int
		network string // of the KDC
		want    string
	}{
		"UDP first":        {DefaultUDPPreferenceLimit, "", "udp"},
		"TCP first":        {1, "", "tcp"},
		"long request":     {100, "", "tcp"},
		"TCP alone":        {DefaultUDPPreferenceLimit, "tcp", "tcp"},
		"UDP alone":        {1, "udp", "udp"},
		"UDP alone, small": {DefaultUDPPreferenceLimit, "udp", "udp"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newScripted(t, realmA).start()
			addr := k.addr
			addr.Network = tc.network
			if _, err := try1(t, client(Options{Locate: at(addr), UDPPreferenceLimit: tc.limit})); err != nil {
				t.Fatal(err)
			}
			for _, r := range k.seen() {
				if r.network != tc.want {
					t.Errorf("asked by %s, want %s", r.network, tc.want)
				}
			}
		})
	}
	t.Run("zero means TCP", func(t *testing.T) {
		k := newScripted(t, realmA).start()
		if _, err := try1(t, New(Options{Locate: at(k.addr)})); err != nil || k.last().network != "tcp" {
			t.Error(k.last().network, err)
		}
	})
	t.Run("unix socket", func(t *testing.T) {
		k := newScripted(t, realmA).start()
		path := filepath.Join(t.TempDir(), "kdc")
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			if network != "unix" || address != path {
				t.Errorf("dialled %s %s", network, address)
			}
			return new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", k.addr.Port))
		}
		if _, err := try1(t, client(Options{Locate: at(KDC{Host: path, Network: "unix"}), Dial: dial})); err != nil {
			t.Error(err)
		}
	})
	t.Run("unknown network", func(t *testing.T) {
		_, err := try1(t, client(Options{Locate: at(KDC{Host: "kdc.a.test", Network: "smoke"})}))
		if e := failure(t, err); e.Kind != KindUnreachable || len(e.KDCs) != 1 || !strings.Contains(err.Error(), "kdc.a.test:88/smoke") {
			t.Error(err)
		}
	})
}

func TestFailOver(t *testing.T) {
	good := newScripted(t, realmA).start()
	quiet, _ := silent(t)
	dead := deadPort(t)
	busy := newScripted(t, realmA)
	busy.before = func(r *request) ([][]byte, bool) {
		b := busy.refuse(r, krb.CodeUnavailable, nil)
		if r.network == "tcp" {
			b = framed(b)
		}
		return [][]byte{b}, true
	}
	busy.start()
	// A stream that goes wrong; what it sends is chosen by name.
	spoilt := func(b []byte) KDC {
		k := newScripted(t, realmA)
		k.before = func(*request) ([][]byte, bool) { return [][]byte{b}, true }
		k.start()
		k.addr.Network = "tcp"
		return k.addr
	}
	for name, tc := range map[string]struct {
		first KDC
		limit int
	}{
		"dead UDP":          {dead, DefaultUDPPreferenceLimit},
		"dead TCP":          {dead, 1},
		"silent UDP":        {quiet.addr, DefaultUDPPreferenceLimit},
		"silent TCP":        {quiet.addr, 1},
		"busy UDP":          {busy.addr, DefaultUDPPreferenceLimit},
		"busy TCP":          {busy.addr, 1},
		"no such host":      {KDC{Host: "kdc.invalid"}, 1},
		"half a length":     {spoilt([]byte{0, 0}), 1},
		"half a reply":      {spoilt([]byte{0, 0, 1, 0, 0x6b, 0x82}), 1},
		"closed at once":    {spoilt(nil), 1},
		"length of 4 GiB":   {spoilt([]byte{0xff, 0xff, 0xff, 0xff, 1, 2, 3}), 1},
		"length over a MiB": {spoilt([]byte{0, 0x10, 0, 1, 1, 2, 3}), 1},
		"length of nothing": {spoilt(framed(nil)), 1},
		"no Kerberos":       {spoilt(framed([]byte("HTTP/1.1 400 Bad Request"))), 1},
		"another message":   {spoilt(framed([]byte{0x6d, 0})), 1},
	} {
		t.Run(name, func(t *testing.T) {
			dial := func(ctx context.Context, network, address string) (net.Conn, error) {
				if strings.HasPrefix(address, "kdc.invalid") {
					return nil, &net.DNSError{Err: "no such host", Name: "kdc.invalid", IsNotFound: true}
				}
				return new(net.Dialer).DialContext(ctx, network, address)
			}
			c := client(Options{Locate: at(tc.first, good.addr), UDPPreferenceLimit: tc.limit, Pacing: restless, Dial: dial})
			before := good.count(0)
			if _, err := try1(t, c); err != nil {
				t.Fatal(err)
			}
			if n := good.count(0) - before; n < 2 {
				t.Errorf("%d requests to the good one", n)
			}
			// From the second message on the good one is asked first.
			if name := tc.first.where(tc.limit); !c.isShunned(name) {
				t.Errorf("%s is not remembered", name)
			}
		})
	}
}

// where returns how a Client remembers k.
func (k KDC) where(limit int) string {
	network := "udp"
	if limit == 1 {
		network = "tcp"
	}
	port := k.Port
	if port == 0 {
		port = 88
	}
	return fmt.Sprintf("%s %s:%d", network, k.Host, port)
}

func TestAllFail(t *testing.T) {
	dead := deadPort(t)
	quiet, _ := silent(t)
	c := client(Options{Locate: at(dead, quiet.addr), Pacing: hasty})
	_, err := try1(t, c)
	e := failure(t, err)
	if e.Kind != KindUnreachable || !e.Temporary() || e.Credentials() || e.Code != 0 {
		t.Errorf("%+v", e)
	}
	refused := errors.Is(err, syscall.ECONNREFUSED) || runtime.GOOS == "windows" // which has error numbers of its own
	if _, ok := errors.AsType[net.Error](err); !ok || !refused || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("causes are lost: %v", err)
	}
	var got []string
	for _, a := range e.KDCs {
		got = append(got, a.Network+" "+a.Address)
		if a.Err == nil {
			t.Errorf("%s: no reason", a.Address)
		}
		if !strings.Contains(err.Error(), a.Address+"/"+a.Network) {
			t.Errorf("%s is not in: %v", a.Address, err)
		}
	}
	want := []string{dead.where(0), quiet.addr.where(0), dead.where(1), quiet.addr.where(1)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in file order, UDP before TCP: %s", diff)
	}
}

func TestAllBusy(t *testing.T) {
	k := newScripted(t, realmA)
	k.before = func(r *request) ([][]byte, bool) {
		b := k.refuse(r, krb.CodeUnavailable, nil)
		if r.network == "tcp" {
			b = framed(b)
		}
		return [][]byte{b}, true
	}
	k.start()
	_, err := try1(t, client(Options{}, k))
	if e := failure(t, err); e.Kind != KindUnreachable || e.Code != krb.CodeUnavailable || !e.Temporary() || !strings.Contains(err.Error(), "busy") {
		t.Errorf("%+v", e)
	}
	if ke, ok := errors.AsType[*krb.KRBError](err); !ok || ke.Code != krb.CodeUnavailable {
		t.Error("no KRB-ERROR")
	}
}

func TestResponseTooBig(t *testing.T) {
	k := newScripted(t, realmA)
	k.before = func(r *request) ([][]byte, bool) {
		if r.network == "udp" {
			return [][]byte{k.refuse(r, krb.CodeResponseTooBig, nil)}, true
		}
		return nil, false
	}
	k.start()
	other := newScripted(t, realmA).start()
	c := client(Options{Locate: at(k.addr, other.addr)})
	if _, err := try1(t, c); err != nil {
		t.Fatal(err)
	}
	if n := other.count(0); n != 0 {
		t.Errorf("another KDC was asked %d times, want the same one over TCP", n)
	}
	addr := k.addr
	addr.Network = "udp"
	_, err := try1(t, client(Options{Locate: at(addr)}))
	if e := failure(t, err); e.Code != krb.CodeResponseTooBig || !strings.Contains(err.Error(), "TCP") {
		t.Error(err)
	}
	// The same one is dead over TCP: then another.
	refuse := func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == "tcp" && address == fmt.Sprintf("127.0.0.1:%d", k.addr.Port) {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	if _, err := try1(t, client(Options{Locate: at(k.addr, other.addr), Dial: refuse})); err != nil || other.count(0) == 0 {
		t.Error(other.count(0), err)
	}
}

func TestJunkBeforeTheAnswer(t *testing.T) {
	k := newScripted(t, realmA)
	k.before = func(r *request) ([][]byte, bool) {
		k.hooks.Lock()
		defer k.hooks.Unlock()
		right := k.respond(r)
		return [][]byte{{}, []byte("junk"), {0x7e, 0}, right[:len(right)/2], append([]byte{0x6d}, right[1:]...), append(slices.Clone(right), 0), right}, true
	}
	k.start()
	if _, err := try1(t, client(Options{}, k)); err != nil {
		t.Fatal(err)
	}
}

// A KDC that is slow is heard although the next was asked.
func TestLateReply(t *testing.T) {
	quiet, asked := silent(t)
	slow := newScripted(t, realmA)
	slow.preauth = false
	slow.before = func(r *request) ([][]byte, bool) {
		<-asked // until the other one is
		return nil, false
	}
	slow.start()
	if _, err := try1(t, client(Options{Locate: at(slow.addr, quiet.addr), Pacing: restless})); err != nil {
		t.Fatal(err)
	}
}

func TestLostDatagram(t *testing.T) {
	k := newScripted(t, realmA)
	k.preauth = false
	k.before = func(r *request) ([][]byte, bool) { return nil, r.number == 1 }
	k.start()
	addr := k.addr
	addr.Network = "udp"
	p := restless
	p.Passes = append(slices.Repeat([]time.Duration{time.Millisecond}, 50), time.Minute)
	if _, err := try1(t, client(Options{Locate: at(addr), Pacing: p})); err != nil || k.count(0) < 2 {
		t.Errorf("%d requests: %v", k.count(0), err)
	}
}

func TestContext(t *testing.T) {
	long := Pacing{Next: time.Hour, Connected: time.Hour}
	keys := Password(alice, "x")
	for _, limit := range []int{1, DefaultUDPPreferenceLimit} {
		quiet, asked := silent(t)
		c := client(Options{UDPPreferenceLimit: limit, Pacing: long}, quiet)
		t.Run(fmt.Sprintf("cancel %d", limit), func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			boom := errors.New("boom")
			go func() {
				<-asked
				cancel(boom)
			}()
			_, err := c.AS(ctx, ASRequest{Client: alice, Keys: keys})
			if e := failure(t, err); e.Kind != KindUnreachable || e.Temporary() || !errors.Is(err, context.Canceled) || !errors.Is(err, boom) {
				t.Error(err)
			}
			if c.isShunned(quiet.addr.where(limit)) {
				t.Error("a KDC is shunned that had no time to answer")
			}
		})
		t.Run(fmt.Sprintf("deadline %d", limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				nobody := new(world)
				c := client(Options{UDPPreferenceLimit: limit, Pacing: long, Dial: nobody.dial, Locate: at(KDC{Host: "192.0.2.1"})})
				begun := time.Now()
				_, err := c.AS(ctx, ASRequest{Client: alice, Keys: Password(alice, "x")})
				if waited := time.Since(begun); waited != 2*time.Second {
					t.Errorf("it took %v", waited)
				}
				if e := failure(t, err); e.Kind != KindUnreachable || !e.Temporary() || !errors.Is(err, context.DeadlineExceeded) || len(e.KDCs) != 1 {
					t.Error(err)
				}
			})
		})
	}
	quiet, _ := silent(t)
	t.Run("over before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		locate := func(context.Context, string) ([]KDC, error) {
			t.Error("a KDC was looked for")
			return nil, nil
		}
		_, err := client(Options{Locate: locate}).AS(ctx, ASRequest{Client: alice, Keys: keys})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("while locating", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		locate := func(ctx context.Context, _ string) ([]KDC, error) {
			cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		_, err := client(Options{Locate: locate}).AS(ctx, ASRequest{Client: alice, Keys: keys})
		if e := failure(t, err); e.Kind != KindUnreachable || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("while dialling", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		_, err := client(Options{Dial: dial, Pacing: long}, quiet).AS(ctx, ASRequest{Client: alice, Keys: keys})
		if e := failure(t, err); e.Kind != KindUnreachable || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	// A connection that comes after the exchange is over is closed.
	t.Run("dialled too late", func(t *testing.T) {
		good := newScripted(t, realmA)
		good.preauth = false
		good.start()
		ours, theirs := net.Pipe()
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "slow") {
				<-ctx.Done()
				return ours, nil
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		c := client(Options{Locate: at(KDC{Host: "slow"}, good.addr), Dial: dial, Pacing: restless})
		if _, err := try1(t, c); err != nil {
			t.Fatal(err)
		}
		if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("still open: %v", err)
		}
	})
}

func TestEvents(t *testing.T) {
	dead := deadPort(t)
	k := newScripted(t, realmA).start()
	var mu sync.Mutex
	var got []middleware.ExchangeEvent
	ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
		mu.Lock()
		defer mu.Unlock()
		ev := e.(middleware.ExchangeEvent)
		if ev.Duration <= 0 {
			t.Error("no duration")
		}
		ev.Duration = 0
		if ev.Err != nil {
			ev.Err = errUnreachable
		}
		got = append(got, ev)
	})
	pacing := oneAtATime
	if runtime.GOOS == "windows" {
		pacing.Next = 3 * time.Second
	}
	c := client(Options{Locate: at(dead, k.addr), Pacing: pacing})
	tgt, err := c.AS(ctx, ASRequest{Client: alice, Keys: Password(alice, k.password)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.TGS(ctx, tgt, web, TGSOptions{}); err != nil {
		t.Fatal(err)
	}
	there, here := fmt.Sprintf("127.0.0.1:%d", dead.Port), fmt.Sprintf("127.0.0.1:%d", k.addr.Port)
	want := []middleware.ExchangeEvent{
		{Kind: "AS", Realm: realmA, Address: there, Network: "udp", Err: errUnreachable},
		{Kind: "AS", Realm: realmA, Address: here, Network: "udp", Code: krb.CodePreauthRequired},
		{Kind: "AS", Realm: realmA, Address: here, Network: "udp", Preauth: "timestamp"},
		{Kind: "TGS", Realm: realmA, Address: here, Network: "udp"},
	}
	if runtime.GOOS == "windows" { // where nobody is told that nothing listens, so that the other one answers first
		want[0], want[1] = want[1], want[0]
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// tape is a connection that records when it was written to, and never answers.
type tape struct {
	net.Conn
	write func()
	once  sync.Once
	gone  chan struct{}
}

func (c *tape) Write(b []byte) (int, error) { c.write(); return len(b), nil }
func (c *tape) Read([]byte) (int, error)    { <-c.gone; return 0, net.ErrClosed }
func (c *tape) Close() error                { c.once.Do(func() { close(c.gone) }); return nil }

// MIT's pacing, in virtual time.
func TestPacing(t *testing.T) {
	type sent struct {
		At    time.Duration
		Where string
	}
	record := func(t *testing.T, connect map[string]time.Duration, limit int) (got []sent, took time.Duration, c *Client) {
		start := time.Now()
		var mu sync.Mutex
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			where := network + " " + address
			if d, ok := connect[where]; ok {
				select {
				case <-time.After(d):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			return &tape{gone: make(chan struct{}), write: func() {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, sent{time.Since(start), where})
			}}, nil
		}
		c = New(Options{Locate: at(KDC{Host: "a"}, KDC{Host: "b"}), Dial: dial, UDPPreferenceLimit: limit})
		_, err := try1(t, c)
		if e := failure(t, err); e.Kind != KindUnreachable || len(e.KDCs) != 4 {
			t.Error(err)
		}
		return got, time.Since(start), c
	}
	const s = time.Second
	t.Run("UDP first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			got, took, c := record(t, nil, DefaultUDPPreferenceLimit)
			want := []sent{
				{0, "udp a:88"}, {1 * s, "udp b:88"},
				{2 * s, "tcp a:88"}, {12 * s, "tcp b:88"}, // who takes a connection is waited for
				{24 * s, "udp a:88"}, {25 * s, "udp b:88"}, // after 2 s more
				{30 * s, "udp a:88"}, {31 * s, "udp b:88"}, // and 4
			}
			if diff := cmp.Diff(want, got); diff != "" || took != 40*s { // and 8
				t.Errorf("took %v: %s", took, diff)
			}
			if !c.isShunned("udp a:88") {
				t.Error("a silent KDC is not remembered")
			}
			time.Sleep(c.o.Pacing.Shun)
			if c.isShunned("udp a:88") {
				t.Error("a silent KDC is remembered for too long")
			}
		})
	})
	t.Run("unconnected TCP", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			got, took, _ := record(t, map[string]time.Duration{"tcp a:88": time.Hour, "tcp b:88": time.Hour}, 1)
			want := []sent{
				{2 * s, "udp a:88"}, {3 * s, "udp b:88"},
				{6 * s, "udp a:88"}, {7 * s, "udp b:88"},
				{12 * s, "udp a:88"}, {13 * s, "udp b:88"},
			}
			if diff := cmp.Diff(want, got); diff != "" || took != 22*s {
				t.Errorf("took %v: %s", took, diff)
			}
		})
	})
}

// A length is refused before memory is set aside for it.
func TestStreamLength(t *testing.T) {
	x := &exchange{c: New(Options{}), kind: krb.MsgASRep}
	for _, n := range []uint32{0, maxReply + 1, 1 << 31, 1<<32 - 1} {
		_, err := x.stream(&one{reply: binary.BigEndian.AppendUint32(nil, n)})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("announces %d bytes", n)) {
			t.Errorf("%d: %v", n, err)
		}
	}
	if _, err := x.stream(&one{reply: binary.BigEndian.AppendUint32(nil, maxReply)}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a length at the limit: %v", err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	c := New(Options{})
	for i := range 3 * maxRemembered {
		c.shun(fmt.Sprint(i))
		c.SetOffset(fmt.Sprint(i), time.Hour)
		if !c.isShunned(fmt.Sprint(i)) || c.Offset(fmt.Sprint(i)) != time.Hour {
			t.Fatal("what is new is not kept")
		}
	}
	if len(c.shunned) > maxRemembered || len(c.offsets) > maxRemembered {
		t.Errorf("%d shunned, %d offsets", len(c.shunned), len(c.offsets))
	}
}

func TestPlan(t *testing.T) {
	many := make([]KDC, 1000)
	for i := range many {
		many[i] = KDC{Host: fmt.Sprint(i)}
	}
	c := New(Options{Dial: new(net.Dialer).DialContext})
	if tries, _ := c.plan(many, "udp", "tcp"); len(tries) != maxTries {
		t.Errorf("%d tries", len(tries))
	}
	kdcs := []KDC{{Host: "a"}, {Host: "b", Port: 750, Network: "tcp"}, {Host: "c", Network: "udp"}, {Host: "::1"}, {Host: "a"}, {Host: "/run/kdc", Network: "unix"}, {Host: "p", Network: "https", URL: "https://p/a"}, {Host: "p", Network: "https", URL: "https://p/b"}, {Host: "d", Network: "smoke"}}
	list := func(first, second string) (out []string) {
		tries, failed := c.plan(kdcs, first, second)
		for _, x := range tries {
			out = append(out, x.where())
		}
		if len(failed) != 1 || failed[0].Address != "d:88" {
			t.Errorf("failed %v", failed)
		}
		return out
	}
	if diff := cmp.Diff([]string{"udp a:88", "udp c:88", "udp [::1]:88", "unix /run/kdc", "https p:443", "https p:443", "tcp a:88", "tcp b:750", "tcp [::1]:88"}, list("udp", "tcp")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"tcp a:88", "tcp b:750", "tcp [::1]:88", "unix /run/kdc", "https p:443", "https p:443"}, list("tcp", "")); diff != "" {
		t.Error(diff)
	}
}
