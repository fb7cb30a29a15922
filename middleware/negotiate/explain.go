package negotiate

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/internal/challenge"
	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/middleware"
)

// refused reports that resp goes up as it is. A reason that cause names is
// reported as such.
func (c *call) refused(resp *http.Response, t middleware.Target, cause error) {
	reason := middleware.ReasonRefused
	cause = c.unbindable(cause)
	if known, ok := errors.AsType[*middleware.Error](cause); ok && known.Reason != middleware.ReasonNone {
		reason = known.Reason
	}
	c.emit(resp, t, reason, c.more(cause))
}

func (c *call) emit(resp *http.Response, t middleware.Target, reason middleware.Reason, cause error) {
	bytes := c.origin.bytes
	if t.Proxy {
		bytes = c.proxy.bytes
	}
	middleware.Emit(c.r.Context(), middleware.RefusedEvent{
		Host: t.HostPort(), Status: resp.StatusCode, Reason: reason, Bytes: bytes, Err: cause,
	})
}

// errBound says why a bound token may be refused by a server that has no fault.
var errBound = errors.New("the token was bound to the TLS connection (RFC 5929): where something ends TLS and encrypts anew, " +
	"such as a proxy or a load balancer, the server sees another certificate than we do and refuses every bound token; " +
	"BindingsOff leaves the binding out")

// unbindable adds to a refusal that gives no reason that the token was bound, if it
// was. Where a proxy answers, the way is plain http, and nothing is bound.
func (c *call) unbindable(cause error) error {
	b, ok := c.origin.sc.(middleware.Bound)
	if !ok || !b.Bound() {
		return cause
	}
	if cause == nil {
		return errBound
	}
	e, ok := errors.AsType[*middleware.Error](cause)
	if !ok || e.Reason != middleware.ReasonRefused && e.Code != krb.CodeGeneric {
		return cause
	}
	named := *e
	named.Hint = hints.Join(cmp.Or(e.Hint, e.Reason.Hint()), errBound.Error())
	return &named
}

// errKnown is why no other token is sent to a server that took the last one.
var errKnown = errors.New("the exchange is complete, and the answer still no")

// completed reports whether a token says that the server is content with ours (RFC
// 4178 section 4.2.2).
func completed(token []byte) bool {
	resp, err := spnego.ParseResp(token)
	return err == nil && resp.State == spnego.AcceptCompleted
}

// more adds to a server's KRB-ERROR what is known besides.
func (c *call) more(cause error) error {
	e, ok := errors.AsType[*middleware.Error](cause)
	if !ok || e.Reason != middleware.ReasonKRBError {
		return cause
	}
	named := *e
	peer, ok := errors.AsType[*krb.KRBError](cause)
	if ok && (e.Code == krb.CodeSkew || e.Code == krb.CodeTicketNotYet) && !peer.STime.IsZero() {
		named.Hint = hints.Join(named.Hint, fmt.Sprintf("the server's clock says %s, ours %s",
			peer.STime.UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339)))
	}
	if c.discarded {
		named.Hint = hints.Join(named.Hint, "a fresh ticket was asked for already")
	}
	return &named
}

// elsewhere says what a server wants that does not offer Negotiate any more, nil
// where that is nothing to speak of.
func elsewhere(lines []string) error {
	for _, ch := range challenge.Parse(lines) {
		if ch.Is("NTLM") {
			return &middleware.Error{
				Stage: name, Kind: middleware.ErrToken, Reason: middleware.ReasonWrongMechanism,
				Err: errors.New("the server offers NTLM and no Kerberos"),
			}
		}
	}
	return nil
}

// largeToken is from which length on a token is suspected where a server finds a
// request too large, or bad: half of the 8 KiB that most allow a header field.
const largeToken = 4 << 10

// explain reports a response that may be due to the size of our token: tickets
// name every group that a user is in, and servers bound the size of header
// fields. RFC 6585 has 431 for it, which few of them say.
func (c *call) explain(resp *http.Response) {
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
	default:
		return
	}
	t := middleware.TargetOfURL(c.r.URL)
	size := c.origin.bytes
	if c.proxy.sc != nil && size < c.proxy.bytes {
		t, size = c.proxy.sc.Target(), c.proxy.bytes
	}
	field := size/3*4 + len("Negotiate ")
	if size == 0 || field < largeToken && resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		return
	}
	c.emit(resp, t, middleware.ReasonTokenTooLarge, &middleware.Error{
		Stage: name, Kind: middleware.ErrToken, Host: t.HostPort(), Reason: middleware.ReasonTokenTooLarge,
		Err: fmt.Errorf("the server answered %s to a request with a token of %d bytes, which take %d in the header",
			strings.ToLower(http.StatusText(resp.StatusCode)), size, field),
	})
}
