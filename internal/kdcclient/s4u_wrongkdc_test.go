package kdcclient

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A saying is what a KDC that may say anything makes of a request, sealed and signed well.
type saying struct {
	given krb.Principal // what the ticket is for
	whose krb.Principal // zero: the service's
	user  krb.Principal // signed; zero for no word
}

// wrongKDCs are realms whose KDCs say what say has them say, under one key for all.
func wrongKDCs(t *testing.T, say func(realm string, q krb.KDCReqBody, user krb.Principal) saying) *Client {
	t.Helper()
	answer := func(raw []byte) ([]byte, error) {
		q, err := krb.ParseKDCReq(raw)
		if err != nil {
			return nil, err
		}
		body, err := krb.ParseKDCReqBody(q.Body)
		if err != nil {
			return nil, err
		}
		value, _ := krb.FindPAData(q.PAData, krb.PATGSReq)
		ap, err := krb.ParseAPReq(value)
		if err != nil {
			return nil, err
		}
		plain, err := fuzzKey.OpenData(krb.UsageTGSReqAuth, ap.Authenticator)
		if err != nil {
			return nil, err
		}
		auth, err := krb.ParseAuthenticator(plain)
		if err != nil {
			return nil, err
		}
		var asked krb.Principal
		if value, found := krb.FindPAData(q.PAData, krb.PAS4UX509User); found {
			if p, err := krb.ParsePAS4UX509(value); err == nil {
				id, _ := krb.ParseS4UUserID(p.UserID)
				asked = id.User
			}
		}
		s := say(body.Realm, body, asked)
		if s.whose.IsZero() {
			s.whose = gateway
		}
		ticket, err := krb.SealTicket(s.given, fuzzKey, 1, &krb.EncTicketPart{Key: fuzzKey, Client: s.whose, AuthTime: epoch, EndTime: body.Till})
		if err != nil {
			return nil, err
		}
		rep := &krb.KDCRep{Client: s.whose, RawTicket: ticket}
		if !s.user.IsZero() {
			id, err := krb.S4UUserID{Nonce: uint32(body.Nonce), User: s.user, Options: krb.S4UReplyUsage}.Marshal()
			if err != nil {
				return nil, err
			}
			sum, err := auth.Subkey.Checksum(krb.UsageS4UX509Reply, id)
			if err != nil {
				return nil, err
			}
			pa, err := krb.PAS4UX509{UserID: id, Checksum: krb.Checksum{Type: auth.Subkey.ChecksumType(), Value: sum}}.Marshal()
			if err != nil {
				return nil, err
			}
			rep.PAData = []krb.PAData{{Type: krb.PAS4UX509User, Value: pa}}
		}
		return rep.Seal(krb.MsgTGSRep, &krb.EncKDCRepPart{
			Key: fuzzKey, Nonce: body.Nonce, AuthTime: epoch.Truncate(time.Second), EndTime: body.Till, Server: s.given,
			PAData: []krb.PAData{{Type: krb.PAPACOptions, Value: krb.MarshalPAPACOptions(krb.PACOptionRBCD)}},
		}, auth.Subkey, 0, krb.UsageTGSRepSubkey)
	}
	o := Options{Etypes: krb.DefaultEtypes(false), Now: func() time.Time { return epoch }, UDPPreferenceLimit: 1, Locate: at(KDC{Host: "kdc.test", Port: 88})}
	o.Pacing.Next = time.Minute
	o.Dial = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			var head [4]byte
			if _, err := io.ReadFull(theirs, head[:]); err != nil {
				return
			}
			raw := make([]byte, binary.BigEndian.Uint32(head[:]))
			if _, err := io.ReadFull(theirs, raw); err != nil {
				return
			}
			reply, err := answer(raw)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = theirs.Write(framed(reply)) // whoever has left says so
		}()
		return ours, nil
	}
	return New(o)
}

// TestS4UOfWrongKDCs: realms on the way that say, under the right keys, what is not theirs
// to say.
func TestS4UOfWrongKDCs(t *testing.T) {
	tgt := &krb.Ticket{Client: gateway, Server: tgsA, Key: fuzzKey, Raw: rawTicketOf(t), EndTime: epoch.Add(10 * time.Hour)}
	mallory := krb.NewPrincipal("B.TEST", "mallory")
	evidence := &krb.Ticket{Client: alice, Server: gateway, Raw: rawTicketOf(t)}
	self := func(c *Client) (*krb.Ticket, error) { return c.Self(t.Context(), tgt, bob, TGSOptions{}) }
	proxy := func(c *Client) (*krb.Ticket, error) {
		return c.Proxy(t.Context(), tgt, evidence, krb.NewPrincipal("", "HTTP", "far.test"), TGSOptions{})
	}
	// What honest ones say: from A to B and back.
	honest := func(realm string, q krb.KDCReqBody, user krb.Principal) saying {
		switch {
		case q.Server.IsTGS():
			return saying{given: krb.TGS(q.Server.Components[1], realm)}
		case realm == realmA && q.Server.SameName(gateway):
			return saying{given: gateway, whose: user, user: user}
		case realm == realmA:
			return saying{given: krb.TGS("B.TEST", realm)}
		case q.Server.Type == krb.NTEnterprise:
			return saying{given: krb.TGS(realmA, realm), user: user}
		}
		far := krb.Principal{Type: q.Server.Type, Components: q.Server.Components, Realm: realm}
		if q.Options&krb.OptionCNameInAddlTkt != 0 {
			return saying{given: far, whose: alice}
		}
		return saying{given: far}
	}
	type sayings func(realm string, q krb.KDCReqBody, user krb.Principal) saying
	but := func(when func(realm string, q krb.KDCReqBody) bool, what func(saying, krb.Principal) saying) sayings {
		return func(realm string, q krb.KDCReqBody, user krb.Principal) saying {
			s := honest(realm, q, user)
			if when(realm, q) {
				s = what(s, user)
			}
			return s
		}
	}
	atB := func(realm string, q krb.KDCReqBody) bool {
		return realm == "B.TEST" && q.Server.Type == krb.NTEnterprise
	}
	home := func(realm string, q krb.KDCReqBody) bool { return realm == realmA && q.Server.SameName(gateway) }
	plainly := func(realm string, q krb.KDCReqBody) bool {
		return realm == realmA && !q.Server.IsTGS() && q.Options&krb.OptionCNameInAddlTkt == 0
	}
	last := func(realm string, q krb.KDCReqBody) bool {
		return realm == "B.TEST" && q.Options&krb.OptionCNameInAddlTkt != 0
	}
	for name, tc := range map[string]struct {
		do   func(*Client) (*krb.Ticket, error)
		say  sayings
		says string // "" for a ticket
	}{
		"self": {self, honest, ""},
		"the user's realm gives the ticket itself": {self, but(atB, func(_ saying, u krb.Principal) saying {
			return saying{given: krb.Principal{Type: krb.NTEnterprise, Components: []string{"HTTP/gateway.test@" + realmA}, Realm: "B.TEST"}, whose: u, user: u}
		}), "gives a ticket for"},
		"the user's realm names another": {self, but(atB, func(s saying, _ krb.Principal) saying { s.user = mallory; return s }), "asked was for bob"},
		"one's own realm names another":  {self, but(home, func(saying, krb.Principal) saying { return saying{gateway, mallory, mallory} }), "asked was for bob"},
		"one's own realm refers on":      {self, but(home, func(_ saying, u krb.Principal) saying { return saying{given: krb.TGS("C.TEST", realmA), user: u} }), "gives a ticket for krbtgt/C.TEST"},
		"proxy":                          {proxy, honest, ""},
		"with a user it refers, and without it does not": {proxy, but(plainly, func(saying, krb.Principal) saying {
			return saying{given: krb.NewPrincipal(realmA, "HTTP", "far.test")}
		}), "without a user it does not"},
		"the target's realm refers on":       {proxy, but(last, func(saying, krb.Principal) saying { return saying{given: krb.TGS("C.TEST", "B.TEST")} }), "refers to realm"},
		"the target's realm gives another's": {proxy, but(last, func(s saying, _ krb.Principal) saying { s.whose = mallory; return s }), "for client mallory"},
		"the target's realm gives ours":      {proxy, but(last, func(s saying, _ krb.Principal) saying { s.whose = gateway; return s }), "for client HTTP/gateway.test"},
	} {
		got, err := tc.do(wrongKDCs(t, tc.say))
		if tc.says == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestS4UCertificateIsOnesWord: who the user of a certificate is, the user's realm says,
// and no other realm after it.
func TestS4UCertificateIsOnesWord(t *testing.T) {
	mallory := krb.NewPrincipal("B.TEST", "mallory")
	c := wrongKDCs(t, func(realm string, q krb.KDCReqBody, user krb.Principal) saying {
		if realm == realmA {
			return saying{gateway, mallory, mallory}
		}
		return saying{given: krb.TGS(realmA, realm), user: bob}
	})
	tgt := &krb.Ticket{Client: gateway, Server: tgsA, Key: fuzzKey, Raw: rawTicketOf(t), EndTime: epoch.Add(10 * time.Hour)}
	call, fail := c.newS4UCall(tgt, gateway, TGSOptions{})
	if fail != nil {
		t.Fatal(fail)
	}
	call.tgt = &krb.Ticket{Client: gateway, Server: krb.TGS("B.TEST", realmA), Key: fuzzKey, Raw: tgt.Raw, EndTime: tgt.EndTime}
	call.realm, call.path = "B.TEST", []string{"B.TEST"}
	got, fail := call.walkBack(t.Context(), realmA, s4u{self: true, learn: true, certificate: []byte("DER"), user: krb.Principal{Realm: "B.TEST"}})
	if fail == nil || !strings.Contains(fail.Error(), "asked was for bob") {
		t.Errorf("%v, %v", got, fail)
	}
}

// TestS4UWordTakenOut: a word that is repeated inside and gone outside was taken out, even
// where the service's keys open the ticket.
func TestS4UWordTakenOut(t *testing.T) {
	for name, inside := range map[string]bool{"no word": false, "a word inside": true} {
		e := errands["self"]
		part := e.honest().Part
		if inside {
			part.PAData = []krb.PAData{{Type: krb.PAS4UX509User, Value: []byte("both checksums")}}
		}
		plain, err := part.Marshal(krb.MsgTGSRep)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := fuzzKey.Seal(krb.UsageTGSRepSubkey, plain)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := krb.SealTicket(gateway, fuzzKey, 1, &krb.EncTicketPart{Key: fuzzKey, Client: alice, AuthTime: epoch, EndTime: epoch})
		if err != nil {
			t.Fatal(err)
		}
		fields, err := krb.ParseTicket(raw)
		if err != nil {
			t.Fatal(err)
		}
		g := &tgsCall{c: New(Options{Now: func() time.Time { return epoch }}), o: TGSOptions{Etypes: krb.DefaultEtypes(false), Own: []krb.Key{fuzzKey}}, tgt: &krb.Ticket{Client: gateway, Key: fuzzKey}}
		g.call = call{exchange: "TGS", realm: realmA, client: gateway, server: gateway}
		q := &tgsRequest{wanted: e.asked, body: &krb.KDCReqBody{Nonce: forgedNonce, Till: forgedTill}, subkey: fuzzKey, now: epoch}
		got, err := g.accept(&reply{rep: &krb.KDCRep{Client: alice, RawTicket: raw, Ticket: fields, EncPart: krb.EncryptedData{Etype: fuzzKey.Etype(), Cipher: sealed}}, at: epoch}, q)
		if (err == nil) == inside {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func rawTicketOf(t *testing.T) []byte {
	t.Helper()
	raw, err := krb.SealTicket(tgsA, fuzzKey, 1, &krb.EncTicketPart{Key: fuzzKey, Client: gateway, AuthTime: epoch, EndTime: epoch.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
