package fakekdc

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/dertest"
	"github.com/kerbchain/kerbchain/internal/krb"
)

var allEtypes = []int32{AES256SHA1, AES128SHA1, AES256SHA384, AES128SHA256, RC4HMAC}

// exchange sends one packet as clients do and returns the reply.
func exchange(tb testing.TB, r *Realm, network string, packet []byte) []byte {
	tb.Helper()
	b, err := try(r, network, packet, 10*time.Second)
	if err != nil {
		tb.Fatalf("%s exchange: %v", network, err)
	}
	return b
}

func try(r *Realm, network string, packet []byte, timeout time.Duration) ([]byte, error) {
	c, err := net.Dial(network, r.Addr())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if network == "udp" {
		if _, err := c.Write(packet); err != nil {
			return nil, err
		}
		buf := make([]byte, 1<<16)
		n, err := c.Read(buf)
		return buf[:n], err
	}
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(packet))), packet...)); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(c, int64(binary.BigEndian.Uint32(head[:]))))
}

// timestamp returns PA-ENC-TIMESTAMP.
func timestamp(tb testing.TB, key krb.Key, at time.Time) krb.PAData {
	tb.Helper()
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		dertest.AddTime(b, 0, at)
		dertest.AddInt(b, 1, int64(at.Nanosecond()/1000))
	})
	sealed, err := key.Seal(krb.UsagePAEncTimestamp, b.BytesOrPanic())
	if err != nil {
		tb.Fatal(err)
	}
	b = cryptobyte.NewBuilder(nil)
	dertest.AddEncrypted(b, 0, key.Etype(), 0, sealed)
	der := b.BytesOrPanic()
	var value cryptobyte.String
	s := cryptobyte.String(der)
	if !s.ReadASN1(&value, krb.Ctx(0)) {
		tb.Fatal("no context tag")
	}
	return krb.PAData{Type: krb.PAEncTimestamp, Value: value}
}

func body(r *Realm, client string, etypes ...int32) krb.KDCReqBody {
	b := krb.KDCReqBody{
		Realm: r.Name(), Server: krb.TGS(r.Name(), r.Name()),
		Till: r.Now().Add(24 * time.Hour), Nonce: 12345, Etypes: etypes,
	}
	if client != "" {
		b.Client = krb.NewPrincipal(r.Name(), client)
	}
	if len(etypes) == 0 {
		b.Etypes = allEtypes
	}
	return b
}

func marshalReq(tb testing.TB, kind uint8, padata []krb.PAData, b krb.KDCReqBody) []byte {
	tb.Helper()
	der, err := b.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	req, err := krb.MarshalKDCReq(kind, padata, der)
	if err != nil {
		tb.Fatal(err)
	}
	return req
}

// asReq is a login with pre-authentication.
func asReq(tb testing.TB, r *Realm, user, password string, etype int32, b krb.KDCReqBody) ([]byte, krb.Key) {
	tb.Helper()
	key := keyOf(tb, r, user, password, etype)
	return marshalReq(tb, krb.MsgASReq, []krb.PAData{timestamp(tb, key, r.Now())}, b), key
}

// keyOf makes a key of a password with the usual salt, once: to make one takes longer than a
// hundred exchanges.
func keyOf(tb testing.TB, r *Realm, user, password string, etype int32) krb.Key {
	tb.Helper()
	type made struct {
		etype          int32
		password, salt string
	}
	of := made{etype, password, krb.NewPrincipal(r.Name(), user).Salt()}
	if key, ok := knownKeys.Load(of); ok {
		return key.(krb.Key)
	}
	key, err := krb.StringToKey(of.etype, of.password, of.salt, nil)
	if err != nil {
		tb.Fatal(err)
	}
	knownKeys.Store(of, key)
	return key
}

var knownKeys sync.Map // those that keyOf made

// openRep opens a reply that must be a ticket.
func openRep(tb testing.TB, kind uint8, b []byte, key krb.Key, usage uint32) (*krb.Ticket, *krb.EncKDCRepPart) {
	tb.Helper()
	if e, err := krb.ParseKRBError(b); err == nil {
		tb.Fatalf("KRB-ERROR in place of a ticket: %v", e)
	}
	rep, err := krb.ParseKDCRep(b, kind)
	if err != nil {
		tb.Fatal(err)
	}
	plain, err := key.OpenData(usage, rep.EncPart)
	if err != nil {
		tb.Fatalf("reply with key %v usage %d: %v", key, usage, err)
	}
	part, err := krb.ParseEncKDCRepPart(plain)
	if err != nil {
		tb.Fatal(err)
	}
	return &krb.Ticket{
		Client: rep.Client, Server: part.Server, Raw: rep.RawTicket, Key: part.Key, Flags: part.Flags,
		AuthTime: part.AuthTime, StartTime: part.StartTime, EndTime: part.EndTime, RenewTill: part.RenewTill,
	}, part
}

func login(tb testing.TB, r *Realm, user, password string, etype int32, b krb.KDCReqBody) *krb.Ticket {
	tb.Helper()
	req, key := asReq(tb, r, user, password, etype, b)
	t, part := openRep(tb, krb.MsgASRep, exchange(tb, r, "udp", req), key, krb.UsageASRepEncPart)
	if part.Nonce != b.Nonce {
		tb.Fatalf("nonce %d, want %d", part.Nonce, b.Nonce)
	}
	return t
}

// tgsReq asks with a ticket; spoil may change the authenticator before it is
// sealed, when the checksum is in place.
func tgsReq(tb testing.TB, r *Realm, tgt *krb.Ticket, b krb.KDCReqBody, spoil func(*krb.Authenticator)) ([]byte, krb.Key) {
	tb.Helper()
	der, err := b.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	sum, err := tgt.Key.Checksum(krb.UsageTGSReqChecksum, der)
	if err != nil {
		tb.Fatal(err)
	}
	subkey, err := krb.GenerateKey(tgt.Key.Etype())
	if err != nil {
		tb.Fatal(err)
	}
	a := &krb.Authenticator{Client: tgt.Client, Subkey: subkey, Checksum: krb.Checksum{Type: tgt.Key.ChecksumType(), Value: sum}}
	a.CTime, a.Cusec = krb.UniqueTime(r.Now())
	if spoil != nil {
		spoil(a)
	}
	ap, err := krb.MakeAPReq(tgt, a, krb.UsageTGSReqAuth, 0)
	if err != nil {
		tb.Fatal(err)
	}
	req, err := krb.MarshalKDCReq(krb.MsgTGSReq, []krb.PAData{{Type: krb.PATGSReq, Value: ap}}, der)
	if err != nil {
		tb.Fatal(err)
	}
	return req, a.Subkey
}

func forService(r *Realm, name string, etypes ...int32) krb.KDCReqBody {
	b := body(r, "", etypes...)
	p, err := krb.ParsePrincipal(name)
	if err != nil {
		panic(err)
	}
	b.Server = p
	return b
}

func ticketFor(tb testing.TB, r *Realm, tgt *krb.Ticket, b krb.KDCReqBody) *krb.Ticket {
	tb.Helper()
	req, key := tgsReq(tb, r, tgt, b, nil)
	t, _ := openRep(tb, krb.MsgTGSRep, exchange(tb, r, "udp", req), key, krb.UsageTGSRepSubkey)
	return t
}

// minted is a ticket made without an exchange.
func minted(tb testing.TB, r *Realm, user, name string) *krb.Ticket {
	tb.Helper()
	p, err := r.lookupText(user)
	if err != nil {
		tb.Fatal(err)
	}
	t, err := r.mint(p, name, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func codeOf(tb testing.TB, reply []byte) int32 {
	tb.Helper()
	e, err := krb.ParseKRBError(reply)
	if err != nil {
		tb.Fatalf("want a KRB-ERROR: %v", err)
	}
	return e.Code
}
