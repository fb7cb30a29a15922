package gss

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// The frame is read wherever the data lie: its length is in DER and covers them.
func TestFrame(t *testing.T) {
	const id = 0x0201
	for _, n := range []int{0, 1, 100, 112, 113, 114, 127, 128, 240, 241, 255, 256, 65520, 65535, 65536, 1 << 20} {
		whole := spnego.Frame(id, make([]byte, n))
		start := len(whole) - n - 2
		for _, cut := range []int{start, len(whole) - n, len(whole)} {
			if got, err := readFrame(whole[:cut], len(whole)); err != nil || got != start {
				t.Errorf("%d bytes, cut at %d: the token starts at %d, want %d; %v", n, cut, got, start, err)
			}
		}
		for cut := range start {
			if got, err := readFrame(slices.Clip(whole[:cut]), len(whole)); !errors.Is(err, ErrMalformed) {
				t.Errorf("%d bytes, cut at %d: %d, %v", n, cut, got, err)
			}
		}
		for _, total := range []int{len(whole) - 1, len(whole) + 1, 0} {
			if got, err := readFrame(whole[:start], total); !errors.Is(err, ErrMalformed) {
				t.Errorf("%d bytes, said to be %d: %d, %v", n, total, got, err)
			}
		}
		if b := appendLength(nil, len(whole)-2); n < 100 && !bytes.Equal(b, whole[1:2]) {
			t.Errorf("the length is written as %x, spnego has %x", b, whole[1:2])
		}
	}
	oid := spnego.Frame(id, nil)[2:13]
	frame := func(length ...byte) []byte { return slices.Concat([]byte{frameTag}, length, oid, make([]byte, 300)) }
	for name, b := range map[string][]byte{
		"none":                       nil,
		"another tag":                append([]byte{0x61}, frame(0x82, 1, 0x37)[1:]...),
		"no octets of a length":      frame(0x80),
		"five octets":                frame(0x85, 0, 0, 0, 1, 0x37),
		"a zero in front":            frame(0x83, 0, 1, 0x37),
		"a length of one octet less": frame(0x82, 1, 0x36),
		"and of one more":            frame(0x82, 1, 0x38),
		"more than there is":         frame(0x84, 0xff, 0xff, 0xff, 0xff),
	} {
		if _, err := readFrame(b, len(b)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readFrame(frame(0x82, 1, 0x37), len(frame(0x82, 1, 0x37))); err != nil {
		t.Errorf("the right one: %v", err)
	}
	for _, n := range []int{len(oid), 0x7f} {
		short := slices.Concat([]byte{frameTag, 0x81, byte(n)}, oid)
		if _, err := readFrame(short, 3+n); !errors.Is(err, ErrMalformed) {
			t.Errorf("a short length in the long form: %v", err)
		}
	}
	if start, err := readFrame(frame(0x84, 1, 0, 0, 0), 6+1<<24); err != nil || start != 6+len(oid) {
		t.Errorf("16 MiB: the token starts at %d, %v", start, err)
	}
	for name, edit := range map[string]func(b []byte){
		"no mechanism":           func(b []byte) { b[4] = 0x04 },
		"another mechanism":      func(b []byte) { b[len(b)-301]++ },
		"a mechanism too long":   func(b []byte) { b[5] = 0x7f },
		"a mechanism's bad size": func(b []byte) { b[5] = 0x81 },
	} {
		b := frame(0x82, 1, 0x37)
		edit(b)
		if _, err := readFrame(b, len(b)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A message that is opened where it lies and then refused leaves nothing of itself there.
func TestNothingIsLeftOfWhatIsRefused(t *testing.T) {
	secret := bytes.Repeat([]byte("confidential "), 10)
	for _, etype := range etypes {
		for _, how := range []string{"played again", "another header"} {
			t.Run(fmt.Sprintf("%s, %s", krb.EtypeName(etype), how), func(t *testing.T) {
				initiator, acceptor := pair(t, etype)
				token, cut, err := acceptor.Seal(nil, secret)
				if err != nil {
					t.Fatal(err)
				}
				header, data := bytes.Clone(token[:cut]), bytes.Clone(token[cut:])
				if how == "played again" {
					if got, err := initiator.Open(bytes.Clone(header), bytes.Clone(data)); err != nil || !bytes.Equal(got, secret) {
						t.Fatalf("%q, %v", got, err)
					}
				} else if etype == krb.RC4HMAC {
					header[len(header)-9]++ // of the sum
				} else {
					header[15]++ // of the number, whose copy is sealed
				}
				got, err := initiator.Open(header, data)
				if err == nil || got != nil {
					t.Fatalf("%q, %v", got, err)
				}
				for n := range len(data) {
					if end := min(n+8, len(data)); end-n == 8 && bytes.Contains(secret, data[n:end]) {
						t.Fatalf("at %d there is %q", n, data[n:end])
					}
				}
			})
		}
	}
}
