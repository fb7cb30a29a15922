package kerberos

import (
	"context"
	"crypto/sha256"
	"fmt"
)

// whom an [Impersonator] acts for, as a key: two are the same only if they were named
// in the same way.
type whom struct {
	how namedBy
	id  string // the user as written, or the digest of what is in named.der
}

// namedBy is how a context names the user.
type namedBy uint8

const (
	byName namedBy = iota
	byTicket
	byCertificate
)

// named is what a context holds.
type named struct {
	whom
	der []byte // of a ticket or certificate
}

type namedKey struct{}

// AsUser returns a context for requests that an [Impersonator] is to sign as the user,
// name or name@REALM, such as alice@CORP.EXAMPLE. A name without a realm is of the
// service's. One with an escaped @, such as alice\@corp.example, is a user principal
// name of Active Directory, for which the KDCs find the realm. The user must have been authenticated by then: whom a
// request is for is the application's word, and never taken from the request. An empty
// user is nobody.
func AsUser(ctx context.Context, user string) context.Context {
	if user == "" {
		return context.WithValue(ctx, namedKey{}, (*named)(nil))
	}
	return context.WithValue(ctx, namedKey{}, &named{whom: whom{byName, user}})
}

// AsCaller returns a context for requests that an [Impersonator] is to sign as the
// client who presented a ticket to the service: DER of the Ticket in the AP-REQ (RFC
// 4120 section 5.5.1), which the caller must not change. That is constrained delegation
// by S4U2Proxy alone: the service need not be trusted to name users, but the KDC must
// let it act at the target, and the ticket must be forwardable. The service's
// credentials are a keytab, which opens the ticket and so tells whose it is.
//
// A ticket proves nothing of who sent it: the AP-REQ must have been verified by then,
// with its authenticator.
func AsCaller(ctx context.Context, ticket []byte) context.Context {
	sum := sha256.Sum256(ticket)
	return context.WithValue(ctx, namedKey{}, &named{whom{byTicket, string(sum[:])}, ticket})
}

// AsCertificate returns a context for requests that an [Impersonator] is to sign as the
// user to whom the KDC maps an X.509 certificate: its DER (RFC 5280 section 4.1), such as
// http.Request.TLS.VerifiedChains[0][0].Raw, which the caller must not change. The KDCs
// find the user's realm and tell the name (S4U2Self, [MS-SFU] section 3.1.5.1.1.2):
// Active Directory's do.
//
// The KDC does not verify the certificate, nor that anybody holds its key: that must have
// been done by then, as by net/http's server with tls.RequireAndVerifyClientCert. An
// empty certificate is nobody's.
func AsCertificate(ctx context.Context, certificate []byte) context.Context {
	if len(certificate) == 0 {
		return context.WithValue(ctx, namedKey{}, (*named)(nil))
	}
	sum := sha256.Sum256(certificate)
	return context.WithValue(ctx, namedKey{}, &named{whom{byCertificate, string(sum[:])}, certificate})
}

// UserOf returns the user of [AsUser], "" for none, and where another function names
// the user.
func UserOf(ctx context.Context) string {
	if n := namedIn(ctx); n != nil && n.how == byName {
		return n.id
	}
	return ""
}

// namedIn returns for whom a context is, nil for nobody.
func namedIn(ctx context.Context) *named {
	n, _ := ctx.Value(namedKey{}).(*named)
	return n
}

// String returns the user for people.
func (w whom) String() string {
	switch w.how {
	case byTicket:
		return "the caller"
	case byCertificate:
		return fmt.Sprintf("the user of the certificate with SHA-256 %x", w.id)
	}
	return w.id
}

// flight is a key of w for a [flight.Group], which no other whom has with other words.
func (w whom) flight(more string) string { return fmt.Sprintf("%d %q %q", w.how, w.id, more) }
