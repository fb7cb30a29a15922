package fakekdc

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Options of KDC requests (RFC 4120 section 5.4.1), bit 0 the most significant.
const (
	optForwardable = krb.FlagForwardable
	optForwarded   = krb.FlagForwarded
	optProxiable   = krb.FlagProxiable
	optProxy       = 1 << (31 - 4)
	optMayPostdate = 1 << (31 - 5) // allow-postdate
	optPostdated   = 1 << (31 - 6)
	optRenewable   = krb.FlagRenewable
	optConstrained = 1 << (31 - 14) // cname-in-addl-tkt ([MS-SFU] section 2.2.3)
	optCanonical   = krb.OptionCanonical
	optAnonymous   = 1 << (31 - 16) // RFC 8062 section 3
	optNoTransit   = 1 << (31 - 26) // disable-transited-check
	optRenewableOK = krb.OptionRenewableOK
	optUserToUser  = 1 << (31 - 28) // enc-tkt-in-skey
	optRenew       = krb.OptionRenew
	optValidate    = 1 // bit 31
)

// Kinds of pre-authentication data (RFC 4120 section 7.5.2).
const (
	paTGSReq       int32 = 1
	paEncTimestamp int32 = 2
	paEtypeInfo2   int32 = 19
	paPACRequest   int32 = 128 // [MS-KILE] section 2.2.3
	paForUser      int32 = 129 // [MS-SFU] section 2.2.1
	paS4UX509User  int32 = 130 // [MS-SFU] section 2.2.2
	paFXFast       int32 = 136 // RFC 6113 section 5.4
	paReqEncPARep  int32 = 149 // RFC 6806 section 11
	paPACOptions   int32 = 167 // [MS-KILE] section 2.2.10
)

const (
	maxEtypes  = 64 // in one request; MIT sends eight
	maxTickets = 4  // additional ones; clients send one
)

// A request is a decoded KDC-REQ (RFC 4120 section 5.4.1). Byte fields share
// memory with raw.
type request struct {
	raw       []byte
	kind      Kind
	padata    []krb.PAData
	body      []byte // DER of KDC-REQ-BODY, which checksums cover
	options   uint32
	client    krb.Principal // with the realm asked in; zero when absent
	server    krb.Principal // likewise
	realm     string
	from      time.Time // zero when absent
	till      time.Time // zero and the epoch mean as long as can be
	rtime     time.Time
	nonce     int64 // as it came: some clients send signed ones
	etypes    []int32
	addresses []byte // DER of HostAddresses
	authData  []byte // DER of EncryptedData
	tickets   []krb.TicketFields
	refer     string     // realm that a fault would have the answer lead to
	sender    netip.Addr // zero when not known
}

func (q *request) has(options uint32) bool { return q.options&options != 0 }

// parseRequest reads [APPLICATION 10] AS-REQ or [APPLICATION 12] TGS-REQ.
func parseRequest(b []byte) (*request, error) {
	q := &request{raw: b, kind: AS}
	tag, what := krb.MsgASReq, "AS-REQ"
	if len(b) > 0 && b[0] == byte(krb.App(krb.MsgTGSReq)) {
		q.kind, tag, what = TGS, krb.MsgTGSReq, "TGS-REQ"
	}
	f := krb.OpenApp(what, tag, b)
	vno, kind := f.Int32(1), f.Int32(2)
	if f.Has(3) {
		var err error
		if q.padata, err = krb.ParsePADatas(f.Raw(3)); err != nil {
			return nil, err
		}
	}
	q.body = f.Raw(4)
	if err := f.Err(true); err != nil {
		return nil, err
	}
	if vno != 5 || kind != int32(tag) {
		return nil, fmt.Errorf("%w: %s of version %d type %d, want 5 and %d", krb.ErrMalformed, what, vno, kind, tag)
	}
	return q, q.parseBody()
}

func (q *request) parseBody() error {
	f := krb.OpenFields("request body", q.body)
	q.options = f.Flags(0)
	if f.Has(1) {
		q.client = f.Name(1)
	}
	q.realm = f.Text(2)
	if f.Has(3) {
		q.server = f.Name(3)
	}
	if f.Has(4) {
		q.from = f.Time(4)
	}
	q.till = f.Time(5)
	if f.Has(6) {
		q.rtime = f.Time(6)
	}
	q.nonce = f.Int(7)
	etypes := f.Raw(8)
	q.addresses = f.Optional(9)
	q.authData = f.Optional(10)
	tickets := f.Optional(11)
	if err := f.Err(true); err != nil {
		return err
	}
	if q.nonce < -1<<31 || q.nonce >= 1<<32 {
		return fmt.Errorf("%w: nonce exceeds 32 bits", krb.ErrMalformed)
	}
	q.client.Realm, q.server.Realm = q.realm, q.realm
	var list cryptobyte.String
	if !etypes.ReadASN1(&list, asn1.SEQUENCE) || !etypes.Empty() {
		return fmt.Errorf("%w: request body: no list of encryption types", krb.ErrMalformed)
	}
	for !list.Empty() {
		var e int64
		if !list.ReadASN1Integer(&e) || e != int64(int32(e)) || len(q.etypes) == maxEtypes {
			return fmt.Errorf("%w: request body: bad list of encryption types", krb.ErrMalformed)
		}
		q.etypes = append(q.etypes, int32(e))
	}
	if tickets != nil {
		if err := q.parseTickets(tickets); err != nil {
			return err
		}
	}
	if q.addresses != nil {
		rest := cryptobyte.String(q.addresses)
		if !rest.SkipASN1(asn1.SEQUENCE) || !rest.Empty() {
			return fmt.Errorf("%w: request body: bad addresses", krb.ErrMalformed)
		}
	}
	return nil
}

func (q *request) parseTickets(s cryptobyte.String) error {
	var list cryptobyte.String
	if !s.ReadASN1(&list, asn1.SEQUENCE) || !s.Empty() {
		return fmt.Errorf("%w: request body: bad additional tickets", krb.ErrMalformed)
	}
	for !list.Empty() {
		var el cryptobyte.String
		if !list.ReadASN1Element(&el, krb.App(1)) || len(q.tickets) == maxTickets {
			return fmt.Errorf("%w: request body: bad additional tickets", krb.ErrMalformed)
		}
		t, err := krb.ParseTicket(el)
		if err != nil {
			return err
		}
		q.tickets = append(q.tickets, t)
	}
	return nil
}

func (q *request) find(pa int32) ([]byte, bool) {
	for _, p := range q.padata {
		if p.Type == pa {
			return p.Value, true
		}
	}
	return nil, false
}
