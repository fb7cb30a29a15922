package arch

import (
	"fmt"
	"slices"
	"strings"
)

// A door is where one third-party module may be imported. Every module needs
// one: a new dependency comes with its rule.
type door struct {
	prefix string
	rooms  []string // and the folders below; nil for tests alone
	file   string   // the only one that may, besides tests of these rooms
}

var doors = []door{
	{prefix: "github.com/sirupsen/logrus", rooms: []string{"middleware/logging"}},
	{prefix: "github.com/hashicorp/go-retryablehttp", rooms: []string{"client"}},
	{prefix: "github.com/jcmturner", rooms: []string{"kerberos", "fakekdc", "internal"}, file: "kerberos/gokrb5/gokrb5.go"},
	{prefix: "github.com/spf13/pflag", rooms: []string{"cmd"}},
	{prefix: "software.sslmate.com/src/go-pkcs12", rooms: []string{"cmd"}},
	{prefix: "github.com/schollz/progressbar", rooms: []string{"cmd"}},
	{prefix: "github.com/ebitengine/purego", rooms: []string{"gssapi"}},
	{prefix: "filippo.io/edwards25519", rooms: []string{"internal/spake"}},
	{prefix: "filippo.io/nistec", rooms: []string{"internal/spake"}},
	{prefix: "golang.org/x", rooms: []string{"kerberos", "sspi", "client", "fakekdc", "internal", "cmd"}},
	{prefix: "github.com/google/go-cmp"},
	{prefix: "go.uber.org/goleak"},
}

// clientTest hands out clients and tickets of ours for the realm of fakekdc, which
// knows nothing of the code that it is there to test.
const clientTest = "client/clienttest"

// systemsLibrary is the one file of the command that may import gssapi; its build
// constraint keeps it out of static builds.
const systemsLibrary = "cmd/kerbchain/system_gssapi.go"

// leaves are rules for plain text. They know nothing of this module but one
// another, so that package middleware, and with it everybody, can keep them.
var leaves = []string{"internal/hostname", "internal/printable"}

// within reports whether dir is one of the folders or lies below one.
func within(dir string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool {
		return dir == f || f != "" && strings.HasPrefix(dir, f+"/")
	})
}

// checkImports returns the breaches of the rules about who may import whom.
func checkImports(files []*file) []string {
	var out []string
	for _, f := range files {
		breach := func(format string, args ...any) {
			out = append(out, f.path()+": "+fmt.Sprintf(format, args...))
		}
		if !within(f.dir, "", "middleware", "tunnel", "kerberos", "gssapi", "sspi", "client", "doctor", "fakekdc", "cmd", "examples", "internal") {
			breach("no rule says what %s may import", room(f.dir))
		}
		f.imports(func(p, name string) {
			inside := p == module || strings.HasPrefix(p, module+"/")
			first, _, _ := strings.Cut(p, "/")
			switch {
			case inside:
				target := strings.TrimPrefix(strings.TrimPrefix(p, module), "/")
				if why := mayNotImport(f, target); why != "" {
					breach("imports %s: %s", shown(target), why)
				}
			case strings.Contains(first, "."):
				if why := mayNotUse(f, p); why != "" {
					breach("imports %s: %s", p, why)
				}
			}
			if name == "." && !strings.HasSuffix(f.name, "_test.go") {
				breach("imports %s with a dot, which hides where names come from", p)
			}
		})
	}
	return out
}

func shown(dir string) string {
	if dir == "" {
		return "the root"
	}
	return dir
}

// mayNotUse says why the file may not import a package of another module, or "".
func mayNotUse(f *file, p string) string {
	i := slices.IndexFunc(doors, func(d door) bool { return within(p, d.prefix) })
	switch {
	case i < 0:
		return "no rule says where this module has its door"
	case doors[i].rooms == nil && !f.test():
		return "for tests only"
	case doors[i].file != "" && !f.test() && f.path() != doors[i].file:
		return "only " + doors[i].file + " may"
	case doors[i].rooms == nil || within(f.dir, doors[i].rooms...):
		return ""
	case doors[i].prefix == "golang.org/x" && f.test():
		return ""
	}
	return "only " + strings.Join(doors[i].rooms, ", ") + " may"
}

// mayNotImport says why the file may not import the folder target of this
// module, or "".
func mayNotImport(f *file, target string) string {
	from, to := room(f.dir), room(target)
	stage := func(r string) bool { return strings.HasPrefix(r, "middleware/") || r == "tunnel" }
	switch {
	case f.test():
		return "" // tests see everything
	case testRoom(target), target == clientTest:
		return "it serves tests only"
	case within(target, "cmd", "examples"):
		return "nothing imports a command"
	case within(target, "fakekdc"):
		if !within(f.dir, "cmd", "examples", "fakekdc", clientTest) {
			return "the realm for tests is imported by tests, examples and cmd only"
		}
		return ""
	case from == to && from != "":
		return ""
	case to == "doctor" && !within(f.dir, "cmd", "examples"):
		return "doctor stands above all but commands"
	case from == "":
		return "the root imports the standard library only"
	case from == "middleware":
		if to != "" && !slices.Contains(leaves, to) {
			return "middleware imports the root and the leaves of internal only"
		}
	case stage(from):
		switch {
		case stage(to):
			return "no stage imports another"
		case !within(to, "", "middleware", "internal"):
			return "stages import the root, middleware and internal only"
		}
	case slices.Contains(leaves, from):
		if !slices.Contains(leaves, to) {
			return "a leaf imports leaves only"
		}
	case from == "kerberos", from == "gssapi", from == "sspi":
		if stage(to) || !within(to, "", "middleware", "internal") {
			return from + " imports the root, middleware and internal only"
		}
	case to == "gssapi" && from != "examples" && f.path() != systemsLibrary:
		return "whoever wants the system's library imports it, and nobody for them"
	case to == "sspi" && from != "client" && !within(f.dir, "cmd", "examples"):
		return "client and programs choose whose credentials are used"
	case from == "fakekdc":
		if !within(to, "internal") {
			return "fakekdc stands beside and imports internal only"
		}
	case within(from, "internal"):
		if stage(to) || !within(to, "", "middleware", "internal") {
			return "internal imports the root, middleware and internal only"
		}
	}
	return ""
}
