package ccache

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func seeds(tb testing.TB) [][]byte {
	var out [][]byte
	for version := 1; version <= 4; version++ {
		b := testFile(tb, version)
		out = append(out, b, b[:len(b)/2], b[:40])
	}
	out = append(out, nil, []byte("\x05\x04\x00\x0c\x00\x01\x00\x08"), []byte("\x05\x03\x00\x00\x00\x01\xff\xff\xff\xff"))
	return out
}

func TestSeeds(t *testing.T) {
	if len(seeds(t)) == 0 {
		t.Fatal("no seeds")
	}
}

// What is accepted can be written, and reads back as the same.
func FuzzParse(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			if _, ok := errors.AsType[*ParseError](err); !ok || c != nil {
				t.Fatalf("%v, %v", c, err)
			}
			return
		}
		_, _ = c.TGT(Query{Now: start})
		out, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatal(err)
		}
		again.Version = c.Version
		if diff := cmp.Diff(c, again, append(compare, cmpopts.EquateEmpty())...); diff != "" {
			t.Fatal(diff)
		}
	})
}
