package kdcclient

import (
	"fmt"
	"slices"

	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// unmet is the error where nothing that a KDC offers can be done. It names what is offered,
// and what each would take.
func (a *asCall) unmet(r *reply, padata []krb.PAData) *Error {
	e := a.refused(r)
	e.Err = fmt.Errorf("%w%s", r.err, offered(r.err.Data))
	var takes []string
	for _, p := range padata {
		if hint := a.takes(p.Type); hint != "" && !slices.Contains(takes, hint) {
			takes = append(takes, hint)
		}
	}
	if len(takes) == 0 {
		takes = []string{"have the KDC take SPAKE or encrypted timestamps from this principal, of which it may want a hardware token (requires_hwauth), or log in with kinit and use its cache"}
	}
	if realm, ok := a.timestampsForbidden(); ok {
		takes = append(takes, fmt.Sprintf("krb5.conf says disable_encrypted_timestamp of realm %s: have the KDC take SPAKE from this principal; someone on the way may have left it out of the offer",
			show(krb.Principal{Realm: realm})))
	}
	if a.said != saidInfo2 && a.said != saidInfo {
		// MIT krb5 does not offer them where it has no key for them either.
		takes = append(takes, fmt.Sprintf("if the KDC has no key of the types %s for this principal, give it new ones", etypeNames(a.etypes)))
	}
	e.Hint = hints.Join(takes...)
	return e
}

// takes says what a kind of pre-authentication takes that is not there, "" where that is
// nothing.
func (a *asCall) takes(kind int32) string {
	switch kind {
	case krb.PAPKASReq:
		return "PKINIT takes a certificate: log in with kinit -X X509_user_identity=... and use its cache"
	case krb.PASPAKE:
		return "SPAKE takes a group that is named in spake_preauth_groups of krb5.conf, which names none that we have"
	case krb.PASAMChallenge, krb.PASAMChallenge2:
		return "hardware authentication (SAM) is not there: log in with kinit and use its cache"
	case krb.PAOTPChallenge:
		if a.fast != nil {
			return "OTP takes somebody who is asked for one-time passwords: set OTP"
		}
	}
	if a.fast == nil && slices.Contains([]int32{krb.PAFXFast, krb.PAEncryptedChallenge, krb.PAOTPChallenge}, kind) {
		return "FAST, and what is offered within it alone, takes the ticket of another principal, of this host mostly: set Armor"
	}
	return ""
}
