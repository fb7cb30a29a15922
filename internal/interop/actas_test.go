//go:build interop

package interop

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/kerberos"
)

// testActingForUsers: what an Active Directory domain lets a service do for users it
// lets us do, and MIT's kvno likewise; what it refuses, we are told.
func (l *lab) testActingForUsers(t *testing.T) {
	l.samba(t, "delegation", "add-service", "gateway", "HTTP/localhost")
	l.samba(t, "delegation", "for-any-protocol", "gateway", "on")
	l.samba(t, "delegation", "add-service", "plain", "HTTP/localhost") // on the user's own word alone
	l.samba(t, "delegation", "add-principal", "deleg", "gateway")      // the target's word (resource-based)
	l.samba(t, "delegation", "add-principal", "deleg", "plain")
	l.samba(t, "user", "create", "vip", adPassword)
	l.samba(t, "user", "sensitive", "vip", "on")

	impersonator := func(service string) *kerberos.Impersonator {
		s, err := kerberos.FromKeytab(l.path(service+".keytab"), kerberos.SourceOptions{
			Principal: service, Krb5Conf: []string{l.conf}, Logins: new(kerberos.Logins), Getenv: func(string) string { return "" },
		})
		if err != nil {
			t.Fatal(err)
		}
		return kerberos.NewImpersonator(s)
	}
	kvno := func(service, user, target string) result {
		env := l.env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "ccache"))
		must(t, env, "", tool(t, "kinit"), "-f", "-k", "-t", l.path(service+".keytab"), service)
		return run(t, env, "", tool(t, "kvno"), "-k", l.path(service+".keytab"), "-U", user, "-P", target)
	}
	for name, tc := range map[string]struct {
		service, user, target string
		want                  error
	}{
		"allowed":                 {"gateway", "alice", "HTTP/localhost", nil},
		"another user":            {"gateway", "bob", "HTTP/localhost", nil},
		"another target":          {"gateway", "alice", "HTTP/stranger.example", kerberos.ErrDelegationNotAllowed},
		"any protocol is not":     {"plain", "alice", "HTTP/localhost", kerberos.ErrEvidenceNotForwardable},
		"sensitive":               {"gateway", "vip", "HTTP/localhost", kerberos.ErrEvidenceNotForwardable},
		"a service with no right": {"plain", "bob", "HTTP/stranger.example", kerberos.ErrEvidenceNotForwardable},
		// Debian's Samba, with Heimdal's KDC in it, does not ask targets: it refuses kvno, too.
		"resource-based":            {"gateway", "bob", "HTTP/deleg.corp.example", kerberos.ErrDelegationNotAllowed},
		"resource, not forwardable": {"plain", "bob", "HTTP/deleg.corp.example", kerberos.ErrEvidenceNotForwardable},
		"not there for bob":         {"gateway", "bob", "HTTP/stranger.example", kerberos.ErrDelegationNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			ticket, err := impersonator(tc.service).ServiceTicket(kerberos.AsUser(t.Context(), tc.user), tc.target)
			// kvno takes the name for an enterprise name, by which Samba does not know alice.
			if theirs := kvno(tc.service, tc.user, tc.target); tc.user != "alice" && (theirs.code == 0) != (tc.want == nil) {
				t.Errorf("kvno: %v", theirs)
			}
			if tc.want != nil {
				if !errors.Is(err, tc.want) {
					t.Errorf("%v, %v, want %v", ticket, err, tc.want)
				}
				return
			}
			if err != nil || ticket.Client() != tc.user+"@"+l.name || ticket.SPN() != tc.target+"@"+l.name {
				t.Errorf("%v, %v", ticket, err)
			}
		})
	}
	// Samba leaves a user principal name as it is.
	upn := strings.ReplaceAll(aliceUPN, "@", `\@`)
	ticket, err := impersonator("gateway").ServiceTicket(kerberos.AsUser(t.Context(), upn), "HTTP/localhost")
	if err != nil || ticket.Client() != upn+"@"+l.name {
		t.Errorf("%v, %v", ticket, err)
	}
}
