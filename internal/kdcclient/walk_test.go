package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/krb"
)

var there = krb.NewPrincipal(realmB, "HTTP", "www.b.test")

// realmsOf returns KDCs that open one another's tickets. Each knows its own
// service of ticket-granting and those given, "krbtgt/X" for a trusted realm.
func realmsOf(tb testing.TB, services map[string][]string) map[string]*scripted {
	tb.Helper()
	out := make(map[string]*scripted)
	var all []*scripted
	for realm, names := range services {
		k := newScripted(tb, realm)
		k.services = map[string]bool{"krbtgt/" + realm: true}
		for _, n := range names {
			k.services[n] = true
		}
		out[realm] = k
		all = append(all, k)
	}
	share(all...)
	startAll(all)
	return out
}

func all(realms map[string]*scripted) []*scripted {
	var out []*scripted
	for _, k := range realms {
		out = append(out, k)
	}
	return out
}

func pathOf(realms ...string) func(from, to string) []string {
	return func(from, to string) []string {
		i, j := slices.Index(realms, from), slices.Index(realms, to)
		if i < 0 || j < i {
			return []string{from, to}
		}
		return realms[i : j+1]
	}
}

// asked returns what each realm was asked for since the last time.
func asked(realms map[string]*scripted) map[string][]string {
	out := make(map[string][]string)
	for name, k := range realms {
		if a := k.asked(); a != nil {
			out[name] = a
		}
	}
	return out
}

// cache is what a caller keeps of cross-realm tickets.
type cache struct {
	mu   sync.Mutex
	kept map[string]*krb.Ticket
}

func (c *cache) options() TGSOptions {
	return TGSOptions{
		Held: func(realm string) *krb.Ticket {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.kept[realm]
		},
		Keep: func(t *krb.Ticket) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.kept == nil {
				c.kept = make(map[string]*krb.Ticket)
			}
			c.kept[t.Server.Components[1]] = t
		},
	}
}

func (c *cache) names() []string {
	var out []string
	for _, t := range c.kept {
		out = append(out, t.Server.String())
	}
	slices.Sort(out)
	return out
}

func TestWalk(t *testing.T) {
	type asks = map[string][]string
	web := []string{"HTTP/www.b.test"}
	for name, tc := range map[string]struct {
		services map[string][]string
		path     func(from, to string) []string
		refer    map[string]string // instead of the TGT asked for, one of this realm
		asked    asks
		kept     []string
		again    asks // the same once more, with what was kept
	}{
		"direct": {
			services: asks{realmA: {"krbtgt/B.TEST"}, realmB: web},
			asked:    asks{realmA: {"krbtgt/B.TEST"}, realmB: {"HTTP/www.b.test?"}},
			kept:     []string{"krbtgt/B.TEST@A.TEST"},
			again:    asks{realmB: {"HTTP/www.b.test?"}},
		},
		"direct though there is a path": {
			services: asks{realmA: {"krbtgt/B.TEST", "krbtgt/TEST"}, "TEST": {"krbtgt/B.TEST"}, realmB: web},
			path:     pathOf(realmA, "TEST", realmB),
			asked:    asks{realmA: {"krbtgt/B.TEST"}, realmB: {"HTTP/www.b.test?"}},
			kept:     []string{"krbtgt/B.TEST@A.TEST"},
			again:    asks{realmB: {"HTTP/www.b.test?"}},
		},
		"through the parent": {
			services: asks{realmA: {"krbtgt/TEST"}, "TEST": {"krbtgt/B.TEST"}, realmB: web},
			path:     pathOf(realmA, "TEST", realmB),
			asked:    asks{realmA: {"krbtgt/B.TEST", "krbtgt/TEST"}, "TEST": {"krbtgt/B.TEST"}, realmB: {"HTTP/www.b.test?"}},
			kept:     []string{"krbtgt/B.TEST@TEST", "krbtgt/TEST@A.TEST"},
			again:    asks{realmB: {"HTTP/www.b.test?"}},
		},
		"the farthest first": {
			services: asks{realmA: {"krbtgt/P", "krbtgt/Q"}, "P": {"krbtgt/Q", "krbtgt/R"}, "Q": {"krbtgt/B.TEST"}, "R": nil, realmB: web},
			path:     pathOf(realmA, "P", "Q", "R", realmB),
			asked:    asks{realmA: {"krbtgt/B.TEST", "krbtgt/R", "krbtgt/Q"}, "Q": {"krbtgt/B.TEST"}, realmB: {"HTTP/www.b.test?"}},
			kept:     []string{"krbtgt/B.TEST@Q", "krbtgt/Q@A.TEST"},
			again:    asks{realmB: {"HTTP/www.b.test?"}},
		},
		"the KDC gives a closer one of the path": {
			services: asks{realmA: {"krbtgt/B.TEST"}, "TEST": {"krbtgt/B.TEST"}, realmB: web},
			path:     pathOf(realmA, "TEST", realmB),
			refer:    map[string]string{realmA: "TEST"},
			asked:    asks{realmA: {"krbtgt/B.TEST"}, "TEST": {"krbtgt/B.TEST"}, realmB: {"HTTP/www.b.test?"}},
			kept:     []string{"krbtgt/B.TEST@TEST", "krbtgt/TEST@A.TEST"},
			again:    asks{realmB: {"HTTP/www.b.test?"}},
		},
		"the KDC knows another way": {
			services: asks{realmA: {"krbtgt/B.TEST"}, "X": {"krbtgt/B.TEST"}, "TEST": nil, realmB: web},
			path:     pathOf(realmA, "TEST", realmB),
			refer:    map[string]string{realmA: "X"},
			asked:    asks{realmA: {"krbtgt/B.TEST"}, "X": {"krbtgt/B.TEST"}, realmB: {"HTTP/www.b.test?"}},
			// X is not on the path: what it says of B.TEST is not kept.
			kept:  []string{"krbtgt/X@A.TEST"},
			again: asks{realmA: {"krbtgt/B.TEST"}, "X": {"krbtgt/B.TEST"}, realmB: {"HTTP/www.b.test?"}},
		},
		"a realm leads off the path": {
			services: asks{realmA: {"krbtgt/TEST"}, "TEST": {"krbtgt/B.TEST"}, "X": {"krbtgt/B.TEST"}, realmB: web},
			path:     pathOf(realmA, "TEST", realmB),
			refer:    map[string]string{"TEST": "X"},
			asked:    asks{realmA: {"krbtgt/B.TEST", "krbtgt/TEST"}, "TEST": {"krbtgt/B.TEST"}, "X": {"krbtgt/B.TEST"}, realmB: {"HTTP/www.b.test?"}},
			kept:     []string{"krbtgt/TEST@A.TEST"},
			again:    asks{realmA: {"krbtgt/B.TEST"}, "TEST": {"krbtgt/B.TEST"}, "X": {"krbtgt/B.TEST"}, realmB: {"HTTP/www.b.test?"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			realms := realmsOf(t, tc.services)
			for from, to := range tc.refer {
				realms[from].edit(func() {
					realms[from].change = func(a *answer) {
						if a.part.SName.PrincipalNameString() == "krbtgt/B.TEST" {
							refer(a, to)
						}
					}
				})
			}
			c := client(Options{Path: tc.path}, all(realms)...)
			tgt := login(t, c)
			var held cache
			for _, want := range []asks{tc.asked, tc.again} {
				got, err := c.TGS(t.Context(), tgt, there, held.options())
				if err != nil || !got.Server.Equal(there) || !got.Client.Equal(alice) {
					t.Fatal(got, err)
				}
				if diff := cmp.Diff(want, asked(realms)); diff != "" {
					t.Errorf("asked for: %s", diff)
				}
				if diff := cmp.Diff(tc.kept, held.names()); diff != "" {
					t.Errorf("kept: %s", diff)
				}
			}
			// A cross-realm ticket alone costs what is before the last request.
			cross, err := c.TGT(t.Context(), tgt, realmB, TGSOptions{})
			if err != nil || !cross.Server.IsTGS() || cross.Server.Components[1] != realmB {
				t.Fatal(cross, err)
			}
			delete(tc.asked, realmB)
			if diff := cmp.Diff(tc.asked, asked(realms)); diff != "" {
				t.Errorf("asked for: %s", diff)
			}
			if got, err := c.TGS(t.Context(), cross, there, TGSOptions{}); err != nil || !got.Server.Equal(there) {
				t.Error(got, err)
			}
			if diff := cmp.Diff(asks{realmB: {"HTTP/www.b.test?"}}, asked(realms)); diff != "" {
				t.Errorf("asked for: %s", diff)
			}
			// Options of the service's ticket do not reach those on the way.
			if _, err := c.TGS(t.Context(), tgt, there, TGSOptions{Options: krb.OptionProxiable}); err != nil {
				t.Fatal(err)
			}
			for realm, k := range realms {
				for _, r := range k.seen()[k.told:] {
					if got := r.option(3); got != (realm == realmB) {
						t.Errorf("proxiable asked of %s: %v", realm, got)
					}
				}
			}
		})
	}
}

func TestWalkFails(t *testing.T) {
	type asks = map[string][]string
	for name, tc := range map[string]struct {
		services   map[string][]string
		path       func(from, to string) []string
		refer      map[string]string
		refuse     map[string]int32 // code of a realm to all
		kind       Kind
		code       int32
		realm      string
		walked     []string
		candidates []string
		asked      asks
		says       []string
	}{
		"no trust": {
			services: asks{realmA: nil, realmB: nil},
			kind:     KindRefused, code: krb.CodeServerUnknown, realm: realmA, walked: []string{realmA},
			asked: asks{realmA: {"krbtgt/B.TEST"}},
			says:  []string{"knows no way to realm B.TEST", "krbtgt/B.TEST@A.TEST", "[capaths]", "HTTP/www.b.test@B.TEST"},
		},
		"no trust on the path": {
			services: asks{realmA: nil, "P": nil, "Q": nil, realmB: nil},
			path:     pathOf(realmA, "P", "Q", realmB),
			kind:     KindRefused, code: krb.CodeServerUnknown, realm: realmA, walked: []string{realmA},
			candidates: []string{"krbtgt/B.TEST@A.TEST", "krbtgt/Q@A.TEST", "krbtgt/P@A.TEST"},
			asked:      asks{realmA: {"krbtgt/B.TEST", "krbtgt/Q", "krbtgt/P"}},
			says:       []string{"knows no way to realm B.TEST", "krbtgt/Q@A.TEST [KDC_ERR_S_PRINCIPAL_UNKNOWN"},
		},
		"half way": {
			services: asks{realmA: {"krbtgt/TEST"}, "TEST": nil, realmB: nil},
			path:     pathOf(realmA, "TEST", realmB),
			kind:     KindRefused, code: krb.CodeServerUnknown, realm: "TEST", walked: []string{realmA, "TEST"},
			candidates: []string{"krbtgt/B.TEST@A.TEST", "krbtgt/B.TEST@TEST"},
			asked:      asks{realmA: {"krbtgt/B.TEST", "krbtgt/TEST"}, "TEST": {"krbtgt/B.TEST"}},
			says:       []string{`"A.TEST" > "TEST"`, "realm TEST knows no way"},
		},
		"no such service there": {
			services: asks{realmA: {"krbtgt/B.TEST"}, realmB: nil},
			kind:     KindRefused, code: krb.CodeServerUnknown, realm: realmB, walked: []string{realmA, realmB},
			asked: asks{realmA: {"krbtgt/B.TEST"}, realmB: {"HTTP/www.b.test?", "HTTP/www.b.test"}},
			says:  []string{`"A.TEST" > "B.TEST"`, "no service principal HTTP/www.b.test"},
		},
		"led home": {
			services: asks{realmA: {"krbtgt/TEST"}, "TEST": {"krbtgt/B.TEST"}, realmB: nil},
			path:     pathOf(realmA, "TEST", realmB),
			refer:    map[string]string{"TEST": realmA},
			kind:     KindReferral, realm: "TEST", walked: []string{realmA, "TEST"},
			candidates: []string{"krbtgt/B.TEST@A.TEST"},
			asked:      asks{realmA: {"krbtgt/B.TEST", "krbtgt/TEST"}, "TEST": {"krbtgt/B.TEST"}},
			says:       []string{`back to realm "A.TEST"`},
		},
		"a realm gives its own": {
			services: asks{realmA: {"krbtgt/B.TEST"}, realmB: nil},
			refer:    map[string]string{realmA: realmA},
			kind:     KindReply, realm: realmA, walked: []string{realmA},
			asked: asks{realmA: {"krbtgt/B.TEST"}},
			says:  []string{"krbtgt/A.TEST@A.TEST"},
		},
		"the ticket is no longer good": {
			services: asks{realmA: {"krbtgt/TEST"}, "TEST": nil, realmB: nil},
			path:     pathOf(realmA, "TEST", realmB),
			refuse:   map[string]int32{realmA: krb.CodeTicketExpired},
			kind:     KindRefused, code: krb.CodeTicketExpired, realm: realmA, walked: []string{realmA},
			asked: asks{realmA: {"krbtgt/B.TEST"}}, // and not for all realms in turn
			says:  []string{"kinit"},
		},
		"the realms have different keys": {
			services: asks{realmA: {"krbtgt/B.TEST"}, realmB: nil},
			refuse:   map[string]int32{realmB: krb.CodeBadIntegrity},
			kind:     KindRefused, code: krb.CodeBadIntegrity, realm: realmB, walked: []string{realmA, realmB},
			asked: asks{realmA: {"krbtgt/B.TEST"}, realmB: {"HTTP/www.b.test?"}},
			says:  []string{"both realms must hold the same key"},
		},
		"no KDC on the way": {
			services: asks{realmA: {"krbtgt/FAR.TEST"}, realmB: nil},
			path:     pathOf(realmA, "FAR.TEST", realmB),
			kind:     KindNoKDC, realm: "FAR.TEST", walked: []string{realmA, "FAR.TEST"},
			candidates: []string{"krbtgt/B.TEST@A.TEST", "krbtgt/B.TEST@FAR.TEST"},
			asked:      asks{realmA: {"krbtgt/B.TEST", "krbtgt/FAR.TEST"}},
			says:       []string{"FAR.TEST = { kdc = host }", `"A.TEST" > "FAR.TEST"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			realms := realmsOf(t, tc.services)
			c := client(Options{Path: tc.path}, all(realms)...)
			tgt := login(t, c)
			for name, k := range realms {
				k.edit(func() {
					if to := tc.refer[name]; to != "" {
						k.change = func(a *answer) {
							if a.part.SName.PrincipalNameString() == "krbtgt/B.TEST" {
								refer(a, to)
							}
						}
						k.services["krbtgt/B.TEST"] = true
					}
					if code := tc.refuse[name]; code != 0 {
						k.before = func(r *request) ([][]byte, bool) { return [][]byte{k.refuse(r, code, nil)}, true }
					}
				})
			}
			_, err := c.TGS(t.Context(), tgt, there, TGSOptions{})
			e := failure(t, err)
			if e.Kind != tc.kind || e.Code != tc.code || e.Realm != tc.realm || !e.Server.Equal(there) || e.Temporary() {
				t.Errorf("%+v", e)
			}
			var candidates []string
			for _, c := range e.Candidates {
				candidates = append(candidates, c.Server.String())
			}
			if diff := cmp.Diff(tc.candidates, candidates); diff != "" {
				t.Errorf("candidates: %s", diff)
			}
			if diff := cmp.Diff(tc.walked, e.Path); diff != "" {
				t.Errorf("path: %s", diff)
			}
			if diff := cmp.Diff(tc.asked, asked(realms)); diff != "" {
				t.Errorf("asked for: %s", diff)
			}
			for _, s := range tc.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q is not in: %v", s, err)
				}
			}
		})
	}
}

// However long the path and whatever refuses, requests are bounded.
func TestWalkBounds(t *testing.T) {
	var path []string
	services := map[string][]string{realmB: nil}
	for i := range 40 {
		path = append(path, fmt.Sprintf("R%d", i))
	}
	path = append(append([]string{realmA, "", "x\ny", realmA}, path...), realmB, "BEYOND")
	services[realmA] = nil
	realms := realmsOf(t, services)
	c := client(Options{Path: func(string, string) []string { return path }}, all(realms)...)
	tgt := login(t, c)
	_, err := c.TGS(t.Context(), tgt, there, TGSOptions{})
	e := failure(t, err)
	if n := realms[realmA].count(krb.MsgTGSReq); n != maxHops || len(e.Candidates) != n || e.Candidates[0].Server.Components[1] != realmB {
		t.Errorf("%d requests, %d candidates", n, len(e.Candidates))
	}

	// With a fallback that never ends, too.
	asked := 0
	_, err = c.TGS(t.Context(), tgt, krb.NewPrincipal("", "HTTP", "www.b.test"), TGSOptions{Fallback: func(context.Context) []string {
		asked++
		var out []string
		for i := range 1000 {
			out = append(out, fmt.Sprintf("F%d", i))
		}
		return out
	}})
	e = failure(t, err)
	if n := realms[realmA].count(krb.MsgTGSReq) - maxHops; n > maxRequests || asked != 1 || len(e.Candidates) > maxRequests+1 {
		t.Errorf("%d requests, %d candidates, %d calls", n, len(e.Candidates), asked)
	}
	if e.Code != krb.CodeServerUnknown || e.Realm != realmA {
		t.Errorf("%+v", e)
	}
}

// TestWalkWithoutAnswer: a KDC that cannot be reached is not asked again for realms that
// are nearer.
func TestWalkWithoutAnswer(t *testing.T) {
	realms := realmsOf(t, map[string][]string{realmA: {"krbtgt/P"}, "P": nil, realmB: nil})
	var down atomic.Bool
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if down.Load() {
			return nil, &net.OpError{Op: "dial", Err: errors.New("down")}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	c := client(Options{Path: pathOf(realmA, "P", realmB), Dial: dial}, all(realms)...)
	tgt := login(t, c)
	down.Store(true)
	_, err := c.TGS(t.Context(), tgt, there, TGSOptions{})
	if e := failure(t, err); e.Kind != KindUnreachable || len(e.Candidates) != 0 {
		t.Errorf("asked for %v: %v", e.Candidates, err)
	}
}

func TestTGSHeld(t *testing.T) {
	realms := realmsOf(t, map[string][]string{realmA: {"krbtgt/B.TEST"}, realmB: {"HTTP/www.b.test"}})
	c := client(Options{}, all(realms)...)
	tgt := login(t, c)
	var held cache
	if _, err := c.TGS(t.Context(), tgt, there, held.options()); err != nil {
		t.Fatal(err)
	}
	asked(realms)
	good := held.kept[realmB]
	spoilt := func(f func(*krb.Ticket)) *krb.Ticket {
		bad := *good
		f(&bad)
		return &bad
	}
	other, err := krb.GenerateKey(18)
	if err != nil {
		t.Fatal(err)
	}
	both := map[string][]string{realmA: {"krbtgt/B.TEST"}, realmB: {"HTTP/www.b.test?"}}
	for name, tc := range map[string]struct {
		held  *krb.Ticket
		asked map[string][]string
	}{
		"good":            {good, map[string][]string{realmB: {"HTTP/www.b.test?"}}},
		"none":            {nil, both},
		"run out":         {spoilt(func(t *krb.Ticket) { t.EndTime = time.Now().Add(-time.Second) }), both},
		"another client":  {spoilt(func(t *krb.Ticket) { t.Client = krb.NewPrincipal(realmA, "bob") }), both},
		"another realm":   {tgt, both},
		"not for TGS":     {spoilt(func(t *krb.Ticket) { t.Server = there }), both},
		"not quite TGS":   {spoilt(func(t *krb.Ticket) { t.Server = krb.NewPrincipal(realmA, "HTTP", realmB) }), both},
		"no key":          {spoilt(func(t *krb.Ticket) { t.Key = krb.Key{} }), both},
		"no longer taken": {spoilt(func(t *krb.Ticket) { t.Key = other }), map[string][]string{realmA: {"krbtgt/B.TEST"}, realmB: {"HTTP/www.b.test?", "HTTP/www.b.test?"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var kept []*krb.Ticket
			got, err := c.TGS(t.Context(), tgt, there, TGSOptions{
				Held: func(string) *krb.Ticket { return tc.held },
				Keep: func(t *krb.Ticket) { kept = append(kept, t) },
			})
			if err != nil || !got.Server.Equal(there) {
				t.Fatal(got, err)
			}
			now := asked(realms)
			if diff := cmp.Diff(tc.asked, now); diff != "" {
				t.Error(diff)
			}
			if len(kept) != len(now[realmA]) {
				t.Errorf("%d tickets kept", len(kept))
			}
		})
	}
	// What is held is not used before the client's realm was asked, where the
	// service's is not known.
	realms[realmA].edit(func() { realms[realmA].services["HTTP/www.a.test"] = true })
	if _, err := c.TGS(t.Context(), tgt, krb.NewPrincipal("", "HTTP", "www.a.test"), TGSOptions{Held: func(string) *krb.Ticket { return good }}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{realmA: {"HTTP/www.a.test?"}}, asked(realms)); diff != "" {
		t.Error(diff)
	}
	// TGT begins anew too.
	bad := spoilt(func(t *krb.Ticket) { t.Server, t.Key = krb.TGS("P", realmA), other })
	realms = realmsOf(t, map[string][]string{realmA: {"krbtgt/P"}, "P": {"krbtgt/B.TEST"}, realmB: nil})
	c = client(Options{Path: pathOf(realmA, "P", realmB)}, all(realms)...)
	tgt = login(t, c)
	cross, err := c.TGT(t.Context(), tgt, realmB, TGSOptions{Held: func(realm string) *krb.Ticket {
		if realm == "P" {
			return bad
		}
		return nil
	}})
	if err != nil || !cross.Server.Equal(krb.TGS(realmB, "P")) {
		t.Errorf("%v, %v", cross, err)
	}
}

// Referrals of the client's own realm are kept, those of others are not.
func TestTGSReferralsKept(t *testing.T) {
	realms := referring(t, realmA, realmB, "C.TEST")
	realms[2].services["HTTP/www.a.test"] = true
	startAll(realms)
	c := client(Options{}, realms...)
	tgt := login(t, c)
	var held cache
	service := krb.NewPrincipal("", "HTTP", "www.a.test")
	if _, err := c.TGS(t.Context(), tgt, service, held.options()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"krbtgt/B.TEST@A.TEST"}, held.names()); diff != "" {
		t.Error(diff)
	}
	cross := held.kept[realmB]
	held.kept = nil
	if _, err := c.TGS(t.Context(), cross, service, held.options()); err != nil || len(held.kept) != 0 {
		t.Errorf("%v kept of what a foreign realm said, %v", held.names(), err)
	}
}

func TestTGSFallback(t *testing.T) {
	services := map[string][]string{
		realmA: {"krbtgt/B.TEST", "krbtgt/C.TEST", "krbtgt/DOWN.TEST"}, realmB: nil, "C.TEST": {"HTTP/www.c.test"},
	}
	realms := realmsOf(t, services)
	c := client(Options{Locate: func(_ context.Context, realm string) ([]KDC, error) {
		if realm == "DOWN.TEST" {
			return nil, &net.DNSError{Err: "no answer", IsTimeout: true}
		}
		if k := realms[realm]; k != nil {
			return []KDC{k.addr}, nil
		}
		return nil, nil
	}}, all(realms)...)
	tgt := login(t, c)
	service := krb.NewPrincipal("", "HTTP", "www.c.test")
	home := []string{"HTTP/www.c.test?", "HTTP/www.c.test"}
	fall := func(realms ...string) func(context.Context) []string {
		return func(context.Context) []string { return realms }
	}
	for name, tc := range map[string]struct {
		fallback   func(context.Context) []string
		found      bool
		asked      map[string][]string
		candidates []string
		temporary  bool
	}{
		"none":     {nil, false, map[string][]string{realmA: home}, nil, false},
		"empty":    {fall(), false, map[string][]string{realmA: home}, nil, false},
		"home":     {fall(realmA, ""), false, map[string][]string{realmA: home}, nil, false},
		"found":    {fall("C.TEST"), true, map[string][]string{realmA: append(home, "krbtgt/C.TEST"), "C.TEST": {"HTTP/www.c.test?"}}, nil, false},
		"in order": {fall("C.TEST", realmB), true, map[string][]string{realmA: append(home, "krbtgt/C.TEST"), "C.TEST": {"HTTP/www.c.test?"}}, nil, false},
		"not in the first": {
			fall(realmB, realmB, "FAR.TEST", "DOWN.TEST", "C.TEST"), true,
			map[string][]string{realmA: append(home, "krbtgt/B.TEST", "krbtgt/FAR.TEST", "krbtgt/DOWN.TEST", "krbtgt/C.TEST"), realmB: home, "C.TEST": {"HTTP/www.c.test?"}}, nil, false,
		},
		"nowhere": {
			fall(realmB, "FAR.TEST"), false,
			map[string][]string{realmA: append(home, "krbtgt/B.TEST", "krbtgt/FAR.TEST"), realmB: home},
			[]string{"HTTP/www.c.test@A.TEST", "HTTP/www.c.test@B.TEST", "krbtgt/FAR.TEST@A.TEST"}, false,
		},
		"perhaps later": {
			fall("DOWN.TEST"), false, map[string][]string{realmA: append(home, "krbtgt/DOWN.TEST")},
			[]string{"HTTP/www.c.test@A.TEST", "HTTP/www.c.test@DOWN.TEST"}, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.TGS(t.Context(), tgt, service, TGSOptions{Fallback: tc.fallback})
			if diff := cmp.Diff(tc.asked, asked(realms)); diff != "" {
				t.Errorf("asked for: %s", diff)
			}
			if tc.found {
				if err != nil || !got.Server.Equal(krb.NewPrincipal("C.TEST", "HTTP", "www.c.test")) {
					t.Errorf("%v, %v", got, err)
				}
				return
			}
			e := failure(t, err)
			if e.Kind != KindRefused || e.Code != krb.CodeServerUnknown || e.Realm != realmA || e.Temporary() != tc.temporary {
				t.Errorf("%+v", e)
			}
			var candidates []string
			for _, c := range e.Candidates {
				candidates = append(candidates, c.Server.String())
				if !strings.Contains(err.Error(), c.Server.String()) {
					t.Errorf("%v is not in: %v", c.Server, err)
				}
			}
			if diff := cmp.Diff(tc.candidates, candidates); diff != "" {
				t.Errorf("candidates: %s", diff)
			}
		})
	}
	t.Run("not with a realm", func(t *testing.T) {
		never := func(context.Context) []string { t.Error("asked for a fallback"); return nil }
		_, err := c.TGS(t.Context(), tgt, krb.NewPrincipal(realmA, "HTTP", "www.c.test"), TGSOptions{Fallback: never})
		if e := failure(t, err); e.Code != krb.CodeServerUnknown {
			t.Error(err)
		}
	})
	t.Run("at home", func(t *testing.T) {
		k := realms[realmA]
		k.edit(func() { k.services["HTTP/www.c.test"] = true })
		defer k.edit(func() { delete(k.services, "HTTP/www.c.test") })
		never := func(context.Context) []string { t.Error("asked for a fallback"); return nil }
		if got, err := c.TGS(t.Context(), tgt, service, TGSOptions{Fallback: never}); err != nil || got.Server.Realm != realmA {
			t.Errorf("%v, %v", got, err)
		}
	})
	t.Run("not where it was referred to", func(t *testing.T) {
		k := realms[realmA]
		k.edit(func() {
			k.services["HTTP/www.c.test"] = true
			k.change = func(a *answer) { refer(a, realmB) }
		})
		defer k.edit(func() { delete(k.services, "HTTP/www.c.test"); k.change = nil })
		never := func(context.Context) []string { t.Error("asked for a fallback"); return nil }
		_, err := c.TGS(t.Context(), tgt, service, TGSOptions{Fallback: never})
		if e := failure(t, err); e.Code != krb.CodeServerUnknown || e.Realm != realmB {
			t.Error(err)
		}
	})
	t.Run("refused", func(t *testing.T) { // by a realm that has the service
		k := realms[realmA]
		k.edit(func() {
			k.before = func(r *request) ([][]byte, bool) { return [][]byte{k.refuse(r, krb.CodePolicy, nil)}, true }
		})
		defer k.edit(func() { k.before = nil })
		never := func(context.Context) []string { t.Error("asked for a fallback"); return nil }
		_, err := c.TGS(t.Context(), tgt, service, TGSOptions{Fallback: never})
		if e := failure(t, err); e.Code != krb.CodePolicy {
			t.Error(err)
		}
	})
	t.Run("ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := c.TGS(ctx, tgt, service, TGSOptions{Fallback: func(context.Context) []string { cancel(); return []string{"C.TEST"} }})
		if e := failure(t, err); e.Kind != KindUnreachable || e.Temporary() {
			t.Error(err)
		}
	})
}

// KDCs that refuse or misunderstand the wish to canonicalize.
func TestTGSWithoutCanonicalize(t *testing.T) {
	for name, tc := range map[string]func(k *scripted){
		"bad option": func(k *scripted) {
			k.before = func(r *request) ([][]byte, bool) {
				if r.option(15) {
					return [][]byte{k.refuse(r, krb.CodeBadOption, nil)}, true
				}
				return nil, false
			}
		},
		"its own realm": func(k *scripted) {
			k.change = func(a *answer) {
				if a.request.option(15) {
					refer(a, realmA)
				}
			}
		},
		"another name": func(k *scripted) {
			k.change = func(a *answer) {
				if a.request.option(15) {
					a.part.SName.NameString = []string{"host", "www"}
					a.fields.Ticket.SName = a.part.SName
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newScripted(t, realmA).start()
			c := client(Options{}, k)
			tgt := login(t, c)
			k.edit(func() { tc(k) })
			got, err := c.TGS(t.Context(), tgt, web, TGSOptions{})
			if err != nil || !got.Server.Equal(web) {
				t.Error(got, err)
			}
			if diff := cmp.Diff([]string{"HTTP/www.a.test?", "HTTP/www.a.test"}, k.asked()); diff != "" {
				t.Error(diff)
			}
		})
	}
	// Nothing is gained by it when it was the caller's option.
	k := newScripted(t, realmA).start()
	c := client(Options{}, k)
	tgt := login(t, c)
	k.edit(func() {
		k.before = func(r *request) ([][]byte, bool) { return [][]byte{k.refuse(r, krb.CodeBadOption, nil)}, true }
	})
	_, err := c.TGS(t.Context(), tgt, web, TGSOptions{Options: krb.FlagForwarded})
	if e := failure(t, err); e.Code != krb.CodeBadOption || k.count(krb.MsgTGSReq) != 1 {
		t.Errorf("%d requests: %v", k.count(krb.MsgTGSReq), err)
	}
}

// Who asks for a ticket-granting ticket gets that one or none.
func TestTGSForTGTIsExact(t *testing.T) {
	realms := realmsOf(t, map[string][]string{realmA: {"krbtgt/B.TEST"}, realmB: nil})
	c := client(Options{}, all(realms)...)
	tgt := login(t, c)
	realms[realmA].edit(func() {
		realms[realmA].change = func(a *answer) { refer(a, realmB) }
	})
	_, err := c.TGS(t.Context(), tgt, tgsA, TGSOptions{Options: krb.FlagForwarded})
	if e := failure(t, err); e.Kind != KindReply || !strings.Contains(err.Error(), "krbtgt/B.TEST@A.TEST") {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string][]string{realmA: {"krbtgt/A.TEST"}}, asked(realms)); diff != "" {
		t.Error(diff)
	}
}

func TestTGTBadArguments(t *testing.T) {
	c := New(Options{})
	key, err := krb.GenerateKey(18)
	if err != nil {
		t.Fatal(err)
	}
	good := &krb.Ticket{Client: alice, Server: tgsA, Key: key}
	for name, tc := range map[string]struct {
		tgt   *krb.Ticket
		realm string
	}{
		"no ticket": {nil, realmB}, "no realm": {good, ""}, "no name of a realm": {good, "a\x00b"},
	} {
		_, err := c.TGT(t.Context(), tc.tgt, tc.realm, TGSOptions{})
		if e := failure(t, err); e.Kind != KindRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := c.TGT(t.Context(), good, realmA, TGSOptions{}); err != nil || got != good {
		t.Errorf("the realm of the ticket: %v, %v", got, err)
	}
}
