//go:build !race

package kerberos_test

import (
	"net/http"
	"testing"

	"github.com/kerbchain/kerbchain/internal/alloctest"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// The race detector lets pools forget what they hold, and so is no judge of
// allocations.

// One header with the ticket at hand: mutual flag, subkey and bindings.
func TestHeaderAllocations(t *testing.T) {
	const mostAllocations, mostBytes = 7, 2400
	for _, etype := range []int32{17, 18, 19, 20} {
		t.Run(krb.EtypeName(etype), func(t *testing.T) {
			in, target, _ := warm(t, etype)
			h := make(http.Header)
			one := func() { header(t, in, target, h) }
			if n := alloctest.Allocations(100, mostAllocations, one); n > mostAllocations {
				t.Errorf("%v allocations, want %d at most", n, mostAllocations)
			}
			if n := alloctest.Bytes(100, mostBytes, one); n > mostBytes {
				t.Errorf("%d bytes, want %d at most", n, mostBytes)
			}
		})
	}
}

// The verification of one answer: challenge, NegTokenResp and AP-REP with a subkey.
func TestVerifyAllocations(t *testing.T) {
	const most, runs = 4, 100
	for _, etype := range []int32{17, 18, 19, 20} {
		t.Run(krb.EtypeName(etype), func(t *testing.T) {
			in, target, server := warm(t, etype)
			left := answers(t, runs+1, in, target, server)
			n := alloctest.Allocations(runs, most, func() {
				if len(left) == 0 { // another measurement
					left = answers(t, runs+1, in, target, server)
				}
				left[0].verify(t)
				left = left[1:]
			})
			if t.Log(n); n > most {
				t.Errorf("%d allocations, want %d at most", n, most)
			}
		})
	}
}

// A ticket at hand costs no memory, and whoever looks for one waits for nobody, not
// even for one who is putting another away.
func TestLookupAllocations(t *testing.T) {
	source, spns := manyTickets(t, 100)
	i := 0
	if n := alloctest.Allocations(1000, 0, func() {
		if _, err := source.ServiceTicket(t.Context(), spns[i%len(spns)]); err != nil {
			t.Fatal(err)
		}
		i++
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	source.Locked(func() {
		if _, err := source.ServiceTicket(t.Context(), spns[0]); err != nil {
			t.Error(err)
		}
		if _, err := source.Identity(t.Context(), spns[0]); err != nil {
			t.Error(err)
		}
	})
}

// A user's ticket at hand costs what one's own does: no memory, and as much for a header.
func TestImpersonatedAllocations(t *testing.T) {
	source, own, user := actsFor(t)
	ctx := kerberos.AsUser(t.Context(), "alice")
	if n := alloctest.Allocations(100, 0, func() {
		if _, err := source.ServiceTicket(ctx, "HTTP/localhost"); err != nil {
			t.Fatal(err)
		}
		if _, err := source.Identity(ctx, "HTTP/localhost"); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for name, in := range map[string]middleware.Initiator{"own": own, "user": user} {
		if n := alloctest.Allocations(100, 12, func() { headerOf(t, ctx, in) }); n > 12 {
			t.Errorf("%s: %v allocations, want 12 at most", name, n)
		}
	}
}
