package gss

import (
	"testing"
	"time"

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
			o := Options{Flags: FlagMutual | FlagInteg | FlagConf, Bindings: v.CBApplicationData}
			b.ReportAllocs()
			for b.Loop() {
				o.Now = time.Now()
				_, req, err := Init(t, o)
				if err != nil {
					b.Fatal(err)
				}
				spnego.AppendInitFrame(nil, spnego.TokAPReq, req)
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
