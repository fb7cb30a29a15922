package kerberos_test

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// Somebody else's cache is used where it was named, and not where a program finds it
// by default or everybody may have put it there.
func TestForeignCache(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("files have no user ids there")
	}
	realm := start(t)
	owner := fmt.Sprint(os.Getuid())
	for name, tc := range map[string]struct {
		mode   os.FileMode // of the folder
		source func(path string) (*kerberos.Source, error)
		ours   bool
		says   string // in the error; "" for a ticket
	}{
		"default":                     {0o700, byDefault(realm, "FILE:"), false, "not used by default"},
		"default, ours":               {0o700, byDefault(realm, "FILE:"), true, ""},
		"default, exposed":            {0o777 | os.ModeSticky, byDefault(realm, "FILE:"), false, "everybody may put files"},
		"default, exposed, ours":      {0o777 | os.ModeSticky, byDefault(realm, ""), true, ""},
		"default collection":          {0o700, byDefault(realm, "DIR:"), false, "not used by default"},
		"default member":              {0o700, byDefault(realm, "DIR::"), false, "not used by default"},
		"environment":                 {0o700, byEnvironment(realm, "FILE:"), false, ""},
		"environment, collection":     {0o700, byEnvironment(realm, "DIR:"), false, ""},
		"environment, exposed":        {0o777 | os.ModeSticky, byEnvironment(realm, "FILE:"), false, "everybody may put files"},
		"option":                      {0o700, byName(realm, "FILE:"), false, ""},
		"option, bare":                {0o700, byName(realm, ""), false, ""},
		"option, exposed":             {0o777 | os.ModeSticky, byName(realm, ""), false, "everybody may put files"},
		"option, exposed to a group":  {0o770 | os.ModeSticky, byName(realm, ""), false, "everybody may put files"},
		"option, sticky":              {0o755 | os.ModeSticky, byName(realm, ""), false, ""},
		"option, for all":             {0o777, byName(realm, ""), false, ""},
		"option, collection, exposed": {0o777 | os.ModeSticky, byName(realm, "DIR:"), false, "everybody may put files"},
		"option, ours":                {0o777 | os.ModeSticky, byName(realm, ""), true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "dir")
			if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, tc.mode)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "tkt")
			if err := os.WriteFile(path, realm.CCache("alice"), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := tc.source(path)
			if err != nil {
				t.Fatal(err)
			}
			s.SetOurs(func(int) bool { return tc.ours })
			var told []middleware.ForeignCacheEvent
			ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.ForeignCacheEvent); ok {
					told = append(told, e)
				}
			})
			ticket, err := s.ServiceTicket(ctx, spn)
			if tc.says != "" {
				for _, says := range []string{tc.says, "belongs to user " + owner, "tkt", "KRB5CCNAME"} {
					if err == nil || !strings.Contains(err.Error(), says) {
						t.Errorf("%q is not in: %v, %v", says, ticket, err)
					}
				}
				if !errors.Is(err, middleware.ErrCredentials) || len(told) > 0 {
					t.Errorf("%v %v", err, told)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tc.ours != (len(told) == 0) {
				t.Errorf("told %+v", told)
			}
			for _, e := range told {
				if !strings.HasPrefix(e.Owner, owner) || !strings.Contains(e.Cache, path) {
					t.Errorf("%+v", e)
				}
			}
		})
	}
}

func byDefault(realm *fakekdc.Realm, kind string) func(string) (*kerberos.Source, error) {
	return func(path string) (*kerberos.Source, error) {
		o := environment(realm)
		o.Krb5ConfText = realm.Config("default_ccache_name = " + named(kind, path))
		return kerberos.FromEnvironment(o)
	}
}

func byEnvironment(realm *fakekdc.Realm, kind string) func(string) (*kerberos.Source, error) {
	return func(path string) (*kerberos.Source, error) {
		return kerberos.FromEnvironment(environment(realm, "KRB5CCNAME="+named(kind, path)))
	}
}

func byName(realm *fakekdc.Realm, kind string) func(string) (*kerberos.Source, error) {
	return func(path string) (*kerberos.Source, error) {
		return kerberos.FromCCache(named(kind, path), environment(realm))
	}
}

// named is the name of a cache in a file.
func named(kind, path string) string {
	if kind == "DIR:" {
		return kind + filepath.Dir(path)
	}
	return kind + path
}

// A link does not lead out of a folder where everybody may put files.
func TestForeignCacheBehindALink(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no user ids there")
	}
	realm := start(t)
	exposed, own := filepath.Join(t.TempDir(), "exposed"), t.TempDir()
	if err := errors.Join(os.Mkdir(exposed, 0o700), os.Chmod(exposed, 0o777|os.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	for _, dirs := range [][2]string{{exposed, own}, {own, exposed}} {
		file, link := filepath.Join(dirs[0], "file"), filepath.Join(dirs[1], "link")
		if err := errors.Join(os.WriteFile(file, realm.CCache("alice"), 0o600), os.Symlink(file, link)); err != nil {
			t.Fatal(err)
		}
		s, err := kerberos.FromCCache(link, environment(realm))
		if err != nil {
			t.Fatal(err)
		}
		s.SetOurs(func(int) bool { return false })
		if _, err := s.ServiceTicket(t.Context(), spn); err == nil || !strings.Contains(err.Error(), "everybody may put files") {
			t.Errorf("%s to %s: %v", link, file, err)
		}
	}
}

// A foreign cache in the default place does not keep a client keytab from being
// used.
func TestForeignCacheBesideAKeytab(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no user ids there")
	}
	realm := start(t, oneType, fakekdc.WithUser("mallory", "m"))
	o := environment(realm, "KRB5_CLIENT_KTNAME="+testmain.File(t, "keytab", realm.Keytab("alice")))
	o.Krb5ConfText = realm.Config("default_ccache_name = " + testmain.File(t, "cc", realm.CCache("mallory")))
	s, err := kerberos.FromEnvironment(o)
	if err != nil {
		t.Fatal(err)
	}
	s.SetOurs(func(int) bool { return false })
	if ticket, err := s.ServiceTicket(t.Context(), spn); err != nil || ticket.Client() != "alice@"+realm.Name() {
		t.Errorf("%v %v", ticket, err)
	}
}

func TestSecureGetenv(t *testing.T) {
	t.Setenv("KRB5CCNAME", "FILE:/planted")
	for elevated, want := range map[bool]string{false: "FILE:/planted", true: ""} {
		if got := kerberos.Getenv("KRB5CCNAME", elevated); got != want {
			t.Errorf("elevated %v: %q", elevated, got)
		}
	}
	if got := kerberos.SecureGetenv("KRB5CCNAME"); got != "FILE:/planted" {
		t.Errorf("tests run with no more rights than their user: %q", got)
	}
}

func TestWhoseFilesAreOurs(t *testing.T) {
	if !kerberos.Ours(os.Geteuid()) || !kerberos.Ours(os.Getuid()) || kerberos.Ours(os.Getuid()+12345) {
		t.Error("files of this process's users are its own, and no others")
	}
	realm := start(t)
	s, err := byName(realm, "")(testmain.File(t, "cc", realm.CCache("alice")))
	if err != nil {
		t.Fatal(err)
	}
	s.SetOurs(func(int) bool { return false })
	ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
		u, err := user.LookupId(fmt.Sprint(os.Getuid()))
		if e, ok := e.(middleware.ForeignCacheEvent); ok && err == nil && e.Owner != fmt.Sprintf("%s (%s)", u.Uid, u.Username) {
			t.Errorf("%+v", e)
		}
	})
	if _, err := s.ServiceTicket(ctx, spn); err != nil {
		t.Error(err)
	}
}
