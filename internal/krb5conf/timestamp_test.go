package krb5conf

import (
	"strings"
	"testing"
)

func TestNoTimestamp(t *testing.T) {
	for text, want := range map[string]bool{"": false, "true": true, "yes": true, "0": false, "maybe": false} {
		line := ""
		if text != "" {
			line = "disable_encrypted_timestamp = " + text
		}
		p, err := Parse("krb5.conf", []byte("[realms]\nA.TEST = {\nkdc = a\n"+line+"\n}\n"))
		if err != nil {
			t.Fatal(err)
		}
		c := New(p, Options{})
		if got := c.NoTimestamp("A.TEST"); got != want || c.NoTimestamp("B.TEST") {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
		warned := len(c.Warnings) == 1 && strings.Contains(c.Warnings[0].String(), "taken for false")
		if warned != (text == "maybe") {
			t.Errorf("%q: warnings %v", text, c.Warnings)
		}
	}
}
