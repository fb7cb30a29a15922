package kerberos_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// TestRefusalInClear: what somebody says in clear of a login that FAST armours has no
// consequence: no new password is set, the password is not taken for refused, the host does
// not log in anew, and credentials are kept fresh.
func TestRefusalInClear(t *testing.T) {
	t.Parallel()
	realm := start(t, fakekdc.WithFAST(), fakekdc.WithKpasswd(nil), fakekdc.WithService("host/localhost"))
	host, err := kerberos.FromKeytab(testmain.File(t, "keytab", realm.Keytab("host/localhost")), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []int32{fakekdc.CodeKeyExpired, fakekdc.CodePreauthFailed, fakekdc.CodeClientRevoked, 1, fakekdc.CodeBadIntegrity} {
		if _, err := host.ServiceTicket(t.Context(), spn); err != nil { // its login is done
			t.Fatal(err)
		}
		o := as(environment(realm), "alice")
		o.Krb5ConfText = realm.Config("udp_preference_limit = 1") // where nothing is sent again for want of an answer
		o.Logins, o.Armor = new(kerberos.Logins), host
		o.NewPassword = func(_ context.Context, r kerberos.NewPasswordRequest) (kerberos.Secret, error) {
			t.Errorf("code %d: asked for a new password since %v", code, r.Why)
			return kerberos.NewSecret(newPassword), nil
		}
		var whys []error
		s, err := kerberos.FromPasswordFunc(func(ctx context.Context, _ string) (kerberos.Secret, error) {
			whys = append(whys, kerberos.WhyAsked(ctx))
			return kerberos.NewSecret(password), nil
		}, o)
		if err != nil {
			t.Fatal(err)
		}
		before := realm.Count(fakekdc.AS)
		realm.FailNext(fakekdc.AS, fakekdc.ReplyError(code, nil))
		_, err = s.ServiceTicket(t.Context(), spn)
		if code == fakekdc.CodeBadIntegrity { // of the armour, before anything of alice is sent: it is got anew
			if err != nil {
				t.Errorf("the armour is taken to be refused: %v", err)
			}
			continue
		}
		if !errors.Is(err, middleware.ErrKDC) || errors.Is(err, middleware.ErrCredentials) || realm.Count(fakekdc.AS) != before+1 {
			t.Errorf("code %d: %v after %d exchanges", code, err, realm.Count(fakekdc.AS)-before)
		}
		if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
			t.Errorf("code %d: the password is taken to be refused: %v", code, err)
		}
		if len(whys) != 2 || whys[0] != nil || whys[1] != nil {
			t.Errorf("code %d: asked for the password since %v", code, whys)
		}
	}
	// The armour was got anew just now, and is not again; that of a cache cannot be.
	cached, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	for name, armor := range map[string]*kerberos.Source{"just now": host, "a cache": cached} {
		o := as(environment(realm), "alice")
		o.Krb5ConfText = realm.Config("udp_preference_limit = 1")
		o.Logins, o.Armor = new(kerberos.Logins), armor
		s, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
		if err != nil {
			t.Fatal(err)
		}
		before := realm.Count(fakekdc.AS)
		realm.FailNext(fakekdc.AS, fakekdc.ReplyError(fakekdc.CodeBadIntegrity, nil))
		if _, err := s.ServiceTicket(t.Context(), spn); !errors.Is(err, middleware.ErrKDC) || realm.Count(fakekdc.AS) != before+1 {
			t.Errorf("armour of %s: %v after %d exchanges", name, err, realm.Count(fakekdc.AS)-before)
		}
	}
	// Where it cannot be got anew, nothing more is sent.
	again, err := kerberos.FromKeytab(testmain.File(t, "keytab", realm.Keytab("host/localhost")), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.ServiceTicket(t.Context(), spn); err != nil {
		t.Fatal(err)
	}
	lost := as(environment(realm), "alice")
	lost.Krb5ConfText = realm.Config("udp_preference_limit = 1")
	lost.Logins, lost.Armor = new(kerberos.Logins), again
	user, err := kerberos.FromPassword(kerberos.NewSecret(password), lost)
	if err != nil {
		t.Fatal(err)
	}
	before := realm.Count(fakekdc.AS)
	realm.FailNext(fakekdc.AS, fakekdc.ReplyError(fakekdc.CodeBadIntegrity, nil), fakekdc.ReplyError(fakekdc.CodePolicy, nil))
	if _, err := user.ServiceTicket(t.Context(), spn); !errors.Is(err, middleware.ErrKDC) || realm.Count(fakekdc.AS) != before+2 {
		t.Errorf("armour that cannot be got anew: %v after %d exchanges", err, realm.Count(fakekdc.AS)-before)
	}
	// Nobody ends KeepFresh that way, though it logs in again after a minute alone.
	o := as(environment(realm), "alice")
	o.Logins, o.Armor = new(kerberos.Logins), host
	s, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
	if err != nil {
		t.Fatal(err)
	}
	realm.FailNext(fakekdc.AS, fakekdc.ReplyError(fakekdc.CodePreauthFailed, nil))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := s.KeepFresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("credentials are kept fresh no more: %v", err)
	}
}
