package keytab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	second "github.com/jcmturner/gokrb5/v8/keytab"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// row is what a test compares of an entry.
type row struct {
	Name  string
	Type  int32
	Time  int64
	Kvno  uint32
	Etype int32
	Key   string
}

func rows(b []byte) (out []row, err error) {
	for e, stop := range Entries(b) {
		if stop != nil {
			return out, stop
		}
		out = append(out, row{e.Principal.String(), e.Principal.Type, e.Time.Unix(), e.Kvno, e.Etype, string(e.key.Reveal())})
	}
	return out, nil
}

// A maker writes keytabs of either format, whole or broken.
type maker struct {
	order   binary.AppendByteOrder
	version byte
	b       []byte
}

func newMaker(version byte) *maker {
	m := &maker{order: binary.BigEndian, version: version, b: []byte{5, version}}
	if version == 1 {
		m.order = binary.NativeEndian
	}
	return m
}

func (m *maker) counted(b []byte, s string) []byte {
	return append(m.order.AppendUint16(b, uint16(len(s))), s...)
}

// entry returns a record without its size.
func (m *maker) entry(realm string, components []string, at uint32, kvno8 byte, etype int16, key string, after ...byte) []byte {
	n := len(components)
	if m.version == 1 {
		n++
	}
	b := m.order.AppendUint16(nil, uint16(n))
	b = m.counted(b, realm)
	for _, c := range components {
		b = m.counted(b, c)
	}
	if m.version == 2 {
		b = m.order.AppendUint32(b, 1)
	}
	b = m.order.AppendUint32(b, at)
	b = append(b, kvno8)
	b = m.order.AppendUint16(b, uint16(etype))
	b = m.counted(b, key)
	return append(b, after...)
}

func (m *maker) add(record []byte) *maker {
	m.b = append(m.order.AppendUint32(m.b, uint32(len(record))), record...)
	return m
}

func (m *maker) hole(size int32, content []byte) *maker {
	m.b = append(m.order.AppendUint32(m.b, uint32(-size)), content...)
	return m
}

func (m *maker) alice(kvno8 byte, after ...byte) []byte {
	return m.entry("R.TEST", []string{"alice"}, 1700000000, kvno8, 17, "0123456789abcdef", after...)
}

func TestEntries(t *testing.T) {
	for _, version := range []byte{1, 2} {
		kind := int32(1)
		if version == 1 {
			kind = krb.NTPrincipal
		}
		alice := func(kvno uint32) row { return row{"alice@R.TEST", kind, 1700000000, kvno, 17, "0123456789abcdef"} }
		m := func() *maker { return newMaker(version) }
		u32 := func(n uint32) []byte { return newMaker(version).order.AppendUint32(nil, n) }
		for name, tc := range map[string]struct {
			b    []byte
			want []row
			err  error
		}{
			"nothing in it":            {m().b, nil, nil},
			"8 bits of version":        {m().add(m().alice(7)).b, []row{alice(7)}, nil},
			"32 bits of version":       {m().add(m().alice(1, u32(257)...)).b, []row{alice(257)}, nil},
			"32 bits that are padding": {m().add(m().alice(7, u32(0)...)).b, []row{alice(7)}, nil},
			"padding of 3 bytes":       {m().add(m().alice(7, 1, 2, 3)).b, []row{alice(7)}, nil},
			"more behind the version":  {m().add(m().alice(1, append(u32(300), 9, 9, 9)...)).b, []row{alice(300)}, nil},
			"hole first":               {m().hole(8, make([]byte, 8)).add(m().alice(7)).b, []row{alice(7)}, nil},
			"hole between":             {m().add(m().alice(7)).hole(5, []byte("xxxxx")).add(m().alice(8)).b, []row{alice(7), alice(8)}, nil},
			"hole past the end":        {m().add(m().alice(7)).hole(100, []byte("x")).b, []row{alice(7)}, nil},
			"the end is marked":        {append(m().add(m().alice(7)).b, append(u32(0), m().add(m().alice(8)).b[2:]...)...), []row{alice(7)}, nil},
			"3 bytes of a size":        {append(m().add(m().alice(7)).b, 0, 0, 0), []row{alice(7)}, nil},
			"hole of no size":          {append(m().add(m().alice(7)).b, u32(1<<31)...), []row{alice(7)}, ErrTorn},
			"no components":            {m().add(m().alice(7)).add(m().entry("R.TEST", nil, 0, 1, 17, "k")).b, []row{alice(7)}, ErrTorn},
			"too many components":      {m().add(m().entry("R", strings.Split(strings.Repeat("c", 65), ""), 0, 1, 17, "k")).b, nil, ErrTorn},
			"no realm":                 {m().add(m().entry("", []string{"a"}, 0, 1, 17, "k")).b, nil, ErrTorn},
			"empty component":          {m().add(m().entry("R", []string{"a", ""}, 0, 1, 17, "k")).b, nil, ErrTorn},
			"no key":                   {m().add(m().entry("R", []string{"a"}, 0, 1, 17, "")).b, nil, ErrTorn},
			"size too small":           {append(m().b, append(u32(20), m().alice(7)...)...), nil, ErrTorn},
			"two components": {
				m().add(m().entry("R.TEST", []string{"HTTP", "a/b"}, 1<<31, 3, -1, "k")).b,
				[]row{{`HTTP/a\/b@R.TEST`, map[byte]int32{1: krb.NTSrvHst, 2: 1}[version], 1 << 31, 3, -1, "k"}}, nil,
			},
			"most components": {
				m().add(m().entry("R", strings.Split(strings.Repeat("c", 64), ""), 1, 1, 17, "k")).b,
				[]row{{strings.Repeat("/c", 64)[1:] + "@R", kind, 1, 1, 17, "k"}}, nil,
			},
		} {
			t.Run(fmt.Sprintf("format %d, %s", version, name), func(t *testing.T) {
				got, err := rows(tc.b)
				if d := cmp.Diff(tc.want, got); d != "" || !errors.Is(err, tc.err) || err != nil && tc.err == nil {
					t.Errorf("error %v, -want +got:\n%s", err, d)
				}
			})
		}
	}
}

// A name may have 32767 bytes, as MIT reads it; and what is missing is named.
func TestLongestName(t *testing.T) {
	for n, want := range map[int]error{1<<15 - 1: nil, 1 << 15: ErrTorn} {
		m := newMaker(2)
		m.add(m.entry("R", []string{strings.Repeat("a", n)}, 1, 1, 17, "k"))
		if got, err := rows(m.b); !errors.Is(err, want) || (err == nil) != (len(got) == 1) {
			t.Errorf("%d bytes: %d entries, %v", n, len(got), err)
		}
	}
	m := newMaker(2)
	for size, want := range map[int]string{1: "the number of components", 3: "the length of the realm", 6: "the realm", 11: "the length of a component"} {
		b := append(m.order.AppendUint32([]byte{5, 2}, uint32(size)), m.alice(1)[:size]...)
		if _, err := rows(b); err == nil || !strings.HasSuffix(err.Error(), "want "+want) {
			t.Errorf("%d bytes of an entry: want %q, got %v", size, want, err)
		}
	}
}

func TestFormatIsChecked(t *testing.T) {
	for _, b := range []string{"", "\x05", "\x05\x00", "\x05\x03", "\x04\x02", "no keytab"} {
		if _, err := rows([]byte(b)); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", b, err)
		}
	}
}

// Wherever a file ends, its whole entries are there, and no half one.
func TestTornAnywhere(t *testing.T) {
	for _, version := range []byte{1, 2} {
		m := newMaker(version)
		ends := []int{2}
		for kvno := range 3 {
			m.add(m.alice(byte(kvno+1), m.order.AppendUint32(nil, uint32(kvno+1))...))
			ends = append(ends, len(m.b))
		}
		for cut := 2; cut <= len(m.b); cut++ {
			whole := 0
			for whole+1 < len(ends) && ends[whole+1] <= cut {
				whole++
			}
			got, err := rows(m.b[:cut])
			atEnd := cut-ends[whole] < 4 // not even a size
			if len(got) != whole || (err == nil) != atEnd || err != nil && !errors.Is(err, ErrTorn) {
				t.Errorf("format %d, %d bytes: %d entries, want %d; %v", version, cut, len(got), whole, err)
			}
			for i, r := range got {
				if r.Kvno != uint32(i+1) || r.Key != "0123456789abcdef" {
					t.Errorf("%d bytes: %+v", cut, r)
				}
			}
		}
	}
}

// gokrb5 reads files of both formats alike.
func TestSecondOpinion(t *testing.T) {
	m := newMaker(2)
	m.add(m.alice(7)).add(m.alice(1, 0, 0, 1, 44)).hole(12, make([]byte, 12)).
		add(m.entry("OTHER.TEST", []string{"HTTP", "www.other.test"}, 1800000000, 255, 18, strings.Repeat("k", 32), 0, 0, 0, 0)).
		add(m.entry("R.TEST", []string{"x@y"}, 1, 0, 23, strings.Repeat("r", 16)))
	files := map[string][]byte{"by hand": m.b}
	by := second.New()
	for i, name := range []string{"alice", "HTTP/www.r.test"} {
		if err := by.AddEntry(name, "R.TEST", "pw", time.Unix(1700000000+int64(i), 0), uint8(254+i), 17); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if files["by gokrb5"], err = by.Marshal(); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		var theirs second.Keytab
		if err := theirs.Unmarshal(b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var want []row
		for _, e := range theirs.Entries {
			p := krb.NewPrincipal(e.Principal.Realm, e.Principal.Components...)
			want = append(want, row{p.String(), e.Principal.NameType, e.Timestamp.Unix(), e.KVNO, e.Key.KeyType, string(e.Key.KeyValue)})
		}
		got, err := rows(b)
		if d := cmp.Diff(want, got); d != "" || err != nil || len(got) == 0 {
			t.Errorf("%s: %v, -gokrb5 +ours:\n%s", name, err, d)
		}
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	m := newMaker(2)
	for e, err := range Entries(m.add(m.alice(7)).b) {
		if err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
			for _, what := range []any{e, &e, []Entry{e}, struct{ e Entry }{e}} {
				s := fmt.Sprintf(verb, what)
				if strings.Contains(s, "0123456789abcdef") || strings.Contains(s, "30313233") || strings.Contains(s, "48 49 50") || strings.Contains(s, "0x30, 0x31") {
					t.Errorf("%s of %T: %s", verb, what, s)
				}
			}
		}
		if s := fmt.Sprint(e); !strings.Contains(s, "alice@R.TEST") || !strings.Contains(s, "version 7") || !strings.Contains(s, "aes128") {
			t.Errorf("%s", s)
		}
		if k, err := e.Key(); err != nil || !bytes.Equal(k.Bytes(), []byte("0123456789abcdef")) {
			t.Errorf("%v %v", k, err)
		}
	}
	if _, err := (Entry{}).Key(); err == nil {
		t.Error("a key out of nothing")
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	m := newMaker(2)
	whole := m.add(m.alice(7)).b
	path := filepath.Join(dir, "keytab")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := Read(t.Context(), path); err != nil || !bytes.Equal(b, whole) {
		t.Errorf("%q %v", b, err)
	}
	huge := filepath.Join(dir, "huge")
	f, err := os.Create(huge)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(MaxSize+1), f.Close()); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"too large": huge, "a folder": dir, "missing": filepath.Join(dir, "none")} {
		if b, err := Read(t.Context(), path); err == nil {
			t.Errorf("%s: read %d bytes", name, len(b))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, path); err != nil {
		t.Errorf("nobody to wait for: %v", err) // a context that has ended does not matter then
	}
}
