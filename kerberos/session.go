package kerberos

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// credentials open sessions: one for a password or a keytab, one for each cache of a
// collection.
type credentials interface {
	// choose names the session for a server, whose realm is "" if it is not known. For the
	// zero principal it names the session to use when nothing else decides.
	choose(ctx context.Context, server krb.Principal) (name string, epoch uint64, err error)
	// open gets credentials that are valid now, asking a KDC if need be. It is not called
	// twice at the same time for one name.
	open(ctx context.Context, name string) (*session, error)
	// check reports whether the credentials of a session have changed or gone, so that it
	// must be opened anew. The epoch changes when choose may name another session than
	// before. It is called for every lookup.
	check(ctx context.Context, s *session, now time.Time) (epoch uint64, changed bool)
	// peek returns the client of the session that would be opened under a name, without
	// asking a KDC.
	peek(ctx context.Context, name string, now time.Time) (krb.Principal, error)
	// refresh gets credentials of the same client that last longer.
	refresh(ctx context.Context, s *session) (*session, error)
}

// A session is a client and its tickets. It does not change after publish.
type session struct {
	name   string // unique in the source
	client krb.Principal
	who    string                                         // client as text, set by publish
	tgt    *krb.Ticket                                    // nil if there are only service tickets
	stored func(server krb.Principal) (*krb.Ticket, bool) // finds service tickets in the cache; may be nil
	keep   func(ctx context.Context, t *krb.Ticket)       // writes a fetched ticket to the cache; may be nil
	source string
	of     string // the service that got the tickets on behalf of the client, "" for none
	// The ticket-granting ticket of that service and the client's ticket for it, if they
	// are there.
	service, evidence *krb.Ticket
	own               []krb.Key // the client's keys, from a keytab
	cache             *member   // the cache that it was read from; nil for none
	state             string    // state of the cache when it was read

	// The number of the login that made it, 0 for a cache; and when it was made because a
	// KDC no longer took the ticket before.
	login   uint64
	revived time.Time

	// When to renew the ticket-granting ticket, by the local clock; zero if that is of no
	// use before it ends.
	refresh time.Time
}

func (s *session) due(now time.Time) bool { return !s.refresh.IsZero() && !now.Before(s.refresh) }

// halfway returns when half of a ticket's life is over, by the KDC's clock.
func halfway(t *krb.Ticket) time.Time { return t.StartTime.Add(t.EndTime.Sub(t.StartTime) / 2) }

const (
	// renewTimeout bounds a renewal within a request, which could go on with the ticket at
	// hand.
	renewTimeout = 2 * time.Second
	// renewPause is how long a failed renewal is not repeated.
	renewPause = time.Minute
)

// open returns the session for a server. It opens one if there is none or it has expired,
// and renews one whose time has come.
func (s *Source) open(ctx context.Context, server krb.Principal) (*session, uint64, error) {
	name, epoch, err := s.creds.choose(ctx, server)
	if err != nil {
		return nil, 0, err
	}
	opened, err := s.logins.Do(ctx, name, func(ctx context.Context) (*session, error) {
		now := s.o.Now()
		old := s.session(name)
		if old != nil && usable(old.tgt, now.Add(s.offset(old))) {
			if _, changed := s.creds.check(ctx, old, now); !changed {
				if old.due(now) {
					return s.renew(ctx, old), nil
				}
				return old, nil
			}
		}
		fresh, err := s.creds.open(ctx, name)
		if err != nil {
			return nil, err
		}
		fresh.name = name
		s.publish(fresh)
		if fresh.due(now) {
			fresh = s.renew(ctx, fresh)
		}
		return fresh, nil
	})
	return opened, epoch, err
}

// renewOnUse renews the ticket-granting ticket behind a ticket at hand. One request does
// it, and the others go on.
func (s *Source) renewOnUse(ctx context.Context, server krb.Principal) {
	if !s.renewing.CompareAndSwap(false, true) {
		return
	}
	defer s.renewing.Store(false)
	// The ticket at hand is good whether this succeeds or not. The next request that needs
	// a new one tells why not.
	_, _, _ = s.open(ctx, server)
}

// publish replaces the session of the same name. Sessions of caches that are gone make
// room.
func (s *Source) publish(fresh *session) {
	fresh.who = fresh.client.String()
	s.mu.Lock()
	defer s.mu.Unlock()
	p, there := s.sessions.Get(fresh.name)
	if !there {
		s.dropSessions(s.sessions.Len() + 1 - maxSessions)
		p = new(place)
		s.sessions.Put(fresh.name, p)
	}
	p.held.Store(fresh)
}

// dropSessions drops n sessions, and the tickets that belong to them.
func (s *Source) dropSessions(n int) {
	if n <= 0 {
		return
	}
	s.sessions.Delete(func(_ string, p *place) bool {
		if n--; n < 0 {
			return false
		}
		p.held.Store(nil)
		return true
	})
}

// A place holds the session of a name, and later the session that replaces it.
type place struct{ held atomic.Pointer[session] }

func (p *place) session() *session {
	if p == nil {
		return nil
	}
	return p.held.Load()
}

// session returns the session of a name, nil if there is none.
func (s *Source) session(name string) *session {
	p, _ := s.sessions.Get(name)
	return p.session()
}

// maxSessions bounds the sessions that a source keeps.
const maxSessions = 4096

// renew returns a session that lasts longer than old. If that cannot be had now it
// returns old, to be renewed later.
func (s *Source) renew(ctx context.Context, old *session) *session {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	fresh, err := s.creds.refresh(ctx, old)
	if err != nil {
		later := *old
		later.refresh = s.o.Now().Add(renewPause)
		fresh = &later
	}
	fresh.name = old.name
	s.publish(fresh)
	return fresh
}

// renewed renews the session's ticket-granting ticket (RFC 4120 section 3.3.3.1).
func (s *Source) renewed(ctx context.Context, old *session) (*krb.Ticket, error) {
	if !renewable(old.tgt) {
		return nil, s.noCredentials(errors.New("the ticket-granting ticket cannot be renewed"), "run kinit -r")
	}
	o := s.tgsOptions(old)
	o.Renew = true
	t, err := s.kdc.TGS(ctx, old.tgt, old.tgt.Server, o)
	if err != nil {
		return nil, s.kdcError(err, old.client.String(), "")
	}
	return t, nil
}

// renewable reports whether renewing t makes it last longer.
func renewable(t *krb.Ticket) bool {
	return t != nil && t.Flags&krb.FlagRenewable != 0 && t.RenewTill.After(t.EndTime)
}

// KeepFresh gets credentials now and keeps them valid until ctx ends, so that no
// request finds them expired after a pause: a ticket-granting ticket is renewed
// when half of its life is over, and what cannot be renewed is logged in for
// again, by keytab or password. It runs in the caller's goroutine, and returns
// the cause of ctx's end; or, since trying again would lock the account, the
// error of a KDC that refused the password or key. Other failures, such as an
// unreachable KDC or a cache that is not there yet, are tried again after a
// minute; traces of ctx see them ([middleware.WithTrace]).
func (s *Source) KeepFresh(ctx context.Context) error {
	for {
		err := s.freshen(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if why, ok := errors.AsType[*kdcclient.Error](err); ok && why.Code == krb.CodePreauthFailed && why.Refusal() {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.after(s.untilNext(err)):
		}
	}
}

// freshen opens, renews or logs in anew every session whose time has come.
func (s *Source) freshen(ctx context.Context) error {
	_, _, failed := s.open(ctx, krb.Principal{})
	for name := range s.sessions.All() {
		_, err := s.logins.Do(ctx, name, func(ctx context.Context) (*session, error) {
			now := s.o.Now()
			old := s.session(name)
			if old == nil || old.tgt == nil || now.Add(s.offset(old)).Before(halfway(old.tgt)) {
				return old, nil
			}
			fresh, err := s.creds.refresh(ctx, old)
			if err != nil {
				return nil, err
			}
			fresh.name = name
			s.publish(fresh)
			return fresh, nil
		})
		if failed == nil {
			failed = err
		}
	}
	return failed
}

// untilNext returns how long KeepFresh sleeps: until the first session is due, but never
// long, since clocks are set and machines suspended.
func (s *Source) untilNext(failed error) time.Duration {
	wait := renewPause
	if failed != nil {
		return wait
	}
	now := s.o.Now()
	for _, p := range s.sessions.All() {
		if session := p.session(); session != nil && session.tgt != nil {
			wait = min(wait, halfway(session.tgt).Sub(now.Add(s.offset(session))))
		}
	}
	return max(wait, time.Second)
}
