// Package readmap holds maps that many read and few write.
package readmap

import (
	"hash/maphash"
	"iter"
	"maps"
	"sync"
	"sync/atomic"
)

// A Map is one whose readers take no lock: what a writer changes is a copy of the
// part that the key is in. It is safe for concurrent use. Make one with [New].
type Map[K comparable, V any] struct {
	seed   maphash.Seed
	shards [64]shard[K, V] // so that little is copied
}

type shard[K comparable, V any] struct {
	now atomic.Pointer[map[K]V] // never changed, but replaced
	mu  sync.Mutex              // held by who replaces it
}

// New returns an empty map.
func New[K comparable, V any]() *Map[K, V] {
	return &Map[K, V]{seed: maphash.MakeSeed()}
}

func (m *Map[K, V]) shard(k K) *shard[K, V] {
	return &m.shards[maphash.Comparable(m.seed, k)%uint64(len(m.shards))]
}

// Get returns the value of a key, and whether it has one.
func (m *Map[K, V]) Get(k K) (v V, ok bool) {
	if now := m.shard(k).now.Load(); now != nil {
		v, ok = (*now)[k]
	}
	return v, ok
}

// Put gives a key a value.
func (m *Map[K, V]) Put(k K, v V) {
	m.shard(k).change(func(fresh map[K]V) { fresh[k] = v })
}

// Delete removes the entries for which drop returns true.
func (m *Map[K, V]) Delete(drop func(K, V) bool) {
	for i := range m.shards {
		m.shards[i].change(func(fresh map[K]V) { maps.DeleteFunc(fresh, drop) })
	}
}

// MakeRoom leaves fewer than most entries: those for which drop returns true go first, and
// then any others.
func (m *Map[K, V]) MakeRoom(most int, drop func(K, V) bool) {
	over := m.Len() - most
	if over < 0 {
		return
	}
	m.Delete(drop)
	over = m.Len() - most
	m.Delete(func(K, V) bool {
		over--
		return over >= -1
	})
}

// All goes through the entries, in no order. What changes meanwhile may be met or not.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for i := range m.shards {
			now := m.shards[i].now.Load()
			if now == nil {
				continue
			}
			for k, v := range *now {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// Len returns how many keys have a value.
func (m *Map[K, V]) Len() (n int) {
	for i := range m.shards {
		if now := m.shards[i].now.Load(); now != nil {
			n += len(*now)
		}
	}
	return n
}

func (s *shard[K, V]) change(f func(fresh map[K]V)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := make(map[K]V)
	if now := s.now.Load(); now != nil {
		maps.Copy(fresh, *now)
	}
	f(fresh)
	s.now.Store(&fresh)
}
