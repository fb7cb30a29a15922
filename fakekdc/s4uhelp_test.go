package fakekdc

import (
	"encoding/binary"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	//lint:ignore SA1019 MS-SFU has clients with RC4 keys hash with MD4
	"golang.org/x/crypto/md4"

	"github.com/kerbchain/kerbchain/internal/dertest"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// A tgsAsk is a TGS-REQ with what ordinary ones have not.
type tgsAsk struct {
	tgt      *krb.Ticket
	body     krb.KDCReqBody
	tickets  [][]byte       // [11] additional tickets
	address  []byte         // [9]
	authData []byte         // [10], in clear
	padata   []krb.PAData   // in the clear part
	self     *krb.Principal // S4U2Self for that user, in both forms
	forms    string         // "old", "new"; both when empty
	spoilPA  func([]krb.PAData)
	noSubkey bool
	sumType  int32 // of the new form; 0 for the key's
}

// extend writes further fields at the end of a SEQUENCE.
func extend(tb testing.TB, der []byte, fields func(*cryptobyte.Builder)) []byte {
	tb.Helper()
	s := cryptobyte.String(der)
	var in cryptobyte.String
	if !s.ReadASN1(&in, asn1.SEQUENCE) {
		tb.Fatal("no sequence")
	}
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(in)
		fields(b)
	})
	return b.BytesOrPanic()
}

// request returns the packet, and the key and usage of the reply.
func (a tgsAsk) request(tb testing.TB, r *Realm) (packet []byte, key krb.Key, usage uint32) {
	tb.Helper()
	der, err := a.body.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	subkey, err := krb.GenerateKey(a.tgt.Key.Etype())
	if err != nil {
		tb.Fatal(err)
	}
	key, usage = subkey, krb.UsageTGSRepSubkey
	if a.noSubkey {
		key, usage, subkey = a.tgt.Key, krb.UsageTGSRepSessionKey, krb.Key{}
	}
	der = extend(tb, der, func(b *cryptobyte.Builder) {
		dertest.AddRaw(b, 9, a.address)
		if a.authData != nil {
			u := krb.UsageTGSReqAuthDataSubkey
			if a.noSubkey {
				u = krb.UsageTGSReqAuthDataSession
			}
			sealed, err := key.Seal(u, a.authData)
			if err != nil {
				tb.Fatal(err)
			}
			dertest.AddEncrypted(b, 10, key.Etype(), 0, sealed)
		}
		if a.tickets != nil {
			b.AddASN1(krb.Ctx(11), func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					for _, t := range a.tickets {
						b.AddBytes(t)
					}
				})
			})
		}
	})
	sum, err := a.tgt.Key.Checksum(krb.UsageTGSReqChecksum, der)
	if err != nil {
		tb.Fatal(err)
	}
	auth := &krb.Authenticator{Client: a.tgt.Client, Subkey: subkey, Checksum: krb.Checksum{Type: a.tgt.Key.ChecksumType(), Value: sum}}
	auth.CTime, auth.Cusec = krb.UniqueTime(r.Now())
	ap, err := krb.MakeAPReq(a.tgt, auth, krb.UsageTGSReqAuth, 0)
	if err != nil {
		tb.Fatal(err)
	}
	list := append([]krb.PAData{{Type: krb.PATGSReq, Value: ap}}, a.padata...)
	if a.self != nil {
		if a.forms != "new" {
			list = append(list, krb.PAData{Type: krb.PAForUser, Value: forUserPA(tb, a.tgt.Key, *a.self)})
		}
		if a.forms != "old" {
			list = append(list, krb.PAData{Type: krb.PAS4UX509User, Value: x509UserPA(tb, key, a.sumType, uint32(a.body.Nonce), *a.self)})
		}
	}
	if a.spoilPA != nil {
		a.spoilPA(list)
	}
	packet, err = krb.MarshalKDCReq(krb.MsgTGSReq, list, der)
	if err != nil {
		tb.Fatal(err)
	}
	return packet, key, usage
}

// ticket is what is granted, with what the client is told.
func (a tgsAsk) ticket(tb testing.TB, r *Realm) (*krb.Ticket, *krb.EncKDCRepPart, []krb.PAData) {
	tb.Helper()
	packet, key, usage := a.request(tb, r)
	reply := exchange(tb, r, "tcp", packet)
	t, part := openRep(tb, krb.MsgTGSRep, reply, key, usage)
	rep, err := krb.ParseKDCRep(reply, krb.MsgTGSRep)
	if err != nil {
		tb.Fatal(err)
	}
	return t, part, rep.PAData
}

// code is that of the KRB-ERROR, 0 for a ticket.
func (a tgsAsk) code(tb testing.TB, r *Realm) int32 {
	tb.Helper()
	packet, key, usage := a.request(tb, r)
	reply := exchange(tb, r, "tcp", packet)
	if e, err := krb.ParseKRBError(reply); err == nil {
		return e.Code
	}
	openRep(tb, krb.MsgTGSRep, reply, key, usage)
	return 0
}

// opened is what a service finds in a ticket of the realm's.
func opened(tb testing.TB, r *Realm, t *krb.Ticket) *grant {
	tb.Helper()
	f, err := krb.ParseTicket(t.Raw)
	if err != nil {
		tb.Fatal(err)
	}
	key, code := r.lookup(f.Server).find(f.EncPart.Etype, f.EncPart.Kvno)
	if code != 0 {
		tb.Fatal(krb.ErrorName(code))
	}
	g, err := openTicket(f, key)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// forUserPA returns PA-FOR-USER as Windows makes it.
func forUserPA(tb testing.TB, session krb.Key, user krb.Principal) []byte {
	tb.Helper()
	data := binary.LittleEndian.AppendUint32(nil, uint32(user.Type))
	for _, c := range user.Components {
		data = append(data, c...)
	}
	data = append(append(data, user.Realm...), "Kerberos"...)
	return forUserDER(user, krb.Checksum{Type: krb.ChecksumHMACMD5, Value: session.ChecksumHMACMD5(krb.UsageNonKerberosChecksum, data)})
}

func forUserDER(user krb.Principal, sum krb.Checksum) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		dertest.AddName(b, 0, user.Type, user.Components...)
		dertest.AddString(b, 1, user.Realm)
		dertest.AddChecksum(b, 2, sum.Type, sum.Value)
		dertest.AddString(b, 3, "Kerberos")
	})
	return b.BytesOrPanic()
}

// x509UserPA returns PA-S4U-X509-USER with the option that MIT's clients set.
func x509UserPA(tb testing.TB, key krb.Key, kind int32, nonce uint32, user krb.Principal) []byte {
	tb.Helper()
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		dertest.AddInt(b, 0, int64(nonce))
		if !user.IsZero() {
			dertest.AddName(b, 1, user.Type, user.Components...)
		}
		dertest.AddString(b, 2, user.Realm)
		dertest.AddFlags(b, 4, krb.S4UReplyUsage)
	})
	return x509DER(tb, key, kind, b.BytesOrPanic())
}

func x509DER(tb testing.TB, key krb.Key, kind int32, id []byte) []byte {
	tb.Helper()
	var sum []byte
	if kind == krb.ChecksumRSAMD4 {
		h := md4.New()
		h.Write(id)
		sum = h.Sum(nil)
	} else {
		var err error
		if sum, err = key.Checksum(krb.UsageS4UX509Request, id); err != nil {
			tb.Fatal(err)
		}
		if kind == 0 {
			kind = key.ChecksumType()
		}
	}
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		dertest.AddRaw(b, 0, id)
		dertest.AddChecksum(b, 1, kind, sum)
	})
	return b.BytesOrPanic()
}

// rbcd is PA-PAC-OPTIONS of a client that knows of resource-based delegation.
var rbcd = krb.PAData{Type: krb.PAPACOptions, Value: []byte{0x30, 9, 0xa0, 7, 3, 5, 0, 0x10, 0, 0, 0}}
