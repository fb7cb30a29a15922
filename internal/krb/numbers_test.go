package krb

import (
	"testing"

	"github.com/jcmturner/gokrb5/v8/iana/addrtype"
	"github.com/jcmturner/gokrb5/v8/iana/adtype"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/iana/trtype"
)

// TestNumbersAgree compares the numbers with gokrb5's, which were typed by somebody
// else. What stands beside bits are their places.
func TestNumbersAgree(t *testing.T) {
	bit := func(place int64) int64 { return 1 << (31 - place) }
	for name, pairs := range map[string][][2]int64{
		"message types": {
			{int64(MsgASReq), msgtype.KRB_AS_REQ}, {int64(MsgASRep), msgtype.KRB_AS_REP},
			{int64(MsgTGSReq), msgtype.KRB_TGS_REQ}, {int64(MsgTGSRep), msgtype.KRB_TGS_REP},
			{int64(MsgAPReq), msgtype.KRB_AP_REQ}, {int64(MsgAPRep), msgtype.KRB_AP_REP},
			{int64(MsgKRBPriv), msgtype.KRB_PRIV}, {int64(MsgKRBCred), msgtype.KRB_CRED}, {int64(MsgKRBError), msgtype.KRB_ERROR},
		},
		"application tags": {
			{int64(tagTicket), asnAppTag.Ticket}, {int64(tagAuthenticator), asnAppTag.Authenticator}, {int64(tagEncTicketPart), asnAppTag.EncTicketPart},
			{int64(tagEncASRepPart), asnAppTag.EncASRepPart}, {int64(tagEncTGSRepPart), asnAppTag.EncTGSRepPart}, {int64(tagEncAPRepPart), asnAppTag.EncAPRepPart},
			{int64(tagEncKrbPrivPart), asnAppTag.EncKrbPrivPart}, {int64(tagEncKrbCredPart), asnAppTag.EncKrbCredPart},
		},
		"options": {
			{int64(OptionForwardable), bit(flags.Forwardable)}, {int64(OptionForwarded), bit(flags.Forwarded)},
			{int64(OptionProxiable), bit(flags.Proxiable)}, {int64(OptionProxy), bit(flags.Proxy)},
			{int64(OptionAllowPostdate), bit(flags.AllowPostDate)}, {int64(OptionPostdated), bit(flags.PostDated)}, {int64(OptionRenewable), bit(flags.Renewable)},
			{int64(OptionCanonicalize), bit(flags.Canonicalize)}, {int64(OptionNoTransitCheck), bit(flags.DisableTransitedCheck)},
			{int64(OptionRenewableOK), bit(flags.RenewableOK)}, {int64(OptionEncTktInSKey), bit(flags.EncTktInSkey)},
			{int64(OptionRenew), bit(flags.Renew)}, {int64(OptionValidate), bit(flags.Validate)},
		},
		"flags": {
			{int64(FlagForwardable), bit(flags.Forwardable)}, {int64(FlagForwarded), bit(flags.Forwarded)}, {int64(FlagProxiable), bit(flags.Proxiable)},
			{int64(FlagProxy), bit(flags.Proxy)}, {int64(FlagMayPostdate), bit(flags.MayPostDate)}, {int64(FlagPostdated), bit(flags.PostDated)},
			{int64(FlagInvalid), bit(flags.Invalid)}, {int64(FlagRenewable), bit(flags.Renewable)}, {int64(FlagInitial), bit(flags.Initial)},
			{int64(FlagPreAuthent), bit(flags.PreAuthent)}, {int64(FlagTransitedOK), bit(flags.TransitedPolicyChecked)},
			{int64(FlagOKAsDelegate), bit(flags.OKAsDelegate)}, {int64(FlagEncPARep), bit(flags.EncPARep)},
			{int64(APUseSessionKey), bit(flags.APOptionUseSessionKey)}, {int64(APMutualRequired), bit(flags.APOptionMutualRequired)},
		},
		"pre-authentication": {
			{int64(PATGSReq), int64(patype.PA_TGS_REQ)}, {int64(PAEncTimestamp), int64(patype.PA_ENC_TIMESTAMP)}, {int64(PAPWSalt), int64(patype.PA_PW_SALT)},
			{int64(PAEtypeInfo), int64(patype.PA_ETYPE_INFO)}, {int64(PAEtypeInfo2), int64(patype.PA_ETYPE_INFO2)},
			{int64(PAPKASReqOld), int64(patype.PA_PK_AS_REQ_OLD)}, {int64(PAPKASRepOld), int64(patype.PA_PK_AS_REP_OLD)},
			{int64(PAPKASReq), int64(patype.PA_PK_AS_REQ)}, {int64(PAPKASRep), int64(patype.PA_PK_AS_REP)},
			{int64(PAPACRequest), int64(patype.PA_PAC_REQUEST)}, {int64(PAForUser), int64(patype.PA_FOR_USER)}, {int64(PAS4UX509User), int64(patype.PA_FOR_X509_USER)},
			{int64(PAFXCookie), int64(patype.PA_FX_COOKIE)}, {int64(PAAuthenticationSet), int64(patype.PA_AUTHENTICATION_SET)},
			{int64(PAFXFast), int64(patype.PA_FX_FAST)}, {int64(PAFXError), int64(patype.PA_FX_ERROR)},
			{int64(PAEncryptedChallenge), int64(patype.PA_ENCRYPTED_CHALLENGE)}, {int64(PAOTPChallenge), int64(patype.PA_OTP_CHALLENGE)}, {int64(PAOTPRequest), int64(patype.PA_OTP_REQUEST)},
			{int64(PAPKINITKX), int64(patype.PA_PKINIT_KX)}, {int64(PAReqEncPARep), int64(patype.PA_REQ_ENC_PA_REP)}, {int64(PAASFreshness), int64(patype.PA_AS_FRESHNESS)},
			{int64(PASupportedEtypes), int64(patype.PA_SUPPORTED_ETYPES)}, {int64(PAExtendedError), int64(patype.PA_EXTENDED_ERROR)},
		},
		"authorization data": {
			{int64(ADIfRelevant), int64(adtype.ADIfRelevant)}, {int64(ADKDCIssued), int64(adtype.ADKDCIssued)}, {int64(ADWin2kPAC), int64(adtype.ADWin2KPAC)},
		},
		"name types": {
			{int64(NTUnknown), int64(nametype.KRB_NT_UNKNOWN)}, {int64(NTPrincipal), int64(nametype.KRB_NT_PRINCIPAL)}, {int64(NTSrvInst), int64(nametype.KRB_NT_SRV_INST)},
			{int64(NTSrvHst), int64(nametype.KRB_NT_SRV_HST)}, {int64(NTX500), int64(nametype.KRB_NT_X500_PRINCIPAL)}, {int64(NTEnterprise), int64(nametype.KRB_NT_ENTERPRISE)},
		},
		"addresses and realms": {
			{int64(AddressIPv4), int64(addrtype.IPv4)}, {int64(AddressIPv6), int64(addrtype.IPv6)}, {int64(DomainX500Compress), int64(trtype.DOMAIN_X500_COMPRESS)},
		},
		"encryption types": {
			{int64(AES128SHA1), int64(etypeID.AES128_CTS_HMAC_SHA1_96)}, {int64(AES256SHA1), int64(etypeID.AES256_CTS_HMAC_SHA1_96)},
			{int64(AES128SHA256), int64(etypeID.AES128_CTS_HMAC_SHA256_128)}, {int64(AES256SHA384), int64(etypeID.AES256_CTS_HMAC_SHA384_192)},
			{int64(RC4HMAC), int64(etypeID.RC4_HMAC)},
		},
		"checksum types": {
			{int64(ChecksumRSAMD4), int64(chksumtype.RSA_MD4)}, {int64(ChecksumRSAMD5), int64(chksumtype.RSA_MD5)},
			{int64(ChecksumHMACMD5), int64(chksumtype.KERB_CHECKSUM_HMAC_MD5)}, {int64(ChecksumGSSAPI), int64(chksumtype.GSSAPI)},
			{int64(testKey(AES128SHA1).ChecksumType()), int64(chksumtype.HMAC_SHA1_96_AES128)}, {int64(testKey(AES256SHA1).ChecksumType()), int64(chksumtype.HMAC_SHA1_96_AES256)},
			{int64(testKey(AES128SHA256).ChecksumType()), int64(chksumtype.HMAC_SHA256_128_AES128)}, {int64(testKey(AES256SHA384).ChecksumType()), int64(chksumtype.HMAC_SHA384_192_AES256)},
		},
		"key usages": {
			{int64(UsagePAEncTimestamp), keyusage.AS_REQ_PA_ENC_TIMESTAMP}, {int64(UsageTicket), keyusage.KDC_REP_TICKET}, {int64(UsageASRepEncPart), keyusage.AS_REP_ENCPART},
			{int64(UsageTGSReqAuthDataSession), keyusage.TGS_REQ_KDC_REQ_BODY_AUTHDATA_SESSION_KEY},
			{int64(UsageTGSReqAuthDataSubkey), keyusage.TGS_REQ_KDC_REQ_BODY_AUTHDATA_SUB_KEY},
			{int64(UsageTGSReqChecksum), keyusage.TGS_REQ_PA_TGS_REQ_AP_REQ_AUTHENTICATOR_CHKSUM},
			{int64(UsageTGSReqAuth), keyusage.TGS_REQ_PA_TGS_REQ_AP_REQ_AUTHENTICATOR},
			{int64(UsageTGSRepSessionKey), keyusage.TGS_REP_ENCPART_SESSION_KEY}, {int64(UsageTGSRepSubkey), keyusage.TGS_REP_ENCPART_AUTHENTICATOR_SUB_KEY},
			{int64(UsageAPReqChecksum), keyusage.AP_REQ_AUTHENTICATOR_CHKSUM}, {int64(UsageAPReqAuth), keyusage.AP_REQ_AUTHENTICATOR},
			{int64(UsageAPRepEncPart), keyusage.AP_REP_ENCPART}, {int64(UsageKRBPriv), keyusage.KRB_PRIV_ENCPART}, {int64(UsageKRBCred), keyusage.KRB_CRED_ENCPART},
			{int64(UsageNonKerberosChecksum), keyusage.KERB_NON_KERB_CKSUM_SALT},
			{int64(UsageAcceptorSeal), keyusage.GSSAPI_ACCEPTOR_SEAL}, {int64(UsageAcceptorSign), keyusage.GSSAPI_ACCEPTOR_SIGN},
			{int64(UsageInitiatorSeal), keyusage.GSSAPI_INITIATOR_SEAL}, {int64(UsageInitiatorSign), keyusage.GSSAPI_INITIATOR_SIGN},
			{int64(UsageFastReqChecksum), keyusage.KEY_USAGE_FAST_REQ_CHKSUM}, {int64(UsageFastEnc), keyusage.KEY_USAGE_FAST_ENC},
			{int64(UsageFastRep), keyusage.KEY_USAGE_FAST_REP}, {int64(UsageFastFinished), keyusage.KEY_USAGE_FAST_FINISHED},
			{int64(UsageEncChallengeClient), keyusage.KEY_USAGE_ENC_CHALLENGE_CLIENT}, {int64(UsageEncChallengeKDC), keyusage.KEY_USAGE_ENC_CHALLENGE_KDC},
			{int64(UsageASReqChecksum), keyusage.KEY_USAGE_AS_REQ},
		},
	} {
		for i, p := range pairs {
			if p[0] != p[1] {
				t.Errorf("%s, %d.: %d, gokrb5 has %d", name, i+1, p[0], p[1])
			}
		}
	}
}

func TestFlagNames(t *testing.T) {
	for flags, want := range map[uint32]string{
		0:                                      "none",
		FlagForwardable | FlagInitial:          "forwardable, initial",
		1<<(31-11) | FlagOKAsDelegate | 1:      "hw-authent, ok-as-delegate, 0x1",
		FlagEncPARep | FlagInvalid | FlagProxy: "proxy, invalid, enc-pa-rep",
	} {
		if got := FlagNames(flags); got != want {
			t.Errorf("%#x: %q, want %q", flags, got, want)
		}
	}
}
