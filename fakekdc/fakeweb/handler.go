package fakeweb

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
)

// Options describe a web service. The zero value is a strict service that
// greets its callers.
type Options struct {
	// Next serves authenticated requests; [CallerOf] tells it whose they are.
	// Nil greets the caller.
	Next http.Handler
	// Proxy makes the service a proxy: 407, Proxy-Authenticate and
	// Proxy-Authorization. See [ForwardProxy] for Next.
	Proxy bool
	// Schemes are offered and taken; nil means Negotiate. Kerberos is the other
	// one that makes sense.
	Schemes []string
	// Bindings is the mode of channel bindings.
	Bindings fakekdc.Bindings
	// Certificate is the one of the TLS server that the service runs in. For a
	// [Server] it is known.
	Certificate *x509.Certificate
	// ConnectionBound authenticates connections instead of requests: after a
	// first success, requests on the connection need no token and get none.
	ConnectionBound bool
	// SessionRequests is how many such requests one success is good for; the
	// next one gets 401 in the middle of the connection's life. 0 means any
	// number. See also [Handler.ForgetConnections].
	SessionRequests int
	// SignalPersistent announces that with Persistent-Auth: true.
	SignalPersistent bool
	// Quirks of the service; [Handler.SetQuirks] changes them.
	Quirks Quirks
	// QuirksFor, when it returns a value, replaces Quirks for one request. It
	// is called from many goroutines.
	QuirksFor func(*http.Request) *Quirks
}

// A Handler is a web service behind Kerberos authentication. It is safe for
// concurrent use. It needs its server to tell it about connections when
// contexts take several legs or belong to connections: [Server] does, for
// others see [ConnContext].
type Handler struct {
	realm   *fakekdc.Realm
	service string // name@REALM; empty for any
	opts    Options

	mu      sync.Mutex
	quirks  Quirks
	epoch   int // of sessions of connections
	records []*Record
	proofs  map[string][]byte // last AP-REP, framed, by the session key's hash
	strange map[string]*conn  // connections by remote address, for foreign servers
}

// New returns a web service with the keys of the named service of a realm, such as
// "HTTP/localhost"; an empty name accepts tickets for all of them. It is an error for
// the name to be malformed or unknown: it ends the realm's test, and in a realm made by
// [fakekdc.New] the handler refuses every ticket.
func New(r *fakekdc.Realm, service string, o Options) *Handler {
	h := &Handler{realm: r, opts: o, quirks: o.Quirks, service: service}
	h.opts.Schemes = slices.Clone(o.Schemes)
	if len(h.opts.Schemes) == 0 {
		h.opts.Schemes = []string{"Negotiate"}
	}
	if h.opts.Next == nil {
		h.opts.Next = http.HandlerFunc(greet)
	}
	if service == "" {
		return h
	}
	if full, err := r.Principal(service); r.Fail(err) == nil {
		h.service = full
	}
	return h
}

func greet(w http.ResponseWriter, r *http.Request) {
	c, _ := CallerOf(r.Context())
	fmt.Fprintf(w, "hello %s\n", c.Name)
}

// SetQuirks replaces the quirks for requests to come.
func (h *Handler) SetQuirks(q Quirks) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.quirks = q
}

func (h *Handler) quirksFor(r *http.Request) Quirks {
	if h.opts.QuirksFor != nil {
		if q := h.opts.QuirksFor(r); q != nil {
			return *q
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.quirks
}

// A Record is one request to a web service and what came of it. It is there
// before the client has the response.
type Record struct {
	Method string
	URI    string
	Host   string
	Proto  int            // major version of HTTP
	Conn   int            // number of the connection, from 1; 0 when the server does not tell
	Scheme string         // of the request's credentials, as spelled; empty for none
	Token  int            // length of its token in bytes
	Caller fakekdc.Caller // zero unless authenticated
	Code   int32          // of the KRB-ERROR for a refused token
	Reason string         // why the token was refused
	Status int            // of the response; 0 while there is none
	Proved bool           // the response carried a genuine AP-REP
	Time   time.Time
}

// String returns one line for people.
func (w Record) String() string {
	s := fmt.Sprintf("%s %s", w.Method, w.URI)
	if w.Scheme != "" {
		s += fmt.Sprintf(" [%s, %d bytes]", w.Scheme, w.Token)
	}
	s += fmt.Sprintf(": %d", w.Status)
	if w.Caller.Name != "" {
		s += " " + w.Caller.Name
	}
	if w.Reason != "" {
		s += " (" + w.Reason + ")"
	}
	return s
}

// Requests returns what was asked of the service, oldest first. Of very many,
// the last ten thousand or so are kept.
func (h *Handler) Requests() []Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Record, len(h.records))
	for i, r := range h.records {
		out[i] = *r
	}
	return out
}

// Statuses returns the statuses of Requests.
func (h *Handler) Statuses() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]int, len(h.records))
	for i, r := range h.records {
		out[i] = r.Status
	}
	return out
}

// ResetRequests forgets them, between the steps of a test.
func (h *Handler) ResetRequests() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.records = nil
}

// maxRecords bounds the memory of a service that runs for long.
const maxRecords = 1 << 14

func (h *Handler) begin(r *http.Request, c *conn) *Record {
	rec := &Record{
		Method: r.Method, URI: r.RequestURI, Host: r.Host, Proto: r.ProtoMajor,
		Conn: c.number, Time: h.realm.Now(),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.records) == maxRecords {
		h.records = slices.Delete(h.records, 0, maxRecords/4)
	}
	h.records = append(h.records, rec)
	return rec
}

// maxProofs bounds what ProofReplayed can choose from.
const maxProofs = 256

// remember keeps a genuine AP-REP, and returns the one before it in the same
// session.
func (h *Handler) remember(session fakekdc.Key, framed []byte, keep bool) (earlier []byte) {
	sum := sha256.Sum256(session.Bytes()) // not the key itself: maps print
	key := string(sum[:])
	h.mu.Lock()
	defer h.mu.Unlock()
	earlier = h.proofs[key]
	if keep {
		if h.proofs == nil || len(h.proofs) >= maxProofs {
			h.proofs = make(map[string][]byte)
		}
		h.proofs[key] = framed
	}
	return earlier
}
