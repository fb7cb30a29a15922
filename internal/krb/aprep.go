package krb

import "time"

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
	w.App(MsgAPRep, func() {
		w.Sealed(2, session, 0, UsageAPRepEncPart, func() { p.write(&w) })
		w.Int(1, int64(MsgAPRep))
		w.Int(0, pvno)
	})
	return w.Result()
}

func (p *EncAPRepPart) write(w *Writer) {
	w.App(tagEncAPRepPart, func() {
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

// CheckAPRep reports whether b is an AP-REP with a sealed part, and nothing else, for
// whoever leaves it to others to open it. Errors wrap [ErrMalformed].
func CheckAPRep(b []byte) error {
	_, err := sealedAPRep(b)
	return err
}

func sealedAPRep(b []byte) (EncryptedData, error) {
	f := OpenApp("AP-REP", MsgAPRep, b)
	f.header(0, MsgAPRep)
	ed := f.Encrypted(2)
	return ed, f.Err(true)
}

// OpenAPRep decodes [APPLICATION 15] AP-REP and opens it with the ticket's
// session key, never a subkey, key usage 12. Errors wrap [ErrMalformed],
// [ErrEtype], [ErrTooShort] or [ErrIntegrity].
func OpenAPRep(session Key, b []byte) (*EncAPRepPart, error) {
	p := new(EncAPRepPart) // short enough to be inlined, so that p need not outlive its caller
	if err := p.open(session, b); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *EncAPRepPart) open(session Key, b []byte) error {
	ed, err := sealedAPRep(b)
	if err != nil {
		return err
	}
	plain, err := session.OpenData(UsageAPRepEncPart, ed)
	if err != nil {
		return err
	}
	defer clear(plain) // the subkey is copied
	f := OpenApp("AP-REP part", tagEncAPRepPart, plain)
	p.CTime, p.Cusec = f.Time(0), f.Microseconds(1)
	if f.Has(2) {
		p.Subkey = f.Key(2)
	}
	if f.Has(3) {
		p.Seq, p.HasSeq = uint32(f.Int32(3)), true
	}
	return f.Err(true)
}
