package kdcclient

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/alloctest"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// Which of two versions is the newer one, as MIT's more_recent has it.
func TestNewerVersion(t *testing.T) {
	at := func(kvno uint32, sec int64) KeyEntry { return KeyEntry{Kvno: kvno, Time: time.Unix(sec, 0)} }
	for _, tc := range []struct {
		a, b KeyEntry
		want bool
	}{
		{at(2, 5), at(1, 5), true}, {at(1, 5), at(2, 5), false}, {at(2, 1), at(1, 9), true}, {at(3, 5), at(3, 5), false}, {at(3, 6), at(3, 5), false},
		// Below 128 after above 240, and as new: it began anew.
		{at(1, 5), at(255, 5), true}, {at(255, 5), at(1, 5), false},
		{at(1, 6), at(255, 5), true}, {at(255, 5), at(1, 6), false},
		{at(127, 5), at(241, 5), true}, {at(241, 5), at(127, 5), false},
		// Older, or not beyond the bounds: it did not.
		{at(1, 4), at(255, 5), false}, {at(255, 5), at(1, 4), true},
		{at(128, 6), at(241, 5), false}, {at(241, 5), at(128, 6), true},
		{at(127, 6), at(240, 5), false}, {at(240, 5), at(127, 6), true},
		// In more than eight bits too.
		{at(1, 6), at(70000, 5), true}, {at(70000, 5), at(1, 6), false},
	} {
		if got := tc.a.newer(tc.b); got != tc.want {
			t.Errorf("version %d of %d newer than %d of %d: %v", tc.a.Kvno, tc.a.Time.Unix(), tc.b.Kvno, tc.b.Time.Unix(), got)
		}
	}
}

func TestKeyTableOrder(t *testing.T) {
	entry := func(etype int32, kvno uint32, sec int64) KeyEntry {
		k, err := krb.GenerateKey(etype)
		if err != nil {
			t.Fatal(err)
		}
		return KeyEntry{k, kvno, time.Unix(sec, 0)}
	}
	a, b, c, d := entry(18, 1, 1), entry(17, 2, 2), entry(19, 2, 2), entry(18, 2, 2)
	for name, tc := range map[string]struct {
		keys        []KeyEntry
		first, rest []int32
		best        KeyEntry // of type 18
	}{
		"all in the newest":  {[]KeyEntry{a, b, c, d}, []int32{17, 19, 18}, nil, d},
		"18 is older":        {[]KeyEntry{a, b, c}, []int32{17, 19}, []int32{18}, a},
		"the order is other": {[]KeyEntry{c, a}, []int32{19}, []int32{18}, a},
		"equals":             {[]KeyEntry{d, entry(18, 2, 9)}, []int32{18}, nil, d}, // the first counts
		"none":               {nil, nil, nil, KeyEntry{}},
	} {
		keys := KeyTable(tc.keys)
		types, first := keys.Etypes()
		if types == nil || !slices.Equal(types[:first], tc.first) || !slices.Equal(types[first:], tc.rest) {
			t.Errorf("%s: %v, the first %d", name, types, first)
		}
		got, err := keys.Key(t.Context(), krb.EtypeInfo{Etype: 18}, 0)
		if (err == nil) == tc.best.Key.IsZero() || err == nil && (!got.Key.Equal(tc.best.Key) || got.Kvno != tc.best.Kvno) {
			t.Errorf("%s: version %d, %v", name, got.Kvno, err)
		}
	}
	if got, err := KeyTable([]KeyEntry{a, d}).Key(t.Context(), krb.EtypeInfo{Etype: 18}, 1); err != nil || !got.Key.Equal(a.Key) {
		t.Errorf("the version that the KDC used: %d, %v", got.Kvno, err)
	}
	if got, want := b.named(), "the key of version 2 and type aes128-cts-hmac-sha1-96"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	b.Kvno = 0
	if got, want := b.named(), "the key of type aes128-cts-hmac-sha1-96"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Whatever a KDC says of the client's keys, and in whatever order, the key is the one
// that the type's derivation makes of password, salt and parameters; and the one made
// last is not derived again.
func TestPasswordKeys(t *testing.T) {
	params := []byte{0, 0, 0x10, 0}
	infos := []krb.EtypeInfo{
		{Etype: 18}, {Etype: 18, HasSalt: true}, {Etype: 18, Salt: "S", HasSalt: true}, {Etype: 18, Salt: "S", HasSalt: true, Params: params},
		{Etype: 18, Salt: "S", HasSalt: true, Params: []byte{0, 0, 0x10, 1}}, {Etype: 17, Salt: "S", HasSalt: true}, {Etype: 17, Salt: "T", HasSalt: true}, {Etype: 23},
	}
	var want []krb.Key
	for _, info := range infos {
		salt := info.Salt
		if !info.HasSalt {
			salt = "A.TESTalice"
		}
		key, err := krb.StringToKey(info.Etype, "pw", salt, info.Params)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, key)
	}
	keys := Password(alice, "pw")
	for first := range infos {
		for second := range infos {
			for _, i := range []int{first, second, second, first} {
				got, err := keys.Key(t.Context(), infos[i], 7)
				if err != nil || !bytes.Equal(got.Key.Bytes(), want[i].Bytes()) || got.Key.Etype() != infos[i].Etype || got.Kvno != 0 {
					t.Fatalf("%+v after %+v: %v, %v", infos[i], infos[first], got, err)
				}
			}
		}
	}
	// Parameters may be part of a message that is overwritten.
	mine := bytes.Clone(params)
	if _, err := keys.Key(t.Context(), krb.EtypeInfo{Etype: 18, Params: mine}, 0); err != nil {
		t.Fatal(err)
	}
	mine[3] = 1
	other, err := krb.StringToKey(18, "pw", "A.TESTalice", mine)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := keys.Key(t.Context(), krb.EtypeInfo{Etype: 18, Params: mine}, 0); err != nil || !bytes.Equal(got.Key.Bytes(), other.Bytes()) {
		t.Errorf("a key of parameters that were overwritten: %v", err)
	}
	if n := alloctest.Allocations(10, 10, func() {
		if _, err := keys.Key(t.Context(), krb.EtypeInfo{Etype: 18, Params: mine}, 0); err != nil {
			t.Error(err)
		}
	}); n > 10 {
		t.Errorf("%v allocations for the key that is there", n)
	}
	if _, err := keys.Key(t.Context(), krb.EtypeInfo{Etype: 18, Salt: "x", HasSalt: true, Params: []byte{1}}, 0); err == nil {
		t.Error("parameters of one byte")
	}
	if got, err := keys.Key(t.Context(), krb.EtypeInfo{Etype: 18, Params: mine}, 0); err != nil || got.Key.IsZero() {
		t.Errorf("after one that failed: %v", err)
	}
}
