package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// prepare chooses the key for pre-authentication from a KDC_ERR_PREAUTH_REQUIRED.
func (a *asCall) prepare(ctx context.Context, r *reply) *Error {
	padata, err := krb.ParsePADatas(r.err.Data)
	if err == nil {
		a.infos, a.said, err = etypeInfos(padata, a.etypes)
	}
	if err != nil {
		return a.fail(KindReply, fmt.Errorf("%w, with data that cannot be read: %w", r.err, err), "")
	}
	value, found := krb.FindPAData(padata, krb.PAOTPChallenge)
	switch {
	case a.otp.asked() && !found:
		return a.afterOTP(r)
	case found && a.fast != nil && a.r.OTP != nil:
		return a.prepareOTP(ctx, r, padata, value)
	}
	timestamp, others := false, false
	_, spoken := krb.FindPAData(padata, krb.PASPAKE)
	spoken = spoken && len(a.c.groups) > 0
	_, challenge := krb.FindPAData(padata, krb.PAEncryptedChallenge)
	challenge = challenge && a.fast != nil
	for _, p := range padata {
		timestamp = timestamp || p.Type == krb.PAEncTimestamp
		others = others || p.Type != krb.PAEtypeInfo2 && p.Type != krb.PAEtypeInfo && p.Type != krb.PAPWSalt
	}
	if !spoken && !challenge && (!timestamp && others || a.noTimestamps) {
		return a.unmet(r, padata)
	}
	if a.fast != nil {
		a.cookie, _ = krb.FindPAData(padata, krb.PAFXCookie)
	}
	var why error
	for _, etype := range a.etypes {
		i := slices.IndexFunc(a.infos, func(info krb.EtypeInfo) bool { return info.Etype == etype })
		if i < 0 {
			continue
		}
		key, err := a.r.Keys.Key(ctx, salted(a.infos[i], a.r.Client), 0)
		if err == nil && key.Key.Etype() != etype {
			err = fmt.Errorf("a key of type %s was given for %s", krb.EtypeName(key.Key.Etype()), krb.EtypeName(etype))
		}
		if err == nil {
			if spoken {
				a.cookie, _ = krb.FindPAData(padata, krb.PAFXCookie)
				a.key, a.spake = key, &spakeState{groups: a.c.groups, timestamp: timestamp && !a.noTimestamps, challenge: challenge}
				return nil
			}
			// If it was refused, so will the keys of other types be that belong to
			// the same password, or count against the account.
			if fail := a.admit(ctx, key); fail != nil {
				return fail
			}
			a.key, a.challenge = key, challenge
			return nil
		}
		if why == nil {
			why = err
		}
	}
	if why != nil {
		return a.noKey(ctx, why)
	}
	have := make([]int32, len(a.infos))
	for i, info := range a.infos {
		have[i] = info.Etype
	}
	return a.fail(KindKey, fmt.Errorf("the KDC takes keys of types %s for this client, allowed are %s", etypeNames(have), etypeNames(a.etypes)),
		"see permitted_enctypes and allow_rc4 in krb5.conf, or give the principal new keys")
}

// noKey turns the error of Keys into an Error: that time was up, or that a KDC
// asks for what nobody should do, says nothing of the key.
func (a *asCall) noKey(ctx context.Context, err error) *Error {
	switch {
	case ctx.Err() != nil:
		return a.fail(KindUnreachable, err, "")
	case errors.Is(err, krb.ErrIterations):
		return a.fail(KindReply, err, "anyone on the way can forge this; if the KDC does ask for it, set the password anew with the default parameters")
	}
	return a.fail(KindKey, err, "")
}

// salted fills in the default salt, which is that of the name in the realm that
// was asked, wherever the search began.
func salted(info krb.EtypeInfo, client krb.Principal) krb.EtypeInfo {
	if !info.HasSalt {
		info.Salt, info.HasSalt = client.Salt(), true
	}
	return info
}

// Ranks of what says which salt a key has, the best last.
const (
	saidNothing = iota
	saidPWSalt
	saidInfo
	saidInfo2
)

// etypeInfos reads what a KDC says of the client's keys. ETYPE-INFO2 counts
// where there is one. The older forms bear a salt as raw bytes; without any the
// salt is the default for all types that were offered.
func etypeInfos(padata []krb.PAData, offered []int32) (infos []krb.EtypeInfo, said int, err error) {
	if v, ok := krb.FindPAData(padata, krb.PAEtypeInfo2); ok {
		infos, err = krb.ParseEtypeInfo2(v)
		return infos, saidInfo2, err
	}
	if v, ok := krb.FindPAData(padata, krb.PAEtypeInfo); ok {
		infos, err = krb.ParseEtypeInfo(v)
		return infos, saidInfo, err
	}
	salt, hasSalt := krb.FindPAData(padata, krb.PAPWSalt)
	if hasSalt {
		said = saidPWSalt
	}
	for _, e := range offered {
		infos = append(infos, krb.EtypeInfo{Etype: e, Salt: string(salt), HasSalt: hasSalt})
	}
	return infos, said, nil
}

// mechanisms are the kinds of pre-authentication by the numbers that KDCs offer them
// under (RFC 4120 section 7.5.2, RFC 4556, 6113 and 6560, draft-ietf-kitten-krb-spake-preauth).
var mechanisms = map[int32]string{
	krb.PAEncTimestamp:       "encrypted timestamp",
	krb.PAPKASReq:            "PKINIT",
	krb.PAFXFast:             "FAST",
	krb.PAEncryptedChallenge: "encrypted challenge within FAST",
	krb.PAOTPChallenge:       "OTP within FAST",
	krb.PASPAKE:              "SPAKE",
	krb.PASAMChallenge:       "hardware authentication",
	krb.PASAMChallenge2:      "hardware authentication",
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
