package krb5conf

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Canonicalize says whether a host's name is looked up in DNS before it goes
// into a principal.
type Canonicalize uint8

const (
	CanonicalizeAlways   Canonicalize = iota // dns_canonicalize_hostname = true
	CanonicalizeNever                        // false
	CanonicalizeFallback                     // the name as given first, then the one that DNS says
)

// String returns the value as krb5.conf spells it.
func (c Canonicalize) String() string {
	switch c {
	case CanonicalizeAlways:
		return "true"
	case CanonicalizeNever:
		return "false"
	case CanonicalizeFallback:
		return "fallback"
	}
	return "canonicalize " + strconv.Itoa(int(c))
}

// A Config is the settings of a client. New, Empty and Load make one; the zero
// value is not useful. Fields may be changed before first use; from then on it
// is safe for concurrent use.
//
// Each field is the relation of that name in [libdefaults], and [Config.Source]
// says which file gave it.
type Config struct {
	// Profile is what the settings were read from, for what has no field. It
	// may be nil.
	Profile *Profile

	DefaultRealm string // "" when none is set

	DNSLookupKDC    bool // default true
	DNSLookupRealm  bool
	DNSURILookup    bool // default true
	RealmTryDomains int  // labels to take off a host's name in search of a realm; default -1: none

	CanonicalizeHostname Canonicalize // dns_canonicalize_hostname
	RDNS                 bool         // default true
	QualifyShortname     string       // domain for a name without a dot; Source tells "" from unset

	Forwardable    bool
	Proxiable      bool
	Canonicalize   bool          // ask the KDC for the principal's true name
	NoAddresses    bool          // default true: tickets hold no addresses
	TicketLifetime time.Duration // default 24h
	RenewLifetime  time.Duration // 0: not renewable

	ClockSkew          time.Duration // default 5m
	KDCTimesync        bool          // default true: follow the KDC's clock
	UDPPreferenceLimit int           // bytes: longer requests go to TCP first; default 1465, at most 32700
	RequestTimeout     time.Duration // for one exchange with a realm's KDCs; 0: none

	// SPAKEGroups are the names in spake_preauth_groups, not all of which may be
	// known; nil when none is set.
	SPAKEGroups []string

	AllowWeakCrypto bool
	AllowRC4        bool // arcfour-hmac may be used; also set by AllowWeakCrypto
	AllowDES3       bool

	// Encryption types that this module supports, the preferred first: 17 to
	// 20, and 23 where AllowRC4 is set. A list that names none of them is empty.
	PermittedEnctypes  []int32
	DefaultTktEnctypes []int32 // for the AS exchange; default PermittedEnctypes
	DefaultTGSEnctypes []int32 // for session keys in the TGS exchange; default PermittedEnctypes

	// Names as MIT spells them, tokens expanded.
	DefaultCCacheName       string // default FILE:/tmp/krb5cc_<uid>; "" on Windows
	DefaultKeytabName       string // default FILE:/etc/krb5.keytab; FILE:%{WINDOWS}\krb5kt on Windows
	DefaultClientKeytabName string // "" when none is set: see ClientKeytabs
	KCMSocket               string // path; "" when switched off with "-", and by default on Windows

	EnforceOKAsDelegate        bool
	ClientAwareChannelBindings bool

	// Warnings is what was passed over, in reading and in understanding.
	Warnings []Warning

	sources map[string]Value
	realms  map[string]*realm
	domains map[string]string

	clientKeytabs []string // where there is one by default
}

// Load reads the files (see LoadProfile) and returns the settings.
func Load(paths []string, o Options) (*Config, error) {
	p, err := LoadProfile(paths, o.Open)
	if err != nil {
		return nil, err
	}
	return New(p, o), nil
}

const udpLimit = 32700

// New returns the settings in a profile, which may be nil.
func New(p *Profile, o Options) *Config {
	c := &Config{
		Profile:            p,
		DNSLookupKDC:       true,
		DNSURILookup:       true,
		RealmTryDomains:    -1,
		RDNS:               true,
		NoAddresses:        true,
		TicketLifetime:     24 * time.Hour,
		ClockSkew:          5 * time.Minute,
		KDCTimesync:        true,
		UDPPreferenceLimit: 1465,
		Warnings:           p.Warnings(),
		sources:            make(map[string]Value),
	}
	o.names(c)
	l := loader{c, []string{"libdefaults", ""}}

	l.text("default_realm", &c.DefaultRealm)
	l.boolean("dns_lookup_kdc", &c.DNSLookupKDC, loose, "dns_fallback")
	l.boolean("dns_lookup_realm", &c.DNSLookupRealm, loose, "dns_fallback")
	l.boolean("dns_uri_lookup", &c.DNSURILookup, loose)
	l.integer("realm_try_domains", &c.RealmTryDomains)
	l.canonicalize("dns_canonicalize_hostname", &c.CanonicalizeHostname)
	l.boolean("rdns", &c.RDNS, strict)
	l.text("qualify_shortname", &c.QualifyShortname)

	l.tickets()

	l.duration("clockskew", &c.ClockSkew)
	l.number("kdc_timesync", &c.KDCTimesync)
	l.integer("udp_preference_limit", &c.UDPPreferenceLimit)
	if c.UDPPreferenceLimit < 0 {
		c.UDPPreferenceLimit = 1465
	}
	c.UDPPreferenceLimit = min(c.UDPPreferenceLimit, udpLimit)
	l.duration("request_timeout", &c.RequestTimeout)
	var groups string
	l.text("spake_preauth_groups", &groups)
	c.SPAKEGroups = strings.FieldsFunc(groups, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	if groups == "" {
		c.SPAKEGroups = nil
	}

	l.boolean("allow_weak_crypto", &c.AllowWeakCrypto, strict)
	l.boolean("allow_rc4", &c.AllowRC4, strict)
	l.boolean("allow_des3", &c.AllowDES3, strict)
	c.AllowRC4 = c.AllowRC4 || c.AllowWeakCrypto || o.AllowRC4
	c.AllowDES3 = c.AllowDES3 || c.AllowWeakCrypto
	permitted, _, _ := enctypeList("DEFAULT", l.gate())
	c.PermittedEnctypes = usable(permitted)
	l.enctypes("permitted_enctypes", &c.PermittedEnctypes)
	c.DefaultTktEnctypes = slices.Clone(c.PermittedEnctypes)
	c.DefaultTGSEnctypes = slices.Clone(c.PermittedEnctypes)
	for _, key := range []string{"default_tkt_enctypes", "default_tgs_enctypes"} {
		if v, ok := c.sources["permitted_enctypes"]; ok {
			c.sources[key] = v
		}
	}
	l.enctypes("default_tkt_enctypes", &c.DefaultTktEnctypes)
	l.enctypes("default_tgs_enctypes", &c.DefaultTGSEnctypes)

	l.expand("default_ccache_name", &c.DefaultCCacheName, o)
	l.expand("default_keytab_name", &c.DefaultKeytabName, o)
	l.expand("default_client_keytab_name", &c.DefaultClientKeytabName, o)
	l.text("kcm_socket", &c.KCMSocket)
	if c.KCMSocket == "-" {
		c.KCMSocket = ""
	}
	l.boolean("enforce_ok_as_delegate", &c.EnforceOKAsDelegate, strict)
	l.boolean("client_aware_channel_bindings", &c.ClientAwareChannelBindings, strict)

	c.loadRealms()
	return c
}

// For returns the settings for clients of a realm: c itself, or a copy with
// what the section of that name in [libdefaults] says about tickets
// (forwardable, proxiable, canonicalize, noaddresses, ticket_lifetime,
// renew_lifetime).
func (c *Config) For(realm string) *Config {
	if !c.Profile.HasSection("libdefaults", realm) {
		return c
	}
	d := *c
	d.sources = maps.Clone(c.sources)
	d.Warnings = slices.Clone(c.Warnings)
	l := loader{&d, []string{"libdefaults", realm, ""}}
	l.tickets()
	return &d
}

// Source returns the value that a relation of [libdefaults] has its effect
// from, as it is written. It is the zero Value, whose Where says so, where the
// built-in default stands: because there is no value or none that could be
// understood.
func (c *Config) Source(key string) Value { return c.sources[key] }

// ClientKeytabs returns the names of the keytabs that may hold the user's own
// keys: DefaultClientKeytabName, or where builds of MIT krb5 look for one.
func (c *Config) ClientKeytabs() []string {
	if c.DefaultClientKeytabName != "" {
		return []string{c.DefaultClientKeytabName}
	}
	return slices.Clone(c.clientKeytabs)
}

// warnf warns of a value of a relation or realm.
func (c *Config) warnf(about string, v Value, format string, args ...any) {
	n := len(c.Warnings)
	c.Warnings = addWarning(c.Warnings, v.File, v.Line, format, args...)
	if len(c.Warnings) > n {
		c.Warnings[n].About = about
	}
}

// Concerns returns the first warnings, three at most, about any of some relations
// and realms.
func (c *Config) Concerns(about ...string) []Warning {
	var out []Warning
	for _, w := range c.Warnings {
		if w.About != "" && len(out) < 3 && slices.Contains(about, w.About) {
			out = append(out, w)
		}
	}
	return out
}

// A loader copies relations of one section into fields. A relation that is
// missing or cannot be understood leaves its field alone.
type loader struct {
	c    *Config
	path []string // of the section, with room for the relation's name
}

func (l loader) value(key string) (Value, bool) {
	l.path[len(l.path)-1] = key
	return l.c.Profile.Value(l.path...)
}

// took notes where a setting came from.
func (l loader) took(key string, v Value) { l.c.sources[key] = v }

func (l loader) refused(key string, v Value, wanted string) {
	l.c.warnf(key, v, "%s = %s: %s; the default stands", key, clip(v.Text), wanted)
}

func (l loader) tickets() {
	l.boolean("forwardable", &l.c.Forwardable, loose)
	l.boolean("proxiable", &l.c.Proxiable, loose)
	l.boolean("canonicalize", &l.c.Canonicalize, loose)
	l.boolean("noaddresses", &l.c.NoAddresses, loose)
	l.duration("ticket_lifetime", &l.c.TicketLifetime)
	l.duration("renew_lifetime", &l.c.RenewLifetime)
}

func (l loader) text(key string, to *string) {
	if v, ok := l.value(key); ok {
		*to = v.Text
		l.took(key, v)
	}
}

// How MIT krb5 treats a boolean that is no word for either: as false, or as a
// mistake.
const (
	loose  = false
	strict = true
)

const wantedBool = "wanted true or false"

// boolean also looks under the names that the relation had in the past.
func (l loader) boolean(key string, to *bool, strictly bool, once ...string) {
	v, ok := l.value(key)
	for i := 0; !ok && i < len(once); i++ {
		v, ok = l.value(once[i])
	}
	if !ok {
		return
	}
	b, ok := ParseBool(v.Text)
	switch {
	case !ok && strictly:
		l.refused(key, v, wantedBool)
		return
	case !ok:
		l.c.warnf(key, v, "%s = %s: %s; taken for false", key, clip(v.Text), wantedBool)
	}
	*to = b
	l.took(key, v)
}

// number reads a boolean that MIT krb5 wants written as a number.
func (l loader) number(key string, to *bool) {
	v, ok := l.value(key)
	if !ok {
		return
	}
	n, err := strconv.Atoi(v.Text)
	b := n != 0
	if err != nil {
		if b, ok = ParseBool(v.Text); !ok {
			l.refused(key, v, "wanted 0 or 1")
			return
		}
	}
	*to = b
	l.took(key, v)
}

func (l loader) integer(key string, to *int) {
	v, ok := l.value(key)
	if !ok {
		return
	}
	n, err := strconv.ParseInt(v.Text, 10, 32)
	if err != nil {
		l.refused(key, v, "wanted a number")
		return
	}
	*to = int(n)
	l.took(key, v)
}

func (l loader) duration(key string, to *time.Duration) {
	v, ok := l.value(key)
	if !ok {
		return
	}
	d, rest, err := ParseDuration(v.Text)
	switch {
	case err != nil:
		l.refused(key, v, err.Error())
		return
	case d < 0:
		l.refused(key, v, "wanted a duration that is not negative")
		return
	case rest != "":
		l.c.warnf(key, v, "%s = %s: %s is not read, which leaves %v", key, clip(v.Text), clip(rest), d)
	}
	*to = d
	l.took(key, v)
}

func (l loader) canonicalize(key string, to *Canonicalize) {
	v, ok := l.value(key)
	if !ok {
		return
	}
	b, ok := ParseBool(v.Text)
	switch {
	case strings.EqualFold(v.Text, "fallback"):
		*to = CanonicalizeFallback
	case !ok:
		l.refused(key, v, "wanted true, false or fallback")
		return
	case b:
		*to = CanonicalizeAlways
	default:
		*to = CanonicalizeNever
	}
	l.took(key, v)
}

func (l loader) expand(key string, to *string, o Options) {
	v, ok := l.value(key)
	if !ok {
		return
	}
	text, err := o.Expand(v.Text)
	switch {
	case err != nil:
		l.refused(key, v, err.Error())
		return
	case text == "":
		l.refused(key, v, "wanted a name")
		return
	}
	*to = text
	l.took(key, v)
}

func (l loader) gate() gate {
	return gate{weak: l.c.AllowWeakCrypto, rc4: l.c.AllowRC4, des3: l.c.AllowDES3}
}

func (l loader) enctypes(key string, to *[]int32) {
	v, ok := l.value(key)
	if !ok {
		return
	}
	list, unknown, held := enctypeList(v.Text, l.gate())
	for _, name := range unknown {
		l.c.warnf(key, v, "%s: no encryption type is called %s", key, clip(name))
	}
	for _, name := range held {
		l.c.warnf(key, v, "%s: %s is left out: it is weak, and wants allow_rc4, allow_des3 or allow_weak_crypto = true", key, name)
	}
	if list = usable(list); len(list) == 0 {
		l.c.warnf(key, v, "%s = %s names no encryption type that can be used", key, clip(v.Text))
	}
	*to = list
	l.took(key, v)
}
