package krb

// TransitedEncoding is the list of the realms that a client's tickets passed through
// (RFC 4120 section 5.3).
type TransitedEncoding struct {
	Type     int32 // DomainX500Compress
	Contents []byte
}

// ParseTransited reads TransitedEncoding. The result shares memory with b.
func ParseTransited(b []byte) (TransitedEncoding, error) {
	f := OpenFields("transited", b)
	t := TransitedEncoding{f.Int32(0), f.Octets(1)}
	return t, f.Err(true)
}

// Marshal returns TransitedEncoding.
func (t TransitedEncoding) Marshal() []byte {
	w := NewWriter(len(t.Contents) + 32)
	w.transited(t)
	return w.Bytes() // there is nothing in it that could fail
}

func (w *Writer) transited(t TransitedEncoding) {
	w.Sequence(func() {
		w.Octets(1, t.Contents)
		w.Int(0, int64(t.Type))
	})
}
