package kerberos_test

import (
	"context"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// actsFor returns a service's impersonator, and initiators of the service's own and of
// its users' tickets; for HTTP/localhost, alice's and its own are at hand.
func actsFor(t testing.TB) (source *kerberos.Impersonator, own, user middleware.Initiator) {
	t.Helper()
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"),
		fakekdc.WithService("HTTP/gateway", fakekdc.TrustedToAuth(), fakekdc.AllowedToDelegateTo("HTTP/localhost")))
	service, err := kerberos.FromKeytab(testmain.File(t, "keytab", realm.Keytab("HTTP/gateway")), kerberos.SourceOptions{
		Principal: "HTTP/gateway", Krb5ConfText: realm.Config(), Logins: new(kerberos.Logins),
	})
	if err != nil {
		t.Fatal(err)
	}
	source = kerberos.NewImpersonator(service)
	if own, err = kerberos.NewInitiator(service, kerberos.InitiatorOptions{}); err != nil {
		t.Fatal(err)
	}
	if user, err = kerberos.NewInitiator(source, kerberos.InitiatorOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, in := range []middleware.Initiator{own, user} {
		headerOf(t, kerberos.AsUser(t.Context(), "alice"), in)
	}
	return source, own, user
}

// headerOf makes a token for HTTP/localhost.
func headerOf(t testing.TB, ctx context.Context, in middleware.Initiator) {
	sc, err := in.Initiate(ctx, middleware.Target{Host: "localhost", Port: "80"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sc.Step(ctx, nil); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkImpersonated is one token with the ticket at hand, of the service itself and
// of a user.
func BenchmarkImpersonated(b *testing.B) {
	_, own, user := actsFor(b)
	ctx := kerberos.AsUser(b.Context(), "alice")
	for name, in := range map[string]middleware.Initiator{"own": own, "user": user} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				headerOf(b, ctx, in)
			}
		})
	}
}
