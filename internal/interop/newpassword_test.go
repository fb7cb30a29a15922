//go:build interop

package interop

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/kerberos"
)

// expired logs a user in whose password has expired, with new ones to offer, and returns
// why each was asked for.
func expired(t *testing.T, conf, user, old string, fresh ...string) (whys []string, err error) {
	t.Helper()
	o := kerberos.SourceOptions{Principal: user, Krb5Conf: []string{conf}, Getenv: func(string) string { return "" }, Logins: new(kerberos.Logins)}
	o.NewPassword = func(_ context.Context, r kerberos.NewPasswordRequest) (kerberos.Secret, error) {
		whys = append(whys, r.Why.Error())
		return kerberos.NewSecret(fresh[len(whys)-1]), nil
	}
	s, err := kerberos.FromPassword(kerberos.NewSecret(old), o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.ServiceTicket(t.Context(), "HTTP/localhost")
	for _, text := range append(whys, errorText(err)) {
		for _, secret := range append(fresh, old) {
			if strings.Contains(text, secret) {
				t.Errorf("a password is told: %s", text)
			}
		}
	}
	return whys, err
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// testExpiredPassword has a domain controller change a password that must be changed, and
// refuse one with its rules, of which we hear.
func (l *lab) testExpiredPassword(t *testing.T) {
	l.samba(t, "user", "create", "late", adPassword, "--must-change-at-next-login")
	l.samba(t, "domain", "passwordsettings", "set", "--min-pwd-age=0")
	conf := write(t, l.path("kpasswd.conf"), soloConfig(l.name, "kdc = "+l.kdc, "kpasswd_server = "+l.kpasswd))
	const fresh = "Of-no-0ther-use"
	whys, err := expired(t, conf, "late", adPassword, "zzz", fresh)
	if err != nil || len(whys) != 2 || !strings.Contains(whys[0], "KDC_ERR_KEY_EXPIRED") || !strings.Contains(whys[1], "does not take this new password") {
		t.Errorf("%v, %q", err, whys)
	}
	for password, works := range map[string]bool{fresh: true, adPassword: false} {
		if r := run(t, l.env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "cc")), password+"\n", tool(t, "kinit"), "late"); (r.code == 0) != works {
			t.Errorf("want %v: %v", works, r)
		}
	}
}

// TestExpiredPasswordOfMIT: MIT's kadmind changes an expired password for us, as for kinit,
// and not for one that its policy forbids, of which we hear why.
func TestExpiredPasswordOfMIT(t *testing.T) {
	t.Parallel()
	addrs := freePorts(t, 3)
	k := &kdc{name: "EXPIRED.TEST", addr: addrs[0], dir: filepath.Join(tempDir(t), "kdc")}
	text := soloConfig(k.name, "kdc = "+k.addr, "kpasswd_server = "+addrs[2])
	k.create(t, text, "addpol -minlength 10 long", "addprinc -policy long +needchange -pw the-old-one alice", "addprinc -policy long +needchange -pw the-old-one bob",
		"addprinc -policy long +needchange -pw the-old-one carol", "addprinc -policy long +needchange -pw the-old-one dave",
		"addprinc -clearpolicy -randkey HTTP/localhost")
	conf := readAll(t, k.path("kdc.conf"))
	write(t, k.path("kdc.conf"), strings.Replace(conf, "\t\tmax_life", "\t\tkadmind_listen = "+addrs[1]+"\n\t\tkpasswd_listen = "+addrs[2]+"\n\t\tmax_life", 1))
	write(t, k.path("kadm5.acl"), "")
	k.serve(t)
	serve(t, k.env(), nil, addrs[1:], tool(t, "kadmind"), "-nofork", "-r", k.name)
	env := environment{"KRB5_CONFIG": write(t, k.path("client.conf"), text), "HOME": k.dir, "KRB5CCNAME": "FILE:" + k.path("cc")}
	kinit := func(user, stdin string) bool { return run(t, env, stdin, tool(t, "kinit"), user).code == 0 }
	if kinit("bob", "the-old-one\nnew\nnew\n") || !kinit("bob", "the-old-one\nof-no-other-use\nof-no-other-use\n") {
		t.Error("kinit does not change the password, so this proves nothing")
	}
	whys, err := expired(t, env["KRB5_CONFIG"], "alice", "the-old-one", "zzz", "of-no-other-use")
	if err != nil || len(whys) != 2 || !strings.Contains(whys[0], "KDC_ERR_KEY_EXPIRED") || !strings.Contains(whys[1], "too short") {
		t.Errorf("%v, %q", err, whys)
	}
	if !kinit("alice", "of-no-other-use\n") || kinit("alice", "the-old-one\n") {
		t.Error("the password was not changed")
	}
	// The answer to a change is lost, or the request is: the next login finds out which.
	for user, arrives := range map[string]bool{"carol": true, "dave": false} {
		lossy := losesAnswers(t, addrs[2], arrives)
		conf := write(t, k.path(user+".conf"), soloConfig(k.name, "kdc = "+k.addr, "kpasswd_server = "+lossy))
		asked := 0
		o := kerberos.SourceOptions{Principal: user, Krb5Conf: []string{conf}, Getenv: func(string) string { return "" }, Logins: new(kerberos.Logins)}
		o.NewPassword = func(context.Context, kerberos.NewPasswordRequest) (kerberos.Secret, error) {
			asked++
			return kerberos.NewSecret("of-no-other-use"), nil
		}
		for n := range 2 {
			s, err := kerberos.FromPassword(kerberos.NewSecret("the-old-one"), o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.ServiceTicket(t.Context(), "HTTP/localhost")
			if n == 0 && !strings.Contains(errorText(err), "may have been changed") || n == 1 && err != nil || asked != 1 {
				t.Errorf("%s, login %d: asked %d times: %v", user, n+1, asked, err)
			}
		}
		if !kinit(user, "of-no-other-use\n") || kinit(user, "the-old-one\n") {
			t.Errorf("the password of %s was not changed", user)
		}
	}
}

// losesAnswers listens in the place of a server over TCP. The first connection ends without the
// answer that came, or without the request having been sent on.
func losesAnswers(t *testing.T, to string, arrives bool) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	all.Go(func() {
		for first := true; ; first = false {
			from, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer from.Close()
				request := make([]byte, 1<<16)
				n, err := from.Read(request)
				if err != nil || first && !arrives {
					return
				}
				on, err := net.Dial("tcp", to)
				if err != nil {
					t.Error(err)
					return
				}
				defer on.Close()
				answer := make([]byte, 1<<16)
				if _, err = on.Write(request[:n]); err == nil {
					n, err = on.Read(answer)
				}
				if err != nil {
					t.Error(err)
				} else if !first {
					_, _ = from.Write(answer[:n])
				}
			})
		}
	})
	return l.Addr().String()
}
