package ccache

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/alloctest"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// most is how much reading a file of that length may allocate.
func most(length int) int { return 32*length + 64<<10 }

// Of a file of each version, one byte is changed 100,000 times: what comes is a
// cache that can be used, or an error that says where.
func TestMutations(t *testing.T) {
	for version := 1; version <= 4; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			b := testFile(t, version)
			random := rand.New(rand.NewPCG(uint64(version), 1))
			good := 0
			// What ten of them take together is measured, since that costs more than they do.
			type change struct {
				i   int
				x   byte
				c   *Cache
				err error
			}
			var ten [10]change
			for range 10_000 {
				for j := range ten {
					ten[j] = change{i: random.IntN(len(b)), x: byte(1 + random.IntN(255))}
				}
				if n := alloctest.Announced(most(len(b)), func() {
					for j := range ten {
						m := &ten[j]
						b[m.i] ^= m.x
						m.c, m.err = Parse(b)
						b[m.i] ^= m.x
					}
				}); n > most(len(b)) {
					t.Fatalf("%d bytes of memory for these: %v", n, ten)
				}
				for _, m := range ten {
					if m.err == nil {
						good++
						_, _ = m.c.TGT(Query{Now: start})
						_, _ = m.c.Ticket(web, Query{Now: start})
					} else if pe, ok := errors.AsType[*ParseError](m.err); !ok || pe.Offset > len(b) || pe.Want == "" || m.c != nil {
						t.Fatalf("byte %d changed by %#x: %v, %v", m.i, m.x, m.c, m.err)
					}
				}
			}
			if good == 0 || good == 100_000 {
				t.Errorf("%d were accepted", good)
			}
		})
	}
}

func TestPrimaryMutations(t *testing.T) {
	random := rand.New(rand.NewPCG(0, 1))
	for _, text := range []string{"tkt\n", "tktAbCdEf\n", "tkt" + strings.Repeat("x", 59) + "\n"} {
		for n := range len(text) {
			primaryIsAMember(t, []byte(text[:n]))
		}
		b := []byte(text)
		for range 100_000 {
			i, x := random.IntN(len(b)), byte(1+random.IntN(255))
			b[i] ^= x
			primaryIsAMember(t, b)
			b[i] ^= x
		}
	}
	big := bytes.Repeat([]byte("t"), 1<<20)
	if n := alloctest.Announced(64<<10, func() { primaryIsAMember(t, big) }); n > 64<<10 {
		t.Errorf("%d bytes of memory", n)
	}
}

// primaryIsAMember reads a file "primary": if it names something, that is in
// the directory.
func primaryIsAMember(tb testing.TB, b []byte) {
	tb.Helper()
	name, err := parsePrimary(b)
	if err == nil && (!strings.HasPrefix(name, "tkt") || strings.ContainsAny(name, "/\\\n\x00") || len(name) > 63) {
		tb.Fatalf("%q names %q", b, name)
	}
}

// Files made to need as much memory as they can.
func TestMemoryIsBounded(t *testing.T) {
	marshal := func(creds ...Credential) []byte {
		b, err := (&Cache{Client: alice, Credentials: creds}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	empty, err := new(Credential).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	parts, err := (&Credential{Client: krb.Principal{Components: make([]string, maxComponents)}, Server: krb.Principal{Components: make([]string, maxComponents)}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"small entries":             append(marshal(), bytes.Repeat(empty, 20_000)...),
		"small entries after a big": append(marshal(Credential{Raw: make([]byte, 500_000)}), bytes.Repeat(empty, 20_000)...),
		"names in many parts":       append(marshal(), bytes.Repeat(parts, 2_000)...),
		"addresses":                 marshal(Credential{Addresses: make([]Typed, 200_000)}),
		"addresses that are not":    append(marshal(), append(empty[:len(empty)-16:len(empty)-16], bytes.Repeat([]byte{0, 2, 0, 0}, 300_000)...)...),
	} {
		if n := alloctest.Announced(most(len(b)), func() { _, _ = Parse(b) }); n > most(len(b)) {
			t.Errorf("%s: %d bytes of memory for %d", name, n, len(b))
		} else {
			t.Logf("%s: %.1f bytes of memory for one", name, float64(n)/float64(len(b)))
		}
	}
}
