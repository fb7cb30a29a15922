package krb

import (
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/secret"
)

// The module of RFC 6560 has IMPLICIT tags, unlike all others.

// OTPChallenge is PA-OTP-CHALLENGE of RFC 6560 section 4.1.
type OTPChallenge struct {
	Nonce   []byte
	Service string     // otp-service, "" when absent
	Tokens  []OTPToken // one at least
	Salt    []byte     // nil when absent, as the next
	Params  []byte     // s2kparams
}

// OTPToken is OTP-TOKENINFO of RFC 6560 section 4.1. What is absent is zero or nil.
type OTPToken struct {
	Flags      uint32
	Vendor     string
	Challenge  []byte
	Length     *int32
	Format     *int32
	ID         []byte
	Algorithm  string // a URI
	Hashes     []byte // supportedHashAlg: DER of AlgorithmIdentifiers, one after the other
	Iterations *int32
}

// maxOTPTokens bounds those in a challenge.
const maxOTPTokens = 32

// ParseOTPChallenge reads PA-OTP-CHALLENGE. The result shares memory with b.
func ParseOTPChallenge(b []byte) (*OTPChallenge, error) {
	f := OpenFields("OTP challenge", b)
	c := &OTPChallenge{Nonce: f.flat(0), Service: string(f.optionalFlat(1))}
	list := f.Raw(2)
	c.Salt = f.optionalFlat(3)
	c.Params = f.optionalFlat(4)
	if err := f.Err(true); err != nil {
		return nil, err
	}
	for !list.Empty() {
		var el cryptobyte.String
		if !list.ReadASN1Element(&el, asn1.SEQUENCE) || len(c.Tokens) == maxOTPTokens {
			return nil, malformed("OTP challenge: bad list of tokens")
		}
		token, err := ParseOTPToken(el)
		if err != nil {
			return nil, err
		}
		c.Tokens = append(c.Tokens, token)
	}
	if len(c.Tokens) == 0 {
		return nil, malformed("OTP challenge: no tokens")
	}
	return c, nil
}

// ParseOTPToken reads OTP-TOKENINFO. The result shares memory with b.
func ParseOTPToken(b []byte) (OTPToken, error) {
	f := OpenFields("OTP token", b)
	t := OTPToken{
		Flags: f.bits(0, f.flat(0)), Vendor: string(f.optionalFlat(1)), Challenge: f.optionalFlat(2), Length: f.flatInt(3), Format: f.flatInt(4),
		ID: f.optionalFlat(5), Algorithm: string(f.optionalFlat(6)), Hashes: f.Optional(7), Iterations: f.flatInt(8),
	}
	if rest := cryptobyte.String(t.Hashes); t.Hashes != nil {
		for more := true; more; more = f.err == nil && !rest.Empty() {
			if !rest.SkipASN1(asn1.SEQUENCE) {
				f.fail("field 7 is no list of algorithms")
			}
		}
	}
	return t, f.Err(true)
}

// Marshal returns PA-OTP-CHALLENGE.
func (c *OTPChallenge) Marshal() ([]byte, error) {
	var w Writer
	w.Sequence(func() {
		w.flat(4, c.Params)
		w.flat(3, c.Salt)
		w.Field(2, func() {
			for _, t := range slices.Backward(c.Tokens) {
				w.otpToken(t)
			}
		})
		w.flatText(1, c.Service)
		w.flat(0, nonNil(c.Nonce))
	})
	return w.Result()
}

// Marshal returns OTP-TOKENINFO.
func (t OTPToken) Marshal() ([]byte, error) {
	var w Writer
	w.otpToken(t)
	return w.Result()
}

func (w *Writer) otpToken(t OTPToken) {
	w.Sequence(func() {
		w.flatInt(8, t.Iterations)
		w.RawField(7, t.Hashes)
		w.flatText(6, t.Algorithm)
		w.flat(5, t.ID)
		w.flatInt(4, t.Format)
		w.flatInt(3, t.Length)
		w.flat(2, t.Challenge)
		w.flatText(1, t.Vendor)
		w.flatFlags(0, t.Flags)
	})
}

// OTPRequest is PA-OTP-REQUEST of RFC 6560 section 4.2. What is absent is zero or nil.
type OTPRequest struct {
	Flags      uint32
	Nonce      []byte
	EncData    EncryptedData // of PA-OTP-ENC-REQUEST
	Hash       []byte        // hashAlg: the contents of AlgorithmIdentifier
	Iterations *int32
	Value      secret.Bytes
	PIN        secret.Bytes
	Challenge  []byte
	Time       time.Time
	Counter    []byte
	Format     *int32
	ID         []byte
	Algorithm  string
	Vendor     string
}

// ParseOTPRequest reads PA-OTP-REQUEST. The result shares memory with b.
func ParseOTPRequest(b []byte) (*OTPRequest, error) {
	f := OpenFields("OTP request", b)
	r := &OTPRequest{Flags: f.bits(0, f.flat(0)), Nonce: f.optionalFlat(1)}
	r.EncData = f.flatEncrypted(2)
	r.Hash = f.Optional(3)
	r.Iterations = f.flatInt(4)
	r.Value = hidden(f.optionalFlat(5))
	r.PIN = hidden(f.optionalFlat(6))
	r.Challenge = f.optionalFlat(7)
	if f.hasFlat(8) {
		text := f.flat(8)
		if f.err == nil && !readTime(append([]byte{byte(asn1.GeneralizedTime), byte(len(text))}, text...), &r.Time) {
			f.fail("field 8 is no time")
		}
	}
	r.Counter = f.optionalFlat(9)
	r.Format = f.flatInt(10)
	r.ID = f.optionalFlat(11)
	r.Algorithm = string(f.optionalFlat(12))
	r.Vendor = string(f.optionalFlat(13))
	return r, f.Err(true)
}

// Marshal returns PA-OTP-REQUEST.
func (r *OTPRequest) Marshal() ([]byte, error) {
	w := NewWriter(512)
	w.Sequence(func() {
		w.flatText(13, r.Vendor)
		w.flatText(12, r.Algorithm)
		w.flat(11, r.ID)
		w.flatInt(10, r.Format)
		w.flat(9, r.Counter)
		if !r.Time.IsZero() {
			w.flatText(8, r.Time.UTC().Format("20060102150405Z"))
		}
		w.flat(7, r.Challenge)
		w.flat(6, r.PIN.Reveal())
		w.flat(5, r.Value.Reveal())
		w.flatInt(4, r.Iterations)
		w.RawField(3, r.Hash)
		w.flatEncrypted(2, r.EncData)
		w.flat(1, r.Nonce)
		w.flatFlags(0, r.Flags)
	})
	return w.Result()
}

// SealOTPNonce returns the PA-OTP-ENC-REQUEST of a challenge's nonce under the armour
// key (RFC 6560 section 4.2).
func SealOTPNonce(armor Key, nonce []byte) (EncryptedData, error) {
	var w Writer
	w.Sequence(func() { w.flat(0, nonNil(nonce)) })
	sealed, err := armor.Seal(UsageOTPRequest, w.Bytes())
	return EncryptedData{Etype: armor.Etype(), Cipher: sealed}, err
}

// OpenOTPNonce returns the nonce in a PA-OTP-ENC-REQUEST. Errors wrap [ErrMalformed]
// where the key fits.
func OpenOTPNonce(armor Key, ed EncryptedData) ([]byte, error) {
	plain, err := armor.OpenData(UsageOTPRequest, ed)
	if err != nil {
		return nil, err
	}
	f := OpenFields("OTP request part", plain)
	nonce := f.flat(0)
	return nonce, f.Err(true)
}

// flatEncrypted reads [n] IMPLICIT EncryptedData.
func (f *Fields) flatEncrypted(n uint8) EncryptedData {
	var w Writer
	w.Sequence(func() { w.Raw(f.Raw(n)) })
	if f.err != nil {
		return EncryptedData{}
	}
	ed, err := ParseEncrypted(w.Bytes())
	f.within(err)
	return ed
}

// flatEncrypted writes [n] IMPLICIT EncryptedData.
func (w *Writer) flatEncrypted(n uint8, ed EncryptedData) {
	w.Field(n, func() { w.encryptedFields(ed) })
}

// flat writes [n] IMPLICIT of a primitive type, nothing where there is none.
func (w *Writer) flat(n uint8, contents []byte) {
	if contents != nil {
		w.Element(flat(n), func() { w.Raw(contents) })
	}
}

// flatText writes [n] IMPLICIT UTF8String, nothing where it is empty.
func (w *Writer) flatText(n uint8, s string) {
	if s != "" {
		w.text(flat(n), s)
	}
}

// flatInt writes [n] IMPLICIT Int32, nothing where there is none.
func (w *Writer) flatInt(n uint8, v *int32) {
	if v != nil {
		w.integerAs(flat(n), int64(*v))
	}
}

// flatFlags writes [n] IMPLICIT KerberosFlags of 32 bits.
func (w *Writer) flatFlags(n uint8, flags uint32) {
	w.flat(n, []byte{0, byte(flags >> 24), byte(flags >> 16), byte(flags >> 8), byte(flags)})
}

// hidden is nil for nil.
func hidden(b []byte) secret.Bytes {
	if b == nil {
		return secret.Bytes{}
	}
	return secret.New(b)
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
