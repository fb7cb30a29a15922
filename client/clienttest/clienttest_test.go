package clienttest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

func TestClient(t *testing.T) {
	secret := kerberos.NewSecret("secret")
	for name, tc := range map[string]struct {
		user      string
		options   func(*fakekdc.Realm) client.Options
		exchanges string
	}{
		"logged in":        {user: "alice", exchanges: "TGS ok"},
		"full name":        {user: "alice@A.EXAMPLE", exchanges: "TGS ok"},
		"with a password":  {options: func(*fakekdc.Realm) client.Options { return client.Options{Principal: "alice", Password: secret} }, exchanges: "AS KDC_ERR_PREAUTH_REQUIRED, AS ok, TGS ok"},
		"in the principal": {options: func(*fakekdc.Realm) client.Options { return client.Options{Principal: "alice@A.EXAMPLE:secret"} }, exchanges: "AS KDC_ERR_PREAUTH_REQUIRED, AS ok, TGS ok"},
		"with a source": {options: func(r *fakekdc.Realm) client.Options {
			return client.Options{Source: minter{r, "alice"}}
		}},
		"with other settings": {user: "alice", options: func(r *fakekdc.Realm) client.Options {
			return client.Options{Krb5ConfText: r.Config("udp_preference_limit = 1"), Now: time.Now, Bindings: kerberos.BindingsRequired}
		}, exchanges: "TGS ok"},
		"with delegation": {user: "alice", options: func(*fakekdc.Realm) client.Options {
			return client.Options{Delegation: kerberos.DelegationAlways}
		}, exchanges: "TGS ok, TGS ok"},
	} {
		t.Run(name, func(t *testing.T) {
			r := fakekdc.Start(t, fakekdc.WithRealm("A.EXAMPLE"), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
			h := fakeweb.New(r, "HTTP/localhost", fakeweb.Options{Bindings: fakekdc.BindingsRequired})
			s := fakeweb.Serve(r, h, fakeweb.ServerOptions{TLS: true})
			var o client.Options
			if tc.options != nil {
				o = tc.options(r)
			}
			o.Transport = s.Transport()
			c := New(t, r, tc.user, o)
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
	clock := &fakekdc.Clock{}
	r := fakekdc.Start(t, fakekdc.WithClock(clock.Now), fakekdc.WithLifetime(time.Hour, 0), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	s := fakeweb.Serve(r, fakeweb.New(r, "HTTP/localhost", fakeweb.Options{}), fakeweb.ServerOptions{})
	c := New(t, r, "alice", client.Options{})
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
	r := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	ticket, err := TicketSource(t, r, "alice").ServiceTicket(t.Context(), "HTTP/localhost")
	if err != nil || ticket.Client() != "alice@"+r.Name() || ticket.SPN() != "HTTP/localhost@"+r.Name() {
		t.Errorf("ticket %v, error %v", ticket, err)
	}
	if got := done(r); got != "TGS ok" {
		t.Errorf("exchanges %s", got)
	}
}

// TestMisuse: an error ends the test, whose realm it is or not, and is a panic without
// one.
func TestMisuse(t *testing.T) {
	for name, tc := range map[string]struct {
		use  func(tb fakekdc.TB, r *fakekdc.Realm)
		says string
	}{
		"client of nobody":    {func(tb fakekdc.TB, r *fakekdc.Realm) { New(tb, r, "nobody", client.Options{}) }, "no principal nobody"},
		"client of ''":        {func(tb fakekdc.TB, r *fakekdc.Realm) { New(tb, r, "", client.Options{}) }, "name a user"},
		"client of two":       {func(tb fakekdc.TB, r *fakekdc.Realm) { New(tb, r, "alice", client.Options{Keytab: "x"}) }, "credentials of their own"},
		"two passwords":       {func(tb fakekdc.TB, r *fakekdc.Realm) { New(tb, r, "", client.Options{Principal: "a@B:c", Keytab: "x"}) }, "exclude"},
		"options of nobody":   {func(tb fakekdc.TB, r *fakekdc.Realm) { Options(tb, r, "nobody", client.Options{}) }, "no principal nobody"},
		"source of nobody":    {func(tb fakekdc.TB, r *fakekdc.Realm) { TicketSource(tb, r, "nobody") }, "no principal nobody"},
		"ticket of nobody":    {func(tb fakekdc.TB, r *fakekdc.Realm) { Ticket(tb, r, "nobody", "HTTP/localhost") }, "no principal nobody"},
		"ticket for nobody":   {func(tb fakekdc.TB, r *fakekdc.Realm) { Ticket(tb, r, "alice", "HTTP/nowhere") }, "no principal HTTP/nowhere"},
		"context of nobody":   {func(tb fakekdc.TB, r *fakekdc.Realm) { SecurityContext(tb, r, "nobody", "http://localhost", true) }, "no principal nobody"},
		"context for no host": {func(tb fakekdc.TB, r *fakekdc.Realm) { SecurityContext(tb, r, "alice", "localhost", true) }, "want a URL"},
	} {
		users := []fakekdc.Option{fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost")}
		ended := &tb{}
		ended.run(func() { tc.use(ended, fakekdc.Start(ended, users...)) })
		if !strings.Contains(ended.failed, tc.says) {
			t.Errorf("%s: failed with %q, want %q", name, ended.failed, tc.says)
		}
		r, err := fakekdc.New(users...)
		if err != nil {
			t.Fatal(err)
		}
		ended = &tb{}
		ended.run(func() { tc.use(ended, r) })
		if !strings.HasPrefix(ended.failed, "clienttest: ") || !strings.Contains(ended.failed, tc.says) {
			t.Errorf("%s, the realm of no test: failed with %q, want %q", name, ended.failed, tc.says)
		}
		func() {
			defer func() {
				if err, ok := recover().(error); !ok || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%s, without a test: %v, want %q", name, err, tc.says)
				}
			}()
			tc.use(nil, r)
		}()
		r.Close()
	}
}

// tb stands in for a test that is to fail.
type tb struct {
	failed   string
	cleanups []func()
}

func (*tb) Helper()            {}
func (b *tb) Cleanup(f func()) { b.cleanups = append(b.cleanups, f) }
func (b *tb) Fatalf(format string, args ...any) {
	b.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// run runs the test to its end.
func (b *tb) run(test func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		test()
	}()
	<-ended
	for _, c := range slices.Backward(b.cleanups) {
		c()
	}
}

// done counts exchanges by kind and code, as "AS KDC_ERR_PREAUTH_REQUIRED, AS ok".
func done(r *fakekdc.Realm) string {
	var out []string
	for _, e := range r.Exchanges() {
		out = append(out, e.Kind.String()+" "+krb.ErrorName(e.Code))
	}
	return strings.ReplaceAll(strings.Join(out, ", "), krb.ErrorName(0), "ok")
}

func readAll(tb testing.TB, resp *http.Response) string {
	tb.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func TestMain(m *testing.M) { testmain.Run(m) }

// A softTB goes on after Fatalf.
type softTB struct {
	said     string
	cleanups []func()
}

func (*softTB) Helper() {}

func (b *softTB) Cleanup(f func()) { b.cleanups = append(b.cleanups, f) }

func (b *softTB) Fatalf(format string, args ...any) { b.said = fmt.Sprintf(format, args...) }

// TestNoCache: the error names what is not there, or has no key, and whoever goes on meets
// no panic at the end.
func TestNoCache(t *testing.T) {
	t.Parallel()
	realm, err := fakekdc.New(fakekdc.WithoutSockets(), fakekdc.WithEtypes(fakekdc.AES128SHA1), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/x"), fakekdc.WithService("HTTP/keyless"))
	if err != nil {
		t.Fatal(err)
	}
	defer realm.Close()
	if err := realm.Modify("HTTP/keyless", fakekdc.Etypes(fakekdc.AES256SHA1)); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		do   func(tb fakekdc.TB)
		want string
	}{
		"user":    {func(tb fakekdc.TB) { New(tb, realm, "bob", client.Options{}) }, "no principal bob"},
		"service": {func(tb fakekdc.TB) { Ticket(tb, realm, "alice", "HTTP/y") }, "no principal HTTP/y"},
		"nobody":  {func(tb fakekdc.TB) { TicketSource(tb, realm, "") }, "name is empty"},
		"key":     {func(tb fakekdc.TB) { Ticket(tb, realm, "alice", "HTTP/keyless") }, "HTTP/keyless\"] has no key of its encryption types"},
	} {
		b := &softTB{}
		tc.do(b)
		for _, f := range b.cleanups {
			f()
		}
		if !strings.Contains(b.said, tc.want) {
			t.Errorf("%s: %q, want %q", name, b.said, tc.want)
		}
	}
}
