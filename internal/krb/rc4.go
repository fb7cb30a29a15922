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

func (m *material) sealRC4(message []byte, usage uint32) {
	k1 := hmacMD5(m.bytes(), le32(usageRC4(usage)))
	sum, body := message[:16], message[16:]
	rand.Read(body[:8])
	copy(sum, hmacMD5(k1, body))
	xorRC4(hmacMD5(k1, sum), body)
}

func (m *material) openRC4(usage uint32, message []byte) ([]byte, error) {
	try := func(usage uint32) bool {
		k1 := hmacMD5(m.bytes(), le32(usageRC4(usage)))
		key := hmacMD5(k1, message[:16])
		xorRC4(key, message[16:])
		if hmac.Equal(hmacMD5(k1, message[16:]), message[:16]) {
			return true
		}
		xorRC4(key, message[16:]) // as it was
		return false
	}
	if try(usage) || usage == UsageTGSRepSubkey && try(UsageTGSRepSessionKey) { // as the RFC has it
		return message[24:], nil
	}
	clear(message[16:])
	return nil, ErrIntegrity
}

func xorRC4(key, b []byte) {
	c, err := rc4.NewCipher(key)
	if err != nil {
		panic(err) // an HMAC-MD5 is 16 bytes, within RC4's bounds
	}
	c.XORKeyStream(b, b)
}
