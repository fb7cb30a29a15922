package fakekdc

import (
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/internal/pac"
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
	renewTill time.Time    // zero unless renewable
	transited []byte       // DER of TransitedEncoding; nil for none
	addresses []byte       // DER of HostAddresses
	authData  []byte       // DER of AuthorizationData
	pac       []pac.Buffer // what the ticket's PAC says; nil for none
	opened    krb.Key      // that sealed the ticket, of one that came to us
}

// part returns what is sealed into the ticket.
func (g *grant) part() *krb.EncTicketPart {
	return &krb.EncTicketPart{
		Flags: g.flags, Key: g.session, Client: g.client, Transited: g.transited,
		AuthTime: g.authTime, StartTime: g.start, EndTime: g.end, RenewTill: g.renewTill,
		Addresses: g.addresses, AuthData: g.authData,
	}
}

// seal returns the ticket under a key of the server's.
func (g *grant) seal(key krb.Key, kvno uint32) ([]byte, error) {
	return krb.SealTicket(g.server, key, kvno, g.part())
}

// openTicket opens a ticket with a server's key. Byte fields share memory with
// nothing.
func openTicket(t krb.TicketFields, key krb.Key) (*grant, error) {
	p, err := t.Open(key)
	if err != nil {
		return nil, err
	}
	g := &grant{
		client: p.Client, server: t.Server, flags: p.Flags, session: p.Key,
		authTime: p.AuthTime, start: p.StartTime, end: p.EndTime, renewTill: p.RenewTill,
		transited: p.Transited, addresses: p.Addresses, authData: p.AuthData, opened: key,
	}
	if g.start.IsZero() {
		g.start = g.authTime
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

	fast       *fastState // nil without armour
	strengthen krb.Key    // with armour: what made key of the one before
	now        time.Time
}

// marshal returns AS-REP or TGS-REP.
func (p *reply) marshal() ([]byte, error) {
	kind := krb.MsgASRep
	if p.kind == TGS {
		kind = krb.MsgTGSRep
	}
	g := &p.grant
	part := krb.EncKDCRepPart{
		Key: g.session, Nonce: p.nonce, Flags: g.flags,
		AuthTime: g.authTime, StartTime: g.start, EndTime: g.end, RenewTill: g.renewTill,
		Server: g.server, Addresses: g.addresses, PAData: p.sealed,
	}
	rep := krb.KDCRep{PAData: p.padata, Client: g.client, RawTicket: p.ticket}
	if err := p.armored(&rep); err != nil {
		return nil, err
	}
	if !p.short {
		return rep.Seal(kind, &part, p.key, p.kvno, p.usage)
	}
	plain, err := part.Marshal(kind)
	if err != nil {
		return nil, err
	}
	sealed, err := p.key.Seal(p.usage, plain)
	if err != nil {
		return nil, err
	}
	rep.EncPart = krb.EncryptedData{Etype: p.key.Etype(), Kvno: p.kvno, Cipher: sealed[:5]}
	return rep.Marshal(kind)
}
