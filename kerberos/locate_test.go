package kerberos_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// dns answers from a map of names; what it lacks is not found.
type dns struct {
	records map[string][]*net.SRV
	fail    error

	mu    sync.Mutex
	asked []string
}

func (d *dns) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	q := fmt.Sprintf("_%s._%s.%s", service, proto, name)
	d.mu.Lock()
	d.asked = append(d.asked, q)
	d.mu.Unlock()
	if d.fail != nil {
		return "", nil, d.fail
	}
	if r, ok := d.records[q]; ok {
		return q, r, nil
	}
	return "", nil, &net.DNSError{Err: "no such host", Name: q, IsNotFound: true}
}

func TestKDCsInDNS(t *testing.T) {
	realm := start(t)
	_, text, err := net.SplitHostPort(realm.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	udp, tcp := "_kerberos._udp."+realm.Name()+".", "_kerberos._tcp."+realm.Name()+"."
	here := &net.SRV{Target: "127.0.0.1.", Port: uint16(n)}
	none := &net.SRV{Target: "."}
	for name, tc := range map[string]struct {
		dns       *dns
		conf      string
		networks  []string // by which the KDC was asked
		asked     bool
		says      string // in the error; empty: a ticket
		temporary bool
	}{
		"both":                {dns: &dns{records: map[string][]*net.SRV{udp: {here}, tcp: {here}}}, networks: []string{"udp"}, asked: true},
		"both, TCP preferred": {dns: &dns{records: map[string][]*net.SRV{udp: {here}, tcp: {here}}}, conf: "udp_preference_limit = 1", networks: []string{"tcp"}, asked: true},
		"TCP alone":           {dns: &dns{records: map[string][]*net.SRV{udp: {none}, tcp: {here}}}, networks: []string{"tcp"}, asked: true},
		"UDP alone":           {dns: &dns{records: map[string][]*net.SRV{udp: {here}}}, networks: []string{"udp"}, asked: true},
		"no records":          {asked: true, says: "no KDC is known"},
		"no such service":     {dns: &dns{records: map[string][]*net.SRV{udp: {none}, tcp: {none}}}, asked: true, says: "no KDC is known"},
		"DNS down":            {dns: &dns{fail: &net.DNSError{Err: "server misbehaving", IsTemporary: true}}, asked: true, says: "_kerberos._udp." + realm.Name(), temporary: true},
		"switched off":        {dns: &dns{records: map[string][]*net.SRV{udp: {here}}}, conf: "dns_lookup_kdc = false", says: "no KDC is known"},
	} {
		t.Run(name, func(t *testing.T) {
			realm.ResetExchanges()
			if tc.dns == nil {
				tc.dns = &dns{}
			}
			o := as(environment(realm), "alice@"+realm.Name())
			o.Krb5ConfText = "[libdefaults]\n" + tc.conf + "\n"
			o.Resolver = tc.dns
			source, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = source.ServiceTicket(t.Context(), spn+"@"+realm.Name())
			if tc.asked != (len(tc.dns.asked) > 0) {
				t.Errorf("asked DNS for %q", tc.dns.asked)
			}
			if tc.says != "" {
				var e *middleware.Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), tc.says) || e.Temporary() != tc.temporary || !errors.Is(err, middleware.ErrKDC) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var networks []string
			for _, e := range realm.Exchanges() {
				networks = append(networks, e.Network)
			}
			if diff := cmp.Diff(tc.networks, slices.Compact(networks)); diff != "" {
				t.Errorf("networks (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("no krb5.conf", func(t *testing.T) {
		o := as(environment(realm), "alice@"+realm.Name())
		o.Krb5Conf, o.Krb5ConfText = []string{"/nonexistent/krb5.conf"}, ""
		for name, tc := range map[string]struct {
			resolver kerberos.Resolver
			told     bool
		}{"nothing in DNS": {&dns{}, true}, "DNS down": {&dns{fail: &net.DNSError{Err: "server misbehaving", IsTemporary: true}}, false}} {
			o.Resolver = tc.resolver
			source, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = source.ServiceTicket(t.Context(), spn+"@"+realm.Name())
			if err == nil || strings.Contains(err.Error(), "no KDC is known for the realm: krb5.conf was not read: /nonexistent/krb5.conf: file does not exist") != tc.told {
				t.Errorf("%s: %v", name, err)
			}
		}
		o.Krb5Conf = []string{testmain.File(t, "krb5.conf", []byte("include /nonexistent/realms\n"))}
		o.Resolver = &dns{}
		source, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source.ServiceTicket(t.Context(), spn+"@"+realm.Name()); err == nil || !strings.Contains(err.Error(), "krb5.conf was not read whole: /nonexistent/realms: file does not exist") {
			t.Errorf("a file to include: %v", err)
		}
		o.Krb5Conf = []string{"/nonexistent/krb5.conf"}
		o.Principal = "alice"
		_, err = kerberos.FromPassword(kerberos.NewSecret(password), o)
		if !errors.Is(err, middleware.ErrConfiguration) || !strings.Contains(err.Error(), "sets no default_realm: krb5.conf was not read: /nonexistent/krb5.conf") {
			t.Errorf("a name without a realm: %v", err)
		}
	})
	t.Run("krb5.conf goes first", func(t *testing.T) {
		o := as(environment(realm), "alice")
		o.Krb5ConfText = strings.Replace(realm.Config(), "dns_lookup_kdc = false", "dns_lookup_kdc = true", 1)
		d := &dns{}
		o.Resolver = d
		source, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source.ServiceTicket(t.Context(), spn); err != nil || len(d.asked) > 0 {
			t.Errorf("asked DNS for %q, error %v", d.asked, err)
		}
	})
}

var _ kerberos.Resolver = (*net.Resolver)(nil)
