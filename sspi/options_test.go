package sspi

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/middleware"
)

// Options that contradict one another.
func TestOptions(t *testing.T) {
	alice := NewSecret("secret")
	for name, o := range map[string]Options{
		"calls":                 {Calls: -1},
		"service":               {Service: "HTTP/x"},
		"bindings":              {Bindings: 9},
		"delegation":            {Delegation: 9},
		"delegate to":           {DelegateTo: []string{"x.example"}},
		"no password":           {Principal: "alice@R"},
		"no principal":          {Password: alice},
		"no user":               {Principal: "@R", Password: alice},
		"zero byte":             {Principal: "a\x00b@R", Password: alice},
		"zero byte in password": {Principal: "alice@R", Password: NewSecret("a\x00b")},
		"long user":             {Principal: strings.Repeat("x", 600) + "@R", Password: alice},
		"long domain":           {Principal: "alice@" + strings.Repeat("x", 600), Password: alice},
		"long password":         {Principal: "alice@R", Password: NewSecret(strings.Repeat("x", 600))},
		"proxy's principal":     {Proxy: &Options{Principal: "x"}},
		"proxy's password":      {Proxy: &Options{Password: alice}},
		"proxy's calls":         {Proxy: &Options{Calls: 3}},
		"proxy's sealing":       {Proxy: &Options{Sealing: true}},
		"proxy's delegation":    {Proxy: &Options{Delegation: DelegationAlways}},
		"proxy's delegate to":   {Proxy: &Options{DelegateTo: []string{}}},
		"proxy's proxy":         {Proxy: &Options{Proxy: &Options{}}},
		"proxy's service":       {Proxy: &Options{Service: "a b"}},
	} {
		if _, err := newInitiator(o, func() (*library, error) { return &library{}, nil }); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Where there is no secur32.dll, New says where it works.
func TestElsewhere(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("here it works")
	}
	_, err := New(Options{})
	if !errors.Is(err, middleware.ErrConfiguration) || !strings.Contains(err.Error(), "it works on Windows") || !strings.Contains(err.Error(), runtime.GOOS) {
		t.Error(err)
	}
}

func TestSplitPrincipal(t *testing.T) {
	for principal, want := range map[string][2]string{
		"alice@EXAMPLE.COM":        {"alice", "EXAMPLE.COM"},
		`CORP\alice`:               {"alice", "CORP"},
		"alice":                    {"alice", ""},
		`alice\@mail.example`:      {"alice@mail.example", ""},
		`alice\@mail.example@CORP`: {"alice@mail.example", "CORP"},
		`a\\b@R`:                   {`a\b`, "R"},
		`CORP\a\b`:                 {`a\b`, "CORP"},
		"@R":                       {"", "R"},
	} {
		user, domain := splitPrincipal(principal)
		if d := cmp.Diff(want, [2]string{user, domain}); d != "" {
			t.Errorf("%s: %s", principal, d)
		}
	}
}
