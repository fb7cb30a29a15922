package fakekdc

import (
	"crypto/hmac"
	"fmt"
	"io"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/internal/mic"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// A SecurityContext is a service's side of a context that an initiator has
// established ([Realm.Accept]). It serves one goroutine at a time.
type SecurityContext struct {
	a        *acceptance
	response []byte
}

// Caller returns who the initiator is.
func (c *SecurityContext) Caller() Caller { return c.a.caller }

// Ticket returns the ticket that the initiator presented, DER (RFC 4120 section 5.3):
// the evidence with which the service may act for the caller at others (S4U2Proxy). It
// must not be changed.
func (c *SecurityContext) Ticket() []byte { return c.a.ticket }

// Response returns what goes back to the initiator, in the form of its token; nil
// where nothing is owed. To the initiator that asked for mutual authentication it is
// the service's proof.
func (c *SecurityContext) Response() []byte { return c.response }

// MIC returns the service's next token over a message (RFC 2743 section 2.3.1).
func (c *SecurityContext) MIC(message []byte) ([]byte, error) {
	token, err := c.a.mic(true, c.a.sendSeq, message)
	c.a.sendSeq++
	return token, err
}

// VerifyMIC reports whether token is the initiator's next one over the message (RFC
// 2743 section 2.3.2). Tokens come in order; one that is refused does not count.
func (c *SecurityContext) VerifyMIC(message, token []byte) bool {
	want, err := c.a.mic(false, c.a.peerSeq, message)
	if err != nil || !hmac.Equal(want, token) {
		return false
	}
	c.a.peerSeq++
	return true
}

// mic makes a token under the context's key (RFC 4121 section 2): the acceptor's subkey,
// else the initiator's, else the session key.
func (a *acceptance) mic(acceptor bool, seq uint64, msg []byte) ([]byte, error) {
	key := a.subkey
	if key.IsZero() {
		key = a.auth.Subkey
	}
	if key.IsZero() {
		key = a.session
	}
	return mic.Token(key, acceptor, !a.subkey.IsZero(), seq, msg)
}

// Keys returns what tokens of the context are made with, for tests that make them by
// themselves: those of other per-message services, and forged ones.
func (c *SecurityContext) Keys() Keys {
	return Keys{
		Session: Key{c.a.session}, Initiator: Key{c.a.auth.Subkey}, Acceptor: Key{c.a.subkey},
		Time:    c.a.auth.CTime.Add(time.Duration(c.a.auth.Cusec) * time.Microsecond),
		SendSeq: uint32(c.a.sendSeq), RecvSeq: uint32(c.a.peerSeq),
	}
}

// Keys are those of a security context (RFC 4121 section 2).
type Keys struct {
	Session          Key       // the ticket's
	Initiator        Key       // the subkey of the authenticator
	Acceptor         Key       // the subkey of the AP-REP
	Time             time.Time // of the authenticator, which the AP-REP repeats; in microseconds
	SendSeq, RecvSeq uint32    // of the service's next token, and of the initiator's
}

// A Key does not print its bytes. The zero Key is none.
type Key struct{ key krb.Key }

// IsZero reports whether there is none.
func (k Key) IsZero() bool { return k.key.IsZero() }

// Etype returns the encryption type (RFC 3961 section 8), 0 for no key.
func (k Key) Etype() int32 { return k.key.Etype() }

// Bytes returns a copy of the key itself, nil for none.
func (k Key) Bytes() []byte { return k.key.Bytes() }

// Format writes the encryption type alone.
func (k Key) Format(s fmt.State, _ rune) {
	if k.IsZero() {
		io.WriteString(s, "[no key]")
		return
	}
	fmt.Fprintf(s, "[key of %s]", krb.EtypeName(k.Etype()))
}

// MarshalText returns what Format writes.
func (k Key) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(k)), nil }
