//go:build !race

// The race detector allocates, and drops what pools keep.

package seal_test

import (
	"bytes"
	"testing"

	"github.com/kerbchain/kerbchain/internal/alloctest"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// A message and its answer take few allocations, and as much memory as what is sent
// and what is received.
func TestAllocations(t *testing.T) {
	const (
		size = 64 << 10
		runs = 20
	)
	for _, etype := range []int32{krb.AES128SHA1, krb.AES256SHA1, krb.AES128SHA256, krb.AES256SHA384, krb.RC4HMAC} {
		t.Run(krb.EtypeName(etype), func(t *testing.T) {
			c := newConversation(t, etype)
			message := bytes.Repeat([]byte("x"), size)
			say := func() { c.say(t, message) }
			most, mostBytes := 40, 5*size/2
			if etype == krb.RC4HMAC { // whose streams have states of 1 KiB
				most, mostBytes = 60, 3*size
			}
			if n := alloctest.Allocations(runs, most, say); n > most {
				t.Errorf("%v allocations, want at most %v", n, most)
			}
			if n := alloctest.Bytes(runs, mostBytes, say); n > mostBytes {
				t.Errorf("%d bytes, want at most %d", n, mostBytes)
			}
		})
	}
}
