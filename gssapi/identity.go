package gssapi

import (
	"context"
	"time"

	"github.com/kerbchain/kerbchain/internal/lru"
	"github.com/kerbchain/kerbchain/middleware"
)

// interval is how long the client principal for a service is remembered.
const interval = time.Second

// maxTold bounds the services for which it is remembered.
const maxTold = 1024

// told remembers the client principal of the last context for each service.
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
	if !i.peers.Signs(t) {
		return "", nil
	}
	if principal, ok := i.told.get(i.peers.SPN(t), time.Now()); ok {
		return principal, nil
	}
	made, err := i.begin(ctx, t)
	if err != nil {
		return "", err
	}
	defer made.held.Release()
	// This token is not sent, so it need not be bound, nor delegate anything.
	if _, err := made.initial(ctx, step{flags: flagMutual | flagInteg}); err != nil {
		return "", err
	}
	return made.Client, nil
}
