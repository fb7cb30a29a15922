package fakekdc

import (
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/internal/krb"
)

func toUser(tb testing.TB, r *Realm, user string, second *krb.Ticket) tgsAsk {
	tb.Helper()
	b := forService(r, user)
	b.Options = krb.OptionEncTktInSKey
	return tgsAsk{tgt: minted(tb, r, "alice", krb.TGS(r.Name(), r.Name()).Name()), body: b, tickets: [][]byte{second.Raw}}
}

func TestUserToUser(t *testing.T) {
	clock := &Clock{}
	other := Start(t, WithRealm("OTHER.EXAMPLE"), WithUser("bob", "secret"))
	r := Start(t, WithClock(clock.Now), WithEtypes(allEtypes...), WithUser("alice", "secret"), WithUser("bob", "secret", UserToUserOnly()), WithUser("carol", "secret"),
		WithService("HTTP/localhost"))
	other.Trust(r)
	tgs := krb.TGS(r.Name(), r.Name()).Name()
	bobs := minted(t, r, "bob", tgs)
	for _, e := range allEtypes {
		theirs := login(t, r, "bob", "secret", e, body(r, "bob", e))
		a := toUser(t, r, "bob", theirs)
		got, part, _ := a.ticket(t, r)
		f, err := krb.ParseTicket(got.Raw)
		if err != nil {
			t.Fatal(err)
		}
		inside, err := openTicket(f, theirs.Key)
		if err != nil {
			t.Fatalf("session key of bob's does not open it: %v", err)
		}
		if f.EncPart.Kvno != 0 || f.EncPart.Etype != e || got.Key.Etype() != e || !inside.session.Equal(got.Key) || !inside.client.Equal(got.Client) || part.Server.Name() != "bob" {
			t.Errorf("ticket for %v, kvno %d, etypes %d and %d", part.Server, f.EncPart.Kvno, f.EncPart.Etype, got.Key.Etype())
		}
	}
	// The client does not know the type of bob's session key.
	a := toUser(t, r, "bob", bobs)
	a.body.Etypes = []int32{AES128SHA256}
	if got, _, _ := a.ticket(t, r); got.Key.Etype() != AES128SHA256 {
		t.Errorf("session key of etype %d", got.Key.Etype())
	}
	for name, tc := range map[string]struct {
		ask  tgsAsk
		want int32
	}{
		"without":             {tgsAsk{tgt: a.tgt, body: forService(r, "bob")}, krb.CodeMustUseUserToUser},
		"no second ticket":    {toUser(t, r, "bob", bobs).with(func(a *tgsAsk) { a.tickets = nil }), krb.CodeBadOption},
		"another's":           {toUser(t, r, "carol", bobs), krb.CodeServerNoMatch},
		"service ticket":      {toUser(t, r, "bob", minted(t, r, "bob", "HTTP/localhost")), krb.CodePolicy},
		"of another realm":    {toUser(t, r, "bob", minted(t, other, "bob", krb.TGS(other.Name(), other.Name()).Name())), krb.CodePolicy},
		"from another realm":  {toUser(t, r, "bob", hopTo(t, other, homeTicket(t, other, "bob"), r.Name())), krb.CodePolicy},
		"for nobody":          {toUser(t, r, "bob", bobs).with(func(a *tgsAsk) { a.tickets[0] = ticketDER(r.Name(), krb.NewPrincipal("", "no", "one"), 18, 1) }), krb.CodeServerUnknown},
		"unknown kvno":        {toUser(t, r, "bob", bobs).with(func(a *tgsAsk) { a.tickets[0] = ticketDER(r.Name(), bobs.Server, 18, 77) }), krb.CodeBadKvno},
		"does not decrypt":    {toUser(t, r, "bob", bobs).with(func(a *tgsAsk) { a.tickets[0] = ticketDER(r.Name(), bobs.Server, 18, 1) }), krb.CodeBadIntegrity},
		"not yet valid":       {toUser(t, r, "bob", with(t, r, bobs, krb.FlagInvalid)), krb.CodeTicketNotYet},
		"ended":               {toUser(t, r, "bob", resealed(t, r, bobs, func(g *grant) { g.end = r.Now() })), krb.CodeTicketExpired},
		"unknown user":        {toUser(t, r, "nobody", bobs), krb.CodeServerUnknown},
		"no etype in common":  {toUser(t, r, "bob", bobs).with(func(a *tgsAsk) { a.body.Etypes = []int32{3} }), krb.CodeEtypeNoSupport},
		"needs pre-auth only": {toUser(t, r, "carol", minted(t, r, "carol", tgs)), 0},
	} {
		if got := tc.ask.code(t, r); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, krb.ErrorName(got), krb.ErrorName(tc.want))
		}
	}
	// Nor is there an initial ticket.
	b := body(r, "alice")
	b.Server = krb.NewPrincipal("", "bob")
	req, _ := asReq(t, r, "alice", "secret", AES256SHA1, b)
	if got := codeOf(t, exchange(t, r, "tcp", req)); got != krb.CodeMustUseUserToUser {
		t.Errorf("initial ticket: %s", krb.ErrorName(got))
	}
}

// ticketDER is a ticket of nobody's making.
func ticketDER(realm string, server krb.Principal, etype int32, kvno uint32) []byte {
	server.Realm = realm
	g := grant{server: server, authTime: time.Unix(0, 0), start: time.Unix(0, 0), end: time.Unix(0, 0)}
	key, err := krb.GenerateKey(etype)
	if err == nil {
		g.session, err = krb.GenerateKey(etype)
	}
	if err != nil {
		panic(err)
	}
	b, err := g.seal(key, kvno)
	if err != nil {
		panic(err)
	}
	return b
}

// TestGokrb5UserToUser: its client asks, and its decoder opens the ticket.
func TestGokrb5UserToUser(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"), WithUser("bob", "secret"))
	conf := gokrb5Config(t, r)
	login := func(user string) (messages.Ticket, types.EncryptionKey, *client.Client) {
		c := client.NewWithPassword(user, r.Name(), "secret", conf, client.DisablePAFXFAST(true))
		t.Cleanup(c.Destroy)
		if err := c.Login(); err != nil {
			t.Fatal(err)
		}
		tgt, key, err := c.GetServiceTicket("krbtgt/" + r.Name())
		if err != nil {
			t.Fatal(err)
		}
		return tgt, key, c
	}
	tgt, key, c := login("alice")
	bobs, bobsKey, _ := login("bob")
	bob := types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, "bob")
	req, err := messages.NewUser2UserTGSReq(c.Credentials.CName(), r.Name(), conf, tgt, key, bob, false, bobs)
	if err != nil {
		t.Fatal(err)
	}
	_, rep, err := c.TGSExchange(req, r.Name(), tgt, key, 0)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := crypto.DecryptEncPart(rep.Ticket.EncPart, bobsKey, keyusage.KDC_REP_TICKET)
	if err != nil {
		t.Fatal(err)
	}
	var part messages.EncTicketPart
	if err := part.Unmarshal(plain); err != nil {
		t.Fatal(err)
	}
	if part.CName.PrincipalNameString() != "alice" || rep.Ticket.SName.PrincipalNameString() != "bob" {
		t.Errorf("ticket of %v for %v", part.CName, rep.Ticket.SName)
	}
}
