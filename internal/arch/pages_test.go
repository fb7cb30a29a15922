package arch

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages returns the pages of the repository, by their paths from its root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*/*.md"} {
		found, err := filepath.Glob("../../" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			out[strings.TrimPrefix(filepath.ToSlash(path), "../../")] = string(b)
		}
	}
	if len(out) < 10 {
		t.Fatalf("%d pages", len(out))
	}
	return out
}

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	bareTest = regexp.MustCompile("`((?:Test|Fuzz|Example)[A-Z]\\w*)`")
	noAnchor = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// TestPagesLink: what pages link to is there, headings too.
func TestPagesLink(t *testing.T) {
	all := pages(t)
	n := 0
	for name, text := range all {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			n++
			if err := leads(all, name, m[1]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n < 30 {
		t.Errorf("%d links only", n)
	}
}

// leads returns what is wrong with a link of a page.
func leads(all map[string]string, page, to string) error {
	path, anchor, _ := strings.Cut(to, "#")
	target := page
	if path != "" {
		target = filepath.ToSlash(filepath.Join(filepath.Dir(page), path))
	}
	if _, err := os.Stat("../../" + target); err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	if anchor != "" && !slices.Contains(anchors(all[target]), anchor) {
		return fmt.Errorf("%s: no such heading, there are %q", to, anchors(all[target]))
	}
	return nil
}

// anchors returns what the headings of a page are linked to by.
func anchors(text string) (out []string) {
	for line := range strings.Lines(text) {
		if title := strings.TrimLeft(line, "#"); title != line && strings.HasPrefix(title, " ") {
			plain := noAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			out = append(out, strings.ReplaceAll(plain, " ", "-"))
		}
	}
	return out
}

// A link that leads nowhere is noticed.
func TestPagesLinkSees(t *testing.T) {
	all := map[string]string{"docs/http.md": "# HTTP as it is\n## What `Required` buys\n"}
	for to, ok := range map[string]bool{
		"http.md": true, "http.md#http-as-it-is": true, "#what-required-buys": true, "../README.md": true,
		"https.md": false, "http.md#cookies": false, "#http": false,
	} {
		if err := leads(all, "docs/http.md", to); (err == nil) != ok {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// TestPagesNameTests: the tests that pages name are there.
func TestPagesNameTests(t *testing.T) {
	files, err := theFiles()
	if err != nil {
		t.Fatal(err)
	}
	tests := testsOf(files)
	names := map[string]bool{}
	for test := range tests {
		names[test[strings.LastIndexByte(test, '.')+1:]] = true
	}
	n := 0
	for name, text := range pages(t) {
		for _, m := range testName.FindAllStringSubmatch(text, -1) {
			if n++; !tests[m[1]+"."+m[2]] {
				t.Errorf("%s: there is no %s in %s", name, m[2], m[1])
			}
		}
		for _, m := range bareTest.FindAllStringSubmatch(text, -1) {
			if n++; !names[m[1]] {
				t.Errorf("%s: there is no %s", name, m[1])
			}
		}
	}
	if n < 60 {
		t.Errorf("%d tests are named only", n)
	}
}
