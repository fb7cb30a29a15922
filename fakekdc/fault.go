package fakekdc

import (
	"slices"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A Fault is one way for the KDC to fail one exchange; see [Realm.FailNext].
type Fault struct{ f fault }

// String returns the name that stands in [Exchange.Fault].
func (f Fault) String() string { return f.f.name }

type fault struct {
	name    string
	network string // only there, when set
	code    int32  // answer with this KRB-ERROR ...
	edata   []byte // ... and e-data
	raw     []byte // answer with these bytes
	tooBig  bool
	how     delivery
	delay   time.Duration
	hold    <-chan struct{}
	spoil   func(*reply)
	refer   string // realm to refer to
	alone   bool   // the user of S4U2Self does not count
	armor   func(*fastState)
}

// await waits as the fault says, and reports whether the realm is still there.
func (f *fault) await(done <-chan struct{}) bool {
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-done:
			return false
		}
	}
	if f.delay > 0 {
		t := time.NewTimer(f.delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-done:
			return false
		}
	}
	return true
}

// ReplyError answers with a KRB-ERROR of the code (RFC 4120 section 7.5.9) and
// e-data, which may be nil. Its stime is the realm's clock.
func ReplyError(code int32, edata []byte) Fault {
	return Fault{fault{name: krb.ErrorName(code), code: code, edata: edata}}
}

// ReplyNTStatus answers with a KRB-ERROR of the code whose e-data is the reason that
// Active Directory gives (MS-KILE 2.2.2), such as 0xC0000072 for an account that is
// disabled.
func ReplyNTStatus(code int32, status uint32) Fault {
	s := krb.NTStatus(status)
	return Fault{fault{name: krb.ErrorName(code) + ", " + s.String(), code: code, edata: krb.ExtendedError(s)}}
}

// Drop does not answer: nothing over UDP, a closed connection over TCP.
func Drop() Fault { return Fault{fault{name: "drop", how: sendNothing}} }

// Silence does not answer and keeps the TCP connection open.
func Silence() Fault { return Fault{fault{name: "silence", how: sendHang}} }

// ResetConnection resets the TCP connection instead of answering. Over UDP it is Drop.
func ResetConnection() Fault { return Fault{fault{name: "reset", how: sendReset}} }

// Delay answers after d, or not at all if the realm is closed before. For tests
// that do not wait for time to pass there is [HoldUntil].
func Delay(d time.Duration) Fault { return Fault{fault{name: "delay", delay: d}} }

// HoldUntil answers once the channel is closed or yields a value.
func HoldUntil(until <-chan struct{}) Fault { return Fault{fault{name: "hold", hold: until}} }

// Truncate sends half of the answer, over TCP in a frame that promises all of
// it, and closes the connection.
func Truncate() Fault { return Fault{fault{name: "truncate", how: sendHalf}} }

// HugeFrame sends over TCP an answer whose frame promises 2 GiB, and closes the
// connection. Over UDP the answer is as usual.
func HugeFrame() Fault { return Fault{fault{name: "huge frame", how: sendHuge}} }

// Garbage answers with bytes that are no Kerberos message.
func Garbage() Fault {
	return Fault{fault{name: "garbage", raw: []byte("\x6b\x82\x10\x00HTTP/1.1 400 Bad Request\r\n\r\n")}}
}

// TooBig answers over UDP with KRB_ERR_RESPONSE_TOO_BIG. Exchanges over TCP do
// not use it up.
func TooBig() Fault {
	return Fault{fault{name: "too big", network: "udp", tooBig: true}}
}

// WrongNonce answers as if to another request.
func WrongNonce() Fault {
	return Fault{fault{name: "wrong nonce", spoil: func(p *reply) { p.nonce ^= 1 }}}
}

// WrongRealm answers with a client and server of realm ELSEWHERE.EXAMPLE.
func WrongRealm() Fault {
	return Fault{fault{name: "wrong realm", spoil: func(p *reply) {
		p.grant.client.Realm, p.grant.server.Realm = "ELSEWHERE.EXAMPLE", "ELSEWHERE.EXAMPLE"
	}}}
}

// WrongClient answers with a ticket that is said to be another client's.
func WrongClient() Fault {
	return Fault{fault{name: "wrong client", spoil: func(p *reply) {
		p.grant.client.Components = []string{"mallory"}
	}}}
}

// WrongServer answers with a ticket that is said to be for another service.
func WrongServer() Fault {
	return Fault{fault{name: "wrong server", spoil: func(p *reply) {
		p.grant.server.Components = []string{"host", "mallory.example"}
	}}}
}

// WrongKey answers with a part for the client that is sealed under a random
// key, as a KDC would that does not know the client's.
func WrongKey() Fault {
	return Fault{fault{name: "wrong key", spoil: func(p *reply) {
		if k, err := krb.GenerateKey(p.key.Etype()); err == nil {
			p.key = k
		}
	}}}
}

// ReferTo answers a TGS request with a ticket-granting ticket for that realm,
// whatever was asked for, as a server referral (RFC 6806 section 8) does. A
// realm that does not trust the other seals it under a key that no one has.
// AS exchanges do not use it up.
func ReferTo(realm string) Fault {
	return Fault{fault{name: "refer to " + realm, refer: realm}}
}

// IgnoreUser answers a service that asks for a ticket of a user for itself (S4U2Self,
// [MS-SFU]) with its own, as a KDC does that knows nothing of that.
func IgnoreUser() Fault { return Fault{fault{name: "ignore user", alone: true}} }

// UserInTicketAlone answers such a service as Heimdal's and Samba's KDCs do, which seal
// whose the ticket is in the ticket and nowhere else.
func UserInTicketAlone() Fault {
	return Fault{fault{name: "user in ticket alone", spoil: func(p *reply) { p.padata = nil }}}
}

// WrongUser answers such a service with a ticket that is said to be mallory's, and does
// not seal that anew.
func WrongUser() Fault {
	return Fault{fault{name: "wrong user", spoil: func(p *reply) {
		p.grant.client.Components = []string{"mallory"}
		for i, pa := range p.padata {
			x, err := krb.ParsePAS4UX509(pa.Value)
			if pa.Type != krb.PAS4UX509User || err != nil {
				continue
			}
			if id, err := krb.ParseS4UUserID(x.UserID); err == nil {
				id.User.Components = []string{"mallory"}
				if x.UserID, err = id.Marshal(); err == nil {
					p.padata[i].Value, _ = x.Marshal() // nil is forged too
				}
			}
		}
	}}}
}

// NoPACOptions answers a service that acts for a user at another (S4U2Proxy) as a KDC
// does that knows nothing of targets that may let services act: PA-PAC-OPTIONS is not in
// the answer.
func NoPACOptions() Fault {
	return Fault{fault{name: "no PAC options", spoil: func(p *reply) {
		p.sealed = slices.DeleteFunc(slices.Clone(p.sealed), func(pa krb.PAData) bool { return pa.Type == krb.PAPACOptions })
	}}}
}

// WrongArmorKey answers an armoured request under a random key, as a KDC would that
// cannot open the armour (RFC 6113). It is for KDCs of [WithFAST], as the next two are.
func WrongArmorKey() Fault {
	return Fault{fault{name: "wrong armour key", armor: func(f *fastState) { f.wrongKey = true }}}
}

// MissingFinished answers an armoured request with a ticket, and does not vouch for that
// within the armour.
func MissingFinished() Fault {
	return Fault{fault{name: "missing finished", armor: func(f *fastState) { f.unfinished = true }}}
}

// WrongCookie gives an armoured login a cookie that the KDC does not take back.
func WrongCookie() Fault {
	return Fault{fault{name: "wrong cookie", armor: func(f *fastState) { f.wrongCookie = true }}}
}

// ShortCipher answers with a part for the client that is shorter than its
// encryption type allows.
func ShortCipher() Fault {
	return Fault{fault{name: "short cipher", spoil: func(p *reply) { p.short = true }}}
}

// EarlierTicket answers with a ticket that has ended before it was issued.
func EarlierTicket() Fault {
	return Fault{fault{name: "earlier ticket", spoil: func(p *reply) {
		p.grant.start = p.grant.start.Add(-2 * time.Hour)
		p.grant.end = p.grant.start.Add(time.Hour)
	}}}
}

// Repeat returns n of the same fault, for [Realm.FailNext].
func Repeat(n int, f Fault) []Fault { return slices.Repeat([]Fault{f}, max(n, 0)) }

// An order is a fault for an exchange of a kind.
type order struct {
	kind Kind
	fault
}

func ordered(kind Kind, faults []Fault) (list []order) {
	for _, f := range faults {
		list = append(list, order{kind, f.f})
	}
	return list
}

// meets returns what tells which orders an exchange meets.
func meets(kind Kind, network string) func(order) bool {
	return func(f order) bool {
		return (f.kind == Any || f.kind == kind) && (f.network == "" || f.network == network) && (f.refer == "" || kind == TGS)
	}
}

// FailNext makes the next exchanges of the kind fail, one for each fault,
// whichever of the realm's KDCs takes them. Orders queue up behind earlier ones.
// A user's login is two exchanges; what a client sends again is none, see [Realm.Exchanges].
func (r *Realm) FailNext(kind Kind, faults ...Fault) { r.faults.Put(ordered(kind, faults)...) }

// PendingFaults returns how many faults ordered of the realm no exchange has met
// yet.
func (r *Realm) PendingFaults() int { return r.faults.Len() }

// ClearFaults takes back the orders to the realm that no exchange has met yet.
func (r *Realm) ClearFaults() { r.faults.Clear() }
