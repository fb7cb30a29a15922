package kerberos

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/flight"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/krb5conf"
	"github.com/kerbchain/kerbchain/internal/readmap"
	"github.com/kerbchain/kerbchain/middleware"
)

// Options say how a source reaches the world. The zero value is the process's
// own: its environment, /etc/krb5.conf, the network and the system clock.
type SourceOptions struct {
	// Principal is the client principal wanted, name or name@REALM. Empty means
	// whatever the credentials are for. A name without a realm is of the
	// default realm.
	Principal string
	// Krb5Conf names configuration files, the first of which wins where
	// several give a value. Nil means $KRB5_CONFIG, else /etc/krb5.conf; on Windows
	// MIT's krb5.ini in %APPDATA%\MIT\Kerberos5, %ProgramData%\MIT\Kerberos5 or
	// %WINDIR%, of which the first that exists is read. Files
	// that do not exist are passed over.
	Krb5Conf []string
	// Krb5ConfText, when not empty, is the configuration itself, in place of
	// files. It cannot include any.
	Krb5ConfText string
	// Enterprise says that Principal is an alias such as user@corp.example, an
	// Active Directory user principal name, which a KDC of the default realm
	// translates (RFC 6806 section 6). One written with an escaped @, as
	// user\@corp.example@REALM, is always taken for one. A credential cache is used
	// for it if its client is that very name (kinit -E), or the true name that a KDC
	// gave for it when this process logged in with a key or password; which true
	// name belongs to it nothing else tells.
	Enterprise bool
	// ReadOnlyCache leaves credential caches as they are. Without it service
	// tickets that are fetched are written back to a cache of ours, as MIT krb5
	// does, for klist to show and other programs to use; and a ticket-granting
	// ticket that is renewed, as kinit -R does.
	ReadOnlyCache bool
	// MemoryCaches holds the caches that names of type MEMORY mean; nil means
	// that there are none.
	MemoryCaches *MemoryCaches
	// Logins is where sources share what KDCs said of logins, so that a stale
	// keytab is not sent again by the next one; nil means that of the process. It tells
	// realms apart by their names and those of their KDCs, and nothing of Dial: give each
	// network Logins of its own where several have realms and KDCs of the same names.
	Logins *Logins
	// Forwardable asks for a ticket-granting ticket that can be delegated, where
	// this source logs in itself; krb5.conf may ask for it too.
	Forwardable bool
	// Armor, when not nil, protects logins by a ticket of another principal, of this host
	// mostly (FAST, RFC 6113, as kinit -T does): its source is one of [FromKeytab] or
	// [FromCCache], and logs in when this one does. Nobody on the way can then guess at
	// the password offline, nor forge what the KDC says. Service tickets are asked for in
	// the same way. A KDC that does not speak FAST is an error.
	Armor *Source
	// ArmorOptional lets this source log in without Armor where the KDC does not offer
	// FAST. Whoever can change what the KDC sends can leave out the offer, unless Armor's
	// own login, or its cache (fast_avail), tells of it.
	ArmorOptional bool
	// OTP, when not nil, is asked for a one-time password where the KDC takes one (RFC
	// 6560), which it does within FAST alone: Armor must be there. It is called for every
	// login, not twice at the same time, and once more where a KDC wants the next one of
	// the same token. It should return when ctx ends. Its error is wrapped in the
	// source's. What it returns is sent once: one that was refused is not sent again.
	OTP func(ctx context.Context, c OTPChallenge) (OTPAnswer, error)
	// NewPassword, when not nil, is asked for a new password where a KDC says that the one
	// of [FromPassword] or [FromPasswordFunc] has expired. It is changed (kpasswd, RFC
	// 3244) at the server that krb5.conf or DNS names, and used from then on wherever the
	// old one would be, by all sources that share Logins: one of them asks, and the others
	// wait. NewPassword is asked again, up to three times, where the server
	// does not take the new one. Where the server's answer is lost, the error says that the
	// password may have been changed: the next login tries the new one, then the old one if the
	// KDC refused that, and has it changed for the same new one if it was not, without asking. It
	// should return when ctx ends; its error is wrapped in the source's. The program keeps the new password where the old one came from.
	// Whoever can forge what the KDC sends can have it asked, but for logins with Armor.
	NewPassword func(ctx context.Context, r NewPasswordRequest) (Secret, error)
	// AllowRC4 lets keys of type arcfour-hmac be used, beside those that
	// krb5.conf allows.
	AllowRC4 bool
	// Dial connects to KDCs; nil means a plain [net.Dialer]. The network is
	// "udp" or "tcp", the address host:port. Where it leads to a network of its own, see
	// Logins.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// ProxyTLS is for the connections to KDC proxies (kdc = https://... in
	// krb5.conf). Nil trusts what http_anchors of the realm names, and without that
	// what the system trusts; so does a value without RootCAs. It must not be changed
	// once the source is made.
	ProxyTLS *tls.Config
	// Resolver finds the KDCs of realms of which krb5.conf names none, unless
	// dns_lookup_kdc is false; nil means [net.DefaultResolver].
	Resolver Resolver
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
	// Getenv looks up environment variables; nil means [SecureGetenv].
	Getenv func(string) string

	goos string // whose rules hold, in tests; "" means the machine's
}

// maxTickets bounds the service tickets that a source keeps.
const maxTickets = 4096

// margin is how long before its end a ticket is no longer used: the server's clock may be
// ahead, and the request takes time.
const margin = 30 * time.Second

// A Source finds tickets with one set of credentials, or out of a collection of
// them. Make one with [FromEnvironment], [FromCCache], [FromKeytab], [FromPassword] or
// [FromPasswordFunc]. It is safe for concurrent use, needs no closing, and runs
// nothing between calls unless [Source.KeepFresh] is called.
type Source struct {
	o     SourceOptions
	conf  *krb5conf.Config
	kdc   *kdcclient.Client
	creds credentials

	services flight.Group[Ticket]
	logins   flight.Group[*session]
	realms   flight.Group[*krb.Ticket]
	unknown  unknowns
	stale    ticketSet                            // tickets that servers refused
	made     atomic.Uint64                        // counts logins
	warned   atomic.Bool                          // whether the warnings of krb5.conf were told
	renewing atomic.Bool                          // whether a request is renewing
	armors   atomic.Bool                          // others: logins ask whether the KDC speaks FAST
	acts     atomic.Bool                          // an Impersonator uses it, so logins ask for forwardable tickets
	ours     func(uid int) bool                   // whether a file belongs to the process's user
	after    func(time.Duration) <-chan time.Time // time.After, except in tests

	// Every request reads these, without a lock.
	sessions readmap.Map[string, *place] // by the name that credentials gave
	tickets  readmap.Map[string, *held]  // by SPN as asked for
	chosen   readmap.Map[string, choice] // by SPN as asked for

	mu    sync.RWMutex // held to change sessions or tickets
	cross map[crossing]*krb.Ticket
}

// isZero reports whether none of the constructors made s.
func (s *Source) isZero() bool { return s == nil || s.conf == nil }

func newSource(o SourceOptions) (*Source, error) {
	if o.Getenv == nil {
		o.Getenv = SecureGetenv
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if wrong := o.check(); wrong != "" {
		return nil, &middleware.Error{Stage: stage, Kind: middleware.ErrConfiguration, Principal: o.Principal, Err: errors.New(wrong)}
	}
	conf, err := loadConfig(o)
	if err != nil {
		return nil, &middleware.Error{Stage: stage, Kind: middleware.ErrConfiguration, Principal: o.Principal,
			Err: err, Hint: "mend the file, or name another in KRB5_CONFIG"}
	}
	s := &Source{
		o: o, conf: conf, after: time.After, ours: ours,
		cross: make(map[crossing]*krb.Ticket),
	}
	s.kdc = newKDCClient(o, conf)
	if o.Armor != nil {
		o.Armor.armors.Store(true)
	}
	return s, nil
}

// check names an option that another one would make void, "" if there is none.
func (o SourceOptions) check() string {
	switch {
	case o.Enterprise && o.Principal == "":
		return "Enterprise says that Principal is an alias, and Principal is empty"
	case o.ArmorOptional && o.Armor == nil:
		return "ArmorOptional says that Armor may be left out, and there is none"
	case o.Armor != nil && o.Armor.isZero():
		return "Armor is a source that none of the constructors made"
	case o.OTP != nil && o.Armor == nil:
		return "OTP takes FAST, and there is no Armor"
	case o.Krb5ConfText != "" && o.Krb5Conf != nil:
		return "Krb5ConfText takes the place of Krb5Conf, which would have no effect: leave out one or the other"
	}
	return ""
}

func loadConfig(o SourceOptions) (*krb5conf.Config, error) {
	ko := o.krb5conf()
	if o.Krb5ConfText != "" {
		p, err := krb5conf.Parse("krb5.conf", []byte(o.Krb5ConfText))
		if err != nil {
			return nil, err
		}
		return krb5conf.New(p, ko), nil
	}
	if o.Krb5Conf == nil {
		return krb5conf.LoadDefault(ko)
	}
	return krb5conf.Load(o.Krb5Conf, ko)
}

// krb5conf returns the environment in which krb5.conf is read.
func (o SourceOptions) krb5conf() krb5conf.Options {
	return krb5conf.Options{GOOS: o.goos, Getenv: o.Getenv, AllowRC4: o.AllowRC4}
}

// principal parses the wanted client principal, in its realm or the default one. It is
// zero if none is wanted.
func (s *Source) principal() (krb.Principal, error) {
	if s.o.Principal == "" {
		return krb.Principal{}, nil
	}
	p, err := krb.ParsePrincipal(s.o.Principal)
	if err != nil {
		return p, s.misconfigured(err, "write it as name@REALM")
	}
	if s.o.Enterprise && len(p.Components) == 1 && p.Realm != "" && !strings.Contains(p.Components[0], "@") {
		p = krb.Principal{Components: []string{p.Components[0] + "@" + p.Realm}}
	}
	if len(p.Components) == 1 && strings.Contains(p.Components[0], "@") {
		p.Type = krb.NTEnterprise
	}
	if p.Realm == "" {
		p.Realm = s.conf.DefaultRealm
	}
	if p.Realm == "" {
		err := errors.New("the principal names no realm, and krb5.conf sets no default_realm")
		if unread := notRead(s.conf); unread != nil {
			err = fmt.Errorf("%w: %w", err, unread)
		}
		return p, s.misconfigured(err,
			"write the principal as name@REALM, or set default_realm in krb5.conf")
	}
	return p, nil
}

func (s *Source) noCredentials(err error, hint string) *middleware.Error {
	return &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, Principal: s.o.Principal, Err: err, Hint: hint}
}

func (s *Source) misconfigured(err error, hint string) *middleware.Error {
	return &middleware.Error{Stage: stage, Kind: middleware.ErrConfiguration, Principal: s.o.Principal, Err: err, Hint: hint}
}

// ServiceTicket returns a ticket for spn, which is service/host or
// service/host@REALM. It is taken from what the source holds, or from the KDC,
// once for all who ask at the same time.
func (s *Source) ServiceTicket(ctx context.Context, spn string) (Ticket, error) {
	now := s.o.Now()
	// The session of the same name may now be of another cache, which was read for another
	// service.
	if h, ok := s.tickets.Get(spn); ok && now.Before(h.until) {
		if session := h.of.session(); session != nil && h.client == session.who {
			if epoch, changed := s.creds.check(ctx, session, now); !changed && epoch == h.epoch {
				if session.due(now) {
					s.renewOnUse(ctx, h.t.Server)
				}
				return h.Ticket, nil
			}
		}
	}
	if ctx.Err() != nil {
		return Ticket{}, s.gaveUp(ctx, spn, nil)
	}
	t, err := s.services.Do(ctx, spn, func(ctx context.Context) (Ticket, error) { return s.fetch(ctx, spn) })
	var known *middleware.Error
	if err != nil && ctx.Err() != nil && !errors.As(err, &known) {
		return Ticket{}, s.gaveUp(ctx, spn, err)
	}
	return t, err
}

// gaveUp returns the error of a caller whose context ended first. The work may go on for
// others, so its result is not known, but what was waited for is.
func (s *Source) gaveUp(ctx context.Context, spn string, err error) error {
	if left, ok := errors.AsType[*flight.GaveUpError](err); ok && left.Doing != "" {
		return &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, SPN: spn, Principal: s.o.Principal, IsTemporary: true,
			Err:  ended.Because(ctx, "gave up "+left.Doing, nil),
			Hint: "allow more time, or see whether it is locked by another process, or waits for a file system, a daemon or a person"}
	}
	e := &middleware.Error{Stage: stage, Kind: middleware.ErrKDC, SPN: spn, Principal: s.o.Principal, KDC: s.conf.DefaultRealm,
		Err:  ended.Because(ctx, "gave up waiting for a ticket", nil),
		Hint: "allow more time, or check that the KDC can be reached"}
	if s.sessions.Len() == 1 {
		for _, p := range s.sessions.All() {
			if session := p.session(); session != nil {
				e.Principal = session.client.String()
			}
		}
	}
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

// offset returns how far the clock of the session's KDC is ahead of the local clock, as
// exchanges and the credential cache tell (kdc_timesync).
func (s *Source) offset(of *session) time.Duration { return s.kdc.Offset(of.client.Realm) }

// usable reports whether t can be used at the given time, by the KDC's clock, with
// time to spare.
func usable(t *krb.Ticket, now time.Time) bool {
	return t != nil && t.ValidAt(now, spare(t))
}

// spare returns how long before its end a ticket is no longer used: 30 seconds, or a
// tenth of a short life.
func spare(t *krb.Ticket) time.Duration { return min(margin, t.EndTime.Sub(t.StartTime)/10) }

func (s *Source) fetch(ctx context.Context, spn string) (Ticket, error) {
	s.warn(ctx)
	server, err := s.server(spn)
	if err != nil {
		return Ticket{}, err
	}
	before := s.made.Load()
	session, epoch, err := s.open(ctx, server)
	if err != nil {
		return Ticket{}, withSPN(err, spn)
	}
	now := s.o.Now()
	if t, ok := s.handOver(spn, session, epoch, now); ok {
		return t, nil
	}
	if err := s.unknown.about(session.name, spn, now); err != nil {
		return Ticket{}, err
	}
	got, cached, err := s.obtain(ctx, session, before, server, spn)
	if err != nil {
		s.unknown.note(session.name, spn, now, err)
		return Ticket{}, err
	}
	t := newTicket(got, session.source)
	t.offset, t.epoch = s.offset(session), epoch
	if !cached {
		t.fetched = now
	}
	s.mu.Lock()
	s.keep(spn, t, session, now)
	s.mu.Unlock()
	t.cached = cached
	return t, nil
}

// handOver keeps a ticket at hand in use after the credentials of its session were
// replaced by newer ones of the same client.
func (s *Source) handOver(spn string, to *session, epoch uint64, now time.Time) (Ticket, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.tickets.Get(spn)
	if !ok || h.client != to.client.String() || !now.Before(h.until) {
		return Ticket{}, false
	}
	t := h.Ticket
	t.epoch = epoch
	s.keep(spn, t, to, now)
	return t, true
}

// hostOf returns the host of a host-based service, without a port.
func hostOf(server krb.Principal) string {
	host := server.Components[1]
	if name, port, ok := strings.Cut(host, ":"); ok && !strings.Contains(port, ":") {
		return name
	}
	return host
}

// obtain finds a ticket among those of the session, or asks the KDC. For before see
// exchange.
func (s *Source) obtain(ctx context.Context, have *session, before uint64, server krb.Principal, spn string) (t *krb.Ticket, cached bool, err error) {
	if have.stored != nil {
		if t, ok := have.stored(server); ok && usable(t, s.o.Now().Add(s.offset(have))) {
			return t, true, nil
		}
	}
	if now := s.o.Now().Add(s.offset(have)); have.of != "" && usable(have.service, now) && usable(have.evidence, now) {
		if t, err = s.proxyTo(ctx, &session{client: have.service.Client, tgt: have.service}, before, have.evidence, server, spn); err == nil && have.keep != nil {
			have.keep(ctx, t)
		}
		return t, false, err
	}
	if have.of != "" {
		return nil, false, &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, SPN: spn, Principal: have.client.String(),
			Err: fmt.Errorf("%s holds what %s was given on behalf of the client (proxy_impersonator), but not both the service's ticket-granting ticket and the client's ticket for the service, still valid, that constrained delegation (S4U2Proxy) takes",
				have.source, have.of),
			Hint: "have the client log in to the service anew"}
	}
	if have.tgt == nil {
		return nil, false, &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, SPN: spn, Principal: have.client.String(),
			Err:  fmt.Errorf("%s holds no valid ticket for it, and no ticket-granting ticket to get one with", have.source),
			Hint: "run kinit"}
	}
	t, err = s.exchange(ctx, have, before, func(with *session) (*krb.Ticket, error) { return s.ask(ctx, with, server) })
	if err != nil {
		return nil, false, s.kdcError(err, have.client.String(), spn)
	}
	if have.keep != nil {
		have.keep(ctx, t)
	}
	return t, false, nil
}

// A held is a ticket at hand.
type held struct {
	Ticket
	of    *place    // of the session by which it was fetched; nil for none
	until time.Time // when it is no longer used, by the local clock
}

// keep stores t. Tickets that have expired make room first. The lock must be held.
func (s *Source) keep(spn string, t Ticket, of *session, now time.Time) {
	h := &held{Ticket: t, until: t.t.EndTime.Add(-spare(t.t) - t.offset)}
	if t.t.Flags&krb.FlagInvalid != 0 {
		h.until = time.Time{}
	}
	if of != nil {
		h.of, _ = s.sessions.Get(of.name)
		if h.client == of.who {
			h.client = of.who // the same string, since that is compared fast
		}
	}
	h.cached = true // for later callers
	if _, there := s.tickets.Get(spn); !there {
		s.tickets.MakeRoom(maxTickets, func(_ string, old *held) bool { return !now.Before(old.until) })
	}
	s.tickets.Put(spn, h)
}

// makeRoom leaves fewer than most entries in m. It deletes those that are over first, and
// then any.
func makeRoom[K comparable, V any](m map[K]V, most int, over func(V) bool) {
	if len(m) < most {
		return
	}
	maps.DeleteFunc(m, func(_ K, v V) bool { return over(v) })
	for k := range m {
		if len(m) < most {
			return
		}
		delete(m, k)
	}
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
