package mutual

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/ended"
	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// Options are the choices of [New]. The zero value is the strict one.
type Options struct {
	// Mode says what becomes of responses that are not verified.
	Mode Mode
	// TrustConnection takes a response without a token for verified if it came over a
	// connection on which this wiring of the stage verified an earlier one. It is for
	// servers that authenticate connections, such as IIS and WinRM; the package
	// documentation says what that is worth. Disabled ignores it.
	TrustConnection bool
	// TrustProxy takes a response over plain HTTP for verified if the proxy proved
	// itself and the request was signed for no origin server. The proxy then vouches
	// for every server behind it.
	TrustProxy bool
}

// New returns the stage, which may be wired any number of times. Its only state are
// connections: up to 1024 that a wiring with TrustConnection remembers, and as many on
// which it refused an answer. None is kept alive by that. It reports each response that it judges as a
// [middleware.VerdictEvent].
func New(o Options) kerbchain.Middleware {
	mode := o.Mode
	if mode != Optional && mode != Disabled {
		mode = Required
	}
	return func(next kerbchain.Next) kerbchain.Next {
		var trusted *stages.Marks[proof]
		if o.TrustConnection && mode != Disabled {
			trusted = new(stages.Marks[proof])
		}
		spent := new(stages.Marks[struct{}])
		return func(r *http.Request) (*http.Response, error) {
			out, signed := middleware.Begin(r)
			c := call{Call: signed, mode: mode, r: r, trust: trusted, proxies: o.TrustProxy}
			if mode == Required || trusted != nil {
				// A request whose body can be sent once gets no second connection.
				c.conn = &connection{spent: spent, taken: stages.HasBody(r) && r.GetBody == nil, keep: trusted != nil}
				defer c.conn.end()
				out = c.conn.watch(out)
			}
			resp, err := next(out)
			if err != nil || resp == nil || resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusProxyAuthRequired {
				c.End(resp)
				return resp, err
			}
			err = c.judge(resp)
			c.End(resp)
			if err != nil {
				c.conn.refuse(resp)
				return nil, err
			}
			return resp, nil
		}
	}
}

// A call is one request on its way through the stage.
type call struct {
	middleware.Call
	mode    Mode
	r       *http.Request
	conn    *connection          // apart, since contexts that are made of the request's keep it; nil where nobody asks
	trust   *stages.Marks[proof] // what the wiring knows of connections; nil where none is trusted
	proxies bool                 // a proxy's proof is good enough
}

// judge returns the error that takes the response's place, if one does.
func (c *call) judge(resp *http.Response) error {
	v := c.verdict(resp)
	c.learn(resp, &v)
	if v.trusted || v.verified && v.proxy {
		if resp.Request == nil {
			resp.Request = c.r
		}
		c.Trust(resp)
	}
	if !v.verified && v.err == nil && c.mode == Required && resp.StatusCode < 400 {
		v.err = v.refusal(v.why)
	}
	var err error
	ctx := c.r.Context()
	if v.err != nil {
		v.err.Host = v.host
		err = v.err
		if end := ctx.Err(); end != nil && errors.Is(err, end) {
			// Nobody found anything out about the server.
			err = ended.Because(ctx, "mutual: verifying the answer of "+v.host, v.err.Err)
		}
	}
	if middleware.Tracing(ctx) {
		middleware.Emit(ctx, middleware.VerdictEvent{
			Host: v.host, SPN: v.spn, Mode: middleware.Mode(c.mode.String()), Status: resp.StatusCode,
			Verified: v.verified, Trusted: v.trusted, Reason: v.reason, Err: err,
		})
	}
	return err
}

// A verdict is what was found out about one response.
type verdict struct {
	host, spn string
	verified  bool
	stepped   bool // by the token of this response
	proxy     bool // it is the proxy that was judged
	trusted   bool // by what was proved earlier on the connection
	reason    middleware.Reason
	hint      string
	why       error // what the context said of a token that is no proof
	err       *middleware.Error
}

func (c *call) verdict(resp *http.Response) verdict {
	origin, proxy := c.Security(resp), c.ProxySecurity(resp)
	if c.mode == Disabled {
		return verdict{host: stages.Host(c.r), spn: stages.SPN(origin), verified: origin != nil && origin.Verified()}
	}
	v := check(c.r.Context(), origin, resp.Header["Www-Authenticate"])
	if v.err == nil && proxy == nil && (v.verified || c.mode == Optional && c.trust == nil) && !middleware.Tracing(c.r.Context()) {
		return v // nobody asks for more
	}
	v.host = stages.Host(c.r)
	if v.err != nil {
		return v
	}
	alone := proxy != nil && origin == nil && plain(resp.Request) // the request was signed for the proxy, and nobody else
	proved := false                                               // by the proxy
	if proxy != nil {
		p := check(c.r.Context(), proxy, slices.Concat(resp.Header.Values("Proxy-Authenticate"), resp.Header.Values("Proxy-Authentication-Info")))
		p.host, p.proxy = proxy.Target().HostPort(), true
		if proved = p.verified; p.err != nil || alone && proved && c.proxies {
			return p
		}
	}
	if !v.verified && v.reason == middleware.ReasonNone {
		v.reason, v.hint = c.missing(origin, resp)
		switch {
		case alone && proved:
			v.hint = byProxy
		case alone && v.reason == middleware.ReasonNoToken:
			v.hint = fmt.Sprintf(throughProxy, proxy.Target().HostPort())
		}
	}
	return v
}

const (
	unsigned = "the server asked for no authentication, and nothing else signed the request: " +
		"sign it at once (preemptive), or apply mutual with kerbchain.When to the hosts that authenticate"
	byProxy      = "the proxy proved itself, and the server behind it did not: let the server authenticate, use https, or set TrustProxy if the proxy may speak for it"
	throughProxy = "the answer came through the proxy %s, which proved nothing, and the server asked for no authentication: " +
		"sign the request for the server at once (preemptive), or use https"
	foreign = "the request was not signed by a stage inside mutual, so there is nothing to hold the server's token against: " +
		"let preemptive or negotiate sign it, or use mutual.Optional"
)

// missing says why a response has no token for us. An empty hint stands for that of
// the reason.
func (c *call) missing(origin middleware.SecurityContext, resp *http.Response) (middleware.Reason, string) {
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.Header.Get("Location") != "":
		return middleware.ReasonUnverifiedRedirect, ""
	case origin == nil && hasToken(resp.Header["Www-Authenticate"]):
		return middleware.ReasonNoToken, foreign
	}
	session := sessionHint(c.r)
	switch {
	case c.conn.reused():
		return middleware.ReasonReusedConnection, session
	case origin != nil:
		return middleware.ReasonNoToken, session
	}
	return middleware.ReasonNoToken, cmp.Or(session, unsigned)
}

// maxCookies bounds how many cookies a hint names.
const maxCookies = 4

// sessionHint says what to try where a server may know the user by a cookie, which
// many set after a log-on by Negotiate. It is empty for a request without cookies.
func sessionHint(r *http.Request) string {
	var names []string
	for _, c := range r.Cookies() {
		if !slices.Contains(names, c.Name) {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	if len(names) > maxCookies {
		names = append(names[:maxCookies], "...")
	}
	return fmt.Sprintf("the server may know the session by a cookie (%s), and then proves nothing: "+
		"leave the cookie jar out, sign every request (preemptive), or use mutual.Optional over a trusted TLS connection", strings.Join(names, ", "))
}

// plain reports whether r goes over plain HTTP, where a proxy sees and answers
// it itself.
func plain(r *http.Request) bool {
	return r.URL != nil && !middleware.TargetOfURL(r.URL).Secure
}
