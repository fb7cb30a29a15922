package krb

import (
	"encoding/hex"
	"errors"
	"testing"
)

// The vectors are those of RFC 6113 appendix A, and of MIT krb5 for the types that
// came later.
func TestCombine(t *testing.T) {
	for etype, want := range map[int32]string{
		AES128SHA1:   "97df97e4b798b29eb31ed7280287a92a",
		AES256SHA1:   "4d6ca4e629785c1f01baf55e2e548566b9617ae3a96868c337cb93b5e72b1c7b",
		AES128SHA256: "edd02a39d2dbde31611c16e610be062c",
		AES256SHA384: "67f6ea530aea85a37dcbb23349ea52dcc61ca8493ff557252327fd8304341584",
		RC4HMAC:      "24d7f6b6bae4e5c00d2082c5ebab3672",
	} {
		a, b := must(StringToKey(etype, "key1", "key1", nil)), must(StringToKey(etype, "key2", "key2", nil))
		got, err := Combine(a, b, "a", "b")
		if err != nil || hex.EncodeToString(got.Bytes()) != want {
			t.Errorf("%s: %x, %v, want %s", EtypeName(etype), got.Bytes(), err, want)
		}
		for _, pair := range [][2]Key{{a, {}}, {{}, b}, {}} {
			if got, err := Combine(pair[0], pair[1], "a", "b"); !errors.Is(err, errNoKey) || !got.IsZero() {
				t.Errorf("a key was combined with none: %v, %v", got, err)
			}
		}
	}
}

// RFC 8009 appendix A.
func TestPRF(t *testing.T) {
	for etype, v := range map[int32][2]string{
		AES128SHA256: {"3705D96080C17728A0E800EAB6E0D23C", "9d188616f63852fe86915bb840b4a886ff3e6bb0f819b49b893393d393854295"},
		AES256SHA384: {"6D404D37FAF79F9DF0D33568D320669800EB4836472EA8A026D16B7182460C52",
			"9801f69a368c2bf675e59521e177d9a07f67efe1cfde8d3c8d6f6a0256e3b17db3c1b62ad1b8553360d17367eb1514d2"},
	} {
		key := must(NewKey(etype, must(hex.DecodeString(v[0]))))
		if got := must(key.PRF([]byte("test"))); hex.EncodeToString(got) != v[1] {
			t.Errorf("%s: %x", EtypeName(etype), got)
		}
	}
	if _, err := (Key{}).PRFPlus(nil, 16); !errors.Is(err, errNoKey) {
		t.Errorf("PRF+ of no key: %v", err)
	}
	if _, err := testKey(AES128SHA1).PRFPlus(nil, 255*16+1); err == nil {
		t.Error("PRF+ counted past 255")
	}
}
