package sspi

import (
	"fmt"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// A StatusError is what Windows says of a call that failed.
type StatusError struct {
	Call string // the function of secur32.dll, such as InitializeSecurityContext
	// Status is a SECURITY_STATUS such as SEC_E_LOGON_DENIED (0x8009030c), or an
	// NTSTATUS such as STATUS_PASSWORD_EXPIRED (0xc0000071).
	Status uint32
}

// Error names the call and the status.
func (s *StatusError) Error() string {
	if name := status(s.Status).meaning().name; name != "" {
		return fmt.Sprintf("%s: %s (%#x)", s.Call, name, s.Status)
	}
	return fmt.Sprintf("%s: status %#x", s.Call, s.Status)
}

// A status is what a function of secur32.dll returns, a SECURITY_STATUS or NTSTATUS.
type status uint32

// Statuses that are no errors.
const (
	statusOK                  status = 0
	statusContinue            status = 0x90312 // SEC_I_CONTINUE_NEEDED
	statusComplete            status = 0x90313 // SEC_I_COMPLETE_NEEDED
	statusCompleteAndContinue status = 0x90314 // SEC_I_COMPLETE_AND_CONTINUE
)

// Statuses that are looked at one by one.
const (
	statusInvalidHandle       status = 0x80090301
	statusTargetUnknown       status = 0x80090303
	statusInvalidToken        status = 0x80090308
	statusLogonDenied         status = 0x8009030c
	statusNoCredentials       status = 0x8009030e
	statusMessageAltered      status = 0x8009030f
	statusOutOfSequence       status = 0x80090310
	statusNoAuthority         status = 0x80090311
	statusContextExpired      status = 0x80090317
	statusIncompleteMessage   status = 0x80090318
	statusTimeSkew            status = 0x80090324
	statusUnsupportedFunction status = 0x80090302
)

// call makes the error of a call, nil where it succeeded.
func (s status) call(name string) *StatusError {
	if s == statusOK {
		return nil
	}
	return &StatusError{name, uint32(s)}
}

// A meaning is what a status says where there are no credentials or no token.
type meaning struct {
	status    status
	name      string
	kind      error // nil means ErrCredentials
	code      int32 // of RFC 4120, where the status stands for that alone
	hint      string
	temporary bool
}

const (
	hintPassword = "the user or the password is wrong; to try it again may lock the account"
	hintUser     = "the user or the password may be wrong; to try it again may lock the account"
	hintLogOn    = "log on with an account of the domain, look at klist, or set Principal and Password; package kerberos takes caches and keytabs"
	hintDC       = "is a domain controller within reach, does DNS find it, and does a firewall let port 88 through? A machine outside of the domain needs ksetup"
	hintSPN      = "register the service principal (setspn -S, or kadmin addprinc), or set HostOverride or HostOverrides; an address has none"
	hintTwice    = "the service principal belongs to another account than the service runs as, or to two: setspn -Q and setspn -X"
	hintClock    = "the clocks are too far apart: check time synchronisation (w32tm)"
	hintEtype    = "see the encryption types that accounts and policy allow (msDS-SupportedEncryptionTypes)"
	hintCard     = "look at the smart card, its reader and certificate, and at the certificate of the domain controller"
	hintRenew    = "log on again, or lock and unlock the screen"
	hintBusy     = "try again later"
)

// meanings is no variable, which would be in every program that imports package client.
func meanings() []meaning {
	return []meaning{
		{0x80090300, "SEC_E_INSUFFICIENT_MEMORY", middleware.ErrToken, 0, hintBusy, true},
		{0x80090301, "SEC_E_INVALID_HANDLE", nil, 0, "", false},
		{0x80090302, "SEC_E_UNSUPPORTED_FUNCTION", nil, 0, "", false},
		{0x80090303, "SEC_E_TARGET_UNKNOWN", middleware.ErrKDC, krb.CodeServerUnknown, hintSPN, false},
		{0x80090304, "SEC_E_INTERNAL_ERROR", middleware.ErrKDC, 0, "", false},
		{0x80090305, "SEC_E_SECPKG_NOT_FOUND", middleware.ErrConfiguration, 0, "use package kerberos", false},
		{0x80090306, "SEC_E_NOT_OWNER", nil, 0, hintLogOn, false},
		{0x80090308, "SEC_E_INVALID_TOKEN", middleware.ErrToken, 0, "", false},
		{0x8009030c, "SEC_E_LOGON_DENIED", nil, 0, hintPassword, false},
		{0x8009030d, "SEC_E_UNKNOWN_CREDENTIALS", nil, 0, hintLogOn, false},
		{0x8009030e, "SEC_E_NO_CREDENTIALS", nil, 0, hintLogOn, false},
		{0x8009030f, "SEC_E_MESSAGE_ALTERED", middleware.ErrToken, 0, "", false},
		{0x80090310, "SEC_E_OUT_OF_SEQUENCE", middleware.ErrToken, 0, "", false},
		{0x80090311, "SEC_E_NO_AUTHENTICATING_AUTHORITY", middleware.ErrKDC, 0, hintDC, true},
		{0x80090317, "SEC_E_CONTEXT_EXPIRED", nil, 0, hintRenew, false},
		{0x80090318, "SEC_E_INCOMPLETE_MESSAGE", middleware.ErrToken, 0, "", false},
		{0x80090321, "SEC_E_BUFFER_TOO_SMALL", middleware.ErrToken, 0, "the user is in too many groups, or MaxTokenSize is too small", false},
		{0x80090322, "SEC_E_WRONG_PRINCIPAL", middleware.ErrKDC, 0, hintTwice, false},
		{0x80090324, "SEC_E_TIME_SKEW", middleware.ErrKDC, krb.CodeSkew, hintClock, false},
		{0x80090329, "SEC_E_ENCRYPT_FAILURE", middleware.ErrToken, 0, "", false},
		{0x80090330, "SEC_E_DECRYPT_FAILURE", middleware.ErrToken, 0, "", false},
		{0x80090334, "SEC_E_NO_TGT_REPLY", middleware.ErrKDC, 0, "", false},
		{0x80090335, "SEC_E_NO_IP_ADDRESSES", middleware.ErrKDC, 0, hintDC, true},
		{0x80090338, "SEC_E_MAX_REFERRALS_EXCEEDED", middleware.ErrKDC, 0, "the trusts between the domains lead in a circle, or too far", false},
		{0x8009033a, "SEC_E_STRONG_CRYPTO_NOT_SUPPORTED", middleware.ErrKDC, 0, hintEtype, false},
		{0x8009033d, "SEC_E_PKINIT_NAME_MISMATCH", nil, 0, hintCard, false},
		{0x8009033e, "SEC_E_SMARTCARD_LOGON_REQUIRED", nil, 0, "the account must log on with a smart card: leave Principal and Password out", false},
		{0x80090340, "SEC_E_KDC_INVALID_REQUEST", middleware.ErrKDC, 0, "", false},
		{0x80090341, "SEC_E_KDC_UNABLE_TO_REFER", middleware.ErrKDC, 0, hintSPN, false},
		{0x80090342, "SEC_E_KDC_UNKNOWN_ETYPE", middleware.ErrKDC, krb.CodeEtypeNoSupport, hintEtype, false},
		{0x80090343, "SEC_E_UNSUPPORTED_PREAUTH", nil, 0, hintCard, false},
		{0x80090345, "SEC_E_DELEGATION_REQUIRED", nil, 0, "", false},
		{0x80090346, "SEC_E_BAD_BINDINGS", middleware.ErrToken, 0, "", false},
		{0x80090347, "SEC_E_MULTIPLE_ACCOUNTS", middleware.ErrKDC, 0, hintTwice, false},
		{0x80090348, "SEC_E_NO_KERB_KEY", middleware.ErrKDC, 0, hintEtype, false},
		{0x80090350, "SEC_E_DOWNGRADE_DETECTED", middleware.ErrKDC, 0, hintDC, false},
		{0x80090352, "SEC_E_ISSUING_CA_UNTRUSTED", nil, 0, hintCard, false},
		{0x80090353, "SEC_E_REVOCATION_OFFLINE_C", nil, 0, hintCard, false},
		{0x80090354, "SEC_E_PKINIT_CLIENT_FAILURE", nil, 0, hintCard, false},
		{0x8009035a, "SEC_E_KDC_CERT_EXPIRED", nil, 0, hintCard, false},
		{0x8009035f, "SEC_E_POLICY_NLTM_ONLY", middleware.ErrConfiguration, 0, "policy of this machine allows NTLM alone", false},
		{0x80090361, "SEC_E_NO_CONTEXT", nil, 0, "", false},
		{0x80090363, "SEC_E_MUTUAL_AUTH_FAILED", middleware.ErrToken, 0, "", false},

		{0xc0000001, "STATUS_UNSUCCESSFUL", nil, 0, hintLogOn, false},
		{0xc0000022, "STATUS_ACCESS_DENIED", nil, 0, hintLogOn, false},
		{0xc000005e, "STATUS_NO_LOGON_SERVERS", middleware.ErrKDC, 0, hintDC, true},
		{0xc000005f, "STATUS_NO_SUCH_LOGON_SESSION", nil, 0, hintLogOn, false},
		{0xc0000064, "STATUS_NO_SUCH_USER", nil, krb.CodeClientUnknown, "check spelling and domain of Principal", false},
		{0xc000006a, "STATUS_WRONG_PASSWORD", nil, krb.CodePreauthFailed, hintPassword, false},
		{0xc000006d, "STATUS_LOGON_FAILURE", nil, 0, hintPassword, false},
		{0xc000006e, "STATUS_ACCOUNT_RESTRICTION", nil, 0, "policy does not let the account log on here so, as with Protected Users, or with an empty password", false},
		{0xc000006f, "STATUS_INVALID_LOGON_HOURS", nil, 0, "the account may not log on at this hour", false},
		{0xc0000070, "STATUS_INVALID_WORKSTATION", nil, 0, "the account may not log on from this machine", false},
		{0xc0000071, "STATUS_PASSWORD_EXPIRED", nil, krb.CodeKeyExpired, "the password has expired: change it", false},
		{0xc0000072, "STATUS_ACCOUNT_DISABLED", nil, krb.CodeClientRevoked, "the account is disabled: ask the domain's administrator", false},
		{0xc00000df, "STATUS_NO_SUCH_DOMAIN", middleware.ErrKDC, 0, hintDC, false},
		{0xc0000133, "STATUS_TIME_DIFFERENCE_AT_DC", middleware.ErrKDC, krb.CodeSkew, hintClock, false},
		{0xc0000192, "STATUS_NETLOGON_NOT_STARTED", middleware.ErrKDC, 0, hintBusy, true},
		{0xc0000193, "STATUS_ACCOUNT_EXPIRED", nil, krb.CodeClientExpired, "the account has expired: ask the domain's administrator", false},
		{0xc0000224, "STATUS_PASSWORD_MUST_CHANGE", nil, krb.CodeKeyExpired, "the password must be changed at the first logon: change it", false},
		{0xc0000233, "STATUS_DOMAIN_CONTROLLER_NOT_FOUND", middleware.ErrKDC, 0, hintDC, true},
		{0xc0000234, "STATUS_ACCOUNT_LOCKED_OUT", nil, krb.CodeClientRevoked, "the account is locked: ask the domain's administrator", false},
		{0xc00002fa, "STATUS_SMARTCARD_LOGON_REQUIRED", nil, 0, "the account must log on with a smart card: leave Principal and Password out", false},
		{0xc00002fd, "STATUS_KDC_UNKNOWN_ETYPE", middleware.ErrKDC, krb.CodeEtypeNoSupport, hintEtype, false},
	}
}

// meaning returns what is known of a status. What is not known is of no hint.
func (s status) meaning() meaning {
	for _, m := range meanings() {
		if m.status == s {
			if m.kind == nil {
				m.kind = middleware.ErrCredentials
			}
			return m
		}
	}
	return meaning{status: s, kind: middleware.ErrCredentials}
}

// stale reports whether other credentials, acquired anew, may do.
func (s *StatusError) stale() bool {
	switch status(s.Status) {
	case statusContextExpired, statusInvalidHandle, statusNoCredentials:
		return true
	}
	return false
}

// refusal reports whether a password may have been refused, so that to try it again may
// lock the account: where the status stands for nothing else.
func (s *StatusError) refusal() bool {
	switch status(s.Status) {
	case statusContextExpired, statusInvalidHandle:
		return false
	}
	return status(s.Status).meaning().kind == middleware.ErrCredentials
}

// reason says why Windows does not take an AP-REP, whose frame is sound, for the
// server's.
func (s *StatusError) reason() middleware.Reason {
	switch status(s.Status) {
	case statusInvalidToken, statusIncompleteMessage:
		return middleware.ReasonMalformed
	case statusTimeSkew:
		return middleware.ReasonWrongTime
	}
	return middleware.ReasonWrongKey
}

// openReason says what is wrong with a message that does not open.
func (s *StatusError) openReason(header []byte) middleware.Reason {
	switch {
	// A token of RFC 4121 section 4.2.6.2 whose flags say that an initiator sent it.
	case len(header) > 2 && header[0] == 5 && header[1] == 4 && header[2]&1 == 0:
		return middleware.ReasonReflected
	case status(s.Status) == statusOutOfSequence:
		return middleware.ReasonOutOfOrder
	case status(s.Status) == statusMessageAltered:
		return middleware.ReasonTampered
	}
	return middleware.ReasonMalformed
}
