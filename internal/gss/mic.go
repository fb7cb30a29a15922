package gss

import (
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kerbchain/kerbchain/internal/krb"
)

const micHeader = 16

var (
	// ErrMIC: a message integrity code is malformed or does not fit its message.
	ErrMIC    = errors.New("bad message integrity code")
	errNotYet = errors.New("security context is not established")
)

// MIC returns a token over msg (RFC 4121 section 4.2.6.1; RFC 4757 section 7.2
// for RC4) and moves the sequence number on.
func (c *Context) MIC(msg []byte) ([]byte, error) {
	ch, err := c.protection(false)
	if err != nil {
		return nil, err
	}
	return ch.MIC(msg)
}

// VerifyMIC checks the acceptor's token over msg, which must be the next in
// order. Its errors wrap [ErrMIC].
func (c *Context) VerifyMIC(msg, token []byte) error {
	ch, err := c.protection(false)
	if err != nil {
		return err
	}
	return ch.VerifyMIC(msg, token)
}

// MIC returns a token over msg (RFC 4121 section 4.2.6.1; RFC 4757 section 7.2
// for RC4) and moves the sequence number on.
func (c *Channel) MIC(msg []byte) ([]byte, error) {
	token, err := c.mic(c.send, false, msg)
	if err == nil {
		c.send++
	}
	return token, err
}

// VerifyMIC checks the peer's token over msg, which must be the next in order.
// Its errors wrap [ErrMIC], and [ErrDirection], [ErrSubkey] or a
// [*SequenceError] where that is the reason. With RC4 the number of a MIC is not
// protected (RFC 4757 section 7.2), so that its replay may go unnoticed.
func (c *Channel) VerifyMIC(msg, token []byte) error {
	seq, err := c.readMIC(token)
	if err != nil {
		return err
	}
	want, err := c.mic(seq, true, msg)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMIC, err)
	}
	if !hmac.Equal(want, token) {
		return ErrMIC
	}
	if err := c.received(seq); err != nil {
		return fmt.Errorf("%w: %w", ErrMIC, err)
	}
	return nil
}

// readMIC returns the number that a token claims to have.
func (c *Channel) readMIC(token []byte) (uint64, error) {
	if c.key.Etype() == krb.RC4HMAC {
		seq, ok := c.numberOfMIC(token)
		if !ok {
			return 0, ErrMIC
		}
		return uint64(seq), nil
	}
	if len(token) < micHeader || binary.BigEndian.Uint16(token) != tokMIC {
		return 0, ErrMIC
	}
	if err := c.checkFlags(token[2]); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrMIC, err)
	}
	return binary.BigEndian.Uint64(token[8:]), nil
}

func (c *Channel) mic(seq uint64, fromPeer bool, msg []byte) ([]byte, error) {
	if c.key.Etype() == krb.RC4HMAC {
		return c.micRC4(uint32(seq), fromPeer, msg)
	}
	token := make([]byte, 0, micHeader+c.key.MACSize())
	token = append(token, tokMIC>>8, tokMIC&0xff, c.flags(fromPeer), 0xff, 0xff, 0xff, 0xff, 0xff)
	token = binary.BigEndian.AppendUint64(token, seq)
	_, sign := c.usages(fromPeer)
	sum, err := c.key.Checksum(sign, msg, token)
	if err != nil {
		return nil, err
	}
	return append(token, sum...), nil
}
