package middleware

// A Discarder is a [SecurityContext] that can throw away the ticket it was made
// with. The negotiate stage asks for that, once in a call, where a server says
// that it cannot use the ticket: its key has changed, say.
type Discarder interface {
	// Discard drops the ticket, so that the next context for the same peer is
	// made with one that is fetched anew. It is false where that would not
	// help, and another try is of no use: the ticket is fresh, say. The server's
	// word for it bears no proof, so that an implementation bounds how often it
	// asks a KDC because of it.
	Discard() bool
}
