package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"testing"
)

// TestKinds: no error of the module is without a kind, by which callers branch.
func TestKinds(t *testing.T) {
	files, err := theFiles()
	if err != nil {
		t.Fatal(err)
	}
	breaches, seen := checkKinds(files)
	for _, b := range breaches {
		t.Error(b)
	}
	if seen < 30 {
		t.Errorf("%d errors found: the test looks in the wrong place", seen)
	}
}

// checkKinds returns where an error of package middleware is made without a Kind,
// or with one that is nil, or may be: a parameter for which nil is passed. It
// also counts what it looked at.
func checkKinds(files []*file) (breaches []string, seen int) {
	type parameter struct {
		dir, function string
		at            int
	}
	passed := map[parameter][]string{} // where each is made use of
	for _, f := range files {
		if f.test() {
			continue
		}
		is := errorType(f)
		breach := func(format string, args ...any) {
			breaches = append(breaches, f.path()+": "+fmt.Sprintf(format, args...))
		}
		for _, d := range f.ast.Decls {
			fn, _ := d.(*ast.FuncDecl)
			name := "a package variable"
			if fn != nil {
				name = fn.Name.Name
			}
			ast.Inspect(d, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "new" && len(n.Args) == 1 && is(n.Args[0]) {
						breach("%s makes an error with new, which has no Kind", name)
					}
				case *ast.ValueSpec:
					if n.Type != nil && is(n.Type) && len(n.Values) == 0 {
						breach("%s declares an error, which has no Kind", name)
					}
				case *ast.AssignStmt:
					for i, l := range n.Lhs {
						if s, ok := l.(*ast.SelectorExpr); ok && s.Sel.Name == "Kind" && i < len(n.Rhs) && isNil(n.Rhs[i]) {
							breach("%s takes the Kind of something away", name)
						}
					}
				case *ast.CompositeLit:
					if !is(n.Type) {
						return true
					}
					seen++
					kind := field(n, "Kind")
					if kind == nil || isNil(kind) {
						breach("%s makes an error without Kind", name)
						return true
					}
					if id, ok := kind.(*ast.Ident); ok && fn != nil {
						if at := parameterOf(fn, id.Name); at >= 0 {
							p := parameter{f.dir, name, at}
							passed[p] = append(passed[p], f.path())
						}
					}
				}
				return true
			})
		}
	}
	for _, f := range files {
		if f.test() {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			callee := ""
			switch fun := call.Fun.(type) {
			case *ast.Ident:
				callee = fun.Name
			case *ast.SelectorExpr:
				callee = fun.Sel.Name
			}
			for at, arg := range call.Args {
				if passed[parameter{f.dir, callee, at}] != nil && isNil(arg) {
					breaches = append(breaches, fmt.Sprintf("%s: passes nil for a Kind to %s", f.path(), callee))
				}
			}
			return true
		})
	}
	slices.Sort(breaches)
	return breaches, seen
}

// errorType returns what tells middleware.Error, by the names that f knows.
func errorType(f *file) func(ast.Expr) bool {
	names := f.qualifiers()
	return func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.Ident:
			return f.dir == "middleware" && e.Name == "Error"
		case *ast.SelectorExpr:
			pkg, ok := e.X.(*ast.Ident)
			return ok && e.Sel.Name == "Error" && names[pkg.Name] == module+"/middleware"
		}
		return false
	}
}

// field returns the value of a literal's field, nil if it is left out.
func field(lit *ast.CompositeLit, name string) ast.Expr {
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if id, ok := kv.Key.(*ast.Ident); ok && id.Name == name {
				return kv.Value
			}
		}
	}
	return nil
}

func isNil(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "nil"
}

// parameterOf returns the place of a parameter, -1 if there is none of that name.
func parameterOf(fn *ast.FuncDecl, name string) int {
	at := 0
	for _, p := range fn.Type.Params.List {
		for _, n := range p.Names {
			if n.Name == name {
				return at
			}
			at++
		}
		if len(p.Names) == 0 {
			at++
		}
	}
	return -1
}

// The check sees each way to make an error without a kind.
func TestKindsSee(t *testing.T) {
	for _, body := range []string{
		`func f() error { return &m.Error{Stage: "x"} }`,
		`func f() error { return &m.Error{Kind: nil} }`,
		`var e = &m.Error{}`,
		`func f() error { return new(m.Error) }`,
		`func f() error { var e m.Error; return &e }`,
		`func f(e *m.Error) { e.Kind = nil }`,
		`func f(a int, k error) error { return &m.Error{Kind: k} }; func g() { f(1, nil) }`,
	} {
		files, err := parseAll(map[string]string{"x/a.go": "package x\nimport m \"" + module + "/middleware\"\n" + body})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := checkKinds(files); len(got) != 1 {
			t.Errorf("%s: %q", body, got)
		}
	}
}
