// Package orders keeps what a test ordered until an exchange meets it.
package orders

import (
	"slices"
	"sync"
	"sync/atomic"
)

// A Queue is of orders, the oldest first. The zero value is empty and ready. It is safe for
// concurrent use.
type Queue[T any] struct {
	some atomic.Bool // nearly always false, and then nobody takes the lock
	mu   sync.Mutex
	list []T
}

// Take takes the first order that meets is true of.
func (q *Queue[T]) Take(meets func(T) bool) (order T, found bool) {
	if !q.some.Load() {
		return order, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.list, meets)
	if i < 0 {
		return order, false
	}
	order = q.list[i]
	q.list = slices.Delete(q.list, i, i+1)
	q.some.Store(len(q.list) > 0)
	return order, true
}

// Put adds orders behind those that there are.
func (q *Queue[T]) Put(orders ...T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = append(q.list, orders...)
	q.some.Store(len(q.list) > 0)
}

// Len returns how many orders there are.
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list)
}

// Clear takes all orders back.
func (q *Queue[T]) Clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = nil
	q.some.Store(false)
}
