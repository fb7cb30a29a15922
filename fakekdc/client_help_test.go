package fakekdc

import (
	"net/http"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/kerberos"
)

// newClient returns a client of the realm that has logged in as the user or, for no
// user, does so as o says. Package clienttest cannot be imported here, for it imports
// this one.
func newClient(r *Realm, user string, o client.Options) (*http.Client, error) {
	o.Now = r.Now
	if user == "" {
		o.Krb5ConfText = r.Config()
		if r.InMemory() {
			o.Dial = r.Dial
		}
		return client.New(o)
	}
	s, err := newSource(r, user)
	if err != nil {
		return nil, err
	}
	o.Source = s
	return client.New(o)
}

func newSource(r *Realm, user string) (*kerberos.Source, error) {
	caches := new(kerberos.MemoryCaches)
	if err := caches.Put("x", r.CCache(user)); err != nil {
		return nil, err
	}
	o := kerberos.SourceOptions{Krb5ConfText: r.Config(), Now: r.Now, MemoryCaches: caches, Getenv: func(string) string { return "" }}
	if r.InMemory() {
		o.Dial = r.Dial
	}
	return kerberos.FromCCache("MEMORY:x", o)
}

func httpClient(tb testing.TB, r *Realm, user string, o client.Options) *http.Client {
	tb.Helper()
	c, err := newClient(r, user, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.CloseIdleConnections)
	return c
}

func sourceOf(tb testing.TB, r *Realm, user string) *kerberos.Source {
	tb.Helper()
	s, err := newSource(r, user)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// done counts exchanges by kind and code, as "AS 25, AS 0, TGS 0".
func done(r *Realm) string {
	var out []string
	for _, e := range r.Exchanges() {
		out = append(out, e.Kind.String()+" "+krb.ErrorName(e.Code))
	}
	return strings.ReplaceAll(strings.Join(out, ", "), krb.ErrorName(0), "ok")
}
