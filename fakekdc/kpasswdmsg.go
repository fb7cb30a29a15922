package fakekdc

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Versions of the protocol, which are kinds of requests (RFC 3244 section 2).
const (
	kpasswdChange = 1
	kpasswdSet    = 0xff80
)

const usageKRBPriv uint32 = 13 // RFC 4120 section 7.5.1

const msgKRBPriv = 21 // RFC 4120 section 5.10, and the application tag

// A kpasswdRequest is a decoded request. Byte fields share memory with it.
type kpasswdRequest struct {
	version uint16
	apReq   []byte
	priv    []byte
}

func parseKpasswd(b []byte) (*kpasswdRequest, error) {
	s := cryptobyte.String(b)
	var length, n uint16
	q := &kpasswdRequest{}
	if !s.ReadUint16(&length) || int(length) != len(b) || !s.ReadUint16(&q.version) || !s.ReadUint16(&n) || !s.ReadBytes(&q.apReq, int(n)) {
		return nil, fmt.Errorf("%w: password change", krb.ErrMalformed)
	}
	q.priv = s
	return q, nil
}

// openPriv opens [APPLICATION 21] KRB-PRIV (RFC 4120 section 5.7.1). Where it
// came from is not looked at: that is said by the client alone.
func openPriv(key krb.Key, b []byte) ([]byte, error) {
	f := krb.OpenApp("KRB-PRIV", msgKRBPriv, b)
	vno, kind := f.Int32(0), f.Int32(1)
	ed := f.Encrypted(3)
	if err := f.Err(true); err != nil {
		return nil, err
	}
	if vno != 5 || kind != msgKRBPriv {
		return nil, fmt.Errorf("%w: KRB-PRIV of version %d type %d", krb.ErrMalformed, vno, kind)
	}
	plain, err := key.OpenData(usageKRBPriv, ed)
	if err != nil {
		return nil, err
	}
	f = krb.OpenApp("KRB-PRIV part", 28, plain)
	data := f.Octets(0)
	for n := uint8(1); n <= 5; n++ {
		f.Optional(n)
	}
	return data, f.Err(true)
}

// makePriv returns KRB-PRIV.
func makePriv(key krb.Key, data []byte, seq uint32, from netip.Addr) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(krb.App(28), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			krb.AddOctets(b, 0, data)
			krb.AddInt(b, 3, int64(seq))
			addHostAddress(b, 4, from)
		})
	})
	plain, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	sealed, err := key.Seal(usageKRBPriv, plain)
	if err != nil {
		return nil, err
	}
	b = cryptobyte.NewBuilder(nil)
	b.AddASN1(krb.App(msgKRBPriv), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			krb.AddInt(b, 0, 5)
			krb.AddInt(b, 1, msgKRBPriv)
			krb.AddEncrypted(b, 3, krb.EncryptedData{Etype: key.Etype(), Cipher: sealed})
		})
	})
	return b.Bytes()
}

// parseChangeData reads ChangePasswdData (RFC 3244 section 2). own means that no
// target is named, so that it is who asks.
func parseChangeData(der []byte, realm string) (password string, target krb.Principal, own bool, err error) {
	f := krb.OpenFields("password change", der)
	password = string(f.Octets(0))
	own = true
	if f.Has(1) {
		target, own = f.Name(1), false
	}
	target.Realm = realm
	if f.Has(2) {
		target.Realm = f.Text(2)
	}
	return password, target, own, f.Err(true)
}

// kpasswdReply is the answer to one who has proved who he is.
func kpasswdReply(session krb.Key, auth *krb.Authenticator, v ruling, from netip.Addr) ([]byte, error) {
	var random [4]byte
	rand.Read(random[:])
	seq := binary.BigEndian.Uint32(random[:]) & 0x3fffffff
	apRep, err := krb.MakeAPRep(session, &krb.EncAPRepPart{CTime: auth.CTime, Cusec: auth.Cusec, Seq: seq, HasSeq: true})
	if err != nil {
		return nil, err
	}
	key := session
	if !auth.Subkey.IsZero() {
		key = auth.Subkey
	}
	priv, err := makePriv(key, v.bytes(), seq, from)
	if err != nil {
		return nil, err
	}
	return frameKpasswd(apRep, priv)
}

func (v ruling) bytes() []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(v.code)), v.text[:min(len(v.text), 512)]...)
}

// frameKpasswd puts the parts of a reply together. Without an AP-REP the second
// is a KRB-ERROR.
func frameKpasswd(apRep, rest []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint16(uint16(6 + len(apRep) + len(rest)))
	b.AddUint16(kpasswdChange)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(apRep) })
	b.AddBytes(rest)
	return b.Bytes()
}

// kpasswdError is the answer to one who has not; nil if it cannot be made.
func (r *Realm) kpasswdError(no *refusal, v ruling, now time.Time) []byte {
	e := krb.KRBError{Code: no.code, Text: no.text, Data: no.edata, STime: now, Susec: now.Nanosecond() / 1000, Server: changepw}
	e.Server.Realm = r.realm
	if e.Data == nil {
		e.Data = v.bytes()
	}
	der, err := e.Marshal()
	if err != nil {
		return nil
	}
	b, err := frameKpasswd(nil, der)
	if err != nil {
		return nil
	}
	return b
}
