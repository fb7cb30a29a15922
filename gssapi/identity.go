package gssapi

import (
	"context"
	"time"

	"github.com/kerbchain/kerbchain/internal/lru"
	"github.com/kerbchain/kerbchain/middleware"
)

// interval is how long it is taken for granted as whom the library makes contexts for
// a service.
const interval = time.Second

// maxTold bounds for how many services that is remembered.
const maxTold = 1024

// told remembers as whom the last context for each service was made.
type told struct {
	last lru.Map[string, principalAt]
}

type principalAt struct {
	principal string
	at        time.Time
}

func (t *told) get(spn string, now time.Time) (string, bool) {
	p, ok := t.last.Get(spn)
	return p.principal, ok && now.Sub(p.at) < interval
}

func (t *told) put(spn, principal string, now time.Time) {
	t.last.Put(spn, principalAt{principal, now}, maxTold)
}

// Identity returns as whom a token for t would be made now. Only the library knows which
// credentials it takes for which service, so that it has to make a token, which is
// thrown away; its word holds for a second. Where the target gets no token, it is "".
func (i *initiator) Identity(ctx context.Context, t middleware.Target) (string, error) {
	s := i.side(t)
	if t.Check() != nil || !s.hosts.Allow(t) {
		return "", nil
	}
	spn, _ := s.names.For(t)
	if principal, ok := i.told.get(spn, time.Now()); ok {
		return principal, nil
	}
	made, err := i.begin(ctx, t)
	if err != nil {
		return "", err
	}
	defer made.held.release()
	// Nobody sees this token, so that it need not be bound, nor delegate anything.
	if _, err := made.initial(ctx, step{flags: flagMutual | flagInteg}); err != nil {
		return "", err
	}
	return made.principal, nil
}
