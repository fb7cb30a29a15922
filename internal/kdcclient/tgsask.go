package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
)

// wanted is what one TGS exchange asks for, and what else would do.
type wanted struct {
	server       krb.Principal // in the realm that is asked
	canonicalize bool          // a referral to another realm will do
	closer       bool          // so will a cross-realm ticket for another realm
	renew        bool
	options      uint32 // of the KDC, beside our own

	s4u // zero for the client's own ticket
}

// ask makes one exchange with the realm at hand, or two when the clocks turn
// out to be apart. The result's Server is the one wanted, or a ticket-granting
// service of another realm.
func (t *tgsCall) ask(ctx context.Context, w wanted) (*krb.Ticket, *Error) {
	got, fail := t.askTwice(ctx, w)
	if fail != nil {
		t.missed(w.server, fail)
	}
	return got, fail
}

func (t *tgsCall) askTwice(ctx context.Context, w wanted) (*krb.Ticket, *Error) {
	offset, ok := t.c.offset(t.realm)
	if !ok {
		offset = t.c.Offset(t.client.Realm)
	}
	for resynced := false; ; resynced = true {
		if t.asked++; t.asked > maxRequests {
			return nil, t.fail(KindReferral, fmt.Errorf("no ticket after %d requests", maxRequests), hintLoop)
		}
		q, err := t.request(w, offset)
		if err != nil {
			return nil, t.fail(KindRequest, err, "")
		}
		r, attempts, err := t.c.sendTo(ctx, asking{name: "TGS", armored: q.fast != nil}, krb.MsgTGSRep, t.realm, q.msg, nil)
		t.attempts = attempts
		if err != nil {
			return nil, t.noAnswer(err)
		}
		if r.err != nil && q.fast != nil {
			q.fast.unseal(r, q.body.Nonce, attempts)
		}
		if r.err == nil {
			got, err := t.accept(r, q)
			if err != nil {
				return nil, t.fail(KindReply, err, hintForged)
			}
			return got, nil
		}
		if r.err.Code != krb.CodeSkew || !t.c.o.Timesync || resynced {
			return nil, t.denied(r, w)
		}
		offset = skewOf(r)
	}
}

// denied is refused with the hints that depend on what was asked for.
func (t *tgsCall) denied(r *reply, w wanted) *Error {
	e := t.refused(r)
	switch {
	case e.Code == krb.CodeBadOption && w.forUser():
		e.Hint = "" // the caller knows more
	case e.Code == krb.CodeServerUnknown && w.closer:
		e.Hint = fmt.Sprintf("the KDC of realm %s knows no way to realm %s: there must be a cross-realm principal %s, or a path in [capaths] of krb5.conf",
			printable.Text(shorten(t.realm)), printable.Text(shorten(w.server.Components[1])), show(w.server))
	case e.Code == krb.CodeEtypeNoSupport:
		e.Err = fmt.Errorf("%w for session keys of types %s", r.err, etypeNames(t.o.Etypes))
	case e.Code == krb.CodeBadOption && w.renew:
		e.Hint = "the KDC does not renew this ticket: it is not renewable, or no longer; run kinit"
	case e.Code == krb.CodeTicketExpired && w.renew:
		e.Hint = "the ticket has expired, and must be renewed before it does: run kinit"
	case !t.o.Login && len(t.path) == 1 && e.Hint != "" && (e.DeadTicket() || e.Code == krb.CodeNotUs):
		e.Hint += ": run kinit"
	}
	return e
}

// tgsRequest is a message and what its reply is checked against.
type tgsRequest struct {
	wanted
	body   *krb.KDCReqBody
	msg    []byte
	subkey krb.Key
	fast   *fast         // nil without armour
	now    time.Time     // the KDC's, we think
	offset time.Duration // of now to our clock
}

func (t *tgsCall) request(w wanted, offset time.Duration) (*tgsRequest, error) {
	q := &tgsRequest{wanted: w, now: t.c.o.Now().Add(offset), offset: offset}
	q.body = &krb.KDCReqBody{
		// A KDC refuses to make of a ticket what the ticket is not.
		Options: w.options | t.tgt.Flags&krb.OptionForwardable | krb.OptionRenewableOK,
		Realm:   t.realm, Server: w.server, Till: t.tgt.EndTime, Nonce: newNonce(), Etypes: t.o.Etypes,
	}
	if w.canonicalize {
		q.body.Options |= krb.OptionCanonicalize
	}
	if w.renew {
		q.body.Options = w.options | t.tgt.Flags&(krb.OptionForwardable|krb.OptionProxiable|krb.OptionRenewable) | krb.OptionRenew
		if t.tgt.RenewTill.After(q.body.Till) {
			q.body.Till = t.tgt.RenewTill
		}
	}
	if w.evidence != nil {
		q.body.Options |= krb.OptionCNameInAddlTkt
		q.body.Tickets = [][]byte{w.evidence.Raw}
	}
	raw, err := q.body.Marshal()
	if err != nil {
		return nil, err
	}
	sum, err := t.tgt.Key.Checksum(krb.UsageTGSReqChecksum, raw)
	if err != nil {
		return nil, err
	}
	if q.subkey, err = krb.GenerateKey(t.tgt.Key.Etype()); err != nil {
		return nil, err
	}
	auth := &krb.Authenticator{
		Client:   t.tgt.Client,
		Checksum: krb.Checksum{Type: t.tgt.Key.ChecksumType(), Value: sum},
		Subkey:   q.subkey,
	}
	auth.CTime, auth.Cusec = krb.UniqueTime(q.now)
	apReq, err := krb.MakeAPReq(t.tgt, auth, krb.UsageTGSReqAuth, 0)
	if err != nil {
		return nil, err
	}
	more, err := q.s4uPAData(t.tgt.Key)
	if err != nil {
		return nil, err
	}
	padata := []krb.PAData{{Type: krb.PATGSReq, Value: apReq}}
	if t.o.FAST {
		key, err := krb.FastArmorKey(q.subkey, t.tgt.Key)
		if err != nil {
			return nil, err
		}
		q.fast = &fast{key: key}
		sealed, err := q.fast.seal(apReq, more, raw)
		if err != nil {
			return nil, err
		}
		padata = append(padata, sealed)
	}
	q.msg, err = krb.MarshalKDCReq(krb.MsgTGSReq, append(padata, more...), raw)
	return q, err
}

// accept verifies a TGS-REP (RFC 4120 section 3.3.4).
func (t *tgsCall) accept(r *reply, q *tgsRequest) (*krb.Ticket, error) {
	rep := r.rep
	var strengthen krb.Key
	var err error
	if q.fast != nil {
		strengthen, err = q.fast.verify(rep, q.body.Nonce)
		if err != nil && !errors.Is(err, errUnarmored) {
			return nil, err
		}
	}
	plain, err := openTGSRep(rep, strengthen, q.subkey, krb.UsageTGSRepSubkey)
	if err != nil { // old Heimdal ignores the subkey
		plain, err = openTGSRep(rep, strengthen, t.tgt.Key, krb.UsageTGSRepSessionKey)
	}
	if err != nil {
		return nil, fmt.Errorf("the reply opens under neither the subkey nor the session key: %w", err)
	}
	defer clear(plain)
	part, err := krb.ParseEncKDCRepPart(plain)
	if err != nil {
		return nil, err
	}
	if err := t.checkServer(part.Server, q); err != nil {
		return nil, err
	}
	client := t.tgt.Client
	if q.forUser() {
		if client, err = t.whose(rep, part, q); err != nil {
			return nil, err
		}
	}
	if !rep.Client.Equal(client) {
		return nil, fmt.Errorf("the reply is for client %s", show(rep.Client))
	}
	if err := checkReply(rep, part, q.body, t.o.Etypes); err != nil {
		return nil, err
	}
	if early := part.StartTime.Sub(q.now); early > t.c.o.Clockskew {
		return nil, fmt.Errorf("the ticket starts only in %v", early)
	}
	if q.renew {
		if err := checkRenewed(part, t.tgt); err != nil {
			return nil, err
		}
	}
	t.sync(part, r, q)
	got := newTicket(rep, part, part.Server)
	got.FAST = q.renew && t.tgt.FAST
	return got, nil
}

// openTGSRep opens the sealed part of a reply.
func openTGSRep(rep *krb.KDCRep, strengthen, key krb.Key, usage uint32) ([]byte, error) {
	key, err := strengthened(strengthen, key)
	if err != nil {
		return nil, err
	}
	return key.OpenData(usage, rep.EncPart)
}

// sync follows the clock of a KDC that knows the key: a new ticket starts now, and
// unlike the time in a KRB-ERROR this one is authentic. The KDC found our time
// good enough, so a start that is further away is something else's.
func (t *tgsCall) sync(part *krb.EncKDCRepPart, r *reply, q *tgsRequest) {
	skew := part.StartTime.Sub(r.at)
	if !t.c.o.Timesync || part.StartTime.IsZero() || (skew-q.offset).Abs() > t.c.o.Clockskew {
		return
	}
	if offset := t.c.follow(q.offset, skew); offset != t.c.Offset(t.realm) {
		t.c.SetOffset(t.realm, offset)
	}
}

var errOtherName = errors.New("the ticket is for another service")

// checkServer verifies that the realm that was asked gave what was asked for, or
// where it may do so a ticket for another realm.
func (t *tgsCall) checkServer(s krb.Principal, q *tgsRequest) error {
	if s.Equal(q.server) {
		return nil
	}
	if s.Realm != q.server.Realm {
		return fmt.Errorf("the ticket is for %s, asked was for %s", show(s), show(q.server))
	}
	if (q.canonicalize || q.closer) && s.IsTGS() && s.Components[1] != t.realm {
		return nil
	}
	return fmt.Errorf("%w: %s, asked was for %s", errOtherName, show(s), show(q.server))
}
