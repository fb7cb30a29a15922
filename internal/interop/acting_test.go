//go:build interop

package interop

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// An act is one thing that a service does for a user: at a target, or in getting a ticket
// of the user for itself.
type act struct {
	service, user, target string // target "" for itself
	want                  error  // nil where the KDC lets it
	theirs                bool   // whether MIT's kvno gets it; it does not ask of what the ticket says
}

// side lets MIT's kvno and us act with the same keytab.
func (r *realm) side(t *testing.T, keytab string, acts map[string]act) {
	t.Helper()
	for name, a := range acts {
		t.Run(name, func(t *testing.T) {
			env := r.env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "ccache"))
			must(t, env, "", tool(t, "kinit"), "-f", "-k", "-t", keytab, a.service)
			args, target := []string{"-k", keytab, "-I", a.user}, a.target
			if target == "" {
				target = a.service
			} else {
				args = append(args, "-P")
			}
			theirs := run(t, env, "", tool(t, "kvno"), append(args, target)...)
			list := run(t, env, "", tool(t, "klist")).stdout
			_, after, got := strings.Cut(list, "  "+target+"@"+r.name)
			if got = got && strings.Contains(after, "for client "+a.user+"@"+r.name); got != a.theirs {
				t.Errorf("kvno: %v, with\n%s", theirs, list)
			}
			s, err := kerberos.FromKeytab(keytab, kerberos.SourceOptions{Principal: a.service, Krb5Conf: []string{r.conf}, Logins: new(kerberos.Logins), Getenv: func(string) string { return "" }})
			if err != nil {
				t.Fatal(err)
			}
			ticket, err := kerberos.NewImpersonator(s).ServiceTicket(kerberos.AsUser(t.Context(), a.user), target)
			if a.want != nil {
				if !errors.Is(err, a.want) {
					t.Errorf("%v, %v, want %v; kvno: %v", ticket, err, a.want, theirs)
				}
				return
			}
			if err != nil || ticket.Client() != a.user+"@"+r.name || ticket.SPN() != target+"@"+r.name {
				t.Errorf("%v, %v", ticket, err)
			}
		})
	}
}

// TestActingAtMIT: MIT's KDC, as Debian has it with its own database, gives services
// tickets of users for themselves, and for no other service: which may act where is kept
// in directories alone (LDAP).
func TestActingAtMIT(t *testing.T) {
	t.Parallel()
	for _, e := range etypes[:4] { // of AES
		t.Run(e.name, func(t *testing.T) {
			r := startRealm(t, e)
			admin := r.env.with("KRB5_KDC_PROFILE", r.path("kdc.conf"))
			kadmin := func(args ...string) {
				t.Helper()
				if res := must(t, admin, "", tool(t, "kadmin.local"), append([]string{"-r", r.name}, args...)...); strings.Contains(res.stderr, "while") {
					t.Fatal(res)
				}
			}
			kadmin("addprinc", "-clearpolicy", "-randkey", "+ok_to_auth_as_delegate", "HTTP/front")
			kadmin("addprinc", "-clearpolicy", "-randkey", "HTTP/plain")
			kadmin("addprinc", "-clearpolicy", "-pw", bobPassword, "-allow_forwardable", "vip")
			kadmin("addprinc", "-clearpolicy", "-pw", bobPassword, "-allow_tix", "locked")
			keytab := r.path("acting.keytab")
			kadmin("ktadd", "-norandkey", "-k", keytab, "HTTP/front", "HTTP/plain")
			r.side(t, keytab, map[string]act{
				"self":                   {"HTTP/front", "alice", "", nil, true},
				"self, not trusted":      {"HTTP/plain", "alice", "", nil, true},
				"self, not to delegate":  {"HTTP/front", "vip", "", nil, true},
				"self, nobody":           {"HTTP/front", "mallory", "", middleware.ErrCredentials, false},
				"self, locked":           {"HTTP/front", "locked", "", middleware.ErrCredentials, false},
				"target":                 {"HTTP/front", "alice", "HTTP/localhost", kerberos.ErrDelegationNotAllowed, false},
				"target, not to":         {"HTTP/front", "vip", "HTTP/localhost", kerberos.ErrEvidenceNotForwardable, false},
				"target, service's own":  {"HTTP/front", "HTTP/plain", "HTTP/localhost", kerberos.ErrDelegationNotAllowed, false},
				"target that is not one": {"HTTP/front", "alice", "HTTP/none", middleware.ErrKDC, false},
			})
		})
	}
}

// TestActingAtHeimdal: Heimdal's KDC seals whose a ticket is in the ticket alone, which
// our keytab opens.
func TestActingAtHeimdal(t *testing.T) {
	t.Parallel()
	for _, e := range etypes[:4] { // of AES
		t.Run(e.name, func(t *testing.T) {
			r := startHeimdal(t, e)
			kadmin := func(args ...string) {
				t.Helper()
				args = append([]string{"--local", "--config-file=" + r.path("kdc.conf"), "--realm=" + r.name}, args...)
				if res := must(t, r.env.with("KRB5_CONFIG", r.path("kdc.conf")), "", heimdal(t, "usr/bin/kadmin.heimdal"), args...); res.stderr != "" {
					t.Fatal(res)
				}
			}
			keytab := r.path("acting.keytab")
			for _, service := range []string{"HTTP/front", "HTTP/plain"} {
				kadmin("add", "--use-defaults", "--random-key", service)
				kadmin("modify", "--constrained-delegation=HTTP/localhost@"+r.name, service)
				kadmin("ext_keytab", "--keytab="+keytab, service)
			}
			kadmin("modify", "--attributes=trusted-for-delegation", "HTTP/front")
			kadmin("add", "--use-defaults", "--password="+bobPassword, "--attributes=disallow-forwardable", "vip")
			r.side(t, keytab, map[string]act{
				"self":                   {"HTTP/front", "alice", "", nil, true},
				"self, not trusted":      {"HTTP/plain", "alice", "", nil, true},
				"self, nobody":           {"HTTP/front", "mallory", "", middleware.ErrCredentials, false},
				"target":                 {"HTTP/front", "alice", "HTTP/localhost", nil, true},
				"another user":           {"HTTP/front", "bob", "HTTP/localhost", nil, true},
				"another target":         {"HTTP/front", "alice", "HTTP/stranger.example", kerberos.ErrDelegationNotAllowed, false},
				"not trusted":            {"HTTP/plain", "alice", "HTTP/localhost", kerberos.ErrEvidenceNotForwardable, false},
				"not to delegate":        {"HTTP/front", "vip", "HTTP/localhost", kerberos.ErrEvidenceNotForwardable, false},
				"target that is not one": {"HTTP/front", "alice", "HTTP/none", middleware.ErrKDC, false},
			})
		})
	}
}
