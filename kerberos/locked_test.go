package kerberos_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/regularfile"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// Where a cache is not to be had in time, the error says so, and blames no KDC: also
// for those who wait for another's look at it.
func TestLockedCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		realm := fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/a"), fakekdc.WithService("HTTP/b"))
		name := filepath.Join(t.TempDir(), "krb5cc")
		if err := os.WriteFile(name, realm.CCache("alice"), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := regularfile.Lock(t.Context(), f, true); errors.Is(err, errors.ErrUnsupported) {
			t.Skip("no locks of files on this system")
		} else if err != nil {
			t.Fatal(err)
		}
		s, err := kerberos.FromCCache(name, kerberos.SourceOptions{Krb5ConfText: realm.Config(), Dial: realm.Dial, Now: realm.Now, Getenv: func(string) string { return "" }})
		if err != nil {
			t.Fatal(err)
		}
		first := make(chan error, 1)
		waits, leave := context.WithCancel(t.Context())
		go func() {
			_, err := s.ServiceTicket(waits, "HTTP/a")
			first <- err
		}()
		for _, spn := range []string{"HTTP/a", "HTTP/b"} {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			_, err := s.ServiceTicket(ctx, spn)
			cancel()
			e, ok := errors.AsType[*middleware.Error](err)
			if !ok || !errors.Is(err, middleware.ErrCredentials) || !errors.Is(err, context.DeadlineExceeded) || !e.Timeout() || !e.IsTemporary || e.KDC != "" ||
				!strings.Contains(err.Error(), "gave up reading credential cache FILE:"+name) || !strings.Contains(e.Hint, "locked") {
				t.Errorf("%s: %+v", spn, err)
			}
			for _, wrong := range stagetest.Prose(err.Error()) {
				t.Errorf("%s: %v", wrong, err)
			}
		}
		leave()
		if err := <-first; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "gave up reading credential cache") {
			t.Errorf("who left: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ServiceTicket(t.Context(), "HTTP/b"); err != nil {
			t.Errorf("free again: %v", err)
		}
	})
}

// Nor is a KDC blamed where somebody takes too long to say the password.
func TestSlowPassword(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		realm := fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/a"))
		given := make(chan struct{})
		s, err := kerberos.FromPasswordFunc(func(context.Context, string) (kerberos.Secret, error) {
			<-given
			return kerberos.NewSecret("secret"), nil
		}, kerberos.SourceOptions{Principal: "alice", Krb5ConfText: realm.Config(), Dial: realm.Dial, Now: realm.Now, Getenv: func(string) string { return "" }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err = s.ServiceTicket(ctx, "HTTP/a")
		e, ok := errors.AsType[*middleware.Error](err)
		if !ok || !errors.Is(err, middleware.ErrCredentials) || !e.Timeout() || e.KDC != "" || !strings.Contains(err.Error(), "gave up asking for the password of alice@"+realm.Name()) {
			t.Error(err)
		}
		close(given)
		if _, err := s.ServiceTicket(t.Context(), "HTTP/a"); err != nil {
			t.Error(err)
		}
	})
}
