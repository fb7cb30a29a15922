package kdcclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// Every KDC is asked over UDP and over TCP, whatever the others do; what it says of its
// clock counts, and what was found out is forgotten.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &fakekdc.Clock{}
		realm := fakekdc.Start(t, fakekdc.WithRealm("EXAMPLE.TEST"), fakekdc.WithoutSockets(), fakekdc.WithKDCs(3), fakekdc.WithClock(clock.Now))
		clock.Advance(-time.Hour)
		realm.KDCs()[1].Pause()
		var kdcs []KDC
		for _, k := range realm.KDCs() {
			at := netip.MustParseAddrPort(k.Addr())
			kdcs = append(kdcs, KDC{Host: at.Addr().String(), Port: int(at.Port())})
		}
		kdcs[2].Network = "tcp"
		refused := errors.New("refused")
		c := New(Options{
			Locate: func(context.Context, string) ([]KDC, error) { return kdcs, nil },
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				if network == "tcp" && address == realm.Addr() {
					return nil, refused
				}
				return realm.Dial(ctx, network, address)
			},
		})
		begin := time.Now()
		got, err := c.Probe(t.Context(), krb.NewPrincipal("EXAMPLE.TEST", "nobody"))
		if err != nil || len(got) != 5 {
			t.Fatalf("%+v, %v", got, err)
		}
		if took := time.Since(begin); took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
		for i, want := range []struct {
			address, network string
			ok               bool
		}{
			{realm.Addr(), "udp", true}, {realm.Addr(), "tcp", false},
			{realm.KDCs()[1].Addr(), "udp", false}, {realm.KDCs()[1].Addr(), "tcp", false},
			{realm.KDCs()[2].Addr(), "tcp", true},
		} {
			p := got[i]
			if p.Address != want.address || p.Network != want.network || (p.Err == nil) != want.ok || p.Timed != want.ok || want.ok && p.Clock.Round(time.Second) != -time.Hour {
				t.Errorf("%d: %+v, want %+v", i, p, want)
			}
		}
		if !errors.Is(got[1].Err, refused) {
			t.Errorf("%v", got[1].Err)
		}
		if c.isShunned("tcp "+realm.Addr()) || c.isShunned("udp "+realm.KDCs()[1].Addr()) || c.Offset("EXAMPLE.TEST") != 0 {
			t.Error("the client remembers")
		}
		for _, e := range realm.Exchanges() {
			if e.Kind != fakekdc.AS || e.Code != fakekdc.CodeClientUnknown {
				t.Errorf("%v", e)
			}
		}
	})
}

// A name counts once for each address, and says so if it has none.
func TestProbeNames(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithRealm("EXAMPLE.TEST"))
	at := netip.MustParseAddrPort(realm.Addr())
	c := New(Options{
		Locate: func(context.Context, string) ([]KDC, error) {
			return []KDC{{Host: "kdc.example.test", Port: int(at.Port()), Network: "tcp"}, {Host: "none.example.test"}}, nil
		},
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			if host == "none.example.test" {
				return nil, nil
			}
			return []netip.Addr{at.Addr(), at.Addr()}, nil
		},
	})
	got, err := c.Probe(t.Context(), krb.NewPrincipal("EXAMPLE.TEST", "nobody"))
	if err != nil || len(got) != 3 || got[0].Err != nil || got[1].Err != nil || got[2].Err == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	if want := net.JoinHostPort("kdc.example.test", at.String()[len(at.Addr().String())+1:]) + " [" + at.Addr().String() + "]"; got[0].Address != want {
		t.Errorf("%q, want %q", got[0].Address, want)
	}
	if got[2].Address != "none.example.test:88" {
		t.Errorf("%+v", got[2])
	}
}

// Of a realm that nobody knows there is an error, and none outlasts its context.
func TestProbeNobody(t *testing.T) {
	if got, err := New(Options{}).Probe(t.Context(), krb.NewPrincipal("X", "nobody")); got != nil || !errors.Is(err, errNoKDC) {
		t.Errorf("%v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := New(Options{Locate: func(context.Context, string) ([]KDC, error) { return []KDC{{Host: "127.0.0.1", Port: 1}}, nil }})
	got, err := c.Probe(ctx, krb.NewPrincipal("X", "nobody"))
	if err != nil || len(got) != 2 || !errors.Is(got[0].Err, context.Canceled) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A proxy for KDCs is asked by its name, over TLS.
func TestProbeProxy(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithRealm("EXAMPLE.TEST"))
	proxy := fakeweb.Serve(realm, fakeweb.KDCProxy(realm), fakeweb.ServerOptions{TLS: true})
	at := netip.MustParseAddrPort(proxy.Addr())
	for trusted, roots := range map[bool]*x509.CertPool{true: proxy.CertPool(), false: x509.NewCertPool()} {
		c := New(Options{
			Locate: func(context.Context, string) ([]KDC, error) {
				return []KDC{{Host: "localhost", Port: int(at.Port()), Network: "https", URL: proxy.URL() + "/KdcProxy"}}, nil
			},
			TLS: func(string) (*tls.Config, error) { return &tls.Config{RootCAs: roots}, nil },
		})
		got, err := c.Probe(t.Context(), krb.NewPrincipal("EXAMPLE.TEST", "nobody"))
		if err != nil || len(got) != 1 || got[0].Network != "https" || (got[0].Err == nil) != trusted || got[0].Timed != trusted {
			t.Errorf("trusted %t: %+v, %v", trusted, got, err)
		}
	}
}
