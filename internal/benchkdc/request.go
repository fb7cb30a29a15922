package benchkdc

import (
	"fmt"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// An Exchange is a kind of exchange.
type Exchange uint8

// Kinds of exchanges. An AS exchange is one request with a timestamp, answered
// with a ticket: half of a login, whose first request is refused.
const (
	AS Exchange = iota + 1
	TGS
)

// String returns the name.
func (e Exchange) String() string {
	switch e {
	case AS:
		return "AS"
	case TGS:
		return "TGS"
	}
	return fmt.Sprintf("Exchange(%d)", uint8(e))
}

// reply returns the type of message that grants a ticket.
func (e Exchange) reply() uint8 {
	if e == AS {
		return krb.MsgASRep
	}
	return krb.MsgTGSRep
}

// request returns a message that the KDC has not seen yet, and its nonce.
func (s *Session) request(e Exchange, now time.Time) ([]byte, int64, error) {
	body := krb.KDCReqBody{
		Options: krb.FlagForwardable,
		Realm:   s.client.Realm,
		Till:    now.Add(8 * time.Hour),
		Nonce:   int64(s.nonce.Add(1)),
		Etypes:  []int32{s.key.Etype()},
	}
	var (
		msg []byte
		err error
	)
	if e == AS {
		body.Client, body.Server = s.client, krb.TGS(s.client.Realm, s.client.Realm)
		msg, err = s.asReq(&body, now)
	} else {
		body.Server = s.service
		msg, err = s.tgsReq(&body, now)
	}
	return msg, body.Nonce, err
}

func (s *Session) asReq(body *krb.KDCReqBody, now time.Time) ([]byte, error) {
	der, err := body.Marshal()
	if err != nil {
		return nil, err
	}
	value, err := krb.MakeEncTimestamp(s.key, now, now.Nanosecond()/1000)
	if err != nil {
		return nil, err
	}
	return krb.MarshalKDCReq(krb.MsgASReq, []krb.PAData{{Type: krb.PAEncTimestamp, Value: value}}, der)
}

func (s *Session) tgsReq(body *krb.KDCReqBody, now time.Time) ([]byte, error) {
	der, err := body.Marshal()
	if err != nil {
		return nil, err
	}
	sum, err := s.tgt.Key.Checksum(krb.UsageTGSReqChecksum, der)
	if err != nil {
		return nil, err
	}
	a := &krb.Authenticator{Client: s.client, Checksum: krb.Checksum{Type: s.tgt.Key.ChecksumType(), Value: sum}}
	a.CTime, a.Cusec = krb.UniqueTime(now)
	ap, err := krb.MakeAPReq(s.tgt, a, krb.UsageTGSReqAuth, 0)
	if err != nil {
		return nil, err
	}
	return krb.MarshalKDCReq(krb.MsgTGSReq, []krb.PAData{{Type: krb.PATGSReq, Value: ap}}, der)
}

// glance fails on all that does not look like a ticket.
func glance(e Exchange, reply []byte) error {
	if len(reply) > 0 && reply[0] == byte(krb.App(e.reply())) {
		return nil
	}
	if ke, err := krb.ParseKRBError(reply); err == nil {
		return fmt.Errorf("%v exchange: %w", e, ke)
	}
	return fmt.Errorf("%v exchange: %w: an answer of %d bytes", e, krb.ErrMalformed, len(reply))
}

// verify opens a reply.
func (s *Session) verify(e Exchange, reply []byte, nonce int64) error {
	rep, err := krb.ParseKDCRep(reply, e.reply())
	if err != nil {
		return err
	}
	key, usage, server := s.key, krb.UsageASRepEncPart, krb.TGS(s.client.Realm, s.client.Realm)
	if e == TGS {
		key, usage, server = s.tgt.Key, krb.UsageTGSRepSessionKey, s.service
	}
	plain, err := key.OpenData(usage, rep.EncPart)
	if err != nil {
		return fmt.Errorf("%v exchange: %w", e, err)
	}
	part, err := krb.ParseEncKDCRepPart(plain)
	if err != nil {
		return err
	}
	if part.Nonce != nonce || !part.Server.SameName(server) || !rep.Client.Equal(s.client) || part.Key.Etype() != s.key.Etype() {
		return fmt.Errorf("%v exchange: a ticket of %v for %v with nonce %d and a key of %s, want %v, %v, %d and %s",
			e, rep.Client, part.Server, part.Nonce, krb.EtypeName(part.Key.Etype()), s.client, server, nonce, krb.EtypeName(s.key.Etype()))
	}
	return nil
}
