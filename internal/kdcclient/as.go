package kdcclient

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// ASRequest says which first ticket is wanted.
type ASRequest struct {
	// Client is who asks, with realm.
	Client krb.Principal
	// Server is what the ticket is for; zero means the realm's ticket-granting
	// service.
	Server krb.Principal
	// Keys prove who the client is. They may be nil where there is OTP.
	Keys Keys
	// OTP returns a one-time password of one of some tokens (RFC 6560), for a login in
	// armour. service is the KDC's name of what verifies it, "" where it has none. It is
	// asked once for a login, and once more where a KDC wants the next one of the same
	// token (krb.OTPNextOTP), and should return when ctx ends. The tokens are not changed.
	// Nil means that there are no one-time passwords. They come before all else that a
	// KDC offers.
	OTP func(ctx context.Context, client krb.Principal, service string, tokens []krb.OTPToken) (OTP, error)
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

	// Armor returns a ticket-granting ticket for a realm that armours the login there
	// (FAST, RFC 6113): of a host, mostly. Nil means that there is none. A KDC that does
	// not speak FAST is an error then.
	Armor func(ctx context.Context, realm string) (*krb.Ticket, error)
	// ArmorOptional goes without armour where the KDC does not say that it speaks FAST,
	// as kinit -T does.
	ArmorOptional bool
	// AskFAST has the KDC tell whether it speaks FAST, in [krb.Ticket.FAST]. It is
	// implied by Armor.
	AskFAST bool
}

// asCall is the state of one AS exchange. The embedded realm is the one that is
// asked at the moment.
type asCall struct {
	call
	c      *Client
	r      ASRequest     // as it goes to that realm
	etypes []int32       // offered
	offset time.Duration // to the KDC's clock

	infos        []krb.EtypeInfo // what the KDC said of the client's keys
	said         int             // how well it said so: rank of the data they are from
	key          KeyEntry        // of the pre-authentication, zero before
	spake        *spakeState     // nil where a timestamp is what proves the key
	cookie       []byte          // PA-FX-COOKIE of the last KRB-ERROR, nil without one
	noTimestamps bool            // no timestamp may be sent: a SPAKE response was, or none is allowed
	challenge    bool            // an encrypted challenge is what proves the key
	restarted    bool            // since a cookie had expired

	otp     otpState
	fast    *fast       // nil without armour
	armor   *krb.Ticket // at hand; nil for none
	armored string      // the realm that it is for

	seeks       bool   // where the client is, and no ticket
	certificate []byte // DER, in place of the client's name

	answer *reply     // that came last
	only   *chosen    // whom to ask, in place of the realm's KDCs
	sent   []KeyEntry // of the timestamps that were sent
	end    func()     // of the guard, once a timestamp may be sent
}

// AS gets a ticket with the client's own key (RFC 4120 section 3.1). It asks
// without pre-authentication first, and then with a one-time password within FAST
// (ASRequest.OTP) or SPAKE where the KDC offers it, or with an encrypted challenge within
// FAST, or an encrypted timestamp, once: a wrong password is never sent again, save to a primary KDC where another one
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
	case r.Keys == nil && r.OTP == nil:
		return nil, a.fail(KindKey, errors.New("no password and no keytab"), "")
	case r.Keys == nil:
		r.Keys = noKeys{}
		a.r.Keys = r.Keys
	}
	if r.Etypes == nil {
		a.r.Etypes = c.o.Etypes
	}
	if len(a.r.Etypes) == 0 {
		return nil, a.fail(KindRequest, errNoEtype, hintEtypes())
	}
	_, a.noTimestamps = a.timestampsForbidden()
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
	fail.OTP = fail.OTP || len(a.otp.sent) > 0
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
	if fail := a.arm(ctx); fail != nil {
		return nil, fail
	}
	resynced := false
	for {
		body, msg, err := a.request()
		if err != nil {
			return nil, a.fail(KindRequest, err, "")
		}
		r, attempts, err := a.c.sendTo(ctx, a.asking(), krb.MsgASRep, a.realm, msg, a.only)
		a.attempts, a.answer = attempts, r
		if err != nil {
			return nil, a.noAnswer(err)
		}
		if r.err == nil && a.seeks {
			return nil, a.sought(r, body)
		}
		if r.err == nil {
			return a.accept(ctx, r, body, msg)
		}
		if a.fast != nil {
			a.fast.unseal(r, body.Nonce, attempts)
		}
		switch code := r.err.Code; {
		case code == krb.CodeSkew && a.c.o.Timesync && !resynced && !a.otp.asked() && (a.fast == nil || r.sealed || !a.proved()):
			resynced = true
			a.offset = skewOf(r)
			if a.fast != nil {
				if fail := a.wear(); fail != nil {
					return nil, fail
				}
			}
		case a.fast != nil && !r.sealed:
			return nil, a.unarmored(r)
		case a.mayWear(r):
			if fail := a.wear(); fail != nil {
				return nil, fail
			}
		case a.seeks && clientIsHere(code):
			return nil, nil
		case code == krb.CodePreauthExpired && !a.restarted && a.cookie != nil:
			a.restarted = true
			a.begin()
		case code == krb.CodePreauthRequired && a.key.Key.IsZero():
			if fail := a.prepare(ctx, r); fail != nil {
				return nil, fail
			}
		case code == krb.CodeMorePreauthData && a.spake.asked():
			if fail := a.challenged(ctx, r); fail != nil {
				return nil, fail
			}
		case code == krb.CodePreauthFailed && a.spake.asked():
			if fail := a.withoutSPAKE(ctx, r); fail != nil {
				return nil, fail
			}
		case a.wrongRealm(r.err):
			if fail := a.move(r.err.Client.Realm); fail != nil {
				return nil, fail
			}
			if fail := a.arm(ctx); fail != nil {
				return nil, fail
			}
			resynced = false
		default:
			e := a.refused(r)
			switch {
			case a.otp.asked():
				e.Err = fmt.Errorf("%w with a one-time password", r.err)
				if code == krb.CodePreauthFailed {
					e.Hint = hintOTP
				}
			case code == krb.CodeBadIntegrity && a.challenge:
				// Heimdal's KDC says so of a challenge under a wrong key.
				e.Kind, e.Code, e.Hint = KindKey, krb.CodePreauthFailed, hints.KDC(krb.CodePreauthFailed)
				e.Err = fmt.Errorf("%w with %s", r.err, a.key.named())
			case code == krb.CodePreauthFailed && !a.key.Key.IsZero():
				e.Err = fmt.Errorf("%w with %s", r.err, a.key.named())
			case code == krb.CodePreauthRequired:
				e.Err = fmt.Errorf("%w, though %s was sent%s", r.err, a.proof(), offered(r.err.Data))
			case code == krb.CodePolicy && a.r.Armor == nil && hints.NTStatus(r.err.NTStatus()) == "":
				e.Hint = hints.Join(e.Hint, hintArmor)
			case code == krb.CodeEtypeNoSupport:
				e.Err = fmt.Errorf("%w for keys of types %s", r.err, etypeNames(a.etypes))
			}
			return nil, e
		}
	}
}

// asking is what is told of the request that comes next.
func (a *asCall) asking() asking {
	it := asking{name: "AS", armored: a.fast != nil}
	switch {
	case a.otp.asked():
		it.preauth = "OTP"
	case a.challenge:
		it.preauth = "challenge"
	case a.spake != nil:
		it.preauth = "SPAKE"
	case !a.key.Key.IsZero():
		it.preauth = "timestamp"
	}
	return it
}

// wrongRealm reports whether a KRB-ERROR sends us to another realm, and may.
func (a *asCall) wrongRealm(ke *krb.KRBError) bool {
	_, ok := clientRealm(ke, a.realm)
	return ok && a.r.Canonicalize && a.key.Key.IsZero() && !a.otp.asked()
}

// begin forgets what the KDC said of the client's keys, and how one was to be proved.
func (a *asCall) begin() {
	a.infos, a.said, a.key = nil, saidNothing, KeyEntry{}
	a.spake, a.cookie, a.challenge = nil, nil, false
	a.otp.request = nil
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
	a.offset = a.c.Offset(realm)
	a.only = nil // these were of the other realm
	_, forbidden := a.timestampsForbidden()
	a.noTimestamps = a.noTimestamps || forbidden
	return nil
}

// timestampsForbidden returns the first realm on the way for which encrypted timestamps are
// forbidden: who forges the way must not lead past it.
func (a *asCall) timestampsForbidden() (realm string, ok bool) {
	for _, realm := range a.path {
		if a.c.o.NoTimestamp != nil && a.c.o.NoTimestamp(realm) {
			return realm, true
		}
	}
	return "", false
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
	if a.certificate != nil {
		padata = append(padata, krb.PAData{Type: krb.PAS4UX509User, Value: a.certificate})
	}
	if a.cookie != nil {
		padata = append(padata, krb.PAData{Type: krb.PAFXCookie, Value: a.cookie})
	}
	if r.Canonicalize {
		body.Options |= krb.OptionCanonicalize
	}
	if a.confirmed() {
		padata = append(padata, krb.PAData{Type: krb.PAReqEncPARep, Value: []byte{}})
	}
	switch {
	case a.otp.asked():
		padata = append(padata, krb.PAData{Type: krb.PAOTPRequest, Value: a.otp.request})
	case a.challenge:
		challenge, err := a.encChallenge(now)
		if err != nil {
			return nil, nil, err
		}
		padata = append(padata, challenge)
	case !a.key.Key.IsZero() && a.spake == nil:
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
	if a.spake != nil {
		value, err := a.spake.message(raw)
		if err != nil {
			return nil, nil, err
		}
		padata = append(padata, krb.PAData{Type: krb.PASPAKE, Value: value})
	}
	if a.fast != nil {
		sealed, err := a.fast.seal(raw, padata, raw)
		if err != nil {
			return nil, nil, err
		}
		padata = []krb.PAData{sealed}
	}
	msg, err := krb.MarshalKDCReq(krb.MsgASReq, padata, raw)
	return body, msg, err
}

// confirmed reports whether the KDC is asked to confirm that requests came as they were
// sent (RFC 6806 section 11).
func (a *asCall) confirmed() bool {
	return a.r.Canonicalize || a.r.AskFAST || a.r.Armor != nil
}

// newNonce returns a positive number: KDCs disagree about the sign of more than
// 31 bits.
func newNonce() int64 {
	var b [4]byte
	rand.Read(b[:])
	return int64(binary.BigEndian.Uint32(b[:])&(1<<31-1) | 1)
}
