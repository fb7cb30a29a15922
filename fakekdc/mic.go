package fakekdc

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"encoding/binary"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// Directions of per-message tokens.
const (
	fromInitiator = false
	fromAcceptor  = true
)

// mic returns the token over msg that the acceptor sends next.
func (a *acceptance) mic(msg []byte) ([]byte, error) {
	token, err := a.micFor(fromAcceptor, a.sendSeq, msg)
	a.sendSeq++
	return token, err
}

// checkMIC reports whether token is the client's next one over msg.
func (a *acceptance) checkMIC(msg, token []byte) bool {
	want, err := a.micFor(fromInitiator, a.peerSeq, msg)
	a.peerSeq++
	return err == nil && hmac.Equal(want, token)
}

// micFor makes a token under the context's key (RFC 4121 section 2): the
// acceptor's subkey, else the initiator's, else the session key.
func (a *acceptance) micFor(acceptor bool, seq uint64, msg []byte) ([]byte, error) {
	key, flags := a.subkey, byte(4)
	if key.IsZero() {
		key, flags = a.auth.Subkey, 0
	}
	if key.IsZero() {
		key = a.session
	}
	if key.Etype() == krb.RC4HMAC {
		return micRC4(key, acceptor, uint32(seq), msg)
	}
	usage := krb.UsageInitiatorSign
	if acceptor {
		usage = krb.UsageAcceptorSign
		flags |= 1
	}
	// RFC 4121 section 4.2.6.1; the checksum covers message and header.
	head := []byte{4, 4, flags, 0xff, 0xff, 0xff, 0xff, 0xff}
	head = binary.BigEndian.AppendUint64(head, seq)
	sum, err := key.Checksum(usage, msg, head)
	if err != nil {
		return nil, err
	}
	return append(head, sum...), nil
}

// micRC4 is RFC 4757 section 7.2.
func micRC4(key krb.Key, acceptor bool, seq uint32, msg []byte) ([]byte, error) {
	const usage = 15
	algorithm := []byte{0x11, 0, 0xff, 0xff, 0xff, 0xff}
	sum, err := key.Checksum(usage, append([]byte{1, 1}, algorithm...), msg)
	if err != nil {
		return nil, err
	}
	sum = sum[:8]
	number := append(binary.BigEndian.AppendUint32(nil, seq), 0, 0, 0, 0)
	if acceptor {
		copy(number[4:], []byte{0xff, 0xff, 0xff, 0xff})
	}
	stream, err := rc4.NewCipher(keyed(keyed(key.Bytes(), make([]byte, 4)), sum))
	if err != nil {
		return nil, err
	}
	stream.XORKeyStream(number, number)
	const tokMIC = 0x0101
	return spnego.Frame(tokMIC, append(append(algorithm, number...), sum...)), nil
}

func keyed(key, data []byte) []byte {
	h := hmac.New(md5.New, key)
	h.Write(data)
	return h.Sum(nil)
}
