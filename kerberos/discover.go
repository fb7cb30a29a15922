package kerberos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/dnslookup"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb5conf"
)

// A Resolver finds services in DNS (RFC 2782). [*net.Resolver] is one. It is safe
// for concurrent use. One that is a [URIResolver], a [TXTResolver] or an
// [AddressResolver] too is asked for those records as well. Nobody is asked for URI
// and TXT records in its place, and [net.DefaultResolver] for addresses.
type Resolver interface {
	// LookupSRV is that of [net.Resolver]: records by priority, and by weight
	// at random within one.
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)
}

// A URIResolver is a [Resolver] that can look up URI records too, which name
// KDCs with the way to speak to them ("krb5srv:m:tcp:kdc.example.com", or
// "krb5srv:m:kkdcp:https://proxy.example.com/KdcProxy" for MS-KKDCP) and come
// before SRV records, unless dns_uri_lookup is false. Without a Resolver the
// name servers of /etc/resolv.conf are asked for them.
type URIResolver interface {
	// LookupURI returns the URI records of a name, "_kerberos.EXAMPLE.COM.", in
	// any order. That there are none is no error, or a [net.DNSError] with
	// IsNotFound.
	LookupURI(ctx context.Context, name string) ([]URI, error)
}

// A TXTResolver is a [Resolver] that can look up TXT records, which name the realm of
// a host where krb5.conf sets dns_lookup_realm. [*net.Resolver] is one.
type TXTResolver interface {
	// LookupTXT is that of [net.Resolver].
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// An AddressResolver is a [Resolver] that can look up the addresses of KDCs.
// [*net.Resolver] is one. It is not asked where SourceOptions.Dial is set.
type AddressResolver interface {
	// LookupNetIP is that of [net.Resolver]; network is "ip".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// A URI is a record of that type (RFC 7553).
type URI struct {
	Priority uint16 // the lowest is tried first
	Weight   uint16 // how often to choose it among those of one priority
	Target   string
}

const (
	maxDiscovered = 256              // realms whose KDCs are kept
	keptUnknown   = time.Minute      // where the answer has no time to live
	keptLeast     = 30 * time.Second // even if the time to live is shorter
	keptMost      = time.Hour
	pauseURI      = 10 * time.Minute // for a name server that answers SRV queries and no URI queries
)

// A discovery finds the KDCs of realms, and caches what DNS says. It is safe for
// concurrent use.
type discovery struct {
	conf *krb5conf.Config
	dns  Resolver
	uri  func(ctx context.Context, name string) ([]URI, time.Duration, error) // nil if URI records are not used

	mu    sync.Mutex
	found map[wanted]discovered
}

// wanted says which KDCs of a realm to find: all, or the primary ones, which know of
// changes at once.
type wanted struct {
	realm   string
	primary bool
}

// service returns the service name of the SRV records.
func (w wanted) service() string {
	if w.primary {
		return "kerberos-master"
	}
	return "kerberos"
}

type discovered struct {
	kdcs  []kdcclient.KDC
	until time.Time
	noURI time.Time // until when no URI records are asked for
}

func newDiscovery(dns Resolver, conf *krb5conf.Config) *discovery {
	d := &discovery{conf: conf, dns: dns, found: make(map[wanted]discovered)}
	switch r := dns.(type) {
	case nil:
		d.dns = net.DefaultResolver
		d.uri = lookupURI(new(dnslookup.Resolver))
	case URIResolver:
		d.uri = func(ctx context.Context, name string) ([]URI, time.Duration, error) {
			records, err := r.LookupURI(ctx, name)
			return records, keptUnknown, err
		}
	}
	if !conf.DNSURILookup {
		d.uri = nil
	}
	return d
}

// lookupURI asks the system's name servers.
func lookupURI(r *dnslookup.Resolver) func(context.Context, string) ([]URI, time.Duration, error) {
	return func(ctx context.Context, name string) ([]URI, time.Duration, error) {
		records, ttl, err := r.URI(ctx, name)
		out := make([]URI, len(records))
		for i, u := range records {
			out[i] = URI(u)
		}
		return out, ttl, err
	}
}

// locate returns the KDCs that krb5.conf names, in its order, or if it names none, those
// in DNS (RFC 4120 section 7.2.3).
func (d *discovery) locate(ctx context.Context, realm string) ([]kdcclient.KDC, error) {
	var err error
	kdcs := kdcsOf(d.conf.KDCs(realm))
	if len(kdcs) == 0 && d.conf.DNSLookupKDC {
		kdcs, err = d.inDNS(ctx, wanted{realm, false})
	}
	if err == nil && len(kdcs) == 0 {
		err = notRead(d.conf)
	}
	return kdcs, err
}

// notRead tells of files of krb5.conf that were not read, and may have what is missed. It
// is nil if there is none.
func notRead(conf *krb5conf.Config) error {
	missed := conf.Profile.Missed()
	switch {
	case missed == "":
		return nil
	case len(conf.Profile.Files()) > 0:
		return errors.New("krb5.conf was not read whole: " + missed)
	}
	return errors.New("krb5.conf was not read: " + missed)
}

// locatePrimary returns the KDCs that krb5.conf names as primary_kdc or master_kdc, or if
// it names none, those in DNS: URI records with the flag m, or SRV records of
// _kerberos-master.
func (d *discovery) locatePrimary(ctx context.Context, realm string) ([]kdcclient.KDC, error) {
	servers := d.conf.PrimaryKDCs(realm)
	if len(servers) > 0 || !d.conf.DNSLookupKDC {
		return kdcsOf(servers), nil
	}
	what := wanted{realm, true}
	kdcs, err := d.inDNS(ctx, what)
	if err != nil && !errors.Is(err, context.Canceled) {
		// The primary KDC is asked a second time after a refusal, and mostly refuses as
		// well, so not every refusal is worth a wait for DNS.
		now := time.Now()
		d.keep(what, discovered{until: now.Add(keptUnknown)}, now)
	}
	return kdcs, err
}

// locateKpasswd returns where passwords of a realm are changed: as krb5.conf names it
// (kpasswd_server, admin_server), or if it does not, SRV records of _kpasswd.
func (d *discovery) locateKpasswd(ctx context.Context, realm string) ([]kdcclient.KDC, error) {
	servers := d.conf.KpasswdServers(realm)
	if len(servers) > 0 || !d.conf.DNSLookupKDC {
		return kdcsOf(servers), nil
	}
	found, err := kdcsInSRV(ctx, d.dns, "kpasswd", strings.TrimSuffix(realm, ".")+".")
	if err != nil {
		return nil, fmt.Errorf("look up _kpasswd of %s in DNS: %w", realm, err)
	}
	return found, nil
}

func kdcsOf(servers []krb5conf.Server) []kdcclient.KDC {
	out := make([]kdcclient.KDC, len(servers))
	for i, s := range servers {
		out[i] = kdcOf(s)
	}
	return out
}

func kdcOf(s krb5conf.Server) kdcclient.KDC {
	return kdcclient.KDC{Host: s.Host, Port: s.Port, Network: s.Proto, URL: s.URL}
}

// inDNS asks for URI records, and if they name no KDC, for SRV records.
func (d *discovery) inDNS(ctx context.Context, what wanted) ([]kdcclient.KDC, error) {
	realm := what.realm
	now := time.Now() // not SourceOptions.Now, which a test may stop
	d.mu.Lock()
	known := d.found[what]
	d.mu.Unlock()
	if now.Before(known.until) {
		return known.kdcs, nil
	}
	fresh := discovered{noURI: known.noURI}
	// The final dot keeps the resolver from adding search domains.
	whole := strings.TrimSuffix(realm, ".") + "."
	var failed error
	said := false // whether URI records named KDCs
	if d.uri != nil && !now.Before(known.noURI) {
		records, ttl, err := d.uri(ctx, "_kerberos."+whole)
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		if failed = lookupFailure(err); failed == nil {
			fresh.kdcs = kdcsInURI(records, what.primary)
			said = len(fresh.kdcs) > 0 || what.primary && len(kdcsInURI(records, false)) > 0
			fresh.until = now.Add(min(max(ttl, keptLeast), keptMost))
		}
	}
	if !said {
		var err error
		if fresh.kdcs, err = kdcsInSRV(ctx, d.dns, what.service(), whole); err != nil {
			return nil, fmt.Errorf("look up _%[1]s._udp.%[2]s and _%[1]s._tcp.%[2]s in DNS: %[3]w", what.service(), realm, err)
		}
		fresh.until = now.Add(keptUnknown)
		if failed != nil {
			fresh.noURI = now.Add(pauseURI)
		}
	}
	if len(fresh.kdcs) > 0 || what.primary && failed == nil {
		d.keep(what, fresh, now) // an empty answer is cached as well
		return fresh.kdcs, nil
	}
	if failed != nil {
		return nil, fmt.Errorf("look up _kerberos.%s in DNS: %w", realm, failed)
	}
	return nil, nil
}

// lookupFailure returns err, or nil if err only says that there are no such records.
func lookupFailure(err error) error {
	var missing *net.DNSError
	if errors.As(err, &missing) && missing.IsNotFound {
		return nil
	}
	return err
}

// keep caches what was found. Entries that have expired make room first.
func (d *discovery) keep(key wanted, what discovered, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.found[key]; !ok {
		makeRoom(d.found, maxDiscovered, func(old discovered) bool { return !now.Before(old.until) })
	}
	d.found[key] = what
}

// kdcsInSRV looks up the SRV records of a service, such as kerberos, for UDP and TCP. A
// server in both lists speaks both, and stands where the first list has it. It fails if
// it found none because DNS did not answer.
func kdcsInSRV(ctx context.Context, dns Resolver, service, name string) (out []kdcclient.KDC, err error) {
	var failed error
	for _, proto := range []string{"udp", "tcp"} {
		_, records, err := dns.LookupSRV(ctx, service, proto, name)
		if err = lookupFailure(err); err != nil {
			failed = err
			continue
		}
		for _, r := range records {
			host := strings.TrimSuffix(r.Target, ".")
			if host == "" || r.Port == 0 {
				continue // "." says that there is no such service
			}
			same := func(k kdcclient.KDC) bool {
				return strings.EqualFold(k.Host, host) && k.Port == int(r.Port) && k.Network != proto
			}
			if i := slices.IndexFunc(out, same); i >= 0 {
				out[i].Network = ""
				continue
			}
			out = append(out, kdcclient.KDC{Host: host, Port: int(r.Port), Network: proto})
		}
	}
	if len(out) == 0 {
		return nil, failed
	}
	return out, nil
}

// kdcsInURI returns the KDCs in URI records, or the primary ones alone, in the order in
// which to try them.
func kdcsInURI(records []URI, primary bool) (out []kdcclient.KDC) {
	for _, u := range order(records, rand.IntN) {
		if k, first, ok := parseTarget(u.Target); ok && (first || !primary) {
			out = append(out, k)
		}
	}
	return out
}

// maxTarget is the longest URI that is parsed, in bytes.
const maxTarget = 2048

// parseTarget parses krb5srv:flags:transport:residual, where the transport is udp, tcp or
// kkdcp, and the residual host[:port] or the URL of a proxy. The flag m marks a primary
// KDC. Other flags are ignored.
func parseTarget(target string) (k kdcclient.KDC, primary, ok bool) {
	if len(target) > maxTarget || strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return k, false, false
	}
	parts := strings.SplitN(target, ":", 4)
	if len(parts) < 4 || !strings.EqualFold(parts[0], "krb5srv") {
		return k, false, false
	}
	network, residual := strings.ToLower(parts[2]), parts[3]
	want := ""
	switch network {
	case "udp", "tcp":
	case "kkdcp":
		want, network = "https", "https"
		if !strings.Contains(residual, "://") {
			residual = "https://" + residual
		}
	default:
		return k, false, false
	}
	s, err := krb5conf.ParseServer(residual, krb5conf.PortKDC)
	if s.Host = strings.TrimSuffix(s.Host, "."); err != nil || s.Proto != want || s.Host == "" {
		return k, false, false
	}
	s.Proto = network
	return kdcOf(s), strings.ContainsAny(parts[1], "mM"), true
}

// order sorts records by priority, and those of one priority at random, so that
// each comes first as often as its weight says (RFC 2782, to which RFC 7553
// points); those of weight 0 come last. intn(n) returns 0 to n-1.
func order(records []URI, intn func(n int) int) []URI {
	out := slices.Clone(records)
	slices.SortStableFunc(out, func(a, b URI) int { return cmp.Compare(a.Priority, b.Priority) })
	for start := 0; start < len(out); {
		end, total := start, 0
		for ; end < len(out) && out[end].Priority == out[start].Priority; end++ {
			total += int(out[end].Weight)
		}
		for ; total > 0; start++ {
			mark, i := intn(total), start
			for mark >= int(out[i].Weight) {
				mark -= int(out[i].Weight)
				i++
			}
			chosen := out[i]
			copy(out[start+1:i+1], out[start:i])
			out[start] = chosen
			total -= int(chosen.Weight)
		}
		start = end
	}
	return out
}

const (
	maxHostName = 1024 // bytes, as in MIT krb5
	maxLabels   = 16   // labels of a host's name that are looked up
)

// fallbackRealm returns the realm to try for a host that krb5.conf maps to none and that
// the client's KDC does not know, as MIT krb5's krb5_get_fallback_host_realm does: what
// DNS says (dns_lookup_realm), else the first suffix of the name that is a realm
// (realm_try_domains), else the domain of the host in capitals, else the default realm.
// It is "" if there is no default_realm. DNS and the network are not trusted: an attacker
// there can only choose among realms that the client's KDC refers to.
func (s *Source) fallbackRealm(ctx context.Context, host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || host == "" || len(host) > maxHostName {
		return s.conf.DefaultRealm
	}
	if s.conf.DNSLookupRealm {
		if realm := s.realmInDNS(ctx, host); realm != "" {
			return realm
		}
	}
	upper := strings.ToUpper(host)
	suffix := upper
	for range min(s.conf.RealmTryDomains, maxLabels) + 1 {
		_, parent, ok := strings.Cut(suffix, ".")
		if !ok || ctx.Err() != nil {
			break
		}
		if kdcs, err := s.kdc.Locate(ctx, suffix); err == nil && len(kdcs) > 0 {
			return suffix
		}
		suffix = parent
	}
	if _, domain, ok := strings.Cut(upper, "."); ok && domain != "" {
		return domain
	}
	return s.conf.DefaultRealm
}

// realmInDNS returns the TXT record _kerberos of a host, or of its nearest parent domain
// that has one.
func (s *Source) realmInDNS(ctx context.Context, host string) string {
	r, ok := s.o.Resolver.(TXTResolver)
	switch {
	case s.o.Resolver == nil:
		r = net.DefaultResolver
	case !ok:
		return ""
	}
	for range maxLabels {
		texts, err := r.LookupTXT(ctx, "_kerberos."+host+".")
		if lookupFailure(err) != nil {
			return "" // the same name servers would be asked for its parents
		}
		if err == nil && len(texts) > 0 {
			if realm := strings.TrimSuffix(texts[0], "."); plausibleRealm(realm) {
				return realm
			}
		}
		if _, host, ok = strings.Cut(host, "."); !ok || host == "" {
			break
		}
	}
	return ""
}

// plausibleRealm reports whether a realm may have that name (RFC 4120 section 6.1).
func plausibleRealm(realm string) bool {
	return realm != "" && len(realm) <= 255 && !strings.ContainsFunc(realm, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune("/:@", r)
	})
}
