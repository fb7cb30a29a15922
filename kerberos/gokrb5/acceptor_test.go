package gokrb5_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/service"
	"github.com/jcmturner/gokrb5/v8/spnego"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// TestGokrb5Accepts sends our tokens to the acceptor of gokrb5, which has its
// own decoders and its own replay cache. It proves nothing of itself: its answer
// is NegTokenResp without AP-REP, so that Required must refuse it.
func TestGokrb5Accepts(t *testing.T) {
	for name, etype := range map[string]int32{
		"aes128-sha1":   fakekdc.AES128SHA1,
		"aes256-sha1":   fakekdc.AES256SHA1,
		"aes128-sha256": fakekdc.AES128SHA256,
		"aes256-sha384": fakekdc.AES256SHA384,
		"rc4":           fakekdc.RC4HMAC,
	} {
		t.Run(name, func(t *testing.T) {
			realm := fakekdc.Start(t, fakekdc.WithEtypes(etype),
				fakekdc.WithUser("alice", "correct horse"), fakekdc.WithService("HTTP/localhost"))
			url := fakeweb.Serve(realm, gokrb5Handler(t, realm), fakeweb.ServerOptions{}).URL()
			secure := fakeweb.Serve(realm, gokrb5Handler(t, realm), fakeweb.ServerOptions{TLS: true})
			options := gokrb5Options(t, realm)

			options.Mutual = mutual.Disabled
			wantGreeting(t, options, url, realm)
			options.Mutual = mutual.Optional
			wantGreeting(t, options, url, realm)
			options.Preemptive = preemptive.Always()
			wantGreeting(t, options, url, realm)
			options.Transport = secure.Transport()
			wantGreeting(t, options, secure.URL(), realm)

			options.Mutual = mutual.Required
			c := gokrb5Client(t, options)
			if resp, err := c.Get(secure.URL()); !errors.Is(err, middleware.ErrNotVerified) {
				t.Errorf("required: %v, error %v, want one of kind %v", resp, err, middleware.ErrNotVerified)
			}
		})
	}
}

// TestGokrb5Parallel lets gokrb5's replay cache judge whether any two of our
// authenticators are alike.
func TestGokrb5Parallel(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "correct horse"), fakekdc.WithService("HTTP/localhost"))
	url := fakeweb.Serve(realm, gokrb5Handler(t, realm), fakeweb.ServerOptions{}).URL()
	options := gokrb5Options(t, realm)
	options.Mutual, options.Preemptive = mutual.Disabled, preemptive.Always()
	c := gokrb5Client(t, options)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				wantGreetingFrom(t, c, url, realm)
			}
		})
	}
	wg.Wait()
	if n := realm.Count(fakekdc.TGS); n != 1 {
		t.Errorf("%d tickets asked for, want 1", n)
	}
}

// gokrb5Handler greets callers whom gokrb5 has authenticated.
func gokrb5Handler(t *testing.T, realm *fakekdc.Realm) http.Handler {
	t.Helper()
	kt := keytab.New()
	if err := kt.Unmarshal(realm.Keytab("HTTP/localhost")); err != nil {
		t.Fatal(err)
	}
	greet := func(w http.ResponseWriter, r *http.Request) {
		// The key under which gokrb5 leaves an identity in the context.
		id, ok := r.Context().Value("jcmturner/goidentity").(interface {
			UserName() string
			Domain() string
		})
		if !ok {
			http.Error(w, "nobody", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "hello %s@%s", id.UserName(), id.Domain())
	}
	return spnego.SPNEGOKRB5Authenticate(http.HandlerFunc(greet), kt, service.DecodePAC(false))
}

func gokrb5Options(t *testing.T, realm *fakekdc.Realm) client.Options {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(conf, []byte(realm.Config()), 0o600); err != nil {
		t.Fatal(err)
	}
	return client.Options{
		Krb5Conf: []string{conf}, Principal: "alice", Password: kerberos.NewSecret("correct horse"),
		Getenv: func(string) string { return "" }, Transport: new(http.Transport),
	}
}

func gokrb5Client(t *testing.T, o client.Options) *http.Client {
	t.Helper()
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func wantGreeting(t *testing.T, o client.Options, url string, realm *fakekdc.Realm) {
	t.Helper()
	wantGreetingFrom(t, gokrb5Client(t, o), url, realm)
}

func wantGreetingFrom(t *testing.T, c *http.Client, url string, realm *fakekdc.Realm) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if want := "hello alice@" + realm.Name(); err != nil || resp.StatusCode != http.StatusOK || string(b) != want {
		t.Errorf("%s, %q, %v; want 200 and %q", resp.Status, strings.TrimSpace(string(b)), err, want)
	}
}
