package stage

import (
	"testing"

	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
)

func at(t *testing.T, s middleware.Scheme) middleware.SecurityContext {
	t.Helper()
	sc, err := new(stagetest.Initiator).Initiate(t.Context(), middleware.Target{Scheme: s, Host: "a.example", Port: "80"})
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// Which challenge is answered, at first and with a context at work.
func TestChoose(t *testing.T) {
	none, unset, negotiate, kerberos := middleware.SecurityContext(nil), at(t, ""), at(t, middleware.Negotiate), at(t, middleware.Kerberos)
	for name, tc := range map[string]struct {
		lines  []string
		sc     middleware.SecurityContext
		scheme middleware.Scheme // none if empty
		token  string
		bad    bool
	}{
		"nothing":                           {nil, none, "", "", false},
		"nothing for us":                    {[]string{`Basic realm="a"`, "NTLM"}, negotiate, "", "", false},
		"Negotiate":                         {[]string{"negotiate"}, none, middleware.Negotiate, "", false},
		"Kerberos alone":                    {[]string{"Kerberos"}, none, middleware.Kerberos, "", false},
		"Negotiate before Kerberos":         {[]string{"Kerberos, Negotiate"}, none, middleware.Negotiate, "", false},
		"the first":                         {[]string{"Negotiate", "Negotiate YQ=="}, none, middleware.Negotiate, "", false},
		"the first with a token":            {[]string{"Negotiate", "Negotiate YQ==", "Negotiate Yg=="}, negotiate, middleware.Negotiate, "YQ==", false},
		"none with a token":                 {[]string{"Negotiate", "Negotiate"}, negotiate, middleware.Negotiate, "", false},
		"what should be a token":            {[]string{"Negotiate", "Negotiate !!", "Negotiate YQ=="}, negotiate, middleware.Negotiate, "", true},
		"of another scheme":                 {[]string{"Basic YQ==", "Negotiate"}, negotiate, middleware.Negotiate, "", false},
		"at work":                           {[]string{"Negotiate", "Kerberos"}, kerberos, middleware.Kerberos, "", false},
		"at work, not offered any more":     {[]string{"Negotiate YQ=="}, kerberos, middleware.Negotiate, "YQ==", false},
		"at work, Negotiate":                {[]string{"Kerberos", "Negotiate"}, negotiate, middleware.Negotiate, "", false},
		"at work, not said":                 {[]string{"Kerberos", "Negotiate"}, unset, middleware.Negotiate, "", false},
		"the other's token is not for ours": {[]string{"Kerberos YQ==", "Negotiate"}, negotiate, middleware.Negotiate, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			ch, scheme, ok := Choose(tc.lines, tc.sc)
			if ok != (tc.scheme != "") || scheme != tc.scheme || ok && !ch.Is(string(scheme)) || ch.Token68 != tc.token || ch.Malformed != tc.bad {
				t.Errorf("%+v, %s, %t", ch, scheme, ok)
			}
		})
	}
	for sc, want := range map[middleware.SecurityContext]middleware.Scheme{unset: middleware.Negotiate, negotiate: middleware.Negotiate, kerberos: middleware.Kerberos} {
		if got := SchemeOf(sc); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
