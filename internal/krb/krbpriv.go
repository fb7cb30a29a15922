package krb

// KRBPriv is what a KRB-PRIV protects (RFC 4120 section 5.7.1).
type KRBPriv struct {
	Data   []byte
	Seq    uint32
	Sender HostAddress
}

// MakeKRBPriv returns [APPLICATION 21] KRB-PRIV, sealed under a key.
func MakeKRBPriv(key Key, p KRBPriv) ([]byte, error) {
	w := NewWriter(len(p.Data) + 256)
	w.App(MsgKRBPriv, func() {
		w.Sealed(3, key, 0, UsageKRBPriv, func() {
			w.App(tagEncKrbPrivPart, func() {
				w.Address(4, p.Sender)
				w.Int(3, int64(p.Seq))
				w.Octets(0, p.Data)
			})
		})
		w.Int(1, int64(MsgKRBPriv))
		w.Int(0, pvno)
	})
	return w.Result()
}

// OpenKRBPriv opens [APPLICATION 21] KRB-PRIV and returns its data. When, where and in
// which order it was made is not looked at.
func OpenKRBPriv(key Key, b []byte) ([]byte, error) {
	p, err := OpenKRBPrivInOrder(key, b)
	return p.Data, err
}

// OpenKRBPrivInOrder opens [APPLICATION 21] KRB-PRIV and returns its data with the sequence
// number, 0 without one, and no more.
func OpenKRBPrivInOrder(key Key, b []byte) (KRBPriv, error) {
	f := OpenApp("KRB-PRIV", MsgKRBPriv, b)
	f.header(0, MsgKRBPriv)
	ed := f.Encrypted(3)
	if err := f.Err(true); err != nil {
		return KRBPriv{}, err
	}
	plain, err := key.OpenData(UsageKRBPriv, ed)
	if err != nil {
		return KRBPriv{}, err
	}
	f = OpenApp("KRB-PRIV part", tagEncKrbPrivPart, plain)
	p := KRBPriv{Data: f.Octets(0)}
	for n := uint8(1); n <= 5; n++ {
		if n == 3 && f.Has(3) {
			p.Seq = uint32(f.nonce(3))
		} else {
			f.Optional(n)
		}
	}
	return p, f.Err(true)
}
