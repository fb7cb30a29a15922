package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestPagesNameFiles: the files of this module that pages name are there.
func TestPagesNameFiles(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	named := 0
	for _, page := range append(pages, "../../README.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("`((?:[a-z0-9_]+/)+[a-z0-9_]+\\.go)`").FindAllSubmatch(b, -1) {
			named++
			if _, err := os.Stat("../../" + string(m[1])); err != nil {
				t.Errorf("%s: %v", filepath.Base(page), err)
			}
		}
	}
	if named < 20 {
		t.Errorf("%d files are named: the pages are written in another way", named)
	}
}
