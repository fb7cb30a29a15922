package doctor_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/kerbchain/kerbchain/doctor"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
)

var update = flag.Bool("update", false, "write the reports in docs/doctor.md anew")

const (
	host    = "www.example.test"
	service = "HTTP/" + host
)

// A fault is one thing that is wrong in a lab where all else is right.
type fault struct {
	name   string
	realm  []fakekdc.Option
	web    fakeweb.Options
	server fakeweb.ServerOptions
	spn    string // of the service, if another
	fix    func(l *lab, o *doctor.Options)
	check  string // the only one that fails or, if none does, that warns
	warns  bool
	try    string // part of what is to be tried first
}

// faults is what TestFaults puts wrong, one by one.
var faults = []fault{
	{name: "nothing is wrong"},
	{
		name: "krb5.conf has a typing error", check: "configuration", try: "mend the file",
		fix: func(l *lab, _ *doctor.Options) {
			l.write("krb5.conf", []byte("[libdefaults\n  default_realm = EXAMPLE.TEST\n"))
		},
	},
	{
		name: "krb5.conf has a value that means nothing", check: "warning", warns: true, try: "look at /home/alice/krb5.conf",
		fix: func(l *lab, _ *doctor.Options) { l.write("krb5.conf", []byte(l.Config("clockskew = soon"))) },
	},
	{
		name: "krb5.conf has names that nothing reads there", check: "warning", warns: true, try: "the nearest name that is known is dns_lookup_kdc",
		fix: func(l *lab, _ *doctor.Options) {
			l.write("krb5.conf", []byte(l.Config("dns_lookup_kcd = false", "kdc = kdc.example.test", "my-program = {", "}")+"[domain_realms]\n  .example.test = EXAMPLE.TEST\n"))
		},
	},
	{
		name: "nobody ran kinit", check: "credentials", try: "run kinit",
		fix: func(l *lab, _ *doctor.Options) { l.remove("krb5cc") },
	},
	{
		name: "the ticket has expired", check: "credentials", try: "run kinit",
		fix: func(*lab, *doctor.Options) { time.Sleep(11 * time.Hour) },
	},
	{
		name: "the cache belongs to another user", check: "cache", warns: true, try: "run kinit with another name in KRB5CCNAME",
		fix: func(l *lab, _ *doctor.Options) {
			if runtime.GOOS == "windows" || os.Chown(filepath.Join(l.dir, "krb5cc"), 4711, -1) != nil {
				l.t.Skip("files cannot be given away here")
			}
		},
	},
	{
		name: "the cache is of another realm", check: "kdc", try: "add `OTHER.TEST = { kdc = host }` to [realms]",
		fix: func(l *lab, _ *doctor.Options) {
			other := fakekdc.Start(l.t, fakekdc.WithRealm("OTHER.TEST"), fakekdc.WithUser("bob", password), fakekdc.WithoutSockets())
			l.write("krb5cc", other.CCache("bob"))
		},
	},
	{
		name: "the keytab has no key of the principal", check: "credentials", try: "name one of these principals, or get a keytab for this one",
		fix: func(l *lab, o *doctor.Options) {
			o.Client.Principal, o.Client.Keytab = "alice", l.write("http.keytab", l.Keytab(service))
		},
	},
	{
		name: "the keytab is of an old password", check: "login", try: "A keytab goes stale when the password changes",
		fix: func(l *lab, o *doctor.Options) {
			o.Client.Keytab = l.write("alice.keytab", l.Keytab("alice"))
			l.must(l.SetPassword("alice", "another"))
		},
	},
	{
		name: "the password has expired", check: "login", try: "change it with kpasswd",
		fix: func(l *lab, o *doctor.Options) {
			l.must(l.Modify("alice", fakekdc.Refuse(fakekdc.CodeKeyExpired)))
			o.Client.Principal, o.Client.Password = "alice", kerberos.NewSecret(password)
			o.Client.NewPassword = func(context.Context, kerberos.NewPasswordRequest) (kerberos.Secret, error) {
				l.t.Error("it asks for a new password")
				return kerberos.Secret{}, nil
			}
		},
	},
	{
		name: "no KDC answers", check: "kdc", try: "is the KDC up",
		fix: func(l *lab, _ *doctor.Options) { l.Pause() },
	},
	{
		name: "the KDC answers over UDP alone", check: "kdc", warns: true, try: "let TCP through",
		fix: func(l *lab, o *doctor.Options) {
			o.Client.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if network == "tcp" {
					return nil, errors.New("connection refused")
				}
				return l.Dial(ctx, network, address)
			}
		},
	},
	{
		name: "the KDC's clock is behind, and may not be followed", check: "clock", try: "set the clock", realm: []fakekdc.Option{fakekdc.WithClock(func() time.Time { return time.Now().Add(-10 * time.Minute) })},
		fix: func(l *lab, _ *doctor.Options) { l.write("krb5.conf", []byte(l.Config("kdc_timesync = 0"))) },
	},
	{
		name: "[domain_realm] names a realm that nobody knows", check: "realm", try: "if www.example.test is not of realm WRONG.TEST, mend",
		fix: func(l *lab, _ *doctor.Options) {
			l.write("krb5.conf", []byte(strings.ReplaceAll(l.Config(), host+" = EXAMPLE.TEST", host+" = WRONG.TEST")))
		},
	},
	{
		name: "the KDC does not know the service", check: "ticket", try: "setspn -Q " + service,
		fix: func(l *lab, _ *doctor.Options) { l.must(l.Remove(service)) },
	},
	{
		name: "the KDC knows the service by the name that DNS gives", check: "ticket", try: "web1.example.test, the name that DNS gives", spn: "HTTP/web1.example.test",
		fix: func(l *lab, o *doctor.Options) { o.Client.Resolver = dns{cname: "web1.example.test."} },
	},
	{
		name: "the URL has an address", check: "ticket", try: "write the server's name in the URL",
		fix: func(l *lab, _ *doctor.Options) { l.url = "http://192.0.2.80/" },
	},
	{
		name: "the service has no key of a type that is allowed", check: "ticket", try: "see permitted_enctypes",
		fix: func(l *lab, _ *doctor.Options) { l.must(l.Modify(service, fakekdc.Etypes(fakekdc.RC4HMAC))) },
	},
	{
		name: "credentials are to be delegated that cannot be", check: "delegation", try: "kinit -f", realm: []fakekdc.Option{fakekdc.WithUser("carol", password, fakekdc.NotForwardable())},
		fix: func(l *lab, o *doctor.Options) {
			l.write("krb5cc", l.CCache("carol"))
			o.Client.Delegation = kerberos.DelegationAlways
		},
	},
	{
		name: "the host is not on the list", check: "allowed", try: "add www.example.test to AllowedHosts",
		fix: func(_ *lab, o *doctor.Options) { o.Client.AllowedHosts = []string{"*.corp.example"} },
	},
	{
		name: "nobody listens", check: "server", try: "see whether the server runs",
		fix: func(l *lab, _ *doctor.Options) { l.server.Close() },
	},
	{
		name: "the certificate is not trusted", check: "server", try: "trust the authority", server: fakeweb.ServerOptions{TLS: true},
		fix: func(l *lab, o *doctor.Options) {
			t := l.server.Transport()
			t.TLSClientConfig.RootCAs = nil
			o.Client.Transport = t
		},
	},
	{
		name: "the certificate is for another name", check: "server", try: "write a name in the URL that is in the certificate", server: fakeweb.ServerOptions{TLS: true},
		fix: func(l *lab, o *doctor.Options) {
			t := l.server.Transport()
			t.TLSClientConfig.ServerName = "web.example.test"
			o.Client.Transport = t
		},
	},
	{
		name: "https where it is http", check: "server", try: "begin the URL with http://",
		fix: func(l *lab, _ *doctor.Options) { l.url = "https://" + host + ":80/" },
	},
	{
		name: "http where it is https", check: "answer", try: "begin the URL with https://", server: fakeweb.ServerOptions{TLS: true},
		fix: func(l *lab, _ *doctor.Options) { l.url = "http://" + host + ":443/" },
	},
	{
		name: "the server offers Basic alone", check: "offer", try: "have HTTP Negotiate switched on",
		web: fakeweb.Options{Quirks: fakeweb.Quirks{Challenge: []string{`Basic realm="x"`}}},
	},
	{
		name: "the page asks for no authentication", check: "answer", try: "ask for a URL that needs authentication",
		web: fakeweb.Options{Quirks: fakeweb.Quirks{Before: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}},
	},
	{
		name: "the server sends on to another host", check: "answer", try: "examine https://login.example.test/, where the server sends on to",
		web: fakeweb.Options{Quirks: fakeweb.Quirks{Before: http.RedirectHandler("https://login.example.test/?back=1", http.StatusFound)}},
	},
	{
		name: "the server does not authenticate over HTTP/2", check: "http2", warns: true, try: "have HTTP/2 switched off",
		server: fakeweb.ServerOptions{TLS: true, HTTP2: true, HTTP11Required: true},
	},
	{
		name: "the service principal is another account's", check: "answer", try: "the principal belongs to another account",
		web: fakeweb.Options{Quirks: fakeweb.Quirks{Reject: true, RejectCode: fakekdc.CodeBadIntegrity}},
	},
	{
		name: "the server's clock is wrong", check: "answer", try: "the clocks of client and server are too far apart",
		web: fakeweb.Options{Quirks: fakeweb.Quirks{Reject: true, RejectCode: fakekdc.CodeSkew}},
		fix: func(l *lab, _ *doctor.Options) { l.date = time.Hour },
	},
	{
		name: "the server goes on with NTLM", check: "answer", try: "its SPN is not registered or belongs to another account",
		web: fakeweb.Options{Quirks: fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectNTLM}},
	},
	{
		name: "something ends TLS before the server", check: "answer", try: "if something on the way ends TLS",
		server: fakeweb.ServerOptions{TLS: true},
		fix: func(l *lab, _ *doctor.Options) {
			other := fakeweb.Serve(l.Realm, http.NotFoundHandler(), fakeweb.ServerOptions{TLS: true, InMemory: true})
			l.service = fakeweb.New(l.Realm, service, fakeweb.Options{Bindings: fakekdc.BindingsRequired, Certificate: other.Certificate()})
		},
	},
	{
		name: "the token is too large for the server", check: "answer", try: "the server's limit for a header field is most likely too small", realm: []fakekdc.Option{fakekdc.WithService(service, fakekdc.TicketPadding(7000))},
		web: fakeweb.Options{QuirksFor: func(r *http.Request) *fakeweb.Quirks {
			if len(r.Header.Get("Authorization")) < 8190 {
				return nil
			}
			return &fakeweb.Quirks{Before: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })}
		}},
	},
	{
		name: "the server proves nothing", check: "answer", try: "the server sends no mutual token",
		web: fakeweb.Options{Quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone}},
	},
	{
		name: "the server's proof is forged", check: "answer", try: "the answer was not made by the holder of the service's key",
		web: fakeweb.Options{Quirks: fakeweb.Quirks{Proof: fakeweb.ProofForged}},
	},
	{
		name: "the server knows the user, and refuses that user", check: "answer", try: "look there for who is allowed in",
		web: fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })},
	},
}

// dns is what a lab's name server says.
type dns struct{ cname string }

func (d dns) LookupCNAME(_ context.Context, host string) (string, error) {
	return cmp.Or(d.cname, host), nil
}
func (dns) LookupAddr(context.Context, string) ([]string, error) { return []string{host + "."}, nil }
func (dns) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("192.0.2.80")}, nil
}
func (dns) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, &net.DNSError{IsNotFound: true}
}

// lab returns the fault's lab, within the process and with a clock of its own.
func (f fault) lab(t *testing.T) (*lab, doctor.Options) {
	realm := append([]fakekdc.Option{
		fakekdc.WithRealm("EXAMPLE.TEST"), fakekdc.WithUser("alice", password), fakekdc.WithoutSockets(), fakekdc.WithHosts(host),
	}, f.realm...)
	spn := cmp.Or(f.spn, service)
	l := &lab{t: t, dir: t.TempDir(), Realm: fakekdc.Start(t, realm...)}
	if !slices.Contains(l.Principals(), spn+"@EXAMPLE.TEST") {
		l.must(l.AddService(spn))
	}
	l.service = fakeweb.New(l.Realm, spn, f.web)
	f.server.Host, f.server.InMemory = host, true
	l.server = fakeweb.Serve(l.Realm, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "Example/1.0")
		w.Header().Set("Date", time.Now().Add(l.date).UTC().Format(http.TimeFormat))
		l.service.ServeHTTP(w, r)
	}), f.server)
	l.url = l.server.URL() + "/page?secret=1"
	l.env = map[string]string{
		"KRB5_CONFIG": l.write("krb5.conf", []byte(l.Config())), "KRB5CCNAME": "FILE:" + l.write("krb5cc", l.CCache("alice")),
		"KRB5_CLIENT_KTNAME": filepath.Join(l.dir, "client.keytab"), "HOME": l.dir,
	}
	o := l.options(nil)
	o.Client.Dial = l.Dial
	if f.fix != nil {
		f.fix(l, &o)
	}
	return l, o
}

// TestFaults: of each fault, the check that fails is the right one and no other, and so
// is what is to be tried first. docs/doctor.md has the reports.
func TestFaults(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("files have other names and no modes, and the system's errors other words")
	}
	page := filepath.Join("..", "docs", "doctor.md")
	before, err := os.ReadFile(page)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	head, old, found := strings.Cut(string(before), begin)
	old, tail, whole := strings.Cut(old, end)
	if !found || !whole {
		t.Fatalf("%s: want the lines %q and %q", page, begin, end)
	}
	var b strings.Builder
	for _, f := range faults {
		text := ""
		t.Run(f.name, func(t *testing.T) { text = f.examine(t) })
		if text == "" { // it was left out here
			text = section(old, f.name)
		}
		b.WriteString(text)
	}
	got := head + begin + "\n" + b.String() + end + tail
	switch d := gocmp.Diff(string(before), got); {
	case d == "":
	case *update && !t.Failed():
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("docs/doctor.md (-is +should be), -update writes it\n%s", d)
	}
}

const (
	begin = "<!-- reports: go test ./doctor -run TestFaults -update -->"
	end   = "<!-- end of reports -->"
)

// section returns what the page has of a fault.
func section(page, name string) string {
	_, text, ok := strings.Cut(page, "\n### "+name+"\n")
	if !ok {
		return ""
	}
	if i := strings.Index(text, "\n### "); i >= 0 {
		text = text[:i]
	}
	return "\n### " + name + "\n" + text
}

// examine examines the fault, and returns its section of the page.
func (f fault) examine(t *testing.T) (text string) {
	synctest.Test(t, func(t *testing.T) {
		l, o := f.lab(t)
		r, err := doctor.Examine(t.Context(), l.url, o)
		if err != nil {
			t.Fatal(err)
		}
		f.judge(t, l, r)
		documented(t, r)
		for _, q := range l.service.Requests() {
			if q.Method != http.MethodGet || strings.Contains(q.URI, "login") {
				t.Errorf("the server was sent %v", q)
			}
		}
		text = f.section(l, r)
	})
	return text
}

func (f fault) judge(t *testing.T, l *lab, r *doctor.Report) {
	t.Helper()
	var failed, warned []string
	for _, c := range r.Checks {
		switch c.Status {
		case doctor.Fail:
			failed = append(failed, c.Name)
		case doctor.Warn:
			warned = append(warned, c.Name)
		}
	}
	failed, warned = slices.Compact(failed), slices.Compact(warned)
	switch {
	case f.check == "":
		if len(failed)+len(warned) > 0 || len(r.Try) > 0 || !r.OK {
			t.Errorf("failed %q, warned %q", failed, warned)
		}
	case f.warns:
		if len(failed) > 0 || !slices.Equal(warned, []string{f.check}) || !r.OK {
			t.Errorf("failed %q, warned %q, want a warning of %q alone", failed, warned, f.check)
		}
	case !slices.Equal(failed, []string{f.check}) || r.OK:
		t.Errorf("failed %q, want %q alone", failed, f.check)
	}
	if f.check != "" && (len(r.Try) == 0 || len(r.Try) > 3 || !strings.Contains(l.plain(r.Try[0]), f.try)) {
		t.Errorf("try %q, want %q first", r.Try, f.try)
	}
	if text := r.String(); strings.Contains(text, password) || strings.Contains(text, "secret=1") || strings.Contains(text, "back=1") {
		t.Errorf("it tells a secret:\n%s", text)
	}
	if t.Failed() {
		t.Logf("\n%s", r)
	}
}

// section is what the page has of the report: all lines where nothing is wrong, and
// else those that say what is.
func (f fault) section(l *lab, r *doctor.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n```text\n", f.name)
	for line := range strings.Lines(l.plain(r.String())) {
		if f.check == "" || !strings.HasPrefix(line, "ok") && !strings.HasPrefix(line, "skip") {
			b.WriteString(line)
		}
	}
	b.WriteString("```\n")
	return strings.Replace(b.String(), "```text\n\n", "```text\n", 1)
}

// plain is a text without what differs from one run, machine and system to another.
func (l *lab) plain(text string) string {
	text = strings.NewReplacer(l.dir+string(filepath.Separator), "/home/alice/", l.Addr(), "192.0.2.88:88").Replace(text)
	if !strings.Contains(text, "of user 4711") {
		text = regexp.MustCompile(`of user \d+( \([^)]*\))?`).ReplaceAllString(text, "of user 1000 (alice)")
	}
	text = regexp.MustCompile(`hash in the token [0-9a-f]{32}`).ReplaceAllString(text, "hash in the token 0f1e2d3c4b5a69788796a5b4c3d2e1f0")
	// Numbers in a token, such as microseconds, take a byte more or less.
	text = regexp.MustCompile(`\b5\d\d bytes, which make a header field of (79|80)\d`).ReplaceAllString(text, "581 bytes, which make a header field of 801")
	text = regexp.MustCompile(`\b76\d\d bytes, which (make a header field of|take) 10[12]\d\d`).ReplaceAllString(text, "7634 bytes, which $1 10205")
	// Who closes the connection first depends on who runs first.
	text = regexp.MustCompile(`over tcp does not answer: .*(EOF|broken pipe)`).ReplaceAllString(text, "over tcp does not answer: EOF")
	return regexp.MustCompile(`answers in \S+`).ReplaceAllString(text, "answers in 1.2ms")
}

// remove removes one of the lab's files.
func (l *lab) remove(name string) {
	l.t.Helper()
	l.must(os.Remove(filepath.Join(l.dir, name)))
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}
