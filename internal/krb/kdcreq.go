package krb

import (
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/der"
)

// KDCReq is a decoded AS-REQ or TGS-REQ (RFC 4120 section 5.4.1).
type KDCReq struct {
	Kind   uint8 // MsgASReq or MsgTGSReq
	PAData []PAData
	Body   []byte // DER of KDC-REQ-BODY, which checksums cover
}

// ParseKDCReq reads [APPLICATION 10] AS-REQ or [APPLICATION 12] TGS-REQ. The result
// shares memory with b.
func ParseKDCReq(b []byte) (*KDCReq, error) {
	q, what := &KDCReq{Kind: MsgASReq}, "AS-REQ"
	if len(b) > 0 && b[0] == byte(App(MsgTGSReq)) {
		q.Kind, what = MsgTGSReq, "TGS-REQ"
	}
	f := OpenApp(what, q.Kind, b)
	f.header(1, q.Kind)
	if f.Has(3) {
		q.PAData = f.padatas(3)
	}
	q.Body = f.Raw(4)
	return q, f.Err(true)
}

// MarshalKDCReq returns the request of the given type, [MsgASReq] or
// [MsgTGSReq], around a marshalled body.
func MarshalKDCReq(kind uint8, padata []PAData, body []byte) ([]byte, error) {
	n := len(body) + 64
	for _, pa := range padata {
		n += len(pa.Value) + 32
	}
	w := NewWriter(n)
	w.App(kind, func() {
		w.RawField(4, body)
		if len(padata) > 0 {
			w.Field(3, func() { w.padatas(padata) })
		}
		w.Int(2, int64(kind))
		w.Int(1, pvno)
	})
	return w.Result()
}

// KDCReqBody is RFC 4120 section 5.4.1. What is zero is left out, but for Options,
// Realm, Till and Nonce.
type KDCReqBody struct {
	Options   uint32
	Client    Principal // in Realm
	Realm     string    // of the server
	Server    Principal // in Realm
	From      time.Time
	Till      time.Time
	Renew     time.Time // rtime
	Nonce     int64     // of 32 bits: peers disagree about its sign
	Etypes    []int32   // preferred first
	Addresses []byte    // DER of HostAddresses
	AuthData  []byte    // DER of EncryptedData
	Tickets   [][]byte  // DER of Tickets
}

const (
	maxEtypes  = 64 // in one request; MIT sends eight
	maxTickets = 4  // additional ones; clients send one
)

// ParseKDCReqBody reads what a TGS-REQ's checksum covers. The result shares memory
// with b; Client and Server bear the realm.
func ParseKDCReqBody(b []byte) (KDCReqBody, error) {
	f := OpenFields("request body", b)
	r := KDCReqBody{Options: f.Flags(0)}
	if f.Has(1) {
		r.Client = f.Name(1)
	}
	r.Realm = f.Text(2)
	if f.Has(3) {
		r.Server = f.Name(3)
	}
	r.Client.Realm, r.Server.Realm = r.Realm, r.Realm
	if f.Has(4) {
		r.From = f.Time(4)
	}
	r.Till = f.Time(5)
	if f.Has(6) {
		r.Renew = f.Time(6)
	}
	r.Nonce = f.nonce(7)
	etypes := f.Raw(8)
	r.Addresses = f.Optional(9)
	r.AuthData = f.Optional(10)
	tickets := f.Optional(11)
	if err := f.Err(true); err != nil {
		return KDCReqBody{}, err
	}
	if !parseInts(etypes, &r.Etypes, maxEtypes) {
		return KDCReqBody{}, malformed("request body: bad list of encryption types")
	}
	if r.Addresses != nil {
		if rest := cryptobyte.String(r.Addresses); !rest.SkipASN1(asn1.SEQUENCE) || !rest.Empty() {
			return KDCReqBody{}, malformed("request body: bad addresses")
		}
	}
	if tickets != nil && !splitTickets(tickets, &r.Tickets) {
		return KDCReqBody{}, malformed("request body: bad additional tickets")
	}
	return r, nil
}

// parseInts reads SEQUENCE OF Int32, of no more than limit.
func parseInts(s cryptobyte.String, out *[]int32, limit int) bool {
	var list cryptobyte.String
	if !der.Take(&s, &list, asn1.SEQUENCE) || !s.Empty() {
		return false
	}
	for !list.Empty() {
		var e int64
		if !der.TakeInt(&list, &e) || e != int64(int32(e)) || len(*out) == limit {
			return false
		}
		*out = append(*out, int32(e))
	}
	return true
}

func splitTickets(s cryptobyte.String, out *[][]byte) bool {
	var list cryptobyte.String
	if !der.Take(&s, &list, asn1.SEQUENCE) || !s.Empty() {
		return false
	}
	for !list.Empty() {
		var el cryptobyte.String
		if !list.ReadASN1Element(&el, App(tagTicket)) || len(*out) == maxTickets {
			return false
		}
		*out = append(*out, el)
	}
	return true
}

// Marshal returns the bare SEQUENCE, which a TGS-REQ's checksum covers.
func (r *KDCReqBody) Marshal() ([]byte, error) {
	var w Writer
	w.Sequence(func() {
		if len(r.Tickets) > 0 {
			w.Field(11, func() {
				w.Sequence(func() {
					for _, t := range slices.Backward(r.Tickets) {
						w.Raw(t)
					}
				})
			})
		}
		w.RawField(10, r.AuthData)
		w.RawField(9, r.Addresses)
		w.Field(8, func() { w.integers(r.Etypes) })
		w.Int(7, r.Nonce)
		w.OptionalTime(6, r.Renew)
		w.Time(5, r.Till)
		w.OptionalTime(4, r.From)
		if !r.Server.IsZero() {
			w.Name(3, r.Server)
		}
		w.String(2, r.Realm)
		if !r.Client.IsZero() {
			w.Name(1, r.Client)
		}
		w.Flags(0, r.Options)
	})
	return w.Result()
}
