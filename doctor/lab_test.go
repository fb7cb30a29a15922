package doctor_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/doctor"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/testmain"
)

func TestMain(m *testing.M) { testmain.RunTogether(m) }

const password = "correct horse battery staple"

// A lab is a realm, a web service, and the files that a user would have.
type lab struct {
	*fakekdc.Realm
	t       *testing.T
	dir     string
	service *fakeweb.Handler
	server  *fakeweb.Server
	env     map[string]string
	url     string
	date    time.Duration // by how much the server's Date is ahead
}

func newLab(t *testing.T, web fakeweb.Options, o fakeweb.ServerOptions, more ...fakekdc.Option) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir(), Realm: fakekdc.Start(t, append([]fakekdc.Option{
		fakekdc.WithRealm("EXAMPLE.TEST"),
		fakekdc.WithUser("alice", password),
		fakekdc.WithService("HTTP/localhost"),
	}, more...)...)}
	l.service = fakeweb.New(l.Realm, "HTTP/localhost", web)
	l.server = fakeweb.Serve(l.Realm, l.service, o)
	l.env = map[string]string{
		"KRB5_CONFIG": l.write("krb5.conf", []byte(l.Config())),
		"KRB5CCNAME":  "FILE:" + l.write("krb5cc", l.CCache("alice")),
		"HOME":        l.dir,
	}
	return l
}

func (l *lab) write(name string, b []byte) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// options are those of a client with the lab's environment, which env changes.
func (l *lab) options(env map[string]string) doctor.Options {
	all := maps.Clone(l.env)
	maps.Copy(all, env)
	return doctor.Options{Client: client.Options{
		Getenv: func(name string) string { return all[name] }, Transport: l.server.Transport(), Resolver: dns{},
	}}
}

func (l *lab) examine(o doctor.Options) *doctor.Report {
	l.t.Helper()
	r, err := doctor.Examine(l.t.Context(), l.server.URL()+"/?secret=1", o)
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

// documented fails unless docs/doctor.md has a row for each check, with its facts.
func documented(t *testing.T, r *doctor.Report) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "docs", "doctor.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(page)) {
		if names, rest, ok := strings.Cut(strings.TrimPrefix(line, "| `"), " | "); ok {
			for name := range strings.SplitSeq(names, ", ") {
				rows[strings.Trim(name, "`")] = rest
			}
		}
	}
	for _, name := range []string{"login", "delegation", "allowed"} {
		rows[name] += rows["ticket"]
	}
	for _, c := range r.Checks {
		for fact := range c.Facts {
			if !strings.Contains(rows[c.Name], "`"+fact+"`") {
				t.Errorf("docs/doctor.md says nothing of the fact %s of %s", fact, c.Name)
			}
		}
		if rows[c.Name] == "" {
			t.Errorf("docs/doctor.md says nothing of the check %s", c.Name)
		}
	}
}

// wants fails unless the report has a line for each of those given, "status name: part
// of the text", and, where it begins with try, such an advice.
func wants(t *testing.T, r *doctor.Report, lines ...string) {
	t.Helper()
	documented(t, r)
	for _, want := range lines {
		head, part, _ := strings.Cut(want, ": ")
		found := false
		if head == "try" {
			found = slices.ContainsFunc(r.Try, func(s string) bool { return strings.Contains(s, part) })
		}
		for _, c := range r.Checks {
			found = found || head == string(c.Status)+" "+c.Name && strings.Contains(c.Text, part)
		}
		if !found {
			t.Errorf("nothing says %q", want)
		}
	}
	if t.Failed() {
		t.Logf("\n%s", r)
	}
}
