package krb

import (
	"fmt"
	"io"
	"time"
)

// Ticket flags (RFC 4120 section 5.3), bit 0 the most significant of 32.
const (
	FlagForwardable   uint32 = 1 << (31 - 1)
	FlagForwarded     uint32 = 1 << (31 - 2)
	FlagProxiable     uint32 = 1 << (31 - 3)
	FlagInvalid       uint32 = 1 << (31 - 7)
	FlagRenewable     uint32 = 1 << (31 - 8)
	FlagInitial       uint32 = 1 << (31 - 9)
	FlagPreAuthent    uint32 = 1 << (31 - 10)
	FlagTransitedOK   uint32 = 1 << (31 - 12)
	FlagOKAsDelegate  uint32 = 1 << (31 - 13)
	FlagEncPARep      uint32 = 1 << (31 - 15)
	OptionRenewableOK uint32 = 1 << (31 - 27)
	OptionRenew       uint32 = 1 << (31 - 30)
	OptionCanonical   uint32 = 1 << (31 - 15)
)

// A Ticket is a ticket together with what its owner knows of it. Values are
// shared between requests: do not change one that others may hold.
type Ticket struct {
	Client    Principal
	Server    Principal // as asked for and cached under
	Raw       []byte    // DER of Ticket, as it came
	Key       Key       // session key
	Flags     uint32
	AuthTime  time.Time
	StartTime time.Time // AuthTime when the KDC sent none
	EndTime   time.Time
	RenewTill time.Time // zero when not renewable
}

// ValidAt reports whether the ticket can be used at the given time, with
// margin to spare before it ends.
func (t *Ticket) ValidAt(now time.Time, margin time.Duration) bool {
	return t != nil && t.Flags&FlagInvalid == 0 && now.Add(margin).Before(t.EndTime)
}

// Format writes names and end time, never key or ticket.
func (t Ticket) Format(f fmt.State, _ rune) {
	io.WriteString(f, "[ticket of "+t.Client.String()+" for "+t.Server.String()+" until "+t.EndTime.UTC().Format(time.RFC3339)+"]")
}

// TicketFields are the parts of a Ticket that anyone can read (RFC 4120 section
// 5.3).
type TicketFields struct {
	Server  Principal // with its realm
	EncPart EncryptedData
}

// ParseTicket reads [APPLICATION 1] Ticket. EncPart shares memory with b.
func ParseTicket(b []byte) (TicketFields, error) {
	f := OpenApp("ticket", 1, b)
	vno := f.Int32(0)
	realm := f.Text(1)
	t := TicketFields{Server: f.Name(2)}
	t.Server.Realm = realm
	t.EncPart = f.Encrypted(3)
	if err := f.Err(true); err != nil {
		return TicketFields{}, err
	}
	if vno != 5 {
		return TicketFields{}, malformed(fmt.Sprintf("ticket version %d, want 5", vno))
	}
	return t, nil
}

// Checksum is RFC 4120 section 5.2.9.
type Checksum struct {
	Type  int32
	Value []byte
}

// An Authenticator proves possession of a session key (RFC 4120 section 5.5.1).
type Authenticator struct {
	Client   Principal // with its realm
	Checksum Checksum  // left out when Value is nil
	CTime    time.Time // whole seconds
	Cusec    int       // microseconds, 0 to 999999
	Subkey   Key       // left out when zero
	Seq      uint32
	HasSeq   bool
	AuthData []byte // DER of AuthorizationData; left out when nil
}

// Marshal returns [APPLICATION 2] Authenticator.
func (a *Authenticator) Marshal() ([]byte, error) {
	var w Writer
	a.write(&w)
	return w.Result()
}

func (a *Authenticator) write(w *Writer) {
	w.App(2, func() {
		if a.AuthData != nil {
			w.Field(8, func() { w.Raw(a.AuthData) })
		}
		if a.HasSeq {
			w.Int(7, int64(a.Seq))
		}
		if !a.Subkey.IsZero() {
			w.Key(6, a.Subkey)
		}
		w.Time(5, a.CTime)
		w.Int(4, int64(a.Cusec))
		if a.Checksum.Value != nil {
			w.Checksum(3, a.Checksum)
		}
		w.Name(2, a.Client)
		w.String(1, a.Client.Realm)
		w.Int(0, 5)
	})
}

// ParseAuthenticator reads [APPLICATION 2] Authenticator.
func ParseAuthenticator(b []byte) (*Authenticator, error) {
	f := OpenApp("authenticator", 2, b)
	a := &Authenticator{}
	vno := f.Int32(0)
	realm := f.Text(1)
	a.Client = f.Name(2)
	a.Client.Realm = realm
	if f.Has(3) {
		in := OpenFields("checksum", f.Raw(3))
		a.Checksum.Type = in.Int32(0)
		a.Checksum.Value = in.Octets(1)
		if err := in.Err(true); err != nil {
			return nil, err
		}
	}
	a.Cusec = int(f.Int32(4))
	a.CTime = f.Time(5)
	if f.Has(6) {
		a.Subkey = f.Key(6)
	}
	if f.Has(7) {
		a.Seq, a.HasSeq = uint32(f.Int32(7)), true
	}
	a.AuthData = f.Optional(8)
	if err := f.Err(true); err != nil {
		return nil, err
	}
	if vno != 5 {
		return nil, malformed(fmt.Sprintf("authenticator version %d, want 5", vno))
	}
	if a.Cusec < 0 || a.Cusec > 999999 {
		return nil, malformed("authenticator microseconds out of range")
	}
	return a, nil
}

// AP options (RFC 4120 section 5.5.1).
const (
	APUseSessionKey  uint32 = 1 << (31 - 1)
	APMutualRequired uint32 = 1 << (31 - 2)
)

// MakeAPReq seals a under the ticket's session key with the given key usage
// and returns [APPLICATION 14] AP-REQ.
func MakeAPReq(t *Ticket, a *Authenticator, usage, options uint32) ([]byte, error) {
	w := NewWriter(RoomAPReq(t))
	w.APReq(t, a, usage, options)
	return w.Result()
}

// RoomAPReq returns up to how many bytes an AP-REQ of a ticket has, as a rule.
func RoomAPReq(t *Ticket) int {
	n := len(t.Raw) + len(t.Client.Realm) + 320
	for _, c := range t.Client.Components {
		n += len(c)
	}
	return n
}

// APReq writes what [MakeAPReq] returns.
func (w *Writer) APReq(t *Ticket, a *Authenticator, usage, options uint32) {
	w.App(14, func() {
		w.Sealed(4, t.Key, 0, usage, func() { a.write(w) })
		w.Field(3, func() { w.Raw(t.Raw) })
		w.Flags(2, options)
		w.Int(1, 14)
		w.Int(0, 5)
	})
}

// APReq is a decoded AP-REQ.
type APReq struct {
	Options       uint32
	RawTicket     []byte // DER of Ticket
	Ticket        TicketFields
	Authenticator EncryptedData
}

// ParseAPReq reads [APPLICATION 14] AP-REQ. The result shares memory with b.
func ParseAPReq(b []byte) (*APReq, error) {
	f := OpenApp("AP-REQ", 14, b)
	r := &APReq{}
	vno, kind := f.Int32(0), f.Int32(1)
	r.Options = f.Flags(2)
	r.RawTicket = f.Raw(3)
	r.Authenticator = f.Encrypted(4)
	if err := f.Err(true); err != nil {
		return nil, err
	}
	if vno != 5 || kind != 14 {
		return nil, malformed(fmt.Sprintf("AP-REQ version %d type %d, want 5 and 14", vno, kind))
	}
	var err error
	r.Ticket, err = ParseTicket(r.RawTicket)
	return r, err
}

// EncAPRepPart is what an acceptor seals into its AP-REP (RFC 4120 section
// 5.5.2).
type EncAPRepPart struct {
	CTime  time.Time
	Cusec  int
	Subkey Key // zero when absent
	Seq    uint32
	HasSeq bool
}

// MakeAPRep seals p under the session key and returns [APPLICATION 15] AP-REP.
func MakeAPRep(session Key, p *EncAPRepPart) ([]byte, error) {
	var w Writer
	w.App(15, func() {
		w.Sealed(2, session, 0, UsageAPRepEncPart, func() { p.write(&w) })
		w.Int(1, 15)
		w.Int(0, 5)
	})
	return w.Result()
}

func (p *EncAPRepPart) write(w *Writer) {
	w.App(27, func() {
		if p.HasSeq {
			w.Int(3, int64(p.Seq))
		}
		if !p.Subkey.IsZero() {
			w.Key(2, p.Subkey)
		}
		w.Int(1, int64(p.Cusec))
		w.Time(0, p.CTime)
	})
}

// OpenAPRep decodes [APPLICATION 15] AP-REP and opens it with the ticket's
// session key, never a subkey, key usage 12. Errors wrap [ErrMalformed],
// [ErrEtype], [ErrTooShort] or [ErrIntegrity].
func OpenAPRep(session Key, b []byte) (*EncAPRepPart, error) {
	f := OpenApp("AP-REP", 15, b)
	vno, kind := f.Int32(0), f.Int32(1)
	ed := f.Encrypted(2)
	if err := f.Err(true); err != nil {
		return nil, err
	}
	if vno != 5 || kind != 15 {
		return nil, malformed(fmt.Sprintf("AP-REP version %d type %d, want 5 and 15", vno, kind))
	}
	plain, err := session.OpenData(UsageAPRepEncPart, ed)
	if err != nil {
		return nil, err
	}
	defer clear(plain) // the subkey is copied
	f = OpenApp("AP-REP part", 27, plain)
	p := &EncAPRepPart{CTime: f.Time(0), Cusec: int(f.Int32(1))}
	if f.Has(2) {
		p.Subkey = f.Key(2)
	}
	if f.Has(3) {
		p.Seq, p.HasSeq = uint32(f.Int32(3)), true
	}
	return p, f.Err(true)
}
