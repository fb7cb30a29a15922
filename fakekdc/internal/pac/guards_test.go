package pac

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// TestHeader: of a PAC that is read, each field of its header that is wrong, and every byte
// that is missing, makes it none.
func TestHeader(t *testing.T) {
	le := binary.LittleEndian
	good, _ := Marshal([]Buffer{{KindLogonInfo, []byte("logon it")}, {KindClientInfo, []byte("a client")}})
	if list, err := Parse(good); err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	for n := range len(good) {
		if list, err := Parse(good[:n]); err == nil {
			t.Errorf("%d bytes: %v", n, list)
		}
	}
	for name, change := range map[string]func(b []byte){
		"more buffers than there are": func(b []byte) { le.PutUint32(b, 1<<31) },
		"version":                     func(b []byte) { b[4] = 1 },
		"kind twice":                  func(b []byte) { copy(b[24:28], b[8:12]) },
		"size":                        func(b []byte) { le.PutUint32(b[28:], 9) },
		"size, most":                  func(b []byte) { le.PutUint32(b[28:], 1<<32-1) },
		"within the header":           func(b []byte) { le.PutUint64(b[32:], 39) },
		"behind the end":              func(b []byte) { le.PutUint64(b[32:], uint64(len(b)+1)) },
		"far behind":                  func(b []byte) { le.PutUint64(b[32:], 1<<64-1) },
	} {
		b := slices.Clone(good)
		change(b)
		if list, err := Parse(b); err == nil {
			t.Errorf("%s: %v", name, list)
		}
	}
	var many []Buffer
	for i := range uint32(MaxBuffers + 1) {
		many = append(many, Buffer{Kind: 100 + i})
	}
	for n, want := range map[int]bool{MaxBuffers: true, MaxBuffers + 1: false} {
		b, _ := Marshal(many[:n])
		if list, err := Parse(b); (err == nil) != want {
			t.Errorf("%d buffers: %d, %v", n, len(list), err)
		}
	}
}

// TestClientNameLength: the length of a name is that of what follows it, in whole units.
func TestClientNameLength(t *testing.T) {
	good := ClientInfo("alice", time.Unix(1, 0))
	if name, err := ClientName(good); err != nil || name != "alice" {
		t.Fatal(name, err)
	}
	bad := map[string][]byte{"one more": append(slices.Clone(good), 0, 0), "odd": append(slices.Clone(good), 0)}
	binary.LittleEndian.PutUint16(bad["odd"][8:], 11)
	for n := range good {
		bad[string(rune('A'+n))] = good[:n]
	}
	for what, b := range bad {
		if name, err := ClientName(b); err == nil {
			t.Errorf("%s: %q", what, name)
		}
	}
}

// TestDelegationHeader: what an S4U_DELEGATION_INFO says of itself is so, or it is none.
func TestDelegationHeader(t *testing.T) {
	good := (&Delegation{Target: "HTTP/x", Via: []string{"y"}}).Marshal()
	const first, target, count, list = 16, 20, 28, 32 // offsets of fields
	text := list + 4                                  // what target points to
	for name, change := range map[string]func(b []byte){
		"version":                func(b []byte) { b[0] = 2 },
		"big-endian":             func(b []byte) { b[1] = 0 },
		"points to nothing":      func(b []byte) { clear(b[first : first+4]) },
		"services, and no list":  func(b []byte) { clear(b[list : list+4]) },
		"more services":          func(b []byte) { b[count] = 2 },
		"fewer services":         func(b []byte) { b[count] = 0 },
		"too many services":      func(b []byte) { b[count] = MaxVia + 1 },
		"a text that begins far": func(b []byte) { b[text+4] = 1 },
		"a text of another size": func(b []byte) { b[text+8]++ },
		"a longer text":          func(b []byte) { b[target] += 2 },
		"a text of most units":   func(b []byte) { b[target], b[target+1] = 0xfe, 0xff },
	} {
		b := slices.Clone(good)
		change(b)
		if d, err := ParseDelegation(b); err == nil {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// TestDelegationWithoutList: services that nothing points to are none.
func TestDelegationWithoutList(t *testing.T) {
	good := (&Delegation{Target: "HTTP/x", Via: []string{"y"}}).Marshal()
	b := slices.Concat(good[:60], good[64:]) // without the number of those that are pointed to
	clear(b[32:36])
	if d, err := ParseDelegation(b); err == nil {
		t.Errorf("%+v", d)
	}
}

// TestDelegatedTooOften: a ticket goes through so many services, and no more.
func TestDelegatedTooOften(t *testing.T) {
	var list []Buffer
	var err error
	by := krb.NewPrincipal("R", "HTTP", "a")
	for range MaxVia {
		if list, err = Delegate(list, by, by); err != nil {
			t.Fatal(err)
		}
	}
	if list, err = Delegate(list, by, by); err == nil {
		t.Errorf("%d buffers", len(list))
	}
}

// TestSumGuards: a signature that is missing, short, or of another type than the key's counts as
// one that is wrong.
func TestSumGuards(t *testing.T) {
	key, err := krb.GenerateKey(krb.AES256SHA1)
	if err != nil {
		t.Fatal(err)
	}
	ticket := []byte("a ticket with an empty PAC")
	raw, err := Sign(nil, ticket, key, key)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(sum, data []byte) bool { return VerifySum(sum, key, data) }
	signed := func(list []Buffer) bool {
		return Signed(raw, list, key, verify, func() ([]byte, error) { return ticket, nil })
	}
	if !signed(whole) {
		t.Fatal("as it was signed")
	}
	for i, b := range whole {
		if signed(slices.Delete(slices.Clone(whole), i, i+1)) {
			t.Errorf("without kind %d", b.Kind)
		}
		for n := range 5 {
			short := slices.Clone(whole)
			short[i].Data = b.Data[:n]
			if signed(short) {
				t.Errorf("%d bytes of kind %d", n, b.Kind)
			}
		}
	}
	data := []byte("data")
	sum := emptySum(KindServerSum, key).Data
	made, err := key.Checksum(krb.UsageNonKerberosChecksum, data)
	if err != nil {
		t.Fatal(err)
	}
	copy(sum[4:], made)
	if !verify(sum, data) {
		t.Error("a signature")
	}
	if sum[0] ^= 1; verify(sum, data) {
		t.Error("of another type")
	}
	// A PAC whose signatures are no longer than their type is read without a panic.
	bare, _ := Marshal([]Buffer{{KindServerSum, nil}, {KindKDCSum, []byte{1}}, {KindFullSum, []byte{1, 2}}})
	list, err := Parse(bare)
	if err != nil || Signed(bare, list, key, verify, nil) {
		t.Error(err)
	}
}
