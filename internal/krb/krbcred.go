package krb

import (
	"bytes"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/der"
)

// MakeKRBCred returns [APPLICATION 22] KRB-CRED with one ticket and what its
// new owner must know of it, sealed under the given key (RFC 4120 section 5.8).
// In a GSS-API token that is the session key of the service's ticket, never a
// subkey (RFC 4121 section 4.1.1).
func MakeKRBCred(session Key, t *Ticket, now time.Time) ([]byte, error) {
	w := NewWriter(len(t.Raw) + 512)
	w.App(MsgKRBCred, func() {
		w.Sealed(3, session, 0, UsageKRBCred, func() { t.writeCred(&w, now) })
		w.Field(2, func() { w.Sequence(func() { w.Raw(t.Raw) }) })
		w.Int(1, int64(MsgKRBCred))
		w.Int(0, pvno)
	})
	return w.Result()
}

// writeCred writes EncKrbCredPart.
func (t *Ticket) writeCred(w *Writer, now time.Time) {
	w.App(tagEncKrbCredPart, func() {
		w.Int(3, int64(now.Nanosecond()/1000))
		w.Time(2, now)
		w.Field(0, func() { w.Sequence(func() { t.writeCredInfo(w) }) })
	})
}

// OpenKRBCred opens a KRB-CRED with one ticket, under the first of the keys that
// fits: initiators disagree whether it is the session key or their subkey, and
// Heimdal's send it in clear (encryption type 0, RFC 4120 section 5.8.1), since the
// authenticator around it is sealed. Keys that are zero are passed over. What the
// ticket is said to be is believed; whether it is so, its KDC tells.
func OpenKRBCred(b []byte, keys ...Key) (*Ticket, error) {
	f := OpenApp("KRB-CRED", MsgKRBCred, b)
	f.header(0, MsgKRBCred)
	tickets, sealed := f.Raw(2), f.Encrypted(3)
	if err := f.Err(true); err != nil {
		return nil, err
	}
	raw, err := onlyOne("tickets", tickets)
	if err != nil {
		return nil, err
	}
	if _, err := ParseTicket(raw); err != nil {
		return nil, fmt.Errorf("KRB-CRED: %w", err)
	}
	var plain []byte
	err = errNoKey
	if sealed.Etype == 0 {
		plain, err, keys = bytes.Clone(sealed.Cipher), nil, nil
	}
	for _, k := range keys {
		if k.IsZero() {
			continue
		}
		if plain, err = k.OpenData(UsageKRBCred, sealed); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("KRB-CRED: %w", err)
	}
	defer clear(plain)
	part := OpenApp("EncKrbCredPart", tagEncKrbCredPart, plain)
	infos := part.Raw(0)
	if err := part.Err(false); err != nil {
		return nil, err
	}
	info, err := onlyOne("ticket-info", infos)
	if err != nil {
		return nil, err
	}
	t, err := parseCredInfo(info)
	if err != nil {
		return nil, err
	}
	t.Raw = bytes.Clone(raw)
	return t, nil
}

// onlyOne returns the element of a SEQUENCE OF one.
func onlyOne(what string, of cryptobyte.String) ([]byte, error) {
	var list, element cryptobyte.String
	var tag asn1.Tag
	if !der.Take(&of, &list, asn1.SEQUENCE) || !of.Empty() || !list.ReadAnyASN1Element(&element, &tag) || !list.Empty() {
		return nil, fmt.Errorf("%w: %s of KRB-CRED: want one", ErrMalformed, what)
	}
	return element, nil
}

// parseCredInfo reads KrbCredInfo, of which the key alone need be there; an
// acceptor can use no credentials without the names and the end either.
func parseCredInfo(der []byte) (*Ticket, error) {
	f := OpenFields("KrbCredInfo", der)
	t := &Ticket{Key: f.Key(0)}
	realm := f.Text(1)
	t.Client = f.Name(2)
	t.Client.Realm = realm
	t.Flags = f.Flags(3)
	if f.Has(4) {
		t.AuthTime = f.Time(4)
	}
	t.StartTime = t.AuthTime
	if f.Has(5) {
		t.StartTime = f.Time(5)
	}
	t.EndTime = f.Time(6)
	if f.Has(7) {
		t.RenewTill = f.Time(7)
	}
	realm = f.Text(8)
	t.Server = f.Name(9)
	t.Server.Realm = realm
	if err := f.Err(false); err != nil {
		return nil, err
	}
	return t, nil
}

// writeCredInfo writes KrbCredInfo with every field that MIT's acceptors ask for.
func (t *Ticket) writeCredInfo(w *Writer) {
	w.Sequence(func() {
		w.Name(9, t.Server)
		w.String(8, t.Server.Realm)
		w.OptionalTime(7, t.RenewTill)
		w.Time(6, t.EndTime)
		w.OptionalTime(5, t.StartTime)
		w.Time(4, t.AuthTime)
		w.Flags(3, t.Flags)
		w.Name(2, t.Client)
		w.String(1, t.Client.Realm)
		w.Key(0, t.Key)
	})
}
