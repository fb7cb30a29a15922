package kdcclient

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// moving returns two realms, the first of which sends alice on to the second.
func moving(t *testing.T, edit func(from, to *scripted)) (from, to *scripted) {
	t.Helper()
	realms := chain(t, realmA, realmB)
	if edit != nil {
		edit(realms[0], realms[1])
	}
	startAll(realms)
	return realms[0], realms[1]
}

func timestamps(k *scripted) (n int) {
	for _, r := range k.seen() {
		if slices.ContainsFunc(r.fields.PAData, func(p types.PAData) bool { return p.PADataType == krb.PAEncTimestamp }) {
			n++
		}
	}
	return n
}

// TestASMovesClock: what is known of the clock of the realm where a login goes on counts from the
// first message there, and that of the one before no longer.
func TestASMovesClock(t *testing.T) {
	ahead := func() time.Time { return epoch.Add(2 * time.Hour) }
	from, to := moving(t, func(from, to *scripted) {
		from.now, to.now = func() time.Time { return epoch }, ahead
	})
	c := client(Options{Now: from.now}, from, to)
	c.SetOffset(realmA, -time.Hour)
	c.SetOffset(realmB, 2*time.Hour)
	if _, err := c.AS(t.Context(), ASRequest{Client: enterprise, Keys: Password(enterprise, to.password)}); err != nil || to.count(0) != 2 {
		t.Errorf("%d requests: %v", to.count(0), err)
	}

	// Both clocks are unknown, and both realms say so.
	from, to = moving(t, func(from, to *scripted) {
		from.now, to.now = func() time.Time { return epoch.Add(-time.Hour) }, ahead
		from.before = func(r *request) ([][]byte, bool) {
			if r.number > 1 {
				return nil, false
			}
			return [][]byte{from.refuse(r, krb.CodeSkew, nil)}, true
		}
	})
	c = client(Options{Timesync: true, Now: func() time.Time { return epoch }}, from, to)
	if _, err := c.AS(t.Context(), ASRequest{Client: enterprise, Keys: Password(enterprise, to.password)}); err != nil || from.count(0) != 2 || to.count(0) != 3 {
		t.Errorf("%d and %d requests: %v", from.count(0), to.count(0), err)
	}
}

// TestASMovesFromPrimary: a primary KDC, which was asked after another one, may send a login on
// to another realm, whose own KDCs are asked there.
func TestASMovesFromPrimary(t *testing.T) {
	from, to := moving(t, nil)
	replica := newScripted(t, realmA)
	replica.before = func(r *request) ([][]byte, bool) {
		return [][]byte{replica.refuse(r, krb.CodeClientUnknown, nil)}, true
	}
	replica.start()
	primary := func(_ context.Context, realm string) ([]KDC, error) {
		if realm == realmA {
			return []KDC{from.addr}, nil
		}
		return nil, nil
	}
	c := client(Options{LocatePrimary: primary}, replica, to)
	got, err := c.AS(t.Context(), ASRequest{Client: enterprise, Keys: Password(enterprise, to.password)})
	if err != nil || got.Client.Realm != realmB || from.count(0) != 1 || to.count(0) != 2 {
		t.Errorf("%v, %d requests at the primary KDC, %d in the other realm: %v", got, from.count(0), to.count(0), err)
	}
}

// TestASMovesServer: a service of the client's realm is that of the realm where the client is.
func TestASMovesServer(t *testing.T) {
	from, to := moving(t, func(_, to *scripted) { to.services["kadmin/changepw"] = true })
	c := client(Options{}, from, to)
	got, err := c.AS(t.Context(), ASRequest{Client: enterprise, Server: Changepw(realmA), Keys: Password(enterprise, to.password)})
	if err != nil || !got.Server.Equal(Changepw(realmB)) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestASMovesTimestamps: no timestamp is sent where one of the realms that a login led through
// forbids them, the one where it began and the one where it goes on.
func TestASMovesTimestamps(t *testing.T) {
	for never, want := range map[string]int{realmA: 0, realmB: 0, "C.TEST": 1} {
		from, to := moving(t, nil)
		c := client(Options{NoTimestamp: func(realm string) bool { return realm == never }}, from, to)
		_, err := c.AS(t.Context(), ASRequest{Client: enterprise, Keys: Password(enterprise, to.password)})
		if n := timestamps(to); n != want || (err == nil) != (want == 1) || err != nil && !strings.Contains(err.Error(), "disable_encrypted_timestamp of realm @"+never) {
			t.Errorf("none in %s: %d timestamps, %v", never, n, err)
		}
	}
}
