package replay

import (
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// An authenticator is used once, whoever makes it for whomever, and what is
// remembered is bounded in number and in time.
func TestOnce(t *testing.T) {
	var c Cache
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	server := krb.NewPrincipal("A", "HTTP", "x")
	a := &krb.Authenticator{Client: krb.NewPrincipal("A", "alice"), CTime: at, Cusec: 7}
	if !c.Add(a, server, nil, at, time.Minute) || c.Add(a, server, nil, at, time.Minute) {
		t.Error("want one use")
	}
	if !c.Add(a, krb.NewPrincipal("A", "HTTP", "y"), nil, at, time.Minute) {
		t.Error("another server's")
	}
	b := *a
	b.Client.Realm = "B"
	if !c.Add(&b, server, nil, at, time.Minute) {
		t.Error("another realm's client")
	}
	for i := range limit + 10 {
		n := *a
		n.Cusec, n.CTime = i%1000000, at.Add(time.Duration(i/1000000)*time.Second)
		c.Add(&n, krb.NewPrincipal("A", "host", "z"), nil, at, time.Minute)
	}
	if n := len(c.seen); n > limit || n != len(c.order) {
		t.Errorf("%d remembered, %d in order", n, len(c.order))
	}
	late := *a
	late.CTime = at.Add(time.Hour)
	c.Add(&late, server, nil, at.Add(time.Hour), time.Minute)
	if len(c.seen) != 1 {
		t.Errorf("%d remembered after an hour, want 1", len(c.seen))
	}
}
