package kerberos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/gss"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/negotiation"
	"github.com/kerbchain/kerbchain/internal/policy"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/middleware"
)

const stage = "kerberos"

// Bindings says whether tokens are bound to the TLS connection that carries
// them (tls-server-end-point, RFC 5929 section 4). All initiators of this module
// share the type.
type Bindings = policy.Bindings

// The modes of channel binding.
const (
	// BindingsAuto binds wherever there is a TLS connection whose certificate
	// defines bindings.
	BindingsAuto Bindings = policy.BindingsAuto
	// BindingsRequired makes it an error if there is nothing to bind to.
	BindingsRequired Bindings = policy.BindingsRequired
	// BindingsOff never binds. It is for servers behind a proxy that ends TLS.
	BindingsOff Bindings = policy.BindingsOff
)

// Delegation says when the user's credentials are forwarded to the server. All
// initiators of this module share the type.
type Delegation = policy.Delegation

// The modes of delegation.
const (
	// DelegationOff never forwards.
	DelegationOff Delegation = policy.DelegationOff
	// DelegationPolicy forwards where the KDC of the user's realm marked the service
	// ok-as-delegate (RFC 4120 section 2.8) and the user's credentials can be
	// forwarded. Otherwise it forwards nothing, which is no error.
	DelegationPolicy Delegation = policy.DelegationPolicy
	// DelegationAlways forwards to every server that gets a token, unless krb5.conf
	// sets enforce_ok_as_delegate, which leaves it to the KDC. It is an error if the
	// credentials cannot be forwarded.
	DelegationAlways Delegation = policy.DelegationAlways
)

// ErrNotForwardable: credentials must be delegated, and the ticket-granting ticket
// does not allow it. It is wrapped along with [middleware.ErrCredentials].
var ErrNotForwardable = errors.New("credentials cannot be forwarded")

// A Delegator is a [TicketSource] that can also delegate.
type Delegator interface {
	// ForwardedTicket returns a forwarded ticket-granting ticket of the same client,
	// with which the server of the service ticket can act as the client. It may ask a
	// KDC, and returns when ctx ends. Its errors are of type [*middleware.Error]; see
	// [ErrNotForwardable].
	ForwardedTicket(ctx context.Context, service Ticket) (Ticket, error)
	// EnforceOKAsDelegate reports whether the KDC decides which servers get
	// credentials (enforce_ok_as_delegate in krb5.conf), even with
	// [DelegationAlways].
	EnforceOKAsDelegate() bool
}

// InitiatorOptions adjust [NewInitiator]. The zero value asks for mutual
// authentication with HTTP/host, binds to TLS and delegates nothing.
type InitiatorOptions struct {
	// Service is the service class of the SPN; empty means HTTP.
	Service string
	// HostOverride takes the place of the URL's host in the SPN, for servers whose
	// Kerberos name differs from their DNS name. It does not count after a redirect
	// to another host.
	HostOverride string
	// HostOverrides is HostOverride for single hosts. Keys are hosts in the notation
	// of Chromium's policies, such as "app.example", "app.example:8443" or
	// "*.corp.example", of which the most specific counts; values are a host, or a
	// whole SPN: service/host or service/host@REALM.
	HostOverrides map[string]string
	// Realm is the realm of every service; empty means that krb5.conf and the
	// KDC decide.
	Realm string
	// PortInSPN puts the port of the URL into the SPN, HTTP/host:8443, unless it
	// is 80 or 443.
	PortInSPN bool
	// Canonicalize says what to do where the KDC does not know the host by the
	// name in the URL.
	Canonicalize HostCanonicalization
	// AllowedHosts limits authentication to these hosts, as the URL names them, in
	// the notation of Chromium's AuthServerAllowlist. Others get no token. Empty
	// means all hosts; what is no host is an error.
	AllowedHosts []string
	// Proxy, when not nil, are the options for HTTP proxies. Nil means the other
	// options, without overrides, AllowedHosts and delegation.
	Proxy *InitiatorOptions
	// NoMutual leaves out the request for mutual authentication. The server
	// then proves nothing.
	NoMutual bool
	// Bindings is the mode of channel binding.
	Bindings Bindings
	// ClientAwareBindings tells the server, within the token, that this client binds
	// its tokens wherever there is a TLS connection. A server that is behind TLS can
	// then refuse a token without bindings as one relayed from plain HTTP. Sources
	// set it where krb5.conf has client_aware_channel_bindings. BindingsOff ignores
	// it.
	ClientAwareBindings bool
	// Delegation is the mode of delegation. Proxies never get credentials.
	Delegation Delegation
	// DelegateTo limits delegation to these hosts, as the URL names them, in the
	// notation of Chromium's AuthNegotiateDelegateAllowlist, such as "app.example" or
	// "*.corp.example:8443". Empty means all hosts, except those that a redirect led
	// to.
	DelegateTo []string
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// NewInitiator returns an initiator that signs with tickets of source. The host
// in the SPN is the one in the URL; see [HostCanonicalization] for when DNS is asked.
func NewInitiator(source TicketSource, o InitiatorOptions) (middleware.Initiator, error) {
	origin, err := newInitiator(source, o)
	if err != nil {
		return nil, &middleware.Error{Stage: stage, Kind: middleware.ErrConfiguration, Err: err}
	}
	proxy := o
	if o.Proxy != nil {
		proxy = *o.Proxy
	} else {
		proxy.HostOverride, proxy.HostOverrides, proxy.AllowedHosts = "", nil, nil
	}
	proxy.Delegation, proxy.DelegateTo = DelegationOff, nil
	origin.proxy, err = newInitiator(source, proxy)
	if err != nil {
		return nil, &middleware.Error{Stage: stage, Kind: middleware.ErrConfiguration, Err: fmt.Errorf("options for proxies: %w", err)}
	}
	return origin, nil
}

var (
	errNoSource   = errors.New("no ticket source given: use FromEnvironment, FromCCache, FromKeytab or FromPassword")
	errNobodyActs = errors.New("the impersonator has no service to act with")
)

func newInitiator(source TicketSource, o InitiatorOptions) (*initiator, error) {
	switch s := source.(type) {
	case nil:
		return nil, errNoSource
	case *Source:
		if s.isZero() {
			return nil, errNoSource
		}
	case *Impersonator:
		if s == nil || s.s.isZero() {
			return nil, errNobodyActs
		}
	}
	if err := o.Delegation.Check(o.DelegateTo); err != nil {
		return nil, err
	}
	identifier, _ := source.(Identifier)
	delegator, ok := source.(Delegator)
	if o.Delegation != DelegationOff && !ok {
		return nil, fmt.Errorf("the ticket source %T cannot delegate: use one of this package, or leave Delegation at DelegationOff", source)
	}
	if err := o.Bindings.Check(); err != nil {
		return nil, err
	}
	names, err := o.names(source)
	if err != nil {
		return nil, err
	}
	hosts, err := policy.NewHosts(o.AllowedHosts, o.DelegateTo)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.ClientAwareBindings = o.ClientAwareBindings || clientAware(source)
	return &initiator{
		source: source, identifier: identifier, delegator: delegator, o: o, names: names, hosts: hosts,
	}, nil
}

type initiator struct {
	source     TicketSource
	identifier Identifier // nil where the source is none
	delegator  Delegator  // nil where the source is none
	o          InitiatorOptions
	names      *policy.Namer
	hosts      policy.Hosts
	proxy      *initiator // for proxies
	endPoints  endPoints
}

func (i *initiator) Initiate(ctx context.Context, t middleware.Target) (middleware.SecurityContext, error) {
	if t.Proxy && i.proxy != nil {
		return i.proxy.Initiate(ctx, t)
	}
	if wrong := t.Check(); wrong != nil {
		wrong.Stage = stage
		return nil, wrong
	}
	if !i.hosts.Allow(t) {
		return nil, &middleware.Error{Stage: stage, Kind: middleware.ErrNotAllowed, Host: t.HostPort(), Hint: "add it to AllowedHosts"}
	}
	spn, fixed := i.names.For(t)
	tracing := middleware.Tracing(ctx)
	var begin time.Time
	if tracing {
		begin = i.o.Now()
	}
	ticket, err := i.source.ServiceTicket(ctx, spn)
	if err != nil && !fixed && unknownService(err) {
		ticket, err = i.byCanonicalName(ctx, t, spn, err)
	}
	if err != nil {
		return nil, i.blame(err, t, spn)
	}
	if ticket.IsZero() {
		return nil, &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, Host: t.HostPort(), SPN: spn,
			Err: errors.New("the ticket source returned no ticket and no error")}
	}
	if tracing {
		middleware.Emit(ctx, middleware.TicketEvent{
			SPN: ticket.SPN(), Client: ticket.client, Source: ticket.source, Cached: ticket.cached,
			Etype: ticket.Etype(), Expires: ticket.EndTime(), Duration: i.o.Now().Sub(begin),
		})
	}
	sc := &securityContext{in: i, target: t, ticket: ticket, spn: spn}
	if i.delegates(t, ticket) {
		forwarded, err := i.delegator.ForwardedTicket(ctx, ticket)
		sc.forward = forwarded.t
		if err != nil && !(i.o.Delegation == DelegationPolicy && errors.Is(err, ErrNotForwardable)) {
			return nil, i.blame(err, t, spn)
		}
	}
	return sc, nil
}

// delegates reports whether the server is to get the user's credentials.
func (i *initiator) delegates(t middleware.Target, ticket Ticket) bool {
	if i.o.Delegation == DelegationOff || !i.hosts.Delegate(t) {
		return false
	}
	return i.o.Delegation == DelegationAlways && !i.delegator.EnforceOKAsDelegate() || ticket.okAsDelegate()
}

// blame adds the host and the SPN to an error that lacks them.
func (i *initiator) blame(err error, t middleware.Target, spn string) *middleware.Error {
	var e *middleware.Error
	if !errors.As(err, &e) {
		e = &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, Err: err}
	}
	named := *e
	if named.Host == "" {
		named.Host = t.HostPort()
	}
	if named.SPN == "" {
		named.SPN = spn
	}
	return &named
}

type securityContext struct {
	in       *initiator
	target   middleware.Target
	ticket   Ticket
	spn      string
	forward  *krb.Ticket // the ticket to delegate; nil for none
	gss      gss.Context
	begun    bool // our first token was made
	exchange negotiation.Exchange
	bound    bool  // our token is bound to the TLS connection
	broken   error // why the context can no longer be used
	verified atomic.Bool
	sealing  sync.Mutex // guards gss once the context is established
}

func (c *securityContext) Target() middleware.Target { return c.target }

// SPN is for stages that report whom a context is with.
func (c *securityContext) SPN() string { return c.ticket.SPN() }

// Bound is for stages that explain why a server refused the token.
func (c *securityContext) Bound() bool { return c.bound }

func (c *securityContext) Verified() bool { return c.verified.Load() }

func (c *securityContext) Step(ctx context.Context, token []byte) ([]byte, error) {
	if err := ended.Because(ctx, "", nil); err != nil {
		return nil, err
	}
	if !c.begun {
		if !negotiation.Opens(token) {
			return nil, negotiation.Refuse(mechanism{c}, token, errors.New("the server answered before it was asked"))
		}
		return c.first(ctx)
	}
	if c.broken != nil {
		return nil, c.broken
	}
	out, err := c.answer(token)
	switch {
	case err != nil:
		// After a forged answer no other is accepted.
		c.broken = err
		c.verified.Store(false)
	case c.in.o.mutual() && c.gss.Established():
		c.verified.Store(true)
	}
	return out, err
}

func (o *InitiatorOptions) mutual() bool { return !o.NoMutual }

func (c *securityContext) first(ctx context.Context) ([]byte, error) {
	begin := c.in.o.Now()
	bindings, err := c.bindings()
	if err != nil {
		return nil, c.fail(middleware.ErrToken, middleware.ReasonNone, err)
	}
	// The flags of MIT's initiator, which requests-kerberos sends too.
	flags := gss.FlagConf | gss.FlagInteg | gss.FlagSequence | gss.FlagReplay
	if c.in.o.mutual() {
		flags |= gss.FlagMutual
	}
	now := begin.Add(c.ticket.offset)
	var cred []byte
	if c.forward != nil {
		flags |= gss.FlagDeleg
		if cred, err = krb.MakeKRBCred(c.ticket.t.Key, c.forward, now); err != nil {
			return nil, c.fail(middleware.ErrToken, middleware.ReasonNone, err)
		}
	}
	token, err := c.begin(gss.Options{Flags: flags, Bindings: bindings, BindingsAware: c.claims(bindings), Delegation: cred, Now: now})
	if err != nil {
		return nil, c.fail(middleware.ErrToken, middleware.ReasonNone, err)
	}
	c.begun, c.bound = true, bindings != nil
	if middleware.Tracing(ctx) {
		scheme := c.target.Scheme
		if scheme == "" {
			scheme = middleware.Negotiate
		}
		middleware.Emit(ctx, middleware.TokenEvent{
			Host: c.target.HostPort(), SPN: c.ticket.SPN(), Scheme: scheme, Bytes: len(token),
			Mutual: c.in.o.mutual(), Bound: bindings != nil, Delegate: cred != nil, Duration: c.in.o.Now().Sub(begin),
		})
	}
	return token, nil
}

// begin starts the context of the mechanism, and returns its framed token.
func (c *securityContext) begin(o gss.Options) ([]byte, error) {
	w := krb.NewWriter(gss.Room(c.ticket.t, o) + spnego.MaxHead)
	if err := c.gss.Init(&w, c.ticket.t, o); err != nil {
		return nil, err
	}
	var head [spnego.MaxHead]byte
	if c.target.Scheme == middleware.Kerberos {
		w.Raw(spnego.AppendFrameHead(head[:0], spnego.TokAPReq, w.Len()))
	} else {
		w.Raw(spnego.AppendInitFrameHead(head[:0], spnego.TokAPReq, w.Len()))
	}
	return w.Result()
}

// answer processes the acceptor's token, and returns ours if the context needs one more.
func (c *securityContext) answer(token []byte) ([]byte, error) {
	return c.exchange.Answer(mechanism{c}, token)
}

// A mechanism is a context as [negotiation] uses it.
type mechanism struct{ c *securityContext }

func (m mechanism) SPN() string                     { return m.c.spn }
func (m mechanism) Accept(token []byte) error       { return m.c.accept(token) }
func (m mechanism) Established() bool               { return m.c.gss.Established() }
func (m mechanism) MIC(msg []byte) ([]byte, error)  { return m.c.gss.MIC(msg) }
func (m mechanism) VerifyMIC(msg, mic []byte) error { return m.c.gss.VerifyMIC(msg, mic) }

func (m mechanism) Fail(reason middleware.Reason, err error) *middleware.Error {
	return m.c.fail(middleware.ErrToken, reason, err)
}

// accept gives a framed krb5 token to the mechanism, and says what is wrong with it.
func (c *securityContext) accept(token []byte) error {
	err := c.gss.Accept(token)
	if err == nil {
		return nil
	}
	switch {
	case errors.Is(err, gss.ErrTime):
		return c.fail(middleware.ErrToken, middleware.ReasonWrongTime, err)
	case errors.Is(err, krb.ErrIntegrity), errors.Is(err, krb.ErrEtype):
		return c.fail(middleware.ErrToken, middleware.ReasonWrongKey, err)
	case errors.Is(err, spnego.ErrMechanism):
		return c.fail(middleware.ErrToken, middleware.ReasonWrongMechanism, err)
	}
	return negotiation.Refuse(mechanism{c}, token, err)
}

func (c *securityContext) fail(kind error, reason middleware.Reason, err error) *middleware.Error {
	return &middleware.Error{
		Stage: stage, Kind: kind, Host: c.target.HostPort(), SPN: c.ticket.SPN(), Principal: c.ticket.client,
		Reason: reason, Err: err,
	}
}
