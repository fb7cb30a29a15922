package kerberos_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// aChange is a realm in which alice's password has expired, and a program that is asked for
// a new one.
type aChange struct {
	*fakekdc.Realm
	clock  *fakekdc.Clock
	o      kerberos.SourceOptions
	given  string // what the program has as her password
	stores bool   // it takes the new one for hers at once
	asked  int
	source *kerberos.Source
}

func newChange(t *testing.T, opts ...fakekdc.Option) *aChange {
	t.Helper()
	c := &aChange{clock: new(fakekdc.Clock), given: password}
	c.Realm = start(t, append([]fakekdc.Option{fakekdc.WithKpasswd(nil), fakekdc.WithClock(c.clock.Now), fakekdc.WithLifetime(time.Hour, 0)}, opts...)...)
	c.expire(t)
	c.o = as(environment(c.Realm), "alice")
	c.o.Logins = new(kerberos.Logins)
	c.o.NewPassword = func(context.Context, kerberos.NewPasswordRequest) (kerberos.Secret, error) {
		if c.asked++; c.stores {
			c.given = newPassword
		}
		return kerberos.NewSecret(newPassword), nil
	}
	c.source = c.another(t)
	return c
}

func (c *aChange) another(t *testing.T) *kerberos.Source {
	t.Helper()
	s, err := kerberos.FromPasswordFunc(func(context.Context, string) (kerberos.Secret, error) { return kerberos.NewSecret(c.given), nil }, c.o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (c *aChange) expire(t *testing.T) {
	t.Helper()
	if err := c.Modify("alice", fakekdc.Refuse(fakekdc.CodeKeyExpired)); err != nil {
		t.Fatal(err)
	}
}

// lose has the first login end with an answer that is lost.
func (c *aChange) lose(t *testing.T, fault fakekdc.Fault) error {
	t.Helper()
	c.FailNext(fakekdc.Kpasswd, fault)
	_, err := c.source.ServiceTicket(t.Context(), spn)
	if err == nil || c.asked != 1 {
		t.Fatalf("asked %d times: %v", c.asked, err)
	}
	return err
}

// notChanged answers in clear, and changes nothing.
var notChanged = fakekdc.ReplyError(fakekdc.CodeGeneric, nil)

// TestNewPasswordLost: when the answer to a change does not arrive, or is nobody's, the error
// says that the password may have been changed. The next login finds out, whichever of the two
// passwords the program has by then: nothing is asked again, no password is sent to be
// refused, and the new one holds in the end.
func TestNewPasswordLost(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault   fakekdc.Fault
		changes int // in all
	}{
		"no answer":     {fakekdc.Drop(), 1},
		"reset":         {fakekdc.ResetConnection(), 1},
		"half":          {fakekdc.Truncate(), 1},
		"too long":      {fakekdc.HugeFrame(), 1},
		"nonsense":      {fakekdc.Garbage(), 2},
		"in clear":      {notChanged, 2},
		"a forged code": {fakekdc.ReplyError(fakekdc.CodePreauthFailed, []byte{0, 3}), 2},
		"too busy":      {fakekdc.ReplyError(29, nil), 2},
	} {
		for _, stores := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				c := newChange(t)
				c.stores = stores
				err := c.lose(t, tc.fault)
				for _, says := range []string{"kpasswd", "password may have been changed"} {
					if !strings.Contains(err.Error(), says) {
						t.Errorf("%q is not in: %v", says, err)
					}
				}
				if errors.Is(err, middleware.ErrCredentials) {
					t.Errorf("the credentials are at fault: %v", err)
				}
				for login := range 3 {
					if _, err := c.source.ServiceTicket(t.Context(), spn); err != nil || c.asked != 1 {
						t.Fatalf("login %d after it: asked %d times: %v\n%v", login+1, c.asked, err, c.Exchanges())
					}
					c.clock.Advance(2 * time.Hour)
				}
				sent := 0
				for _, e := range c.Exchanges() {
					if e.Kind == fakekdc.Kpasswd {
						sent++
					}
				}
				wantRefusals(t, c.Realm, "in all", 0)
				if sent != tc.changes {
					t.Errorf("%d requests to change it, want %d: %v", sent, tc.changes, c.Exchanges())
				}
				// Others have it, too.
				if _, err := c.another(t).ServiceTicket(t.Context(), spn); err != nil || c.asked != 1 {
					t.Errorf("another source: asked %d times: %v", c.asked, err)
				}
				wantRefusals(t, c.Realm, "of another source", 0)
			})
		}
	}
}

// TestNewPasswordLostAndRefused: where the password was not changed, the KDC gets the new one
// once, and then the old one.
func TestNewPasswordLostAndRefused(t *testing.T) {
	t.Run("the old one holds", func(t *testing.T) {
		c := newChange(t)
		_ = c.lose(t, notChanged)
		c.clock.Advance(time.Minute)
		if err := c.Modify("alice", fakekdc.Refuse(0)); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := c.source.ServiceTicket(t.Context(), spn); err != nil || c.asked != 1 || c.Count(fakekdc.Kpasswd) != 1 {
				t.Fatalf("asked %d times: %v, %v", c.asked, err, c.Exchanges())
			}
			c.clock.Advance(2 * time.Hour)
		}
		wantRefusals(t, c.Realm, "in all", 1)
	})
	t.Run("the old one has expired", func(t *testing.T) {
		// As a KDC says so that looks at the password first.
		c := newChange(t)
		_ = c.lose(t, notChanged)
		c.clock.Advance(time.Minute)
		if err := c.Modify("alice", fakekdc.Refuse(0)); err != nil {
			t.Fatal(err)
		}
		c.FailNext(fakekdc.AS, append(fakekdc.Repeat(3, fakekdc.Delay(0)), fakekdc.ReplyError(fakekdc.CodeKeyExpired, nil))...)
		if _, err := c.source.ServiceTicket(t.Context(), spn); err != nil || c.asked != 1 || c.Count(fakekdc.Kpasswd, 0) != 1 {
			t.Fatalf("asked %d times: %v, %v", c.asked, err, c.Exchanges())
		}
		wantRefusals(t, c.Realm, "in all", 1)
	})
	t.Run("neither holds", func(t *testing.T) {
		c := newChange(t)
		_ = c.lose(t, notChanged)
		if err := c.Modify("alice", fakekdc.Refuse(0)); err != nil {
			t.Fatal(err)
		}
		if err := c.SetPassword("alice", "set by an administrator"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := c.source.ServiceTicket(t.Context(), spn); !errors.Is(err, middleware.ErrCredentials) || c.asked != 1 {
				t.Fatalf("asked %d times: %v, %v", c.asked, err, c.Exchanges())
			}
		}
		wantRefusals(t, c.Realm, "one of each", 2)
		// What nobody vouches for does not last: one of them may hold after all.
		c.clock.Advance(time.Minute)
		if err := c.SetPassword("alice", newPassword); err != nil {
			t.Fatal(err)
		}
		if _, err := c.source.ServiceTicket(t.Context(), spn); err != nil {
			t.Error(err)
		}
		wantRefusals(t, c.Realm, "after a minute", 2)
	})
	t.Run("a third one holds", func(t *testing.T) {
		c := newChange(t)
		_ = c.lose(t, notChanged)
		if err := c.Modify("alice", fakekdc.Refuse(0)); err != nil {
			t.Fatal(err)
		}
		c.given = "set by an administrator"
		if err := c.SetPassword("alice", c.given); err != nil {
			t.Fatal(err)
		}
		if _, err := c.source.ServiceTicket(t.Context(), spn); err != nil {
			t.Fatal(err)
		}
		// And then the change is over: the old one is what it is.
		c.clock.Advance(2 * time.Hour)
		c.given = password
		if err := c.SetPassword("alice", c.given); err != nil {
			t.Fatal(err)
		}
		if _, err := c.source.ServiceTicket(t.Context(), spn); err != nil {
			t.Fatal(err)
		}
		wantRefusals(t, c.Realm, "in all", 0)
	})
	t.Run("locked", func(t *testing.T) {
		c := newChange(t)
		_ = c.lose(t, notChanged)
		c.clock.Advance(time.Minute)
		c.ResetExchanges()
		c.FailNext(fakekdc.AS, fakekdc.ReplyError(fakekdc.CodeClientRevoked, nil))
		var e *middleware.Error
		if _, err := c.source.ServiceTicket(t.Context(), spn); !errors.As(err, &e) || e.Code != fakekdc.CodeClientRevoked || c.Count(fakekdc.Any) != 1 {
			t.Errorf("%v, %v", err, c.Exchanges())
		}
	})
	t.Run("no answer for the new one", func(t *testing.T) {
		c := newChange(t)
		_ = c.lose(t, fakekdc.Drop())
		c.FailNext(fakekdc.AS, fakekdc.Repeat(20, fakekdc.ReplyError(29, nil))...)
		if _, err := c.source.ServiceTicket(t.Context(), spn); !errors.Is(err, middleware.ErrKDC) {
			t.Errorf("%v", err)
		}
		c.ClearFaults()
		if _, err := c.source.ServiceTicket(t.Context(), spn); err != nil || c.asked != 1 {
			t.Errorf("asked %d times: %v, %v", c.asked, err, c.Exchanges())
		}
		wantRefusals(t, c.Realm, "in all", 0)
	})
}

// TestNewPasswordNotLost: where the server said that it did not change the password, or did
// not get the new one, the next login is as the first one was.
func TestNewPasswordNotLost(t *testing.T) {
	for name, opt := range map[string]fakekdc.Option{
		"refused": fakekdc.WithKpasswd(func(string, string) error { return errors.New("no") }),
		"down":    fakekdc.WithKpasswd(nil),
	} {
		c := newChange(t, opt)
		if name == "down" {
			c.o.Krb5ConfText = strings.ReplaceAll(c.o.Krb5ConfText, c.KpasswdAddr(), "127.0.0.1:1")
		}
		s := c.another(t)
		for n := range 2 {
			before := c.asked
			c.ResetExchanges()
			if _, err := s.ServiceTicket(t.Context(), spn); err == nil || strings.Contains(err.Error(), "may have been") || c.asked == before {
				t.Errorf("%s: %v", name, err)
			}
			if logins := c.Count(fakekdc.AS, fakekdc.CodeKeyExpired); logins != 1-n {
				t.Errorf("%s: %d logins: %v", name, logins, c.Exchanges())
			}
		}
	}
}

// TestNewPasswordLostWhyAsked: a program is not told that the password it gave was refused,
// when it was the new one of a change.
func TestNewPasswordLostWhyAsked(t *testing.T) {
	c := newChange(t)
	_ = c.lose(t, notChanged)
	c.clock.Advance(time.Minute)
	if err := c.Modify("alice", fakekdc.Refuse(0)); err != nil {
		t.Fatal(err)
	}
	c.o.NewPassword = nil
	var whys []error
	s, err := kerberos.FromPasswordFunc(func(ctx context.Context, _ string) (kerberos.Secret, error) {
		whys = append(whys, kerberos.WhyAsked(ctx))
		return kerberos.NewSecret(password), nil
	}, c.o)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.FailNext(fakekdc.AS, append(fakekdc.Repeat(3, fakekdc.Delay(0)), fakekdc.ReplyError(fakekdc.CodeKeyExpired, nil))...)
		if _, err := s.ServiceTicket(t.Context(), spn); !errors.Is(err, middleware.ErrCredentials) {
			t.Error(err)
		}
	}
	if len(whys) != 2 || whys[0] != nil || whys[1] != nil {
		t.Errorf("%v", whys)
	}
}

// TestNewPasswordLostAgain: a change is sent again as often as its answer is lost, once for
// each login.
func TestNewPasswordLostAgain(t *testing.T) {
	c := newChange(t)
	_ = c.lose(t, notChanged)
	for _, fault := range []fakekdc.Fault{notChanged, fakekdc.Drop()} {
		c.FailNext(fakekdc.Kpasswd, fault)
		if _, err := c.source.ServiceTicket(t.Context(), spn); err == nil || c.asked != 1 || !strings.Contains(err.Error(), "may have been changed") {
			t.Fatalf("asked %d times: %v", c.asked, err)
		}
	}
	if _, err := c.source.ServiceTicket(t.Context(), spn); err != nil || c.asked != 1 {
		t.Errorf("asked %d times: %v, %v", c.asked, err, c.Exchanges())
	}
	wantRefusals(t, c.Realm, "in all", 0)
}

// TestNewPasswordLostAndExpired: a new password of which nobody knew that it was set expires in
// its turn, and is changed as the old one was.
func TestNewPasswordLostAndExpired(t *testing.T) {
	for _, stores := range []bool{false, true} {
		c := newChange(t)
		c.stores = stores
		_ = c.lose(t, fakekdc.Drop())
		c.clock.Advance(90 * 24 * time.Hour)
		c.expire(t)
		var last string
		c.o.NewPassword = func(_ context.Context, r kerberos.NewPasswordRequest) (kerberos.Secret, error) {
			c.asked++
			last = "another one, and longer"
			return kerberos.NewSecret(last), nil
		}
		s := c.another(t)
		for range 2 {
			if _, err := s.ServiceTicket(t.Context(), spn); err != nil || c.asked != 2 {
				t.Fatalf("asked %d times: %v, %v", c.asked, err, c.Exchanges())
			}
			c.clock.Advance(2 * time.Hour)
		}
		wantRefusals(t, c.Realm, "the one before", 1)
	}
}

// TestNewPasswordLostOfAll: sources find out together, and one that may not change passwords
// uses what they found.
func TestNewPasswordLostOfAll(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]fakekdc.Fault{"changed": fakekdc.Drop(), "not changed": notChanged} {
		t.Run(name, func(t *testing.T) {
			c := newChange(t)
			_ = c.lose(t, fault)
			if name == "changed" {
				o := c.o
				o.NewPassword = nil
				s, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
					t.Errorf("a source that changes none: %v", err)
				}
			}
			var all sync.WaitGroup
			for range 8 {
				s := c.another(t)
				all.Go(func() {
					if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			wantRefusals(t, c.Realm, "in all", 0)
			if c.asked != 1 || c.Count(fakekdc.Kpasswd, 0) != 1 {
				t.Errorf("asked %d times: %v", c.asked, c.Exchanges())
			}
		})
	}
	t.Run("the old one holds", func(t *testing.T) {
		c := newChange(t)
		_ = c.lose(t, notChanged)
		c.clock.Advance(time.Minute)
		if err := c.Modify("alice", fakekdc.Refuse(0)); err != nil {
			t.Fatal(err)
		}
		// All of them have to wait for the first.
		answer := make(chan struct{})
		c.FailNext(fakekdc.AS, fakekdc.HoldUntil(answer))
		var all sync.WaitGroup
		for range 8 {
			s := c.another(t)
			all.Go(func() {
				if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
					t.Error(err)
				}
			})
		}
		for c.PendingFaults() > 0 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond)
		close(answer)
		all.Wait()
		wantRefusals(t, c.Realm, "in all", 1)
		if c.asked != 1 || c.Count(fakekdc.Kpasswd, 0) != 0 {
			t.Errorf("asked %d times: %v", c.asked, c.Exchanges())
		}
	})
	t.Run("nobody may change it", func(t *testing.T) {
		c := newChange(t)
		_ = c.lose(t, notChanged)
		c.o.NewPassword = nil
		var e *middleware.Error
		if _, err := c.another(t).ServiceTicket(t.Context(), spn); !errors.As(err, &e) || e.Code != fakekdc.CodeKeyExpired || c.Count(fakekdc.Kpasswd) != 1 {
			t.Errorf("%v, %v", err, c.Exchanges())
		}
	})
}

// TestNewPasswordThatWasAGuess: a password that was refused a moment ago, and is set now, is no
// longer refused.
func TestNewPasswordThatWasAGuess(t *testing.T) {
	for name, fault := range map[string]fakekdc.Fault{"changed": fakekdc.Delay(0), "lost": fakekdc.Drop()} {
		for _, expired := range []bool{false, true} { // the guess is refused at a login, or at one for a change
			t.Run(name, func(t *testing.T) {
				c := newChange(t)
				if err := c.Modify("alice", fakekdc.Refuse(0)); err != nil {
					t.Fatal(err)
				}
				if expired {
					c.expire(t)
				}
				fresh := newPassword
				c.o.NewPassword = func(context.Context, kerberos.NewPasswordRequest) (kerberos.Secret, error) {
					return kerberos.NewSecret(fresh), nil
				}
				c.given, fresh = newPassword, "whatever"
				s := c.another(t)
				if _, err := s.ServiceTicket(t.Context(), spn); !errors.Is(err, middleware.ErrCredentials) {
					t.Fatal(err)
				}
				c.expire(t)
				c.given, fresh = password, newPassword
				c.FailNext(fakekdc.Kpasswd, fault)
				_, err := s.ServiceTicket(t.Context(), spn)
				if name == "lost" && err != nil {
					_, err = s.ServiceTicket(t.Context(), spn)
				}
				if err != nil {
					t.Errorf("%v, %v", err, c.Exchanges())
				}
				wantRefusals(t, c.Realm, "the guess", 1)
			})
		}
	}
}

// TestNewPasswordMeanwhile: a login that began with the old password, and waits for the KDC
// while another source has it changed, goes on with the new one.
func TestNewPasswordMeanwhile(t *testing.T) {
	for name, fault := range map[string]fakekdc.Fault{"changed": fakekdc.Delay(0), "lost": fakekdc.Drop()} {
		for _, changes := range []bool{true, false} { // whether the late one may change passwords
			t.Run(name, func(t *testing.T) {
				c := newChange(t)
				answer := make(chan struct{})
				c.FailNext(fakekdc.AS, fakekdc.HoldUntil(answer))
				if !changes {
					asks := c.o.NewPassword
					c.o.NewPassword = nil
					defer func() { c.o.NewPassword = asks }()
				}
				late, failed := c.another(t), make(chan error, 1)
				go func() {
					_, err := late.ServiceTicket(t.Context(), spn)
					failed <- err
				}()
				for c.PendingFaults() > 0 {
					time.Sleep(time.Millisecond)
				}
				c.FailNext(fakekdc.Kpasswd, fault)
				if _, err := c.source.ServiceTicket(t.Context(), spn); (err == nil) != (name == "changed") {
					t.Error(err)
				}
				close(answer)
				if err := <-failed; err != nil || c.asked != 1 {
					t.Errorf("asked %d times: %v, %v", c.asked, err, c.Exchanges())
				}
				wantRefusals(t, c.Realm, "in all", 0)
			})
		}
	}
	t.Run("not changed after all", func(t *testing.T) {
		c := newChange(t)
		answer := make(chan struct{})
		c.FailNext(fakekdc.AS, fakekdc.HoldUntil(answer))
		late, failed := c.another(t), make(chan error, 1)
		go func() {
			_, err := late.ServiceTicket(t.Context(), spn)
			failed <- err
		}()
		for c.PendingFaults() > 0 {
			time.Sleep(time.Millisecond)
		}
		_ = c.lose(t, notChanged)
		c.clock.Advance(time.Minute)
		if err := c.Modify("alice", fakekdc.Refuse(0)); err != nil {
			t.Fatal(err)
		}
		close(answer)
		if err := <-failed; err != nil || c.asked != 1 || c.Count(fakekdc.Kpasswd) != 1 {
			t.Errorf("asked %d times: %v, %v", c.asked, err, c.Exchanges())
		}
		wantRefusals(t, c.Realm, "the new one", 1)
	})
	t.Run("no answer yet", func(t *testing.T) {
		t.Parallel()
		c := newChange(t)
		c.o.Krb5ConfText = c.Config("request_timeout = 1s")
		first, failed := c.another(t), make(chan error, 1)
		c.FailNext(fakekdc.Kpasswd, fakekdc.Silence())
		go func() {
			_, err := first.ServiceTicket(t.Context(), spn)
			failed <- err
		}()
		for c.Count(fakekdc.Kpasswd) == 0 {
			time.Sleep(time.Millisecond)
		}
		c.clock.Advance(time.Minute) // it is no longer kept in mind that the old one has expired
		if _, err := c.another(t).ServiceTicket(t.Context(), spn); err != nil {
			t.Errorf("%v, %v", err, c.Exchanges())
		}
		if err := <-failed; err == nil || !strings.Contains(err.Error(), "may have been changed") {
			t.Error(err)
		}
		wantRefusals(t, c.Realm, "in all", 0)
	})
}

// TestNewPasswordOfAllAgain: sources that were made with the first password ask together for
// the third one, too.
func TestNewPasswordOfAllAgain(t *testing.T) {
	t.Parallel()
	c := newChange(t)
	asked, sequence := make(chan int, 1), []string{"one", "two", "three"}
	asked <- 0
	c.o.NewPassword = func(context.Context, kerberos.NewPasswordRequest) (kerberos.Secret, error) {
		n := <-asked
		defer func() { asked <- n + 1 }()
		return kerberos.NewSecret(sequence[n]), nil
	}
	for round := range sequence {
		c.expire(t)
		var all sync.WaitGroup
		for range 8 {
			s := c.another(t)
			all.Go(func() {
				if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := c.Count(fakekdc.Kpasswd, 0); n != round+1 {
			t.Fatalf("%d changes, want %d: %v", n, round+1, c.Exchanges())
		}
	}
	wantRefusals(t, c.Realm, "in all", 0)
}

// TestNewPasswordOverruledAndExpired: an old password that an administrator has set again, and
// that expires in its turn, is changed: what took its place long ago is not sent.
func TestNewPasswordOverruledAndExpired(t *testing.T) {
	c := newChange(t)
	c.stores = true
	for range 2 {
		if _, err := c.source.ServiceTicket(t.Context(), spn); err != nil {
			t.Fatal(err)
		}
		c.clock.Advance(2 * time.Hour)
	}
	c.given = password
	if err := c.SetPassword("alice", password); err != nil {
		t.Fatal(err)
	}
	if _, err := c.source.ServiceTicket(t.Context(), spn); err != nil || c.asked != 1 {
		t.Fatalf("asked %d times: %v, %v", c.asked, err, c.Exchanges())
	}
	c.clock.Advance(2 * time.Hour)
	c.expire(t)
	c.stores = false
	for range 2 {
		if _, err := c.source.ServiceTicket(t.Context(), spn); err != nil || c.asked != 2 {
			t.Errorf("asked %d times: %v, %v", c.asked, err, c.Exchanges())
		}
		c.clock.Advance(2 * time.Hour)
	}
	wantRefusals(t, c.Realm, "in all", 0)
}

// TestForgedChangeKeepsFresh: what is said in clear of a change does not end KeepFresh, as a
// refused password does.
func TestForgedChangeKeepsFresh(t *testing.T) {
	c := newChange(t)
	c.FailNext(fakekdc.Kpasswd, fakekdc.ReplyError(fakekdc.CodePreauthFailed, nil))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	rounds := 0
	c.source.SetAfter(func(time.Duration) <-chan time.Time {
		if rounds++; rounds == 2 {
			stop()
		}
		at := make(chan time.Time, 1)
		at <- time.Time{}
		return at
	})
	if err := c.source.KeepFresh(ctx); !errors.Is(err, context.Canceled) || c.asked != 1 {
		t.Errorf("asked %d times: %v", c.asked, err)
	}
}
