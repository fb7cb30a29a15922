package kerberos

import (
	"context"

	"github.com/kerbchain/kerbchain/internal/flight"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
)

// An OTPChallenge asks for a one-time password of one of some tokens (RFC 6560).
type OTPChallenge struct {
	Principal string // who logs in, name@REALM
	Service   string // what verifies it, "" where the KDC does not say
	Tokens    []OTPToken
}

// An OTPToken is what a KDC says of a token; what it does not say is empty. Texts are as
// they came, save for what a terminal must not be sent, which is escaped.
type OTPToken struct {
	Vendor    string // whose it is, or what people call it
	Challenge string // to type into the token
	ID        string
	Algorithm string // a URI
	Length    int    // of the one-time password, in characters
	Format    string // of the one-time password: "decimal", "hexadecimal", "alphanumeric", "binary" or "base64"
	PIN       bool   // a PIN is wanted too
	NoPIN     bool   // nobody is to be asked for a PIN
	// Next says that the one-time password is to be another than the token has just given:
	// the one after it.
	Next bool
}

// An OTPAnswer is a one-time password.
type OTPAnswer struct {
	Token int    // the index of its token in the challenge
	Value Secret // the one-time password
	PIN   Secret // where the token wants one
}

// otp returns what asks for one-time passwords, nil where nobody is to be asked.
func (s *Source) otp() func(context.Context, krb.Principal, string, []krb.OTPToken) (kdcclient.OTP, error) {
	if s.o.OTP == nil {
		return nil
	}
	return func(ctx context.Context, client krb.Principal, service string, tokens []krb.OTPToken) (kdcclient.OTP, error) {
		defer flight.Doing(ctx, "asking for a one-time password of "+client.String())()
		c := OTPChallenge{Principal: client.String(), Service: printable.Text(service)}
		for _, t := range tokens {
			c.Tokens = append(c.Tokens, otpToken(t))
		}
		a, err := s.o.OTP(ctx, c)
		return kdcclient.OTP(a), err
	}
}

// otpFormats are the names of the formats (RFC 6560 section 4.1).
var otpFormats = map[int32]string{
	krb.OTPDecimal: "decimal", krb.OTPHexadecimal: "hexadecimal", krb.OTPAlphanumeric: "alphanumeric", krb.OTPBinary: "binary", krb.OTPBase64: "base64",
}

func otpToken(t krb.OTPToken) OTPToken {
	out := OTPToken{
		Vendor: printable.Text(t.Vendor), Challenge: printable.Text(string(t.Challenge)), ID: printable.Text(string(t.ID)), Algorithm: printable.Text(t.Algorithm),
		PIN: t.Flags&krb.OTPCollectPIN != 0, NoPIN: t.Flags&krb.OTPNoCollectPIN != 0, Next: t.Flags&krb.OTPNextOTP != 0,
	}
	if t.Length != nil && *t.Length > 0 {
		out.Length = int(*t.Length)
	}
	if t.Format != nil {
		out.Format = otpFormats[*t.Format] // "" for one that has no name yet
	}
	return out
}
