package doctor_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kerbchain/kerbchain/doctor"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// hints is a challenge in which the server says what it knows, as NegTokenInit2 does.
func hints(mechs ...spnego.OID) []string {
	return []string{"Negotiate " + base64.StdEncoding.EncodeToString(spnego.Init{MechTypes: mechs, HintName: "not_defined_in_RFC4178@please_ignore"}.Append(nil))}
}

// What is no fault, or one beside others.
func TestReports(t *testing.T) {
	t.Parallel()
	fallback := func(l *lab, o *doctor.Options, name string) {
		o.Client.Resolver = dns{cname: name + "."}
		l.write("krb5.conf", []byte(strings.Replace(l.Config(), "dns_canonicalize_hostname = false", "dns_canonicalize_hostname = fallback", 1)))
	}
	without := func(l *lab) { // what says of which realm the host is
		l.write("krb5.conf", []byte(strings.ReplaceAll(l.Config(), host+" = EXAMPLE.TEST", "")))
	}
	for name, tc := range map[string]struct {
		fault
		want []string
	}{
		"DNS names the server": {
			fault{spn: "HTTP/web1.example.test", fix: func(l *lab, o *doctor.Options) { fallback(l, o, "web1.example.test") }},
			[]string{"ok host: www.example.test is another name of web1.example.test, 192.0.2.80 (www.example.test)", "ok canonical: asked for web1.example.test next",
				"ok ticket: HTTP/web1.example.test@EXAMPLE.TEST, the name that DNS gives, since the KDC does not know HTTP/www.example.test", "ok answer: 200 OK"},
		},
		"neither name is known": {
			fault{spn: "HTTP/third.example.test", fix: func(l *lab, o *doctor.Options) { fallback(l, o, "web1.example.test") }},
			[]string{"fail ticket: it does not know HTTP/web1.example.test either", "try: setspn -Q"},
		},
		"DNS has no other name": {fault{fix: func(l *lab, o *doctor.Options) { fallback(l, o, host) }}, []string{"ok canonical: DNS has no other name"}},
		"no other name is wanted": {
			fault{fix: func(_ *lab, o *doctor.Options) { o.Client.Canonicalize = kerberos.CanonicalizeNever }},
			[]string{"ok canonical: as the options say"},
		},
		"the options name the service": {
			fault{spn: "HTTP/web1.example.test", fix: func(_ *lab, o *doctor.Options) { o.Client.HostOverride = "web1.example.test" }},
			[]string{"ok canonical: the options name the service", "ok ticket: HTTP/web1.example.test@EXAMPLE.TEST for", "ok answer: "},
		},
		"DNS does not know the host": {fault{fix: func(_ *lab, o *doctor.Options) { o.Client.Resolver = noDNS{} }}, []string{"warn host: DNS knows no address", "ok answer: 200"}},
		"the KDC knows the realm": {
			fault{fix: func(l *lab, _ *doctor.Options) { without(l) }},
			[]string{"ok realm: www.example.test is in no line of [domain_realm]: the KDC of EXAMPLE.TEST knows its realm", "ok answer: 200"},
		},
		"the realm of the host's domain": {
			fault{fix: func(l *lab, _ *doctor.Options) {
				l.write("krb5.conf", []byte(strings.NewReplacer(host+" = EXAMPLE.TEST", "", "dns_lookup_realm", "realm_try_domains = 1\n  dns_lookup_realm").Replace(l.Config())))
				l.url = strings.Replace(l.url, host, "www.corp.test", 1)
			}},
			[]string{"ok realm: or it is looked for in CORP.TEST", "fail ticket: asked for in vain: HTTP/www.corp.test@EXAMPLE.TEST", "fail ticket: krbtgt/CORP.TEST@EXAMPLE.TEST"},
		},
		"another realm": {
			fault{fix: func(l *lab, _ *doctor.Options) {
				other := fakekdc.Start(l.t, fakekdc.WithRealm("OTHER.TEST"), fakekdc.WithoutSockets(), fakekdc.WithService(service))
				l.Trust(other)
				l.service = fakeweb.New(other, service, fakeweb.Options{})
				l.write("krb5.conf", []byte(strings.Replace(l.Config(), host+" = EXAMPLE.TEST", host+" = OTHER.TEST", 1)))
			}},
			[]string{"ok realm: OTHER.TEST, by www.example.test = OTHER.TEST", "ok kdc: EXAMPLE.TEST: ", "ok kdc: OTHER.TEST: ", "ok ticket: HTTP/www.example.test@OTHER.TEST for alice@EXAMPLE.TEST", "ok answer: "},
		},
		"a realm without a name": {
			fault{fix: func(l *lab, o *doctor.Options) {
				l.write("krb5.conf", []byte(strings.NewReplacer("default_realm = EXAMPLE.TEST", "", host+" = EXAMPLE.TEST", "").Replace(l.Config())))
				l.remove("krb5cc")
			}},
			[]string{"fail kdc: no realm is known", "try: run kinit", "try: set default_realm"},
		},
		"the ticket is at hand": {
			fault{fix: func(l *lab, _ *doctor.Options) { l.write("krb5cc", l.CCache("alice", service)); l.Pause() }},
			[]string{"warn kdc: over udp does not answer", "warn kdc: over tcp", "ok ticket: it was in FILE:", "ok answer: 200", "try: is the KDC up"},
		},
		"the KDC answers over TCP alone": {
			fault{fix: func(l *lab, o *doctor.Options) {
				o.Client.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					if network == "udp" {
						return nil, errors.New("connection refused")
					}
					return l.Dial(ctx, network, address)
				}
			}},
			[]string{"warn kdc: over udp does not answer: connection refused", "ok kdc: over tcp answers", "ok answer: 200", "try: let UDP through"},
		},
		"the clock is followed": {
			fault{realm: []fakekdc.Option{fakekdc.WithClock(func() time.Time { return time.Now().Add(-10 * time.Minute) })}},
			[]string{"warn clock: is 10m0s behind this machine, which tokens make up for", "ok ticket: ", "ok answer: 200", "try: set the clock"},
		},
		"clocks apart as far as they may be": {
			fault{realm: []fakekdc.Option{fakekdc.WithClock(func() time.Time { return time.Now().Add(299 * time.Second) })}},
			[]string{"ok clock: is 4m59s ahead of this machine"},
		},
		"the server's Date is old": {fault{fix: func(l *lab, _ *doctor.Options) { l.date = -301 * time.Second }}, []string{"warn clock: is 5m1s behind this machine by its Date", "ok answer: 200"}},
		"the server ends the connection": {
			fault{web: fakeweb.Options{Quirks: fakeweb.Quirks{Hangup: true}}},
			[]string{"ok offer: Negotiate", "fail server: it closed the connection before there was an answer", "try: look into the log of the server"},
		},
		"RC4": {
			fault{realm: []fakekdc.Option{fakekdc.WithService(service, fakekdc.Etypes(fakekdc.RC4HMAC), fakekdc.SessionEtypes(fakekdc.AES256SHA1))}, fix: func(l *lab, o *doctor.Options) {}},
			[]string{"warn ticket: sealed with key version 1 of the service, arcfour-hmac: RC4", "try: have AES keys made"},
		},
		"a wrong name": {
			fault{fix: func(l *lab, o *doctor.Options) {
				o.Client.Principal, o.Client.Password = "carol", kerberos.NewSecret("x")
			}},
			[]string{"fail login: KDC_ERR_C_PRINCIPAL_UNKNOWN", "skip answer: no ticket", "try: check its spelling"},
		},
		"a key version": {fault{fix: func(l *lab, _ *doctor.Options) { l.must(l.Rotate(service)) }}, []string{"ok ticket: sealed with key version 2"}},
		"HTTPS": {
			fault{server: fakeweb.ServerOptions{TLS: true, HTTP2: true}},
			[]string{"ok server: 401 Unauthorized over HTTP/2.0, TLS 1.3", "ok bindings: tls-server-end-point of the certificate of CN=www.example.test", "ok answer: 200"},
		},
		"no bindings": {
			fault{server: fakeweb.ServerOptions{TLS: true}, fix: func(_ *lab, o *doctor.Options) { o.Client.Bindings = kerberos.BindingsOff }},
			[]string{"skip bindings: switched off", "ok answer: 200"},
		},
		"bindings that are not defined": {
			fault{server: fakeweb.ServerOptions{TLS: true, Signature: x509.PureEd25519}},
			[]string{"warn bindings: not defined", "ok answer: 200", "try: have the certificate signed"},
		},
		"bindings that are required and not defined": {
			fault{server: fakeweb.ServerOptions{TLS: true, Signature: x509.PureEd25519}, fix: func(_ *lab, o *doctor.Options) { o.Client.Bindings = kerberos.BindingsRequired }},
			[]string{"fail bindings: not defined", "skip answer: no token", "try: have the certificate signed"},
		},
		"bindings that are required over plain http": {
			fault{fix: func(_ *lab, o *doctor.Options) { o.Client.Bindings = kerberos.BindingsRequired }},
			[]string{"fail token: plain HTTP has none", "skip answer: no token"},
		},
		"no proof, and none is required": {
			fault{web: fakeweb.Options{Quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone}}, fix: func(_ *lab, o *doctor.Options) { o.Client.Mutual = mutual.Optional }},
			[]string{"warn answer: 200 OK: the server did not prove who it is"},
		},
		"NTLM for proof": {
			fault{web: fakeweb.Options{Quirks: fakeweb.Quirks{Proof: fakeweb.ProofNTLM}}},
			[]string{"fail answer: NTLM, or another mechanism than Kerberos, inside Negotiate"},
		},
		"NTLM beside it":        {fault{web: fakeweb.Options{Quirks: fakeweb.Quirks{Challenge: []string{"Negotiate, NTLM", `Basic realm="x"`}}}}, []string{"ok offer: Negotiate, NTLM, Basic", "ok answer: 200"}},
		"mechanisms":            {fault{web: fakeweb.Options{Quirks: fakeweb.Quirks{Challenge: hints(spnego.MSKRB5, spnego.NTLM)}}}, []string{"ok offer: Negotiate, within it ", "ok answer: 200"}},
		"mechanisms, none ours": {fault{web: fakeweb.Options{Quirks: fakeweb.Quirks{Challenge: hints(spnego.NTLM)}}}, []string{"warn offer: Kerberos is not among them"}},
		"the scheme Kerberos":   {fault{web: fakeweb.Options{Schemes: []string{"Kerberos"}}}, []string{"ok offer: Kerberos", "ok answer: 200"}},
		"a session": {
			fault{web: fakeweb.Options{ConnectionBound: true, SignalPersistent: true}},
			[]string{"ok answer: Persistent-Auth: true"},
		},
		"a page that is not there": {
			fault{web: fakeweb.Options{Next: http.NotFoundHandler()}},
			[]string{"warn answer: 404 Not Found: the server proved that it is HTTP/www.example.test@EXAMPLE.TEST: whatever it is, authentication is not the reason"},
		},
		"a page that is not there, says nobody": {
			fault{web: fakeweb.Options{Next: http.NotFoundHandler(), Quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone}}},
			[]string{"fail answer: 404 Not Found", "try: KeepErrorBodies"},
		},
		"a redirect that is proved": {
			fault{web: fakeweb.Options{Next: http.RedirectHandler("https://login.example.test/?back=1", http.StatusFound)}},
			[]string{"ok answer: it sends on to https://login.example.test/"},
		},
		"tokens are refused over HTTP/2": {
			fault{server: fakeweb.ServerOptions{TLS: true, HTTP2: true}, web: fakeweb.Options{QuirksFor: func(r *http.Request) *fakeweb.Quirks {
				if r.ProtoMajor < 2 {
					return nil
				}
				return &fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectPlain}
			}}},
			[]string{"ok server: 401 Unauthorized over HTTP/2.0", "warn http2: ", "ok answer: 200"},
		},
		"HTTP/2 twice over": {
			fault{server: fakeweb.ServerOptions{TLS: true, HTTP2: true, HTTP11Required: true}},
			[]string{"warn http2: ", "ok answer: 200"},
		},
		"the page asks for nothing, and nothing is wanted": {
			fault{web: fakeweb.Options{Quirks: fakeweb.Quirks{Before: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}}, fix: func(_ *lab, o *doctor.Options) { o.Client.Mutual = mutual.Optional }},
			[]string{"warn offer: it does not ask for authentication", "ok answer: 200 OK"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, o := tc.lab(t)
				r, err := doctor.Examine(t.Context(), l.url, o)
				if err != nil {
					t.Fatal(err)
				}
				wants(t, r, tc.want...)
				for _, c := range r.Checks {
					bytes, ok := c.Facts["bytes"].(int)
					scheme := "Negotiate"
					if name == "the scheme Kerberos" {
						scheme = "Kerberos"
					}
					if want := len("Authorization: ") + len(scheme) + 1 + (bytes+2)/3*4; ok && c.Facts["field_bytes"] != want {
						t.Errorf("a header field of %v bytes, want %d", c.Facts["field_bytes"], want)
					}
				}
				if n := slices.IndexFunc(r.Checks, func(c doctor.Check) bool { return c.Name == "http2" }); n >= 0 {
					if rest := r.Checks[n+1:]; slices.ContainsFunc(rest, func(c doctor.Check) bool { return c.Name == "http2" }) {
						t.Error("http2 is said twice")
					}
				}
			})
		})
	}
}

// noDNS knows no host.
type noDNS struct{ dns }

func (noDNS) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}

// How often whom is asked: a password is sent once, and the server gets what the
// documentation of the package says.
func TestSent(t *testing.T) {
	for name, tc := range map[string]struct {
		fault
		requests string // to the server: - without a token, + with one
		logins   int    // with the password
	}{
		"all is well":    {fault{}, "- - +", 1},
		"a refusal":      {fault{web: fakeweb.Options{Quirks: fakeweb.Quirks{Reject: true, RejectCode: fakekdc.CodeSkew}}}, "- - +", 1},
		"no service":     {fault{fix: func(l *lab, _ *doctor.Options) { l.must(l.Remove(service)) }}, "-", 1},
		"Basic alone":    {fault{web: fakeweb.Options{Quirks: fakeweb.Quirks{Challenge: []string{"Basic"}}}}, "-", 1},
		"barred":         {fault{fix: func(_ *lab, o *doctor.Options) { o.Client.AllowedHosts = []string{"x"} }}, "", 0},
		"wrong password": {fault{fix: func(l *lab, _ *doctor.Options) { l.must(l.SetPassword("alice", "another")) }}, "-", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, o := tc.lab(t)
				o.Client.Principal, o.Client.Password, o.Client.Getenv = "alice", kerberos.NewSecret(password), func(name string) string { return map[string]string{"KRB5_CONFIG": l.env["KRB5_CONFIG"]}[name] }
				if _, err := doctor.Examine(t.Context(), l.url, o); err != nil {
					t.Fatal(err)
				}
				var sent []string
				for _, r := range l.service.Requests() {
					sent = append(sent, map[bool]string{false: "-", true: "+"}[r.Scheme != ""])
				}
				if got := strings.Join(sent, " "); got != tc.requests {
					t.Errorf("requests %q, want %q: %v", got, tc.requests, l.service.Requests())
				}
				logins := l.Count(fakekdc.AS, 0, fakekdc.CodePreauthFailed)
				if logins != tc.logins {
					t.Errorf("%d logins, want %d:\n%v", logins, tc.logins, l.Exchanges())
				}
				if n := l.Count(fakekdc.AS, fakekdc.CodeClientUnknown); n != 2 {
					t.Errorf("the KDC was asked %d times for nobody", n)
				}
			})
		})
	}
}

// What was not looked at when the context ends is not made up.
func TestCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, o := fault{}.lab(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("enough"))
		r, err := doctor.Examine(ctx, l.url, o)
		if err != nil {
			t.Fatal(err)
		}
		wants(t, r, "fail examination: enough")
		if len(r.Checks) != 1 || r.OK || len(l.service.Requests()) > 0 {
			t.Errorf("%s", r)
		}
	})
}

// A part that hangs gets its time and no more.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		l, o := fault{web: fakeweb.Options{Quirks: fakeweb.Quirks{Before: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			close(ended)
		})}}}.lab(t)
		o.Timeout = time.Minute
		start := time.Now()
		r, err := doctor.Examine(t.Context(), l.url, o)
		if err != nil {
			t.Fatal(err)
		}
		<-ended
		wants(t, r, "fail server: ", "ok ticket: ", "skip answer: the server was not reached")
		if took := time.Since(start); took != time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// TestNoNameServer: where the name servers do not answer, what is to be tried first is about
// them, and neither the server nor the KDC is blamed.
func TestNoNameServer(t *testing.T) {
	system := net.DefaultResolver
	defer func() { net.DefaultResolver = system }()
	for name, dial := range map[string]func(ctx context.Context, network, address string) (net.Conn, error){
		"silent": func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
		"refused": func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") },
	} {
		net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: dial}
		l := newLab(t, fakeweb.Options{}, fakeweb.ServerOptions{})
		conf := l.Config()
		t.Run(name, func(t *testing.T) { // and wait for its rows, before the next resolver takes the place of theirs
			for what, row := range map[string]struct {
				host string // of its own: a lookup that two ask for goes on when both have given up
				conf string
				want []string
			}{
				"server": {"www.example.test", conf, nil},
				"KDC":    {"www1.example.test", strings.Replace(conf, "kdc = "+l.Addr(), "kdc = kdc.example.test", 1), []string{"fail kdc: lookup kdc.example.test"}},
				"no KDC": {"www2.example.test", strings.NewReplacer("kdc = "+l.Addr(), "", "dns_lookup_kdc = false", "").Replace(conf), []string{"fail kdc: _kerberos._udp.EXAMPLE.TEST", "try: name its KDCs in [realms]"}},
			} {
				o := l.options(map[string]string{"KRB5_CONFIG": l.write(what+".conf", []byte(row.conf))})
				o.Client.Resolver, o.Client.Transport, o.Timeout = nil, nil, 200*time.Millisecond
				t.Run("of the "+what, func(t *testing.T) {
					t.Parallel()
					r, err := doctor.Examine(t.Context(), "http://"+row.host+"/", o)
					if err != nil {
						t.Fatal(err)
					}
					wants(t, r, append(row.want, "fail server: "+row.host, "warn host: DNS tells no address", "try: the name servers of this machine do not answer as they should")...)
					if all := strings.Join(r.Try, "\n"); !strings.HasPrefix(all, "the name servers") || strings.Contains(all, "server runs") || strings.Contains(all, "KDC up") && row.conf != conf {
						t.Errorf("try %q", r.Try)
					}
				})
			}
		})
	}
}

// TestLocalhost: the name servers of the machine are not asked about localhost.
func TestLocalhost(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("its hosts file does not name localhost, which Go's own resolver looks for there")
	}
	system := net.DefaultResolver
	defer func() { net.DefaultResolver = system }()
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("a name server is asked")
		return nil, errors.New("no network")
	}}
	l := newLab(t, fakeweb.Options{}, fakeweb.ServerOptions{})
	for conf, want := range map[string]string{l.env["KRB5_CONFIG"]: "ok answer: 200 OK", l.write("damaged.conf", []byte("[libdefaults\n")): "fail configuration: "} {
		o := l.options(map[string]string{"KRB5_CONFIG": conf})
		o.Client.Resolver = nil
		wants(t, l.examine(o), "ok host: localhost, ", want)
	}
}
