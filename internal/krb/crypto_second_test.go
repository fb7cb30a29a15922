package krb

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/jcmturner/gokrb5/v8/crypto"
)

// gokrb5 encodes RC4's message type as a varint, so only usages below 128 can
// be compared; all in use are.
var comparedUsages = []uint32{1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 14, 22, 23, 24, 25}

func messageLengths() []int {
	var out []int
	for n := range 81 {
		out = append(out, n)
	}
	return append(out, 127, 128, 129, 1000)
}

// rfc4757Alone reports whether gokrb5 goes by the RFC where nobody else does.
func rfc4757Alone(etype int32, usage uint32) bool {
	return etype == RC4HMAC && usage == UsageTGSRepSubkey
}

// What the RFC wants is opened all the same.
func TestRC4SubkeyOfRFC4757(t *testing.T) {
	key := testKey(RC4HMAC)
	for _, usage := range []uint32{UsageTGSRepSubkey, UsageTGSRepSessionKey} {
		_, sealed, err := must(crypto.GetEtype(RC4HMAC)).EncryptMessage(key.Bytes(), []byte("reply"), usage)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := key.Open(UsageTGSRepSubkey, sealed); err != nil || string(plain) != "reply" {
			t.Errorf("sealed with usage %d: %q, %v", usage, plain, err)
		}
	}
}

func TestSealAgainstGokrb5(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		t.Parallel()
		key := testKey(etype)
		theirs := must(crypto.GetEtype(etype))
		for _, usage := range comparedUsages {
			for _, n := range messageLengths() {
				plain := pattern(n)
				sealed, err := key.Seal(usage, plain)
				if err != nil {
					t.Fatalf("usage %d, %d bytes: %v", usage, n, err)
				}
				if len(sealed) != n+key.Overhead() {
					t.Fatalf("usage %d: %d bytes became %d, want %d more", usage, n, len(sealed), key.Overhead())
				}
				if rfc4757Alone(etype, usage) {
					// gokrb5 cannot open what Windows, MIT and Heimdal seal.
					continue
				}
				opened, err := theirs.DecryptMessage(key.Bytes(), sealed, usage)
				if err != nil || !bytes.Equal(opened, plain) {
					t.Fatalf("usage %d, %d bytes: gokrb5 opens ours to %x, %v", usage, n, opened, err)
				}
				_, sealed, err = theirs.EncryptMessage(key.Bytes(), plain, usage)
				if err != nil {
					t.Fatal(err)
				}
				opened, err = key.Open(usage, sealed)
				if err != nil || !bytes.Equal(opened, plain) {
					t.Fatalf("usage %d, %d bytes: we open gokrb5's to %x, %v", usage, n, opened, err)
				}
			}
		}
	})
}

func TestChecksumAgainstGokrb5(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		t.Parallel()
		key := testKey(etype)
		theirs := must(crypto.GetEtype(etype))
		if got, want := key.ChecksumType(), theirs.GetHashID(); got != want {
			t.Errorf("checksum type %d, want %d", got, want)
		}
		for _, usage := range comparedUsages {
			if rfc4757Alone(etype, usage) {
				continue
			}
			for _, n := range messageLengths() {
				data := pattern(n)
				want := must(theirs.GetChecksumHash(key.Bytes(), data, usage))
				got, err := key.Checksum(usage, data)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("usage %d, %d bytes: %x, %v; want %x", usage, n, got, err, want)
				}
				parts := must(key.Checksum(usage, data[:n/3], nil, data[n/3:]))
				if !bytes.Equal(parts, want) {
					t.Fatalf("usage %d, %d bytes in parts: %x, want %x", usage, n, parts, want)
				}
				if err := key.VerifyChecksum(usage, want, data); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// A password makes the same key in both, where gokrb5 is right.
func TestStringToKeyAgainstGokrb5(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		theirs := must(crypto.GetEtype(etype))
		for _, password := range []string{"", "a", "correct horse battery staple"} {
			want, err := theirs.StringToKey(password, alice.Salt(), theirs.GetDefaultStringToKeyParams())
			if err != nil {
				t.Fatal(err)
			}
			sameBytes(t, password, must(StringToKey(etype, password, alice.Salt(), nil)).Bytes(), want)
		}
	})
}

// Usages beyond the table of prepared keys work as well.
func TestLargeUsages(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		for _, usage := range []uint32{0, 56, 63, 64, 127, 1024, 1<<32 - 1} {
			plain := pattern(33)
			opened, err := key.Open(usage, must(key.Seal(usage, plain)))
			if err != nil || !bytes.Equal(opened, plain) {
				t.Errorf("usage %d: %x, %v", usage, opened, err)
			}
			if err := key.VerifyChecksum(usage, must(key.Checksum(usage, plain)), plain); err != nil {
				t.Errorf("usage %d: %v", usage, err)
			}
			if usage < 128 {
				theirs := must(crypto.GetEtype(etype))
				sameBytes(t, fmt.Sprint("checksum for usage ", usage), must(key.Checksum(usage, plain)), must(theirs.GetChecksumHash(key.Bytes(), plain, usage)))
			}
		}
	})
}

func TestAppendSeal(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		for name, dst := range map[string][]byte{
			"nil":      nil,
			"no room":  []byte("head"),
			"old room": append(make([]byte, 0, 500), "head"...),
		} {
			if room := dst[len(dst):cap(dst)]; cap(dst) > 100 {
				for i := range room {
					room[i] = 0xaa // leftovers that must not show
				}
			}
			want := string(dst)
			out, err := key.AppendSeal(dst, 7, pattern(21))
			if err != nil {
				t.Fatal(err)
			}
			if string(out[:len(want)]) != want || len(out) != len(want)+21+key.Overhead() {
				t.Errorf("%s: %x", name, out)
			}
			opened, err := key.Open(7, out[len(want):])
			if err != nil || !bytes.Equal(opened, pattern(21)) {
				t.Errorf("%s: %x, %v", name, opened, err)
			}
		}
	})
}

// Two seals of one message differ: the confounder is fresh.
func TestSealIsRandom(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		seen := map[string]bool{}
		for range 100 {
			seen[string(must(key.Seal(11, []byte("same"))))] = true
		}
		if len(seen) != 100 {
			t.Errorf("%d distinct of 100", len(seen))
		}
	})
}

func TestInputsAreLeftAlone(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		plain := pattern(40)
		sealed := must(key.Seal(11, plain))
		sameBytes(t, "plain after Seal", plain, pattern(40))
		before := bytes.Clone(sealed)
		opened := must(key.Open(11, sealed))
		sameBytes(t, "sealed after Open", sealed, before)
		clear(opened)
		sameBytes(t, "sealed after its result was cleared", sealed, before)
		value := key.Bytes()
		clear(value)
		if !key.Equal(testKey(etype)) {
			t.Error("Bytes gives out the key's own memory")
		}
		value = testKey(etype).Bytes()
		k := must(NewKey(etype, value))
		clear(value)
		if !k.Equal(testKey(etype)) {
			t.Error("NewKey keeps the caller's memory")
		}
	})
}

func TestKeyParallelUse(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype) // nothing derived yet
		sum := must(testKey(etype).Checksum(10, pattern(64)))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range 50 {
					usage := comparedUsages[i%len(comparedUsages)]
					sealed, err := key.Seal(usage, pattern(i))
					if err != nil {
						t.Error(err)
						return
					}
					if opened, err := key.Open(usage, sealed); err != nil || !bytes.Equal(opened, pattern(i)) {
						t.Errorf("usage %d: %x, %v", usage, opened, err)
					}
					if got, err := key.Checksum(10, pattern(64)); err != nil || !bytes.Equal(got, sum) {
						t.Errorf("checksum %x, %v; want %x", got, err, sum)
					}
				}
			})
		}
		wg.Wait()
	})
}
