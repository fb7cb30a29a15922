package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// fast is the client's side of FAST, which seals requests and what comes back (RFC 6113
// section 5.4).
type fast struct {
	key   krb.Key        // the armour key
	armor *krb.FastArmor // nil where a TGS-REQ is its own armour
}

// newFast armours a login with a ticket-granting ticket (RFC 6113 section 5.4.1.1).
func newFast(t *krb.Ticket, now time.Time) (*fast, error) {
	subkey, err := krb.GenerateKey(t.Key.Etype())
	if err != nil {
		return nil, err
	}
	key, err := krb.FastArmorKey(subkey, t.Key)
	if err != nil {
		return nil, err
	}
	auth := &krb.Authenticator{Client: t.Client, Subkey: subkey}
	auth.CTime, auth.Cusec = krb.UniqueTime(now)
	apReq, err := krb.MakeAPReq(t, auth, krb.UsageAPReqAuth, 0)
	if err != nil {
		return nil, err
	}
	return &fast{key, &krb.FastArmor{Type: krb.FastArmorAPRequest, Value: apReq}}, nil
}

// seal returns the PA-FX-FAST that bears a request. covered is what of the outer request
// is bound to it.
func (f *fast) seal(covered []byte, padata []krb.PAData, body []byte) (krb.PAData, error) {
	plain, err := (&krb.FastReq{PAData: padata, Body: body}).Marshal()
	if err != nil {
		return krb.PAData{}, err
	}
	defer clear(plain)
	sealed, err := f.key.Seal(krb.UsageFastEnc, plain)
	if err != nil {
		return krb.PAData{}, err
	}
	sum, err := f.key.Checksum(krb.UsageFastReqChecksum, covered)
	if err != nil {
		return krb.PAData{}, err
	}
	value, err := (&krb.PAFXFastRequest{
		Armor: f.armor, Checksum: krb.Checksum{Type: f.key.ChecksumType(), Value: sum},
		EncPart: krb.EncryptedData{Etype: f.key.Etype(), Cipher: sealed},
	}).Marshal()
	return krb.PAData{Type: krb.PAFXFast, Value: value}, err
}

// errUnarmored is the error where what came back is not sealed by FAST.
var errUnarmored = errors.New("the KDC's answer is not armoured by FAST")

// open returns what the PA-FX-FAST among padata seals in answer to a request.
func (f *fast) open(padata []krb.PAData, nonce int64) (*krb.FastResponse, error) {
	value, found := krb.FindPAData(padata, krb.PAFXFast)
	if !found {
		return nil, errUnarmored
	}
	ed, err := krb.ParsePAFXFastReply(value)
	if err != nil {
		return nil, err
	}
	plain, err := f.key.OpenData(krb.UsageFastRep, ed)
	if err != nil {
		return nil, fmt.Errorf("the FAST response does not open under the armour key: %w", err)
	}
	response, err := krb.ParseFastResponse(plain)
	if err != nil {
		return nil, err
	}
	if uint32(response.Nonce) != uint32(nonce) {
		return nil, errors.New("the FAST response bears another nonce than the request")
	}
	return response, nil
}

// unseal puts the KRB-ERROR that a KRB-ERROR seals into its place (RFC 6113 section
// 5.4.4), with the METHOD-DATA beside it. One that seals none stays, and steers nothing.
func (f *fast) unseal(r *reply, nonce int64, attempts []Attempt) {
	padata, err := krb.ParsePADatas(r.err.Data)
	if err != nil {
		return
	}
	response, err := f.open(padata, nonce)
	if err != nil {
		return
	}
	value, _ := krb.FindPAData(response.PAData, krb.PAFXError)
	inner, err := krb.ParseKRBError(value)
	if err != nil {
		return
	}
	var rest []krb.PAData
	for _, pa := range response.PAData {
		if pa.Type != krb.PAFXError {
			rest = append(rest, pa)
		}
	}
	if len(rest) > 0 {
		if inner.Data, err = krb.MarshalPADatas(rest); err != nil {
			return
		}
	}
	for i := range attempts {
		if attempts[i].Err == error(r.err) {
			attempts[i].Err = inner
		}
	}
	r.err, r.sealed = inner, true
}

// verify checks that a reply is sealed in answer to the request, and its ticket with it
// (RFC 6113 section 5.4.3). The name and the padata that the armour protects take the
// place of those outside, as with MIT krb5: Heimdal's KDC leaves the name outside empty. The
// key strengthens that of the reply, zero where it does not.
func (f *fast) verify(rep *krb.KDCRep, nonce int64) (strengthen krb.Key, err error) {
	response, err := f.open(rep.PAData, nonce)
	if err != nil {
		return krb.Key{}, err
	}
	end := response.Finished
	switch {
	case end == nil:
		return krb.Key{}, errors.New("the FAST response does not finish the exchange")
	case end.Checksum.Type != f.key.ChecksumType():
		return krb.Key{}, fmt.Errorf("the FAST response's checksum of the ticket is of type %d, want %d", end.Checksum.Type, f.key.ChecksumType())
	case f.key.VerifyChecksum(krb.UsageFastFinished, end.Checksum.Value, rep.RawTicket) != nil:
		return krb.Key{}, errors.New("the ticket is another than the FAST response says")
	}
	rep.PAData, rep.Client = response.PAData, end.Client
	return response.Strengthen, nil
}

// strengthened returns the key of a reply.
func strengthened(strengthen, reply krb.Key) (krb.Key, error) {
	if strengthen.IsZero() {
		return reply, nil
	}
	return krb.FastReplyKey(strengthen, reply)
}

// arm gets the armour for the realm that is asked. It is worn at once unless that is for
// the KDC to ask for: as with MIT krb5, who may go without does so until the KDC says that
// it speaks FAST, in its answer or before, when the armour was got.
func (a *asCall) arm(ctx context.Context) *Error {
	if a.r.Armor == nil {
		return nil
	}
	if a.armored != a.realm {
		t, err := a.r.Armor(ctx, a.realm)
		if err != nil {
			return a.noArmor(err)
		}
		a.armor, a.armored = t, a.realm
	}
	if a.fast = nil; a.r.ArmorOptional && !a.armor.FAST {
		return nil
	}
	return a.wear()
}

// wear makes the requests from now on armoured ones.
func (a *asCall) wear() (fail *Error) {
	var err error
	if a.fast, err = newFast(a.armor, a.c.o.Now().Add(a.offset)); err != nil {
		return a.noArmor(err)
	}
	return nil
}

// An Advised is an error that tells what to try apart from its text.
type Advised interface {
	error
	Advice() string
}

// noArmor is the error where there is no ticket to armour a login with.
func (a *asCall) noArmor(err error) *Error {
	kind := KindKey
	if why, ok := errors.AsType[*Error](err); ok {
		kind = why.Kind
	}
	hint := ""
	if advised, ok := errors.AsType[Advised](err); ok {
		hint = advised.Advice()
	}
	return a.fail(kind, fmt.Errorf("no ticket to armour the login with (FAST): %w", err), hint)
}

// mayWear reports whether a KDC's answer to a request without armour calls for it.
// Active Directory says of one that must have it that policy forbids it without.
func (a *asCall) mayWear(r *reply) bool {
	if a.armor == nil || a.fast != nil {
		return false
	}
	padata, err := krb.ParsePADatas(r.err.Data)
	if err == nil {
		if _, offered := krb.FindPAData(padata, krb.PAFXFast); offered {
			return true
		}
	}
	return r.err.Code == krb.CodePolicy
}

// proved reports whether the last message bore what proves the client, in answer to what the
// KDC sealed.
func (a *asCall) proved() bool { return !a.key.Key.IsZero() || a.otp.asked() }

// unarmored is the error where an armoured request was answered without armour. Nobody
// vouches for what the KRB-ERROR says, of the armour neither once the KDC took it.
func (a *asCall) unarmored(r *reply) *Error {
	e := a.refused(r)
	e.Err, e.Unarmored = fmt.Errorf("%w: %w", errUnarmored, r.err), true
	if a.proved() {
		e.Hint = hintForged
		return e
	}
	switch r.err.Code {
	case krb.CodePreauthRequired, krb.CodePADataNoSupport:
		e.Kind, e.Hint = KindRefused, hintNoFAST
	case krb.CodeBadIntegrity, krb.CodeModified, krb.CodeBadKvno, krb.CodeNoKey, krb.CodeNotUs, krb.CodeTicketExpired, krb.CodeServerNoMatch:
		e.Kind, e.Armor = KindRefused, true
		e.Hint = fmt.Sprintf("the KDC does not take the ticket of %s that armours the login: get a new one", show(a.armor.Client))
	}
	return e
}

// hintArmor is for logins that policy forbids. Active Directory says no more of those that
// it takes armoured alone.
const hintArmor = "where it takes armoured logins (FAST) alone, set Armor"

const hintNoFAST = "the KDC does not speak FAST: let it (in Active Directory the policy \"KDC support for claims, compound authentication and Kerberos armoring\"), or make the armour optional"
