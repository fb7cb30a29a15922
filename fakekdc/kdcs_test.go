package fakekdc

import (
	"errors"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// verdictOf is verdict at one KDC.
func verdictOf(t *testing.T, k *KDC, network string, timeout time.Duration) string {
	t.Helper()
	// try and verdict go by the realm's first KDC.
	r := k.realm
	r.lifeMu.Lock()
	kdcs := r.kdcs
	r.kdcs = []*KDC{k}
	r.lifeMu.Unlock()
	defer func() {
		r.lifeMu.Lock()
		defer r.lifeMu.Unlock()
		r.kdcs = kdcs
	}()
	return verdict(t, r, network, timeout)
}

func TestSeveralKDCs(t *testing.T) {
	r := Start(t, WithKDCs(2), WithUser("alice", "secret"))
	third := r.AddKDC()
	kdcs := r.KDCs()
	if len(kdcs) != 3 || kdcs[2] != third || kdcs[0].Addr() != r.Addr() || kdcs[0].Addr() == kdcs[1].Addr() {
		t.Fatalf("KDCs %v", kdcs)
	}
	if got, want := third.String(), "KDC of "+r.Name()+" at "+third.Addr(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if n := strings.Count(r.Config(), "\t\tkdc = 127.0.0.1:"); n != 3 {
		t.Errorf("%d KDCs in krb5.conf:\n%s", n, r.Config())
	}
	const soon, later = 30 * time.Millisecond, 10 * time.Second
	kdcs[0].Pause()
	for _, network := range []string{"udp", "tcp"} {
		for i, want := range []map[string]string{{"udp": "timeout", "tcp": "closed"}, {}, {}} {
			timeout := later
			if want[network] == "timeout" {
				timeout = soon
			}
			got := verdictOf(t, kdcs[i], network, timeout)
			if got == "reset" && want[network] == "closed" {
				got = "closed"
			}
			if w := want[network]; got != w && (w != "" || got != "ok") {
				t.Errorf("%s at KDC %d: %s", network, i, got)
			}
		}
	}
	// The realm's pause and the KDC's are two.
	r.Pause()
	if got := verdictOf(t, third, "udp", soon); got != "timeout" {
		t.Errorf("while the realm is paused: %s", got)
	}
	r.Resume()
	if got := verdictOf(t, kdcs[0], "udp", soon); got != "timeout" {
		t.Errorf("the realm is back, the KDC is not: %s", got)
	}
	kdcs[0].Resume()

	third.FailNext(AS, ReplyError(krb.CodeUnavailable, nil), WrongNonce(), Drop())
	r.FailNext(AS, ReplyError(krb.CodeGeneric, nil))
	var got []string
	for _, i := range []int{2, 0, 0, 2} {
		got = append(got, verdictOf(t, kdcs[i], "tcp", later))
	}
	if d := cmp.Diff([]string{"KDC_ERR_SVC_UNAVAILABLE", "KRB_ERR_GENERIC", "ok", "nonce"}, got); d != "" {
		t.Error(d)
	}
	if third.PendingFaults() != 1 || r.PendingFaults() != 0 {
		t.Errorf("%d and %d faults left", third.PendingFaults(), r.PendingFaults())
	}
	third.ClearFaults()
	if third.PendingFaults() != 0 {
		t.Error("faults that were taken back are there")
	}
	if e := r.Exchanges()[len(r.Exchanges())-1]; e.KDC != third.Addr() || e.Fault != "wrong nonce" || e.Realm != r.Name() {
		t.Errorf("recorded as %+v", e)
	}

	kdcs[1].Close()
	kdcs[1].Close()
	// Windows has error numbers of its own.
	if _, err := net.Dial("tcp", kdcs[1].Addr()); err == nil || runtime.GOOS != "windows" && !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("closed KDC: %v", err)
	}
	if got := verdictOf(t, third, "udp", later); got != "ok" {
		t.Errorf("another: %s", got)
	}
}

// TestCloseKDCEndsWaits: its own, and no one else's.
func TestCloseKDCEndsWaits(t *testing.T) {
	r := Start(t, WithKDCs(2), WithUser("alice", "secret"))
	first := r.KDCs()[0]
	first.FailNext(AS, HoldUntil(make(chan struct{})))
	held := make(chan string)
	go func() { held <- verdict(t, r, "tcp", 10*time.Second) }()
	for first.PendingFaults() != 0 {
		time.Sleep(time.Millisecond) // until the exchange has met its order
	}
	first.Close()
	if got := <-held; got != "closed" && got != "reset" {
		t.Errorf("held: %s", got)
	}
	if got := verdictOf(t, r.KDCs()[1], "tcp", 10*time.Second); got != "ok" {
		t.Errorf("another: %s", got)
	}
}

func TestKDCErrors(t *testing.T) {
	for _, n := range []int{0, -1, maxKDCs + 1} {
		if r, err := New(WithKDCs(n)); err == nil {
			r.Close()
			t.Errorf("%d KDCs: no error", n)
		}
	}
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if k := r.AddKDC(); k != nil {
		t.Errorf("closed realm has a new %v", k)
	}
}
