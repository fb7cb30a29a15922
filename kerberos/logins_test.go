package kerberos_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// asks asks a source for tickets and returns the last error.
func asks(t *testing.T, n int, s *kerberos.Source) (err error) {
	t.Helper()
	for range n {
		_, err = s.ServiceTicket(t.Context(), spn)
	}
	return err
}

// wantRefusals says how often the KDC had to refuse a key.
func wantRefusals(t *testing.T, realm *fakekdc.Realm, when string, want int) {
	t.Helper()
	if n := realm.Count(fakekdc.AS, 24); n != want {
		t.Errorf("%s: the KDC refused a key %d times, want %d", when, n, want)
	}
}

// Whatever a source logs in with, what a KDC refused is sent once a minute, and
// what is put in its place is sent at once.
func TestStaleKeyIsSentOnce(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]func(o kerberos.SourceOptions, path string, password *kerberos.Secret) (*kerberos.Source, error){
		"keytab": func(o kerberos.SourceOptions, path string, _ *kerberos.Secret) (*kerberos.Source, error) {
			return kerberos.FromKeytab(path, o)
		},
		"client keytab": func(o kerberos.SourceOptions, path string, _ *kerberos.Secret) (*kerberos.Source, error) {
			o.Getenv = func(name string) string {
				return map[string]string{"KRB5CCNAME": path + ".none", "KRB5_CLIENT_KTNAME": path}[name]
			}
			return kerberos.FromEnvironment(o)
		},
		"password": func(o kerberos.SourceOptions, _ string, password *kerberos.Secret) (*kerberos.Source, error) {
			return kerberos.FromPasswordFunc(func(context.Context, string) (kerberos.Secret, error) { return *password, nil }, o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := new(fakekdc.Clock)
				realm := fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithClock(clock.Now), fakekdc.WithUser("svc", "new"), fakekdc.WithService(spn))
				path := keytabFile(t, realm, "svc", key{"old", 1, 18, day})
				secret := kerberos.NewSecret("old")
				s, err := source(as(inMemory(realm), "svc"), path, &secret)
				if err != nil {
					t.Fatal(err)
				}
				err = asks(t, 6, s)
				var e *middleware.Error
				if !errors.As(err, &e) || e.Kind != middleware.ErrCredentials || e.Code != 24 || e.Temporary() {
					t.Errorf("%v", err)
				}
				for _, says := range []string{"svc@" + realm.Name(), "PREAUTH_FAILED", "not sent again for a minute"} {
					if !strings.Contains(fmt.Sprint(err), says) {
						t.Errorf("%q is not in: %v", says, err)
					}
				}
				wantRefusals(t, realm, "within a minute", 1)
				if n := realm.Count(fakekdc.AS); n != 2 {
					t.Errorf("%d AS exchanges for six tickets, want 2", n)
				}
				clock.Advance(45 * time.Second)
				asks(t, 3, s)
				wantRefusals(t, realm, "after 45 seconds", 1)
				clock.Advance(15 * time.Second)
				asks(t, 3, s)
				wantRefusals(t, realm, "after a minute", 2)

				if err := os.WriteFile(path, keytabOf(t, realm, "svc", key{"new", 2, 18, 0}), 0o600); err != nil {
					t.Fatal(err)
				}
				secret = kerberos.NewSecret("new")
				if err := asks(t, 1, s); err != nil {
					t.Errorf("after it was mended: %v", err)
				}
				wantRefusals(t, realm, "after it was mended", 2)
			})
		})
	}
}

// A minute is counted from the refusal: what was answered from memory does not
// make it longer, whatever the file looked like when it was asked.
func TestQuarantineIsNotProlonged(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := fakekdc.Start(t, fakekdc.WithClock(clock.Now), fakekdc.WithUser("svc", "new"), fakekdc.WithService(spn))
	stale := key{"old", 9, 18, day}
	path := keytabFile(t, realm, "svc", stale)
	s, err := kerberos.FromKeytab(path, environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	asks(t, 1, s)
	for n := range 5 {
		clock.Advance(11 * time.Second)
		// Other keys come, which are not the ones to use.
		if err := os.WriteFile(path, keytabOf(t, realm, "svc", stale, key{"older", uint8(n), 18, 2 * day}), 0o600); err != nil {
			t.Fatal(err)
		}
		asks(t, 2, s)
		wantRefusals(t, realm, "within a minute, with another file", 1)
	}
	clock.Advance(5 * time.Second)
	asks(t, 2, s)
	wantRefusals(t, realm, "after a minute", 2)
}

// An account is locked by keys, whoever sends them: sources that were made one by
// one, of several copies of the file, all at once.
func TestStaleKeyIsSentOnceByAll(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithUser("svc", "new"), fakekdc.WithService(spn))
	var wg sync.WaitGroup
	for range 4 {
		path := keytabFile(t, realm, "svc", key{"old", 3, 18, day})
		for range 2 {
			s, err := kerberos.FromKeytab(path, environment(realm))
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				wg.Go(func() {
					if _, err := s.ServiceTicket(t.Context(), spn); err == nil {
						t.Error("a stale key was taken")
					}
				})
			}
		}
	}
	wg.Wait()
	wantRefusals(t, realm, "eight sources", 1)

	// Those that share nothing are on their own.
	for range 2 {
		o := environment(realm)
		o.Logins = new(kerberos.Logins)
		s, err := kerberos.FromKeytab(keytabFile(t, realm, "svc", key{"old", 3, 18, day}), o)
		if err != nil {
			t.Fatal(err)
		}
		asks(t, 2, s)
	}
	wantRefusals(t, realm, "two sources apart", 3)
}

// The same key of another principal, or in another realm, is another one.
func TestRefusalsAreOfOneClient(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithUser("one", "new", fakekdc.Salt("s")), fakekdc.WithUser("two", "old", fakekdc.Salt("s")), fakekdc.WithService(spn))
	other := fakekdc.Start(t, fakekdc.WithRealm(realm.Name()), fakekdc.WithUser("one", "old", fakekdc.Salt("s")), fakekdc.WithService(spn))
	logins := new(kerberos.Logins)
	login := func(in *fakekdc.Realm, user, password string) error {
		o := as(environment(in), user)
		o.Logins = logins
		s, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
		if err != nil {
			t.Fatal(err)
		}
		return asks(t, 1, s)
	}
	if err := login(realm, "one", "old"); err == nil {
		t.Fatal("a wrong password was taken")
	}
	if err := login(realm, "two", "old"); err != nil {
		t.Errorf("another principal: %v", err)
	}
	if err := login(other, "one", "old"); err != nil {
		t.Errorf("another KDC: %v", err)
	}
	if err := login(realm, "one", "new"); err != nil {
		t.Errorf("another password: %v", err)
	}
	wantRefusals(t, realm, "in all", 1)
}

// One refusal ends it: the keys of other types and versions are not tried.
func TestNoOtherKeyIsTried(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithUser("svc", "new", fakekdc.Etypes(17, 18)), fakekdc.WithService(spn))
	o := environment(realm)
	path := keytabFile(t, realm, "svc", key{"old", 1, 18, 2 * day}, key{"old", 1, 17, 2 * day}, key{"older", 2, 18, day}, key{"older", 2, 17, day})
	s, err := kerberos.FromKeytab(path, o)
	if err != nil {
		t.Fatal(err)
	}
	asks(t, 6, s)
	wantRefusals(t, realm, "four keys", 1)
	// Nor when the first choice is all that is left in the file.
	if err := os.WriteFile(path, keytabOf(t, realm, "svc", key{"older", 2, 18, day}, key{"older", 2, 17, day}), 0o600); err != nil {
		t.Fatal(err)
	}
	asks(t, 6, s)
	wantRefusals(t, realm, "two keys", 1)
}

// What counts as a refusal: what the KDC says of client and key, and not that it
// says nothing or is busy.
func TestWhatIsARefusal(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault  fakekdc.Fault
		second bool // asked again at once
	}{
		"pre-authentication failed": {fakekdc.ReplyError(fakekdc.CodePreauthFailed, nil), false},
		"account locked":            {fakekdc.ReplyError(fakekdc.CodeClientRevoked, nil), false},
		"account expired":           {fakekdc.ReplyError(1, nil), false},
		"password expired":          {fakekdc.ReplyError(fakekdc.CodeKeyExpired, nil), false},
		"no such client":            {fakekdc.ReplyError(fakekdc.CodeClientUnknown, nil), true},
		"policy":                    {fakekdc.ReplyError(fakekdc.CodePolicy, nil), true},
		"generic":                   {fakekdc.ReplyError(fakekdc.CodeGeneric, nil), true},
		"no answer":                 {fakekdc.Drop(), true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				realm := fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithUser("svc", "pw"), fakekdc.WithService(spn))
				o := inMemory(realm)
				o.Krb5ConfText = realm.Config("request_timeout = 2s")
				s, err := kerberos.FromKeytab(keytabFile(t, realm, "svc", key{"pw", 1, 18, 0}), o)
				if err != nil {
					t.Fatal(err)
				}
				// For the timestamp and, where it is not answered, for every way to send it.
				realm.FailNext(fakekdc.AS, append([]fakekdc.Fault{fakekdc.Delay(0)}, fakekdc.Repeat(20, tc.fault)...)...)
				if err := asks(t, 1, s); err == nil {
					t.Fatal("no error")
				}
				realm.ClearFaults()
				if err := asks(t, 1, s); (err == nil) != tc.second {
					t.Errorf("at once: %v", err)
				}
			})
		})
	}
}

// Whoever waits behind another login of the principal leaves when its context
// ends, and hears of a refusal without sending a key.
func TestLoginsWaitForOneAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		realm := fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithUser("svc", "new"), fakekdc.WithService(spn))
		path := keytabFile(t, realm, "svc", key{"old", 1, 18, 0})
		source := func() *kerberos.Source {
			s, err := kerberos.FromKeytab(path, inMemory(realm))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		answer := make(chan struct{})
		realm.FailNext(fakekdc.AS, fakekdc.Delay(0), fakekdc.HoldUntil(answer))
		first := make(chan error, 1)
		go func() {
			_, err := source().ServiceTicket(t.Context(), spn)
			first <- err
		}()
		for realm.PendingFaults() > 0 { // until its key is at the KDC
			time.Sleep(time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := source().ServiceTicket(ctx, spn); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("its context ended: %v", err)
		}
		second := make(chan error, 1)
		go func() {
			_, err := source().ServiceTicket(t.Context(), spn)
			second <- err
		}()
		close(answer)
		for _, err := range []error{<-first, <-second} {
			if err == nil || !strings.Contains(err.Error(), "PREAUTH_FAILED") {
				t.Errorf("%v", err)
			}
		}
		wantRefusals(t, realm, "three logins", 1)
	})
}

// Sources that dial by a function of their own share refusals with all others: whoever makes
// a client for each call, with the same function written anew, locks no account. Networks
// that have the same names take Logins of their own.
func TestRefusalsAndDial(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithUser("svc", "new"), fakekdc.WithService(spn))
	login := func(l *kerberos.Logins) {
		o := as(environment(realm), "svc")
		o.Logins = l
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			return realm.Dial(ctx, network, address)
		}
		s, err := kerberos.FromPassword(kerberos.NewSecret("old"), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := asks(t, 1, s); err == nil {
			t.Error("a wrong password was taken")
		}
	}
	for range 3 {
		login(nil)
	}
	wantRefusals(t, realm, "three sources", 1)
	login(new(kerberos.Logins))
	wantRefusals(t, realm, "one apart", 2)
}
