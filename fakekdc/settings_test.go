package fakekdc

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// TestNamesInConfig: what cannot stand in krb5.conf does not get there, where it would make
// the whole of it unreadable, or say something else.
func TestNamesInConfig(t *testing.T) {
	odd := []string{"a b", "a=b", "a{", "}", "[a]", ";a", "#a", "a*", `"a`, "a\vb", "a\x7f", "a\xff", "a\u2028b"}
	for _, name := range odd {
		for what, o := range map[string]Option{"realm": WithRealm(name), "host": WithHosts(name)} {
			r, err := New(WithoutSockets(), o)
			if err == nil {
				r.Close()
				t.Errorf("%s %q was taken", what, name)
			}
		}
	}
	r := Start(t, WithRealm("ÄPFEL.例え"), WithoutSockets(), WithService("HTTP/"), WithService("HTTP/bücher.example"), WithHosts("::1"))
	for _, name := range odd {
		if strings.Contains(name, "\xff") || strings.Contains(name, "\x7f") || strings.Contains(name, "\v") {
			continue
		}
		if err := r.AddService("HTTP/" + name); err != nil {
			t.Fatal(err)
		}
	}
	_, hosts, _ := strings.Cut(r.Config(), "[domain_realm]\n")
	want := "\tlocalhost = ÄPFEL.例え\n\t::1 = ÄPFEL.例え\n\tbücher.example = ÄPFEL.例え\n"
	if hosts != want {
		t.Errorf("hosts\n%swant\n%s", hosts, want)
	}
}

// TestUsersNamedAsFolders: the files of a user lie in the folder, whatever the name is.
func TestUsersNamedAsFolders(t *testing.T) {
	r := Start(t, WithoutSockets(), WithUser(".", "x"), WithUser("..", "x"), WithUser("../a", "x"))
	dir := filepath.Join(t.TempDir(), "a", "b")
	f, err := r.WriteFiles(dir, ".", "..", "../a")
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range f.Users {
		for _, path := range []string{u.CCache, u.Keytab} {
			if filepath.Dir(path) != dir {
				t.Errorf("user %s: %s", u.Name, path)
			}
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestLastVersionOfKeys: no version comes after the last one.
func TestLastVersionOfKeys(t *testing.T) {
	r, err := New(WithoutSockets(), WithUser("alice", "x", Kvno(math.MaxUint32-1)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Rotate("alice"); err != nil {
		t.Error(err)
	}
	if r.Rotate("alice") == nil || r.SetPassword("alice", "y") == nil {
		t.Error("versions began anew")
	}
	if kvno := r.lookup(krb.NewPrincipal(r.Name(), "alice")).keys[0].kvno; kvno != math.MaxUint32 {
		t.Errorf("version %d", kvno)
	}
}

// TestTokensThatAreNone: no tokens are a password, and tokens without pre-authentication
// make no sense.
func TestTokensThatAreNone(t *testing.T) {
	r := Start(t, WithUser("alice", "secret", Tokens([]Token{}...)))
	req, _ := asReq(t, r, "alice", "secret", AES128SHA1, body(r, "alice", AES128SHA1))
	if _, err := krb.ParseKDCRep(exchange(t, r, "udp", req), krb.MsgASRep); err != nil {
		t.Error(err)
	}
	if r, err := New(WithoutSockets(), WithFAST(), WithUser("alice", "secret", OTP("1"), NoPreauth())); err == nil {
		r.Close()
		t.Error("one-time passwords without pre-authentication")
	}
}

// TestSkewOfAnyLength: a token is good for once, however far clocks may be apart.
func TestSkewOfAnyLength(t *testing.T) {
	var clock Clock
	r := Start(t, WithoutSockets(), WithClock(clock.Now), WithSkew(math.MaxInt64), WithUser("alice", "secret"), WithService("HTTP/x"))
	c := &plainclient.Client{TB: t, Now: r.Now, Ticket: minted(t, r, "alice", "HTTP/x")}
	first := c.First()
	for _, want := range []int32{0, krb.CodeRepeat} {
		_, err := r.Accept(first, AcceptOptions{})
		var got int32
		if no, ok := errors.AsType[*AcceptError](err); ok {
			got = no.Code
		}
		if got != want {
			t.Errorf("code %d, want %d: %v", got, want, err)
		}
		clock.Advance(time.Hour)
		if _, err := r.Accept(c.First(), AcceptOptions{}); err != nil {
			t.Error(err)
		}
	}
}
