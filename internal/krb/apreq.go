package krb

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
	w.App(MsgAPReq, func() {
		w.Sealed(4, t.Key, 0, usage, func() { a.write(w) })
		w.RawField(3, t.Raw)
		w.Flags(2, options)
		w.Int(1, int64(MsgAPReq))
		w.Int(0, pvno)
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
	f := OpenApp("AP-REQ", MsgAPReq, b)
	r := &APReq{}
	f.header(0, MsgAPReq)
	r.Options = f.Flags(2)
	r.RawTicket = f.Raw(3)
	r.Authenticator = f.Encrypted(4)
	if err := f.Err(true); err != nil {
		return nil, err
	}
	var err error
	r.Ticket, err = ParseTicket(r.RawTicket)
	return r, err
}
