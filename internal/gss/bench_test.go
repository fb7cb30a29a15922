package gss

import (
	"fmt"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// BenchmarkInit is the cost of one token with a ticket at hand: subkey, mutual
// flag and bindings included, SPNEGO around it, base64 not.
func BenchmarkInit(b *testing.B) {
	for _, v := range vectors(b) {
		if !v.Mutual {
			continue
		}
		b.Run(krb.EtypeName(v.Etype), func(b *testing.B) {
			_, _, apReq, err := spnego.Unframe(v.APReqToken)
			if err != nil {
				b.Fatal(err)
			}
			parsed, err := krb.ParseAPReq(apReq)
			if err != nil {
				b.Fatal(err)
			}
			key, err := krb.NewKey(v.Etype, v.SessionKey)
			if err != nil {
				b.Fatal(err)
			}
			t := &krb.Ticket{Client: krb.NewPrincipal("MINI.TEST", "alice"), Raw: parsed.RawTicket, Key: key}
			o := Options{Flags: FlagMutual | FlagInteg | FlagConf, Bindings: new(cbt.Hash(v.CBApplicationData))}
			b.ReportAllocs()
			for b.Loop() {
				o.Now = time.Now()
				_, req, err := Init(t, o)
				if err != nil {
					b.Fatal(err)
				}
				_ = append(spnego.AppendInitFrameHead(nil, spnego.TokAPReq, len(req)), req...)
			}
		})
	}
}

// BenchmarkAccept is the cost of verifying the acceptor's answer.
func BenchmarkAccept(b *testing.B) {
	for _, v := range vectors(b) {
		if !v.Mutual {
			continue
		}
		b.Run(krb.EtypeName(v.Etype), func(b *testing.B) {
			c := v.context(b)
			b.ReportAllocs()
			for b.Loop() {
				c.established = false
				if err := c.Accept(v.APRepToken); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// sizes of messages: a small SOAP envelope, and a large one.
var sizes = []int{1 << 10, 1 << 16}

// BenchmarkWrapIOV is the cost of sealing, with the token in new memory. Compare
// with raw, the encryption type alone.
func BenchmarkWrapIOV(b *testing.B) {
	benchSizes(b, "", func(b *testing.B, etype int32, plain []byte) {
		c, _ := pair(b, etype)
		for b.Loop() {
			if _, _, err := c.WrapIOV(plain); err != nil {
				b.Fatal(err)
			}
		}
	})
	benchSizes(b, "/raw", func(b *testing.B, etype int32, plain []byte) {
		c, _ := pair(b, etype)
		for b.Loop() {
			if _, err := c.key.Seal(krb.UsageInitiatorSeal, plain); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSeal seals into memory that is there.
func BenchmarkSeal(b *testing.B) {
	benchSizes(b, "", func(b *testing.B, etype int32, plain []byte) {
		c, _ := pair(b, etype)
		dst := make([]byte, 0, len(plain)+100)
		for b.Loop() {
			if _, _, err := c.Seal(dst, plain); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkUnwrapIOV is the cost of opening, with the plaintext in new memory.
func BenchmarkUnwrapIOV(b *testing.B) {
	benchSizes(b, "", func(b *testing.B, etype int32, plain []byte) {
		c, peer := pair(b, etype)
		header, sealed, err := peer.WrapIOV(plain)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := c.UnwrapIOV(header, sealed); err != nil {
				b.Fatal(err)
			}
			c.recv--
		}
	})
	benchSizes(b, "/raw", func(b *testing.B, etype int32, plain []byte) {
		c, _ := pair(b, etype)
		sealed, err := c.key.Seal(krb.UsageInitiatorSeal, plain)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := c.key.Open(krb.UsageInitiatorSeal, sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchSizes(b *testing.B, suffix string, f func(b *testing.B, etype int32, plain []byte)) {
	for _, etype := range etypes {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d%s", krb.EtypeName(etype), n, suffix), func(b *testing.B) {
				b.SetBytes(int64(n))
				b.ReportAllocs()
				f(b, etype, pattern(n))
			})
		}
	}
}
