package fakeweb

import "github.com/kerbchain/kerbchain/fakekdc"

// ForgetConnections makes every connection that authenticated itself to a
// service with [Options.ConnectionBound] do so again: the next request on it
// that bears no token gets 401, as IIS and WinRM do when a session has ended on
// their side.
func (h *Handler) ForgetConnections() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.epoch++
}

// A session is what a connection has once it authenticated itself.
type session struct {
	by     *fakekdc.SecurityContext
	epoch  int // of the handler when it began
	served int // requests that came without a token
}

// resume returns the context that authenticated the connection of a request without a
// token, nil for none.
func (h *Handler) resume(c *conn) *fakekdc.SecurityContext {
	h.mu.Lock()
	epoch := h.epoch
	h.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.state(h)
	s := state.session
	if s == nil {
		return nil
	}
	if limit := h.opts.SessionRequests; s.epoch != epoch || limit > 0 && s.served >= limit {
		state.session = nil
		return nil
	}
	s.served++
	return s.by
}

// ended takes the session from a connection over which a token was refused: who sends what is
// refused may be somebody else.
func (h *Handler) ended(c *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state(h).session = nil
}

// began gives a connection a session, in place of the one that it has.
func (h *Handler) began(c *conn, by *fakekdc.SecurityContext) {
	h.mu.Lock()
	epoch := h.epoch
	h.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state(h).session = &session{by: by, epoch: epoch}
}
