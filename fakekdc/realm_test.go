package fakekdc

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/krb"
)

func TestNames(t *testing.T) {
	a, b := Start(t), Start(t)
	if a.Name() == b.Name() || !strings.HasPrefix(a.Name(), "TEST-") || !strings.HasSuffix(a.Name(), ".EXAMPLE") {
		t.Errorf("realms %s and %s", a.Name(), b.Name())
	}
	if a.Addr() == b.Addr() || !strings.HasPrefix(a.Addr(), "127.0.0.1:") {
		t.Errorf("addresses %s and %s", a.Addr(), b.Addr())
	}
	c := Start(t, WithRealm("A.EXAMPLE"), WithAddress("127.0.0.1:0"), nil)
	if got, want := c.String(), "realm A.EXAMPLE at "+c.Addr(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBadOptions(t *testing.T) {
	taken := Start(t)
	for name, o := range map[string]Option{
		"realm with slash":     WithRealm("A/B"),
		"realm with newline":   WithRealm("A\nB"),
		"not loopback":         WithAddress("0.0.0.0:0"),
		"other machine":        WithAddress("192.0.2.1:88"),
		"host name":            WithAddress("localhost:0"),
		"port taken":           WithAddress(taken.Addr()),
		"no clock":             WithClock(nil),
		"no etypes":            WithEtypes(),
		"unknown etype":        WithEtypes(18, 3),
		"etype twice":          WithEtypes(18, 18),
		"no lifetime":          WithLifetime(0, 0),
		"negative skew":        WithSkew(-1),
		"nameless user":        WithUser("", "secret"),
		"foreign user":         WithUser("alice@OTHER.EXAMPLE", "secret"),
		"user of etype 3":      WithUser("alice", "secret", Etypes(3)),
		"service with padding": WithService("HTTP/localhost", TicketPadding(1<<30)),
		"iterations":           WithUser("alice", "secret", Iterations(1<<30)),
		"the realm itself":     WithRealm("krbtgt/X@"),
	} {
		r, err := New(o)
		if err == nil {
			r.Close()
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(WithUser("alice", "a"), WithUser("alice", "b")); err == nil {
		t.Error("the same user twice: no error")
	}
}

// TestNewReturnsErrors: without a test to end, misuse is an error or nil.
func TestNewReturnsErrors(t *testing.T) {
	r, err := New(WithUser("alice", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for name, err := range map[string]error{
		"add user twice":     r.AddUser("alice", "x"),
		"add nameless":       r.AddService(""),
		"modify unknown":     r.Modify("bob", Refuse(18)),
		"modify badly":       r.Modify("alice", Etypes()),
		"rotate unknown":     r.Rotate("bob"),
		"rotate nameless":    r.Rotate(""),
		"purge unknown":      r.Purge("bob"),
		"password of nobody": r.SetPassword("bob", "x"),
		"remove unknown":     r.Remove("bob"),
		"remove nameless":    r.Remove(""),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if b := r.Keytab("bob"); b != nil {
		t.Errorf("keytab of nobody: %x", b)
	}
	if b := r.CCache("bob"); b != nil {
		t.Errorf("credential cache of nobody: %x", b)
	}
	if b := r.CCache("alice", "HTTP/nowhere"); b != nil {
		t.Errorf("credential cache for no service: %x", b)
	}
}

// tb stands in for a test that is to fail.
type tb struct {
	failed   string
	cleanups []func()
}

func (*tb) Helper()            {}
func (b *tb) Cleanup(f func()) { b.cleanups = append(b.cleanups, f) }
func (b *tb) Fatalf(format string, args ...any) {
	b.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestStartEndsTheTest(t *testing.T) {
	for name, f := range map[string]func(*tb){
		"bad option": func(b *tb) { Start(b, WithRealm("/")) },
		"add user":   func(b *tb) { _ = Start(b, WithUser("alice", "x")).AddUser("alice", "x") },
		"keytab":     func(b *tb) { Start(b).Keytab("alice") },
	} {
		b := &tb{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			f(b)
		}()
		<-done
		if !strings.HasPrefix(b.failed, "fakekdc: ") {
			t.Errorf("%s: failed with %q", name, b.failed)
		}
		for _, c := range b.cleanups {
			c()
		}
	}
}

// TestManyRealms: hundreds in one process, each with a login and a ticket.
func TestManyRealms(t *testing.T) {
	for range 200 {
		t.Run("realm", func(t *testing.T) {
			t.Parallel()
			r := Start(t, WithService("host/client"), WithService("HTTP/localhost"))
			// A service logs in like a user; its random keys take no string-to-key.
			client := krb.NewPrincipal(r.Name(), "host", "client")
			key, code := r.lookup(client).find(AES256SHA1, 0)
			if code != 0 {
				t.Fatal(code)
			}
			b := body(r, "")
			b.Client = client
			req := marshalReq(t, krb.MsgASReq, []krb.PAData{timestamp(t, key, r.Now())}, b)
			tgt, _ := openRep(t, krb.MsgASRep, exchange(t, r, "tcp", req), key, krb.UsageASRepEncPart)
			ticketFor(t, r, tgt, forService(r, "HTTP/localhost"))
			if n := r.Count(Any, 0); n != 2 {
				t.Errorf("%d exchanges, want 2", n)
			}
		})
	}
}

func TestPrincipals(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"))
	if err := r.AddService("HTTP/web@" + r.Name()); err != nil {
		t.Fatal(err)
	}
	if err := r.AddService("host/gone"); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove("host/gone"); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"alice@" + r.Name(), "HTTP/web@" + r.Name()}, r.Principals()); d != "" {
		t.Error(d)
	}
	if err := r.Modify("alice", Refuse(krb.CodeClientRevoked)); err != nil {
		t.Fatal(err)
	}
	if got := verdict(t, r, "udp", 10*time.Second); got != "KDC_ERR_CLIENT_REVOKED" {
		t.Errorf("locked account: %s", got)
	}
	if err := r.Modify("alice", Refuse(0)); err != nil {
		t.Fatal(err)
	}
	if got := verdict(t, r, "udp", 10*time.Second); got != "ok" {
		t.Errorf("unlocked account: %s", got)
	}
	// Another salt is for the keys to come: those that are keep theirs.
	if err := r.Modify("alice", Salt("pepper")); err != nil {
		t.Fatal(err)
	}
	if got := verdict(t, r, "udp", 10*time.Second); got != "ok" {
		t.Errorf("after another salt was set: %s", got)
	}
	if err := r.Rotate("alice"); err != nil {
		t.Fatal(err)
	}
	if got := verdict(t, r, "udp", 10*time.Second); got != "KDC_ERR_PREAUTH_FAILED" {
		t.Errorf("with the default salt: %s", got)
	}
}

func TestServicePassword(t *testing.T) {
	r := Start(t, WithService("HTTP/localhost", ServicePassword("svc")))
	k, code := r.lookup(krb.NewPrincipal(r.Name(), "HTTP", "localhost")).find(AES256SHA1, 1)
	if code != 0 {
		t.Fatal(code)
	}
	want, err := krb.StringToKey(AES256SHA1, "svc", r.Name()+"HTTPlocalhost", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !k.Equal(want) {
		t.Error("key is not that of the password")
	}
}

func TestRecordsAreBounded(t *testing.T) {
	var l exchangeLog
	for i := range maxRecords + 10 {
		l.add(Exchange{Options: uint32(i)})
	}
	if n := len(l.list); n > maxRecords || l.list[n-1].Options != maxRecords+9 {
		t.Errorf("%d records, the last %v", n, l.list[n-1])
	}
}

func TestConfigText(t *testing.T) {
	r := Start(t, WithRealm("A.EXAMPLE"), WithEtypes(AES256SHA1), WithHosts(".web.example"),
		WithService("HTTP/Web.Example"), WithUser("old", "x", Etypes(RC4HMAC)))
	want := `# TEST ONLY: a realm inside a test, gone when the test ends.
[libdefaults]
	default_realm = A.EXAMPLE
	dns_lookup_kdc = false
	dns_lookup_realm = false
	dns_canonicalize_hostname = false
	rdns = false
	permitted_enctypes = aes256-cts-hmac-sha1-96 arcfour-hmac
	default_tgs_enctypes = aes256-cts-hmac-sha1-96 arcfour-hmac
	default_tkt_enctypes = aes256-cts-hmac-sha1-96 arcfour-hmac
	allow_weak_crypto = true
	allow_rc4 = true
	kdc_timesync = 0

[realms]
	A.EXAMPLE = {
		kdc = ` + r.Addr() + `
	}

[domain_realm]
	localhost = A.EXAMPLE
	.web.example = A.EXAMPLE
	web.example = A.EXAMPLE
`
	if d := cmp.Diff(want, r.Config("kdc_timesync = 0")); d != "" {
		t.Error(d)
	}
}
