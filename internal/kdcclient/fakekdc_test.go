package kdcclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gokrb5/v8/keytab"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

const password = "correct horse battery staple"

func realmClient(t *testing.T, r *fakekdc.Realm, o kdcclient.Options) *kdcclient.Client {
	t.Helper()
	host, port, err := net.SplitHostPort(r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	o.Locate = func(context.Context, string) ([]kdcclient.KDC, error) {
		return []kdcclient.KDC{{Host: host, Port: n}}, nil
	}
	if o.Pacing.Next == 0 {
		o.Pacing.Next = time.Minute
	}
	return kdcclient.New(o)
}

// The strict realm of fakekdc takes every kind of key over every network.
func TestFakeRealm(t *testing.T) {
	for _, etype := range []int32{17, 18, 19, 20, 23} {
		for _, limit := range []int{0, kdcclient.DefaultUDPPreferenceLimit} {
			t.Run(fmt.Sprintf("%d limit %d", etype, limit), func(t *testing.T) {
				r := fakekdc.Start(t, fakekdc.WithEtypes(etype), fakekdc.WithUser("alice", password), fakekdc.WithService("HTTP/localhost"))
				c := realmClient(t, r, kdcclient.Options{UDPPreferenceLimit: limit, Etypes: krb.DefaultEtypes(true), Now: r.Now})
				alice := krb.NewPrincipal(r.Name(), "alice")
				for name, keys := range map[string]kdcclient.Keys{
					"password": kdcclient.Password(alice, password),
					"keytab":   keysOf(t, r.Keytab("alice")),
				} {
					tgt, err := c.AS(t.Context(), kdcclient.ASRequest{Client: alice, Keys: keys, Forwardable: true, RenewLife: 100 * time.Hour})
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					got, err := c.TGS(t.Context(), tgt, krb.NewPrincipal("", "HTTP", "localhost"), kdcclient.TGSOptions{})
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					if !got.Server.Equal(krb.NewPrincipal(r.Name(), "HTTP", "localhost")) || got.Key.Etype() != etype {
						t.Errorf("%s: %v, etype %d", name, got, got.Key.Etype())
					}
					if _, err := c.TGS(t.Context(), tgt, krb.Principal{}, kdcclient.TGSOptions{Renew: true}); err != nil {
						t.Errorf("%s: renew: %v", name, err)
					}
					fwd, err := c.TGS(t.Context(), tgt, tgt.Server, kdcclient.TGSOptions{Options: krb.FlagForwarded})
					if err != nil || fwd.Flags&krb.FlagForwarded == 0 {
						t.Errorf("%s: forward: %v, %v", name, fwd, err)
					}
				}
			})
		}
	}
}

func keysOf(t *testing.T, b []byte) kdcclient.Keys {
	t.Helper()
	kt := keytab.New()
	if err := kt.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	var keys []kdcclient.KeyEntry
	for _, e := range kt.Entries {
		k, err := krb.NewKey(e.Key.KeyType, e.Key.KeyValue)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, kdcclient.KeyEntry{Key: k, Kvno: e.KVNO})
	}
	return kdcclient.KeyTable(keys)
}

func TestFakeRealmCache(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithUser("alice", password), fakekdc.WithService("HTTP/localhost"))
	cache, err := ccache.Parse(r.CCache("alice"))
	if err != nil {
		t.Fatal(err)
	}
	tgt, err := cache.TGT(ccache.Query{Now: r.Now()})
	if err != nil {
		t.Fatal(err)
	}
	c := realmClient(t, r, kdcclient.Options{Now: r.Now})
	got, err := c.TGS(t.Context(), tgt, krb.NewPrincipal(r.Name(), "HTTP", "localhost"), kdcclient.TGSOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cache.Credentials = append(cache.Credentials, ccache.FromTicket(got))
	b, err := cache.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if cache, err = ccache.Parse(b); err != nil {
		t.Fatal(err)
	}
	again, err := cache.Ticket(got.Server, ccache.Query{Now: r.Now()})
	if err != nil || !again.Key.Equal(got.Key) || !again.EndTime.Equal(got.EndTime) {
		t.Errorf("%v, %v", again, err)
	}
}

func TestFakeRealmFaults(t *testing.T) {
	type outcome struct {
		Kind      kdcclient.Kind
		Code      int32
		Temporary bool
	}
	for name, tc := range map[string]struct {
		fault fakekdc.Fault
		as    outcome // zero: no error
		tgs   outcome
	}{
		"nonce":       {fakekdc.WrongNonce(), outcome{Kind: kdcclient.KindReply}, outcome{Kind: kdcclient.KindReply}},
		"client":      {fakekdc.WrongClient(), outcome{Kind: kdcclient.KindReply}, outcome{Kind: kdcclient.KindReply}},
		"server":      {fakekdc.WrongServer(), outcome{Kind: kdcclient.KindReply}, outcome{Kind: kdcclient.KindReply}},
		"realm":       {fakekdc.WrongRealm(), outcome{Kind: kdcclient.KindReply}, outcome{Kind: kdcclient.KindReply}},
		"key":         {fakekdc.WrongKey(), outcome{Kind: kdcclient.KindKey}, outcome{Kind: kdcclient.KindReply}},
		"cipher":      {fakekdc.ShortCipher(), outcome{Kind: kdcclient.KindReply}, outcome{Kind: kdcclient.KindReply}},
		"unavailable": {fakekdc.ReplyError(fakekdc.CodeUnavailable, nil), outcome{kdcclient.KindUnreachable, 29, true}, outcome{kdcclient.KindUnreachable, 29, true}},
		"expired":     {fakekdc.ReplyError(fakekdc.CodeTicketExpired, nil), outcome{kdcclient.KindRefused, 32, false}, outcome{kdcclient.KindRefused, 32, false}},
		"truncated":   {fakekdc.Truncate(), outcome{kdcclient.KindUnreachable, 0, true}, outcome{kdcclient.KindUnreachable, 0, true}},
		"reset":       {fakekdc.ResetConnection(), outcome{kdcclient.KindUnreachable, 0, true}, outcome{kdcclient.KindUnreachable, 0, true}},
		"huge":        {fakekdc.HugeFrame(), outcome{kdcclient.KindUnreachable, 0, true}, outcome{kdcclient.KindUnreachable, 0, true}},
		"garbage":     {fakekdc.Garbage(), outcome{kdcclient.KindUnreachable, 0, true}, outcome{kdcclient.KindUnreachable, 0, true}},
	} {
		t.Run(name, func(t *testing.T) {
			r := fakekdc.Start(t, fakekdc.WithUser("alice", password), fakekdc.WithService("HTTP/localhost"))
			// TCP alone: over UDP a lost or broken answer is waited for.
			host, port, err := net.SplitHostPort(r.Addr())
			if err != nil {
				t.Fatal(err)
			}
			n, err := strconv.Atoi(port)
			if err != nil {
				t.Fatal(err)
			}
			c := kdcclient.New(kdcclient.Options{Now: r.Now, Pacing: kdcclient.Pacing{Next: time.Minute}, Locate: func(context.Context, string) ([]kdcclient.KDC, error) {
				return []kdcclient.KDC{{Host: host, Port: n, Network: "tcp"}}, nil
			}})
			alice := krb.NewPrincipal(r.Name(), "alice")
			ask := kdcclient.ASRequest{Client: alice, Keys: kdcclient.Password(alice, password)}
			tgt, err := c.AS(t.Context(), ask)
			if err != nil {
				t.Fatal(err)
			}
			judge := func(what string, want outcome, err error) {
				e, ok := errors.AsType[*kdcclient.Error](err)
				if !ok {
					t.Errorf("%s: %v", what, err)
					return
				}
				if diff := cmp.Diff(want, outcome{e.Kind, e.Code, e.Temporary()}); diff != "" {
					t.Errorf("%s: %v: %s", what, err, diff)
				}
			}
			r.FailNext(fakekdc.TGS, tc.fault)
			if name == "server" { // asked for once more, without canonicalization
				r.FailNext(fakekdc.TGS, tc.fault)
			}
			_, err = c.TGS(t.Context(), tgt, krb.NewPrincipal(r.Name(), "HTTP", "localhost"), kdcclient.TGSOptions{})
			judge("TGS", tc.tgs, err)
			if r.PendingFaults() != 0 {
				t.Error("the fault was not met")
			}
			// Faults of replies need a reply: without pre-authentication first.
			if err := r.Modify("alice", fakekdc.NoPreauth()); err != nil {
				t.Fatal(err)
			}
			r.FailNext(fakekdc.AS, tc.fault)
			_, err = c.AS(t.Context(), ask)
			judge("AS", tc.as, err)
			if r.PendingFaults() != 0 {
				t.Error("the fault was not met")
			}
		})
	}
	t.Run("too big", func(t *testing.T) {
		r := fakekdc.Start(t, fakekdc.WithUDPLimit(1), fakekdc.WithUser("alice", password))
		c := realmClient(t, r, kdcclient.Options{Now: r.Now, UDPPreferenceLimit: kdcclient.DefaultUDPPreferenceLimit})
		alice := krb.NewPrincipal(r.Name(), "alice")
		if _, err := c.AS(t.Context(), kdcclient.ASRequest{Client: alice, Keys: kdcclient.Password(alice, password)}); err != nil {
			t.Fatal(err)
		}
	})
}
