package fakekdc

import (
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/kerberos"
)

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
