package release

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	xmodule "golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// The tree can be made the zips that module proxies serve, every file of it.
func TestZip(t *testing.T) {
	dir := t.TempDir()
	copyTree(t, dir)
	checkZip(t, module, dir)
	for _, name := range nested {
		checkZip(t, module+"/"+name, filepath.Join(dir, name))
	}
}

func checkZip(t *testing.T, path, dir string) {
	t.Helper()
	checked, err := zip.CheckDir(dir)
	if err != nil && len(checked.Invalid) == 0 && checked.SizeError == nil {
		t.Fatal(err)
	}
	for _, bad := range checked.Invalid {
		t.Errorf("%s: %v", bad.Path, bad.Err)
	}
	if checked.SizeError != nil {
		t.Error(checked.SizeError)
	}
	for _, left := range checked.Omitted {
		// Modules within this one are not for those who import it.
		if _, err := os.Stat(filepath.Join(left.Path, "go.mod")); err != nil {
			t.Errorf("%s would be left out: %v", left.Path, left.Err)
		}
	}
	if err := zip.CreateFromDir(io.Discard, xmodule.Version{Path: path, Version: "v0.0.1"}, dir); err != nil {
		t.Error(err)
	}
}

// A name that zips of modules forbid is noticed, or TestZip means nothing.
func TestZipForbids(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "nul.conf"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("module "+module+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if checked, err := zip.CheckDir(dir); err == nil || len(checked.Invalid) != 1 {
		t.Errorf("%+v, %v; want one invalid file", checked, err)
	}
}
