package main

import (
	"strings"
	"testing"
)

// A flag of curl's or of MIT's klist that is another one here, or none, says which.
func TestFlagsOfOthers(t *testing.T) {
	for line, says := range map[string]string{
		"get --service-name WSMAN http://h/":  "unknown flag: --service-name; --service has",
		"get --proxy-user : http://h/":        "leave it out, since a proxy",
		"get -U : http://h/":                  "leave it out, since a proxy",
		"get -E cert.pem http://h/":           "--cert has the file",
		"get --fail-with-body http://h/":      "the status is 22 all the same",
		"doctor --delegation always http://h": "--delegate is for that",
		"get -g http://h/[1-3]":               "braces and brackets mean nothing here",
		"klist -A":                            "that is listed anyway",
		"klist -e":                            "that is listed anyway",
		"klist -kte /etc/krb5.keytab":         "want -k FILE alone",
		"klist -k te":                         "keytab: ",
		"kdc -e":                              "in -e\n", // which neither has
		"get --no-such-flag":                  "unknown flag: --no-such-flag\n",
	} {
		code, _, stderr := runWith(t.Context(), nil, "", strings.Fields(line)...)
		if code == exitOK || !strings.Contains(stderr, says) {
			t.Errorf("%s: status %d, %q; want %q", line, code, stderr, says)
		}
	}
}

// What commands are for stands in one column.
func TestUsageColumns(t *testing.T) {
	for _, c := range commands() {
		at := -1
		for line := range strings.Lines(usage()) {
			if strings.HasSuffix(strings.TrimSpace(line), "  "+c.about) {
				at = strings.Index(line, c.about)
			}
		}
		if first := strings.Index(usage(), commands()[0].about) - strings.Index(usage(), "  kerbchain demo"); at != first {
			t.Errorf("%s begins at %d, the first at %d", c.name, at, first)
		}
	}
}
