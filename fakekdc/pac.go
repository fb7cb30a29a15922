package fakekdc

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/internal/pac"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// WithPAC puts a privilege attribute certificate ([MS-PAC]) into the tickets of
// the realm's users, as Active Directory and MIT's KDC since 1.20 do, unless a
// client asks for none: who the user is, relative identifiers of the user and of
// [Groups], the signatures of the service's and the KDC's key, and in tickets
// for services those over the ticket and over the whole PAC. What tickets say
// of themselves is then proven where it counts: the evidence of a service that
// made its own ticket forwardable is refused.
//
// The domain's security identifier comes of the realm's name, whose first part
// is the domain's short name. Users and services are numbered from 1001 in the
// order they were added, and all users are in group 513.
func WithPAC() Option { return func(s *settings) { s.pac = true } }

const (
	firstRID    = 1000
	domainUsers = 513
	maxGroups   = 1000
)

// newPAC says who a user is. The name is that of tickets.
func (r *Realm) newPAC(client *principal, name string, authTime time.Time) []pac.Buffer {
	return []pac.Buffer{
		{Kind: pac.KindLogonInfo, Data: r.logonInfo(client, authTime)},
		{Kind: pac.KindClientInfo, Data: pac.ClientInfo(name, authTime)},
	}
}

// wantsPAC reads KERB-PA-PAC-REQUEST ([MS-KILE] section 2.2.3): a client that
// sends none wants one.
func (q *request) wantsPAC() bool {
	value, found := q.find(krb.PAPACRequest)
	if !found {
		return true
	}
	include, err := krb.ParsePAPACRequest(value)
	return err != nil || include
}

// logonInfo says who the user is ([MS-PAC] section 2.5).
func (r *Realm) logonInfo(p *principal, authTime time.Time) []byte {
	account := pac.AccountNormal
	if !p.forwardable {
		account |= pac.AccountNotDelegated
	}
	if p.noPreauth {
		account |= pac.AccountNoPreauth
	}
	h := sha256.Sum256([]byte(r.realm))
	info := pac.LogonInfo{
		Time: authTime, PasswordSet: r.start, Name: p.name.Name(), RID: p.rid, Group: domainUsers,
		Groups: append([]uint32{domainUsers}, p.groups...), Account: account, Server: "KDC", Domain: shortName(r.realm),
		SID: [3]uint32{binary.LittleEndian.Uint32(h[0:]), binary.LittleEndian.Uint32(h[4:]), binary.LittleEndian.Uint32(h[8:])},
	}
	return info.Marshal()
}

// shortName is the name of a domain as NetBIOS has it.
func shortName(realm string) string {
	s, _, _ := strings.Cut(realm, ".")
	return s[:min(len(s), 15)]
}

// signPAC returns the ticket's authorization data with its PAC, signed for a
// service whose key it is ([MS-PAC] section 2.8).
func (r *Realm) signPAC(g *grant, server krb.Key) ([]byte, error) {
	kdc, _, err := r.lookup(krb.TGS(r.realm, r.realm)).sealing()
	if err != nil {
		return nil, err
	}
	rest, err := authElements(g.authData)
	if err != nil {
		return nil, err
	}
	var ticket []byte
	if hasTicketSum(g.server) {
		if ticket, err = g.withEmptyPAC(rest); err != nil {
			return nil, err
		}
	}
	whole, err := pac.Sign(g.pac, ticket, server, kdc)
	if err != nil {
		return nil, err
	}
	return ifRelevant(krb.ADWin2kPAC, whole, rest...), nil
}

// hasTicketSum reports whether tickets for the service bear the signatures of
// [MS-PAC] sections 2.8.3 and 2.8.4: those that may be evidence do.
func hasTicketSum(server krb.Principal) bool { return !server.IsTGS() && !server.SameName(changepw) }

// withEmptyPAC is what the signature of a ticket covers.
func (g *grant) withEmptyPAC(rest []krb.AuthData) ([]byte, error) {
	part := g.part()
	part.AuthData = ifRelevant(krb.ADWin2kPAC, []byte{0}, rest...)
	return part.Marshal()
}

// openPAC verifies the PAC of a ticket that came to the KDC and takes it out of
// the authorization data: what is left of both is the grant's. Without a PAC
// nothing happens. Evidence must bear all signatures, other tickets those of
// their key and, if they are ours, of the KDC's. Whose it is, is for the caller to
// verify.
func (r *Realm) openPAC(t *grant, evidence bool) *refusal {
	if t.authData == nil {
		return nil
	}
	raw, rest, err := splitAuthData(t.authData, false)
	if err != nil {
		return refuse(krb.CodeGeneric, "malformed authorization data")
	}
	if !r.pac || raw == nil {
		t.authData = rest
		return nil
	}
	modified := refuse(krb.CodeModified, "PAC was changed")
	list, err := pac.Parse(raw)
	if err != nil {
		return modified
	}
	if !r.signedPAC(t, raw, list, rest, evidence) {
		return modified
	}
	t.authData = rest
	t.pac = slices.DeleteFunc(list, pac.Buffer.Signature)
	return nil
}

// isOf refuses a ticket whose PAC, if it has one, is of another name.
func (t *grant) isOf(name string) *refusal {
	if t.pac == nil {
		return nil
	}
	if info, found := pac.Find(t.pac, pac.KindClientInfo); !found || !slices.Equal(info, pac.ClientInfo(name, t.authTime)) {
		return refuse(krb.CodeBadOption, "PAC is another client's")
	}
	return nil
}

// delegated returns the user for whom the client of a cross-realm ticket acts, of whom
// the PAC is. target is where, "" for wherever.
func (t *grant) delegated(target string) (user krb.Principal, ok bool) {
	info, found := pac.Find(t.pac, pac.KindClientInfo)
	if !found {
		return user, false
	}
	name, err := pac.ClientName(info)
	if err != nil || !slices.Equal(info, pac.ClientInfo(name, t.authTime)) {
		return user, false
	}
	if user, err = krb.ParsePrincipal(name); err != nil || user.Realm == "" {
		return user, false
	}
	info, found = pac.Find(t.pac, pac.KindDelegation)
	if !found {
		return user, false
	}
	d, err := pac.ParseDelegation(info)
	if err != nil || len(d.Via) == 0 || d.Via[len(d.Via)-1] != t.client.String() {
		return user, false
	}
	return user, target == "" || target == d.Target
}

func (r *Realm) signedPAC(t *grant, raw []byte, list []pac.Buffer, rest []byte, evidence bool) bool {
	if t.server.Realm != r.realm { // the KDC's signature is by a key of another realm
		return pac.Signed(raw, list, t.opened, nil, nil)
	}
	if !evidence {
		return pac.Signed(raw, list, t.opened, r.verifyKDCSum, nil)
	}
	return pac.Signed(raw, list, t.opened, r.verifyKDCSum, func() ([]byte, error) {
		elements, err := authElements(rest)
		if err != nil {
			return nil, err
		}
		return t.withEmptyPAC(elements)
	})
}

// verifyKDCSum verifies a signature with any key that the ticket-granting service has.
func (r *Realm) verifyKDCSum(sum, data []byte) bool {
	tgs := r.lookup(krb.TGS(r.realm, r.realm))
	for i := range tgs.keys {
		for _, etype := range tgs.etypes {
			if k, ok := tgs.keys[i].key(etype); ok && pac.VerifySum(sum, k, data) {
				return true
			}
		}
	}
	return false
}

// delegate adds to the PAC of a ticket where it is delegated to, and by whom.
func (g *grant) delegate(target, by krb.Principal) *refusal {
	list, err := pac.Delegate(g.pac, target, by)
	if err != nil {
		return refuse(krb.CodePolicy, "delegated too often")
	}
	g.pac = list
	return nil
}
