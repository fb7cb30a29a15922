// Package recipes tries the blocks of docs/recipes.md that need the libraries of
// others: clients of Vault, Kubernetes, Connect and Prometheus whose servers want
// Kerberos, and otelhttp around a client. The pages' blocks are built with this
// module's dependencies.
package recipes

import (
	"net/http"

	"connectrpc.com/connect"
	vault "github.com/hashicorp/vault/api"
	promapi "github.com/prometheus/client_golang/api"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"k8s.io/client-go/rest"

	"github.com/kerbchain/kerbchain/client"
)

// Vault returns a client of a Vault behind Kerberos. Vault's own tries stay, and each
// is signed anew.
func Vault(address string, o client.Options) (*vault.Client, error) {
	config := vault.DefaultConfig()
	config.Address = address
	if o.Transport == nil {
		o.Transport = config.HttpClient.Transport
	}
	rt, err := client.NewTransport(o)
	if err != nil {
		return nil, err
	}
	config.HttpClient.Transport, config.CheckRetry = rt, client.CheckRetry
	return vault.NewClient(config)
}

// Kubernetes makes clients of config call an API server, or a proxy before it, that
// wants Kerberos. The transport that client-go made is cloned: it shares its own
// between all configurations that are alike.
func Kubernetes(config *rest.Config, o client.Options) {
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		o.Transport = rt
		signed, err := client.NewTransport(o)
		if err != nil {
			return failing{err}
		}
		return signed
	})
}

// failing answers every request with an error.
type failing struct{ err error }

func (f failing) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	return nil, f.err
}

// Prometheus returns a client of a Prometheus; examples/libraries has more of it.
func Prometheus(address string, rt http.RoundTripper) (promapi.Client, error) {
	return promapi.NewClient(promapi.Config{Address: address, RoundTripper: rt})
}

// Connect returns a client of one procedure of a service that speaks Connect, gRPC or
// gRPC-Web.
func Connect[Req, Res any](c *http.Client, procedure string) *connect.Client[Req, Res] {
	return connect.NewClient[Req, Res](c, procedure)
}

// Traced makes a span of each call, around those that trace events make.
func Traced(rt http.RoundTripper) *http.Client {
	return &http.Client{Transport: otelhttp.NewTransport(rt)}
}
