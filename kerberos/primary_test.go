package kerberos_test

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// twoKDCs returns a replica that is behind and its primary: "changed" has a new
// password there, "newcomer" is there alone, "locked" is locked at the replica.
// The two share no keys, so a ticket of the one is of no use at the other.
func twoKDCs(t *testing.T) (replica, primary *fakekdc.Realm) {
	t.Helper()
	realm := fakekdc.WithRealm(fmt.Sprintf("PRIMARY%d.TEST", len(t.Name())))
	replica = fakekdc.Start(t, realm, fakekdc.WithUser("changed", "old"), fakekdc.WithUser("locked", "new", fakekdc.Refuse(fakekdc.CodeClientRevoked)),
		fakekdc.WithUser("lazy", "old", fakekdc.NoPreauth()))
	primary = fakekdc.Start(t, realm, fakekdc.WithUser("changed", "new"), fakekdc.WithUser("newcomer", "new"),
		fakekdc.WithUser("locked", "new"), fakekdc.WithUser("lazy", "new", fakekdc.NoPreauth()))
	return replica, primary
}

// conf is a krb5.conf with lines for the realm.
func conf(realm string, lines ...string) string {
	return fmt.Sprintf("[libdefaults]\n default_realm = %[1]s\n dns_lookup_kdc = false\n[realms]\n %[1]s = {\n  %[2]s\n }\n[domain_realm]\n localhost = %[1]s\n",
		realm, strings.Join(lines, "\n  "))
}

// loginWith asks for a ticket with a password and returns who answered the AS
// exchanges.
func loginWith(t *testing.T, o kerberos.SourceOptions, user, password string) (asked []string, err error) {
	t.Helper()
	s, err := kerberos.FromPassword(kerberos.NewSecret(password), as(o, user))
	if err != nil {
		t.Fatal(err)
	}
	ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
		if e, ok := e.(middleware.ExchangeEvent); ok && e.Kind == "AS" {
			asked = append(asked, fmt.Sprintf("%s %d", e.Address, e.Code))
		}
	})
	_, err = s.ServiceTicket(ctx, spn)
	return asked, err
}

// What a replica refuses a primary KDC may grant; it is asked once.
func TestPrimaryIsAskedAfterARefusal(t *testing.T) {
	replica, primary := twoKDCs(t)
	for _, relation := range []string{"primary_kdc", "master_kdc"} {
		o := kerberos.SourceOptions{Krb5ConfText: conf(replica.Name(), "kdc = "+replica.Addr(), relation+" = "+primary.Addr())}
		for user, want := range map[string][]string{
			"changed":  {replica.Addr() + " 25", replica.Addr() + " 24", primary.Addr() + " 25", primary.Addr() + " 0"},
			"newcomer": {replica.Addr() + " 6", primary.Addr() + " 25", primary.Addr() + " 0"},
			"locked":   {replica.Addr() + " 18", primary.Addr() + " 25", primary.Addr() + " 0"},
			"lazy":     {replica.Addr() + " 0", primary.Addr() + " 0"}, // its reply does not open
		} {
			t.Run(relation+" "+user, func(t *testing.T) {
				asked, _ := loginWith(t, o, user, "new")
				if d := cmp.Diff(want, asked); d != "" {
					t.Errorf("-want +got:\n%s", d)
				}
			})
		}
	}
}

// A wrong password counts once at each KDC; it is not sent again to either.
func TestPrimaryRefusesToo(t *testing.T) {
	replica, primary := twoKDCs(t)
	o := kerberos.SourceOptions{Krb5ConfText: conf(replica.Name(), "kdc = "+replica.Addr(), "primary_kdc = "+primary.Addr())}
	for range 5 {
		_, err := loginWith(t, o, "changed", "wrong")
		for _, says := range []string{"PREAUTH_FAILED", replica.Addr(), primary.Addr()} {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%q is not in: %v", says, err)
			}
		}
	}
	if a, b := replica.Count(fakekdc.AS, 24), primary.Count(fakekdc.AS, 24); a != 1 || b != 1 {
		t.Errorf("refused %d times by the replica and %d times by the primary, want once each", a, b)
	}
}

// Nobody is asked twice: not the primary that refused, by whatever name, nor one
// that cannot be reached in place of the answer that is there.
func TestPrimaryIsNotAskedTwice(t *testing.T) {
	replica, primary := twoKDCs(t)
	_, port, err := net.SplitHostPort(replica.Addr())
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := lis.Addr().String()
	lis.Close()
	only := []string{replica.Addr() + " 25", replica.Addr() + " 24"}
	for name, tc := range map[string]struct {
		lines []string
		want  []string
	}{
		"none":                      {nil, only},
		"itself":                    {[]string{"primary_kdc = " + replica.Addr()}, only},
		"itself among others":       {[]string{"primary_kdc = " + primary.Addr(), "primary_kdc = " + replica.Addr()}, only},
		"itself by name":            {[]string{"primary_kdc = replica.test:" + port}, only},
		"one that is not there":     {[]string{"primary_kdc = tcp/" + nobody}, append(slices.Clone(only), nobody+" 0")},
		"a port of the same host":   {[]string{"primary_kdc = " + primary.Addr()}, append(slices.Clone(only), primary.Addr()+" 25", primary.Addr()+" 24")},
		"one of two is there":       {[]string{"primary_kdc = tcp/" + nobody, "primary_kdc = " + primary.Addr()}, nil},
		"itself over another route": {[]string{"primary_kdc = tcp/" + replica.Addr()}, only},
	} {
		t.Run(name, func(t *testing.T) {
			o := kerberos.SourceOptions{Logins: new(kerberos.Logins), Resolver: &zone{hosts: map[string]string{"replica.test": "127.0.0.1"}}, Krb5ConfText: conf(replica.Name(), append(tc.lines, "kdc = "+replica.Addr())...)}
			asked, err := loginWith(t, o, "changed", "wrong "+name)
			if err == nil || !strings.Contains(err.Error(), "PREAUTH_FAILED") {
				t.Errorf("%v", err)
			}
			if d := cmp.Diff(tc.want, asked); d != "" && tc.want != nil {
				t.Errorf("-want +got:\n%s", d)
			}
			if n := slices.Index(asked, primary.Addr()+" 24"); tc.want == nil && n < 0 {
				t.Errorf("asked %q", asked)
			}
		})
	}
}

// DNS that does not work is not asked with every refusal.
func TestPrimaryInBrokenDNS(t *testing.T) {
	replica, _ := twoKDCs(t)
	broken := &dns{fail: &net.DNSError{Err: "server misbehaving", IsTemporary: true}}
	o := as(kerberos.SourceOptions{Resolver: broken}, "nobody")
	o.Krb5ConfText = strings.Replace(conf(replica.Name(), "kdc = "+replica.Addr()), "dns_lookup_kdc = false", "dns_lookup_kdc = true", 1)
	s, err := kerberos.FromPassword(kerberos.NewSecret("x"), o)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := asks(t, 1, s); err == nil || !strings.Contains(err.Error(), "C_PRINCIPAL_UNKNOWN") {
			t.Errorf("%v", err)
		}
	}
	if len(broken.asked) != 2 {
		t.Errorf("asked DNS for %q, want two names once", broken.asked)
	}
}

// Without primary_kdc in krb5.conf DNS is asked who is primary, where it may be.
func TestPrimaryInDNS(t *testing.T) {
	replica, primary := twoKDCs(t)
	srv := func(r *fakekdc.Realm) []*net.SRV {
		_, text, err := net.SplitHostPort(r.Addr())
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		return []*net.SRV{{Target: "127.0.0.1.", Port: uint16(n)}}
	}
	uri := func(flags string, r *fakekdc.Realm) kerberos.URI {
		return kerberos.URI{Target: "krb5srv:" + flags + ":tcp:" + r.Addr()}
	}
	name := replica.Name() + "."
	granted := []string{replica.Addr() + " 25", replica.Addr() + " 24", primary.Addr() + " 25", primary.Addr() + " 0"}
	master := dns{records: map[string][]*net.SRV{"_kerberos-master._tcp." + name: srv(primary)}}
	master.records["_kerberos-master._udp."+name] = master.records["_kerberos-master._tcp."+name]
	both := dns{records: map[string][]*net.SRV{"_kerberos._udp." + name: srv(replica), "_kerberos-master._udp." + name: srv(primary)}}
	kdc := "kdc = " + replica.Addr()
	for what, tc := range map[string]struct {
		resolver kerberos.Resolver
		conf     string
		want     []string
	}{
		"SRV":                   {&master, conf(replica.Name(), kdc), granted},
		"SRV alone":             {&both, conf(replica.Name(), ""), granted},
		"none":                  {&dns{}, conf(replica.Name(), kdc), granted[:2]},
		"DNS down":              {&dns{fail: &net.DNSError{Err: "server misbehaving", IsTemporary: true}}, conf(replica.Name(), kdc), granted[:2]},
		"krb5.conf goes first":  {&master, conf(replica.Name(), kdc, "primary_kdc = "+replica.Addr()), granted[:2]},
		"URI":                   {&zone{uris: map[string][]kerberos.URI{"_kerberos." + name: {uri("", replica), uri("m", primary)}}}, conf(replica.Name(), kdc), granted},
		"URI says none primary": {&zone{dns: dns{records: master.records}, uris: map[string][]kerberos.URI{"_kerberos." + name: {uri("", replica)}}}, conf(replica.Name(), kdc), granted[:2]},
		"URI without KDCs":      {&zone{dns: dns{records: master.records}}, conf(replica.Name(), kdc), granted},
	} {
		for _, may := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, dns_lookup_kdc = %v", what, may), func(t *testing.T) {
				o := kerberos.SourceOptions{Resolver: tc.resolver, Logins: new(kerberos.Logins), Krb5ConfText: tc.conf}
				want := tc.want
				if may {
					o.Krb5ConfText = strings.Replace(tc.conf, "dns_lookup_kdc = false", "dns_lookup_kdc = true", 1)
				} else if want = granted[:2]; what == "SRV alone" {
					want = nil
				}
				asked, _ := loginWith(t, o, "changed", "new")
				if d := cmp.Diff(want, asked); d != "" {
					t.Errorf("-want +got:\n%s", d)
				}
			})
		}
	}
}
