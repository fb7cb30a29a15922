package client_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

// BenchmarkWinRM is a message of 64 KiB and its echo over loopback, the server's
// work included: each is sealed once and opened once. "clear" is the same without
// encryption.
func BenchmarkWinRM(b *testing.B) {
	const n = 64 << 10
	for _, etype := range append([]int32{0}, allEtypes...) {
		name, etypes := "clear", []int32(nil)
		if etype != 0 {
			name, etypes = fmt.Sprint("etype ", etype), []int32{etype}
		}
		b.Run(name, func(b *testing.B) {
			w := startWinRM(b, fakewinrm.Options{AllowUnencrypted: true}, fakeweb.ServerOptions{}, etypes...)
			if etype == 0 {
				w.options.Encryption = seal.Never
			}
			c := w.client(b)
			message := letters(n)
			w.echo(b, c, message)
			b.SetBytes(4 * n)
			b.ReportAllocs()
			for b.Loop() {
				resp, err := c.Post(w.url, soap, strings.NewReader(message))
				if err != nil {
					b.Fatal(err)
				}
				if got, err := io.Copy(io.Discard, resp.Body); err != nil || got != n || resp.StatusCode != http.StatusOK {
					b.Fatal(resp.Status, got, err)
				}
				if err := resp.Body.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
