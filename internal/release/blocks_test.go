package release

import (
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A block is a piece of Go in a page.
type block struct {
	page string
	line int
	text string
}

// goBlocks returns the blocks of a page that are marked as Go.
func goBlocks(t *testing.T, page string) []block {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	var text []string
	begun := 0
	for i, line := range strings.Split(string(b), "\n") {
		switch {
		case begun == 0 && line == "```go":
			begun = i + 1
		case begun != 0 && line == "```":
			out = append(out, block{page, begun, strings.Join(text, "\n") + "\n"})
			begun, text = 0, nil
		case begun != 0:
			text = append(text, line)
		}
	}
	if begun != 0 {
		t.Errorf("%s:%d: a block without an end", page, begun)
	}
	return out
}

// packages are those that pages name without importing them.
var packages = map[string]string{
	"kerbchain": module, "middleware": module + "/middleware", "client": module + "/client",
	"doctor": module + "/doctor", "kerberos": module + "/kerberos", "fakekdc": module + "/fakekdc",
	"fakeweb": module + "/fakekdc/fakeweb", "fakewinrm": module + "/fakekdc/fakewinrm",
	"negotiate": module + "/middleware/negotiate", "preemptive": module + "/middleware/preemptive",
	"mutual": module + "/middleware/mutual", "sanitize": module + "/middleware/sanitize",
	"seal": module + "/middleware/seal", "logging": module + "/middleware/logging",
	"otelkerb": module + "/otelkerb", "otelhttp": "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
	"tunnel": module + "/tunnel", "gssapi": module + "/gssapi", "sspi": module + "/sspi", "gokrb5": module + "/kerberos/gokrb5", "clienttest": module + "/client/clienttest",
	"http": "net/http", "httputil": "net/http/httputil", "url": "net/url", "httptest": "net/http/httptest",
	"tls": "crypto/tls", "context": "context", "errors": "errors", "fmt": "fmt", "io": "io", "log": "log", "os": "os",
	"slog": "log/slog", "strings": "strings", "time": "time", "testing": "testing", "synctest": "testing/synctest",
	"krb5client": "github.com/jcmturner/gokrb5/v8/client", "vault": "github.com/hashicorp/vault/api", "rest": "k8s.io/client-go/rest", "promapi": "github.com/prometheus/client_golang/api",
	"connect": "connectrpc.com/connect", "emptypb": "google.golang.org/protobuf/types/known/emptypb",
	"retryablehttp": "github.com/hashicorp/go-retryablehttp", "logrus": "github.com/sirupsen/logrus",
}

// given are what pages name without declaring it.
var given = map[string]string{
	"ctx":       "var ctx context.Context",
	"t":         "var t *testing.T",
	"app":       "var app http.Handler",
	"envelope":  "var envelope io.Reader",
	"requestID": "var requestID func(kerbchain.Next) kerbchain.Next",
	"transport": "var transport http.RoundTripper",
	"in":        "var in middleware.Initiator",
	"retrying":  "var retrying *retryablehttp.Client",
	"dial":      "var dial func(context.Context, string, http.Header) (io.Closer, *http.Response, error)",
	"user":      `var user = fakekdc.WithUser("alice", "secret")`,
	"service":   `var service = fakekdc.WithService("HTTP/app.example")`,
}

// program makes a whole program of a block: what it leaves out for brevity is
// filled in, as any reader would.
func program(t *testing.T, b block) string {
	t.Helper()
	at := fmt.Sprintf("%s:%d", b.page, b.line)
	if strings.HasPrefix(strings.TrimSpace(b.text), "package ") {
		return b.text
	}
	body := b.text
	if _, err := parser.ParseFile(token.NewFileSet(), at, "package p\n"+body, 0); err != nil {
		body = "func block() error {\n" + body + "\nreturn nil\n}\n"
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, at, "package p\n"+body, parser.ParseComments)
	if err != nil {
		t.Fatalf("%s: %v\n%s", at, err, body)
	}
	use(file)
	var decls []string
	named := map[string]bool{}
	var name func(string)
	name = func(s string) {
		if named[s] {
			return
		}
		named[s] = true
		if d, ok := given[s]; ok {
			decls = append(decls, d)
			f, err := parser.ParseFile(token.NewFileSet(), s, "package p\n"+d, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range f.Unresolved {
				name(id.Name)
			}
		}
	}
	for _, id := range file.Unresolved {
		name(id.Name)
	}
	var out strings.Builder
	out.WriteString("package main\n\n")
	for _, s := range sortedKeys(named) {
		if path, ok := packages[s]; ok {
			fmt.Fprintf(&out, "import %s %q\n", s, path)
		}
	}
	slices.Sort(decls)
	out.WriteString(strings.Join(decls, "\n") + "\n")
	file.Name.Name = "p"
	var text strings.Builder
	if err := format.Node(&text, fset, file); err != nil {
		t.Fatal(err)
	}
	out.WriteString(strings.TrimPrefix(text.String(), "package p\n"))
	out.WriteString("\nfunc main() {}\n")
	return out.String()
}

// use uses every variable that a function of the file declares and does not read
// again, as the rest of a reader's program would; and lets names be declared twice
// in a row, as steps of one page do.
func use(file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		list, ok := n.(*ast.BlockStmt)
		if !ok {
			return true
		}
		var out []ast.Stmt
		for _, s := range list.List {
			out = append(out, s)
			if a, ok := s.(*ast.AssignStmt); ok && a.Tok == token.DEFINE {
				for _, l := range a.Lhs {
					if id, ok := l.(*ast.Ident); ok && id.Name != "_" {
						out = append(out, &ast.AssignStmt{Lhs: []ast.Expr{ast.NewIdent("_")}, Tok: token.ASSIGN, Rhs: []ast.Expr{ast.NewIdent(id.Name)}})
					}
				}
			}
		}
		list.List = out
		return true
	})
}

func sortedKeys(m map[string]bool) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// sketches are blocks that list what the code declares, and are no code to copy.
const sketches = "docs/architecture.md"

// others are the pages whose blocks name packages of others, by the module that has
// those, from the root.
var others = map[string]string{"docs/recipes.md": "examples/recipes"}

// Every block of Go in README and docs compiles, as a stranger would copy it.
func TestBlocks(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) < 4 {
		t.Fatalf("pages %v, %v", pages, err)
	}
	all := map[string][]block{".": goBlocks(t, "README.md")}
	for _, p := range pages {
		page := "docs/" + filepath.Base(p)
		if page == sketches {
			continue
		}
		of := "."
		if other, ok := others[page]; ok {
			of = other
		}
		all[of] = append(all[of], goBlocks(t, page)...)
	}
	for of, blocks := range all {
		if len(blocks) < 5 {
			t.Errorf("%s: %d blocks only", of, len(blocks))
		}
		t.Run(of, func(t *testing.T) { buildBlocks(t, of, blocks) })
	}
}

// buildBlocks builds blocks in a module that needs what the one in a folder of ours
// needs, and ours.
func buildBlocks(t *testing.T, of string, blocks []block) {
	t.Helper()
	dir := strangers(t, of)
	for i, b := range blocks {
		addProgram(t, dir, fmt.Sprintf("block%d", i), fmt.Sprintf("// from %s:%d\n", b.page, b.line)+program(t, b))
	}
	run(t, dir, strangersEnv, "go", "build", "-o", os.DevNull, "./...")
}

// strangers makes the module of somebody else, which needs what the one in a folder of
// ours needs, and ours.
func strangers(t *testing.T, of string) (dir string) {
	t.Helper()
	tree, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, of, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, of, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	text := string(mod)
	if of == "." {
		text = strings.Replace(text, "module "+module, "module example.com/pages", 1)
		text += fmt.Sprintf("\nrequire %s v0.0.0\nreplace %s => %s\n", module, module, tree)
	} else {
		text = strings.Replace(text, "module "+module+"/"+of, "module example.com/pages", 1)
		text = strings.Replace(text, "=> ../..", "=> "+tree, 1)
	}
	for name, b := range map[string]string{"go.mod": text, "go.sum": string(sum)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// strangersEnv is for the go command in a module of strangers.
var strangersEnv = []string{"GOWORK=off", "GOFLAGS=-mod=mod"}

// addProgram puts a program of one file into a module.
func addProgram(t *testing.T, dir, name, text string) {
	t.Helper()
	sub := filepath.Join(dir, name)
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sub, "main.go"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
