package fakekdc

import "github.com/kerbchain/kerbchain/internal/krb"

// Encryption types (RFC 3962, RFC 8009, RFC 4757).
const (
	AES128SHA1   = krb.AES128SHA1   // aes128-cts-hmac-sha1-96, 17
	AES256SHA1   = krb.AES256SHA1   // aes256-cts-hmac-sha1-96, 18
	AES128SHA256 = krb.AES128SHA256 // aes128-cts-hmac-sha256-128, 19
	AES256SHA384 = krb.AES256SHA384 // aes256-cts-hmac-sha384-192, 20
	RC4HMAC      = krb.RC4HMAC      // arcfour-hmac, 23; never a default
)

// Codes of KRB-ERRORs (RFC 4120 section 7.5.9), for [Refuse], [ReplyError] and
// [Realm.Count], and as [Exchange] and [AcceptError] have them. Any other number does
// as well.
const (
	CodeClientUnknown   = krb.CodeClientUnknown   // KDC_ERR_C_PRINCIPAL_UNKNOWN, 6
	CodeServerUnknown   = krb.CodeServerUnknown   // KDC_ERR_S_PRINCIPAL_UNKNOWN, 7
	CodePolicy          = krb.CodePolicy          // KDC_ERR_POLICY, 12
	CodeEtypeNoSupport  = krb.CodeEtypeNoSupport  // KDC_ERR_ETYPE_NOSUPP, 14
	CodeClientRevoked   = krb.CodeClientRevoked   // KDC_ERR_CLIENT_REVOKED, 18: locked, or expired in Active Directory
	CodeKeyExpired      = krb.CodeKeyExpired      // KDC_ERR_KEY_EXPIRED, 23: the password is to be changed
	CodePreauthFailed   = krb.CodePreauthFailed   // KDC_ERR_PREAUTH_FAILED, 24: a wrong password
	CodePreauthRequired = krb.CodePreauthRequired // KDC_ERR_PREAUTH_REQUIRED, 25
	CodeUnavailable     = krb.CodeUnavailable     // KDC_ERR_SVC_UNAVAILABLE, 29
	CodeBadIntegrity    = krb.CodeBadIntegrity    // KRB_AP_ERR_BAD_INTEGRITY, 31
	CodeTicketExpired   = krb.CodeTicketExpired   // KRB_AP_ERR_TKT_EXPIRED, 32
	CodeRepeat          = krb.CodeRepeat          // KRB_AP_ERR_REPEAT, 34
	CodeNotUs           = krb.CodeNotUs           // KRB_AP_ERR_NOT_US, 35
	CodeSkew            = krb.CodeSkew            // KRB_AP_ERR_SKEW, 37
	CodeBadKeyVersion   = krb.CodeBadKvno         // KRB_AP_ERR_BADKEYVER, 44
	CodeGeneric         = krb.CodeGeneric         // KRB_ERR_GENERIC, 60
)

// Flags of tickets (RFC 4120 section 5.3), for [TicketFlags].
const (
	FlagForwardable  = krb.FlagForwardable
	FlagProxiable    = krb.FlagProxiable
	FlagInvalid      = krb.FlagInvalid
	FlagRenewable    = krb.FlagRenewable
	FlagInitial      = krb.FlagInitial
	FlagPreAuthent   = krb.FlagPreAuthent
	FlagTransitedOK  = krb.FlagTransitedOK // transited-policy-checked
	FlagOKAsDelegate = krb.FlagOKAsDelegate
)

// Options of requests (RFC 4120 section 5.4.1), as [Exchange].Options has them.
const (
	OptionForwardable  = krb.OptionForwardable
	OptionForwarded    = krb.OptionForwarded
	OptionRenewable    = krb.OptionRenewable
	OptionCanonicalize = krb.OptionCanonicalize
	OptionRenew        = krb.OptionRenew
)

// GSS-API context flags, as in [Caller.Flags] (RFC 2744 appendix A).
const (
	GSSDeleg    uint32 = krb.GSSDeleg
	GSSMutual   uint32 = krb.GSSMutual
	GSSReplay   uint32 = krb.GSSReplay
	GSSSequence uint32 = krb.GSSSequence
	GSSConf     uint32 = krb.GSSConf
	GSSInteg    uint32 = krb.GSSInteg
)
