package system

import (
	"context"
	"errors"
	"slices"
	"testing"
)

func lease(done *[]string) *Lease {
	l := new(Lease)
	l.Init(func() { *done = append(*done, "free") }, func() { *done = append(*done, "settle") })
	return l
}

// Handles are lent to one call at a time, to none once they are given up, and freed when
// the call that uses them ends.
func TestLease(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(l *Lease)
		free bool // may they be used after that?
		done []string
	}{
		"untouched":              {func(*Lease) {}, true, nil},
		"in use":                 {func(l *Lease) { l.Use() }, false, nil},
		"used":                   {func(l *Lease) { l.Use(); l.Used() }, true, nil},
		"released":               {(*Lease).Release, false, []string{"free"}},
		"released while in use":  {func(l *Lease) { l.Use(); l.Release() }, false, nil},
		"and the use ends":       {func(l *Lease) { l.Use(); l.Release(); l.Used() }, false, []string{"free"}},
		"settled":                {(*Lease).Settle, true, []string{"settle"}},
		"settled while in use":   {func(l *Lease) { l.Use(); l.Settle() }, false, nil},
		"settled once released":  {func(l *Lease) { l.Release(); l.Settle() }, false, []string{"free"}},
		"released once settled":  {func(l *Lease) { l.Settle(); l.Release() }, false, []string{"settle", "free"}},
		"changed, with the lock": {func(l *Lease) { l.Change(func() { l.free() }) }, true, []string{"free"}},
	} {
		var done []string
		l := lease(&done)
		tc.do(l)
		if !slices.Equal(done, tc.done) {
			t.Errorf("%s: %v, want %v", name, done, tc.done)
		}
		if got := l.Use(); got != tc.free {
			t.Errorf("%s: may be used: %v", name, got)
		}
	}
}

// What runs after a call runs once, whether the call ended, nobody waited for its end, or
// it never began; and handles that a call has when its caller leaves are freed at its end.
func TestCall(t *testing.T) {
	left, leave := context.WithCancel(t.Context())
	leave()
	for name, tc := range map[string]struct {
		ctx      context.Context
		released bool
		busy     bool // no other call may begin
		want     error
		worked   bool
	}{
		"a call":          {ctx: t.Context(), worked: true},
		"too late":        {ctx: t.Context(), released: true, want: ErrReleased},
		"no room, so far": {ctx: left, busy: true, want: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			var done []string
			l, calls := lease(&done), NewCalls(1, "the library")
			if tc.released {
				l.Release()
			}
			if tc.busy {
				if err := calls.Enter(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			after, worked := 0, false
			got, err := Call(tc.ctx, l, calls, func() int { worked = true; return 7 }, func() { after++ })
			if !errors.Is(err, tc.want) || after != 1 || worked != tc.worked || worked && got != 7 {
				t.Errorf("%d, %v; worked %v, %d times after", got, err, worked, after)
			}
			if l.Use() == tc.released {
				t.Error("what the call used is not given back")
			}
		})
	}
	t.Run("nobody waits", func(t *testing.T) {
		var done []string
		l, calls := lease(&done), NewCalls(1, "the library")
		ctx, leave := context.WithCancel(t.Context())
		proceed, freed := make(chan struct{}), make(chan struct{})
		l.Init(func() { close(freed) }, nil)
		after := make(chan struct{})
		_, err := Call(ctx, l, calls, func() int { leave(); <-proceed; return 0 }, func() { close(after) })
		if !errors.Is(err, context.Canceled) || l.Use() {
			t.Errorf("%v, or the handles are lent twice", err)
		}
		close(proceed)
		<-after
		<-freed
		if l.Use() {
			t.Error("used after it was freed")
		}
	})
}
