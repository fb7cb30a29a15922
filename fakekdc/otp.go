package fakekdc

import (
	"crypto/hmac"
	"fmt"
	"slices"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A Token is what a user logs in with in place of the password (RFC 6560).
type Token struct {
	Value string // the one-time password, always the same: what a realm for tests has
	// Next, when not empty, is asked for after a right Value, as of a token that is out of
	// step.
	Next string
	// PIN, when not empty, is asked for too. It is sent apart, unless JoinPIN has it stand
	// before the one-time password.
	PIN     string
	JoinPIN bool

	// What the KDC says of the token; empty, or 0, says nothing.
	Vendor, Challenge, ID string
	Length                int
}

// OTP has a user log in with a one-time password in place of the password (RFC 6560),
// which takes FAST. It is always the same.
func OTP(value string) PrincipalOption { return Tokens(Token{Value: value, Vendor: "fakekdc"}) }

// Tokens is [OTP] for a user who has one of several tokens at hand. The first that an
// answer fits counts. Without any the user has the password.
func Tokens(list ...Token) PrincipalOption {
	if len(list) == 0 {
		list = nil // and not a user who cannot log in
	}
	return func(p *policy) { p.tokens = slices.Clone(list) }
}

// info describes the token to clients (RFC 6560 section 4.1).
func (t Token) info(next bool) krb.OTPToken {
	out := krb.OTPToken{Vendor: t.Vendor}
	if t.Challenge != "" {
		out.Challenge = []byte(t.Challenge)
	}
	if t.ID != "" {
		out.ID = []byte(t.ID)
	}
	if n := int32(t.Length); n > 0 {
		out.Length = &n
	}
	if t.PIN != "" {
		out.Flags |= krb.OTPCollectPIN
		if !t.JoinPIN {
			out.Flags |= krb.OTPSeparatePIN
		}
	}
	if next {
		out.Flags |= krb.OTPNextOTP
	}
	return out
}

// fits reports whether an answer is the token's.
func (t Token) fits(m *krb.OTPRequest, value string) bool {
	pin := t.PIN
	if t.JoinPIN {
		value, pin = t.PIN+value, ""
	}
	return hmac.Equal(m.Value.Reveal(), []byte(value)) && hmac.Equal(m.PIN.Reveal(), []byte(pin))
}

// offerOTP makes the challenge: for all tokens, or for the next of the one that has just
// been used.
func (r *Realm) offerOTP(q *request, p *principal, now time.Time) (krb.PAData, error) {
	c := &krb.OTPChallenge{Nonce: r.cookie(nonceOf(q.fast.next), p, now), Service: r.realm}
	for i, t := range p.tokens {
		if next := q.fast.next; next == 0 || next == i+1 {
			c.Tokens = append(c.Tokens, t.info(next > 0))
		}
	}
	value, err := c.Marshal()
	return krb.PAData{Type: krb.PAOTPChallenge, Value: value}, err
}

// nonceOf is what a nonce is for: any token's one-time password, or the next of one.
func nonceOf(token int) string { return fmt.Sprint("nonce ", token) }

// takeOTP verifies a one-time password (RFC 6560 section 4.2).
func (r *Realm) takeOTP(q *request, p *principal, value []byte, now time.Time) *refusal {
	failed := func(text string) *refusal { return r.preauthNeeded(q, p, krb.CodePreauthFailed, text, now) }
	m, err := krb.ParseOTPRequest(value)
	if err != nil {
		return failed("one-time password malformed")
	}
	nonce, err := krb.OpenOTPNonce(q.fast.key, m.EncData)
	if err != nil {
		return failed("one-time password for another challenge")
	}
	known := false
	for i, t := range p.tokens {
		want, number := t.Value, 0
		if m.Flags&krb.OTPNextOTP != 0 {
			want, number = t.Next, i+1
		}
		if !r.gave(nonce, nonceOf(number), p, now) {
			continue
		}
		known = true
		switch {
		case want == "" || !t.fits(m, want):
		case number == 0 && t.Next != "":
			q.fast.next = i + 1
			return r.preauthNeeded(q, p, krb.CodePreauthRequired, "the next one-time password is wanted", now)
		default:
			return nil
		}
	}
	if !known {
		return failed("one-time password for another challenge")
	}
	return failed("wrong one-time password")
}
