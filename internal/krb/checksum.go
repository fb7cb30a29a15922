package krb

// Checksum is RFC 4120 section 5.2.9.
type Checksum struct {
	Type  int32
	Value []byte
}

// ParseChecksum reads a bare Checksum. Value shares memory with b.
func ParseChecksum(b []byte) (Checksum, error) {
	in := OpenFields("checksum", b)
	c := Checksum{Type: in.Int32(0), Value: in.Octets(1)}
	return c, in.Err(true)
}

// Marshal returns a bare Checksum.
func (c Checksum) Marshal() ([]byte, error) {
	var w Writer
	w.checksum(c)
	return w.Result()
}

// Checksum reads [n] Checksum.
func (f *Fields) Checksum(n uint8) Checksum {
	s := f.Raw(n)
	if f.err != nil {
		return Checksum{}
	}
	c, err := ParseChecksum(s)
	f.within(err)
	return c
}

// Checksum writes [n] Checksum.
func (w *Writer) Checksum(n uint8, c Checksum) {
	w.Field(n, func() { w.checksum(c) })
}

func (w *Writer) checksum(c Checksum) {
	w.Sequence(func() {
		w.Octets(1, c.Value)
		w.Int(0, int64(c.Type))
	})
}
