package dnslookup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"
)

const realm = "_kerberos.EXAMPLE.COM."

// always answers every query with the same bits and records.
func always(bits uint16, records ...rr) func(query) [][]byte {
	return func(q query) [][]byte { return [][]byte{q.reply(bits, records...)} }
}

func TestURI(t *testing.T) {
	const u = "krb5srv:m:udp:kdc.example.com"
	one := uriRR(realm, 3600, 10, 1, u)
	many := func(others int) func(query) [][]byte { // over TCP
		return func(q query) [][]byte {
			if q.network == "udp" {
				return [][]byte{q.reply(bitTruncated)}
			}
			return [][]byte{q.reply(0, append(slices.Repeat([]rr{uriRR("evil.test", 1, 1, 1, u)}, others), one)...)}
		}
	}
	for name, tc := range map[string]struct {
		answer   func(query) [][]byte
		want     []URI
		ttl      time.Duration
		notFound bool
		says     string // in the error
		log      []string
	}{
		"one":          {answer: always(0, one), want: []URI{{10, 1, u}}, ttl: time.Hour, log: []string{"udp edns 1232"}},
		"two, least":   {answer: always(0, one, uriRR(realm, 60, 65535, 0, "x")), want: []URI{{10, 1, u}, {65535, 0, "x"}}, ttl: time.Minute},
		"another case": {answer: always(0, uriRR(strings.ToLower(realm), 9, 1, 2, u)), want: []URI{{1, 2, u}}, ttl: 9 * time.Second},
		"alias": {
			answer: always(0, cnameRR("b.test", "c.test"), uriRR("C.test", 3600, 1, 1, u), cnameRR(realm, "b.test")),
			want:   []URI{{1, 1, u}}, ttl: 300 * time.Second,
		},
		"alias in a circle":     {answer: always(0, cnameRR(realm, "b.test"), cnameRR("b.test", realm)), notFound: true},
		"alias to elsewhere":    {answer: always(0, cnameRR(realm, "b.test"), uriRR("c.test", 1, 1, 1, u)), notFound: true},
		"of another name":       {answer: always(0, uriRR("evil.test", 1, 1, 1, u)), notFound: true},
		"of a longer name":      {answer: always(0, uriRR(realm+"evil.", 1, 1, 1, u)), notFound: true},
		"of a shorter name":     {answer: always(0, uriRR("_kerberos.EXAMPLE.", 1, 1, 1, u)), notFound: true},
		"of another class":      {answer: always(0, newRR(realm, 256, 3, 1, []byte("\x00\x01\x00\x01x"))), notFound: true},
		"of another type":       {answer: always(0, newRR(realm, 16, 1, 1, []byte("\x01x"))), notFound: true},
		"without a target":      {answer: always(0, newRR(realm, 256, 1, 1, []byte{0, 1, 0, 1})), notFound: true},
		"a long time":           {answer: always(0, uriRR(realm, 1<<32-1, 1, 1, u)), want: []URI{{1, 1, u}}, ttl: (1<<31 - 1) * time.Second},
		"no such name":          {answer: always(3), notFound: true, log: []string{"udp edns 1232"}},
		"no such record":        {answer: always(0), notFound: true},
		"server failure":        {answer: always(2), says: "code 2", log: []string{"udp edns 1232", "udp edns 1232"}},
		"refused":               {answer: always(5), says: "code 5"},
		"cut short":             {answer: func(q query) [][]byte { b := q.reply(0, one); return [][]byte{b[:len(b)-1]} }, says: "malformed"},
		"a record that is none": {answer: always(0, rr{0xc0}), says: "malformed"},
		"as many as may be":     {answer: many(maxAnswers - 1), want: []URI{{10, 1, u}}, ttl: time.Hour},
		"one more":              {answer: many(maxAnswers), says: "malformed"},
		"a failure with one":    {answer: always(5, one), says: "code 5"},
		"no EDNS0": {
			answer: func(q query) [][]byte {
				if q.edns {
					return [][]byte{q.reply(1)}
				}
				return [][]byte{q.reply(0, one)}
			},
			want: []URI{{10, 1, u}}, ttl: time.Hour, log: []string{"udp edns 1232", "udp"},
		},
		"EDNS0 not implemented": {
			answer: func(q query) [][]byte {
				if q.edns {
					return [][]byte{q.reply(4)}
				}
				return [][]byte{q.reply(0, one)}
			},
			want: []URI{{10, 1, u}}, ttl: time.Hour, log: []string{"udp edns 1232", "udp"},
		},
		"too long for UDP": {
			answer: func(q query) [][]byte {
				if q.network == "udp" {
					return [][]byte{q.reply(bitTruncated, one[:4])}
				}
				return [][]byte{q.reply(0, one)}
			},
			want: []URI{{10, 1, u}}, ttl: time.Hour, log: []string{"udp edns 1232", "tcp edns 1232"},
		},
		"too long for TCP": {answer: always(bitTruncated), says: "malformed"},
		"junk before it": {
			answer: func(q query) [][]byte {
				other, name, question := q, q, q
				class := q.reply(0, uriRR(realm, 1, 1, 1, "evil"))
				class[12+len(wireName(q.name))+3] = 3
				end := 12 + len(wireName(q.name)) + 4
				twice := slices.Insert(q.reply(0, uriRR(realm, 1, 1, 1, "evil")), end, class[12:end]...)
				twice[5] = 2
				other.id++
				name.name = "evil.test."
				question.qtype = 1
				evil := uriRR(realm, 1, 1, 1, "evil")
				return [][]byte{nil, []byte("junk"), q.raw, other.reply(0, evil), name.reply(0, evil), question.reply(0, evil), class, twice, q.reply(1<<11, evil), q.reply(0, one)}
			},
			want: []URI{{10, 1, u}}, ttl: time.Hour,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, tc.answer)
			got, ttl, err := resolver(t, "", s).URI(t.Context(), realm)
			if diff := cmp.Diff(tc.want, got); diff != "" || ttl != tc.ttl {
				t.Errorf("ttl %v, records (-want +got):\n%s", ttl, diff)
			}
			var e *net.DNSError
			switch {
			case tc.want != nil && err != nil:
				t.Error(err)
			case tc.want == nil && (!errors.As(err, &e) || e.IsNotFound != tc.notFound || e.IsTemporary == tc.notFound || !strings.Contains(err.Error(), tc.says) || e.Name != realm || e.Server != "192.0.2.1:53"):
				t.Errorf("error %#v", err)
			}
			if tc.log != nil {
				if diff := cmp.Diff(tc.log, s.log()); diff != "" {
					t.Errorf("queries (-want +got):\n%s", diff)
				}
			}
			for _, q := range s.queries() {
				if q.name != realm || q.qtype != 256 {
					t.Errorf("asked for %s, type %d", q.name, q.qtype)
				}
			}
		})
	}
}

func TestIDs(t *testing.T) {
	s := serve(t, always(3))
	r := resolver(t, "", s)
	for range 8 {
		_, _, _ = r.URI(t.Context(), realm)
	}
	seen := map[uint16]bool{}
	for _, q := range s.queries() {
		seen[q.id] = true
	}
	if len(seen) < 4 {
		t.Errorf("%d queries had %d different numbers", len(s.queries()), len(seen))
	}
}

func TestNames(t *testing.T) {
	for name, tc := range map[string]struct {
		name string
		ok   bool
	}{
		"with a dot":     {"_kerberos.EXAMPLE.COM.", true},
		"without":        {"_kerberos.EXAMPLE.COM", true},
		"one label":      {"CORP", true},
		"nothing":        {"", false},
		"root":           {".", false},
		"empty label":    {"a..b", false},
		"leading dot":    {".a", false},
		"long label":     {strings.Repeat("a", 64), false},
		"longest label":  {strings.Repeat("a", 63), true},
		"long name":      {strings.Repeat("abc.", 63) + "ab", false},
		"longest name":   {strings.Repeat("abc.", 63) + "a", true},
		"space":          {"a b", false},
		"not ASCII":      {"bücher.test", false},
		"control":        {"a\x00b", false},
		"an underscore_": {"_a._b", true},
	} {
		t.Run(name, func(t *testing.T) {
			n, ok := wholeName(tc.name)
			if ok != tc.ok {
				t.Fatalf("%q: %v", tc.name, ok)
			}
			if !ok {
				// A name that cannot be is not asked for.
				_, _, err := (&Resolver{Config: "/nowhere"}).URI(t.Context(), tc.name)
				if e, is := errors.AsType[*net.DNSError](err); !is || !e.IsNotFound {
					t.Error(err)
				}
				return
			}
			if _, err := newQuery(1, dnsmessage.Question{Name: n, Type: typeURI, Class: dnsmessage.ClassINET}, true); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNextServer(t *testing.T) {
	good := serve(t, always(0, uriRR(realm, 1, 1, 1, "x")))
	for name, answer := range map[string]func(query) [][]byte{
		"failing":   always(2),
		"malformed": always(0, rr{1}),
		"refusing":  always(5),
	} {
		t.Run(name, func(t *testing.T) {
			bad := serve(t, answer)
			got, _, err := resolver(t, "", bad, good).URI(t.Context(), realm)
			if err != nil || len(got) != 1 || len(bad.log()) != 1 {
				t.Error(got, err, bad.log())
			}
		})
	}
	t.Run("not there", func(t *testing.T) {
		r := resolver(t, "", good, good)
		dial := r.Dial
		r.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "192.0.2.1:53" {
				return nil, errors.New("network is unreachable")
			}
			return dial(ctx, network, address)
		}
		if got, _, err := r.URI(t.Context(), realm); err != nil || len(got) != 1 {
			t.Error(got, err)
		}
	})
	t.Run("what the first says counts", func(t *testing.T) {
		none := serve(t, always(3))
		before := len(good.log())
		if _, _, err := resolver(t, "", none, good).URI(t.Context(), realm); err == nil || len(good.log()) != before {
			t.Error("another was asked after a denial", err)
		}
	})
}

func TestNoConfig(t *testing.T) {
	_, _, err := (&Resolver{Config: filepath.Join(t.TempDir(), "none")}).URI(t.Context(), realm)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, _, err := (&Resolver{Config: t.TempDir()}).URI(t.Context(), realm); err == nil {
		t.Error("a folder was read")
	}
}

// deaf is a connection on which nothing ever comes.
type deaf struct {
	net.Conn
	once sync.Once
	gone chan struct{}
}

func (c *deaf) Write(b []byte) (int, error) { return len(b), nil }
func (c *deaf) Read([]byte) (int, error)    { <-c.gone; return 0, net.ErrClosed }
func (c *deaf) Close() error                { c.once.Do(func() { close(c.gone) }); return nil }

// What silent name servers cost, in virtual time.
func TestSilence(t *testing.T) {
	for name, tc := range map[string]struct {
		config string
		want   time.Duration
		asked  int
	}{
		"one":         {"nameserver 192.0.2.1", 4 * time.Second, 2},
		"two":         {"nameserver 192.0.2.1\nnameserver 192.0.2.2", 5 * time.Second, 3},
		"quick":       {"nameserver 192.0.2.1\noptions timeout:1 attempts:1", time.Second, 1},
		"not so slow": {"nameserver 192.0.2.1\noptions timeout:30 attempts:5", 4 * time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				r := &Resolver{Config: write(t, tc.config), Dial: func(context.Context, string, string) (net.Conn, error) {
					asked++
					return &deaf{gone: make(chan struct{})}, nil
				}}
				start := time.Now()
				_, _, err := r.URI(t.Context(), realm)
				e, ok := errors.AsType[*net.DNSError](err)
				if !ok || !e.IsTimeout || !e.IsTemporary || e.IsNotFound {
					t.Errorf("error %#v", err)
				}
				if took := time.Since(start); took != tc.want || asked != tc.asked {
					t.Errorf("took %v and asked %d times, want %v and %d", took, asked, tc.want, tc.asked)
				}
			})
		})
	}
}

func TestContext(t *testing.T) {
	for name, dial := range map[string]func(ctx context.Context, stop func()) (net.Conn, error){
		"dialling": func(ctx context.Context, stop func()) (net.Conn, error) {
			stop()
			<-ctx.Done()
			return nil, ctx.Err()
		},
		"listening": func(_ context.Context, stop func()) (net.Conn, error) {
			stop()
			return &deaf{gone: make(chan struct{})}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			asked := 0
			r := &Resolver{Config: write(t, "nameserver 192.0.2.1"), Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				asked++
				return dial(ctx, cancel)
			}}
			_, _, err := r.URI(ctx, realm)
			if !errors.Is(err, context.Canceled) || asked != 1 {
				t.Errorf("asked %d times: %v", asked, err)
			}
		})
	}
}

func TestManyAliases(t *testing.T) {
	chain := func(n int) (out []rr) {
		name := realm
		for i := range n {
			next := fmt.Sprintf("a%d.test.", i)
			out = append(out, cnameRR(name, next))
			name = next
		}
		return append(out, uriRR(name, 1, 1, 1, "x"))
	}
	for n, want := range map[int]int{0: 1, maxAliases: 1, maxAliases + 1: 0} {
		got, _, _ := resolver(t, "", serve(t, always(0, chain(n)...))).URI(t.Context(), realm)
		if len(got) != want {
			t.Errorf("%d aliases: %d records", n, len(got))
		}
	}
}
