package fakekdc

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/challenge"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

func readAll(tb testing.TB, resp *http.Response) string {
	tb.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// A webClient speaks Negotiate plainly and says what it thinks of the answers.
type webClient struct {
	tb       testing.TB
	realm    *Realm
	rt       http.RoundTripper
	ticket   *krb.Ticket
	bindings []byte // application data; nil for none
	aware    bool   // claim to know of bindings
	oneway   bool   // do not ask for proof
	raw      bool   // no SPNEGO
	scheme   string
	mechs    []spnego.OID
	proxy    bool
	spoil    func(*krb.Authenticator)
	method   string
	body     string

	auth    *krb.Authenticator
	acked   bool // the service has proved itself
	subkey  krb.Key
	sendSeq uint64
	recvSeq uint64
}

// result is what came of one call: the statuses of all legs and what the
// client makes of the last one.
type result struct {
	Statuses []int
	Verdict  string
	Body     string
	Header   http.Header `cmp:"-"`
}

// apReq starts a context and returns its AP-REQ, framed.
func (c *webClient) apReq() []byte {
	c.tb.Helper()
	subkey, err := krb.GenerateKey(c.ticket.Key.Etype())
	if err != nil {
		c.tb.Fatal(err)
	}
	flags, options := GSSInteg|GSSConf, uint32(0)
	if !c.oneway {
		flags, options = flags|GSSMutual, krb.APMutualRequired
	}
	bnd := cbt.Hash(c.bindings)
	sum := binary.LittleEndian.AppendUint32(nil, 16)
	sum = append(sum, bnd[:]...)
	sum = binary.LittleEndian.AppendUint32(sum, flags)
	a := &krb.Authenticator{
		Client: c.ticket.Client, Subkey: subkey, Seq: 1000, HasSeq: true,
		Checksum: krb.Checksum{Type: gssChecksum, Value: sum},
	}
	if c.aware {
		a.AuthData = cbtClaim()
	}
	a.CTime, a.Cusec = krb.UniqueTime(c.realm.Now())
	if c.spoil != nil {
		c.spoil(a)
	}
	req, err := krb.MakeAPReq(c.ticket, a, krb.UsageAPReqAuth, options)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.auth, c.acked, c.subkey, c.sendSeq, c.recvSeq = a, false, krb.Key{}, uint64(a.Seq), uint64(a.Seq)
	return spnego.Frame(spnego.TokAPReq, req)
}

// cbtClaim is AD-IF-RELEVANT { AD-AP-OPTIONS KERB_AP_OPTIONS_CBT }.
func cbtClaim() []byte {
	element := func(kind int64, data []byte) []byte {
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				krb.AddInt(b, 0, kind)
				krb.AddOctets(b, 1, data)
			})
		})
		return b.BytesOrPanic()
	}
	return element(1, element(143, []byte{0, 0x40, 0, 0}))
}

func (c *webClient) mechList() []spnego.OID {
	if c.mechs == nil {
		return []spnego.OID{spnego.KRB5}
	}
	return c.mechs
}

// first is the token that opens a context.
func (c *webClient) first() []byte {
	if c.raw {
		return c.apReq()
	}
	if mechs := c.mechList(); !mechs[0].IsKRB5() {
		return spnego.EncodeInit(mechs, []byte("NTLMSSP\x00\x01\x00\x00\x00"))
	}
	return spnego.EncodeInit(c.mechList(), c.apReq())
}

func (c *webClient) names() (request, response string) {
	if c.proxy {
		return "Proxy-Authorization", "Proxy-Authenticate"
	}
	return "Authorization", "WWW-Authenticate"
}

func (c *webClient) send(url, credentials string) (*http.Response, error) {
	var body io.Reader
	if c.body != "" {
		body = strings.NewReader(c.body)
	}
	method := c.method
	if method == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(c.tb.Context(), method, url, body)
	if err != nil {
		c.tb.Fatal(err)
	}
	if credentials != "" {
		name, _ := c.names()
		r.Header.Set(name, credentials)
	}
	return c.rt.RoundTrip(r)
}

// call asks without credentials, then with, and goes on while the service
// wants more.
func (c *webClient) call(url string) result {
	c.tb.Helper()
	if c.scheme == "" {
		c.scheme = "Negotiate"
	}
	var out result
	credentials := ""
	for range 6 {
		resp, err := c.send(url, credentials)
		if err != nil {
			out.Verdict = "no response"
			return out
		}
		out.Statuses = append(out.Statuses, resp.StatusCode)
		out.Body, out.Header = readAll(c.tb, resp), resp.Header
		_, name := c.names()
		found, offered := challenge.Find(resp.Header.Values(name), c.scheme)
		refused := resp.StatusCode == 401 || resp.StatusCode == 407
		var next []byte
		switch {
		case credentials == "" && refused && offered:
			next = c.first()
		case credentials == "" && refused:
			out.Verdict = "nothing offered"
			return out
		case credentials == "":
			out.Verdict = "not asked"
			return out
		default:
			var token []byte
			if offered {
				if token, err = found.Token(); err != nil {
					out.Verdict = "not base64"
					return out
				}
			}
			next, out.Verdict = c.judge(token)
			if !refused || next == nil {
				return out
			}
		}
		credentials = c.scheme + " " + base64.StdEncoding.EncodeToString(next)
	}
	out.Verdict += ", for ever"
	return out
}

// judge takes the service's token. It returns the next of ours, if one is due.
func (c *webClient) judge(token []byte) (next []byte, verdict string) {
	switch kind := spnego.Classify(token); kind {
	case spnego.Empty:
		if c.acked {
			return nil, "verified before"
		}
		return nil, "no token"
	case spnego.APRep, spnego.KRBError:
		return nil, c.mechToken(token)
	case spnego.NegTokenResp:
	default:
		return nil, kind.String()
	}
	r, err := spnego.ParseResp(token)
	if err != nil {
		return nil, "malformed"
	}
	if r.ResponseToken != nil {
		if verdict = c.mechToken(r.ResponseToken); verdict != "verified" {
			return nil, verdict
		}
	}
	list := spnego.AppendMechList(nil, c.mechList())
	if r.MechListMIC != nil {
		if !c.checkMIC(list, r.MechListMIC) {
			return nil, "wrong MIC"
		}
		verdict = strings.TrimPrefix(verdict+" with MIC", " ")
	}
	switch {
	case r.State == spnego.Reject:
		return nil, "reject"
	case r.State == spnego.RequestMIC && r.ResponseToken == nil:
		resp := spnego.Resp{State: spnego.AcceptIncomplete, ResponseToken: c.apReq()}
		if c.oneway {
			resp.MechListMIC = c.mic(list)
		}
		return resp.Append(nil), "asked again"
	case r.MechListMIC != nil && r.State != spnego.AcceptCompleted:
		return spnego.Resp{MechListMIC: c.mic(list)}.Append(nil), verdict
	case r.State == spnego.AcceptIncomplete:
		return spnego.Resp{State: spnego.AcceptCompleted}.Append(nil), verdict
	case verdict == "":
		return nil, r.State.String()
	}
	return nil, verdict
}

func (c *webClient) mechToken(framed []byte) string {
	_, id, inner, err := spnego.Unframe(framed)
	if err != nil {
		return "malformed"
	}
	if id == spnego.TokKRBError {
		e, err := krb.ParseKRBError(inner)
		if err != nil {
			return "malformed"
		}
		return krb.ErrorName(e.Code)
	}
	part, err := krb.OpenAPRep(c.ticket.Key, inner)
	switch {
	case errors.Is(err, krb.ErrIntegrity):
		return "wrong key"
	case err != nil:
		return "malformed"
	case !part.CTime.Equal(c.auth.CTime) || part.Cusec != c.auth.Cusec:
		return "wrong time"
	}
	c.acked, c.subkey, c.recvSeq = true, part.Subkey, uint64(part.Seq)
	return "verified"
}

// shared is the context as the acceptor has it: MICs go by the same keys.
func (c *webClient) shared() *acceptance {
	return &acceptance{session: c.ticket.Key, auth: c.auth, subkey: c.subkey}
}

func (c *webClient) mic(msg []byte) []byte {
	c.tb.Helper()
	token, err := c.shared().micFor(fromInitiator, c.sendSeq, msg)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.sendSeq++
	return token
}

func (c *webClient) checkMIC(msg, token []byte) bool {
	want, err := c.shared().micFor(fromAcceptor, c.recvSeq, msg)
	c.recvSeq++
	return err == nil && slices.Equal(want, token)
}

// newWebClient makes a client with a ticket of alice's.
func newWebClient(tb testing.TB, r *Realm, s *Server) *webClient {
	tb.Helper()
	tr := s.Transport()
	tb.Cleanup(tr.CloseIdleConnections)
	return &webClient{tb: tb, realm: r, rt: tr, ticket: minted(tb, r, "alice", "HTTP/localhost")}
}

func webRequest(tb testing.TB) *http.Request {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://localhost/", nil)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}
