package gssapi_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
	"github.com/kerbchain/kerbchain/gssapi"
)

// Messages are sealed for a WinRM endpoint, by each library and encryption type, and
// what was forged on the way back is refused.
func TestSeal(t *testing.T) {
	for _, etype := range []int32{fakekdc.AES128SHA1, fakekdc.AES256SHA1, fakekdc.AES128SHA256, fakekdc.AES256SHA384} {
		t.Run(fmt.Sprint("etype", etype), func(t *testing.T) {
			each(t, func(t *testing.T, library string) {
				r := realm(t, fakekdc.WithEtypes(etype))
				endpoint := fakewinrm.New(r, "HTTP/localhost", fakewinrm.Options{})
				server := fakeweb.Serve(r, endpoint, fakeweb.ServerOptions{})
				transport := server.Transport()
				defer transport.CloseIdleConnections()
				in := initiator(t, gssapi.Options{Library: library, Sealing: true})
				c, err := client.NewWinRM(client.WinRMOptions{Options: client.Options{Initiator: in, Transport: transport}})
				if err != nil {
					t.Fatal(err)
				}
				defer c.CloseIdleConnections()
				post := func() (string, error) {
					resp, err := c.Post(server.URL()+"/wsman", "application/soap+xml;charset=UTF-8", strings.NewReader("<message/>"))
					if err != nil {
						return "", err
					}
					defer resp.Body.Close()
					b, err := io.ReadAll(resp.Body)
					if err == nil && resp.StatusCode != http.StatusOK {
						err = fmt.Errorf("%s", resp.Status)
					}
					return string(b), err
				}
				for range 3 {
					if got, err := post(); err != nil || got != "<message/>" {
						t.Fatalf("%q, %v: %+v", got, err, endpoint.Messages())
					}
				}
				for _, name := range []string{"replayed", "reflected", "last bit of the data", "signed and not sealed", "signature cut to one byte"} {
					forge := fakewinrm.Forgeries()[name]
					if forge == nil {
						t.Fatalf("no forgery %q", name)
					}
					endpoint.SetForgery(nil)
					if got, err := post(); err != nil || got != "<message/>" {
						t.Fatalf("%q, %v: %+v", got, err, endpoint.Messages())
					}
					endpoint.SetForgery(forge)
					if got, err := post(); err == nil {
						t.Errorf("%s: %q", name, got)
					}
				}
			})
		})
	}
}
