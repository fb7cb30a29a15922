package kerberos_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	second "github.com/jcmturner/gokrb5/v8/keytab"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// key is one of a user's keys in a keytab, made of a password.
type key struct {
	password string
	kvno     uint8
	etype    int32
	age      time.Duration
}

const day = 24 * time.Hour

// keytabFile writes a keytab for a user with gokrb5.
func keytabFile(t testing.TB, realm *fakekdc.Realm, user string, keys ...key) string {
	t.Helper()
	return testmain.File(t, user+".keytab", keytabOf(t, realm, user, keys...))
}

func keytabOf(t testing.TB, realm *fakekdc.Realm, user string, keys ...key) []byte {
	t.Helper()
	kt := second.New()
	for _, k := range keys {
		if err := kt.AddEntry(user, realm.Name(), k.password, time.Now().Add(-k.age), k.kvno, k.etype); err != nil {
			t.Fatal(err)
		}
	}
	b, err := kt.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The key is chosen as kinit -k does; internal/interop holds the same shapes
// against it. The account has the password "new".
func TestKeytabChoice(t *testing.T) {
	t.Parallel()
	realm := fakekdc.Start(t, fakekdc.WithUser("svc", "new", fakekdc.Etypes(18, 17)), fakekdc.WithService(spn))
	for name, tc := range map[string]struct {
		keys []key
		bad  string // what the error says of the key that was used; "" for a login
	}{
		"one":                               {[]key{{"new", 3, 18, 0}}, ""},
		"newest last":                       {[]key{{"old", 1, 18, day}, {"new", 2, 18, 0}}, ""},
		"newest first":                      {[]key{{"new", 2, 18, 0}, {"old", 1, 18, day}}, ""},
		"newest is older by its time":       {[]key{{"new", 2, 18, day}, {"old", 1, 18, 0}}, ""},
		"wrapped":                           {[]key{{"old", 254, 18, 60 * day}, {"old", 255, 18, 30 * day}, {"new", 1, 18, 0}}, ""},
		"wrapped, newest first":             {[]key{{"new", 1, 18, 0}, {"old", 255, 18, 30 * day}}, ""},
		"wrapped, written at once":          {[]key{{"old", 255, 18, day}, {"new", 1, 18, day}}, ""},
		"not wrapped, the small one older":  {[]key{{"old", 1, 18, 60 * day}, {"new", 255, 18, day}}, ""},
		"not wrapped, old and small":        {[]key{{"new", 255, 18, day}, {"old", 1, 18, 60 * day}}, ""},
		"240 does not wrap":                 {[]key{{"new", 240, 18, day}, {"old", 1, 18, 0}}, ""},
		"128 is not after a wrap":           {[]key{{"new", 255, 18, day}, {"old", 128, 18, 0}}, ""},
		"127 after 241":                     {[]key{{"old", 241, 18, day}, {"new", 127, 18, 0}}, ""},
		"the newest version's type":         {[]key{{"old", 1, 18, day}, {"new", 2, 17, 0}}, ""},
		"the newest version's type, first":  {[]key{{"new", 2, 17, 0}, {"old", 1, 18, day}}, ""},
		"the newest version's type wrapped": {[]key{{"old", 255, 18, day}, {"new", 1, 17, 0}}, ""},
		"the newest version's types":        {[]key{{"old", 1, 18, day}, {"new", 2, 17, 0}, {"new", 2, 18, 0}}, ""},
		"a type that the KDC has not":       {[]key{{"new", 1, 18, day}, {"new", 2, 19, 0}}, ""},
		"stale":                             {[]key{{"old", 7, 18, 0}}, "with the key of version 7 and type aes256-cts-hmac-sha1-96"},
		"newest is stale":                   {[]key{{"new", 7, 18, day}, {"old", 8, 17, 0}}, "with the key of version 8 and type aes128-cts-hmac-sha1-96"},
	} {
		t.Run(name, func(t *testing.T) {
			realm.ResetExchanges()
			s, err := kerberos.FromKeytab(keytabFile(t, realm, "svc", tc.keys...), kerberos.SourceOptions{
				Krb5ConfText: realm.Config("permitted_enctypes = aes256-cts aes128-cts aes128-sha2"), Principal: "svc"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.ServiceTicket(t.Context(), spn)
			switch {
			case tc.bad == "" && err != nil:
				t.Error(err)
			case tc.bad != "" && (err == nil || !strings.Contains(err.Error(), tc.bad)):
				t.Errorf("want %q in the error, got %v", tc.bad, err)
			}
			if n := realm.Count(fakekdc.AS, 24); n > 1 || tc.bad == "" && n > 0 {
				t.Errorf("the KDC refused %d keys", n)
			}
		})
	}
}

// While another program appends to a keytab, what is whole before that is used.
func TestKeytabWithATornTail(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithUser("svc", "pw"), fakekdc.WithService(spn))
	whole := keytabOf(t, realm, "svc", key{"pw", 1, 18, day}, key{"other", 2, 18, 0})
	first := len(keytabOf(t, realm, "svc", key{"pw", 1, 18, day}))
	path := testmain.File(t, "keytab", nil)
	for cut := first; cut < len(whole); cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := kerberos.FromKeytab(path, environment(realm))
		if err != nil {
			t.Fatalf("%d bytes: %v", cut, err)
		}
		if cut%20 == 0 || cut == len(whole)-1 {
			if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
				t.Errorf("%d bytes: %v", cut, err)
			}
		}
	}
	for cut := range first {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := kerberos.FromKeytab(path, environment(realm))
		want := "ends in the middle of an entry"
		if cut < 6 {
			want = "it holds no keys"
		}
		if cut < 2 {
			want = "not a keytab file"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: want %q, got %v", cut, want, err)
		}
	}
}

// What a keytab's error says.
func TestKeytabErrors(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithUser("svc", "pw"), fakekdc.WithService(spn))
	huge := filepath.Join(t.TempDir(), "huge")
	if err := os.WriteFile(huge, []byte{5, 2}, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 1<<30); err != nil { // sparse
		t.Fatal(err)
	}
	des := keytabOf(t, realm, "svc", key{"pw", 1, 17, 0})
	for i := range des { // the type is behind time and version
		if i > 10 && des[i] == 17 && des[i-1] == 0 && des[i-2] == 1 {
			des[i] = 3
		}
	}
	for name, tc := range map[string]struct {
		path, principal string
		says            []string
	}{
		"1 GiB":                  {huge, "", []string{"huge", "more than 16777216 bytes"}},
		"another kind of keytab": {"MEMORY:keys", "", []string{"type MEMORY, which is not supported"}},
		"a drive":                {"C:keys", "", []string{"keytab C:keys", "not exist"}},
		"no principal at all":    {keytabFile(t, realm, "svc", key{"pw", 1, 18, 0}), "svc/", []string{"svc/"}},
		"a token of no meaning":  {"%{nonsense}", "", []string{"%{nonsense}", "not a token"}},
		"a folder":               {t.TempDir(), "", []string{"not a regular file"}},
		"types that nobody uses": {testmain.File(t, "kt", des), "svc", []string{"svc@" + realm.Name(), "etype 3", "not supported"}},
		"keys of others":         {keytabFile(t, realm, "other", key{"pw", 1, 18, 0}), "svc", []string{"no key of svc@", "other@" + realm.Name()}},
	} {
		t.Run(name, func(t *testing.T) {
			o := environment(realm)
			o.Principal = tc.principal
			_, err := kerberos.FromKeytab(tc.path, o)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
			if e, ok := err.(*middleware.Error); !ok || e.Kind != middleware.ErrCredentials {
				t.Errorf("%T %v", err, err)
			}
		})
	}
}

// A keytab whose types are all known, and none of them allowed, names them.
func TestKeytabOfTypesThatAreNotAllowed(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithUser("svc", "pw"), fakekdc.WithService(spn))
	for name, tc := range map[string]struct {
		line string
		says string
	}{
		"RC4":                {"", "keys are of types arcfour-hmac, allowed are aes256-cts-hmac-sha1-96 "},
		"RC4 and a setting":  {"permitted_enctypes = aes256-sha2", "keys are of types arcfour-hmac, allowed are aes256-cts-hmac-sha384-192; "},
		"and one is allowed": {"permitted_enctypes = rc4\nallow_rc4 = true", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := environment(realm)
			o.Krb5ConfText = "[libdefaults]\n" + tc.line + "\n" + strings.Replace(tc.line, "permitted_enctypes", "default_tkt_enctypes", 1) + "\n" + o.Krb5ConfText
			source, err := kerberos.FromKeytab(keytabFile(t, realm, "svc", key{"pw", 1, 23, 0}), o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = source.ServiceTicket(t.Context(), spn)
			if tc.says == "" {
				if err != nil && strings.Contains(err.Error(), "allowed are") {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, middleware.ErrCredentials) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "add a key of an allowed type to the keytab") {
				t.Errorf("%v", err)
			}
		})
	}
}

// What is wrong with the configuration is said before any keytab is looked for.
func TestKeytabWithoutConfiguration(t *testing.T) {
	realm := start(t)
	o := environment(realm)
	o.Krb5ConfText = "[realms\nR = {\n"
	if _, err := kerberos.FromKeytab("/nonexistent/keytab", o); err == nil || !strings.Contains(err.Error(), "krb5.conf") {
		t.Errorf("%v", err)
	}
	o = as(environment(realm), "a@B@C")
	if _, err := kerberos.FromKeytab(keytabFile(t, realm, "svc", key{"pw", 1, 18, 0}), o); err == nil || !strings.Contains(err.Error(), "two realms") {
		t.Errorf("%v", err)
	}
}

// Of a keytab with many principals the error names ten, each once.
func TestKeytabOfManyPrincipals(t *testing.T) {
	realm := start(t)
	file := keytabOf(t, realm, "p00", key{"pw", 1, 18, 0})
	for i := range 12 {
		for kvno := range uint8(2) {
			file = append(file, keytabOf(t, realm, fmt.Sprintf("p%02d", i), key{"pw", kvno, 17, 0})[2:]...)
		}
	}
	_, err := kerberos.FromKeytab(testmain.File(t, "keytab", file), as(environment(realm), "alice"))
	for i := range 12 {
		if n := strings.Count(fmt.Sprint(err), fmt.Sprintf("p%02d@", i)); n != map[bool]int{true: 1, false: 0}[i < 10] {
			t.Errorf("p%02d is named %d times: %v", i, n, err)
		}
	}
}

// Of one principal so many keys are read and no more, since each costs memory; and of
// types that nobody knows the error names ten.
func TestKeytabOfManyKeys(t *testing.T) {
	realm := start(t)
	one := keytabOf(t, realm, "alice", key{"pw", 1, 18, 0})
	o := as(environment(realm), "alice")
	if _, err := kerberos.FromKeytab(testmain.File(t, "keytab", slices.Concat(one[:2], bytes.Repeat(one[2:], 4096))), o); err != nil {
		t.Errorf("4096 keys: %v", err)
	}
	_, err := kerberos.FromKeytab(testmain.File(t, "keytab", slices.Concat(one[:2], bytes.Repeat(one[2:], 4097))), o)
	if err == nil || !strings.Contains(err.Error(), "more than 4096 keys of one principal: alice@") || !strings.Contains(err.Error(), "ktutil") {
		t.Errorf("4097 keys: %v", err)
	}

	at := bytes.Index(one, []byte{1, 0, 18, 0, 32}) // version, type, length of the key
	file := one[:2:2]
	for etype := range uint16(20_000) {
		entry := slices.Clone(one[2:])
		binary.BigEndian.PutUint16(entry[at-2+1:], 1000+etype)
		file = append(file, entry...)
	}
	_, err = kerberos.FromKeytab(testmain.File(t, "keytab", file), o)
	if n := strings.Count(fmt.Sprint(err), "etype 1"); n != 10 {
		t.Errorf("%d types are named: %v", n, err)
	}
}

// renamed returns a keytab with another name of one component in the place of
// the one in it.
func renamed(t testing.TB, file []byte, from, to string) []byte {
	t.Helper()
	out := []byte{5, 2}
	for b := file[2:]; len(b) > 0; {
		size := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		entry := strings.Replace(string(b[4:4+size]), "\x00"+string(rune(len(from)))+from, "\x00"+string(rune(len(to)))+to, 1)
		b = b[4+size:]
		n := len(entry)
		out = append(append(out, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), entry...)
	}
	return out
}
