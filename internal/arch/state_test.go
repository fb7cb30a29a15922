package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
)

// allowedState lists the package variables that hold state, by folder and name.
var allowedState = []string{
	"kerberos.processLogins",      // whoever asks, it is the principal's account that a KDC locks
	"sspi.processPasswords",       // likewise
	"gssapi.oneCall",              // a library of C has one socket in the process
	"internal/krb.authenticators", // no two authenticators of a process may bear the same time
}

// checkState returns the package variables that are state: those of a kind that
// exists to change (maps to fill, channels, locks, atomics and structs with
// them), those that the package, its tests or another package writes to, and
// exported ones that are no error sentinels.
func checkState(files []*file) []string {
	var out []string
	packages := map[string]*scope{} // tests of a folder count with it
	for _, f := range files {
		if packages[f.dir] == nil {
			packages[f.dir] = new(scope)
		}
		packages[f.dir].files = append(packages[f.dir].files, f)
	}
	for _, f := range files {
		if f.test() {
			continue
		}
		pkg := packages[f.dir]
		for _, d := range f.ast.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				spec := s.(*ast.ValueSpec)
				for i, name := range spec.Names {
					why := pkg.state(f, spec, i)
					if name.Name == "_" || why == "" || slices.Contains(allowedState, shown(f.dir)+"."+name.Name) {
						continue
					}
					out = append(out, fmt.Sprintf("%s: package variable %s %s", f.path(), name.Name, why))
				}
			}
		}
		// Another package's variables are no place for our state either.
		names := f.qualifiers()
		writes(f, func(target ast.Expr) {
			sel, ok := target.(*ast.SelectorExpr)
			if !ok {
				return
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Obj == nil && names[x.Name] != "" && sel.Sel.IsExported() {
				out = append(out, fmt.Sprintf("%s: writes to %s.%s of %s", f.path(), x.Name, sel.Sel.Name, names[x.Name]))
			}
		})
	}
	return out
}

// A scope is one package as the syntax shows it.
type scope struct {
	files   []*file
	depth   int
	targets map[string][]*ast.Ident // what its functions write to, by name; nil until asked for
}

// state says why the i-th variable of spec is state, or "".
func (s *scope) state(f *file, spec *ast.ValueSpec, i int) string {
	var value ast.Expr
	if i < len(spec.Values) {
		value = spec.Values[i]
	}
	if why := s.mutableType(f, spec.Type); why != "" && (value == nil || !filledMap(value)) {
		return why
	}
	if why := s.mutableValue(f, value); why != "" {
		return why
	}
	if s.written(spec.Names[i].Name, spec) {
		return "is written to"
	}
	if spec.Names[i].IsExported() && !isSentinel(f, value) {
		return "is exported, so that anyone can change it"
	}
	return ""
}

func isSentinel(f *file, value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return false
	}
	p, name := qualified(f, call.Fun)
	return p == "errors" && name == "New" || p == "fmt" && name == "Errorf"
}

// filledMap reports whether value is a map literal with something in it: a
// table, as long as nobody writes to it.
func filledMap(value ast.Expr) bool {
	lit, ok := value.(*ast.CompositeLit)
	return ok && len(lit.Elts) > 0
}

// qualified returns the import path and the name of a selector such as
// sync.Mutex, generic or not.
func qualified(f *file, e ast.Expr) (path, name string) {
	switch x := e.(type) {
	case *ast.IndexExpr:
		return qualified(f, x.X)
	case *ast.IndexListExpr:
		return qualified(f, x.X)
	case *ast.SelectorExpr:
		if id, ok := x.X.(*ast.Ident); ok && id.Obj == nil {
			return f.qualifiers()[id.Name], x.Sel.Name
		}
	}
	return "", ""
}

// mutableType says why variables of a type are state, or "".
func (s *scope) mutableType(f *file, t ast.Expr) string {
	if p, name := qualified(f, t); p == "sync" || p == "sync/atomic" {
		return "is a " + p + "." + name
	}
	switch t := t.(type) {
	case *ast.MapType:
		return "is a map to fill"
	case *ast.ChanType:
		return "is a channel"
	case *ast.StarExpr:
		return s.mutableType(f, t.X)
	case *ast.ParenExpr:
		return s.mutableType(f, t.X)
	case *ast.ArrayType:
		return s.holds(f, t.Elt)
	case *ast.StructType:
		return s.holds(f, t)
	case *ast.IndexExpr:
		return s.mutableType(f, t.X)
	case *ast.IndexListExpr:
		return s.mutableType(f, t.X)
	case *ast.Ident:
		return s.holds(f, t)
	}
	return ""
}

// holds says why a type that may be declared in the package is state, or "":
// somewhere in it is a lock, an atomic or a channel.
func (s *scope) holds(f *file, t ast.Expr) string {
	if s.depth > 20 { // a type that contains itself
		return ""
	}
	s.depth++
	defer func() { s.depth-- }()
	switch t := t.(type) {
	case *ast.Ident:
		decl, in := s.typeNamed(t.Name)
		if decl == nil {
			return ""
		}
		if _, ok := decl.Type.(*ast.StructType); ok {
			return s.holds(in, decl.Type)
		}
		return s.mutableType(in, decl.Type)
	case *ast.StructType:
		for _, field := range t.Fields.List {
			if _, ok := field.Type.(*ast.MapType); ok {
				continue // maybe a table
			}
			if why := s.mutableType(f, field.Type); why != "" {
				return "holds what " + why
			}
		}
		return ""
	case *ast.MapType:
		return ""
	}
	return s.mutableType(f, t)
}

// mutableValue says why what a variable starts with makes it state, or "".
func (s *scope) mutableValue(f *file, value ast.Expr) string {
	switch v := value.(type) {
	case *ast.ParenExpr:
		return s.mutableValue(f, v.X)
	case *ast.UnaryExpr:
		return s.mutableValue(f, v.X)
	case *ast.CompositeLit:
		if _, ok := v.Type.(*ast.MapType); ok && len(v.Elts) > 0 {
			return ""
		}
		return s.mutableType(f, v.Type)
	case *ast.CallExpr:
		id, ok := v.Fun.(*ast.Ident)
		if !ok {
			return ""
		}
		if (id.Name == "make" || id.Name == "new") && len(v.Args) > 0 {
			return s.mutableType(f, v.Args[0])
		}
		if fn, in := s.funcNamed(id.Name); fn != nil && fn.Type.Results != nil {
			result := fn.Type.Results.List[0].Type
			if _, ok := result.(*ast.MapType); ok {
				return "" // a table that is computed
			}
			return s.mutableType(in, result)
		}
	}
	return ""
}

func (s *scope) typeNamed(name string) (*ast.TypeSpec, *file) {
	for _, f := range s.files {
		for _, d := range f.ast.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				for _, spec := range g.Specs {
					if t, ok := spec.(*ast.TypeSpec); ok && t.Name.Name == name {
						return t, f
					}
				}
			}
		}
	}
	return nil, nil
}

func (s *scope) funcNamed(name string) (*ast.FuncDecl, *file) {
	for _, f := range s.files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == name {
				return fn, f
			}
		}
	}
	return nil, nil
}

// written reports whether a function of the package writes to a package
// variable, or to what it holds, or takes its address.
func (s *scope) written(name string, spec *ast.ValueSpec) bool {
	if s.targets == nil {
		s.targets = map[string][]*ast.Ident{}
		for _, f := range s.files {
			writes(f, func(target ast.Expr) {
				if id := variable(target); id != nil {
					s.targets[id.Name] = append(s.targets[id.Name], id)
				}
			})
		}
	}
	return slices.ContainsFunc(s.targets[name], func(id *ast.Ident) bool {
		// No object: declared in another file of the package.
		return id.Obj == nil || id.Obj.Decl == spec
	})
}

// variable returns what holds a target, such as v of *v.list[1], or nil.
func variable(target ast.Expr) *ast.Ident {
	for {
		switch x := target.(type) {
		case *ast.ParenExpr:
			target = x.X
		case *ast.IndexExpr:
			target = x.X
		case *ast.SelectorExpr:
			target = x.X
		case *ast.StarExpr:
			target = x.X
		case *ast.SliceExpr:
			target = x.X
		case *ast.Ident:
			return x
		default:
			return nil
		}
	}
}

// writes calls yield with each expression in a function's body that is
// assigned to, counted, deleted from, cleared or has its address taken.
func writes(f *file, yield func(target ast.Expr)) {
	for _, d := range f.ast.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, e := range n.Lhs {
						yield(e)
					}
				}
			case *ast.IncDecStmt:
				yield(n.X)
			case *ast.RangeStmt:
				if n.Tok == token.ASSIGN {
					for _, e := range []ast.Expr{n.Key, n.Value} {
						if e != nil {
							yield(e)
						}
					}
				}
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					yield(n.X)
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear" || id.Name == "copy") && len(n.Args) > 0 {
					yield(n.Args[0])
				}
			}
			return true
		})
	}
}
