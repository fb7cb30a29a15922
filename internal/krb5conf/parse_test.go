package krb5conf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// What MIT's parser does beyond this is in mit_test.go.

func TestOneLineSection(t *testing.T) {
	for name, tc := range map[string]struct{ line, want, warned string }{
		"one relation": {"R = { kdc = k }", `"realms"/"R" {}` + "\n" + `"realms"/"R"/"kdc" = "k"`, "section on one line"},
		"tight":        {"R={kdc=k}", `"realms"/"R" {}` + "\n" + `"realms"/"R"/"kdc" = "k"`, "section on one line"},
		"quoted":       {`R = { kdc = "k" }`, `"realms"/"R" {}` + "\n" + `"realms"/"R"/"kdc" = "k"`, "section on one line"},
		"empty":        {"R = { }", `"realms"/"R" {}`, "section on one line"},
		"two":          {"R = { kdc = k kdc = l }", `"realms"/"R" = "{ kdc = k kdc = l }"`, "plain value"},
		"no closing":   {"R = { kdc = k", `"realms"/"R" = "{ kdc = k"`, "plain value"},
		"no relation":  {"R = { kdc }", `"realms"/"R" = "{ kdc }"`, "plain value"},
		"nothing":      {"R = { kdc = }", `"realms"/"R" = "{ kdc = }"`, "plain value"},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustProfile(t, "[realms]\n "+tc.line+"\n[libdefaults]\n "+tc.line+"\n")
			got, _, _ := strings.Cut(strings.TrimPrefix(dump(p), `"realms" {}`+"\n"), `"libdefaults"`)
			if d := cmp.Diff(tc.want, strings.TrimSpace(got)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			// Elsewhere it is what MIT says it is.
			_, plain, _ := strings.Cut(tc.line, "=")
			if v, _ := p.Value("libdefaults", "R"); v.Text != strings.TrimSpace(plain) {
				t.Errorf("in [libdefaults] it is %q, want the plain value", v.Text)
			}
			warnings := said(p.Warnings())
			if !strings.Contains(warnings, "krb5.conf:2: ") || !strings.Contains(warnings, tc.warned) || strings.Count(warnings, "\n") != 1 {
				t.Errorf("warnings %q, want one about a %s in line 2", warnings, tc.warned)
			}
		})
	}
}

func TestFinal(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		path string
		want string
	}{
		"relation":               {"[a]\n k* = 1\n k = 2\n", "a/k", "1"},
		"relation, not before":   {"[a]\n k = 0\n k* = 1\n k = 2\n", "a/k", "0 1"},
		"section":                {"[a]*\n k = 1\n[b]\n[a]\n k = 2\n l = 3\n", "a/k", "1"},
		"section, other names":   {"[a]*\n k = 1\n[b]\n[a]\n l = 3\n", "a/l", ""},
		"subsection at its end":  {"[a]\n s = {\n  k = 1\n }*\n s = {\n  k = 2\n }\n", "a/s/k", "1"},
		"subsection at its head": {"[a]\n s* = {\n  k = 1\n  k = 2\n }\n s = {\n  k = 3\n }\n", "a/s/k", "1 2"},
		"what is within":         {"[a]\n s = {\n  t = {\n   k = 1\n  }\n }*\n s = {\n  t = {\n   k = 2\n  }\n }\n", "a/s/t/k", "1"},
		"its sister is not":      {"[a]\n s* = {\n  k = 1\n }\n t = {\n  k = 2\n }\n t = {\n  k = 3\n }\n", "a/t/k", "2 3"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, v := range mustProfile(t, tc.text).Values(strings.Split(tc.path, "/")...) {
				got = append(got, v.Text)
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("%s = %q, want %q", tc.path, got, tc.want)
			}
		})
	}
}

func TestProvenance(t *testing.T) {
	files := tree(map[string]string{
		"etc/krb5.conf":    "# head\nincludedir /etc/d\n[libdefaults]\n default_realm = MAIN\n forwardable = maybe\n rdns = perhaps\n",
		"etc/d/10.conf":    "[libdefaults]\n\n\n ticket_lifetime = 1h\r\n[realms]\n R =\n {\n  kdc = one\n }\n",
		"etc/d/20.conf":    "[libdefaults]\n ticket_lifetime = 2h\ninclude /etc/more\n",
		"etc/more":         "[realms]\n R = {\n  kdc = two\n }\n",
		"home/.krb5.conf":  "[libdefaults]\n default_realm = HOME\n",
		"etc/d/.skip.conf": "[libdefaults]\n ticket_lifetime = 9h\n",
	})
	c, err := Load([]string{"/none", "/home/.krb5.conf", "/etc/krb5.conf"}, machine(files))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, key := range []string{"default_realm", "ticket_lifetime", "forwardable", "rdns", "clockskew"} {
		got[key] = c.Source(key).Where()
	}
	for _, s := range c.KDCs("R") {
		got[s.Host] = s.Where()
	}
	want := map[string]string{
		"default_realm":   "/home/.krb5.conf:2",
		"ticket_lifetime": "/etc/d/10.conf:4",
		"forwardable":     "/etc/krb5.conf:5",
		"rdns":            "built-in default",
		"clockskew":       "built-in default",
		"one":             "/etc/d/10.conf:8",
		"two":             "/etc/more:3",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	values := []Value{{"HOME", "/home/.krb5.conf", 2}, {"MAIN", "/etc/krb5.conf", 4}}
	if d := cmp.Diff(values, c.Profile.Values("libdefaults", "default_realm")); d != "" {
		t.Errorf("default_realm: -want +got:\n%s", d)
	}
	order := []string{"/home/.krb5.conf", "/etc/krb5.conf", "/etc/d/10.conf", "/etc/d/20.conf", "/etc/more"}
	if d := cmp.Diff(order, c.Profile.Files()); d != "" {
		t.Errorf("files: -want +got:\n%s", d)
	}
	warnings := `/etc/krb5.conf:5: forwardable = "maybe": wanted true or false; taken for false
/etc/krb5.conf:6: rdns = "perhaps": wanted true or false; the default stands
`
	// The order is that of the settings, not of the lines.
	if d := cmp.Diff(lines(warnings), lines(said(c.Warnings))); d != "" {
		t.Errorf("warnings: -want +got:\n%s", d)
	}
}

func TestSyntaxErrors(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"no =":              {"[a]\nfoo\n", `krb5.conf:2: wanted name = value, got "foo"`},
		"no name":           {"[a]\n = x\n", `krb5.conf:2: wanted a name before =`},
		"blank in name":     {"[a]\na b = x\n", `krb5.conf:2: blank within the name "a b"`},
		"no ]":              {"[a\n", `krb5.conf:1: wanted ] after the section's name`},
		"text after ]":      {"[a] # x\n", `krb5.conf:1: text after ]: a comment stands on a line of its own`},
		"section in braces": {"[a]\ns = {\n[b]\n", `krb5.conf:3: section header inside of "s": a } is missing above`},
		"extra }":           {"[a]\n}\n", `krb5.conf:2: } closes nothing`},
		"odd {":             {"[realms]\nR = { kdc = k\nx = y\n}\n", `krb5.conf:4: } closes nothing: the { in line 2 has text after it and counts as a value`},
		"empty value":       {"[a]\nfoo =\nbar = x\n", `krb5.conf:3: wanted { for "foo", whose line ends after the =: write { or a value`},
		"UTF-16, turned":    {"\xfe\xff\x00[\x00a\x00]", `krb5.conf: UTF-16 text: save the file as UTF-8`},
		"UTF-16":            {"\xff\xfe[\x00a\x00]\x00", `krb5.conf: UTF-16 text: save the file as UTF-8`},
		"hostile":           {"[a]\n\x1b[2J" + strings.Repeat("x", 1000), `krb5.conf:2: wanted name = value, got "\x1b[2J` + strings.Repeat("x", 56) + `"...`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("krb5.conf", []byte(tc.text))
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || err.Error() != tc.want {
				t.Errorf("%v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestReadingWarnings(t *testing.T) {
	files := tree(map[string]string{"d/x.txt": "", "bad": "[a]\nb\n"})
	for name, tc := range map[string]struct{ text, want string }{
		"fine":               {"[a]\nb = c\n", ""},
		"module":             {"module /lib/x.so:y\n[a]\n", "/k:1: profile modules are not loaded: the line is not read\n"},
		"mark":               {"\xef\xbb\xbf[a]\nb = c\n", "/k: byte order mark skipped: MIT krb5 takes the first line for a comment, save the file without it\n"},
		"include none":       {"include /none\n", `/k:1: "/none" is not included: file does not exist` + "\n"},
		"include nothing":    {"include\n", "/k:1: wanted a name to include\n"},
		"include directory":  {"[a]\ninclude /d\n", `/k:2: "/d" is a directory: write includedir` + "\n"},
		"includedir file":    {"includedir /bad\n", `/k:1: "/bad" is not a directory: write include` + "\n"},
		"includedir none":    {"includedir /none/\n", `/k:1: "/none/" is not included: file does not exist` + "\n"},
		"zero byte":          {"[a]\nb = c\x00d\n", "/k:2: zero byte: the rest of the line is not read\n"},
		"after }":            {"[a]\nb = {\n} c\n} # d\n", ""},
		"open at the end":    {"[a]\nb = {\nc = {\n }\n", `/k:4: file ends inside of "b": a } is missing` + "\n"},
		"waiting at the end": {"[a]\nb =\n", `/k:2: file ends where "b" wants its {` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			all := tree(map[string]string{"k": tc.text})
			for name, f := range files {
				all[name] = f
			}
			p, err := LoadProfile([]string{"/k"}, machine(all).Open)
			if name == "after }" {
				if err == nil || err.Error() != "/k:4: } closes nothing" {
					t.Errorf("%v, want an error in line 4", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, said(p.Warnings())); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
	p := mustProfile(t, "[a]\nb = {\n} c\nd = {\n} # e\ninclude /f\n")
	want := "krb5.conf:3: text after } is not read: \"c\"\nkrb5.conf:6: \"/f\" is not included: there are no files here\n"
	if d := cmp.Diff(want, said(p.Warnings())); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestIncludeError(t *testing.T) {
	files := tree(map[string]string{"k": "include /d/bad\n", "d/bad": "[a]\nb\n"})
	_, err := LoadProfile([]string{"/k"}, machine(files).Open)
	if err == nil || err.Error() != `/d/bad:2: wanted name = value, got "b"` {
		t.Errorf("%v, want the place in the included file", err)
	}
}

func TestIncludedNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "A-z_09": true, "a.conf": true, "a b.conf": true, "a~.conf": true, "ü.conf": true,
		"": false, ".": false, "..": false, ".a": false, ".conf": false, ".a.conf": false, "a.b": false, "a~": false,
		"a.conf~": false, "a.conf.rpmsave": false, "a.CONF": false, "a b": false, "ü": false, "#a#": false,
	} {
		if got := included(name); got != want {
			t.Errorf("included(%q) = %v", name, got)
		}
	}
}

func TestLimits(t *testing.T) {
	big := strings.Repeat("#\n", maxFileSize/4)
	half := strings.Repeat("#"+strings.Repeat("x", 1022)+"\n", maxFileSize/2/1024)
	dir := map[string]string{"k": "includedir /d\n"}
	for i := range maxFiles + 1 {
		dir["d/"+strings.Repeat("x", i/100)+string(rune('a'+i%26))+strings.Repeat("y", i%100)+".conf"] = ""
	}
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"loop":         {map[string]string{"k": "include /k\n"}, "/k:1: includes nest more than 10 deep: does an include go round?"},
		"loop of two":  {map[string]string{"k": "include /l\n", "l": "#\ninclude /k\n"}, "/k:1: includes nest more than 10 deep: does an include go round?"},
		"wide loop":    {map[string]string{"k": strings.Repeat("include /l\n", 2000), "l": ""}, "/l: more than 1000 files: does an include go round?"},
		"large":        {map[string]string{"k": big + big + "#"}, "/k: more than 4 MiB: is this a krb5.conf?"},
		"large in all": {map[string]string{"k": strings.Repeat("include /l\n", 9), "l": half}, "/l: more than 16 MiB in all: does an include go round?"},
		"nesting":      {map[string]string{"k": "[a]\n" + strings.Repeat("a={\n", 1000)}, "/k:66: sections nest more than 64 deep"},
		"relations":    {map[string]string{"k": "[a]\n" + strings.Repeat("a=\"\"\n", 200_000)}, "/k:100001: more than 100000 relations and sections"},
		"sections":     {map[string]string{"k": strings.Repeat("[a]\n", 200_000)}, "/k:100001: more than 100000 relations and sections"},
		"squeezed":     {map[string]string{"k": "[realms]\n" + strings.Repeat("a={}\n", 200_000)}, "/k:100001: more than 100000 relations and sections"},
		"directory":    {dir, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := LoadProfile([]string{"/k"}, machine(tree(tc.files)).Open)
			if name == "directory" {
				if err == nil || !strings.HasSuffix(err.Error(), ": more than 1000 files: does an include go round?") {
					t.Errorf("%v", err)
				}
				return
			}
			if err == nil || err.Error() != tc.want {
				t.Errorf("%v\nwant %s", err, tc.want)
			}
		})
	}
}

// TestMemory holds a file full of distinct names, the worst there is, against
// a bound.
func TestMemory(t *testing.T) {
	var b strings.Builder
	b.WriteString("[realms]\n")
	for i := range maxEntries - 1 {
		b.WriteString(strings.Repeat("k", i%40) + string(rune('0'+i%10)) + strings.Repeat("x", i/4000) + "=y\n")
	}
	text := []byte(b.String())
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p, err := Parse("krb5.conf", text)
	if err != nil {
		t.Fatal(err)
	}
	c := New(p, machine(tree(nil)))
	runtime.ReadMemStats(&after)
	if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 128 {
		t.Errorf("%d MiB allocated for %d KiB", mib, len(text)>>10)
	}
	if len(c.Warnings) > maxWarnings+1 {
		t.Errorf("%d warnings", len(c.Warnings))
	}
}

func TestManyNames(t *testing.T) {
	var b strings.Builder
	b.WriteString("[a]\n")
	for i := range 40 {
		name := string(rune('A' + i))
		b.WriteString("n" + name + " = {\n x = " + name + "\n}\nn" + name + " = v" + name + "\n")
	}
	p := mustProfile(t, b.String())
	for i := range 40 {
		name := string(rune('A' + i))
		if v, _ := p.Value("a", "n"+name, "x"); v.Text != name {
			t.Errorf("a/n%s/x = %q", name, v.Text)
		}
		if v, _ := p.Value("a", "n"+name); v.Text != "v"+name {
			t.Errorf("a/n%s = %q", name, v.Text)
		}
	}
	if n := len(p.Sections("a")); n != 40 || len(p.Keys("a")) != 40 {
		t.Errorf("%d sections", n)
	}
	if p.HasSection("b") || p.HasSection("a", "n") || p.Values() != nil || p.Values("a", "none") != nil || p.Keys("none") != nil {
		t.Error("names that are not there")
	}
}

func TestNilProfile(t *testing.T) {
	var p *Profile
	if _, ok := p.Value("a"); ok || p.Sections() != nil || p.Files() != nil || p.Warnings() != nil || p.HasSection("a") {
		t.Error("a nil profile holds something")
	}
}

func TestLoadProfileErrors(t *testing.T) {
	broken := errors.New("broken disk")
	open := func(name string) (fs.File, error) {
		switch name {
		case "/secret":
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		case "/broken":
			return nil, &fs.PathError{Op: "open", Path: name, Err: broken}
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	p, err := LoadProfile([]string{"/none", "/secret"}, open)
	if err != nil || said(p.Warnings()) != "/secret: not read: "+fs.ErrPermission.Error()+"\n" {
		t.Errorf("%v, %q", err, said(p.Warnings()))
	}
	if got := p.Missed(); got != "/none: file does not exist, /secret: permission denied" {
		t.Errorf("missed: %q", got)
	}
	if _, err := LoadProfile([]string{"/broken"}, open); !errors.Is(err, broken) || err.Error() != "krb5.conf /broken: broken disk" {
		t.Errorf("%v", err)
	}
	if _, err := Load([]string{"/broken"}, Options{Open: open}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

// A file that is not there is missed where there is no other, and one that may not be read
// always: it may have what is looked for.
func TestMissed(t *testing.T) {
	files := fstest.MapFS{
		"one": {Data: []byte("[libdefaults]\n")}, "includes": {Data: []byte("include gone\nincludedir secret\nincludedir all\n")},
		"all/here": {Data: []byte("[libdefaults]\n")}, "many": {Data: []byte(strings.Repeat("include gone\n", 1000))},
	}
	open := func(name string) (fs.File, error) {
		if name == "secret" {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}
		return files.Open(name)
	}
	for names, want := range map[string]string{
		"": "", "one": "", "one none": "", "none": "none: file does not exist", "none one secret": "secret: permission denied",
		"includes none": "gone: file does not exist, secret: permission denied",
		"many":          strings.TrimSuffix(strings.Repeat("gone: file does not exist, ", 8), ", "),
	} {
		p, err := LoadProfile(strings.Fields(names), open)
		if got := p.Missed(); err != nil || got != want {
			t.Errorf("%s: %q, error %v, want %q", names, got, err, want)
		}
	}
	if got := (*Profile)(nil).Missed(); got != "" {
		t.Errorf("of no profile: %q", got)
	}
}

func TestMachineFiles(t *testing.T) {
	dir := t.TempDir()
	if p, err := LoadProfile([]string{os.DevNull, filepath.Join(dir, "none")}, nil); err != nil || len(p.Sections()) != 0 {
		t.Errorf("%v", err)
	}
	conf := filepath.Join(dir, "krb5.conf")
	if err := os.WriteFile(conf, []byte("[a]\nb = c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := LoadProfile([]string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Value{{"c", dir + "/krb5.conf", 2}}, p.Values("a", "b")); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := mkfifo(pipe); err != nil {
		t.Skip(err)
	}
	if _, err := LoadProfile([]string{pipe}, nil); !errors.Is(err, errIrregular) {
		t.Errorf("a pipe: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	seeds := 0
	for _, text := range sampleTexts(f) {
		f.Add([]byte(text))
		seeds++
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse("krb5.conf", text)
		q, again := Parse("krb5.conf", text)
		if err != nil {
			var syntax *SyntaxError
			if p != nil || !errors.As(err, &syntax) || again == nil || again.Error() != err.Error() {
				t.Fatalf("%v, then %v", err, again)
			}
			return
		}
		if dump(p) != dump(q) || said(exercise(p).Warnings) != said(exercise(q).Warnings) || said(p.Misplaced()) != said(q.Misplaced()) {
			t.Error("two readings differ")
		}
	})
}

func FuzzInclude(f *testing.F) {
	f.Add("include /b\n[a]\nx = 1\n", "[a]\nx = 2\ninclude /a\n")
	f.Add("includedir /d\n", "includedir /\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		o := machine(tree(map[string]string{"a": a, "b": b, "d/c": b}))
		p, err := LoadProfile([]string{"/a", "/d", "/b"}, o.Open)
		if err == nil {
			exercise(p)
		}
	})
}
