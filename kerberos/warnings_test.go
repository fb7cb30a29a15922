package kerberos_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// What in krb5.conf is not as it was meant is told to a trace, once, and stands in the
// error that it may have led to.
func TestConfigurationWarnings(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithRealm("LAB.TEST"), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/a"))
	good := realm.Config()
	swap := func(old, text string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in %s", old, good)
		}
		return strings.Replace(good, old, text, 1)
	}
	for name, tc := range map[string]struct {
		conf  string
		told  string // in the trace
		times int    // how many there are
		again bool   // in an error, which there is then
	}{
		"nothing":          {good, "", 0, false},
		"of no importance": {swap("[libdefaults]", "[libdefaults]\n\tforwardable = maybe"), "forwardable", 1, false},
		"quoted realm":     {swap("LAB.TEST = {", `"LAB.TEST" = {`), `the quotes count as part of the name, write LAB.TEST = {`, 1, true},
		"two KDCs":         {swap("\tkdc = ", "\tkdc = nowhere.invalid,"), "one server stands on a line", 1, true},
		"weak types":       {swap("default_tkt_enctypes = ", "default_tkt_enctypes = arcfour-hmac\n#"), "arcfour-hmac is left out: it is weak", 2, true},
		"user without a name": {
			swap("[libdefaults]", "[libdefaults]\n\tdefault_ccache_name = FILE:%{nobody}/cc"), "default_ccache_name", 1, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
				Principal: "alice@LAB.TEST", Krb5ConfText: tc.conf, Now: realm.Now, Getenv: func(string) string { return "" },
			})
			if err != nil {
				t.Fatal(err)
			}
			var told []string
			ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.ConfigurationEvent); ok {
					told = append(told, e.String())
				}
			})
			for range 2 {
				_, err = s.ServiceTicket(ctx, "HTTP/a")
			}
			if tc.told == "" && len(told) != 0 || tc.told != "" && (len(told) != tc.times || !strings.Contains(told[0], tc.told) || !strings.HasPrefix(told[0], "krb5.conf:")) {
				t.Errorf("told %q, want one about %q", told, tc.told)
			}
			switch {
			case tc.again != (err != nil):
				t.Errorf("error %v", err)
			case err != nil:
				if !strings.Contains(err.Error(), tc.told) || !strings.Contains(err.Error(), "look at krb5.conf:") {
					t.Errorf("%q is not in %v", tc.told, err)
				}
				for _, wrong := range stagetest.Prose(err.Error()) {
					t.Errorf("%s: %v", wrong, err)
				}
			}
		})
	}
}

// A name in small letters, or as Windows writes it, is told what krb5.conf knows.
func TestDidYouMean(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithRealm("LAB.TEST"), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/a"))
	mixed := strings.ReplaceAll(realm.Config(), "LAB.TEST", "Lab.Test")
	for name, tc := range map[string]struct {
		conf, principal string
		want            string
	}{
		"small letters":      {realm.Config(), "alice@lab.test", "write the realm in capitals: LAB.TEST"},
		"a realm in neither": {mixed, "alice@LAB.TEST", "did you mean alice@Lab.Test?"},
		"first label":        {realm.Config(), `LAB\alice`, "did you mean alice@LAB.TEST?"},
		"small first label":  {realm.Config(), `lab\alice`, "did you mean alice@LAB.TEST?"},
		"the whole realm":    {realm.Config(), `lab.test\alice`, "did you mean alice@LAB.TEST?"},
		"and a realm":        {realm.Config(), `LAB\alice@LAB.TEST`, "did you mean alice@LAB.TEST?"},
		"another domain":     {realm.Config(), `CORP\alice`, `write name@REALM: DOMAIN\name is no principal`},
		"an enterprise name": {realm.Config(), `alice\@corp.example@LAB.TEST`, ""},
		"nobody":             {realm.Config(), "nobody@LAB.TEST", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
				Principal: tc.principal, Krb5ConfText: tc.conf, Now: realm.Now, Getenv: func(string) string { return "" },
				Resolver: &dns{}, Logins: new(kerberos.Logins),
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.ServiceTicket(t.Context(), "HTTP/a")
			e, ok := errors.AsType[*middleware.Error](err)
			if !ok {
				t.Fatal(err)
			}
			if !strings.Contains(err.Error(), tc.want) || tc.want == "" && strings.Contains(e.Hint, "did you mean") {
				t.Errorf("%v, want %q", err, tc.want)
			}
			if d := cmp.Diff([]string(nil), stagetest.Prose(err.Error())); d != "" {
				t.Errorf("%s: %v", d, err)
			}
		})
	}
}

// A cache that a service keeps for its user, as mod_auth_gssapi's GssapiUseS4U2Proxy
// leaves it, is good for what the service may do for the user (S4U2Proxy).
func TestImpersonatorsCache(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithRealm("LAB.TEST"), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/a"), fakekdc.WithService("HTTP/b"),
		fakekdc.WithService("HTTP/web", fakekdc.AllowedToDelegateTo("HTTP/a")))
	user, err := ccache.Parse(realm.CCache("alice", "HTTP/web"))
	if err != nil {
		t.Fatal(err)
	}
	service, err := ccache.Parse(realm.CCache("HTTP/web"))
	if err != nil {
		t.Fatal(err)
	}
	tgt, evidence := service.Credentials[0], user.Credentials[1]
	short := evidence
	short.EndTime = realm.Now().Add(-time.Minute)
	source := func(credentials ...ccache.Credential) *kerberos.Source {
		t.Helper()
		c := &ccache.Cache{Client: user.Client, Credentials: credentials, Config: []ccache.Config{{Key: "proxy_impersonator", Value: []byte("HTTP/web@LAB.TEST")}}}
		b, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		s, err := kerberos.FromCCache(testmain.File(t, "cc", b), kerberos.SourceOptions{Krb5ConfText: realm.Config(), Now: realm.Now, Getenv: func(string) string { return "" }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := source(tgt, evidence)
	if _, err := s.ServiceTicket(t.Context(), "HTTP/web"); err != nil {
		t.Errorf("the ticket to the service itself: %v", err)
	}
	for range 2 {
		if ticket, err := s.ServiceTicket(t.Context(), "HTTP/a"); err != nil || ticket.Client() != "alice@LAB.TEST" {
			t.Errorf("at the service that is allowed: %v, %v", ticket, err)
		}
	}
	if n := realm.Count(fakekdc.TGS, 0); n != 1 {
		t.Errorf("%d tickets were fetched", n)
	}
	if _, err := s.ServiceTicket(t.Context(), "HTTP/b"); !errors.Is(err, kerberos.ErrDelegationNotAllowed) {
		t.Errorf("at another: %v", err)
	}
	for name, s := range map[string]*kerberos.Source{"no ticket of the service": source(evidence), "no evidence": source(tgt, user.Credentials[0]), "evidence of old": source(tgt, short)} {
		before := len(realm.Exchanges())
		_, err := s.ServiceTicket(t.Context(), "HTTP/a")
		if name == "no evidence" { // then it is the user's own
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !errors.Is(err, middleware.ErrCredentials) || !strings.Contains(err.Error(), "holds what HTTP/web@LAB.TEST was given on behalf of the client (proxy_impersonator)") || len(realm.Exchanges()) != before {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff([]string(nil), stagetest.Prose(err.Error())); d != "" {
			t.Errorf("%s: %s: %v", name, d, err)
		}
	}
}
