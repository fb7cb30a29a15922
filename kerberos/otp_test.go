package kerberos_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// armored returns options of a user of a realm that speaks FAST, whose logins a host's
// keytab armours.
func armored(t *testing.T, realm *fakekdc.Realm, user string) kerberos.SourceOptions {
	t.Helper()
	o := as(environment(realm), user)
	host, err := kerberos.FromKeytab(testmain.File(t, "host.keytab", realm.Keytab(spn)), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	o.Armor, o.Logins = host, new(kerberos.Logins)
	return o
}

// TestOTP: a source logs in with one-time passwords, alone or beside a password, and sends
// none twice that was refused, whoever is asked for it.
func TestOTP(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := fakekdc.Start(t, fakekdc.WithClock(clock.Now), fakekdc.WithFAST(), fakekdc.WithUser("alice", password), fakekdc.WithUser("otto", "of no use", fakekdc.Tokens(
		fakekdc.Token{Value: "123456", Vendor: "acme\x1b[2J", Challenge: "type \x07 42", ID: "s-1", Length: 6},
		fakekdc.Token{Value: "654321", PIN: "9876", Vendor: "pins"})), fakekdc.WithService(spn))
	o := armored(t, realm, "otto")
	values, asked := []string{"guess", "guess", "123456"}, 0
	o.OTP = func(_ context.Context, c kerberos.OTPChallenge) (kerberos.OTPAnswer, error) {
		if c.Principal != "otto@"+realm.Name() || c.Service != realm.Name() || len(c.Tokens) != 2 {
			t.Errorf("%+v", c)
		} else if a, b := c.Tokens[0], c.Tokens[1]; a.Vendor != `acme\x1b[2J` || a.Challenge != `type \a 42` || a.ID != "s-1" || a.Length != 6 || a.PIN || a.Next || a.Format != "" || !b.PIN || b.Vendor != "pins" {
			t.Errorf("%+v", c.Tokens)
		}
		asked++
		return kerberos.OTPAnswer{Value: kerberos.NewSecret(values[asked-1])}, nil
	}
	s, err := kerberos.FromPassword(kerberos.Secret{}, o)
	if err != nil {
		t.Fatal(err)
	}
	for n, says := range []string{"with a one-time password", "with a one-time password", ""} {
		_, err := s.ServiceTicket(t.Context(), spn)
		if (err == nil) != (says == "") || err != nil && (!errors.Is(err, middleware.ErrCredentials) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "guess")) {
			t.Errorf("login %d: %v", n+1, err)
		}
	}
	if n := realm.Count(fakekdc.AS, fakekdc.CodePreauthFailed); n != 1 || asked != 3 {
		t.Errorf("%d sent in vain, asked %d times: %v", n, asked, realm.Exchanges())
	}
	// It is spent for longer than a password is kept back.
	clock.Advance(time.Hour)
	asked = 0
	again, err := kerberos.FromPasswordFunc(func(ctx context.Context, _ string) (kerberos.Secret, error) {
		if why := kerberos.WhyAsked(ctx); why != nil {
			t.Errorf("asked for the password since %v", why)
		}
		return kerberos.NewSecret("a password"), nil
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.ServiceTicket(t.Context(), spn); err == nil || realm.Count(fakekdc.AS, fakekdc.CodePreauthFailed) != 1 {
		t.Errorf("%v: %v", err, realm.Exchanges())
	}
	// The password was not what was refused.
	asked = 2
	if _, err := again.ServiceTicket(t.Context(), spn); err != nil {
		t.Error(err)
	}
	// Who has a password, and no tokens, is not asked for any.
	o = armored(t, realm, "alice")
	o.OTP = func(context.Context, kerberos.OTPChallenge) (kerberos.OTPAnswer, error) {
		return kerberos.OTPAnswer{}, errors.New("nobody is there")
	}
	if s, err = kerberos.FromPassword(kerberos.NewSecret(password), o); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
		t.Error(err)
	}
	// Who has neither has no password that is empty.
	before := realm.Count(fakekdc.AS, fakekdc.CodePreauthFailed)
	if s, err = kerberos.FromPassword(kerberos.Secret{}, o); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), spn); err == nil || realm.Count(fakekdc.AS, fakekdc.CodePreauthFailed) != before {
		t.Errorf("%v: %v", err, realm.Exchanges())
	}
}

// TestOTPMisused: what cannot work is refused at once.
func TestOTPMisused(t *testing.T) {
	realm := start(t)
	otp := func(context.Context, kerberos.OTPChallenge) (kerberos.OTPAnswer, error) {
		return kerberos.OTPAnswer{}, nil
	}
	good := armored(t, realm, "alice")
	good.OTP = otp
	for says, change := range map[string]func(*kerberos.SourceOptions){
		"no Armor":                      func(o *kerberos.SourceOptions) { o.Armor = nil },
		"passwords without a principal": func(o *kerberos.SourceOptions) { o.Principal = "" },
		"no password given":             func(o *kerberos.SourceOptions) { o.OTP = nil },
		"ArmorOptional says":            func(o *kerberos.SourceOptions) { o.Armor, o.ArmorOptional = nil, true },
		"Principal is an alias":         func(o *kerberos.SourceOptions) { o.Principal, o.Enterprise = "", true },
		"Krb5ConfText takes the place":  func(o *kerberos.SourceOptions) { o.Krb5ConfText, o.Krb5Conf = "[libdefaults]", []string{} },
	} {
		o := good
		change(&o)
		if _, err := kerberos.FromPassword(kerberos.Secret{}, o); !errors.Is(err, middleware.ErrConfiguration) || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q: %v", says, err)
		}
	}
}

// TestOTPFormats: the numbers of RFC 6560 have names, and others none.
func TestOTPFormats(t *testing.T) {
	for n, want := range map[int32]string{-1: "", 0: "decimal", 1: "hexadecimal", 2: "alphanumeric", 3: "binary", 4: "base64", 5: ""} {
		if got := kerberos.OTPTokenOf(krb.OTPToken{Format: &n}).Format; got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// TestOTPWait: who leaves while a one-time password is asked for is told what was waited
// for.
func TestOTPWait(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithFAST(), fakekdc.WithUser("otto", "", fakekdc.OTP("123456")), fakekdc.WithService(spn))
	o := armored(t, realm, "otto")
	ctx, cancel := context.WithCancel(t.Context())
	o.OTP = func(ctx context.Context, _ kerberos.OTPChallenge) (kerberos.OTPAnswer, error) {
		cancel()
		<-ctx.Done()
		return kerberos.OTPAnswer{}, ctx.Err()
	}
	s, err := kerberos.FromPassword(kerberos.Secret{}, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(ctx, spn); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "asking for a one-time password of otto@") {
		t.Error(err)
	}
}
