package krb

import (
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"
)

// KpasswdMessage is a request to change a password, or its answer (RFC 3244 section
// 2). An answer without an AP-REP has a KRB-ERROR in the place of Rest.
type KpasswdMessage struct {
	Version uint16 // of requests KpasswdChange or KpasswdSet, of answers KpasswdChange
	AP      []byte // AP-REQ or AP-REP
	Rest    []byte // KRB-PRIV
}

// ParseKpasswd reads a KpasswdMessage, which shares memory with b.
func ParseKpasswd(b []byte) (KpasswdMessage, error) {
	s := cryptobyte.String(b)
	var length, n uint16
	var m KpasswdMessage
	if !s.ReadUint16(&length) || int(length) != len(b) || !s.ReadUint16(&m.Version) || !s.ReadUint16(&n) || !s.ReadBytes(&m.AP, int(n)) {
		return KpasswdMessage{}, malformed("password change")
	}
	m.Rest = s
	return m, nil
}

// Marshal returns the message. It is an error for it to be longer than its length can
// say.
func (m KpasswdMessage) Marshal() ([]byte, error) {
	n := 6 + len(m.AP) + len(m.Rest)
	if n >= 1<<16 {
		return nil, malformed("password change: too long")
	}
	b := make([]byte, 0, n)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = binary.BigEndian.AppendUint16(b, m.Version)
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.AP)))
	return append(append(b, m.AP...), m.Rest...), nil
}

// ChangePasswdData is what a request of version KpasswdSet protects (RFC 3244 section
// 2).
type ChangePasswdData struct {
	Password  []byte
	Target    Principal // without a realm
	HasTarget bool      // or it is who asks
	Realm     string    // of the target; "" when absent
}

// ParseChangePasswdData reads ChangePasswdData, which shares memory with b.
func ParseChangePasswdData(b []byte) (ChangePasswdData, error) {
	f := OpenFields("password change", b)
	d := ChangePasswdData{Password: f.Octets(0)}
	if f.Has(1) {
		d.Target, d.HasTarget = f.Name(1), true
	}
	if f.Has(2) {
		d.Realm = f.Text(2)
	}
	return d, f.Err(true)
}
