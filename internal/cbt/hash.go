package cbt

import (
	"crypto"
	_ "crypto/sha256" // the hashes that a certificate may be hashed with
	_ "crypto/sha3"
	_ "crypto/sha512"
	stdasn1 "encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

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
