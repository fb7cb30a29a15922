package client_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

// makers make a client of options without a transport, in each way there is.
var makers = map[string]func(o client.Options) (*http.Client, error){
	"New": client.New,
	"NewTransport": func(o client.Options) (*http.Client, error) {
		rt, err := client.NewTransport(o)
		return &http.Client{Transport: rt}, err
	},
	"NewRetryable": func(o client.Options) (*http.Client, error) {
		r, err := client.NewRetryable(o)
		if err != nil {
			return nil, err
		}
		return r.StandardClient(), nil
	},
	"WinRM in clear": func(o client.Options) (*http.Client, error) {
		if o.Mutual != mutual.Required {
			return nil, nil
		}
		return client.NewWinRM(client.WinRMOptions{Options: o, Encryption: seal.Never})
	},
	"OneConnection": func(o client.Options) (*http.Client, error) {
		o.OneConnection = true
		return client.New(o)
	},
	"Stack over nil": func(o client.Options) (*http.Client, error) {
		stack, err := client.NewStack(o)
		if err != nil {
			return nil, err
		}
		return &http.Client{Transport: stack.Wrap(nil)}, nil
	},
	"a chain of one's own": func(o client.Options) (*http.Client, error) { // as README has it
		source, err := kerberos.FromCCache(o.CCache, kerberos.SourceOptions{Krb5ConfText: o.Krb5ConfText, Now: o.Now, Getenv: o.Getenv})
		if err != nil {
			return nil, err
		}
		in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{})
		if err != nil {
			return nil, err
		}
		return &http.Client{Transport: kerbchain.Wrap(nil,
			mutual.New(mutual.Options{Mode: o.Mutual}),
			negotiate.New(in, negotiate.Options{}),
		)}, nil
	},
}

// Where nobody gave a transport, no two clients and nothing else in the program
// share a connection, be the default transport net/http's or a wrapper that takes
// its place: a server that authenticates connections sees each as who it is.
func TestNothingIsSharedWithoutATransport(t *testing.T) {
	t.Parallel()
	for _, replaced := range []bool{false, true} {
		for name, make := range makers {
			for _, mode := range []mutual.Mode{mutual.Required, mutual.Optional, mutual.Disabled} {
				t.Run(fmt.Sprintf("%s, replaced %t, %v", name, replaced, mode), func(t *testing.T) {
					realm, all := users(t, "alice", "bob")
					h := fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true, Next: echo})
					server := fakeweb.Serve(realm, h, fakeweb.ServerOptions{})
					defer http.DefaultClient.CloseIdleConnections() // of the transport that is put back
					if replaced {
						old := http.DefaultTransport
						http.DefaultTransport = struct{ http.RoundTripper }{old}
						defer func() { http.DefaultTransport = old }()
					}
					clients := map[string]*http.Client{}
					for user, o := range all {
						o.Mutual = mode
						c, err := make(o)
						if err != nil {
							t.Fatal(err)
						}
						if c == nil {
							t.Skip("it knows no other mode")
						}
						defer c.CloseIdleConnections()
						clients[user] = c
					}
					for range 2 {
						for user, c := range clients {
							resp, err := c.Post(server.URL(), "text/plain", strings.NewReader("x"))
							if err != nil {
								t.Fatal(user, err)
							}
							body, err := io.ReadAll(resp.Body)
							resp.Body.Close()
							if want := "1 bytes of " + user + "@" + realm.Name(); err != nil || resp.StatusCode != 200 || string(body) != want {
								t.Errorf("%s got %d, %q, %v", user, resp.StatusCode, body, err)
							}
						}
						if status, body, err := get(t, http.DefaultClient, server.URL()); err != nil || status != 401 {
							t.Errorf("a request of the program's: %d, %q, %v", status, body, err)
						}
					}
					for conn, names := range owners(h) {
						if len(names) != 1 {
							t.Errorf("connection %d belongs to %v", conn, names)
						}
					}
				})
			}
		}
	}
}
