package flight

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Work that panics, or ends its goroutine, is an error for all who wait for it,
// and the next caller starts anew.
func TestGroupSurvivesItsWork(t *testing.T) {
	var g Group[int]
	for name, work := range map[string]func(context.Context) (int, error){
		"panic: odd": func(context.Context) (int, error) { panic("odd") },
		"goroutine":  func(context.Context) (int, error) { runtime.Goexit(); return 1, nil },
	} {
		begun, done := make(chan struct{}), make(chan error, 2)
		go func() {
			_, err := g.Do(t.Context(), "key", func(ctx context.Context) (int, error) {
				close(begun)
				for g.waiting("key") < 2 {
					time.Sleep(time.Millisecond)
				}
				return work(ctx)
			})
			done <- err
		}()
		<-begun
		_, err := g.Do(t.Context(), "key", func(context.Context) (int, error) { t.Error("a second run"); return 0, nil })
		for _, err := range []error{err, <-done} {
			if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(name, "panic: ")) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if n, err := g.Do(t.Context(), "key", func(context.Context) (int, error) { return 7, nil }); n != 7 || err != nil {
			t.Errorf("%s: afterwards %d, %v", name, n, err)
		}
	}
}

func (g *Group[T]) waiting(key string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls[key].waiting
}
