package release

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// systems are those on which other modules may be linked.
var systems = []string{"linux/amd64", "linux/386", "windows/amd64", "darwin/arm64", "freebsd/amd64"}

// linked returns the folders of the modules that packages of ours are built with, by
// path.
func linked(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, system := range systems {
		goos, goarch, _ := strings.Cut(system, "/")
		list := run(t, root, []string{"GOOS=" + goos, "GOARCH=" + goarch, "GOWORK=off", "CGO_ENABLED=0"},
			"go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}", "./...")
		for line := range strings.Lines(list) {
			if path, dir, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
				out[path] = dir
			}
		}
	}
	return out
}

// licence returns the kind of licence that a text is, "" for one that is not known.
func licence(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	has := func(s string) bool { return strings.Contains(text, s) }
	switch {
	case has("Mozilla Public License, version 2.0"):
		return "MPL-2.0"
	case has("Apache License Version 2.0, January 2004"):
		return "Apache-2.0"
	case has("Permission is hereby granted, free of charge"):
		return "MIT"
	case has("Redistribution and use in source and binary forms") && (has("Neither the name") || has("names of its contributors may be used")):
		return "BSD-3-Clause"
	case has("Redistribution and use in source and binary forms"):
		return "BSD-2-Clause"
	}
	return ""
}

// licenceOf reads the licence of a module.
func licenceOf(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "LICEN[CS]E*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s has the licences %v, %v", dir, found, err)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return licence(string(b))
}

// noticed returns the kinds of licence that NOTICE gives, by module.
func noticed(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "NOTICE"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 && strings.Contains(f[0], "/") {
			out[f[0]] = f[1]
		}
	}
	return out
}

// NOTICE names every module that a program of ours may link, and the licence that
// the module's own files show.
func TestNotice(t *testing.T) {
	modules := linked(t)
	if len(modules) < 10 {
		t.Fatalf("%d modules only: %v", len(modules), modules)
	}
	want := map[string]string{}
	for path, dir := range modules {
		if want[path] = licenceOf(t, dir); want[path] == "" {
			t.Errorf("%s has a licence of a kind that is not known", path)
		}
	}
	if d := cmp.Diff(want, noticed(t)); d != "" {
		t.Errorf("NOTICE (-modules +file)\n%s", d)
	}
	ours := []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MPL-2.0"}
	for path, kind := range want {
		if !slices.Contains(ours, kind) {
			t.Errorf("%s: %s was not agreed to", path, kind)
		}
	}
}

// A licence of another kind is noticed.
func TestLicence(t *testing.T) {
	for text, want := range map[string]string{
		"GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007":                    "",
		"Mozilla Public License,\nversion 2.0":                                   "MPL-2.0",
		"Apache License\n   Version 2.0, January 2004":                           "Apache-2.0",
		"Permission is hereby granted, free\nof charge, to any person":           "MIT",
		"Redistribution and use in source and\nbinary forms":                     "BSD-2-Clause",
		"Redistribution and use in source and binary forms. Neither the name of": "BSD-3-Clause",
	} {
		if got := licence(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
