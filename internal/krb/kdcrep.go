package krb

import "time"

// KDCRep is AS-REP or TGS-REP (RFC 4120 section 5.4.2).
type KDCRep struct {
	PAData    []PAData
	Client    Principal // with its realm
	RawTicket []byte    // DER of Ticket
	Ticket    TicketFields
	EncPart   EncryptedData
}

// ParseKDCRep reads the reply of the given type, [MsgASRep] or [MsgTGSRep]. The
// result shares memory with b.
func ParseKDCRep(b []byte, kind uint8) (*KDCRep, error) {
	what := "AS-REP"
	if kind == MsgTGSRep {
		what = "TGS-REP"
	}
	f := OpenApp(what, kind, b)
	r := &KDCRep{}
	f.header(0, kind)
	if f.Has(2) {
		r.PAData = f.padatas(2)
	}
	realm := f.Text(3)
	r.Client = f.Name(4)
	r.Client.Realm = realm
	r.RawTicket = f.Raw(5)
	r.EncPart = f.Encrypted(6)
	if err := f.Err(true); err != nil {
		return nil, err
	}
	var err error
	r.Ticket, err = ParseTicket(r.RawTicket)
	return r, err
}

// Marshal returns the reply of the given type. Of the ticket RawTicket counts.
func (r *KDCRep) Marshal(kind uint8) ([]byte, error) {
	w := NewWriter(r.room() + len(r.EncPart.Cipher))
	r.write(&w, kind, func() { w.Encrypted(6, r.EncPart) })
	return w.Result()
}

// Seal is Marshal with a part for the client, which is sealed, in place of EncPart.
func (r *KDCRep) Seal(kind uint8, part *EncKDCRepPart, key Key, kvno, usage uint32) ([]byte, error) {
	w := NewWriter(r.room() + part.room())
	r.write(&w, kind, func() {
		w.Sealed(6, key, kvno, usage, func() { part.write(&w, kind) })
	})
	return w.Result()
}

func (r *KDCRep) room() int {
	n := len(r.RawTicket) + 256
	for _, pa := range r.PAData {
		n += len(pa.Value) + 16
	}
	return n
}

func (r *KDCRep) write(w *Writer, kind uint8, encPart func()) {
	w.App(kind, func() {
		encPart()
		w.RawField(5, r.RawTicket)
		w.Name(4, r.Client)
		w.String(3, r.Client.Realm)
		if len(r.PAData) > 0 {
			w.Field(2, func() { w.padatas(r.PAData) })
		}
		w.Int(1, int64(kind))
		w.Int(0, pvno)
	})
}

// EncKDCRepPart is the sealed part of a KDC's reply (RFC 4120 section 5.4.2).
type EncKDCRepPart struct {
	Key       Key
	Nonce     int64 // of 32 bits: peers disagree about its sign
	Flags     uint32
	AuthTime  time.Time
	StartTime time.Time // zero when absent
	EndTime   time.Time
	RenewTill time.Time // zero when absent
	Server    Principal // with its realm
	Addresses []byte    // DER of HostAddresses, nil when absent
	PAData    []PAData
}

// ParseEncKDCRepPart reads [APPLICATION 25] or [APPLICATION 26]: KDCs have
// been seen to use either for both replies. Addresses share memory with b.
func ParseEncKDCRepPart(b []byte) (*EncKDCRepPart, error) {
	n := tagEncASRepPart
	if len(b) > 0 && b[0] == byte(App(tagEncTGSRepPart)) {
		n = tagEncTGSRepPart
	}
	f := OpenApp("KDC reply part", n, b)
	p := &EncKDCRepPart{Key: f.Key(0)}
	f.Raw(1) // last-req
	p.Nonce = f.nonce(2)
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
	p.Addresses = f.Optional(11)
	if f.Has(12) {
		p.PAData = f.padatas(12)
	}
	return p, f.Err(true)
}

// Marshal returns the part of the reply of the given type. Its last-req is the one
// that says nothing.
func (p *EncKDCRepPart) Marshal(kind uint8) ([]byte, error) {
	w := NewWriter(p.room())
	p.write(&w, kind)
	return w.Result()
}

func (p *EncKDCRepPart) room() int { return 384 + len(p.Addresses) }

func (p *EncKDCRepPart) write(w *Writer, kind uint8) {
	tag := tagEncASRepPart
	if kind == MsgTGSRep {
		tag = tagEncTGSRepPart
	}
	w.App(tag, func() {
		if len(p.PAData) > 0 {
			w.Field(12, func() { w.padatas(p.PAData) })
		}
		w.RawField(11, p.Addresses)
		w.Name(10, p.Server)
		w.String(9, p.Server.Realm)
		w.OptionalTime(8, p.RenewTill)
		w.Time(7, p.EndTime)
		w.OptionalTime(6, p.StartTime)
		w.Time(5, p.AuthTime)
		w.Flags(4, p.Flags)
		w.Int(2, p.Nonce)
		w.Field(1, func() {
			w.Sequence(func() {
				w.Sequence(func() {
					w.Time(1, p.AuthTime)
					w.Int(0, 0)
				})
			})
		})
		w.Key(0, p.Key)
	})
}
