package system

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Panics beside the caller are his errors, and give the place back.
func TestCallPanics(t *testing.T) {
	c := NewCalls(1, "a library")
	for range 2 {
		if _, err := Run(t.Context(), c, func() int { panic("odd") }, func(int) {}); err == nil {
			t.Error("no error")
		}
	}
}

// Who leaves has what the call made dropped, and leaves no place behind before that.
func TestCallLeft(t *testing.T) {
	c := NewCalls(1, "a library")
	ctx, cancel := context.WithCancel(t.Context())
	begun, proceed, dropped := make(chan struct{}), make(chan struct{}), make(chan int, 1)
	go func() {
		<-begun
		cancel()
	}()
	work := func() int {
		close(begun)
		<-proceed
		return 7
	}
	if got, err := Run(ctx, c, work, func(n int) { dropped <- n }); !errors.Is(err, context.Canceled) || got != 0 || !strings.Contains(err.Error(), "a library") {
		t.Errorf("%d, %v", got, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.Enter(short); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "a library") {
		t.Errorf("the place was given away: %v", err)
	}
	close(proceed)
	if got, err := Run(t.Context(), c, func() int { return 8 }, func(int) {}); got != 8 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
	select {
	case n := <-dropped:
		if n != 7 {
			t.Errorf("dropped %d", n)
		}
	default:
		t.Error("not dropped before the next call")
	}
}

// As many calls run at once as the option says, and 64 where it says nothing.
func TestCalls(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for n, want := range map[int]int{0: 64, 1: 1, 3: 3} {
		calls, err := CallsOf(n, "a library")
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for calls.Enter(ended) == nil {
			got++
		}
		if err := calls.Enter(ended); got != want || !errors.Is(err, context.Canceled) {
			t.Errorf("%d: %d calls, then %v", n, got, err)
		}
	}
	if _, err := CallsOf(-1, "a library"); err == nil {
		t.Error("fewer than none")
	}
}
