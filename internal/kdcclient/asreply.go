package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
)

// accept verifies an AS-REP (RFC 4120 section 3.1.5).
func (a *asCall) accept(ctx context.Context, r *reply, body *krb.KDCReqBody, msg []byte) (*krb.Ticket, *Error) {
	bad := func(err error) (*krb.Ticket, *Error) {
		return nil, a.fail(KindReply, err, hintForged)
	}
	rep := r.rep
	var strengthen krb.Key
	if a.fast != nil {
		var err error
		if strengthen, err = a.fast.verify(rep, body.Nonce); errors.Is(err, errUnarmored) {
			return nil, a.fail(KindReply, err, hintNoFAST)
		} else if err != nil {
			return bad(err)
		}
	}
	// Offered is not enough: with a keytab fewer are offered than allowed. After a one-time
	// password the key is none of the client's.
	if !a.otp.asked() && !slices.Contains(a.etypes, rep.EncPart.Etype) {
		return bad(fmt.Errorf("the reply is sealed with %s, offered were %s", krb.EtypeName(rep.EncPart.Etype), etypeNames(a.etypes)))
	}
	key, err := a.replyKey(ctx, rep)
	if err != nil {
		return nil, a.noKey(ctx, err)
	}
	proved := a.spake != nil && a.spake.party != nil
	if proved {
		key.Key = a.spake.reply
	}
	if err := a.checkChallenge(rep); err != nil {
		return bad(err)
	}
	sealing, err := strengthened(strengthen, key.Key)
	if err != nil {
		return bad(err)
	}
	plain, err := sealing.OpenData(krb.UsageASRepEncPart, rep.EncPart)
	if proved && err != nil { // the KDC has seen by now that our key is right
		return bad(fmt.Errorf("the reply does not open under the key of the SPAKE exchange: %w", err))
	}
	if a.otp.asked() && err != nil {
		return bad(fmt.Errorf("the reply does not open under the key that answers a one-time password: %w", err))
	}
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
	speaks := a.fast != nil
	if a.confirmed() {
		told, err := checkEncPARep(part, sealing, msg)
		if err != nil {
			return bad(err)
		}
		if told && !speaks && a.armor != nil {
			return nil, a.fail(KindReply, errHidden, "someone on the way may have taken it out of the answer; do not let the armour be optional")
		}
		speaks = speaks || told
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
	got := newTicket(rep, part, part.Server)
	got.FAST = speaks && got.Server.IsTGS()
	return got, nil
}

// replyKey finds the client's key for a reply. The salt may be another than
// before, where the KDC says so in the reply, and no less well than before. One
// that it never told is the default of the name in the reply. With a keytab the
// key that passed the pre-authentication is the one, whatever version the KDC
// says: tools such as ktpass write versions of their own.
//
// After a one-time password it is the armour key (RFC 6560 section 4.2).
func (a *asCall) replyKey(ctx context.Context, rep *krb.KDCRep) (KeyEntry, error) {
	if a.otp.asked() {
		return KeyEntry{Key: a.fast.key}, nil
	}
	if have, _ := a.r.Keys.Etypes(); have != nil && !a.key.Key.IsZero() && a.key.Key.Etype() == rep.EncPart.Etype {
		return a.key, nil
	}
	infos, said, err := etypeInfos(rep.PAData, a.etypes)
	if err != nil {
		return KeyEntry{}, err
	}
	if said < a.said {
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
// takes part in that (RFC 6806 section 11), and tells whether it speaks FAST.
func checkEncPARep(part *krb.EncKDCRepPart, key krb.Key, msg []byte) (fast bool, err error) {
	if part.Flags&krb.FlagEncPARep == 0 {
		return false, nil
	}
	value, found := krb.FindPAData(part.PAData, krb.PAReqEncPARep)
	if !found {
		return false, errors.New("the reply announces a checksum of the request, and has none")
	}
	sum, err := krb.ParseChecksum(value)
	if err != nil {
		return false, fmt.Errorf("checksum of the request: %w", err)
	}
	if sum.Type != key.ChecksumType() {
		return false, fmt.Errorf("checksum of the request of type %d, want %d", sum.Type, key.ChecksumType())
	}
	if err := key.VerifyChecksum(krb.UsageASReqChecksum, sum.Value, msg); err != nil {
		return false, fmt.Errorf("the request was changed on its way: %w", err)
	}
	_, fast = krb.FindPAData(part.PAData, krb.PAFXFast)
	return fast, nil
}
