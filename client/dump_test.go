package client_test

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// No password, key or token is found by what follows every pointer by package reflect, as
// dumpers for tests and logs do: not in options, nor in what is made of them and was
// used, nor in requests and the contexts of responses.
func TestNothingSecretIsDumped(t *testing.T) {
	realm := start(t)
	srv := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{}), fakeweb.ServerOptions{TLS: true})
	secrets := map[string][]byte{"password": []byte(password)}
	byCache := kinit(t, realm, spn)
	b, err := os.ReadFile(byCache.CCache)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := ccache.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cache.Credentials {
		ticket, err := c.Ticket()
		if err != nil {
			t.Fatal(err)
		}
		secrets["session key for "+c.Server.String()] = ticket.Key.Bytes()
	}
	byPassword := bare(realm)
	byPassword.Principal, byPassword.Password = "alice@"+realm.Name(), kerberos.NewSecret(password)
	for name, o := range map[string]client.Options{"cache": byCache, "password": byPassword} {
		t.Run(name, func(t *testing.T) {
			hides := func(what string, v any) {
				t.Helper()
				for name, s := range secrets {
					if where := stagetest.Dumped(v, s); where != "" {
						t.Errorf("%s: %s is in %s", what, name, where)
					}
				}
			}
			hides("options", &o)
			o, err := o.WithSource()
			if err != nil {
				t.Fatal(err)
			}
			o.Transport, o.Preemptive = srv.Transport(), preemptive.Always()
			c := newClient(t, o)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL(), strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(resp.Body); err != nil {
				t.Error(err)
			}
			resp.Body.Close()
			sc := middleware.SecurityOf(resp.Request)
			if sc == nil || !sc.Verified() {
				t.Fatal("not verified")
			}
			ticket, err := o.Source.ServiceTicket(t.Context(), spn)
			if err != nil {
				t.Fatal(err)
			}
			s, err := client.NewSigner(client.Options{Source: o.Source})
			if err != nil {
				t.Fatal(err)
			}
			a, err := s.Sign(t.Context(), srv.URL())
			if err != nil {
				t.Fatal(err)
			}
			secrets["token"] = []byte(a.Value()[len(a.Value())-40:]) // the authenticator, in which tokens differ
			for what, v := range map[string]any{
				"source": o.Source, "options with a source": o, "client": c, "response": resp, "context of a response": resp.Request.Context(),
				"security context": sc, "ticket": ticket, "signer": s, "authorization": a,
			} {
				hides(what, v)
			}
		})
	}
}
