package readmap_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/internal/alloctest"
	"github.com/kerbchain/kerbchain/internal/readmap"
)

func all[K, V any](K, V) bool  { return true }
func none[K, V any](K, V) bool { return false }

func TestMap(t *testing.T) {
	var m readmap.Map[string, int]
	if v, ok := m.Get("a"); ok || v != 0 || m.Len() != 0 {
		t.Errorf("%d, %t, %d entries of an empty map", v, ok, m.Len())
	}
	for i := range 500 {
		m.Put(strconv.Itoa(i), i)
	}
	m.Put("7", -7)
	if v, ok := m.Get("7"); !ok || v != -7 || m.Len() != 500 {
		t.Errorf("%d, %t, %d entries", v, ok, m.Len())
	}
	m.Delete(func(_ string, v int) bool { return v%2 == 0 })
	if _, ok := m.Get("8"); ok || m.Len() != 250 {
		t.Errorf("%t, %d entries after half of them went", ok, m.Len())
	}
	met := 0
	for k, v := range m.All() {
		if got, ok := m.Get(k); !ok || got != v {
			t.Errorf("%q: %d, but %d, %t", k, v, got, ok)
		}
		if met++; met == 200 {
			break
		}
	}
	if met != 200 {
		t.Errorf("met %d entries", met)
	}
}

func TestMakeRoom(t *testing.T) {
	for name, tc := range map[string]struct {
		most int
		drop func(int, int) bool
		want int
	}{
		"there is room":      {101, all[int, int], 100},
		"what is over":       {100, func(_, v int) bool { return v < 30 }, 70},
		"nothing is over":    {100, none[int, int], 99},
		"not enough is over": {50, func(_, v int) bool { return v < 30 }, 49},
		"exactly enough":     {71, func(_, v int) bool { return v < 30 }, 70},
		"all but one":        {1, none[int, int], 0},
	} {
		var m readmap.Map[int, int]
		for i := range 100 {
			m.Put(i, i)
		}
		m.MakeRoom(tc.most, tc.drop)
		if m.Len() != tc.want {
			t.Errorf("%s: %d entries, want %d", name, m.Len(), tc.want)
		}
	}
}

// A value that takes the place of one that is dropped stays.
func TestDeleteOfAnother(t *testing.T) {
	var m readmap.Map[string, int]
	m.Put("a", 1)
	m.Delete(func(k string, _ int) bool {
		m.Put(k, 2)
		return true
	})
	if v, ok := m.Get("a"); !ok || v != 2 || m.Len() != 1 {
		t.Errorf("%d, %t, %d entries", v, ok, m.Len())
	}
}

// Readers see what was there before a change, or after it, and take no memory.
func TestMapConcurrently(t *testing.T) {
	var m readmap.Map[string, int]
	m.Put("kept", 1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 1000 {
				m.Put(strconv.Itoa(i), i)
				if i%100 == 0 {
					m.Delete(func(k string, _ int) bool { return k != "kept" })
				}
			}
		})
		wg.Go(func() {
			for range 1000 {
				if v, ok := m.Get("kept"); !ok || v != 1 {
					t.Errorf("%d, %t", v, ok)
				}
			}
		})
	}
	wg.Wait()
	if n := alloctest.Allocations(100, 0, func() { m.Get("kept") }); n != 0 {
		t.Errorf("%v allocations to read", n)
	}
}

func BenchmarkGet(b *testing.B) {
	var m readmap.Map[string, *int]
	for i := range 1000 {
		m.Put("HTTP/host"+strconv.Itoa(i)+".example.com", &i)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Get("HTTP/host7.example.com")
	}
}
