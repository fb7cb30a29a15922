package spake

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
)

type vector struct {
	Etype, Group                    int32
	Ikey, W, X, Y, T, S, K          hexBytes
	Support, Challenge, Thash, Body hexBytes
	K0, K1, K2, K3                  hexBytes
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func vectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/rfc9588.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(b, &file); err != nil || len(file.Vectors) != 5 {
		t.Fatal(len(file.Vectors), err)
	}
	return file.Vectors
}

// scalar turns a private scalar of the RFC into ours: edwards25519 keeps an eighth.
func scalar(group int32, rfc []byte) []byte {
	if group != krb.SPAKEEdwards25519 {
		return rfc
	}
	b := slices.Clone(rfc)
	slices.Reverse(b)
	x := new(big.Int).SetBytes(b)
	out := x.Rsh(x, 3).FillBytes(make([]byte, 32))
	slices.Reverse(out)
	return out
}

// Both sides of each exchange of RFC 9588 appendix B. There the KDC's scalar is x, the
// client's y.
func TestVectors(t *testing.T) {
	for i, v := range vectors(t) {
		t.Run(fmt.Sprintf("%d %s", i, Name(v.Group)), func(t *testing.T) {
			key, err := krb.NewKey(v.Etype, v.Ikey)
			if err != nil {
				t.Fatal(err)
			}
			kdc, err := ResumeKDC(v.Group, key, scalar(v.Group, v.X))
			if err != nil {
				t.Fatal(err)
			}
			client, err := begin(v.Group, key, false, scalar(v.Group, v.Y))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(kdc.secrets.w, v.W) || !bytes.Equal(kdc.Public, v.T) || !bytes.Equal(client.Public, v.S) {
				t.Fatalf("w %x T %x S %x", kdc.secrets.w, kdc.Public, client.Public)
			}
			m, err := krb.ParseSPAKE(v.Challenge)
			if err != nil || m.Challenge.Group != v.Group || !bytes.Equal(m.Challenge.Public, v.T) || m.Challenge.Factors[0].Type != krb.SPAKEFactorNone {
				t.Fatal(m, err)
			}
			if err := client.Meet(v.T); err != nil {
				t.Fatal(err)
			}
			if err := kdc.Meet(v.S); err != nil {
				t.Fatal(err)
			}
			for _, p := range []*Party{kdc, client} {
				if !bytes.Equal(p.secrets.shared, v.K) {
					t.Errorf("K %x", p.secrets.shared)
				}
				hash := p.Transcript(p.Transcript(nil, v.Support, v.Challenge), v.S)
				if !bytes.Equal(hash, v.Thash) {
					t.Errorf("transcript %x", hash)
				}
				for n, want := range [][]byte{v.K0, v.K1, v.K2, v.K3} {
					got, err := p.Key(uint32(n), hash, v.Body)
					if err != nil || !bytes.Equal(got.Bytes(), want) {
						t.Errorf("K'[%d] %x, %v", n, got.Bytes(), err)
					}
				}
			}
		})
	}
}

// Fresh sides of the same key agree, and those of two keys do not.
func TestExchange(t *testing.T) {
	for _, group := range Groups([]string{"edwards25519", "P-256"}) {
		for _, same := range []bool{true, false} {
			key, err := krb.GenerateKey(krb.AES256SHA384)
			if err != nil {
				t.Fatal(err)
			}
			other := key
			if !same {
				if other, err = krb.GenerateKey(krb.AES256SHA384); err != nil {
					t.Fatal(err)
				}
			}
			client, err := NewClient(group, key)
			if err != nil {
				t.Fatal(err)
			}
			begun, err := NewKDC(group, other)
			if err != nil {
				t.Fatal(err)
			}
			kdc, err := ResumeKDC(group, other, begun.Private())
			if err != nil || !bytes.Equal(kdc.Public, begun.Public) {
				t.Fatal(err)
			}
			if _, err := kdc.Key(0, nil, nil); err == nil {
				t.Error("a key without the other side's share")
			}
			if err := kdc.Meet(client.Public); err != nil {
				t.Fatal(err)
			}
			if err := client.Meet(kdc.Public); err != nil {
				t.Fatal(err)
			}
			a, errA := client.Key(0, nil, []byte("body"))
			b, errB := kdc.Key(0, nil, []byte("body"))
			if errA != nil || errB != nil || a.Equal(b) != same {
				t.Errorf("%s, same %v: %v %v", Name(group), same, errA, errB)
			}
		}
	}
}

// What is no element is refused, and so is what would leave no secret.
func TestBadElements(t *testing.T) {
	key, err := krb.GenerateKey(krb.AES128SHA1)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		group   int32
		element []byte
	}{
		"edwards25519, nothing":          {1, nil},
		"edwards25519, a byte too few":   {1, make([]byte, 31)},
		"edwards25519, not on the curve": {1, append([]byte{2}, make([]byte, 31)...)},
		"P-256, nothing":                 {2, nil},
		"P-256, infinity":                {2, []byte{0}},
		"P-256, not on the curve":        {2, append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...)},
		"P-256, not compressed":          {2, append([]byte{4}, make([]byte, 64)...)},
		"P-256, of the other group":      {2, make([]byte, 32)},
	} {
		p, err := NewClient(tc.group, key)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Meet(tc.element); err != ErrElement {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := NewClient(krb.SPAKEP256, key)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := p256{}.times(p.secrets.w, p.d.m)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Meet(alone.BytesCompressed()); err != ErrElement {
		t.Errorf("a share that is the mask alone: %v", err)
	}
	if _, err := NewClient(3, key); err == nil {
		t.Error("P-384 is not ours")
	}
}

func TestNothingPrinted(t *testing.T) {
	v := vectors(t)[0]
	key, err := krb.NewKey(v.Etype, v.Ikey)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ResumeKDC(v.Group, key, scalar(v.Group, v.X))
	if err != nil {
		t.Fatal(err)
	}
	type holder struct{ P, p *Party }
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s"} {
		for _, s := range []string{fmt.Sprintf(verb, p), fmt.Sprintf(verb, holder{p, p})} {
			if strings.Contains(s, hex.EncodeToString(p.secrets.w)) || strings.Contains(s, hex.EncodeToString(p.secrets.x)) || strings.Contains(s, fmt.Sprint(p.secrets.w[0], p.secrets.w[1])) {
				t.Errorf("%s prints %s", verb, s)
			}
		}
	}
}

func TestGroups(t *testing.T) {
	if got := Groups([]string{"P-521", "P-256", "edwards25519", "P-256"}); !slices.Equal(got, []int32{2, 1}) {
		t.Error(got)
	}
	if Name(1) != "edwards25519" || Name(3) != "group 3" {
		t.Error(Name(1), Name(3))
	}
}

// FuzzMeet has shares of all kinds met in both groups.
func FuzzMeet(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Group, []byte(v.T))
	}
	key, err := krb.GenerateKey(krb.AES128SHA1)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, group int32, element []byte) {
		p, err := NewClient(group, key)
		if err != nil {
			return
		}
		if p.Meet(element) == nil && len(p.secrets.shared) != len(p.Public) {
			t.Errorf("shared secret of %d bytes", len(p.secrets.shared))
		}
	})
}
