package krb

import (
	"fmt"
	"io"
	"time"
)

// A Ticket is a ticket together with what its owner knows of it. Values are
// shared between requests: do not change one that others may hold.
type Ticket struct {
	Client    Principal
	Server    Principal // as asked for and cached under
	Raw       []byte    // DER of Ticket, as it came
	Key       Key       // session key
	Flags     uint32
	AuthTime  time.Time
	StartTime time.Time // AuthTime when the KDC sent none
	EndTime   time.Time
	RenewTill time.Time // zero when not renewable
	// FAST says of a ticket-granting ticket that the KDC which gave it speaks FAST
	// (RFC 6113), in a way that nobody else can have made up.
	FAST bool
}

// ValidAt reports whether the ticket can be used at the given time, with
// margin to spare before it ends.
func (t *Ticket) ValidAt(now time.Time, margin time.Duration) bool {
	return t != nil && t.Flags&FlagInvalid == 0 && now.Add(margin).Before(t.EndTime)
}

// Format writes names and end time, never key or ticket.
func (t Ticket) Format(f fmt.State, _ rune) {
	io.WriteString(f, "[ticket of "+t.Client.String()+" for "+t.Server.String()+" until "+t.EndTime.UTC().Format(time.RFC3339)+"]")
}

// TicketFields are the parts of a Ticket that anyone can read (RFC 4120 section
// 5.3).
type TicketFields struct {
	Server  Principal // with its realm
	EncPart EncryptedData
}

// ParseTicket reads [APPLICATION 1] Ticket. EncPart shares memory with b.
func ParseTicket(b []byte) (TicketFields, error) {
	f := OpenApp("ticket", tagTicket, b)
	vno := f.Int32(0)
	realm := f.Text(1)
	t := TicketFields{Server: f.Name(2)}
	t.Server.Realm = realm
	t.EncPart = f.Encrypted(3)
	if err := f.Err(true); err != nil {
		return TicketFields{}, err
	}
	if vno != pvno {
		return TicketFields{}, malformed(fmt.Sprintf("ticket version %d, want %d", vno, pvno))
	}
	return t, nil
}
