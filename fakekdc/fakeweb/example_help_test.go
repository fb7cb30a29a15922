package fakeweb_test

import (
	"io"
	"log"
	"net/http"
	"strings"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
)

// newRealm is a realm with a user and a service, and what else is wanted.
func newRealm(opts ...fakekdc.Option) *fakekdc.Realm {
	realm, err := fakekdc.New(append([]fakekdc.Option{
		fakekdc.WithRealm("A.EXAMPLE"),
		fakekdc.WithUser("alice", "secret"),
		fakekdc.WithService("HTTP/localhost"),
	}, opts...)...)
	if err != nil {
		log.Fatal(err)
	}
	return realm
}

// get fetches a page with the standard stack and says how it went.
func get(realm *fakekdc.Realm, url string) string {
	c := clienttest.New(nil, realm, "alice", client.Options{})
	defer c.CloseIdleConnections()
	return page(c, url)
}

// page fetches a page and says how it went.
func page(c *http.Client, url string) string {
	resp, err := c.Get(url)
	if err != nil {
		return "the client refused the answer"
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	return resp.Status + ": " + strings.TrimSpace(string(b))
}
