package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
	"github.com/kerbchain/kerbchain/internal/secret"
)

// OTP is a one-time password in answer to a challenge.
type OTP struct {
	Token int         // the index of the token that it is of
	Value secret.Text // the one-time password
	PIN   secret.Text // where the token takes one
}

// otpState is the client's side of logging in with one-time passwords (RFC 6560).
type otpState struct {
	request []byte        // PA-OTP-REQUEST of the next message; nil where there is none
	sent    []secret.Text // the one-time passwords that were sent, and no ticket came of them
}

// asked reports whether a one-time password is what proves the client.
func (s *otpState) asked() bool { return s.request != nil }

// otpFlags are the flags of tokens that can be answered. Others, as MIT krb5 has it, are
// for what the client would have to make of the one-time password itself.
const otpFlags = krb.OTPNextOTP | krb.OTPCollectPIN | krb.OTPNoCollectPIN | krb.OTPSeparatePIN

// unanswerable says why a one-time password of a token cannot be sent, "" where it can.
func unanswerable(t krb.OTPToken) string {
	switch {
	case t.Hashes != nil || t.Iterations != nil:
		return "wants a hash of it"
	case t.Flags&^otpFlags != 0:
		return fmt.Sprintf("has the flags %#08x", t.Flags)
	case t.Flags&krb.OTPCollectPIN != 0 && t.Flags&krb.OTPNoCollectPIN != 0:
		return "wants a PIN and forbids to ask for it"
	}
	return ""
}

// answerable leaves the tokens of a challenge that can be answered: of those that are to
// give their next one-time password, after one was sent.
func answerable(c *krb.OTPChallenge, again bool) (tokens []krb.OTPToken, others []string) {
	for _, t := range c.Tokens {
		why := unanswerable(t)
		if why == "" && again && t.Flags&krb.OTPNextOTP == 0 {
			why = "does not want the next one"
		}
		if why != "" {
			others = append(others, fmt.Sprintf("token %q %s", printable.Text(shorten(t.Vendor)), why))
			continue
		}
		tokens = append(tokens, t)
	}
	if more := len(others) - maxOffers; more > 0 {
		others = append(others[:maxOffers], fmt.Sprintf("%d more", more))
	}
	return tokens, others
}

// maxOTPs bounds the one-time passwords of a login: one, and the next of the same token.
const maxOTPs = 2

// prepareOTP asks for a one-time password, in answer to a challenge within FAST.
func (a *asCall) prepareOTP(ctx context.Context, r *reply, padata []krb.PAData, value []byte) *Error {
	c, err := krb.ParseOTPChallenge(value)
	if err != nil {
		return a.fail(KindReply, fmt.Errorf("%w, with data that cannot be read: %w", r.err, err), "")
	}
	tokens, others := answerable(c, a.otp.asked())
	if len(a.otp.sent) == maxOTPs || a.otp.asked() && len(tokens) == 0 {
		return a.afterOTP(r)
	}
	if len(tokens) == 0 {
		e := a.refused(r)
		e.Err = fmt.Errorf("%w for a one-time password that cannot be sent: %s", r.err, strings.Join(others, ", "))
		e.Hint = "have the KDC take one-time passwords of this principal as they are, or log in with kinit and use its cache"
		return e
	}
	got, err := a.r.OTP(ctx, a.r.Client, c.Service, slices.Clone(tokens))
	switch {
	case err != nil && ctx.Err() != nil:
		return a.fail(KindUnreachable, fmt.Errorf("ask for a one-time password: %w", err), "")
	case err != nil:
		return a.fail(KindKey, fmt.Errorf("ask for a one-time password: %w", err), "")
	case got.Token < 0 || got.Token >= len(tokens):
		return a.fail(KindRequest, fmt.Errorf("the one-time password is said to be of token %d, there are %d", got.Token, len(tokens)), "")
	case got.Value.Reveal() == "":
		return a.fail(KindKey, errors.New("ask for a one-time password: none was given"), "")
	}
	if fail := a.admitOTP(ctx, got.Value); fail != nil {
		return fail
	}
	a.otp.sent = append(a.otp.sent, got.Value)
	a.cookie, _ = krb.FindPAData(padata, krb.PAFXCookie)
	if a.otp.request, err = otpRequest(a.fast.key, c.Nonce, tokens[got.Token], got); err != nil {
		return a.fail(KindRequest, err, "")
	}
	// It is of use once: nobody else is to see it, nor the same KDC twice.
	a.only = &chosen{kdcs: []KDC{r.where()}, stream: true}
	return nil
}

// afterOTP is the error where a KDC wants more than the one-time password that it got.
func (a *asCall) afterOTP(r *reply) *Error {
	e := a.refused(r)
	e.Err = fmt.Errorf("%w, though a one-time password was sent%s", r.err, offered(r.err.Data))
	e.Hint = ""
	return e
}

// otpRequest answers a challenge (RFC 6560 section 4.2). The armour key protects the
// nonce, so that the KDC's answer is sealed under that key.
func otpRequest(armor krb.Key, nonce []byte, t krb.OTPToken, got OTP) ([]byte, error) {
	sealed, err := krb.SealOTPNonce(armor, nonce)
	if err != nil {
		return nil, err
	}
	q := &krb.OTPRequest{
		Flags: t.Flags & krb.OTPNextOTP, EncData: sealed,
		Challenge: t.Challenge, Format: t.Format, ID: t.ID, Algorithm: t.Algorithm, Vendor: t.Vendor,
	}
	value, pin := got.Value.Reveal(), got.PIN.Reveal()
	if t.Flags&krb.OTPSeparatePIN == 0 {
		value, pin = pin+value, ""
	}
	q.Value = secret.New([]byte(value))
	if pin != "" {
		q.PIN = secret.New([]byte(pin))
	}
	return q.Marshal()
}

// admitOTP says whether a one-time password may be sent.
func (a *asCall) admitOTP(ctx context.Context, value secret.Text) *Error {
	for _, sent := range a.otp.sent {
		if sent.Reveal() == value.Reveal() {
			return a.fail(KindKey, errors.New("ask for the next one-time password: the one before was given"), "wait until the token shows another one")
		}
	}
	if a.r.Guard == nil {
		return nil
	}
	if fail := a.takeTurn(ctx); fail != nil {
		return fail
	}
	if why := a.r.Guard.RefusedOTP(value); why != nil {
		return kept(why)
	}
	return nil
}

// noKeys are those of a client that has nothing but one-time passwords.
type noKeys struct{}

func (noKeys) Etypes() ([]int32, int) { return nil, 0 }

func (noKeys) Key(context.Context, krb.EtypeInfo, uint32) (KeyEntry, error) {
	return KeyEntry{}, errors.New("the KDC wants a password or key, and there are one-time passwords alone")
}
