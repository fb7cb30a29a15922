package krb

import (
	"bytes"
	"errors"
	"testing"
)

var piecesEtypes = []int32{AES128SHA1, AES256SHA1, AES128SHA256, AES256SHA384}

// split lays a sealed message out as pieces, each in memory of its own.
func split(key Key, sealed []byte) Pieces {
	cut := len(sealed) - key.MACSize()
	return Pieces{
		Confounder: bytes.Clone(sealed[:16]), Body: bytes.Clone(sealed[16 : cut-16]),
		Trailer: bytes.Clone(sealed[cut-16 : cut]), MAC: bytes.Clone(sealed[cut:]),
	}
}

func (p Pieces) join() []byte {
	return bytes.Join([][]byte{p.Confounder, p.Body, p.Trailer, p.MAC}, nil)
}

// Sealing in pieces and at once must be one and the same, for all lengths
// around the blocks of the cipher.
func TestPieces(t *testing.T) {
	for _, etype := range piecesEtypes {
		t.Run(EtypeName(etype), func(t *testing.T) {
			key := testKey(etype)
			for n := range 100 {
				plain := pattern(n + 16)
				sealed := must(key.Seal(UsageInitiatorSeal, plain))
				p := split(key, sealed)
				if err := key.OpenPieces(UsageInitiatorSeal, p); err != nil {
					t.Fatalf("%d bytes: open: %v", n, err)
				}
				opened := bytes.Clone(p.Confounder)
				if !bytes.Equal(append(bytes.Clone(p.Body), p.Trailer...), plain) {
					t.Fatalf("%d bytes: opened to %x %x", n, p.Body, p.Trailer)
				}
				if err := key.SealPieces(UsageInitiatorSeal, p); err != nil {
					t.Fatalf("%d bytes: seal: %v", n, err)
				}
				again := Pieces{bytes.Clone(p.Confounder), bytes.Clone(p.Body), bytes.Clone(p.Trailer), bytes.Clone(p.MAC)}
				if err := key.OpenPieces(UsageInitiatorSeal, again); err != nil || bytes.Equal(again.Confounder, opened) {
					t.Fatalf("%d bytes: sealed twice with the confounder %x, %v", n, opened, err)
				}
				got, err := key.Open(UsageInitiatorSeal, p.join())
				if err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("%d bytes: sealed in pieces: %x, %v", n, got, err)
				}
			}
		})
	}
}

func TestPiecesBad(t *testing.T) {
	for _, etype := range piecesEtypes {
		t.Run(EtypeName(etype), func(t *testing.T) {
			key := testKey(etype)
			plain := pattern(40)
			sealed := must(key.Seal(UsageAcceptorSeal, plain))
			for i := range sealed {
				bad := bytes.Clone(sealed)
				bad[i] ^= 0x10
				p := split(key, bad)
				if err := key.OpenPieces(UsageAcceptorSeal, p); !errors.Is(err, ErrIntegrity) {
					t.Fatalf("byte %d changed: %v", i, err)
				}
				if clean := make([]byte, len(p.Body)); !bytes.Equal(p.Body, clean) {
					t.Fatalf("byte %d changed: the body is %x", i, p.Body)
				}
			}
			p := split(key, sealed)
			if err := key.OpenPieces(UsageInitiatorSeal, p); !errors.Is(err, ErrIntegrity) {
				t.Errorf("another usage: %v", err)
			}
			for name, change := range map[string]func(*Pieces){
				"short confounder": func(p *Pieces) { p.Confounder = p.Confounder[1:] },
				"no trailer":       func(p *Pieces) { p.Trailer = nil },
				"long MAC":         func(p *Pieces) { p.MAC = append(p.MAC, 0) },
			} {
				p := split(key, sealed)
				change(&p)
				if err := key.OpenPieces(UsageAcceptorSeal, p); err == nil {
					t.Errorf("open, %s: no error", name)
				}
				if err := key.SealPieces(UsageAcceptorSeal, p); err == nil {
					t.Errorf("seal, %s: no error", name)
				}
			}
		})
	}
	p := Pieces{Confounder: make([]byte, 16), Trailer: make([]byte, 16), MAC: make([]byte, 16)}
	if err := testKey(RC4HMAC).SealPieces(UsageInitiatorSeal, p); !errors.Is(err, ErrEtype) {
		t.Errorf("RC4: %v", err)
	}
	if err := (Key{}).OpenPieces(UsageInitiatorSeal, p); err == nil {
		t.Error("opened without a key")
	}
}
