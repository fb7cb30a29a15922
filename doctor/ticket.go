package doctor

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/hostname"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// initiate gets a ticket as a client would, and makes a token of it, which nobody is
// sent.
func (x *examination) initiate(ctx context.Context) {
	if x.sourceErr != nil || x.choiceErr != nil || x.barred {
		return
	}
	t := x.target
	if x.first != nil {
		t.TLS = x.first.TLS
	}
	ctx = middleware.WithTrace(ctx, func(e middleware.Event) {
		if e, ok := e.(middleware.TicketEvent); ok {
			x.ticket = e
		}
	})
	x.context, x.ticketErr = x.in.Initiate(ctx, t)
	if x.ticketErr != nil {
		x.context = nil
		return
	}
	if n, ok := x.context.(middleware.Named); ok && x.o.Client.Initiator != nil {
		x.report.Service = n.SPN() // an initiator has names of its own
	}
	x.token, x.tokenErr = x.context.Step(ctx, nil)
}

// exchange tells of realms, KDCs and the ticket, all of which are known by now: which of
// the others is at fault depends on whether there is a ticket.
func (x *examination) exchange(ctx context.Context) {
	x.realm(ctx)
	x.kdcs()
	switch {
	case x.barred:
		x.skip("ticket", "no token is to be sent to this host")
	case x.sourceErr != nil || x.choiceErr != nil:
		x.skip("ticket", "there are no credentials to get one with")
	case x.ticketErr != nil:
		x.noTicket()
	default:
		x.hasOne()
		x.size()
	}
	x.bindings()
}

// noTicket tells why there is none.
func (x *examination) noTicket() {
	text, try := failure(x.ticketErr)
	name := "ticket"
	f := facts{"service": x.report.Service}
	e := kdcError(x.ticketErr)
	if e != nil {
		f["exchange"], f["realm"], f["code"] = e.Exchange, e.Realm, e.Code
		if e.Code != 0 {
			f["error"] = krb.ErrorName(e.Code)
		}
		var asked []string
		for _, c := range e.Candidates {
			asked = append(asked, c.Server.String())
		}
		if len(asked) > 0 {
			f["asked"] = asked
		}
	}
	tries := []string{try}
	switch {
	case x.explained:
		x.say(name, Skip, f, "there is none: "+text)
		return
	case errors.Is(x.ticketErr, middleware.ErrNotAllowed): // an initiator's own list
		name = "allowed"
	case errors.Is(x.ticketErr, kerberos.ErrNotForwardable):
		name = "delegation"
	case e != nil && e.Exchange == "AS":
		name = "login"
	case e != nil && e.Code == krb.CodeServerUnknown && hostname.IsAddress(x.serviceHost()):
		tries = []string{useName, try}
	case e != nil && e.Code == krb.CodeServerUnknown && x.canonical != "" && !x.canonicalized && !x.fixed:
		tries = []string{fmt.Sprintf("the KDC may know it as %s, the name that DNS gives: write that in the URL, or set dns_canonicalize_hostname = fallback in krb5.conf", x.canonical), try}
	}
	x.say(name, Fail, f, text, tries...)
}

// hasOne tells of the ticket.
func (x *examination) hasOne() {
	t := x.ticket
	f := facts{"spn": t.SPN, "client": t.Client, "from": t.Source, "cached": t.Cached, "session_etype": krb.EtypeName(t.Etype), "until": stamp(t.Expires)}
	text := t.SPN
	if name, _, _ := strings.Cut(t.SPN, "@"); name != strings.Split(x.report.Service, "@")[0] && x.canonicalized {
		text += fmt.Sprintf(", the name that DNS gives, since the KDC does not know %s", x.report.Service)
	}
	text += fmt.Sprintf(" for %s until %s, session key %s", t.Client, stamp(t.Expires), krb.EtypeName(t.Etype))
	weak := t.Etype == krb.RC4HMAC
	if seal, ok := sealOf(x.token); ok {
		f["etype"], f["kvno"] = krb.EtypeName(seal.Etype), seal.Kvno
		text += fmt.Sprintf("; sealed with key version %d of the service, %s", seal.Kvno, krb.EtypeName(seal.Etype))
		weak = weak || seal.Etype == krb.RC4HMAC
	}
	if t.Cached {
		text += "; it was in " + t.Source
	}
	switch {
	case x.ticket == middleware.TicketEvent{}: // another initiator's, which does not tell
		x.say("ticket", OK, nil, "there is one for "+x.report.Service)
	case weak:
		x.say("ticket", Warn, f, text+": RC4 is switched off in more and more places", "have AES keys made for the service: a new keytab, and in Active Directory msDS-SupportedEncryptionTypes of its account")
	default:
		x.say("ticket", OK, f, text)
	}
}

// sealOf returns how the ticket in a token is sealed.
func sealOf(token []byte) (seal krb.EncryptedData, ok bool) {
	if init, err := spnego.ParseInit(token); err == nil {
		token = init.MechToken
	}
	_, id, inner, err := spnego.Unframe(token)
	if err != nil || id != spnego.TokAPReq {
		return seal, false
	}
	r, err := krb.ParseAPReq(inner)
	if err != nil {
		return seal, false
	}
	return r.Ticket.EncPart, true
}

// limits are how long a header field may be by default, in bytes, as the servers'
// documentation has it.
var limits = []struct {
	server string
	bytes  int
}{
	{"Apache (LimitRequestFieldSize 8190)", 8190},
	{"nginx (large_client_header_buffers 4 8k)", 8 << 10},
	{"Tomcat (maxHttpHeaderSize 8192, for all fields together)", 8 << 10},
	{"IIS (MaxFieldLength 16384 of http.sys)", 16 << 10},
}

// mostIIS is the largest MaxFieldLength that http.sys can be set to.
const mostIIS = 65534

// size compares the token with what servers take.
func (x *examination) size() {
	if x.tokenErr != nil {
		text, try := failure(x.tokenErr)
		x.say("token", Fail, nil, text, try)
		return
	}
	scheme := cmp.Or(x.target.Scheme, middleware.Negotiate) // where the server does not ask
	field := len("Authorization: "+scheme+" ") + base64.StdEncoding.EncodedLen(len(x.token))
	f := facts{"bytes": len(x.token), "field_bytes": field}
	text := fmt.Sprintf("%d bytes, which make a header field of %d", len(x.token), field)
	var over []string
	for _, l := range limits {
		if field > l.bytes {
			over = append(over, l.server)
		}
	}
	if len(over) == 0 {
		x.say("token", OK, f, text+": less than Apache, nginx, Tomcat and IIS take by default")
		return
	}
	f["over"] = over
	text += ", more than " + strings.Join(over, ", ") + " take by default"
	if field > mostIIS {
		text += fmt.Sprintf(", and more than IIS can be set to take (%d)", mostIIS)
	}
	x.say("token", Warn, f, text, middleware.ReasonTokenTooLarge.Hint())
}

// bindings tells what binds tokens to the TLS connection.
func (x *examination) bindings() {
	const name = "bindings"
	switch {
	case x.o.Client.Bindings == kerberos.BindingsOff:
		x.skip(name, "switched off, so that the token is good on any connection")
		return
	case !x.target.Secure:
		x.skip(name, "plain http has none")
		return
	case x.first == nil || x.first.TLS == nil:
		x.skip(name, "there is no TLS connection to look at")
		return
	}
	data, err := cbt.ForConn(x.first.TLS)
	if err != nil {
		status := Warn
		if x.o.Client.Bindings == kerberos.BindingsRequired {
			status = Fail
		}
		x.say(name, status, nil, err.Error(), "have the certificate signed with RSA or ECDSA and SHA-2, for which bindings are defined")
		return
	}
	_, sum, _ := strings.Cut(string(data), ":")
	hash := cbt.Hash(data)
	cert := x.first.TLS.PeerCertificates[0]
	x.say(name, OK, facts{"type": "tls-server-end-point", "certificate_hash": hex.EncodeToString([]byte(sum)), "hash": hex.EncodeToString(hash[:]), "subject": cert.Subject.String()},
		fmt.Sprintf("tls-server-end-point of the certificate of %s, hash in the token %x: something that ends TLS before the server has another", cert.Subject, hash))
}
