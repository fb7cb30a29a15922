package kdcclient

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// forgeOnce makes the next request of a kind meet a KRB-ERROR that anyone on the
// way can send, with any time in it.
func (k *scripted) forgeOnce(kind uint8, ahead time.Duration) {
	var done atomic.Bool
	k.edit(func() {
		k.before = func(r *request) ([][]byte, bool) {
			if r.fields.MsgType != int(kind) || done.Swap(true) {
				return nil, false
			}
			at := k.now().Add(ahead).UTC()
			return [][]byte{k.refuse(r, krb.CodeSkew, nil, func(e *messages.KRBError) {
				e.STime, e.Susec = at.Truncate(time.Second), at.Nanosecond()/1000
			})}, true
		}
	})
}

// One forged KRB-ERROR must not shift the authenticators that follow: the time of
// an authentic reply counts.
func TestForgedSkewDoesNotLast(t *testing.T) {
	for _, ahead := range []time.Duration{4*time.Minute + 30*time.Second, -4*time.Minute - 30*time.Second, time.Minute} {
		k := newScripted(t, realmA)
		k.now = func() time.Time { return epoch }
		k.start()
		c := client(Options{Now: k.now, Timesync: true}, k)
		k.forgeOnce(krb.MsgASReq, ahead)
		tgt := login(t, c)
		if n := k.count(krb.MsgASReq); n != 3 || c.Offset(realmA) != 0 {
			t.Errorf("%v, AS: %d requests, offset %v, want 3 and none", ahead, n, c.Offset(realmA))
		}
		k.forgeOnce(krb.MsgTGSReq, ahead)
		if _, err := c.TGS(t.Context(), tgt, web, TGSOptions{}); err != nil {
			t.Fatal(err)
		}
		if n := k.count(krb.MsgTGSReq); n != 2 || c.Offset(realmA) != 0 {
			t.Errorf("%v, TGS: %d requests, offset %v, want 2 and none", ahead, n, c.Offset(realmA))
		}
	}
}

// A clock that is behind is one that is apart.
func TestKDCBehind(t *testing.T) {
	const behind = 3 * time.Hour
	for _, preauth := range []bool{true, false} {
		for _, timesync := range []bool{true, false} {
			k := newScripted(t, realmA)
			k.now = func() time.Time { return epoch.Add(-behind) }
			k.preauth = preauth
			k.start()
			c := client(Options{Now: func() time.Time { return epoch }, Timesync: timesync}, k)
			_, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password), Lifetime: 6 * time.Hour})
			if timesync {
				if err != nil || (c.Offset(realmA)+behind).Abs() > time.Second {
					t.Errorf("preauth %v: offset %v, %v", preauth, c.Offset(realmA), err)
				}
				continue
			}
			e := failure(t, err)
			if e.Kind != KindSkew || (e.Skew+behind).Abs() > time.Second || !strings.Contains(err.Error(), "3h0m0s behind ours") {
				t.Errorf("preauth %v: %v", preauth, err)
			}
		}
	}
}

// The clock that is followed may be set right again, or be told wrongly by a
// ticket that starts at another time than now.
func TestTGSFollowsTheClock(t *testing.T) {
	for name, tc := range map[string]struct {
		known, start, want time.Duration
	}{
		"as before":                  {time.Hour, 0, time.Hour},
		"whole seconds":              {time.Hour + 700*time.Millisecond, 0, time.Hour + 700*time.Millisecond},
		"nearly right again":         {4 * time.Minute, -4 * time.Minute, 0},
		"an hour and some more":      {time.Hour, 3 * time.Minute, time.Hour + 3*time.Minute},
		"starts when the TGT did":    {time.Hour, -30 * time.Minute, time.Hour},
		"no offset, small":           {0, 2 * time.Minute, 0},
		"no offset, starts long ago": {0, -2 * time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			k := newScripted(t, realmA)
			k.now = func() time.Time { return epoch.Add(tc.known.Truncate(time.Second)) }
			k.start()
			c := client(Options{Now: func() time.Time { return epoch }, Timesync: true}, k)
			c.SetOffset(realmA, tc.known)
			tgt := login(t, c)
			c.SetOffset(realmA, tc.known)
			k.edit(func() {
				k.change = func(a *answer) { a.part.StartTime = a.part.StartTime.Add(tc.start) }
			})
			if _, err := c.TGS(t.Context(), tgt, web, TGSOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := c.Offset(realmA); (got - tc.want).Abs() > time.Second/10 {
				t.Errorf("offset %v, want %v", got, tc.want)
			}
		})
	}
}
