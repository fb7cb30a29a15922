package fakekdc

import (
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/service"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// gokrb5 is written by others and shares nothing with the code under test: the
// second opinion on what a KDC, a keytab and a credential cache are.

func gokrb5Config(tb testing.TB, r *Realm, lines ...string) *config.Config {
	tb.Helper()
	return gokrb5ConfigText(tb, r.Config(lines...))
}

func gokrb5ConfigText(tb testing.TB, text string) *config.Config {
	tb.Helper()
	c, err := config.NewFromString(text)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestGokrb5Login(t *testing.T) {
	t.Parallel()
	for _, e := range allEtypes {
		for name, lines := range map[string][]string{"udp": nil, "tcp": {"udp_preference_limit = 1"}} {
			t.Run(fmt.Sprintf("%s/%s", krb.EtypeName(e), name), func(t *testing.T) {
				r := Start(t, WithEtypes(e), WithUser("alice", "secret"), WithService("HTTP/localhost"))
				c := client.NewWithPassword("alice", r.Name(), "secret", gokrb5Config(t, r, lines...), client.DisablePAFXFAST(true))
				defer c.Destroy()
				if err := c.Login(); err != nil {
					t.Fatal(err)
				}
				tkt, key, err := c.GetServiceTicket("HTTP/localhost")
				if err != nil {
					t.Fatal(err)
				}
				if key.KeyType != e || tkt.EncPart.EType != e {
					t.Errorf("session key of etype %d, ticket of %d, want %d", key.KeyType, tkt.EncPart.EType, e)
				}
				for _, x := range r.Exchanges() {
					if x.Network != name {
						t.Errorf("%v", x)
					}
				}
				verifyWithService(t, r, tkt, key)
			})
		}
	}
}

// TestGokrb5EncPARep: with the flag set, its client demands both elements.
func TestGokrb5EncPARep(t *testing.T) {
	t.Parallel()
	for _, e := range allEtypes {
		r := Start(t, WithEncPARep(), WithEtypes(e), WithUser("alice", "secret"), WithService("HTTP/localhost"))
		c := client.NewWithPassword("alice", r.Name(), "secret", gokrb5Config(t, r))
		defer c.Destroy()
		if err := c.Login(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.GetServiceTicket("HTTP/localhost"); err != nil {
			t.Fatal(err)
		}
	}
}

// verifyWithService lets gokrb5's acceptor, with our keytab, judge a ticket.
func verifyWithService(t *testing.T, r *Realm, tkt messages.Ticket, key types.EncryptionKey) {
	t.Helper()
	kt := keytab.New()
	if err := kt.Unmarshal(r.Keytab("HTTP/localhost")); err != nil {
		t.Fatal(err)
	}
	a, err := types.NewAuthenticator(r.Name(), types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	// Its replay cache is one per process: no two tests may agree on a time.
	a.CTime, a.Cusec = krb.UniqueTime(time.Now())
	req, err := messages.NewAPReq(tkt, key, a)
	if err != nil {
		t.Fatal(err)
	}
	ok, creds, err := service.VerifyAPREQ(&req, service.NewSettings(kt, service.DecodePAC(false)))
	if err != nil || !ok {
		t.Fatalf("gokrb5's acceptor refuses the ticket: %v", err)
	}
	if creds.UserName() != "alice" || creds.Realm() != r.Name() {
		t.Errorf("ticket of %s@%s", creds.UserName(), creds.Realm())
	}
}

func TestGokrb5Keytab(t *testing.T) {
	r := Start(t, WithUser("alice", "secret", Salt("pepper")), WithService("HTTP/localhost", Kvno(300)))
	b := r.Keytab("alice")
	kt := keytab.New()
	if err := kt.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	again, err := kt.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(hex.EncodeToString(b), hex.EncodeToString(again)); d != "" {
		t.Errorf("gokrb5 writes the keytab it read otherwise: %s", d)
	}
	c := client.NewWithKeytab("alice", r.Name(), kt, gokrb5Config(t, r), client.DisablePAFXFAST(true))
	defer c.Destroy()
	if err := c.Login(); err != nil {
		t.Fatal(err)
	}

	services := keytab.New()
	if err := services.Unmarshal(r.Keytab()); err != nil {
		t.Fatal(err)
	}
	if n := len(services.Entries); n != 4 || services.Entries[0].KVNO != 300 || services.Entries[0].KVNO8 != 300&0xff {
		t.Errorf("%d entries, want 4 of kvno 300: %v", n, services)
	}
}

func TestGokrb5CCache(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"), WithService("HTTP/localhost"), WithService("HTTP/other"))
	var cc credentials.CCache
	if err := cc.Unmarshal(r.CCache("alice", "HTTP/localhost")); err != nil {
		t.Fatal(err)
	}
	c, err := client.NewFromCCache(&cc, gokrb5Config(t, r), client.DisablePAFXFAST(true))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Destroy()
	if _, _, err := c.GetServiceTicket("HTTP/localhost"); err != nil {
		t.Fatal(err)
	}
	if n := r.Count(Any); n != 0 {
		t.Errorf("%d exchanges for tickets from the cache", n)
	}
	if _, _, err := c.GetServiceTicket("HTTP/other"); err != nil {
		t.Fatal(err)
	}
	if n := r.Count(TGS, 0); n != 1 {
		t.Errorf("%d TGS exchanges, want 1", n)
	}
}
