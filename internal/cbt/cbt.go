// Package cbt computes TLS channel bindings of the type tls-server-end-point
// (RFC 5929 section 4) for the Kerberos mechanism of GSS-API (RFC 4121 section
// 4.1.1.2): they tie a token to the certificate of the server that it is sent
// to, so that nobody in between can pass it on.
package cbt

import (
	"crypto"
	"crypto/fips140"
	"crypto/md5"
	_ "crypto/sha256" // the hashes that a certificate may be hashed with
	_ "crypto/sha3"
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	stdasn1 "encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// prefix is the unique name of the binding type (RFC 5929 section 4), with the
// colon of RFC 5056 section 2.1.
const prefix = "tls-server-end-point:"

// Errors of this package wrap one of these.
var (
	// ErrUndefined: the certificate is signed with an algorithm for which RFC
	// 5929 defines no hash, such as Ed25519. Most clients send no bindings
	// then.
	ErrUndefined = errors.New("tls-server-end-point is not defined")
	// ErrCertificate: there is no certificate, or not one that can be read.
	ErrCertificate = errors.New("no readable server certificate")
)

// EndPoint returns the application data of the bindings to a server with that
// certificate: "tls-server-end-point:" and the hash of its DER encoding. The
// hash is the one of the certificate's signature, SHA-256 in place of MD5 and
// SHA-1 (RFC 5929 section 4.1). For RSASSA-PSS it is the hashAlgorithm of the
// signature's parameters; the hash inside the mask generation is left out of
// account, as other implementations do. Only cert.Raw is looked at.
//
// Errors wrap ErrUndefined or ErrCertificate.
func EndPoint(cert *x509.Certificate) (data []byte, err error) {
	if cert == nil {
		return nil, fmt.Errorf("channel bindings: %w", ErrCertificate)
	}
	h, err := signatureHash(cert.Raw)
	if err != nil {
		return nil, fmt.Errorf("channel bindings to the certificate of %q: %w", cert.Subject, err)
	}
	sum := h.New()
	sum.Write(cert.Raw) // which never fails
	return sum.Sum([]byte(prefix)), nil
}

// ForConn returns the application data for the connection state belongs to, as
// seen by the client. It is nil, without an error, when state is nil: plain
// HTTP has no bindings. Errors are those of EndPoint.
//
// The state must be that of the connection the token is sent on, and its peer
// the server itself: behind a TLS proxy the bindings are the proxy's and a
// server that checks them refuses.
func ForConn(state *tls.ConnectionState) ([]byte, error) {
	if state == nil {
		return nil, nil
	}
	if len(state.PeerCertificates) == 0 {
		return nil, fmt.Errorf("channel bindings to %q: %w", state.ServerName, ErrCertificate)
	}
	return EndPoint(state.PeerCertificates[0])
}

// Hash returns the Bnd field of the authenticator's checksum (RFC 4121 section
// 4.1.1.2): the MD5 hash of the channel bindings structure that holds appData
// and no addresses, numbers in it being little-endian. For nil, which stands
// for no bindings at all, it is 16 zero bytes; for data that is empty but not
// nil it is the hash of an empty structure.
func Hash(appData []byte) (bnd [16]byte) {
	if appData == nil {
		return bnd
	}
	// Type and length of the initiator's and the acceptor's address are zero.
	b := make([]byte, 16, 128) // of constant size, so that it stays on the stack
	b = binary.LittleEndian.AppendUint32(b, uint32(len(appData)))
	b = append(b, appData...)
	// RFC 4121 knows no other hash. Nothing rests on MD5's being hard to collide:
	// the application data is a hash of the certificate itself, and the field is
	// sealed or signed with a key of the ticket's.
	fips140.WithoutEnforcement(func() { bnd = md5.Sum(b) })
	return bnd
}

// noHash stands for none that is defined.
const noHash crypto.Hash = 0

// signatureHash returns the hash for a DER certificate, by the
// signatureAlgorithm outside its signed part (RFC 5280 section 4.1.1.2). x509
// is of no help: it knows RSASSA-PSS only with the parameters that TLS 1.3
// allows, and neither SHA-224 nor SHA-3.
func signatureHash(der []byte) (crypto.Hash, error) {
	var cert, alg cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&cert, asn1.SEQUENCE) || !cert.SkipASN1(asn1.SEQUENCE) || !cert.ReadASN1(&alg, asn1.SEQUENCE) {
		return noHash, fmt.Errorf("certificate of %d bytes: %w", len(der), ErrCertificate)
	}
	return algorithmHash(alg)
}

// algorithmHash returns the hash for a signature algorithm, given the contents
// of its AlgorithmIdentifier (RFC 5280 section 4.1.1.2).
func algorithmHash(alg cryptobyte.String) (crypto.Hash, error) {
	var oid stdasn1.ObjectIdentifier
	if !alg.ReadASN1ObjectIdentifier(&oid) {
		return noHash, fmt.Errorf("signature algorithm of the certificate: %w", ErrCertificate)
	}
	name := oid.String()
	if name == "1.2.840.113549.1.1.10" {
		return pssHash(alg)
	}
	if h := bySignature(name); h != noHash {
		return h, nil
	}
	switch name {
	case "1.3.101.112":
		name = "Ed25519"
	case "1.3.101.113":
		name = "Ed448"
	}
	return noHash, fmt.Errorf("%w for the signature algorithm %s", ErrUndefined, name)
}

// pssHash reads RSASSA-PSS-params (RFC 4055 section 3.1). All of its members
// may be absent, but a signature has to have the sequence.
func pssHash(params cryptobyte.String) (crypto.Hash, error) {
	var seq, member, alg cryptobyte.String
	var present bool
	if !params.ReadASN1(&seq, asn1.SEQUENCE) || !params.Empty() ||
		!seq.ReadOptionalASN1(&member, &present, asn1.Tag(0).ContextSpecific().Constructed()) {
		return noHash, fmt.Errorf("RSASSA-PSS parameters of the certificate: %w", ErrCertificate)
	}
	if !present {
		return crypto.SHA256, nil // DEFAULT sha1
	}
	var oid stdasn1.ObjectIdentifier
	if !member.ReadASN1(&alg, asn1.SEQUENCE) || !member.Empty() || !alg.ReadASN1ObjectIdentifier(&oid) {
		return noHash, fmt.Errorf("RSASSA-PSS hash algorithm of the certificate: %w", ErrCertificate)
	}
	if h := byDigest(oid.String()); h != noHash {
		return h, nil
	}
	return noHash, fmt.Errorf("%w for RSASSA-PSS with the hash %s", ErrUndefined, oid)
}

// bySignature maps signature algorithms (RFC 8017 appendix A.2.4, RFC 3279,
// RFC 5758, RFC 8692, NIST's CSOR) to the hash for the certificate.
func bySignature(oid string) crypto.Hash {
	switch oid {
	case "1.2.840.113549.1.1.2", // md2WithRSAEncryption
		"1.2.840.113549.1.1.4",   // md5WithRSAEncryption
		"1.2.840.113549.1.1.5",   // sha1WithRSAEncryption
		"1.3.14.3.2.29",          // sha1WithRSASignature, an older name
		"1.2.840.10040.4.3",      // dsa-with-sha1
		"1.2.840.10045.4.1",      // ecdsa-with-SHA1
		"1.2.840.113549.1.1.11",  // sha256WithRSAEncryption
		"2.16.840.1.101.3.4.3.2", // dsa-with-sha256
		"1.2.840.10045.4.3.2":    // ecdsa-with-SHA256
		return crypto.SHA256
	case "1.2.840.113549.1.1.14", "2.16.840.1.101.3.4.3.1", "1.2.840.10045.4.3.1":
		return crypto.SHA224
	case "1.2.840.113549.1.1.12", "2.16.840.1.101.3.4.3.3", "1.2.840.10045.4.3.3":
		return crypto.SHA384
	case "1.2.840.113549.1.1.13", "2.16.840.1.101.3.4.3.4", "1.2.840.10045.4.3.4":
		return crypto.SHA512
	case "1.2.840.113549.1.1.15": // sha512-224WithRSAEncryption
		return crypto.SHA512_224
	case "1.2.840.113549.1.1.16": // sha512-256WithRSAEncryption
		return crypto.SHA512_256
	// SHA-3 with DSA, ECDSA and RSA.
	case "2.16.840.1.101.3.4.3.5", "2.16.840.1.101.3.4.3.9", "2.16.840.1.101.3.4.3.13":
		return crypto.SHA3_224
	case "2.16.840.1.101.3.4.3.6", "2.16.840.1.101.3.4.3.10", "2.16.840.1.101.3.4.3.14":
		return crypto.SHA3_256
	case "2.16.840.1.101.3.4.3.7", "2.16.840.1.101.3.4.3.11", "2.16.840.1.101.3.4.3.15":
		return crypto.SHA3_384
	case "2.16.840.1.101.3.4.3.8", "2.16.840.1.101.3.4.3.12", "2.16.840.1.101.3.4.3.16":
		return crypto.SHA3_512
	}
	return noHash
}

// byDigest maps hash algorithms (RFC 8017 appendix B.1, NIST's CSOR) to the
// hash for the certificate.
func byDigest(oid string) crypto.Hash {
	switch oid {
	case "1.2.840.113549.2.2", // MD2
		"1.2.840.113549.2.5",     // MD5
		"1.3.14.3.2.26",          // SHA-1
		"2.16.840.1.101.3.4.2.1": // SHA-256
		return crypto.SHA256
	case "2.16.840.1.101.3.4.2.4":
		return crypto.SHA224
	case "2.16.840.1.101.3.4.2.2":
		return crypto.SHA384
	case "2.16.840.1.101.3.4.2.3":
		return crypto.SHA512
	case "2.16.840.1.101.3.4.2.5":
		return crypto.SHA512_224
	case "2.16.840.1.101.3.4.2.6":
		return crypto.SHA512_256
	case "2.16.840.1.101.3.4.2.7":
		return crypto.SHA3_224
	case "2.16.840.1.101.3.4.2.8":
		return crypto.SHA3_256
	case "2.16.840.1.101.3.4.2.9":
		return crypto.SHA3_384
	case "2.16.840.1.101.3.4.2.10":
		return crypto.SHA3_512
	}
	return noHash
}
