package firstline

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	const line = "# ours"
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{
		"ours": "# ours\nand more", "alone": "# ours\n", "longer": "# ours, or not\n", "unfinished": "# ours", "short": "# o", "empty": "",
		"later": "\n# ours\n", "other": "[libdefaults]\n# ours\n",
	} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(in("folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(in("ours"), in("link")); err != nil {
		t.Logf("no symbolic links here: %v", err)
	}
	below := "ours" // of what lies below a file, which on Windows is not there
	if runtime.GOOS == "windows" {
		below = ""
	}
	for name, want := range map[string]struct {
		there bool
		says  string // in the error, "" for none
	}{
		"none":       {false, ""},
		"ours":       {true, ""},
		"alone":      {true, ""},
		"longer":     {true, "# ours"},
		"unfinished": {true, "# ours"},
		"short":      {true, "# ours"},
		"empty":      {true, "# ours"},
		"later":      {true, "# ours"},
		"other":      {true, "# ours"},
		"folder":     {true, "no regular file"},
		"link":       {true, "no regular file"},
		"ours/x":     {false, below},
	} {
		if _, err := os.Lstat(in("link")); name == "link" && err != nil {
			continue
		}
		there, err := Check(in(name), line)
		if there != want.there || (err != nil) != (want.says != "") || err != nil && !(strings.Contains(err.Error(), want.says) && strings.Contains(err.Error(), in(name))) {
			t.Errorf("%s: %v, %v", name, there, err)
		}
	}
}
