package arch

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

const module = "github.com/kerbchain/kerbchain"

// A file is one parsed source file of the module.
type file struct {
	dir  string // slash-separated, "" for the module's root
	name string
	ast  *ast.File
}

func (f *file) path() string { return path.Join(f.dir, f.name) }

// test reports whether the file is compiled into tests alone.
func (f *file) test() bool { return strings.HasSuffix(f.name, "_test.go") || testRoom(f.dir) }

// testRoom reports whether a whole folder serves tests: it may import what
// tests may, and only tests may import it.
func testRoom(dir string) bool {
	return slices.Contains([]string{"internal/alloctest", "internal/arch", "internal/childtest", "internal/dertest", "internal/initiatortest", "internal/interop", "internal/stagetest", "internal/testmain"}, room(dir))
}

// room returns the folder that a rule speaks of: folders below a stage or an
// internal package belong to it.
func room(dir string) string {
	parts := strings.Split(dir, "/")
	if parts[0] == "middleware" || parts[0] == "internal" {
		return path.Join(parts[:min(2, len(parts))]...)
	}
	return parts[0]
}

// imports calls yield with the path and the local name, "" when it follows from
// the path, of each import.
func (f *file) imports(yield func(path, name string)) {
	for _, spec := range f.ast.Imports {
		name := ""
		if spec.Name != nil {
			name = spec.Name.Name
		}
		yield(strings.Trim(spec.Path.Value, "`\""), name)
	}
}

// qualifiers maps the names under which the file knows other packages to their
// import paths.
func (f *file) qualifiers() map[string]string {
	out := map[string]string{}
	f.imports(func(p, name string) {
		if name == "" {
			name = path.Base(p)
			if major := strings.TrimPrefix(name, "v"); major != name && strings.Trim(major, "0123456789") == "" {
				name = path.Base(path.Dir(p))
			}
			name = strings.TrimPrefix(name, "go-")
		}
		out[name] = p
	})
	return out
}

// parseAll parses sources by their path within the module.
func parseAll(sources map[string]string) ([]*file, error) {
	var files []*file
	for p, src := range sources {
		f, err := parser.ParseFile(token.NewFileSet(), p, src, 0)
		if err != nil {
			return nil, err
		}
		dir := path.Dir(p)
		if dir == "." {
			dir = ""
		}
		files = append(files, &file{dir, path.Base(p), f})
	}
	slices.SortFunc(files, func(a, b *file) int { return strings.Compare(a.path(), b.path()) })
	return files, nil
}

// theModule reads and parses the module once for all tests, which change nothing of it.
var theModule = sync.OnceValues(func() (sources map[string]string, err error) { return readModule("../..") })

// theFiles are those of [theModule], parsed.
var theFiles = sync.OnceValues(func() ([]*file, error) {
	sources, err := theModule()
	if err != nil {
		return nil, err
	}
	return parseAll(sources)
})

// readModule returns the module's Go sources by path. Modules nested in it,
// testdata and what the go command ignores are left out.
func readModule(root string) (map[string]string, error) {
	sources := map[string]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p == root {
				return nil
			}
			if n := d.Name(); n == "testdata" || n == "vendor" || strings.HasPrefix(n, ".") || strings.HasPrefix(n, "_") {
				return fs.SkipDir
			}
			switch _, err := os.Stat(filepath.Join(p, "go.mod")); {
			case err == nil:
				return fs.SkipDir
			case !errors.Is(err, fs.ErrNotExist):
				return err
			}
			return nil
		}
		n := d.Name()
		if !strings.HasSuffix(n, ".go") || strings.HasPrefix(n, ".") || strings.HasPrefix(n, "_") {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		sources[filepath.ToSlash(rel)] = string(b)
		return nil
	})
	return sources, err
}
