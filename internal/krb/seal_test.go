package krb

import (
	"bytes"
	"crypto/aes"
	"errors"
	"testing"
)

// What was decrypted where it lay, and is not what was sealed, is wiped.
func TestOpenWipes(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		plain := bytes.Repeat([]byte("a secret of 16 B"), 8)
		sealed := must(key.Seal(UsageAPRepEncPart, plain))
		for _, at := range []int{0, key.Overhead() / 2, len(sealed) - 1} {
			bad := bytes.Clone(sealed)
			bad[at] ^= 1
			if _, err := key.open(UsageAPRepEncPart, bad); !errors.Is(err, ErrIntegrity) {
				t.Fatalf("byte %d changed: %v", at, err)
			}
			body := bad[:len(bad)-key.MACSize()]
			if etype == RC4HMAC { // where the sum stands first
				body = bad[key.MACSize():]
			}
			if len(bytes.Trim(body, "\x00")) > 0 {
				t.Errorf("byte %d changed: %x is left", at, body)
			}
		}
	})
}

// Derived keys of the usages of RFC 4120 are kept, of others none: a peer that makes up
// usages fills no memory.
func TestUsagesKept(t *testing.T) {
	key := testKey(AES128SHA256)
	kept := func() (n int) {
		for s := key.m.sealers.Load(); s != nil; s = s.previous {
			n++
		}
		return n
	}
	for usage := range uint32(3 * maxUsage) {
		for range 2 {
			sealed := must(key.Seal(usage, pattern(20)))
			sameBytes(t, "opened", must(key.Open(usage, sealed)), pattern(20))
		}
		if want := min(int(usage)+1, maxUsage); kept() != want {
			t.Fatalf("after usage %d, %d are kept, want %d", usage, kept(), want)
		}
	}
}

// AppendSeal uses the room that there is, and leaves what stands before it.
func TestAppendSealInRoom(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		n := 3 + key.Overhead() + 20
		for more := range 2 {
			dst := append(make([]byte, 0, n-more), 1, 2, 3)
			got := must(key.AppendSeal(dst, UsageAPRepEncPart, pattern(20)))
			sameBytes(t, "before", got[:3], []byte{1, 2, 3})
			sameBytes(t, "opened", must(key.Open(UsageAPRepEncPart, got[3:])), pattern(20))
			if inPlace := &got[0] == &dst[0]; inPlace != (more == 0) {
				t.Errorf("%d bytes too few: in place %t", more, inPlace)
			}
		}
	})
}

// Two who seal at once leave what they used to those who come after them.
func TestSealerKeepsBoth(t *testing.T) {
	s := must(testKey(AES128SHA1).m.sealer(UsageAPReqAuth))
	a, b := s.get(), s.get()
	if s.more.Load() {
		t.Error("nothing was given back yet")
	}
	s.put(a)
	if s.put(b); !s.more.Load() {
		t.Error("the second is not looked for")
	}
	if got := s.get(); got != a {
		t.Error("the first was not used again")
	}
}

// The same bytes are another key under another type.
func TestKeyEqual(t *testing.T) {
	value := pattern(16)
	a, b := must(NewKey(AES128SHA1, value)), must(NewKey(AES128SHA256, value))
	if a.Equal(b) || b.Equal(a) {
		t.Error("keys of two types are equal")
	}
	if !a.Equal(must(NewKey(AES128SHA1, value))) || a.Equal(must(NewKey(AES128SHA1, pattern(17)[1:]))) {
		t.Error("keys of one type are told apart by their bytes")
	}
	if a.Equal(Key{}) || (Key{}).Equal(a) || !(Key{}).Equal(Key{}) {
		t.Error("no key is equal to none alone")
	}
}

// Two who derive at once do not share what derives.
func TestDerivingApart(t *testing.T) {
	for _, etype := range piecesEtypes {
		m := testKey(etype).m
		first := must(m.deriving())
		m.deriver.Store(first)
		a, b := must(m.deriving()), must(m.deriving())
		if a != first {
			t.Errorf("%s: what was given back is not used", EtypeName(etype))
		}
		if a == b {
			t.Errorf("%s: one deriver for two", EtypeName(etype))
		}
	}
}

// What is kept for the next message holds nothing of the last one.
func TestCTSKeepsNoPlaintext(t *testing.T) {
	c := cts{block: must(aes.NewCipher(pattern(16)))}
	for n := 16; n < 64; n++ {
		b := pattern(n)
		c.encrypt(b)
		if c.decrypt(b); !bytes.Equal(b, pattern(n)) {
			t.Fatalf("%d bytes: %x", n, b)
		}
		if c.last != zeroBlock {
			t.Errorf("%d bytes: %x is left", n, c.last)
		}
	}
}
