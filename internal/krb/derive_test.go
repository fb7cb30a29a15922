package krb

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/crypto/common"
	"github.com/jcmturner/gokrb5/v8/crypto/rfc3961"
)

func TestFoldAgainstGokrb5(t *testing.T) {
	compare := func(in [5]byte) {
		t.Helper()
		var got [16]byte
		fold(&got, in)
		if want := rfc3961.Nfold(in[:], 128); !bytes.Equal(got[:], want) {
			t.Fatalf("%x: %x, want %x", in, got, want)
		}
	}
	// All that is folded for the key usages in use, and carries of all kinds.
	for usage := range uint32(1200) {
		for _, purpose := range []byte{forEncryption, forIntegrity, forChecksums, 0, 0xFF} {
			var in [5]byte
			binary.BigEndian.PutUint32(in[:], usage)
			in[4] = purpose
			compare(in)
			for i := range 4 {
				in[i] ^= 0xFF
				compare(in)
			}
		}
	}
}

func TestDeriveAgainstGokrb5(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		if etype == RC4HMAC {
			return // whose keys are made in another way
		}
		theirs := must(crypto.GetEtype(etype))
		key := testKey(etype)
		d := must(key.m.deriving())
		for _, usage := range []uint32{0, 1, 2, 3, 7, 11, 56, 63, 64, 1024, 1<<32 - 1} {
			for purpose, constant := range map[byte][]byte{
				forEncryption: common.GetUsageKe(usage), forIntegrity: common.GetUsageKi(usage), forChecksums: common.GetUsageKc(usage),
			} {
				want, err := theirs.DeriveKey(key.Bytes(), constant)
				if err != nil {
					t.Fatal(err)
				}
				if got := d.key(usage, purpose); !bytes.Equal(got, want) {
					t.Errorf("usage %d, purpose %x: %x, want %x", usage, purpose, got, want)
				}
			}
		}
	})
}
