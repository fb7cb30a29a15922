package arch

import (
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// TestMain has the collector run less often: each time it goes through the module as it was parsed,
// which is kept to the end.
func TestMain(m *testing.M) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	m.Run()
}

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
	sources, err := theModule()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"chain.go", "middleware/target.go", "internal/krb/key.go", "internal/arch/arch_test.go"} {
		if sources[want] == "" {
			t.Errorf("%s was not read", want)
		}
	}
	files, err := theFiles()
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

// Each rule sees a breach of it, added to the module as it stands.
func TestRulesSee(t *testing.T) {
	const m = module + "/"
	imports := func(path string) string { return `import _ "` + path + `"` }
	for p, tc := range map[string]struct{ src, want string }{
		"breach.go":                     {imports(m + "internal/replay"), "the root imports the standard library only"},
		"middleware/breach.go":          {imports(m + "kerberos"), "middleware imports"},
		"internal/hostname/breach.go":   {imports(m + "internal/krb"), "a leaf imports leaves only"},
		"middleware/mutual/breach.go":   {imports(m + "middleware/negotiate"), "no stage imports another"},
		"middleware/sanitize/breach.go": {imports(m + "kerberos"), "stages import"},
		"kerberos/breach.go":            {imports(m + "client"), "kerberos imports"},
		"gssapi/breach.go":              {imports(m + "kerberos"), "gssapi imports"},
		"sspi/breach.go":                {imports(m + "kerberos"), "sspi imports"},
		"internal/system/breach.go":     {imports(m + "sspi"), "client and programs choose"},
		"tunnel/breach.go":              {imports(m + "gssapi"), "stages import"},
		"client/breach.go":              {imports(m + "gssapi"), "whoever wants the system's library"},
		"cmd/kerbchain/breach.go":       {imports(m + "gssapi"), "whoever wants the system's library"},
		"client/doctor.go":              {imports(m + "doctor"), "doctor stands above all"},
		"doctor/breach.go":              {imports(m + "fakekdc"), "the realm for tests"},
		"internal/lru/breach.go":        {imports(m + "middleware/mutual"), "internal imports"},
		"fakekdc/breach.go":             {imports(m + "middleware"), "fakekdc stands beside"},
		"internal/turns/breach.go":      {imports(m + "fakekdc"), "the realm for tests"},
		"kerberos/gokrb5/breach.go":     {imports("github.com/jcmturner/gokrb5/v8/types"), "only kerberos/gokrb5/gokrb5.go may"},
		"client/logrus.go":              {imports("github.com/sirupsen/logrus"), "only middleware/logging may"},
		"client/cmp.go":                 {imports("github.com/google/go-cmp/cmp"), "for tests only"},
		"client/new.go":                 {imports("example.com/new"), "no rule says where this module"},
		"client/kit.go":                 {imports(m + "internal/stagetest"), "it serves tests only"},
		"util/breach.go":                {"", "no rule says what util"},
		"client/dot.go":                 {`import . "strings"`, "with a dot"},
		"client/lock.go":                {"import \"sync\"\nvar mu sync.Mutex", "is a sync.Mutex"},
		"client/held.go":                {"import \"sync\"\ntype held struct{ mu sync.Mutex }\nvar h = &held{}", "holds what"},
		"client/map.go":                 {"var seen = map[string]int{}", "is a map to fill"},
		"client/written.go":             {"var n = 1\nfunc init() { n = 2 }", "is written to"},
		"client/exported.go":            {"var Default = 3", "is exported"},
		"client/foreign.go":             {"import \"net/http\"\nfunc init() { http.DefaultTransport = nil }", "writes to http.DefaultTransport"},
	} {
		files, err := parseAll(map[string]string{p: "package p\n" + tc.src})
		if err != nil {
			t.Fatal(err)
		}
		if got := check(files); len(got) != 1 || !strings.Contains(got[0], p) || !strings.Contains(got[0], tc.want) {
			t.Errorf("%s: %q, want %q", p, got, tc.want)
		}
	}
}
