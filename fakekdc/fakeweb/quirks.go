package fakeweb

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// Quirks say how a web service misbehaves, or behaves in ways that are legal
// and rare. The zero value is a service that does neither: it offers
// "Negotiate", verifies, and answers with its token on every status.
//
// What comes after authentication is [Options.Next]'s: a redirect that is
// not proved to be the service's is Proof: ProofNone before an
// http.RedirectHandler.
type Quirks struct {
	// Before answers instead of the service and without authentication, as a
	// load balancer does: an error page with Set-Cookie, a redirect.
	Before http.Handler

	// Challenge replaces the challenge's header lines, which are
	// WWW-Authenticate, or Proxy-Authenticate for a proxy. See [Challenges].
	Challenge []string
	// ChallengeBody is the length in bytes of the body of a 401, sent in
	// chunks. 0 sends a short one.
	ChallengeBody int
	// EarlyChallenge sends the 401 before the request's body is read, and
	// closes the connection.
	EarlyChallenge bool

	// Reject refuses every token: 401 for ever.
	Reject bool
	// RejectCode is the KRB-ERROR code of Reject, 60 (generic) when 0.
	RejectCode int32
	// Rejection is what a 401 that refuses a token carries.
	Rejection Rejection

	// Hangup closes the connection on a request that carries a token, without
	// an answer.
	Hangup bool
	// ExtraLeg makes the service want more than one token.
	ExtraLeg ExtraLeg

	// Proof is what the service proves itself with.
	Proof Proof
	// ProofOn says on which statuses that is sent; nil on all. See
	// [OnErrors].
	ProofOn func(status int) bool
	// Raw sends the mechanism's own token without SPNEGO around it.
	Raw bool
	// NoState leaves negState out of NegTokenResp, as Java does.
	NoState bool
	// MicrosoftOID names the mechanism 1.2.840.48018.1.2.2.
	MicrosoftOID bool
	// NoSubkey leaves the acceptor's subkey out of AP-REP.
	NoSubkey bool
}

// Proof is the token that a service sends back for an accepted one.
type Proof uint8

// Tokens of a service. All but the first leave it unproved.
const (
	ProofGenuine   Proof = iota // AP-REP
	ProofNone                   // none at all
	ProofState                  // NegTokenResp accept-completed without AP-REP
	ProofForged                 // AP-REP for this request, under a random key
	ProofForeign                // AP-REP of another security context
	ProofReplayed               // AP-REP for an earlier request in the same session
	ProofKRBError               // KRB-ERROR in place of AP-REP
	ProofReject                 // NegTokenResp reject, although the request was served
	ProofNTLM                   // an NTLM challenge
	ProofGarbage                // base64 of nothing known
	ProofNotBase64              // "Negotiate" and text that is not base64
	ProofEmpty                  // "Negotiate" and nothing
)

// Rejection is what a 401 that refuses a token carries.
type Rejection uint8

// Rejections of a service.
const (
	RejectKRBError Rejection = iota // negState reject with a KRB-ERROR, if the client asked for mutual authentication
	RejectPlain                     // "Negotiate" and nothing
	RejectState                     // negState reject alone
	RejectNTLM                      // an NTLM challenge
	RejectNothing                   // 401 without a challenge
)

// ExtraLeg makes a service want more than one token. Legs of one context come
// over one connection.
type ExtraLeg uint8

// Extra legs.
const (
	// NoExtraLeg is the usual course: one token from the client.
	NoExtraLeg ExtraLeg = iota
	// LegMIC answers 401 with AP-REP, mechListMIC and state request-mic, and
	// wants the client's mechListMIC (RFC 4178 section 5).
	LegMIC
	// LegAgain answers 401 with state request-mic and no token, as if the
	// mechanism were not the client's first choice, and wants its token in a
	// NegTokenResp, then its mechListMIC.
	LegAgain
	// LegIncomplete answers 401 with AP-REP and state accept-incomplete, and
	// is content with any NegTokenResp.
	LegIncomplete
	// LegForever answers every token with 401 and state accept-incomplete, the
	// first one with AP-REP as well.
	LegForever
)

// OnErrors is for [Quirks.ProofOn]: tokens on statuses 400 and above alone.
func OnErrors(status int) bool { return status >= 400 }

// OnSuccess is for [Quirks.ProofOn]: tokens on statuses below 400 alone.
func OnSuccess(status int) bool { return status < 400 }

// Challenges returns forms in which servers offer Negotiate, for
// [Quirks.Challenge], by name. All of them are legal; whoever parses headers
// finds the offer in each.
func Challenges() map[string][]string {
	return map[string][]string{
		"plain":            {"Negotiate"},
		"lower case":       {"negotiate"},
		"upper case":       {"NEGOTIATE"},
		"mixed case":       {"nEgOtIaTe"},
		"basic first":      {`Basic realm="test"`, "Negotiate"},
		"basic last":       {"Negotiate", `Basic realm="test"`},
		"comma list":       {`Basic realm="test", Negotiate`},
		"comma list first": {`Negotiate, Basic realm="test"`},
		"quoted decoy":     {`Basic realm="a, Negotiate b", Negotiate`},
		"escaped quote":    {`Basic realm="a \", Negotiate b", Negotiate`},
		"many schemes":     {`Digest realm="x", nonce="y, z", qop="auth"`, "NTLM, Negotiate", `Bearer realm="x", error="invalid_token"`},
		"empty elements":   {", ,Negotiate,,"},
		"odd blanks":       {"Basic  realm = \"test\" ,\tNegotiate "},
	}
}

// HugeChallenge returns challenge lines that offer Negotiate and carry about n
// bytes of base64 that is no token, for [Quirks.Challenge].
func HugeChallenge(n int) []string {
	return []string{"Negotiate " + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x7f", n*3/4)))}
}

// BrokenChallenge returns challenge lines whose token is not base64, for
// [Quirks.Challenge].
func BrokenChallenge() []string { return []string{"Negotiate ~~~not~base64~~~"} }

// ntlmChallenge returns the head of a CHALLENGE_MESSAGE (MS-NLMP section
// 2.2.1.2), which no Kerberos client should take.
func ntlmChallenge() []byte {
	return append([]byte("NTLMSSP\x00\x02\x00\x00\x00"), make([]byte, 44)...)
}
