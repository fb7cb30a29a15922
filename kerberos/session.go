package kerberos

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// credentials are a way to sessions: one for a password or keytab, one for each
// cache of a collection.
type credentials interface {
	// choose names the session for a server, whose realm is "" where it is not
	// known. Asked with the zero principal, it names the one to use when nothing
	// else decides.
	choose(ctx context.Context, server krb.Principal) (name string, epoch uint64, err error)
	// open gets credentials that are valid now, asking a KDC if need be. It is
	// not called for one name twice at the same time.
	open(ctx context.Context, name string) (*session, error)
	// check reports whether what a session was made of is no longer there, so
	// that it should be opened anew. The epoch changes when choose may name
	// another session than it did before. It is asked on every lookup.
	check(ctx context.Context, s *session, now time.Time) (epoch uint64, changed bool)
	// peek tells whose session of a name would be opened, without asking a KDC.
	peek(ctx context.Context, name string, now time.Time) (krb.Principal, error)
	// refresh gets credentials that last longer, of the same client.
	refresh(ctx context.Context, s *session) (*session, error)
}

// A session is who we are, and what we hold. It does not change once it is
// published.
type session struct {
	name   string // among those of the source
	client krb.Principal
	who    string                                         // client as text, once it is published
	tgt    *krb.Ticket                                    // nil when there are service tickets alone
	stored func(server krb.Principal) (*krb.Ticket, bool) // service tickets that the cache holds; may be nil
	keep   func(ctx context.Context, t *krb.Ticket)       // writes a fetched ticket back; may be nil
	source string
	of     string // the service that got the tickets on behalf of the client, "" for none
	// Of such a service, if they are there: its own ticket-granting ticket, and the
	// client's ticket for it.
	service, evidence *krb.Ticket
	own               []krb.Key // the client's, of a keytab
	cache             *member   // that it was read from; nil for none
	state             string    // of it

	// The number of the login that it came of, 0 for one from a cache, and when
	// that was made because a KDC did not take the ticket before.
	login   uint64
	revived time.Time

	// When to ask for a longer-lived ticket-granting ticket, by the local clock;
	// zero where that is of no use before this one has ended.
	refresh time.Time
}

func (s *session) due(now time.Time) bool { return !s.refresh.IsZero() && !now.Before(s.refresh) }

// halfway is when half of a ticket's life is over, by the KDC's clock.
func halfway(t *krb.Ticket) time.Time { return t.StartTime.Add(t.EndTime.Sub(t.StartTime) / 2) }

const (
	// renewTimeout bounds a renewal that a request makes on the way: the ticket at
	// hand is still good.
	renewTimeout = 2 * time.Second
	// renewPause is for how long a renewal that failed is not tried again.
	renewPause = time.Minute
)

// open returns the session for a server, opening it if there is none or it has
// run out, and renewing it where it is time.
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

// renewOnUse renews what a ticket at hand was got with. One request does it, and
// the others go on.
func (s *Source) renewOnUse(ctx context.Context, server krb.Principal) {
	if !s.renewing.CompareAndSwap(false, true) {
		return
	}
	defer s.renewing.Store(false)
	// The ticket is good, whatever comes of it: the next one says what is wrong.
	_, _, _ = s.open(ctx, server)
}

// publish puts a session in the place of the one of its name. Those of caches
// that are gone make room.
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

// dropSessions drops n of them, and with them what tickets know of theirs.
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

// A place is where the session of a name is. Fresher ones of the name come there.
type place struct{ held atomic.Pointer[session] }

func (p *place) session() *session {
	if p == nil {
		return nil
	}
	return p.held.Load()
}

// session returns the one of a name, nil if there is none.
func (s *Source) session(name string) *session {
	p, _ := s.sessions.Get(name)
	return p.session()
}

// maxSessions bounds the sessions that a source keeps.
const maxSessions = 4096

// renew returns credentials that last longer than those of old, or old itself,
// to be renewed later, where none can be had now.
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

// renewed asks for the session's ticket-granting ticket anew (RFC 4120 section
// 3.3.3.1).
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
		var e *middleware.Error
		if errors.As(err, &e) && e.Code == krb.CodePreauthFailed {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.after(s.untilNext(err)):
		}
	}
}

// freshen brings every session up to date.
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

// untilNext is how long KeepFresh sleeps: until the first session is due, and
// never long, since clocks are set and machines suspended.
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
