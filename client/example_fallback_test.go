package client_test

import (
	"fmt"
	"log"
	"net/http"
	"strings"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// orBasic is a stage outside those of Kerberos. Where they left a challenge that
// offers Basic too, it sends the request with a name and a password through plain,
// whose answers nobody holds against a ticket. Over https alone: Basic shows the
// password to whoever gets the request, and whoever can forge the word of a KDC can
// have it chosen.
func orBasic(plain http.RoundTripper, name, password string) kerbchain.Middleware {
	return func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			resp, err := next(r)
			if err != nil || resp.StatusCode != http.StatusUnauthorized || r.URL.Scheme != "https" || !offersBasic(resp) {
				return resp, err
			}
			again := r.Clone(r.Context())
			if r.Body != nil && r.Body != http.NoBody {
				if r.GetBody == nil {
					return resp, nil // it cannot be sent twice
				}
				if again.Body, err = r.GetBody(); err != nil {
					return resp, nil
				}
			}
			resp.Body.Close()
			again.SetBasicAuth(name, password)
			return plain.RoundTrip(again)
		}
	}
}

func offersBasic(resp *http.Response) bool {
	for _, line := range resp.Header.Values("WWW-Authenticate") {
		for _, challenge := range strings.Split(line, ",") {
			if scheme, _, _ := strings.Cut(strings.TrimSpace(challenge), " "); strings.EqualFold(scheme, "Basic") {
				return true
			}
		}
	}
	return false
}

// A server without a principal, which takes passwords too.
func ExampleNewTransport_fallback() {
	intranet := newSecureIntranet("HTTP/localhost", fakeweb.Options{
		Quirks: fakeweb.Quirks{Challenge: []string{"Negotiate", `Basic realm="legacy"`}},
	}, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if name, password, ok := r.BasicAuth(); ok && name == "alice" && password == "old" {
				fmt.Fprintln(w, "hello", name)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	defer intranet.close()

	o := intranet.options
	o.HostOverride = "legacy.example.com" // which no KDC knows
	o.ReturnChallenge = true
	rt, err := client.NewTransport(o)
	if err != nil {
		log.Fatal(err)
	}
	plain := intranet.server.Transport() // kerbchain.NewTransport() in earnest
	defer plain.CloseIdleConnections()
	c := &http.Client{Transport: kerbchain.Wrap(rt, orBasic(plain, "alice", "old"))}
	defer c.CloseIdleConnections()
	show(c.Get(intranet.url))
	fmt.Println(intranet.web.Statuses())
	// Output:
	// 200 hello alice
	// [401]
}
