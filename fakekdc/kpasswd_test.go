package fakekdc

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gokrb5/v8/client"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/dertest"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// A change is a request to change a password.
type change struct {
	ticket   *krb.Ticket
	version  uint16
	data     []byte
	at       time.Time
	noSubkey bool
	spoil    func(*krb.Authenticator)
	mangle   func([]byte) []byte
	wrongKey bool
}

// marshal returns the packet and the key of the answer.
func (c change) marshal(tb testing.TB) ([]byte, krb.Key) {
	tb.Helper()
	a := &krb.Authenticator{Client: c.ticket.Client, Seq: 77, HasSeq: true}
	key := c.ticket.Key
	if !c.noSubkey {
		var err error
		if key, err = krb.GenerateKey(key.Etype()); err != nil {
			tb.Fatal(err)
		}
		a.Subkey = key
	}
	a.CTime, a.Cusec = krb.UniqueTime(c.at)
	if c.spoil != nil {
		c.spoil(a)
	}
	req, err := krb.MakeAPReq(c.ticket, a, krb.UsageAPReqAuth, 0)
	if err != nil {
		tb.Fatal(err)
	}
	sealing := key
	if c.wrongKey {
		if sealing, err = krb.GenerateKey(key.Etype()); err != nil {
			tb.Fatal(err)
		}
	}
	priv, err := krb.MakeKRBPriv(sealing, krb.KRBPriv{Data: c.data, Seq: 77, Sender: krb.HostAddressOf(loopbackAddr)})
	if err != nil {
		tb.Fatal(err)
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(6+len(req)+len(priv)))
	b = binary.BigEndian.AppendUint16(b, c.version)
	b = binary.BigEndian.AppendUint16(b, uint16(len(req)))
	b = append(append(b, req...), priv...)
	if c.mangle != nil {
		b = c.mangle(b)
	}
	return b, key
}

var loopbackAddr = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// send asks over UDP or TCP.
func (c change) send(t *testing.T, r *Realm, network string) (code uint16, text string) {
	t.Helper()
	packet, key := c.marshal(t)
	return readChange(t, c, sendKpasswd(t, r, network, packet), key)
}

func sendKpasswd(t *testing.T, r *Realm, network string, packet []byte) []byte {
	t.Helper()
	conn, err := net.Dial(network, r.KpasswdAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if network == "tcp" {
		packet = append(binary.BigEndian.AppendUint32(nil, uint32(len(packet))), packet...)
	}
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	if network == "udp" {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return buf[:n]
	}
	if _, err := io.ReadFull(conn, buf[:4]); err != nil {
		t.Fatal(err)
	}
	n := binary.BigEndian.Uint32(buf)
	if _, err := io.ReadFull(conn, buf[:n]); err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// readChange verifies the answer as clients do. A KRB-ERROR's code is returned
// above a thousand.
func readChange(t *testing.T, c change, b []byte, key krb.Key) (code uint16, text string) {
	t.Helper()
	if len(b) < 6 || int(binary.BigEndian.Uint16(b)) != len(b) || binary.BigEndian.Uint16(b[2:]) != 1 {
		t.Fatalf("answer %x", b)
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	if n == 0 {
		e, err := krb.ParseKRBError(b[6:])
		if err != nil || len(e.Data) < 2 || e.Server.String() != "kadmin/changepw@"+c.ticket.Server.Realm {
			t.Fatalf("%v, %v", e, err)
		}
		return 1000 + uint16(e.Code), string(e.Data[2:])
	}
	rep, err := krb.OpenAPRep(c.ticket.Key, b[6:6+n])
	if err != nil {
		t.Fatal(err)
	}
	f := krb.OpenApp("KRB-PRIV", 21, b[6+n:])
	f.Int(0)
	f.Int(1)
	ed := f.Encrypted(3)
	if err := f.Err(true); err != nil {
		t.Fatal(err)
	}
	plain, err := key.OpenData(krb.UsageKRBPriv, ed)
	if err != nil {
		t.Fatal(err)
	}
	f = krb.OpenApp("part", 28, plain)
	data := f.Octets(0)
	if seq := uint32(f.Int32(3)); seq != rep.Seq || !rep.HasSeq {
		t.Errorf("number %d, the AP-REP says %d", seq, rep.Seq)
	}
	if from := f.Raw(4); !strings.HasSuffix(string(from), "\x04\x04\x7f\x00\x00\x01") {
		t.Errorf("from %x", from)
	}
	if err := f.Err(true); err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint16(data), string(data[2:])
}

// changeData is ChangePasswdData.
func changeData(password string, target *krb.Principal) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		dertest.AddOctets(b, 0, []byte(password))
		if target != nil {
			dertest.AddName(b, 1, target.Type, target.Components...)
			dertest.AddString(b, 2, target.Realm)
		}
	})
	return b.BytesOrPanic()
}

// changeTicket is what clients get with the password.
func changeTicket(tb testing.TB, r *Realm, user, password string) *krb.Ticket {
	tb.Helper()
	b := body(r, user)
	b.Server = changepw
	return login(tb, r, user, password, AES256SHA1, b)
}

var errWeak = errors.New("the password is weak: say more")

func kpasswdRealm(tb testing.TB, opts ...Option) *Realm {
	tb.Helper()
	return Start(tb, append([]Option{
		WithUser("alice", "secret"), WithUser("root", "secret", SetsPasswords()), WithService("HTTP/localhost"),
		WithKpasswd(func(_, password string) error {
			if len(password) < 5 {
				return errWeak
			}
			return nil
		}),
	}, opts...)...)
}

func TestKpasswd(t *testing.T) {
	t.Parallel()
	for _, e := range allEtypes {
		for _, network := range []string{"udp", "tcp"} {
			r := kpasswdRealm(t, WithEtypes(e))
			b := body(r, "alice")
			b.Server = changepw
			tk := login(t, r, "alice", "secret", e, b)
			for i, version := range []uint16{krb.KpasswdChange, krb.KpasswdSet} {
				c := change{ticket: tk, version: version, data: []byte("new one"), at: r.Now(), noSubkey: i == 1}
				if version == krb.KpasswdSet {
					c.data = changeData("new one", nil)
				}
				if code, text := c.send(t, r, network); code != 0 {
					t.Fatalf("%s, version %x: %d %s", network, version, code, text)
				}
			}
			login(t, r, "alice", "new one", e, body(r, "alice", e))
			if k := r.lookup(krb.NewPrincipal(r.Name(), "alice")).keys[0].kvno; k != 3 {
				t.Errorf("kvno %d, want 3", k)
			}
			if n := r.Count(Kpasswd, 0); n != 2 {
				t.Errorf("%d changes counted", n)
			}
		}
	}
}

func TestKpasswdRefusals(t *testing.T) {
	clock := &Clock{}
	r := kpasswdRealm(t, WithClock(clock.Now))
	other := kpasswdRealm(t, WithRealm(r.Name()))
	tk := changeTicket(t, r, "alice", "secret")
	root := changeTicket(t, r, "root", "secret")
	tgt := login(t, r, "alice", "secret", AES256SHA1, body(r, "alice"))
	byTGS := ticketFor(t, r, tgt, forService(r, "kadmin/changepw"))
	name := func(realm string, parts ...string) *krb.Principal { p := krb.NewPrincipal(realm, parts...); return &p }
	at := r.Now()
	for title, tc := range map[string]struct {
		c    change
		want uint16
	}{
		"policy":          {change{ticket: tk, version: 1, data: []byte("abc")}, krb.KpasswdSoftError},
		"empty":           {change{ticket: tk, version: 1}, krb.KpasswdSoftError},
		"version":         {change{ticket: tk, version: 2, data: []byte("long enough")}, krb.KpasswdBadVersion},
		"not initial":     {change{ticket: byTGS, version: 1, data: []byte("long enough")}, krb.KpasswdInitialFlagNeeded},
		"malformed":       {change{ticket: tk, version: krb.KpasswdSet, data: []byte("long enough")}, krb.KpasswdMalformed},
		"another's":       {change{ticket: tk, version: krb.KpasswdSet, data: changeData("long enough", name(r.Name(), "root"))}, krb.KpasswdAccessDenied},
		"of no name":      {change{ticket: tk, version: krb.KpasswdSet, data: changeData("long enough", new(krb.Principal))}, krb.KpasswdAccessDenied},
		"own by name":     {change{ticket: tk, version: krb.KpasswdSet, data: changeData("secret", name(r.Name(), "alice"))}, krb.KpasswdSuccess},
		"own of no realm": {change{ticket: tk, version: krb.KpasswdSet, data: changeData("secret", name("", "alice"))}, krb.KpasswdSuccess},
		"by one who may":  {change{ticket: root, version: krb.KpasswdSet, data: changeData("secret", name(r.Name(), "alice"))}, krb.KpasswdSuccess},
		"nobody's":        {change{ticket: root, version: krb.KpasswdSet, data: changeData("secret", name(r.Name(), "nobody"))}, krb.KpasswdHardError},
		"the realm's own": {change{ticket: root, version: krb.KpasswdSet, data: changeData("secret", name(r.Name(), "krbtgt", r.Name()))}, krb.KpasswdHardError},
		"another realm's": {change{ticket: root, version: krb.KpasswdSet, data: changeData("secret", name("OTHER.EXAMPLE", "alice"))}, krb.KpasswdHardError},
		"by nobody":       {change{ticket: renamed(t, r, root, "nobody"), version: krb.KpasswdSet, data: changeData("long enough", name(r.Name(), "alice"))}, krb.KpasswdAccessDenied},
		"by a foreigner":  {change{ticket: resealed(t, r, root, func(g *grant) { g.client.Realm = "OTHER.EXAMPLE" }), version: krb.KpasswdSet, data: changeData("long enough", name(r.Name(), "alice"))}, krb.KpasswdAccessDenied},
		"another key":     {change{ticket: tk, version: 1, data: []byte("long enough"), wrongKey: true}, krb.KpasswdAuthError},
		"no KRB-PRIV": {change{ticket: tk, version: 1, mangle: func(b []byte) []byte {
			n := 6 + int(binary.BigEndian.Uint16(b[4:]))
			b = b[:n]
			b[0], b[1] = byte(n>>8), byte(n)
			return b
		}}, krb.KpasswdAuthError},
		"ticket of service":   {change{ticket: minted(t, r, "alice", "HTTP/localhost"), version: 1}, 1000 + uint16(krb.CodeNotUs)},
		"of another realm":    {change{ticket: &krb.Ticket{Client: tk.Client, Server: tk.Server, Key: tk.Key, Raw: ticketDER("OTHER.EXAMPLE", changepw, 18, 1)}, version: 1}, 1000 + uint16(krb.CodeNotUs)},
		"foreign key":         {change{ticket: changeTicket(t, other, "alice", "secret"), version: 1}, 1000 + uint16(krb.CodeBadIntegrity)},
		"another's name":      {change{ticket: tk, version: 1, spoil: func(a *krb.Authenticator) { a.Client = *name(r.Name(), "root") }}, 1000 + uint16(krb.CodeBadMatch)},
		"slow clock":          {change{ticket: tk, version: 1, spoil: func(a *krb.Authenticator) { a.CTime = at.Add(-time.Hour) }}, 1000 + uint16(krb.CodeSkew)},
		"no AP-REQ":           {change{ticket: tk, version: 1, mangle: func(b []byte) []byte { b[6] = 0; return b }}, 1000 + uint16(krb.CodeGeneric)},
		"authenticator":       {change{ticket: tk, version: 1, mangle: func(b []byte) []byte { b[5+int(binary.BigEndian.Uint16(b[4:]))] ^= 1; return b }}, 1000 + uint16(krb.CodeBadIntegrity)},
		"used before":         {change{ticket: tk, version: 1, data: []byte("abc"), spoil: func(a *krb.Authenticator) { a.CTime, a.Cusec = used(t, r, tk, at) }}, 1000 + uint16(krb.CodeRepeat)},
		"invalid":             {change{ticket: with(t, r, tk, krb.FlagInvalid), version: 1}, 1000 + uint16(krb.CodeTicketNotYet)},
		"unknown kvno":        {change{ticket: &krb.Ticket{Client: tk.Client, Server: tk.Server, Key: tk.Key, Raw: ticketDER(r.Name(), changepw, 18, 9)}, version: 1}, 1000 + uint16(krb.CodeBadKvno)},
		"malformed requester": {change{ticket: tk, version: 1, spoil: func(a *krb.Authenticator) { a.Cusec = 1 << 30 }}, 1000 + uint16(krb.CodeGeneric)},
	} {
		tc.c.at = at
		for _, network := range []string{"udp", "tcp"} {
			if got, text := tc.c.send(t, r, network); got != tc.want || text == "" {
				t.Errorf("%s over %s: %d %q, want %d", title, network, got, text, tc.want)
			}
		}
	}
	login(t, r, "alice", "secret", AES256SHA1, body(r, "alice"))
	for _, b := range [][]byte{nil, {0}, {0, 6, 0, 1, 0, 1}, {0, 7, 0, 1, 0, 0}} {
		if out := r.answerKpasswd(r.changes, "udp", loopbackAddr, b); out.reply != nil {
			t.Errorf("%x: answered %x", b, out.reply)
		}
	}
}

// used makes a request, and returns when.
func used(t *testing.T, r *Realm, tk *krb.Ticket, at time.Time) (ctime time.Time, cusec int) {
	t.Helper()
	c := change{ticket: tk, version: 1, data: []byte("abc"), at: at, spoil: func(a *krb.Authenticator) { ctime, cusec = a.CTime, a.Cusec }}
	c.send(t, r, "udp")
	return ctime, cusec
}

// TestKpasswdTwice: what comes twice over UDP is done once.
func TestKpasswdTwice(t *testing.T) {
	r := kpasswdRealm(t)
	c := change{ticket: changeTicket(t, r, "alice", "secret"), version: 1, data: []byte("another one"), at: r.Now()}
	packet, key := c.marshal(t)
	first := sendKpasswd(t, r, "udp", packet)
	if code, text := readChange(t, c, first, key); code != 0 {
		t.Fatal(text)
	}
	if d := cmp.Diff(first, sendKpasswd(t, r, "tcp", packet)); d != "" {
		t.Error(d)
	}
	if k := r.lookup(krb.NewPrincipal(r.Name(), "alice")).keys[0].kvno; k != 2 {
		t.Errorf("kvno %d, want 2", k)
	}
	if n := r.Count(Kpasswd); n != 1 {
		t.Errorf("%d exchanges, want 1", n)
	}
}

// TestExpiredPassword: who must change the password can do nothing else.
func TestExpiredPassword(t *testing.T) {
	r := kpasswdRealm(t, WithUser("old", "secret", Refuse(krb.CodeKeyExpired)), WithUser("locked", "secret", Refuse(krb.CodeClientRevoked)))
	for user, want := range map[string]int32{"old": krb.CodeKeyExpired, "locked": krb.CodeClientRevoked} {
		req, _ := asReq(t, r, user, "secret", AES256SHA1, body(r, user))
		if got := codeOf(t, exchange(t, r, "udp", req)); got != want {
			t.Errorf("%s: %s", user, krb.ErrorName(got))
		}
	}
	b := body(r, "locked")
	b.Server = changepw
	req, _ := asReq(t, r, "locked", "secret", AES256SHA1, b)
	if got := codeOf(t, exchange(t, r, "udp", req)); got != krb.CodeClientRevoked {
		t.Errorf("locked: %s", krb.ErrorName(got))
	}
	c := change{ticket: changeTicket(t, r, "old", "secret"), version: 1, data: []byte("brand new"), at: r.Now()}
	if code, text := c.send(t, r, "tcp"); code != 0 {
		t.Fatal(text)
	}
	login(t, r, "old", "brand new", AES256SHA1, body(r, "old"))
	// A new password opens no lock.
	locked := krb.NewPrincipal(r.Name(), "locked")
	c = change{ticket: changeTicket(t, r, "root", "secret"), version: krb.KpasswdSet, data: changeData("brand new", &locked), at: r.Now()}
	if code, text := c.send(t, r, "tcp"); code != 0 {
		t.Fatal(text)
	}
	req, _ = asReq(t, r, "locked", "brand new", AES256SHA1, body(r, "locked"))
	if got := codeOf(t, exchange(t, r, "udp", req)); got != krb.CodeClientRevoked {
		t.Errorf("locked, with a new password: %s", krb.ErrorName(got))
	}
	// Nor is there a way where the service is shut.
	r.Modify("old", Refuse(krb.CodeKeyExpired))
	r.Modify("kadmin/changepw", Refuse(krb.CodePolicy))
	b = body(r, "old")
	b.Server = changepw
	req, _ = asReq(t, r, "old", "brand new", AES256SHA1, b)
	if got := codeOf(t, exchange(t, r, "udp", req)); got != krb.CodeKeyExpired {
		t.Errorf("expired, and nowhere to change it: %s", krb.ErrorName(got))
	}
}

func TestKpasswdFaults(t *testing.T) {
	r := kpasswdRealm(t)
	tk := changeTicket(t, r, "alice", "secret")
	c := change{ticket: tk, version: 1, data: []byte("another one"), at: r.Now()}
	r.FailNext(Kpasswd, ReplyError(krb.CodeUnavailable, nil), Garbage(), Drop())
	if code, _ := c.send(t, r, "udp"); code != 1000+uint16(krb.CodeUnavailable) {
		t.Errorf("code %d", code)
	}
	packet, _ := c.marshal(t)
	if b := sendKpasswd(t, r, "udp", packet); len(b) == 0 || b[0] != 0x6b {
		t.Errorf("%x", b)
	}
	if out := r.answerKpasswd(r.changes, "udp", loopbackAddr, packet); out.how != sendNothing {
		t.Errorf("%+v", out)
	}
	r.Pause()
	if out := r.answerKpasswd(r.changes, "udp", loopbackAddr, packet); out.how != sendNothing || out.reply != nil {
		t.Errorf("paused: %+v", out)
	}
	r.Resume()
	if code, text := c.send(t, r, "tcp"); code != 0 {
		t.Error(text)
	}
	got := strings.ReplaceAll(r.Exchanges()[1:].String(), r.Name(), "R")
	want := strings.Join([]string{
		"kpasswd/udp  for : KDC_ERR_SVC_UNAVAILABLE [KDC_ERR_SVC_UNAVAILABLE]",
		"kpasswd/udp  for : no change [garbage]",
		"kpasswd/udp alice@R for alice@R: changed [drop]",
		"kpasswd/tcp alice@R for alice@R: changed",
	}, "\n")
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestSeenBy: one that listens everywhere is somewhere all the same.
func TestSeenBy(t *testing.T) {
	any4 := &KDC{addr: netip.MustParseAddrPort("0.0.0.0:464")}
	for sender, want := range map[string]string{"127.0.0.1": "127.0.0.1", "::ffff:127.0.0.1": "127.0.0.1"} {
		if got := any4.seenBy(netip.MustParseAddr(sender)); got.String() != want {
			t.Errorf("%s asked %s", sender, got)
		}
	}
	if got := any4.seenBy(netip.Addr{}); !got.IsUnspecified() {
		t.Errorf("nobody asked %s", got)
	}
	if got := (&KDC{addr: netip.MustParseAddrPort("127.0.0.9:464")}).seenBy(loopbackAddr); got.String() != "127.0.0.9" {
		t.Errorf("asked %s", got)
	}
}

func TestNoKpasswd(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"))
	if r.KpasswdAddr() != "" || strings.Contains(r.Config(), "kpasswd") {
		t.Errorf("service at %q", r.KpasswdAddr())
	}
	b := body(r, "alice")
	b.Server = changepw
	req, _ := asReq(t, r, "alice", "secret", AES256SHA1, b)
	if got := codeOf(t, exchange(t, r, "udp", req)); got != krb.CodeServerUnknown {
		t.Errorf("%s", krb.ErrorName(got))
	}
	lax := Start(t, WithUser("alice", "secret"), WithKpasswd(nil))
	if code, text := (change{ticket: changeTicket(t, lax, "alice", "secret"), version: 1, at: lax.Now()}).send(t, lax, "tcp"); code != krb.KpasswdSoftError {
		t.Errorf("an empty password where all are allowed: %d %s", code, text)
	}
	own := kpasswdRealm(t)
	if got := own.Principals(); len(got) != 3 || strings.Contains(own.Config(), "\tchangepw") {
		t.Errorf("principals %v", got)
	}
	if err := own.lookup(changepw).renewPassword("x"); err == nil {
		t.Error("the realm's own key changed")
	}
}

// TestGokrb5Kpasswd lets another implementation change a password.
func TestGokrb5Kpasswd(t *testing.T) {
	for name, lines := range map[string][]string{"udp": nil, "tcp": {"udp_preference_limit = 1"}} {
		r := kpasswdRealm(t)
		c := client.NewWithPassword("alice", r.Name(), "secret", gokrb5Config(t, r, lines...), client.DisablePAFXFAST(true))
		defer c.Destroy()
		if ok, err := c.ChangePasswd("of my own"); err != nil || !ok {
			t.Fatal(err)
		}
		if e := r.Exchanges()[len(r.Exchanges())-1]; e.Kind != Kpasswd || e.Network != name {
			t.Errorf("%v", e)
		}
		login(t, r, "alice", "of my own", AES256SHA1, body(r, "alice"))
	}
}
