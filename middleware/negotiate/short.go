package negotiate

import (
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/sign"
	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// This file is the short way of a request that bears no token, in a wiring that
// signed nothing yet. It is kept as cheap as it can be: most requests of a program
// may need no authentication.

// short reports whether r can go the short way: it has nothing to be sent again, and
// bears no token and no credentials, nor will.
func (s *stage) short(r *http.Request) bool {
	return !s.proven.table.Any() && !stages.HasBody(r) && r.Context().Err() == nil &&
		middleware.SecurityOf(r) == nil && middleware.ProxySecurityOf(r) == nil && !sign.Within(r) &&
		!stages.Has(r.Header, "Authorization") && !stages.Has(r.Header, "Proxy-Authorization")
}

// sendShort sends r the short way. sent is false where r met a connection on which
// another request was signed meanwhile: it was not sent, and is to go the long way.
func (s *stage) sendShort(next kerbchain.Next, r *http.Request) (resp *http.Response, sent bool, err error) {
	if s.WaitForChallenge {
		resp, err = next(r)
		return resp, true, err
	}
	l := &lookout{proven: &s.proven, r: r}
	l.On(r.Context(), httptrace.ClientTrace{GotConn: l.gotConn})
	l.out = *r.WithContext(l)
	out := &l.out
	resp, err = next(out)
	l.over.Store(true)
	if err != nil && l.refused.Load() && r.Context().Err() == nil {
		return nil, false, nil
	}
	if resp != nil && resp.Request == out {
		resp.Request = r
	}
	return resp, true, err
}

// A lookout refuses connections on which the server proved itself, or may be about
// to: what goes over them must be signed, and its request cannot be signed any more.
// net/http takes another connection then, or says that it has none.
type lookout struct {
	stages.Traced
	proven  *proven
	r       *http.Request
	out     http.Request // r with the lookout, in the same piece of memory
	over    atomic.Bool  // the call is; its hooks go with whatever others make of its request
	refused atomic.Bool  // the last connection was, and so the request was not sent
}

func (l *lookout) gotConn(info httptrace.GotConnInfo) {
	if l.over.Load() || !l.proven.table.Any() {
		return
	}
	_, ok := l.proven.proved(info.Conn, middleware.TargetOf(l.r).Origin())
	l.refused.Store(ok && stages.Refuse(info.Conn))
}
