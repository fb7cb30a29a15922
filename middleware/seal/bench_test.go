package seal_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/winrm"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

// BenchmarkRoundTrip is a message and an answer through the stage, with the
// server's half of the work and without a network: each is sealed once and opened
// once. "crypto" is that work with the encryption type alone.
func BenchmarkRoundTrip(b *testing.B) {
	for _, etype := range []int32{krb.AES128SHA1, krb.AES256SHA1, krb.AES128SHA256, krb.AES256SHA384, krb.RC4HMAC} {
		for _, n := range []int{1 << 10, 64 << 10} {
			message := bytes.Repeat([]byte("x"), n)
			name := fmt.Sprintf("%s/%d", krb.EtypeName(etype), n)
			b.Run(name, func(b *testing.B) {
				next := kerbchain.Chain(seal.New(auth(initiatorOf(etype)), seal.Options{}), server)(func(r *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 200, ProtoMajor: 1, Header: http.Header{}, Body: r.Body, ContentLength: int64(n), Request: r}, nil
				})
				b.SetBytes(4 * int64(n))
				b.ReportAllocs()
				for b.Loop() {
					r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://a.example/wsman", bytes.NewReader(message))
					if err != nil {
						b.Fatal(err)
					}
					r.Header.Set("Content-Type", winrm.SOAP)
					resp, err := next(r)
					if err != nil {
						b.Fatal(err)
					}
					if got, err := io.Copy(io.Discard, resp.Body); err != nil || got != int64(n) {
						b.Fatal(got, err)
					}
				}
			})
			b.Run(name+"/crypto", func(b *testing.B) {
				key, err := krb.GenerateKey(etype)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(4 * int64(n))
				b.ReportAllocs()
				for b.Loop() {
					for _, usage := range []uint32{krb.UsageInitiatorSeal, krb.UsageAcceptorSeal} {
						sealed, err := key.Seal(usage, message)
						if err != nil {
							b.Fatal(err)
						}
						if _, err := key.Open(usage, sealed); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}
