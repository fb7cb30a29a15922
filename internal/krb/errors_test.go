package krb

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
)

func TestErrorName(t *testing.T) {
	// RFC 4120 section 7.5.9, RFC 6806 section 7 for 68.
	for code, want := range map[int32]string{
		CodeClientUnknown:   "KDC_ERR_C_PRINCIPAL_UNKNOWN",
		CodeServerUnknown:   "KDC_ERR_S_PRINCIPAL_UNKNOWN",
		CodePolicy:          "KDC_ERR_POLICY",
		CodeBadOption:       "KDC_ERR_BADOPTION",
		CodeEtypeNoSupport:  "KDC_ERR_ETYPE_NOSUPP",
		CodeClientRevoked:   "KDC_ERR_CLIENT_REVOKED",
		CodeKeyExpired:      "KDC_ERR_KEY_EXPIRED",
		CodePreauthFailed:   "KDC_ERR_PREAUTH_FAILED",
		CodePreauthRequired: "KDC_ERR_PREAUTH_REQUIRED",
		CodeUnavailable:     "KDC_ERR_SVC_UNAVAILABLE",
		CodeBadIntegrity:    "KRB_AP_ERR_BAD_INTEGRITY",
		CodeTicketExpired:   "KRB_AP_ERR_TKT_EXPIRED",
		CodeTicketNotYet:    "KRB_AP_ERR_TKT_NYV",
		CodeRepeat:          "KRB_AP_ERR_REPEAT",
		CodeNotUs:           "KRB_AP_ERR_NOT_US",
		CodeBadMatch:        "KRB_AP_ERR_BADMATCH",
		CodeSkew:            "KRB_AP_ERR_SKEW",
		CodeModified:        "KRB_AP_ERR_MODIFIED",
		CodeBadKvno:         "KRB_AP_ERR_BADKEYVER",
		CodeNoKey:           "KRB_AP_ERR_NOKEY",
		CodeResponseTooBig:  "KRB_ERR_RESPONSE_TOO_BIG",
		CodeFieldTooLong:    "KRB_ERR_FIELD_TOOLONG",
		CodeGeneric:         "KRB_ERR_GENERIC",
		CodeWrongRealm:      "KDC_ERR_WRONG_REALM",
		0:                   "KDC_ERR_NONE",
		9999:                "KRB-ERROR 9999",
		-1:                  "KRB-ERROR -1",
	} {
		if got := ErrorName(code); got != want {
			t.Errorf("%d is %q, want %q", code, got, want)
		}
	}
}

// gokrb5's table is the second opinion about names.
func TestErrorNamesAgree(t *testing.T) {
	const later = "gokrb5 has no name of an RFC after 4120"
	differ := map[int32]string{ // why
		62: "RFC 4556 section 3.1.3 names what RFC 4120 kept the number for, as KDC_ERROR_CLIENT_NOT_TRUSTED",
		64: "RFC 4556 section 3.1.3, for KDC_ERROR_INVALID_SIG of RFC 4120",
		65: "RFC 4556 section 3.1.3, for KDC_ERR_KEY_TOO_WEAK of RFC 4120",
		77: later, 78: later, 79: later, 80: later, 81: later, 82: later, 83: later, 84: later,
		90: later, 91: later, 92: later, 93: later, 94: later, 95: later, 96: later, 97: later, 100: later,
	}
	for code := int32(-200); code <= 200; code++ {
		theirs := fmt.Sprintf("KRB-ERROR %d", code)
		if words := strings.Fields(errorcode.Lookup(code)); strings.HasPrefix(words[0], "(") {
			theirs = words[1]
		}
		if same := ErrorName(code) == theirs; same != (differ[code] == "") {
			t.Errorf("%d is %q, gokrb5 says %q (%s)", code, ErrorName(code), theirs, differ[code])
		}
	}
}

func TestKRBErrorText(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"none":             {"", "KRB_AP_ERR_SKEW"},
		"the name again":   {"SKEW", "KRB_AP_ERR_SKEW"},
		"half of the name": {"KEW", "KRB_AP_ERR_SKEW (KEW)"},
		"plain":            {"Clock skew too great", "KRB_AP_ERR_SKEW (Clock skew too great)"},
		"forged log line":  {"x\r\n2026 INFO all is well\x00", "KRB_AP_ERR_SKEW (x2026 INFO all is well)"},
		"terminal":         {"\x1b[2Jcleared\u009b2Jtoo", "KRB_AP_ERR_SKEW ([2Jcleared2Jtoo)"},
		"no text":          {"a\xff\xfeb", "KRB_AP_ERR_SKEW (ab)"},
		"right to left":    {"abc\u202edef\u2066g", "KRB_AP_ERR_SKEW (abcdefg)"},
		"separators":       {"a\u2028b\u2029c", "KRB_AP_ERR_SKEW (abc)"},
		"letters":          {"błąd zegara", "KRB_AP_ERR_SKEW (błąd zegara)"},
		"long":             {strings.Repeat("x", 5000), "KRB_AP_ERR_SKEW (" + strings.Repeat("x", 200) + ")"},
		"cut in a letter":  {"x" + strings.Repeat("ż", 200), "KRB_AP_ERR_SKEW (x" + strings.Repeat("ż", 99) + ")"},
		"nothing that can": {"\r\n\x7f", "KRB_AP_ERR_SKEW"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := must((&KRBError{Code: CodeSkew, STime: someDay, Server: krbtgt, Text: tc.text}).Marshal())
			e, err := ParseKRBError(raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := e.Error(); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
			if i := strings.IndexFunc(e.Text, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
				t.Errorf("%q is not clean", e.Text)
			}
		})
	}
}

// Every decoder says of every cut of a good message that it is malformed.
func TestCutMessages(t *testing.T) {
	for name, tc := range messageParsers() {
		t.Run(name, func(t *testing.T) {
			if len(tc.good) == 0 {
				t.Fatal("no samples")
			}
			for _, good := range tc.good {
				if err := tc.parse(good); err != nil {
					t.Fatalf("%x: %v", good, err)
				}
				for n := range good {
					notPanicking(t, good[:n], func() {
						if err := tc.parse(good[:n]); !errors.Is(err, ErrMalformed) {
							t.Errorf("%d of %d bytes: %v", n, len(good), err)
						}
					})
				}
				if err := tc.parse(append(good[:len(good):len(good)], 0)); !errors.Is(err, ErrMalformed) {
					t.Errorf("a byte more: %v", err)
				}
				// Any single byte changed may be refused or not, but calmly.
				bad := append([]byte(nil), good...)
				for i := range min(len(good), 300) {
					for _, x := range []byte{0x01, 0x80, 0xff} {
						bad[i] ^= x
						notPanicking(t, bad, func() { tc.parse(bad) })
						bad[i] ^= x
					}
				}
			}
		})
	}
}
