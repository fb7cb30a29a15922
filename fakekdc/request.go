package fakekdc

import (
	"net/netip"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A request is a decoded KDC-REQ (RFC 4120 section 5.4.1). Byte fields share
// memory with raw. Of times that are absent, those that are zero and the epoch mean
// as long as can be.
type request struct {
	krb.KDCReqBody
	raw     []byte
	kind    Kind
	padata  []krb.PAData
	body    []byte // DER of KDC-REQ-BODY, which checksums cover
	tickets []krb.TicketFields
	refer   string     // realm that a fault would have the answer lead to
	alone   bool       // a fault would have the user of S4U2Self count for nothing
	sender  netip.Addr // zero when not known
	fast    fastState
}

func (q *request) has(options uint32) bool { return q.Options&options != 0 }

// find returns the first pre-authentication data of a type.
func (q *request) find(pa int32) ([]byte, bool) { return krb.FindPAData(q.padata, pa) }

// parseRequest reads AS-REQ or TGS-REQ.
func parseRequest(b []byte) (*request, error) {
	m, err := krb.ParseKDCReq(b)
	if err != nil {
		return nil, err
	}
	q := &request{raw: b, kind: AS, padata: m.PAData, body: m.Body}
	if m.Kind == krb.MsgTGSReq {
		q.kind = TGS
	}
	return q, q.read(q.body)
}

// read makes body that of the request.
func (q *request) read(body []byte) (err error) {
	q.body, q.tickets = body, nil
	if q.KDCReqBody, err = krb.ParseKDCReqBody(body); err != nil {
		return err
	}
	for _, der := range q.Tickets {
		t, err := krb.ParseTicket(der)
		if err != nil {
			return err
		}
		q.tickets = append(q.tickets, t)
	}
	return nil
}
