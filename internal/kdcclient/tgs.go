package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// TGSOptions say what kind of ticket is wanted. The zero value asks for a
// plain one.
type TGSOptions struct {
	// Etypes are the allowed types of session keys, preferred first; nil means
	// the Client's.
	Etypes []int32
	// Options are KDC options to set beside our own, such as
	// krb.FlagForwarded.
	Options uint32
	// Renew asks for the ticket itself anew, with the same server and a later
	// end. The server argument does not count then.
	Renew bool
}

// maxHops bounds how many realms a referral may lead through.
const maxHops = 10

// TGS gets a ticket for server with a ticket-granting ticket (RFC 4120 section
// 3.3). A server without a realm is looked for in the realm of the ticket, and
// wherever its KDC refers us to (RFC 6806 section 8); one in another realm is
// reached by way of a cross-realm ticket. The result's Server is what was asked
// for, with the realm that answered where none was given.
//
// The error is of type [*Error].
func (c *Client) TGS(ctx context.Context, tgt *krb.Ticket, server krb.Principal, o TGSOptions) (*krb.Ticket, error) {
	t := &tgsCall{c: c, o: o, tgt: tgt, canonicalize: true}
	t.call = call{exchange: "TGS", server: server}
	if o.Etypes == nil {
		t.o.Etypes = c.o.Etypes
	}
	if tgt == nil || tgt.Key.IsZero() || !tgt.Server.IsTGS() && !o.Renew {
		return nil, t.fail(KindRequest, errors.New("there is no ticket-granting ticket to ask with"), "run kinit")
	}
	t.client = tgt.Client
	if len(t.o.Etypes) == 0 {
		return nil, t.fail(KindRequest, errNoEtype, hintEtypes)
	}
	var got *krb.Ticket
	var fail *Error
	if o.Renew {
		t.server, t.canonicalize = tgt.Server, false
		t.realm = tgt.Server.Realm
		got, fail = t.ask(ctx, tgt.Server)
	} else {
		if server.IsZero() {
			return nil, t.fail(KindRequest, errors.New("the service has no name"), "write it as service/host")
		}
		t.realm = tgt.Server.Components[1]
		got, fail = t.follow(ctx)
	}
	if fail != nil {
		return nil, fail
	}
	return got, nil
}

// tgsCall is the state of one call of TGS. The embedded realm is the one that
// is asked at the moment.
type tgsCall struct {
	call
	c            *Client
	o            TGSOptions
	tgt          *krb.Ticket // for the realm that is asked
	canonicalize bool
}

// follow goes from realm to realm until one gives the ticket.
func (t *tgsCall) follow(ctx context.Context) (*krb.Ticket, *Error) {
	target := t.server.Realm // where the service is thought to be; "" for where we are
	visited := []string{t.realm}
	for {
		want := t.server
		want.Realm = t.realm
		direct := target == "" || target == t.realm
		if !direct {
			want = krb.TGS(target, t.realm)
		}
		got, fail := t.ask(ctx, want)
		if fail != nil {
			// Old KDCs know the name, but not the option.
			if fail.Code == krb.CodeServerUnknown && direct && t.canonicalize {
				t.canonicalize = false
				continue
			}
			return nil, fail
		}
		if direct && got.Server.SameName(want) {
			got.Server = t.server
			if got.Server.Realm == "" {
				got.Server.Realm = t.realm
			}
			return got, nil
		}
		next := got.Server.Components[1]
		if direct {
			target = next
		}
		if slices.Contains(visited, next) {
			return nil, t.fail(KindReferral, fmt.Errorf("the KDC refers us back to realm %q, after %q", next, visited), "check [capaths] and [domain_realm] of the realms' KDCs, or give the realm of the service")
		}
		if len(visited) > maxHops {
			return nil, t.fail(KindReferral, fmt.Errorf("referrals led through more than %d realms: %q", maxHops, visited), "give the realm of the service")
		}
		visited = append(visited, next)
		t.tgt, t.realm = got, next
	}
}

// ask makes one exchange with the realm at hand, or two when the clocks turn
// out to be apart. The result's Server is want, or a ticket-granting service
// that we are referred to.
func (t *tgsCall) ask(ctx context.Context, want krb.Principal) (*krb.Ticket, *Error) {
	offset, ok := t.c.offset(t.realm)
	if !ok {
		offset = t.c.Offset(t.client.Realm)
	}
	for resynced := false; ; resynced = true {
		q, err := t.request(want, offset)
		if err != nil {
			return nil, t.fail(KindRequest, err, "")
		}
		r, attempts, err := t.c.send(ctx, "TGS", krb.MsgTGSRep, t.realm, q.msg)
		t.attempts = attempts
		if err != nil {
			return nil, t.noAnswer(err)
		}
		if r.err == nil {
			got, err := t.accept(r, q, want)
			if err != nil {
				return nil, t.fail(KindReply, err, "the reply is not trusted; someone else may be answering for the KDC")
			}
			if resynced {
				t.c.SetOffset(t.realm, offset)
			}
			return got, nil
		}
		if r.err.Code != krb.CodeSkew || !t.c.o.Timesync || resynced {
			e := t.refused(r)
			if r.err.Code == krb.CodeServerUnknown && !want.SameName(t.server) {
				e.Hint = fmt.Sprintf("the KDC of realm %s knows no way to realm %s: there must be a cross-realm principal %s", t.realm, want.Components[1], want)
			}
			return nil, e
		}
		offset = skewOf(r)
	}
}

// tgsRequest is a message and what its reply is checked against.
type tgsRequest struct {
	body   *krb.KDCReqBody
	msg    []byte
	subkey krb.Key
	now    time.Time // the KDC's, we think
}

func (t *tgsCall) request(want krb.Principal, offset time.Duration) (*tgsRequest, error) {
	q := &tgsRequest{now: t.c.o.Now().Add(offset)}
	q.body = &krb.KDCReqBody{
		// A KDC refuses to make of a ticket what the ticket is not.
		Options: t.o.Options | t.tgt.Flags&optForwardable | krb.OptionRenewableOK,
		Realm:   t.realm, Server: want, Till: t.tgt.EndTime, Nonce: newNonce(), Etypes: t.o.Etypes,
	}
	if t.canonicalize {
		q.body.Options |= krb.OptionCanonical
	}
	if t.o.Renew {
		q.body.Options = t.o.Options | t.tgt.Flags&(optForwardable|optProxiable|optRenewable) | krb.OptionRenew
		if t.tgt.RenewTill.After(q.body.Till) {
			q.body.Till = t.tgt.RenewTill
		}
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
	q.msg, err = krb.MarshalKDCReq(krb.MsgTGSReq, []krb.PAData{{Type: paTGSReq, Value: apReq}}, raw)
	return q, err
}

// accept verifies a TGS-REP (RFC 4120 section 3.3.4).
func (t *tgsCall) accept(r *reply, q *tgsRequest, want krb.Principal) (*krb.Ticket, error) {
	rep := r.rep
	plain, err := q.subkey.OpenData(krb.UsageTGSRepSubkey, rep.EncPart)
	if err != nil { // old Heimdal ignores the subkey
		plain, err = t.tgt.Key.OpenData(krb.UsageTGSRepSessionKey, rep.EncPart)
	}
	if err != nil {
		return nil, fmt.Errorf("the reply opens under neither the subkey nor the session key: %w", err)
	}
	defer clear(plain)
	part, err := krb.ParseEncKDCRepPart(plain)
	if err != nil {
		return nil, err
	}
	if !rep.Client.Equal(t.tgt.Client) {
		return nil, fmt.Errorf("the reply is for client %s", rep.Client)
	}
	s := part.Server
	referral := t.canonicalize && s.IsTGS() && s.Components[1] != t.realm
	if s.Realm != want.Realm || !s.SameName(want) && !referral {
		return nil, fmt.Errorf("the ticket is for %s, asked was for %s", s, want)
	}
	if err := checkReply(rep, part, q.body, t.o.Etypes); err != nil {
		return nil, err
	}
	if early := part.StartTime.Sub(q.now); early > t.c.o.Clockskew {
		return nil, fmt.Errorf("the ticket starts only in %v", early)
	}
	return newTicket(rep, part, s), nil
}
