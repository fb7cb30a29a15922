package kerberos

import (
	"context"
	"errors"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// exchange asks a KDC with the session's ticket-granting ticket; and where it no
// longer takes that one, since the realm's key has changed, say, with the one of a
// new login, if there is a keytab or a password to log in with. A login after the
// first before of the source is as new as can be, and is not made again.
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

// dead reports whether an exchange failed because of the session's own ticket, and
// a new login may help. One that was made for the same reason within the last
// minute did not.
func (s *Source) dead(session *session, err error) bool {
	var ke *kdcclient.Error
	return session.login != 0 && errors.As(err, &ke) && ke.DeadTicket() && ke.Realm == session.tgt.Server.Components[1] &&
		(session.revived.IsZero() || s.o.Now().Sub(session.revived) >= freshFor)
}

// revive logs in anew, once for all who found the session's ticket dead.
func (s *Source) revive(ctx context.Context, dead *session) (*session, error) {
	// Not to be mixed up with a flight that finds the old session still good.
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
