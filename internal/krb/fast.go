package krb

import "time"

// PAFXFastRequest is PA-FX-FAST-REQUEST of RFC 6113 section 5.4.2.
type PAFXFastRequest struct {
	Armor    *FastArmor // nil where the armour is that of a TGS-REQ
	Checksum Checksum   // of the request body, or of the PA-TGS-REQ
	EncPart  EncryptedData
}

// FastArmor is KrbFastArmor of RFC 6113 section 5.4.1.
type FastArmor struct {
	Type  int32
	Value []byte
}

// The one alternative of PA-FX-FAST-REQUEST, and of PA-FX-FAST-REPLY.
const fastArmoredData uint8 = 0

// ParsePAFXFastRequest reads PA-FX-FAST-REQUEST. The result shares memory with b.
func ParsePAFXFastRequest(b []byte) (*PAFXFastRequest, error) {
	f := openChoice("FAST request", fastArmoredData, b)
	r := &PAFXFastRequest{}
	if f.Has(0) {
		in := f.open(" armour", 0)
		r.Armor = &FastArmor{Type: in.Int32(0), Value: in.Octets(1)}
		f.within(in.Err(true))
	}
	r.Checksum = f.Checksum(1)
	r.EncPart = f.Encrypted(2)
	return r, f.Err(true)
}

// Marshal returns PA-FX-FAST-REQUEST.
func (r *PAFXFastRequest) Marshal() ([]byte, error) {
	w := NewWriter(len(r.EncPart.Cipher) + 512)
	w.Field(fastArmoredData, func() {
		w.Sequence(func() {
			w.Encrypted(2, r.EncPart)
			w.Checksum(1, r.Checksum)
			if r.Armor != nil {
				w.Field(0, func() {
					w.Sequence(func() {
						w.Octets(1, r.Armor.Value)
						w.Int(0, int64(r.Armor.Type))
					})
				})
			}
		})
	})
	return w.Result()
}

// FastReq is KrbFastReq of RFC 6113 section 5.4.2, which the request seals.
type FastReq struct {
	Options uint32
	PAData  []PAData
	Body    []byte // DER of KDC-REQ-BODY
}

// ParseFastReq reads KrbFastReq. The result shares memory with b.
func ParseFastReq(b []byte) (*FastReq, error) {
	f := OpenFields("FAST request part", b)
	r := &FastReq{Options: f.Flags(0), PAData: f.padatas(1), Body: f.Raw(2)}
	return r, f.Err(true)
}

// Marshal returns KrbFastReq.
func (r *FastReq) Marshal() ([]byte, error) {
	w := NewWriter(len(r.Body) + 512)
	w.Sequence(func() {
		w.RawField(2, r.Body)
		w.Field(1, func() { w.padatas(r.PAData) })
		w.Flags(0, r.Options)
	})
	return w.Result()
}

// ParsePAFXFastReply reads PA-FX-FAST-REPLY of RFC 6113 section 5.4.3. The result
// shares memory with b.
func ParsePAFXFastReply(b []byte) (EncryptedData, error) {
	f := openChoice("FAST reply", fastArmoredData, b)
	ed := f.Encrypted(0)
	return ed, f.Err(true)
}

// MarshalPAFXFastReply returns PA-FX-FAST-REPLY.
func MarshalPAFXFastReply(ed EncryptedData) ([]byte, error) {
	w := NewWriter(len(ed.Cipher) + 64)
	w.Field(fastArmoredData, func() {
		w.Sequence(func() { w.Encrypted(0, ed) })
	})
	return w.Result()
}

// FastResponse is KrbFastResponse of RFC 6113 section 5.4.3, which the reply seals.
type FastResponse struct {
	PAData     []PAData
	Strengthen Key           // zero when absent
	Finished   *FastFinished // nil when absent, as with a KRB-ERROR
	Nonce      int64         // of 32 bits: peers disagree about its sign
}

// FastFinished is KrbFastFinished of RFC 6113 section 5.4.3.
type FastFinished struct {
	Time     time.Time
	Usec     int
	Client   Principal // with the realm
	Checksum Checksum  // of the ticket
}

// ParseFastResponse reads KrbFastResponse. The result shares memory with b.
func ParseFastResponse(b []byte) (*FastResponse, error) {
	f := OpenFields("FAST response", b)
	r := &FastResponse{PAData: f.padatas(0)}
	if f.Has(1) {
		r.Strengthen = f.Key(1)
	}
	if f.Has(2) {
		in := f.open(" finished", 2)
		r.Finished = &FastFinished{Time: in.Time(0), Usec: in.Microseconds(1)}
		realm := in.Text(2)
		r.Finished.Client = in.Name(3)
		r.Finished.Client.Realm = realm
		r.Finished.Checksum = in.Checksum(4)
		f.within(in.Err(true))
	}
	r.Nonce = f.nonce(3)
	return r, f.Err(true)
}

// Marshal returns KrbFastResponse.
func (r *FastResponse) Marshal() ([]byte, error) {
	w := NewWriter(512)
	w.Sequence(func() {
		w.Int(3, r.Nonce)
		if p := r.Finished; p != nil {
			w.Field(2, func() {
				w.Sequence(func() {
					w.Checksum(4, p.Checksum)
					w.Name(3, p.Client)
					w.String(2, p.Client.Realm)
					w.Int(1, int64(p.Usec))
					w.Time(0, p.Time)
				})
			})
		}
		if !r.Strengthen.IsZero() {
			w.Key(1, r.Strengthen)
		}
		w.Field(0, func() { w.padatas(r.PAData) })
	})
	return w.Result()
}

// FastArmorKey returns the armour key of a ticket's session key and the subkey of the
// authenticator that came with it (RFC 6113 section 5.4.1.1).
func FastArmorKey(subkey, session Key) (Key, error) {
	return Combine(subkey, session, "subkeyarmor", "ticketarmor")
}

// FastReplyKey returns the strengthened key of a reply (RFC 6113 section 5.4.3).
func FastReplyKey(strengthen, reply Key) (Key, error) {
	return Combine(strengthen, reply, "strengthenkey", "replykey")
}

// ClientChallengeKey returns what a client's encrypted challenge is sealed under (RFC
// 6113 section 5.4.6).
func ClientChallengeKey(armor, client Key) (Key, error) {
	return Combine(armor, client, "clientchallengearmor", "challengelongterm")
}

// KDCChallengeKey returns what a KDC's encrypted challenge is sealed under (RFC 6113
// section 5.4.6).
func KDCChallengeKey(armor, client Key) (Key, error) {
	return Combine(armor, client, "kdcchallengearmor", "challengelongterm")
}
