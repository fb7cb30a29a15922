package kerberos

import (
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/krb5conf"
	"github.com/kerbchain/kerbchain/middleware"
)

func newKDCClient(o SourceOptions, conf *krb5conf.Config) *kdcclient.Client {
	d := newDiscovery(o.Resolver, conf)
	return kdcclient.New(kdcclient.Options{
		Locate:             d.locate,
		LocatePrimary:      d.locatePrimary,
		LocateKpasswd:      d.locateKpasswd,
		Dial:               o.Dial,
		Lookup:             lookup(o),
		TLS:                proxyTLS(o, conf),
		Now:                o.Now,
		Etypes:             supported(conf.PermittedEnctypes),
		SPAKEGroups:        conf.SPAKEGroups,
		NoTimestamp:        conf.NoTimestamp,
		UDPPreferenceLimit: conf.UDPPreferenceLimit,
		Clockskew:          conf.ClockSkew,
		Timesync:           conf.KDCTimesync,
		Timeout:            conf.RequestTimeout,
		Path:               conf.RealmPath,
	})
}

// supported returns the encryption types of a list that can be used here, which are fewer
// where FIPS 140-3 is enforced. It is never nil, which would mean the default: if
// krb5.conf permits nothing that we can use, that must be an error.
func supported(etypes []int32) []int32 {
	out := make([]int32, 0, len(etypes))
	for _, e := range etypes {
		if krb.Supported(e) {
			out = append(out, e)
		}
	}
	return out
}

// lookup returns the function that finds the addresses of KDCs. nil leaves it to
// [kdcclient.Options].
func lookup(o SourceOptions) func(context.Context, string) ([]netip.Addr, error) {
	r, ok := o.Resolver.(AddressResolver)
	if !ok || o.Dial != nil {
		return nil
	}
	return func(ctx context.Context, host string) ([]netip.Addr, error) { return r.LookupNetIP(ctx, "ip", host) }
}

// login makes an AS exchange with the given keys, unless the KDC refused them within the
// last minute. proof is a digest of everything that the keys are made of.
func (s *Source) login(ctx context.Context, a *account, keys kdcclient.Keys, proof [sha256.Size]byte, source string) (*session, error) {
	client := a.client
	if why := a.refusal(proof); why != nil {
		return nil, s.refused(why, client)
	}
	r := s.asRequest(a.with(proof), keys)
	tgt, err := s.kdc.AS(ctx, r)
	if s.rearm(ctx, client.Realm, err) {
		tgt, err = s.kdc.AS(ctx, r)
	}
	if why, ok := errors.AsType[*kdcclient.Error](err); ok && why.Refusal() {
		if !why.Kept && !why.OTP {
			a.refuse(proof, why)
		}
		return nil, s.refused(why, client)
	}
	if err != nil {
		return nil, s.kdcError(err, client.String(), "")
	}
	if client.Type == krb.NTEnterprise {
		a.isNamed(tgt.Client)
	}
	return &session{client: tgt.Client, tgt: tgt, source: source, login: s.made.Add(1)}, nil
}

// asRequest is a login as krb5.conf and the options have it.
func (s *Source) asRequest(a *account, keys kdcclient.Keys) kdcclient.ASRequest {
	conf := s.conf.For(a.client.Realm)
	return kdcclient.ASRequest{
		Client: a.client, Keys: keys, Guard: a, Etypes: supported(conf.DefaultTktEnctypes),
		Lifetime: conf.TicketLifetime, RenewLife: conf.RenewLifetime,
		Forwardable: conf.Forwardable || s.o.Forwardable || s.acts.Load(), Proxiable: conf.Proxiable,
		Canonicalize: conf.Canonicalize,
		Armor:        s.armor(), ArmorOptional: s.o.ArmorOptional, AskFAST: s.armors.Load(), OTP: s.otp(),
	}
}

// refused returns the error of a login that a KDC refused.
func (s *Source) refused(why *kdcclient.Error, client krb.Principal) error {
	err := s.kdcError(why, client.String(), "")
	if e, ok := errors.AsType[*middleware.Error](err); ok {
		e.Hint = "this key or password is not sent again for a minute"
		if why.OTP {
			e.Hint = ""
		}
	}
	return err
}

func (s *Source) tgsOptions(session *session) kdcclient.TGSOptions {
	return kdcclient.TGSOptions{Etypes: supported(s.conf.DefaultTGSEnctypes), Login: session.login != 0, FAST: s.o.Armor != nil}
}

// kdcError returns the error of ours for a failed exchange.
func (s *Source) kdcError(err error, principal, spn string) error {
	if e, ok := err.(*middleware.Error); ok {
		return withSPN(e, spn) // a login failed that the exchange needed
	}
	var ke *kdcclient.Error
	if !errors.As(err, &ke) {
		return &middleware.Error{Stage: stage, Kind: middleware.ErrKDC, Principal: principal, SPN: spn, Err: err}
	}
	e := &middleware.Error{
		Stage: stage, Kind: middleware.ErrKDC, Principal: principal, SPN: spn, KDC: ke.Realm,
		Code: ke.Code, IsTemporary: ke.Temporary(), Err: err,
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && (dns.IsTemporary || dns.IsTimeout) {
		e.IsTemporary = true
	}
	if ke.Credentials() {
		e.Kind = middleware.ErrCredentials
	}
	s.hints(e, ke)
	if len(ke.KDCs) > 0 {
		var at []string
		for _, a := range ke.KDCs {
			at = append(at, a.Address+"/"+a.Network)
		}
		e.KDC += " at " + strings.Join(at, ", ")
	}
	return e
}

// A crossing is a client's cross-realm ticket for a realm (RFC 4120 section 3.3.3.2).
type crossing struct{ client, realm string }

// maxCrossings bounds the cross-realm tickets that a source keeps.
const maxCrossings = 256

// ask gets a service ticket from a KDC. For a server without a realm it follows referrals
// from the client's own KDC, and then tries the realm that the host's name suggests.
func (s *Source) ask(ctx context.Context, session *session, server krb.Principal) (*krb.Ticket, error) {
	o := s.crossOptions(ctx, session)
	tgt := session.tgt
	if server.Realm != "" {
		var err error
		if tgt, err = s.crossTo(ctx, session, server.Realm); err != nil {
			return nil, err
		}
	}
	if server.Realm == "" && len(server.Components) > 1 {
		o.Fallback = func(ctx context.Context) []string {
			if realm := s.fallbackRealm(ctx, hostOf(server)); realm != "" {
				return []string{realm}
			}
			return nil
		}
	}
	return s.kdc.TGS(ctx, tgt, server, o)
}

// crossTo returns a ticket-granting ticket for a realm. All who want one at the same time
// share it.
func (s *Source) crossTo(ctx context.Context, session *session, realm string) (*krb.Ticket, error) {
	if realm == session.tgt.Server.Components[1] {
		return session.tgt, nil
	}
	return s.realms.Do(ctx, session.client.String()+"\x00"+realm, func(ctx context.Context) (*krb.Ticket, error) {
		return s.kdc.TGT(ctx, session.tgt, realm, s.crossOptions(ctx, session))
	})
}

func (s *Source) crossOptions(ctx context.Context, session *session) kdcclient.TGSOptions {
	o := s.tgsOptions(session)
	client := session.client.String()
	o.Held = func(realm string) *krb.Ticket {
		s.mu.RLock()
		t := s.cross[crossing{client, realm}]
		s.mu.RUnlock()
		if t == nil && session.stored != nil {
			t, _ = session.stored(krb.TGS(realm, ""))
		}
		if !usable(t, s.o.Now().Add(s.offset(session))) {
			return nil
		}
		return t
	}
	o.Keep = func(t *krb.Ticket) {
		s.mu.Lock()
		if len(s.cross) >= maxCrossings {
			clear(s.cross)
		}
		s.cross[crossing{client, t.Server.Components[1]}] = t
		s.mu.Unlock()
		if session.keep != nil {
			session.keep(ctx, t)
		}
	}
	return o
}

// exchange asks a KDC with the session's ticket-granting ticket. If the KDC no longer
// takes that ticket, because the realm's key changed, say, it logs in again where there
// is a keytab or a password, and asks once more. before is the number of the source's
// last login when the caller began: a later login is new enough, and is not repeated.
func (s *Source) exchange(ctx context.Context, session *session, before uint64, ask func(*session) (*krb.Ticket, error)) (*krb.Ticket, error) {
	t, err := ask(session)
	if session.login > before || !s.dead(session, err) {
		return t, err
	}
	fresh, failed := s.revive(ctx, session)
	if failed != nil {
		return nil, failed
	}
	return ask(fresh)
}

// dead reports whether an exchange failed because of the session's own ticket, so that a
// new login may help. It does not help if the session was made for that reason within the
// last minute.
func (s *Source) dead(session *session, err error) bool {
	var ke *kdcclient.Error
	return session.login != 0 && errors.As(err, &ke) && ke.DeadTicket() && ke.Realm == session.tgt.Server.Components[1] &&
		(session.revived.IsZero() || s.o.Now().Sub(session.revived) >= freshFor)
}

// revive logs in anew, once for all callers who found the session's ticket dead.
func (s *Source) revive(ctx context.Context, dead *session) (*session, error) {
	// The key differs from that of a flight that still finds the old session good.
	return s.logins.Do(ctx, "\x00revive "+dead.name, func(ctx context.Context) (*session, error) {
		if now := s.session(dead.name); now != nil && now.tgt != dead.tgt {
			return now, nil
		}
		fresh, err := s.creds.refresh(ctx, dead)
		if err != nil {
			return nil, err
		}
		fresh.name, fresh.revived = dead.name, s.o.Now()
		s.publish(fresh)
		return fresh, nil
	})
}

// unknowns remembers for a minute which services a KDC did not know, so that callers that
// try one name after the other do not ask it for each request.
type unknowns struct {
	mu   sync.Mutex
	told map[[2]string]refusal // by session and SPN
}

type refusal struct {
	err   error
	until time.Time
}

const (
	maxUnknown = 1024
	unknownFor = time.Minute
)

// about returns the KDC's refusal of a service within the last minute.
func (u *unknowns) about(session, spn string, now time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := [2]string{session, spn}
	r, ok := u.told[key]
	if !ok {
		return nil
	}
	if left := r.until.Sub(now); left <= 0 || left > unknownFor {
		delete(u.told, key)
		return nil
	}
	return r.err
}

func (u *unknowns) note(session, spn string, now time.Time, err error) {
	if !unknownService(err) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.told == nil {
		u.told = make(map[[2]string]refusal)
	}
	if len(u.told) >= maxUnknown {
		clear(u.told)
	}
	u.told[[2]string{session, spn}] = refusal{err, now.Add(unknownFor)}
}
