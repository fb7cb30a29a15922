package fakekdc

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// WithKDCs sets how many KDCs the realm starts with, each at a port of its own;
// one by default. See [Realm.AddKDC].
func WithKDCs(n int) Option { return func(s *settings) { s.kdcs = n } }

// AddKDC adds a KDC to the realm at a free port of the same loopback address,
// for tests in which one is down and another up. [Realm.Config] lists them in
// the order they were added. What is said to the realm counts for all of them:
// [Realm.Pause], [Realm.FailNext] and so on; what is said to a KDC for it alone.
// Failure ends the test; in a realm made by [New] the result is nil then.
func (r *Realm) AddKDC() *KDC {
	k, err := r.addKDC(netip.AddrPortFrom(netip.MustParseAddrPort(r.settings.addr).Addr(), 0))
	if r.fail(err) != nil {
		return nil
	}
	return k
}

func (r *Realm) addKDC(at netip.AddrPort) (*KDC, error) {
	r.lifeMu.Lock()
	defer r.lifeMu.Unlock()
	select {
	case <-r.done:
		return nil, fmt.Errorf("KDC of %s: %w", r.realm, errRealmClosed)
	default:
	}
	k, err := r.listen(at, r.answerFrom)
	if err == nil {
		r.kdcs = append(r.kdcs, k)
	}
	return k, err
}

var errRealmClosed = errors.New("the realm is closed")

// KDCs returns the KDCs of the realm, closed ones too, in the order they were
// added. The first is that of [Realm.Addr].
func (r *Realm) KDCs() []*KDC {
	r.lifeMu.Lock()
	defer r.lifeMu.Unlock()
	return slices.Clone(r.kdcs)
}

// Addr returns host:port, the same for UDP and TCP.
func (k *KDC) Addr() string { return k.at }

// String returns the realm's name and the address.
func (k *KDC) String() string { return "KDC of " + k.realm.realm + " at " + k.Addr() }

// Pause makes the KDC unreachable as [Realm.Pause] does for all of the realm's.
func (k *KDC) Pause() {
	k.paused.Store(true)
	k.dropConns()
}

// Resume ends what Pause began.
func (k *KDC) Resume() { k.paused.Store(false) }

func (k *KDC) down() bool { return k.paused.Load() || k.realm.paused.Load() }

// Close ends the KDC for good: connections are refused, and its port is anyone's.
// It stays in [Realm.Config] and [Realm.KDCs]. Close returns when no goroutine
// of the KDC is left. Further calls do nothing.
func (k *KDC) Close() {
	k.closing.Do(func() {
		close(k.done)
		for _, s := range k.sockets {
			s.Close()
		}
		k.dropConns()
	})
	k.running.Wait()
}

// FailNext makes the next exchanges of the kind fail that this KDC takes, one
// for each fault. They go before those of [Realm.FailNext].
func (k *KDC) FailNext(kind Kind, faults ...Fault) { k.faults.Put(ordered(kind, faults)...) }

// PendingFaults returns how many faults ordered of this KDC no exchange has met
// yet.
func (k *KDC) PendingFaults() int { return k.faults.Len() }

// ClearFaults takes back the orders to this KDC that no exchange has met yet.
func (k *KDC) ClearFaults() { k.faults.Clear() }
