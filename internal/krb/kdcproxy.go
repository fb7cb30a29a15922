package krb

// ProxyMessage is KDC-PROXY-MESSAGE ([MS-KKDCP] section 2.2.2).
type ProxyMessage struct {
	Framed []byte // the message after its length in four bytes, as over TCP
	Domain string // target-domain, the realm; "" when absent
}

// ParseProxyMessage reads KDC-PROXY-MESSAGE. The result shares memory with b; whether
// the length in it is true is for its reader.
func ParseProxyMessage(b []byte) (ProxyMessage, error) {
	f := OpenFields("KDC-PROXY-MESSAGE", b)
	m := ProxyMessage{Framed: f.Octets(0)}
	if f.Has(1) {
		m.Domain = f.Text(1)
	}
	if f.Has(2) {
		f.Int(2) // dclocator-hint is for domain controllers
	}
	return m, f.Err(true)
}

// Marshal returns KDC-PROXY-MESSAGE.
func (m ProxyMessage) Marshal() ([]byte, error) {
	w := NewWriter(len(m.Framed) + len(m.Domain) + 64)
	w.Sequence(func() {
		if m.Domain != "" {
			w.String(1, m.Domain)
		}
		w.Octets(0, m.Framed)
	})
	return w.Result()
}
