package gss

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/internal/krb"
)

var etypes = []int32{17, 18, 19, 20, 23}

// channel returns one side of the vector's context, set up as an acceptor would.
func (v vector) channel(t testing.TB, acceptor bool) *Channel {
	t.Helper()
	key := func(etype int32, b []byte) krb.Key {
		if len(b) == 0 {
			return krb.Key{}
		}
		k, err := krb.NewKey(etype, b)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	ours, theirs := v.InitiatorSeq, v.AcceptorSeq
	if acceptor {
		ours, theirs = theirs, ours
	}
	c, err := NewChannel(Params{
		Acceptor: acceptor, Session: key(v.Etype, v.SessionKey), Subkey: key(v.Etype, v.InitiatorSubkey),
		AcceptorSubkey: key(v.AcceptorSubkeyEtype, v.AcceptorSubkey), SendSeq: ours, RecvSeq: theirs,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pair returns both sides of a new context.
func pair(t testing.TB, etype int32) (initiator, acceptor *Channel) {
	t.Helper()
	return pairAt(t, etype, 0x3ffffff0, 7)
}

func pairAt(t testing.TB, etype int32, initiatorSeq, acceptorSeq uint32) (initiator, acceptor *Channel) {
	t.Helper()
	var keys [3]krb.Key
	for i := range keys {
		var err error
		if keys[i], err = krb.GenerateKey(etype); err != nil {
			t.Fatal(err)
		}
	}
	p := Params{Session: keys[0], Subkey: keys[1], AcceptorSubkey: keys[2], SendSeq: initiatorSeq, RecvSeq: acceptorSeq}
	initiator, err := NewChannel(p)
	if err != nil {
		t.Fatal(err)
	}
	p.Acceptor, p.SendSeq, p.RecvSeq = true, p.RecvSeq, p.SendSeq
	acceptor, err = NewChannel(p)
	if err != nil {
		t.Fatal(err)
	}
	return initiator, acceptor
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// wants fails unless a message was opened to want.
func wants(t *testing.T, what string, want, got []byte, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("%s: %s", what, cmp.Diff(want, got))
	}
}

// TestMITRecords opens every token of MIT's, in the order in which it made them,
// and makes those anew that have nothing random in them.
func TestMITRecords(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.name(), func(t *testing.T) {
			c := v.context(t)
			if v.Mutual {
				if err := c.Accept(v.APRepToken); err != nil {
					t.Fatal(err)
				}
			}
			c.flags |= FlagConf
			plain, conf, err := c.Unwrap(v.AcceptorSealed)
			wants(t, "sealed", v.Message, plain, err)
			if !conf {
				t.Error("sealed: said to be clear")
			}
			plain, conf, err = c.Unwrap(v.AcceptorClear)
			wants(t, "clear", v.Message, plain, err)
			if conf {
				t.Error("clear: said to be sealed")
			}
			data := slices.Concat(v.AcceptorIOVData, v.AcceptorIOVPadding)
			plain, err = c.UnwrapIOV(v.AcceptorIOVHeader, data)
			wants(t, "IOV", v.Message, plain, err)
			if err := c.VerifyMIC(v.Message, v.AcceptorMIC); err != nil {
				t.Errorf("MIC: %v", err)
			}

			acceptor := v.channel(t, true)
			plain, conf, err = acceptor.Unwrap(v.InitiatorSealed)
			wants(t, "initiator's", v.Message, plain, err)
			if !conf {
				t.Error("initiator's: said to be clear")
			}
			token, err := acceptor.Wrap(v.Message, true)
			likeMIT(t, "sealed", v.AcceptorSealed, token, err)
			token, err = acceptor.Wrap(v.Message, false)
			if v.Etype == krb.RC4HMAC {
				likeMIT(t, "clear", v.AcceptorClear, token, err)
			} else {
				wants(t, "clear anew", v.AcceptorClear, token, err)
			}
			header, sealed, err := acceptor.WrapIOV(v.Message)
			likeMIT(t, "IOV header", v.AcceptorIOVHeader, header, err)
			if len(sealed) != len(data) {
				t.Errorf("IOV: %d bytes of data, MIT has %d", len(sealed), len(data))
			}
			token, err = acceptor.MIC(v.Message)
			wants(t, "MIC anew", v.AcceptorMIC, token, err)
		})
	}
}

// likeMIT compares lengths and what is not random: the first 16 bytes with AES,
// frame and algorithms with RC4.
func likeMIT(t *testing.T, what string, want, got []byte, err error) {
	t.Helper()
	n := cfxHeader
	if want[0] == frameTag {
		n = 13 + 8
	}
	if err != nil || len(got) != len(want) || !bytes.Equal(got[:n], want[:n]) {
		t.Errorf("%s: %x, %v\nMIT made %x", what, got, err, want)
	}
}

// TestBothSides sends messages of many lengths in each form and direction.
func TestBothSides(t *testing.T) {
	sizes := []int{0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 47, 48, 82, 83, 84, 85, 127, 128, 255, 256, 1000, 65535, 65536, 70000}
	for _, etype := range etypes {
		t.Run(krb.EtypeName(etype), func(t *testing.T) {
			initiator, acceptor := pair(t, etype)
			for from, to := range map[*Channel]*Channel{initiator: acceptor, acceptor: initiator} {
				for _, n := range sizes {
					plain := pattern(n)
					for _, conf := range []bool{true, false} {
						token, err := from.Wrap(plain, conf)
						if err != nil {
							t.Fatal(err)
						}
						before := bytes.Clone(token)
						got, sealed, err := to.Unwrap(token)
						wants(t, fmt.Sprintf("%d bytes, sealed %v", n, conf), plain, got, err)
						if sealed != conf || !bytes.Equal(token, before) {
							t.Errorf("%d bytes, sealed %v: sealed %v, or the token was changed", n, conf, sealed)
						}
						if n > 31 && bytes.Contains(token, plain) == conf {
							t.Errorf("%d bytes, sealed %v: plaintext in the token", n, conf)
						}
					}
					header, sealed, err := from.WrapIOV(plain)
					if err != nil {
						t.Fatal(err)
					}
					before := bytes.Clone(sealed)
					got, err := to.UnwrapIOV(header, sealed)
					wants(t, fmt.Sprintf("%d bytes, IOV", n), plain, got, err)
					if !bytes.Equal(before, sealed) {
						t.Errorf("%d bytes, IOV: the token was changed", n)
					}

					prefix := []byte("prefix")
					out, head, err := from.Seal(prefix, plain)
					if err != nil {
						t.Fatal(err)
					}
					header, sealed = out[len(prefix):][:head], out[len(prefix)+head:]
					if !bytes.HasPrefix(out, prefix) || len(sealed) != n {
						t.Errorf("%d bytes: %d of data after %q", n, len(sealed), out[:len(prefix)])
					}
					before = bytes.Clone(header)
					got, err = to.Open(header, sealed)
					wants(t, fmt.Sprintf("%d bytes, in place", n), plain, got, err)
					if n > 0 && &got[0] != &sealed[0] || !bytes.Equal(header, before) {
						t.Errorf("%d bytes: not opened in place, or the header was changed", n)
					}
				}
			}
			if n := uint64(4 * len(sizes)); initiator.send != 0x3ffffff0+n || acceptor.recv != initiator.send || initiator.recv != 7+n || acceptor.send != initiator.recv {
				t.Errorf("numbers %d %d, %d %d", initiator.send, acceptor.recv, acceptor.send, initiator.recv)
			}
		})
	}
}

// TestHeaderSizes are what WinRM peers know of (MS-WSMV section 2.2.9.1).
// TestConfounder: the sum in a token of RFC 4757, which stands in the open, does not tell
// whether two messages are one.
func TestConfounder(t *testing.T) {
	initiator, _ := pair(t, krb.RC4HMAC)
	var last []byte
	for range 3 {
		token, cut, err := initiator.Seal(nil, []byte("the same"))
		if err != nil {
			t.Fatal(err)
		}
		sum := token[cut-16 : cut-8]
		if bytes.Equal(sum, last) {
			t.Errorf("the same sum %x", sum)
		}
		last = sum
	}
}

func TestHeaderSizes(t *testing.T) {
	got := map[int32][]int{}
	for _, etype := range etypes {
		c, _ := pair(t, etype)
		for _, n := range []int{0, 83, 84, 300, 70000} {
			_, head, err := c.Seal(nil, make([]byte, n))
			if err != nil {
				t.Fatal(err)
			}
			got[etype] = append(got[etype], head)
		}
	}
	want := map[int32][]int{
		17: {60, 60, 60, 60, 60}, 18: {60, 60, 60, 60, 60}, 19: {64, 64, 64, 64, 64}, 20: {72, 72, 72, 72, 72},
		23: {45, 45, 45, 47, 48},
	}
	// Without padding the data may be a byte longer before the frame grows.
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestRotations opens tokens that were rotated by any number of bytes.
func TestRotations(t *testing.T) {
	for _, v := range vectors(t) {
		if !v.Mutual || v.Etype == krb.RC4HMAC {
			continue
		}
		t.Run(v.name(), func(t *testing.T) {
			for what, token := range map[string][]byte{"sealed": v.AcceptorSealed, "clear": v.AcceptorClear} {
				rest := token[cfxHeader:]
				for rrc := range 3 * len(rest) {
					turned := rotated(token, rrc, rrc)
					c := v.channel(t, false)
					c.recv = binary.BigEndian.Uint64(token[8:])
					got, _, err := c.Unwrap(turned)
					wants(t, fmt.Sprintf("%s by %d", what, rrc), v.Message, got, err)
					if what == "clear" {
						continue
					}
					// However such a token is cut in two, it is the same token.
					c.recv--
					cut := rrc % (len(turned) + 1)
					got, err = c.UnwrapIOV(turned[:cut], turned[cut:])
					wants(t, fmt.Sprintf("%s by %d, cut at %d", what, rrc, cut), v.Message, got, err)
				}
			}
		})
	}
}

// rotated returns a token, not rotated yet, turned to the right by n, with the
// count rrc.
func rotated(token []byte, n, rrc int) []byte {
	rest := token[cfxHeader:]
	n %= len(rest)
	out := slices.Concat(token[:cfxHeader], rest[len(rest)-n:], rest[:len(rest)-n])
	binary.BigEndian.PutUint16(out[6:], uint16(rrc))
	return out
}

// filled returns the acceptor's next sealed token with filler bytes, not rotated.
func filled(t *testing.T, c *Channel, plain []byte, ec int) []byte {
	t.Helper()
	head := cfx{flags: c.flags(false) | sealed, ec: uint16(ec), seq: c.send}.append(nil)
	body, err := c.key.Seal(krb.UsageAcceptorSeal, slices.Concat(plain, bytes.Repeat([]byte{0xff}, ec), head))
	if err != nil {
		t.Fatal(err)
	}
	c.send++
	return append(head, body...)
}

// TestExtraCount opens tokens with filler bytes, rotated by the RFC and as
// Windows does (MS-KILE section 3.4.5.4.1).
func TestExtraCount(t *testing.T) {
	for _, etype := range []int32{17, 18, 19, 20} {
		t.Run(krb.EtypeName(etype), func(t *testing.T) {
			initiator, acceptor := pair(t, etype)
			mac := acceptor.key.MACSize()
			for _, ec := range []int{0, 1, 15, 16, 17, 300} {
				for _, n := range []int{0, 5, 16, 40} {
					plain := pattern(n)
					for name, turn := range map[string][2]int{
						"not at all": {}, "RFC": {16 + mac + ec, 16 + mac + ec}, "Windows": {16 + mac + ec, 16 + mac}, "far": {1000, 1000},
					} {
						what := fmt.Sprintf("%d bytes, filler %d, rotated %s", n, ec, name)
						token := rotated(filled(t, acceptor, plain, ec), turn[0], turn[1])
						got, conf, err := initiator.Unwrap(token)
						wants(t, what, plain, got, err)
						if !conf {
							t.Errorf("%s: clear", what)
						}
						if name == "not at all" || name == "far" {
							continue
						}
						token = rotated(filled(t, acceptor, plain, ec), turn[0], turn[1])
						cut := 16 + ec + 16 + mac + 16
						got, err = initiator.UnwrapIOV(token[:cut], token[cut:])
						wants(t, what+", IOV", plain, got, err)
						token = rotated(filled(t, acceptor, plain, ec), turn[0], turn[1])
						got, err = initiator.Open(token[:cut], token[cut:])
						wants(t, what+", in place", plain, got, err)
					}
					// As Seal lays it out, but with filler behind the message, which
					// is no part of it.
					token := rotated(filled(t, acceptor, plain, ec), 16+mac, 16+mac)
					cut := 16 + 16 + mac + 16
					got, err := initiator.Open(token[:cut], bytes.Clone(token[cut:]))
					wants(t, fmt.Sprintf("%d bytes, filler %d behind", n, ec), plain, got, err)
				}
			}
		})
	}
}

// TestRC4Padding: libgssapi pads with a byte, SSPI does not, some pad to 8.
func TestRC4Padding(t *testing.T) {
	initiator, acceptor := pair(t, krb.RC4HMAC)
	plain := []byte("<s:Envelope/>")
	for name, tc := range map[string]struct {
		pad  string
		want []byte // nil for refused
	}{
		"none":           {"", nil},
		"RFC 4757":       {"\x01", plain},
		"RFC 1964":       {"\x03\x03\x03", plain},
		"eight":          {strings.Repeat("\x08", 8), plain},
		"zero":           {"\x00", nil},
		"nine":           {strings.Repeat("\x09", 9), nil},
		"not all alike":  {"\x02\x03\x03", nil},
		"more than that": {"\x0d", nil},
	} {
		t.Run(name, func(t *testing.T) {
			padded := append(bytes.Clone(plain), tc.pad...)
			out, head, err := acceptor.Seal(nil, padded)
			if err != nil {
				t.Fatal(err)
			}
			header, data := out[:head], out[head:]
			due := initiator.recv
			got, err := initiator.UnwrapIOV(header, data)
			if tc.want != nil {
				wants(t, "IOV", tc.want, got, err)
			} else if !errors.Is(err, ErrMalformed) || initiator.recv != due {
				t.Errorf("IOV: %q, %v, want %v", got, err, ErrMalformed)
			}
			initiator.recv = due
			got, _, err = initiator.Unwrap(out)
			if tc.want != nil {
				wants(t, "whole", tc.want, got, err)
			} else if !errors.Is(err, ErrMalformed) || initiator.recv != due {
				t.Errorf("whole: %q, %v, want %v", got, err, ErrMalformed)
			}
			// As in SSPI, padding is nothing that Open knows of.
			initiator.recv = due
			got, err = initiator.Open(header, data)
			wants(t, "in place", padded, got, err)
		})
	}
	for _, short := range []string{"", "\x02", "\x08\x08"} { // padding that would begin before the data
		out, head, err := acceptor.Seal(nil, []byte(short))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := initiator.UnwrapIOV(out[:head], out[head:]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q alone: %q, %v", short, got, err)
		}
		acceptor.send--
	}
	// Nothing but padding is an empty message.
	header, data, err := acceptor.WrapIOV(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := initiator.UnwrapIOV(header, data)
	wants(t, "empty", []byte{}, got, err)
}

// TestSequence: one order only, whatever the kind of message.
func TestSequence(t *testing.T) {
	for _, etype := range etypes {
		for name, start := range map[string]uint32{"middle": 1 << 20, "zero": 0, "end of 32 bits": 0xfffffffe} {
			t.Run(krb.EtypeName(etype)+" from "+name, func(t *testing.T) {
				initiator, acceptor := pairAt(t, etype, 5, start)
				var tokens [6][]byte
				for i := range tokens {
					var err error
					if tokens[i], err = acceptor.Wrap([]byte{byte(i)}, true); err != nil {
						t.Fatal(err)
					}
				}
				refused := func(i int, kind error) {
					t.Helper()
					due := initiator.recv
					got, _, err := initiator.Unwrap(tokens[i])
					var e *SequenceError
					if !errors.Is(err, kind) || !errors.Is(err, ErrSequence) || !errors.As(err, &e) || got != nil {
						t.Errorf("message %d: %q, %v; want %v", i, got, err, kind)
					} else if want := uint64(uint32(start + uint32(i))); uint64(uint32(e.Got)) != want || uint32(e.Want) != uint32(due) {
						t.Errorf("message %d: numbers %d and %d in the error, want %d and %d", i, e.Got, e.Want, want, due)
					}
					if initiator.recv != due {
						t.Errorf("message %d was refused and counted", i)
					}
				}
				taken := func(i int) {
					t.Helper()
					got, _, err := initiator.Unwrap(tokens[i])
					wants(t, fmt.Sprint("message ", i), []byte{byte(i)}, got, err)
				}
				refused(1, ErrGap)
				refused(5, ErrGap)
				taken(0)
				refused(0, ErrReplay)
				refused(2, ErrGap)
				taken(1)
				taken(2)
				taken(3)
				refused(0, ErrReplay)
				refused(3, ErrReplay)
				taken(4)
				initiator.first = initiator.recv // as if the context began here
				refused(2, ErrOld)
				taken(5)

				// A MIC and a sealed message share the count.
				mic, err := acceptor.MIC([]byte("m"))
				if err != nil {
					t.Fatal(err)
				}
				header, sealed, err := acceptor.WrapIOV([]byte("w"))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := initiator.UnwrapIOV(header, sealed); !errors.Is(err, ErrGap) {
					t.Errorf("a message before a MIC: %v", err)
				}
				if err := initiator.VerifyMIC([]byte("m"), mic); err != nil {
					t.Error(err)
				}
				if err := initiator.VerifyMIC([]byte("m"), mic); !errors.Is(err, ErrMIC) || !errors.Is(err, ErrReplay) {
					t.Errorf("MIC again: %v", err)
				}
				got, err := initiator.UnwrapIOV(header, sealed)
				wants(t, "after the MIC", []byte("w"), got, err)
			})
		}
	}
}

// A message is one that to can receive, in each of the forms.
type message struct {
	name string
	open func(c *Channel, token []byte) ([]byte, error)
	// token makes one, of which cut bytes are the header.
	token func(c *Channel, plain []byte) (token []byte, cut int, err error)
}

func forms() []message {
	whole := func(conf bool) func(c *Channel, plain []byte) ([]byte, int, error) {
		return func(c *Channel, plain []byte) ([]byte, int, error) {
			token, err := c.Wrap(plain, conf)
			return token, 0, err
		}
	}
	unwrap := func(c *Channel, token []byte) ([]byte, error) {
		plain, _, err := c.Unwrap(token)
		return plain, err
	}
	return []message{
		{"sealed", unwrap, whole(true)},
		{"clear", unwrap, whole(false)},
		{"IOV", nil, func(c *Channel, plain []byte) ([]byte, int, error) {
			h, s, err := c.WrapIOV(plain)
			return slices.Concat(h, s), len(h), err
		}},
		{"in place", nil, func(c *Channel, plain []byte) ([]byte, int, error) { return c.Seal(nil, plain) }},
	}
}

// TestRefused changes tokens in every way that a stranger can.
func TestRefused(t *testing.T) {
	plain := []byte("hello WinRM world, this is a message")
	for _, etype := range etypes {
		for _, m := range forms() {
			t.Run(krb.EtypeName(etype)+" "+m.name, func(t *testing.T) {
				initiator, acceptor := pair(t, etype)
				token, cut, err := m.token(acceptor, plain)
				if err != nil {
					t.Fatal(err)
				}
				own, _, err := m.token(initiator, plain)
				if err != nil {
					t.Fatal(err)
				}
				_, stranger := pair(t, etype)
				foreign, _, err := m.token(stranger, plain)
				if err != nil {
					t.Fatal(err)
				}
				open := func(token []byte) ([]byte, error) {
					token = bytes.Clone(token)
					switch {
					case m.open != nil:
						return m.open(initiator, token)
					case m.name == "IOV":
						return initiator.UnwrapIOV(token[:min(cut, len(token))], token[min(cut, len(token)):])
					}
					return initiator.Open(token[:min(cut, len(token))], token[min(cut, len(token)):])
				}
				due := initiator.recv
				refused := func(what string, token []byte, kinds ...error) {
					t.Helper()
					got, err := open(token)
					if err == nil || got != nil {
						t.Errorf("%s: accepted: %q, %v", what, got, err)
					}
					for _, kind := range kinds {
						if !errors.Is(err, kind) {
							t.Errorf("%s: %v, want %v", what, err, kind)
						}
					}
					if initiator.recv != due {
						t.Fatalf("%s: counted", what)
					}
				}
				for i := range token {
					for bit := range 8 {
						bad := bytes.Clone(token)
						bad[i] ^= 1 << bit
						if krb.RC4HMAC == etype && i == 7 && bit == 2 { // Microsoft's spelling of the mechanism
							continue
						}
						refused(fmt.Sprintf("bit %d of byte %d", bit, i), bad)
					}
				}
				for n := range token {
					refused(fmt.Sprintf("first %d bytes", n), token[:n])
				}
				refused("byte appended", append(bytes.Clone(token), 0))
				refused("byte inserted", slices.Insert(bytes.Clone(token), len(token)-3, 0))
				refused("two bytes swapped", swapped(token))
				refused("twice", append(bytes.Clone(token), token...))
				refused("own", own, ErrDirection)
				refused("foreign", foreign, krb.ErrIntegrity)
				mic, err := acceptor.MIC(plain)
				if err != nil {
					t.Fatal(err)
				}
				refused("MIC", mic, ErrMalformed)
				acceptor.send--
				other := int32(18)
				if etype == 18 {
					other = 23
				}
				_, peer := pair(t, other)
				odd, _, err := m.token(peer, plain)
				if err != nil {
					t.Fatal(err)
				}
				refused("other etype", odd)
				if etype != krb.RC4HMAC {
					refused("other key", change(token, 2, token[2]^acceptorSubkey), ErrSubkey)
					refused("own direction", change(token, 2, token[2]^sentByAcceptor), ErrDirection)
					refused("sealed turned to clear or back", change(token, 2, token[2]^sealed))
					refused("unknown flag", change(token, 2, token[2]|0x80), krb.ErrIntegrity)
					refused("extra count", change(token, 5, 1))
					refused("larger extra count", change(token, 5, 20))
					refused("number", change(token, 15, token[15]+1), krb.ErrIntegrity)
					refused("high number", change(token, 8, 1), krb.ErrIntegrity)
				}
				got, err := open(token)
				wants(t, "after all that", plain, got, err)
				due++
				refused("replay", token, ErrReplay)
			})
		}
	}
}

func change(b []byte, i int, x byte) []byte {
	b = bytes.Clone(b)
	b[i] = x
	return b
}

// swapped changes places of two neighbours that differ, as late as there are any.
func swapped(b []byte) []byte {
	b = bytes.Clone(b)
	for i := len(b) - 1; i > 0; i-- {
		if b[i] != b[i-1] {
			b[i], b[i-1] = b[i-1], b[i]
			break
		}
	}
	return b
}

// TestFillerIsCounted: an extra count that was raised must not cut the message
// short (CVE-2024-37370).
func TestFillerIsCounted(t *testing.T) {
	for _, etype := range []int32{17, 18, 19, 20} {
		initiator, acceptor := pair(t, etype)
		token := filled(t, acceptor, pattern(40), 16)
		for ec := range 57 {
			if ec == 16 {
				continue
			}
			bad := change(token, 5, byte(ec))
			if got, _, err := initiator.Unwrap(bad); !errors.Is(err, krb.ErrIntegrity) {
				t.Errorf("etype %d, count %d: %x, %v", etype, ec, got, err)
			}
		}
	}
}

// TestNotSealed: what must be confidential is not taken in clear.
func TestNotSealed(t *testing.T) {
	for _, etype := range etypes {
		initiator, acceptor := pair(t, etype)
		token, err := acceptor.Wrap([]byte("clear"), false)
		if err != nil {
			t.Fatal(err)
		}
		for cut := range token {
			due := initiator.recv
			if got, err := initiator.UnwrapIOV(token[:cut], token[cut:]); !errors.Is(err, ErrNotSealed) || initiator.recv != due {
				t.Errorf("etype %d, cut at %d: %q, %v", etype, cut, got, err)
			}
			if got, err := initiator.Open(token[:cut], bytes.Clone(token[cut:])); !errors.Is(err, ErrNotSealed) || initiator.recv != due {
				t.Errorf("etype %d, cut at %d, in place: %q, %v", etype, cut, got, err)
			}
		}
	}
}

// TestKeys: which of the keys protects messages.
func TestKeys(t *testing.T) {
	key := func(etype int32) krb.Key {
		k, err := krb.GenerateKey(etype)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	session, subkey, acceptor := key(18), key(18), key(18)
	rc4, rc4Theirs := key(23), key(23)
	for name, tc := range map[string]struct {
		p      Params
		want   krb.Key
		subkey bool
	}{
		"session key":          {Params{Session: session}, session, false},
		"initiator's":          {Params{Session: session, Subkey: subkey}, subkey, false},
		"acceptor's":           {Params{Session: session, Subkey: subkey, AcceptorSubkey: acceptor}, acceptor, true},
		"acceptor's, no other": {Params{Session: session, AcceptorSubkey: acceptor}, acceptor, true},
		"RC4, two":             {Params{Session: rc4, Subkey: rc4, AcceptorSubkey: rc4Theirs}, rc4, false},
		"RC4, better one":      {Params{Session: rc4, Subkey: rc4, AcceptorSubkey: acceptor}, acceptor, true},
		"RC4, acceptor's":      {Params{Session: session, Subkey: subkey, AcceptorSubkey: rc4}, rc4, true},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := NewChannel(tc.p)
			if err != nil {
				t.Fatal(err)
			}
			if !c.key.Equal(tc.want) || c.subkey != tc.subkey || c.Etype() != tc.want.Etype() {
				t.Errorf("%v, acceptor's subkey %v", c, c.subkey)
			}
		})
	}
	if c, err := NewChannel(Params{}); err == nil {
		t.Errorf("a channel without a key: %v", c)
	}
}

// TestSecondOpinionClear has gokrb5 check what Wrap makes without
// confidentiality, and make what Unwrap opens.
func TestSecondOpinionClear(t *testing.T) {
	plain := pattern(50)
	for _, etype := range []int32{17, 18, 19, 20} {
		t.Run(krb.EtypeName(etype), func(t *testing.T) {
			key, err := krb.GenerateKey(etype)
			if err != nil {
				t.Fatal(err)
			}
			initiator, err := NewChannel(Params{Session: key, SendSeq: 77})
			if err != nil {
				t.Fatal(err)
			}
			token, err := initiator.Wrap(plain, false)
			if err != nil {
				t.Fatal(err)
			}
			var theirs gssapi.WrapToken
			if err := theirs.Unmarshal(token, false); err != nil {
				t.Fatal(err)
			}
			theirKey := types.EncryptionKey{KeyType: etype, KeyValue: key.Bytes()}
			ok, err := theirs.Verify(theirKey, krb.UsageInitiatorSeal)
			if err != nil || !ok || !bytes.Equal(theirs.Payload, plain) || theirs.SndSeqNum != 77 {
				t.Errorf("gokrb5: %v, %v, number %d, %x", ok, err, theirs.SndSeqNum, theirs.Payload)
			}

			made, err := gssapi.NewInitiatorWrapToken(plain, theirKey)
			if err != nil {
				t.Fatal(err)
			}
			b, err := made.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			acceptor, err := NewChannel(Params{Acceptor: true, Session: key})
			if err != nil {
				t.Fatal(err)
			}
			got, conf, err := acceptor.Unwrap(b)
			wants(t, "gokrb5's token", plain, got, err)
			if conf {
				t.Error("gokrb5's token: said to be sealed")
			}
		})
	}
}

// TestContextWraps: nothing before the context is established, nothing sealed
// unless confidentiality was asked for.
func TestContextWraps(t *testing.T) {
	key, err := krb.GenerateKey(18)
	if err != nil {
		t.Fatal(err)
	}
	try := func(c *Context) map[string]bool {
		token := []byte("token")
		errs := map[string]error{}
		_, errs["wrap"] = c.Wrap(token, false)
		_, errs["seal"] = c.Wrap(token, true)
		_, _, errs["IOV"] = c.WrapIOV(token)
		_, errs["channel"] = c.Channel()
		_, _, errs["unwrap"] = c.Unwrap(token)
		_, errs["unwrap IOV"] = c.UnwrapIOV(token, token)
		out := map[string]bool{}
		for name, err := range errs {
			out[name] = err == nil || errors.Is(err, ErrMalformed)
		}
		return out
	}
	for name, tc := range map[string]struct {
		c    *Context
		want map[string]bool
	}{
		"not established": {&Context{flags: FlagConf, channel: Channel{key: key}}, map[string]bool{}},
		"no confidentiality": {&Context{established: true, channel: Channel{key: key}}, map[string]bool{
			"wrap": true, "channel": true, "unwrap": true,
		}},
		"all": {&Context{established: true, flags: FlagConf, channel: Channel{key: key}}, map[string]bool{
			"wrap": true, "seal": true, "IOV": true, "channel": true, "unwrap": true, "unwrap IOV": true,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := try(tc.c)
			for k, v := range got {
				if !v {
					delete(got, k)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestNoSecrets prints a channel in every way there is.
func TestNoSecrets(t *testing.T) {
	for _, etype := range etypes {
		initiator, _ := pair(t, etype)
		if _, err := initiator.Wrap([]byte("x"), true); err != nil { // RC4 derives its keys here
			t.Fatal(err)
		}
		c := &Context{channel: *initiator, established: true}
		secrets := [][]byte{initiator.key.Bytes()}
		if initiator.rc4 != nil {
			other := initiator.key.Bytes()
			for i := range other {
				other[i] ^= 0xf0
			}
			for _, key := range [][]byte{initiator.key.Bytes(), other} {
				secrets = append(secrets, newKeyed(key).of(make([]byte, 4))) // of numbers, and of messages
			}
			secrets = append(secrets, initiator.rc4.number.sum[:], initiator.rc4.seal.sum[:]) // of the message
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			for _, x := range []any{initiator, *initiator, c, *c, initiator.rc4} {
				text := fmt.Sprintf(verb, x)
				for _, secret := range secrets {
					for _, form := range []string{string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
						strings.Trim(fmt.Sprint(secret), "[]"), fmt.Sprintf("%q", secret)} {
						if strings.Contains(text, form) {
							t.Errorf("etype %d: a key in %s of %T", etype, verb, x)
						}
					}
				}
			}
		}
		if text := fmt.Sprint(initiator); !strings.Contains(text, krb.EtypeName(etype)) {
			t.Errorf("%q names no encryption type", text)
		}
	}
}

// FuzzUnwrap: nothing but MIT's own tokens, however rotated, is taken.
func FuzzUnwrap(f *testing.F) {
	all := vectors(f)
	for _, v := range all {
		for _, token := range [][]byte{v.AcceptorSealed, v.AcceptorClear, v.AcceptorMIC, slices.Concat(v.AcceptorIOVHeader, v.AcceptorIOVData, v.AcceptorIOVPadding)} {
			f.Add(v.Etype, token, len(v.AcceptorIOVHeader))
			f.Add(v.Etype, token[:len(token)-1], 16)
		}
	}
	f.Fuzz(func(t *testing.T, etype int32, token []byte, cut int) {
		cut = max(0, min(cut, len(token)))
		for _, v := range all {
			if v.Etype != etype {
				continue
			}
			for number := range uint64(4) {
				at := func() *Channel {
					c := v.channel(t, false)
					c.recv += number
					return c
				}
				if got, _, err := at().Unwrap(token); err == nil && !bytes.Equal(got, v.Message) {
					t.Errorf("%x opened to %x", token, got)
				}
				if got, err := at().UnwrapIOV(token[:cut], token[cut:]); err == nil && !bytes.Equal(got, v.Message) {
					t.Errorf("%x|%x opened to %x", token[:cut], token[cut:], got)
				}
				if got, err := at().Open(token[:cut], bytes.Clone(token[cut:])); err == nil && !bytes.HasPrefix(got, v.Message) {
					t.Errorf("%x|%x opened in place to %x", token[:cut], token[cut:], got)
				}
				if err := at().VerifyMIC(v.Message, token); err == nil && !bytes.Equal(token, v.AcceptorMIC) {
					t.Errorf("MIC %x taken", token)
				}
			}
		}
	})
}
