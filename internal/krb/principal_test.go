package krb

import (
	"strings"
	"testing"
)

func TestParsePrincipal(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want Principal
		text string // of String, when it is not in
	}{
		"user":                       {"alice@EXAMPLE.TEST", Principal{NTPrincipal, []string{"alice"}, "EXAMPLE.TEST"}, ""},
		"no realm":                   {"alice", Principal{NTPrincipal, []string{"alice"}, ""}, ""},
		"service":                    {"HTTP/www.example.test@R", Principal{NTSrvHst, []string{"HTTP", "www.example.test"}, "R"}, ""},
		"service without realm":      {"HTTP/www.example.test", Principal{NTSrvHst, []string{"HTTP", "www.example.test"}, ""}, ""},
		"krbtgt":                     {"krbtgt/B@A", Principal{NTSrvInst, []string{"krbtgt", "B"}, "A"}, ""},
		"krbtgt alone is a user":     {"krbtgt@A", Principal{NTPrincipal, []string{"krbtgt"}, "A"}, ""},
		"krbtgt of three parts":      {"krbtgt/B/C@A", Principal{NTPrincipal, []string{"krbtgt", "B", "C"}, "A"}, ""},
		"three parts":                {"a/b/c@R", Principal{NTPrincipal, []string{"a", "b", "c"}, "R"}, ""},
		"empty part":                 {"a//c@R", Principal{NTPrincipal, []string{"a", "", "c"}, "R"}, ""},
		"empty end":                  {"a/@R", Principal{NTSrvHst, []string{"a", ""}, "R"}, ""},
		"two empty parts":            {"/", Principal{NTSrvHst, []string{"", ""}, ""}, ""},
		"at sign":                    {`alice\@corp.test@R`, Principal{NTPrincipal, []string{"alice@corp.test"}, "R"}, ""},
		"slash":                      {`a\/b@R`, Principal{NTPrincipal, []string{"a/b"}, "R"}, ""},
		"slash in a part":            {`a\/b/c@R`, Principal{NTSrvHst, []string{"a/b", "c"}, "R"}, ""},
		"backslash":                  {`a\\b@R`, Principal{NTPrincipal, []string{`a\b`}, "R"}, ""},
		"backslash before slash":     {`a\\/b@R`, Principal{NTSrvHst, []string{`a\`, "b"}, "R"}, ""},
		"newline, tab, back, NUL":    {`a\nb\tc\bd\0e@R`, Principal{NTPrincipal, []string{"a\nb\tc\bd\x00e"}, "R"}, ""},
		"needless escape":            {`\a\l@R`, Principal{NTPrincipal, []string{"al"}, "R"}, "al@R"},
		"raw tab":                    {"a\tb@R", Principal{NTPrincipal, []string{"a\tb"}, "R"}, `a\tb@R`},
		"slash in the realm":         {"a@C=XX/O=Y", Principal{NTPrincipal, []string{"a"}, "C=XX/O=Y"}, ""},
		"escaped slash in the realm": {`a@X\/Y`, Principal{NTPrincipal, []string{"a"}, "X/Y"}, "a@X/Y"},
		"at sign in the realm":       {`a@R\@S`, Principal{NTPrincipal, []string{"a"}, "R@S"}, ""},
		"escapes in the realm":       {`a@R\\\n\t\b\0`, Principal{NTPrincipal, []string{"a"}, "R\\\n\t\b\x00"}, ""},
		"space":                      {"a b@R S", Principal{NTPrincipal, []string{"a b"}, "R S"}, ""},
		"other letters":              {"żółw@ŁÓDŹ", Principal{NTPrincipal, []string{"żółw"}, "ŁÓDŹ"}, ""},
		"no text at all":             {"\xff\xfe@\xfd", Principal{NTPrincipal, []string{"\xff\xfe"}, "\xfd"}, ""},
		"service with an escape":     {`HTTP/a\@b@R`, Principal{NTSrvHst, []string{"HTTP", "a@b"}, "R"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePrincipal(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "principal", got, tc.want)
			if got.Type != tc.want.Type { // of which comparisons make nothing
				t.Errorf("type %d, want %d", got.Type, tc.want.Type)
			}
			want := tc.text
			if want == "" {
				want = tc.in
			}
			if s := got.String(); s != want {
				t.Errorf("String %q, want %q", s, want)
			}
			if name, _, _ := strings.Cut(want, "@"); !strings.Contains(want, `\@`) && got.Name() != name {
				t.Errorf("Name %q, want %q", got.Name(), name)
			}
			back, err := ParsePrincipal(got.String())
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "parsed again", back, got)
		})
	}
}

func TestParsePrincipalRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":               "",
		"a realm alone":         "@R",
		"an at sign alone":      "@",
		"no realm after @":      "alice@",
		"two realms":            "alice@R@S",
		"backslash at the end":  `alice\`,
		"realm ends so":         `alice@R\`,
		"too long":              strings.Repeat("a", maxName+1),
		"too long by its realm": "a@" + strings.Repeat("R", maxName),
	} {
		if p, err := ParsePrincipal(in); err == nil {
			t.Errorf("%s: %q gave %#v", name, in, p)
		}
	}
	if _, err := ParsePrincipal(strings.Repeat("a", maxName)); err != nil {
		t.Errorf("the longest name: %v", err)
	}
}

func TestPrincipalComparison(t *testing.T) {
	for name, tc := range map[string]struct {
		p, q        Principal
		equal, same bool
	}{
		"alike":            {alice, Principal{NTPrincipal, []string{"alice"}, "EXAMPLE.TEST"}, true, true},
		"type is a hint":   {alice, Principal{NTEnterprise, []string{"alice"}, "EXAMPLE.TEST"}, true, true},
		"another realm":    {alice, Principal{NTPrincipal, []string{"alice"}, "OTHER.TEST"}, false, true},
		"case of realm":    {alice, Principal{NTPrincipal, []string{"alice"}, "example.test"}, false, true},
		"case of name":     {alice, Principal{NTPrincipal, []string{"Alice"}, "EXAMPLE.TEST"}, false, false},
		"split elsewhere":  {Principal{1, []string{"a/b"}, "R"}, Principal{1, []string{"a", "b"}, "R"}, false, false},
		"a part less":      {webHost, Principal{NTSrvHst, []string{"HTTP"}, "EXAMPLE.TEST"}, false, false},
		"realm in name":    {Principal{1, []string{"a@R"}, ""}, Principal{1, []string{"a"}, "R"}, false, false},
		"both without one": {Principal{}, Principal{}, true, true},
	} {
		if tc.p.Equal(tc.q) != tc.equal || tc.q.Equal(tc.p) != tc.equal || tc.p.SameName(tc.q) != tc.same {
			t.Errorf("%s: Equal %t, SameName %t", name, tc.p.Equal(tc.q), tc.p.SameName(tc.q))
		}
	}
}

func TestPrincipalKinds(t *testing.T) {
	if p := TGS("B", "A"); p.String() != "krbtgt/B@A" || !p.IsTGS() || p.Type != NTSrvInst {
		t.Errorf("%#v", p)
	}
	if webHost.IsTGS() || NewPrincipal("R", "krbtgt").IsTGS() || alice.IsZero() || !(Principal{Realm: "R"}).IsZero() {
		t.Error("IsTGS or IsZero")
	}
	for want, p := range map[string]Principal{
		"EXAMPLE.TESTalice":                alice,
		"EXAMPLE.TESTHTTPwww.example.test": webHost,
		"R":                                {Realm: "R"},
		"Ra/b@c":                           NewPrincipal("R", "a/b@c"), // unescaped
	} {
		if got := p.Salt(); got != want {
			t.Errorf("salt %q, want %q", got, want)
		}
	}
}

// oldName is how names were written before AppendName.
func oldName(p Principal) string {
	parts := make([]string, len(p.Components))
	for i, c := range p.Components {
		parts[i] = escapeComponent.Replace(c)
	}
	return strings.Join(parts, "/")
}

// Names are written as ever, with and without what must be escaped, whatever their
// length.
func TestNamesAsOfOld(t *testing.T) {
	pieces := []string{"", "a", "krbtgt", "HTTP", "a/b", "a@b", "back\\slash", "tab\t", "\n", "\b", "\x00", "@", "/", "\u00e9", strings.Repeat("long", 50)}
	check := func(p Principal) {
		t.Helper()
		name := oldName(p)
		text := name
		if p.Realm != "" {
			text += "@" + escapeRealm.Replace(p.Realm)
		}
		for what, got := range map[string]string{"Name": p.Name(), "AppendName": string(p.AppendName([]byte("x"))[1:])} {
			if got != name {
				t.Errorf("%s of %q: %q, want %q", what, p.Components, got, name)
			}
		}
		for what, got := range map[string]string{"String": p.String(), "AppendTo": string(p.AppendTo([]byte("x"))[1:])} {
			if got != text {
				t.Errorf("%s of %q, %q: %q, want %q", what, p.Components, p.Realm, got, text)
			}
		}
	}
	for _, realm := range []string{"", "A.EXAMPLE", "a@b/c", "\x00"} {
		check(Principal{Realm: realm})
		for _, a := range pieces {
			check(NewPrincipal(realm, a))
			for _, b := range pieces {
				check(NewPrincipal(realm, a, b))
				check(NewPrincipal(realm, b, a, b))
			}
		}
	}
}
