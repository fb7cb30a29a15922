//go:build interop

package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
)

// TestFakeRealmsActing: MIT's kvno and we act for users of other realms at services of
// others yet, by name, user principal name and certificate, and are allowed and refused
// the same by fakekdc.
func TestFakeRealmsActing(t *testing.T) {
	dir := t.TempDir()
	start := func(name string, opts ...fakekdc.Option) *fakekdc.Realm {
		return fakekdc.Start(t, append([]fakekdc.Option{fakekdc.WithRealm(name), fakekdc.WithPAC()}, opts...)...)
	}
	der := userCertificate(t, "carol")
	a := start("A.TEST", fakekdc.WithUser("alice", alicePassword), fakekdc.WithService("HTTP/back.a.test"),
		fakekdc.WithService("HTTP/front", fakekdc.TrustedToAuth(), fakekdc.AllowedToDelegateTo("HTTP/back.a.test")))
	b := start("B.TEST")
	c := start("C.TEST", fakekdc.WithUser("carol", bobPassword, fakekdc.Certificate(der)), fakekdc.WithUser("vip", bobPassword, fakekdc.NotForwardable()),
		fakekdc.WithService("HTTP/far.c.test", fakekdc.AllowedToDelegateFrom("HTTP/front@A.TEST")), fakekdc.WithService("HTTP/shut.c.test"))
	a.Trust(b)
	b.Trust(c)
	c.Alias("carol@corp.test", "carol")
	realms := []*fakekdc.Realm{a, b, c}

	conf := write(t, filepath.Join(dir, "krb5.conf"), a.ConfigWithCapaths()) // by which kvno reads the ticket for itself
	keytab := filepath.Join(dir, "keytab")
	if err := os.WriteFile(keytab, a.Keytab("HTTP/front"), 0o600); err != nil {
		t.Fatal(err)
	}
	var pemFile string
	{
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		pemFile = write(t, filepath.Join(dir, "carol.pem"), string(block))
	}
	trace := filepath.Join(dir, "trace")
	showOnFailure(t, trace)
	for name, tc := range map[string]struct {
		kvno   []string
		as     func(context.Context) context.Context
		target string // "" for S4U2Self alone
		client string // "" for refused
		is     error
	}{
		"own user, own target":      {[]string{"-I", "alice"}, asUser("alice"), "HTTP/back.a.test", "alice@A.TEST", nil},
		"own user, far target":      {[]string{"-I", "alice"}, asUser("alice"), "HTTP/far.c.test", "alice@A.TEST", nil},
		"far user, self":            {[]string{"-I", "carol@C.TEST"}, asUser("carol@C.TEST"), "", "carol@C.TEST", nil},
		"far user, own target":      {[]string{"-I", "carol@C.TEST"}, asUser("carol@C.TEST"), "HTTP/back.a.test", "carol@C.TEST", nil},
		"far user, far target":      {[]string{"-I", "carol@C.TEST"}, asUser("carol@C.TEST"), "HTTP/far.c.test", "carol@C.TEST", nil},
		"by UPN":                    {[]string{"-U", "carol@corp.test"}, asUser(`carol\@corp.test`), "HTTP/far.c.test", "carol@C.TEST", nil},
		"by UPN, self":              {[]string{"-U", "carol@corp.test"}, asUser(`carol\@corp.test`), "", "carol@C.TEST", nil},
		"by certificate":            {[]string{"-F", pemFile}, func(ctx context.Context) context.Context { return kerberos.AsCertificate(ctx, der) }, "HTTP/far.c.test", "carol@C.TEST", nil},
		"by certificate, self":      {[]string{"-F", pemFile}, func(ctx context.Context) context.Context { return kerberos.AsCertificate(ctx, der) }, "", "carol@C.TEST", nil},
		"target that lets no one":   {[]string{"-I", "carol@C.TEST"}, asUser("carol@C.TEST"), "HTTP/shut.c.test", "", kerberos.ErrDelegationNotAllowed},
		"sensitive user":            {[]string{"-I", "vip@C.TEST"}, asUser("vip@C.TEST"), "HTTP/back.a.test", "", kerberos.ErrEvidenceNotForwardable},
		"nobody there":              {[]string{"-I", "mallory@C.TEST"}, asUser("mallory@C.TEST"), "", "", nil},
		"nobody anywhere":           {[]string{"-U", "mallory@corp.test"}, asUser(`mallory\@corp.test`), "", "", nil},
		"no such target":            {[]string{"-I", "carol@C.TEST"}, asUser("carol@C.TEST"), "HTTP/none.c.test", "", nil},
		"far user of unknown realm": {[]string{"-I", "carol@NO.TEST"}, asUser("carol@NO.TEST"), "", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			env := environment{"KRB5_CONFIG": conf, "KRB5CCNAME": "FILE:" + filepath.Join(t.TempDir(), "ccache"), "HOME": dir, "KRB5_TRACE": trace}
			must(t, env, "", tool(t, "kinit"), "-f", "-k", "-t", keytab, "HTTP/front")
			exchanges := func() string {
				var out []string
				for _, r := range realms {
					for _, e := range r.Exchanges() {
						out = append(out, strings.NewReplacer("/udp", "", "/tcp", "").Replace(e.String()))
					}
					r.ResetExchanges()
				}
				return strings.Join(out, "\n")
			}
			exchanges()
			args := append([]string{"-k", keytab}, tc.kvno...)
			target := tc.target
			if target == "" {
				target = "HTTP/front"
				args = append(args, target)
			} else {
				args = append(args, "-P", target+"@") // of a realm that the KDC tells
			}
			theirs := run(t, env, "", tool(t, "kvno"), args...)
			said := exchanges()
			// It has no keytab of the target's, and so cannot open what it got.
			list := run(t, env, "", tool(t, "klist")).stdout
			_, after, got := strings.Cut(list, "  "+target+"@")
			if got != (tc.client != "") || got && !strings.HasPrefix(strings.TrimSpace(after[strings.IndexByte(after, '\n'):]), "for client "+tc.client) {
				t.Errorf("kvno: %v, with\n%s, after\n%s", theirs, list, said)
			}

			s, err := kerberos.FromKeytab(keytab, kerberos.SourceOptions{Principal: "HTTP/front", Krb5Conf: []string{conf}, Logins: new(kerberos.Logins), Getenv: func(string) string { return "" }})
			if err != nil {
				t.Fatal(err)
			}
			ticket, err := kerberos.NewImpersonator(s).ServiceTicket(tc.as(t.Context()), target)
			ours := exchanges()
			if (err == nil) != (tc.client != "") || err == nil && ticket.Client() != tc.client || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v, %v, after\n%s\nkvno:\n%s", ticket, err, ours, said)
			}
			if a, b := acted(said), acted(ours); tc.client != "" && a != b {
				t.Errorf("kvno asked for\n%s\nand we for\n%s", a, b)
			}
		})
	}
}

func asUser(name string) func(context.Context) context.Context {
	return func(ctx context.Context) context.Context { return kerberos.AsUser(ctx, name) }
}

// userCertificate returns a certificate, DER, that nobody vouches for.
func userCertificate(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// acted are the exchanges in which a service acted for a user.
func acted(exchanges string) string {
	var out []string
	for _, e := range strings.Split(exchanges, "\n") {
		if strings.Contains(e, "S4U2") {
			out = append(out, e)
		}
	}
	return strings.Join(out, "\n")
}
