package arch

import (
	"fmt"
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSecurityPage: each test that docs/security.md names is there, and each row
// names one.
func TestSecurityPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := theFiles()
	if err != nil {
		t.Fatal(err)
	}
	tests := testsOf(files)
	named, breaches := checkSecurityPage(string(page), tests)
	for _, b := range breaches {
		t.Error(b)
	}
	if named < 40 {
		t.Errorf("%d tests named: the page was not read as it is written", named)
	}
}

var testName = regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)\\w+)`")

// checkSecurityPage returns how many tests the page names, and what is wrong.
func checkSecurityPage(page string, tests map[string]bool) (named int, breaches []string) {
	_, table, ok := strings.Cut(page, "| --- |")
	if !ok {
		return 0, []string{"there is no table"}
	}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || strings.Contains(line, "---") {
			continue // not a row
		}
		found := testName.FindAllStringSubmatch(cells[3], -1)
		if len(found) == 0 {
			breaches = append(breaches, fmt.Sprintf("no test holds %q", strings.TrimSpace(cells[2])))
		}
		for _, m := range found {
			named++
			if !tests[m[1]+"."+m[2]] {
				breaches = append(breaches, fmt.Sprintf("there is no %s in %s", m[2], m[1]))
			}
		}
	}
	return named, breaches
}

// testsOf returns the tests of the module as folder.Name.
func testsOf(files []*file) map[string]bool {
	out := map[string]bool{}
	for _, f := range files {
		if !strings.HasSuffix(f.name, "_test.go") {
			continue
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				out[f.dir+"."+fn.Name.Name] = true
			}
		}
	}
	return out
}

func TestCheckSecurityPage(t *testing.T) {
	files, err := parseAll(map[string]string{
		"a/b/x_test.go": "package b\nfunc TestX() {}\nfunc FuzzY() {}\ntype t int\nfunc (t) TestMethod() {}",
		"a/b/x.go":      "package b\nfunc TestNone() {}",
	})
	if err != nil {
		t.Fatal(err)
	}
	const head = "| attacker | promise | held by |\n| --- | --- | --- |\n"
	for name, tc := range map[string]struct {
		rows string
		n    int
		want []string
	}{
		"good":          {"| one | p | `a/b.TestX`, `a/b.FuzzY` |\n| | q | `a/b.TestX` |\n", 3, nil},
		"unknown":       {"| one | p | `a/b.TestZ` |\n", 1, []string{"there is no TestZ in a/b"}},
		"elsewhere":     {"| one | p | `a.TestX` |\n", 1, []string{"there is no TestX in a"}},
		"no test":       {"| one | p | a review |\n", 0, []string{`no test holds "p"`}},
		"not in a test": {"| one | p | `a/b.TestNone` |\n", 1, []string{"there is no TestNone in a/b"}},
		"a method":      {"| one | p | `a/b.TestMethod` |\n", 1, []string{"there is no TestMethod in a/b"}},
	} {
		n, got := checkSecurityPage(head+tc.rows, testsOf(files))
		if d := cmp.Diff(tc.want, got); d != "" || n != tc.n {
			t.Errorf("%s: %d named\n%s", name, n, d)
		}
	}
	if _, got := checkSecurityPage("# Security\n", nil); !slices.Equal(got, []string{"there is no table"}) {
		t.Errorf("without a table: %q", got)
	}
}
