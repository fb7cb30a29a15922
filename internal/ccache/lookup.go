package ccache

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// What a [*LookupError] wraps.
var (
	// ErrNoTicket: the cache holds no ticket for the server.
	ErrNoTicket = errors.New("no ticket in the credential cache")
	// ErrExpired: it holds some, all of which have ended.
	ErrExpired = errors.New("ticket in the credential cache has expired")
	// ErrEtype: it holds a current one whose session key may not be used.
	ErrEtype = errors.New("ticket in the credential cache has a session key of a type that is not allowed")
)

// LookupError says why a cache gave no ticket.
type LookupError struct {
	Client krb.Principal
	Server krb.Principal
	Ended  time.Time // with ErrExpired: when the last one ended
	Etype  int32     // with ErrEtype: of the one that was passed over
	Err    error     // ErrNoTicket, ErrExpired or ErrEtype
}

// Error names the server, the client and what to try.
func (e *LookupError) Error() string {
	s := fmt.Sprintf("%v: %s for client %s", e.Err, e.Server, e.Client)
	switch {
	case errors.Is(e.Err, ErrExpired):
		s += fmt.Sprintf(", ended %s; run kinit", e.Ended.UTC().Format(time.RFC3339))
	case errors.Is(e.Err, ErrEtype):
		if err := krb.CheckEtype(e.Etype); err != nil {
			s += fmt.Sprintf(": %v; get a ticket of another type", err)
			break
		}
		s += fmt.Sprintf(", %s; allow it, or get a ticket of another type", krb.EtypeName(e.Etype))
	case e.Server.IsTGS():
		s += "; run kinit"
	}
	return s
}

// Unwrap gives the sentinel.
func (e *LookupError) Unwrap() error { return e.Err }

// A Query says which tickets will do.
type Query struct {
	// Etypes are the allowed types of session keys, preferred first; nil means
	// all that are supported, RC4 not among them.
	Etypes []int32
	// Now is the local time, to which the cache's KDC offset is added.
	Now time.Time
	// Margin is for how much longer a ticket must be good.
	Margin time.Duration
	// Skip, when not nil, passes over tickets by their DER.
	Skip func(raw []byte) bool
	// Client is whose ticket it is to be; zero means the cache's.
	Client krb.Principal
}

// Ticket returns the ticket for server, by the rules of MIT: client and server
// must match, name types count for nothing; of several the one with the most
// preferred session key wins, then the one that ends last, then the first. A
// server without a realm matches in any. Tickets that have ended, are invalid
// (postdated) or are for user to user are passed over.
//
// The error is of type [*LookupError].
func (c *Cache) Ticket(server krb.Principal, q Query) (*krb.Ticket, error) {
	etypes := q.Etypes
	if etypes == nil {
		etypes = krb.DefaultEtypes(false)
	}
	now := q.Now.Add(c.KDCOffset)
	client := q.Client
	if client.IsZero() {
		client = c.Client
	}
	miss := &LookupError{Client: client, Server: server, Err: ErrNoTicket}
	var best *krb.Ticket
	rank := -1
	for i := range c.Credentials {
		cred := &c.Credentials[i]
		if cred.IsSKey || !cred.serves(server) || !cred.Client.Equal(client) {
			continue
		}
		if !now.Add(q.Margin).Before(cred.EndTime) {
			if errors.Is(miss.Err, ErrNoTicket) || errors.Is(miss.Err, ErrExpired) && cred.EndTime.After(miss.Ended) {
				miss.Err, miss.Ended = ErrExpired, cred.EndTime
			}
			continue
		}
		if cred.Flags&krb.FlagInvalid != 0 || q.Skip != nil && q.Skip(cred.Raw) {
			continue
		}
		r := slices.Index(etypes, cred.etype)
		t, err := cred.Ticket()
		if r < 0 || err != nil {
			miss.Err, miss.Etype = ErrEtype, cred.etype
			continue
		}
		if best == nil || r < rank || r == rank && t.EndTime.After(best.EndTime) {
			best, rank = t, r
		}
	}
	if best == nil {
		return nil, miss
	}
	if best.Server.Realm == "" {
		best.Server.Realm = ticketRealm(best.Raw)
	}
	return best, nil
}

// TGT returns the ticket-granting ticket with which to start: of the realm
// that the cache names as start_realm, else of the client's realm. The cache's
// fast_avail says whether its KDC speaks FAST.
func (c *Cache) TGT(q Query) (*krb.Ticket, error) {
	realm := c.Client.Realm
	if v, ok := c.ConfigValue("start_realm", ""); ok && len(v) > 0 {
		realm = string(v)
	}
	tgs := krb.TGS(realm, realm)
	t, err := c.Ticket(tgs, q)
	if err == nil {
		_, t.FAST = c.ConfigValue("fast_avail", tgs.String())
	}
	return t, err
}

// serves reports whether the credential was stored for server. MIT stores one
// that it asked for without a realm under the empty realm; the ticket itself
// then tells.
func (c *Credential) serves(server krb.Principal) bool {
	if !c.Server.SameName(server) {
		return false
	}
	switch {
	case server.Realm == "" || c.Server.Realm == server.Realm:
		return true
	case c.Server.Realm == "":
		return ticketRealm(c.Raw) == server.Realm
	}
	return false
}

func ticketRealm(raw []byte) string {
	t, err := krb.ParseTicket(raw)
	if err != nil {
		return ""
	}
	return t.Server.Realm
}
