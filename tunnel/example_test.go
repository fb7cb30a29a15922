package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/tunnel"
)

// An office is a proxy that wants Negotiate, and a server on the other side of
// it: what the process's surroundings are in earnest.
type office struct {
	realm     *fakekdc.Realm
	proxy     *fakeweb.Proxy
	server    *fakeweb.Server
	initiator middleware.Initiator // signs for alice
	transport *http.Transport      // goes through the proxy and does not authenticate
}

func newOffice() *office {
	realm, err := fakekdc.New(fakekdc.WithEtypes(fakekdc.AES256SHA1),
		fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/proxy.example"))
	if err != nil {
		log.Fatal(err)
	}
	o := &office{realm: realm}
	o.proxy = fakeweb.ServeProxy(realm, "HTTP/proxy.example", fakeweb.Options{}, fakeweb.ServerOptions{Host: "proxy.example"})
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	o.server = fakeweb.Serve(realm, hello, fakeweb.ServerOptions{Host: "app.example", TLS: true})
	o.transport = o.proxy.Transport(o.server)
	source, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal: "alice", Krb5ConfText: realm.Config(),
	})
	if err != nil {
		log.Fatal(err)
	}
	if o.initiator, err = kerberos.NewInitiator(source, kerberos.InitiatorOptions{}); err != nil {
		log.Fatal(err)
	}
	return o
}

func (o *office) close() { o.realm.Close() }

// fetch prints what comes back.
func (o *office) fetch(rt http.RoundTripper) {
	resp, err := (&http.Client{Transport: rt}).Get(o.server.URL())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status, string(b))
}

// connects prints what the proxy was asked.
func (o *office) connects() {
	for _, c := range o.proxy.Connects() {
		fmt.Println(c.Method, c.Status, c.Caller.Mutual)
	}
}

func ExampleNew() {
	o := newOffice()
	defer o.close()

	rt := tunnel.New(o.initiator, o.transport, tunnel.Options{})
	defer rt.CloseIdleConnections()
	o.fetch(rt)
	o.fetch(rt) // over the same connection
	o.connects()
	// Output:
	// 200 OK hello
	// 200 OK hello
	// CONNECT 407 false
	// CONNECT 200 true
}

// With Always there is no CONNECT without a token, and with ProofRequired none
// that the proxy answers without proof.
func ExampleOptions() {
	o := newOffice()
	defer o.close()

	rt := tunnel.New(o.initiator, o.transport, tunnel.Options{Always: true, Proof: tunnel.ProofRequired})
	defer rt.CloseIdleConnections()
	o.fetch(rt)
	o.connects()
	// Output:
	// 200 OK hello
	// CONNECT 200 true
}

func ExampleConnectError() {
	o := newOffice()
	defer o.close()
	o.proxy.SetQuirks(fakeweb.Quirks{Challenge: []string{"NTLM", `Basic realm="office"`}})

	rt := tunnel.New(o.initiator, o.transport, tunnel.Options{})
	r, err := http.NewRequest(http.MethodGet, o.server.URL(), nil)
	if err != nil {
		log.Fatal(err)
	}
	_, err = rt.RoundTrip(r)
	if e, ok := errors.AsType[*tunnel.ConnectError](err); ok && errors.Is(err, tunnel.ErrTunnel) {
		fmt.Println(e.Status, e.Schemes, e.Signed)
	}
	// Output: 407 [NTLM Basic] false
}

// A hook of the transport's own sees every answer, and whether the proxy proved
// who it is.
func ExampleTransport_RoundTrip() {
	o := newOffice()
	defer o.close()
	o.transport.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, r *http.Request, resp *http.Response) error {
		sc := middleware.ProxySecurityOf(r)
		fmt.Println(resp.StatusCode, sc != nil && sc.Verified())
		return nil
	}

	rt := tunnel.New(o.initiator, o.transport, tunnel.Options{})
	defer rt.CloseIdleConnections()
	r, err := http.NewRequest(http.MethodGet, o.server.URL(), nil)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := rt.RoundTrip(r)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	// Output:
	// 407 false
	// 200 true
}

// A connection that is nobody else's, through the same proxy.
func ExampleTransport_NewClientConn() {
	o := newOffice()
	defer o.close()

	rt := tunnel.New(o.initiator, o.transport, tunnel.Options{})
	conn, err := rt.NewClientConn(context.Background(), "https", strings.TrimPrefix(o.server.URL(), "https://"))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	o.fetch(conn)
	fmt.Println(o.proxy.Tunnels())
	// Output:
	// 200 OK hello
	// 1
}
