package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
)

// s4u is what a request of a service has to say of a user ([MS-SFU]). Zero is nothing.
type s4u struct {
	// For a ticket for the service itself (S4U2Self):
	self        bool
	user        krb.Principal // with the realm that is asked first; no name where the certificate is all there is
	certificate []byte        // DER
	learn       bool          // the KDC tells the user's true name

	// For one for another service (S4U2Proxy):
	evidence *krb.Ticket
	of       krb.Principal // whose the evidence is
	across   bool          // the other service is of another realm
}

func (s *s4u) forUser() bool { return s.self || s.evidence != nil }

// Self gets a ticket of a user for the client of tgt itself, which need not have
// anything of the user's (S4U2Self, [MS-SFU] section 3.1.5.1.1). A user of another realm
// is asked for there, and by way of the referrals back from there. One whose name is an
// enterprise name and who is not said to be of another realm is looked for first, and
// gets the true name that the KDC tells.
//
// Of o count Etypes, Login, FAST, Own, Held and Keep. What leads back from the user's
// realm is good for this user alone, and is not kept.
//
// The error is of type [*Error].
func (c *Client) Self(ctx context.Context, tgt *krb.Ticket, user krb.Principal, o TGSOptions) (*krb.Ticket, error) {
	return c.self(ctx, tgt, s4u{self: true, user: user, learn: user.Type == krb.NTEnterprise}, o)
}

// SelfByCertificate is [Client.Self] for the user to whom the KDCs map an X.509
// certificate, DER. The name that they tell is the user's.
func (c *Client) SelfByCertificate(ctx context.Context, tgt *krb.Ticket, certificate []byte, o TGSOptions) (*krb.Ticket, error) {
	return c.self(ctx, tgt, s4u{self: true, certificate: certificate, learn: true}, o)
}

func (c *Client) self(ctx context.Context, tgt *krb.Ticket, s s4u, o TGSOptions) (*krb.Ticket, error) {
	var service krb.Principal
	if tgt != nil {
		service = tgt.Client
	}
	t, fail := c.newS4UCall(tgt, service, o)
	if fail != nil {
		return nil, fail
	}
	home := t.realm
	switch {
	case s.certificate != nil && len(s.certificate) == 0, s.certificate == nil && s.user.IsZero():
		return nil, t.fail(KindRequest, errors.New("the user has no name"), "write it as name or name@REALM")
	case s.certificate != nil, s.user.Type == krb.NTEnterprise && s.user.Realm == home:
		if s.user.Realm, fail = t.seek(ctx, s); fail != nil {
			return nil, fail
		}
	}
	got, fail := t.thereAndBack(ctx, home, s)
	if fail != nil && t.stale(fail) {
		t.forget()
		t.begin()
		got, fail = t.thereAndBack(ctx, home, s)
	}
	if fail != nil {
		return nil, t.conclude(fail)
	}
	return got, nil
}

// thereAndBack goes to the user's realm, and back with the user's ticket.
func (t *tgsCall) thereAndBack(ctx context.Context, home string, s s4u) (*krb.Ticket, *Error) {
	if s.user.Realm != home {
		if fail := t.goTo(ctx, s.user.Realm); fail != nil {
			return nil, fail
		}
		// From here on the way leads back.
		t.path = []string{t.realm}
	}
	return t.walkBack(ctx, home, s)
}

// walkBack asks for the user's ticket where we are, and wherever we are referred to,
// until it is the service's own realm that answers. As no realm is asked twice, it ends.
func (t *tgsCall) walkBack(ctx context.Context, home string, s s4u) (*krb.Ticket, *Error) {
	canonicalize := true
	for {
		want := t.client
		if t.realm != home {
			want = krb.Principal{Type: krb.NTEnterprise, Components: []string{strings.Join(t.client.Components, "/") + "@" + home}, Realm: t.realm}
		}
		t.about = &s.user
		got, fail := t.ask(ctx, wanted{server: want, canonicalize: canonicalize, s4u: s})
		t.about = nil
		switch {
		case fail != nil && t.realm == home && canonicalize && t.withoutCanonicalize(fail):
			canonicalize = false
			continue
		case fail != nil:
			return nil, fail
		case got.Server.SameName(want) && t.realm == home:
			return got, nil
		case t.realm == home || !got.Server.IsTGS():
			return nil, t.fail(KindReferral, fmt.Errorf("the KDC gives a ticket for %s", show(got.Server)), hintLoop)
		}
		if fail := t.move(got, false); fail != nil {
			return nil, fail
		}
		// The user's own realm has said who it is, and nobody else may.
		s.user, s.learn, s.certificate = t.user, false, nil
	}
}

// Proxy gets a ticket of a user for another service (S4U2Proxy, [MS-SFU] section
// 3.1.5.2.1). evidence is the user's ticket for the client of tgt. Where the other
// service is of another realm, its own KDC decides whether it lets the client act
// (resource-based constrained delegation, [MS-SFU] section 3.1.5.2.2). A server without a
// realm is of the client's, or where the KDC refers us to.
//
// Of o count Etypes, Login, FAST, Held and Keep. What has the user in it is not kept.
//
// The error is of type [*Error].
func (c *Client) Proxy(ctx context.Context, tgt, evidence *krb.Ticket, server krb.Principal, o TGSOptions) (*krb.Ticket, error) {
	t, fail := c.newS4UCall(tgt, server, o)
	if fail != nil {
		return nil, fail
	}
	if evidence == nil || evidence.Server.IsTGS() {
		// By which of its names the service was called is the KDC's to know.
		return nil, t.fail(KindRequest, fmt.Errorf("there is no ticket of the user for %s", show(t.client)), "")
	}
	home := t.realm
	w := wanted{server: server, canonicalize: true, s4u: s4u{evidence: evidence, of: evidence.Client}}
	w.server.Realm = home
	elsewhere := server.Realm != "" && server.Realm != home
	got, fail := t.ask(ctx, w)
	if fail != nil && !elsewhere && t.withoutCanonicalize(fail) {
		w.canonicalize = false
		got, fail = t.ask(ctx, w)
	}
	switch {
	case fail != nil:
		return nil, fail
	case got.Server.SameName(w.server) && elsewhere:
		return nil, t.fail(KindReferral, fmt.Errorf("the KDC has such a service itself, and refers to none of realm %s", show(server)), hintLoop)
	case got.Server.SameName(w.server):
		return got, nil
	}
	referral := got
	got, fail = t.proxyAcross(ctx, w, referral)
	if fail != nil && t.stale(fail) {
		t.forget()
		t.begin()
		got, fail = t.proxyAcross(ctx, w, referral)
	}
	if fail != nil {
		return nil, t.conclude(fail)
	}
	return got, nil
}

// proxyAcross gets the ticket from the realm of the other service. That takes two
// ticket-granting tickets for it: one of the service's, and one that has the user in it,
// of which the first is at hand ([MS-SFU] section 3.1.5.2.2).
func (t *tgsCall) proxyAcross(ctx context.Context, w wanted, referral *krb.Ticket) (*krb.Ticket, *Error) {
	home := t.realm
	if fail := t.goToServer(ctx); fail != nil {
		return nil, fail
	}
	if t.realm == home {
		return nil, t.fail(KindReferral, fmt.Errorf("the KDC refers to %s, and without a user it does not", show(referral.Server)), hintLoop)
	}
	with := *t
	with.o.Held, with.o.Keep = nil, nil
	with.tgt, with.realm, with.path = referral, referral.Server.Components[1], []string{home, referral.Server.Components[1]}
	if fail := with.reach(ctx, t.realm); fail != nil {
		return nil, fail
	}
	t.asked = with.asked
	w.server.Realm, w.canonicalize = t.realm, true
	w.evidence, w.across = with.tgt, true
	got, fail := t.ask(ctx, w)
	switch {
	case fail != nil:
		return nil, fail
	case !got.Server.SameName(w.server):
		return nil, t.fail(KindReferral, fmt.Errorf("the KDC refers to realm %s", show(got.Server)), hintLoop)
	}
	return got, nil
}

// goToServer goes to the realm where the service of the call is: the one that is given,
// or where a KDC has the service for ourselves.
func (t *tgsCall) goToServer(ctx context.Context) *Error {
	if t.server.Realm != "" && t.server.Realm != t.realm {
		return t.goTo(ctx, t.server.Realm)
	}
	_, fail := t.serve(ctx)
	return fail
}

// goTo goes to a realm of that name.
func (t *tgsCall) goTo(ctx context.Context, realm string) *Error {
	if !plausible(realm) {
		return t.fail(KindRequest, fmt.Errorf("%q cannot be the name of a realm", shorten(realm)), "")
	}
	return t.reach(ctx, realm)
}

// newS4UCall refuses what no KDC needs to be asked for.
func (c *Client) newS4UCall(tgt *krb.Ticket, server krb.Principal, o TGSOptions) (*tgsCall, *Error) {
	t, fail := c.newTGSCall(tgt, server, TGSOptions{Etypes: o.Etypes, Login: o.Login, FAST: o.FAST, Own: o.Own, Held: o.Held, Keep: o.Keep})
	switch {
	case fail != nil:
		return nil, fail
	case t.tgt.Key.Etype() == krb.RC4HMAC:
		// Nothing but a checksum without a key would say whose ticket it is.
		return nil, t.fail(KindRequest, errors.New("acting for users takes a ticket-granting ticket whose session key is of AES"),
			"give the service an AES key, and allow AES in krb5.conf (permitted_enctypes)")
	case t.realm != t.client.Realm:
		return nil, t.fail(KindRequest, fmt.Errorf("%s is not of the realm of %s", show(t.tgt.Server), show(t.client)), "act with a ticket-granting ticket of the service's own realm")
	}
	return t, nil
}

// seek returns the realm where a user is ([MS-SFU] section 3.1.5.1.1.2): a KDC that would
// have the user log in has the user, and others refer us on. Nothing of anybody's is
// proved or sent. Without armour an answer may be forged, and lead to another realm that
// is trusted; it is that realm's user then, by name.
func (t *tgsCall) seek(ctx context.Context, s s4u) (realm string, fail *Error) {
	client := s.user
	client.Realm = t.realm
	if s.certificate != nil {
		client.Type, client.Components = krb.NTX500, []string{""}
	}
	a := &asCall{c: t.c, seeks: true, certificate: s.certificate, etypes: t.o.Etypes}
	a.r = ASRequest{Client: client, Server: krb.TGS(t.realm, t.realm), Etypes: t.o.Etypes, Canonicalize: true, Lifetime: time.Minute}
	a.call = call{exchange: "AS", realm: t.realm, path: []string{t.realm}, client: client, server: a.r.Server}
	a.offset = t.c.Offset(t.realm)
	if t.o.FAST {
		o := TGSOptions{Etypes: t.o.Etypes, FAST: true, Login: t.o.Login, Held: t.o.Held, Keep: t.o.Keep}
		a.r.ArmorOptional = true // where the realm is not known to speak FAST
		a.r.Armor = func(ctx context.Context, realm string) (*krb.Ticket, error) { return t.c.TGT(ctx, t.first, realm, o) }
	}
	if _, fail := a.run(ctx); fail != nil {
		return "", fail
	}
	return a.realm, nil
}

// sought verifies what of a reply to [tgsCall.seek] can be verified.
func (a *asCall) sought(r *reply, body *krb.KDCReqBody) *Error {
	if a.fast == nil {
		return nil
	}
	if _, err := a.fast.verify(r.rep, body.Nonce); err != nil {
		return a.fail(KindReply, err, hintForged)
	}
	return nil
}

// clientIsHere reports whether a KDC refuses a client whom it has.
func clientIsHere(code int32) bool {
	return code == krb.CodePreauthRequired || code == krb.CodeKeyExpired || code == krb.CodeEtypeNoSupport
}

// s4uPAData returns what makes a request one for a user: by name in both forms
// that KDCs know, by certificate in the newer one, or by evidence.
func (q *tgsRequest) s4uPAData(session krb.Key) ([]krb.PAData, error) {
	if q.evidence != nil {
		return []krb.PAData{{Type: krb.PAPACOptions, Value: krb.MarshalPAPACOptions(krb.PACOptionRBCD)}}, nil
	}
	if !q.self {
		return nil, nil
	}
	id, err := krb.S4UUserID{Nonce: uint32(q.body.Nonce), User: q.user, Certificate: q.certificate, Options: krb.S4UReplyUsage}.Marshal()
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
	padata := []krb.PAData{{Type: krb.PAS4UX509User, Value: x509}}
	if q.user.IsZero() {
		return padata, nil
	}
	old := krb.PAForUserEnc{User: q.user, Package: "Kerberos"}
	old.Checksum = krb.Checksum{Type: krb.ChecksumHMACMD5, Value: session.ChecksumHMACMD5(krb.UsageNonKerberosChecksum, old.Covered())}
	forUser, err := old.Marshal()
	return append(padata, krb.PAData{Type: krb.PAForUser, Value: forUser}), err
}

// whose returns whose ticket a reply must bear: the user's, or on the way to another
// realm still the service's.
func (t *tgsCall) whose(rep *krb.KDCRep, part *krb.EncKDCRepPart, q *tgsRequest) (krb.Principal, error) {
	onward := !part.Server.SameName(q.server)
	if q.evidence != nil {
		if (onward || q.across) && !knowsRBCD(part) {
			return krb.Principal{}, errors.New("the KDC does not say that targets may let services act for users (resource-based constrained delegation), and so did not look at the user's ticket")
		}
		if onward {
			return t.tgt.Client, nil
		}
		return q.of, nil
	}
	user, err := q.userOf(rep, part, t.tgt.Client, t.o.Own, onward)
	if err != nil {
		return krb.Principal{}, err
	}
	t.user = user
	if onward {
		return t.tgt.Client, nil
	}
	return user, nil
}

// knowsRBCD reports whether a KDC says so, sealed ([MS-SFU] section 3.1.5.2.3).
func knowsRBCD(part *krb.EncKDCRepPart) bool {
	value, found := krb.FindPAData(part.PAData, krb.PAPACOptions)
	if !found {
		return false
	}
	options, err := krb.ParsePAPACOptions(value)
	return err == nil && options&krb.PACOptionRBCD != 0
}

// userOf returns the user of a reply. For a user whom the client named the
// KDC says so in PA-S4U-X509-USER, sealed by a checksum ([MS-SFU] section 3.1.5.1.1.2).
// Heimdal's and Samba's do not; there the ticket itself says so, to whoever has the
// client's keys, and until then nothing does. A name that nothing seals is nothing:
// somebody on the way can take the user out of the request, and put the name into the
// answer.
func (q *tgsRequest) userOf(rep *krb.KDCRep, part *krb.EncKDCRepPart, client krb.Principal, own []krb.Key, onward bool) (krb.Principal, error) {
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
		case id.User.IsZero():
			return krb.Principal{}, errors.New("the reply names no user")
		}
		return id.User, q.isUser(id.User, client)
	}
	if _, found := krb.FindPAData(part.PAData, krb.PAS4UX509User); found {
		return krb.Principal{}, errors.New("what the reply said of the user was taken out of it")
	}
	if onward && len(own) > 0 && !q.user.IsZero() {
		return q.user, nil // whose the last ticket is, counts
	}
	for _, key := range own {
		if part, err := rep.Ticket.Open(key); err == nil {
			return part.Client, q.isUser(part.Client, client)
		}
	}
	if q.user.IsZero() {
		return krb.Principal{}, errors.New("nothing that is sealed says whose the certificate is: the KDC may not know users by certificates")
	}
	return krb.Principal{}, fmt.Errorf("nothing that is sealed says that the ticket is for user %s: the KDC may not know how to act for users, or says so to whoever has a keytab of %s",
		show(q.user), show(client))
}

// isUser returns why a ticket of got is not what was asked for.
func (q *tgsRequest) isUser(got, client krb.Principal) error {
	switch {
	case got.Equal(client) && !q.user.Equal(client):
		return errors.New("the ticket is for the service itself, and not for the user: the KDC may not know how to act for users")
	case !q.learn && !got.Equal(q.user):
		return fmt.Errorf("the ticket is for user %s, asked was for %s", show(got), show(q.user))
	case got.Realm != q.user.Realm:
		return fmt.Errorf("the ticket is for user %s, asked was for one of realm %s", show(got), printable.Text(shorten(q.user.Realm)))
	}
	return nil
}
