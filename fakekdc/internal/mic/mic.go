// Package mic makes the MIC tokens of a Kerberos context (RFC 4121 section 4.2.6.1, RFC
// 4757 section 7.2), apart from those of the client.
package mic

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"encoding/binary"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// Token returns the token over msg that the acceptor, or the initiator, sends with a
// sequence number. subkey says whether key is the acceptor's own.
func Token(key krb.Key, acceptor, subkey bool, seq uint64, msg []byte) ([]byte, error) {
	if key.Etype() == krb.RC4HMAC {
		return rc4Token(key, acceptor, uint32(seq), msg)
	}
	usage, flags := krb.UsageInitiatorSign, byte(0)
	if acceptor {
		usage, flags = krb.UsageAcceptorSign, 1
	}
	if subkey {
		flags |= 4
	}
	// The checksum covers message and header.
	head := []byte{4, 4, flags, 0xff, 0xff, 0xff, 0xff, 0xff}
	head = binary.BigEndian.AppendUint64(head, seq)
	sum, err := key.Checksum(usage, msg, head)
	if err != nil {
		return nil, err
	}
	return append(head, sum...), nil
}

// rc4Token is RFC 4757 section 7.2.
func rc4Token(key krb.Key, acceptor bool, seq uint32, msg []byte) ([]byte, error) {
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
