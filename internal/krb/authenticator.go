package krb

import (
	"fmt"
	"time"
)

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
	w.App(tagAuthenticator, func() {
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
		w.Int(0, pvno)
	})
}

// ParseAuthenticator reads [APPLICATION 2] Authenticator.
func ParseAuthenticator(b []byte) (*Authenticator, error) {
	f := OpenApp("authenticator", tagAuthenticator, b)
	a := &Authenticator{}
	vno := f.Int32(0)
	realm := f.Text(1)
	a.Client = f.Name(2)
	a.Client.Realm = realm
	if f.Has(3) {
		a.Checksum = f.Checksum(3)
	}
	a.Cusec = f.Microseconds(4)
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
	if vno != pvno {
		return nil, malformed(fmt.Sprintf("authenticator version %d, want %d", vno, pvno))
	}
	return a, nil
}
