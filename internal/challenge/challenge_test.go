package challenge

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/alloctest"
)

// The forms that six parsers in use were seen to miss, each of them legal.
func TestParseWhatOthersMiss(t *testing.T) {
	for name, lines := range map[string][]string{
		"lower case":          {"negotiate"},
		"after a comma":       {`Basic realm="x", Negotiate`},
		"on the second line":  {`Basic realm="x"`, "Negotiate"},
		"before a comma":      {`Negotiate, Basic realm="x"`},
		"with a token":        {"Negotiate YII="},
		"after a quoted copy": {`Basic realm="a, Negotiate b", Negotiate`},
	} {
		t.Run(name, func(t *testing.T) {
			c, ok := Find(lines, "Negotiate")
			if !ok || len(c.Params) > 0 {
				t.Fatalf("Find: %v, %v in %q", c, ok, lines)
			}
			if want := strings.Contains(lines[0], "YII="); want != (c.Token68 == "YII=") {
				t.Errorf("token68 %q in %q", c.Token68, lines)
			}
		})
	}
	if c, ok := Find([]string{`Basic realm="Negotiate here"`}, "Negotiate"); ok {
		t.Errorf("found %v inside a quoted string", c)
	}
}

func TestParse(t *testing.T) {
	basic := Challenge{Scheme: "Basic", Params: []Param{{"realm", "x"}}}
	bare := Challenge{Scheme: "Negotiate"}
	token := Challenge{Scheme: "Negotiate", Token68: "YII="}
	broken := Challenge{Scheme: "Negotiate", Malformed: true}
	for name, tc := range map[string]struct {
		lines []string
		want  []Challenge
	}{
		"no line":                    {nil, nil},
		"empty lines":                {[]string{"", " \t", ",, ,"}, nil},
		"alone":                      {[]string{"Negotiate"}, []Challenge{bare}},
		"case kept":                  {[]string{"nEGOTIATE"}, []Challenge{{Scheme: "nEGOTIATE"}}},
		"blanks around":              {[]string{"\t Negotiate  "}, []Challenge{bare}},
		"token":                      {[]string{"Negotiate YII="}, []Challenge{token}},
		"token after many blanks":    {[]string{"Negotiate \t  YII= "}, []Challenge{token}},
		"token, two paddings":        {[]string{"Negotiate YI=="}, []Challenge{{Scheme: "Negotiate", Token68: "YI=="}}},
		"token, all characters":      {[]string{"Negotiate aZ09-._~+/="}, []Challenge{{Scheme: "Negotiate", Token68: "aZ09-._~+/="}}},
		"token like a scheme":        {[]string{"Negotiate NTLM"}, []Challenge{{Scheme: "Negotiate", Token68: "NTLM"}}},
		"token, then a scheme":       {[]string{`Negotiate YII=,Basic realm="x"`}, []Challenge{token, basic}},
		"token, blank, then comma":   {[]string{`Negotiate YII= ,NTLM`}, []Challenge{token, {Scheme: "NTLM"}}},
		"two lines":                  {[]string{`Basic realm="x"`, "Negotiate"}, []Challenge{basic, bare}},
		"comma list":                 {[]string{`Negotiate, Basic realm="x"`}, []Challenge{bare, basic}},
		"empty elements":             {[]string{`,, Negotiate,, ,Basic realm="x",,`}, []Challenge{bare, basic}},
		"empty element inside":       {[]string{`Basic , realm="x"`}, []Challenge{basic}},
		"scheme, comma, param":       {[]string{`Basic, realm="x"`}, []Challenge{basic}},
		"param on the next line":     {[]string{"Basic", `realm="x"`, "Negotiate"}, []Challenge{basic, bare}},
		"blanks around equals":       {[]string{"Basic realm = \"x\" ,Negotiate", `Basic realm	=	x`}, []Challenge{basic, bare, basic}},
		"unquoted value":             {[]string{`Basic realm=x, Negotiate`}, []Challenge{basic, bare}},
		"quoted scheme":              {[]string{`Basic realm="a, Negotiate b", Negotiate`}, []Challenge{{Scheme: "Basic", Params: []Param{{"realm", "a, Negotiate b"}}}, bare}},
		"quoted pairs":               {[]string{`Basic realm="a\", Negotiate \\", Negotiate`}, []Challenge{{Scheme: "Basic", Params: []Param{{"realm", `a", Negotiate \`}}}, bare}},
		"empty quoted string":        {[]string{`Basic realm="", Negotiate`}, []Challenge{{Scheme: "Basic", Params: []Param{{"realm", ""}}}, bare}},
		"several params":             {[]string{`Digest realm="x", qop="auth, auth-int", stale=FALSE, Negotiate`}, []Challenge{{Scheme: "Digest", Params: []Param{{"realm", "x"}, {"qop", "auth, auth-int"}, {"stale", "FALSE"}}}, bare}},
		"param named as a scheme":    {[]string{`Digest Negotiate=x`}, []Challenge{{Scheme: "Digest", Params: []Param{{"Negotiate", "x"}}}}},
		"the same scheme twice":      {[]string{"Negotiate", "Negotiate YII="}, []Challenge{bare, token}},
		"Kerberos beside Negotiate":  {[]string{"Kerberos, Negotiate, NTLM"}, []Challenge{{Scheme: "Kerberos"}, bare, {Scheme: "NTLM"}}},
		"ends in a padded name":      {[]string{`Basic realm=, Negotiate`}, []Challenge{{Scheme: "Basic", Token68: "realm="}, bare}},
		"obs-text in quotes":         {[]string{"Basic realm=\"\xe9, Negotiate\", Negotiate"}, []Challenge{{Scheme: "Basic", Params: []Param{{"realm", "\xe9, Negotiate"}}}, bare}},
		"string without end":         {[]string{`Basic realm="x, Negotiate`}, []Challenge{{Scheme: "Basic", Malformed: true}}},
		"string ends in an escape":   {[]string{`Basic realm="x, Negotiate\"`}, []Challenge{{Scheme: "Basic", Malformed: true}}},
		"lone quote":                 {[]string{`Basic realm="`, "Negotiate"}, []Challenge{{Scheme: "Basic", Malformed: true}, bare}},
		"lone escape":                {[]string{`Basic realm="\`, "Negotiate"}, []Challenge{{Scheme: "Basic", Malformed: true}, bare}},
		"string without end, line":   {[]string{`Basic realm="x`, "Negotiate"}, []Challenge{{Scheme: "Basic", Malformed: true}, bare}},
		"token is a quoted string":   {[]string{`Negotiate "YII=, NTLM", Basic realm="x"`}, []Challenge{broken, basic}},
		"token of foreign letters":   {[]string{`Negotiate @@@, Basic realm="x"`}, []Challenge{broken, basic}},
		"token, then junk":           {[]string{`Negotiate YI== x, Basic realm="x"`}, []Challenge{broken, basic}},
		"token read as a param":      {[]string{`Negotiate YII= x`}, []Challenge{{Scheme: "Negotiate", Params: []Param{{"YII", "x"}}}}},
		"padding alone":              {[]string{`Negotiate =, NTLM`}, []Challenge{{Scheme: "NTLM"}}},
		"token, then param":          {[]string{`Negotiate YII=, a=b, Basic realm="x"`}, []Challenge{{Scheme: "Negotiate", Token68: "YII=", Malformed: true}, basic}},
		"no comma between":           {[]string{`Basic realm="x" Negotiate, NTLM`}, []Challenge{{Scheme: "Basic", Malformed: true}, {Scheme: "NTLM"}}},
		"quotes after a token value": {[]string{`Basic realm=x"y, Negotiate", NTLM`}, []Challenge{{Scheme: "Basic", Malformed: true}, {Scheme: "NTLM"}}},
		"quotes at the start":        {[]string{`"Negotiate", "a, Negotiate", NTLM`}, []Challenge{{Scheme: "NTLM"}}},
		"param without a scheme":     {[]string{`realm="a, Negotiate", NTLM`}, []Challenge{{Scheme: "NTLM"}}},
		"equals alone":               {[]string{"=, =x, NTLM"}, []Challenge{{Scheme: "NTLM"}}},
		"two equals":                 {[]string{"Digest a==b, c=d"}, []Challenge{{Scheme: "Digest", Params: []Param{{"c", "d"}}, Malformed: true}}},
		"scheme with a colon":        {[]string{"Negotiate: YII=, NTLM"}, []Challenge{{Scheme: "NTLM"}}},
		"scheme with a slash":        {[]string{"a/b, NTLM"}, []Challenge{{Scheme: "NTLM"}}},
		"control characters":         {[]string{"Nego\x00tiate, NTLM"}, []Challenge{{Scheme: "NTLM"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Parse(tc.lines)
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("Parse(%q) (-want +got)\n%s", tc.lines, d)
			}
			var schemes []string
			for _, c := range tc.want {
				schemes = append(schemes, c.Scheme)
				first, ok := Find(tc.lines, strings.ToUpper(c.Scheme))
				if !ok || !first.Is(c.Scheme) {
					t.Errorf("Find(%q, %q) = %v, %v", tc.lines, c.Scheme, first, ok)
				}
			}
			if d := cmp.Diff(schemes, Schemes(tc.lines)); d != "" {
				t.Errorf("Schemes(%q) (-want +got)\n%s", tc.lines, d)
			}
		})
	}
}

func TestFindMissing(t *testing.T) {
	for _, lines := range [][]string{nil, {""}, {"NTLM"}, {"Negotiate2"}, {`Basic realm="Negotiate"`, "NTLM"}} {
		if c, ok := Find(lines, "Negotiate"); ok {
			t.Errorf("Find(%q) = %v", lines, c)
		}
	}
}

func TestFindTakesTheFirst(t *testing.T) {
	c, ok := Find([]string{"NTLM", "negotiate one, Negotiate two"}, "Negotiate")
	if !ok || c.Token68 != "one" {
		t.Errorf("got %q, %v", c.Token68, ok)
	}
}

func TestLimits(t *testing.T) {
	got := Parse([]string{strings.Repeat("a,", MaxChallenges-1) + "last,over", "more"})
	if len(got) != MaxChallenges || got[MaxChallenges-1].Scheme != "last" {
		t.Errorf("%d challenges, last %v", len(got), got[len(got)-1])
	}
	got = Parse([]string{"a x=y" + strings.Repeat(",x=y", 2*MaxParams) + ",b"})
	if len(got) != 2 || len(got[0].Params) != MaxParams {
		t.Errorf("%d challenges, %d parameters", len(got), len(got[0].Params))
	}
}

func TestToken(t *testing.T) {
	long := strings.Repeat("A", base64.RawStdEncoding.EncodedLen(MaxToken))
	for name, tc := range map[string]struct {
		line string
		want []byte
		err  error
	}{
		"none":             {"Negotiate", nil, nil},
		"parameters":       {"Negotiate realm=x", nil, nil},
		"padded":           {"Negotiate YII=", []byte{0x60, 0x82}, nil},
		"padded twice":     {"Negotiate YA==", []byte{0x60}, nil},
		"no padding due":   {"Negotiate oRQw", []byte{0xa1, 0x14, 0x30}, nil},
		"padding missing":  {"Negotiate YII", []byte{0x60, 0x82}, nil},
		"padding halved":   {"Negotiate YA=", nil, ErrTokenEncoding},
		"too much padding": {"Negotiate YII==", nil, ErrTokenEncoding},
		"padding past 4":   {"Negotiate YA======", nil, ErrTokenEncoding},
		"one character":    {"Negotiate Y", nil, ErrTokenEncoding},
		"URL alphabet":     {"Negotiate YI_-", nil, ErrTokenEncoding},
		"white space":      {"Negotiate oRQw oRQw", nil, ErrTokenEncoding},
		"not base64":       {"Negotiate ?", nil, ErrTokenEncoding},
		"longest":          {"Negotiate " + long, make([]byte, MaxToken), nil},
		"too long":         {"Negotiate " + long + "AA", nil, ErrTokenTooLong},
		"far too long":     {"Negotiate " + strings.Repeat("A", 1<<20), nil, ErrTokenTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			c, ok := Find([]string{tc.line}, "Negotiate")
			if !ok {
				t.Fatal("not found")
			}
			got, err := c.Token()
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if !bytes.Equal(got, tc.want) || (got == nil) != (tc.want == nil) {
				t.Errorf("%x, want %x", got, tc.want)
			}
		})
	}
	for _, text := range []string{"oRQw\n", "oR\r\nQw", "=", "===="} {
		if _, err := (Challenge{Scheme: "Negotiate", Token68: text}).Token(); !errors.Is(err, ErrTokenEncoding) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestFormatHidesToken(t *testing.T) {
	c := Challenge{Scheme: "Negotiate", Token68: "c2VjcmV0", Params: []Param{{"a", "secret"}}, Malformed: true}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		got := fmt.Sprintf(verb+verb, c, []*Challenge{&c}) + fmt.Sprintf(verb, struct{ C Challenge }{c})
		if strings.Contains(got, "ecret") || strings.Contains(got, "c2Vj") {
			t.Errorf("%s shows %s", verb, got)
		}
		if !strings.Contains(got, "Negotiate [token of 8 characters] [1 parameters] [malformed]") {
			t.Errorf("%s shows %s", verb, got)
		}
	}
}

func TestAllocations(t *testing.T) {
	for name, tc := range map[string]struct {
		lines []string
		most  int
	}{
		"alone":         {[]string{"Negotiate"}, 0},
		"after another": {[]string{"NTLM", "Negotiate"}, 0},
		"with a token":  {[]string{"Negotiate oRQw"}, 0},
	} {
		if n := alloctest.Allocations(100, tc.most, func() {
			if _, ok := Find(tc.lines, "negotiate"); !ok {
				t.Fatal("not found")
			}
		}); n > tc.most {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func takesToken68(c byte) bool {
	p := parser{rest: string([]byte{c}), open: true}
	return p.token68()
}

// What a byte can be part of, as RFC 9110 writes it (sections 5.6.2 and 11.2).
func TestBytes(t *testing.T) {
	const alnum = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for c := range 256 {
		if got, want := tokenLen(string([]byte{byte(c)})) == 1, strings.ContainsRune(alnum+"!#$%&'*+-.^_`|~", rune(c)); got != want {
			t.Errorf("%q in a token: %t", byte(c), got)
		}
		if got, want := takesToken68(byte(c)), strings.ContainsRune(alnum+"-._~+/", rune(c)); got != want {
			t.Errorf("%q in a token68: %t", byte(c), got)
		}
	}
}

// A scheme is named as its registration spells it, however the server does, and what a
// server made up is not named.
func TestName(t *testing.T) {
	for scheme, want := range map[string]string{
		"Negotiate": "Negotiate", "NEGOTIATE": "Negotiate", "ntlm": "NTLM", "scram-sha-256": "SCRAM-SHA-256", "VAPID": "vapid",
		"": "other", "YIIabc": "other", "Negotiate2": "other", "Basi": "other",
	} {
		if got := Name(scheme); got != want {
			t.Errorf("%q: %q, want %q", scheme, got, want)
		}
	}
}
