package fakekdc

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// How a reply leaves the KDC.
type delivery uint8

const (
	sendWhole delivery = iota
	sendNothing
	sendHang  // TCP: the connection stays open and silent
	sendReset // TCP: the connection is reset
	sendHalf  // the first half of the reply, its frame promising all of it
	sendHuge  // TCP: the frame promises 2 GiB
)

type outcome struct {
	reply []byte // nil for no answer
	how   delivery

	junk   bool // the reply is none of Kerberos
	tooBig bool // the reply is to ask over TCP
}

// A refusal is why the KDC says no.
type refusal struct {
	code  int32
	text  string
	edata []byte
	realm string // of the client, when the client should ask there (code 68)
}

func refuse(code int32, text string) *refusal { return &refusal{code: code, text: text} }

var useTCP = refuse(krb.CodeResponseTooBig, "use TCP")

// answer takes one message and says what to send back. It is the whole KDC but
// for the sockets, which are k's; nil for an exchange without any.
func (r *Realm) answer(k *KDC, network string, packet []byte) outcome {
	return r.answerFrom(k, network, netip.Addr{}, packet)
}

// answerFrom is answer for a sender whose address is known.
func (r *Realm) answerFrom(k *KDC, network string, sender netip.Addr, packet []byte) outcome {
	if r.paused.Load() || k != nil && k.paused.Load() {
		return outcome{how: sendNothing}
	}
	at, done := "", r.done
	if k != nil {
		at, done = k.Addr(), k.done
	}
	now := r.now()
	q, err := parseRequest(packet)
	if err != nil {
		r.log.add(Exchange{Kind: Other, Network: network, Realm: r.realm, KDC: at, Code: krb.CodeGeneric, Time: now})
		return outcome{how: sendNothing}
	}
	q.sender = sender
	e := Exchange{Kind: q.kind, Network: network, Realm: r.realm, KDC: at, Server: nameOf(q.Server), Client: nameOf(q.Client), Options: q.Options, Time: now}
	fault := r.takeFault(k, q.kind, network)
	e.Fault = fault.name
	if !fault.await(done) {
		return outcome{how: sendNothing}
	}
	out := outcome{how: fault.how}
	var no *refusal
	switch {
	case fault.code != 0:
		no = &refusal{code: fault.code, edata: fault.edata, text: "as ordered"}
	case fault.raw != nil:
		out.reply, out.junk = fault.raw, true
	default:
		q.refer, q.alone = fault.refer, fault.alone
		if fault.armor != nil {
			fault.armor(&q.fast)
		}
		var rep *reply
		rep, no = r.decide(q, now, &e)
		if no == nil {
			e.Etype, e.Granted = rep.grant.session.Etype(), e.Server
			if !rep.grant.server.Equal(q.Server) {
				e.Granted = nameOf(rep.grant.server)
			}
			if out.reply, no = encode(rep, fault); no == nil && network == "udp" && (fault.tooBig || len(out.reply) > r.udpLimit) {
				no, out.tooBig = useTCP, true
			}
		}
	}
	if no != nil {
		out.reply = r.refusal(q, no, now)
		if network == "udp" && len(out.reply) > maxDatagram {
			no, out.tooBig = useTCP, true
			out.reply = r.refusal(q, no, now)
		}
		e.Code, e.Etype, e.Granted = no.code, 0, ""
	}
	r.log.add(e)
	return out
}

func (r *Realm) takeFault(k *KDC, kind Kind, network string) fault {
	if k != nil {
		if o, found := k.faults.Take(meets(kind, network)); found {
			return o.fault
		}
	}
	o, _ := r.faults.Take(meets(kind, network))
	return o.fault
}

func (r *Realm) decide(q *request, now time.Time, e *Exchange) (*reply, *refusal) {
	if q.kind == AS {
		no := r.unarmor(q, now)
		e.armored(q)
		if no != nil {
			return nil, no
		}
		return r.as(q, now)
	}
	rep, no := r.tgs(q, now, e)
	if no == nil {
		no = rep.armor(q, now)
	}
	return rep, no
}

func encode(rep *reply, fault fault) ([]byte, *refusal) {
	if fault.spoil != nil {
		fault.spoil(rep)
	}
	b, err := rep.marshal()
	if err != nil {
		return nil, refuse(krb.CodeGeneric, err.Error())
	}
	return b, nil
}

// refuseFrame answers a frame that is too long, or has the bit set that is reserved (RFC 4120
// section 7.2.2).
func (r *Realm) refuseFrame(k *KDC) []byte {
	now := r.now()
	r.log.add(Exchange{Kind: Other, Network: "tcp", Realm: r.realm, KDC: k.Addr(), Code: krb.CodeFieldTooLong, Time: now})
	reply := r.refusal(&request{}, refuse(krb.CodeFieldTooLong, "frame too long"), now)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...)
}

// refusal encodes a KRB-ERROR with the names of the request.
func (r *Realm) refusal(q *request, no *refusal, now time.Time) []byte {
	e := krb.KRBError{
		Code: no.code, Text: no.text, Data: no.edata,
		STime: now, Susec: now.Nanosecond() / 1000,
		Server: q.Server,
	}
	if e.Server.IsZero() {
		e.Server = krb.TGS(r.realm, r.realm)
	}
	e.Server.Realm = r.realm
	if !q.Client.IsZero() {
		e.Client = q.Client
	}
	if no.realm != "" {
		e.Client.Realm = no.realm
	}
	if err := q.armorError(&e); err != nil {
		return nil
	}
	b, err := e.Marshal()
	if err != nil {
		return nil // a name that came over the wire encodes
	}
	return b
}

func nameOf(p krb.Principal) string {
	if p.IsZero() {
		return ""
	}
	return p.String()
}

// period is what a request and the policies of client, server and realm leave
// of the lifetime. latest is the end of the ticket that the request leans on,
// zero for none.
type period struct {
	end, renewTill time.Time
}

func (r *Realm) period(q *request, now, latest, latestRenew time.Time, mayRenew bool, parties ...*principal) (period, bool) {
	life, renew := r.life, r.renew
	for _, p := range parties {
		if p.life > 0 {
			life = min(life, p.life)
		}
		if p.renew > 0 {
			renew = min(renew, p.renew)
		}
		mayRenew = mayRenew && p.renewable
	}
	unlimited := q.Till.Unix() <= 0
	if !unlimited && !q.Till.After(now) {
		return period{}, false
	}
	out := period{end: now.Add(life)}
	if !latest.IsZero() && latest.Before(out.end) {
		out.end = latest
	}
	wanted := out.end
	if !unlimited {
		wanted = q.Till
		if q.Till.Before(out.end) {
			out.end = q.Till
		}
	}
	if !mayRenew || renew <= 0 {
		return out, true
	}
	till := now.Add(renew)
	if !latestRenew.IsZero() && latestRenew.Before(till) {
		till = latestRenew
	}
	switch {
	case q.Options&krb.OptionRenewable != 0:
		if q.Renew.Unix() > 0 && q.Renew.Before(till) {
			till = q.Renew
		}
	case q.Options&krb.OptionRenewableOK != 0 && wanted.After(out.end):
		if wanted.Before(till) {
			till = wanted
		}
	default:
		return out, true
	}
	if !till.Before(out.end) { // else there is nothing to renew
		out.renewTill = till
	}
	return out, true
}
