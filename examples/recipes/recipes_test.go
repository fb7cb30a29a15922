package recipes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"k8s.io/client-go/rest"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// start serves next in a realm, and returns the options of alice's clients.
func start(t *testing.T, o fakeweb.Options, so fakeweb.ServerOptions) (*fakeweb.Handler, *fakeweb.Server, client.Options) {
	t.Helper()
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	web := fakeweb.New(realm, "HTTP/localhost", o)
	return web, fakeweb.Serve(realm, web, so), client.Options{
		Principal: "alice", Password: kerberos.NewSecret("secret"),
		Krb5ConfText: realm.Config(), Getenv: func(string) string { return "" }, // neither in earnest
	}
}

// says answers with a text in which %s is the caller.
func says(text string) fakeweb.Options {
	return fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := fakeweb.CallerOf(r.Context())
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, text, caller.Name)
	})}
}

func TestVault(t *testing.T) {
	web, server, o := start(t, says(`{"data":{"who":%q}}`), fakeweb.ServerOptions{})
	c, err := Vault(server.URL(), o)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := c.Logical().ReadWithContext(t.Context(), "kv/report")
	if err != nil {
		t.Fatal(err)
	}
	if who, _ := secret.Data["who"].(string); !strings.HasPrefix(who, "alice@") {
		t.Errorf("%v", secret.Data)
	}
	if got := web.Statuses(); !slices.Equal(got, []int{401, 200}) {
		t.Errorf("statuses %v", got)
	}
	// A forged answer is an error, and not tried again.
	web.ResetRequests()
	web.SetQuirks(fakeweb.Quirks{Proof: fakeweb.ProofForged})
	if _, err := c.Logical().ReadWithContext(t.Context(), "kv/report"); !errors.Is(err, middleware.ErrNotVerified) {
		t.Errorf("forged: %v", err)
	}
	if n := len(web.Requests()); n > 2 {
		t.Errorf("%d requests", n)
	}
}

func TestKubernetes(t *testing.T) {
	for name, forged := range map[string]bool{"genuine": false, "forged": true} {
		t.Run(name, func(t *testing.T) {
			web, server, o := start(t, says(`{"gitVersion":%q}`), fakeweb.ServerOptions{})
			if forged {
				web.SetQuirks(fakeweb.Quirks{Proof: fakeweb.ProofForged})
			}
			config := &rest.Config{Host: server.URL()}
			Kubernetes(config, o)
			c, err := rest.HTTPClientFor(config)
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseIdleConnections()
			resp, err := c.Get(server.URL() + "/version")
			if forged {
				if !errors.Is(err, middleware.ErrNotVerified) {
					t.Errorf("forged: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 200 || !slices.Equal(web.Statuses(), []int{401, 200}) {
				t.Errorf("%d, %v", resp.StatusCode, web.Statuses())
			}
		})
	}
	config := &rest.Config{Host: "https://api.example"}
	Kubernetes(config, client.Options{Keytab: t.TempDir() + "/none"})
	c, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Post("https://api.example/", "text/plain", strings.NewReader("x")); !errors.Is(err, middleware.ErrCredentials) {
		t.Errorf("without a keytab: %v", err)
	}
}

func TestConnect(t *testing.T) {
	greet := connect.NewUnaryHandler("/test.Greeter/Greet", func(ctx context.Context, r *connect.Request[wrapperspb.StringValue]) (*connect.Response[wrapperspb.StringValue], error) {
		caller, _ := fakeweb.CallerOf(ctx)
		return connect.NewResponse(wrapperspb.String(r.Msg.Value + " " + caller.Name)), nil
	})
	_, server, o := start(t, fakeweb.Options{Next: greet}, fakeweb.ServerOptions{TLS: true, HTTP2: true})
	o.Transport = server.Transport()
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	for range 2 {
		call := Connect[wrapperspb.StringValue, wrapperspb.StringValue](c, server.URL()+"/test.Greeter/Greet")
		got, err := call.CallUnary(t.Context(), connect.NewRequest(wrapperspb.String("hello")))
		if err != nil || !strings.HasPrefix(got.Msg.Value, "hello alice@") {
			t.Errorf("%v, %v", got, err)
		}
	}
}

func TestTraced(t *testing.T) {
	web, server, o := start(t, says("hello %s"), fakeweb.ServerOptions{})
	rt, err := client.NewTransport(o)
	if err != nil {
		t.Fatal(err)
	}
	c := Traced(rt)
	defer c.CloseIdleConnections()
	if prometheus, err := Prometheus(server.URL(), rt); err != nil || prometheus.URL("/api", nil).Path != "/api" {
		t.Errorf("%v, %v", prometheus, err)
	}
	resp, err := c.Get(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || !slices.Equal(web.Statuses(), []int{401, 200}) {
		t.Errorf("%d, %v", resp.StatusCode, web.Statuses())
	}
}
