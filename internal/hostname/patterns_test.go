package hostname

import (
	"slices"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for name, tc := range map[string]struct {
		list       []string
		host, port string
		want       bool
	}{
		"same":                {[]string{"app.example"}, "app.example", "443", true},
		"case and dot":        {[]string{"App.Example."}, "aPP.example.", "443", true},
		"other":               {[]string{"app.example"}, "www.example", "443", false},
		"below":               {[]string{"*.corp.example"}, "a.b.corp.example", "80", true},
		"not itself":          {[]string{"*.corp.example"}, "corp.example", "80", false},
		"ending":              {[]string{"*corp.example"}, "evilcorp.example", "80", true},
		"ending itself":       {[]string{"*corp.example"}, "corp.example", "80", true},
		"all":                 {[]string{"*"}, "x", "80", true},
		"none":                {nil, "x", "80", false},
		"commas":              {[]string{"a, b"}, "b", "80", true},
		"port":                {[]string{"app.example:8443"}, "app.example", "8443", true},
		"other port":          {[]string{"app.example:8443"}, "app.example", "443", false},
		"IPv6":                {[]string{"[2001:db8::1]:443"}, "2001:DB8:0::1", "443", true},
		"IPv6, bare":          {[]string{"2001:db8::1"}, "2001:db8::1", "443", true},
		"malformed":           {[]string{"*.", "a/b", "x:port", "[::1", ""}, "a", "443", false},
		"port, six digits":    {[]string{"a:000443"}, "a", "443", false},
		"port, five digits":   {[]string{"a:65535"}, "a", "65535", true},
		"port, zeros":         {[]string{"a:0443"}, "a", "443", true},
		"port, of the host":   {[]string{"a:443"}, "a", "0443", true},
		"port, too high":      {[]string{"a:65536"}, "a", "65536", false},
		"port, empty":         {[]string{"a:"}, "a", "443", false},
		"port, none at hand":  {[]string{"a"}, "a", "", true},
		"port, one wanted":    {[]string{"a:443"}, "a", "", false},
		"port, no number":     {[]string{"a"}, "a", "443x", false},
		"brackets, a name":    {[]string{"[app.example]"}, "app.example", "443", false},
		"brackets, IPv4":      {[]string{"[127.0.0.1]"}, "127.0.0.1", "443", false},
		"brackets, an ending": {[]string{"[*::1]", "[*]"}, "::1", "443", false},
		"brackets, text":      {[]string{"[::1]x"}, "::1", "443", false},
		"brackets, digits":    {[]string{"[::1]443"}, "::1", "443", false},
		"brackets, no port":   {[]string{"[::1]:"}, "::1", "443", false},
		"brackets, alone":     {[]string{"[::1]"}, "::1", "443", true},
		"brackets, open":      {[]string{"[::1"}, "::1", "443", false},
		"IPv4":                {[]string{"127.0.0.1"}, "127.0.0.1", "443", true},
		"IPv4 and port":       {[]string{"127.0.0.1:443"}, "127.0.0.1", "443", true},
		"IPv6, no ending":     {[]string{"*::1"}, "::1", "443", false},
		"not ASCII":           {[]string{"b\u00fccher.example"}, "xn--bcher-kva.example", "443", true},
		"not ASCII, below":    {[]string{"*.B\u00dcCHER.example"}, "a.xn--bcher-kva.example", "443", true},
		"A-labels":            {[]string{"xn--bcher-kva.example"}, "b\u00fccher.example", "443", true},
		"no name":             {[]string{"*"}, "a%.evil.test", "443", false},
		"no name in the list": {[]string{"a%b", "a b", "a@b", "a/b", "a..b", "*a*"}, "a", "443", false},
		"below, dot alone":    {[]string{"*."}, "a", "443", false},
		"below, two dots":     {[]string{"*..example"}, "a.example", "443", false},
		"ending, shorter":     {[]string{"*corp.example"}, "rp.example", "443", false},
		"no host matches all": {[]string{"*"}, "", "443", false},
	} {
		t.Run(name, func(t *testing.T) {
			list, _ := ParseList(tc.list) // errors are those of TestParseErrors
			if got := list.Match(tc.host, tc.port); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// TestParseErrors: what is left out is an error that names it, but for nothing between commas.
func TestParseErrors(t *testing.T) {
	for _, tc := range []struct {
		list  []string
		wrong string // in the error, "" for none
	}{
		{nil, ""},
		{[]string{"a.example", "*.b.example:8443, *c", "[::1]:80", "*"}, ""},
		{[]string{"a.example,", "", " , b.example"}, ""},
		{[]string{""}, "there is no host"},
		{[]string{" , ", ","}, "there is no host"},
		{[]string{"a.example", "http://b.example"}, `"http://b.example" is no host`},
		{[]string{"a.example, b.example/"}, `"b.example/" is no host`},
		{[]string{"a.example:0x50"}, `"a.example:0x50" is no host`},
		{[]string{"a.*.example"}, `"a.*.example" is no host`},
		{[]string{"[::1]x"}, `"[::1]x" is no host`},
		{[]string{".corp.example"}, `".corp.example" is no host`},
	} {
		if _, err := ParseList(tc.list); (err == nil) != (tc.wrong == "") || err != nil && !strings.Contains(err.Error(), tc.wrong) {
			t.Errorf("%q: %v, want %q", tc.list, err, tc.wrong)
		}
	}
}

func TestMap(t *testing.T) {
	patterns := []string{"*", "*.example", "*.corp.example", "app.corp.example", "app.corp.example:8443", "*.corp.example:8443", "[2001:db8::1]"}
	for name, tc := range map[string]struct{ host, port, want string }{
		"whole name":          {"APP.corp.example.", "443", "app.corp.example"},
		"whole name and port": {"app.corp.example", "8443", "app.corp.example:8443"},
		"longest ending":      {"a.corp.example", "443", "*.corp.example"},
		"ending and port":     {"a.corp.example", "8443", "*.corp.example:8443"},
		"shorter ending":      {"a.example", "443", "*.example"},
		"anything":            {"a.test", "443", "*"},
		"IPv6":                {"2001:db8:0:0::1", "80", "[2001:db8::1]"},
	} {
		for range 2 {
			var m Map[string]
			for _, p := range patterns {
				if !m.Set(p, p) {
					t.Fatalf("%s: no pattern", p)
				}
			}
			if got, ok := m.Get(tc.host, tc.port); !ok || got != tc.want {
				t.Errorf("%s: %q, %v, want %q", name, got, ok, tc.want)
			}
			slices.Reverse(patterns)
		}
	}
	var m Map[int]
	for _, bad := range []string{"", "a,b", "*.", "a/b", "a:port", "a:123456", "a:65536", "[a]", "[::1", "[::1]x", "a b", "a%b"} {
		if m.Set(bad, 1) {
			t.Errorf("%q was taken for a pattern", bad)
		}
	}
	if _, ok := m.Get("a", "80"); ok {
		t.Error("an empty map gave a value")
	}
	m.Set("*", 7)
	for _, bad := range [][2]string{{"a%b", "80"}, {"", "80"}, {"a", "x"}} {
		if v, ok := m.Get(bad[0], bad[1]); ok || v != 0 {
			t.Errorf("%q has the value %d", bad, v)
		}
	}
	m = Map[int]{}
	m.Set("a", 1)
	m.Set("a", 2)
	if v, _ := m.Get("a", "80"); v != 2 {
		t.Errorf("the later value does not count: %d", v)
	}
}
