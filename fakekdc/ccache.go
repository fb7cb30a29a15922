package fakekdc

import (
	"fmt"
	"time"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// CCache returns a credential cache file (MIT's FILE format, version 4) as if
// the user had run kinit, and kvno for the services. The tickets are made
// without an exchange, as long-lived and with as many flags as the realm
// allows. An unknown name ends the test; in a realm made by [New] the result is
// nil then.
func (r *Realm) CCache(user string, services ...string) []byte {
	b, err := r.ccache(user, services)
	if r.fail(err) != nil {
		return nil
	}
	return b
}

func (r *Realm) ccache(user string, services []string) ([]byte, error) {
	client, err := r.lookupText(user)
	if err != nil {
		return nil, err
	}
	tgt, err := r.mint(client, krb.TGS(r.realm, r.realm).Name(), krb.FlagInitial)
	if err != nil {
		return nil, err
	}
	c := ccache.Cache{Client: client.name, Credentials: []ccache.Credential{ccache.FromTicket(tgt)}}
	for _, s := range services {
		t, err := r.mint(client, s, krb.FlagTransitedOK)
		if err != nil {
			return nil, err
		}
		c.Credentials = append(c.Credentials, ccache.FromTicket(t))
	}
	return c.Marshal()
}

// mint makes a ticket without an exchange.
func (r *Realm) mint(client *principal, service string, flags uint32) (*krb.Ticket, error) {
	server, err := r.lookupText(service)
	if err != nil {
		return nil, err
	}
	now := r.now().Truncate(time.Second)
	q := &request{}
	q.Options = krb.OptionForwardable | krb.OptionProxiable | krb.OptionRenewable
	p, ok := r.period(q, now, time.Time{}, time.Time{}, true, client, server)
	if !ok {
		return nil, fmt.Errorf("ticket of %s for %s: no lifetime", client.name, server.name)
	}
	g := grant{
		client: client.name, server: server.name,
		flags:    flags | krb.FlagPreAuthent | allowed(q.Options, client, server),
		authTime: now, start: now, end: p.end, renewTill: p.renewTill,
	}
	if r.pac {
		g.pac = r.newPAC(client, g.client.Name(), g.authTime)
	}
	var rep reply
	if no := r.issue(&rep, g, server.sessionEtypes()[0], client, server); no != nil {
		return nil, fmt.Errorf("ticket of %s for %s: %s", client.name, server.name, no.text)
	}
	t := &rep.grant
	return &krb.Ticket{
		Client: t.client, Server: t.server, Raw: rep.ticket, Key: t.session, Flags: t.flags,
		AuthTime: t.authTime, StartTime: t.start, EndTime: t.end, RenewTill: t.renewTill,
	}, nil
}
