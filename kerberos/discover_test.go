package kerberos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/dnslookup"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb5conf"
)

func TestParseTarget(t *testing.T) {
	type kdc = kdcclient.KDC
	proxy := func(url string, port int) kdc {
		return kdc{Host: "p.test", Port: port, Network: "https", URL: url}
	}
	for target, want := range map[string]kdc{
		"krb5srv:m:udp:kdc.test":                       {Host: "kdc.test", Port: 88, Network: "udp"},
		"krb5srv::tcp:kdc.test:750":                    {Host: "kdc.test", Port: 750, Network: "tcp"},
		"KRB5SRV:xMy:TCP:kdc.test.":                    {Host: "kdc.test", Port: 88, Network: "tcp"},
		"krb5srv:m:udp:192.0.2.1":                      {Host: "192.0.2.1", Port: 88, Network: "udp"},
		"krb5srv:m:udp:[2001:db8::1]":                  {Host: "2001:db8::1", Port: 88, Network: "udp"},
		"krb5srv:m:tcp:[2001:db8::1]:750":              {Host: "2001:db8::1", Port: 750, Network: "tcp"},
		"krb5srv:m:tcp:2001:db8::1":                    {Host: "2001:db8::1", Port: 88, Network: "tcp"},
		"krb5srv:m:kkdcp:https://p.test/KdcProxy":      proxy("https://p.test/KdcProxy", 443),
		"krb5srv::kkdcp:https://p.test:8443/KdcProxy":  proxy("https://p.test:8443/KdcProxy", 8443),
		"krb5srv::kkdcp:HTTPS://p.test":                proxy("https://p.test", 443),
		"krb5srv::kkdcp:p.test:8443":                   proxy("https://p.test:8443", 8443),
		"":                                             {},
		"krb5srv":                                      {},
		"krb5srv:":                                     {},
		"krb5srv:m":                                    {},
		"krb5srv:m:udp":                                {},
		"krb5srv:m:udp:":                               {},
		"krb5srv:m:udp:.":                              {},
		"krb5srv:udp:kdc.test":                         {},
		"krb5:m:udp:kdc.test":                          {},
		"kdc.test":                                     {},
		"krb5srv:m:sctp:kdc.test":                      {},
		"krb5srv:m:udp:kdc.test:0":                     {},
		"krb5srv:m:udp:kdc.test:x":                     {},
		"krb5srv:m:udp:/run/kdc":                       {},
		"krb5srv:m:udp:tcp/kdc.test":                   {},
		"krb5srv:m:udp:https://p.test/":                {},
		"krb5srv:m:tcp:kdc.test other":                 {},
		"krb5srv:m:tcp:kdc.test\n":                     {},
		"krb5srv:m:kkdcp:http://p.test/":               {},
		"krb5srv:m:kkdcp:https://user:secret@p.test/":  {},
		"krb5srv:m:kkdcp:https:///KdcProxy":            {},
		"krb5srv:m:kkdcp:":                             {},
		"krb5srv:m:udp:" + strings.Repeat("a", 2*1024): {},
	} {
		got, primary, ok := parseTarget(target)
		if diff := cmp.Diff(want, got); diff != "" || ok != (want != kdc{}) {
			t.Errorf("%q: %v (-want +got):\n%s", target, ok, diff)
		}
		if m := strings.HasPrefix(target, "krb5srv:m:") || strings.HasPrefix(target, "KRB5SRV:xMy:"); primary != (ok && m) {
			t.Errorf("%q: primary %v", target, primary)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"krb5srv:m:udp:kdc.test:88", "krb5srv::kkdcp:https://p.test/KdcProxy", "krb5srv:m:tcp:[2001:db8::1]:750", "krb5srv:m:kkdcp:p", ":::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		k, _, ok := parseTarget(target)
		if !ok {
			if k != (kdcclient.KDC{}) {
				t.Fatalf("%+v of nothing", k)
			}
			return
		}
		if k.Host == "" || k.Port < 1 || k.Port > 65535 || (k.Network == "https") != strings.HasPrefix(k.URL, "https://") || strings.ContainsAny(k.Host, " \n\x00/") {
			t.Fatalf("%q: %+v", target, k)
		}
	})
}

func TestOrder(t *testing.T) {
	// The same choices every time: the first, the last.
	first, last := func(int) int { return 0 }, func(n int) int { return n - 1 }
	names := func(list []URI) (out []string) {
		for _, u := range list {
			out = append(out, u.Target)
		}
		return out
	}
	records := []URI{{20, 1, "d"}, {10, 1, "a"}, {10, 0, "z"}, {10, 5, "b"}, {65535, 65535, "f"}, {10, 2, "c"}, {20, 0, "e"}}
	if diff := cmp.Diff([]string{"a", "b", "c", "z", "d", "e", "f"}, names(order(records, first))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"c", "b", "a", "z", "d", "e", "f"}, names(order(records, last))); diff != "" {
		t.Error(diff)
	}
	if got := order(nil, first); len(got) != 0 {
		t.Error(got)
	}
	// 3:1, by a generator that always says the same.
	intn := rand.New(rand.NewPCG(1, 2)).IntN
	heavy := 0
	for range 4000 {
		if order([]URI{{1, 1, "light"}, {1, 3, "heavy"}}, intn)[0].Target == "heavy" {
			heavy++
		}
	}
	if heavy < 2850 || heavy > 3150 {
		t.Errorf("%d of 4000, want 3000", heavy)
	}
}

// memDNS is a DNS that says what it is told, and writes down what it is asked.
type memDNS struct {
	uri map[string][]URI
	srv map[string][]*net.SRV
	bad map[string]error // instead
	log []string
}

func (n *memDNS) answer(q string, found bool) error {
	n.log = append(n.log, q)
	switch {
	case n.bad[q] != nil:
		return n.bad[q]
	case !found:
		return &net.DNSError{Err: "no such host", Name: q, IsNotFound: true}
	}
	return nil
}

func (n *memDNS) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	q := fmt.Sprintf("_%s._%s.%s", service, proto, name)
	return q, n.srv[q], n.answer(q, n.srv[q] != nil)
}

func (n *memDNS) LookupURI(_ context.Context, name string) ([]URI, error) {
	return n.uri[name], n.answer(name, n.uri[name] != nil)
}

func (n *memDNS) taken() []string {
	out := n.log
	n.log = nil
	return out
}

func conf(t testing.TB, text string) *krb5conf.Config {
	t.Helper()
	p, err := krb5conf.Parse("krb5.conf", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return krb5conf.New(p, krb5conf.Options{})
}

func TestDiscovery(t *testing.T) {
	const uri, udp, tcp = "_kerberos.A.TEST.", "_kerberos._udp.A.TEST.", "_kerberos._tcp.A.TEST."
	u := func(targets ...string) (out []URI) {
		for i, s := range targets {
			out = append(out, URI{Priority: uint16(i), Target: s})
		}
		return out
	}
	srv := map[string][]*net.SRV{udp: {{Target: "srv.test.", Port: 88}}}
	fromSRV := []kdcclient.KDC{{Host: "srv.test", Port: 88, Network: "udp"}}
	temporary := &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	for name, tc := range map[string]struct {
		dns   *memDNS
		conf  string
		want  []kdcclient.KDC
		says  string // in the error
		asked []string
	}{
		"URI first": {
			dns: &memDNS{srv: srv, uri: map[string][]URI{uri: {
				{20, 1, "krb5srv:m:kkdcp:https://p.test/KdcProxy"}, {10, 1, "krb5srv:m:tcp:a.test"}, {15, 1, "mailto:root"}, {15, 9, "krb5srv::udp:b.test:750"},
			}}},
			want: []kdcclient.KDC{
				{Host: "a.test", Port: 88, Network: "tcp"}, {Host: "b.test", Port: 750, Network: "udp"},
				{Host: "p.test", Port: 443, Network: "https", URL: "https://p.test/KdcProxy"},
			},
			asked: []string{uri},
		},
		"no URI":            {dns: &memDNS{srv: srv}, want: fromSRV, asked: []string{uri, udp, tcp}},
		"URI of no use":     {dns: &memDNS{srv: srv, uri: map[string][]URI{uri: u("mailto:root", "krb5srv:m:carrier-pigeon:x")}}, want: fromSRV, asked: []string{uri, udp, tcp}},
		"URI fails":         {dns: &memDNS{srv: srv, bad: map[string]error{uri: temporary}}, want: fromSRV, asked: []string{uri, udp, tcp}},
		"URI off":           {dns: &memDNS{srv: srv, uri: map[string][]URI{uri: u("krb5srv:m:tcp:a.test")}}, conf: "dns_uri_lookup = false", want: fromSRV, asked: []string{udp, tcp}},
		"all off":           {dns: &memDNS{srv: srv}, conf: "dns_lookup_kdc = false", want: []kdcclient.KDC{}},
		"nothing":           {dns: &memDNS{}, asked: []string{uri, udp, tcp}},
		"URI fails, no SRV": {dns: &memDNS{bad: map[string]error{uri: temporary}}, says: "look up _kerberos.A.TEST in DNS", asked: []string{uri, udp, tcp}},
		"all fail":          {dns: &memDNS{bad: map[string]error{uri: temporary, udp: temporary, tcp: temporary}}, says: "_kerberos._udp.A.TEST", asked: []string{uri, udp, tcp}},
		"krb5.conf, in all its forms": {
			dns:  &memDNS{},
			conf: "[realms]\nA.TEST = {\nkdc = a.test\nkdc = [2001:db8::1]:750\nkdc = tcp/b.test\nkdc = https://p.test:8443/KdcProxy\nkdc = /run/kdc\nkdc = 2001:db8::2\n}\n",
			want: []kdcclient.KDC{
				{Host: "a.test", Port: 88}, {Host: "2001:db8::1", Port: 750}, {Host: "b.test", Port: 88, Network: "tcp"},
				{Host: "p.test", Port: 8443, Network: "https", URL: "https://p.test:8443/KdcProxy"},
				{Host: "/run/kdc", Network: "unix"}, {Host: "2001:db8::2", Port: 88},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := newDiscovery(tc.dns, conf(t, "[libdefaults]\n"+tc.conf+"\n")).locate(t.Context(), "A.TEST")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("KDCs (-want +got):\n%s", diff)
			}
			if (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Error(err)
			}
			if diff := cmp.Diff(tc.asked, tc.dns.taken()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

// srvOnly hides that URI records can be looked up.
type srvOnly struct{ Resolver }

func TestResolverWithoutURI(t *testing.T) {
	const udp = "_kerberos._udp.A.TEST."
	n := &memDNS{srv: map[string][]*net.SRV{udp: {{Target: "srv.test.", Port: 88}}}}
	got, err := newDiscovery(srvOnly{n}, conf(t, "")).locate(t.Context(), "A.TEST")
	if err != nil || len(got) != 1 || n.log[0] != udp {
		t.Error(got, err, n.log)
	}
	if d := newDiscovery(nil, conf(t, "")); d.uri == nil || d.dns == nil {
		t.Error("nobody is asked by default")
	}
}

// What DNS said is kept for a while, in virtual time.
func TestDiscoveryKeeps(t *testing.T) {
	const uri, udp, tcp = "_kerberos.A.TEST.", "_kerberos._udp.A.TEST.", "_kerberos._tcp.A.TEST."
	srv := map[string][]*net.SRV{udp: {{Target: "srv.test.", Port: 88}}}
	all := []string{uri, udp, tcp}
	locate := func(t *testing.T, d *discovery) {
		t.Helper()
		_, _ = d.locate(t.Context(), "A.TEST")
	}
	check := func(t *testing.T, n *memDNS, what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, n.taken()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	t.Run("a minute", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := &memDNS{srv: srv}
			d := newDiscovery(n, conf(t, ""))
			locate(t, d)
			check(t, n, "at first", all...)
			time.Sleep(keptUnknown - 1)
			locate(t, d)
			check(t, n, "within a minute")
			time.Sleep(time.Nanosecond)
			locate(t, d)
			check(t, n, "after it", all...)
			locate(t, newDiscovery(n, conf(t, "")))
			check(t, n, "another source", all...)
		})
	})
	t.Run("not what is missing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := &memDNS{}
			d := newDiscovery(n, conf(t, ""))
			locate(t, d)
			locate(t, d)
			check(t, n, "twice", slices.Concat(all, all)...)
		})
	})
	t.Run("who does not answer for URI", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := &memDNS{srv: srv, bad: map[string]error{uri: errors.New("timeout")}}
			d := newDiscovery(n, conf(t, ""))
			locate(t, d)
			check(t, n, "at first", all...)
			time.Sleep(keptUnknown)
			locate(t, d)
			check(t, n, "a minute later", udp, tcp)
			time.Sleep(pauseURI)
			locate(t, d)
			check(t, n, "much later", all...)
		})
	})
	t.Run("time to live", func(t *testing.T) {
		for ttl, want := range map[time.Duration]time.Duration{0: keptLeast, 10 * time.Minute: 10 * time.Minute, 1 << 31 * time.Second: keptMost} {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				d := newDiscovery(srvOnly{&memDNS{}}, conf(t, ""))
				d.uri = func(context.Context, string) ([]URI, time.Duration, error) {
					asked++
					return []URI{{Target: "krb5srv:m:udp:a.test"}}, ttl, nil
				}
				locate(t, d)
				time.Sleep(want - 1)
				locate(t, d)
				if asked != 1 {
					t.Errorf("ttl %v: asked %d times before %v", ttl, asked, want)
				}
				time.Sleep(time.Nanosecond)
				locate(t, d)
				if asked != 2 {
					t.Errorf("ttl %v: asked %d times after %v", ttl, asked, want)
				}
			})
		}
	})
	t.Run("bounded", func(t *testing.T) {
		d := newDiscovery(&memDNS{}, conf(t, ""))
		d.uri = func(context.Context, string) ([]URI, time.Duration, error) {
			return []URI{{Target: "krb5srv:m:udp:a.test"}}, time.Hour, nil
		}
		for i := range 3 * maxDiscovered {
			if _, err := d.locate(t.Context(), fmt.Sprint("R", i)); err != nil {
				t.Fatal(err)
			}
			if _, ok := d.found[wanted{realm: fmt.Sprint("R", i)}]; !ok {
				t.Fatal("what is new is not kept")
			}
		}
		if len(d.found) > maxDiscovered {
			t.Errorf("%d realms", len(d.found))
		}
	})
	t.Run("not what was broken off", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		n := &memDNS{srv: srv}
		d := newDiscovery(n, conf(t, ""))
		d.uri = func(ctx context.Context, _ string) ([]URI, time.Duration, error) {
			cancel()
			return nil, 0, ctx.Err()
		}
		if _, err := d.locate(ctx, "A.TEST"); !errors.Is(err, context.Canceled) || len(n.taken()) > 0 || len(d.found) > 0 {
			t.Error(err)
		}
	})
}

// A machine without resolv.conf has no URI records, and SRV is asked.
func TestNoNameServers(t *testing.T) {
	n := &memDNS{srv: map[string][]*net.SRV{"_kerberos._udp.A.TEST.": {{Target: "srv.test.", Port: 88}}}}
	d := newDiscovery(srvOnly{n}, conf(t, ""))
	d.uri = lookupURI(&dnslookup.Resolver{Config: t.TempDir() + "/none"})
	if got, err := d.locate(t.Context(), "A.TEST"); err != nil || len(got) != 1 {
		t.Error(got, err)
	}
	n.srv = nil
	if _, err := d.locate(t.Context(), "B.TEST"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
