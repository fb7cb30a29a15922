package krb5conf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDefaults(t *testing.T) {
	got := New(nil, machine(tree(nil)))
	want := &Config{
		DNSLookupKDC: true, DNSURILookup: true, RealmTryDomains: -1, RDNS: true, NoAddresses: true,
		TicketLifetime: 24 * time.Hour, ClockSkew: 300 * time.Second, KDCTimesync: true, UDPPreferenceLimit: 1465,
		PermittedEnctypes: []int32{18, 17, 20, 19}, DefaultTktEnctypes: []int32{18, 17, 20, 19}, DefaultTGSEnctypes: []int32{18, 17, 20, 19},
		DefaultCCacheName: "FILE:/tmp/krb5cc_1000", DefaultKeytabName: "FILE:/etc/krb5.keytab",
		KCMSocket: "/var/run/.heim_org.h5l.kcm-socket",
	}
	if d := cmp.Diff(want, got, exported()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if got.HasRealm("R") || got.KDCs("R") != nil || got.PrimaryKDCs("R") != nil || got.AdminServers("R") != nil || len(got.Realms()) != 0 {
		t.Error("a realm out of nothing")
	}
	if New(nil, Options{}).ClockSkew != want.ClockSkew {
		t.Error("Empty is not New")
	}
	keytabs := []string{
		"FILE:/var/kerberos/krb5/user/1001/client.keytab",
		"FILE:/etc/krb5/user/1001/client.keytab",
		"FILE:/usr/local/var/krb5/user/1001/client.keytab",
	}
	if d := cmp.Diff(keytabs, got.ClientKeytabs()); d != "" {
		t.Errorf("client keytabs: -want +got:\n%s", d)
	}
}

// exported compares the exported fields of a Config, less its profile.
func exported() cmp.Option {
	return cmp.FilterPath(func(p cmp.Path) bool {
		f, ok := p.Last().(cmp.StructField)
		return ok && (f.Name() == "Profile" || strings.ToLower(f.Name()[:1]) == f.Name()[:1])
	}, cmp.Ignore())
}

// TestSettings reads one or a few lines of [libdefaults] at a time, and says
// what they change in the defaults and what is warned of.
func TestSettings(t *testing.T) {
	aes := []int32{18, 17, 20, 19}
	aesRC4 := []int32{18, 17, 20, 19, 23}
	all := func(c *Config, permitted, tkt, tgs []int32) {
		c.PermittedEnctypes, c.DefaultTktEnctypes, c.DefaultTGSEnctypes = permitted, tkt, tgs
	}
	for name, tc := range map[string]struct {
		lines  []string
		change func(*Config)
		warned string // part of the warnings; "" for none
	}{
		"realm":               {[]string{"default_realm = EXAMPLE.ORG"}, func(c *Config) { c.DefaultRealm = "EXAMPLE.ORG" }, ""},
		"first value":         {[]string{"default_realm = A", "default_realm = B"}, func(c *Config) { c.DefaultRealm = "A" }, ""},
		"case of names":       {[]string{"Default_Realm = A"}, nil, ""},
		"on":                  {[]string{"forwardable = on", "rdns = off"}, func(c *Config) { c.Forwardable, c.RDNS = true, false }, ""},
		"quoted":              {[]string{`forwardable = "yes" # x`}, func(c *Config) { c.Forwardable = true }, ""},
		"comment in value":    {[]string{"forwardable = true # x"}, nil, `krb5.conf:2: forwardable = "true # x": wanted true or false; taken for false`},
		"T and Y":             {[]string{"forwardable = T", "proxiable = Y", "canonicalize = 1", "noaddresses = nil"}, func(c *Config) { c.Forwardable, c.Proxiable, c.Canonicalize, c.NoAddresses = true, true, true, false }, ""},
		"dns":                 {[]string{"dns_lookup_kdc = n", "dns_lookup_realm = TRUE", "dns_uri_lookup = 0"}, func(c *Config) { c.DNSLookupKDC, c.DNSLookupRealm, c.DNSURILookup = false, true, false }, ""},
		"dns_fallback":        {[]string{"dns_fallback = yes"}, func(c *Config) { c.DNSLookupRealm = true }, ""},
		"dns_fallback, over":  {[]string{"dns_fallback = no", "dns_lookup_kdc = yes"}, nil, ""},
		"loose junk":          {[]string{"dns_lookup_kdc = perhaps"}, func(c *Config) { c.DNSLookupKDC = false }, "taken for false"},
		"strict junk":         {[]string{"enforce_ok_as_delegate = perhaps", "rdns = perhaps"}, nil, "krb5.conf:3: rdns = \"perhaps\": wanted true or false; the default stands"},
		"hostname false":      {[]string{"dns_canonicalize_hostname = false"}, func(c *Config) { c.CanonicalizeHostname = CanonicalizeNever }, ""},
		"hostname true":       {[]string{"dns_canonicalize_hostname = TRUE"}, nil, ""},
		"hostname fallback":   {[]string{"dns_canonicalize_hostname = FallBack"}, func(c *Config) { c.CanonicalizeHostname = CanonicalizeFallback }, ""},
		"hostname junk":       {[]string{"dns_canonicalize_hostname = sometimes"}, nil, "wanted true, false or fallback; the default stands"},
		"qualify":             {[]string{"qualify_shortname = example.org"}, func(c *Config) { c.QualifyShortname = "example.org" }, ""},
		"try domains":         {[]string{"realm_try_domains = 1"}, func(c *Config) { c.RealmTryDomains = 1 }, ""},
		"try domains, junk":   {[]string{"realm_try_domains = one"}, nil, "wanted a number; the default stands"},
		"lifetimes":           {[]string{"ticket_lifetime = 10h", "renew_lifetime = 7d 0h 0m 0s"}, func(c *Config) { c.TicketLifetime, c.RenewLifetime = 10*time.Hour, 168*time.Hour }, ""},
		"lifetimes, clock":    {[]string{"ticket_lifetime = 10:30", "renew_lifetime = 36000"}, func(c *Config) { c.TicketLifetime, c.RenewLifetime = 630*time.Minute, 10*time.Hour }, ""},
		"lifetimes, unit":     {[]string{"ticket_lifetime = 10D"}, func(c *Config) { c.TicketLifetime = 10 * time.Second }, `ticket_lifetime = "10D": "D" is not read, which leaves 10s`},
		"lifetimes, negative": {[]string{"ticket_lifetime = -1d"}, nil, "wanted a duration that is not negative; the default stands"},
		"lifetimes, junk":     {[]string{"ticket_lifetime = a day"}, nil, "not a duration: write seconds, 1d2h3m4s or h:m[:s]; the default stands"},
		"lifetimes, for ever": {[]string{"ticket_lifetime = 100000d"}, nil, "duration of more than 68 years; the default stands"},
		"clockskew":           {[]string{"clockskew = 600"}, func(c *Config) { c.ClockSkew = 10 * time.Minute }, ""},
		"timesync yes":        {[]string{"kdc_timesync = yes"}, nil, ""},
		"timesync 0":          {[]string{"kdc_timesync = 0"}, func(c *Config) { c.KDCTimesync = false }, ""},
		"timesync 2":          {[]string{"kdc_timesync = 2"}, nil, ""},
		"timesync off":        {[]string{"kdc_timesync = off"}, func(c *Config) { c.KDCTimesync = false }, ""},
		"timesync junk":       {[]string{"kdc_timesync = tick"}, nil, "wanted 0 or 1; the default stands"},
		"udp 1":               {[]string{"udp_preference_limit = 1"}, func(c *Config) { c.UDPPreferenceLimit = 1 }, ""},
		"udp too large":       {[]string{"udp_preference_limit = 65536"}, func(c *Config) { c.UDPPreferenceLimit = 32700 }, ""},
		"udp negative":        {[]string{"udp_preference_limit = -1"}, nil, ""},
		"udp far too large":   {[]string{"udp_preference_limit = 99999999999"}, nil, "wanted a number; the default stands"},
		"request timeout":     {[]string{"request_timeout = 30s"}, func(c *Config) { c.RequestTimeout = 30 * time.Second }, ""},
		"SPAKE groups":        {[]string{"spake_preauth_groups = edwards25519, P-256\tx,,y"}, func(c *Config) { c.SPAKEGroups = []string{"edwards25519", "P-256", "x", "y"} }, ""},
		"preauth list":        {[]string{"preferred_preauth_types = 17, 16"}, nil, ""},

		"permitted alone": {[]string{"permitted_enctypes = aes256-cts aes128-sha2"}, func(c *Config) { all(c, []int32{18, 19}, []int32{18, 19}, []int32{18, 19}) }, ""},
		"tkt alone":       {[]string{"default_tkt_enctypes = aes128-cts"}, func(c *Config) { all(c, aes, []int32{17}, aes) }, ""},
		"all three":       {[]string{"permitted_enctypes = aes", "default_tkt_enctypes = aes256-cts", "default_tgs_enctypes = aes128-cts"}, func(c *Config) { all(c, aes, []int32{18}, []int32{17}) }, ""},
		"DEFAULT less":    {[]string{"permitted_enctypes = DEFAULT -aes256-cts,-rc4"}, func(c *Config) { all(c, []int32{17, 20, 19}, []int32{17, 20, 19}, []int32{17, 20, 19}) }, ""},
		"allow_rc4":       {[]string{"allow_rc4 = true"}, func(c *Config) { c.AllowRC4 = true; all(c, aesRC4, aesRC4, aesRC4) }, ""},
		"allow_weak_crypto": {[]string{"allow_weak_crypto = true"}, func(c *Config) {
			c.AllowWeakCrypto, c.AllowRC4, c.AllowDES3 = true, true, true
			all(c, aesRC4, aesRC4, aesRC4)
		}, ""},
		"allow_des3": {[]string{"allow_des3 = true"}, func(c *Config) { c.AllowDES3 = true }, ""},
		"rc4 held":   {[]string{"permitted_enctypes = aes rc4-hmac"}, nil, "krb5.conf:2: permitted_enctypes: rc4-hmac is left out: it is weak, and wants allow_rc4, allow_des3 or allow_weak_crypto = true"},
		"rc4 let":    {[]string{"permitted_enctypes = rc4 aes", "allow_rc4 = true"}, func(c *Config) { c.AllowRC4 = true; l := []int32{23, 18, 17, 20, 19}; all(c, l, l, l) }, ""},
		"weak ones let": {[]string{"permitted_enctypes = arcfour-hmac-exp des3 aes rc4", "allow_weak_crypto = true"}, func(c *Config) {
			c.AllowWeakCrypto, c.AllowRC4, c.AllowDES3 = true, true, true
			l := []int32{18, 17, 20, 19, 23}
			all(c, l, l, l)
		}, ""},
		"weak ones held":      {[]string{"permitted_enctypes = arcfour-hmac-exp aes", "allow_rc4 = true", "allow_des3 = true"}, func(c *Config) { c.AllowRC4, c.AllowDES3 = true, true; all(c, aes, aes, aes) }, "arcfour-hmac-exp is left out"},
		"unknown enctype":     {[]string{"permitted_enctypes = aes des-cbc-crc"}, nil, `permitted_enctypes: no encryption type is called "des-cbc-crc"`},
		"unsupported enctype": {[]string{"permitted_enctypes = camellia aes"}, nil, ""},
		"nothing usable":      {[]string{"permitted_enctypes = camellia"}, func(c *Config) { l := []int32{}; all(c, l, l, l) }, `permitted_enctypes = "camellia" names no encryption type that can be used`},

		"ccache":              {[]string{"default_ccache_name = DIR:%{TEMP}/%{USERID}-%{uid}-%{euid}-%{username}%{null}"}, func(c *Config) { c.DefaultCCacheName = "DIR:/var/tmp/t/1000-1000-1001-alice" }, ""},
		"ccache, plain":       {[]string{"default_ccache_name = KCM:"}, func(c *Config) { c.DefaultCCacheName = "KCM:" }, ""},
		"ccache, token":       {[]string{"default_ccache_name = /x/%{nonsense}"}, nil, `%{nonsense}: not a token that MIT krb5 knows; the default stands`},
		"ccache, open":        {[]string{"default_ccache_name = /x/%{uid"}, nil, `%{ without } in "/x/%{uid"; the default stands`},
		"ccache, none":        {[]string{"default_ccache_name = %{null}"}, nil, `wanted a name; the default stands`},
		"keytabs":             {[]string{"default_keytab_name = FILE:/k", "default_client_keytab_name = FILE:/c/%{euid}"}, func(c *Config) { c.DefaultKeytabName, c.DefaultClientKeytabName = "FILE:/k", "FILE:/c/1001" }, ""},
		"kcm":                 {[]string{"kcm_socket = /run/kcm"}, func(c *Config) { c.KCMSocket = "/run/kcm" }, ""},
		"kcm off":             {[]string{"kcm_socket = -"}, func(c *Config) { c.KCMSocket = "" }, ""},
		"delegation, binding": {[]string{"enforce_ok_as_delegate = 1", "client_aware_channel_bindings = true"}, func(c *Config) { c.EnforceOKAsDelegate, c.ClientAwareChannelBindings = true, true }, ""},
		"subsection":          {[]string{"R = {", "forwardable = true", "}"}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			want := New(nil, machine(tree(nil)))
			if tc.change != nil {
				tc.change(want)
			}
			got := mustConfig(t, settings(tc.lines...))
			warnings := said(got.Warnings)
			got.Warnings = nil
			if d := cmp.Diff(want, got, exported()); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if tc.warned == "" && warnings != "" || !strings.Contains(warnings, tc.warned) {
				t.Errorf("warnings %q, want %q", warnings, tc.warned)
			}
		})
	}
}

func TestSources(t *testing.T) {
	c := mustConfig(t, settings("permitted_enctypes = aes", "dns_fallback = yes", "default_tgs_enctypes = aes256-cts", "clockskew = x"))
	for key, want := range map[string]string{
		"permitted_enctypes": "krb5.conf:2", "default_tkt_enctypes": "krb5.conf:2", "default_tgs_enctypes": "krb5.conf:4",
		"dns_lookup_kdc": "krb5.conf:3", "dns_lookup_realm": "krb5.conf:3",
		"clockskew": "built-in default", "forwardable": "built-in default", "nonsense": "built-in default",
	} {
		if got := c.Source(key).Where(); got != want {
			t.Errorf("%s from %s, want %s", key, got, want)
		}
	}
}

func TestOptionAllowRC4(t *testing.T) {
	o := machine(tree(nil))
	o.AllowRC4 = true
	c := New(mustProfile(t, settings("default_tkt_enctypes = rc4")), o)
	if d := cmp.Diff([][]int32{{18, 17, 20, 19, 23}, {23}}, [][]int32{c.PermittedEnctypes, c.DefaultTktEnctypes}); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestFor(t *testing.T) {
	c := mustConfig(t, settings("ticket_lifetime = 1h", "forwardable = true", "R = {", "ticket_lifetime = 2h", "renew_lifetime = x", "}"))
	if c.For("S") != c {
		t.Error("a realm without a section of its own has settings of its own")
	}
	r := c.For("R")
	if r.TicketLifetime != 2*time.Hour || !r.Forwardable || r.Source("ticket_lifetime").Line != 5 || r.Source("forwardable").Line != 3 {
		t.Errorf("%v, %v from %s", r.TicketLifetime, r.Forwardable, r.Source("ticket_lifetime").Where())
	}
	if !strings.Contains(said(r.Warnings), "krb5.conf:6: renew_lifetime") {
		t.Errorf("warnings %q", said(r.Warnings))
	}
	if c.TicketLifetime != time.Hour || c.Source("ticket_lifetime").Line != 2 || len(c.Warnings) != 0 {
		t.Errorf("the settings of all realms changed: %v from %s", c.TicketLifetime, c.Source("ticket_lifetime").Where())
	}
}

func TestParseServer(t *testing.T) {
	for text, want := range map[string]Server{
		"kdc.example.org":         {Host: "kdc.example.org", Port: 88},
		"kdc.example.org:750":     {Host: "kdc.example.org", Port: 750},
		"kdc.example.org # note":  {Host: "kdc.example.org", Port: 88},
		"10.0.0.1":                {Host: "10.0.0.1", Port: 88},
		"10.0.0.1:89":             {Host: "10.0.0.1", Port: 89},
		"[2001:db8::1]":           {Host: "2001:db8::1", Port: 88},
		"[2001:db8::1]:89":        {Host: "2001:db8::1", Port: 89},
		"2001:db8::1":             {Host: "2001:db8::1", Port: 88},
		"fe80::1%eth0":            {Host: "fe80::1%eth0", Port: 88},
		"[fe80::1%eth0]:89":       {Host: "fe80::1%eth0", Port: 89},
		"tcp/kdc":                 {Host: "kdc", Port: 88, Proto: "tcp"},
		"UDP/kdc:89":              {Host: "kdc", Port: 89, Proto: "udp"},
		"tcp/[::1]:89":            {Host: "::1", Port: 89, Proto: "tcp"},
		"/run/kdc.sock":           {Host: "/run/kdc.sock", Proto: "unix"},
		"https://p.org/KdcProxy":  {Host: "p.org", Port: 443, Proto: "https", URL: "https://p.org/KdcProxy"},
		"HTTPS://p.org:8443/a/b":  {Host: "p.org", Port: 8443, Proto: "https", URL: "https://p.org:8443/a/b"},
		"https://p.org":           {Host: "p.org", Port: 443, Proto: "https", URL: "https://p.org"},
		"https://[2001:db8::1]/x": {Host: "2001:db8::1", Port: 443, Proto: "https", URL: "https://[2001:db8::1]/x"},
		strings.Repeat("a", 255):  {Host: strings.Repeat("a", 255), Port: 88},
		"_kdc-1.x_y":              {Host: "_kdc-1.x_y", Port: 88},
	} {
		want.Text = text
		got, err := ParseServer(text, PortKDC)
		if err != nil {
			t.Errorf("ParseServer(%q): %v", text, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: -want +got:\n%s", text, d)
		}
	}
	for text, want := range map[string]error{
		"": errHost, " kdc": errHost, ":88": errHost, "88": errHost, "[::1": errHost, "[kdc]": errHost, "[10.0.0.1]": errHost,
		"[::1]88": errHost, "a:b:c": errHost, "ftp/kdc": errHost, "kdc/tcp": errHost, "a@b": errHost, "a\x1b[2J": errHost,
		strings.Repeat("a", 256): errHost,
		"kdc:":                   errPort, "kdc:0": errPort, "kdc:65536": errPort, "kdc:http": errPort, "kdc:-1": errPort, "[::1]:": errPort, "[::1]:x": errPort,
		"http/kdc": errHTTP, "http://kdc/": errHTTP, "ftp://kdc/": errHTTP,
		"https://": errURL, "https:///x": errURL, "https://u:secret@p.org/": errURL, "https://p.org:x/": errURL, "https://p.org/%zz": errURL, "https://p.org:0/": errPort,
		"https://p.org/#part": errURL, "a\x1bb": errHost, "a\x7fb": errHost, "https://a%7Fb/": errURL,
	} {
		if got, err := ParseServer(text, PortKDC); !errors.Is(err, want) || got != (Server{}) {
			t.Errorf("ParseServer(%q) = %+v, %v, want %v", text, got, err, want)
		}
	}
	for _, address := range []struct{ text, want string }{{"[::1]:89", "[::1]:89"}, {"kdc", "kdc:88"}, {"/run/k", "/run/k"}} {
		s, err := ParseServer(address.text, PortKDC)
		if err != nil || s.Address() != address.want {
			t.Errorf("address of %q: %s, %v", address.text, s.Address(), err)
		}
	}
}

func TestServers(t *testing.T) {
	c := mustConfig(t, `[realms]
 R = {
  kdc = b
  kdc = bad:port
  kdc = tcp/a
  kdc = https://p/KdcProxy
  kdc = b # the first again
  master_kdc = m
  admin_server = a
 }
 S = {
  primary_kdc = p
  master_kdc = m
 }
 T = 1
 R = {
  kdc = z:89
 }
`)
	want := []Server{
		{Host: "b", Port: 88, Value: Value{"b", "krb5.conf", 3}},
		{Host: "a", Port: 88, Proto: "tcp", Value: Value{"tcp/a", "krb5.conf", 5}},
		{Host: "p", Port: 443, Proto: "https", URL: "https://p/KdcProxy", Value: Value{"https://p/KdcProxy", "krb5.conf", 6}},
		{Host: "b", Port: 88, Value: Value{"b # the first again", "krb5.conf", 7}},
		{Host: "z", Port: 89, Value: Value{"z:89", "krb5.conf", 17}},
	}
	if d := cmp.Diff(want, c.KDCs("R")); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff([]Server{{Host: "m", Port: 88, Value: Value{"m", "krb5.conf", 8}}}, c.PrimaryKDCs("R")); d != "" {
		t.Errorf("master_kdc: -want +got:\n%s", d)
	}
	if d := cmp.Diff([]Server{{Host: "p", Port: 88, Value: Value{"p", "krb5.conf", 12}}}, c.PrimaryKDCs("S")); d != "" {
		t.Errorf("primary_kdc: -want +got:\n%s", d)
	}
	if d := cmp.Diff([]Server{{Host: "a", Port: 749, Value: Value{"a", "krb5.conf", 9}}}, c.AdminServers("R")); d != "" {
		t.Errorf("admin_server: -want +got:\n%s", d)
	}
	if d := cmp.Diff([]Server{{Host: "a", Port: 464, Value: Value{"a", "krb5.conf", 9}}}, c.KpasswdServers("R")); d != "" || c.KpasswdServers("T") != nil {
		t.Errorf("kpasswd of admin_server: -want +got:\n%s", d)
	}
	if own := mustConfig(t, "[realms]\n R = {\n  admin_server = a\n  kpasswd_server = b:99\n }\n").KpasswdServers("R"); len(own) != 1 || own[0].Address() != "b:99" {
		t.Errorf("kpasswd_server: %+v", own)
	}
	if d := cmp.Diff([]string{"R", "S"}, c.Realms()); d != "" || c.HasRealm("T") {
		t.Errorf("realms: -want +got:\n%s", d)
	}
	warnings := `krb5.conf:4: kdc of "R" left out: "bad:port": wanted a port from 1 to 65535
krb5.conf:5: "tcp/a" is Heimdal's spelling: MIT krb5 does not know it
krb5.conf:7: "b # the first again": what follows the blank is not read, a comment stands on a line of its own
krb5.conf:15: "T" in [realms] wants { and relations, not a value
`
	if d := cmp.Diff(warnings, said(c.Warnings)); d != "" {
		t.Errorf("warnings: -want +got:\n%s", d)
	}
	if d := cmp.Diff([]Value{{"m", "krb5.conf", 13}}, c.RealmValues("S", "master_kdc")); d != "" {
		t.Errorf("RealmValues: -want +got:\n%s", d)
	}

	s, err := ParseServer("127.0.0.1:8888", PortKDC)
	if err != nil {
		t.Fatal(err)
	}
	c.SetKDCs("R", s)
	c.SetKDCs("NEW", s)
	if len(c.KDCs("R")) != 1 || len(c.AdminServers("R")) != 1 || !c.HasRealm("NEW") || c.KDCs("NEW")[0].Where() != "built-in default" {
		t.Errorf("after SetKDCs: %+v, %+v", c.KDCs("R"), c.KDCs("NEW"))
	}
}

func TestServerSecret(t *testing.T) {
	c := mustConfig(t, "[realms]\n R = {\n  kdc = https://user:canary@p.example/KdcProxy\n  kdc = canary@b\n  kdc = visible:x\n }\n")
	warnings := said(c.Warnings)
	if strings.Contains(warnings, "canary") || !strings.Contains(warnings, "visible") || strings.Count(warnings, "\n") != 3 {
		t.Errorf("warnings %q", warnings)
	}
}

func TestDomainWarning(t *testing.T) {
	c := mustConfig(t, "[domain_realm]\n .Example.ORG = EXAMPLE.ORG\n")
	want := `krb5.conf:2: ".Example.ORG" in [domain_realm] matches nothing: host names are looked up in lower case` + "\n"
	if d := cmp.Diff(want, said(c.Warnings)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestRealmPath(t *testing.T) {
	c := mustConfig(t, `[capaths]
 A.X = {
  B.Y = HUB
  B.Y = HUB2
  C.X = .
  D.X = D.X
  TWICE.X = HUB
  TWICE.X = A.X
  TWICE.X = HUB
  TWICE.X = TWICE.X
 }
`)
	deep := func(top string, n int) string { return strings.Repeat(top+".", n-1) + "X" }
	for name, tc := range map[string]struct{ client, server, want string }{
		"same":              {"A.X", "A.X", "A.X"},
		"capath":            {"A.X", "B.Y", "A.X HUB HUB2 B.Y"},
		"capath, direct":    {"A.X", "C.X", "A.X C.X"},
		"capath, sssd":      {"A.X", "D.X", "A.X D.X"},
		"capath, again":     {"A.X", "TWICE.X", "A.X HUB TWICE.X"},
		"too far":           {deep("A", 32), deep("B", 33), deep("A", 32) + " " + deep("B", 33)},
		"sisters":           {"E.X.ORG", "F.X.ORG", "E.X.ORG X.ORG F.X.ORG"},
		"up":                {"E.X.ORG", "ORG", "E.X.ORG X.ORG ORG"},
		"down":              {"ORG", "E.X.ORG", "ORG X.ORG E.X.ORG"},
		"parent":            {"E.X.ORG", "X.ORG", "E.X.ORG X.ORG"},
		"cousins":           {"G.E.X", "H.F.X", "G.E.X E.X X F.X H.F.X"},
		"nothing in common": {"E.ORG", "E.COM", "E.ORG E.COM"},
		"part of a label":   {"A.BC", "A.C", "A.BC A.C"},
		"empty":             {"", "A", " A"},
		"dot at the end":    {"A.", "B.", "A. B."},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(c.RealmPath(tc.client, tc.server), " "); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
	if got := c.RealmPath(deep("A", 32), deep("B", 32)); len(got) != 63 { // 31 of each, and what they share
		t.Errorf("%d realms on the way", len(got))
	}
	long := strings.Repeat("a.", 10_000)
	if got := c.RealmPath(long+"X", long+"Y.X"); len(got) > maxPath+2 {
		t.Errorf("%d realms on the way", len(got))
	}
}

// unix is a machine with the rules of Unix.
func unix(files fs.FS, env map[string]string) Options {
	o := machine(files)
	o.Getenv = func(name string) string { return env[name] }
	return o
}

func TestDefaultFiles(t *testing.T) {
	realm := func(name string) string { return settings("default_realm = " + name) }
	files := tree(map[string]string{"etc/krb5.conf": realm("ETC"), "a": realm("A"), "b/c": settings("qualify_shortname = c"), "relative/x": realm("X"), "none;a": realm("ONE")})
	for value, want := range map[string]string{
		"":           "ETC",
		"/a":         "A",
		"/b/c:/a":    "A",
		":/b/c::/a:": "A",
		":":          "ETC",
		"relative/x": "X",
		"/none;a":    "ONE",
		"/none":      "",
	} {
		c, err := LoadDefault(unix(files, map[string]string{"KRB5_CONFIG": value}))
		if err != nil || c.DefaultRealm != want {
			t.Errorf("%q: realm %q, want %q (%v)", value, c.DefaultRealm, want, err)
		}
	}
	path := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(path, []byte(realm("ENV")), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KRB5_CONFIG", path)
	if c, err := LoadDefault(Options{}); err != nil || c.DefaultRealm != "ENV" {
		t.Errorf("%v, %v", c, err)
	}
}

func TestExpandOnThisMachine(t *testing.T) {
	t.Setenv("TMPDIR", "")
	if runtime.GOOS == "windows" {
		t.Skip("these are the folders of Unix; TestExpandOnWindows has those of Windows")
	}
	for text, want := range map[string]string{"": "", "plain": "plain", "%": "%", "a%{TEMP}b": "a/tmpb", "%{null}": "", "%{LIBDIR}%{BINDIR}%{SBINDIR}": "/usr/lib/usr/bin/usr/sbin", "%%{null}}": "%}"} {
		if got, err := (Options{}).Expand(text); err != nil || got != want {
			t.Errorf("Expand(%q) = %q, %v", text, got, err)
		}
	}
	got, err := Options{}.Expand("%{uid}/%{euid}")
	if uid, euid, ok := strings.Cut(got, "/"); err != nil || !ok || uid == "" || euid == "" {
		t.Errorf("%q, %v", got, err)
	}
	nobody := errors.New("no such user")
	o := Options{Username: func() (string, error) { return "", nobody }}
	if _, err := o.Expand("%{username}"); !errors.Is(err, nobody) {
		t.Errorf("%v", err)
	}
}

func TestCanonicalizeString(t *testing.T) {
	for mode, want := range map[Canonicalize]string{CanonicalizeAlways: "true", CanonicalizeNever: "false", CanonicalizeFallback: "fallback", 9: "canonicalize 9"} {
		if got := mode.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	c := sample(t, "freeipa")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				c.KDCs("IPA.EXAMPLE.ORG")
				c.RealmOf("a.ipa.example.org")
				c.For("IPA.EXAMPLE.ORG")
				c.RealmPath("IPA.EXAMPLE.ORG", "AD.EXAMPLE.ORG")
				c.Source("default_realm")
				c.Profile.Values("plugins", "localauth", "module")
			}
		})
	}
	wg.Wait()
}
