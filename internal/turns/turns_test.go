package turns_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/internal/turns"
)

func TestTurns(t *testing.T) {
	var all turns.Turns
	done, err := all.Take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	// Another key does not wait, and a caller who gives up leaves the queue.
	other, err := all.Take(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	why := errors.New("no more time")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := all.Take(ctx, "a"); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
	if n := all.Len(); n != 1 {
		t.Errorf("%d keys are kept, want 1", n)
	}
	done()
	next, err := all.Take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	done() // which is over, and not the next one's
	if _, err := all.Take(ctx, "a"); !errors.Is(err, why) {
		t.Errorf("two have the turn of one key: %v", err)
	}
	next()
	if n := all.Len(); n != 0 {
		t.Errorf("%d keys are kept", n)
	}
}

func TestTurnsAtOnce(t *testing.T) {
	var all turns.Turns
	var wg sync.WaitGroup
	busy := 0 // without a lock of its own: the race detector watches
	for range 50 {
		wg.Go(func() {
			done, err := all.Take(t.Context(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			defer done()
			if busy++; busy != 1 {
				t.Errorf("%d have the turn of one key", busy)
			}
			busy--
		})
	}
	wg.Wait()
	if n := all.Len(); n != 0 {
		t.Errorf("%d keys are kept", n)
	}
}

// As many go at once as may, and one more when one of them is done.
func TestTurnsOfSeveral(t *testing.T) {
	why := errors.New("no more time")
	over, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	all := turns.Turns{Most: 3}
	var dones []func()
	for range 3 {
		done, err := all.Take(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		dones = append(dones, done)
	}
	if _, err := all.Take(over, "a"); !errors.Is(err, why) {
		t.Errorf("four go at once: %v", err)
	}
	dones[1]()
	done, err := all.Take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, done := range []func(){dones[0], dones[2], done} {
		done()
	}
	if n := all.Len(); n != 0 {
		t.Errorf("%d keys are kept", n)
	}
}
