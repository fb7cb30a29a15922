package libraries

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/api"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

const spn = "HTTP/localhost"

// start serves next in a realm, and returns the options of alice's clients.
func start(t *testing.T, wo fakeweb.Options, so fakeweb.ServerOptions) (*fakeweb.Handler, *fakeweb.Server, client.Options) {
	t.Helper()
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService(spn))
	web := fakeweb.New(realm, spn, wo)
	return web, fakeweb.Serve(realm, web, so), client.Options{
		Principal: "alice", Password: kerberos.NewSecret("secret"),
		Krb5ConfText: realm.Config(), Getenv: func(string) string { return "" }, // neither in earnest
	}
}

// closeIdle closes the connections of a client of the Prometheus library.
func closeIdle(c api.Client) { c.(api.CloseIdler).CloseIdleConnections() }

// answers is a Prometheus with one metric.
var answers = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	caller, _ := fakeweb.CallerOf(r.Context())
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, `{"status":"success","who":%q,"query":%q}`, caller.Name, body)
})

// ask sends the query "up".
func ask(ctx context.Context, c api.Client) (string, error) {
	r, err := http.NewRequest(http.MethodPost, c.URL("/api/v1/query", nil).String(), strings.NewReader("query=up"))
	if err != nil {
		return "", err
	}
	_, body, err := c.Do(ctx, r)
	return string(body), err
}

func TestPrometheus(t *testing.T) {
	web, server, o := start(t, fakeweb.Options{Next: answers}, fakeweb.ServerOptions{})
	stack, err := client.NewStack(o)
	if err != nil {
		t.Fatal(err)
	}
	for name, connect := range map[string]func() (api.Client, error){
		"theirs": func() (api.Client, error) { return Prometheus(server.URL(), o) },
		"one's own": func() (api.Client, error) {
			o := o
			o.Transport = server.Transport()
			return Prometheus(server.URL(), o)
		},
		"by the name": func() (api.Client, error) { return PrometheusWith(server.URL(), stack, server.Transport()) },
	} {
		t.Run(name, func(t *testing.T) {
			web.SetQuirks(fakeweb.Quirks{})
			c, err := connect()
			if err != nil {
				t.Fatal(err)
			}
			defer closeIdle(c)
			got, err := ask(t.Context(), c)
			if err != nil || !strings.Contains(got, `"who":"alice@`) || !strings.Contains(got, `"query":"query=up"`) {
				t.Errorf("%s, %v", got, err)
			}
			web.SetQuirks(fakeweb.Quirks{Proof: fakeweb.ProofForged})
			if got, err = ask(t.Context(), c); !errors.Is(err, middleware.ErrNotVerified) || got != "" {
				t.Errorf("of a server that did not prove itself: %q, %v", got, err)
			}
		})
	}
	if _, err := Prometheus(server.URL(), client.Options{CCache: "FILE:x", Keytab: "y"}); !errors.Is(err, middleware.ErrConfiguration) {
		t.Errorf("%v", err)
	}
}

// handOn has what is hijacked begin with a header field of the one that was set: Upgrade
// of the library writes a header of its own, without the server's token.
type handOn struct{ http.ResponseWriter }

func (w handOn) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	return &first{Conn: conn, header: w.Header()}, rw, err
}

// A first puts the token into the first thing that is written, which is the header.
type first struct {
	net.Conn
	header http.Header
}

func (c *first) Write(b []byte) (int, error) {
	if c.header == nil {
		return c.Conn.Write(b)
	}
	status, rest, _ := bytes.Cut(b, []byte("\r\n"))
	out := append(bytes.Clone(status), "\r\n"...)
	for _, v := range c.header.Values("WWW-Authenticate") {
		out = fmt.Appendf(out, "WWW-Authenticate: %s\r\n", v)
	}
	c.header = nil
	_, err := c.Conn.Write(append(out, rest...))
	return len(b), err
}

// echo is a WebSocket that says its caller's name, and repeats what it is told.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	caller, _ := fakeweb.CallerOf(r.Context())
	var upgrader websocket.Upgrader
	ws, err := upgrader.Upgrade(handOn{w}, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()
	if ws.WriteMessage(websocket.TextMessage, []byte(caller.Name)) != nil {
		return
	}
	for {
		kind, message, err := ws.ReadMessage()
		if err != nil || ws.WriteMessage(kind, message) != nil {
			return
		}
	}
})

func TestWebSocket(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls %t", secure), func(t *testing.T) {
			wo := fakeweb.Options{Next: echo}
			if secure {
				wo.Bindings = fakekdc.BindingsRequired
			}
			web, server, o := start(t, wo, fakeweb.ServerOptions{TLS: secure})
			s, err := client.NewSigner(o)
			if err != nil {
				t.Fatal(err)
			}
			d := &websocket.Dialer{TLSClientConfig: server.Transport().TLSClientConfig}
			url := "ws" + strings.TrimPrefix(server.URL(), "http") + "/chat"
			open := func(q fakeweb.Quirks) (*websocket.Conn, *http.Response, error) {
				web.SetQuirks(q)
				return WebSocket(t.Context(), d, s, url, http.Header{"Origin": {server.URL()}})
			}
			for range 2 { // each is signed anew
				ws, _, err := open(fakeweb.Quirks{})
				if err != nil {
					t.Fatal(err)
				}
				if err := ws.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
					t.Error(err)
				}
				for _, want := range []string{"alice@", "hello"} {
					if _, got, err := ws.ReadMessage(); err != nil || !strings.HasPrefix(string(got), want) {
						t.Errorf("%q, %v; want %s", got, err, want)
					}
				}
				ws.Close()
			}
			for name, tc := range map[string]struct {
				quirks fakeweb.Quirks
				status int
				reason middleware.Reason
			}{
				"forged":   {fakeweb.Quirks{Proof: fakeweb.ProofForged}, 101, middleware.ReasonWrongKey},
				"none":     {fakeweb.Quirks{Proof: fakeweb.ProofNone}, 101, middleware.ReasonNoToken},
				"replayed": {fakeweb.Quirks{Proof: fakeweb.ProofReplayed}, 101, middleware.ReasonWrongTime},
				"refused":  {fakeweb.Quirks{Reject: true, RejectCode: 37}, 401, middleware.ReasonKRBError},
			} {
				ws, resp, err := open(tc.quirks)
				e, ok := errors.AsType[*middleware.Error](err)
				if ws != nil || !ok || !errors.Is(err, middleware.ErrNotVerified) || e.Reason != tc.reason || resp == nil || resp.StatusCode != tc.status {
					t.Errorf("%s: %v, %v", name, resp, err)
				}
				if errors.Is(err, websocket.ErrBadHandshake) != (tc.status != 101) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// A server that proves itself and says no is no stranger: the error is the library's.
func TestWebSocketRefused(t *testing.T) {
	_, server, o := start(t, fakeweb.Options{Next: http.NotFoundHandler()}, fakeweb.ServerOptions{})
	s, err := client.NewSigner(o)
	if err != nil {
		t.Fatal(err)
	}
	d := new(websocket.Dialer)
	ws, resp, err := WebSocket(t.Context(), d, s, "ws"+strings.TrimPrefix(server.URL(), "http"), nil)
	if ws != nil || resp == nil || resp.StatusCode != 404 || !errors.Is(err, websocket.ErrBadHandshake) || errors.Is(err, middleware.ErrNotVerified) {
		t.Errorf("%v, %v", resp, err)
	}
	for _, raw := range []string{"", "http://localhost", "ws://", "ws://localhost%25x", "wss://localhost:1", "ws://localhost:1", "://"} {
		if ws, resp, err := WebSocket(t.Context(), d, s, raw, nil); ws != nil || resp != nil || err == nil {
			t.Errorf("%q: %v, %v", raw, resp, err)
		}
	}
}
