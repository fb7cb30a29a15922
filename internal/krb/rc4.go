package krb

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/rc4"
	"encoding/binary"
)

func le32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

func hmacMD5(key []byte, data ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, d := range data {
		h.Write(d)
	}
	return h.Sum(nil)
}

// usageRC4 maps a key usage to the message type of RFC 4757 section 3. For a
// TGS-REP under the subkey that says 8, but Windows, MIT and Heimdal use 9.
func usageRC4(usage uint32) uint32 {
	switch usage {
	case UsageASRepEncPart:
		return 8
	case UsageAcceptorSign:
		return 13
	}
	return usage
}

// digestRC4 is what a checksum of data is made of (RFC 4757 section 4).
func digestRC4(usage uint32, data [][]byte) []byte {
	h := md5.New()
	h.Write(le32(usageRC4(usage)))
	for _, d := range data {
		h.Write(d)
	}
	return h.Sum(nil)
}

// sealRC4 encrypts, where it is, what follows the room for sum and confounder.
func (s *seal) sealRC4(message []byte) {
	sum, body := message[:md5.Size], message[md5.Size:]
	rand.Read(body[:8])
	copy(sum, s.mac.of(body))
	xorRC4(s.mac.of(sum), body)
}

func (m *material) openRC4(usage uint32, message []byte) ([]byte, error) {
	usages := []uint32{usage}
	if usage == UsageTGSRepSubkey {
		usages = append(usages, UsageTGSRepSessionKey) // as the RFC has it
	}
	for _, usage := range usages {
		from, err := m.sealer(usage)
		if err != nil {
			return nil, err
		}
		s := from.get()
		opened := s.openRC4(message)
		from.put(s)
		if opened {
			return message[md5.Size+8:], nil
		}
	}
	clear(message[md5.Size:])
	return nil, ErrIntegrity
}

// openRC4 decrypts message where it is, or leaves it as it was.
func (s *seal) openRC4(message []byte) bool {
	sum, body := message[:md5.Size], message[md5.Size:]
	key := [md5.Size]byte(s.mac.of(sum))
	xorRC4(key[:], body)
	if hmac.Equal(s.mac.of(body), sum) {
		return true
	}
	xorRC4(key[:], body)
	return false
}

func xorRC4(key, b []byte) {
	c, err := rc4.NewCipher(key)
	if err != nil {
		panic(err) // an HMAC-MD5 is 16 bytes, within RC4's bounds
	}
	c.XORKeyStream(b, b)
}
