package arch

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/printer"
	"go/token"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var writeAPI = flag.Bool("api", false, "write docs/api.txt")

// TestAPI: what the module exports is what docs/api.txt lists, so that a change of
// it is seen in review.
func TestAPI(t *testing.T) {
	files, err := theFiles()
	if err != nil {
		t.Fatal(err)
	}
	const name = "../../docs/api.txt"
	got := strings.Join(api(files), "\n") + "\n"
	if *writeAPI {
		if err := os.WriteFile(name, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("the API is another than docs/api.txt lists; if that is meant, run make api (-listed +exported):\n%s", d)
	}
}

// api lists what each package exports, a line for each constant, variable, function,
// method, type, field and method of an interface, sorted.
func api(files []*file) []string {
	byDir := map[string]*listing{}
	for _, f := range files {
		if f.test() || within(f.dir, "internal", "cmd", "examples") || strings.Contains(f.dir, "/internal/") {
			continue
		}
		l := byDir[f.dir]
		if l == nil {
			l = new(listing)
			byDir[f.dir] = l
		}
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				l.function(d)
			case *ast.GenDecl:
				l.declaration(d)
			}
		}
	}
	var out []string
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		lines := *byDir[dir]
		slices.Sort(lines)
		out = append(out, "package "+strings.TrimSuffix(module+"/"+dir, "/"))
		out = append(out, slices.Compact(lines)...) // some are declared for several systems
	}
	return out
}

type listing []string

func (l *listing) add(format string, args ...any) {
	*l = append(*l, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (l *listing) function(d *ast.FuncDecl) {
	if !d.Name.IsExported() {
		return
	}
	signature := strings.TrimPrefix(text(d.Type), "func")
	if d.Recv == nil {
		l.add("func %s%s", d.Name.Name, signature)
	} else if recv := text(d.Recv.List[0].Type); ast.IsExported(strings.TrimLeft(recv, "*")) {
		l.add("method (%s) %s%s", recv, d.Name.Name, signature)
	}
}

func (l *listing) declaration(d *ast.GenDecl) {
	var typ ast.Expr // of constants that follow on one with a type
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() {
				l.typ(s)
			}
		case *ast.ValueSpec:
			if s.Type != nil || len(s.Values) > 0 {
				typ = s.Type
			}
			for _, n := range s.Names {
				if n.IsExported() {
					l.add("%s %s %s", d.Tok, n.Name, text(typ))
				}
			}
		}
	}
}

func (l *listing) typ(s *ast.TypeSpec) {
	name := s.Name.Name
	if s.TypeParams != nil {
		name += strings.TrimPrefix(strings.TrimSuffix(text(&ast.FuncType{TypeParams: s.TypeParams, Params: &ast.FieldList{}}), "()"), "func")
	}
	if s.Assign.IsValid() {
		name += " ="
	}
	switch t := s.Type.(type) {
	case *ast.StructType:
		l.add("type %s struct", name)
		l.members(s.Name.Name+" struct", t.Fields, " ")
	case *ast.InterfaceType:
		l.add("type %s interface", name)
		l.members(s.Name.Name+" interface", t.Methods, "")
	default:
		l.add("type %s %s", name, text(s.Type))
	}
}

func (l *listing) members(of string, fields *ast.FieldList, space string) {
	for _, f := range fields.List {
		t := text(f.Type)
		if space == "" { // a method, if it has a name
			t = strings.TrimPrefix(t, "func")
		}
		if parts := strings.Split(strings.TrimLeft(t, "*"), "."); len(f.Names) == 0 && (ast.IsExported(parts[len(parts)-1]) || t == "error") {
			l.add("type %s, %s", of, t)
		}
		for _, n := range f.Names {
			if n.IsExported() {
				l.add("type %s, %s%s%s", of, n.Name, space, t)
			}
		}
	}
}

// text prints an expression on one line, without hidden fields.
func text(e ast.Expr) string {
	if e == nil {
		return ""
	}
	var b bytes.Buffer
	if err := printer.Fprint(&b, token.NewFileSet(), exportedPart(e)); err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func TestListing(t *testing.T) {
	files, err := parseAll(map[string]string{
		"a.go": `package kerbchain
			type Next func(*http.Request) (*http.Response, error)
			type T struct { A, b int; C struct{ D, e string }; hidden; fmt.Stringer }
			func (t *T) M(x int) error { return nil }
			func (t T) m() {}
			func (h hidden) M() {}
			func F[K comparable](k ...K) (n int) { return 0 }
			func f() {}`,
		"a_windows.go": `package kerbchain
			func F[K comparable](k ...K) (n int) { return 1 }`,
		"kerberos/k.go": `package kerberos
			const ( A Mode = iota; B; c )
			const D = 3
			var ErrX = errors.New("x")
			type I interface { M() int; n(); error }
			type Al = I
			type G[V any] map[string]V`,
		"kerberos/k_test.go":    "package kerberos\nfunc X() {}",
		"internal/krb/k.go":     "package krb\nfunc X() {}",
		"cmd/kerbchain/main.go": "package main\nfunc X() {}",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"package github.com/kerbchain/kerbchain",
		"func F[K comparable](k ...K) (n int)",
		"method (*T) M(x int) error",
		"type Next func(*http.Request) (*http.Response, error)",
		"type T struct",
		"type T struct, A int",
		"type T struct, C struct { D string }",
		"type T struct, fmt.Stringer",
		"package github.com/kerbchain/kerbchain/kerberos",
		"const A Mode",
		"const B Mode",
		"const D",
		"type Al = I",
		"type G[V any] map[string]V",
		"type I interface",
		"type I interface, M() int",
		"type I interface, error",
		"var ErrX",
	}
	if d := cmp.Diff(want, api(files)); d != "" {
		t.Error(d)
	}
}

// exportedPart drops a struct's hidden fields.
func exportedPart(t ast.Expr) ast.Expr {
	s, ok := t.(*ast.StructType)
	if !ok {
		return t
	}
	shown := &ast.FieldList{}
	for _, f := range s.Fields.List {
		if len(f.Names) == 0 || slices.ContainsFunc(f.Names, (*ast.Ident).IsExported) {
			names := slices.DeleteFunc(slices.Clone(f.Names), func(n *ast.Ident) bool { return !n.IsExported() })
			shown.List = append(shown.List, &ast.Field{Names: names, Type: exportedPart(f.Type)})
		}
	}
	return &ast.StructType{Fields: shown}
}
