package hostpattern

import (
	"slices"
	"testing"
)

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
