// Package plainclient is a client of the realm's services for its own tests: it speaks
// Negotiate plainly, by code of its own where the services have theirs, and says what it
// makes of the answers.
package plainclient

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/challenge"
	"github.com/kerbchain/kerbchain/internal/gss"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

func ReadAll(tb testing.TB, resp *http.Response) string {
	tb.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

const (
	gssMutual = 2 // RFC 2744 appendix A
	gssConf   = 0x10
	gssInteg  = 0x20
)

// A Client speaks Negotiate plainly and says what it thinks of the answers.
type Client struct {
	TB        testing.TB
	Now       func() time.Time
	Transport http.RoundTripper
	Ticket    *krb.Ticket
	Bindings  []byte // application data; nil for none
	Aware     bool   // claim to know of bindings
	OneWay    bool   // do not ask for proof
	Raw       bool   // no SPNEGO
	Scheme    string // empty for Negotiate
	Mechs     []spnego.OID
	Proxy     bool
	Spoil     func(*krb.Authenticator)
	Method    string // empty for GET
	Body      string

	// Of the context at hand.
	Auth             *krb.Authenticator
	Subkey           krb.Key // the acceptor's
	SendSeq, RecvSeq uint32

	acked   bool // the service has proved itself
	channel *gss.Channel
}

// A Result is what came of one call: the statuses of all legs and what the
// client makes of the last one.
type Result struct {
	Statuses []int
	Verdict  string
	Body     string
	Header   http.Header `cmp:"-"`
}

// apReq starts a context and returns its AP-REQ, framed.
func (c *Client) APReq() []byte {
	c.TB.Helper()
	subkey, err := krb.GenerateKey(c.Ticket.Key.Etype())
	if err != nil {
		c.TB.Fatal(err)
	}
	flags, options := uint32(gssInteg|gssConf), uint32(0)
	if !c.OneWay {
		flags, options = flags|gssMutual, krb.APMutualRequired
	}
	bnd := cbt.Hash(c.Bindings)
	sum := binary.LittleEndian.AppendUint32(nil, 16)
	sum = append(sum, bnd[:]...)
	sum = binary.LittleEndian.AppendUint32(sum, flags)
	a := &krb.Authenticator{
		Client: c.Ticket.Client, Subkey: subkey, Seq: 1000, HasSeq: true,
		Checksum: krb.Checksum{Type: 0x8003, Value: sum},
	}
	if c.Aware {
		a.AuthData = cbtClaim()
	}
	a.CTime, a.Cusec = krb.UniqueTime(c.Now())
	if c.Spoil != nil {
		c.Spoil(a)
	}
	req, err := krb.MakeAPReq(c.Ticket, a, krb.UsageAPReqAuth, options)
	if err != nil {
		c.TB.Fatal(err)
	}
	c.Auth, c.acked, c.Subkey, c.SendSeq, c.RecvSeq, c.channel = a, false, krb.Key{}, a.Seq, a.Seq, nil
	return spnego.Frame(spnego.TokAPReq, req)
}

// cbtClaim is AD-IF-RELEVANT { AD-AP-OPTIONS KERB_AP_OPTIONS_CBT }.
func cbtClaim() []byte {
	return krb.MarshalAuthData(krb.IfRelevant(krb.AuthData{Type: krb.ADAPOptions, Data: []byte{0, 0x40, 0, 0}}))
}

func (c *Client) mechList() []spnego.OID {
	if c.Mechs == nil {
		return []spnego.OID{spnego.KRB5}
	}
	return c.Mechs
}

// first is the token that opens a context.
func (c *Client) First() []byte {
	if c.Raw {
		return c.APReq()
	}
	if mechs := c.mechList(); !mechs[0].IsKRB5() {
		return spnego.EncodeInit(mechs, []byte("NTLMSSP\x00\x01\x00\x00\x00"))
	}
	return spnego.EncodeInit(c.mechList(), c.APReq())
}

func (c *Client) names() (request, response string) {
	if c.Proxy {
		return "Proxy-Authorization", "Proxy-Authenticate"
	}
	return "Authorization", "WWW-Authenticate"
}

func (c *Client) Send(url, credentials string) (*http.Response, error) {
	var body io.Reader
	if c.Body != "" {
		body = strings.NewReader(c.Body)
	}
	method := c.Method
	if method == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(c.TB.Context(), method, url, body)
	if err != nil {
		c.TB.Fatal(err)
	}
	if credentials != "" {
		name, _ := c.names()
		r.Header.Set(name, credentials)
	}
	return c.Transport.RoundTrip(r)
}

// call asks without credentials, then with, and goes on while the service
// wants more.
func (c *Client) Call(url string) Result {
	c.TB.Helper()
	if c.Scheme == "" {
		c.Scheme = "Negotiate"
	}
	var out Result
	credentials := ""
	for range 6 {
		resp, err := c.Send(url, credentials)
		if err != nil {
			out.Verdict = "no response"
			return out
		}
		out.Statuses = append(out.Statuses, resp.StatusCode)
		out.Body, out.Header = ReadAll(c.TB, resp), resp.Header
		_, name := c.names()
		found, offered := challenge.Find(resp.Header.Values(name), c.Scheme)
		refused := resp.StatusCode == 401 || resp.StatusCode == 407
		var next []byte
		switch {
		case credentials == "" && refused && offered:
			next = c.First()
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
			next, out.Verdict = c.Judge(token)
			if !refused || next == nil {
				return out
			}
		}
		credentials = c.Scheme + " " + base64.StdEncoding.EncodeToString(next)
	}
	out.Verdict += ", for ever"
	return out
}

// judge takes the service's token. It returns the next of ours, if one is due.
func (c *Client) Judge(token []byte) (next []byte, verdict string) {
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
		if !c.VerifyMIC(list, r.MechListMIC) {
			return nil, "wrong MIC"
		}
		verdict = strings.TrimPrefix(verdict+" with MIC", " ")
	}
	switch {
	case r.State == spnego.Reject:
		return nil, "reject"
	case r.State == spnego.RequestMIC && r.ResponseToken == nil:
		resp := spnego.Resp{State: spnego.AcceptIncomplete, ResponseToken: c.APReq()}
		if c.OneWay {
			resp.MechListMIC = c.MIC(list)
		}
		return resp.Append(nil), "asked again"
	case r.MechListMIC != nil && r.State != spnego.AcceptCompleted:
		return spnego.Resp{MechListMIC: c.MIC(list)}.Append(nil), verdict
	case r.State == spnego.AcceptIncomplete:
		return spnego.Resp{State: spnego.AcceptCompleted}.Append(nil), verdict
	case verdict == "":
		return nil, r.State.String()
	}
	return nil, verdict
}

func (c *Client) mechToken(framed []byte) string {
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
	part, err := krb.OpenAPRep(c.Ticket.Key, inner)
	switch {
	case errors.Is(err, krb.ErrIntegrity):
		return "wrong key"
	case err != nil:
		return "malformed"
	case !part.CTime.Equal(c.Auth.CTime) || part.Cusec != c.Auth.Cusec:
		return "wrong time"
	}
	c.acked, c.Subkey, c.RecvSeq, c.channel = true, part.Subkey, part.Seq, nil
	return "verified"
}

// protection returns what protects messages, by the product's code and not the
// realm's.
func (c *Client) protection() *gss.Channel {
	c.TB.Helper()
	if c.channel == nil {
		ch, err := gss.NewChannel(gss.Params{
			Session: c.Ticket.Key, Subkey: c.Auth.Subkey, AcceptorSubkey: c.Subkey, SendSeq: c.SendSeq, RecvSeq: c.RecvSeq,
		})
		if err != nil {
			c.TB.Fatal(err)
		}
		c.channel = ch
	}
	return c.channel
}

// MIC makes the next token over a message.
func (c *Client) MIC(msg []byte) []byte {
	c.TB.Helper()
	token, err := c.protection().MIC(msg)
	if err != nil {
		c.TB.Fatal(err)
	}
	return token
}

// VerifyMIC reports whether token is the service's next one over the message.
func (c *Client) VerifyMIC(msg, token []byte) bool {
	return c.protection().VerifyMIC(msg, token) == nil
}

// Wrap makes the next token that carries a message.
func (c *Client) Wrap(msg []byte, conf bool) []byte {
	c.TB.Helper()
	token, err := c.protection().Wrap(msg, conf)
	if err != nil {
		c.TB.Fatal(err)
	}
	return token
}

// Unwrap returns what the service's next token carries.
func (c *Client) Unwrap(token []byte) (msg []byte, conf bool, err error) {
	return c.protection().Unwrap(token)
}

// TicketFrom returns the ticket for a service of a credential cache.
func TicketFrom(tb testing.TB, cache []byte, service string) *krb.Ticket {
	tb.Helper()
	parsed, err := ccache.Parse(cache)
	if err != nil {
		tb.Fatal(err)
	}
	for _, c := range parsed.Credentials {
		if c.Server.Name() != service {
			continue
		}
		t, err := c.Ticket()
		if err != nil {
			tb.Fatal(err)
		}
		return t
	}
	tb.Fatalf("no ticket for %s in the cache", service)
	return nil
}
