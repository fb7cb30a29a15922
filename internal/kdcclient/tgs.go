package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// TGSOptions say what kind of ticket is wanted, and how far to go for it. The
// zero value asks for a plain one.
type TGSOptions struct {
	// Etypes are the allowed types of session keys, preferred first; nil means
	// the Client's.
	Etypes []int32
	// Options are KDC options to set beside our own, such as
	// krb.FlagForwarded. They are not for cross-realm tickets on the way.
	Options uint32
	// Renew asks for the ticket itself anew, with the same server and a later
	// end. The server argument does not count then.
	Renew bool
	// Login says that the ticket came of a login with a key that is at hand, so
	// that nobody need be told to run kinit.
	Login bool
	// FAST armours the requests (RFC 6113). A KDC that does not speak it, or not here,
	// as Heimdal's, answers without. An answer from which someone took it out does not open,
	// since its key was strengthened.
	FAST bool
	// Own are the keys of the ticket's client, who is the service of [Client.Self]:
	// where the KDC does not say whose the ticket is, they open it. Nil means none.
	Own []krb.Key
	// Fallback returns the realms to look for a service in that was given
	// without one, likeliest first, when the KDC of the ticket's realm does not
	// know it and refers us to nobody. It is called at most once, and no more
	// than maxFallback of its realms are tried. Nil means none.
	Fallback func(ctx context.Context) []string
	// Held returns a cross-realm ticket for realm that [TGSOptions.Keep] was
	// given before, or nil. One that is of another client, or has run out, is
	// passed over; one that the other realm no longer takes is asked for anew.
	// Nil means that none is held.
	Held func(realm string) *krb.Ticket
	// Keep is given every cross-realm ticket that was got on the way and may be
	// used again for other services of its realm, before TGS returns and even
	// if that fails. The client's own realm may speak for any other, foreign
	// ones for those after them on the path (see [Options]): what else they
	// say is good for this call alone, or one of them could make itself the
	// way to all others. The ticket is shared and must not be changed.
	Keep func(*krb.Ticket)
}

// maxFallback bounds how many realms are searched for a service.
const maxFallback = 8

// TGS gets a ticket for server with a ticket-granting ticket (RFC 4120 section
// 3.3). A server without a realm is looked for in the realm of the ticket,
// wherever its KDC refers us to (RFC 6806 section 8), and then in the realms
// that o names. One in another realm is reached by way of cross-realm tickets,
// see [Client.TGT]. The result's Server is what was asked for, with the realm
// that answered where none was given.
//
// Every ticket on the way must be of the realm that was asked for it and for
// the client of tgt. Which realms it passed through is written inside the
// tickets for the service to judge (RFC 4120 section 2.7), not for us.
//
// The error is of type [*Error].
func (c *Client) TGS(ctx context.Context, tgt *krb.Ticket, server krb.Principal, o TGSOptions) (*krb.Ticket, error) {
	t, fail := c.newTGSCall(tgt, server, o)
	if fail != nil {
		return nil, fail
	}
	var got *krb.Ticket
	switch {
	case o.Renew:
		got, fail = t.renew(ctx)
	case server.IsZero():
		fail = t.fail(KindRequest, errors.New("the service has no name"), "write it as service/host")
	default:
		got, fail = t.find(ctx)
		if fail != nil && t.stale(fail) {
			t.forget()
			got, fail = t.find(ctx)
		}
	}
	if fail != nil {
		return nil, t.conclude(fail)
	}
	return got, nil
}

// TGT gets a ticket-granting ticket for realm with one of another realm. The
// KDC is asked for krbtgt/realm; if it has none, for that of the next realm
// before it on the path (see [Options]), and so on until one is had, from which
// the same begins anew. A KDC may answer with one that is closer than we hoped
// for, or on another path (RFC 4120 section 3.3.1). A tgt for realm itself is
// returned as it is. Of o, Etypes, Held, Keep, Login and FAST count.
//
// The error is of type [*Error].
func (c *Client) TGT(ctx context.Context, tgt *krb.Ticket, realm string, o TGSOptions) (*krb.Ticket, error) {
	t, fail := c.newTGSCall(tgt, krb.TGS(realm, realm), TGSOptions{Etypes: o.Etypes, Held: o.Held, Keep: o.Keep, Login: o.Login, FAST: o.FAST})
	if fail == nil && !plausible(realm) {
		fail = t.fail(KindRequest, fmt.Errorf("%q cannot be the name of a realm", shorten(realm)), "")
	}
	if fail == nil {
		fail = t.reach(ctx, realm)
		if fail != nil && t.stale(fail) {
			t.forget()
			t.begin()
			fail = t.reach(ctx, realm)
		}
		if fail != nil {
			fail = t.conclude(fail)
		}
	}
	if fail != nil {
		return nil, fail
	}
	return t.tgt, nil
}

// tgsCall is the state of one call of TGS. The embedded realm is the one that
// is asked at the moment.
type tgsCall struct {
	call
	c     *Client
	o     TGSOptions
	first *krb.Ticket // what the caller gave us
	tgt   *krb.Ticket // for the realm that is asked

	candidates []Candidate // asked for in vain
	asked      int         // requests, over all realms
	held       bool        // a ticket of the caller's cache is among those used

	user krb.Principal // whom the last reply named, sealed, when a ticket of a user was asked for
}

// maxRequests bounds the requests of one call: there are realms to try and
// realms on the way to each of them.
const maxRequests = 64

func (c *Client) newTGSCall(tgt *krb.Ticket, server krb.Principal, o TGSOptions) (*tgsCall, *Error) {
	t := &tgsCall{c: c, o: o, first: tgt}
	t.call = call{exchange: "TGS", server: server}
	if o.Etypes == nil {
		t.o.Etypes = c.o.Etypes
	}
	if tgt == nil || tgt.Key.IsZero() || !tgt.Server.IsTGS() && !o.Renew {
		return nil, t.fail(KindRequest, errors.New("there is no ticket-granting ticket to ask with"), "run kinit")
	}
	t.client = tgt.Client
	if len(t.o.Etypes) == 0 {
		return nil, t.fail(KindRequest, errNoEtype, hintEtypes())
	}
	t.begin()
	return t, nil
}

// begin goes (back) to where the caller's ticket is good.
func (t *tgsCall) begin() {
	t.tgt, t.attempts = t.first, nil
	t.realm = t.tgt.Server.Realm
	if t.tgt.Server.IsTGS() && !t.o.Renew {
		t.realm = t.tgt.Server.Components[1]
	}
	t.path = []string{t.realm}
}

// find looks for the service wherever it may be.
func (t *tgsCall) find(ctx context.Context) (*krb.Ticket, *Error) {
	t.begin()
	if t.server.Realm != "" {
		return t.findIn(ctx, t.server.Realm)
	}
	tried := []string{t.realm}
	got, home := t.serve(ctx)
	if home == nil || t.o.Fallback == nil || home.Code != krb.CodeServerUnknown || len(t.path) > 1 {
		return got, home
	}
	for _, realm := range t.o.Fallback(ctx) {
		if len(tried) > maxFallback || ctx.Err() != nil {
			break
		}
		if slices.Contains(tried, realm) || !plausible(realm) {
			continue
		}
		tried = append(tried, realm)
		t.begin()
		if got, fail := t.findIn(ctx, realm); fail == nil {
			return got, nil
		}
	}
	if ctx.Err() != nil {
		return nil, t.noAnswer(ended.Because(ctx, "", nil))
	}
	return nil, home
}

func (t *tgsCall) findIn(ctx context.Context, realm string) (*krb.Ticket, *Error) {
	if fail := t.reach(ctx, realm); fail != nil {
		return nil, fail
	}
	return t.serve(ctx)
}

// serve asks for the service where we are, and wherever we are referred to.
func (t *tgsCall) serve(ctx context.Context) (*krb.Ticket, *Error) {
	// What is asked for a ticket-granting ticket is to give that one.
	canonicalize := !t.server.IsTGS()
	for {
		want := t.server
		want.Realm = t.realm
		got, fail := t.ask(ctx, wanted{server: want, canonicalize: canonicalize, options: t.o.Options})
		if fail != nil {
			if canonicalize && t.withoutCanonicalize(fail) {
				canonicalize = false
				continue
			}
			return nil, fail
		}
		if got.Server.SameName(want) {
			got.Server = t.server
			if got.Server.Realm == "" {
				got.Server.Realm = t.realm
			}
			return got, nil
		}
		// Nobody but the client's own realm is known to speak for others.
		if fail := t.move(got, t.realm == t.client.Realm); fail != nil {
			return nil, fail
		}
	}
}

// withoutCanonicalize reports whether to ask once more without the option to
// canonicalize, for which a request may have failed: old KDCs know the name, but not the option, and Active Directory
// has been seen to answer it with another name of the service, or with a ticket
// for its own realm.
func (t *tgsCall) withoutCanonicalize(fail *Error) bool {
	switch fail.Code {
	case krb.CodeServerUnknown:
		return true
	case krb.CodeBadOption:
		return t.o.Options == 0
	}
	return errors.Is(fail.Err, errOtherName)
}

// move takes the cross-realm ticket that was just got and goes where it leads.
func (t *tgsCall) move(cross *krb.Ticket, keep bool) *Error {
	if fail := t.enter(cross.Server.Components[1]); fail != nil {
		return fail
	}
	t.tgt = cross
	if keep && t.o.Keep != nil {
		t.o.Keep(cross)
	}
	return nil
}

// stale reports whether a call may have failed because a ticket from the
// caller's cache is no longer good.
func (t *tgsCall) stale(fail *Error) bool {
	if !t.held || fail.Kind != KindRefused {
		return false
	}
	switch fail.Code {
	case krb.CodeTicketExpired, krb.CodeBadIntegrity, krb.CodeNotUs, krb.CodeBadMatch, krb.CodeModified, krb.CodeBadKvno, krb.CodeNoKey:
		return true
	}
	return false
}

// forget makes the call begin anew without the caller's cache.
func (t *tgsCall) forget() {
	t.o.Held, t.held, t.candidates = nil, false, nil
}

// conclude adds to the final error what was asked for before.
func (t *tgsCall) conclude(fail *Error) *Error {
	if n := len(t.candidates); n == 0 || n == 1 && t.candidates[0].Err == fail {
		return fail
	}
	out := *fail // may be one of them
	out.Candidates = t.candidates
	return &out
}

// missed notes what was asked for in vain. The same name counts once.
func (t *tgsCall) missed(want krb.Principal, fail *Error) {
	i := slices.IndexFunc(t.candidates, func(c Candidate) bool { return c.Server.Equal(want) })
	if i >= 0 {
		t.candidates[i].Err = fail
		return
	}
	t.candidates = append(t.candidates, Candidate{Server: want, Err: fail})
}
