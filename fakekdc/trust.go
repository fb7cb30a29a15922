package fakekdc

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kerbchain/kerbchain/fakekdc/internal/transited"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// Trust lets the users of each of two realms use services of the other: both
// get the principals krbtgt/OTHER@R and krbtgt/R@OTHER, with random keys of the
// encryption types that they have in common. The options are for these
// principals: [OKAsDelegate], [Lifetime], [Refuse], [Etypes] and so on.
// [Realm.Principals] does not list them, but [Realm.Rotate], [Realm.Purge],
// [Realm.Modify] and [Realm.Remove] take their names, and change them in one
// realm only, as administrators out of step do. Trust again gives both sides
// the next kvno.
//
// Services of realms that are several trusts away are reached in as many hops.
// [Realm.Config] has the KDCs of them all. For trust with a KDC of another make
// add both principals with [Realm.AddService] and a [ServicePassword].
//
// It is an error for the realms to bear the same name or to have no encryption
// type in common. In a realm made by [Start] an error ends the test.
func (r *Realm) Trust(other *Realm, opts ...PrincipalOption) error {
	err := r.trust(other, opts)
	if err == nil {
		err = other.trust(r, opts)
	}
	return r.fail(err)
}

// TrustOneWay lets the users of the other realm use services of r, but not the
// other way about. All else is as with [Realm.Trust].
func (r *Realm) TrustOneWay(other *Realm, opts ...PrincipalOption) error {
	return r.fail(r.trust(other, opts))
}

// trust makes krbtgt/R@OTHER and gives it to both realms.
func (r *Realm) trust(other *Realm, opts []PrincipalOption) error {
	if other == nil {
		return fmt.Errorf("realm %s: trust in no realm", r.realm)
	}
	if r.realm == other.realm {
		return fmt.Errorf("realm %s: trust in a realm of the same name", r.realm)
	}
	p := &principal{name: krb.TGS(r.realm, other.realm), random: true, policy: r.usualPolicy()}
	p.etypes = slices.DeleteFunc(slices.Clone(r.etypes), func(e int32) bool { return !slices.Contains(other.etypes, e) })
	if err := p.apply(opts); err != nil {
		return fmt.Errorf("trust of %s in %s: %w", r.realm, other.realm, err)
	}
	// Always in the same order, and never held in an exchange.
	first, second := r, other
	if first.realm > second.realm {
		first, second = second, first
	}
	first.trustMu.Lock()
	defer first.trustMu.Unlock()
	second.trustMu.Lock()
	defer second.trustMu.Unlock()
	p.kvno = max(p.kvno, 1, r.newest(p.name)+1, other.newest(p.name)+1)
	p.newKeys(p.kvno)
	r.meet(other, p)
	other.meet(r, p)
	return nil
}

// newest returns the newest kvno of a principal, 0 for none.
func (r *Realm) newest(name krb.Principal) uint32 {
	if p := r.lookup(name); p != nil {
		return p.keys[0].kvno
	}
	return 0
}

// meet stores a cross-realm principal, and the realm at its other end. Older
// keys still open what was sealed with them.
func (r *Realm) meet(other *Realm, p *principal) {
	c := *p
	id := r.id(p.name)
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.principals[id]; old != nil {
		c.keys = append(slices.Clone(p.keys), old.keys...)
	} else {
		r.names = append(r.names, id)
	}
	r.principals[id] = &c
	if !slices.Contains(r.peers, other) {
		r.peers = append(r.peers, other)
	}
}

// id is the key of a principal in Realm.principals: only those of cross-realm
// tickets for us are of another realm.
func (r *Realm) id(name krb.Principal) string {
	var room [128]byte
	return string(r.appendID(room[:0], name))
}

func (r *Realm) appendID(dst []byte, name krb.Principal) []byte {
	if name.Realm == "" || name.Realm == r.realm {
		return name.AppendName(dst)
	}
	return name.AppendTo(dst)
}

// acquainted returns r and all that it has to do with through any number of
// trusts, whichever way they go, nearest first.
func (r *Realm) acquainted() []*Realm {
	list := []*Realm{r}
	for i := 0; i < len(list); i++ {
		for _, p := range list[i].neighbours() {
			if !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
	}
	return list
}

func (r *Realm) neighbours() []*Realm {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.peers)
}

// leadsTo reports whether r can make cross-realm tickets for the realm.
func (r *Realm) leadsTo(realm string) bool {
	return realm != r.realm && r.lookup(krb.TGS(realm, r.realm)) != nil
}

// way returns the realms on the shortest way to one that is wanted, that one
// included; nil when there is none. No lock is held while another realm is
// asked.
func (r *Realm) way(wanted func(*Realm) bool) []*Realm {
	type step struct {
		at   *Realm
		from int
	}
	seen := []*Realm{r}
	steps := []step{{r, -1}}
	for i := 0; i < len(steps); i++ {
		at := steps[i].at
		if i > 0 && wanted(at) {
			var out []*Realm
			for ; i > 0; i = steps[i].from {
				out = append(out, steps[i].at)
			}
			slices.Reverse(out)
			return out
		}
		for _, p := range at.neighbours() {
			if !slices.Contains(seen, p) && at.leadsTo(p.realm) {
				seen = append(seen, p)
				steps = append(steps, step{p, i})
			}
		}
	}
	return nil
}

// path returns the realms between two.
func (r *Realm) path(to *Realm) (between []*Realm, found bool) {
	way := r.way(func(p *Realm) bool { return p == to })
	if way == nil {
		return nil, false
	}
	return way[:len(way)-1], true
}

// hop returns the first realm on the way to one that is wanted, "" for none.
func (r *Realm) hop(wanted func(*Realm) bool) string {
	if way := r.way(wanted); way != nil {
		return way[0].realm
	}
	return ""
}

// toward returns the realm that is nearer to the one named, "" for none.
func (r *Realm) toward(realm string) string {
	if r.leadsTo(realm) {
		return realm
	}
	return r.hop(func(p *Realm) bool { return p.realm == realm || p.leadsTo(realm) })
}

// cross gives the ticket its list of realms (RFC 4120 section 3.3.3.2): that of
// the ticket-granting one and who issued it, unless that is the client's realm.
func (r *Realm) cross(g, tgt *grant, q *request) *refusal {
	list, err := parseTransited(tgt.transited, tgt.client.Realm, tgt.server.Realm)
	if errors.Is(err, errTransitedType) {
		return refuse(krb.CodeTransitedNoSupport, err.Error())
	}
	if err != nil {
		return refuse(krb.CodeGeneric, "malformed list of transited realms")
	}
	if from := tgt.server.Realm; from != r.realm && from != tgt.client.Realm && !slices.Contains(list, from) {
		list = append(list, from)
	}
	// A service asks for a user by way of the user's realm.
	list = slices.DeleteFunc(list, func(realm string) bool { return realm == g.client.Realm })
	if q.Options&krb.OptionNoTransitCheck == 0 {
		if no := r.pathAllowed(list); no != nil {
			return no
		}
		g.flags |= krb.FlagTransitedOK
	}
	g.transited = marshalTransited(list)
	return nil
}

var errTransitedType = errors.New("transited realms are not of type DOMAIN-X500-COMPRESS")

// parseTransited reads a TransitedEncoding, nil for none, as the list of the
// realms between that of the client and that of the server.
func parseTransited(der []byte, client, server string) ([]string, error) {
	if der == nil {
		return nil, nil
	}
	t, err := krb.ParseTransited(der)
	if err != nil {
		return nil, err
	}
	if t.Type != krb.DomainX500Compress {
		return nil, errTransitedType
	}
	return transited.Expand(string(t.Contents), client, server)
}

// marshalTransited returns TransitedEncoding.
func marshalTransited(realms []string) []byte {
	return krb.TransitedEncoding{Type: krb.DomainX500Compress, Contents: []byte(transited.Compress(realms))}.Marshal()
}

// pathAllowed refuses what DenyTransit forbids.
func (r *Realm) pathAllowed(transited []string) *refusal {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, name := range transited {
		if slices.Contains(r.denied, name) {
			return refuse(krb.CodePolicy, "path leads through "+name)
		}
	}
	return nil
}

// DenyTransit makes the KDC refuse tickets whose path led through one of the
// realms, with KDC_ERR_POLICY, and web services refuse those that a KDC did not
// check. Calls add up; without names all is allowed again.
func (r *Realm) DenyTransit(realms ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(realms) == 0 {
		r.denied = nil
		return
	}
	r.denied = append(r.denied, realms...)
}
