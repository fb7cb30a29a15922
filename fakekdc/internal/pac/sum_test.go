package pac

import (
	"slices"
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Each signature counts by itself: whoever holds the keys of all others, and makes them
// fit, is refused for the one that does not.
func TestEachSignatureCounts(t *testing.T) {
	key := func() krb.Key {
		k, err := krb.GenerateKey(krb.AES256SHA1)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	server, kdc, ticket := key(), key(), []byte("a ticket with an empty PAC")
	byKDC := func(sum, data []byte) bool { return VerifySum(sum, kdc, data) }
	ofTicket := func() ([]byte, error) { return ticket, nil }
	all := []uint32{KindTicketSum, KindFullSum, KindServerSum, KindKDCSum} // in the order in which one covers the other
	for _, tc := range []struct {
		name     string
		counts   []uint32
		kdc      func(sum, data []byte) bool
		evidence func() ([]byte, error)
	}{
		{"of another realm's ticket", []uint32{KindServerSum}, nil, nil},
		{"of a ticket", []uint32{KindServerSum, KindKDCSum}, byKDC, nil},
		{"of evidence", all, byKDC, ofTicket},
	} {
		for _, wrong := range append([]uint32{0}, all...) {
			raw, err := Sign([]Buffer{{KindClientInfo, []byte("whose it is")}}, ticket, server, kdc)
			if err != nil {
				t.Fatal(err)
			}
			list, err := Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			sum := func(kind uint32) []byte {
				b, found := Find(list, kind)
				if !found {
					t.Fatalf("no signature of kind %d", kind)
				}
				return b[4:]
			}
			if wrong != 0 {
				sum(wrong)[0] ^= 1
			}
			// The signatures over that one are made anew.
			refit := func(kind uint32, k krb.Key, zeroed ...uint32) {
				if kind == wrong {
					return
				}
				kept := make(map[uint32][]byte)
				for _, z := range zeroed {
					kept[z] = slices.Clone(sum(z))
					clear(sum(z))
				}
				made, err := k.Checksum(krb.UsageNonKerberosChecksum, raw)
				if err != nil {
					t.Fatal(err)
				}
				for _, z := range zeroed {
					copy(sum(z), kept[z])
				}
				copy(sum(kind), made)
			}
			refit(KindFullSum, kdc, KindServerSum, KindKDCSum, KindFullSum)
			refit(KindServerSum, server, KindServerSum, KindKDCSum)
			if wrong != KindKDCSum {
				made, err := kdc.Checksum(krb.UsageNonKerberosChecksum, sum(KindServerSum))
				if err != nil {
					t.Fatal(err)
				}
				copy(sum(KindKDCSum), made)
			}
			want := !slices.Contains(tc.counts, wrong)
			if got := Signed(raw, list, server, tc.kdc, tc.evidence); got != want {
				t.Errorf("%s, with the signature of kind %d wrong: %v", tc.name, wrong, got)
			}
		}
	}
}
