//go:build interop

package interop

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// Names of RFC 4556: what a KDC's and a client's certificate is for (sections 3.2.4 and
// 3.2.2), and the form of name that says whose it is.
var (
	keyPurposeKDC    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 2, 3, 5}
	keyPurposeClient = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 2, 3, 4}
	pkinitName       = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 2, 2}
)

// An authority makes the certificates of a realm in which users log in with theirs
// (PKINIT, RFC 4556).
type authority struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: tempDir(t)}
	a.cert = &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA: true, BasicConstraintsValid: true,
	}
	a.key = a.write(t, "authority", a.cert, nil)
	return a
}

// path is where the certificate or key of somebody is.
func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// anchors is the line of krb5.conf by which the authority is trusted.
func (a *authority) anchors() string { return "pkinit_anchors = FILE:" + a.path("authority.pem") }

// identity names the certificate and the key of somebody as MIT's tools want it.
func (a *authority) identity(name string) string {
	return "FILE:" + a.path(name+".pem") + "," + a.path(name+".key")
}

// issue makes a certificate of a principal, for that purpose.
func (a *authority) issue(t *testing.T, name, realm string, purpose asn1.ObjectIdentifier, components ...string) {
	t.Helper()
	a.write(t, name, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{purpose},
		ExtraExtensions:    []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: subjectPrincipal(t, realm, components)}},
	}, a.key)
}

// write makes a key and a certificate of it, which signs itself where by is nil.
func (a *authority) write(t *testing.T, name string, template *x509.Certificate, by crypto.Signer) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100)); err != nil {
		t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	cert, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: cert}, name + ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(a.path(file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return key
}

// subjectPrincipal is the extension subjectAltName with a KRB5PrincipalName (RFC 4556
// section 3.2.2).
func subjectPrincipal(t *testing.T, realm string, components []string) []byte {
	t.Helper()
	explicit := func(n uint8) der.Tag { return der.Tag(n).ContextSpecific().Constructed() }
	text := func(b *cryptobyte.Builder, s string) {
		b.AddASN1(der.GeneralString, func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
	}
	kind := int64(1) // NT-PRINCIPAL
	if len(components) > 1 {
		kind = 2 // NT-SRV-INST
	}
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { // otherName
			b.AddASN1ObjectIdentifier(pkinitName)
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
				b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { text(b, realm) })
					b.AddASN1(explicit(1), func(b *cryptobyte.Builder) {
						b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
							b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1Int64(kind) })
							b.AddASN1(explicit(1), func(b *cryptobyte.Builder) {
								b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
									for _, c := range components {
										text(b, c)
									}
								})
							})
						})
					})
				})
			})
		})
	})
	out, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// startPKINITRealm starts a realm in which alice may log in with her certificate.
func startPKINITRealm(t *testing.T, e etype) (*realm, *authority) {
	t.Helper()
	if found, _ := filepath.Glob("/usr/lib/*/krb5/plugins/preauth/pkinit.so"); len(found) == 0 {
		t.Fatal("PKINIT is missing: install the Debian package krb5-pkinit (.ci/packages does)")
	}
	a := newAuthority(t)
	name := e.realm()
	a.issue(t, "kdc", name, keyPurposeKDC, "krbtgt", name)
	a.issue(t, "alice", name, keyPurposeClient, "alice")
	return startRealm(t, e, "pkinit_identity = "+a.identity("kdc"), a.anchors()), a
}

// kinitByCertificate logs alice in without her password.
func (l *lab) kinitByCertificate(t *testing.T, a *authority) environment {
	t.Helper()
	env := l.env.with("KRB5_CONFIG", l.config(t, "pkinit.conf", l.kdc, a.anchors())).
		with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "ccache"))
	must(t, env, "", tool(t, "kinit"), "-X", "X509_user_identity="+a.identity("alice"), "alice")
	// The cache says by which kind of pre-authentication it was got (PA-PK-AS-REQ).
	if list := must(t, env, "", tool(t, "klist"), "-C").stdout; !strings.Contains(list, fmt.Sprintf("pa_type(krbtgt/%[1]s@%[1]s) = 16", l.name)) {
		t.Fatalf("alice did not log in with her certificate:\n%s", list)
	}
	return env
}
