package krb

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// TicketUnusable reports whether a KRB-ERROR code is one by which a server says
// that it cannot use a ticket (RFC 4120 section 7.5.9), as when its key has
// changed, so that a fresh one may help. Nobody vouches for what it says.
func TicketUnusable(code int32) bool {
	switch code {
	case CodeBadIntegrity, CodeTicketExpired, CodeModified, CodeBadKvno:
		return true
	}
	return false
}

// KRBError is a decoded KRB-ERROR (RFC 4120 section 5.9.1). Nothing in it is
// authenticated: it may steer a message or one bounded retry, no more.
type KRBError struct {
	Code   int32
	STime  time.Time
	Susec  int
	Client Principal // with its realm; zero when absent
	Server Principal // with its realm
	Text   string    // bounded and cleaned of control characters
	Data   []byte    // e-data
}

// Error returns the name of the code, the peer's text, and Active Directory's reason.
func (e *KRBError) Error() string {
	s := ErrorName(e.Code)
	if e.Text != "" && !strings.HasSuffix(s, "_"+e.Text) { // MIT's KDC has it say PREAUTH_FAILED
		s += fmt.Sprintf(" (%s)", e.Text)
	}
	if status := e.NTStatus(); status != 0 {
		s += ", " + status.String()
	}
	return s
}

// ParseKRBError reads [APPLICATION 30] KRB-ERROR.
func ParseKRBError(b []byte) (*KRBError, error) {
	f := OpenApp("KRB-ERROR", MsgKRBError, b)
	f.header(0, MsgKRBError)
	f.Optional(2) // ctime and cusec, which an acceptor may echo
	f.Optional(3)
	e := &KRBError{STime: f.Time(4), Susec: f.Microseconds(5), Code: f.Int32(6)}
	var crealm string
	if f.Has(7) {
		crealm = f.Text(7)
	}
	if f.Has(8) {
		e.Client = f.Name(8)
	}
	e.Client.Realm = crealm
	realm := f.Text(9)
	e.Server = f.Name(10)
	e.Server.Realm = realm
	if f.Has(11) {
		e.Text = cleanText(f.Text(11))
	}
	if f.Has(12) {
		e.Data = f.Octets(12)
	}
	if f.Has(13) { // e-cksum, of drafts before RFC 4120
		f.Raw(13)
	}
	if err := f.Err(true); err != nil {
		return nil, err
	}
	return e, nil
}

// Marshal returns [APPLICATION 30] KRB-ERROR.
func (e *KRBError) Marshal() ([]byte, error) {
	w := NewWriter(len(e.Text) + len(e.Data) + 256)
	w.App(MsgKRBError, func() {
		if e.Data != nil {
			w.Octets(12, e.Data)
		}
		if e.Text != "" {
			w.String(11, e.Text)
		}
		w.Name(10, e.Server)
		w.String(9, e.Server.Realm)
		if !e.Client.IsZero() {
			w.Name(8, e.Client)
		}
		if e.Client.Realm != "" {
			w.String(7, e.Client.Realm)
		}
		w.Int(6, int64(e.Code))
		w.Int(5, int64(e.Susec))
		w.Time(4, e.STime)
		w.Int(1, int64(MsgKRBError))
		w.Int(0, pvno)
	})
	return w.Result()
}

func cleanText(s string) string {
	const limit = 200
	if len(s) > limit {
		s = s[:limit]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
}
