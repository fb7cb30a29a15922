package kerberos

import (
	"context"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// A crossing is a client's way into a realm: a cross-realm ticket (RFC 4120
// section 3.3.3.2).
type crossing struct{ client, realm string }

// maxCrossings bounds the cross-realm tickets that a source keeps.
const maxCrossings = 256

// ask gets a service ticket from a KDC. A server without a realm is looked for
// by referrals, beginning with the client's own KDC, and then where the name of
// its host suggests.
func (s *Source) ask(ctx context.Context, session *session, server krb.Principal) (*krb.Ticket, error) {
	o := s.crossOptions(ctx, session)
	tgt := session.tgt
	if realm := server.Realm; realm != "" && realm != tgt.Server.Components[1] {
		// Once for all services of the realm that are asked for at the same time.
		var err error
		tgt, err = s.realms.Do(ctx, session.client.String()+"\x00"+realm, func(ctx context.Context) (*krb.Ticket, error) {
			return s.kdc.TGT(ctx, session.tgt, realm, s.crossOptions(ctx, session))
		})
		if err != nil {
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
