package ccache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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
		want     krb.Principal
		file     string // without directory
		says     string // in the error
	}{
		"primary":              {files: map[string]string{"primary": "tktB\n", "tktA": cache(alice), "tktB": cache(bob)}, file: "tktB"},
		"primary, no newline":  {files: map[string]string{"primary": "tktB"}, file: "tktB"},
		"no primary":           {files: map[string]string{"tktA": cache(alice)}, file: "tkt"},
		"empty directory":      {file: "tkt"},
		"one cache":            {residual: "tktA", file: "tktA"},
		"one, not a member":    {residual: "krb5cc", says: "DIR::"},
		"principal":            {files: map[string]string{"primary": "tktB\n", "tktA": cache(alice), "tktB": cache(bob)}, want: alice, file: "tktA"},
		"principal of primary": {files: map[string]string{"primary": "tktB\n", "tktA": cache(bob), "tktB": cache(bob)}, want: bob, file: "tktB"},
		"nobody's":             {files: map[string]string{"primary": "tktB\n", "tktA": "x", "tktB": cache(bob), "other": cache(alice)}, want: alice, says: "alice@R"},
		"path in primary":      {files: map[string]string{"primary": "tkt/../../etc/passwd\n"}, says: "primary"},
		"no tkt in primary":    {files: map[string]string{"primary": "krb5cc\n"}, says: "primary"},
		"long primary":         {files: map[string]string{"primary": "tkt" + strings.Repeat("x", 64) + "\n"}, says: "primary"},
		"two lines in primary": {files: map[string]string{"primary": "tkt1\ntkt2\n"}, says: "primary"},
		"empty primary":        {files: map[string]string{"primary": ""}, says: "primary"},
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
			file, err := File(n, tc.want)
			if tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("file %s, error %v, want one about %q", file, err, tc.says)
				}
				return
			}
			if err != nil || file != filepath.Join(dir, tc.file) {
				t.Errorf("file %s, error %v, want %s", file, err, tc.file)
			}
			if _, ok := tc.files[tc.file]; !ok {
				if _, err := Load(n); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("loading a cache that is not there: %v", err)
				}
			}
		})
	}
}

func TestMembers(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"primary", "tktA", "tktB", "tktC", "other"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("tktB\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "tktD"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := Members(Name{"DIR", dir})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range got {
		names = append(names, filepath.Base(n.Residual))
	}
	if diff := cmp.Diff([]string{"tktB", "tktA", "tktC"}, names); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	if _, err := Members(Name{"FILE", dir}); err == nil {
		t.Error("a file was taken for a collection")
	}
}
