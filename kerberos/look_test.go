package kerberos

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A look that took long is not repeated at once, and one that saw nothing in its time
// not for half a minute; but what a slow machine sees late counts, and is looked at
// again in proportion to its slowness.
func TestSlowLooks(t *testing.T) {
	for name, tc := range map[string]struct {
		takes time.Duration // nothing is seen if it is negative
		pause time.Duration
	}{
		"at once":       {0, interval},
		"in its time":   {lookTime - time.Millisecond, interval},
		"late":          {lookTime + 50*time.Millisecond, lookShare * (lookTime + 50*time.Millisecond)},
		"very late":     {time.Minute, lookPause},
		"a hung daemon": {-1, lookPause},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l look
				looks := 0
				due := func() {
					l.due(t.Context(), time.Now(), time.Now, func(ctx context.Context) bool {
						looks++
						if tc.takes < 0 {
							<-ctx.Done()
							return false
						}
						time.Sleep(tc.takes)
						return true
					})
				}
				due()
				for _, step := range []struct {
					after time.Duration
					looks int
				}{{tc.pause - time.Millisecond, 1}, {time.Millisecond, 2}} {
					time.Sleep(step.after)
					if due(); looks != step.looks {
						t.Errorf("%d looks, want %d", looks, step.looks)
					}
				}
			})
		})
	}
}

// Whoever comes while another looks waits for what that sees, and no longer than a
// second or its context lasts.
func TestOthersLook(t *testing.T) {
	for name, tc := range map[string]struct{ takes, leaves, waits time.Duration }{
		"soon":        {lookTime / 2, time.Hour, lookTime / 2},
		"slow":        {2 * lookTime, time.Hour, 2 * lookTime},
		"hangs":       {time.Minute, time.Hour, lookWait},
		"left before": {time.Minute, lookTime, lookTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l look
				go l.due(t.Context(), time.Now(), time.Now, func(context.Context) bool { time.Sleep(tc.takes); return true })
				synctest.Wait()
				ctx, leave := context.WithTimeout(t.Context(), tc.leaves)
				defer leave()
				begin := time.Now()
				l.due(ctx, begin, time.Now, func(context.Context) bool { t.Error("two look at once"); return true })
				if waited := time.Since(begin); waited != tc.waits {
					t.Errorf("waited %v, want %v", waited, tc.waits)
				}
				time.Sleep(tc.takes)
			})
		})
	}
}
