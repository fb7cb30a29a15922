package fakekdc

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// TestSecurityContext: the two sides of a context protect messages for each other, by
// code that they do not share, and the keys are those that the initiator has.
func TestSecurityContext(t *testing.T) {
	for _, etype := range allEtypes {
		for name, o := range map[string]AcceptOptions{"subkey": {}, "no subkey": {NoSubkey: true}} {
			t.Run(krb.EtypeName(etype)+"/"+name, func(t *testing.T) {
				r := Start(t, WithoutSockets(), WithEtypes(etype), WithUser("alice", "secret"), WithService("host/shell.example"))
				c := &plainclient.Client{TB: t, Now: r.Now, Ticket: minted(t, r, "alice", "host/shell.example")}
				sc, err := r.Accept(c.First(), o)
				if err != nil {
					t.Fatal(err)
				}
				if _, verdict := c.Judge(sc.Response()); verdict != "verified" {
					t.Fatalf("the initiator says %q", verdict)
				}
				keys := sc.Keys()
				for which, pair := range map[string][2][]byte{
					"session": {keys.Session.Bytes(), c.Ticket.Key.Bytes()}, "initiator": {keys.Initiator.Bytes(), c.Auth.Subkey.Bytes()},
					"acceptor": {keys.Acceptor.Bytes(), c.Subkey.Bytes()},
				} {
					if !bytes.Equal(pair[0], pair[1]) {
						t.Errorf("%s key: %x, the initiator has %x", which, pair[0], pair[1])
					}
				}
				if keys.Acceptor.IsZero() != o.NoSubkey || keys.SendSeq != c.RecvSeq || keys.RecvSeq != c.SendSeq {
					t.Errorf("keys %+v", keys)
				}
				if at := c.Auth.CTime.Add(time.Duration(c.Auth.Cusec) * time.Microsecond); !keys.Time.Equal(at) {
					t.Errorf("time %s, want %s", keys.Time, at)
				}
				for _, message := range [][]byte{[]byte("one"), nil} {
					if token := c.MIC(message); !sc.VerifyMIC(message, token) || sc.VerifyMIC(message, token) {
						t.Errorf("%q: the initiator's MIC is good for once", message)
					}
					token, err := sc.MIC(message)
					if err != nil || !c.VerifyMIC(message, token) {
						t.Errorf("%q: the service's MIC %x, error %v", message, token, err)
					}
				}
				for what, token := range map[string][]byte{"nothing": nil, "the service's own": mustMIC(t, sc, []byte("one"))} {
					if sc.VerifyMIC([]byte("one"), token) {
						t.Errorf("%s is a MIC", what)
					}
				}
				if !sc.VerifyMIC([]byte("one"), c.MIC([]byte("one"))) {
					t.Error("after wrong ones the initiator's MIC is not good")
				}
				if sc.VerifyMIC([]byte("one"), c.MIC([]byte("two"))) {
					t.Error("the MIC of another message")
				}
			})
		}
	}
}

func mustMIC(t *testing.T, sc *SecurityContext, message []byte) []byte {
	t.Helper()
	token, err := sc.MIC(message)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestKeysDoNotPrint: whatever the verb, keys say no more than their type.
func TestKeysDoNotPrint(t *testing.T) {
	key, err := krb.NewKey(AES128SHA1, []byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	k := Key{key}
	text, err := k.MarshalText()
	got := []string{fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%x", k), fmt.Sprintf("%#v", k), string(text), fmt.Sprint(Key{})}
	want := slices.Repeat([]string{"[key of aes128-cts-hmac-sha1-96]"}, 5)
	if !slices.Equal(got, append(want, "[no key]")) || err != nil {
		t.Errorf("%q, error %v", got, err)
	}
	if (Key{}).Etype() != 0 || (Key{}).Bytes() != nil || k.Etype() != AES128SHA1 {
		t.Error("types of keys")
	}
}

// TestOnClose: what was added to a realm ends with it, in order, and at once if it is
// closed already.
func TestOnClose(t *testing.T) {
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	var ended []int
	for i := range 3 {
		r.OnClose(func() { ended = append(ended, i) })
	}
	if r.Close(); fmt.Sprint(ended) != "[0 1 2]" {
		t.Errorf("ended %v", ended)
	}
	r.OnClose(func() { ended = nil })
	if r.Close(); ended != nil {
		t.Errorf("after Close: %v", ended)
	}
}

func TestFail(t *testing.T) {
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	wrong := errors.New("wrong")
	if r.Fail(wrong) != wrong || r.Fail(nil) != nil {
		t.Error("a realm without a test")
	}
	b := &tb{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := Start(b)
		defer s.Close()
		_ = s.Fail(nil)
		_ = s.Fail(wrong)
	}()
	if <-done; b.failed != "fakekdc: wrong" {
		t.Errorf("failed with %q", b.failed)
	}
}

func TestPrincipal(t *testing.T) {
	r := Start(t, WithRealm("A.EXAMPLE"), WithUser("alice", "secret"), WithService("HTTP/x"))
	if err := r.Alias("al", "alice"); err != nil { // which names nothing but logins
		t.Fatal(err)
	}
	for name, want := range map[string]string{"alice": "alice@A.EXAMPLE", "alice@A.EXAMPLE": "alice@A.EXAMPLE", "HTTP/x": "HTTP/x@A.EXAMPLE", "al": "", "bob": "", "": ""} {
		if got, err := r.Principal(name); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
}
