package der

import (
	"bytes"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// FuzzTake: elements and integers are read as cryptobyte reads them.
func FuzzTake(f *testing.F) {
	for _, b := range [][]byte{
		nil, {2}, {2, 0}, {2, 1, 0}, {2, 1, 0x80}, {2, 2, 0, 0x7f}, {2, 2, 0, 0x80}, {2, 2, 0xff, 0x7f}, {2, 2, 0xff, 0x80}, {2, 1, 5, 6}, {2, 3, 1, 2},
		{2, 0x81, 1, 5}, {2, 0x81, 0x80}, {2, 8, 0x80, 0, 0, 0, 0, 0, 0, 0}, {2, 9, 0, 0x80, 0, 0, 0, 0, 0, 0, 0}, {2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0},
		append([]byte{2, 0x81, 0x80}, make([]byte, 0x80)...), append([]byte{0x30, 0x80}, make([]byte, 0x80)...), append([]byte{0x30, 0x81, 0xff}, make([]byte, 0xff)...), append([]byte{0x30, 0x81, 0x7f}, make([]byte, 0x7f)...),
		append([]byte{0x30, 0x82, 0, 0x80}, make([]byte, 0x80)...), append([]byte{0x30, 0x82, 1, 0}, make([]byte, 0x101)...), append([]byte{0x30, 0x82, 1, 0}, make([]byte, 0xff)...), append([]byte{0x30, 0x81, 0x80}, make([]byte, 0x7f)...),
		append([]byte{0x30, 0x83, 1, 0, 0}, make([]byte, 0x10000)...), append([]byte{0x30, 0x83, 0, 1, 0}, make([]byte, 0x100)...), {0x30, 0x81}, {0x30, 0x82, 1}, {0x30, 0}, {0x30, 2, 5, 0}, {0x30, 0x80, 0, 0},
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, tag := range []asn1.Tag{asn1.INTEGER, asn1.SEQUENCE, asn1.Tag(0xa2)} {
			ours, theirs := cryptobyte.String(b), cryptobyte.String(b)
			var got, want cryptobyte.String
			ok, wantOK := Take(&ours, &got, tag), theirs.ReadASN1(&want, tag)
			if ok != wantOK || ok && (!bytes.Equal(got, want) || !bytes.Equal(ours, theirs)) {
				t.Errorf("tag %v of %x: %x, rest %x, %t; want %x, rest %x, %t", tag, b, got, ours, ok, want, theirs, wantOK)
			}
		}
		ours, theirs := cryptobyte.String(b), cryptobyte.String(b)
		var got, want int64
		ok, wantOK := TakeInt(&ours, &got), theirs.ReadASN1Int64WithTag(&want, asn1.INTEGER)
		if ok != wantOK || ok && (got != want || !bytes.Equal(ours, theirs)) {
			t.Errorf("integer %x: %d, rest %x, %t; want %d, rest %x, %t", b, got, ours, ok, want, theirs, wantOK)
		}
	})
}
