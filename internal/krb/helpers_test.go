package krb

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"
)

var allEtypes = []int32{AES128SHA1, AES256SHA1, AES128SHA256, AES256SHA384, RC4HMAC}

// forEtypes runs one subtest per encryption type.
func forEtypes(t *testing.T, run func(t *testing.T, etype int32)) {
	for _, etype := range allEtypes {
		t.Run(EtypeName(etype), func(t *testing.T) { run(t, etype) })
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("test data: %v", err))
	}
	return v
}

func unhex(s string) []byte { return must(hex.DecodeString(s)) }

// testKey returns always the same key for an encryption type.
func testKey(etype int32) Key {
	info, ok := infoOf(etype)
	if !ok {
		panic(fmt.Sprintf("test data: etype %d", etype))
	}
	value := make([]byte, info.keyLen)
	for i := range value {
		value[i] = byte(int(etype)*7 + i*29 + 3)
	}
	return must(NewKey(etype, value))
}

// pattern returns n bytes that do not repeat soon.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*31 + i>>8)
	}
	return b
}

func theirName(p Principal) types.PrincipalName {
	return types.PrincipalName{NameType: p.Type, NameString: p.Components}
}

func theirKey(k Key) types.EncryptionKey {
	return types.EncryptionKey{KeyType: k.Etype(), KeyValue: k.Bytes()}
}

var (
	alice   = Principal{NTPrincipal, []string{"alice"}, "EXAMPLE.TEST"}
	webHost = Principal{NTSrvHst, []string{"HTTP", "www.example.test"}, "EXAMPLE.TEST"}
	krbtgt  = Principal{NTSrvInst, []string{"krbtgt", "EXAMPLE.TEST"}, "EXAMPLE.TEST"}
	someDay = time.Date(2026, 11, 23, 21, 23, 9, 0, time.UTC)
)

// notPanicking reports a panic of f as a failure naming its input.
func notPanicking(t *testing.T, input []byte, f func()) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("panic on %x: %v", input, r)
		}
	}()
	f()
}

func sameBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s\n got %x\nwant %x", what, got, want)
	}
}
