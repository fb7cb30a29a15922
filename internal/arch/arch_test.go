package arch

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func check(files []*file) []string {
	out := slices.Concat(checkImports(files), checkState(files))
	slices.Sort(out)
	return slices.Compact(out)
}

// The module as it stands keeps the rules.
func TestModule(t *testing.T) {
	const root = "../.."
	mod, err := os.ReadFile(root + "/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if first, _, _ := strings.Cut(string(mod), "\n"); first != "module "+module {
		t.Fatalf("%s/go.mod starts with %q, want module %s", root, first, module)
	}
	sources, err := readModule(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"chain.go", "middleware/middleware.go", "internal/krb/key.go", "internal/arch/arch_test.go"} {
		if sources[want] == "" {
			t.Errorf("%s was not read", want)
		}
	}
	files, err := parseAll(sources)
	if err != nil {
		t.Fatal(err)
	}
	for _, breach := range check(files) {
		t.Error(breach)
	}
	// What is allowed must be there, or the allowance is stale.
	for _, name := range allowedState {
		dir, variable, _ := strings.Cut(name, ".")
		found := false
		for p, src := range sources {
			found = found || strings.HasPrefix(p, dir+"/") && strings.Contains(src, "var "+variable+" ")
		}
		if !found {
			t.Errorf("%s is allowed to be state and does not exist", name)
		}
	}
}

// src makes a source file that imports the given paths; "name path" gives a
// local name.
func src(paths ...string) string {
	var b strings.Builder
	b.WriteString("package p\n")
	for _, p := range paths {
		name, path, ok := strings.Cut(p, " ")
		if !ok {
			name, path = "", p
		}
		b.WriteString("import " + name + " \"" + path + "\"\n")
	}
	return b.String()
}

// in returns the import path of a folder of this module.
func in(dir string) string { return module + "/" + dir }

func TestRules(t *testing.T) {
	const (
		logrus    = "github.com/sirupsen/logrus"
		retryable = "github.com/hashicorp/go-retryablehttp"
		types     = "github.com/jcmturner/gokrb5/v8/types"
		gofork    = "github.com/jcmturner/gofork/encoding/asn1"
		goCmp     = "github.com/google/go-cmp/cmp"
		goleak    = "go.uber.org/goleak"
		xnet      = "golang.org/x/net/http/httpguts"
		purego    = "github.com/ebitengine/purego"
	)
	for name, tc := range map[string]struct {
		files map[string]string
		want  []string // the start of each breach
	}{
		// Good.
		"nothing": {nil, nil},
		"standard library everywhere": {map[string]string{
			"a.go": src("net/http"), "middleware/a.go": src("errors"), "client/a.go": src("context"), "internal/x/a.go": src("go/ast"),
		}, nil},
		"one way": {map[string]string{
			"middleware/a.go":           src(module),
			"middleware/mutual/a.go":    src(module, in("middleware"), in("internal/challenge"), in("middleware/mutual/sub")),
			"kerberos/a.go":             src(module, in("middleware"), in("internal/krb"), xnet),
			"kerberos/gokrb5/gokrb5.go": src(types, gofork),
			"gssapi/a.go":               src(module, in("middleware"), in("internal/spnego"), purego),
			"client/a.go":               src(module, in("middleware"), in("middleware/mutual"), in("kerberos"), in("internal/sign"), retryable),
			"cmd/kerbchain/a.go":        src(in("client"), in("fakekdc"), in("kerberos"), in("middleware/logging"), "github.com/spf13/pflag"),
			"fakekdc/a.go":              src(in("internal/krb"), in("fakekdc/sub")),
			"client/clienttest/a.go":    src(in("client"), in("fakekdc"), in("kerberos"), in("middleware")),
			"internal/gss/a.go":         src(module, in("middleware"), in("internal/krb"), xnet),
			"middleware/logging/a.go":   src(module, in("middleware"), logrus, logrus+"/hooks/test"),
			"examples/get/a.go":         src(in("client"), in("fakekdc")),
		}, nil},
		"tests see everything": {map[string]string{
			"a_test.go":                      src(goCmp, in("fakekdc"), in("internal/stagetest"), xnet),
			"middleware/mutual/a_test.go":    src(in("middleware/negotiate"), in("fakekdc"), goleak),
			"middleware/logging/a_test.go":   src(logrus),
			"client/a_test.go":               src(in("fakekdc"), retryable),
			"internal/stagetest/lab.go":      src(goCmp, goleak, in("middleware"), in("fakekdc")),
			"internal/interop/world.go":      src(in("client"), in("fakekdc")),
			"internal/kdcclient/kdc_test.go": src(in("fakekdc"), types),
			"kerberos/a_test.go":             src(types),
			"fakekdc/a_test.go":              src(types, gofork),
		}, nil},

		// The root and middleware.
		"root imports the module":     {map[string]string{"a.go": src(in("middleware"))}, []string{"a.go: imports middleware: the root imports"}},
		"root imports internal":       {map[string]string{"a.go": src(in("internal/replay"))}, []string{"a.go: imports internal/replay: the root imports"}},
		"root imports third party":    {map[string]string{"a.go": src(xnet)}, []string{"a.go: imports " + xnet}},
		"middleware imports internal": {map[string]string{"middleware/a.go": src(in("internal/krb"))}, []string{"middleware/a.go: imports internal/krb: middleware imports"}},
		"middleware imports a leaf":   {map[string]string{"middleware/a.go": src(in("internal/hostname"), in("internal/printable"))}, nil},
		"a leaf imports internal":     {map[string]string{"internal/hostname/a.go": src(in("internal/krb"), in("internal/printable"), xnet)}, []string{"internal/hostname/a.go: imports internal/krb: a leaf"}},
		"a leaf imports middleware":   {map[string]string{"internal/printable/a.go": src(in("middleware"))}, []string{"internal/printable/a.go: imports middleware: a leaf"}},
		"middleware imports a stage":  {map[string]string{"middleware/a.go": src(in("middleware/mutual"))}, []string{"middleware/a.go: imports middleware/mutual: middleware imports"}},
		"middleware imports kerberos": {map[string]string{"middleware/a.go": src(in("kerberos"))}, []string{"middleware/a.go: imports kerberos"}},
		"middleware uses third party": {map[string]string{"middleware/a.go": src(xnet, logrus)}, []string{"middleware/a.go: imports " + logrus, "middleware/a.go: imports " + xnet}},

		// Stages.
		"stage imports a stage":          {map[string]string{"middleware/mutual/a.go": src(in("middleware/negotiate"))}, []string{"middleware/mutual/a.go: imports middleware/negotiate: no stage"}},
		"stage imports below a stage":    {map[string]string{"middleware/mutual/x/a.go": src(in("middleware/negotiate/y"))}, []string{"middleware/mutual/x/a.go: imports middleware/negotiate/y: no stage"}},
		"stage with a similar name":      {map[string]string{"middleware/mutual/a.go": src(in("middleware/mutually"))}, []string{"middleware/mutual/a.go: imports middleware/mutually: no stage"}},
		"stage imports kerberos":         {map[string]string{"middleware/negotiate/a.go": src(in("kerberos"))}, []string{"middleware/negotiate/a.go: imports kerberos: stages import"}},
		"stage imports client":           {map[string]string{"middleware/negotiate/a.go": src(in("client"))}, []string{"middleware/negotiate/a.go: imports client: stages import"}},
		"stage under another local name": {map[string]string{"middleware/mutual/a.go": src("x " + in("middleware/logging"))}, []string{"middleware/mutual/a.go: imports middleware/logging: no stage"}},
		"stage imported for nothing":     {map[string]string{"middleware/mutual/a.go": src("_ " + in("middleware/logging"))}, []string{"middleware/mutual/a.go: imports middleware/logging: no stage"}},

		// Those above and beside.
		"kerberos imports a stage": {map[string]string{"kerberos/a.go": src(in("middleware/mutual"))}, []string{"kerberos/a.go: imports middleware/mutual: kerberos imports"}},
		"gssapi imports kerberos":  {map[string]string{"gssapi/a.go": src(in("kerberos"))}, []string{"gssapi/a.go: imports kerberos: gssapi imports"}},
		"gssapi imported for others": {
			map[string]string{"client/a.go": src(in("gssapi")), "cmd/a.go": src("_ " + in("gssapi")), "fakekdc/client.go": src(in("gssapi")), "examples/a.go": src(in("gssapi")), "client/a_test.go": src(in("gssapi"))},
			[]string{"client/a.go: imports gssapi: whoever", "cmd/a.go: imports gssapi: whoever", "fakekdc/client.go: imports gssapi: whoever"},
		},
		"purego elsewhere":             {map[string]string{"kerberos/a.go": src(purego), "client/a.go": src(purego)}, []string{"client/a.go: imports " + purego, "kerberos/a.go: imports " + purego}},
		"kerberos imports client":      {map[string]string{"kerberos/a.go": src(in("client"))}, []string{"kerberos/a.go: imports client: kerberos imports"}},
		"internal imports kerberos":    {map[string]string{"internal/x/a.go": src(in("kerberos"))}, []string{"internal/x/a.go: imports kerberos: internal imports"}},
		"internal imports a stage":     {map[string]string{"internal/x/a.go": src(in("middleware/mutual"))}, []string{"internal/x/a.go: imports middleware/mutual: internal imports"}},
		"fakekdc imports middleware":   {map[string]string{"fakekdc/a.go": src(in("middleware"))}, []string{"fakekdc/a.go: imports middleware: fakekdc stands"}},
		"fakekdc imports client":       {map[string]string{"fakekdc/a.go": src(in("client"))}, []string{"fakekdc/a.go: imports client: fakekdc stands"}},
		"fakekdc imports a stage":      {map[string]string{"fakekdc/client.go": src(in("middleware/mutual"))}, []string{"fakekdc/client.go: imports middleware/mutual: fakekdc stands"}},
		"fakekdc imports kerberos":     {map[string]string{"fakekdc/ticket.go": src(in("kerberos"))}, []string{"fakekdc/ticket.go: imports kerberos: fakekdc stands"}},
		"fakekdc imports clienttest":   {map[string]string{"fakekdc/a.go": src(in("client/clienttest"))}, []string{"fakekdc/a.go: imports client/clienttest: it serves tests"}},
		"client imports clienttest":    {map[string]string{"client/a.go": src(in("client/clienttest"))}, []string{"client/a.go: imports client/clienttest: it serves tests"}},
		"fakekdc imports the root":     {map[string]string{"fakekdc/a.go": src(module)}, []string{"fakekdc/a.go: imports the root: fakekdc stands"}},
		"client imports fakekdc":       {map[string]string{"client/a.go": src(in("fakekdc"))}, []string{"client/a.go: imports fakekdc: the realm"}},
		"kerberos imports fakekdc":     {map[string]string{"kerberos/a.go": src(in("fakekdc"))}, []string{"kerberos/a.go: imports fakekdc: the realm"}},
		"internal imports fakekdc":     {map[string]string{"internal/x/a.go": src(in("fakekdc/sub"))}, []string{"internal/x/a.go: imports fakekdc/sub: the realm"}},
		"client imports the command":   {map[string]string{"client/a.go": src(in("cmd/kerbchain"))}, []string{"client/a.go: imports cmd/kerbchain: nothing"}},
		"a test kit outside of tests":  {map[string]string{"client/a.go": src(in("internal/stagetest"))}, []string{"client/a.go: imports internal/stagetest: it serves"}},
		"a folder that nobody planned": {map[string]string{"util/a.go": src("fmt")}, []string{"util/a.go: no rule says"}},

		// Doors.
		"logrus in client":             {map[string]string{"client/a.go": src(logrus)}, []string{"client/a.go: imports " + logrus}},
		"logrus in another stage":      {map[string]string{"middleware/mutual/a.go": src(logrus)}, []string{"middleware/mutual/a.go: imports " + logrus}},
		"logrus in another's test":     {map[string]string{"client/a_test.go": src(logrus)}, []string{"client/a_test.go: imports " + logrus}},
		"logrus below the door's name": {map[string]string{"middleware/loggings/a.go": src(logrus)}, []string{"middleware/loggings/a.go: imports " + logrus}},
		"retryablehttp in the command": {map[string]string{"cmd/kerbchain/a.go": src(retryable)}, []string{"cmd/kerbchain/a.go: imports " + retryable}},
		"retryablehttp in the root":    {map[string]string{"a.go": src(retryable)}, []string{"a.go: imports " + retryable}},
		"gokrb5 in client":             {map[string]string{"client/a.go": src(types)}, []string{"client/a.go: imports " + types}},
		"gokrb5 in a stage":            {map[string]string{"middleware/negotiate/a.go": src(types)}, []string{"middleware/negotiate/a.go: imports " + types}},
		"gofork in a stage's test":     {map[string]string{"middleware/negotiate/a_test.go": src(gofork)}, []string{"middleware/negotiate/a_test.go: imports " + gofork}},
		"gokrb5 beside its door":       {map[string]string{"kerberos/a.go": src(types), "kerberos/sub/gokrb5.go": src(types)}, []string{"kerberos/a.go: imports " + types + ": only kerberos/gokrb5/gokrb5.go may", "kerberos/sub/gokrb5.go: imports " + types}},
		"gokrb5 in the realm":          {map[string]string{"fakekdc/gokrb5.go": src(types)}, []string{"fakekdc/gokrb5.go: imports " + types + ": only kerberos/gokrb5/gokrb5.go may"}},
		"gokrb5 in the codec":          {map[string]string{"internal/krb/a.go": src(gofork)}, []string{"internal/krb/a.go: imports " + gofork + ": only kerberos/gokrb5/gokrb5.go may"}},
		"gokrb5 in the command":        {map[string]string{"cmd/kerbchain/a.go": src(types)}, []string{"cmd/kerbchain/a.go: imports " + types}},
		"pflag in client":              {map[string]string{"client/a.go": src("github.com/spf13/pflag")}, []string{"client/a.go: imports github.com/spf13/pflag"}},
		"golang.org/x in a stage":      {map[string]string{"middleware/negotiate/a.go": src(xnet)}, []string{"middleware/negotiate/a.go: imports " + xnet}},
		"go-cmp outside of tests":      {map[string]string{"internal/x/a.go": src(goCmp)}, []string{"internal/x/a.go: imports " + goCmp + ": for tests only"}},
		"goleak outside of tests":      {map[string]string{"client/a.go": src(goleak)}, []string{"client/a.go: imports " + goleak + ": for tests only"}},
		"a module without a door":      {map[string]string{"internal/x/a.go": src("example.com/new")}, []string{"internal/x/a.go: imports example.com/new: no rule"}},
		"the same in a test":           {map[string]string{"a_test.go": src("example.com/new")}, []string{"a_test.go: imports example.com/new: no rule"}},
		"a name like ours":             {map[string]string{"client/a.go": src(module + "x/krb")}, []string{"client/a.go: imports " + module + "x/krb: no rule"}},
		"dot import":                   {map[string]string{"client/a.go": src(". " + in("kerberos"))}, []string{"client/a.go: imports " + in("kerberos") + " with a dot"}},

		// Package state.
		"variables that are no state": {map[string]string{"client/a.go": src("errors", "fmt", "regexp", "sync", "io") + `
			var ErrA = errors.New("a")
			var ErrB = fmt.Errorf("b: %w", ErrA)
			var errC error = errors.New("c")
			var _ io.Reader = (*reader)(nil)
			type reader struct{ mu sync.Mutex; state map[string]int }
			func (*reader) Read([]byte) (int, error) { return 0, nil }
			var pattern = regexp.MustCompile("x")
			var table = map[string]int{"a": 1}
			var typed map[string]int = map[string]int{"a": 1}
			var computed = compute()
			func compute() map[string]int { m := map[string]int{}; m["a"] = 1; return m }
			var names = [...]string{"a", "b"}
			var rows = []struct{ a, b string }{{"a", "b"}}
			var lazily = sync.OnceValue(func() int { return 1 })
			var zero [16]byte
			var look struct{ m map[string]int }
			func shadow() { table := map[string]int{}; table["x"] = 1; names := 0; names++; zero := &table; _ = zero }
			func local() { var mu sync.Mutex; var m = map[string]int{}; mu.Lock(); m["x"]++ }
		`}, nil},
		"the clock is allowed": {map[string]string{"internal/krb/clock.go": src("sync") + `
			type clock struct{ mu sync.Mutex; last map[int]int }
			var authenticators clock
			func f() { authenticators.last[1] = 2 }
		`}, nil},
		"the clock elsewhere is not": {map[string]string{"internal/gss/clock.go": src("sync") + `
			type clock struct{ mu sync.Mutex }
			var authenticators clock
		`}, []string{"internal/gss/clock.go: package variable authenticators holds what is a sync.Mutex"}},
		"kinds that exist to change": {map[string]string{"kerberos/a.go": src("sync", "sync/atomic", "at sync/atomic") + `
			var mu sync.Mutex
			var (
				rw *sync.RWMutex
				once = sync.Once{}
				pool = &sync.Pool{New: nil}
				cache sync.Map
			)
			var count atomic.Int64
			var renamed at.Bool
			var pointer atomic.Pointer[int]
			var made = make(map[string]int)
			var empty = map[string]int{}
			var unset map[string]int
			var done chan struct{}
			var queue = make(chan int, 3)
			var fresh = new(sync.Mutex)
			var inner struct{ a int; b struct{ mu sync.Mutex } }
			var several, more sync.Mutex
			var shards [8]sync.Mutex
		`}, []string{
			"kerberos/a.go: package variable cache is a sync.Map",
			"kerberos/a.go: package variable count is a sync/atomic.Int64",
			"kerberos/a.go: package variable done is a channel",
			"kerberos/a.go: package variable empty is a map to fill",
			"kerberos/a.go: package variable fresh is a sync.Mutex",
			"kerberos/a.go: package variable inner holds what holds what is a sync.Mutex",
			"kerberos/a.go: package variable made is a map to fill",
			"kerberos/a.go: package variable more is a sync.Mutex",
			"kerberos/a.go: package variable mu is a sync.Mutex",
			"kerberos/a.go: package variable once is a sync.Once",
			"kerberos/a.go: package variable pointer is a sync/atomic.Pointer",
			"kerberos/a.go: package variable pool is a sync.Pool",
			"kerberos/a.go: package variable queue is a channel",
			"kerberos/a.go: package variable renamed is a sync/atomic.Bool",
			"kerberos/a.go: package variable rw is a sync.RWMutex",
			"kerberos/a.go: package variable several is a sync.Mutex",
			"kerberos/a.go: package variable shards is a sync.Mutex",
			"kerberos/a.go: package variable unset is a map to fill",
		}},
		"types declared elsewhere in the package": {map[string]string{
			"client/a.go": src() + `
				var direct store
				var pointer = &store{}
				var built = newStore()
				var nested outer
				var generic box[int]
				var loop ring
				var named registry
			`,
			"client/b.go": src("sync") + `
				type store struct{ a, b int; locks []sync.Mutex }
				type outer struct{ *store }
				type box[T any] struct{ v T; mu sync.Mutex }
				type ring struct{ next *ring; mu sync.Mutex }
				type registry map[string]int
				func newStore() *store { return nil }
			`,
		}, []string{
			"client/a.go: package variable built holds what",
			"client/a.go: package variable direct holds what",
			"client/a.go: package variable generic holds what",
			"client/a.go: package variable loop holds what",
			"client/a.go: package variable named is a map to fill",
			"client/a.go: package variable nested holds what",
			"client/a.go: package variable pointer holds what",
		}},
		"variables that are written to": {map[string]string{
			"client/a.go": src("time") + `
				var assigned, counted int
				var table = map[string]int{"a": 1}
				var shrunk = map[string]int{"a": 1}
				var cleared = map[string]int{"a": 1}
				var list = []int{1}
				var field struct{ x struct{ y int } }
				var taken int
				var ranged int
				var swapped = time.Now
				var fine = 3
				func f() {
					assigned = 1
					counted++
					table["b"] = 2
					delete(shrunk, "a")
					clear(cleared)
					for ranged = range 3 {}
					p := &taken
					_ = p
				}
			`,
			"client/b.go":      src() + `func g() { (list)[0], field.x.y = 1, 2; fine := fine; fine++ }`,
			"client/c_test.go": src() + `func h() { swapped = nil }`,
			"client/d/a.go":    src() + `func i() { fine := 1; fine = 2; _ = fine }`,
		}, []string{
			"client/a.go: package variable assigned is written to",
			"client/a.go: package variable cleared is written to",
			"client/a.go: package variable counted is written to",
			"client/a.go: package variable field is written to",
			"client/a.go: package variable list is written to",
			"client/a.go: package variable ranged is written to",
			"client/a.go: package variable shrunk is written to",
			"client/a.go: package variable swapped is written to",
			"client/a.go: package variable table is written to",
			"client/a.go: package variable taken is written to",
		}},
		"exported variables": {map[string]string{"middleware/a.go": src("time") + `
			var Default = 3
			var Now = time.Now
			var Table = map[string]int{"a": 1}
			var Unset error
		`}, []string{
			"middleware/a.go: package variable Default is exported",
			"middleware/a.go: package variable Now is exported",
			"middleware/a.go: package variable Table is exported",
			"middleware/a.go: package variable Unset is exported",
		}},
		"another package's variables": {map[string]string{"client/a.go": src("net/http", "rh "+retryable) + `
			func init() { http.DefaultTransport = nil; rh.Now = nil; http := struct{ X int }{}; http.X = 1 }
		`}, []string{"client/a.go: writes to http.DefaultTransport of net/http", "client/a.go: writes to rh.Now of " + retryable}},
		"state of tests is theirs": {map[string]string{
			"client/a_test.go":          src("sync") + `var mu sync.Mutex; var Seen = map[string]bool{}`,
			"internal/stagetest/lab.go": src("sync") + `var mu sync.Mutex`,
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			files, err := parseAll(tc.files)
			if err != nil {
				t.Fatal(err)
			}
			got := check(files)
			for i := range min(len(got), len(tc.want)) {
				if strings.HasPrefix(got[i], tc.want[i]) {
					got[i] = tc.want[i]
				}
			}
			if d := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("breaches (-want +got)\n%s", d)
			}
		})
	}
}
