package krb5conf

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// machine is an Options that knows nothing of the real one. Files are named
// from the root, without the slash in front.
func machine(files fs.FS) Options {
	return Options{
		GOOS:     "linux",
		Open:     func(name string) (fs.File, error) { return files.Open(strings.Trim(name, "/")) },
		Getenv:   func(name string) string { return map[string]string{"TMPDIR": "/var/tmp/t"}[name] },
		UID:      func() int { return 1000 },
		EUID:     func() int { return 1001 },
		Username: func() (string, error) { return "alice", nil },
	}
}

func tree(files map[string]string) fstest.MapFS {
	m := make(fstest.MapFS)
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func mustProfile(t testing.TB, text string) *Profile {
	t.Helper()
	p, err := Parse("krb5.conf", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustConfig(t testing.TB, text string) *Config {
	t.Helper()
	return New(mustProfile(t, text), machine(tree(nil)))
}

// settings is a [libdefaults] section.
func settings(lines ...string) string {
	return "[libdefaults]\n " + strings.Join(lines, "\n ") + "\n"
}

// said returns the warnings, one to a line.
func said(list []Warning) string {
	var b strings.Builder
	for _, w := range list {
		b.WriteString(w.String() + "\n")
	}
	return b.String()
}
