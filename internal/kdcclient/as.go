package kdcclient

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
)

// ASRequest says which first ticket is wanted.
type ASRequest struct {
	// Client is who asks, with realm.
	Client krb.Principal
	// Server is what the ticket is for; zero means the realm's ticket-granting
	// service.
	Server krb.Principal
	// Keys prove who the client is.
	Keys Keys
	// Guard keeps refused keys from being sent again; nil means that none is.
	Guard Guard
	// Etypes are the allowed types of keys, preferred first; nil means the
	// Client's.
	Etypes []int32
	// Lifetime is asked for; 0 means a day. The KDC may give less.
	Lifetime time.Duration
	// RenewLife makes the ticket renewable for so long; 0 does not ask for it.
	RenewLife   time.Duration
	Forwardable bool
	Proxiable   bool
	// Canonicalize lets the KDC change the client's name and realm to the true
	// ones, and send us to the realm where the client is (RFC 6806 sections 6
	// and 7). It is implied by a Client of type krb.NTEnterprise, whose one
	// component is a name such as user@example.com.
	Canonicalize bool
}

// asCall is the state of one AS exchange. The embedded realm is the one that is
// asked at the moment.
type asCall struct {
	call
	c      *Client
	r      ASRequest     // as it goes to that realm
	etypes []int32       // offered
	offset time.Duration // to the KDC's clock

	infos []krb.EtypeInfo // what the KDC said of the client's keys
	said  int             // how well it said so: rank of the data they are from
	key   KeyEntry        // of the pre-authentication, zero before

	answer *reply     // that came last
	only   *chosen    // whom to ask, in place of the realm's KDCs
	sent   []KeyEntry // of the timestamps that were sent
	end    func()     // of the guard, once a timestamp may be sent
}

// AS gets a ticket with the client's own key (RFC 4120 section 3.1). It asks
// without pre-authentication first, and then with an encrypted timestamp, once:
// a wrong password is never sent again, save to a primary KDC where another one
// refused it (Options.LocatePrimary), and never to more than one realm.
//
// Where the names may be canonicalized, a KDC_ERR_WRONG_REALM leads to the
// client's realm, through ten at most and before any timestamp was sent. Anyone
// on the way can forge such an error, as they can forge the salt for the
// timestamp: who gets the latter can guess passwords at leisure, so a weak
// password is no safer than the network, in any realm. They get no further: the
// reply must open under the client's key. Without canonicalization nobody can
// send us to another realm, and the result bears the client's name as asked for.
//
// The error is of type [*Error].
func (c *Client) AS(ctx context.Context, r ASRequest) (*krb.Ticket, error) {
	a := &asCall{c: c, r: r}
	if r.Server.IsZero() {
		a.r.Server = krb.TGS(r.Client.Realm, r.Client.Realm)
	}
	a.call = call{exchange: "AS", realm: r.Client.Realm, path: []string{r.Client.Realm}, client: r.Client, server: a.r.Server}
	a.r.Canonicalize = r.Canonicalize || r.Client.Type == krb.NTEnterprise
	switch {
	case r.Client.IsZero() || r.Client.Realm == "":
		return nil, a.fail(KindRequest, errors.New("the client principal has no name or no realm"), "write it as name@REALM, or set default_realm in krb5.conf")
	case r.Keys == nil:
		return nil, a.fail(KindKey, errors.New("no password and no keytab"), "")
	}
	if r.Etypes == nil {
		a.r.Etypes = c.o.Etypes
	}
	if len(a.r.Etypes) == 0 {
		return nil, a.fail(KindRequest, errNoEtype, hintEtypes())
	}
	a.etypes = a.r.Etypes
	if have, first := r.Keys.Etypes(); have != nil {
		a.etypes = nil
		for _, types := range [][]int32{have[:first], have[first:]} {
			for _, e := range a.r.Etypes {
				if slices.Contains(types, e) {
					a.etypes = append(a.etypes, e)
				}
			}
		}
		if len(a.etypes) == 0 {
			return nil, a.fail(KindKey, fmt.Errorf("the client's keys are of types %s, allowed are %s", etypeNames(have), etypeNames(a.r.Etypes)),
				"add a key of an allowed type to the keytab, or see permitted_enctypes and allow_rc4 in krb5.conf")
		}
	}
	a.offset = c.Offset(a.realm)
	defer func() {
		if a.end != nil {
			a.end()
		}
	}()
	t, fail := a.run(ctx)
	if fail == nil {
		return t, nil
	}
	if t, last := a.askPrimary(ctx, fail); last == nil {
		return t, nil
	} else if last != fail {
		a.refuse(fail)
		fail = last
	}
	a.refuse(fail)
	return nil, fail
}

func (a *asCall) run(ctx context.Context) (*krb.Ticket, *Error) {
	resynced := false
	for {
		body, msg, err := a.request()
		if err != nil {
			return nil, a.fail(KindRequest, err, "")
		}
		r, attempts, err := a.c.sendTo(ctx, "AS", krb.MsgASRep, a.realm, msg, a.only)
		a.attempts, a.answer = attempts, r
		if err != nil {
			return nil, a.noAnswer(err)
		}
		if r.err == nil {
			return a.accept(ctx, r, body, msg)
		}
		switch code := r.err.Code; {
		case code == krb.CodePreauthRequired && a.key.Key.IsZero():
			if fail := a.prepare(ctx, r); fail != nil {
				return nil, fail
			}
		case code == krb.CodeSkew && a.c.o.Timesync && !resynced:
			resynced = true
			a.offset = skewOf(r)
		case a.elsewhere(r.err):
			if fail := a.move(r.err.Client.Realm); fail != nil {
				return nil, fail
			}
			resynced = false
		default:
			e := a.refused(r)
			switch {
			case code == krb.CodePreauthFailed && !a.key.Key.IsZero():
				e.Err = fmt.Errorf("%w with %s", r.err, a.key.named())
			case code == krb.CodePreauthRequired:
				e.Err = fmt.Errorf("%w, though an encrypted timestamp was sent%s", r.err, offered(r.err.Data))
			case code == krb.CodeEtypeNoSupport:
				e.Err = fmt.Errorf("%w for keys of types %s", r.err, etypeNames(a.etypes))
			}
			return nil, e
		}
	}
}

// elsewhere reports whether a KRB-ERROR sends us to another realm, and may.
func (a *asCall) elsewhere(ke *krb.KRBError) bool {
	_, ok := clientRealm(ke, a.realm)
	return ok && a.r.Canonicalize && a.key.Key.IsZero()
}

// move goes on in the realm where the client is said to be.
func (a *asCall) move(realm string) *Error {
	old := a.realm
	if fail := a.enter(realm); fail != nil {
		return fail
	}
	a.r.Client.Realm = realm
	if a.r.Server.Equal(krb.TGS(old, old)) {
		a.r.Server = krb.TGS(realm, realm)
	}
	a.r.Server.Realm = realm
	a.infos, a.said = nil, 0
	a.offset = a.c.Offset(realm)
	a.only = nil // these were of the other realm
	return nil
}

func (a *asCall) request() (*krb.KDCReqBody, []byte, error) {
	r := &a.r
	now := a.c.o.Now().Add(a.offset)
	life := r.Lifetime
	if life == 0 {
		life = 24 * time.Hour
	}
	body := &krb.KDCReqBody{
		Client: r.Client, Realm: a.realm, Server: r.Server,
		Till: now.Add(life).UTC().Truncate(time.Second), Nonce: newNonce(), Etypes: a.etypes,
	}
	if r.Forwardable {
		body.Options |= krb.OptionForwardable
	}
	if r.Proxiable {
		body.Options |= krb.OptionProxiable
	}
	if r.RenewLife > 0 {
		body.Options |= krb.OptionRenewable
		body.Renew = now.Add(r.RenewLife).UTC().Truncate(time.Second)
	}
	var padata []krb.PAData
	if r.Canonicalize {
		body.Options |= krb.OptionCanonicalize
		padata = append(padata, krb.PAData{Type: krb.PAReqEncPARep, Value: []byte{}})
	}
	if !a.key.Key.IsZero() {
		ctime, cusec := krb.UniqueTime(now)
		ts, err := krb.MakeEncTimestamp(a.key.Key, ctime, cusec)
		if err != nil {
			return nil, nil, err
		}
		padata = append(padata, krb.PAData{Type: krb.PAEncTimestamp, Value: ts})
	}
	raw, err := body.Marshal()
	if err != nil {
		return nil, nil, err
	}
	msg, err := krb.MarshalKDCReq(krb.MsgASReq, padata, raw)
	return body, msg, err
}

// newNonce returns a positive number: KDCs disagree about the sign of more than
// 31 bits.
func newNonce() int64 {
	var b [4]byte
	rand.Read(b[:])
	return int64(binary.BigEndian.Uint32(b[:])&(1<<31-1) | 1)
}

// prepare chooses the key for pre-authentication from a KDC_ERR_PREAUTH_REQUIRED.
func (a *asCall) prepare(ctx context.Context, r *reply) *Error {
	padata, err := krb.ParsePADatas(r.err.Data)
	if err == nil {
		a.infos, a.said, err = etypeInfos(padata, a.etypes)
	}
	if err != nil {
		return a.fail(KindReply, fmt.Errorf("%w, with data that cannot be read: %w", r.err, err), "")
	}
	timestamp, others := false, false
	for _, p := range padata {
		timestamp = timestamp || p.Type == krb.PAEncTimestamp
		others = others || p.Type != krb.PAEtypeInfo2 && p.Type != krb.PAEtypeInfo && p.Type != krb.PAPWSalt
	}
	if !timestamp && others {
		return a.noTimestamp(r)
	}
	var why error
	for _, etype := range a.etypes {
		i := slices.IndexFunc(a.infos, func(info krb.EtypeInfo) bool { return info.Etype == etype })
		if i < 0 {
			continue
		}
		key, err := a.r.Keys.Key(ctx, salted(a.infos[i], a.r.Client), 0)
		if err == nil && key.Key.Etype() != etype {
			err = fmt.Errorf("a key of type %s was given for %s", krb.EtypeName(key.Key.Etype()), krb.EtypeName(etype))
		}
		if err == nil {
			// If it was refused, so will the keys of other types be that belong to
			// the same password, or count against the account.
			if fail := a.admit(ctx, key); fail != nil {
				return fail
			}
			a.key = key
			return nil
		}
		if why == nil {
			why = err
		}
	}
	if why != nil {
		return a.noKey(ctx, why)
	}
	have := make([]int32, len(a.infos))
	for i, info := range a.infos {
		have[i] = info.Etype
	}
	return a.fail(KindKey, fmt.Errorf("the KDC takes keys of types %s for this client, allowed are %s", etypeNames(have), etypeNames(a.etypes)),
		"see permitted_enctypes and allow_rc4 in krb5.conf, or give the principal new keys")
}

// noKey turns the error of Keys into an Error: that time was up, or that a KDC
// asks for what nobody should do, says nothing of the key.
func (a *asCall) noKey(ctx context.Context, err error) *Error {
	switch {
	case ctx.Err() != nil:
		return a.fail(KindUnreachable, err, "")
	case errors.Is(err, krb.ErrIterations):
		return a.fail(KindReply, err, "anyone on the way can forge this; if the KDC does ask for it, set the password anew with the default parameters")
	}
	return a.fail(KindKey, err, "")
}

// salted fills in the default salt, which is that of the name in the realm that
// was asked, wherever the search began.
func salted(info krb.EtypeInfo, client krb.Principal) krb.EtypeInfo {
	if !info.HasSalt {
		info.Salt, info.HasSalt = client.Salt(), true
	}
	return info
}

// Ranks of what says which salt a key has, the best last.
const (
	saidNothing = iota
	saidPWSalt
	saidInfo
	saidInfo2
)

// etypeInfos reads what a KDC says of the client's keys. ETYPE-INFO2 counts
// where there is one. The older forms bear a salt as raw bytes; without any the
// salt is the default for all types that were offered.
func etypeInfos(padata []krb.PAData, offered []int32) (infos []krb.EtypeInfo, said int, err error) {
	if v, ok := krb.FindPAData(padata, krb.PAEtypeInfo2); ok {
		infos, err = krb.ParseEtypeInfo2(v)
		return infos, saidInfo2, err
	}
	if v, ok := krb.FindPAData(padata, krb.PAEtypeInfo); ok {
		infos, err = krb.ParseEtypeInfo(v)
		return infos, saidInfo, err
	}
	salt, hasSalt := krb.FindPAData(padata, krb.PAPWSalt)
	if hasSalt {
		said = saidPWSalt
	}
	for _, e := range offered {
		infos = append(infos, krb.EtypeInfo{Etype: e, Salt: string(salt), HasSalt: hasSalt})
	}
	return infos, said, nil
}

// accept verifies an AS-REP (RFC 4120 section 3.1.5).
func (a *asCall) accept(ctx context.Context, r *reply, body *krb.KDCReqBody, msg []byte) (*krb.Ticket, *Error) {
	bad := func(err error) (*krb.Ticket, *Error) {
		return nil, a.fail(KindReply, err, hintForged)
	}
	rep := r.rep
	// Offered is not enough: with a keytab fewer are offered than allowed.
	if !slices.Contains(a.etypes, rep.EncPart.Etype) {
		return bad(fmt.Errorf("the reply is sealed with %s, offered were %s", krb.EtypeName(rep.EncPart.Etype), etypeNames(a.etypes)))
	}
	key, err := a.replyKey(ctx, rep)
	if err != nil {
		return nil, a.noKey(ctx, err)
	}
	plain, err := key.Key.OpenData(krb.UsageASRepEncPart, rep.EncPart)
	if errors.Is(err, krb.ErrIntegrity) {
		return nil, a.fail(KindKey, fmt.Errorf("the reply does not open under the client's key, %s: %w", key.named(), err),
			"the password or key is wrong; a keytab goes stale when the password changes")
	}
	if err != nil {
		return bad(err)
	}
	defer clear(plain)
	part, err := krb.ParseEncKDCRepPart(plain)
	if err != nil {
		return bad(err)
	}
	if err := a.checkNames(rep, part); err != nil {
		return nil, a.fail(KindReply, err, a.hintNames(rep))
	}
	if err := checkReply(rep, part, body, a.r.Etypes); err != nil {
		return bad(err)
	}
	if a.r.Canonicalize {
		if err := checkEncPARep(part, key.Key, msg); err != nil {
			return bad(err)
		}
	}
	if body.Options&krb.OptionRenewable != 0 && part.RenewTill.After(body.Renew) {
		return bad(fmt.Errorf("the ticket is renewable until %v, asked was until %v", part.RenewTill, body.Renew))
	}
	// The reply bears our nonce and is authentic, so the time in it is the KDC's
	// now; that of a KRB-ERROR was good for one more try, and no longer.
	skew := startOf(part).Sub(r.at)
	if (skew-a.offset).Abs() > a.c.o.Clockskew && !a.c.o.Timesync {
		e := a.fail(KindSkew, fmt.Errorf("the ticket starts at %s", startOf(part).Format(time.RFC3339)), "set the clock of one of the two right (NTP)")
		e.Skew = skew
		return nil, e
	}
	a.offset = a.c.follow(a.offset, skew)
	if a.offset != a.c.Offset(a.realm) {
		a.c.SetOffset(a.realm, a.offset)
	}
	if home := part.Server.Realm; home != a.realm && a.offset != a.c.Offset(home) {
		a.c.SetOffset(home, a.offset)
	}
	return newTicket(rep, part, part.Server), nil
}

// replyKey finds the client's key for a reply. The salt may be another than
// before, where the KDC says so in the reply, and no less well than before. One
// that it never told is the default of the name in the reply. With a keytab the
// key that passed the pre-authentication is the one, whatever version the KDC
// says: tools such as ktpass write versions of their own.
func (a *asCall) replyKey(ctx context.Context, rep *krb.KDCRep) (KeyEntry, error) {
	if have, _ := a.r.Keys.Etypes(); have != nil && !a.key.Key.IsZero() && a.key.Key.Etype() == rep.EncPart.Etype {
		return a.key, nil
	}
	infos, said, err := etypeInfos(rep.PAData, a.etypes)
	if err != nil {
		return KeyEntry{}, err
	}
	if said < a.said || said == saidNothing && a.infos != nil {
		infos = a.infos
	}
	info := krb.EtypeInfo{Etype: rep.EncPart.Etype}
	if i := slices.IndexFunc(infos, func(e krb.EtypeInfo) bool { return e.Etype == info.Etype }); i >= 0 {
		info = infos[i]
	}
	client := a.r.Client
	if a.r.Canonicalize {
		client = rep.Client
	}
	key, err := a.r.Keys.Key(ctx, salted(info, client), rep.EncPart.Kvno)
	if err == nil && key.Key.Etype() != info.Etype {
		err = fmt.Errorf("a key of type %s was given for %s", krb.EtypeName(key.Key.Etype()), krb.EtypeName(info.Etype))
	}
	return key, err
}

func (a *asCall) checkNames(rep *krb.KDCRep, part *krb.EncKDCRepPart) error {
	if a.r.Canonicalize {
		s := part.Server
		if part.Server.Equal(a.r.Server) && rep.Client.Realm == a.realm {
			return nil
		}
		if a.r.Server.IsTGS() && s.IsTGS() && s.Components[1] == s.Realm && s.Realm == rep.Client.Realm {
			return nil
		}
		return fmt.Errorf("the ticket is for %s of client %s", show(part.Server), show(rep.Client))
	}
	if !rep.Client.Equal(a.r.Client) {
		return fmt.Errorf("the reply is for client %s", show(rep.Client))
	}
	if !part.Server.Equal(a.r.Server) {
		return fmt.Errorf("the ticket is for %s, asked was for %s", show(part.Server), show(a.r.Server))
	}
	return nil
}

// hintNames explains names that are not those asked for. Active Directory knows
// its realm in any case of letters, and answers in capitals.
func (a *asCall) hintNames(rep *krb.KDCRep) string {
	if got := rep.Client.Realm; got != a.realm && strings.EqualFold(got, a.realm) {
		return fmt.Sprintf("the KDC writes its realm %s: do the same", printable.Text(shorten(got)))
	}
	return hintForged
}

// checkEncPARep verifies that the request arrived as it was sent, where the KDC
// takes part in that (RFC 6806 section 11).
func checkEncPARep(part *krb.EncKDCRepPart, key krb.Key, msg []byte) error {
	if part.Flags&krb.FlagEncPARep == 0 {
		return nil
	}
	value, found := krb.FindPAData(part.PAData, krb.PAReqEncPARep)
	if !found {
		return errors.New("the reply announces a checksum of the request, and has none")
	}
	sum, err := krb.ParseChecksum(value)
	if err != nil {
		return fmt.Errorf("checksum of the request: %w", err)
	}
	if sum.Type != key.ChecksumType() {
		return fmt.Errorf("checksum of the request of type %d, want %d", sum.Type, key.ChecksumType())
	}
	if err := key.VerifyChecksum(krb.UsageASReqChecksum, sum.Value, msg); err != nil {
		return fmt.Errorf("the request was changed on its way: %w", err)
	}
	return nil
}

func etypeNames(etypes []int32) string {
	if len(etypes) == 0 {
		return "none"
	}
	names := make([]string, len(etypes))
	for i, e := range etypes {
		names[i] = krb.EtypeName(e)
	}
	return strings.Join(names, " ")
}
