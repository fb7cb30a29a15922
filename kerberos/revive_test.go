package kerberos_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// replaceKey gives a realm another key, of which older tickets know nothing.
func replaceKey(t *testing.T, realm *fakekdc.Realm) {
	t.Helper()
	tgs := "krbtgt/" + realm.Name()
	if err := errors.Join(realm.Rotate(tgs), realm.Purge(tgs)); err != nil {
		t.Fatal(err)
	}
}

// Whoever can log in does so once when a KDC no longer takes the ticket-granting
// ticket; whoever has a cache alone is told to run kinit.
func TestDeadTicketIsReplaced(t *testing.T) {
	t.Parallel()
	realm := start(t, oneType, fakekdc.WithService("HTTP/one"), fakekdc.WithService("HTTP/two", fakekdc.OKAsDelegate()))
	keytab := testmain.File(t, "keytab", realm.Keytab("alice"))
	o := as(environment(realm), "alice")
	o.Forwardable = true
	for name, source := range map[string]func() (*kerberos.Source, error){
		"keytab":   func() (*kerberos.Source, error) { return kerberos.FromKeytab(keytab, o) },
		"password": func() (*kerberos.Source, error) { return kerberos.FromPassword(kerberos.NewSecret(password), o) },
		"client keytab": func() (*kerberos.Source, error) {
			o := as(environment(realm, "KRB5CCNAME="+keytab+".none", "KRB5_CLIENT_KTNAME="+keytab), "alice")
			o.Forwardable = true
			return kerberos.FromEnvironment(o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := source()
			if err != nil {
				t.Fatal(err)
			}
			ticket, err := s.ServiceTicket(t.Context(), spn)
			if err != nil {
				t.Fatal(err)
			}
			for what, ask := range map[string]func() error{
				"service ticket":   func() error { _, err := s.ServiceTicket(t.Context(), "HTTP/one"); return err },
				"forwarded ticket": func() error { _, err := s.ForwardedTicket(t.Context(), ticket); return err },
			} {
				// A minute is for those that did not help; this is another key.
				replaceKey(t, realm)
				realm.ResetExchanges()
				s.ForgetRevival()
				if err := ask(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				if n := realm.Count(fakekdc.AS, 0); n != 1 {
					t.Errorf("%s: %d logins, want 1", what, n)
				}
			}
		})
	}
	t.Run("cache", func(t *testing.T) {
		s, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), environment(realm))
		if err != nil {
			t.Fatal(err)
		}
		replaceKey(t, realm)
		realm.ResetExchanges()
		_, err = s.ServiceTicket(t.Context(), "HTTP/one")
		if err == nil || !strings.Contains(err.Error(), "run kinit") || realm.Count(fakekdc.AS) > 0 {
			t.Errorf("%v", err)
		}
	})
}

// Which answers mean that the ticket is dead, and how often a login is made.
func TestWhichTicketsAreDead(t *testing.T) {
	t.Parallel()
	for code := range int32(69) {
		dead := code == 31 || code == 32 || code == 41 || code == 44 || code == 45 || code == 60
		if !dead && code != 7 && code != 12 && code != 18 && code != 33 && code != 35 && code != 36 && code != 52 {
			continue
		}
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			realm := start(t, fakekdc.WithService("HTTP/one"))
			o := as(environment(realm), "alice")
			o.Krb5ConfText = realm.Config("udp_preference_limit = 0")
			s, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
				t.Fatal(err)
			}
			realm.ResetExchanges()
			realm.FailNext(fakekdc.TGS, fakekdc.ReplyError(code, nil))
			_, err = s.ServiceTicket(t.Context(), "HTTP/one")
			want := 0
			if dead {
				want = 1
			}
			if n := realm.Count(fakekdc.AS, 0); n != want || dead != (err == nil) && code != 7 {
				t.Errorf("%d logins, want %d; %v", n, want, err)
			}
			realm.ClearFaults()
		})
	}
}

// A KDC that takes no ticket at all is not logged in to again and again, and
// nobody is told to run kinit who has no use for it.
func TestLoginIsNotRepeated(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now), fakekdc.WithService("HTTP/one"))
	s, err := kerberos.FromPassword(kerberos.NewSecret(password), as(environment(realm), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	realm.FailNext(fakekdc.TGS, fakekdc.ReplyError(fakekdc.CodeBadKeyVersion, nil))
	if _, err := s.ServiceTicket(t.Context(), spn); err == nil {
		t.Fatal("no error")
	}
	if n := realm.Count(fakekdc.AS, 0); n != 1 {
		t.Errorf("%d logins for a request that had made one, want 1", n)
	}
	for round := range 3 {
		realm.ResetExchanges()
		for range 5 {
			realm.FailNext(fakekdc.TGS, fakekdc.Repeat(2, fakekdc.ReplyError(fakekdc.CodeBadKeyVersion, nil))...)
			_, err := s.ServiceTicket(t.Context(), "HTTP/one")
			if err == nil || strings.Contains(err.Error(), "kinit") || !errors.Is(err, middleware.ErrKDC) {
				t.Errorf("%v", err)
			}
			realm.ClearFaults()
		}
		if n := realm.Count(fakekdc.AS, 0); n != 1 {
			t.Errorf("minute %d: %d logins, want 1", round, n)
		}
		clock.Advance(time.Minute)
	}
	if _, err := s.ServiceTicket(t.Context(), "HTTP/one"); err != nil {
		t.Error(err)
	}
}

// All who find the ticket dead at the same time log in once.
func TestDeadTicketIsReplacedOnce(t *testing.T) {
	opts := []fakekdc.Option{}
	for i := range 8 {
		opts = append(opts, fakekdc.WithService(fmt.Sprintf("HTTP/h%d", i)))
	}
	realm := start(t, opts...)
	s, err := kerberos.FromPassword(kerberos.NewSecret(password), as(environment(realm), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
		t.Fatal(err)
	}
	replaceKey(t, realm)
	realm.ResetExchanges()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, err := s.ServiceTicket(t.Context(), fmt.Sprintf("HTTP/h%d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := realm.Count(fakekdc.AS, 0); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

// The error of a login that is needed and fails is the one that says what to do.
func TestDeadTicketAndStalePassword(t *testing.T) {
	realm := start(t, fakekdc.WithService("HTTP/one"))
	secret := kerberos.NewSecret(password)
	s, err := kerberos.FromPasswordFunc(func(context.Context, string) (kerberos.Secret, error) { return secret, nil }, as(environment(realm), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
		t.Fatal(err)
	}
	replaceKey(t, realm)
	if err := realm.SetPassword("alice", "changed"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err = s.ServiceTicket(t.Context(), "HTTP/one")
		var e *middleware.Error
		if !errors.As(err, &e) || e.Code != 24 || e.SPN != "HTTP/one" || e.Kind != middleware.ErrCredentials {
			t.Errorf("%v", err)
		}
	}
	wantRefusals(t, realm, "three tickets", 1)
	secret = kerberos.NewSecret("changed")
	if _, err = s.ServiceTicket(t.Context(), "HTTP/one"); err != nil {
		t.Error(err)
	}
}

// Whoever finds the ticket dead after another request has logged in takes what that
// one got.
func TestDeadTicketWasReplacedMeanwhile(t *testing.T) {
	realm := start(t, fakekdc.WithService("HTTP/one"), fakekdc.WithService("HTTP/two"))
	s, err := kerberos.FromPassword(kerberos.NewSecret(password), as(environment(realm), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
		t.Fatal(err)
	}
	replaceKey(t, realm)
	realm.ResetExchanges()
	answer := make(chan struct{})
	realm.FailNext(fakekdc.TGS, fakekdc.HoldUntil(answer))
	late := make(chan error, 1)
	go func() {
		_, err := s.ServiceTicket(t.Context(), "HTTP/one")
		late <- err
	}()
	for realm.PendingFaults() > 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := s.ServiceTicket(t.Context(), "HTTP/two"); err != nil {
		t.Error(err)
	}
	close(answer)
	if err := <-late; err != nil {
		t.Error(err)
	}
	if n := realm.Count(fakekdc.AS, 0); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

// TestDeadTicketOfAnotherRealm: what another realm's KDC says of the ticket for that realm
// is no reason to log in again.
func TestDeadTicketOfAnotherRealm(t *testing.T) {
	home, far := start(t, fakekdc.WithRealm("HOME.TEST")), start(t, fakekdc.WithRealm("FAR.TEST"), fakekdc.WithService("HTTP/www.far.test"))
	if err := home.Trust(far); err != nil {
		t.Fatal(err)
	}
	o := as(environment(home), "alice")
	o.Logins = new(kerberos.Logins)
	s, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
		t.Fatal(err)
	}
	logins := home.Count(fakekdc.AS, 0)
	far.FailNext(fakekdc.TGS, fakekdc.ReplyError(fakekdc.CodeBadIntegrity, nil))
	if got, err := s.ServiceTicket(t.Context(), "HTTP/www.far.test@FAR.TEST"); err == nil || home.Count(fakekdc.AS, 0) != logins {
		t.Errorf("%v, %v, %v", got, err, home.Exchanges())
	}
}

// TestRealmOfTheHost: a service of which the client's KDC knows nothing is looked for in
// the realm that its host's name suggests.
func TestRealmOfTheHost(t *testing.T) {
	home, far := start(t, fakekdc.WithRealm("HOME.TEST")), start(t, fakekdc.WithRealm("FAR.TEST"), fakekdc.WithService("HTTP/www.far.test"))
	if err := home.Trust(far); err != nil {
		t.Fatal(err)
	}
	o := environment(home)
	o.Krb5ConfText = strings.ReplaceAll(o.Krb5ConfText, "[domain_realm]", "[other]")
	s, err := kerberos.FromCCache(testmain.File(t, "cc", home.CCache("alice")), o)
	if err != nil {
		t.Fatal(err)
	}
	unknown := fakekdc.ReplyError(fakekdc.CodeServerUnknown, nil)
	home.FailNext(fakekdc.TGS, unknown, unknown) // with the wish to canonicalize, and without
	if got, err := s.ServiceTicket(t.Context(), "HTTP/www.far.test"); err != nil || got.SPN() != "HTTP/www.far.test@FAR.TEST" || home.Count(fakekdc.TGS, fakekdc.CodeServerUnknown) != 2 {
		t.Errorf("%v, %v, %v", got, err, home.Exchanges())
	}
}
