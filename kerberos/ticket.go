package kerberos

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A TicketSource finds service tickets. It is safe for concurrent use.
type TicketSource interface {
	// ServiceTicket returns a ticket for the service principal spn, in the form
	// service/host or service/host@REALM, that is valid now. It may ask a KDC,
	// and returns when ctx ends. Its errors are of type [*middleware.Error].
	ServiceTicket(ctx context.Context, spn string) (Ticket, error)
}

// A Ticket is a service ticket with its session key. It is a small value whose
// copies share their contents; it never prints the key. The zero Ticket is none.
type Ticket struct {
	t      *krb.Ticket
	client string
	spn    string
	source string
	cached bool
	offset time.Duration // KDC's clock minus the local one

	// The epoch of the source's credentials when it was fetched.
	epoch   uint64
	fetched time.Time // when the KDC was asked; zero for a ticket of the credentials
}

// TicketParts is what a [TicketSource] of one's own must know.
type TicketParts struct {
	Client    string // client principal, name@REALM
	Server    string // service principal, service/host@REALM
	DER       []byte // Ticket as the KDC sent it (RFC 4120 section 5.3)
	Etype     int32  // encryption type of the session key (RFC 3961)
	Key       Secret // the session key, as its bytes are: NewSecret(string(key))
	Flags     uint32 // ticket flags, bit 0 the most significant
	AuthTime  time.Time
	StartTime time.Time // zero means AuthTime
	EndTime   time.Time
	RenewTill time.Time // zero when not renewable
	Source    string    // where it comes from, for messages
}

// NewTicket checks the parts and makes a Ticket of them, for ticket sources
// outside this package. DER is kept, not copied.
func NewTicket(p TicketParts) (Ticket, error) {
	client, err := krb.ParsePrincipal(p.Client)
	if err != nil {
		return Ticket{}, fmt.Errorf("ticket's client: %w", err)
	}
	server, err := krb.ParsePrincipal(p.Server)
	if err != nil {
		return Ticket{}, fmt.Errorf("ticket's server: %w", err)
	}
	if _, err := krb.ParseTicket(p.DER); err != nil {
		return Ticket{}, err
	}
	key, err := krb.NewKey(p.Etype, []byte(p.Key.Reveal()))
	if err != nil {
		return Ticket{}, fmt.Errorf("ticket's session key: %w", err)
	}
	if p.StartTime.IsZero() {
		p.StartTime = p.AuthTime
	}
	return newTicket(&krb.Ticket{
		Client: client, Server: server, Raw: p.DER, Key: key, Flags: p.Flags,
		AuthTime: p.AuthTime, StartTime: p.StartTime, EndTime: p.EndTime, RenewTill: p.RenewTill,
	}, p.Source), nil
}

func newTicket(t *krb.Ticket, source string) Ticket {
	return Ticket{t: t, client: t.Client.String(), spn: t.Server.String(), source: source}
}

// IsZero reports whether t is no ticket.
func (t Ticket) IsZero() bool { return t.t == nil }

// Client returns the client principal, name@REALM.
func (t Ticket) Client() string { return t.client }

// SPN returns the service principal that the ticket is for, with its realm.
func (t Ticket) SPN() string { return t.spn }

// Source says where the credentials come from, such as
// "FILE:/tmp/krb5cc_1000".
func (t Ticket) Source() string { return t.source }

// Etype returns the encryption type of the session key (RFC 3961).
func (t Ticket) Etype() int32 {
	if t.t == nil {
		return 0
	}
	return t.t.Key.Etype()
}

// EndTime returns when the ticket ends.
func (t Ticket) EndTime() time.Time {
	if t.t == nil {
		return time.Time{}
	}
	return t.t.EndTime
}

// okAsDelegate reports whether the KDC of the client's realm says that the service may be
// trusted with credentials. What the KDCs of other realms say does not count.
func (t Ticket) okAsDelegate() bool {
	if t.t == nil || t.t.Flags&krb.FlagOKAsDelegate == 0 {
		return false
	}
	issued, err := krb.ParseTicket(t.t.Raw)
	return err == nil && issued.Server.Realm == t.t.Client.Realm
}

// Format writes names and end time.
func (t Ticket) Format(f fmt.State, _ rune) {
	if t.t == nil {
		io.WriteString(f, "[no ticket]")
		return
	}
	fmt.Fprint(f, *t.t)
}
