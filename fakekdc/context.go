package fakekdc

import (
	"crypto/hmac"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/internal/mic"
	"github.com/kerbchain/kerbchain/internal/gss"
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

// Wrap returns the service's next token that carries a message, encrypted if it is to be
// confidential, else in clear with a checksum (RFC 2743 section 2.3.3). SASL's mechanism
// GSSAPI (RFC 4752) negotiates by such tokens, as LDAP does. They are laid out as Windows does.
func (c *SecurityContext) Wrap(message []byte, confidential bool) ([]byte, error) {
	ch, err := c.channel(c.a.peerSeq)
	if err != nil {
		return nil, err
	}
	token, err := ch.Wrap(message, confidential)
	if err != nil {
		return nil, err
	}
	c.a.sendSeq++
	if !confidential && ch.Etype() != RC4HMAC {
		token = mic.Rotated(token)
	}
	return token, nil
}

// Unwrap returns the message that the initiator's token carries, and whether it was encrypted
// (RFC 2743 section 2.3.4). Tokens come in order where the initiator asked for that, by [GSSReplay]
// or [GSSSequence], and with RC4; one that is refused does not count.
func (c *SecurityContext) Unwrap(token []byte) (message []byte, confidential bool, err error) {
	const numberAt, numberEnd = 8, 16 // RFC 4121 section 4.2.6.2
	next := c.a.peerSeq
	ordered := c.a.caller.Flags&(GSSReplay|GSSSequence) != 0 || c.a.session.Etype() == RC4HMAC
	if !ordered && len(token) >= numberEnd {
		next = binary.BigEndian.Uint64(token[numberAt:numberEnd])
	}
	ch, err := c.channel(next)
	if err != nil {
		return nil, false, err
	}
	if message, confidential, err = ch.Unwrap(token); err == nil {
		c.a.peerSeq = next + 1
	}
	return message, confidential, err
}

// channel returns what protects the next messages.
func (c *SecurityContext) channel(peerSeq uint64) (*gss.Channel, error) {
	return gss.NewChannel(gss.Params{
		Acceptor: true, Session: c.a.session, Subkey: c.a.auth.Subkey, AcceptorSubkey: c.a.subkey,
		SendSeq: uint32(c.a.sendSeq), RecvSeq: uint32(peerSeq),
	})
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
