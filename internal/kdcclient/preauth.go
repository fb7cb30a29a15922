package kdcclient

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// mechanisms are the kinds of pre-authentication by the numbers that KDCs offer them
// under (RFC 4120 section 7.5.2, RFC 4556, 6113 and 6560, draft-ietf-kitten-krb-spake-preauth).
var mechanisms = map[int32]string{
	krb.PAEncTimestamp:       "encrypted timestamp",
	krb.PAPKASReq:            "PKINIT",
	krb.PAFXFast:             "FAST",
	krb.PAEncryptedChallenge: "encrypted challenge within FAST",
	krb.PAOTPChallenge:       "OTP within FAST",
	krb.PASPAKE:              "SPAKE",
}

// helpers are numbers in METHOD-DATA that stand for no kind of pre-authentication:
// salts, types of keys, cookies, what the KDC understands, and answers.
var helpers = []int32{
	krb.PAPWSalt, krb.PAEtypeInfo, krb.PAEtypeInfo2, krb.PAReqEncPARep,
	krb.PAPKASReqOld, krb.PAPKASRepOld, krb.PAPKASRep, krb.PAPACRequest, krb.PAForUser, krb.PAS4UX509User,
	krb.PAFXCookie, krb.PAAuthenticationSet, krb.PAFXError, krb.PAPKINITKX, krb.PAASFreshness,
	krb.PASupportedEtypes, krb.PAExtendedError, krb.PAPACOptions,
}

// offered names what the KDC offers in METHOD-DATA, for the middle of an error:
// ", and the KDC offers SPAKE (151), FAST (136)". It is empty where that is nothing.
func offered(methodData []byte) string {
	padata, err := krb.ParsePADatas(methodData)
	if err != nil {
		return ""
	}
	var names []string
	for _, p := range padata {
		if slices.Contains(helpers, p.Type) {
			continue
		}
		name := fmt.Sprintf("type %d", p.Type)
		if known, ok := mechanisms[p.Type]; ok {
			name = fmt.Sprintf("%s (%d)", known, p.Type)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	if more := len(names) - maxOffers; more > 0 {
		names = append(names[:maxOffers], fmt.Sprintf("%d more", more))
	}
	return ", and the KDC offers " + strings.Join(names, ", ")
}

// maxOffers bounds how much of a KDC's list an error repeats.
const maxOffers = 8

// noTimestamp is the error where a KDC takes no encrypted timestamp.
func (a *asCall) noTimestamp(r *reply) *Error {
	e := a.refused(r)
	e.Err = fmt.Errorf("%w%s", r.err, offered(r.err.Data))
	e.Hint = "encrypted timestamps alone are supported: have the KDC take them from this principal, or log in with kinit and use its cache"
	if a.said != saidInfo2 && a.said != saidInfo {
		// MIT krb5 does not offer them where it has no key for them either.
		e.Hint = fmt.Sprintf("%s; if it has no key of the types %s, give it new ones", e.Hint, etypeNames(a.etypes))
	}
	return e
}
