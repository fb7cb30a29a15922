package kerberos_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

const newPassword = "brand new, and long"

// TestNewPassword: an expired password is changed for the one that the program gives, once,
// and the new one is what the source logs in with from then on. The old one goes to the KDC
// once, for the change, and never after a refusal.
func TestNewPassword(t *testing.T) {
	gone := errors.New("nobody is there")
	for name, tc := range map[string]struct {
		opts    []fakekdc.Option
		old     string
		answers []string // "" for none
		fails   error
		says    []string // nil for a ticket
		why     []string // what each question says
		logins  int      // in which the old password was sent
		changes int
	}{
		"changed":       {answers: []string{newPassword}, why: []string{"KDC_ERR_KEY_EXPIRED"}, logins: 1, changes: 1},
		"second try":    {answers: []string{"short", newPassword}, why: []string{"KDC_ERR_KEY_EXPIRED", "does not take this new password: at least 10 characters"}, logins: 1, changes: 2},
		"no good":       {answers: []string{"zz1", "zz2", "zz3"}, why: []string{"EXPIRED", "at least 10", "at least 10"}, says: []string{"at least 10 characters", "kpasswd exchange"}, logins: 1, changes: 3},
		"nobody":        {fails: gone, answers: []string{""}, why: []string{"EXPIRED"}, says: []string{"nobody is there", "has expired"}},
		"none":          {answers: []string{""}, why: []string{"EXPIRED"}, says: []string{"none was given"}},
		"the same":      {answers: []string{password}, why: []string{"EXPIRED"}, says: []string{"the one that has expired was given"}},
		"wrong old":     {old: "guess", answers: []string{newPassword, newPassword}, why: []string{"EXPIRED"}, says: []string{"KDC_ERR_PREAUTH_FAILED"}, logins: 1},
		"nobody to ask": {says: []string{"KDC_ERR_KEY_EXPIRED", "change it with kpasswd"}},
		"no server":     {opts: []fakekdc.Option{}, answers: []string{newPassword}, why: []string{"EXPIRED"}, says: []string{"KDC_ERR_S_PRINCIPAL_UNKNOWN"}},
	} {
		t.Run(name, func(t *testing.T) {
			clock := new(fakekdc.Clock)
			opts := tc.opts
			if opts == nil {
				opts = []fakekdc.Option{fakekdc.WithKpasswd(func(_, p string) error {
					if len(p) < 10 {
						return errors.New("at least 10 characters")
					}
					return nil
				})}
			}
			realm := start(t, append(opts, fakekdc.WithClock(clock.Now), fakekdc.WithLifetime(time.Hour, 0))...)
			if err := realm.Modify("alice", fakekdc.Refuse(23)); err != nil {
				t.Fatal(err)
			}
			o := as(environment(realm), "alice")
			o.Logins, o.Forwardable = new(kerberos.Logins), true
			asked := 0
			if tc.answers != nil {
				o.NewPassword = func(_ context.Context, r kerberos.NewPasswordRequest) (kerberos.Secret, error) {
					if asked++; asked > len(tc.why) || r.Principal != "alice@"+realm.Name() || !strings.Contains(r.Why.Error(), tc.why[asked-1]) {
						t.Errorf("question %d: %+v", asked, r)
						return kerberos.Secret{}, nil
					}
					if tc.answers[asked-1] == "" {
						return kerberos.Secret{}, tc.fails
					}
					return kerberos.NewSecret(tc.answers[asked-1]), nil
				}
			}
			old := password
			if tc.old != "" {
				old = tc.old
			}
			s, err := kerberos.FromPassword(kerberos.NewSecret(old), o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.ServiceTicket(t.Context(), spn)
			sent, changes := 0, 0
			for _, e := range realm.Exchanges() {
				if strings.HasPrefix(e.Server, "kadmin/changepw") && e.Kind == fakekdc.AS && (e.Code == 0 || e.Code == fakekdc.CodePreauthFailed) {
					sent++
				}
				if strings.HasPrefix(e.Server, "kadmin/changepw") && e.Options&(1<<30|1<<28|1<<23) != 0 {
					t.Errorf("the ticket for a change is to be forwardable, proxiable or renewable: %08x", e.Options)
				}
				if e.Kind == fakekdc.Kpasswd {
					changes++
				}
			}
			if asked != len(tc.why) || sent != tc.logins || changes != tc.changes || (err == nil) != (tc.says == nil) {
				t.Errorf("asked %d times, the old one was sent %d times, %d changes: %v, %v", asked, sent, changes, err, realm.Exchanges())
			}
			for _, want := range tc.says {
				if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, middleware.ErrCredentials) && name != "no server" || tc.fails != nil && !errors.Is(err, tc.fails) {
					t.Errorf("want %q: %v", want, err)
				}
			}
			for _, secret := range append(tc.answers, old) {
				if len(secret) > 1 && err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("the error tells a password: %v", err)
				}
			}
			if err != nil {
				// What was refused is not sent again, and nothing is asked in vain.
				if name == "wrong old" {
					before := realm.Count(fakekdc.AS, fakekdc.CodePreauthFailed)
					if _, err := s.ServiceTicket(t.Context(), spn); err == nil || realm.Count(fakekdc.AS, fakekdc.CodePreauthFailed) != before {
						t.Errorf("again: %v, %v", err, realm.Exchanges())
					}
				}
				return
			}
			// The next login is with the new one.
			clock.Advance(2 * time.Hour)
			realm.ResetExchanges()
			if _, err := s.ServiceTicket(t.Context(), spn); err != nil || realm.Count(fakekdc.AS, fakekdc.CodePreauthFailed) != 0 || asked != len(tc.why) {
				t.Errorf("next login: %v, %v", err, realm.Exchanges())
			}
		})
	}
}

// TestNewPasswordForged: nobody who forges the answer to a new password, in clear, has the
// program asked for another one, which would be set in its place.
func TestNewPasswordForged(t *testing.T) {
	realm := start(t, fakekdc.WithKpasswd(nil))
	if err := realm.Modify("alice", fakekdc.Refuse(fakekdc.CodeKeyExpired)); err != nil {
		t.Fatal(err)
	}
	for result := range byte(8) {
		asked := 0
		o := as(environment(realm), "alice")
		o.Logins = new(kerberos.Logins)
		o.NewPassword = func(context.Context, kerberos.NewPasswordRequest) (kerberos.Secret, error) {
			asked++
			return kerberos.NewSecret(newPassword), nil
		}
		s, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
		if err != nil {
			t.Fatal(err)
		}
		realm.FailNext(fakekdc.Kpasswd, fakekdc.ReplyError(fakekdc.CodeGeneric, append([]byte{0, result}, "dial 555 for help"...)))
		_, err = s.ServiceTicket(t.Context(), spn)
		if asked != 1 || !errors.Is(err, middleware.ErrKDC) || !strings.Contains(err.Error(), "may be forged") {
			t.Errorf("result %d: asked %d times, %v", result, asked, err)
		}
	}
}

// TestWhyAsked: a function that is asked for a password is told that the one before was
// refused, until a login has worked.
func TestWhyAsked(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now), fakekdc.WithLifetime(time.Hour, 0))
	o := as(environment(realm), "alice")
	o.Logins = new(kerberos.Logins)
	var whys []string
	answers := []string{"guess", password, password}
	s, err := kerberos.FromPasswordFunc(func(ctx context.Context, _ string) (kerberos.Secret, error) {
		why := ""
		if err := kerberos.WhyAsked(ctx); err != nil {
			why = err.Error()
		}
		whys = append(whys, why)
		return kerberos.NewSecret(answers[len(whys)-1]), nil
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	for n, works := range []bool{false, true, true} {
		if _, err := s.ServiceTicket(t.Context(), spn); (err == nil) != works {
			t.Errorf("login %d: %v", n+1, err)
		}
		if works {
			clock.Advance(2 * time.Hour)
		}
	}
	if len(whys) != 3 || whys[0] != "" || !strings.Contains(whys[1], "KDC_ERR_PREAUTH_FAILED") || whys[2] != "" || strings.Contains(fmt.Sprint(whys), "guess") {
		t.Errorf("%q", whys)
	}
	if kerberos.WhyAsked(t.Context()) != nil {
		t.Error("nobody was asked")
	}
}

// TestNewPasswordAgain: passwords expire again and again, and a source that was made with
// the first one logs in with the last one, whichever of them that is: the KDC never gets
// one that it would refuse.
func TestNewPasswordAgain(t *testing.T) {
	t.Parallel()
	for _, sequence := range [][]string{
		{"one", "two", "three", "four"},
		{"one", password, "two"},          // back to the first
		{"one", "two", "one", "two"},      // in turns
		{"one", "two", password, "three"}, // by a long way
	} {
		clock := new(fakekdc.Clock)
		realm := start(t, fakekdc.WithKpasswd(nil), fakekdc.WithClock(clock.Now), fakekdc.WithLifetime(time.Hour, 0))
		o := as(environment(realm), "alice")
		o.Logins = new(kerberos.Logins)
		next := 0
		o.NewPassword = func(context.Context, kerberos.NewPasswordRequest) (kerberos.Secret, error) {
			next++
			return kerberos.NewSecret(sequence[next-1]), nil
		}
		s, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
		if err != nil {
			t.Fatal(err)
		}
		for i := range sequence {
			if err := realm.Modify("alice", fakekdc.Refuse(fakekdc.CodeKeyExpired)); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the change, and a login after it
				if _, err := s.ServiceTicket(t.Context(), spn); err != nil || next != i+1 || realm.Count(fakekdc.AS, fakekdc.CodePreauthFailed) != 0 {
					t.Fatalf("%q: change %d: %d asked for: %v, %v", sequence, i+1, next, err, realm.Exchanges())
				}
				clock.Advance(2 * time.Hour)
			}
		}
	}
}

// TestNewPasswordOverruled: a password that is none of those that were changed is taken as
// it is given: an administrator may have set it since.
func TestNewPasswordOverruled(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithKpasswd(nil), fakekdc.WithClock(clock.Now), fakekdc.WithLifetime(time.Hour, 0))
	if err := realm.Modify("alice", fakekdc.Refuse(fakekdc.CodeKeyExpired)); err != nil {
		t.Fatal(err)
	}
	given := password
	o := as(environment(realm), "alice")
	o.Logins = new(kerberos.Logins)
	o.NewPassword = func(context.Context, kerberos.NewPasswordRequest) (kerberos.Secret, error) {
		return kerberos.NewSecret(newPassword), nil
	}
	s, err := kerberos.FromPasswordFunc(func(context.Context, string) (kerberos.Secret, error) { return kerberos.NewSecret(given), nil }, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
		t.Fatal(err)
	}
	clock.Advance(2 * time.Hour)
	given = "set by an administrator"
	if err := realm.SetPassword("alice", given); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), spn); err != nil || realm.Count(fakekdc.AS, fakekdc.CodePreauthFailed) != 0 {
		t.Errorf("%v, %v", err, realm.Exchanges())
	}
}

// TestNewPasswordAfterProof: a KDC may say that the password has expired only when it was
// proved. That it said so keeps nobody from changing it.
func TestNewPasswordAfterProof(t *testing.T) {
	realm := start(t, fakekdc.WithKpasswd(nil))
	o := as(environment(realm), "alice")
	o.Logins = new(kerberos.Logins)
	o.NewPassword = func(context.Context, kerberos.NewPasswordRequest) (kerberos.Secret, error) {
		return kerberos.NewSecret(newPassword), nil
	}
	s, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
	if err != nil {
		t.Fatal(err)
	}
	realm.FailNext(fakekdc.AS, fakekdc.Delay(0), fakekdc.ReplyError(fakekdc.CodeKeyExpired, nil))
	if _, err := s.ServiceTicket(t.Context(), spn); err != nil || realm.Count(fakekdc.Kpasswd) != 1 {
		t.Errorf("%v, %v", err, realm.Exchanges())
	}
}

// TestNewPasswordThatCannotBeSet: where it is not the new password that is wrong, no other
// one is asked for.
func TestNewPasswordThatCannotBeSet(t *testing.T) {
	var realm *fakekdc.Realm
	asked := 0
	realm = start(t, fakekdc.WithKpasswd(func(_, p string) error {
		if asked == 2 {
			if err := realm.Remove("alice"); err != nil {
				t.Error(err)
			}
			return nil
		}
		return errors.New("too short")
	}))
	if err := realm.Modify("alice", fakekdc.Refuse(fakekdc.CodeKeyExpired)); err != nil {
		t.Fatal(err)
	}
	o := as(environment(realm), "alice")
	o.Logins = new(kerberos.Logins)
	o.NewPassword = func(context.Context, kerberos.NewPasswordRequest) (kerberos.Secret, error) {
		asked++
		return kerberos.NewSecret(fmt.Sprint("new ", asked)), nil
	}
	s, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), spn); err == nil || asked != 2 || !strings.Contains(err.Error(), "user is gone") {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

// TestNoPasswordGiven: a function that gives none, and no error, is asked in vain.
func TestNoPasswordGiven(t *testing.T) {
	realm := start(t)
	s, err := kerberos.FromPasswordFunc(func(context.Context, string) (kerberos.Secret, error) { return kerberos.Secret{}, nil }, as(environment(realm), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), spn); !errors.Is(err, middleware.ErrCredentials) || !strings.Contains(err.Error(), "none was given") || len(realm.Exchanges()) != 0 {
		t.Errorf("%v, %v", err, realm.Exchanges())
	}
}

// TestNewPasswordStored: a program that stores the new password where the old one came from
// is taken at its word from then on, even if an administrator sets the old one again.
func TestNewPasswordStored(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithKpasswd(nil), fakekdc.WithClock(clock.Now), fakekdc.WithLifetime(time.Hour, 0))
	if err := realm.Modify("alice", fakekdc.Refuse(fakekdc.CodeKeyExpired)); err != nil {
		t.Fatal(err)
	}
	stored := password
	o := as(environment(realm), "alice")
	o.Logins = new(kerberos.Logins)
	o.NewPassword = func(context.Context, kerberos.NewPasswordRequest) (kerberos.Secret, error) {
		stored = newPassword
		return kerberos.NewSecret(stored), nil
	}
	s, err := kerberos.FromPasswordFunc(func(context.Context, string) (kerberos.Secret, error) { return kerberos.NewSecret(stored), nil }, o)
	if err != nil {
		t.Fatal(err)
	}
	for login := range 3 {
		if login == 2 {
			stored = password
			if err := realm.SetPassword("alice", password); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.ServiceTicket(t.Context(), spn); err != nil || realm.Count(fakekdc.AS, fakekdc.CodePreauthFailed) != 0 {
			t.Fatalf("login %d: %v, %v", login, err, realm.Exchanges())
		}
		clock.Advance(2 * time.Hour)
	}
}

// TestNewPasswordOfAll: sources of a process that log in with one password, at the same time
// or later, ask for a new one together, once, and none of them sends the old one to be
// refused.
func TestNewPasswordOfAll(t *testing.T) {
	realm := start(t, fakekdc.WithKpasswd(nil))
	if err := realm.Modify("alice", fakekdc.Refuse(fakekdc.CodeKeyExpired)); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	o := as(environment(realm), "alice")
	o.Logins = new(kerberos.Logins)
	o.NewPassword = func(context.Context, kerberos.NewPasswordRequest) (kerberos.Secret, error) {
		asked.Add(1)
		return kerberos.NewSecret(newPassword), nil
	}
	login := func() error {
		s, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
		if err != nil {
			return err
		}
		_, err = s.ServiceTicket(t.Context(), spn)
		return err
	}
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = login() })
	}
	all.Wait()
	err := errors.Join(append(errs, login())...)
	if n := asked.Load(); err != nil || n != 1 || realm.Count(fakekdc.AS, fakekdc.CodePreauthFailed) != 0 || realm.Count(fakekdc.Kpasswd, 0) != 1 {
		t.Errorf("asked %d times: %v, %v", n, err, realm.Exchanges())
	}
	// Who gives another password than the one that was replaced gets what the KDC says of it.
	s, err := kerberos.FromPassword(kerberos.NewSecret("a guess"), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), spn); !errors.Is(err, middleware.ErrCredentials) || asked.Load() != 1 {
		t.Errorf("%d, %v", asked.Load(), err)
	}
}
