package lru_test

import (
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/internal/lru"
)

func TestMap(t *testing.T) {
	var m lru.Map[string, int]
	check := func(want map[string]int) {
		t.Helper()
		for _, k := range []string{"a", "b", "c", "d"} {
			v, ok := m.Get(k)
			if w, has := want[k]; v != w || ok != has {
				t.Errorf("%s: %d, %t", k, v, ok)
			}
		}
	}
	check(nil)
	m.Delete("a") // which is not there
	m.Put("a", 1, 2)
	m.Put("b", 2, 2)
	check(map[string]int{"a": 1, "b": 2})
	m.Get("a")
	m.Put("c", 3, 2) // so b was used longest ago
	check(map[string]int{"a": 1, "c": 3})
	m.Put("a", 4, 2) // it is used, and nothing makes room for it
	m.Put("d", 5, 2)
	check(map[string]int{"a": 4, "d": 5})
	m.Delete("a")
	check(map[string]int{"d": 5})
	m.Put("b", 6, 2)
	check(map[string]int{"b": 6, "d": 5})
	if n := m.Len(); n != 2 {
		t.Errorf("%d entries", n)
	}
	m.Put("c", 7, 0)
	check(nil)
}

func TestParallel(t *testing.T) {
	var m lru.Map[int, int]
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 1000 {
				m.Put(i%50, g, 16)
				m.Get(i % 50)
				m.Delete(i % 7)
			}
		})
	}
	wg.Wait()
	if n := m.Len(); n > 16 {
		t.Errorf("%d entries", n)
	}
}
