package fakekdc

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gokrb5/v8/keytab"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/kerberos"
)

func readFile(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// modes returns the permissions of all that is in a folder, and its own as ".".
func modes(tb testing.TB, dir string) map[string]os.FileMode {
	tb.Helper()
	out := map[string]os.FileMode{}
	list, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range append([]string{"."}, names(list)...) {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			tb.Fatal(err)
		}
		out[name] = permissions(info)
	}
	return out
}

// permissions are those of a file; on Windows, where modes tell only whether it may
// be written, those that it was made with.
func permissions(info os.FileInfo) os.FileMode {
	switch {
	case runtime.GOOS != "windows":
		return info.Mode().Perm()
	case info.IsDir():
		return 0o700
	}
	return 0o600
}

func names(list []os.DirEntry) (out []string) {
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

// keys returns what is in a keytab, as "name kvno etype".
func keys(tb testing.TB, path string) (out []string) {
	tb.Helper()
	kt := keytab.New()
	if err := kt.Unmarshal(readFile(tb, path)); err != nil {
		tb.Fatal(err)
	}
	for _, e := range kt.Entries {
		out = append(out, strings.Join(e.Principal.Components, "/"))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestWriteFiles(t *testing.T) {
	t.Parallel()
	r := Start(t, WithRealm("A.EXAMPLE"), WithUser("alice", "secret"), WithUser("bob/admin", "secret"),
		WithService("HTTP/localhost"), WithService("WSMAN/localhost"))
	dir := filepath.Join(t.TempDir(), "new")
	f, err := r.WriteFiles(dir, "alice", "bob/admin@A.EXAMPLE")
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	want := Files{Config: in("krb5.conf"), Keytab: in("service.keytab"), Users: []UserFiles{
		{Name: "alice@A.EXAMPLE", CCache: in("alice.ccache"), Keytab: in("alice.keytab")},
		{Name: "bob/admin@A.EXAMPLE", CCache: in("bob+admin.ccache"), Keytab: in("bob+admin.keytab")},
	}}
	if d := cmp.Diff(want, f); d != "" {
		t.Errorf("files (-want +got)\n%s", d)
	}
	if d := cmp.Diff([]string{
		"KRB5_CONFIG=" + in("krb5.conf"), "KRB5_KTNAME=FILE:" + in("service.keytab"),
		"KRB5CCNAME=FILE:" + in("alice.ccache"), "KRB5_CLIENT_KTNAME=FILE:" + in("alice.keytab"),
	}, f.Environ()); d != "" {
		t.Errorf("environment (-want +got)\n%s", d)
	}
	wantModes := map[string]os.FileMode{".": 0o700}
	for _, name := range []string{"krb5.conf", "service.keytab", "alice.ccache", "alice.keytab", "bob+admin.ccache", "bob+admin.keytab"} {
		wantModes[name] = 0o600
	}
	if d := cmp.Diff(wantModes, modes(t, dir)); d != "" {
		t.Errorf("modes (-want +got)\n%s", d)
	}
	if got := string(readFile(t, f.Config)); got != r.Config() {
		t.Errorf("krb5.conf is %q", got)
	}
	if d := cmp.Diff([]string{"HTTP/localhost", "WSMAN/localhost"}, keys(t, f.Keytab)); d != "" {
		t.Errorf("service.keytab (-want +got)\n%s", d)
	}
	if d := cmp.Diff([]string{"bob/admin"}, keys(t, f.Users[1].Keytab)); d != "" {
		t.Errorf("bob+admin.keytab (-want +got)\n%s", d)
	}
	c, err := ccache.Parse(readFile(t, f.Users[1].CCache))
	if err != nil || c.Client.String() != "bob/admin@A.EXAMPLE" {
		t.Errorf("bob+admin.ccache: %v, error %v", c, err)
	}
}

// TestWriteFilesReplaces: what lies in the way is replaced, not written into, and
// its mode is not kept.
func TestWriteFilesReplaces(t *testing.T) {
	r := Start(t, WithEtypes(AES256SHA1), WithUser("alice", "secret"))
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	for path, text := range map[string]string{outside: "old", filepath.Join(dir, "krb5.conf"): firstLine + "\nold"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "service.keytab")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	if got := string(readFile(t, outside)); got != "old" {
		t.Errorf("the file behind a link was written to: %q", got)
	}
	got := modes(t, dir)
	delete(got, ".") // not ours
	if d := cmp.Diff(map[string]os.FileMode{"krb5.conf": 0o600, "service.keytab": 0o600}, got); d != "" {
		t.Errorf("modes (-want +got)\n%s", d)
	}
}

// TestWriteFilesOfOthers: a folder in which a file of another kind has one of our
// names stays as it is.
func TestWriteFilesOfOthers(t *testing.T) {
	r := Start(t, WithEtypes(AES256SHA1), WithUser("alice", "secret"))
	for name, text := range map[string]string{
		"krb5.conf":      "[libdefaults]\n\tdefault_realm = CORP.EXAMPLE\n",
		"service.keytab": "\x05\x02",
		"alice.ccache":   "",
		"alice.keytab":   "",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := r.WriteFiles(dir, "alice")
			if err == nil || strings.Count(err.Error(), path) != 1 || !strings.Contains(err.Error(), "name another folder") {
				t.Errorf("error %v", err)
			}
			list, err := os.ReadDir(dir)
			if d := cmp.Diff([]string{name}, names(list)); d != "" || err != nil {
				t.Errorf("in the folder, error %v (-want +got)\n%s", err, d)
			}
			if got := string(readFile(t, path)); got != text {
				t.Errorf("%s is %q now", name, got)
			}
		})
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app.conf"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.WriteFiles(dir, "alice"); err != nil {
			t.Errorf("beside a file of another name: %v", err)
		}
	}
}

func TestWriteFilesErrors(t *testing.T) {
	r := Start(t, WithEtypes(AES256SHA1), WithUser("a/b", "secret"), WithUser("a+b", "secret"), WithUser("service", "secret"))
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken := t.TempDir()
	if err := os.MkdirAll(filepath.Join(taken, "krb5.conf", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		dir   string
		users []string
		says  string
	}{
		"unknown user":       {t.TempDir(), []string{"nobody"}, "no principal nobody"},
		"one name for two":   {t.TempDir(), []string{"a/b", "a+b"}, "a+b.keytab is taken"},
		"as the service's":   {t.TempDir(), []string{"service"}, "service.keytab is taken"},
		"a file as a folder": {file, nil, "file"},
		"a folder as a file": {taken, nil, "krb5.conf"},
	} {
		_, err := r.WriteFiles(tc.dir, tc.users...)
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: error %v, want %q", name, err, tc.says)
		}
		if list, err := os.ReadDir(tc.dir); err == nil && slices.ContainsFunc(names(list), func(s string) bool { return strings.HasPrefix(s, ".new") }) {
			t.Errorf("%s: left behind %v", name, names(list))
		}
	}
}

// TestEnviron logs in with nothing but the environment, and looks for what remains.
func TestEnviron(t *testing.T) {
	t.Parallel()
	var dir string
	t.Run("test", func(t *testing.T) {
		r := Start(t, WithEtypes(AES256SHA1), WithUser("alice", "secret"), WithService("HTTP/localhost"))
		env := map[string]string{}
		for _, s := range r.Environ("alice") {
			name, value, _ := strings.Cut(s, "=")
			env[name] = value
		}
		if d := cmp.Diff([]string{"KRB5CCNAME", "KRB5_CLIENT_KTNAME", "KRB5_CONFIG", "KRB5_KTNAME"}, slices.Sorted(maps.Keys(env))); d != "" {
			t.Errorf("environment (-want +got)\n%s", d)
		}
		dir = filepath.Dir(env["KRB5_CONFIG"])
		for _, without := range []string{"", "KRB5CCNAME"} {
			delete(env, without)
			s, err := kerberos.FromEnvironment(kerberos.SourceOptions{Getenv: func(name string) string { return env[name] }, ReadOnlyCache: true})
			if err != nil {
				t.Fatal(err)
			}
			ticket, err := s.ServiceTicket(t.Context(), "HTTP/localhost")
			if err != nil || ticket.Client() != "alice@"+r.Name() {
				t.Errorf("without %q: ticket %v, error %v", without, ticket, err)
			}
		}
		if n := r.Count(AS, 0); n != 1 {
			t.Errorf("%d logins, want one by keytab: %v", n, r.Exchanges())
		}
	})
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s after the test: %v", dir, err)
	}
}

func TestEnvironWithoutTest(t *testing.T) {
	r, err := New(WithUser("alice", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if env := r.Environ("alice"); env != nil {
		t.Errorf("environment %v", env)
	}
}
