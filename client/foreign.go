package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync"

	"github.com/kerbchain/kerbchain/internal/connmark"
	"github.com/kerbchain/kerbchain/internal/leg"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// foreign is a transport whose connections are not ours to keep apart. What can be
// done is done: when the user changes, idle connections are closed, if the
// transport does that; and a request that is given a connection over which another
// user's credentials went is not sent, if the transport tells which one it is.
type foreign struct {
	identity
	rt http.RoundTripper

	marks connmark.Table[string] // connections over which credentials of a principal went

	mu    sync.Mutex
	last  string // the principal that was known last
	taken bool   // credentials of somebody went over some connection
}

func newForeign(in middleware.Initiator, rt http.RoundTripper) *foreign {
	return &foreign{identity: identityOf(in), rt: rt}
}

var errOtherUser = errors.New("the transport took a connection over which another user was authenticated")

// RoundTrip sends r, unless it would be carried out as another user.
func (f *foreign) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.who == nil {
		return f.rt.RoundTrip(r)
	}
	f.mu.Lock()
	ask := f.taken || leg.Unsigned(r)
	f.mu.Unlock()
	principal := f.of(r, ask)
	signed := principal != "" && (stage.Has(r.Header, "Authorization") || stage.Has(r.Header, "Proxy-Authorization"))
	f.mu.Lock()
	changed := f.taken && principal != f.last
	f.last, f.taken = principal, f.taken || signed
	f.mu.Unlock()
	if changed {
		closeIdle(f.rt)
	}
	leg.Expect(r, principal)
	ctx, cancel := context.WithCancelCause(r.Context())
	sent := r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		id, ok := connmark.Of(info.Conn)
		if !ok {
			return
		}
		// It was not asked whose r is as long as nobody was authenticated.
		if other, marked := f.marks.Get(id); marked && other != principal && (ask || other != f.of(r, true)) {
			cancel(errOtherUser)
			return
		}
		if signed {
			f.marks.Put(id, principal)
		}
	}}))
	resp, err := f.rt.RoundTrip(sent)
	if errors.Is(context.Cause(ctx), errOtherUser) {
		if resp != nil && resp.Body != nil {
			_ = resp.Body.Close() // it is not the answer to this user's request
		}
		e := &middleware.Error{Stage: "client", Kind: middleware.ErrConnection, Principal: principal, Retryable: true, Err: errOtherUser,
			Hint: "send the request again; give New an *http.Transport to have connections kept apart by user"}
		if r.URL != nil {
			e.Host = middleware.TargetOf(r.URL).HostPort()
		}
		return nil, e
	}
	if resp == nil || err != nil {
		cancel(nil)
		return resp, err
	}
	if resp.Request == sent {
		resp.Request = r
	}
	stage.OnClose(resp, r.Body != nil && r.Body != http.NoBody, func() { cancel(nil) })
	return resp, nil
}

// CloseIdleConnections closes those of the transport.
func (f *foreign) CloseIdleConnections() { closeIdle(f.rt) }
