// Package readmap holds maps that many read and few write.
package readmap

import (
	"iter"
	"sync"
	"sync/atomic"
)

// A Map is a [sync.Map] that has types and can be bounded; readers take no lock. The zero
// value is empty and ready. It is safe for concurrent use.
type Map[K, V comparable] struct {
	entries sync.Map
	len     atomic.Int64
}

// Get returns the value of a key, and whether it has one.
func (m *Map[K, V]) Get(k K) (v V, ok bool) {
	held, ok := m.entries.Load(k)
	if ok {
		v = held.(V)
	}
	return v, ok
}

// Put gives a key a value.
func (m *Map[K, V]) Put(k K, v V) {
	if _, had := m.entries.Swap(k, v); !had {
		m.len.Add(1)
	}
}

// Delete removes the entries for which drop returns true, unless they change meanwhile.
func (m *Map[K, V]) Delete(drop func(K, V) bool) {
	for k, v := range m.All() {
		if drop(k, v) && m.entries.CompareAndDelete(k, v) {
			m.len.Add(-1)
		}
	}
}

// MakeRoom leaves fewer than most entries: those for which drop returns true go first, and
// then any others.
func (m *Map[K, V]) MakeRoom(most int, drop func(K, V) bool) {
	if m.Len() < most {
		return
	}
	m.Delete(drop)
	over := m.Len() - most
	m.Delete(func(K, V) bool {
		over--
		return over >= -1
	})
}

// All goes through the entries, in no order. What changes meanwhile may be met or not.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		m.entries.Range(func(k, v any) bool { return yield(k.(K), v.(V)) })
	}
}

// Len returns how many keys have a value.
func (m *Map[K, V]) Len() int { return int(m.len.Load()) }
