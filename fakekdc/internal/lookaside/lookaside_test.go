package lookaside

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// Of very many questions the last are remembered, and of those without an answer none.
func TestBounded(t *testing.T) {
	var c Cache[string]
	for i := range 3 * maxEntries {
		e, first := c.Begin(netip.AddrFrom4([4]byte{127, 0, 0, byte(i)}), binary.BigEndian.AppendUint64(nil, uint64(i)), nil)
		if !first {
			t.Fatal("was there before")
		}
		c.End(e, "x", i%2 == 0)
	}
	if n := len(c.known); n > maxEntries || n < maxEntries-1 || n != len(c.order) {
		t.Errorf("%d and %d remembered, want %d", n, len(c.order), maxEntries)
	}
}

// Who asks again gets the answer of the first, unless it does not serve; others do not.
func TestAgain(t *testing.T) {
	var c Cache[string]
	here, there := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	begin := func(from netip.Addr, packet string, serves func(string) bool) (*Entry[string], bool) {
		return c.Begin(from, []byte(packet), serves)
	}
	e, _ := begin(here, "a", nil)
	if same, first := begin(here, "a", func(string) bool { return false }); first || same != e {
		t.Error("what is not answered yet is new")
	}
	closed := make(chan struct{})
	close(closed)
	if e.Ended() || e.Wait(closed) {
		t.Error("answered before the end")
	}
	c.End(e, "said", true)
	if !e.Ended() || !e.Wait(nil) || !e.Wait(closed) {
		t.Error("not answered at the end")
	}
	if again, first := begin(here, "a", nil); first || again.Answer != "said" || !again.Known {
		t.Errorf("%+v, new %t", again, first)
	}
	for what, first := range map[string]func() (*Entry[string], bool){
		"another host":               func() (*Entry[string], bool) { return begin(there, "a", nil) },
		"other bytes":                func() (*Entry[string], bool) { return begin(here, "b", nil) },
		"where the answer is no use": func() (*Entry[string], bool) { return begin(here, "a", func(a string) bool { return a != "said" }) },
	} {
		e, is := first()
		if !is {
			t.Errorf("%s: nothing new", what)
		}
		c.End(e, "", false)
	}
	if _, first := begin(there, "a", nil); !first {
		t.Error("silence is remembered")
	}
}
