package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spake"
)

// spakeState is the client's side of SPAKE pre-authentication (RFC 9588), from the
// message that says which groups we have to the reply.
type spakeState struct {
	groups []int32
	// What may be sent if the KDC has none of them:
	timestamp, challenge bool

	support []byte       // as sent
	party   *spake.Party // nil before the challenge
	said    []byte       // hash of the transcript
	reply   krb.Key      // seals the reply to the last message
}

// asked reports whether the KDC knows our groups and has nothing else of us.
func (s *spakeState) asked() bool { return s != nil && s.party == nil }

// message returns the PA-SPAKE of a request with that body.
func (s *spakeState) message(body []byte) (value []byte, err error) {
	if s.party == nil {
		s.support, err = (&krb.SPAKE{Support: s.groups}).Marshal()
		return s.support, err
	}
	if s.reply, err = s.party.Key(0, s.said, body); err != nil {
		return nil, err
	}
	key, err := s.party.Key(1, s.said, body)
	if err != nil {
		return nil, err
	}
	factor, err := krb.SPAKEFactor{Type: krb.SPAKEFactorNone}.Marshal()
	if err != nil {
		return nil, err
	}
	sealed, err := key.Seal(krb.UsageSPAKE, factor)
	if err != nil {
		return nil, err
	}
	response := &krb.SPAKEResponse{Public: s.party.Public, Factor: krb.EncryptedData{Etype: key.Etype(), Cipher: sealed}}
	return (&krb.SPAKE{Response: response}).Marshal()
}

// challenged takes the KDC's challenge, which the next request answers. Whoever
// forged it learns nothing of the key, but whether one guess was right.
func (a *asCall) challenged(ctx context.Context, r *reply) *Error {
	bad := func(err error) *Error {
		return a.fail(KindReply, fmt.Errorf("%w, with a SPAKE challenge that is not to be answered: %w", r.err, err), hintForged)
	}
	padata, err := krb.ParsePADatas(r.err.Data)
	if err != nil {
		return bad(err)
	}
	value, _ := krb.FindPAData(padata, krb.PASPAKE)
	m, err := krb.ParseSPAKE(value)
	switch {
	case err != nil:
		return bad(err)
	case m.Challenge == nil:
		return bad(errors.New("it is a message of another kind"))
	case !slices.Contains(a.spake.groups, m.Challenge.Group):
		return bad(fmt.Errorf("it is of %s, which was not offered", spake.Name(m.Challenge.Group)))
	case !slices.ContainsFunc(m.Challenge.Factors, func(f krb.SPAKEFactor) bool { return f.Type == krb.SPAKEFactorNone }):
		e := a.refused(r)
		e.Err = fmt.Errorf("%w: the KDC wants a second factor, of which there is none here", r.err)
		e.Hint = "log in with kinit and use its cache"
		return e
	}
	party, err := spake.NewClient(m.Challenge.Group, a.key.Key)
	if err != nil {
		return a.fail(KindKey, err, "")
	}
	if err := party.Meet(m.Challenge.Public); err != nil {
		return bad(err)
	}
	// The answer tells the KDC whether the key is right, and counts as a timestamp does.
	if fail := a.admit(ctx, a.key); fail != nil {
		return fail
	}
	a.cookie, _ = krb.FindPAData(padata, krb.PAFXCookie)
	a.spake.said = party.Transcript(party.Transcript(nil, a.spake.support, value), party.Public)
	a.spake.party, a.noTimestamps = party, true
	return nil
}

// withoutSPAKE goes on where the KDC has none of our groups: with an encrypted challenge
// or a timestamp, if it offered to take one, as MIT krb5 does. Nothing of the key was sent
// by then.
func (a *asCall) withoutSPAKE(ctx context.Context, r *reply) *Error {
	if !a.spake.timestamp && !a.spake.challenge {
		names := make([]string, len(a.spake.groups))
		for i, g := range a.spake.groups {
			names[i] = spake.Name(g)
		}
		e := a.refused(r)
		e.Kind = KindRefused // whatever the code says: it has seen no key
		e.Err = fmt.Errorf("%w: the KDC takes SPAKE in none of the groups %s", r.err, strings.Join(names, ", "))
		e.Hint = "compare spake_preauth_groups in krb5.conf with that of the KDC"
		return e
	}
	a.challenge = a.spake.challenge
	if a.spake = nil; a.fast == nil {
		a.cookie = nil
	}
	return a.admit(ctx, a.key)
}

// proof names what was sent to prove the key.
func (a *asCall) proof() string {
	switch {
	case a.spake != nil:
		return "SPAKE"
	case a.challenge:
		return "an encrypted challenge"
	}
	return "an encrypted timestamp"
}
