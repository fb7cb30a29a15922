package krb5conf

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// MIT's answers in this file and in testdata/mit/golden.txt are those of
// libkrb5 1.20.1, had through testdata/profdump.c. With KRB5CONF_PROFDUMP
// naming that program, MIT is asked again; with -update too, golden.txt is
// written anew.

var update = flag.Bool("update", false, "rewrite testdata/mit/golden.txt with the answers of $KRB5CONF_PROFDUMP")

// profdump runs the program and returns what it prints. It skips the test
// where there is none.
func profdump(t *testing.T, stdin string, env []string, args ...string) string {
	t.Helper()
	tool := os.Getenv("KRB5CONF_PROFDUMP")
	if tool == "" {
		t.Skip("KRB5CONF_PROFDUMP does not name the program built from testdata/profdump.c")
	}
	cmd := exec.CommandContext(t.Context(), tool, args...)
	cmd.Dir = filepath.Join("testdata", "mit")
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("profdump %v: %v", args, err)
	}
	return string(out)
}

// dump writes a profile as profdump does.
func dump(p *Profile) string {
	var b bytes.Buffer
	var walk func([]string)
	walk = func(path []string) {
		for _, key := range p.Keys(path...) {
			at := append(slices.Clone(path), key)
			fmt.Fprintf(&b, "%s =", quotePath(at))
			for _, v := range p.Values(at...) {
				fmt.Fprintf(&b, " %s", quotePath([]string{v.Text}))
			}
			b.WriteByte('\n')
		}
		for _, name := range p.Sections(path...) {
			at := append(slices.Clone(path), name)
			fmt.Fprintf(&b, "%s {}\n", quotePath(at))
			walk(at)
		}
	}
	walk(nil)
	return b.String()
}

func quotePath(path []string) string {
	var b strings.Builder
	for i, name := range path {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteByte('"')
		for _, c := range []byte(name) {
			if c < 32 || c > 126 || c == '"' || c == '\\' {
				fmt.Fprintf(&b, `\x%02x`, c)
			} else {
				b.WriteByte(c)
			}
		}
		b.WriteByte('"')
	}
	return b.String()
}

// lines sorts: MIT keeps names in alphabetic order, we as they came.
func lines(text string) []string {
	return slices.Sorted(strings.SplitSeq(text, "\n"))
}

func readGolden(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/mit/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	golden := make(map[string]string)
	for part := range strings.SplitSeq(strings.TrimPrefix(string(text), "== "), "\n== ") {
		name, rest, _ := strings.Cut(part, "\n")
		golden[name] = strings.TrimRight(rest, "\n")
	}
	return golden
}

// mitCases returns file lists, all below testdata/mit.
func mitCases(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/mit/*.conf")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files below testdata/mit, %v", len(files), err)
	}
	cases := []string{
		"multi-1.conf multi-2.conf",
		"multi-2.conf multi-1.conf",
		"missing.conf ipa.conf missing.conf mit-doc.conf",
		"empty.conf quotes.conf",
		"quotes.conf extra-close.conf",
		"dir",
		"multi-1.conf dir multi-2.conf",
	}
	for _, file := range files {
		cases = append(cases, filepath.Base(file))
	}
	return cases
}

func TestProfileAsMIT(t *testing.T) {
	if *update {
		updateGolden(t)
	}
	golden := readGolden(t)
	t.Chdir("testdata/mit")
	for _, name := range mitCasesIn(t, golden) {
		t.Run(name, func(t *testing.T) {
			got := "ERR"
			if p, err := LoadProfile(strings.Fields(name), nil); err == nil {
				got = strings.TrimRight(dump(p), "\n")
			} else if !strings.Contains(err.Error(), ".conf:") && !strings.Contains(err.Error(), "inc/bad:2:") {
				t.Errorf("error without file and line: %v", err)
			}
			if d := cmp.Diff(lines(golden[name]), lines(got)); d != "" {
				t.Errorf("-MIT +ours:\n%s", d)
			}
		})
	}
}

// mitCasesIn returns the names in golden, all of which must have a file.
func mitCasesIn(t *testing.T, golden map[string]string) []string {
	t.Helper()
	files, err := filepath.Glob("*.conf")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if _, ok := golden[file]; !ok {
			t.Errorf("%s has no golden answer: run with -update and KRB5CONF_PROFDUMP", file)
		}
	}
	var names []string
	for name := range golden {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func updateGolden(t *testing.T) {
	t.Helper()
	var b strings.Builder
	for _, name := range mitCases(t) {
		out := profdump(t, "", nil, append([]string{"tree"}, strings.Fields(name)...)...)
		fmt.Fprintf(&b, "== %s\n%s", name, out)
	}
	if err := os.WriteFile("testdata/mit/golden.txt", []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestProfileAsMITNow(t *testing.T) {
	golden := readGolden(t)
	for _, name := range mitCases(t) {
		out := profdump(t, "", nil, append([]string{"tree"}, strings.Fields(name)...)...)
		if d := cmp.Diff(lines(golden[name]), lines(strings.TrimRight(out, "\n"))); d != "" {
			t.Errorf("%s: -golden.txt +MIT now:\n%s", name, d)
		}
	}
}

// durations are MIT's answers in seconds; bad is its refusal.
const bad = math.MinInt32

func durations() map[string]int {
	return map[string]int{
		"300": 300, "0": 0, "  5": 5, "36000s": 36000, "1h": 3600, "1d": 86400,
		"1d1h1m1s": 90061, "1d 1h 1m 1s": 90061, " 1d": 86400, "1d ": 86400, "7d 0h 0m 0s": 604800,
		"10:30": 37800, "10:30:15": 37815, "100:30": 361800, "1:2": 3720, "1:60": 7200, "1:2:60": 3780,
		"00:05": 300, "123:4:5": 443045, "01:00:00": 3600, "1-10:30:15": 124215, "1-2:3:4": 93784,
		"-5": -5, "-1d": -86400, "-1:30": -1800, "1d-1h": 82800, "1h-30m": 1800,
		"2147483647": 2147483647, "24855d": 2147472000,
		// The scanner stops at a character that it does not know.
		"1D": 1, "1H": 1, "1.5h": 1, "1w": 1, "1d,1h": 86400, "5x": 5, "1d x": 86400, "1:2x": 3720,
		"": bad, " ": bad, "x": bad, "h": bad, "1 d": bad, "1d2": bad, "1h30": bad, "1m30": bad, "1s1": bad,
		"1:2:3:4": bad, "1-2:3": bad, "- 5": bad, "1h1d": bad, "1h 1h": bad, "+5": bad, "1dd": bad,
		"2147483648": bad, "24856d": bad, "999999999h": bad, "9999999999": bad, "5  ": bad,
		"1 h 2 m": bad, "1:002": bad, "1:2:003": bad, "10h:30m": bad, "1d2h3": bad, "1:": bad, "1-": bad,
		"1--2:3:4": bad, "--1": bad, "1:-2": bad, "1d-": bad, "1s ": bad, "1:2 ": bad, "1:2:3 ": bad,
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range durations() {
		d, _, err := ParseDuration(text)
		got := int(d / time.Second)
		if err != nil {
			got = bad
		}
		if got != want {
			t.Errorf("ParseDuration(%q) = %d s, %v, want %d s", text, got, err, want)
		}
	}
	if _, rest, err := ParseDuration("1h30m.5s"); err != nil || rest != ".5s" {
		t.Errorf("rest %q, %v, want .5s", rest, err)
	}
}

func TestParseDurationAsMITNow(t *testing.T) {
	var in strings.Builder
	var texts []string
	add := func(text string) {
		texts = append(texts, text)
		in.WriteString(text + "\n")
	}
	for text := range durations() {
		add(text)
	}
	// Every short word over an alphabet that reaches all of the grammar.
	words := []string{""}
	for range 4 {
		var longer []string
		for _, w := range words {
			for _, c := range []string{"7", "12", "d", "h", "s", ":", "-", " "} {
				longer = append(longer, w+c)
				add(w + c)
			}
		}
		words = longer
	}
	out := strings.Split(strings.TrimRight(profdump(t, in.String(), nil, "duration"), "\n"), "\n")
	if len(out) != len(texts) {
		t.Fatalf("%d answers to %d questions", len(out), len(texts))
	}
	for i, text := range texts {
		got := "ERR"
		if d, _, err := ParseDuration(text); err == nil {
			got = strconv.Itoa(int(d / time.Second))
		}
		if got != out[i] {
			t.Errorf("ParseDuration(%q) = %s, MIT %s", text, got, out[i])
		}
	}
}

// enctypeLists are what MIT makes of permitted_enctypes; release 1.20 lets
// rc4 and des3 pass, as allow_rc4 and allow_des3 do since.
func enctypeLists() map[string]string {
	return map[string]string{
		"aes":                                 "18 17 20 19",
		"DEFAULT":                             "18 17 20 19 16 23 25 26",
		"DEFAULT -rc4":                        "18 17 20 19 16 25 26",
		"aes256-cts,aes128-cts":               "18 17",
		"rc4":                                 "23",
		"des3 rc4 aes":                        "16 23 18 17 20 19",
		"camellia":                            "26 25",
		"+aes -aes256-cts":                    "17 20 19",
		"-rc4":                                "ERR",
		"DEFAULT +rc4 -camellia -des3":        "18 17 20 19 23",
		"17 18":                               "ERR",
		"AES256-CTS bogus rc4-hmac":           "18 23",
		"aes256-sha2 aes128-sha2 aes256-sha1": "20 19 18",
		"default -DES3":                       "18 17 20 19 23 25 26",
		"des-cbc-crc":                         "ERR",
		"aes aes256-cts":                      "18 17 20 19",
		"+DEFAULT -aes256-cts +aes256-cts":    "17 20 19 16 23 25 26 18",
		"arcfour-hmac-md5 arcfour-hmac des3-cbc-sha1 camellia128-cts camellia256-cts-cmac aes128-cts-hmac-sha256-128": "23 16 25 26 19",
		"-DEFAULT aes":       "18 17 20 19",
		"aes -DEFAULT rc4":   "23",
		"arcfour-hmac-exp":   "ERR",
		"":                   "ERR",
		"des3-hmac-sha1":     "16",
		"- aes":              "18 17 20 19",
		"aes128-sha2 ,, aes": "19 18 17 20",
		"aes256-cts-hmac-sha1-96 aes256-cts-hmac-sha384-192\taes128-cts-hmac-sha1-96": "18 20 17",
		"camellia128-cts-cmac,camellia256-cts":                                        "25 26",
		"des3-cbc-sha1-kd":                                                            "16",
		"++aes":                                                                       "ERR",
	}
}

func TestEnctypeList(t *testing.T) {
	for text, want := range enctypeLists() {
		list, _, _ := enctypeList(text, gate{rc4: true, des3: true})
		if got := enctypeText(list); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func enctypeText(list []int32) string {
	if len(list) == 0 {
		return "ERR"
	}
	return strings.Trim(fmt.Sprint(list), "[]")
}

func TestEnctypeListAsMITNow(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	for text, want := range enctypeLists() {
		config := fmt.Sprintf("[libdefaults]\npermitted_enctypes = \"%s\"\nallow_rc4 = true\nallow_des3 = true\n", text)
		if err := os.WriteFile(conf, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		got := strings.TrimSpace(profdump(t, "", []string{"KRB5_CONFIG=" + conf}, "enctypes"))
		if got != want {
			t.Errorf("%q: MIT now says %s, the table %s", text, got, want)
		}
	}
}

const domainRealm = `[domain_realm]
 a.b.c = 1
 .b.c = 2
 b.c = 3
 .c = 4
 c = 5
 Up.x = 6
 10.0.0.1 = 7
 .0.1 = 8
 e.x = ""
 .x = 10
 x.y.z. = 9
 two = a b
 twice = 11
 twice = 12
`

func hostRealms() map[string]string {
	return map[string]string{
		"a.b.c": "1", "A.B.C.": "1", "x.b.c": "2", "b.c": "3", "q.x.b.c": "2", "c": "5", "d.c": "4",
		"up.x": "10", "Up.x": "10", "10.0.0.1": "", "e.x": "", "f.e.x": "", "g.x": "10", "x.y.z": "", "x.y.z..": "9",
		"two": "a b", "2001:db8::1": "", "": "", ".": "", "..": "", "a..b.c": "2", "twice": "11", "10.0.1": "8",
	}
}

func TestRealmOf(t *testing.T) {
	c := mustConfig(t, domainRealm)
	for host, want := range hostRealms() {
		got, ok := c.RealmOf(host)
		if got != want || ok != (want != "") {
			t.Errorf("RealmOf(%q) = %q, %v, want %q", host, got, ok, want)
		}
	}
	if realm, ok := c.RealmOf(strings.Repeat("a.", 1000) + "c"); ok {
		t.Errorf("a name beyond all bounds is in realm %q", realm)
	}
	c.MapHost(".New.Example", "NEW")
	if realm, _ := c.RealmOf("www.new.example"); realm != "NEW" {
		t.Errorf("mapped by MapHost to %q", realm)
	}
}

// Which line gives a host its realm.
func TestMapping(t *testing.T) {
	c := mustConfig(t, "[domain_realm]\n WWW.b.c = 0\n .b.c = 1\n b.c = 2\n e.x = \"\"\n .x = 3\n twice = 4\n twice = 5\n")
	for host, want := range map[string]string{
		"a.b.c": ".b.c 3", "B.C.": "b.c 4", "www.b.c": ".b.c 3", "e.x": " 0", "f.x": ".x 6", "twice": "twice 7", "other": " 0", "10.0.0.1": " 0",
	} {
		name, at := c.Mapping(host)
		if got := fmt.Sprint(name, " ", at.Line); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
	c.MapHost("new", "N") // which no line says
	if name, at := c.Mapping("new"); name != "new" || at.Line != 0 {
		t.Errorf("%q, %v", name, at)
	}
}

func TestRealmOfAsMITNow(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(conf, []byte(domainRealm), 0o600); err != nil {
		t.Fatal(err)
	}
	for host, want := range hostRealms() {
		if host == "" {
			continue // MIT asks for the machine's own name
		}
		got := strings.TrimSpace(profdump(t, "", []string{"KRB5_CONFIG=" + conf}, "realms", host))
		if got != want {
			t.Errorf("%q: MIT now says %q, the table %q", host, got, want)
		}
	}
}

func TestMutantsAsMITNow(t *testing.T) {
	profdump(t, "", nil, "tree")
	rng := rand.New(rand.NewPCG(5, 4120))
	bytesOf := []byte("={}[]*\"\\\n\r #;ak\t")
	dir := t.TempDir()
	files, err := filepath.Glob("testdata/mit/*.conf")
	if err != nil {
		t.Fatal(err)
	}
	same := 0
	for round := range 1500 {
		text, err := os.ReadFile(files[round%len(files)])
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("include")) {
			continue
		}
		for range 1 + rng.IntN(3) {
			i, c := rng.IntN(len(text)+1), bytesOf[rng.IntN(len(bytesOf))]
			if i < len(text) && rng.IntN(2) == 0 {
				text[i] = c
			} else {
				text = slices.Insert(text, i, c)
			}
		}
		p, err := Parse("mutant", text)
		// What doc.go lists as ours alone.
		if bytes.Contains(text, []byte("*")) || err == nil && strings.Contains(said(p.Warnings()), "on one line") {
			continue
		}
		file := filepath.Join(dir, "mutant")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		want := strings.TrimRight(profdump(t, "", nil, "tree", file), "\n")
		got := "ERR"
		if err == nil {
			got = strings.TrimRight(dump(p), "\n")
		}
		if d := cmp.Diff(lines(want), lines(got)); d != "" {
			t.Fatalf("%v\n%q\n-MIT +ours:\n%s", err, text, d)
		}
		same++
	}
	if same < 800 {
		t.Errorf("only %d mutants compared", same)
	}
}
