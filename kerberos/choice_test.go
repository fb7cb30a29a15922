package kerberos_test

import (
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
)

// TestChooseAsksNoKDC: which credentials are taken is told without an exchange.
func TestChooseAsksNoKDC(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "x"), fakekdc.WithService("HTTP/localhost"))
	s, err := kerberos.FromPassword(kerberos.NewSecret("x"), kerberos.SourceOptions{Krb5ConfText: realm.Config(), Principal: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Choose(t.Context(), "HTTP/localhost")
	if want := (kerberos.Choice{Credentials: "password", Client: "alice@" + realm.Name()}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if n := len(realm.Exchanges()); n != 0 {
		t.Errorf("%d exchanges with the KDC", n)
	}
}
