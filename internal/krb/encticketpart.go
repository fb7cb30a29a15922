package krb

import "time"

// EncTicketPart is what a KDC seals into a ticket for its server (RFC 4120 section
// 5.3). Fields that are DER share memory with what was read.
type EncTicketPart struct {
	Flags     uint32
	Key       Key
	Client    Principal // with its realm
	Transited []byte    // DER of TransitedEncoding; nil writes an empty one
	AuthTime  time.Time
	StartTime time.Time // zero when absent
	EndTime   time.Time
	RenewTill time.Time // zero when absent
	Addresses []byte    // DER of HostAddresses, nil when absent
	AuthData  []byte    // DER of AuthorizationData, nil when absent
}

// ParseEncTicketPart reads [APPLICATION 3] EncTicketPart.
func ParseEncTicketPart(b []byte) (*EncTicketPart, error) {
	f := OpenApp("ticket part", tagEncTicketPart, b)
	p := &EncTicketPart{Flags: f.Flags(0), Key: f.Key(1)}
	realm := f.Text(2)
	p.Client = f.Name(3)
	p.Client.Realm = realm
	p.Transited = f.Raw(4)
	p.AuthTime = f.Time(5)
	if f.Has(6) {
		p.StartTime = f.Time(6)
	}
	p.EndTime = f.Time(7)
	if f.Has(8) {
		p.RenewTill = f.Time(8)
	}
	p.Addresses = f.Optional(9)
	p.AuthData = f.Optional(10)
	return p, f.Err(true)
}

// Marshal returns [APPLICATION 3] EncTicketPart.
func (p *EncTicketPart) Marshal() ([]byte, error) {
	w := NewWriter(p.room())
	p.write(&w)
	return w.Result()
}

func (p *EncTicketPart) room() int {
	return 384 + len(p.Transited) + len(p.Addresses) + len(p.AuthData)
}

func (p *EncTicketPart) write(w *Writer) {
	w.App(tagEncTicketPart, func() {
		w.RawField(10, p.AuthData)
		w.RawField(9, p.Addresses)
		w.OptionalTime(8, p.RenewTill)
		w.Time(7, p.EndTime)
		w.OptionalTime(6, p.StartTime)
		w.Time(5, p.AuthTime)
		if p.Transited == nil {
			w.Field(4, func() { w.transited(TransitedEncoding{Type: DomainX500Compress}) })
		}
		w.RawField(4, p.Transited)
		w.Name(3, p.Client)
		w.String(2, p.Client.Realm)
		w.Key(1, p.Key)
		w.Flags(0, p.Flags)
	})
}

// SealTicket returns [APPLICATION 1] Ticket for a server, under its key.
func SealTicket(server Principal, key Key, kvno uint32, p *EncTicketPart) ([]byte, error) {
	w := NewWriter(p.room() + 128)
	w.App(tagTicket, func() {
		w.Sealed(3, key, kvno, UsageTicket, func() { p.write(&w) })
		w.Name(2, server)
		w.String(1, server.Realm)
		w.Int(0, pvno)
	})
	return w.Result()
}

// Open opens a ticket with its server's key.
func (t TicketFields) Open(key Key) (*EncTicketPart, error) {
	plain, err := key.OpenData(UsageTicket, t.EncPart)
	if err != nil {
		return nil, err
	}
	return ParseEncTicketPart(plain)
}
