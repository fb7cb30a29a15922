package gss

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

const (
	sentByAcceptor = 1
	acceptorSubkey = 4

	micHeader = 16
	tokMICRC4 = 0x0101 // RFC 1964 section 1.2.1
)

var (
	// ErrMIC: a message integrity code is malformed or does not fit its message.
	ErrMIC        = errors.New("bad message integrity code")
	errNotYet     = errors.New("security context is not established")
	rc4MICOptions = [...]byte{0x11, 0, 0xff, 0xff, 0xff, 0xff}
)

// key returns what protects messages, and whether it is the acceptor's subkey.
func (c *Context) key() (krb.Key, bool) {
	if !c.acceptorKey.IsZero() {
		return c.acceptorKey, true
	}
	return c.subkey, false
}

// MIC returns a token over msg (RFC 4121 section 4.2.6.1; RFC 4757 section 7.2
// for RC4) and moves the sequence number on.
func (c *Context) MIC(msg []byte) ([]byte, error) {
	if !c.established {
		return nil, errNotYet
	}
	key, theirs := c.key()
	seq := c.sendSeq
	c.sendSeq++
	if key.Etype() == krb.RC4HMAC {
		return micRC4(key, uint32(seq), 0, msg)
	}
	var flags byte
	if theirs {
		flags |= acceptorSubkey
	}
	return micCFX(key, flags, seq, krb.UsageInitiatorSign, msg)
}

// VerifyMIC checks the acceptor's token over msg, which must be the next in
// order. Its errors wrap [ErrMIC].
func (c *Context) VerifyMIC(msg, token []byte) error {
	if !c.established {
		return errNotYet
	}
	key, theirs := c.key()
	var want []byte
	var err error
	if key.Etype() == krb.RC4HMAC {
		want, err = micRC4(key, uint32(c.recvSeq), 0xff, msg)
	} else {
		flags := byte(sentByAcceptor)
		if theirs {
			flags |= acceptorSubkey
		}
		want, err = micCFX(key, flags, c.recvSeq, krb.UsageAcceptorSign, msg)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMIC, err)
	}
	if !hmac.Equal(want, token) {
		return ErrMIC
	}
	c.recvSeq++
	return nil
}

func micCFX(key krb.Key, flags byte, seq uint64, usage uint32, msg []byte) ([]byte, error) {
	token := make([]byte, 0, micHeader+key.MACSize())
	token = append(token, 4, 4, flags, 0xff, 0xff, 0xff, 0xff, 0xff)
	token = binary.BigEndian.AppendUint64(token, seq)
	sum, err := key.Checksum(usage, msg, token)
	if err != nil {
		return nil, err
	}
	return append(token, sum...), nil
}

// micRC4 makes the token of RFC 4757 section 7.2; direction is 0 for the
// initiator and 0xff for the acceptor.
func micRC4(key krb.Key, seq uint32, direction byte, msg []byte) ([]byte, error) {
	const usage = 15
	header := append([]byte{1, 1}, rc4MICOptions[:]...)
	sum, err := key.Checksum(usage, header, msg)
	if err != nil {
		return nil, err
	}
	sum = sum[:8]
	k := hmacMD5(hmacMD5(key.Bytes(), make([]byte, 4)), sum)
	number := binary.BigEndian.AppendUint32(nil, seq)
	number = append(number, direction, direction, direction, direction)
	stream, err := rc4.NewCipher(k)
	if err != nil {
		return nil, err
	}
	stream.XORKeyStream(number, number)
	inner := append(append(append([]byte(nil), rc4MICOptions[:]...), number...), sum...)
	return spnego.Frame(tokMICRC4, inner), nil
}

func hmacMD5(key, data []byte) []byte {
	h := hmac.New(md5.New, key)
	h.Write(data)
	return h.Sum(nil)
}
