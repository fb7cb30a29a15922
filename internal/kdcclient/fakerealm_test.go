package kdcclient_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/krb5conf"
)

// forest is a tree of realms that trust one another where they touch, each with
// a service HTTP/www.REALM; alice lives in A.ROOT.TEST.
type forest struct {
	realms map[string]*fakekdc.Realm
	clock  *fakekdc.Clock
}

func newForest(t *testing.T) *forest {
	t.Helper()
	f := &forest{realms: make(map[string]*fakekdc.Realm), clock: new(fakekdc.Clock)}
	for _, name := range []string{"ROOT.TEST", "A.ROOT.TEST", "B.ROOT.TEST", "C.B.ROOT.TEST"} {
		o := []fakekdc.Option{fakekdc.WithRealm(name), fakekdc.WithClock(f.clock.Now), fakekdc.WithService("HTTP/www." + strings.ToLower(name)),
			fakekdc.WithLifetime(time.Hour, 24*time.Hour), fakekdc.WithEtypes(18)}
		if name == "A.ROOT.TEST" {
			o = append(o, fakekdc.WithUser("alice", password))
		}
		r := fakekdc.Start(t, o...)
		f.realms[name] = r
		_, parent, _ := strings.Cut(name, ".")
		if up := f.realms[parent]; up != nil {
			if err := r.Trust(up); err != nil {
				t.Fatal(err)
			}
		}
	}
	return f
}

// client knows the realms as their krb5.conf has them.
func (f *forest) client(t *testing.T, o kdcclient.Options) *kdcclient.Client {
	t.Helper()
	p, err := krb5conf.Parse("krb5.conf", []byte(f.realms["A.ROOT.TEST"].ConfigWithCapaths()))
	if err != nil {
		t.Fatal(err)
	}
	conf := krb5conf.New(p, krb5conf.Options{})
	o.Now, o.UDPPreferenceLimit = f.clock.Now, kdcclient.DefaultUDPPreferenceLimit
	o.Pacing.Next = time.Minute
	o.Locate = func(_ context.Context, realm string) ([]kdcclient.KDC, error) {
		var out []kdcclient.KDC
		for _, s := range conf.KDCs(realm) {
			out = append(out, kdcclient.KDC{Host: s.Host, Port: s.Port, Network: s.Proto})
		}
		return out, nil
	}
	if o.Path == nil {
		o.Path = conf.RealmPath
	}
	return kdcclient.New(o)
}

// exchanges returns what the realms were asked since the last time: the service,
// and what came of it.
func (f *forest) exchanges() map[string][]string {
	out := make(map[string][]string)
	for name, r := range f.realms {
		for _, e := range r.Exchanges() {
			line := e.Server + " " + e.Granted
			if e.Code != 0 {
				line = e.Server + " " + krb.ErrorName(e.Code)
			}
			out[name] = append(out[name], line)
		}
		r.ResetExchanges()
	}
	return out
}

func (f *forest) login(t *testing.T, c *kdcclient.Client) *krb.Ticket {
	t.Helper()
	alice := krb.NewPrincipal("A.ROOT.TEST", "alice")
	tgt, err := c.AS(t.Context(), kdcclient.ASRequest{Client: alice, Keys: kdcclient.Password(alice, password), Forwardable: true, RenewLife: 12 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	f.exchanges()
	return tgt
}

// A strict KDC in every realm takes our cross-realm tickets, their flags and
// options.
func TestFakeForest(t *testing.T) {
	f := newForest(t)
	c := f.client(t, kdcclient.Options{})
	tgt := f.login(t, c)
	type asks = map[string][]string
	deep := krb.NewPrincipal("C.B.ROOT.TEST", "HTTP", "www.c.b.root.test")
	for name, tc := range map[string]struct {
		server krb.Principal
		want   krb.Principal
		asked  asks
	}{
		"child of a sibling": {deep, deep, asks{
			"A.ROOT.TEST":   {"krbtgt/C.B.ROOT.TEST@A.ROOT.TEST krbtgt/ROOT.TEST@A.ROOT.TEST"},
			"ROOT.TEST":     {"krbtgt/C.B.ROOT.TEST@ROOT.TEST krbtgt/B.ROOT.TEST@ROOT.TEST"},
			"B.ROOT.TEST":   {"krbtgt/C.B.ROOT.TEST@B.ROOT.TEST krbtgt/C.B.ROOT.TEST@B.ROOT.TEST"},
			"C.B.ROOT.TEST": {deep.String() + " " + deep.String()},
		}},
		"by referrals": {krb.NewPrincipal("", "HTTP", "www.c.b.root.test"), deep, asks{
			"A.ROOT.TEST":   {"HTTP/www.c.b.root.test@A.ROOT.TEST krbtgt/ROOT.TEST@A.ROOT.TEST"},
			"ROOT.TEST":     {"HTTP/www.c.b.root.test@ROOT.TEST krbtgt/B.ROOT.TEST@ROOT.TEST"},
			"B.ROOT.TEST":   {"HTTP/www.c.b.root.test@B.ROOT.TEST krbtgt/C.B.ROOT.TEST@B.ROOT.TEST"},
			"C.B.ROOT.TEST": {deep.String() + " " + deep.String()},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.TGS(t.Context(), tgt, tc.server, kdcclient.TGSOptions{})
			if err != nil || !got.Server.Equal(tc.want) || !got.Client.Equal(tgt.Client) || got.Flags&krb.FlagForwardable == 0 {
				t.Fatal(got, err)
			}
			if diff := cmp.Diff(tc.asked, f.exchanges()); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("fifty services, three hops once", func(t *testing.T) {
		held := make(map[string]*krb.Ticket)
		o := kdcclient.TGSOptions{
			Held: func(realm string) *krb.Ticket { return held[realm] },
			Keep: func(t *krb.Ticket) { held[t.Server.Components[1]] = t },
		}
		for i := range 50 {
			name := fmt.Sprintf("HTTP/n%d.test", i)
			if err := f.realms["C.B.ROOT.TEST"].AddService(name); err != nil {
				t.Fatal(err)
			}
			if _, err := c.TGS(t.Context(), tgt, krb.NewPrincipal("C.B.ROOT.TEST", "HTTP", fmt.Sprintf("n%d.test", i)), o); err != nil {
				t.Fatal(err)
			}
		}
		n := make(map[string]int)
		for realm, list := range f.exchanges() {
			n[realm] = len(list)
		}
		if diff := cmp.Diff(map[string]int{"A.ROOT.TEST": 1, "ROOT.TEST": 1, "B.ROOT.TEST": 1, "C.B.ROOT.TEST": 50}, n); diff != "" {
			t.Error(diff)
		}
		// The realm at the end gets new keys and forgets the old.
		for _, r := range []string{"B.ROOT.TEST", "C.B.ROOT.TEST"} {
			if err := f.realms[r].Remove("krbtgt/C.B.ROOT.TEST@B.ROOT.TEST"); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.realms["C.B.ROOT.TEST"].Trust(f.realms["B.ROOT.TEST"]); err != nil {
			t.Fatal(err)
		}
		if _, err := c.TGS(t.Context(), tgt, deep, o); err != nil {
			t.Error(err)
		}
	})
	t.Run("a realm is not to be passed through", func(t *testing.T) {
		f.realms["C.B.ROOT.TEST"].DenyTransit("ROOT.TEST")
		_, err := c.TGS(t.Context(), tgt, deep, kdcclient.TGSOptions{})
		e, ok := err.(*kdcclient.Error)
		if !ok || e.Code != krb.CodePolicy || e.Realm != "C.B.ROOT.TEST" {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"A.ROOT.TEST", "ROOT.TEST", "B.ROOT.TEST", "C.B.ROOT.TEST"}, e.Path); diff != "" {
			t.Error(diff)
		}
	})
}

// A KDC that knows no way leaves it to our path.
func TestFakeForestWithoutHelp(t *testing.T) {
	f := newForest(t)
	// To ask for what they do not trust is refused, as MIT's KDC does without
	// [capaths] of its own.
	for realm, to := range map[string][]string{"A.ROOT.TEST": {"C.B.ROOT.TEST", "B.ROOT.TEST"}, "ROOT.TEST": {"C.B.ROOT.TEST"}} {
		for range to {
			f.realms[realm].FailNext(fakekdc.TGS, fakekdc.ReplyError(fakekdc.CodeServerUnknown, nil))
		}
	}
	c := f.client(t, kdcclient.Options{})
	tgt := f.login(t, c)
	deep := krb.NewPrincipal("C.B.ROOT.TEST", "HTTP", "www.c.b.root.test")
	if _, err := c.TGS(t.Context(), tgt, deep, kdcclient.TGSOptions{}); err != nil {
		t.Fatal(err)
	}
	const unknown = " KDC_ERR_S_PRINCIPAL_UNKNOWN"
	want := map[string][]string{
		"A.ROOT.TEST":   {"krbtgt/C.B.ROOT.TEST@A.ROOT.TEST" + unknown, "krbtgt/B.ROOT.TEST@A.ROOT.TEST" + unknown, "krbtgt/ROOT.TEST@A.ROOT.TEST krbtgt/ROOT.TEST@A.ROOT.TEST"},
		"ROOT.TEST":     {"krbtgt/C.B.ROOT.TEST@ROOT.TEST" + unknown, "krbtgt/B.ROOT.TEST@ROOT.TEST krbtgt/B.ROOT.TEST@ROOT.TEST"},
		"B.ROOT.TEST":   {"krbtgt/C.B.ROOT.TEST@B.ROOT.TEST krbtgt/C.B.ROOT.TEST@B.ROOT.TEST"},
		"C.B.ROOT.TEST": {deep.String() + " " + deep.String()},
	}
	if diff := cmp.Diff(want, f.exchanges()); diff != "" {
		t.Error(diff)
	}
}

func TestFakeForestEnterprise(t *testing.T) {
	f := newForest(t)
	if err := f.realms["A.ROOT.TEST"].Alias("alice@corp.example", "alice"); err != nil {
		t.Fatal(err)
	}
	c := f.client(t, kdcclient.Options{})
	for from, hops := range map[string]int{"A.ROOT.TEST": 0, "ROOT.TEST": 1, "C.B.ROOT.TEST": 1} {
		p := krb.Principal{Type: krb.NTEnterprise, Components: []string{"alice@corp.example"}, Realm: from}
		got, err := c.AS(t.Context(), kdcclient.ASRequest{Client: p, Keys: kdcclient.Password(p, password)})
		if err != nil || got.Client.String() != "alice@A.ROOT.TEST" || !got.Server.Equal(krb.TGS("A.ROOT.TEST", "A.ROOT.TEST")) {
			t.Errorf("%s: %v, %v", from, got, err)
			continue
		}
		if from != "A.ROOT.TEST" && f.realms[from].Count(fakekdc.AS, krb.CodeWrongRealm) != hops {
			t.Errorf("%s: %v", from, f.realms[from].Exchanges())
		}
		f.exchanges()
	}
	// Circles end.
	for from, to := range map[string]string{"ROOT.TEST": "B.ROOT.TEST", "B.ROOT.TEST": "ROOT.TEST"} {
		if err := f.realms[from].ReferUsers("@circle.example", to); err != nil {
			t.Fatal(err)
		}
	}
	p := krb.Principal{Type: krb.NTEnterprise, Components: []string{"bob@circle.example"}, Realm: "ROOT.TEST"}
	_, err := c.AS(t.Context(), kdcclient.ASRequest{Client: p, Keys: kdcclient.Password(p, password)})
	if e, ok := err.(*kdcclient.Error); !ok || e.Kind != kdcclient.KindReferral || len(e.Path) != 2 {
		t.Error(err)
	}
	// Without the wish the true name is needed.
	q := krb.NewPrincipal("ROOT.TEST", "alice@corp.example")
	_, err = c.AS(t.Context(), kdcclient.ASRequest{Client: q, Keys: kdcclient.Password(q, password)})
	if e, ok := err.(*kdcclient.Error); !ok || e.Code != krb.CodeClientUnknown || e.ClientRealm != "" {
		t.Error(err)
	}
}

// Realms that refer to one another, or to nobody.
func TestFakeForestReferralLoop(t *testing.T) {
	f := newForest(t)
	for from, to := range map[string]string{"A.ROOT.TEST": "ROOT.TEST", "ROOT.TEST": "A.ROOT.TEST"} {
		if err := f.realms[from].Refer("www.lost.test", to); err != nil {
			t.Fatal(err)
		}
	}
	c := f.client(t, kdcclient.Options{})
	tgt := f.login(t, c)
	_, err := c.TGS(t.Context(), tgt, krb.NewPrincipal("", "HTTP", "www.lost.test"), kdcclient.TGSOptions{})
	if e, ok := err.(*kdcclient.Error); !ok || e.Kind != kdcclient.KindReferral || e.Realm != "ROOT.TEST" {
		t.Error(err)
	}
	f.realms["A.ROOT.TEST"].FailNext(fakekdc.TGS, fakekdc.ReferTo("NOWHERE.TEST"))
	_, err = c.TGS(t.Context(), tgt, krb.NewPrincipal("", "HTTP", "www.a.root.test"), kdcclient.TGSOptions{})
	if e, ok := err.(*kdcclient.Error); !ok || e.Kind != kdcclient.KindNoKDC || e.Realm != "NOWHERE.TEST" {
		t.Error(err)
	}
	f.realms["A.ROOT.TEST"].FailNext(fakekdc.TGS, fakekdc.ReferTo("B.ROOT.TEST")) // under a key that nobody has
	_, err = c.TGS(t.Context(), tgt, krb.NewPrincipal("", "HTTP", "www.a.root.test"), kdcclient.TGSOptions{})
	if e, ok := err.(*kdcclient.Error); !ok || e.Kind != kdcclient.KindRefused || e.Realm != "B.ROOT.TEST" || !strings.Contains(e.Hint, "same key") {
		t.Error(err)
	}
}

func TestFakeForestFallback(t *testing.T) {
	f := newForest(t)
	for _, r := range f.realms { // nobody refers to B's service
		if err := r.Refer("www.b.root.test", "ROOT.TEST"); err != nil {
			t.Fatal(err)
		}
	}
	f.realms["A.ROOT.TEST"].FailNext(fakekdc.TGS, fakekdc.Repeat(2, fakekdc.ReplyError(fakekdc.CodeServerUnknown, nil))...)
	c := f.client(t, kdcclient.Options{})
	tgt := f.login(t, c)
	got, err := c.TGS(t.Context(), tgt, krb.NewPrincipal("", "HTTP", "www.b.root.test"), kdcclient.TGSOptions{
		Fallback: func(context.Context) []string { return []string{"UNKNOWN.TEST", "B.ROOT.TEST"} },
	})
	if err != nil || !got.Server.Equal(krb.NewPrincipal("B.ROOT.TEST", "HTTP", "www.b.root.test")) {
		t.Error(got, err)
	}
}

func TestFakeForestRenew(t *testing.T) {
	f := newForest(t)
	c := f.client(t, kdcclient.Options{})
	tgt := f.login(t, c)
	life, first := tgt.EndTime.Sub(tgt.StartTime), tgt
	for range 11 {
		f.clock.Advance(59 * time.Minute)
		got, err := c.TGS(t.Context(), tgt, krb.Principal{}, kdcclient.TGSOptions{Renew: true})
		if err != nil {
			t.Fatal(err)
		}
		if !got.RenewTill.Equal(first.RenewTill) || !got.AuthTime.Equal(first.AuthTime) || got.EndTime.Sub(got.StartTime) != life ||
			got.Flags&(krb.FlagRenewable|krb.FlagForwardable) != krb.FlagRenewable|krb.FlagForwardable || got.Key.Equal(tgt.Key) {
			t.Fatalf("renewed %+v", got)
		}
		tgt = got
	}
	// What comes next ends with what it is renewable for.
	f.clock.Advance(59 * time.Minute)
	last, err := c.TGS(t.Context(), tgt, krb.Principal{}, kdcclient.TGSOptions{Renew: true})
	if err != nil || !last.EndTime.Equal(first.RenewTill) {
		t.Fatal(last, err)
	}
	if _, err := c.TGS(t.Context(), last, krb.NewPrincipal("", "HTTP", "www.a.root.test"), kdcclient.TGSOptions{}); err != nil {
		t.Error(err)
	}
	f.clock.Advance(20 * time.Minute)
	_, err = c.TGS(t.Context(), last, krb.Principal{}, kdcclient.TGSOptions{Renew: true})
	if e, ok := err.(*kdcclient.Error); !ok || e.Kind != kdcclient.KindRequest || e.Hint == "" {
		t.Errorf("after its time: %v", err)
	}
	// Of a service's ticket nothing is to be renewed.
	f.clock.Advance(-20 * time.Minute)
	service, err := c.TGS(t.Context(), last, krb.NewPrincipal("", "HTTP", "www.a.root.test"), kdcclient.TGSOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if service.Flags&krb.FlagRenewable == 0 {
		_, err = c.TGS(t.Context(), service, krb.Principal{}, kdcclient.TGSOptions{Renew: true})
		if e, ok := err.(*kdcclient.Error); !ok || e.Kind != kdcclient.KindRequest {
			t.Error(err)
		}
	}
}

// What a lookup costs that no cache answers: one exchange over loopback, with a
// KDC that checks all, in the same process.
func BenchmarkTGSCold(b *testing.B) {
	for _, network := range []string{"udp", "tcp"} {
		for _, etype := range []int32{18, 20} {
			b.Run(fmt.Sprintf("%s %s", network, krb.EtypeName(etype)), func(b *testing.B) {
				r := fakekdc.Start(b, fakekdc.WithUser("alice", password), fakekdc.WithService("HTTP/localhost"), fakekdc.WithEtypes(etype))
				host, port, err := net.SplitHostPort(r.Addr())
				if err != nil {
					b.Fatal(err)
				}
				n, err := strconv.Atoi(port)
				if err != nil {
					b.Fatal(err)
				}
				c := kdcclient.New(kdcclient.Options{
					Now: r.Now, UDPPreferenceLimit: kdcclient.DefaultUDPPreferenceLimit, Pacing: kdcclient.Pacing{Next: time.Minute},
					Locate: func(context.Context, string) ([]kdcclient.KDC, error) {
						return []kdcclient.KDC{{Host: host, Port: n, Network: network}}, nil
					},
				})
				alice := krb.NewPrincipal(r.Name(), "alice")
				tgt, err := c.AS(b.Context(), kdcclient.ASRequest{Client: alice, Keys: kdcclient.Password(alice, password)})
				if err != nil {
					b.Fatal(err)
				}
				service := krb.NewPrincipal(r.Name(), "HTTP", "localhost")
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.TGS(b.Context(), tgt, service, kdcclient.TGSOptions{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
