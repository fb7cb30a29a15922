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

// refused reports that the caller gets the response, for the reason that cause names, if
// it names one.
func (d *demand) refused(cause error) {
	reason := middleware.ReasonRefused
	b, ok := d.peer.sc.(middleware.Bound)
	bound := ok && b.Bound()
	if cause == nil && bound {
		cause = errBound
	}
	if e, ok := errors.AsType[*middleware.Error](cause); ok {
		reason = cmp.Or(e.Reason, reason)
		if hint := d.hint(e, bound); hint != e.Hint {
			named := *e
			named.Hint = hint
			cause = &named
		}
	}
	d.emit(reason, cause)
}

// hint returns the hint of a server's error, with what else is known: that the token was
// bound, what the server's clock says, and that a ticket was dropped.
func (d *demand) hint(e *middleware.Error, bound bool) string {
	hint := e.Hint
	if bound && (e.Reason == middleware.ReasonRefused || e.Code == krb.CodeGeneric) {
		hint = hints.Join(cmp.Or(hint, e.Reason.Hint()), errBound.Error())
	}
	if e.Reason != middleware.ReasonKRBError {
		return hint
	}
	peer, ok := errors.AsType[*krb.KRBError](e)
	if ok && (e.Code == krb.CodeSkew || e.Code == krb.CodeTicketNotYet) && !peer.STime.IsZero() {
		hint = hints.Join(hint, fmt.Sprintf("the server's clock says %s, ours %s",
			peer.STime.UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339)))
	}
	if d.discarded {
		hint = hints.Join(hint, "a fresh ticket was asked for already")
	}
	return hint
}

func (d *demand) emit(reason middleware.Reason, cause error) {
	middleware.Emit(d.r.Context(), middleware.RefusedEvent{
		Host: d.target.HostPort(), Status: d.resp.StatusCode, Reason: reason, Bytes: d.peer.bytes, Err: cause,
	})
}

// errBound says why a server may refuse a bound token without being at fault.
var errBound = errors.New("the token was bound to the TLS connection (RFC 5929): if something on the way ends TLS, " +
	"such as a load balancer, the server has another certificate and refuses every bound token; " +
	"BindingsOff leaves the binding out")

// errKnown is why no further token is sent to a server that took the last one.
var errKnown = errors.New("the exchange is complete, and the server still refuses")

// completed reports whether a token says that the server is content with ours (RFC
// 4178 section 4.2.2).
func completed(token []byte) bool {
	resp, err := spnego.ParseResp(token)
	return err == nil && resp.State == spnego.AcceptCompleted
}

// offersNTLM is the error of a server that offers NTLM and no Kerberos any more, nil
// if it does not.
func offersNTLM(lines []string) error {
	if _, ok := challenge.Find(lines, "NTLM"); !ok {
		return nil
	}
	return &middleware.Error{
		Stage: name, Kind: middleware.ErrToken, Reason: middleware.ReasonWrongMechanism,
		Err: errors.New("the server offers NTLM and no Kerberos"),
	}
}

// largeToken is the length of a header field with a token that may be why a server
// finds a request too large, or bad: half of the 8 KiB that most servers allow.
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
	d := demand{call: c, resp: resp, peer: &c.origin, target: middleware.TargetOfURL(c.r.URL)}
	if c.proxy.sc != nil && c.origin.bytes < c.proxy.bytes {
		d.peer, d.target = &c.proxy, c.proxy.sc.Target()
	}
	size := d.peer.bytes
	field := size/3*4 + len("Negotiate ")
	if size == 0 || field < largeToken && resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		return
	}
	d.emit(middleware.ReasonTokenTooLarge, &middleware.Error{
		Stage: name, Kind: middleware.ErrToken, Host: d.target.HostPort(), Reason: middleware.ReasonTokenTooLarge,
		Err: fmt.Errorf("the server answered %s to a token of %d bytes, which take %d in the header",
			strings.ToLower(http.StatusText(resp.StatusCode)), size, field),
	})
}
