//go:build !race

package ccache

import (
	"runtime"
	"testing"
)

// A cache is read in time and memory that grow with its size and no faster: ten times
// the tickets take ten times the bytes, in few pieces. What was read refers to the bytes
// of the file, and keeps no copy of them.
func TestParseIsLinear(t *testing.T) {
	read := func(n int) (allocs float64, perTicket, kept float64) {
		file := large(t, n)
		allocs = testing.AllocsPerRun(3, func() { parse(t, file) })
		before := inUse()
		var total runtime.MemStats
		runtime.ReadMemStats(&total)
		was := total.TotalAlloc
		c := parse(t, file)
		runtime.ReadMemStats(&total)
		perTicket = float64(total.TotalAlloc-was) / float64(n)
		kept = float64(inUse()-before) / float64(len(file))
		if _, err := c.Ticket(c.Credentials[n-1].Server, Query{Now: start}); err != nil {
			t.Fatal(err)
		}
		runtime.KeepAlive(file)
		return allocs, perTicket, kept
	}
	allocs, perTicket, kept := read(1000)
	manyAllocs, perTicketOfMany, keptOfMany := read(10_000)
	t.Logf("1,000: %v allocations, %.0f bytes a ticket, %.2f of the file kept; 10,000: %v, %.0f, %.2f",
		allocs, perTicket, kept, manyAllocs, perTicketOfMany, keptOfMany)
	if manyAllocs > 100 || perTicketOfMany > 1.5*perTicket {
		t.Errorf("10,000 tickets take %v allocations and %.0f bytes each; 1,000 take %v and %.0f", manyAllocs, perTicketOfMany, allocs, perTicket)
	}
	if keptOfMany > 1 {
		t.Errorf("what was read of 10,000 tickets is %.2f times the file", keptOfMany)
	}
}

func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
