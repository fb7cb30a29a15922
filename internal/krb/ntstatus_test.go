package krb

import (
	"encoding/hex"
	"strings"
	"testing"
)

func TestNTStatus(t *testing.T) {
	salt := "a103020103a20e040c" // PA-PW-SALT, or KERB_ERR_TYPE_EXTENDED, of 12 bytes
	for name, tc := range map[string]struct {
		data string // hexadecimal
		want NTStatus
	}{
		// A KERB-ERROR-DATA, and METHOD-DATA.
		"one":                    {"3015" + salt + "720000c00000000001000000", StatusAccountDisabled},
		"a list":                 {"30173015" + salt + "340200c00000000001000000", StatusAccountLockedOut},
		"behind another":         {"30223009a103020113a2020400" + "3015" + salt + "340200c00000000001000000", StatusAccountLockedOut},
		"one without a name":     {"3015" + salt + "efbeadcf0000000001000000", 0xCFADBEEF},
		"other flags":            {"3015" + salt + "720000c00000000000000000", StatusAccountDisabled},
		"nothing":                {"", 0},
		"no error":               {"3015" + salt + "720000800000000001000000", 0},
		"success":                {"3015" + salt + "000000000000000001000000", 0},
		"not reserved":           {"3015" + salt + "720000c00100000001000000", 0},
		"a salt":                 {"30173015" + salt + hex.EncodeToString([]byte("CORP.TESTbob")), 0},
		"another type":           {"3015a103020102a20e040c720000c00000000001000000", 0},
		"too short":              {"3014a103020103a20d040b720000c000000000010000", 0},
		"bytes behind":           {"3015" + salt + "720000c0000000000100000000", 0},
		"a field too many":       {"301a" + salt + "720000c00000000001000000" + "a303020100", 0},
		"a list that is cut off": {"30173015" + salt + "340200c000000000010000", 0},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := hex.DecodeString(tc.data)
			if err != nil {
				t.Fatal(err)
			}
			if got := (&KRBError{Data: data}).NTStatus(); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

func TestNTStatusInText(t *testing.T) {
	e := &KRBError{Code: CodeClientRevoked, Text: "no", Data: ExtendedError(StatusAccountDisabled)}
	if got, want := e.Error(), "KDC_ERR_CLIENT_REVOKED (no), STATUS_ACCOUNT_DISABLED"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := NTStatus(0xC0000001).String(); got != "NTSTATUS 0xC0000001" {
		t.Error(got)
	}
}

func FuzzNTStatus(f *testing.F) {
	for _, s := range []string{"3015a103020103a20e040c720000c00000000001000000", "30173015a103020103a20e040c340200c00000000001000000"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := (&KRBError{Data: b}).NTStatus()
		if s != 0 && s>>30 != 3 || strings.TrimSpace(s.String()) == "" {
			t.Errorf("%v", s)
		}
	})
}
