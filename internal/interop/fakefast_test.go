//go:build interop

package interop

import (
	"path/filepath"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
)

// TestFakeFAST: MIT's kinit -T logs in to a realm of fakekdc that refuses users without
// armour, with keys of every type, and not with a wrong password or where an answer is not
// as FAST has it; and its kvno gets tickets afterwards, in armour too.
func TestFakeFAST(t *testing.T) {
	for _, e := range etypes {
		r := fakekdc.Start(t, fakekdc.WithEtypes(e.number), fakekdc.WithFASTRequired(), fakekdc.WithService("host/armor"),
			fakekdc.WithUser("alice", alicePassword), fakekdc.WithUser("carol", alicePassword, fakekdc.NoPreauth()),
			fakekdc.WithUser("otto", "of no use", fakekdc.OTP("123456")), fakekdc.WithService("HTTP/localhost"))
		dir := t.TempDir()
		env := environment{
			"KRB5_CONFIG": write(t, filepath.Join(dir, "krb5.conf"), r.Config("dns_canonicalize_hostname = false")), "KRB5CCNAME": "FILE:" + filepath.Join(dir, "ccache"),
			"HOME": dir, "KRB5_TRACE": filepath.Join(dir, "trace"),
		}
		showOnFailure(t, filepath.Join(dir, "trace"))
		must(t, env, "", tool(t, "kinit"), "-c", filepath.Join(dir, "armor"), "-k", "-t", write(t, filepath.Join(dir, "keytab"), string(r.Keytab("host/armor"))), "host/armor")
		for name, tc := range map[string]struct {
			user, answer string
			fault        fakekdc.Fault
			unarmored    bool
			works        bool
		}{
			"password":                {user: "alice", answer: alicePassword, works: true},
			"wrong password":          {user: "alice", answer: "guess"},
			"no armour":               {user: "alice", answer: alicePassword, unarmored: true},
			"no pre-auth":             {user: "carol", answer: alicePassword, works: true},
			"no pre-auth, wrong":      {user: "carol", answer: "guess"},
			"wrong armour key":        {user: "carol", answer: alicePassword, fault: fakekdc.WrongArmorKey()},
			"not finished":            {user: "carol", answer: alicePassword, fault: fakekdc.MissingFinished()},
			"wrong cookie":            {user: "alice", answer: alicePassword, fault: fakekdc.WrongCookie(), works: true}, // begins anew
			"one-time password":       {user: "otto", answer: "123456", works: true},
			"wrong one-time password": {user: "otto", answer: "654321"},
		} {
			t.Run(e.name+"/"+name, func(t *testing.T) {
				r.ClearFaults()
				r.ResetExchanges()
				if tc.fault.String() != "" {
					r.FailNext(fakekdc.AS, tc.fault)
				}
				args := []string{"-T", filepath.Join(dir, "armor"), tc.user}
				if tc.unarmored {
					args = args[2:]
				}
				out := run(t, env, tc.answer+"\n"+tc.answer+"\n", tool(t, "kinit"), args...)
				if (out.code == 0) != tc.works {
					t.Fatalf("kinit: %v\n%v", out, r.Exchanges())
				}
				if !tc.works {
					return
				}
				must(t, env, "", tool(t, "kvno"), "HTTP/localhost")
				all := r.Exchanges()
				if last := all[len(all)-1]; last.Kind != fakekdc.TGS || !last.FAST || !all[0].FAST {
					t.Errorf("%v", all)
				}
			})
		}
	}
}
