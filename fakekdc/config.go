package fakekdc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Config returns a krb5.conf for clients of the realm: its KDC, no DNS, service
// names as given, the encryption types that principals have keys of, and the
// hosts that belong to it. The lines are added to [libdefaults], for example
// "udp_preference_limit = 1" to make clients use TCP. What is added to the realm
// later is not in the text.
func (r *Realm) Config(lines ...string) string {
	etypes, hosts := r.known()
	names := make([]string, len(etypes))
	for i, e := range etypes {
		names[i] = krb.EtypeName(e)
	}
	list := strings.Join(names, " ")
	var b strings.Builder
	b.WriteString("# TEST ONLY: a realm inside a test, gone when the test ends.\n")
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
	fmt.Fprintf(&b, "\n[realms]\n\t%s = {\n\t\tkdc = %s\n\t}\n", r.realm, r.addr)
	b.WriteString("\n[domain_realm]\n")
	for _, h := range hosts {
		fmt.Fprintf(&b, "\t%s = %s\n", h, r.realm)
	}
	return b.String()
}

// known returns the encryption types and hosts of the realm and its principals.
func (r *Realm) known() (etypes []int32, hosts []string) {
	etypes = slices.Clone(r.etypes)
	hosts = append([]string{"localhost"}, r.hosts...)
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, n := range r.names {
		p := r.principals[n]
		etypes = append(etypes, p.etypes...)
		if len(p.name.Components) == 2 && !p.name.IsTGS() {
			// MIT looks host names up in lower case.
			hosts = append(hosts, strings.ToLower(p.name.Components[1]))
		}
	}
	return unique(etypes), unique(hosts)
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
