package krb

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Error codes that are acted upon (RFC 4120 section 7.5.9, RFC 6806).
const (
	CodeClientExpired   int32 = 1
	CodeClientUnknown   int32 = 6
	CodeServerUnknown   int32 = 7
	CodePolicy          int32 = 12
	CodeBadOption       int32 = 13
	CodeEtypeNoSupport  int32 = 14
	CodeClientRevoked   int32 = 18
	CodeKeyExpired      int32 = 23
	CodePreauthFailed   int32 = 24
	CodePreauthRequired int32 = 25
	CodeUnavailable     int32 = 29
	CodeBadIntegrity    int32 = 31
	CodeTicketExpired   int32 = 32
	CodeTicketNotYet    int32 = 33
	CodeRepeat          int32 = 34
	CodeNotUs           int32 = 35
	CodeBadMatch        int32 = 36
	CodeSkew            int32 = 37
	CodeModified        int32 = 41
	CodeBadKvno         int32 = 44
	CodeNoKey           int32 = 45
	CodeResponseTooBig  int32 = 52
	CodeGeneric         int32 = 60
	CodeWrongRealm      int32 = 68
)

// TicketUnusable reports whether a KRB-ERROR code is one by which a server says
// that it cannot use a ticket (RFC 4120 section 7.5.9), as when its key has
// changed, so that a fresh one may help. Nobody vouches for what it says.
func TicketUnusable(code int32) bool {
	switch code {
	case CodeBadIntegrity, CodeTicketExpired, CodeModified, CodeBadKvno:
		return true
	}
	return false
}

// KRBError is a decoded KRB-ERROR (RFC 4120 section 5.9.1). Nothing in it is
// authenticated: it may steer a message or one bounded retry, no more.
type KRBError struct {
	Code   int32
	STime  time.Time
	Susec  int
	Client Principal // with its realm; zero when absent
	Server Principal // with its realm
	Text   string    // bounded and cleaned of control characters
	Data   []byte    // e-data
}

// Error returns the name of the code, the peer's text, and Active Directory's reason.
func (e *KRBError) Error() string {
	s := ErrorName(e.Code)
	if e.Text != "" {
		s += fmt.Sprintf(" (%s)", e.Text)
	}
	if status := e.NTStatus(); status != 0 {
		s += ", " + status.String()
	}
	return s
}

// ParseKRBError reads [APPLICATION 30] KRB-ERROR.
func ParseKRBError(b []byte) (*KRBError, error) {
	f := OpenApp("KRB-ERROR", 30, b)
	vno, kind := f.Int32(0), f.Int32(1)
	f.Optional(2)
	f.Optional(3)
	e := &KRBError{STime: f.Time(4), Susec: int(f.Int32(5)), Code: f.Int32(6)}
	var crealm string
	if f.Has(7) {
		crealm = f.Text(7)
	}
	if f.Has(8) {
		e.Client = f.Name(8)
	}
	e.Client.Realm = crealm
	realm := f.Text(9)
	e.Server = f.Name(10)
	e.Server.Realm = realm
	if f.Has(11) {
		e.Text = cleanText(f.Text(11))
	}
	if f.Has(12) {
		e.Data = f.Octets(12)
	}
	if f.Has(13) { // e-cksum, of drafts before RFC 4120
		f.Raw(13)
	}
	if err := f.Err(true); err != nil {
		return nil, err
	}
	if vno != 5 || kind != 30 {
		return nil, malformed(fmt.Sprintf("KRB-ERROR version %d type %d, want 5 and 30", vno, kind))
	}
	return e, nil
}

// Marshal returns [APPLICATION 30] KRB-ERROR.
func (e *KRBError) Marshal() ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(App(30), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			AddInt(b, 0, 5)
			AddInt(b, 1, 30)
			AddTime(b, 4, e.STime)
			AddInt(b, 5, int64(e.Susec))
			AddInt(b, 6, int64(e.Code))
			if e.Client.Realm != "" {
				AddString(b, 7, e.Client.Realm)
			}
			if !e.Client.IsZero() {
				AddName(b, 8, e.Client)
			}
			AddString(b, 9, e.Server.Realm)
			AddName(b, 10, e.Server)
			if e.Text != "" {
				AddString(b, 11, e.Text)
			}
			if e.Data != nil {
				AddOctets(b, 12, e.Data)
			}
		})
	})
	return b.Bytes()
}

func cleanText(s string) string {
	const limit = 200
	if len(s) > limit {
		s = s[:limit]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
}

// PAData is one element of pre-authentication data (RFC 4120 section 5.2.7).
type PAData struct {
	Type  int32
	Value []byte
}

// maxPAData bounds a sequence of them; MIT and AD send fewer than twenty.
const maxPAData = 128

// ParsePADatas reads a SEQUENCE OF PA-DATA, as in METHOD-DATA.
func ParsePADatas(b []byte) ([]PAData, error) {
	s := cryptobyte.String(b)
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, asn1.SEQUENCE) || !s.Empty() {
		return nil, malformed("pre-authentication data: no sequence")
	}
	var out []PAData
	for !seq.Empty() {
		var el cryptobyte.String
		if !seq.ReadASN1Element(&el, asn1.SEQUENCE) {
			return nil, malformed("pre-authentication data")
		}
		f := OpenFields("pre-authentication data", el)
		out = append(out, PAData{f.Int32(1), f.Octets(2)})
		if err := f.Err(true); err != nil {
			return nil, err
		}
		if len(out) > maxPAData {
			return nil, malformed("pre-authentication data: too many elements")
		}
	}
	return out, nil
}

// AddPADatas writes [n] SEQUENCE OF PA-DATA.
func AddPADatas(b *cryptobyte.Builder, n uint8, list []PAData) {
	b.AddASN1(Ctx(n), func(b *cryptobyte.Builder) { addPADataList(b, list) })
}

func addPADataList(b *cryptobyte.Builder, list []PAData) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, pa := range list {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				AddInt(b, 1, int64(pa.Type))
				AddOctets(b, 2, pa.Value)
			})
		}
	})
}

// MarshalPADatas returns a bare SEQUENCE OF PA-DATA.
func MarshalPADatas(list []PAData) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	addPADataList(b, list)
	return b.Bytes()
}

// EtypeInfo is one entry of ETYPE-INFO2 (RFC 4120 section 5.2.7.5).
type EtypeInfo struct {
	Etype   int32
	Salt    string
	HasSalt bool // an empty salt is not an absent one
	Params  []byte
}

// ParseEtypeInfo2 reads ETYPE-INFO2-SEQUENCE. An empty one is an error.
func ParseEtypeInfo2(b []byte) ([]EtypeInfo, error) {
	s := cryptobyte.String(b)
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, asn1.SEQUENCE) || !s.Empty() {
		return nil, malformed("ETYPE-INFO2: no sequence")
	}
	var out []EtypeInfo
	for !seq.Empty() {
		var el cryptobyte.String
		if !seq.ReadASN1Element(&el, asn1.SEQUENCE) {
			return nil, malformed("ETYPE-INFO2")
		}
		f := OpenFields("ETYPE-INFO2", el)
		e := EtypeInfo{Etype: f.Int32(0)}
		if f.Has(1) {
			e.Salt, e.HasSalt = f.Text(1), true
		}
		if f.Has(2) {
			e.Params = f.Octets(2)
		}
		if err := f.Err(true); err != nil {
			return nil, err
		}
		if out = append(out, e); len(out) > maxPAData {
			return nil, malformed("ETYPE-INFO2: too many entries")
		}
	}
	if len(out) == 0 {
		return nil, malformed("ETYPE-INFO2: empty")
	}
	return out, nil
}

// MarshalEtypeInfo2 returns ETYPE-INFO2-SEQUENCE.
func MarshalEtypeInfo2(list []EtypeInfo) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, e := range list {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				AddInt(b, 0, int64(e.Etype))
				if e.HasSalt {
					AddString(b, 1, e.Salt)
				}
				if e.Params != nil {
					AddOctets(b, 2, e.Params)
				}
			})
		}
	})
	return b.Bytes()
}

// KDCRep is a decoded AS-REP or TGS-REP (RFC 4120 section 5.4.2).
type KDCRep struct {
	PAData    []PAData
	Client    Principal // with its realm
	RawTicket []byte    // DER of Ticket
	Ticket    TicketFields
	EncPart   EncryptedData
}

// Message types that are also application tags.
const (
	MsgASReq  uint8 = 10
	MsgASRep  uint8 = 11
	MsgTGSReq uint8 = 12
	MsgTGSRep uint8 = 13
)

// ParseKDCRep reads the reply of the given type, [MsgASRep] or [MsgTGSRep]. The
// result shares memory with b.
func ParseKDCRep(b []byte, kind uint8) (*KDCRep, error) {
	what := "AS-REP"
	if kind == MsgTGSRep {
		what = "TGS-REP"
	}
	f := OpenApp(what, kind, b)
	r := &KDCRep{}
	vno, msg := f.Int32(0), f.Int32(1)
	if f.Has(2) {
		var err error
		if r.PAData, err = ParsePADatas(f.Raw(2)); err != nil {
			return nil, err
		}
	}
	realm := f.Text(3)
	r.Client = f.Name(4)
	r.Client.Realm = realm
	r.RawTicket = f.Raw(5)
	r.EncPart = f.Encrypted(6)
	if err := f.Err(true); err != nil {
		return nil, err
	}
	if vno != 5 || msg != int32(kind) {
		return nil, malformed(fmt.Sprintf("%s version %d type %d, want 5 and %d", what, vno, msg, kind))
	}
	var err error
	r.Ticket, err = ParseTicket(r.RawTicket)
	return r, err
}

// EncKDCRepPart is the sealed part of a KDC's reply (RFC 4120 section 5.4.2).
type EncKDCRepPart struct {
	Key       Key
	Nonce     int32
	Flags     uint32
	AuthTime  time.Time
	StartTime time.Time // zero when absent
	EndTime   time.Time
	RenewTill time.Time // zero when absent
	Server    Principal // with its realm
	PAData    []PAData
}

// ParseEncKDCRepPart reads [APPLICATION 25] or [APPLICATION 26]: KDCs have
// been seen to use either for both replies.
func ParseEncKDCRepPart(b []byte) (*EncKDCRepPart, error) {
	n := uint8(25)
	if len(b) > 0 && b[0] == byte(App(26)) {
		n = 26
	}
	f := OpenApp("KDC reply part", n, b)
	p := &EncKDCRepPart{Key: f.Key(0)}
	f.Raw(1) // last-req
	p.Nonce = f.Int32(2)
	f.Optional(3) // key-expiration
	p.Flags = f.Flags(4)
	p.AuthTime = f.Time(5)
	if f.Has(6) {
		p.StartTime = f.Time(6)
	}
	p.EndTime = f.Time(7)
	if f.Has(8) {
		p.RenewTill = f.Time(8)
	}
	realm := f.Text(9)
	p.Server = f.Name(10)
	p.Server.Realm = realm
	f.Optional(11) // caddr
	if f.Has(12) {
		var err error
		if p.PAData, err = ParsePADatas(f.Raw(12)); err != nil {
			return nil, err
		}
	}
	return p, f.Err(true)
}

// KDCReqBody is RFC 4120 section 5.4.1, as a client sends it.
type KDCReqBody struct {
	Options uint32
	Client  Principal // left out when zero (TGS)
	Realm   string    // of the server
	Server  Principal
	Till    time.Time
	Renew   time.Time // rtime; left out when zero
	Nonce   int32     // positive
	Etypes  []int32   // preferred first
}

// Marshal returns the bare SEQUENCE, which a TGS-REQ's checksum covers.
func (r *KDCReqBody) Marshal() ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		AddFlags(b, 0, r.Options)
		if !r.Client.IsZero() {
			AddName(b, 1, r.Client)
		}
		AddString(b, 2, r.Realm)
		AddName(b, 3, r.Server)
		AddTime(b, 5, r.Till)
		if !r.Renew.IsZero() {
			AddTime(b, 6, r.Renew)
		}
		AddInt(b, 7, int64(r.Nonce))
		b.AddASN1(Ctx(8), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, e := range r.Etypes {
					b.AddASN1Int64(int64(e))
				}
			})
		})
	})
	return b.Bytes()
}

// MarshalKDCReq returns the request of the given type, [MsgASReq] or
// [MsgTGSReq], around a marshalled body.
func MarshalKDCReq(kind uint8, padata []PAData, body []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(App(kind), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			AddInt(b, 1, 5)
			AddInt(b, 2, int64(kind))
			if len(padata) > 0 {
				AddPADatas(b, 3, padata)
			}
			b.AddASN1(Ctx(4), func(b *cryptobyte.Builder) { b.AddBytes(body) })
		})
	})
	return b.Bytes()
}
