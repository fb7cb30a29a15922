// Package lru holds maps that keep what was used last.
package lru

import (
	"container/list"
	"sync"
)

// A Map is bounded: what was used longest ago makes room. The zero value is empty and
// ready. It is safe for concurrent use.
type Map[K comparable, V any] struct {
	mu      sync.Mutex
	entries map[K]*list.Element // of order
	order   list.List           // of *entry[K, V], the last used first
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// Get returns the value of a key, and whether it has one.
func (m *Map[K, V]) Get(k K) (v V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[k]
	if !ok {
		return v, false
	}
	m.order.MoveToFront(e)
	return e.Value.(*entry[K, V]).value, true
}

// Put gives a key a value, in a map of at most that many.
func (m *Map[K, V]) Put(k K, v V, most int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[k]; ok {
		m.order.MoveToFront(e)
		e.Value.(*entry[K, V]).value = v
		return
	}
	if m.entries == nil {
		m.entries = make(map[K]*list.Element)
	}
	m.entries[k] = m.order.PushFront(&entry[K, V]{k, v})
	for m.order.Len() > most {
		last := m.order.Remove(m.order.Back())
		delete(m.entries, last.(*entry[K, V]).key)
	}
}

// Delete takes the value of a key away.
func (m *Map[K, V]) Delete(k K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[k]; ok {
		m.order.Remove(e)
		delete(m.entries, k)
	}
}

// Len returns how many keys have a value.
func (m *Map[K, V]) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.order.Len()
}
