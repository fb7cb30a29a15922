package benchkdc

import (
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Pre-authentication data types (RFC 4120 section 7.5.2).
const (
	paTGSReq       = 1
	paEncTimestamp = 2
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
func (s *Session) request(e Exchange, now time.Time) ([]byte, int32, error) {
	body := krb.KDCReqBody{
		Options: krb.FlagForwardable,
		Realm:   s.client.Realm,
		Till:    now.Add(8 * time.Hour),
		Nonce:   s.nonce.Add(1),
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
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { // PA-ENC-TS-ENC
		krb.AddTime(b, 0, now)
		krb.AddInt(b, 1, int64(now.Nanosecond()/1000))
	})
	plain, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	sealed, err := s.key.Seal(krb.UsagePAEncTimestamp, plain)
	if err != nil {
		return nil, err
	}
	b = cryptobyte.NewBuilder(nil)
	krb.AddEncrypted(b, 0, krb.EncryptedData{Etype: s.key.Etype(), Cipher: sealed})
	tagged, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	in := cryptobyte.String(tagged)
	var value cryptobyte.String
	if !in.ReadASN1(&value, krb.Ctx(0)) {
		return nil, fmt.Errorf("%w: our own EncryptedData", krb.ErrMalformed)
	}
	return krb.MarshalKDCReq(krb.MsgASReq, []krb.PAData{{Type: paEncTimestamp, Value: value}}, der)
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
	return krb.MarshalKDCReq(krb.MsgTGSReq, []krb.PAData{{Type: paTGSReq, Value: ap}}, der)
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
func (s *Session) verify(e Exchange, reply []byte, nonce int32) error {
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
