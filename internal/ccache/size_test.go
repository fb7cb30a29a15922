package ccache

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
)

// sized returns the caches of testFile with one more entry, whose ticket makes the whole of
// the size wanted.
func sized(t *testing.T, size int) []byte {
	t.Helper()
	good := parse(t, testFile(t, 4)).Credentials[1]
	entry, err := good.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	head := append(testFile(t, 4), entry[:len(entry)-len(good.Raw)-8]...)
	head = binary.BigEndian.AppendUint32(head, uint32(size-len(head)-8))
	b := make([]byte, size) // the ticket, and the length of a second one that is not there
	copy(b, head)
	return b
}

// TestSizes: a cache, a record and a field are read and written up to the size that is said, and
// not beyond.
func TestSizes(t *testing.T) {
	want := len(parse(t, testFile(t, 4)).Credentials) + 1
	most := sized(t, MaxSize)
	if c, err := Parse(most); err != nil || c.Torn != nil || len(c.Credentials) != want {
		t.Fatalf("as large as it may be: %v", err)
	}
	more := sized(t, MaxSize+1)
	if _, err := Parse(more); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "at most") {
		t.Errorf("one byte more: %v", err)
	}
	good := parse(t, testFile(t, 4)).Credentials[1]
	entry, err := good.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, testFile(t, 4))
	if err := c.Append(append(entry, more[:MaxSize+1-len(entry)]...)); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a record: %v", err)
	}
	large := good
	large.Raw = more
	if _, err := large.Marshal(); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a field: %v", err)
	}
	if writable() != nil {
		return
	}
	// What is written anew could be read again.
	s := OpenFile(file(t, 4))
	before, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	large.Raw = more[:MaxSize]
	c = parse(t, testFile(t, 4))
	c.Credentials = append(c.Credentials, large)
	if err := s.Replace(t.Context(), c); err == nil || !strings.Contains(err.Error(), "exceed") {
		t.Errorf("a file: %v", err)
	}
	if after, err := os.ReadFile(s.path); err != nil || string(after) != string(before) {
		t.Errorf("the file was changed: %v", err)
	}
}
