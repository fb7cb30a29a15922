package gss

import (
	"errors"
	"slices"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Wrap returns a token that carries plain, sealed or, without conf, in clear
// with a checksum: gss_wrap.
func (c *Channel) Wrap(plain []byte, conf bool) ([]byte, error) {
	return c.AppendWrap(nil, plain, conf)
}

// AppendWrap is Wrap, appending to dst, which plain must not overlap.
func (c *Channel) AppendWrap(dst, plain []byte, conf bool) ([]byte, error) {
	if c.key.Etype() == krb.RC4HMAC {
		token, _, err := c.sealRC4(dst, plain, conf, 1)
		return token, err
	}
	return c.appendCFX(dst, plain, conf)
}

// Unwrap returns, in new memory, what the peer's next token carries, and whether
// it was sealed: gss_unwrap. Any rotation and any number of filler bytes is
// understood.
//
// Its error is or wraps [ErrMalformed], [ErrDirection], [ErrSubkey],
// [krb.ErrIntegrity] or, of an authentic token, a [*SequenceError]. With RC4 the
// number of a token that is not sealed is not protected (RFC 4757 section 7.3),
// so that its replay may go unnoticed.
func (c *Channel) Unwrap(token []byte) (plain []byte, conf bool, err error) {
	if c.key.Etype() == krb.RC4HMAC {
		return c.openWholeRC4(token, opening{padded: true})
	}
	return c.openCFX(token, opening{})
}

// An opening says what a token must have.
type opening struct {
	sealed bool
	padded bool // for RC4: what it carries ends with padding, to be taken off
}

// WrapIOV seals plain and returns the token in two parts, which share memory:
// gss_wrap_iov with the buffers HEADER, DATA and PADDING. With AES sealed is as
// long as plain, and the header has 60, 64 or 72 bytes for the MACs of 12, 16 and
// 24; with RC4 sealed ends with one byte of padding, and the header has 45 bytes
// or, for more than 83 bytes of plain, up to 4 more.
func (c *Channel) WrapIOV(plain []byte) (header, sealed []byte, err error) {
	var token []byte
	var n int
	if c.key.Etype() == krb.RC4HMAC {
		token, n, err = c.sealRC4(nil, plain, true, 1)
	} else {
		token, n, err = c.sealCFX(nil, plain)
	}
	if err != nil {
		return nil, nil, err
	}
	return token[:n:n], token[n:], nil
}

// UnwrapIOV returns, in new memory, what WrapIOV sealed on the other side.
// Errors are those of Unwrap, and [ErrNotSealed].
func (c *Channel) UnwrapIOV(header, sealed []byte) ([]byte, error) {
	return c.open(header, slices.Clone(sealed), opening{sealed: true, padded: true})
}

// Seal appends to dst a sealed token in two parts, of which the first has header
// bytes and the second is as long as plain, whatever the key: EncryptMessage of
// Windows' SSPI with a token and a data buffer, as WinRM uses it. With AES that
// is the same as WrapIOV; with RC4 it has no padding. dst and plain must not
// overlap; where dst has the room, nothing but plain is copied.
func (c *Channel) Seal(dst, plain []byte) (out []byte, header int, err error) {
	if c.key.Etype() == krb.RC4HMAC {
		return c.sealRC4(dst, plain, true, 0)
	}
	return c.sealCFX(dst, plain)
}

// Open decrypts data where they are and returns them: DecryptMessage of SSPI
// with a token and a data buffer. With RC4 what it returns ends with the padding
// if the peer put any there, as one with libgssapi does and Windows does not. A
// token that is cut elsewhere is understood too, but opened in new memory.
//
// Errors are those of UnwrapIOV; data may then be overwritten, never with
// plaintext.
func (c *Channel) Open(header, data []byte) ([]byte, error) {
	return c.open(header, data, opening{sealed: true})
}

func (c *Channel) open(header, data []byte, o opening) (plain []byte, err error) {
	var ok bool
	if c.key.Etype() == krb.RC4HMAC {
		if plain, ok, err = c.openPiecesRC4(header, data, o); !ok {
			plain, _, err = c.openWholeRC4(slices.Concat(header, data), o)
		}
	} else if plain, ok, err = c.openPiecesCFX(header, data); !ok {
		plain, _, err = c.openCFX(slices.Concat(header, data), o)
	}
	return plain, err
}

// Wrap is [Channel.Wrap] once the context is established. Confidentiality must
// have been asked for: Windows gives none without FlagConf.
func (c *Context) Wrap(plain []byte, conf bool) ([]byte, error) {
	ch, err := c.protection(conf)
	if err != nil {
		return nil, err
	}
	return ch.Wrap(plain, conf)
}

// Unwrap is [Channel.Unwrap] once the context is established.
func (c *Context) Unwrap(token []byte) (plain []byte, conf bool, err error) {
	ch, err := c.protection(false)
	if err != nil {
		return nil, false, err
	}
	return ch.Unwrap(token)
}

// WrapIOV is [Channel.WrapIOV] once the context is established, with FlagConf.
func (c *Context) WrapIOV(plain []byte) (header, sealed []byte, err error) {
	ch, err := c.protection(true)
	if err != nil {
		return nil, nil, err
	}
	return ch.WrapIOV(plain)
}

// UnwrapIOV is [Channel.UnwrapIOV] once the context is established, with
// FlagConf.
func (c *Context) UnwrapIOV(header, sealed []byte) ([]byte, error) {
	ch, err := c.protection(true)
	if err != nil {
		return nil, err
	}
	return ch.UnwrapIOV(header, sealed)
}

// Channel returns what protects the messages of the context once it is
// established. It is the same each time, and the context's own methods count
// with it.
func (c *Context) Channel() (*Channel, error) { return c.protection(false) }

func (c *Context) protection(conf bool) (*Channel, error) {
	if !c.established {
		return nil, errNotYet
	}
	if conf && c.flags&FlagConf == 0 {
		return nil, errors.New("security context without confidentiality: ask for FlagConf")
	}
	return &c.channel, nil
}
