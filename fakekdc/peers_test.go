package fakekdc

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/client"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// clientOf is the client of this module for all realms that r knows of.
func clientOf(t *testing.T, r *Realm) *kdcclient.Client {
	t.Helper()
	return kdcclient.New(kdcclient.Options{
		Now: r.Now,
		// All that were asked are listened to, so this is not too short for anyone.
		Pacing: kdcclient.Pacing{Next: 100 * time.Millisecond, Connected: 100 * time.Millisecond},
		Locate: func(_ context.Context, realm string) (out []kdcclient.KDC, err error) {
			for _, p := range r.acquainted() {
				if p.Name() != realm {
					continue
				}
				for _, k := range p.KDCs() {
					host, port, err := net.SplitHostPort(k.Addr())
					if err != nil {
						return nil, err
					}
					n, err := strconv.Atoi(port)
					if err != nil {
						return nil, err
					}
					out = append(out, kdcclient.KDC{Host: host, Port: n})
				}
			}
			return out, nil
		},
	})
}

func TestClientCrossRealm(t *testing.T) {
	a, b, c := threeRealms(t)
	a.Refer(".far.example", "C.EXAMPLE")
	b.Refer("x.far.example", "C.EXAMPLE")
	c.AddService("HTTP/x.far.example")
	a.Refer("round.example", "B.EXAMPLE")
	b.Refer("round.example", "A.EXAMPLE")
	a.Alias("alice.smith@corp.example", "alice")
	k := clientOf(t, a)
	alice := krb.NewPrincipal("A.EXAMPLE", "alice")
	tgt, err := k.AS(t.Context(), kdcclient.ASRequest{
		Client:       krb.Principal{Type: krb.NTEnterprise, Components: []string{"alice.smith@corp.example"}, Realm: "A.EXAMPLE"},
		Canonicalize: true,
		Keys:         kdcclient.Password(alice, "secret"), Forwardable: true, RenewLife: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !tgt.Client.Equal(alice) {
		t.Errorf("client %v", tgt.Client)
	}
	for name, tc := range map[string]struct {
		server krb.Principal
		want   string // of the ticket; "" for an error
	}{
		"referral":         {krb.NewPrincipal("", "HTTP", "web.b.example"), "HTTP/web.b.example@B.EXAMPLE"},
		"two referrals":    {krb.NewPrincipal("", "HTTP", "web.c.example"), "HTTP/web.c.example@C.EXAMPLE"},
		"referral of host": {krb.NewPrincipal("", "HTTP", "x.far.example"), "HTTP/x.far.example@C.EXAMPLE"},
		"realm given":      {krb.NewPrincipal("B.EXAMPLE", "HTTP", "web.b.example"), "HTTP/web.b.example@B.EXAMPLE"},
		"far realm given":  {krb.NewPrincipal("C.EXAMPLE", "HTTP", "web.c.example"), "HTTP/web.c.example@C.EXAMPLE"},
		"at home":          {krb.NewPrincipal("", "HTTP", "web.a.example"), "HTTP/web.a.example@A.EXAMPLE"},
		"circle":           {krb.NewPrincipal("", "HTTP", "round.example"), ""},
		"no such realm":    {krb.NewPrincipal("NOWHERE.EXAMPLE", "HTTP", "x"), ""},
		"nobody's":         {krb.NewPrincipal("", "HTTP", "nowhere.example"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := k.TGS(t.Context(), tgt, tc.server, kdcclient.TGSOptions{})
			switch {
			case err != nil && tc.want != "":
				t.Error(err)
			case err == nil && got.Server.String() != tc.want:
				t.Errorf("ticket for %v, want %q", got.Server, tc.want)
			}
		})
	}
	t.Run("nowhere", func(t *testing.T) {
		a.FailNext(TGS, ReferTo("MOON.EXAMPLE"))
		if got, err := k.TGS(t.Context(), tgt, krb.NewPrincipal("", "HTTP", "web.b.example"), kdcclient.TGSOptions{}); err == nil {
			t.Errorf("ticket for %v", got.Server)
		}
	})
}

// TestClientFailsOver: one KDC is down in each of the ways there are.
func TestClientFailsOver(t *testing.T) {
	for name, down := range map[string]func(*KDC){
		"closed":  (*KDC).Close,
		"paused":  (*KDC).Pause,
		"silent":  func(k *KDC) { k.FailNext(Any, Repeat(1000, Silence())...) },
		"reset":   func(k *KDC) { k.FailNext(Any, Repeat(1000, ResetConnection())...) },
		"busy":    func(k *KDC) { k.FailNext(Any, Repeat(1000, ReplyError(krb.CodeUnavailable, nil))...) },
		"garbage": func(k *KDC) { k.FailNext(Any, Repeat(1000, Garbage())...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Start(t, WithKDCs(2), WithUser("alice", "secret"), WithService("HTTP/localhost"))
			down(r.KDCs()[0])
			k := clientOf(t, r)
			alice := krb.NewPrincipal(r.Name(), "alice")
			tgt, err := k.AS(t.Context(), kdcclient.ASRequest{Client: alice, Keys: kdcclient.Password(alice, "secret")})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.TGS(t.Context(), tgt, krb.NewPrincipal(r.Name(), "HTTP", "localhost"), kdcclient.TGSOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, e := range r.Exchanges() {
				if e.Code == 0 && e.Granted != "" && e.KDC != r.KDCs()[1].Addr() {
					t.Errorf("%v at %s", e, e.KDC)
				}
			}
		})
	}
}

// TestGokrb5CrossRealm: its client follows referrals to one realm only: for the
// next it says in the request that the client is of the last.
func TestGokrb5CrossRealm(t *testing.T) {
	for name, config := range map[string]func(*Realm, ...string) string{
		"referral": (*Realm).Config, "paths": (*Realm).ConfigWithCapaths,
	} {
		t.Run(name, func(t *testing.T) {
			a, b, _ := threeRealms(t)
			conf := gokrb5ConfigText(t, config(a, "canonicalize = true"))
			c := client.NewWithPassword("alice", a.Name(), "secret", conf, client.DisablePAFXFAST(true))
			defer c.Destroy()
			if err := c.Login(); err != nil {
				t.Fatal(err)
			}
			tkt, key, err := c.GetServiceTicket("HTTP/web.b.example")
			if err != nil {
				t.Fatal(fmt.Errorf("%w: %v, %v", err, a.Exchanges(), b.Exchanges()))
			}
			if tkt.Realm != "B.EXAMPLE" || tkt.SName.PrincipalNameString() != "HTTP/web.b.example" || key.KeyType != AES256SHA1 {
				t.Errorf("ticket for %s@%s, key of etype %d", tkt.SName.PrincipalNameString(), tkt.Realm, key.KeyType)
			}
		})
	}
}
