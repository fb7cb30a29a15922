package krb5conf

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const (
	aliceSID = "S-1-5-21-1004336348-1177238915-682003330-1001"
	bobSID   = "S-1-5-21-1004336348-1177238915-682003330-1002"
)

// windowsMachine is a machine with that system: the files are named as Windows does, and
// owned by the administrators unless owners says otherwise.
func windowsMachine(files, env, owners map[string]string) Options {
	return Options{
		GOOS:   "windows",
		Getenv: func(name string) string { return env[name] },
		SID:    func() (string, error) { return aliceSID, nil },
		Open: func(name string) (fs.File, error) {
			text, ok := files[name]
			if !ok {
				return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
			}
			f, err := fstest.MapFS{"f": {Data: []byte(text)}}.Open("f")
			return named{f, name}, err
		},
		Owner: func(f fs.File) (string, error) {
			if sid, ok := owners[f.(named).name]; ok {
				return sid, nil
			}
			return "S-1-5-32-544", nil
		},
	}
}

// A named file knows where it was opened.
type named struct {
	fs.File
	name string
}

var windowsEnv = map[string]string{
	"APPDATA":      `C:\Users\alice\AppData\Roaming`,
	"LOCALAPPDATA": `C:\Users\alice\AppData\Local`,
	"ProgramData":  `C:\ProgramData`,
	"WINDIR":       `C:\Windows`,
	"TEMP":         `C:\Users\alice\AppData\Local\Temp`,
	"TMPDIR":       "/of/another/system",
}

const (
	ownINI     = `C:\Users\alice\AppData\Roaming\MIT\Kerberos5\krb5.ini`
	commonINI  = `C:\ProgramData\MIT\Kerberos5\krb5.ini`
	windowsINI = `C:\Windows\krb5.ini`
)

// without is a map less some of its keys, and with what is put in their place.
func without(m map[string]string, more map[string]string, keys ...string) map[string]string {
	c := maps.Clone(m)
	maps.Copy(c, more)
	maps.DeleteFunc(c, func(k, _ string) bool { return slices.Contains(keys, k) })
	return c
}

// The first of the places where MIT krb5 looks on Windows that has a file says all,
// and a Unix name is none of them.
func TestDefaultFilesOfWindows(t *testing.T) {
	realm := func(name string) string { return settings("default_realm = " + name) }
	all := map[string]string{
		ownINI: realm("OWN"), commonINI: realm("COMMON"), windowsINI: realm("WINDOWS"), `\etc\krb5.conf`: realm("PLANTED"), "/etc/krb5.conf": realm("PLANTED"),
		`D:\a.ini`: realm("A"), `D:\b.ini`: settings("qualify_shortname = b"),
	}
	for name, tc := range map[string]struct {
		files, env map[string]string
		want       string
	}{
		"the user's own":          {all, windowsEnv, "OWN"},
		"the machine's":           {without(all, nil, ownINI), windowsEnv, "COMMON"},
		"the system's":            {without(all, nil, ownINI, commonINI), windowsEnv, "WINDOWS"},
		"none":                    {without(all, nil, ownINI, commonINI, windowsINI), windowsEnv, ""},
		"a variable is missing":   {all, without(windowsEnv, nil, "APPDATA"), "COMMON"},
		"a relative variable":     {all, without(windowsEnv, map[string]string{"APPDATA": `Roaming`}), "COMMON"},
		"another drive's folder":  {all, without(windowsEnv, map[string]string{"APPDATA": `C:Roaming`, "ProgramData": `\ProgramData`}), "WINDOWS"},
		"SystemRoot":              {without(all, nil, ownINI, commonINI), without(windowsEnv, map[string]string{"SystemRoot": `C:\Windows`}, "WINDIR"), "WINDOWS"},
		"none is set":             {all, nil, ""},
		"KRB5_CONFIG":             {all, without(windowsEnv, map[string]string{"KRB5_CONFIG": `D:\a.ini`}), "A"},
		"KRB5_CONFIG, several":    {all, without(windowsEnv, map[string]string{"KRB5_CONFIG": `;D:\b.ini;;D:\a.ini`}), "A"},
		"KRB5_CONFIG, separators": {all, without(windowsEnv, map[string]string{"KRB5_CONFIG": `;`}), "OWN"},
		"KRB5_CONFIG, none there": {all, without(windowsEnv, map[string]string{"KRB5_CONFIG": `D:\none.ini`}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := LoadDefault(windowsMachine(tc.files, tc.env, nil))
			if err != nil {
				t.Fatal(err)
			}
			if c.DefaultRealm != tc.want {
				t.Errorf("realm %q, want %q", c.DefaultRealm, tc.want)
			}
		})
	}
}

// Users may make folders in %ProgramData%, and so may put a file where MIT krb5 looks
// on a machine on which it is not installed.
func TestPlantedFileOfWindows(t *testing.T) {
	files := map[string]string{commonINI: settings("default_realm = COMMON"), windowsINI: settings("default_realm = WINDOWS")}
	for owner, ok := range map[string]bool{
		"S-1-5-18":     true, // the system
		"S-1-5-32-544": true, // administrators
		"S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464": true, // TrustedInstaller
		aliceSID:       true,
		bobSID:         false,
		"S-1-5-32-545": false, // users
		"S-1-5-80-1":   false, // some service
		"":             false,
	} {
		c, err := LoadDefault(windowsMachine(files, windowsEnv, map[string]string{commonINI: owner}))
		switch {
		case ok && (err != nil || c.DefaultRealm != "COMMON"):
			t.Errorf("%s: %v", owner, err)
		case !ok && !refusedAs(err, owner):
			t.Errorf("%s: %v", owner, err)
		}
	}
	o := windowsMachine(files, without(windowsEnv, map[string]string{"KRB5_CONFIG": commonINI}), map[string]string{commonINI: bobSID})
	if c, err := LoadDefault(o); err != nil || c.DefaultRealm != "COMMON" {
		t.Errorf("a file that was named: %v", err)
	}
	unknown := errors.New("not told")
	o = windowsMachine(files, windowsEnv, nil)
	o.Owner = func(fs.File) (string, error) { return "", unknown }
	if _, err := LoadDefault(o); !errors.Is(err, unknown) {
		t.Errorf("an owner who is not told: %v", err)
	}
	o = windowsMachine(files, windowsEnv, nil)
	o.SID = func() (string, error) { return "", unknown }
	if _, err := LoadDefault(o); err != nil {
		t.Errorf("the administrators' file, and a user who is not told: %v", err)
	}
	o.Owner = func(fs.File) (string, error) { return "", nil }
	if _, err := LoadDefault(o); !refusedAs(err, "") {
		t.Errorf("an owner without a name, and a user who is not told: %v", err)
	}
}

// refusedAs reports whether the machine's krb5.ini is refused as a certain user's.
func refusedAs(err error, owner string) bool {
	foreign, ok := errors.AsType[*foreignFileError](err)
	return ok && foreign.owner == owner && strings.Count(err.Error(), commonINI) == 1
}

// There is no place on Windows that belongs to the user alone whatever the user's
// number is, and so no default cache; nor is there a daemon.
func TestDefaultsOfWindows(t *testing.T) {
	c := New(nil, windowsMachine(nil, windowsEnv, nil))
	got := []string{c.DefaultCCacheName, c.DefaultKeytabName, c.KCMSocket, strings.Join(c.ClientKeytabs(), " ")}
	if d := cmp.Diff([]string{"", `FILE:C:\Windows\krb5kt`, "", `FILE:C:\Windows\krb5clientkt`}, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	c = New(nil, windowsMachine(nil, nil, nil))
	if c.DefaultKeytabName != "" || c.ClientKeytabs() != nil {
		t.Errorf("keytabs %q and %q in a folder that is not known", c.DefaultKeytabName, c.ClientKeytabs())
	}
	c = New(mustProfile(t, settings(`default_ccache_name = %{LOCAL_APPDATA}\krb5cc`, `default_client_keytab_name = D:\%{uid}.keytab`)), windowsMachine(nil, windowsEnv, nil))
	if c.DefaultCCacheName != `C:\Users\alice\AppData\Local\krb5cc` || !slices.Equal(c.ClientKeytabs(), []string{`D:\` + aliceSID + ".keytab"}) {
		t.Errorf("%q, %q", c.DefaultCCacheName, c.ClientKeytabs())
	}
}

func TestExpandOnWindows(t *testing.T) {
	for text, want := range map[string]string{
		"%{uid} %{euid} %{USERID}": aliceSID + " " + aliceSID + " " + aliceSID,
		"%{APPDATA}":               `C:\Users\alice\AppData\Roaming`,
		"%{LOCAL_APPDATA}":         `C:\Users\alice\AppData\Local`,
		"%{COMMON_APPDATA}":        `C:\ProgramData`,
		"%{WINDOWS}":               `C:\Windows`,
		"%{SYSTEM}":                `C:\Windows\System32`,
		"%{USERCONFIG}":            `C:\Users\alice\AppData\Roaming\MIT\Kerberos5`,
		"%{COMMONCONFIG}":          `C:\ProgramData\MIT\Kerberos5`,
		"%{TEMP}%{null}":           `C:\Users\alice\AppData\Local\Temp`,
		"%{LIBDIR}":                "",
		"%{BINDIR}":                "",
		"%{username}":              "",
		"%{APPDATA":                "",
	} {
		got, err := windowsMachine(nil, windowsEnv, nil).Expand(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Expand(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	for text, variable := range map[string]string{"%{APPDATA}": "APPDATA", "%{USERCONFIG}": "APPDATA", "%{LOCAL_APPDATA}": "LOCALAPPDATA",
		"%{COMMON_APPDATA}": "ProgramData", "%{COMMONCONFIG}": "ProgramData", "%{WINDOWS}": "WINDIR", "%{SYSTEM}": "WINDIR", "%{TEMP}": "TMP"} {
		for _, value := range []string{"", "here", `\here`, "C:here"} {
			o := windowsMachine(nil, map[string]string{variable: value, "TMPDIR": `C:\t`}, nil)
			if got, err := o.Expand(text); err == nil || !strings.Contains(err.Error(), variable) {
				t.Errorf("Expand(%q) with %s=%q: %q, %v", text, variable, value, got, err)
			}
		}
	}
	for want, env := range map[string]map[string]string{
		`C:\tmp`:  {"TMP": `C:\tmp`, "TEMP": `C:\temp`},
		`C:\temp`: {"TEMP": `C:\temp\`, "USERPROFILE": `C:\a`},
		`C:\a`:    {"USERPROFILE": `C:\a`},
		`\\s\t`:   {"TMP": `\\s\t`},
	} {
		if got, err := windowsMachine(nil, env, nil).Expand("%{TEMP}"); got != want || err != nil {
			t.Errorf("%%{TEMP} with %v: %q, %v", env, got, err)
		}
	}
	unknown := errors.New("not told")
	o := windowsMachine(nil, windowsEnv, nil)
	o.SID = func() (string, error) { return "", unknown }
	if got, err := o.Expand("%{uid}"); !errors.Is(err, unknown) {
		t.Errorf("%q, %v", got, err)
	}
	for _, token := range []string{"APPDATA", "LOCAL_APPDATA", "COMMON_APPDATA", "WINDOWS", "SYSTEM", "USERCONFIG", "COMMONCONFIG"} {
		if got, err := machine(tree(nil)).Expand("%{" + token + "}"); !errors.Is(err, errToken) {
			t.Errorf("%%{%s} on Unix: %q, %v", token, got, err)
		}
	}
}
