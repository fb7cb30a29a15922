package kerberos_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// zone is a DNS that knows URI and TXT records and addresses, and no SRV.
type zone struct {
	dns
	uris  map[string][]kerberos.URI
	texts map[string][]string
	hosts map[string]string
	fail  string // a TXT record that cannot be asked for
}

func (z *zone) ask(q string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked = append(z.asked, q)
}

func (z *zone) LookupURI(_ context.Context, name string) ([]kerberos.URI, error) {
	z.ask("URI " + name)
	return z.uris[name], nil
}

func (z *zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	z.ask("TXT " + name)
	if name == z.fail {
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	}
	if texts := z.texts[name]; texts != nil {
		return texts, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (z *zone) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	z.ask(network + " " + host)
	if a, ok := z.hosts[host]; ok {
		return []netip.Addr{netip.MustParseAddr(a)}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// networks returns by which networks the realm's KDCs were asked.
func networks(realm *fakekdc.Realm) (out []string) {
	for _, e := range realm.Exchanges() {
		out = append(out, e.Network)
	}
	return slices.Compact(out)
}

func TestKDCsInURIRecords(t *testing.T) {
	realm := start(t)
	_, port, err := net.SplitHostPort(realm.Addr())
	if err != nil {
		t.Fatal(err)
	}
	proxy := fakeweb.Serve(realm, fakeweb.KDCProxy(realm), fakeweb.ServerOptions{TLS: true})
	name := "_kerberos." + realm.Name() + "."
	for what, tc := range map[string]struct {
		target   string
		networks []string
		looked   string // up
	}{
		"UDP":      {"krb5srv:m:udp:127.0.0.1:" + port, []string{"udp"}, ""},
		"TCP":      {"krb5srv:m:tcp:kdc.example.com:" + port, []string{"tcp"}, "ip kdc.example.com"},
		"MS-KKDCP": {"krb5srv:m:kkdcp:" + proxy.URL() + "/KdcProxy", []string{"kkdcp"}, "ip localhost"},
	} {
		t.Run(what, func(t *testing.T) {
			realm.ResetExchanges()
			z := &zone{
				uris:  map[string][]kerberos.URI{name: {{Priority: 1, Weight: 1, Target: tc.target}}},
				hosts: map[string]string{"kdc.example.com": "127.0.0.1", "localhost": "127.0.0.1"},
			}
			o := as(environment(realm), "alice@"+realm.Name())
			o.Krb5ConfText = "[libdefaults]\n"
			o.Resolver = z
			o.ProxyTLS = &tls.Config{RootCAs: proxy.CertPool()}
			source, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := source.ServiceTicket(t.Context(), spn+"@"+realm.Name()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.networks, networks(realm)); diff != "" {
				t.Errorf("networks (-want +got):\n%s", diff)
			}
			want := []string{"URI " + name}
			if tc.looked != "" {
				want = append(want, tc.looked)
			}
			slices.Sort(z.asked)
			slices.Sort(want)
			if diff := cmp.Diff(want, slices.Compact(z.asked)); diff != "" {
				t.Errorf("asked DNS (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKDCProxy(t *testing.T) {
	t.Parallel()
	realm := start(t)
	proxy := fakeweb.Serve(realm, fakeweb.KDCProxy(realm), fakeweb.ServerOptions{TLS: true})
	other := fakeweb.Serve(realm, fakeweb.KDCProxy(realm), fakeweb.ServerOptions{TLS: true})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw})
	file := write(t, "ca.pem", ca)
	junk := write(t, "junk.pem", []byte("no certificate"))
	url := proxy.URL() + "/KdcProxy"
	for name, tc := range map[string]struct {
		anchors string // of the realm
		env     string
		tls     *tls.Config
		says    string // in the error; empty: a ticket
	}{
		"FILE":               {anchors: "FILE:" + file},
		"DIR":                {anchors: "DIR:" + filepath.Dir(file)},
		"ENV":                {anchors: "ENV:PROXY_CA", env: "PROXY_CA=FILE:" + file},
		"ENV of a folder":    {anchors: "ENV:PROXY_CA", env: "PROXY_CA=DIR:" + filepath.Dir(file)},
		"two":                {anchors: "DIR:" + filepath.Dir(file) + "\n\t\thttp_anchors = FILE:" + file},
		"Options":            {tls: &tls.Config{RootCAs: proxy.CertPool()}},
		"Options first":      {anchors: "FILE:/nonexistent", tls: &tls.Config{RootCAs: proxy.CertPool()}},
		"Options, no roots":  {anchors: "FILE:" + file, tls: &tls.Config{MinVersion: tls.VersionTLS13}},
		"the system's":       {says: "certificate"},
		"another":            {tls: &tls.Config{RootCAs: other.CertPool()}, says: "certificate"},
		"another name":       {tls: &tls.Config{RootCAs: proxy.CertPool(), ServerName: "other.test"}, says: "other.test"},
		"no such file":       {anchors: "FILE:/nonexistent/ca.pem", says: "http_anchors in"},
		"no such folder":     {anchors: "DIR:/nonexistent", says: "http_anchors in"},
		"no such variable":   {anchors: "ENV:PROXY_CA", says: "wanted FILE:path"},
		"a variable for two": {anchors: "ENV:PROXY_CA", env: "PROXY_CA=ENV:PROXY_CA", says: "wanted FILE:path"},
		"another form":       {anchors: "PKCS12:" + file, says: "wanted FILE:path"},
		"a bare path":        {anchors: file, says: "wanted FILE:path"},
		"no certificate":     {anchors: "FILE:" + junk, says: "no certificate in it"},
		"a folder of junk":   {anchors: "DIR:" + filepath.Dir(junk), says: "no certificate in it"},
		"a folder as a file": {anchors: "FILE:" + filepath.Dir(file), says: "not a regular file"},
		"one good, one bad":  {anchors: "FILE:" + file + "\n\t\thttp_anchors = FILE:" + junk, says: "no certificate in it"},
	} {
		t.Run(name, func(t *testing.T) {
			realm.ResetExchanges()
			o := as(environment(realm, tc.env), "alice")
			o.Krb5ConfText = realm.ConfigWithKDCProxy(url, tc.anchors)
			o.ProxyTLS = tc.tls
			o.Resolver = &zone{hosts: map[string]string{"localhost": "127.0.0.1"}}
			source, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = source.ServiceTicket(t.Context(), spn)
			if tc.says != "" {
				if !errors.Is(err, middleware.ErrKDC) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "/https") || len(realm.Exchanges()) > 0 {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"kkdcp"}, networks(realm)); diff != "" {
				t.Errorf("networks (-want +got):\n%s", diff)
			}
		})
	}
	for name, fault := range map[string]fakekdc.Fault{
		"reset": fakekdc.ResetConnection(), "truncated": fakekdc.Truncate(), "huge": fakekdc.HugeFrame(), "garbage": fakekdc.Garbage(), "silent": fakekdc.Drop(),
	} {
		t.Run(name, func(t *testing.T) {
			o := as(environment(realm), "alice")
			o.Krb5ConfText = realm.ConfigWithKDCProxy(url, "FILE:"+file)
			source, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
			if err != nil {
				t.Fatal(err)
			}
			realm.FailNext(fakekdc.AS, fault)
			defer realm.ClearFaults()
			_, err = source.ServiceTicket(t.Context(), spn)
			var e *middleware.Error
			if !errors.As(err, &e) || !errors.Is(err, middleware.ErrKDC) || !e.Temporary() || !strings.Contains(e.KDC, "/https") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestFallbackRealm(t *testing.T) {
	z := &zone{texts: map[string][]string{
		"_kerberos.www.a.test.": {"WWW.TEST"},
		"_kerberos.b.test.":     {"B.EXAMPLE.", "other"},
		"_kerberos.odd.test.":   {"not a realm"},
		"_kerberos.a.odd.test.": {"A@B"},
		"_kerberos.b.odd.test.": {"A/B"},
		"_kerberos.c.odd.test.": {"A:B"},
		"_kerberos.d.odd.test.": {"A\x7fB"},
		"_kerberos.e.odd.test.": {""},
		"_kerberos.f.odd.test.": {strings.Repeat("A", 256)},
		"_kerberos.g.odd.test.": {strings.Repeat("A", 255)},
		"_kerberos.test.":       {"TOP"},
		"_kerberos.x.fail.":     {"BEHIND"},
	}, fail: "_kerberos.y.x.fail."}
	z.records = map[string][]*net.SRV{
		"_kerberos._udp.SRV.TEST.": {{Target: "kdc.test.", Port: 88}},
	}
	const head = "[libdefaults]\ndefault_realm = DEFAULT.TEST\n"
	const known = "[realms]\nKNOWN.TEST = {\nkdc = kdc.test\n}\n"
	for name, tc := range map[string]struct {
		conf  string
		host  string
		want  string
		asked []string
	}{
		"domain":                 {"", "www.a.test", "A.TEST", nil},
		"case and dot":           {"", "WWW.A.Test.", "A.TEST", nil},
		"short name":             {"", "www", "DEFAULT.TEST", nil},
		"nothing":                {"", "", "DEFAULT.TEST", nil},
		"address":                {"dns_lookup_realm = true", "192.0.2.1", "DEFAULT.TEST", nil},
		"address, IPv6":          {"dns_lookup_realm = true", "[2001:db8::1]", "DEFAULT.TEST", nil},
		"TXT":                    {"dns_lookup_realm = true", "www.a.test", "WWW.TEST", []string{"TXT _kerberos.www.a.test."}},
		"TXT of a domain":        {"dns_lookup_realm = true", "x.y.b.test", "B.EXAMPLE", []string{"TXT _kerberos.x.y.b.test.", "TXT _kerberos.y.b.test.", "TXT _kerberos.b.test."}},
		"TXT of nobody":          {"dns_lookup_realm = true", "x.nowhere", "NOWHERE", []string{"TXT _kerberos.x.nowhere.", "TXT _kerberos.nowhere."}},
		"TXT that is none":       {"dns_lookup_realm = true", "odd.test", "TOP", []string{"TXT _kerberos.odd.test.", "TXT _kerberos.test."}},
		"TXT with @":             {"dns_lookup_realm = true", "a.odd.test", "TOP", []string{"TXT _kerberos.a.odd.test.", "TXT _kerberos.odd.test.", "TXT _kerberos.test."}},
		"TXT with a slash":       {"dns_lookup_realm = true", "b.odd.test", "TOP", []string{"TXT _kerberos.b.odd.test.", "TXT _kerberos.odd.test.", "TXT _kerberos.test."}},
		"TXT with a colon":       {"dns_lookup_realm = true", "c.odd.test", "TOP", []string{"TXT _kerberos.c.odd.test.", "TXT _kerberos.odd.test.", "TXT _kerberos.test."}},
		"TXT with DEL":           {"dns_lookup_realm = true", "d.odd.test", "TOP", []string{"TXT _kerberos.d.odd.test.", "TXT _kerberos.odd.test.", "TXT _kerberos.test."}},
		"TXT of nothing":         {"dns_lookup_realm = true", "e.odd.test", "TOP", []string{"TXT _kerberos.e.odd.test.", "TXT _kerberos.odd.test.", "TXT _kerberos.test."}},
		"TXT too long":           {"dns_lookup_realm = true", "f.odd.test", "TOP", []string{"TXT _kerberos.f.odd.test.", "TXT _kerberos.odd.test.", "TXT _kerberos.test."}},
		"TXT of great length":    {"dns_lookup_realm = true", "g.odd.test", strings.Repeat("A", 255), []string{"TXT _kerberos.g.odd.test."}},
		"TXT that fails":         {"dns_lookup_realm = true", "y.x.fail", "X.FAIL", []string{"TXT _kerberos.y.x.fail."}},
		"domains, the name":      {"realm_try_domains = 0\n" + known, "known.test", "KNOWN.TEST", nil},
		"domains, too far":       {"realm_try_domains = 0\ndns_lookup_kdc = false\n" + known, "a.b.known.test", "B.KNOWN.TEST", nil},
		"domains, two up":        {"realm_try_domains = 2\ndns_lookup_kdc = false\n" + known, "a.b.known.test", "KNOWN.TEST", nil},
		"domains, not one label": {"realm_try_domains = 9\ndns_lookup_kdc = false\n", "a.b.test", "B.TEST", nil},
		"domains, DNS": {
			"realm_try_domains = 1", "www.srv.test", "SRV.TEST",
			[]string{"URI _kerberos.WWW.SRV.TEST.", "_kerberos._udp.WWW.SRV.TEST.", "_kerberos._tcp.WWW.SRV.TEST.", "URI _kerberos.SRV.TEST.", "_kerberos._udp.SRV.TEST.", "_kerberos._tcp.SRV.TEST."},
		},
		"many labels": {"dns_lookup_realm = true", strings.Repeat("a.", 100) + "z", strings.ToUpper(strings.Repeat("a.", 99) + "z"), nil},
		"too long":    {"dns_lookup_realm = true", strings.Repeat("a.", 1000) + "z", "DEFAULT.TEST", nil},
	} {
		t.Run(name, func(t *testing.T) {
			z.asked = nil
			source, err := kerberos.FromPassword(kerberos.NewSecret("x"), kerberos.SourceOptions{
				Principal: "alice", Krb5ConfText: head + tc.conf + "\n", Resolver: z, Getenv: func(string) string { return "" },
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := source.FallbackRealm(t.Context(), tc.host); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if name == "many labels" {
				if len(z.asked) > 20 {
					t.Errorf("asked %d times", len(z.asked))
				}
				return
			}
			if diff := cmp.Diff(tc.asked, z.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("a resolver without TXT", func(t *testing.T) {
		d := &dns{}
		source, err := kerberos.FromPassword(kerberos.NewSecret("x"), kerberos.SourceOptions{
			Principal: "alice", Krb5ConfText: head + "dns_lookup_realm = true\n", Resolver: d, Getenv: func(string) string { return "" },
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := source.FallbackRealm(t.Context(), "www.a.test"); got != "A.TEST" || len(d.asked) > 0 {
			t.Error(got, d.asked)
		}
	})
}

// records answers from memory; another would ask a name server.
type records map[string][]kerberos.URI

func (records) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}

func (r records) LookupURI(_ context.Context, name string) ([]kerberos.URI, error) {
	return r[name], nil
}

func ExampleURIResolver() {
	realm := exampleRealm()
	defer realm.Close()

	source, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal:    "alice@EXAMPLE.TEST",
		Krb5ConfText: "[libdefaults]\ndefault_realm = EXAMPLE.TEST\n", // names no KDC
		Resolver: records{
			"_kerberos.EXAMPLE.TEST.": {{Priority: 10, Weight: 1, Target: "krb5srv:m:tcp:" + realm.Addr()}},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ticket, err := source.ServiceTicket(context.Background(), "HTTP/localhost@EXAMPLE.TEST")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ticket.SPN(), realm.Exchanges()[0].Network)
	// Output: HTTP/localhost@EXAMPLE.TEST tcp
}

// request_timeout bounds an exchange, in virtual time.
func TestRequestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var given []string
		source, err := kerberos.FromPassword(kerberos.NewSecret("x"), kerberos.SourceOptions{
			Principal:    "alice@A.TEST",
			Krb5ConfText: "[libdefaults]\nrequest_timeout = 3s\n[realms]\nA.TEST = {\nkdc = one.test\nkdc = [2001:db8::1]:750\nkdc = tcp/two.test\n}\n",
			Getenv:       func(string) string { return "" },
			Dial: func(_ context.Context, network, address string) (net.Conn, error) {
				given = append(given, network+" "+address)
				ours, theirs := net.Pipe()
				go func() {
					_, _ = io.Copy(io.Discard, theirs) // until ours is closed
					theirs.Close()
				}()
				return ours, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = source.ServiceTicket(t.Context(), "HTTP/www.a.test@A.TEST")
		var e *middleware.Error
		if !errors.As(err, &e) || !errors.Is(err, middleware.ErrKDC) || !e.Temporary() || !strings.Contains(err.Error(), "request_timeout") {
			t.Error(err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v of virtual time", took)
		}
		if diff := cmp.Diff([]string{"udp one.test:88", "udp [2001:db8::1]:750", "tcp one.test:88"}, given); diff != "" {
			t.Errorf("dialled (-want +got):\n%s", diff)
		}
		for _, at := range given {
			network, address, _ := strings.Cut(at, " ")
			if !strings.Contains(e.KDC, address+"/"+network) || !strings.Contains(err.Error(), address+"/"+network) {
				t.Errorf("%s is not in: %v", at, err)
			}
		}
	})
}
