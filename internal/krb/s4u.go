package krb

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
)

// PAForUserEnc is PA-FOR-USER-ENC ([MS-SFU] section 2.2.1).
type PAForUserEnc struct {
	User     Principal // with the realm
	Checksum Checksum
	Package  string // auth-package
}

// ParsePAForUser reads PA-FOR-USER-ENC, which shares memory with b.
func ParsePAForUser(b []byte) (PAForUserEnc, error) {
	f := OpenFields("PA-FOR-USER", b)
	p := PAForUserEnc{User: f.Name(0)}
	p.User.Realm = f.Text(1)
	p.Checksum = f.Checksum(2)
	p.Package = f.Text(3)
	return p, f.Err(true)
}

// Covered returns what the checksum is of: all that is said, run together.
func (p PAForUserEnc) Covered() []byte {
	data := binary.LittleEndian.AppendUint32(nil, uint32(p.User.Type))
	for _, c := range p.User.Components {
		data = append(data, c...)
	}
	return append(append(data, p.User.Realm...), p.Package...)
}

// Marshal returns PA-FOR-USER-ENC.
func (p PAForUserEnc) Marshal() ([]byte, error) {
	w := NewWriter(len(p.User.Realm) + len(p.Package) + len(p.Checksum.Value) + 128)
	w.Sequence(func() {
		w.String(3, p.Package)
		w.Checksum(2, p.Checksum)
		w.String(1, p.User.Realm)
		w.Name(0, p.User)
	})
	return w.Result()
}

// ChecksumHMACMD5 returns the checksum of RFC 4757 section 4 under a key of any type,
// which [MS-SFU] section 2.2.1 demands of PA-FOR-USER, FIPS 140-3 or not.
func (k Key) ChecksumHMACMD5(usage uint32, data []byte) (sum []byte) {
	fips140.WithoutEnforcement(func() {
		m := hmac.New(md5.New, k.Bytes())
		m.Write([]byte("signaturekey\x00"))
		sign := m.Sum(nil)
		h := md5.New()
		h.Write(binary.LittleEndian.AppendUint32(nil, usage))
		h.Write(data)
		m = hmac.New(md5.New, sign)
		m.Write(h.Sum(nil))
		sum = m.Sum(nil)
	})
	return sum
}

// PAS4UX509 is PA-S4U-X509-USER ([MS-SFU] section 2.2.2).
type PAS4UX509 struct {
	UserID   []byte // DER of S4UUserID, which the checksum covers
	Checksum Checksum
}

// ParsePAS4UX509 reads PA-S4U-X509-USER, which shares memory with b.
func ParsePAS4UX509(b []byte) (PAS4UX509, error) {
	f := OpenFields("PA-S4U-X509-USER", b)
	p := PAS4UX509{f.Raw(0), f.Checksum(1)}
	return p, f.Err(true)
}

// Marshal returns PA-S4U-X509-USER.
func (p PAS4UX509) Marshal() ([]byte, error) {
	w := NewWriter(len(p.UserID) + len(p.Checksum.Value) + 32)
	w.Sequence(func() {
		w.Checksum(1, p.Checksum)
		w.RawField(0, p.UserID)
	})
	return w.Result()
}

// S4UUserID is [MS-SFU] section 2.2.2. What is zero is left out, but for Nonce.
type S4UUserID struct {
	Nonce       uint32
	User        Principal // with the realm
	Certificate []byte    // DER of an X.509 certificate, nil when absent
	Options     uint32
}

// ParseS4UUserID reads S4UUserID, which shares memory with b.
func ParseS4UUserID(b []byte) (S4UUserID, error) {
	f := OpenFields("S4UUserID", b)
	id := S4UUserID{Nonce: uint32(f.Int32(0))}
	if f.Has(1) {
		id.User = f.Name(1)
	}
	id.User.Realm = f.Text(2)
	if f.Has(3) {
		id.Certificate = f.Octets(3)
	}
	if f.Has(4) {
		id.Options = f.Flags(4)
	}
	return id, f.Err(true)
}

// Marshal returns S4UUserID.
func (id S4UUserID) Marshal() ([]byte, error) {
	var w Writer
	w.Sequence(func() {
		if id.Options != 0 {
			w.Flags(4, id.Options)
		}
		if id.Certificate != nil {
			w.Octets(3, id.Certificate)
		}
		w.String(2, id.User.Realm)
		if !id.User.IsZero() {
			w.Name(1, id.User)
		}
		w.Int(0, int64(id.Nonce))
	})
	return w.Result()
}

// ParsePAPACRequest reads KERB-PA-PAC-REQUEST ([MS-KILE] section 2.2.3): whether the
// client wants a PAC.
func ParsePAPACRequest(b []byte) (include bool, err error) {
	f := OpenFields("PAC request", b)
	s := f.Raw(0)
	if f.err == nil && (!s.ReadASN1Boolean(&include) || !s.Empty()) {
		f.fail("field 0 is no boolean")
	}
	return include, f.Err(true)
}

// ParsePAPACOptions reads PA-PAC-OPTIONS ([MS-KILE] section 2.2.10).
func ParsePAPACOptions(b []byte) (flags uint32, err error) {
	f := OpenFields("PA-PAC-OPTIONS", b)
	flags = f.Flags(0)
	return flags, f.Err(true)
}

// MarshalPAPACOptions returns PA-PAC-OPTIONS.
func MarshalPAPACOptions(flags uint32) []byte {
	var w Writer
	w.Sequence(func() { w.Flags(0, flags) })
	return w.Bytes() // there is nothing in it that could fail
}
