package fakekdc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A principal is what the realm knows of one name. Published ones are not
// changed: a change publishes a copy.
type principal struct {
	name     krb.Principal // with its realm
	password string        // of users; services have random keys
	random   bool
	rid      uint32 // relative identifier, for PACs
	own      bool   // a service of the realm's own making
	policy
	keys []keyset // newest first
}

// policy is what PrincipalOptions set.
type policy struct {
	etypes      []int32
	kvno        uint32
	salt        string
	hasSalt     bool
	iterations  uint32
	life, renew time.Duration // 0: the realm's
	forwardable bool
	proxiable   bool
	renewable   bool
	okDelegate  bool
	noPreauth   bool
	refuse      int32   // KRB-ERROR code for every request
	padding     int     // bytes of authorization data in tickets
	given       *string // password for a service

	sessions      []int32  // encryption types of session keys; nil: etypes
	flags, noFlag uint32   // of tickets for it
	postdate      bool     // tickets may be postdated
	userToUser    bool     // only tickets under session keys
	trusted       bool     // S4U2Self tickets are forwardable
	delegateTo    []string // name@REALM, where S4U2Proxy tickets may lead
	delegateFrom  []string // name@REALM, who may get S4U2Proxy tickets
	groups        []uint32 // relative identifiers
	certificates  [][]byte // DER of X.509 certificates that are the user's
	setsPasswords bool     // of others
	tokens        []Token  // in place of the password
}

// A keyset is the keys of one version. They are made when first used:
// string-to-key takes milliseconds.
type keyset struct {
	kvno       uint32
	salt       string
	iterations uint32
	keys       map[int32]func() (krb.Key, error)
}

// A PrincipalOption changes a user or service from what is usual: the realm's
// encryption types and lifetimes, pre-authentication required, tickets
// forwardable, proxiable and renewable when asked for, kvno 1.
type PrincipalOption func(*policy)

// Etypes sets the encryption types that the principal has keys of, the most
// wanted first. A service's session keys are of these too.
func Etypes(etypes ...int32) PrincipalOption {
	return func(p *policy) { p.etypes = slices.Clone(etypes) }
}

// Kvno sets the first key version number, at least 1.
func Kvno(n uint32) PrincipalOption { return func(p *policy) { p.kvno = n } }

// Salt sets the salt of a password's keys, instead of the realm and name run
// together (RFC 4120 section 4), as happens when accounts are renamed.
func Salt(s string) PrincipalOption { return func(p *policy) { p.salt, p.hasSalt = s, true } }

// Iterations sets the iteration count of a password's AES keys, which the KDC
// then tells its clients (s2kparams). MIT's clients refuse less than each type's
// default: 4096 for the SHA-1 types, 32768 for the SHA-2 types.
func Iterations(n uint32) PrincipalOption { return func(p *policy) { p.iterations = n } }

// ServicePassword gives a service keys made of a password instead of random ones.
func ServicePassword(s string) PrincipalOption { return func(p *policy) { p.given = &s } }

// Lifetime bounds the tickets of the user, or for the service, within the
// realm's bounds (see [WithLifetime]). Negative renewable: not renewable.
func Lifetime(life, renewable time.Duration) PrincipalOption {
	return func(p *policy) {
		p.life, p.renew = life, renewable
		if renewable < 0 {
			p.renewable = false
		}
	}
}

// NotForwardable makes the KDC leave out the forwardable flag.
func NotForwardable() PrincipalOption { return func(p *policy) { p.forwardable = false } }

// NotProxiable makes the KDC leave out the proxiable flag.
func NotProxiable() PrincipalOption { return func(p *policy) { p.proxiable = false } }

// OKAsDelegate sets the ok-as-delegate flag on tickets for the service.
func OKAsDelegate() PrincipalOption { return func(p *policy) { p.okDelegate = true } }

// NoPreauth lets the user log in without pre-authentication.
func NoPreauth() PrincipalOption { return func(p *policy) { p.noPreauth = true } }

// Refuse makes the KDC answer every request of the user, or for the service,
// with the KRB-ERROR code: 12 for policy, 18 for a locked account, 23 for an
// expired password (RFC 4120 section 7.5.9). 0 takes that back.
func Refuse(code int32) PrincipalOption { return func(p *policy) { p.refuse = code } }

// TicketPadding puts n bytes of authorization data into tickets, as Active
// Directory does with the groups of a user, so that replies and HTTP headers
// become large.
func TicketPadding(n int) PrincipalOption { return func(p *policy) { p.padding = n } }

// SessionEtypes sets the encryption types that session keys of tickets for the
// service may have, where they are not those of its keys: a service of Active
// Directory may have a key of RC4 alone and yet know AES.
func SessionEtypes(etypes ...int32) PrincipalOption {
	return func(p *policy) { p.sessions = slices.Clone(etypes) }
}

// TicketFlags sets and clears flags of all tickets for the service, whatever else
// decides upon them (RFC 4120 section 5.3, bit 0 the most significant): tickets
// whose path no KDC vouches for are those of TicketFlags(0, FlagTransitedOK).
func TicketFlags(set, clear uint32) PrincipalOption {
	return func(p *policy) { p.flags, p.noFlag = set, clear }
}

// Postdatable lets the user get tickets that become valid later (RFC 4120
// section 2.4), and the service be used with such. Both must be, the
// ticket-granting service is. Others are refused with KDC_ERR_CANNOT_POSTDATE.
func Postdatable() PrincipalOption { return func(p *policy) { p.postdate = true } }

// UserToUserOnly makes the KDC refuse tickets for the principal that are not
// under the session key of its ticket-granting ticket (RFC 4120 section
// 3.3.3), with KDC_ERR_MUST_USE_USER2USER.
func UserToUserOnly() PrincipalOption { return func(p *policy) { p.userToUser = true } }

// TrustedToAuth makes tickets forwardable that the service gets for itself on
// behalf of users (S4U2Self), so that it may use them as evidence: "protocol
// transition" in Active Directory, ok_to_auth_as_delegate for MIT. Without it a
// service that is [AllowedToDelegateTo] others gets them all the same, but they
// lead no further; those of other services are forwardable, and good for
// [AllowedToDelegateFrom] ([MS-SFU] section 3.2.5.1.2).
func TrustedToAuth() PrincipalOption { return func(p *policy) { p.trusted = true } }

// AllowedToDelegateTo lists the services that the service may use on behalf of
// users who used it (S4U2Proxy, constrained delegation, [MS-SFU] section
// 3.2.5.2). The user's ticket must be forwardable. Names are with or without
// the realm.
func AllowedToDelegateTo(services ...string) PrincipalOption {
	return func(p *policy) { p.delegateTo = slices.Clone(services) }
}

// AllowedToDelegateFrom lists the services that may use this one on behalf of
// users who used them (resource-based constrained delegation). Clients must say
// that they know of it, as MIT's do since 1.18. As in Active Directory, the
// user's ticket need not be forwardable, but the user must not be
// [NotForwardable].
func AllowedToDelegateFrom(services ...string) PrincipalOption {
	return func(p *policy) { p.delegateFrom = slices.Clone(services) }
}

// Groups puts the user into groups of the domain, by their relative identifiers
// (RID). They are in the tickets of a realm that was made [WithPAC].
func Groups(rids ...uint32) PrincipalOption {
	return func(p *policy) { p.groups = slices.Clone(rids) }
}

// Certificate maps an X.509 certificate to the user, DER: a service may name the user by
// it and by nothing else (S4U2Self, [MS-SFU] section 3.1.5.1.1.1). Several may be the
// user's; one that two users have is the first one's. The KDC compares it byte for byte,
// and does not look into it.
func Certificate(der []byte) PrincipalOption {
	der = bytes.Clone(der)
	return func(p *policy) { p.certificates = append(slices.Clip(p.certificates), der) }
}

// SetsPasswords lets the user set the passwords of others by RFC 3244; see
// [WithKpasswd].
func SetsPasswords() PrincipalOption { return func(p *policy) { p.setsPasswords = true } }

// AddUser adds a user with a password. The name is a principal name with or
// without the realm. It is an error for the name to be taken or malformed; in a
// realm made by [Start] an error ends the test, so it need not be looked at.
func (r *Realm) AddUser(name, password string, opts ...PrincipalOption) error {
	return r.fail(r.addUser(name, password, opts))
}

func (r *Realm) addUser(name, password string, opts []PrincipalOption) error {
	n, err := r.parseName(name)
	if err != nil {
		return err
	}
	return r.add(&principal{name: n, password: password, policy: r.usualPolicy()}, opts)
}

// AddService adds a service such as "HTTP/localhost", with random keys. Errors
// are as with [Realm.AddUser].
func (r *Realm) AddService(name string, opts ...PrincipalOption) error {
	return r.fail(r.addService(name, opts))
}

func (r *Realm) addService(name string, opts []PrincipalOption) error {
	n, err := r.parseName(name)
	if err != nil {
		return err
	}
	return r.add(&principal{name: n, random: true, policy: r.usualPolicy()}, opts)
}

func (r *Realm) usualPolicy() policy {
	return policy{etypes: r.etypes, forwardable: true, proxiable: true, renewable: true}
}

func (r *Realm) parseName(name string) (krb.Principal, error) {
	p, err := krb.ParsePrincipal(name)
	if err != nil {
		return krb.Principal{}, err
	}
	switch {
	case p.Realm == "":
		p.Realm = r.realm
	case p.Realm != r.realm && !p.SameName(krb.TGS(r.realm, r.realm)):
		return krb.Principal{}, fmt.Errorf("principal %s is not of realm %s", p, r.realm)
	}
	return p, nil
}

func (r *Realm) add(p *principal, opts []PrincipalOption) error {
	p.random = p.random || p.name.IsTGS()
	if err := p.apply(opts); err != nil {
		return err
	}
	p.kvno = max(p.kvno, 1)
	p.newKeys(p.kvno)
	r.mu.Lock()
	defer r.mu.Unlock()
	name := r.id(p.name)
	if r.principals[name] != nil {
		return fmt.Errorf("principal %s is there already: use Modify, SetPassword or Rotate", p.name)
	}
	if !p.internal() {
		r.rids++
		p.rid = firstRID + r.rids
	}
	r.principals[name] = p
	r.names = append(r.names, name)
	return nil
}

func (p *principal) apply(opts []PrincipalOption) error {
	for _, o := range opts {
		if o != nil {
			o(&p.policy)
		}
	}
	if err := checkEtypes(p.etypes); err != nil {
		return fmt.Errorf("principal %s: %w", p.name, err)
	}
	if p.sessions != nil {
		if err := checkEtypes(p.sessions); err != nil {
			return fmt.Errorf("principal %s: session keys: %w", p.name, err)
		}
	}
	if p.tokens != nil && p.noPreauth {
		return fmt.Errorf("principal %s: one-time passwords without pre-authentication", p.name)
	}
	if len(p.groups) > maxGroups {
		return fmt.Errorf("principal %s: %d groups, want %d at most", p.name, len(p.groups), maxGroups)
	}
	var err error
	if p.delegateTo, err = p.fullNames(p.delegateTo); err != nil {
		return err
	}
	if p.delegateFrom, err = p.fullNames(p.delegateFrom); err != nil {
		return err
	}
	if p.life < 0 || p.padding < 0 || p.padding > maxPadding || p.iterations > krb.MaxIterations {
		return fmt.Errorf("principal %s: lifetime, padding or iterations out of range", p.name)
	}
	if p.given != nil {
		p.password, p.random = *p.given, false
		p.given = nil
	}
	return nil
}

const maxPadding = 1 << 18

// fullNames returns the names with a realm each.
func (p *principal) fullNames(names []string) ([]string, error) {
	if names == nil {
		return nil, nil
	}
	out := make([]string, len(names)) // others may be reading names
	for i, s := range names {
		n, err := krb.ParsePrincipal(s)
		if err != nil {
			return nil, fmt.Errorf("principal %s: delegation: %w", p.name, err)
		}
		if n.Realm == "" {
			n.Realm = p.name.Realm
		}
		out[i] = n.String()
	}
	return out, nil
}

// newKeys puts a new version in front.
func (p *principal) newKeys(kvno uint32) {
	set := keyset{kvno: kvno, salt: p.name.Salt(), iterations: p.iterations, keys: make(map[int32]func() (krb.Key, error))}
	if p.hasSalt {
		set.salt = p.salt
	}
	random, password := p.random, p.password
	for _, e := range p.etypes {
		set.keys[e] = sync.OnceValues(func() (krb.Key, error) {
			if random {
				return krb.GenerateKey(e)
			}
			return krb.StringToKey(e, password, set.salt, set.params(e))
		})
	}
	p.keys = append([]keyset{set}, p.keys...)
}

// nextKeys makes keys of the next version.
func (p *principal) nextKeys() error {
	last := p.keys[0].kvno
	if last == math.MaxUint32 {
		return fmt.Errorf("principal %s: there is no version after %d", p.name, last)
	}
	p.newKeys(last + 1)
	return nil
}

// params is the s2kparams of RFC 3962 section 4, nil for the default.
func (s *keyset) params(etype int32) []byte {
	if s.iterations == 0 || etype == krb.RC4HMAC {
		return nil
	}
	return binary.BigEndian.AppendUint32(nil, s.iterations)
}

// key returns the key of an encryption type, making it at need.
func (s *keyset) key(etype int32) (krb.Key, bool) {
	get := s.keys[etype]
	if get == nil {
		return krb.Key{}, false
	}
	k, err := get()
	return k, err == nil
}

// sealing returns the key that seals tickets for p, its most wanted one.
func (p *principal) sealing() (krb.Key, uint32, error) {
	set := &p.keys[0]
	for _, e := range p.etypes {
		if k, ok := set.key(e); ok {
			return k, set.kvno, nil
		}
	}
	return krb.Key{}, 0, fmt.Errorf("%s has no key of its encryption types: rotate its keys", p.name)
}

// choose returns the first of the wanted encryption types that session keys
// for p may have, 0 if there is none.
func (p *principal) choose(wanted []int32) int32 {
	known := p.sessionEtypes()
	for _, e := range wanted {
		if slices.Contains(known, e) {
			return e
		}
	}
	return 0
}

// sessionEtypes returns the encryption types of session keys for p, the most wanted
// one first.
func (p *principal) sessionEtypes() []int32 {
	if p.sessions != nil {
		return p.sessions
	}
	return p.etypes
}

// find returns the key for an encrypted part: kvno 0 is the newest. The code
// is that of the KRB-ERROR to answer with, 0 if the key was found.
func (p *principal) find(etype int32, kvno uint32) (krb.Key, int32) {
	known := false
	for i := range p.keys {
		set := &p.keys[i]
		if kvno != 0 && set.kvno != kvno {
			continue
		}
		known = true
		if k, ok := set.key(etype); ok {
			return k, 0
		}
		if kvno == 0 {
			break
		}
	}
	if !known {
		return krb.Key{}, krb.CodeBadKvno
	}
	return krb.Key{}, krb.CodeNoKey
}

// keyed returns the first of the wanted encryption types that p has a key of,
// 0 if there is none.
func (p *principal) keyed(wanted []int32) int32 {
	for _, e := range wanted {
		if slices.Contains(p.etypes, e) && p.keys[0].keys[e] != nil {
			return e
		}
	}
	return 0
}

// internal reports whether p is a service of the realm's own.
func (p *principal) internal() bool { return p.name.IsTGS() || p.own }

func (r *Realm) lookup(name krb.Principal) *principal {
	var room [128]byte
	id := r.appendID(room[:0], name)
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.principals[string(id)]
}

// Principal returns the full name, name@REALM, of a principal of the realm. A name that
// is malformed or unknown is an error; aliases are names of no principal.
func (r *Realm) Principal(name string) (string, error) {
	p, err := r.lookupText(name)
	if err != nil {
		return "", err
	}
	return p.name.String(), nil
}

func (r *Realm) lookupText(name string) (*principal, error) {
	n, err := r.parseName(name)
	if err != nil {
		return nil, err
	}
	p := r.lookup(n)
	if p == nil {
		return nil, fmt.Errorf("realm %s has no principal %s: add it first", r.realm, r.id(n))
	}
	return p, nil
}

// change publishes a changed copy of a principal.
func (r *Realm) change(name string, f func(*principal) error) error {
	n, err := r.parseName(name)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.principals[r.id(n)]
	if p == nil {
		return fmt.Errorf("realm %s has no principal %s: add it first", r.realm, r.id(n))
	}
	c := *p
	c.keys = slices.Clone(p.keys)
	if err := f(&c); err != nil {
		return err
	}
	r.principals[r.id(n)] = &c
	return nil
}

// Modify applies options to a principal that is there. Keys are kept, so new
// encryption types get theirs by the next [Realm.Rotate]. Errors are as with
// [Realm.AddUser].
func (r *Realm) Modify(name string, opts ...PrincipalOption) error {
	return r.fail(r.change(name, func(p *principal) error { return p.apply(opts) }))
}

// SetPassword gives a principal another password, and the next kvno. Errors
// are as with [Realm.AddUser].
func (r *Realm) SetPassword(name, password string) error {
	return r.fail(r.change(name, func(p *principal) error {
		p.password, p.random = password, false
		return p.nextKeys()
	}))
}

// Rotate gives a principal new keys under the next kvno; a user keeps the
// password. Keys of older versions still open the tickets that were made with
// them, until [Realm.Purge]. "krbtgt/REALM" rotates the keys of the
// ticket-granting service. Errors are as with [Realm.AddUser].
func (r *Realm) Rotate(name string) error {
	return r.fail(r.change(name, func(p *principal) error {
		return p.nextKeys()
	}))
}

// Purge forgets all keys of a principal but the newest version, so that older
// tickets are refused with KRB_AP_ERR_BADKEYVER. Errors are as with
// [Realm.AddUser].
func (r *Realm) Purge(name string) error {
	return r.fail(r.change(name, func(p *principal) error {
		p.keys = p.keys[:1]
		return nil
	}))
}

// Remove deletes a principal, as when an account is closed while its tickets
// live on. Errors are as with [Realm.AddUser].
func (r *Realm) Remove(name string) error {
	n, err := r.parseName(name)
	if err != nil {
		return r.fail(err)
	}
	r.mu.Lock()
	id := r.id(n)
	_, found := r.principals[id]
	if found {
		delete(r.principals, id)
		r.names = slices.DeleteFunc(r.names, func(s string) bool { return s == id })
	}
	r.mu.Unlock() // before fail, which may end the goroutine
	if !found {
		return r.fail(fmt.Errorf("realm %s has no principal %s", r.realm, id))
	}
	return nil
}

// Principals returns the names of all users and services in the order they
// were added, without the ticket-granting services and that of password changes.
func (r *Realm) Principals() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []string
	for _, n := range r.names {
		if p := r.principals[n]; !p.internal() {
			out = append(out, p.name.String())
		}
	}
	return out
}
