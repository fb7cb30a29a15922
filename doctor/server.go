package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/internal/challenge"
	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/messages"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// An answer is the header of a response.
type answer struct {
	*http.Response
	notes *messages.Notes
	http2 bool // the server does not authenticate over HTTP/2
	from  string
	names atomic.Value // string: the host whose address DNS has not told
}

// unnamed returns the host that no name server told an address of, "" for none.
func (a *answer) unnamed() string {
	if a == nil {
		return ""
	}
	host, _ := a.names.Load().(string)
	return host
}

// get sends a GET by a client with these options, follows no redirect and keeps no body.
func (x *examination) get(ctx context.Context, o client.Options) (*answer, error) {
	a := &answer{notes: &messages.Notes{}}
	ctx = middleware.WithTrace(ctx, func(e middleware.Event) {
		if _, ok := e.(middleware.FallbackEvent); ok {
			a.http2 = true
		}
		a.notes.Trace(e)
	})
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:  func(i httptrace.GotConnInfo) { a.from = i.Conn.RemoteAddr().String() },
		DNSStart: func(i httptrace.DNSStartInfo) { a.names.Store(i.Host) },
		DNSDone: func(i httptrace.DNSDoneInfo) {
			if i.Err == nil {
				a.names.Store("")
			}
		},
	})
	rt, err := client.NewTransport(o)
	if err != nil {
		return nil, err
	}
	c := &http.Client{Transport: rt, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer c.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, x.url.String(), nil)
	if err != nil {
		return nil, err
	}
	a.Response, err = c.Do(r)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // the URL may hold a query
		}
		return a, err
	}
	_, _ = io.CopyN(io.Discard, a.Body, 64<<10)
	a.Body.Close()
	return a, nil
}

// server asks the server without a token, and tells what it answers.
func (x *examination) server(ctx context.Context) {
	switch {
	case x.unread:
		x.skip("server", "AllowedHosts cannot be read, and so no server is asked")
		return
	case x.barred:
		x.say("allowed", Fail, facts{"hosts": x.o.Client.AllowedHosts},
			fmt.Sprintf("AllowedHosts leaves out %s: it gets no token, and was not asked", x.target.HostPort()), "add "+x.target.Host+" to AllowedHosts")
		return
	}
	// Proxies on the way get what a client gives them, the server nothing.
	o := client.Options{Mutual: mutual.Optional, Transport: x.o.Client.Transport, OneConnection: x.o.Client.OneConnection, Proxy: x.o.Client.Proxy, Tunnel: x.o.Client.Tunnel}
	o.Initiator = middleware.InitiatorFunc(func(ctx context.Context, t middleware.Target) (middleware.SecurityContext, error) {
		if !t.Proxy || x.in == nil || x.choiceErr != nil {
			return nil, &middleware.Error{Stage: stage, Kind: middleware.ErrNotAllowed, Host: t.HostPort()}
		}
		return x.in.Initiate(ctx, t)
	})
	a, err := x.get(ctx, o)
	if err != nil {
		x.unreachable(a, err)
		return
	}
	x.first = a
	product := strings.Join(a.Header.Values("Server"), ", ")
	f := facts{"status": a.StatusCode, "protocol": a.Proto, "product": product, "address": a.from}
	text := fmt.Sprintf("%s over %s", a.Status, a.Proto)
	if a.TLS != nil {
		f["tls"] = tls.VersionName(a.TLS.Version)
		text += ", " + tls.VersionName(a.TLS.Version)
	}
	if a.from != "" {
		text += ", from " + a.from
	}
	if product != "" {
		text += ", " + product
	}
	x.say("server", OK, f, text)
	x.date(a)
	x.fallback(a)
	x.offer(a)
}

// unreachable tells why there is no response.
func (x *examination) unreachable(a *answer, err error) {
	text, try := failure(err)
	try = cmp.Or(try, aboutNames(err))
	if try == "" && errors.Is(err, io.EOF) {
		text = "it closed the connection before there was an answer"
		try = "look into the log of the server, or of what stands before it: it takes connections, and ends them without an answer"
	}
	if host := a.unnamed(); try == "" && host != "" {
		text += ": no name server has told the address of " + host
		try = askOthers
	}
	if try == "" {
		try = fmt.Sprintf("see whether the server runs, and whether something on the way lets nobody through to port %s", x.target.Port)
		if errors.Is(err, http.ErrSchemeMismatch) {
			try = "begin the URL with http://, if the network is to be trusted, or have TLS switched on at port " + x.target.Port
		} else if _, ok := errors.AsType[x509.HostnameError](err); ok {
			try = "write a name in the URL that is in the certificate, or have one made for " + x.target.Host
		} else if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			try = "trust the authority that signed the server's certificate, or have the certificate mended"
		}
	}
	x.say("server", Fail, nil, text, try)
}

// aheadByDate is [ahead] of a clock of which a Date tells, which leaves out up to a second
// (RFC 9110 section 5.6.7) and was written before it was read.
func aheadByDate(d time.Duration) string {
	if -1500*time.Millisecond < d && d < 0 {
		d = 0
	}
	return ahead(d)
}

// date compares the server's clock with that of this machine.
func (x *examination) date(a *answer) {
	at, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil {
		return
	}
	d := at.Sub(x.now())
	allowed := 5 * time.Minute // the default
	if x.inside.Config != nil {
		allowed = x.inside.Config.ClockSkew
	}
	f := facts{"of": x.target.HostPort(), "ahead_seconds": d.Seconds()}
	text := x.target.HostPort() + " " + aheadByDate(d)
	if d.Abs() > allowed {
		x.say("clock", Warn, f, text+" by its Date, or something on the way has kept the answer", hints.KDC(krb.CodeSkew))
		return
	}
	x.say("clock", OK, f, text)
}

// fallback tells of a server that does not authenticate over HTTP/2.
func (x *examination) fallback(a *answer) {
	if a.http2 && !x.told {
		x.told = true
		x.say("http2", Warn, nil, "the server offers HTTP/2, over which it does not authenticate: requests go over HTTP/1.1, and the first one twice",
			"have HTTP/2 switched off for this site, or leave it so: it costs a request")
	}
}

// offer tells how the server wants to be authenticated to.
func (x *examination) offer(a *answer) {
	lines := a.Header.Values("WWW-Authenticate")
	schemes := challenge.Schemes(lines)
	f := facts{"schemes": append([]string{}, schemes...)}
	if a.StatusCode != http.StatusUnauthorized {
		f["location"] = x.location(a)
		text := "it does not ask for authentication"
		if to := x.location(a); to != "" {
			text += ", and sends on to " + to
		}
		x.say("offer", Warn, f, text)
		return
	}
	text := strings.Join(schemes, ", ")
	ch, scheme, ok := challenge.Challenge{}, middleware.Scheme(""), false
	for _, s := range []middleware.Scheme{middleware.Negotiate, middleware.Kerberos} {
		if c, found := challenge.Find(lines, string(s)); found && !ok {
			ch, scheme, ok = c, s, true
		}
	}
	if !ok {
		m := a.notes.About(a.Response)
		x.say("offer", Fail, f, m.Why, m.Try)
		return
	}
	x.asked, x.target.Scheme = true, scheme
	token, err := ch.Token()
	init, bad := spnego.ParseInit(token)
	if err == nil && bad == nil && len(init.MechTypes) > 0 {
		var mechs []string
		kerberos := false
		for _, m := range init.MechTypes {
			mechs, kerberos = append(mechs, m.String()), kerberos || m.IsKRB5()
		}
		f["mechanisms"] = mechs
		text += ", within it " + strings.Join(mechs, ", ")
		if !kerberos {
			x.say("offer", Warn, f, text+": Kerberos is not among them", middleware.ReasonWrongMechanism.Hint())
			return
		}
	}
	x.say("offer", OK, f, text)
}

// location is where an answer sends on to, without its query; "" for nowhere.
func (x *examination) location(a *answer) string {
	to, err := a.Location()
	if err != nil {
		return ""
	}
	to.User, to.RawQuery, to.Fragment = nil, "", ""
	return to.String()
}
