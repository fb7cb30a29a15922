// Package turns lets callers of one key go one after the other, or a few at once.
package turns

import (
	"context"
	"sync"
)

// Turns are those of many keys. The zero value is ready. It is safe for concurrent
// use, and holds a key only as long as somebody has or wants its turn.
type Turns struct {
	// Most is how many callers of one key may go at once; 0 means one.
	Most int

	mu   sync.Mutex
	keys map[string]*turn
}

type turn struct {
	taken chan struct{}
	want  int // who has it included
}

// Take waits for the turn of a key, which the caller has until done is called;
// again that does nothing. If ctx ends first, the error is its cause.
func (t *Turns) Take(ctx context.Context, key string) (done func(), err error) {
	t.mu.Lock()
	k := t.keys[key]
	if k == nil {
		k = &turn{taken: make(chan struct{}, max(t.Most, 1))}
		if t.keys == nil {
			t.keys = make(map[string]*turn)
		}
		t.keys[key] = k
	}
	k.want++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if k.want--; k.want == 0 {
			delete(t.keys, key)
		}
	}
	select {
	case k.taken <- struct{}{}:
		return sync.OnceFunc(func() {
			<-k.taken
			leave()
		}), nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

// Len returns how many keys somebody has or wants the turn of.
func (t *Turns) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.keys)
}
