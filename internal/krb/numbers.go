package krb

import (
	"fmt"
	"strings"
)

// The numbers of the protocol, by the names of their RFCs.

// Message types, which are application tags too (RFC 4120 section 7.5.7).
const (
	MsgASReq    uint8 = 10
	MsgASRep    uint8 = 11
	MsgTGSReq   uint8 = 12
	MsgTGSRep   uint8 = 13
	MsgAPReq    uint8 = 14
	MsgAPRep    uint8 = 15
	MsgKRBPriv  uint8 = 21
	MsgKRBCred  uint8 = 22
	MsgKRBError uint8 = 30
)

// Application tags of what is no message of its own (RFC 4120 section 5.10).
const (
	tagTicket         uint8 = 1
	tagAuthenticator  uint8 = 2
	tagEncTicketPart  uint8 = 3
	tagEncASRepPart   uint8 = 25
	tagEncTGSRepPart  uint8 = 26
	tagEncAPRepPart   uint8 = 27
	tagEncKrbPrivPart uint8 = 28
	tagEncKrbCredPart uint8 = 29
)

// pvno is the version of the protocol, which messages and tickets bear.
const pvno = 5

// Options of KDC requests (RFC 4120 section 5.4.1), bit 0 the most significant.
const (
	OptionForwardable    uint32 = FlagForwardable
	OptionForwarded      uint32 = FlagForwarded
	OptionProxiable      uint32 = FlagProxiable
	OptionProxy          uint32 = FlagProxy
	OptionAllowPostdate  uint32 = FlagMayPostdate
	OptionPostdated      uint32 = FlagPostdated
	OptionRenewable      uint32 = FlagRenewable
	OptionCNameInAddlTkt uint32 = 1 << (31 - 14) // [MS-SFU] section 2.2.3
	OptionCanonicalize   uint32 = 1 << (31 - 15) // RFC 6806 section 3
	OptionAnonymous      uint32 = 1 << (31 - 16) // RFC 8062 section 3
	OptionNoTransitCheck uint32 = 1 << (31 - 26) // disable-transited-check
	OptionRenewableOK    uint32 = 1 << (31 - 27)
	OptionEncTktInSKey   uint32 = 1 << (31 - 28)
	OptionRenew          uint32 = 1 << (31 - 30)
	OptionValidate       uint32 = 1 // bit 31
)

// Flags of tickets (RFC 4120 section 5.3), bit 0 the most significant.
const (
	FlagForwardable  uint32 = 1 << (31 - 1)
	FlagForwarded    uint32 = 1 << (31 - 2)
	FlagProxiable    uint32 = 1 << (31 - 3)
	FlagProxy        uint32 = 1 << (31 - 4)
	FlagMayPostdate  uint32 = 1 << (31 - 5)
	FlagPostdated    uint32 = 1 << (31 - 6)
	FlagInvalid      uint32 = 1 << (31 - 7)
	FlagRenewable    uint32 = 1 << (31 - 8)
	FlagInitial      uint32 = 1 << (31 - 9)
	FlagPreAuthent   uint32 = 1 << (31 - 10)
	FlagTransitedOK  uint32 = 1 << (31 - 12) // transited-policy-checked
	FlagOKAsDelegate uint32 = 1 << (31 - 13)
	FlagEncPARep     uint32 = 1 << (31 - 15) // RFC 6806 section 11
)

// FlagNames returns the names of a ticket's flags as RFC 4120 section 5.3 has them,
// those without a name as a number, and "none" for none.
func FlagNames(flags uint32) string {
	var names []string
	for _, f := range flagNames {
		if flags&f.flag != 0 {
			names, flags = append(names, f.name), flags&^f.flag
		}
	}
	if flags != 0 {
		names = append(names, fmt.Sprintf("%#x", flags))
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

var flagNames = []struct {
	flag uint32
	name string
}{
	{FlagForwardable, "forwardable"}, {FlagForwarded, "forwarded"}, {FlagProxiable, "proxiable"},
	{FlagProxy, "proxy"}, {FlagMayPostdate, "may-postdate"}, {FlagPostdated, "postdated"},
	{FlagInvalid, "invalid"}, {FlagRenewable, "renewable"}, {FlagInitial, "initial"},
	{FlagPreAuthent, "pre-authent"}, {1 << (31 - 11), "hw-authent"}, {FlagTransitedOK, "transited-policy-checked"},
	{FlagOKAsDelegate, "ok-as-delegate"}, {FlagEncPARep, "enc-pa-rep"},
}

// Options of AP-REQs (RFC 4120 section 5.5.1).
const (
	APUseSessionKey  uint32 = 1 << (31 - 1)
	APMutualRequired uint32 = 1 << (31 - 2)
)

// Types of pre-authentication data (RFC 4120 section 7.5.2 and the registry of
// IANA).
const (
	PATGSReq             int32 = 1
	PAEncTimestamp       int32 = 2
	PAPWSalt             int32 = 3
	PAEtypeInfo          int32 = 11
	PASAMChallenge       int32 = 12 // hardware tokens, never a standard
	PAPKASReqOld         int32 = 14 // of drafts of RFC 4556, as the next
	PAPKASRepOld         int32 = 15
	PAPKASReq            int32 = 16 // RFC 4556, as the next
	PAPKASRep            int32 = 17
	PAEtypeInfo2         int32 = 19
	PASAMChallenge2      int32 = 30
	PAPACRequest         int32 = 128 // [MS-KILE] section 2.2.3
	PAForUser            int32 = 129 // [MS-SFU] section 2.2.1
	PAS4UX509User        int32 = 130 // [MS-SFU] section 2.2.2
	PAFXCookie           int32 = 133 // RFC 6113, as the next
	PAAuthenticationSet  int32 = 134
	PAFXFast             int32 = 136
	PAFXError            int32 = 137
	PAEncryptedChallenge int32 = 138
	PAOTPChallenge       int32 = 141 // RFC 6560, as the next
	PAOTPRequest         int32 = 142
	PAPKINITKX           int32 = 147 // RFC 8062
	PAReqEncPARep        int32 = 149 // RFC 6806 section 11
	PAASFreshness        int32 = 150 // RFC 8070
	PASPAKE              int32 = 151 // RFC 9588
	PASupportedEtypes    int32 = 165 // [MS-KILE] section 2.2.8
	PAExtendedError      int32 = 166 // [MS-KILE]
	PAPACOptions         int32 = 167 // [MS-KILE] section 2.2.10
)

// FastArmorAPRequest is the type of armour that is an AP-REQ (RFC 6113 section 5.4.1.1).
const FastArmorAPRequest int32 = 1

// FastCritical are the options of FAST that a KDC must know or refuse, and
// FastHideClientNames is the one of them that there is (RFC 6113 section 5.4.2).
const (
	FastCritical        uint32 = 0xffff0000
	FastHideClientNames uint32 = 1 << (31 - 1)
)

// Flags of tokens (RFC 6560 section 4.1), bit 0 the most significant.
const (
	OTPNextOTP      uint32 = 1 << (31 - 1)
	OTPCombine      uint32 = 1 << (31 - 2)
	OTPCollectPIN   uint32 = 1 << (31 - 3)
	OTPNoCollectPIN uint32 = 1 << (31 - 4) // do-not-collect-pin
	OTPSeparatePIN  uint32 = 1 << (31 - 6) // separate-pin-required
)

// Formats of token values (RFC 6560 section 4.1).
const (
	OTPDecimal      int32 = 0
	OTPHexadecimal  int32 = 1
	OTPAlphanumeric int32 = 2
	OTPBinary       int32 = 3
	OTPBase64       int32 = 4
)

// PACOptionRBCD is the option of PA-PAC-OPTIONS by which clients say that they know
// of resource-based constrained delegation ([MS-KILE] section 2.2.10).
const PACOptionRBCD uint32 = 1 << (31 - 3)

// S4UReplyUsage is the option of PA-S4U-X509-USER by which the reply has a key usage
// of its own ([MS-SFU] section 2.2.2).
const S4UReplyUsage uint32 = 1 << (31 - 2)

// Groups of SPAKE pre-authentication (RFC 9588 section 12.2).
const (
	SPAKEEdwards25519 int32 = 1
	SPAKEP256         int32 = 2
)

// SPAKEFactorNone is the second factor of those who need none (RFC 9588 section
// 12.1).
const SPAKEFactorNone int32 = 1

// Types of authorization data (RFC 4120 section 7.5.4).
const (
	ADIfRelevant int32 = 1
	ADKDCIssued  int32 = 4
	ADWin2kPAC   int32 = 128
	ADAPOptions  int32 = 143 // [MS-KILE] section 3.2.5.8
)

// APOptionsCBT is the option of AD-AP-OPTIONS by which clients say that they know
// of channel bindings ([MS-KILE] section 3.2.5.8).
const APOptionsCBT uint32 = 0x4000

// Name types (RFC 4120 section 6.2, RFC 6806 section 5).
const (
	NTUnknown    int32 = 0
	NTPrincipal  int32 = 1
	NTSrvInst    int32 = 2
	NTSrvHst     int32 = 3
	NTX500       int32 = 6
	NTEnterprise int32 = 10
)

// Types of addresses (RFC 4120 section 7.5.3).
const (
	AddressIPv4 int32 = 2
	AddressIPv6 int32 = 24
)

// DomainX500Compress is the one type of TransitedEncoding (RFC 4120 section 3.3.3.2).
const DomainX500Compress int32 = 1

// Encryption types (RFC 3962, RFC 8009, RFC 4757).
const (
	AES128SHA1   int32 = 17
	AES256SHA1   int32 = 18
	AES128SHA256 int32 = 19
	AES256SHA384 int32 = 20
	RC4HMAC      int32 = 23
)

// Checksum types beside those of keys, see [Key.ChecksumType].
const (
	ChecksumRSAMD4  int32 = 2      // RFC 3961 section 6.2, as the next
	ChecksumRSAMD5  int32 = 7      // without a key
	ChecksumHMACMD5 int32 = -138   // RFC 4757 section 4
	ChecksumGSSAPI  int32 = 0x8003 // RFC 4121 section 4.1.1
)

// Flags of contexts in GSS-API (RFC 2744 appendix A, RFC 4121 section 4.1.1.1).
const (
	GSSDeleg    uint32 = 1
	GSSMutual   uint32 = 2
	GSSReplay   uint32 = 4
	GSSSequence uint32 = 8
	GSSConf     uint32 = 0x10
	GSSInteg    uint32 = 0x20
)

// Key usage numbers (RFC 4120 section 7.5.1, RFC 4121 section 2).
const (
	UsagePAEncTimestamp        uint32 = 1
	UsageTicket                uint32 = 2
	UsageASRepEncPart          uint32 = 3
	UsageTGSReqAuthDataSession uint32 = 4
	UsageTGSReqAuthDataSubkey  uint32 = 5
	UsageTGSReqChecksum        uint32 = 6
	UsageTGSReqAuth            uint32 = 7
	UsageTGSRepSessionKey      uint32 = 8
	UsageTGSRepSubkey          uint32 = 9
	UsageAPReqChecksum         uint32 = 10
	UsageAPReqAuth             uint32 = 11
	UsageAPRepEncPart          uint32 = 12
	UsageKRBPriv               uint32 = 13
	UsageKRBCred               uint32 = 14
	UsageNonKerberosChecksum   uint32 = 17 // KERB_NON_KERB_CKSUM_SALT: PAC and PA-FOR-USER ([MS-PAC], [MS-SFU])
	UsageAcceptorSeal          uint32 = 22
	UsageAcceptorSign          uint32 = 23
	UsageInitiatorSeal         uint32 = 24
	UsageInitiatorSign         uint32 = 25
	UsageS4UX509Request        uint32 = 26 // [MS-SFU] section 2.2.2, as the next
	UsageS4UX509Reply          uint32 = 27
	UsageOTPRequest            uint32 = 45 // RFC 6560 section 4.2
	UsageFastReqChecksum       uint32 = 50 // RFC 6113 section 5.4.6, as the next
	UsageFastEnc               uint32 = 51
	UsageFastRep               uint32 = 52
	UsageFastFinished          uint32 = 53
	UsageEncChallengeClient    uint32 = 54
	UsageEncChallengeKDC       uint32 = 55
	UsageASReqChecksum         uint32 = 56 // RFC 6806 section 11
	UsageSPAKE                 uint32 = 65 // RFC 9588 section 12.3
)

// Versions of the protocol to change passwords, which are kinds of requests (RFC
// 3244 section 2).
const (
	KpasswdChange uint16 = 1
	KpasswdSet    uint16 = 0xff80
)

// Result codes of password changes (RFC 3244 section 2).
const (
	KpasswdSuccess           uint16 = 0
	KpasswdMalformed         uint16 = 1
	KpasswdHardError         uint16 = 2
	KpasswdAuthError         uint16 = 3
	KpasswdSoftError         uint16 = 4
	KpasswdAccessDenied      uint16 = 5
	KpasswdBadVersion        uint16 = 6
	KpasswdInitialFlagNeeded uint16 = 7
)

// Error codes that somebody acts upon (RFC 4120 section 7.5.9, RFC 6806);
// [ErrorName] knows all of them.
const (
	CodeClientExpired      int32 = 1
	CodeClientUnknown      int32 = 6
	CodeServerUnknown      int32 = 7
	CodeCannotPostdate     int32 = 10
	CodeNeverValid         int32 = 11
	CodePolicy             int32 = 12
	CodeBadOption          int32 = 13
	CodeEtypeNoSupport     int32 = 14
	CodeSumTypeNoSupport   int32 = 15
	CodePADataNoSupport    int32 = 16
	CodeTransitedNoSupport int32 = 17
	CodeClientRevoked      int32 = 18
	CodeTGTRevoked         int32 = 20
	CodeKeyExpired         int32 = 23
	CodePreauthFailed      int32 = 24
	CodePreauthRequired    int32 = 25
	CodeServerNoMatch      int32 = 26
	CodeMustUseUserToUser  int32 = 27
	CodeUnavailable        int32 = 29
	CodeBadIntegrity       int32 = 31
	CodeTicketExpired      int32 = 32
	CodeTicketNotYet       int32 = 33
	CodeRepeat             int32 = 34
	CodeNotUs              int32 = 35
	CodeBadMatch           int32 = 36
	CodeSkew               int32 = 37
	CodeBadAddress         int32 = 38
	CodeModified           int32 = 41
	CodeBadKvno            int32 = 44
	CodeNoKey              int32 = 45
	CodeInappChecksum      int32 = 50
	CodeResponseTooBig     int32 = 52
	CodeGeneric            int32 = 60
	CodeFieldTooLong       int32 = 61
	CodeWrongRealm         int32 = 68
	CodePreauthExpired     int32 = 90 // RFC 6113, as the next
	CodeMorePreauthData    int32 = 91
	CodeFastOptions        int32 = 93 // KDC_ERR_UNKNOWN_CRITICAL_FAST_OPTIONS
)

// ErrorName returns the name of a KRB-ERROR code as its RFC spells it, such as
// "KRB_AP_ERR_SKEW", or "KRB-ERROR n" of a code that has none.
func ErrorName(code int32) string {
	if name, known := errorNames[code]; known {
		return name
	}
	return fmt.Sprintf("KRB-ERROR %d", code)
}

var errorNames = map[int32]string{
	// RFC 4120 section 7.5.9.
	0:  "KDC_ERR_NONE",
	1:  "KDC_ERR_NAME_EXP",
	2:  "KDC_ERR_SERVICE_EXP",
	3:  "KDC_ERR_BAD_PVNO",
	4:  "KDC_ERR_C_OLD_MAST_KVNO",
	5:  "KDC_ERR_S_OLD_MAST_KVNO",
	6:  "KDC_ERR_C_PRINCIPAL_UNKNOWN",
	7:  "KDC_ERR_S_PRINCIPAL_UNKNOWN",
	8:  "KDC_ERR_PRINCIPAL_NOT_UNIQUE",
	9:  "KDC_ERR_NULL_KEY",
	10: "KDC_ERR_CANNOT_POSTDATE",
	11: "KDC_ERR_NEVER_VALID",
	12: "KDC_ERR_POLICY",
	13: "KDC_ERR_BADOPTION",
	14: "KDC_ERR_ETYPE_NOSUPP",
	15: "KDC_ERR_SUMTYPE_NOSUPP",
	16: "KDC_ERR_PADATA_TYPE_NOSUPP",
	17: "KDC_ERR_TRTYPE_NOSUPP",
	18: "KDC_ERR_CLIENT_REVOKED",
	19: "KDC_ERR_SERVICE_REVOKED",
	20: "KDC_ERR_TGT_REVOKED",
	21: "KDC_ERR_CLIENT_NOTYET",
	22: "KDC_ERR_SERVICE_NOTYET",
	23: "KDC_ERR_KEY_EXPIRED",
	24: "KDC_ERR_PREAUTH_FAILED",
	25: "KDC_ERR_PREAUTH_REQUIRED",
	26: "KDC_ERR_SERVER_NOMATCH",
	27: "KDC_ERR_MUST_USE_USER2USER",
	28: "KDC_ERR_PATH_NOT_ACCEPTED",
	29: "KDC_ERR_SVC_UNAVAILABLE",
	31: "KRB_AP_ERR_BAD_INTEGRITY",
	32: "KRB_AP_ERR_TKT_EXPIRED",
	33: "KRB_AP_ERR_TKT_NYV",
	34: "KRB_AP_ERR_REPEAT",
	35: "KRB_AP_ERR_NOT_US",
	36: "KRB_AP_ERR_BADMATCH",
	37: "KRB_AP_ERR_SKEW",
	38: "KRB_AP_ERR_BADADDR",
	39: "KRB_AP_ERR_BADVERSION",
	40: "KRB_AP_ERR_MSG_TYPE",
	41: "KRB_AP_ERR_MODIFIED",
	42: "KRB_AP_ERR_BADORDER",
	44: "KRB_AP_ERR_BADKEYVER",
	45: "KRB_AP_ERR_NOKEY",
	46: "KRB_AP_ERR_MUT_FAIL",
	47: "KRB_AP_ERR_BADDIRECTION",
	48: "KRB_AP_ERR_METHOD",
	49: "KRB_AP_ERR_BADSEQ",
	50: "KRB_AP_ERR_INAPP_CKSUM",
	51: "KRB_AP_PATH_NOT_ACCEPTED",
	52: "KRB_ERR_RESPONSE_TOO_BIG",
	60: "KRB_ERR_GENERIC",
	61: "KRB_ERR_FIELD_TOOLONG",
	63: "KDC_ERROR_KDC_NOT_TRUSTED",
	66: "KDC_ERR_CERTIFICATE_MISMATCH",
	67: "KRB_AP_ERR_NO_TGT",
	68: "KDC_ERR_WRONG_REALM",
	69: "KRB_AP_ERR_USER_TO_USER_REQUIRED",
	74: "KDC_ERR_REVOCATION_STATUS_UNAVAILABLE",
	76: "KDC_ERR_KDC_NAME_MISMATCH",

	// PKINIT (RFC 4556 section 3.1.3), for which RFC 4120 kept numbers.
	62: "KDC_ERR_CLIENT_NOT_TRUSTED",
	64: "KDC_ERR_INVALID_SIG",
	65: "KDC_ERR_DH_KEY_PARAMETERS_NOT_ACCEPTED",
	70: "KDC_ERR_CANT_VERIFY_CERTIFICATE",
	71: "KDC_ERR_INVALID_CERTIFICATE",
	72: "KDC_ERR_REVOKED_CERTIFICATE",
	73: "KDC_ERR_REVOCATION_STATUS_UNKNOWN",
	75: "KDC_ERR_CLIENT_NAME_MISMATCH",
	77: "KDC_ERR_INCONSISTENT_KEY_PURPOSE",
	78: "KDC_ERR_DIGEST_IN_CERT_NOT_ACCEPTED",
	79: "KDC_ERR_PA_CHECKSUM_MUST_BE_INCLUDED",
	80: "KDC_ERR_DIGEST_IN_SIGNED_DATA_NOT_ACCEPTED",
	81: "KDC_ERR_PUBLIC_KEY_ENCRYPTION_NOT_SUPPORTED",

	// Names with a meaning (RFC 6111 section 3).
	82: "KRB_AP_ERR_PRINCIPAL_UNKNOWN",
	83: "KRB_AP_ERR_REALM_UNKNOWN",
	84: "KRB_AP_ERR_PRINCIPAL_RESERVED",

	// FAST and multi-round pre-authentication (RFC 6113).
	90: "KDC_ERR_PREAUTH_EXPIRED",
	91: "KDC_ERR_MORE_PREAUTH_DATA_REQUIRED",
	92: "KDC_ERR_PREAUTH_BAD_AUTHENTICATION_SET",
	93: "KDC_ERR_UNKNOWN_CRITICAL_FAST_OPTIONS",

	// One-time passwords (RFC 6560 section 6).
	94: "KDC_ERR_INVALID_HASH_ALG",
	95: "KDC_ERR_INVALID_ITERATION_COUNT",
	96: "KDC_ERR_PIN_EXPIRED",
	97: "KDC_ERR_PIN_REQUIRED",

	100: "KDC_ERR_NO_ACCEPTABLE_KDF", // RFC 8636 section 5
}
