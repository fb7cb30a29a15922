package gokrb5_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/kerberos/gokrb5"
	"github.com/kerbchain/kerbchain/middleware"

	kerbclient "github.com/kerbchain/kerbchain/client"
)

func ExampleFromClient() {
	realm, err := fakekdc.New(fakekdc.WithRealm("A.EXAMPLE"), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	conf, err := config.NewFromString(realm.Config())
	if err != nil {
		log.Fatal(err)
	}
	c := client.NewWithPassword("alice", "A.EXAMPLE", "secret", conf, client.DisablePAFXFAST(true))
	defer c.Destroy()

	ticket, err := gokrb5.FromClient(c).ServiceTicket(context.Background(), "HTTP/localhost")
	fmt.Println(ticket.Client(), ticket.Source(), err)
	// Output: alice@A.EXAMPLE gokrb5 client <nil>
}

func newClient(t *testing.T, realm *fakekdc.Realm, password string) *client.Client {
	t.Helper()
	conf, err := config.NewFromString(realm.Config("udp_preference_limit = 1"))
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewWithPassword("alice", realm.Name(), password, conf, client.DisablePAFXFAST(true))
	t.Cleanup(c.Destroy)
	return c
}

// TestWholeCalls: the standard stack over a gokrb5 client, by many at once, which
// logs in once.
func TestWholeCalls(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	server := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{}), fakeweb.ServerOptions{TLS: true})
	c, err := kerbclient.New(kerbclient.Options{Source: gokrb5.FromClient(newClient(t, realm, "secret")), Transport: server.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			resp, err := c.Get(server.URL())
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if got := middleware.PrincipalOf(resp.Request); resp.StatusCode != 200 || got != "alice@"+realm.Name() {
				t.Errorf("%s as %q", resp.Status, got)
			}
		})
	}
	wg.Wait()
	if n := realm.Count(fakekdc.TGS, 0); n != 1 {
		t.Errorf("%d tickets were fetched", n)
	}
}

func TestErrors(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	for name, tc := range map[string]struct {
		client *client.Client
		spn    string
		kind   error
	}{
		"no client":       {nil, "HTTP/localhost", middleware.ErrConfiguration},
		"empty client":    {&client.Client{}, "HTTP/localhost", middleware.ErrKDC},
		"wrong password":  {newClient(t, realm, "guess"), "HTTP/localhost", middleware.ErrKDC},
		"unknown service": {newClient(t, realm, "secret"), "HTTP/nowhere", middleware.ErrKDC},
	} {
		s := gokrb5.FromClient(tc.client)
		ticket, err := s.ServiceTicket(t.Context(), tc.spn)
		var e *middleware.Error
		if !errors.Is(err, tc.kind) || !errors.As(err, &e) || e.SPN != tc.spn || !ticket.IsZero() {
			t.Errorf("%s: %v, %v", name, ticket, err)
		}
		who, err := s.(kerberos.Identifier).Identity(t.Context(), tc.spn)
		if (err == nil) != (who == "alice@"+realm.Name()) || (who == "") != (tc.client == nil || tc.client.Credentials == nil) {
			t.Errorf("%s: identity %q, %v", name, who, err)
		}
	}
}

// TestGivesUp: gokrb5 knows no contexts, and its callers do not wait for it.
func TestGivesUp(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	release := make(chan struct{})
	realm.FailNext(fakekdc.AS, fakekdc.HoldUntil(release))
	s := gokrb5.FromClient(newClient(t, realm, "secret"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.ServiceTicket(ctx, "HTTP/localhost"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	close(release)
	if _, err := s.ServiceTicket(t.Context(), "HTTP/localhost"); err != nil {
		t.Error(err)
	}
}
