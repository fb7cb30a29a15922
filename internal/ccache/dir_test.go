package ccache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/krb"
)

func TestDir(t *testing.T) {
	alice, bob := krb.NewPrincipal("R", "alice"), krb.NewPrincipal("R", "bob")
	cache := func(p krb.Principal) string {
		b, err := (&Cache{Client: p}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, tc := range map[string]struct {
		files    map[string]string
		residual string // below the directory; ":" for one cache
		file     string // without directory
		says     string // in the error
	}{
		"primary":              {files: map[string]string{"primary": "tktB\n", "tktA": cache(alice), "tktB": cache(bob)}, file: "tktB"},
		"primary, no newline":  {files: map[string]string{"primary": "tktB"}, file: "tktB"},
		"no primary":           {files: map[string]string{"tktA": cache(alice)}, file: "tkt"},
		"empty directory":      {file: "tkt"},
		"one cache":            {residual: "tktA", file: "tktA"},
		"one, not a member":    {residual: "krb5cc", says: "DIR::"},
		"path in primary":      {files: map[string]string{"primary": "tkt/../../etc/passwd\n"}, says: "primary"},
		"no tkt in primary":    {files: map[string]string{"primary": "krb5cc\n"}, says: "primary"},
		"long primary":         {files: map[string]string{"primary": "tkt" + strings.Repeat("x", 64) + "\n"}, says: "primary"},
		"two lines in primary": {files: map[string]string{"primary": "tkt1\ntkt2\n"}, says: "primary"},
		"empty primary":        {files: map[string]string{"primary": ""}, says: "primary"},
		"backslash in primary": {files: map[string]string{"primary": "tkt\\x\n"}, says: "primary"},
		"NUL in primary":       {files: map[string]string{"primary": "tkt\x00\n"}, says: "primary"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for f, text := range tc.files {
				if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			n := Name{"DIR", dir}
			if tc.residual != "" {
				n.Residual = ":" + filepath.Join(dir, tc.residual)
			}
			store, err := primary(t, n)
			if tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("cache %v, error %v, want one about %q", store, err, tc.says)
				}
				return
			}
			want := Name{"DIR", ":" + filepath.Join(dir, tc.file)}
			if err != nil || store.Name() != want {
				t.Fatalf("cache %v, error %v, want %s", store, err, want)
			}
			if _, ok := tc.files[tc.file]; !ok {
				if _, err := store.Load(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), want.String()) {
					t.Errorf("loading a cache that is not there: %v", err)
				}
			} else if _, err := store.Load(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func primary(t *testing.T, n Name) (Store, error) {
	t.Helper()
	c, err := Open(n)
	if err != nil {
		return nil, err
	}
	return c.Primary(t.Context())
}

func names(t *testing.T, n Name) []string {
	t.Helper()
	c, err := Open(n)
	if err != nil {
		t.Fatal(err)
	}
	stores, err := c.Stores(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range stores {
		out = append(out, s.Name().Type+" "+filepath.Base(s.Name().Residual))
	}
	return out
}

func TestStores(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"tktC", "tktA", "tktB", "other", ".krb5cc-1"} {
		if err := os.WriteFile(filepath.Join(dir, f), testFile(t, 4), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "tktD"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		primary string
		want    []string
	}{
		"none named":        {"", []string{"DIR tktA", "DIR tktB", "DIR tktC"}},
		"one of them":       {"tktB\n", []string{"DIR tktB", "DIR tktA", "DIR tktC"}},
		"one that is gone":  {"tktE\n", []string{"DIR tktA", "DIR tktB", "DIR tktC"}},
		"a directory":       {"tktD\n", []string{"DIR tktA", "DIR tktB", "DIR tktC"}},
		"one that is wrong": {"other\n", []string{"DIR tktA", "DIR tktB", "DIR tktC"}},
	} {
		if tc.primary != "" {
			if err := os.WriteFile(filepath.Join(dir, "primary"), []byte(tc.primary), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(tc.want, names(t, Name{"DIR", dir})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if err := os.RemoveAll(filepath.Join(dir, "primary")); err != nil {
			t.Fatal(err)
		}
	}
	for residual, want := range map[string][]string{
		":" + filepath.Join(dir, "tktB"): {"DIR tktB"},
		":" + filepath.Join(dir, "tktZ"): nil,
		filepath.Join(dir, "none"):       nil,
	} {
		if diff := cmp.Diff(want, names(t, Name{"DIR", residual})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", residual, diff)
		}
	}
	for path, want := range map[string][]string{"tktB": {"FILE tktB"}, "none": nil} {
		if diff := cmp.Diff(want, names(t, Name{"FILE", filepath.Join(dir, path)})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	c, err := Open(Name{"DIR", filepath.Join(dir, "tktA")})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.Stores(t.Context()); err == nil {
		t.Errorf("a file was taken for a directory: %v", s)
	}
}

// A member may be a link to a cache elsewhere.
func TestLinkedMember(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(file(t, 4), filepath.Join(dir, "tktL")); err != nil {
		t.Skip(err)
	}
	if diff := cmp.Diff([]string{"DIR tktL"}, names(t, Name{"DIR", dir})); diff != "" {
		t.Error(diff)
	}
}

// However many files somebody puts there, the primary one is found.
func TestManyMembers(t *testing.T) {
	dir := t.TempDir()
	member := func(i int) string { return filepath.Join(dir, fmt.Sprintf("tkt%05d", i)) }
	if err := os.WriteFile(member(0), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range maxMembers + 9 {
		if err := os.Link(member(0), member(i+1)); err != nil { // in less time than one file each
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "primary"), fmt.Appendf(nil, "tkt%05d\n", maxMembers+5), 0o600); err != nil {
		t.Fatal(err)
	}
	got := names(t, Name{"DIR", dir})
	if len(got) != maxMembers || got[0] != fmt.Sprintf("DIR tkt%05d", maxMembers+5) {
		t.Errorf("%d caches, the first is %s", len(got), got[0])
	}
	if slices.Sort(got); len(slices.Compact(got)) != maxMembers {
		t.Error("one came twice")
	}
}
