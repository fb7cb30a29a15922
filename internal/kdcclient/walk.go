package kdcclient

import (
	"context"
	"slices"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// reach goes to realm by way of cross-realm tickets (RFC 4120 section 3.3.1).
// It asks for the farthest realm of the path first and goes back towards us
// until there is a ticket for one. As every ticket leads to a realm where we
// have not been, it ends.
func (t *tgsCall) reach(ctx context.Context, realm string) *Error {
	path := t.c.pathTo(t.realm, realm)
	for t.realm != realm {
		// Off the path, where a KDC may lead us, there is but the target.
		ahead := []string{realm}
		here := slices.Index(path, t.realm)
		if here >= 0 {
			ahead = path[here+1:]
		}
		cross, got, fail := t.nearer(ctx, ahead)
		if fail != nil {
			return fail
		}
		planned := here >= 0 && slices.Contains(ahead, cross.Server.Components[1])
		if fail := t.move(cross, got && (planned || t.realm == t.client.Realm)); fail != nil {
			return fail
		}
	}
	return nil
}

// nearer returns a cross-realm ticket for the last of the realms for which there
// is one, or another that the KDC thinks leads there, and whether it was got
// just now. The error is that of the last realm, which was asked for first.
func (t *tgsCall) nearer(ctx context.Context, realms []string) (cross *krb.Ticket, got bool, first *Error) {
	for _, next := range slices.Backward(realms) {
		if cross := t.holds(next); cross != nil {
			t.held = true
			return cross, false, nil
		}
		cross, fail := t.ask(ctx, wanted{server: krb.TGS(next, t.realm), closer: true})
		if fail == nil {
			return cross, true, nil
		}
		if first == nil {
			first = fail
		}
		if !leavesHope(fail) {
			break
		}
	}
	return nil, false, first
}

// leavesHope reports whether a KDC that refused a cross-realm ticket may give
// one for another realm: it answered, and does not mind who asks and how.
func leavesHope(fail *Error) bool {
	if fail.Kind != KindRefused {
		return false
	}
	switch fail.Code {
	case krb.CodeTicketExpired, krb.CodeTicketNotYet, krb.CodeBadIntegrity, krb.CodeNotUs, krb.CodeBadMatch,
		krb.CodeModified, krb.CodeBadKvno, krb.CodeNoKey, krb.CodeClientRevoked:
		return false
	}
	return true
}

// holds returns the caller's ticket for a realm, if it will do.
func (t *tgsCall) holds(realm string) *krb.Ticket {
	if t.o.Held == nil {
		return nil
	}
	cross := t.o.Held(realm)
	if cross == nil || cross.Key.IsZero() || !cross.Server.IsTGS() || cross.Server.Components[1] != realm ||
		!cross.Client.Equal(t.client) || !cross.ValidAt(t.c.o.Now().Add(t.c.Offset(t.client.Realm)), 0) {
		return nil
	}
	return cross
}

// pathTo returns the realms from one to another, both included, no more of them
// than can be visited.
func (c *Client) pathTo(from, to string) []string {
	path := []string{from}
	if c.o.Path != nil {
		for _, realm := range c.o.Path(from, to) {
			if len(path) > maxHops-1 {
				break
			}
			if realm != to && plausible(realm) && !slices.Contains(path, realm) {
				path = append(path, realm)
			}
		}
	}
	return append(path, to)
}
