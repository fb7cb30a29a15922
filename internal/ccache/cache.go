package ccache

import (
	"fmt"
	"io"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
)

// A Cache is what a cache file held at one moment. Lookups do not change it and
// may run at the same time.
type Cache struct {
	// Version is the format that was read, 1 to 4.
	Version int
	// Client is the default principal.
	Client krb.Principal
	// KDCOffset is to be added to the local clock to get the KDC's.
	KDCOffset time.Duration
	// Config holds the X-CACHECONF: entries in file order.
	Config []Config
	// Unknown holds those among them of a shape that nobody gave a meaning yet, to
	// be kept.
	Unknown []Credential
	// Credentials holds the others in file order, without removed ones.
	Credentials []Credential
	// Header holds the fields of a file's header that mean nothing here, in its
	// order.
	Header []Typed
	// Torn says where reading stopped, in the middle of an entry: what is before it
	// is whole. It is nil for a whole file.
	Torn *ParseError
}

// Config is one configuration entry, such as fast_avail, pa_type or
// start_realm.
type Config struct {
	Key       string
	Principal string // the server it is about, empty for the whole cache
	Value     []byte
}

// ConfigValue returns the value of a configuration entry. Of several the last
// wins.
func (c *Cache) ConfigValue(key, principal string) (value []byte, ok bool) {
	for _, e := range c.Config {
		if e.Key == key && e.Principal == principal {
			value, ok = e.Value, true
		}
	}
	return value, ok
}

// A Credential is one entry of a cache. Byte slices may share memory with the
// file they came from.
type Credential struct {
	Client       krb.Principal
	Server       krb.Principal // as asked for, which a ticket of a referral is not named
	AuthTime     time.Time     // times are UTC, whole seconds, zero when the file has 0
	StartTime    time.Time
	EndTime      time.Time
	RenewTill    time.Time
	IsSKey       bool   // the ticket is sealed with another ticket's session key (user to user)
	Flags        uint32 // see krb.FlagForwardable and others
	Addresses    []Typed
	AuthData     []Typed
	Raw          []byte // DER of Ticket, not looked into
	SecondTicket []byte

	etype int32
	key   secret.Bytes // of a type that krb.Key may not know
}

// Typed is an address, an element of authorization data or a field of a file's
// header.
type Typed struct {
	Type uint16
	Data []byte
}

// FromTicket returns the credential under which t is stored.
func FromTicket(t *krb.Ticket) Credential {
	return Credential{
		Client: t.Client, Server: t.Server,
		AuthTime: t.AuthTime, StartTime: t.StartTime, EndTime: t.EndTime, RenewTill: t.RenewTill,
		Flags: t.Flags, Raw: t.Raw,
		etype: t.Key.Etype(), key: secret.New(t.Key.Bytes()),
	}
}

// Etype returns the encryption type of the session key, supported or not.
func (c *Credential) Etype() int32 { return c.etype }

// Ticket returns the credential as a ticket. It is an error, wrapping
// [krb.ErrEtype] where that is the reason, for the session key to be of no use.
// Raw is shared, not copied.
func (c *Credential) Ticket() (*krb.Ticket, error) {
	key, err := krb.NewKey(c.etype, c.key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("cached ticket for %s: session key: %w", c.Server, err)
	}
	t := &krb.Ticket{
		Client: c.Client, Server: c.Server, Raw: c.Raw, Key: key, Flags: c.Flags,
		AuthTime: c.AuthTime, StartTime: c.StartTime, EndTime: c.EndTime, RenewTill: c.RenewTill,
	}
	if t.StartTime.IsZero() {
		t.StartTime = t.AuthTime
	}
	return t, nil
}

// Format writes names and end time, never key or ticket.
func (c Credential) Format(f fmt.State, _ rune) {
	io.WriteString(f, "[credential of "+c.Client.String()+" for "+c.Server.String()+" until "+c.EndTime.UTC().Format(time.RFC3339)+"]")
}
