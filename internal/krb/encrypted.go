package krb

// EncryptedData is RFC 4120 section 5.2.9.
type EncryptedData struct {
	Etype  int32
	Kvno   uint32 // 0 when absent
	Cipher []byte
}

// ParseEncrypted reads a bare EncryptedData. Cipher shares memory with b.
func ParseEncrypted(b []byte) (EncryptedData, error) {
	in := OpenFields("encrypted data", b)
	ed := EncryptedData{Etype: in.Int32(0)}
	if in.Has(1) {
		ed.Kvno = uint32(in.Int32(1))
	}
	ed.Cipher = in.Octets(2)
	return ed, in.Err(true)
}

// Encrypted reads [n] EncryptedData.
func (f *Fields) Encrypted(n uint8) EncryptedData {
	s := f.Raw(n)
	if f.err != nil {
		return EncryptedData{}
	}
	ed, err := ParseEncrypted(s)
	f.within(err)
	return ed
}

// Encrypted writes [n] EncryptedData. A zero kvno is left out.
func (w *Writer) Encrypted(n uint8, ed EncryptedData) {
	w.Field(n, func() { w.encrypted(ed) })
}

func (w *Writer) encrypted(ed EncryptedData) {
	w.Sequence(func() { w.encryptedFields(ed) })
}

func (w *Writer) encryptedFields(ed EncryptedData) {
	w.Octets(2, ed.Cipher)
	if ed.Kvno != 0 {
		w.Int(1, int64(ed.Kvno))
	}
	w.Int(0, int64(ed.Etype))
}
