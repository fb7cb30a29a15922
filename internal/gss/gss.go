// Package gss is the Kerberos 5 mechanism of GSS-API (RFC 4121): on the
// initiator's side the first token with its checksum and the acceptor's answer,
// on both sides the protection of messages (RFC 4121, and RFC 4757 for RC4). What
// SPNEGO puts around its tokens is not its business.
package gss

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// Context flags (RFC 2744 appendix A, RFC 4121 section 4.1.1.1).
const (
	FlagDeleg    = krb.GSSDeleg
	FlagMutual   = krb.GSSMutual
	FlagReplay   = krb.GSSReplay
	FlagSequence = krb.GSSSequence
	FlagConf     = krb.GSSConf
	FlagInteg    = krb.GSSInteg
)

// ErrTime: an AP-REP answers another authenticator than ours.
var ErrTime = errors.New("the answer's time is not that of our authenticator")

// Options say what the first token asks for.
type Options struct {
	// Flags are context flags; FlagMutual also sets the AP option.
	Flags uint32
	// Bindings is the hash of the channel bindings (RFC 4121 section 4.1.1.2); nil means none.
	Bindings *[16]byte
	// BindingsAware tells the acceptor that we send bindings wherever there is
	// something to bind to ([MS-KILE] section 3.2.5.8, KERB_AP_OPTIONS_CBT), so
	// that it can refuse a token that came to it without them by another way.
	BindingsAware bool
	// Delegation is a KRB-CRED for the acceptor, sent when Flags has FlagDeleg.
	Delegation []byte
	// Now is the time to put into the authenticator; the process-wide clock
	// moves it on where two would be alike.
	Now time.Time
}

// A Context is one exchange with one acceptor. It is not safe for concurrent
// use.
type Context struct {
	ticket      *krb.Ticket
	flags       uint32
	ctime       time.Time
	cusec       int
	channel     Channel // under our subkey until the acceptor sends its own
	established bool
}

// Room returns up to how many bytes an AP-REQ has, as a rule.
func Room(t *krb.Ticket, o Options) int { return krb.RoomAPReq(t) + len(o.Delegation) }

// Init starts c, the zero Context, and writes the AP-REQ of its first token to w,
// which the caller frames ([spnego.AppendInitFrameHead], or [spnego.AppendFrameHead]
// without SPNEGO). With FlagMutual the context is established by [Context.Accept],
// else it is at once.
func (c *Context) Init(w *krb.Writer, t *krb.Ticket, o Options) error {
	subkey, err := krb.GenerateKey(t.Key.Etype())
	if err != nil {
		return err
	}
	if len(o.Delegation) > 0xffff {
		return fmt.Errorf("delegated credentials of %d bytes exceed 65535", len(o.Delegation))
	}
	c.ticket, c.flags, c.established = t, o.Flags, o.Flags&FlagMutual == 0
	c.ctime, c.cusec = krb.UniqueTime(o.Now)
	var random [4]byte
	rand.Read(random[:])
	// Old peers take sequence numbers for signed, so stay clear of the top bits.
	seq := binary.BigEndian.Uint32(random[:]) & 0x3fffffff
	c.channel = Channel{key: subkey, send: uint64(seq), recv: uint64(seq), first: uint64(seq)}
	var options uint32
	if o.Flags&FlagMutual != 0 {
		options = krb.APMutualRequired
	}
	var data []byte
	if o.BindingsAware {
		data = bindingsAware()
	}
	sum := krb.GSSChecksum{Flags: o.Flags, Delegation: o.Delegation}
	if o.Bindings != nil {
		sum.Bindings = *o.Bindings
	}
	var room [28]byte
	w.APReq(t, &krb.Authenticator{
		Client:   t.Client,
		Checksum: krb.Checksum{Type: krb.ChecksumGSSAPI, Value: sum.Append(room[:0])},
		CTime:    c.ctime,
		Cusec:    c.cusec,
		Subkey:   subkey,
		Seq:      seq,
		HasSeq:   true,
		AuthData: data,
	}, krb.UsageAPReqAuth, options)
	_, err = w.Result()
	return err
}

// Established reports whether the acceptor has proved itself, or was not asked
// to.
func (c *Context) Established() bool { return c.established }

// Accept takes the acceptor's answer, a framed AP-REP or KRB-ERROR. Its error
// is or wraps a [*krb.KRBError], [ErrTime], [krb.ErrIntegrity],
// [krb.ErrTooShort], [krb.ErrEtype], [krb.ErrMalformed], [spnego.ErrMalformed]
// or [spnego.ErrMechanism]. Every error leaves the context unestablished.
func (c *Context) Accept(token []byte) error {
	_, id, inner, err := spnego.Unframe(token)
	if err != nil {
		return err
	}
	switch id {
	case spnego.TokKRBError:
		e, err := krb.ParseKRBError(inner)
		if err != nil {
			return err
		}
		return e
	case spnego.TokAPRep:
	default:
		return fmt.Errorf("%w: token identifier %04x, want an AP-REP", krb.ErrMalformed, id)
	}
	if c.established { // at once, without FlagMutual
		return fmt.Errorf("%w: an AP-REP that was not asked for, or a second one", krb.ErrMalformed)
	}
	part, err := krb.OpenAPRep(c.ticket.Key, inner)
	if err != nil {
		return err
	}
	if !part.CTime.Equal(c.ctime) || part.Cusec != c.cusec {
		return ErrTime
	}
	c.channel.setAcceptorSubkey(part.Subkey)
	c.channel.recv, c.channel.first = uint64(part.Seq), uint64(part.Seq)
	c.established = true
	return nil
}
