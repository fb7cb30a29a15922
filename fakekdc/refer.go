package fakekdc

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A directory is what a realm knows of names that are not its principals'. The
// realm's mu guards it.
type directory struct {
	aliases  map[string]string // of users: principal name
	users    map[string]string // or suffixes of theirs: realm
	services map[string]string // by host or domain: realm
	denied   []string          // realms that no path may lead through
}

func newDirectory() directory {
	return directory{aliases: make(map[string]string), users: make(map[string]string), services: make(map[string]string)}
}

// Alias gives a user a further name to log in with: one such as
// "alice.smith@corp.example", an enterprise name (RFC 6806 section 5), or one
// without @. Case does not count. Clients that ask for canonicalization are
// told the user's true name, others that there is no such client. The suffix
// of an enterprise name need not be that of a realm, but NAME@REALM needs no
// alias. An empty user takes the alias back.
//
// It is an error for the user not to exist. In a realm made by [Start] an
// error ends the test.
func (r *Realm) Alias(alias, user string) error {
	return r.fail(r.setAlias(alias, user))
}

func (r *Realm) setAlias(alias, user string) error {
	if alias == "" {
		return fmt.Errorf("realm %s: alias of %q is empty", r.realm, user)
	}
	id := ""
	if user != "" {
		p, err := r.lookupText(user)
		if err != nil {
			return fmt.Errorf("alias %q: %w", alias, err)
		}
		id = p.name.Name()
	}
	r.put(r.aliases, alias, id)
	return nil
}

// ReferUsers says that a user, or all whose enterprise names end in a suffix
// such as "@corp.example", live in another realm. Clients that ask for
// canonicalization are sent there with KDC_ERR_WRONG_REALM (RFC 6806 section
// 7), others told that there is no such client. Users that the realm has
// itself, and aliases, go before. Case does not count.
//
// Without it, enterprise names are sent to realms that bear the suffix's name
// or have an alias for them, among all that trust connects with this one. An
// empty realm takes the referral back.
//
// It is an error for the realm's name to be malformed; it need not exist, and
// may be this one, which leads clients in circles. In a realm made by [Start]
// an error ends the test.
func (r *Realm) ReferUsers(userOrSuffix, realm string) error {
	return r.fail(r.setReferral(r.users, userOrSuffix, realm))
}

// Refer says that the services of a host, or of all hosts of a domain such as
// ".web.example", are in another realm. Clients that ask for canonicalization
// get a ticket-granting ticket for that realm, or for one nearer to it (RFC 6806
// section 8), others are told that there is no such service. Services that the
// realm has itself go before, a host before its domain and a long domain before
// a short one. Case does not count. An empty realm takes the referral back.
//
// Without it, services are looked for in the realms that trust leads to.
// Where it leads nowhere is said by the lack of trust: then there is no such
// service. Two realms that refer to each other lead clients in circles; see
// [ReferTo] for worse.
//
// It is an error for the realm's name to be malformed. In a realm made by
// [Start] an error ends the test.
func (r *Realm) Refer(hostOrDomain, realm string) error {
	return r.fail(r.setReferral(r.services, hostOrDomain, realm))
}

func (r *Realm) setReferral(m map[string]string, name, realm string) error {
	if name == "" {
		return fmt.Errorf("realm %s: referral of no name to %q", r.realm, realm)
	}
	if realm != "" {
		if err := checkRealm(realm); err != nil {
			return fmt.Errorf("referral of %q: %w", name, err)
		}
	}
	r.put(m, name, realm)
	return nil
}

func (r *Realm) put(m map[string]string, name, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if value == "" {
		delete(m, strings.ToLower(name))
		return
	}
	m[strings.ToLower(name)] = value
}

func (r *Realm) get(m map[string]string, name string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return m[strings.ToLower(name)]
}

// findClient returns the principal of an AS-REQ.
func (r *Realm) findClient(q *request) (*principal, *refusal) {
	unknown := refuse(krb.CodeClientUnknown, "client unknown")
	if der, found := q.find(krb.PAS4UX509User); found && len(der) > 0 && q.Client.Type == krb.NTX500 {
		return r.findCertified(q, der, unknown)
	}
	if p := r.lookup(q.Client); p != nil {
		return p, nil
	}
	if q.Options&krb.OptionCanonicalize == 0 {
		return nil, unknown
	}
	text := q.Client.Name()
	if q.Client.Type == krb.NTEnterprise && len(q.Client.Components) == 1 {
		text = q.Client.Components[0]
	}
	if p := r.aliased(text); p != nil {
		return p, nil
	}
	if realm := r.homeOf(text, q.Client.Type == krb.NTEnterprise); realm != "" {
		return nil, &refusal{code: krb.CodeWrongRealm, text: "client is of " + realm, realm: realm}
	}
	return nil, unknown
}

// findCertified is findClient for a service that has no more of a user than a
// certificate, and looks for the user's realm ([MS-SFU] section 3.1.5.1.1.2).
func (r *Realm) findCertified(q *request, der []byte, unknown *refusal) (*principal, *refusal) {
	if p := r.byCertificate(der); p != nil {
		return p, nil
	}
	if q.Options&krb.OptionCanonicalize == 0 {
		return nil, unknown
	}
	for _, p := range r.acquainted()[1:] {
		if p.byCertificate(der) != nil {
			return nil, &refusal{code: krb.CodeWrongRealm, text: "client is of " + p.realm, realm: p.realm}
		}
	}
	return nil, unknown
}

// byCertificate returns the user whose X.509 certificate it is, nil for none.
func (r *Realm) byCertificate(der []byte) *principal {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, id := range r.names {
		p := r.principals[id]
		if p != nil && slices.ContainsFunc(p.certificates, func(c []byte) bool { return bytes.Equal(c, der) }) {
			return p
		}
	}
	return nil
}

// aliased returns the user whose alias, or name with our realm, the text is.
func (r *Realm) aliased(text string) *principal {
	if id := r.get(r.aliases, text); id != "" {
		r.mu.RLock()
		defer r.mu.RUnlock()
		return r.principals[id]
	}
	user, suffix, found := cutSuffix(text)
	if !found || !strings.EqualFold(suffix, r.realm) {
		return nil
	}
	return r.lookup(krb.NewPrincipal(r.realm, user))
}

// homeOf returns the realm where a user is said to live, "" for nowhere.
func (r *Realm) homeOf(text string, enterprise bool) string {
	if realm := r.get(r.users, text); realm != "" {
		return realm
	}
	_, suffix, found := cutSuffix(text)
	if !enterprise || !found {
		return ""
	}
	if realm := r.get(r.users, "@"+suffix); realm != "" {
		return realm
	}
	others := r.acquainted()[1:]
	for _, p := range others {
		if p.aliased(text) != nil {
			return p.realm
		}
	}
	for _, p := range others {
		if strings.EqualFold(p.realm, suffix) {
			return p.realm
		}
	}
	return ""
}

func cutSuffix(text string) (user, suffix string, found bool) {
	i := strings.LastIndexByte(text, '@')
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}

// findServer returns the principal that a TGS-REQ is answered with: the one
// asked for, or the ticket-granting service of a realm that is nearer to it.
func (r *Realm) findServer(q *request) *principal {
	if q.refer != "" {
		return r.anyway(q.refer)
	}
	if p := r.lookup(q.Server); p != nil {
		return p
	}
	next := ""
	switch host, ok := hostOf(q.Server); {
	case q.Server.Type == krb.NTEnterprise && len(q.Server.Components) == 1 && q.Options&krb.OptionCanonicalize != 0:
		// A service that is looked for with a user of this realm ([MS-SFU] section
		// 3.1.5.1.1.2).
		if _, suffix, found := cutSuffix(q.Server.Components[0]); found {
			next = r.toward(suffix)
		}
	case q.Server.IsTGS():
		next = r.toward(q.Server.Components[1])
	case q.Options&krb.OptionCanonicalize == 0 || !ok:
	default:
		if realm := r.realmOf(host); realm != "" {
			next = r.toward(realm)
			break
		}
		next = r.hop(func(p *Realm) bool { return p.lookup(krb.Principal{Components: q.Server.Components}) != nil })
	}
	if next == "" {
		return nil
	}
	return r.lookup(krb.TGS(next, r.realm))
}

// anyway returns the ticket-granting service of a realm, with a key of no one's
// if there is no trust.
func (r *Realm) anyway(realm string) *principal {
	name := krb.TGS(realm, r.realm)
	if p := r.lookup(name); p != nil {
		return p
	}
	p := &principal{name: name, random: true, policy: r.usualPolicy()}
	p.newKeys(1)
	return p
}

func hostOf(server krb.Principal) (string, bool) {
	if len(server.Components) < 2 {
		return "", false
	}
	return server.Components[1], true
}

// realmOf returns the realm that Refer gave for a host, "" for none.
func (r *Realm) realmOf(host string) string {
	host = strings.ToLower(host)
	r.mu.RLock()
	defer r.mu.RUnlock()
	if realm := r.services[host]; realm != "" {
		return realm
	}
	for i := range len(host) {
		if host[i] == '.' {
			if realm := r.services[host[i:]]; realm != "" {
				return realm
			}
		}
	}
	return ""
}
