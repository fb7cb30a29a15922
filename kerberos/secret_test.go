package kerberos_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
)

func TestSplitPassword(t *testing.T) {
	for name, tc := range map[string]struct {
		in, principal, password string
		ok                      bool
	}{
		"plain":               {"alice@R:pw", "alice@R", "pw", true},
		"colons and ats":      {"alice@R:a:b@c", "alice@R", "a:b@c", true},
		"empty password":      {"alice@R:", "alice@R", "", true},
		"no password":         {"alice@R", "alice@R", "", false},
		"no realm":            {"alice:pw", "alice:pw", "", false},
		"service":             {"HTTP/h@R:pw", "HTTP/h@R", "pw", true},
		"escaped at":          {`a\@b@R:pw`, `a\@b@R`, "pw", true},
		"escaped at, no more": {`a\@b:pw`, `a\@b:pw`, "", false},
		"empty":               {"", "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			principal, password, ok := kerberos.SplitPassword(tc.in)
			if principal != tc.principal || password.Reveal() != tc.password || ok != tc.ok || password.IsZero() == tc.ok {
				t.Errorf("got %q, %q, %v", principal, password.Reveal(), ok)
			}
		})
	}
}

// TestSecretsDoNotPrint looks for secrets in every verb, with a positive control.
func TestSecretsDoNotPrint(t *testing.T) {
	const secret = "hunter2hunter2"
	realm := start(t)
	o := environment(realm)
	o.Principal = "alice"
	source, err := kerberos.FromPassword(kerberos.NewSecret(secret), o)
	if err != nil {
		t.Fatal(err)
	}
	cached, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice", spn)), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := cached.ServiceTicket(t.Context(), spn)
	if err != nil {
		t.Fatal(err)
	}
	type hidden struct {
		canary string
		secret kerberos.Secret
		source *kerberos.Source
		ticket kerberos.Ticket
	}
	s := kerberos.NewSecret(secret)
	for name, v := range map[string]any{
		"secret": s, "pointer": &s, "source": source, "ticket": ticket,
		"hidden": hidden{"canary", s, source, ticket}, "slice": []kerberos.Secret{s}, "map": map[string]kerberos.Secret{"k": s},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T %v"} {
			args := []any{v}
			if verb == "%T %v" {
				args = []any{v, v}
			}
			text := fmt.Sprintf(verb, args...)
			for _, bad := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprint([]byte(secret))} {
				if strings.Contains(text, bad) {
					t.Errorf("%s of %s tells the password", verb, name)
				}
			}
			if name == "hidden" && verb == "%v" && !strings.Contains(text, "canary") {
				t.Errorf("the canary is missing from %s", text)
			}
		}
		if b, err := json.Marshal(v); err == nil && strings.Contains(string(b), secret) {
			t.Errorf("JSON of %s tells the password", name)
		}
	}
}
