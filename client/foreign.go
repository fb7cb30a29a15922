package client

import (
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/kerbchain/kerbchain/internal/sign"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// foreign wraps a transport whose connections cannot be kept apart by user. When the user
// changes, it closes idle connections, if the transport can. And if the transport tells
// which connection it takes, one of HTTP/1.1 over which another user's credentials went
// is closed before a request is written to it. The transport then takes another one, as
// after any dead connection, or fails.
type foreign struct {
	identity
	rt http.RoundTripper

	marks stage.Marks[whose] // connections over which credentials went

	mu    sync.Mutex
	last  whose // the last known user
	taken bool  // credentials may have gone over some connection
}

func newForeign(in middleware.Initiator, proxy func(*http.Request) (*url.URL, error), rt http.RoundTripper) *foreign {
	return &foreign{identity: identityOf(in, proxy), rt: rt}
}

var errOtherUser = errors.New("the transport took a connection over which another user was authenticated")

// RoundTrip sends r, unless it would be carried out as another user.
func (f *foreign) RoundTrip(r *http.Request) (*http.Response, error) {
	pending, must := sign.Pending(r)
	f.mu.Lock()
	ask := f.taken || must
	f.mu.Unlock()
	w := f.of(r, ask)
	marking := w != whose{} && w.apart != untold && (pending || stage.Has(r.Header, "Authorization") || stage.Has(r.Header, "Proxy-Authorization"))
	f.goes(w, marking)
	var refused atomic.Pointer[whose]
	var over atomic.Pointer[stage.ConnID]
	sent := f.expect(r, w)
	sent = sent.WithContext(httptrace.WithClientTrace(sent.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		id, ok := stage.ConnIDOf(info.Conn)
		if !ok {
			return
		}
		other, marked := f.marks.Get(id)
		now := w
		if !ask && (marked || pending) {
			// As long as nobody was authenticated, nobody asked whose r is.
			now = f.of(r, true)
			f.expect(r, now)
		}
		if marked && other != now {
			if stage.Refuse(info.Conn) {
				refused.Store(&now)
			}
			return
		}
		switch over.Store(&id); {
		case marking:
			f.marks.Put(id, w)
		case pending:
			// It is not known yet as whom r will be signed; until then the connection is for
			// no other user.
			f.marks.Put(id, whose{apart: untold})
		}
	}}))
	resp, err := f.rt.RoundTrip(sent)
	if pending && !marking {
		as, id := f.of(r, false), over.Load()
		switch {
		case as != whose{}:
			f.goes(as, true)
			if id != nil {
				f.marks.Put(*id, as)
			}
		case id != nil:
			f.marks.Delete(*id) // the request was not signed after all
		}
	}
	if resp != nil && resp.Request == sent {
		resp.Request = r
	}
	if as := refused.Load(); err != nil && as != nil && r.Context().Err() == nil {
		return nil, &middleware.Error{
			Stage: "client", Kind: middleware.ErrConnection, Host: stage.Host(r), Principal: as.origin, IsTemporary: true, Err: errors.Join(errOtherUser, err),
			Hint: "send the request again; give New an *http.Transport to have connections kept apart by user",
		}
	}
	return resp, err
}

// goes notes whose request is sent, and whether credentials go with it. If the last known
// user was another one, it closes idle connections, over which that user's credentials
// may have gone.
func (f *foreign) goes(w whose, signed bool) {
	f.mu.Lock()
	changed := f.taken && w != f.last && f.tells(w)
	f.taken = f.taken || signed
	if f.tells(w) {
		f.last = w
	}
	f.mu.Unlock()
	if changed {
		closeIdle(f.rt)
	}
}

// CloseIdleConnections closes those of the transport.
func (f *foreign) CloseIdleConnections() { closeIdle(f.rt) }
