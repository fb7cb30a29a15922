package kdcclient_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/keytab"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// serviceWorld is a realm with a service that may act for users, its client and the
// service's ticket-granting ticket.
func serviceWorld(tb testing.TB, etype int32, dial func(*fakekdc.Realm) func(context.Context, string, string) (net.Conn, error)) (*fakekdc.Realm, *kdcclient.Client, *krb.Ticket) {
	tb.Helper()
	r := fakekdc.Start(tb, fakekdc.WithoutSockets(), fakekdc.WithEtypes(etype), fakekdc.WithUser("alice", password, fakekdc.Iterations(4096)), fakekdc.WithService("HTTP/db"),
		fakekdc.WithService("HTTP/gw", fakekdc.TrustedToAuth(), fakekdc.AllowedToDelegateTo("HTTP/db")))
	o := kdcclient.Options{Etypes: krb.DefaultEtypes(true), Now: r.Now, Dial: r.Dial, UDPPreferenceLimit: 1}
	if dial != nil {
		o.Dial = dial(r)
	}
	o.Pacing.Next = time.Minute
	host, port, err := net.SplitHostPort(r.Addr())
	if err != nil || port != "88" {
		tb.Fatal(port, err)
	}
	o.Locate = func(context.Context, string) ([]kdcclient.KDC, error) {
		return []kdcclient.KDC{{Host: host, Port: 88}}, nil
	}
	c, err := ccache.Parse(r.CCache("HTTP/gw"))
	if err != nil {
		tb.Fatal(err)
	}
	tgt, err := c.Credentials[0].Ticket()
	if err != nil {
		tb.Fatal(err)
	}
	return r, kdcclient.New(o), tgt
}

// TestS4U: a ticket of a user for the service, and one for where it may act, say whose
// they are.
func TestS4U(t *testing.T) {
	for _, etype := range []int32{krb.AES128SHA1, krb.AES256SHA1, krb.AES128SHA256, krb.AES256SHA384} {
		r, c, tgt := serviceWorld(t, etype, nil)
		alice := krb.NewPrincipal(r.Name(), "alice")
		evidence, err := c.Self(t.Context(), tgt, alice, kdcclient.TGSOptions{})
		if err != nil || !evidence.Client.Equal(alice) || !evidence.Server.Equal(tgt.Client) {
			t.Fatalf("etype %d: %v, %v", etype, evidence, err)
		}
		got, err := c.Proxy(t.Context(), tgt, evidence, krb.NewPrincipal("", "HTTP", "db"), kdcclient.TGSOptions{})
		if err != nil || !got.Client.Equal(alice) || !got.Server.Equal(krb.NewPrincipal(r.Name(), "HTTP", "db")) {
			t.Errorf("etype %d: %v, %v", etype, got, err)
		}
		// Nor is a KDC less good that knows nothing of what targets allow, or a name that
		// says which realm it is of.
		r.FailNext(fakekdc.TGS, fakekdc.NoPACOptions())
		got, err = c.Proxy(t.Context(), tgt, evidence, krb.NewPrincipal(r.Name(), "HTTP", "db"), kdcclient.TGSOptions{})
		if err != nil || !got.Client.Equal(alice) || !got.Server.Equal(krb.NewPrincipal(r.Name(), "HTTP", "db")) {
			t.Errorf("etype %d: %v, %v", etype, got, err)
		}
		self, err := c.Self(t.Context(), tgt, tgt.Client, kdcclient.TGSOptions{})
		if err != nil || !self.Client.Equal(tgt.Client) {
			t.Errorf("etype %d, for itself: %v, %v", etype, self, err)
		}
		if n := len(r.Exchanges()); n != 4 {
			t.Errorf("%d exchanges, want 4: %v", n, r.Exchanges())
		}
	}
}

// TestS4UForms: a user is named in both forms, of which old KDCs know the first alone, and
// a certificate in the one that has room for it.
func TestS4UForms(t *testing.T) {
	var asked []byte
	r, c, tgt := serviceWorld(t, krb.AES256SHA1, func(r *fakekdc.Realm) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := r.Dial(ctx, network, address)
			return &edited{Conn: conn, wrote: func(b []byte) { asked = b[4:] }, edit: func(b []byte) []byte { return b }}, err
		}
	})
	if err := r.AddUser("carol", password, fakekdc.Certificate([]byte("carol's"))); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		self func() (*krb.Ticket, error)
		old  bool
	}{
		"name": {func() (*krb.Ticket, error) {
			return c.Self(t.Context(), tgt, krb.NewPrincipal(r.Name(), "carol"), kdcclient.TGSOptions{})
		}, true},
		"certificate": {func() (*krb.Ticket, error) {
			return c.SelfByCertificate(t.Context(), tgt, []byte("carol's"), kdcclient.TGSOptions{})
		}, false},
	} {
		got, err := tc.self()
		if err != nil || got.Client.Name() != "carol" {
			t.Errorf("%s: %v, %v", name, got, err)
			continue
		}
		m, err := krb.ParseKDCReq(asked)
		if err != nil {
			t.Fatal(err)
		}
		value, old := krb.FindPAData(m.PAData, krb.PAForUser)
		_, newer := krb.FindPAData(m.PAData, krb.PAS4UX509User)
		if old != tc.old || !newer {
			t.Errorf("%s: PA-FOR-USER %v, PA-S4U-X509-USER %v", name, old, newer)
		}
		if !old {
			continue
		}
		// Its checksum is that of RC4 under the session key ([MS-SFU] section 2.2.1, RFC 4757 section 4).
		said, err := krb.ParsePAForUser(value)
		sum := md5.Sum([]byte("\x11\x00\x00\x00" + "\x01\x00\x00\x00" + "carol" + r.Name() + "Kerberos"))
		if want := hmacMD5(hmacMD5(tgt.Key.Bytes(), []byte("signaturekey\x00")), sum[:]); err != nil || said.Checksum.Type != -138 || !bytes.Equal(said.Checksum.Value, want) {
			t.Errorf("%s: checksum %d %x, %v; want -138 %x", name, said.Checksum.Type, said.Checksum.Value, err, want)
		}
	}
}

func hmacMD5(key, data []byte) []byte {
	m := hmac.New(md5.New, key)
	m.Write(data)
	return m.Sum(nil)
}

// TestS4URefusals: what makes no sense is not asked for, and no answer counts that is
// of another user, or of the service itself.
func TestS4URefusals(t *testing.T) {
	r, c, tgt := serviceWorld(t, krb.AES256SHA1, nil)
	_, _, weak := serviceWorld(t, krb.RC4HMAC, nil)
	alice, db := krb.NewPrincipal(r.Name(), "alice"), krb.NewPrincipal("", "HTTP", "db")
	evidence, err := c.Self(t.Context(), tgt, alice, kdcclient.TGSOptions{})
	if err != nil {
		t.Fatal(err)
	}
	self := func(tgt *krb.Ticket, user krb.Principal) error {
		_, err := c.Self(t.Context(), tgt, user, kdcclient.TGSOptions{})
		return err
	}
	proxy := func(evidence *krb.Ticket, server krb.Principal) error {
		_, err := c.Proxy(t.Context(), tgt, evidence, server, kdcclient.TGSOptions{})
		return err
	}
	byCertificate := func(der []byte) error {
		_, err := c.SelfByCertificate(t.Context(), tgt, der, kdcclient.TGSOptions{})
		return err
	}
	for name, tc := range map[string]struct {
		do    func() error
		fault fakekdc.Fault
		says  string
		kind  kdcclient.Kind
		sent  bool
	}{
		"no ticket": {func() error { return self(nil, alice) }, fakekdc.Fault{}, "no ticket-granting ticket", kdcclient.KindRequest, false},
		"RC4":       {func() error { return self(weak, alice) }, fakekdc.Fault{}, "AES", kdcclient.KindRequest, false},
		"nobody":    {func() error { return self(tgt, krb.Principal{}) }, fakekdc.Fault{}, "no name", kdcclient.KindRequest, false},
		"no realm":  {func() error { return self(tgt, krb.NewPrincipal("", "alice")) }, fakekdc.Fault{}, "cannot be the name", kdcclient.KindRequest, false},
		"a ticket for elsewhere": {func() error {
			return self(&krb.Ticket{Client: tgt.Client, Server: krb.TGS("OTHER", r.Name()), Key: tgt.Key, Raw: tgt.Raw}, alice)
		}, fakekdc.Fault{}, "is not of the realm of", kdcclient.KindRequest, false},
		"no such realm":       {func() error { return self(tgt, krb.NewPrincipal("OTHER", "alice")) }, fakekdc.Fault{}, "no way to realm", kdcclient.KindRefused, true},
		"another's realm":     {func() error { return proxy(evidence, krb.NewPrincipal("OTHER", "HTTP", "db")) }, fakekdc.Fault{}, "has such a service itself", kdcclient.KindReferral, true},
		"no evidence":         {func() error { return proxy(nil, db) }, fakekdc.Fault{}, "no ticket of the user", kdcclient.KindRequest, false},
		"another's evidence":  {func() error { return proxy(tgt, db) }, fakekdc.Fault{}, "no ticket of the user", kdcclient.KindRequest, false},
		"referred, self":      {func() error { return self(tgt, alice) }, fakekdc.ReferTo("OTHER.TEST"), "gives a ticket for krbtgt/OTHER.TEST", kdcclient.KindReferral, true},
		"certificate, empty":  {func() error { return byCertificate([]byte{}) }, fakekdc.Fault{}, "no name", kdcclient.KindRequest, false},
		"certificate unknown": {func() error { return byCertificate([]byte("no one's")) }, fakekdc.Fault{}, "C_PRINCIPAL_UNKNOWN", kdcclient.KindRefused, true},
		"user unknown":        {func() error { return self(tgt, krb.NewPrincipal(r.Name(), "nobody")) }, fakekdc.Fault{}, "has no principal nobody: ", kdcclient.KindRefused, true},
		"ignored":             {func() error { return self(tgt, alice) }, fakekdc.IgnoreUser(), "nothing that is sealed says", kdcclient.KindReply, true},
		"another user":        {func() error { return self(tgt, alice) }, fakekdc.WrongUser(), "was changed", kdcclient.KindReply, true},
		"another client":      {func() error { return self(tgt, alice) }, fakekdc.WrongClient(), "for client mallory", kdcclient.KindReply, true},
		"proxy, other client": {func() error { return proxy(evidence, db) }, fakekdc.WrongClient(), "for client mallory", kdcclient.KindReply, true},
		"proxy, other server": {func() error { return proxy(evidence, db) }, fakekdc.WrongServer(), "mallory.example", kdcclient.KindReply, true},
		"wrong nonce":         {func() error { return self(tgt, alice) }, fakekdc.WrongNonce(), "nonce", kdcclient.KindReply, true},
		"wrong key":           {func() error { return self(tgt, alice) }, fakekdc.WrongKey(), "opens under neither", kdcclient.KindReply, true},
	} {
		t.Run(name, func(t *testing.T) {
			r.ResetExchanges()
			r.ClearFaults()
			if tc.fault.String() != "" {
				r.FailNext(fakekdc.TGS, tc.fault, tc.fault)
			}
			err := tc.do()
			var e *kdcclient.Error
			if errors.As(err, &e) && strings.Contains(e.Hint, "has no principal :") {
				t.Errorf("the advice is about nobody: %v", err)
			}
			if !errors.As(err, &e) || e.Kind != tc.kind || !strings.Contains(err.Error(), tc.says) || (len(r.Exchanges()) > 0) != tc.sent {
				t.Errorf("%v, after %v", err, r.Exchanges())
			}
		})
	}
}

// TestS4UOfHeimdal: where a KDC seals whose the ticket is in the ticket alone, the
// service's keys tell, and without them nothing does.
func TestS4UOfHeimdal(t *testing.T) {
	r, c, tgt := serviceWorld(t, krb.AES256SHA1, nil)
	alice := krb.NewPrincipal(r.Name(), "alice")
	var own []krb.Key
	for e, err := range keytab.Entries(r.Keytab("HTTP/gw")) {
		if err != nil {
			t.Fatal(err)
		}
		key, err := e.Key()
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, key)
	}
	other, err := krb.GenerateKey(krb.AES256SHA1)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		fault fakekdc.Fault
		own   []krb.Key
		says  string // "" for a ticket
	}{
		"keys":             {fakekdc.UserInTicketAlone(), append([]krb.Key{other}, own...), ""},
		"no keys":          {fakekdc.UserInTicketAlone(), nil, "nothing that is sealed says"},
		"other keys":       {fakekdc.UserInTicketAlone(), []krb.Key{other}, "nothing that is sealed says"},
		"ignored":          {fakekdc.IgnoreUser(), own, "for the service itself"},
		"changed outside":  {fakekdc.WrongClient(), own, "for client mallory"},
		"user was changed": {fakekdc.WrongUser(), own, "was changed"},
	} {
		r.ClearFaults()
		r.FailNext(fakekdc.TGS, tc.fault)
		got, err := c.Self(t.Context(), tgt, alice, kdcclient.TGSOptions{Own: tc.own})
		if tc.says == "" && (err != nil || !got.Client.Equal(alice)) || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// A changer flips one bit of what a KDC answers over TCP.
type changer struct {
	net.Conn
	at   *int // of the reply, its length not counted; -1 for none
	seen int
}

func (c *changer) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if i := *c.at + 4 - c.seen; *c.at >= 0 && i >= 0 && i < n {
		p[i] ^= 1
	}
	c.seen += n
	return n, err
}

// TestS4UForged: whatever bit of an answer is changed, nobody's ticket but the user's
// comes of it, and none that is for another service.
func TestS4UForged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := -1
		r, c, tgt := serviceWorld(t, krb.AES256SHA1, func(r *fakekdc.Realm) func(context.Context, string, string) (net.Conn, error) {
			return func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := r.Dial(ctx, network, address)
				return &changer{Conn: conn, at: &at}, err
			}
		})
		alice, db := krb.NewPrincipal(r.Name(), "alice"), krb.NewPrincipal(r.Name(), "HTTP", "db")
		evidence, err := c.Self(t.Context(), tgt, alice, kdcclient.TGSOptions{})
		if err != nil {
			t.Fatal(err)
		}
		taken := 0
		for at = 0; at < 1400; at++ {
			// What is no answer any more is waited for, in no time.
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			self, err := c.Self(ctx, tgt, alice, kdcclient.TGSOptions{})
			if err == nil {
				if taken++; !self.Client.Equal(alice) || !self.Server.Equal(tgt.Client) {
					t.Errorf("bit of byte %d: a ticket of %s for %s", at, self.Client, self.Server)
				}
			}
			got, err := c.Proxy(ctx, tgt, evidence, db, kdcclient.TGSOptions{})
			cancel()
			if err == nil && (!got.Client.Equal(alice) || !got.Server.Equal(db)) {
				t.Errorf("bit of byte %d: a ticket of %s for %s", at, got.Client, got.Server)
			}
		}
		// What is sealed for the service is not ours to verify, and about a third of it all.
		if taken == 0 || taken > 1000 {
			t.Errorf("%d of 1400 changed answers were taken", taken)
		}
	})
}
