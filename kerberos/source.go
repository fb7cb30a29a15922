package kerberos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/krb5conf"
	"github.com/kerbchain/kerbchain/middleware"
)

// Options say how a source reaches the world. The zero value is the process's
// own: its environment, /etc/krb5.conf, the network and the system clock.
type Options struct {
	// Principal is the client principal wanted, name or name@REALM. Empty means
	// whatever the credentials are for. A name without a realm is of the
	// default realm.
	Principal string
	// Krb5Conf names configuration files, the first of which wins where
	// several give a value. Nil means $KRB5_CONFIG, else /etc/krb5.conf. Files
	// that do not exist are passed over.
	Krb5Conf []string
	// Krb5ConfText, when not empty, is the configuration itself, in place of
	// files. It cannot include any.
	Krb5ConfText string
	// Forwardable asks for a ticket-granting ticket that can be delegated, where
	// this source logs in itself; krb5.conf may ask for it too.
	Forwardable bool
	// AllowRC4 lets keys of type arcfour-hmac be used, beside those that
	// krb5.conf allows.
	AllowRC4 bool
	// Dial connects to KDCs; nil means a plain [net.Dialer]. The network is
	// "udp" or "tcp", the address host:port.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Resolver finds the KDCs of realms of which krb5.conf names none, unless
	// dns_lookup_kdc is false; nil means [net.DefaultResolver].
	Resolver Resolver
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
	// Getenv looks up environment variables; nil means [os.Getenv].
	Getenv func(string) string
}

// maxTickets bounds the service tickets that a source keeps.
const maxTickets = 4096

// margin is how long before its end a ticket is no longer used: the server's
// clock may be ahead, and the request takes time.
const margin = 30 * time.Second

// A Source finds tickets with one set of credentials. Make one with
// [FromEnvironment], [CCache], [Keytab] or [Password]. It is safe for
// concurrent use and needs no closing.
type Source struct {
	o     Options
	conf  *krb5conf.Config
	kdc   *kdcclient.Client
	creds credentials

	services flights[Ticket]
	logins   flights[*session]

	mu      sync.RWMutex
	session *session
	tickets map[string]Ticket // by SPN as asked for
}

// credentials are a way to a session.
type credentials interface {
	// open gets credentials that are valid now, asking a KDC if need be.
	open(ctx context.Context) (*session, error)
	// changed reports whether what a session was made of is no longer there, so
	// that it should be opened anew. It is asked on every lookup.
	changed(s *session, now time.Time) bool
}

// A session is who we are, and what we hold.
type session struct {
	client krb.Principal
	tgt    *krb.Ticket                                    // nil when there are service tickets alone
	stored func(server krb.Principal) (*krb.Ticket, bool) // service tickets at hand; may be nil
	source string
	stamp  stamp
}

func newSource(o Options) (*Source, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	conf, err := loadConfig(o)
	if err != nil {
		return nil, &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, Principal: o.Principal,
			Err: err, Hint: "mend the file, or name another in KRB5_CONFIG"}
	}
	s := &Source{o: o, conf: conf, tickets: make(map[string]Ticket)}
	s.kdc = newKDCClient(o, conf)
	return s, nil
}

func loadConfig(o Options) (*krb5conf.Config, error) {
	ko := krb5conf.Options{Getenv: o.Getenv, AllowRC4: o.AllowRC4}
	if o.Krb5ConfText != "" {
		p, err := krb5conf.Parse("krb5.conf", []byte(o.Krb5ConfText))
		if err != nil {
			return nil, err
		}
		return krb5conf.New(p, ko), nil
	}
	files := o.Krb5Conf
	if files == nil {
		files = krb5conf.Default(o.Getenv)
	}
	conf, err := krb5conf.Load(files, ko)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", strings.Join(files, ":"), err)
	}
	return conf, nil
}

// principal parses the client principal that was asked for, in its realm or the
// default one. It is zero when none was asked for.
func (s *Source) principal() (krb.Principal, error) {
	if s.o.Principal == "" {
		return krb.Principal{}, nil
	}
	p, err := krb.ParsePrincipal(s.o.Principal)
	if err != nil {
		return p, s.noCredentials(err, "write it as name@REALM")
	}
	if p.Realm == "" {
		p.Realm = s.conf.DefaultRealm
	}
	if p.Realm == "" {
		return p, s.noCredentials(errors.New("the principal names no realm, and krb5.conf sets no default_realm"),
			"write the principal as name@REALM, or set default_realm in krb5.conf")
	}
	return p, nil
}

func (s *Source) noCredentials(err error, hint string) *middleware.Error {
	return &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, Principal: s.o.Principal, Err: err, Hint: hint}
}

// ServiceTicket returns a ticket for spn, which is service/host or
// service/host@REALM. It is taken from what the source holds, or from the KDC,
// once for all who ask at the same time.
func (s *Source) ServiceTicket(ctx context.Context, spn string) (Ticket, error) {
	now := s.o.Now()
	s.mu.RLock()
	t, ok := s.tickets[spn]
	session := s.session
	s.mu.RUnlock()
	if ok && usable(t.t, now.Add(t.offset)) && !s.creds.changed(session, now) {
		t.cached = true
		return t, nil
	}
	if ctx.Err() != nil {
		return Ticket{}, s.gaveUp(ctx, spn)
	}
	t, err := s.services.do(ctx, spn, func(ctx context.Context) (Ticket, error) { return s.fetch(ctx, spn) })
	var known *middleware.Error
	if err != nil && ctx.Err() != nil && !errors.As(err, &known) {
		return Ticket{}, s.gaveUp(ctx, spn)
	}
	return t, err
}

// gaveUp is the error of a caller whose context ended first. Whoever still
// waits goes on waiting, so what came of it is not known; whom it is waited for
// is.
func (s *Source) gaveUp(ctx context.Context, spn string) error {
	e := &middleware.Error{Stage: stage, Kind: middleware.ErrKDC, SPN: spn, Principal: s.o.Principal, KDC: s.conf.DefaultRealm,
		Err:  fmt.Errorf("gave up waiting for a ticket: %w", context.Cause(ctx)),
		Hint: "allow more time, or check that the KDC can be reached"}
	s.mu.RLock()
	if s.session != nil {
		e.Principal = s.session.client.String()
	}
	s.mu.RUnlock()
	if p, err := krb.ParsePrincipal(e.Principal); err == nil && p.Realm != "" {
		e.KDC = p.Realm
	}
	var at []string
	for _, k := range s.conf.KDCs(e.KDC) {
		at = append(at, k.Address())
	}
	if len(at) > 0 {
		e.KDC += " at " + strings.Join(at, ", ")
	}
	return e
}

// offset is how far the clock of the session's KDC is ahead of ours, as far as
// an exchange or the credential cache told (kdc_timesync).
func (s *Source) offset(of *session) time.Duration { return s.kdc.Offset(of.client.Realm) }

// usable reports whether t can be used at the given time, by the KDC's clock,
// with room to spare: 30 seconds, or a tenth of a short life.
func usable(t *krb.Ticket, now time.Time) bool {
	if t == nil {
		return false
	}
	return t.ValidAt(now, min(margin, t.EndTime.Sub(t.StartTime)/10))
}

// open returns the session, opening it if there is none or it has run out.
func (s *Source) open(ctx context.Context) (*session, error) {
	return s.logins.do(ctx, "", func(ctx context.Context) (*session, error) {
		now := s.o.Now()
		s.mu.RLock()
		old := s.session
		s.mu.RUnlock()
		if old != nil && usable(old.tgt, now.Add(s.offset(old))) && !s.creds.changed(old, now) {
			return old, nil
		}
		fresh, err := s.creds.open(ctx)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.session = fresh
		if old != nil && !fresh.client.Equal(old.client) {
			clear(s.tickets)
		}
		return fresh, nil
	})
}

func (s *Source) fetch(ctx context.Context, spn string) (Ticket, error) {
	server, err := krb.ParsePrincipal(spn)
	if err != nil {
		e := s.noCredentials(err, "")
		e.SPN = spn
		return Ticket{}, e
	}
	session, err := s.open(ctx)
	if err != nil {
		return Ticket{}, withSPN(err, spn)
	}
	if server.Realm == "" && len(server.Components) > 1 {
		server.Realm, _ = s.conf.RealmOf(server.Components[1])
	}
	now := s.o.Now()
	s.mu.RLock()
	held, ok := s.tickets[spn]
	s.mu.RUnlock()
	if ok && usable(held.t, now.Add(held.offset)) {
		// The credentials were replaced by fresher ones of the same client.
		held.cached = true
		return held, nil
	}
	var cached bool
	var got *krb.Ticket
	if session.stored != nil {
		if t, ok := session.stored(server); ok && usable(t, now.Add(s.offset(session))) {
			got, cached = t, true
		}
	}
	if got == nil {
		if session.tgt == nil {
			return Ticket{}, &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, SPN: spn, Principal: session.client.String(),
				Err:  fmt.Errorf("%s holds no valid ticket for it, and no ticket-granting ticket to get one with", session.source),
				Hint: "run kinit"}
		}
		if server.Realm == "" {
			// The realm of the host is not configured: the client's KDC knows,
			// or refers us to one that does (RFC 6806 section 8).
			server.Realm = session.client.Realm
		}
		got, err = s.kdc.TGS(ctx, session.tgt, server, s.tgsOptions())
		if err != nil {
			return Ticket{}, s.kdcError(err, session.client.String(), spn)
		}
	}
	t := newTicket(got, session.source)
	t.offset = s.offset(session)
	s.mu.Lock()
	s.keep(spn, t, now)
	s.mu.Unlock()
	t.cached = cached
	return t, nil
}

// keep stores t, making room among what has run out first.
func (s *Source) keep(spn string, t Ticket, now time.Time) {
	if len(s.tickets) >= maxTickets {
		for k, old := range s.tickets {
			if !usable(old.t, now.Add(old.offset)) {
				delete(s.tickets, k)
			}
		}
		for k := range s.tickets {
			if len(s.tickets) < maxTickets {
				break
			}
			delete(s.tickets, k)
		}
	}
	s.tickets[spn] = t
}

func withSPN(err error, spn string) error {
	var e *middleware.Error
	if errors.As(err, &e) && e.SPN == "" {
		named := *e
		named.SPN = spn
		return &named
	}
	return err
}
