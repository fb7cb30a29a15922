package fakekdc

import (
	"strings"
	"testing"
)

// The listening itself is on loopback here, as everything is.
func TestWithRemoteAddress(t *testing.T) {
	r := Start(t, WithRemoteAddress("127.0.0.2:0"), WithKDCs(2))
	r.AddKDC()
	for _, k := range r.KDCs() {
		if !strings.HasPrefix(k.Addr(), "127.0.0.2:") {
			t.Errorf("%v", k)
		}
	}
	// An address of no machine here: it is tried, not refused.
	for address, says := range map[string]string{
		"192.0.2.1:0": "KDC of ", "localhost:88": "want one such as", "": "want one such as",
	} {
		if _, err := New(WithRemoteAddress(address)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: error %v, want %q", address, err, says)
		}
	}
	if _, err := New(WithAddress("192.0.2.1:0")); err == nil || !strings.Contains(err.Error(), "not a loopback address") {
		t.Errorf("WithAddress: error %v", err)
	}
}
