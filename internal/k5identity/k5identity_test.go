package k5identity

import (
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
)

const file = `# as whom I am known
alice@KRBTEST.COM       realm=KRBTEST.COM
alice/root@EXAMPLE.COM	host=*.servers.example.com service=host
 alice/mail@EXAMPLE.COM service=imap
bob@@BROKEN realm=*
broken/condition@X realm
never@X colour=red
relative host=short
alice@EXAMPLE.COM       host=*.example.com
`

func TestChoose(t *testing.T) {
	for name, tc := range map[string]struct{ server, want string }{
		"realm":                  {"HTTP/www.krbtest.com@KRBTEST.COM", "alice@KRBTEST.COM"},
		"host and service":       {"host/a.servers.example.com@EXAMPLE.COM", "alice/root@EXAMPLE.COM"},
		"host, other service":    {"HTTP/a.servers.example.com@EXAMPLE.COM", "alice@EXAMPLE.COM"},
		"service":                {"imap/mail.example.org@OTHER", "alice/mail@EXAMPLE.COM"},
		"capitals":               {"HTTP/WWW.Example.COM@OTHER", "alice@EXAMPLE.COM"},
		"default realm":          {"HTTP/short@OTHER", "relative@DEFAULT"},
		"realm unknown":          {"HTTP/www.example.com", "alice@EXAMPLE.COM"},
		"nothing":                {"HTTP/www.example.org@OTHER", ""},
		"no host":                {"krbtgt@OTHER", ""},
		"three parts are no one": {"HTTP/www.example.com/x@OTHER", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse(strings.NewReader(file), "DEFAULT")
			if err != nil {
				t.Fatal(err)
			}
			server, err := krb.ParsePrincipal(tc.server)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := f.Choose(server)
			if ok != (tc.want != "") || ok && got.String() != tc.want {
				t.Errorf("got %v, %v, want %q", got, ok, tc.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"large file": strings.Repeat("#\n", maxSize),
		"long line":  "alice@X " + strings.Repeat("a", maxLine),
	} {
		if _, err := Parse(strings.NewReader(text), ""); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "", false}, {"a", "a", true}, {"a", "b", false},
		{"*", "", true}, {"*", "a/b.c", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c", "abbc", true},
		{"a*b*c", "a.b.b.c", true}, {"a*b*c", "a.c.b", false}, {"**a", "ba", true}, {"*a*", "xyz", false},
		{"?", "é", true}, {"?", "", false}, {"??", "a", false},
		{"[abc]x", "bx", true}, {"[!abc]x", "bx", false}, {"[^abc]x", "dx", true}, {"[a-c]", "b", true},
		{"[]]", "]", true}, {"[!]]", "]", false}, {"[a-]", "-", true}, {"[-a]", "-", true}, {`[\]]`, "]", true},
		{"[ab", "[ab", true}, {"[ab", "a", false}, {`\*`, "*", true}, {`\*`, "a", false}, {`\`, `\`, true},
		{"*[", "x[", true}, {"*\\", "x\\", true},
	} {
		if got := match(tc.pattern, tc.s); got != tc.want {
			t.Errorf("match(%q, %q) = %v", tc.pattern, tc.s, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(file, "HTTP/www.example.com@R")
	f.Add("a@B host=[!x-]*?\\", "HTTP/\xff@R")
	f.Add("a@B host=[", "a/b@C")
	f.Fuzz(func(t *testing.T, text, name string) {
		server, err := krb.ParsePrincipal(name)
		if err != nil || len(text) > 1<<12 || len(name) > 1<<12 {
			return
		}
		if parsed, err := Parse(strings.NewReader(text), "R"); err == nil {
			if p, ok := parsed.Choose(server); ok && p.IsZero() {
				t.Errorf("chose nobody for %v", server)
			}
		}
	})
}
