package krb5conf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A warning stands by what it is about, so that an error in regard to that can repeat
// it: the first three, and nothing that is about something else.
func TestConcerns(t *testing.T) {
	c := mustConfig(t, `[libdefaults]
 ticket_lifetime = soon
 dns_lookup_kdc = perhaps
[realms]
 A.TEST = {
  kdc = a.test, b.test
  kdc = udp/a.test
  kdc = a.test # the first
  kdc = user:secret@a.test
 }
 "B.TEST" = {
  admin_server = b.test
 }
 'C.TEST' = {
  kdc = c.test
 }
 D.TEST = d.test
[domain_realm]
 Upper.test = A.TEST
`)
	for _, tc := range []struct {
		about []string
		want  []string
	}{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{"NOWHERE.TEST"}, nil},
		{[]string{"ticket_lifetime"}, []string{`krb5.conf:2: ticket_lifetime`}},
		{[]string{"dns_lookup_kdc"}, []string{`krb5.conf:3: dns_lookup_kdc`}},
		{[]string{"A.TEST"}, []string{
			`krb5.conf:6: kdc = "a.test, b.test": one server stands on a line, write kdc again for each`,
			`krb5.conf:7: "udp/a.test" is Heimdal's spelling`,
			`krb5.conf:8: "a.test # the first": what follows the blank is not read`,
		}},
		{[]string{"B.TEST"}, []string{`"\"B.TEST\"" in [realms]: the quotes count as part of the name, write B.TEST = {`}},
		{[]string{"C.TEST"}, []string{`krb5.conf:15: "'C.TEST'" in [realms]: the quotes count as part of the name, write C.TEST = {`}},
		{[]string{"D.TEST"}, []string{`krb5.conf:17: "D.TEST" in [realms] wants { and relations, not a value`}},
		{[]string{"D.TEST", "ticket_lifetime"}, []string{`krb5.conf:2: ticket_lifetime`, `krb5.conf:17: "D.TEST"`}},
	} {
		got := c.Concerns(tc.about...)
		ok := len(got) == len(tc.want)
		for i := range got {
			ok = ok && strings.HasPrefix(got[i].String(), tc.want[i])
		}
		if !ok {
			t.Errorf("about %q:\n%swant\n%s", tc.about, said(got), strings.Join(tc.want, "\n"))
		}
	}
	all := said(c.Warnings)
	if !strings.Contains(all, "matches nothing") || !strings.Contains(all, "krb5.conf:9: kdc of \"A.TEST\" left out") || strings.Contains(all, "secret@") {
		t.Errorf("all of them:\n%s", all)
	}
}

// A realm's own settings have warnings of their own, and leave those of all alone.
func TestWarningsOfARealm(t *testing.T) {
	c := mustConfig(t, settings("ticket_lifetime = soon", "R = {", "renew_lifetime = x", "}", "S = {", "renew_lifetime = y", "}"))
	c.Warnings = append(make([]Warning, 0, 10), c.Warnings...) // with room behind them
	r, s := c.For("R"), c.For("S")
	for name, w := range map[string][]Warning{"2: ticket_lifetime": c.Warnings, "4: renew_lifetime": r.Warnings, "7: renew_lifetime": s.Warnings} {
		if !strings.Contains(said(w), "krb5.conf:"+name) {
			t.Errorf("no %s in\n%s", name, said(w))
		}
	}
	if len(c.Warnings) != 1 || len(r.Warnings) != 2 || len(s.Warnings) != 2 {
		t.Errorf("%d, %d and %d warnings", len(c.Warnings), len(r.Warnings), len(s.Warnings))
	}
}

// Of mistakes without number a hundred are kept, and the last one says so. One that is
// left out is nobody's.
func TestWarningsHaveAnEnd(t *testing.T) {
	var text strings.Builder
	text.WriteString("[domain_realm]\n")
	for i := range maxWarnings + 5 {
		fmt.Fprintf(&text, " Host%d.test = R\n", i)
	}
	text.WriteString("[realms]\n R = {\n  kdc = a.test, b.test\n }\n")
	c := mustConfig(t, text.String())
	if n := len(c.Warnings); n != maxWarnings+1 || c.Warnings[maxWarnings].Text != "further warnings left out" {
		t.Errorf("%d warnings, the last one %q", n, c.Warnings[n-1])
	}
	c.warnf("R", Value{}, "one more")
	if n := len(c.Warnings); n != maxWarnings+1 {
		t.Errorf("%d warnings", n)
	}
	few := &Config{Warnings: make([]Warning, maxWarnings-1)}
	few.warnf("R", Value{}, "the last one")
	few.warnf("R", Value{}, "left out")
	if d := cmp.Diff([]Warning{{Text: "the last one", About: "R"}, {Text: "further warnings left out", About: "R"}}, few.Warnings[maxWarnings-1:]); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}
