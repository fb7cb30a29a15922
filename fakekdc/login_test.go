package fakekdc

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// done counts exchanges by kind and code, as "AS 25, AS 0, TGS 0".
func done(r *Realm) string {
	var out []string
	for _, e := range r.Exchanges() {
		out = append(out, e.Kind.String()+" "+krb.ErrorName(e.Code))
	}
	return strings.ReplaceAll(strings.Join(out, ", "), krb.ErrorName(0), "ok")
}

func TestClient(t *testing.T) {
	secret := kerberos.NewSecret("secret")
	for name, tc := range map[string]struct {
		user      string
		options   func(*Realm) client.Options
		exchanges string
	}{
		"logged in":        {user: "alice", exchanges: "TGS ok"},
		"full name":        {user: "alice@A.EXAMPLE", exchanges: "TGS ok"},
		"with a password":  {options: func(*Realm) client.Options { return client.Options{Principal: "alice", Password: secret} }, exchanges: "AS KDC_ERR_PREAUTH_REQUIRED, AS ok, TGS ok"},
		"in the principal": {options: func(*Realm) client.Options { return client.Options{Principal: "alice@A.EXAMPLE:secret"} }, exchanges: "AS KDC_ERR_PREAUTH_REQUIRED, AS ok, TGS ok"},
		"with a source": {options: func(r *Realm) client.Options {
			return client.Options{Source: minter{r, "alice"}}
		}},
		"with other settings": {user: "alice", options: func(r *Realm) client.Options {
			return client.Options{Krb5ConfText: r.Config("udp_preference_limit = 1"), Now: time.Now, Bindings: kerberos.BindingsRequire}
		}, exchanges: "TGS ok"},
		"with delegation": {user: "alice", options: func(*Realm) client.Options {
			return client.Options{Delegation: kerberos.DelegationAlways}
		}, exchanges: "TGS ok, TGS ok"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Start(t, WithRealm("A.EXAMPLE"), WithUser("alice", "secret"), WithService("HTTP/localhost"))
			h := r.Handler("HTTP/localhost", WebOptions{Bindings: BindingsRequired})
			s := r.Serve(h, ServerOptions{TLS: true})
			var o client.Options
			if tc.options != nil {
				o = tc.options(r)
			}
			o.Transport = s.Transport()
			c := r.Client(tc.user, o)
			for range 2 {
				resp, err := c.Get(s.URL())
				if err != nil {
					t.Fatal(err)
				}
				if got := readAll(t, resp); got != "hello alice@A.EXAMPLE\n" {
					t.Errorf("%s: %q", resp.Status, got)
				}
			}
			if d := cmp.Diff(tc.exchanges, done(r)); d != "" {
				t.Errorf("exchanges (-want +got)\n%s", d)
			}
		})
	}
}

// TestClientClock: the client lives by the realm's clock, and its tickets end as
// those of kinit do.
func TestClientClock(t *testing.T) {
	clock := &Clock{}
	r := Start(t, WithClock(clock.Now), WithLifetime(time.Hour, 0), WithUser("alice", "secret"), WithService("HTTP/localhost"))
	s := r.Serve(r.Handler("HTTP/localhost", WebOptions{}), ServerOptions{})
	c := r.Client("alice", client.Options{})
	clock.Advance(30 * time.Minute)
	resp, err := c.Get(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	if resp.StatusCode != http.StatusOK {
		t.Errorf("within the hour: %s", resp.Status)
	}
	clock.Advance(time.Hour)
	if resp, err := c.Get(s.URL()); !errors.Is(err, middleware.ErrCredentials) {
		t.Errorf("after the hour: response %v, error %v", resp, err)
	}
}

func TestTicketSource(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"), WithService("HTTP/localhost"))
	ticket, err := r.TicketSource("alice").ServiceTicket(t.Context(), "HTTP/localhost")
	if err != nil || ticket.Client() != "alice@"+r.Name() || ticket.SPN() != "HTTP/localhost@"+r.Name() {
		t.Errorf("ticket %v, error %v", ticket, err)
	}
	if got := done(r); got != "TGS ok" {
		t.Errorf("exchanges %s", got)
	}
}

// TestClientMisuse: an error ends the test, and is nil without one.
func TestClientMisuse(t *testing.T) {
	for name, tc := range map[string]struct {
		use  func(r *Realm) any
		says string
	}{
		"client of nobody":    {func(r *Realm) any { return r.Client("nobody", client.Options{}) }, "no principal nobody"},
		"client of ''":        {func(r *Realm) any { return r.Client("", client.Options{}) }, "empty"},
		"client of two":       {func(r *Realm) any { return r.Client("alice", client.Options{Keytab: "x"}) }, "credentials of their own"},
		"two passwords":       {func(r *Realm) any { return r.Client("", client.Options{Principal: "a@B:c", Keytab: "x"}) }, "exclude"},
		"source of nobody":    {func(r *Realm) any { return r.TicketSource("nobody") }, "no principal nobody"},
		"ticket of nobody":    {func(r *Realm) any { return r.Ticket("nobody", "HTTP/localhost").IsZero() }, "no principal nobody"},
		"ticket for nobody":   {func(r *Realm) any { return r.Ticket("alice", "HTTP/nowhere").IsZero() }, "no principal HTTP/nowhere"},
		"context of nobody":   {func(r *Realm) any { return r.SecurityContext("nobody", "http://localhost", true) }, "no principal nobody"},
		"context for no host": {func(r *Realm) any { return r.SecurityContext("alice", "localhost", true) }, "want a URL"},
	} {
		b := &tb{}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			tc.use(Start(b, WithUser("alice", "secret"), WithService("HTTP/localhost")))
		}()
		<-ended
		if !strings.Contains(b.failed, tc.says) {
			t.Errorf("%s: failed with %q, want %q", name, b.failed, tc.says)
		}
		for _, c := range b.cleanups {
			c()
		}
		r, err := New(WithUser("alice", "secret"), WithService("HTTP/localhost"))
		if err != nil {
			t.Fatal(err)
		}
		switch got := tc.use(r).(type) {
		case *http.Client:
			if got != nil {
				t.Errorf("%s: a client", name)
			}
		case *kerberos.Source:
			if got != nil {
				t.Errorf("%s: a source", name)
			}
		case bool:
			if !got {
				t.Errorf("%s: a ticket", name)
			}
		case nil:
		default:
			t.Errorf("%s: %v", name, got)
		}
		r.Close()
	}
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if o := r.ClientOptions("nobody", client.Options{Service: "WSMAN"}); o.Service != "WSMAN" || o.Source != nil {
		t.Errorf("options %v", o)
	}
}
