package kdcclient

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// renewable returns a client, a ticket of an hour that can be renewed for a day,
// and what moves the clocks of client and KDC.
func renewable(t *testing.T, k *scripted) (c *Client, tgt *krb.Ticket, pass func(time.Duration)) {
	t.Helper()
	var mu sync.Mutex
	now := epoch
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	k.now = clock
	k.start()
	c = client(Options{Now: clock}, k)
	tgt, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password), Forwardable: true, Lifetime: time.Hour, RenewLife: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return c, tgt, func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(d)
	}
}

// renewing makes a KDC answer renewals as RFC 4120 section 3.3.3 has it: the
// same life again, within what the ticket was renewable for.
func renewing(tgt *krb.Ticket, more func(*answer)) func(*answer) {
	return func(a *answer) {
		if !a.request.option(30) {
			return
		}
		a.part.EndTime = a.part.StartTime.Add(tgt.EndTime.Sub(tgt.StartTime))
		if a.part.EndTime.After(tgt.RenewTill) {
			a.part.EndTime = tgt.RenewTill
		}
		a.part.AuthTime, a.part.RenewTill = tgt.AuthTime, tgt.RenewTill
		if more != nil {
			more(a)
		}
	}
}

func TestRenew(t *testing.T) {
	k := newScripted(t, realmA)
	c, tgt, pass := renewable(t, k)
	k.edit(func() { k.change = renewing(tgt, nil) })
	pass(50 * time.Minute)
	got, err := c.TGS(t.Context(), tgt, krb.Principal{}, TGSOptions{Renew: true})
	if err != nil {
		t.Fatal(err)
	}
	start := epoch.Add(50 * time.Minute).Truncate(time.Second)
	want := &krb.Ticket{
		Client: alice, Server: tgsA, Flags: krb.FlagForwardable | krb.FlagRenewable,
		AuthTime: tgt.AuthTime, StartTime: start, EndTime: start.Add(time.Hour), RenewTill: tgt.RenewTill,
	}
	bare := *got
	bare.Key, bare.Raw = krb.Key{}, nil
	if diff := cmp.Diff(want, &bare, cmp.AllowUnexported(krb.Key{})); diff != "" {
		t.Error(diff)
	}
	if got.Key.Equal(tgt.Key) || string(got.Raw) == string(tgt.Raw) {
		t.Error("the ticket is the old one")
	}
	r := k.last()
	if b := r.fields.ReqBody; !b.Till.Equal(tgt.RenewTill) || b.SName.PrincipalNameString() != "krbtgt/A.TEST" || b.Realm != realmA {
		t.Errorf("asked for %+v", b)
	}
	for bit, want := range map[int]bool{1: true, 3: false, 8: true, 15: false, 27: false, 30: true} {
		if r.option(bit) != want {
			t.Errorf("option %d is %v", bit, !want)
		}
	}
	// And the renewed one again, up to the end.
	pass(23 * time.Hour)
	if _, err = c.TGS(t.Context(), got, krb.Principal{}, TGSOptions{Renew: true}); failure(t, err).Code != krb.CodeTicketExpired {
		t.Errorf("run out: %v", err)
	}
	for _, s := range []string{"renewed before it does", "kinit", "krbtgt/A.TEST"} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q is not in: %v", s, err)
		}
	}
	if e := failure(t, err); !e.Credentials() || e.Temporary() {
		t.Errorf("%+v", e)
	}
}

// What cannot be renewed is not asked for.
func TestRenewNotRenewable(t *testing.T) {
	k := newScripted(t, realmA)
	c, tgt, pass := renewable(t, k)
	before := k.count(0)
	refused := func(name string, tgt *krb.Ticket, says string) {
		t.Helper()
		_, err := c.TGS(t.Context(), tgt, krb.Principal{}, TGSOptions{Renew: true})
		if e := failure(t, err); e.Kind != KindRequest || e.Temporary() || !e.Server.Equal(tgt.Server) || !strings.Contains(err.Error(), says) || !strings.Contains(e.Hint, "kinit -r") {
			t.Errorf("%s: %v", name, err)
		}
	}
	plain := *tgt
	plain.Flags &^= krb.FlagRenewable
	refused("not renewable", &plain, "not renewable")
	pass(24*time.Hour + 6*time.Minute)
	refused("no longer", tgt, "was renewable until 2030-01-03T03:04:05Z")
	if n := k.count(0); n != before {
		t.Errorf("%d requests", n-before)
	}
	// The KDC may know better.
	pass(-10 * time.Hour)
	k.edit(func() {
		k.before = func(r *request) ([][]byte, bool) { return [][]byte{k.refuse(r, krb.CodeBadOption, nil)}, true }
	})
	_, err := c.TGS(t.Context(), tgt, krb.Principal{}, TGSOptions{Renew: true})
	if e := failure(t, err); e.Kind != KindRefused || e.Code != krb.CodeBadOption || !strings.Contains(e.Hint, "does not renew") || k.count(0) != before+1 {
		t.Errorf("%d requests: %v", k.count(0)-before, err)
	}
}

// TestRenewWithoutEnd: a ticket that is renewable, and does not say until when, is renewed
// as long as the KDC does it.
func TestRenewWithoutEnd(t *testing.T) {
	k := newScripted(t, realmA)
	c, tgt, pass := renewable(t, k)
	k.edit(func() { k.change = renewing(tgt, nil) })
	pass(50 * time.Minute)
	open := *tgt
	open.RenewTill = time.Time{}
	if got, err := c.TGS(t.Context(), &open, krb.Principal{}, TGSOptions{Renew: true}); err != nil || !got.EndTime.After(tgt.EndTime) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestRenewBadReplies(t *testing.T) {
	other := types.PrincipalName{NameType: 2, NameString: []string{"krbtgt", realmB}}
	for name, tc := range map[string]struct {
		change func(*answer)
		says   string
	}{
		"another service":    {func(a *answer) { a.part.SName, a.fields.Ticket.SName = other, other }, "krbtgt/B.TEST"},
		"another client":     {func(a *answer) { a.fields.CName = other }, "krbtgt/B.TEST"},
		"ends too late":      {func(a *answer) { a.part.EndTime = a.part.RenewTill.Add(time.Second) }, "it was renewable until"},
		"renewable too long": {func(a *answer) { a.part.RenewTill = a.part.RenewTill.Add(time.Second) }, "before it was until"},
		"ends at once":       {func(a *answer) { a.part.EndTime = a.part.StartTime }, "before it starts"},
		"nonce":              {func(a *answer) { a.part.Nonce++ }, "nonce"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newScripted(t, realmA)
			c, tgt, _ := renewable(t, k)
			k.edit(func() { k.change = renewing(tgt, tc.change) })
			_, err := c.TGS(t.Context(), tgt, krb.Principal{}, TGSOptions{Renew: true})
			if e := failure(t, err); e.Kind != KindReply || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("kind %d: %v", e.Kind, err)
			}
		})
	}
}

// A service's ticket, or a cross-realm one, is renewed by the realm that gave it.
func TestRenewElsewhere(t *testing.T) {
	realms := realmsOf(t, map[string][]string{realmA: {"krbtgt/B.TEST", "HTTP/www.a.test"}, realmB: nil})
	k := realms[realmA]
	c := client(Options{}, all(realms)...)
	tgt := login(t, c)
	k.edit(func() {
		k.change = func(a *answer) {
			types.SetFlag(&a.part.Flags, 8)
			a.part.RenewTill = a.part.EndTime.Add(time.Hour)
		}
	})
	for _, server := range []krb.Principal{web, krb.TGS(realmB, realmA)} {
		got, err := c.TGS(t.Context(), tgt, server, TGSOptions{})
		if err != nil {
			t.Fatal(err)
		}
		k.edit(func() { k.change = renewing(got, func(a *answer) { types.SetFlag(&a.part.Flags, 8) }) })
		renewed, err := c.TGS(t.Context(), got, krb.Principal{}, TGSOptions{Renew: true})
		if err != nil || !renewed.Server.Equal(server) || !renewed.RenewTill.Equal(got.RenewTill) || renewed.Flags&krb.FlagRenewable == 0 {
			t.Errorf("%v, %v", renewed, err)
		}
		k.edit(func() {
			k.change = func(a *answer) {
				types.SetFlag(&a.part.Flags, 8)
				a.part.RenewTill = a.part.EndTime.Add(time.Hour)
			}
		})
	}
	if n := realms[realmB].count(0); n != 0 {
		t.Errorf("%d requests to another realm", n)
	}
}
