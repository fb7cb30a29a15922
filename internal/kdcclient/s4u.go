package kdcclient

import (
	"context"
	"errors"
	"fmt"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Self gets a ticket of a user for the client of tgt itself, which need not have
// anything of the user's (S4U2Self, [MS-SFU] section 3.1.5.1.1). The user is of the
// client's realm; one whose name is an enterprise name gets the true name that the KDC
// tells.
//
// The error is of type [*Error].
func (c *Client) Self(ctx context.Context, tgt *krb.Ticket, user krb.Principal, o TGSOptions) (*krb.Ticket, error) {
	return c.s4u(ctx, tgt, wanted{user: user}, o)
}

// Proxy gets a ticket of a user for another service (S4U2Proxy, [MS-SFU] section
// 3.1.5.2.1). evidence is the user's ticket for the client of tgt. A server without a
// realm is of the client's.
//
// The error is of type [*Error].
func (c *Client) Proxy(ctx context.Context, tgt, evidence *krb.Ticket, server krb.Principal, o TGSOptions) (*krb.Ticket, error) {
	return c.s4u(ctx, tgt, wanted{evidence: evidence, server: server}, o)
}

func (c *Client) s4u(ctx context.Context, tgt *krb.Ticket, w wanted, o TGSOptions) (*krb.Ticket, error) {
	server := w.server
	if w.evidence == nil && tgt != nil {
		server = tgt.Client
	}
	t, fail := c.newTGSCall(tgt, server, TGSOptions{Etypes: o.Etypes, Login: o.Login, FAST: o.FAST, Own: o.Own})
	if fail != nil {
		return nil, fail
	}
	if w.server = t.server; w.server.Realm == "" {
		w.server.Realm = t.realm
	}
	if fail := t.checkS4U(w); fail != nil {
		return nil, fail
	}
	w.canonicalize = true
	got, fail := t.ask(ctx, w)
	if fail != nil && t.withoutCanonicalize(fail) {
		w.canonicalize = false
		got, fail = t.ask(ctx, w)
	}
	switch {
	case fail != nil:
		return nil, fail
	case !got.Server.SameName(w.server):
		return nil, t.fail(KindReferral, fmt.Errorf("the KDC refers to realm %s", show(got.Server)), hintRealms)
	}
	return got, nil
}

const hintRealms = "acting for users across realms is not supported: users, the service and what it acts at must be of one realm"

// checkS4U refuses what no KDC needs to be asked for.
func (t *tgsCall) checkS4U(w wanted) *Error {
	var foreign krb.Principal
	switch {
	case t.tgt.Key.Etype() == krb.RC4HMAC:
		// Nothing but a checksum without a key would say whose ticket it is.
		return t.fail(KindRequest, errors.New("acting for users takes a ticket-granting ticket whose session key is of AES"),
			"give the service an AES key, and allow AES in krb5.conf (permitted_enctypes)")
	case t.realm != t.client.Realm:
		foreign = t.tgt.Server
	case w.evidence == nil && w.user.IsZero():
		return t.fail(KindRequest, errors.New("the user has no name"), "write it as name or name@REALM")
	case w.evidence == nil && w.user.Realm != t.realm:
		foreign = w.user
	case w.evidence != nil && w.evidence.Server.IsTGS():
		// By which of its names the service was called is the KDC's to know.
		return t.fail(KindRequest, fmt.Errorf("the user's ticket is for %s, and not for %s", show(w.evidence.Server), show(t.client)), "")
	case w.server.Realm != t.realm:
		foreign = w.server
	}
	if !foreign.IsZero() {
		return t.fail(KindRequest, fmt.Errorf("%s is not of realm %s", show(foreign), show(t.client)), hintRealms)
	}
	return nil
}

// s4uPAData returns what makes a request one for a user: by name in both forms
// that KDCs know, or by evidence.
func (q *tgsRequest) s4uPAData(session krb.Key) ([]krb.PAData, error) {
	if q.evidence != nil {
		return []krb.PAData{{Type: krb.PAPACOptions, Value: krb.MarshalPAPACOptions(krb.PACOptionRBCD)}}, nil
	}
	if q.user.IsZero() {
		return nil, nil
	}
	id, err := krb.S4UUserID{Nonce: uint32(q.body.Nonce), User: q.user, Options: krb.S4UReplyUsage}.Marshal()
	if err != nil {
		return nil, err
	}
	sum, err := q.subkey.Checksum(krb.UsageS4UX509Request, id)
	if err != nil {
		return nil, err
	}
	x509, err := krb.PAS4UX509{UserID: id, Checksum: krb.Checksum{Type: q.subkey.ChecksumType(), Value: sum}}.Marshal()
	if err != nil {
		return nil, err
	}
	old := krb.PAForUserEnc{User: q.user, Package: "Kerberos"}
	old.Checksum = krb.Checksum{Type: krb.ChecksumHMACMD5, Value: session.ChecksumHMACMD5(krb.UsageNonKerberosChecksum, old.Covered())}
	forUser, err := old.Marshal()
	if err != nil {
		return nil, err
	}
	return []krb.PAData{{Type: krb.PAS4UX509User, Value: x509}, {Type: krb.PAForUser, Value: forUser}}, nil
}

// whose returns whose ticket a reply must bear. For a user whom the client named the
// KDC says so in PA-S4U-X509-USER, sealed by a checksum ([MS-SFU] section 3.1.5.1.1.2).
// Heimdal's and Samba's do not; there the ticket itself says so, to whoever has the
// client's keys. A name that nothing seals is nothing: somebody on the way can take the
// user out of the request, and put the name into the answer.
func (q *tgsRequest) whose(rep *krb.KDCRep, client krb.Principal, own []krb.Key) (krb.Principal, error) {
	if q.evidence != nil {
		return q.evidence.Client, nil
	}
	if q.user.IsZero() {
		return client, nil
	}
	for _, pa := range rep.PAData {
		if pa.Type != krb.PAS4UX509User {
			continue
		}
		p, err := krb.ParsePAS4UX509(pa.Value)
		if err != nil {
			return krb.Principal{}, err
		}
		id, err := krb.ParseS4UUserID(p.UserID)
		if err != nil {
			return krb.Principal{}, err
		}
		usage := krb.UsageS4UX509Request
		if id.Options&krb.S4UReplyUsage != 0 {
			usage = krb.UsageS4UX509Reply
		}
		switch {
		case p.Checksum.Type != q.subkey.ChecksumType() || q.subkey.VerifyChecksum(usage, p.Checksum.Value, p.UserID) != nil:
			return krb.Principal{}, errors.New("what the reply says of the user was changed")
		case id.Nonce != uint32(q.body.Nonce):
			return krb.Principal{}, errors.New("what the reply says of the user answers another request")
		}
		return id.User, q.forUser(id.User, client)
	}
	for _, key := range own {
		if part, err := rep.Ticket.Open(key); err == nil {
			return part.Client, q.forUser(part.Client, client)
		}
	}
	return krb.Principal{}, fmt.Errorf("nothing that is sealed says that the ticket is for user %s: the KDC may not know how to act for users, or says so to whoever has a keytab of %s",
		show(q.user), show(client))
}

// forUser returns why a ticket of got is not what was asked for.
func (q *tgsRequest) forUser(got, client krb.Principal) error {
	switch {
	case got.Equal(client) && !q.user.Equal(client):
		return errors.New("the ticket is for the service itself, and not for the user: the KDC may not know how to act for users")
	case q.user.Type != krb.NTEnterprise && !got.Equal(q.user):
		return fmt.Errorf("the ticket is for user %s, asked was for %s", show(got), show(q.user))
	}
	return nil
}
