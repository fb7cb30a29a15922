package cbt

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	stdasn1 "encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// certificate reads one of testdata. Each file tells how it was made.
func certificate(tb testing.TB, name string) *x509.Certificate {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".pem"))
	if err != nil {
		tb.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		tb.Fatalf("%s: no PEM", name)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return cert
}

// A golden line is a certificate and the hash OpenSSL computes of it.
type golden struct{ name, hash, sum string }

func goldens(tb testing.TB) (lines []golden) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "endpoint.txt"))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := append(strings.Fields(line), "")
		if f[0] != "#" {
			lines = append(lines, golden{f[0], f[1], f[2]})
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "*.pem"))
	if err != nil || len(files) == 0 || len(files) != len(lines) {
		tb.Fatalf("%d certificates, %d hashes, %v", len(files), len(lines), err)
	}
	return lines
}

func TestEndPoint(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range goldens(t) {
		t.Run(g.name, func(t *testing.T) {
			seen[g.name] = true
			cert := certificate(t, g.name)
			data, err := EndPoint(cert)
			if g.hash == "undefined" {
				if data != nil || !errors.Is(err, ErrUndefined) || !strings.Contains(strings.ToLower(err.Error()), g.name) {
					t.Fatalf("%x, %v", data, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			sum, ok := strings.CutPrefix(string(data), "tls-server-end-point:")
			if !ok || hex.EncodeToString([]byte(sum)) != g.sum {
				t.Errorf("%q, want %s %s", data, g.hash, g.sum)
			}
			again, err := ForConn(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert, certificate(t, "ed25519")}})
			if err != nil || !bytes.Equal(again, data) {
				t.Errorf("ForConn: %q, %v", again, err)
			}
		})
	}
	for _, must := range []string{
		"rsa-md5", "rsa-sha1", "rsa-sha256", "rsa-sha384", "rsa-sha512",
		"ecdsa-sha1", "ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512",
		"pss-sha1", "pss-sha256", "pss-sha256-salt20", "pss-sha384", "pss-sha384-mgf-sha1", "pss-sha512",
	} {
		if !seen[must] {
			t.Errorf("%s was not tested", must)
		}
	}
}

// Where x509 knows the signature it must be of our opinion.
func TestEndPointAgreesWithX509(t *testing.T) {
	want := map[x509.SignatureAlgorithm]crypto.Hash{
		x509.MD5WithRSA: crypto.SHA256, x509.SHA1WithRSA: crypto.SHA256, x509.DSAWithSHA1: crypto.SHA256, x509.ECDSAWithSHA1: crypto.SHA256,
		x509.SHA256WithRSA: crypto.SHA256, x509.SHA256WithRSAPSS: crypto.SHA256, x509.DSAWithSHA256: crypto.SHA256, x509.ECDSAWithSHA256: crypto.SHA256,
		x509.SHA384WithRSA: crypto.SHA384, x509.SHA384WithRSAPSS: crypto.SHA384, x509.ECDSAWithSHA384: crypto.SHA384,
		x509.SHA512WithRSA: crypto.SHA512, x509.SHA512WithRSAPSS: crypto.SHA512, x509.ECDSAWithSHA512: crypto.SHA512,
		x509.PureEd25519: noHash,
	}
	met := 0
	for _, g := range goldens(t) {
		cert := certificate(t, g.name)
		h, ok := want[cert.SignatureAlgorithm]
		if !ok {
			continue
		}
		met++
		if got, _ := signatureHash(cert.Raw); got != h {
			t.Errorf("%s: %s has hash %d, want %d", g.name, cert.SignatureAlgorithm, got, h)
		}
	}
	if met != len(want) {
		t.Errorf("met %d of %d algorithms", met, len(want))
	}
}

func TestErrors(t *testing.T) {
	if data, err := EndPoint(nil); data != nil || !errors.Is(err, ErrCertificate) {
		t.Errorf("nil certificate: %x, %v", data, err)
	}
	if data, err := ForConn(nil); data != nil || err != nil {
		t.Errorf("plain HTTP: %x, %v", data, err)
	}
	if data, err := ForConn(&tls.ConnectionState{ServerName: "a.test"}); data != nil || !errors.Is(err, ErrCertificate) || !strings.Contains(err.Error(), "a.test") {
		t.Errorf("no certificate: %x, %v", data, err)
	}
	whole := certificate(t, "pss-sha256").Raw
	for name, raw := range map[string][]byte{"empty": nil, "cut": whole[:len(whole)/4], "junk": []byte("junk"), "hollow": {0x30, 0}} {
		if data, err := EndPoint(&x509.Certificate{Raw: raw}); data != nil || !errors.Is(err, ErrCertificate) {
			t.Errorf("%s: %x, %v", name, data, err)
		}
	}
}

// algorithm builds the contents of an AlgorithmIdentifier.
func algorithm(tb testing.TB, oid string, params string) []byte {
	tb.Helper()
	var b cryptobyte.Builder
	addOID(&b, oid)
	p, err := hex.DecodeString(strings.ReplaceAll(params, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	b.AddBytes(p)
	out, err := b.Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func addOID(b *cryptobyte.Builder, oid string) {
	var id stdasn1.ObjectIdentifier
	for part := range strings.SplitSeq(oid, ".") {
		n := 0
		for _, c := range part {
			n = 10*n + int(c-'0')
		}
		id = append(id, n)
	}
	b.AddASN1ObjectIdentifier(id)
}

func TestAlgorithmHash(t *testing.T) {
	const pss = "1.2.840.113549.1.1.10"
	for name, tc := range map[string]struct {
		oid, params string
		want        crypto.Hash
		err         error
	}{
		"old sha1WithRSA":           {"1.3.14.3.2.29", "0500", crypto.SHA256, nil},
		"MD2 with RSA":              {"1.2.840.113549.1.1.2", "0500", crypto.SHA256, nil},
		"parameters do not matter":  {"1.2.840.113549.1.1.12", "ffff", crypto.SHA384, nil},
		"ML-DSA-44":                 {"2.16.840.1.101.3.4.3.17", "", noHash, ErrUndefined},
		"Ed25519":                   {"1.3.101.112", "", noHash, ErrUndefined},
		"RSA key, no signature":     {"1.2.840.113549.1.1.1", "0500", noHash, ErrUndefined},
		"PSS, MD5":                  {pss, "3010 a00e 300c 06082a864886f70d0205 0500", crypto.SHA256, nil},
		"PSS, SHA-512/256":          {pss, "300f a00d 300b 0609608648016503040206", crypto.SHA512_256, nil},
		"PSS, SHA-512/224":          {pss, "300f a00d 300b 0609608648016503040205", crypto.SHA512_224, nil},
		"PSS, SHA3-256":             {pss, "300f a00d 300b 0609608648016503040208", crypto.SHA3_256, nil},
		"PSS, salt alone":           {pss, "3005 a203 020120", crypto.SHA256, nil},
		"PSS, unknown hash":         {pss, "3008 a006 3004 06022a03", noHash, ErrUndefined},
		"PSS, no parameters":        {pss, "", noHash, ErrCertificate},
		"PSS, NULL parameters":      {pss, "0500", noHash, ErrCertificate},
		"PSS, cut":                  {pss, "300fa00d300b", noHash, ErrCertificate},
		"PSS, trailing":             {pss, "3000 0500", noHash, ErrCertificate},
		"PSS, hash is no sequence":  {pss, "3004 a002 0500", noHash, ErrCertificate},
		"PSS, hash has no name":     {pss, "3004 a002 3000", noHash, ErrCertificate},
		"PSS, more beside the hash": {pss, "3011 a00f 300b 0609608648016503040201 0500", noHash, ErrCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := algorithmHash(algorithm(t, tc.oid, tc.params))
			if got != tc.want || !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Errorf("hash %d, %v, want %d, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

// Every hash has a sum of the length its name says.
func TestSums(t *testing.T) {
	for h, size := range map[crypto.Hash]int{
		crypto.SHA256: 32, crypto.SHA224: 28, crypto.SHA384: 48, crypto.SHA512: 64, crypto.SHA512_224: 28, crypto.SHA512_256: 32,
		crypto.SHA3_224: 28, crypto.SHA3_256: 32, crypto.SHA3_384: 48, crypto.SHA3_512: 64,
	} {
		if got := h.New().Sum(nil); len(got) != size {
			t.Errorf("hash %d: %d bytes, want %d", h, len(got), size)
		}
	}
}

func TestHash(t *testing.T) {
	published, err := hex.DecodeString("E3CA49271E5089CC48CE82109F1324F41DBEDDC29A777410C738F7868C4FF405")
	if err != nil {
		t.Fatal(err)
	}
	fake := []byte("fake cert")
	s256, s384, s512 := sha256.Sum256(fake), sha512.Sum384(fake), sha512.Sum512(fake)
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		// Published by Microsoft for NTLM, which hashes the same structure.
		"published":   {slices.Concat([]byte(prefix), published), "6ea19df066da4622051f9c4f92c6df74"},
		"SHA-256":     {slices.Concat([]byte(prefix), s256[:]), "1cb9d88ccb566793ddb59c7d0338cb04"}, // accepted by MIT krb5
		"SHA-384":     {slices.Concat([]byte(prefix), s384[:]), "e8ddf8bcc0a1aac2f5b668056331e15a"},
		"SHA-512":     {slices.Concat([]byte(prefix), s512[:]), "89464d7fe47231e8729b2aa285a6d717"},
		"empty":       {[]byte{}, "441018525208457705bf09a8ee3c1093"},
		"no bindings": {nil, "00000000000000000000000000000000"},
	} {
		if got := Hash(tc.data); hex.EncodeToString(got[:]) != tc.want {
			t.Errorf("%s: %x, want %s", name, got, tc.want)
		}
	}
}

// The application data that a real MIT acceptor was given, and found bound.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "gss", "testdata", "gss-vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Data string `json:"cb_application_data"`
	}
	if err := json.Unmarshal(text, &vectors); err != nil || len(vectors) == 0 {
		t.Fatal(len(vectors), err)
	}
	sum := sha256.Sum256([]byte("fake cert"))
	for n, v := range vectors {
		if want := hex.EncodeToString(slices.Concat([]byte(prefix), sum[:])); v.Data != want {
			t.Errorf("%d: %s, want %s", n, v.Data, want)
		}
	}
}

// A live connection names the certificate the server was given.
func TestForConnLive(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	want, err := EndPoint(srv.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ForConn(resp.TLS); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

// FuzzEndPoint reads its input as a certificate, as the AlgorithmIdentifier of
// one, and as RSASSA-PSS parameters: there is a hash or a reason, never both.
func FuzzEndPoint(f *testing.F) {
	n := 0
	for _, g := range goldens(f) {
		raw := certificate(f, g.name).Raw
		var cert, alg cryptobyte.String
		in := cryptobyte.String(raw)
		if !in.ReadASN1(&cert, asn1.SEQUENCE) || !cert.SkipASN1(asn1.SEQUENCE) || !cert.ReadASN1(&alg, asn1.SEQUENCE) {
			f.Fatal(g.name)
		}
		f.Add(raw)
		f.Add([]byte(alg))
		if alg.SkipASN1(asn1.OBJECT_IDENTIFIER) {
			f.Add([]byte(alg))
		}
		n++
	}
	if n == 0 {
		f.Fatal("empty seed corpus")
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(h crypto.Hash, err error) {
			if (h == noHash) != (err != nil) {
				t.Fatalf("hash %d with %v", h, err)
			}
			if err != nil && errors.Is(err, ErrUndefined) == errors.Is(err, ErrCertificate) {
				t.Fatalf("kind of %v", err)
			}
		}
		check(signatureHash(b))
		check(algorithmHash(b))
		check(pssHash(b))
		data, err := EndPoint(&x509.Certificate{Raw: b})
		if (err == nil) != bytes.HasPrefix(data, []byte(prefix)) {
			t.Fatalf("%q, %v", data, err)
		}
	})
}
