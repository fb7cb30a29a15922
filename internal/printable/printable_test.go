package printable

import (
	"strings"
	"testing"
	"unicode"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                              "",
		"plain \"text\" \\ b\u00fccher": "plain \"text\" \\ b\u00fccher",
		"a\x1b[31mb":                    `a\x1b[31mb`,
		"a\r\nb\tc\x00":                 `a\r\nb\tc\x00`,
		"\u009b1m":                      `\u009b1m`,
		"\u202eevil\u2028":              `\u202eevil\u2028`,
		"\xff\xfe":                      `\xff\xfe`,
		"\ufffd\x01":                    "\ufffd\\x01",
		"a\xe2\x82":                     `a\xe2\x82`,
		"\u00a0":                        `\u00a0`,
	} {
		if got := Text(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	long := strings.Repeat("a", maxLine)
	for in, want := range map[string]string{
		"":                                    "",
		"a\x1b[31mb":                          `a\x1b[31mb`,
		long:                                  long,
		long + "b":                            long + "... (1 bytes more)",
		long[1:] + "\u00fcb":                  long[1:] + "... (3 bytes more)",
		long[1:] + "\xff\xff\xff":             long[1:] + `\xff... (2 bytes more)`,
		long[4:] + "\x80\x80\x80\x80\x80\x80": long[4:] + "... (6 bytes more)",
	} {
		if got := Line(in); got != want {
			t.Errorf("%d bytes, %q: %q, want %q", len(in), in[max(0, len(in)-8):], got[max(0, len(got)-40):], want[max(0, len(want)-40):])
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\x1b[31m\u202e\xffb")
	f.Fuzz(func(t *testing.T, s string) {
		out := Text(s)
		for _, r := range out {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q: %q", s, out)
			}
		}
		if again := Text(out); again != out {
			t.Errorf("%q: %q, then %q", s, out, again)
		}
	})
}
