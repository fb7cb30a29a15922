// Package libraries shows kerbchain below the clients of other libraries: those that
// take an [http.RoundTripper], and those that take a header.
package libraries

import (
	"net/http"

	"github.com/prometheus/client_golang/api"

	"github.com/kerbchain/kerbchain/client"
)

// Prometheus returns a client for a Prometheus that wants Kerberos: the standard stack
// around the transport that the library would use itself, with its settings, such as
// time limits, and connections of its own. The same goes for every library that lets
// its transport be replaced, such as vault/api (Config.HttpClient) and client-go
// (rest.Config.WrapTransport).
//
// Close idle connections with its CloseIdleConnections.
func Prometheus(address string, o client.Options) (api.Client, error) {
	if o.Transport == nil {
		// It is cloned: a connection that is authenticated for one user is not to
		// be in a pool that the rest of the program uses.
		o.Transport = api.DefaultRoundTripper
	}
	rt, err := client.NewTransport(o)
	if err != nil {
		return nil, err
	}
	return api.NewClient(api.Config{Address: address, RoundTripper: rt})
}

// PrometheusWith is Prometheus with a stack that the caller changed, around a
// transport that is not net/http's: theirs must not be shared between users.
func PrometheusWith(address string, stack client.Stack, theirs http.RoundTripper) (api.Client, error) {
	return api.NewClient(api.Config{Address: address, RoundTripper: stack.Wrap(theirs)})
}
