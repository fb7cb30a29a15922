package fakekdc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Config returns a krb5.conf for clients of the realm: its KDCs, no DNS, service
// names as given, the encryption types that principals have keys of, and the
// hosts that belong to it. The lines are added to [libdefaults], for example
// "udp_preference_limit = 1" to make clients use TCP. What is added to the realm
// later is not in the text.
//
// The KDCs of all realms that [Realm.Trust] connects with this one are there
// too, but not the hosts of these realms: clients are referred to them by the
// KDC. So localhost is not there if such a realm has services on it, and this
// one has none. [Realm.ConfigWithCapaths] has all hosts.
func (r *Realm) Config(lines ...string) string {
	return r.config(false, listKDCs, lines)
}

// ConfigWithCapaths is [Realm.Config] for clients that are to find their way
// without the KDC: [domain_realm] has the hosts of all realms too, [capaths] the
// realms on the way from each to each.
func (r *Realm) ConfigWithCapaths(lines ...string) string {
	return r.config(true, listKDCs, lines)
}

// firstLine is that of every krb5.conf, by which [Realm.WriteFiles] knows its own.
const firstLine = "# TEST ONLY: a realm inside a test, gone when the test ends."

func listKDCs(b *strings.Builder, r *Realm) {
	for _, k := range r.KDCs() {
		fmt.Fprintf(b, "\t\tkdc = %s\n", k.addr)
	}
	if r.changes != nil {
		fmt.Fprintf(b, "\t\tkpasswd_server = %s\n", r.changes.addr)
	}
}

// config writes the text; kdcs writes the lines of one realm.
func (r *Realm) config(paths bool, kdcs func(*strings.Builder, *Realm), lines []string) string {
	realms := r.acquainted()
	var etypes []int32
	for _, p := range realms {
		e, _ := p.known()
		etypes = append(etypes, e...)
	}
	etypes = unique(etypes)
	names := make([]string, len(etypes))
	for i, e := range etypes {
		names[i] = krb.EtypeName(e)
	}
	list := strings.Join(names, " ")
	var b strings.Builder
	b.WriteString(firstLine + "\n")
	fmt.Fprintf(&b, "[libdefaults]\n\tdefault_realm = %s\n", r.realm)
	b.WriteString("\tdns_lookup_kdc = false\n\tdns_lookup_realm = false\n\tdns_canonicalize_hostname = false\n\trdns = false\n")
	// permitted_enctypes is the default of the other two, though not everywhere.
	fmt.Fprintf(&b, "\tpermitted_enctypes = %s\n\tdefault_tgs_enctypes = %s\n\tdefault_tkt_enctypes = %s\n", list, list, list)
	if slices.Contains(etypes, krb.RC4HMAC) {
		b.WriteString("\tallow_weak_crypto = true\n\tallow_rc4 = true\n")
	}
	for _, l := range lines {
		fmt.Fprintf(&b, "\t%s\n", l)
	}
	b.WriteString("\n[realms]\n")
	for _, p := range realms {
		fmt.Fprintf(&b, "\t%s = {\n", p.realm)
		kdcs(&b, p)
		b.WriteString("\t}\n")
	}
	b.WriteString("\n[domain_realm]\n")
	hosts := hostsOf(realms)
	for _, h := range hosts {
		fmt.Fprintf(&b, "\t%s = %s\n", h, r.realm)
	}
	if !paths {
		return b.String()
	}
	for _, p := range realms[1:] {
		_, more := p.known()
		for _, h := range unique(more) {
			if !slices.Contains(hosts, h) {
				fmt.Fprintf(&b, "\t%s = %s\n", h, p.realm)
				hosts = append(hosts, h)
			}
		}
	}
	b.WriteString("\n[capaths]\n")
	for _, p := range realms {
		writePaths(&b, p, realms)
	}
	return b.String()
}

// writePaths writes the part of [capaths] for clients of one realm.
func writePaths(b *strings.Builder, from *Realm, realms []*Realm) {
	fmt.Fprintf(b, "\t%s = {\n", from.realm)
	for _, to := range realms {
		path, found := from.path(to)
		switch {
		case to == from || !found:
		case len(path) == 0:
			fmt.Fprintf(b, "\t\t%s = .\n", to.realm)
		default:
			for _, p := range path {
				fmt.Fprintf(b, "\t\t%s = %s\n", to.realm, p.realm)
			}
		}
	}
	b.WriteString("\t}\n")
}

// hostsOf returns the hosts of the first of the realms.
func hostsOf(realms []*Realm) []string {
	has := func(r *Realm) bool {
		_, hosts := r.known()
		return slices.Contains(hosts, "localhost")
	}
	_, hosts := realms[0].known()
	if has(realms[0]) || !slices.ContainsFunc(realms, has) {
		hosts = append([]string{"localhost"}, hosts...)
	}
	return unique(hosts)
}

// known returns the encryption types and hosts of the realm and its principals.
func (r *Realm) known() (etypes []int32, hosts []string) {
	etypes = slices.Clone(r.etypes)
	hosts = slices.Clone(r.hosts)
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, n := range r.names {
		p := r.principals[n]
		etypes = append(etypes, p.etypes...)
		if len(p.name.Components) == 2 && !p.internal() && configurable(p.name.Components[1]) {
			// MIT looks host names up in lower case.
			hosts = append(hosts, strings.ToLower(p.name.Components[1]))
		}
	}
	return etypes, hosts
}

func unique[T comparable](list []T) []T {
	var out []T
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
