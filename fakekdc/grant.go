package fakekdc

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A grant is a ticket in the making: what is sealed into it for the server and
// told to the client.
type grant struct {
	client    krb.Principal // with its realm
	server    krb.Principal // with its realm
	flags     uint32
	session   krb.Key
	authTime  time.Time
	start     time.Time
	end       time.Time
	renewTill time.Time   // zero unless renewable
	transited []byte      // DER of TransitedEncoding; nil for none
	addresses []byte      // DER of HostAddresses
	authData  []byte      // DER of AuthorizationData
	pac       []pacBuffer // what the ticket's PAC says; nil for none
	opened    krb.Key     // that sealed the ticket, of one that came to us
}

// seal returns [APPLICATION 1] Ticket under the server's key.
func (g *grant) seal(key krb.Key, kvno uint32) ([]byte, error) {
	part, err := g.marshal()
	if err != nil {
		return nil, err
	}
	sealed, err := key.Seal(krb.UsageTicket, part)
	if err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(sealed)+128))
	b.AddASN1(krb.App(1), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			krb.AddInt(b, 0, 5)
			krb.AddString(b, 1, g.server.Realm)
			krb.AddName(b, 2, g.server)
			krb.AddEncrypted(b, 3, krb.EncryptedData{Etype: key.Etype(), Kvno: kvno, Cipher: sealed})
		})
	})
	return b.Bytes()
}

// marshal returns [APPLICATION 3] EncTicketPart.
func (g *grant) marshal() ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 320+len(g.transited)+len(g.addresses)+len(g.authData)))
	b.AddASN1(krb.App(3), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			krb.AddFlags(b, 0, g.flags)
			krb.AddKey(b, 1, g.session)
			krb.AddString(b, 2, g.client.Realm)
			krb.AddName(b, 3, g.client)
			b.AddASN1(krb.Ctx(4), func(b *cryptobyte.Builder) {
				if g.transited != nil {
					b.AddBytes(g.transited)
					return
				}
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					krb.AddInt(b, 0, 1) // DOMAIN-X500-COMPRESS
					krb.AddOctets(b, 1, nil)
				})
			})
			krb.AddTime(b, 5, g.authTime)
			krb.AddTime(b, 6, g.start)
			krb.AddTime(b, 7, g.end)
			if !g.renewTill.IsZero() {
				krb.AddTime(b, 8, g.renewTill)
			}
			addRaw(b, 9, g.addresses)
			addRaw(b, 10, g.authData)
		})
	})
	return b.Bytes()
}

// addRaw writes [n] around an encoded element, nothing if there is none.
func addRaw(b *cryptobyte.Builder, n uint8, der []byte) {
	if der != nil {
		b.AddASN1(krb.Ctx(n), func(b *cryptobyte.Builder) { b.AddBytes(der) })
	}
}

// openTicket opens a ticket with a server's key. Byte fields share memory with
// nothing.
func openTicket(t krb.TicketFields, key krb.Key) (*grant, error) {
	plain, err := key.OpenData(krb.UsageTicket, t.EncPart)
	if err != nil {
		return nil, err
	}
	g, err := parseGrant(plain, t.Server)
	if err == nil {
		g.opened = key
	}
	return g, err
}

// parseGrant reads [APPLICATION 3] EncTicketPart.
func parseGrant(plain []byte, server krb.Principal) (*grant, error) {
	f := krb.OpenApp("ticket part", 3, plain)
	g := &grant{server: server, flags: f.Flags(0), session: f.Key(1)}
	realm := f.Text(2)
	g.client = f.Name(3)
	g.client.Realm = realm
	g.transited = f.Raw(4)
	g.authTime = f.Time(5)
	g.start = g.authTime
	if f.Has(6) {
		g.start = f.Time(6)
	}
	g.end = f.Time(7)
	if f.Has(8) {
		g.renewTill = f.Time(8)
	}
	g.addresses = f.Optional(9)
	g.authData = f.Optional(10)
	if err := f.Err(true); err != nil {
		return nil, err
	}
	return g, nil
}

// usable reports the KRB-ERROR code that the ticket's times call for, 0 when it
// is valid at now.
func (g *grant) usable(now time.Time, skew time.Duration) int32 {
	switch {
	case g.flags&krb.FlagInvalid != 0, g.start.After(now.Add(skew)):
		return krb.CodeTicketNotYet
	case !g.end.Add(skew).After(now):
		return krb.CodeTicketExpired
	}
	return 0
}

// A reply is a KDC-REP in the making. Faults change it before it is encoded.
type reply struct {
	kind   Kind
	ticket []byte
	grant  grant // as told to the client; the ticket is sealed already
	nonce  int64
	padata []krb.PAData
	sealed []krb.PAData // in the part for the client
	under  krb.Key      // seals the ticket, if not the server's key does
	key    krb.Key      // seals the part for the client
	kvno   uint32       // of key; 0 for session keys
	usage  uint32
	short  bool // leave almost nothing of the sealed part
}

// marshal returns AS-REP or TGS-REP.
func (p *reply) marshal() ([]byte, error) {
	kind, tag := krb.MsgASRep, uint8(25)
	if p.kind == TGS {
		kind, tag = krb.MsgTGSRep, 26
	}
	part, err := p.part(tag)
	if err != nil {
		return nil, err
	}
	sealed, err := p.key.Seal(p.usage, part)
	if err != nil {
		return nil, err
	}
	if p.short {
		sealed = sealed[:5]
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(p.ticket)+len(sealed)+256))
	b.AddASN1(krb.App(kind), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			krb.AddInt(b, 0, 5)
			krb.AddInt(b, 1, int64(kind))
			if len(p.padata) > 0 {
				krb.AddPADatas(b, 2, p.padata)
			}
			krb.AddString(b, 3, p.grant.client.Realm)
			krb.AddName(b, 4, p.grant.client)
			addRaw(b, 5, p.ticket)
			krb.AddEncrypted(b, 6, krb.EncryptedData{Etype: p.key.Etype(), Kvno: p.kvno, Cipher: sealed})
		})
	})
	return b.Bytes()
}

// part returns EncASRepPart or EncTGSRepPart (RFC 4120 section 5.4.2).
func (p *reply) part(tag uint8) ([]byte, error) {
	g := &p.grant
	b := cryptobyte.NewBuilder(make([]byte, 0, 384+len(g.addresses)))
	b.AddASN1(krb.App(tag), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			krb.AddKey(b, 0, g.session)
			b.AddASN1(krb.Ctx(1), func(b *cryptobyte.Builder) { // last-req
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						krb.AddInt(b, 0, 0)
						krb.AddTime(b, 1, g.start)
					})
				})
			})
			krb.AddInt(b, 2, p.nonce)
			krb.AddFlags(b, 4, g.flags)
			krb.AddTime(b, 5, g.authTime)
			krb.AddTime(b, 6, g.start)
			krb.AddTime(b, 7, g.end)
			if !g.renewTill.IsZero() {
				krb.AddTime(b, 8, g.renewTill)
			}
			krb.AddString(b, 9, g.server.Realm)
			krb.AddName(b, 10, g.server)
			addRaw(b, 11, g.addresses)
			if len(p.sealed) > 0 {
				krb.AddPADatas(b, 12, p.sealed)
			}
		})
	})
	return b.Bytes()
}

// paddingData returns AuthorizationData of about n bytes, of a type that nobody
// acts upon, inside AD-IF-RELEVANT (RFC 4120 section 5.2.6.1).
func paddingData(n int) ([]byte, error) {
	const unassigned = 512
	return ifRelevant(unassigned, make([]byte, n))
}
