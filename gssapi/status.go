package gssapi

import (
	"fmt"

	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// A StatusError is what the library says of a call that failed.
type StatusError struct {
	Call  string // the function of C, such as gss_init_sec_context
	Major uint32 // status of GSS-API (RFC 2744 section 3.9.1)
	Minor uint32 // status of the mechanism
	// Text is what the library says of the two, in the language of the process.
	Text string
}

// Error names the call, what the library says of it, and both codes.
func (s *StatusError) Error() string {
	return fmt.Sprintf("%s: %s (major %#x, minor %d)", s.Call, s.Text, s.Major, int32(s.Minor))
}

// Routine errors of RFC 2744 section 3.9.1, and the bits beside them.
const (
	routineErrors uint32 = 0xff << 16
	callingErrors uint32 = 0xff << 24

	badMech            uint32 = 1 << 16
	badName            uint32 = 2 << 16
	badBindings        uint32 = 4 << 16
	badMIC             uint32 = 6 << 16
	noCred             uint32 = 7 << 16
	noContext          uint32 = 8 << 16
	defectiveToken     uint32 = 9 << 16
	defectiveCred      uint32 = 10 << 16
	credentialsExpired uint32 = 11 << 16

	continueNeeded uint32 = 1
	duplicateToken uint32 = 2
	oldToken       uint32 = 4
	unseqToken     uint32 = 8
	gapToken       uint32 = 16
)

// isError reports whether a major status is an error, and not only information.
func isError(major uint32) bool { return major&(routineErrors|callingErrors) != 0 }

// The error codes of the krb5 libraries of MIT and Heimdal begin with those of RFC 4120
// section 7.5.9.
const firstError = -1765328384

// Codes in that table that belong to the libraries.
const (
	ccNotFound      = -1765328243
	ccEnd           = -1765328242
	realmUnknown    = -1765328230
	kdcUnreachable  = -1765328228
	mutualFailed    = -1765328226
	fileNotThere    = -1765328189
	realmUnresolved = -1765328164
	noDefaultRealm  = -1765328160
)

// codeMutualFailed is KRB_AP_ERR_MUT_FAIL, Heimdal's code for an AP-REP that answers
// another AP-REQ.
const codeMutualFailed = 46

// code returns the KRB-ERROR code that the status stands for, 0 for none.
func (s *StatusError) code() int32 {
	if code := int64(int32(s.Minor)) - firstError; code > 0 && code < 128 {
		return int32(code)
	}
	return 0
}

// temporary reports whether another try may help.
func (s *StatusError) temporary() bool {
	return int32(s.Minor) == kdcUnreachable || s.code() == krb.CodeUnavailable
}

// explain returns the kind of the failure to get a name, credentials or a token, and what
// to try.
func (s *StatusError) explain() (hint string, kind error) {
	switch code := s.code(); code {
	case krb.CodeClientUnknown:
		return "check spelling, case and realm of the principal", middleware.ErrCredentials
	case krb.CodeServerUnknown:
		return "register the service principal (kadmin addprinc, or setspn in Active Directory), or set HostOverride, HostOverrides or Canonicalize", middleware.ErrKDC
	case krb.CodePreauthFailed, krb.CodeClientRevoked, krb.CodeClientExpired, krb.CodeKeyExpired:
		return hints.KDC(code), middleware.ErrCredentials
	case krb.CodeTicketExpired:
		return "the ticket has expired: run kinit", middleware.ErrCredentials
	case krb.CodeEtypeNoSupport:
		return "see permitted_enctypes in krb5.conf, or give the principals new keys", middleware.ErrKDC
	case 0:
	default:
		return hints.KDC(code), middleware.ErrKDC
	}
	switch int32(s.Minor) {
	case kdcUnreachable:
		return hints.Unreachable(), middleware.ErrKDC
	case realmUnknown, realmUnresolved:
		return "add the realm to [realms] in krb5.conf, or publish its KDCs in DNS; is it spelled right, in capitals?", middleware.ErrKDC
	case noDefaultRealm:
		return "set default_realm in krb5.conf, or write the realm with the principal", middleware.ErrCredentials
	case ccNotFound, ccEnd, fileNotThere:
		return "run kinit, or name another cache", middleware.ErrCredentials
	}
	switch s.Major & routineErrors {
	case noCred, credentialsExpired, defectiveCred:
		return "run kinit, or name another cache (KRB5CCNAME, Options.CCache) or a client keytab", middleware.ErrCredentials
	case badMech:
		return "the library has no Kerberos mechanism: set Options.Library to another one", middleware.ErrConfiguration
	}
	return "", middleware.ErrCredentials
}

// reason returns why the library does not accept an answer of the server.
func (s *StatusError) reason() middleware.Reason {
	switch {
	case int32(s.Minor) == mutualFailed, s.code() == codeMutualFailed:
		return middleware.ReasonWrongTime
	case s.code() == krb.CodeBadIntegrity, s.code() == krb.CodeModified:
		return middleware.ReasonWrongKey
	case s.Major&routineErrors == badMIC:
		return middleware.ReasonWrongKey
	}
	return middleware.ReasonMalformed
}
