package fakekdc

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// WithKpasswd adds a service where users change their passwords (RFC 3244), on
// UDP and TCP of one free port that [Realm.Config] names as kpasswd_server. The
// principal kadmin/changepw that tickets for it are for is there too.
//
// allow may refuse a password with an error, whose text the user is told; nil
// allows all. The user is given as name@REALM. It must be safe for concurrent
// use. Empty passwords are always refused.
//
// A user may set the own password, one who [SetsPasswords] that of others too. A
// user who is refused because the password has expired ([Refuse] with code 23)
// gets tickets for this service nonetheless, and is no longer refused once the
// password is changed. A changed password has the next kvno, as with
// [Realm.SetPassword].
func WithKpasswd(allow func(user, password string) error) Option {
	return func(s *settings) {
		if s.kpasswd = allow; allow == nil {
			s.kpasswd = func(string, string) error { return nil }
		}
	}
}

// KpasswdAddr returns the address of the service for password changes as
// host:port, the same for UDP and TCP; "" if the realm was made without
// [WithKpasswd].
func (r *Realm) KpasswdAddr() string {
	if r.changes == nil {
		return ""
	}
	return r.changes.Addr()
}

var changepw = krb.NewPrincipal("", "kadmin", "changepw")

// startKpasswd is called when all else of the realm is there.
func (r *Realm) startKpasswd() error {
	name := changepw
	name.Realm = r.realm
	p := &principal{name: name, random: true, own: true, policy: r.usualPolicy()}
	if err := r.add(p, []PrincipalOption{Lifetime(5*time.Minute, -1)}); err != nil {
		return err
	}
	at := netip.AddrPortFrom(netip.MustParseAddrPort(r.settings.addr).Addr(), 0)
	var err error
	r.changes, err = r.listen(at, r.answerKpasswd)
	return err
}

// mayChangePassword reports whether it is an expired password that the client is
// refused for, and the service that where it can be changed.
func (r *Realm) mayChangePassword(client, server *principal) bool {
	return client.refuse == krb.CodeKeyExpired && server.refuse == 0 && server.own
}

// A ruling is what became of a request to change a password.
type ruling struct {
	code uint16
	text string
}

// answerKpasswd takes one message and says what to send back.
func (r *Realm) answerKpasswd(k *KDC, network string, sender netip.Addr, packet []byte) outcome {
	if r.paused.Load() {
		return outcome{how: sendNothing}
	}
	now := r.now()
	e := Exchange{Kind: Kpasswd, Network: network, Realm: r.realm, KDC: k.Addr(), Time: now}
	fault := r.takeFault(nil, Kpasswd, network)
	e.Fault = fault.name
	if !fault.await(k.done) {
		return outcome{how: sendNothing}
	}
	out := outcome{how: fault.how}
	switch {
	case fault.raw != nil:
		out.reply, out.junk = fault.raw, true
	case fault.code != 0:
		e.Code = fault.code
		out.reply = r.kpasswdError(&refusal{code: fault.code, text: "as ordered", edata: fault.edata}, ruling{krb.KpasswdHardError, "as ordered"}, now)
	default:
		out.reply = r.changePassword(k.seenBy(sender), packet, now, &e)
	}
	r.log.add(e)
	return out
}

// seenBy returns the address that a client has asked: answers name it, and MIT's
// clients compare it with the one they know.
func (k *KDC) seenBy(sender netip.Addr) netip.Addr {
	at := k.addr.Addr()
	if !at.IsUnspecified() || !sender.IsValid() {
		return at
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(sender, k.addr.Port()))) // which sends nothing
	if err != nil {
		return at
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

// changePassword serves one request, at an address; nil for no answer.
func (r *Realm) changePassword(at netip.Addr, packet []byte, now time.Time, e *Exchange) []byte {
	q, err := krb.ParseKpasswd(packet)
	if err != nil {
		e.Code = krb.CodeGeneric
		return nil
	}
	req, no := r.openKpasswd(q.AP, now)
	if no != nil {
		e.Code = no.code
		return r.kpasswdError(no, ruling{krb.KpasswdAuthError, no.text}, now)
	}
	e.Client = nameOf(req.ticket.client)
	e.Server = e.Client
	v := r.setPassword(q, req, e)
	if v.code == krb.KpasswdSuccess {
		e.Granted = e.Server
	} else {
		e.Result = v.text
	}
	reply, err := kpasswdReply(req, v, at)
	if err != nil {
		return nil
	}
	return reply
}

// openKpasswd opens the AP-REQ of a request.
func (r *Realm) openKpasswd(b []byte, now time.Time) (*apReq, *refusal) {
	req, no := openAPReq(b, func(server krb.Principal) (*principal, *refusal) {
		p := r.lookup(server)
		if p == nil || !server.SameName(changepw) {
			return nil, refuse(krb.CodeNotUs, "ticket is for "+nameOf(server))
		}
		return p, nil
	})
	if no != nil {
		return nil, no
	}
	if no := req.authenticate(krb.UsageAPReqAuth, now, r.skew); no != nil {
		return nil, no
	}
	if code := req.ticket.usable(now, r.skew); code != 0 {
		return nil, refuse(code, "ticket")
	}
	if !r.apSeen.Add(req.auth, req.ticket.server, nil, now, r.skew) {
		return nil, refuse(krb.CodeRepeat, "authenticator was used before")
	}
	return req, nil
}

// setPassword does what is asked, if it may be done.
func (r *Realm) setPassword(q krb.KpasswdMessage, req *apReq, e *Exchange) ruling {
	t := req.ticket
	plain, err := krb.OpenKRBPriv(req.key(), q.Rest)
	if err != nil {
		return ruling{krb.KpasswdAuthError, "the message does not decrypt"}
	}
	password, target := string(plain), t.client
	switch q.Version {
	case krb.KpasswdChange:
	case krb.KpasswdSet:
		d, err := krb.ParseChangePasswdData(plain)
		if err != nil {
			return ruling{krb.KpasswdMalformed, "malformed request"}
		}
		password = string(d.Password)
		if d.HasTarget {
			target = d.Target
			if target.Realm = d.Realm; d.Realm == "" {
				target.Realm = r.realm
			}
		}
	default:
		return ruling{krb.KpasswdBadVersion, "request of another version of the protocol"}
	}
	e.Server = nameOf(target)
	if t.flags&krb.FlagInitial == 0 {
		return ruling{krb.KpasswdInitialFlagNeeded, "ticket was not got with the password"}
	}
	if !target.Equal(t.client) {
		by := r.lookup(t.client)
		if by == nil || !by.setsPasswords {
			return ruling{krb.KpasswdAccessDenied, "not allowed to set the password of " + nameOf(target)}
		}
	}
	p := r.lookup(target)
	if p == nil || p.internal() {
		return ruling{krb.KpasswdHardError, "no such user: " + nameOf(target)}
	}
	if password == "" {
		return ruling{krb.KpasswdSoftError, "password is empty"}
	}
	if err := r.kpasswd(p.name.String(), password); err != nil {
		return ruling{krb.KpasswdSoftError, err.Error()}
	}
	err = r.change(p.name.String(), func(p *principal) error {
		if p.refuse == krb.CodeKeyExpired {
			p.refuse = 0
		}
		return p.renewPassword(password)
	})
	if err != nil {
		return ruling{krb.KpasswdHardError, "user is gone"}
	}
	return ruling{krb.KpasswdSuccess, "password changed"}
}

var errOwnKeys = errors.New("principal is the realm's own")

func (p *principal) renewPassword(password string) error {
	if p.internal() {
		return errOwnKeys
	}
	p.password, p.random = password, false
	return p.nextKeys()
}

// kpasswdReply is the answer to one who has proved who he is.
func kpasswdReply(req *apReq, v ruling, from netip.Addr) ([]byte, error) {
	var random [4]byte
	rand.Read(random[:])
	seq := binary.BigEndian.Uint32(random[:]) & 0x3fffffff
	apRep, err := krb.MakeAPRep(req.ticket.session, &krb.EncAPRepPart{CTime: req.auth.CTime, Cusec: req.auth.Cusec, Seq: seq, HasSeq: true})
	if err != nil {
		return nil, err
	}
	priv, err := krb.MakeKRBPriv(req.key(), krb.KRBPriv{Data: v.bytes(), Seq: seq, Sender: krb.HostAddressOf(from)})
	if err != nil {
		return nil, err
	}
	return krb.KpasswdMessage{Version: krb.KpasswdChange, AP: apRep, Rest: priv}.Marshal()
}

func (v ruling) bytes() []byte {
	return append(binary.BigEndian.AppendUint16(nil, v.code), v.text[:min(len(v.text), 512)]...)
}

// kpasswdError is the answer to one who has not; nil if it cannot be made.
func (r *Realm) kpasswdError(no *refusal, v ruling, now time.Time) []byte {
	e := krb.KRBError{Code: no.code, Text: no.text, Data: no.edata, STime: now, Susec: now.Nanosecond() / 1000, Server: changepw}
	e.Server.Realm = r.realm
	if e.Data == nil {
		e.Data = v.bytes()
	}
	der, err := e.Marshal()
	if err != nil {
		return nil
	}
	b, err := krb.KpasswdMessage{Version: krb.KpasswdChange, Rest: der}.Marshal()
	if err != nil {
		return nil
	}
	return b
}
