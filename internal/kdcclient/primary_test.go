package kdcclient

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
)

// A primary KDC that was sent the refused timestamp, and is slow, may have counted
// it: it is not sent another one.
func TestPrimaryThatWasAskedAlready(t *testing.T) {
	silent := newScripted(t, realmA)
	silent.before = func(*request) ([][]byte, bool) { return nil, true }
	silent.start()
	replica := newScripted(t, realmA)
	replica.password = "another"
	replica.start()
	pacing := Pacing{Next: time.Millisecond, Passes: []time.Duration{time.Minute}, Connected: time.Millisecond, Shun: 1}
	c := client(Options{Locate: at(silent.addr, replica.addr), LocatePrimary: at(silent.addr), Pacing: pacing})
	_, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, "correct horse")})
	if e := failure(t, err); e.Code != krb.CodePreauthFailed {
		t.Error(err)
	}
	// Each message may have gone there over UDP and TCP, but there were only two.
	nonces := map[any]bool{}
	for _, r := range silent.seen() {
		nonces[r.fields.ReqBody.Nonce] = true
	}
	if len(nonces) > 2 {
		t.Errorf("the primary KDC was sent %d messages, want those two that the replica answered", len(nonces))
	}
}

// The name of a primary KDC may stand for the one that refused, and for others:
// those are asked.
func TestPrimaryByName(t *testing.T) {
	replica := newScripted(t, realmA)
	replica.password = "another"
	replica.start()
	for name, addrs := range map[string][]netip.Addr{
		"the same alone":   {netip.MustParseAddr("127.0.0.1")},
		"another host too": {netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")},
	} {
		t.Run(name, func(t *testing.T) {
			before := replica.count(0)
			primary := KDC{Host: "primary.a.test", Port: replica.addr.Port, Network: "tcp"}
			c := client(Options{Locate: at(replica.addr), LocatePrimary: at(primary),
				Lookup: func(context.Context, string) ([]netip.Addr, error) { return addrs, nil }})
			_, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, "correct horse")})
			if e := failure(t, err); e.Code != krb.CodePreauthFailed || strings.Contains(e.Error(), "127.0.0.2") {
				t.Error(err) // that nobody is at 127.0.0.2 does not hide what was said
			}
			if n := replica.count(0) - before; n != 2 {
				t.Errorf("%d requests at the one that refused, want 2", n)
			}
		})
	}
}

// Where one of the primary KDCs refused, the others need not be asked: a wrong key would
// count there, too.
func TestPrimaryThatRefused(t *testing.T) {
	refuses, other := newScripted(t, realmA), newScripted(t, realmA)
	refuses.password = "another"
	refuses.start()
	other.start()
	c := client(Options{Locate: at(refuses.addr), LocatePrimary: at(other.addr, refuses.addr)})
	_, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, "correct horse")})
	if e := failure(t, err); e.Code != krb.CodePreauthFailed || other.count(0) != 0 {
		t.Errorf("%d requests at another primary KDC: %v", other.count(0), err)
	}
}

func TestPrimaryIsNotLookedForInVain(t *testing.T) {
	k := newScripted(t, realmA).start()
	looked := 0
	look := func(context.Context, string) ([]KDC, error) {
		looked++
		return nil, errors.New("cannot be known")
	}
	c := client(Options{LocatePrimary: look}, k)
	login(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"nobody asked": func() error {
			_, err := c.AS(ctx, ASRequest{Client: alice, Keys: Password(alice, "x")})
			return err
		},
		"no KDC": func() error {
			p := krb.NewPrincipal("NOWHERE.TEST", "alice")
			_, err := c.AS(t.Context(), ASRequest{Client: p, Keys: Password(p, "x")})
			return err
		},
		"no common type": func() error {
			_, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: Password(alice, "x"), Etypes: []int32{}})
			return err
		},
	} {
		if err := call(); err == nil || looked > 0 {
			t.Errorf("%s: looked for a primary KDC %d times; %v", name, looked, err)
		}
	}
	k.edit(func() { k.change = func(a *answer) { a.part.Nonce++ } })
	if _, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, "correct horse")}); err == nil || looked > 0 {
		t.Errorf("a reply that is not trusted: looked %d times; %v", looked, err)
	}
	k.edit(func() { k.change = nil })
	_, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: Password(alice, "x")})
	if e := failure(t, err); e.Code != krb.CodePreauthFailed || looked != 1 {
		t.Errorf("looked %d times; %v", looked, err)
	}
	// The clock of a replica may be wrong, and that of the primary right.
	k.edit(func() {
		k.before = func(r *request) ([][]byte, bool) { return [][]byte{k.refuse(r, krb.CodeSkew, nil)}, true }
	})
	_, err = c.AS(t.Context(), ASRequest{Client: alice, Keys: Password(alice, "x")})
	if e := failure(t, err); e.Kind != KindSkew || looked != 2 {
		t.Errorf("looked %d times; %v", looked, err)
	}
}

func TestSameKDC(t *testing.T) {
	for _, tc := range []struct {
		a, b KDC
		want bool
	}{
		{KDC{Host: "kdc.test"}, KDC{Host: "KDC.test.", Port: 88, Network: "tcp"}, true},
		{KDC{Host: "kdc.test"}, KDC{Host: "kdc.test", Port: 750}, false},
		{KDC{Host: "kdc.test"}, KDC{Host: "kdc2.test"}, false},
		{KDC{Host: "2001:db8::1"}, KDC{Host: "2001:DB8:0::1"}, true},
		{KDC{Host: "2001:db8::1"}, KDC{Host: "2001:db8::2"}, false},
		{KDC{Host: "2001:db8::1", Port: 1}, KDC{Host: "2001:db8:0::1"}, false},
		{KDC{Host: "k.test", Port: 443, Network: "https"}, KDC{Host: "k.test", Network: "https"}, true},
		{KDC{Host: "k.test", Port: 443, Network: "https"}, KDC{Host: "k.test", Port: 443}, false},
		{KDC{Host: "/run/kdc", Network: "unix"}, KDC{Host: "/run/kdc", Network: "unix"}, true},
		{KDC{Host: "/run/kdc", Network: "unix"}, KDC{Host: "/run/kdc"}, false},
	} {
		if got := tc.a.is(tc.b); got != tc.want || tc.b.is(tc.a) != got {
			t.Errorf("%+v and %+v: %v", tc.a, tc.b, got)
		}
	}
}

// What the primary KDC grants is the result, and the key that it took is not held
// against anybody.
func TestPrimaryGrants(t *testing.T) {
	replica := newScripted(t, realmA)
	replica.password = "before"
	replica.start()
	primary := newScripted(t, realmA).start()
	c := client(Options{Locate: at(replica.addr), LocatePrimary: at(primary.addr)})
	tgt, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, "correct horse"), Guard: strict{t}})
	if err != nil || !tgt.Client.Equal(alice) {
		t.Errorf("%v %v", tgt, err)
	}
}

// strict is a guard that wants to hear of no refusal.
type strict struct{ t *testing.T }

func (strict) Begin(context.Context) (func(), error) { return func() {}, nil }
func (strict) Refused(KeyEntry) *Error               { return nil }
func (strict) RefusedOTP(secret.Text) *Error         { return nil }
func (strict) RefuseOTP(secret.Text, *Error)         {}
func (s strict) Refuse(key KeyEntry, why *Error)     { s.t.Errorf("%s is refused: %v", key.named(), why) }
