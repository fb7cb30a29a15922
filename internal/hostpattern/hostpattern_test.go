package hostpattern

import "testing"

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
		"no host matches all": {[]string{"*"}, "", "443", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Parse(tc.list).Match(tc.host, tc.port); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
