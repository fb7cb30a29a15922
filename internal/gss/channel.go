package gss

import (
	"errors"
	"fmt"
	"io"

	"github.com/kerbchain/kerbchain/internal/krb"
)

var (
	// ErrMalformed: a message token is not of the form that its key demands.
	ErrMalformed = errors.New("malformed message token")
	// ErrDirection: a message token is one that this side itself sends.
	ErrDirection = errors.New("message token of our own side")
	// ErrSubkey: a message token is made with another of the context's keys
	// than the one both sides agreed on.
	ErrSubkey = errors.New("message token under another key of the context")
	// ErrNotSealed: a message that must be confidential was sent in clear.
	ErrNotSealed = errors.New("message is not sealed")

	// ErrSequence: an authentic message is not the next one. It is wrapped by
	// each of the three that follow, all of them as [*SequenceError].
	ErrSequence = errors.New("message out of sequence")
	// ErrReplay: the message was received before.
	ErrReplay = errors.New("replayed message")
	// ErrGap: messages before this one are missing.
	ErrGap = errors.New("gap before message")
	// ErrOld: the message's number is from before the context.
	ErrOld = errors.New("message from before the context")
)

// A SequenceError says which number an authentic message has, and which was
// due. Its kind is ErrReplay, ErrGap or ErrOld.
type SequenceError struct {
	Kind      error
	Got, Want uint64
}

// Error names the kind and both numbers.
func (e *SequenceError) Error() string {
	return fmt.Sprintf("%v: number %d, want %d", e.Kind, e.Got, e.Want)
}

// Unwrap gives the kind, and [ErrSequence].
func (e *SequenceError) Unwrap() []error { return []error{e.Kind, ErrSequence} }

// Params are what an established context leaves behind for its messages.
type Params struct {
	// Acceptor says which side this is.
	Acceptor bool
	// Session is the ticket's key; Subkey the initiator's, from its
	// authenticator; AcceptorSubkey the acceptor's, from its AP-REP. The latter
	// two may be zero.
	Session, Subkey, AcceptorSubkey krb.Key
	// SendSeq and RecvSeq are the numbers of the first message of this side and
	// of the peer. Without an AP-REP both are the initiator's.
	SendSeq, RecvSeq uint32
}

// A Channel protects the messages of one established context, on one side of
// it: Wrap and WrapIOV, with or without confidentiality, and MICs, for AES
// (RFC 4121 section 4.2) and RC4 (RFC 4757 section 7, RFC 1964 section 1.2).
//
// Messages must arrive in the order in which they were sent, none missing, none
// twice; those of both kinds are counted together. A message that is refused
// changes nothing, so that what a forger sends in between does no harm.
//
// It is not safe for concurrent use. It prints no keys.
type Channel struct {
	key      krb.Key
	acceptor bool
	subkey   bool // key is the acceptor's subkey
	send     uint64
	recv     uint64 // of the message that is due
	first    uint64 // of the first message of the peer
	rc4      *rc4Keys
	head     []byte // of the message that is being opened; nil before the first
}

// NewChannel returns the protection of a context that was set up elsewhere, as
// acceptors do. The key is the acceptor's subkey, else the initiator's, else the
// session key (RFC 4121 section 2).
func NewChannel(p Params) (*Channel, error) {
	c := &Channel{
		acceptor: p.Acceptor, key: p.Subkey,
		send: uint64(p.SendSeq), recv: uint64(p.RecvSeq), first: uint64(p.RecvSeq),
	}
	if c.key.IsZero() {
		c.key = p.Session
	}
	c.setAcceptorSubkey(p.AcceptorSubkey)
	if c.key.IsZero() {
		return nil, errors.New("no key to protect messages with")
	}
	return c, nil
}

// setAcceptorSubkey makes k the key. RC4 acceptors echo the initiator's subkey,
// or send one of their own that nobody uses (MIT); either way the tokens stay
// those of RFC 4757 under the initiator's key.
func (c *Channel) setAcceptorSubkey(k krb.Key) {
	if k.IsZero() || k.Etype() == krb.RC4HMAC && c.key.Etype() == krb.RC4HMAC {
		return
	}
	c.key, c.subkey, c.rc4 = k, true, nil
}

// Etype returns the encryption type that protects the messages.
func (c *Channel) Etype() int32 { return c.key.Etype() }

// Format writes no more than the encryption type, whatever the verb.
func (c *Channel) Format(f fmt.State, _ rune) {
	io.WriteString(f, "[channel of "+krb.EtypeName(c.key.Etype())+"]")
}

// flags returns the flags of tokens, without Sealed, that this side sends or,
// with fromPeer, expects.
func (c *Channel) flags(fromPeer bool) (flags byte) {
	if c.acceptor != fromPeer {
		flags = sentByAcceptor
	}
	if c.subkey {
		flags |= acceptorSubkey
	}
	return flags
}

// usages returns the key usages of sealing and signing.
func (c *Channel) usages(fromPeer bool) (seal, sign uint32) {
	if c.acceptor != fromPeer {
		return krb.UsageAcceptorSeal, krb.UsageAcceptorSign
	}
	return krb.UsageInitiatorSeal, krb.UsageInitiatorSign
}

// direction is what fills up the sequence numbers of RFC 4757.
func (c *Channel) direction(fromPeer bool) byte {
	if c.acceptor != fromPeer {
		return 0xff
	}
	return 0
}

// checkFlags looks at the flags of a token of RFC 4121 that the peer claims to
// have sent. Flags without a meaning are ignored (section 4.2.2).
func (c *Channel) checkFlags(flags byte) error {
	want := c.flags(true)
	switch diff := flags ^ want; {
	case diff&sentByAcceptor != 0:
		return ErrDirection
	case diff&acceptorSubkey != 0:
		return ErrSubkey
	}
	return nil
}

// received counts an authentic message, if it is the one that is due.
func (c *Channel) received(seq uint64) error {
	want, ahead := c.recv, int64(seq-c.recv)
	if c.key.Etype() == krb.RC4HMAC { // numbers of 32 bits, which wrap
		want, ahead = uint64(uint32(c.recv)), int64(int32(uint32(seq)-uint32(c.recv)))
	}
	if ahead == 0 {
		c.recv++
		return nil
	}
	e := &SequenceError{Kind: ErrOld, Got: seq, Want: want}
	switch age := c.recv - c.first; {
	case ahead > 0:
		e.Kind = ErrGap
	case uint64(-ahead) <= age:
		e.Kind = ErrReplay
	}
	return e
}
