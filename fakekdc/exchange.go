package fakekdc

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A Kind is a kind of exchange with the KDC, or the service for password changes.
type Kind uint8

// Kinds of exchanges. Any matches all of them.
const (
	Any     Kind = iota
	AS           // authentication service: the first ticket
	TGS          // ticket-granting service: all further ones
	Other        // what could not be decoded, and is answered if its frame was too long alone
	Kpasswd      // change of a password (RFC 3244)
)

// String returns the name of the kind.
func (k Kind) String() string {
	switch k {
	case Any:
		return "any"
	case AS:
		return "AS"
	case TGS:
		return "TGS"
	case Kpasswd:
		return "kpasswd"
	}
	return "other"
}

// An Exchange is one request to the KDC and what came of it.
type Exchange struct {
	Kind    Kind
	Network string // "udp", "tcp", or "kkdcp" through a KDC proxy
	Realm   string // whose KDC was asked
	KDC     string // its address, host:port; "" through a proxy
	Client  string // name@REALM, as far as it is known
	For     string // name@REALM of the user for whom the client, a service, asks (S4U)
	Server  string // name@REALM, as asked for; of a password, whose it is
	Via     string // realm that issued the ticket-granting ticket, if another
	Granted string // name@REALM that the ticket is for; "" without a ticket
	Options uint32 // KDCOptions as received, bit 0 the most significant
	FAST    bool   // the request was armoured, and what stands here was inside
	Code    int32  // of the KRB-ERROR replied; 0 for a ticket, or a changed password
	Result  string // why a password was not changed, as the user is told
	Etype   int32  // of the session key granted
	Fault   string // what FailNext had ordered
	Time    time.Time
}

// String returns one line for people.
func (e Exchange) String() string {
	s := fmt.Sprintf("%s/%s %s for %s", e.Kind, e.Network, e.Client, e.Server)
	if how := e.how(); how != "" {
		s += ", " + how
	}
	if e.FAST {
		s += ", armoured"
	}
	s += ": "
	switch {
	case e.Code != 0:
		s += krb.ErrorName(e.Code)
	case e.Result != "":
		s += e.Result
	case e.Kind == Kpasswd && e.Granted != "":
		s += "changed"
	case e.Kind == Kpasswd:
		s += "no change"
	case e.Etype != 0:
		s += krb.EtypeName(e.Etype)
	default:
		s += "no ticket"
	}
	if e.Granted != "" && e.Granted != e.Server {
		s += ", granted " + e.Granted
	}
	if e.Fault != "" {
		s += " [" + e.Fault + "]"
	}
	return s
}

// armored notes what a request was that was armoured.
func (e *Exchange) armored(q *request) {
	if q.fast.on() {
		e.FAST, e.Server, e.Options = true, nameOf(q.Server), q.Options
		if e.Kind == AS {
			e.Client = nameOf(q.Client)
		}
	}
}

// how names what is special about the ticket asked for.
func (e Exchange) how() string {
	if e.Kind != AS && e.Kind != TGS {
		return ""
	}
	switch {
	case e.Options&krb.OptionCNameInAddlTkt != 0 && e.For != "":
		return "S4U2Proxy for " + e.For
	case e.Options&krb.OptionCNameInAddlTkt != 0:
		return "S4U2Proxy"
	case e.For != "":
		return "S4U2Self for " + e.For
	case e.Options&krb.OptionEncTktInSKey != 0:
		return "user to user"
	case e.Options&krb.OptionValidate != 0:
		return "to validate"
	case e.Options&krb.OptionProxy != 0:
		return "as a proxy"
	case e.Options&krb.OptionPostdated != 0:
		return "postdated"
	}
	return ""
}

// Exchanges are a record, oldest first.
type Exchanges []Exchange

// String returns one line for each exchange, without a newline after the last,
// "no exchanges" for none.
func (l Exchanges) String() string {
	if len(l) == 0 {
		return "no exchanges"
	}
	var b strings.Builder
	for i, e := range l {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.String())
	}
	return b.String()
}

// maxRecords bounds the memory of a realm that runs for long.
const maxRecords = 1 << 14

type exchangeLog struct {
	mu   sync.Mutex
	list []Exchange
}

func (l *exchangeLog) add(e Exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) == maxRecords {
		l.list = slices.Delete(l.list, 0, maxRecords/4)
	}
	l.list = append(l.list, e)
}

// Exchanges returns what the KDC was asked and how it answered, oldest first.
// A user's login with pre-authentication is two exchanges, the first with code
// 25. Of very many, the last ten thousand or so are kept. fmt.Println prints them
// one a line.
//
// A client that waits for an answer sends the same bytes again, over UDP or TCP. As with
// MIT's KDC, such a request gets the same reply from the KDC for two minutes, and is no
// exchange of its own. After silence, or a reply that was garbage, it is one, and through a
// KDC proxy always.
func (r *Realm) Exchanges() Exchanges {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return slices.Clone(r.log.list)
}

// Count returns how many of Exchanges are of the kind and, when codes are
// given, ended in one of them; code 0 counts tickets and changed passwords.
func (r *Realm) Count(kind Kind, codes ...int32) (n int) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	for _, e := range r.log.list {
		if (kind == Any || kind == e.Kind) && (len(codes) == 0 || slices.Contains(codes, e.Code) && (e.Code != 0 || e.Result == "")) {
			n++
		}
	}
	return n
}

// ResetExchanges forgets them, between the steps of a test.
func (r *Realm) ResetExchanges() {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.log.list = nil
}
