package ccache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// file returns the path of a copy of MIT's cache.
func file(tb testing.TB, version int) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "cc")
	write(tb, path, testFile(tb, version))
	return path
}

func write(tb testing.TB, path string, b []byte) {
	tb.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		tb.Fatal(err)
	}
}

func read(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// like returns a credential for another server.
func like(c Credential, name string, i int) Credential {
	c.Server = krb.NewPrincipal(realm, "HTTP", fmt.Sprintf("%s-%04d.example.test", name, i))
	return c
}

func TestLoad(t *testing.T) {
	path := file(t, 4)
	s := OpenFile(path)
	c, err := s.Load(t.Context())
	if err != nil || !c.Client.Equal(alice) {
		t.Fatal(c, err)
	}
	// Opened anew each time.
	b := testFile(t, 4)
	write(t, path, b[:20])
	_, err = s.Load(t.Context())
	if !errors.Is(err, ErrTruncated) || !strings.HasPrefix(err.Error(), "credential cache FILE:"+path) || !strings.Contains(err.Error(), "offset") {
		t.Errorf("half a principal: %v", err)
	}
	write(t, path, b[:len(b)-1])
	torn, err := s.Load(t.Context())
	if err != nil || len(torn.Credentials) != len(c.Credentials)-1 || torn.Torn == nil || torn.Torn.Name != s.name.String() {
		t.Errorf("a torn tail: %v, %v", torn, err)
	}
	dir := filepath.Dir(path)
	if _, err = OpenFile(filepath.Join(dir, "none")).Load(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "kinit") {
		t.Errorf("no file: %v", err)
	}
	if _, err = OpenFile(dir).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("directory: %v", err)
	}
	f, err := os.Create(filepath.Join(dir, "huge"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(MaxSize+1), f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err = OpenFile(f.Name()).Load(t.Context()); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "huge") {
		t.Errorf("too large: %v", err)
	}
}

func TestUnsupportedTypes(t *testing.T) {
	for s, says := range map[string]string{
		"KCM:":                    "daemon",
		"KCM:1000":                "daemon",
		"KEYRING:persistent:1000": "Linux",
		"API:":                    "macOS",
		"MSLSA:":                  "Windows",
		"MEMORY:x":                "inside the process",
		"file:/tmp/x":             "unknown type",
		"NONSENSE:x":              "unknown type",
	} {
		n, err := ParseName(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
		}
		_, err = Open(n)
		ute, ok := errors.AsType[*UnsupportedTypeError](err)
		if !ok || ute.Name != n {
			t.Errorf("%s: %v", s, err)
			continue
		}
		for _, want := range []string{s, says, "kinit -c FILE:/path"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in: %v", s, want, err)
			}
		}
	}
}
