package fakekdc

import (
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
)

func TestServerReferral(t *testing.T) {
	a, b, c := threeRealms(t)
	a.Refer("b.internal", "B.EXAMPLE")
	a.Refer(".far.example", "C.EXAMPLE")
	a.Refer(".deep.far.example", "B.EXAMPLE")
	a.Refer("lost.example", "LONE.EXAMPLE")
	a.Refer("web.c.example", "B.EXAMPLE")
	a.Refer("web.a.example", "B.EXAMPLE")
	a.Refer("taken.example", "B.EXAMPLE")
	a.Refer("taken.example", "")
	tgt := homeTicket(t, a, "alice")
	for name, tc := range map[string]struct {
		service string
		plain   bool // no canonicalization
		want    string
	}{
		"neighbour's":             {"HTTP/web.b.example", false, "krbtgt/B.EXAMPLE@A.EXAMPLE"},
		"neighbour's neighbour's": {"HTTP/web.c.example", false, "krbtgt/B.EXAMPLE@A.EXAMPLE"},
		"not asked":               {"HTTP/web.b.example", true, ""},
		"by host":                 {"HTTP/B.INTERNAL", false, "krbtgt/B.EXAMPLE@A.EXAMPLE"},
		"by domain":               {"HTTP/x.y.far.example", false, "krbtgt/B.EXAMPLE@A.EXAMPLE"},
		"by longer domain":        {"HTTP/x.deep.far.example", false, "krbtgt/B.EXAMPLE@A.EXAMPLE"},
		"by host, not asked":      {"HTTP/b.internal", true, ""},
		"no trust":                {"HTTP/lost.example", false, ""},
		"taken back":              {"HTTP/taken.example", false, ""},
		"nobody's":                {"HTTP/nowhere.example", false, ""},
		"domain itself":           {"HTTP/far.example", false, ""},
		"one component":           {"nobody", false, ""},
		"our own":                 {"HTTP/web.a.example", false, "HTTP/web.a.example@A.EXAMPLE"},
	} {
		t.Run(name, func(t *testing.T) {
			q := forService(a, tc.service)
			if !tc.plain {
				q.Options = krb.OptionCanonicalize
			}
			req, key := tgsReq(t, a, tgt, q, nil)
			reply := exchange(t, a, "udp", req)
			if tc.want == "" {
				if got := codeOf(t, reply); got != krb.CodeServerUnknown {
					t.Errorf("got %s", krb.ErrorName(got))
				}
				return
			}
			st, part := openRep(t, krb.MsgTGSRep, reply, key, krb.UsageTGSRepSubkey)
			f, err := krb.ParseTicket(st.Raw)
			if err != nil {
				t.Fatal(err)
			}
			if part.Server.String() != tc.want || f.Server.String() != tc.want || st.Client.String() != "alice@A.EXAMPLE" {
				t.Errorf("ticket for %v, inside %v, of %v", f.Server, part.Server, st.Client)
			}
			if f.Server.IsTGS() && f.Server.Type != krb.NTSrvInst {
				t.Errorf("name type %d", f.Server.Type)
			}
		})
	}
	// The chain to its end.
	q := forService(a, "HTTP/web.c.example")
	for _, r := range []*Realm{a, b, c} {
		q.Options, q.Realm = krb.OptionCanonicalize, r.Name()
		tgt = ticketFor(t, r, tgt, q)
	}
	if got := tgt.Server.String(); got != "HTTP/web.c.example@C.EXAMPLE" {
		t.Errorf("at the end: %s", got)
	}
}

func TestReferralFaults(t *testing.T) {
	a, b, _ := threeRealms(t)
	tgt := homeTicket(t, a, "alice")
	// A sends to B, and B back.
	a.Refer("round.example", "B.EXAMPLE")
	b.Refer("round.example", "A.EXAMPLE")
	q := forService(a, "HTTP/round.example")
	q.Options = krb.OptionCanonicalize
	there := ticketFor(t, a, tgt, q)
	q.Realm = b.Name()
	if back := ticketFor(t, b, there, q); back.Server.String() != "krbtgt/A.EXAMPLE@B.EXAMPLE" {
		t.Errorf("referred to %v", back.Server)
	}

	a.FailNext(Any, ReferTo("MOON.EXAMPLE"), ReferTo("B.EXAMPLE"))
	again := homeTicket(t, a, "alice") // uses none up
	for _, want := range []string{"krbtgt/MOON.EXAMPLE@A.EXAMPLE", "krbtgt/B.EXAMPLE@A.EXAMPLE", "HTTP/web.a.example@A.EXAMPLE"} {
		if got := ticketFor(t, a, again, forService(a, "HTTP/web.a.example")); got.Server.String() != want {
			t.Errorf("got %v, want %s", got.Server, want)
		}
	}
	if got := a.Exchanges()[len(a.Exchanges())-3].Fault; got != "refer to MOON.EXAMPLE" {
		t.Errorf("recorded as %q", got)
	}
}

func TestEnterpriseNames(t *testing.T) {
	a, _, c := threeRealms(t)
	lone := Start(t, WithUser("dave", "secret"))
	for _, err := range []error{
		a.Alias("Alice.Smith@corp.example", "alice"), a.Alias("asmith", "alice@A.EXAMPLE"),
		a.Alias("gone@corp.example", "alice"), a.Alias("gone@corp.example", ""),
		c.Alias("carol@corp.example", "carol"),
		a.ReferUsers("dave", lone.Name()), a.ReferUsers("@lone.example", lone.Name()), a.ReferUsers("eve@lone.example", "EVE.EXAMPLE"),
		a.ReferUsers("self", "A.EXAMPLE"), a.ReferUsers("back", "B.EXAMPLE"), a.ReferUsers("back", ""),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := a.AddUser(`odd\@name`, "secret"); err != nil {
		t.Fatal(err)
	}
	enterprise := func(s string) krb.Principal {
		return krb.Principal{Type: krb.NTEnterprise, Components: []string{s}}
	}
	plain := func(s string) krb.Principal { return krb.NewPrincipal("", s) }
	type want struct {
		client string
		code   int32
		realm  string
	}
	for name, tc := range map[string]struct {
		client krb.Principal
		as     bool // it is
		want   want
	}{
		"alias":                  {enterprise("alice.smith@CORP.example"), true, want{client: "alice@A.EXAMPLE"}},
		"alias, not asked":       {enterprise("alice.smith@corp.example"), false, want{code: krb.CodeClientUnknown}},
		"plain alias":            {plain("asmith"), true, want{client: "alice@A.EXAMPLE"}},
		"plain alias, not asked": {plain("asmith"), false, want{code: krb.CodeClientUnknown}},
		"alias taken back":       {enterprise("gone@corp.example"), true, want{code: krb.CodeClientUnknown}},
		"realm":                  {enterprise("alice@a.example"), true, want{client: "alice@A.EXAMPLE"}},
		"realm, not asked":       {enterprise("alice@A.EXAMPLE"), false, want{code: krb.CodeClientUnknown}},
		"realm, nobody":          {enterprise("nobody@A.EXAMPLE"), true, want{code: krb.CodeClientUnknown}},
		"name with an at":        {enterprise("odd@name"), false, want{client: `odd\@name@A.EXAMPLE`}},
		"alias far away":         {enterprise("carol@corp.example"), true, want{code: krb.CodeWrongRealm, realm: "C.EXAMPLE"}},
		"far away, not asked":    {enterprise("carol@corp.example"), false, want{code: krb.CodeClientUnknown}},
		"realm far away":         {enterprise("anyone@c.example"), true, want{code: krb.CodeWrongRealm, realm: "C.EXAMPLE"}},
		"user said elsewhere":    {plain("dave"), true, want{code: krb.CodeWrongRealm, realm: lone.Name()}},
		"suffix said elsewhere":  {enterprise("dave@Lone.Example"), true, want{code: krb.CodeWrongRealm, realm: lone.Name()}},
		"one of the suffix":      {enterprise("eve@lone.example"), true, want{code: krb.CodeWrongRealm, realm: "EVE.EXAMPLE"}},
		"here, in circles":       {plain("self"), true, want{code: krb.CodeWrongRealm, realm: "A.EXAMPLE"}},
		"referral taken back":    {plain("back"), true, want{code: krb.CodeClientUnknown}},
		"nobody":                 {enterprise("nobody@nowhere.example"), true, want{code: krb.CodeClientUnknown}},
		"without suffix":         {enterprise("nobody"), true, want{code: krb.CodeClientUnknown}},
	} {
		t.Run(name, func(t *testing.T) {
			q := body(a, "")
			q.Client = tc.client
			if tc.as {
				q.Options = krb.OptionCanonicalize
			}
			user := "alice"
			if tc.want.client == `odd\@name@A.EXAMPLE` {
				user = "odd@name"
			}
			req, key := asReq(t, a, user, "secret", AES256SHA1, q)
			reply := exchange(t, a, "udp", req)
			if tc.want.code == 0 {
				tgt, _ := openRep(t, krb.MsgASRep, reply, key, krb.UsageASRepEncPart)
				if tgt.Client.String() != tc.want.client {
					t.Errorf("client %v, want %s", tgt.Client, tc.want.client)
				}
				if !tgt.Client.SameName(tc.client) && tgt.Client.Type != krb.NTPrincipal {
					t.Errorf("name type %d", tgt.Client.Type)
				}
				return
			}
			e, err := krb.ParseKRBError(reply)
			if err != nil {
				t.Fatal(err)
			}
			if e.Code != tc.want.code || tc.want.realm != "" && e.Client.Realm != tc.want.realm {
				t.Errorf("%v, client %v; want %+v", e, e.Client, tc.want)
			}
		})
	}
	// In the realm that it is sent to, the name is known.
	q := body(c, "")
	q.Client, q.Options = enterprise("carol@corp.example"), krb.OptionCanonicalize
	if got := login(t, c, "carol", "secret", AES256SHA1, q).Client.String(); got != "carol@C.EXAMPLE" {
		t.Errorf("client %s", got)
	}
}

func TestReferErrors(t *testing.T) {
	r, err := New(WithUser("alice", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for name, err := range map[string]error{
		"alias of nobody":   r.Alias("x@y", "nobody"),
		"empty alias":       r.Alias("", "alice"),
		"no host":           r.Refer("", "B.EXAMPLE"),
		"malformed realm":   r.Refer("x.example", "B/EXAMPLE"),
		"no user":           r.ReferUsers("", "B.EXAMPLE"),
		"malformed realm 2": r.ReferUsers("x", "a b"),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
