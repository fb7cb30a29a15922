// Package cbt computes TLS channel bindings of the type tls-server-end-point
// (RFC 5929 section 4) for the Kerberos mechanism of GSS-API (RFC 4121 section
// 4.1.1.2): they tie a token to the certificate of the server that it is sent
// to, so that nobody in between can pass it on.
//
// A request over plain HTTP has no bindings. The package holds no state; its
// functions are safe for concurrent use and only read what they are given.
package cbt

import (
	"crypto/fips140"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
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
