package fakekdc_test

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/dertest"
	"github.com/kerbchain/kerbchain/internal/krb"
)

const (
	forwardable = 1 << (31 - 1)
	proxied     = 1 << (31 - 14) // cname-in-addl-tkt
	toUser      = 1 << (31 - 28) // enc-tkt-in-skey
)

// ticketFrom asks the KDC for a ticket as those do who act for users; it is nil when
// there is none.
func ticketFrom(realm *fakekdc.Realm, tgt *krb.Ticket, server string, options uint32, second *krb.Ticket, padata ...krb.PAData) *krb.Ticket {
	name, err := krb.ParsePrincipal(server)
	must(err)
	q := krb.KDCReqBody{Options: options, Realm: realm.Name(), Server: name, Till: tgt.EndTime, Nonce: 1, Etypes: []int32{fakekdc.AES256SHA1}}
	body, err := q.Marshal()
	must(err)
	if second != nil {
		s := cryptobyte.String(body)
		var fields cryptobyte.String
		s.ReadASN1(&fields, asn1.SEQUENCE)
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(fields)
			b.AddASN1(krb.Ctx(11), func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(second.Raw) })
			})
		})
		body = b.BytesOrPanic()
	}
	sum, err := tgt.Key.Checksum(krb.UsageTGSReqChecksum, body)
	must(err)
	a := &krb.Authenticator{Client: tgt.Client, Checksum: krb.Checksum{Type: tgt.Key.ChecksumType(), Value: sum}}
	a.CTime, a.Cusec = krb.UniqueTime(realm.Now())
	ap, err := krb.MakeAPReq(tgt, a, krb.UsageTGSReqAuth, 0)
	must(err)
	req, err := krb.MarshalKDCReq(krb.MsgTGSReq, append([]krb.PAData{{Type: 1, Value: ap}}, padata...), body)
	must(err)
	conn, err := net.Dial("tcp", realm.Addr())
	must(err)
	defer conn.Close()
	_, err = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(req))), req...))
	must(err)
	var head [4]byte
	_, err = io.ReadFull(conn, head[:])
	must(err)
	reply, err := io.ReadAll(io.LimitReader(conn, int64(binary.BigEndian.Uint32(head[:]))))
	must(err)
	if _, err := krb.ParseKRBError(reply); err == nil {
		return nil
	}
	rep, err := krb.ParseKDCRep(reply, krb.MsgTGSRep)
	must(err)
	plain, err := tgt.Key.OpenData(krb.UsageTGSRepSessionKey, rep.EncPart)
	must(err)
	part, err := krb.ParseEncKDCRepPart(plain)
	must(err)
	return &krb.Ticket{Client: rep.Client, Server: part.Server, Raw: rep.RawTicket, Key: part.Key, Flags: part.Flags, EndTime: part.EndTime}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// loggedIn is the ticket-granting ticket of a user or service.
func loggedIn(realm *fakekdc.Realm, name string) *krb.Ticket {
	cache, err := ccache.Parse(realm.CCache(name))
	must(err)
	tgt, err := cache.Credentials[0].Ticket()
	must(err)
	return tgt
}

// onBehalf lets a service get a ticket of a user for itself, and with it one for
// another service, and prints what the KDC said to it.
func onBehalf(realm *fakekdc.Realm, service, user, target string) {
	tgt := loggedIn(realm, service)
	self := ticketFrom(realm, tgt, service, forwardable, nil, forUser(tgt.Key, krb.NewPrincipal(realm.Name(), user)))
	if self != nil && target != "" {
		rbcd := krb.PAData{Type: 167, Value: []byte{0x30, 9, 0xa0, 7, 3, 5, 0, 0x10, 0, 0, 0}}
		ticketFrom(realm, tgt, target, forwardable|proxied, self, rbcd)
	}
	fmt.Println(realm.Exchanges())
}

// forUser is PA-FOR-USER ([MS-SFU] section 2.2.1).
func forUser(session krb.Key, user krb.Principal) krb.PAData {
	data := binary.LittleEndian.AppendUint32(nil, uint32(user.Type))
	data = append(data, user.Components[0]+user.Realm+"Kerberos"...)
	keyed := func(key []byte, data ...[]byte) []byte {
		m := hmac.New(md5.New, key)
		for _, d := range data {
			m.Write(d)
		}
		return m.Sum(nil)
	}
	inner := md5.Sum(append([]byte{17, 0, 0, 0}, data...))
	sum := keyed(keyed(session.Bytes(), []byte("signaturekey\x00")), inner[:])
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		dertest.AddName(b, 0, user.Type, user.Components...)
		dertest.AddString(b, 1, user.Realm)
		b.AddASN1(krb.Ctx(2), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				dertest.AddInt(b, 0, -138)
				dertest.AddOctets(b, 1, sum)
			})
		})
		dertest.AddString(b, 3, "Kerberos")
	})
	return krb.PAData{Type: 129, Value: b.BytesOrPanic()}
}
