package keytab

import (
	"errors"
	"testing"

	second "github.com/jcmturner/gokrb5/v8/keytab"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// FuzzEntries reads anything, and where that is a keytab without faults, compares
// with gokrb5, whose reader is laxer: what it makes of damage does not count.
func FuzzEntries(f *testing.F) {
	for _, version := range []byte{1, 2} {
		m := newMaker(version)
		f.Add(m.b)
		f.Add(m.add(m.alice(7)).b)
		f.Add(m.hole(3, []byte("xxx")).add(m.alice(1, m.order.AppendUint32(nil, 300)...)).b)
		f.Add(m.b[:len(m.b)-3])
		f.Add(append(m.b, 0, 0, 0, 0))
	}
	f.Add([]byte("no keytab"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := rows(b)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTorn) {
				t.Fatalf("of no kind: %v", err)
			}
			return
		}
		if len(got) > len(b)/20 {
			t.Fatalf("%d entries in %d bytes", len(got), len(b))
		}
		theirs := new(second.Keytab)
		if !survives(func() error { return theirs.Unmarshal(b) }) {
			return
		}
		if len(theirs.Entries) < len(got) {
			t.Fatalf("we read %d entries, gokrb5 %d", len(got), len(theirs.Entries))
		}
		for i, r := range got {
			e := theirs.Entries[i]
			p := krb.NewPrincipal(e.Principal.Realm, e.Principal.Components...)
			if r.Name != p.String() || r.Key != string(e.Key.KeyValue) || r.Etype != e.Key.KeyType {
				t.Fatalf("entry %d: %+v, gokrb5 has %s, type %d", i, r, p, e.Key.KeyType)
			}
		}
	})
}

// survives reports whether call returns without an error or a panic.
func survives(call func() error) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return call() == nil
}
