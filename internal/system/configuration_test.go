package system

import (
	"context"
	"errors"
	"testing"
)

// As many calls run at once as the option says, and 64 where it says nothing.
func TestCalls(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for n, want := range map[int]int{0: 64, 1: 1, 3: 3} {
		calls, err := Calls(n, "a library")
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
	if _, err := Calls(-1, "a library"); err == nil {
		t.Error("fewer than none")
	}
}
