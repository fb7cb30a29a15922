package orders

import "testing"

// Each order is met once, the oldest first, by whoever meets it.
func TestQueue(t *testing.T) {
	var q Queue[int]
	even := func(n int) bool { return n%2 == 0 }
	if _, found := q.Take(even); found {
		t.Error("an order of nobody")
	}
	q.Put(1, 2)
	q.Put(3, 4)
	for _, want := range []int{2, 4} {
		if got, found := q.Take(even); !found || got != want {
			t.Errorf("%d, %t; want %d", got, found, want)
		}
	}
	if _, found := q.Take(even); found || q.Len() != 2 {
		t.Errorf("%d are left, want 2", q.Len())
	}
	q.Clear()
	if _, found := q.Take(func(int) bool { return true }); found || q.Len() != 0 {
		t.Error("an order that was taken back")
	}
}
