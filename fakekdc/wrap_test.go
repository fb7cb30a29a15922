package fakekdc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// agreed returns both sides of a context whose initiator asked for these flags too.
func agreed(t *testing.T, etype int32, o AcceptOptions, flags uint32) (*plainclient.Client, *SecurityContext) {
	t.Helper()
	r := Start(t, WithoutSockets(), WithEtypes(etype), WithUser("alice", "secret"), WithService("ldap/dir.example"))
	c := &plainclient.Client{TB: t, Now: r.Now, Ticket: minted(t, r, "alice", "ldap/dir.example")}
	const flagsAt = 20 // RFC 4121 section 4.1.1
	c.Spoil = func(a *krb.Authenticator) { a.Checksum.Value[flagsAt] |= byte(flags) }
	sc, err := r.Accept(c.First(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, verdict := c.Judge(sc.Response()); verdict != "verified" {
		t.Fatalf("the initiator says %q", verdict)
	}
	return c, sc
}

// TestWrap: messages go both ways, encrypted and not, in turn with MICs; what is changed is
// refused, and counts for nothing.
func TestWrap(t *testing.T) {
	for _, etype := range allEtypes {
		for name, o := range map[string]AcceptOptions{"subkey": {}, "no subkey": {NoSubkey: true}} {
			t.Run(krb.EtypeName(etype)+"/"+name, func(t *testing.T) {
				c, sc := agreed(t, etype, o, 0)
				for i, message := range [][]byte{[]byte("one that is long enough"), {}, bytes.Repeat([]byte("long"), 1000)} {
					conf := i%2 == 0
					token := c.Wrap(message, conf)
					if bytes.Contains(token, message) == conf {
						t.Errorf("%d bytes: in clear %t", len(message), conf)
					}
					for _, at := range []int{0, 2, 20, len(token) - 1} {
						changed := bytes.Clone(token)
						changed[at] ^= 1
						if got, _, err := sc.Unwrap(changed); err == nil {
							t.Errorf("byte %d of %d changed: %q", at, len(token), got)
						}
					}
					if got, sealed, err := sc.Unwrap(token); err != nil || !bytes.Equal(got, message) || sealed != conf {
						t.Errorf("%d bytes: %d, encrypted %t, error %v", len(message), len(got), sealed, err)
					}
					if !sc.VerifyMIC(message, c.MIC(message)) || !c.VerifyMIC(message, mustMIC(t, sc, message)) {
						t.Error("MICs do not go on where messages were")
					}
					token, err := sc.Wrap(message, conf)
					if err != nil {
						t.Fatal(err)
					}
					if got, sealed, err := c.Unwrap(token); err != nil || !bytes.Equal(got, message) || sealed != conf {
						t.Errorf("%d bytes of the service: %d, encrypted %t, error %v", len(message), len(got), sealed, err)
					}
					if _, _, err := sc.Unwrap(token); err == nil {
						t.Error("the service took its own token")
					}
				}
				for _, short := range [][]byte{nil, {5, 4}, make([]byte, 16)} {
					if _, _, err := sc.Unwrap(short); err == nil {
						t.Errorf("%x is a token", short)
					}
				}
			})
		}
	}
}

// TestWrapInOrder: who asks for it gets messages once and in order, and others as they come, as with
// MIT's library.
func TestWrapInOrder(t *testing.T) {
	for flags, strict := range map[uint32]bool{0: false, GSSReplay: true, GSSSequence: true} {
		t.Run(fmt.Sprint(flags), func(t *testing.T) {
			c, sc := agreed(t, AES256SHA1, AcceptOptions{}, flags)
			one, two := c.Wrap([]byte("one"), true), c.Wrap([]byte("two"), true)
			for i, token := range [][]byte{two, one, one} {
				if _, _, err := sc.Unwrap(token); (err != nil) != (strict && i != 1) {
					t.Errorf("token %d: %v", i, err)
				}
			}
		})
	}
}

// TestGokrb5Wrap: SASL's mechanism GSSAPI (RFC 4752) as go-ldap carries it out, by the tokens of
// gokrb5, which has a fixed number in its own.
func TestGokrb5Wrap(t *testing.T) {
	for _, etype := range allEtypes {
		if etype == RC4HMAC {
			continue // gokrb5 has tokens of RFC 4121 alone
		}
		t.Run(krb.EtypeName(etype), func(t *testing.T) {
			_, sc := agreed(t, etype, AcceptOptions{}, 0)
			key := types.EncryptionKey{KeyType: etype, KeyValue: sc.Keys().Acceptor.Bytes()}
			offer, err := sc.Wrap([]byte{1, 0, 0, 0}, false)
			if err != nil {
				t.Fatal(err)
			}
			n := 16 + int(binary.BigEndian.Uint16(offer[4:])) // where the checksum ends, which go-ldap takes to be first
			got := gssapi.WrapToken{Flags: offer[2], SndSeqNum: binary.BigEndian.Uint64(offer[8:]), CheckSum: offer[16:n], Payload: offer[n:]}
			if ok, err := got.Verify(key, keyusage.GSSAPI_ACCEPTOR_SEAL); !ok || !bytes.Equal(got.Payload, []byte{1, 0, 0, 0}) {
				t.Errorf("%x, %v", got.Payload, err)
			}
			kind, err := crypto.GetEtype(etype)
			if err != nil {
				t.Fatal(err)
			}
			answer := gssapi.WrapToken{Flags: 4, EC: uint16(kind.GetHMACBitLength() / 8), SndSeqNum: 1, Payload: []byte("\x01\x00\x00\x00alice")}
			if err := answer.SetCheckSum(key, keyusage.GSSAPI_INITIATOR_SEAL); err != nil {
				t.Fatal(err)
			}
			token, err := answer.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if msg, conf, err := sc.Unwrap(token); err != nil || conf || string(msg) != "\x01\x00\x00\x00alice" {
				t.Errorf("%q, encrypted %t, %v", msg, conf, err)
			}
		})
	}
}
