package logging

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestURLText(t *testing.T) {
	for name, tc := range map[string]struct{ in, want string }{
		"plain":               {"http://web.test/a/b", "http://web.test/a/b"},
		"all of it":           {"https://u:p@web.test:8443/a?q#f", "https://web.test:8443/a"},
		"user alone":          {"http://token@web.test/", "http://web.test/"},
		"no path":             {"http://web.test", "http://web.test"},
		"empty query":         {"http://web.test/?", "http://web.test/"},
		"IPv6":                {"http://[fe80::1%25eth0]:80/", "http://[fe80::1%25eth0]:80/"},
		"escapes stay":        {"http://web.test/a%2Fb%0A", "http://web.test/a%2Fb%0A"},
		"path parameters":     {"http://web.test/a;s=1/b;t=2;u=3", "http://web.test/a/b"},
		"a query in opaque":   {"http:web.test/?q=secret", "http:"},
		"an escaped question": {"http://web.test/a%3Fq=1", "http://web.test/a%3Fq=1"},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := urlText(u); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if got := urlText(nil); got != "" {
		t.Errorf("nil: got %q, want nothing", got)
	}
}

func TestErrorText(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"nothing to hide":        {errors.New("dial tcp 127.0.0.1:80: connect: connection refused"), "dial tcp 127.0.0.1:80: connect: connection refused"},
		"a URL":                  {errors.New("get http://web.test/a: refused"), "get http://web.test/a: refused"},
		"a query":                {errors.New("get http://web.test/a?b=c: refused"), "get http://web.test/a: refused"},
		"a query in quotes":      {errors.New(`get "http://web.test/a?b=c": refused`), `get "http://web.test/a": refused`},
		"a fragment":             {errors.New("(see http://web.test/a#b)."), "(see http://web.test/a)."},
		"a user":                 {errors.New("get http://u:p@web.test/a; refused"), "get http://web.test/a; refused"},
		"two":                    {errors.New("http://u:p@a.test/, https://v:q@b.test/?x"), "http://a.test/, https://b.test/"},
		"a slash in a password":  {errors.New("get http://u:p/w@web.test/a: refused"), "get http://[redacted]: refused"},
		"a question in one":      {errors.New("get http://u:p?w@web.test/a: refused"), "get http://[redacted]: refused"},
		"an at sign in a path":   {errors.New("get http://web.test/@scope/a: refused"), "get http://web.test/@scope/a: refused"},
		"a url.Error":            {&url.Error{Op: "Get", URL: "http://u:p@web.test/a?b=c", Err: errors.New("refused")}, `Get "http://web.test/a": refused`},
		"one without scheme":     {&url.Error{Op: "parse", URL: "/a?b=c", Err: errors.New("refused")}, `parse "/a": refused`},
		"one with a space":       {fmt.Errorf("x: %w", &url.Error{Op: "Get", URL: `http://web.test/a?b="c d"`, Err: errors.New("refused")}), `x: Get "http://web.test/a": refused`},
		"one that is no URL":     {&url.Error{Op: "parse", URL: "http://u:p w@web.test:x/", Err: errors.New("refused")}, `parse "[redacted]": refused`},
		"one among others":       {errors.Join(errors.New("first"), &url.Error{Op: "parse", URL: "/a?b=c", Err: errors.New("refused")}), "first\nparse \"/a\": refused"},
		"credentials":            {errors.New("sent Negotiate YIIGhgYGKwYBBQUCoIIGejCCBnagDTALBgkqhkiG9w== to it"), "sent Negotiate [redacted] to it"},
		"names of schemes":       {errors.New("no usable Kerberos credentials"), "no usable Kerberos credentials"},
		"the request's query":    {errors.New("bad query access=topsecret&x=1"), "bad query [redacted]"},
		"a value of it":          {errors.New("no such topsecret!"), "no such [redacted]!"},
		"a value of it, decoded": {errors.New("no such one two three"), "no such [redacted]"},
		"a short one is a word":  {errors.New("x1 is y"), "x1 is y"},
		"the password":           {errors.New("hunter22 is wrong"), "[redacted] is wrong"},
		"the decoded password":   {errors.New("sent aladdin1"), "sent [redacted]"},
		"an escaped password":    {errors.New("p%40ss+word%2F1, p%40ss%20word%2F1, p@ss word/1"), "[redacted], [redacted], [redacted]"},
		"a user and password":    {errors.New("for me:x of it"), "for [redacted] of it"},
		"the request's fragment": {errors.New("went to part-two"), "went to [redacted]"},
		"the longest first":      {errors.New("sessionid-and-more, sessionid"), "[redacted], [redacted]"},
		"the cookie":             {errors.New("value sessionid"), "value [redacted]"},
		"the token, quoted":      {errors.New(`header "Basic dTphbGFkZGluMQ=="`), `header "[redacted]"`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequest(http.MethodGet, "http://user:hunter22@web.test/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.URL.RawQuery = "access=topsecret&x=1"
			if strings.Contains(name, "decoded") {
				r.URL.RawQuery = "q=one+two%20three"
			}
			switch name {
			case "an escaped password":
				r.URL.User = url.UserPassword("user", "p@ss word/1")
			case "a user and password":
				r.URL.User = url.UserPassword("me", "x")
			}
			r.URL.Fragment = "part-two"
			r.SetBasicAuth("u", "aladdin1")
			r.AddCookie(&http.Cookie{Name: "s", Value: "sessionid"})
			r.AddCookie(&http.Cookie{Name: "t", Value: "sessionid-and-more"})
			if got := errorText(tc.err, r); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if got := errorText(errors.New("x"), &http.Request{}); got != "x" {
		t.Errorf("empty request: got %q, want %q", got, "x")
	}
}

// endless is an error that unwraps to itself.
type endless struct{}

func (endless) Error() string   { return "endless" }
func (e endless) Unwrap() error { return e }

func TestErrorTextEnds(t *testing.T) {
	if got := errorText(endless{}, &http.Request{}); got != "endless" {
		t.Errorf("got %q", got)
	}
}

func FuzzErrorText(f *testing.F) {
	seeds := [][3]string{
		{"GET ", "path", ": refused"}, {"", "", ""}, {`"`, "a b", `"`}, {"http://", "@", "://"},
		{"x\x00\n", "a;b?c#d", "\xff"}, {"https://u:p@h/?", "/@/", "Negotiate AAAA"},
	}
	for _, s := range seeds {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, before, inside, after string) {
		const mark = "SECRETMARK"
		raw := "http://u:" + mark + "@web.test/" + strings.NewReplacer("?", "", "#", "", mark, "").Replace(inside) + "?q=" + inside + mark
		err := fmt.Errorf("%s%w%s", before, &url.Error{Op: "Get", URL: raw, Err: errors.New(before)}, after)
		if strings.Contains(before+inside+after, mark) {
			return
		}
		if got := errorText(err, &http.Request{}); strings.Contains(got, mark) {
			t.Errorf("%q became %q", err, got)
		}
	})
}
