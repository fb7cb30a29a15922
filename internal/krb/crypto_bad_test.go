package krb

import (
	"bytes"
	"errors"
	"testing"
)

func TestOpenShort(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		for n := range key.Overhead() {
			b := pattern(n)
			notPanicking(t, b, func() {
				if _, err := key.Open(12, b); !errors.Is(err, ErrTooShort) {
					t.Errorf("%d bytes: %v, want ErrTooShort", n, err)
				}
			})
		}
		for n := key.Overhead(); n < key.Overhead()+40; n++ {
			b := pattern(n)
			notPanicking(t, b, func() {
				if _, err := key.Open(12, b); !errors.Is(err, ErrIntegrity) {
					t.Errorf("%d bytes: %v, want ErrIntegrity", n, err)
				}
			})
		}
		// A true message, cut anywhere.
		sealed := must(key.Seal(12, pattern(50)))
		for n := range sealed {
			notPanicking(t, sealed[:n], func() {
				if _, err := key.Open(12, sealed[:n]); err == nil {
					t.Errorf("opened with %d of %d bytes", n, len(sealed))
				}
			})
		}
	})
}

func TestOpenRefusesEveryFlippedBit(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		for _, n := range []int{0, 1, 16, 37} {
			sealed := must(key.Seal(12, pattern(n)))
			for i := range len(sealed) * 8 {
				bad := bytes.Clone(sealed)
				bad[i/8] ^= 1 << (i % 8)
				if plain, err := key.Open(12, bad); !errors.Is(err, ErrIntegrity) || plain != nil {
					t.Fatalf("%d bytes, bit %d: %x, %v", n, i, plain, err)
				}
			}
			if _, err := key.Open(12, append(bytes.Clone(sealed), 0)); !errors.Is(err, ErrIntegrity) {
				t.Errorf("%d bytes and one more: %v", n, err)
			}
		}
	})
}

func TestOpenRefusesOtherUsageKeyAndEtype(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		sealed := must(key.Seal(UsageAPRepEncPart, pattern(50)))
		if _, err := key.Open(UsageAPReqAuth, sealed); !errors.Is(err, ErrIntegrity) {
			t.Errorf("another usage: %v", err)
		}
		other := must(GenerateKey(etype))
		if _, err := other.Open(UsageAPRepEncPart, sealed); !errors.Is(err, ErrIntegrity) {
			t.Errorf("another key: %v", err)
		}
		value := key.Bytes()
		for i := range len(value) * 8 {
			v := bytes.Clone(value)
			v[i/8] ^= 1 << (i % 8)
			if _, err := must(NewKey(etype, v)).Open(UsageAPRepEncPart, sealed); !errors.Is(err, ErrIntegrity) {
				t.Fatalf("key with bit %d flipped: %v", i, err)
			}
		}
		for _, e := range append([]int32{0, 1, 16, -etype}, allEtypes...) {
			_, err := key.OpenData(UsageAPRepEncPart, EncryptedData{Etype: e, Cipher: sealed})
			if e == etype && err != nil || e != etype && !errors.Is(err, ErrEtype) {
				t.Errorf("etype %d: %v", e, err)
			}
			// The same bytes under a key of the other type.
			if e != etype && Supported(e) {
				if _, err := testKey(e).Open(UsageAPRepEncPart, sealed); err == nil {
					t.Errorf("opened with a key of etype %d", e)
				}
			}
		}
	})
}

func TestVerifyChecksumRefuses(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		data := pattern(60)
		sum := must(key.Checksum(6, data))
		if len(sum) != key.MACSize() {
			t.Errorf("%d bytes, want %d", len(sum), key.MACSize())
		}
		bad := map[string][]byte{"nil": nil, "empty": {}, "cut": sum[:len(sum)-1], "longer": append(bytes.Clone(sum), 0)}
		for i := range len(sum) * 8 {
			b := bytes.Clone(sum)
			b[i/8] ^= 1 << (i % 8)
			if err := key.VerifyChecksum(6, b, data); !errors.Is(err, ErrIntegrity) {
				t.Fatalf("bit %d: %v", i, err)
			}
		}
		for name, b := range bad {
			if err := key.VerifyChecksum(6, b, data); !errors.Is(err, ErrIntegrity) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := key.VerifyChecksum(10, sum, data); !errors.Is(err, ErrIntegrity) {
			t.Errorf("another usage: %v", err)
		}
		if err := key.VerifyChecksum(6, sum, data[1:]); !errors.Is(err, ErrIntegrity) {
			t.Errorf("other data: %v", err)
		}
	})
}

func TestZeroKey(t *testing.T) {
	var k Key
	if !k.IsZero() || k.Etype() != 0 || k.Bytes() != nil || k.ChecksumType() != 0 || k.Overhead() != 0 || k.MACSize() != 0 {
		t.Error("the zero key has properties")
	}
	if _, err := k.Seal(1, nil); err == nil {
		t.Error("Seal without a key")
	}
	if _, err := k.Open(1, pattern(100)); err == nil {
		t.Error("Open without a key")
	}
	if _, err := k.OpenData(1, EncryptedData{Cipher: pattern(100)}); err == nil {
		t.Error("OpenData without a key")
	}
	if _, err := k.Checksum(1, nil); err == nil {
		t.Error("Checksum without a key")
	}
	if err := k.VerifyChecksum(1, nil, nil); err == nil {
		t.Error("VerifyChecksum without a key")
	}
	if !k.Equal(Key{}) || k.Equal(testKey(18)) || testKey(18).Equal(k) {
		t.Error("Equal")
	}
}

func TestNewKeyLengths(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		want := map[int32]int{17: 16, 18: 32, 19: 16, 20: 32, 23: 16}[etype]
		for n := range 66 {
			k, err := NewKey(etype, make([]byte, n))
			if (err == nil) != (n == want) || k.IsZero() != (err != nil) {
				t.Errorf("%d bytes: %v, %v", n, k, err)
			}
		}
		k := must(GenerateKey(etype))
		if len(k.Bytes()) != want || k.Etype() != etype || k.Equal(must(GenerateKey(etype))) {
			t.Errorf("generated %v", k)
		}
		if !Supported(etype) {
			t.Errorf("%v is not supported", k)
		}
	})
	for _, etype := range []int32{0, 1, 3, 16, 24, 25, 26, -1, 1 << 30} {
		if _, err := NewKey(etype, make([]byte, 16)); !errors.Is(err, ErrEtype) || Supported(etype) {
			t.Errorf("etype %d: %v", etype, err)
		}
		if _, err := GenerateKey(etype); !errors.Is(err, ErrEtype) {
			t.Errorf("etype %d: %v", etype, err)
		}
	}
}

func TestDefaultEtypes(t *testing.T) {
	for _, allow := range []bool{false, true} {
		list := DefaultEtypes(allow)
		seen := map[int32]bool{}
		for i, e := range list {
			if !Supported(e) || seen[e] || e == RC4HMAC && i != len(list)-1 {
				t.Errorf("%v", list)
			}
			seen[e] = true
		}
		if seen[RC4HMAC] != allow || !seen[17] || !seen[18] || !seen[19] || !seen[20] {
			t.Errorf("RC4 allowed %t: %v", allow, list)
		}
	}
}
