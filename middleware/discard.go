package middleware

// A Discarder is a [SecurityContext] that can drop the ticket it was made with. The
// negotiate stage does so, once in a call, where a server says that it cannot use the
// ticket, as when its key has changed.
type Discarder interface {
	// Discard drops the ticket, so that the next context for the same peer is made
	// with one that is fetched anew. It reports false if that would not help, as with
	// a ticket that was just fetched. Anybody can forge what the server said, so an
	// implementation bounds how often it asks a KDC because of it.
	Discard() bool
}
