package fakekdc

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/krb"
)

func TestEveryEtypeBothNetworks(t *testing.T) {
	r := Start(t, WithEtypes(allEtypes...), WithUser("alice", "secret"), WithService("HTTP/localhost"))
	for _, network := range []string{"udp", "tcp"} {
		for _, e := range allEtypes {
			req, key := asReq(t, r, "alice", "secret", e, body(r, "alice", e))
			tgt, _ := openRep(t, krb.MsgASRep, exchange(t, r, network, req), key, krb.UsageASRepEncPart)
			if tgt.Key.Etype() != e {
				t.Errorf("session key of etype %d, want %d", tgt.Key.Etype(), e)
			}
			tgs, subkey := tgsReq(t, r, tgt, forService(r, "HTTP/localhost", e), nil)
			st, part := openRep(t, krb.MsgTGSRep, exchange(t, r, network, tgs), subkey, krb.UsageTGSRepSubkey)
			if st.Key.Etype() != e || !part.Server.Equal(krb.NewPrincipal(r.Name(), "HTTP", "localhost")) {
				t.Errorf("ticket %v of etype %d, want etype %d", st, st.Key.Etype(), e)
			}
		}
	}
	if as, tgs := r.Count(AS, 0), r.Count(TGS, 0); as != 10 || tgs != 10 {
		t.Errorf("%d AS and %d TGS exchanges, want 10 and 10", as, tgs)
	}
}

func TestReplyUnderSessionKey(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"), WithService("HTTP/localhost"))
	tgt := minted(t, r, "alice", krb.TGS(r.Name(), r.Name()).Name())
	req, _ := tgsReq(t, r, tgt, forService(r, "HTTP/localhost"), func(a *krb.Authenticator) { a.Subkey = krb.Key{} })
	openRep(t, krb.MsgTGSRep, exchange(t, r, "udp", req), tgt.Key, krb.UsageTGSRepSessionKey)
}

func TestPreauthRequired(t *testing.T) {
	r := Start(t, WithUser("alice", "secret", Salt("pepper"), Iterations(5000)))
	reply := exchange(t, r, "udp", marshalReq(t, krb.MsgASReq, nil, body(r, "alice", AES128SHA1, 3, RC4HMAC, AES256SHA1)))
	e, err := krb.ParseKRBError(reply)
	if err != nil {
		t.Fatal(err)
	}
	if e.Code != krb.CodePreauthRequired || e.Client.String() != "alice@"+r.Name() || e.Server.IsZero() {
		t.Errorf("got %v for %v at %v", e, e.Client, e.Server)
	}
	list, err := krb.ParsePADatas(e.Data)
	if err != nil {
		t.Fatal(err)
	}
	info, err := krb.ParseEtypeInfo2(list[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	params := []byte{0, 0, 0x13, 0x88}
	want := []krb.EtypeInfo{{Etype: 17, Salt: "pepper", HasSalt: true, Params: params}, {Etype: 18, Salt: "pepper", HasSalt: true, Params: params}}
	if d := cmp.Diff(want, info); d != "" {
		t.Error(d)
	}
	if list[1].Type != krb.PAEncTimestamp {
		t.Errorf("second element of METHOD-DATA is %d, want 2", list[1].Type)
	}
}

func TestASRefusals(t *testing.T) {
	clock := &Clock{}
	r := Start(t, WithClock(clock.Now),
		WithUser("alice", "secret"), WithUser("locked", "secret", Refuse(krb.CodeClientRevoked)),
		WithUser("new", "secret", Etypes(AES256SHA384)), WithService("HTTP/old", Etypes(AES128SHA1)))
	key := func(e int32, password string) krb.Key {
		return keyOf(t, r, "alice", password, e)
	}
	good := timestamp(t, key(18, "secret"), r.Now())
	for name, tc := range map[string]struct {
		change func(*krb.KDCReqBody)
		pa     []krb.PAData
		want   int32
	}{
		"no name":               {func(b *krb.KDCReqBody) { b.Client = krb.Principal{} }, nil, krb.CodeClientUnknown},
		"unknown client":        {func(b *krb.KDCReqBody) { b.Client.Components = []string{"bob"} }, nil, krb.CodeClientUnknown},
		"other realm":           {func(b *krb.KDCReqBody) { b.Realm = "OTHER.EXAMPLE" }, nil, krb.CodeWrongRealm},
		"unknown server":        {func(b *krb.KDCReqBody) { b.Server.Components = []string{"HTTP", "nowhere"} }, nil, krb.CodeServerUnknown},
		"locked":                {func(b *krb.KDCReqBody) { b.Client.Components = []string{"locked"} }, nil, krb.CodeClientRevoked},
		"no common client key":  {func(b *krb.KDCReqBody) { b.Client.Components = []string{"new"}; b.Etypes = []int32{18} }, nil, krb.CodeEtypeNoSupport},
		"no common session key": {func(b *krb.KDCReqBody) { b.Server.Components = []string{"HTTP", "old"}; b.Etypes = []int32{18} }, nil, krb.CodeEtypeNoSupport},
		"rc4 not configured":    {func(b *krb.KDCReqBody) { b.Etypes = []int32{RC4HMAC} }, nil, krb.CodeEtypeNoSupport},
		"no etypes":             {func(b *krb.KDCReqBody) { b.Etypes = nil }, nil, krb.CodeEtypeNoSupport},
		"renew":                 {func(b *krb.KDCReqBody) { b.Options = krb.OptionRenew }, nil, krb.CodeBadOption},
		"no pre-authentication": {nil, nil, krb.CodePreauthRequired},
		"wrong password":        {nil, []krb.PAData{timestamp(t, key(18, "guess"), r.Now())}, krb.CodePreauthFailed},
		"malformed timestamp":   {nil, []krb.PAData{{Type: 2, Value: []byte{0x30, 0}}}, krb.CodePreauthFailed},
		"short timestamp":       {nil, []krb.PAData{{Type: 2, Value: []byte{0x30, 0x0c, 0xa0, 3, 2, 1, 18, 0xa2, 5, 4, 3, 1, 2, 3}}}, krb.CodePreauthFailed},
		"slow clock":            {nil, []krb.PAData{timestamp(t, key(18, "secret"), r.Now().Add(-6*time.Minute))}, krb.CodeSkew},
		"fast clock":            {nil, []krb.PAData{timestamp(t, key(18, "secret"), r.Now().Add(6*time.Minute))}, krb.CodeSkew},
		"till in the past":      {func(b *krb.KDCReqBody) { b.Till = r.Now().Add(-time.Hour) }, []krb.PAData{good}, krb.CodeNeverValid},
		"all is well":           {nil, []krb.PAData{good}, 0},
		"within the skew":       {nil, []krb.PAData{timestamp(t, key(18, "secret"), r.Now().Add(4*time.Minute))}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := body(r, "alice")
			if tc.change != nil {
				tc.change(&b)
			}
			reply := exchange(t, r, "udp", marshalReq(t, krb.MsgASReq, tc.pa, b))
			if tc.want == 0 {
				openRep(t, krb.MsgASRep, reply, key(18, "secret"), krb.UsageASRepEncPart)
				return
			}
			e, err := krb.ParseKRBError(reply)
			if err != nil {
				t.Fatal(err)
			}
			if e.Code != tc.want {
				t.Errorf("got %v, want code %d", e, tc.want)
			}
			if (tc.want == krb.CodePreauthFailed) != (len(e.Data) > 0 && tc.want != krb.CodePreauthRequired) {
				t.Errorf("%d bytes of e-data", len(e.Data))
			}
			if tc.want == krb.CodeWrongRealm && e.Client.Realm != r.Name() {
				t.Errorf("client realm %q does not lead on", e.Client.Realm)
			}
		})
	}
}

func TestTGSRefusals(t *testing.T) {
	clock := &Clock{}
	r := Start(t, WithClock(clock.Now), WithUser("alice", "secret"), WithUser("bob", "secret"),
		WithService("HTTP/localhost"), WithService("HTTP/closed", Refuse(krb.CodePolicy)), WithService("HTTP/old", Etypes(AES128SHA1)))
	other := Start(t, WithRealm(r.Name()), WithUser("alice", "secret"), WithService("HTTP/localhost"))
	tgs := krb.TGS(r.Name(), r.Name()).Name()
	tgt := minted(t, r, "alice", tgs)
	at := r.Now()
	for name, tc := range map[string]struct {
		tgt    *krb.Ticket
		change func(*krb.KDCReqBody)
		spoil  func(*krb.Authenticator)
		mangle func([]byte) []byte
		move   time.Duration
		want   int32
	}{
		"all is well":       {},
		"unknown server":    {change: func(b *krb.KDCReqBody) { b.Server.Components[1] = "nowhere" }, want: krb.CodeServerUnknown},
		"server's realm":    {change: func(b *krb.KDCReqBody) { b.Realm = "OTHER.EXAMPLE" }, want: krb.CodeServerUnknown},
		"refused service":   {change: func(b *krb.KDCReqBody) { b.Server.Components[1] = "closed" }, want: krb.CodePolicy},
		"no common etype":   {change: func(b *krb.KDCReqBody) { b.Server.Components[1] = "old"; b.Etypes = []int32{18} }, want: krb.CodeEtypeNoSupport},
		"another's name":    {spoil: func(a *krb.Authenticator) { a.Client.Components = []string{"bob"} }, want: krb.CodeBadMatch},
		"another's realm":   {spoil: func(a *krb.Authenticator) { a.Client.Realm = "OTHER.EXAMPLE" }, want: krb.CodeBadMatch},
		"name in the body":  {change: func(b *krb.KDCReqBody) { b.Client = krb.NewPrincipal(r.Name(), "bob") }, want: krb.CodeBadMatch},
		"slow clock":        {spoil: func(a *krb.Authenticator) { a.CTime = at.Add(-time.Hour) }, want: krb.CodeSkew},
		"no checksum":       {spoil: func(a *krb.Authenticator) { a.Checksum.Value = nil }, want: krb.CodeInappChecksum},
		"checksum type":     {spoil: func(a *krb.Authenticator) { a.Checksum.Type = 7 }, want: krb.CodeSumTypeNoSupport},
		"checksum":          {spoil: func(a *krb.Authenticator) { a.Checksum.Value[0] ^= 1 }, want: krb.CodeModified},
		"body changed":      {mangle: func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, want: krb.CodeModified},
		"expired":           {move: 11 * time.Hour, want: krb.CodeTicketExpired},
		"foreign key":       {tgt: minted(t, other, "alice", tgs), want: krb.CodeBadIntegrity},
		"service ticket":    {tgt: minted(t, r, "alice", "HTTP/localhost"), want: krb.CodeNotUs},
		"not forwardable":   {tgt: without(t, r, tgt, krb.FlagForwardable), change: func(b *krb.KDCReqBody) { b.Options = krb.OptionForwarded }, want: krb.CodeBadOption},
		"not yet valid":     {tgt: with(t, r, tgt, krb.FlagInvalid), want: krb.CodeTicketNotYet},
		"user to user":      {change: func(b *krb.KDCReqBody) { b.Options = krb.OptionEncTktInSKey }, want: krb.CodeBadOption},
		"renew other":       {change: func(b *krb.KDCReqBody) { b.Options = krb.OptionRenew }, want: krb.CodeServerNoMatch},
		"renew unrenewable": {tgt: without(t, r, tgt, krb.FlagRenewable), change: func(b *krb.KDCReqBody) { b.Options = krb.OptionRenew; b.Server = tgt.Server }, want: krb.CodeBadOption},
		"client is gone":    {tgt: renamed(t, r, tgt, "carol"), want: krb.CodeClientUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			clock.Advance(tc.move)
			defer clock.Advance(-tc.move)
			b := forService(r, "HTTP/localhost")
			if tc.change != nil {
				tc.change(&b)
			}
			if tc.tgt == nil {
				tc.tgt = tgt
			}
			req, key := tgsReq(t, r, tc.tgt, b, tc.spoil)
			if tc.mangle != nil {
				req = tc.mangle(req)
			}
			reply := exchange(t, r, "tcp", req)
			if tc.want == 0 {
				openRep(t, krb.MsgTGSRep, reply, key, krb.UsageTGSRepSubkey)
				return
			}
			if got := codeOf(t, reply); got != tc.want {
				t.Errorf("got %s, want %s", krb.ErrorName(got), krb.ErrorName(tc.want))
			}
		})
	}
	t.Run("no ticket", func(t *testing.T) {
		req := marshalReq(t, krb.MsgTGSReq, nil, forService(r, "HTTP/localhost"))
		if got := codeOf(t, exchange(t, r, "udp", req)); got != krb.CodePADataNoSupport {
			t.Errorf("got %d", got)
		}
	})
}

// resealed is a ticket of the realm's that says something else.
func resealed(t *testing.T, r *Realm, old *krb.Ticket, change func(*grant)) *krb.Ticket {
	t.Helper()
	g := grant{
		client: old.Client, server: old.Server, session: old.Key, flags: old.Flags,
		authTime: old.AuthTime, start: old.StartTime, end: old.EndTime, renewTill: old.RenewTill,
	}
	change(&g)
	key, kvno, err := r.lookup(old.Server).sealing()
	if err != nil {
		t.Fatal(err)
	}
	c := *old
	if c.Raw, err = g.seal(key, kvno); err != nil {
		t.Fatal(err)
	}
	c.Flags, c.Client = g.flags, g.client
	return &c
}

func with(t *testing.T, r *Realm, old *krb.Ticket, flag uint32) *krb.Ticket {
	return resealed(t, r, old, func(g *grant) { g.flags |= flag })
}

func without(t *testing.T, r *Realm, old *krb.Ticket, flag uint32) *krb.Ticket {
	return resealed(t, r, old, func(g *grant) { g.flags &^= flag })
}

func renamed(t *testing.T, r *Realm, old *krb.Ticket, name string) *krb.Ticket {
	return resealed(t, r, old, func(g *grant) { g.client.Components = []string{name} })
}

func TestReplayedAuthenticator(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"), WithService("HTTP/localhost"), WithService("HTTP/other"))
	tgt := minted(t, r, "alice", krb.TGS(r.Name(), r.Name()).Name())
	var first *krb.Authenticator
	req, key := tgsReq(t, r, tgt, forService(r, "HTTP/localhost"), func(a *krb.Authenticator) { first = a })
	openRep(t, krb.MsgTGSRep, exchange(t, r, "udp", req), key, krb.UsageTGSRepSubkey)
	// The same packet again is a client that lost the reply.
	openRep(t, krb.MsgTGSRep, exchange(t, r, "tcp", req), key, krb.UsageTGSRepSubkey)
	again, _ := tgsReq(t, r, tgt, forService(r, "HTTP/other"), func(a *krb.Authenticator) { a.CTime, a.Cusec = first.CTime, first.Cusec })
	if got := codeOf(t, exchange(t, r, "udp", again)); got != krb.CodeRepeat {
		t.Errorf("got %s, want KRB_AP_ERR_REPEAT", krb.ErrorName(got))
	}
}

func TestTimesAndFlags(t *testing.T) {
	at := time.Date(2030, 5, 6, 7, 8, 9, 987654321, time.UTC)
	r := Start(t, WithClock(func() time.Time { return at }), WithUser("alice", "secret"), WithUser("kiosk", "secret", NotForwardable(), NotProxiable(), Lifetime(time.Hour, -1)),
		WithService("HTTP/localhost", OKAsDelegate(), Lifetime(30*time.Minute, 0)))
	now := at.Truncate(time.Second)
	const common = krb.FlagInitial | krb.FlagPreAuthent
	for name, tc := range map[string]struct {
		user    string
		options uint32
		till    time.Time
		rtime   time.Time
		flags   uint32
		end     time.Time
		renew   time.Time
	}{
		"plain":                    {"alice", 0, now.Add(time.Hour), time.Time{}, common, now.Add(time.Hour), time.Time{}},
		"epoch is maximum":         {"alice", 0, time.Unix(0, 0), time.Time{}, common, now.Add(10 * time.Hour), time.Time{}},
		"bounded":                  {"alice", 0, now.Add(48 * time.Hour), time.Time{}, common, now.Add(10 * time.Hour), time.Time{}},
		"all flags":                {"alice", krb.OptionForwardable | krb.OptionProxiable, now.Add(time.Hour), time.Time{}, common | krb.OptionForwardable | krb.OptionProxiable, now.Add(time.Hour), time.Time{}},
		"kiosk":                    {"kiosk", krb.OptionForwardable | krb.OptionProxiable | krb.OptionRenewable, now.Add(2 * time.Hour), time.Time{}, common, now.Add(time.Hour), time.Time{}},
		"renewable":                {"alice", krb.OptionRenewable, now.Add(time.Hour), now.Add(3 * time.Hour), common | krb.OptionRenewable, now.Add(time.Hour), now.Add(3 * time.Hour)},
		"renewable, bounded":       {"alice", krb.OptionRenewable, now.Add(time.Hour), now.Add(9999 * time.Hour), common | krb.OptionRenewable, now.Add(time.Hour), now.Add(7 * 24 * time.Hour)},
		"renewable, maximum":       {"alice", krb.OptionRenewable, now.Add(time.Hour), time.Unix(0, 0), common | krb.OptionRenewable, now.Add(time.Hour), now.Add(7 * 24 * time.Hour)},
		"renewable, like its life": {"alice", krb.OptionRenewable, now.Add(time.Hour), now.Add(time.Hour), common | krb.OptionRenewable, now.Add(time.Hour), now.Add(time.Hour)},
		"renewable, less":          {"alice", krb.OptionRenewable, now.Add(time.Hour), now.Add(time.Minute), common, now.Add(time.Hour), time.Time{}},
		"a second":                 {"alice", 0, now.Add(time.Second), time.Time{}, common, now.Add(time.Second), time.Time{}},
		"renewable-ok":             {"alice", krb.OptionRenewableOK, now.Add(24 * time.Hour), time.Time{}, common | krb.OptionRenewable, now.Add(10 * time.Hour), now.Add(24 * time.Hour)},
		"renewable-ok, not needed": {"alice", krb.OptionRenewableOK, now.Add(time.Hour), time.Time{}, common, now.Add(time.Hour), time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			b := body(r, tc.user)
			b.Options, b.Till, b.Renew, b.Nonce = tc.options, tc.till, tc.rtime, -7
			tgt := login(t, r, tc.user, "secret", AES256SHA1, b)
			if tgt.Flags != tc.flags || !tgt.EndTime.Equal(tc.end) || !tgt.RenewTill.Equal(tc.renew) || !tgt.StartTime.Equal(now) {
				t.Errorf("flags %08x until %v, renewable until %v; want %08x, %v, %v", tgt.Flags, tgt.EndTime, tgt.RenewTill, tc.flags, tc.end, tc.renew)
			}
		})
	}
	t.Run("within the ticket-granting ticket", func(t *testing.T) {
		r := Start(t, WithClock(func() time.Time { return at }), WithUser("alice", "secret"), WithService("HTTP/localhost"))
		b := body(r, "alice")
		b.Till, b.Renew, b.Options = now.Add(20*time.Minute), now.Add(time.Hour), krb.OptionRenewable
		tgt := login(t, r, "alice", "secret", AES256SHA1, b)
		for till, want := range map[time.Time]time.Time{
			time.Unix(0, 0): tgt.EndTime, now.Add(time.Hour): tgt.EndTime, now.Add(time.Minute): now.Add(time.Minute),
		} {
			s := forService(r, "HTTP/localhost")
			s.Till, s.Options, s.Nonce = till, krb.OptionRenewable, -1<<31
			req, key := tgsReq(t, r, tgt, s, nil)
			st, part := openRep(t, krb.MsgTGSRep, exchange(t, r, "tcp", req), key, krb.UsageTGSRepSubkey)
			if !st.EndTime.Equal(want) || !st.RenewTill.Equal(tgt.RenewTill) || part.Nonce != -1<<31 || !st.AuthTime.Equal(tgt.AuthTime) {
				t.Errorf("until %v: ends %v, renewable until %v, nonce %d", till, st.EndTime, st.RenewTill, part.Nonce)
			}
		}
	})
	t.Run("service", func(t *testing.T) {
		b := body(r, "alice")
		b.Options = krb.OptionForwardable | krb.OptionRenewable
		tgt := login(t, r, "alice", "secret", AES256SHA1, b)
		s := forService(r, "HTTP/localhost")
		s.Options = krb.OptionForwardable | krb.OptionProxiable | krb.OptionRenewable
		st := ticketFor(t, r, tgt, s)
		want := krb.FlagPreAuthent | krb.FlagTransitedOK | krb.FlagOKAsDelegate | krb.FlagForwardable | krb.FlagRenewable
		if st.Flags != want || !st.EndTime.Equal(now.Add(30*time.Minute)) || !st.RenewTill.Equal(tgt.RenewTill) {
			t.Errorf("flags %08x until %v, renewable until %v; want %08x", st.Flags, st.EndTime, st.RenewTill, want)
		}
	})
}

func TestRenewAndForward(t *testing.T) {
	clock := &Clock{}
	r := Start(t, WithClock(clock.Now), WithLifetime(time.Hour, 3*time.Hour), WithUser("alice", "secret"), WithService("HTTP/localhost"))
	b := body(r, "alice")
	b.Options = krb.OptionForwardable | krb.OptionRenewable
	tgt := login(t, r, "alice", "secret", AES256SHA1, b)
	renew := body(r, "")
	renew.Options = krb.OptionRenew

	clock.Advance(50 * time.Minute)
	second := ticketFor(t, r, tgt, renew)
	if !second.EndTime.Equal(second.StartTime.Add(time.Hour)) || !second.RenewTill.Equal(tgt.RenewTill) || second.Key.Equal(tgt.Key) ||
		!second.AuthTime.Equal(tgt.AuthTime) || second.Flags != tgt.Flags|krb.FlagTransitedOK {
		t.Errorf("renewed ticket %+v of %+v", second, tgt)
	}
	forward := body(r, "")
	forward.Options = krb.OptionForwarded | krb.OptionForwardable
	if f := ticketFor(t, r, second, forward); f.Flags&(krb.FlagForwarded|krb.FlagForwardable) != krb.FlagForwarded|krb.FlagForwardable {
		t.Errorf("forwarded ticket has flags %08x", f.Flags)
	}
	clock.Advance(50 * time.Minute)
	third := ticketFor(t, r, second, renew)
	clock.Advance(50 * time.Minute)
	fourth := ticketFor(t, r, third, renew)
	if !fourth.EndTime.Equal(tgt.RenewTill) {
		t.Errorf("last renewal ends %v, want %v", fourth.EndTime, tgt.RenewTill)
	}
	clock.Advance(time.Hour)
	req, _ := tgsReq(t, r, fourth, renew, nil)
	if got := codeOf(t, exchange(t, r, "udp", req)); got != krb.CodeTicketExpired {
		t.Errorf("got %s, want KRB_AP_ERR_TKT_EXPIRED", krb.ErrorName(got))
	}
}

func TestRotateAndPurge(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"), WithService("HTTP/localhost", Kvno(6)))
	tgs := krb.TGS(r.Name(), r.Name()).Name()
	old := minted(t, r, "alice", tgs)
	if err := r.Rotate(tgs); err != nil {
		t.Fatal(err)
	}
	ticketFor(t, r, old, forService(r, "HTTP/localhost"))
	if err := r.Purge(tgs); err != nil {
		t.Fatal(err)
	}
	req, _ := tgsReq(t, r, old, forService(r, "HTTP/localhost"), nil)
	if got := codeOf(t, exchange(t, r, "udp", req)); got != krb.CodeBadKvno {
		t.Errorf("got %s, want KRB_AP_ERR_BADKEYVER", krb.ErrorName(got))
	}
	if err := r.Rotate("HTTP/localhost"); err != nil {
		t.Fatal(err)
	}
	st := ticketFor(t, r, minted(t, r, "alice", tgs), forService(r, "HTTP/localhost"))
	f, err := krb.ParseTicket(st.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if f.EncPart.Kvno != 7 {
		t.Errorf("ticket of kvno %d, want 7", f.EncPart.Kvno)
	}

	if err := r.SetPassword("alice", "changed"); err != nil {
		t.Fatal(err)
	}
	login(t, r, "alice", "changed", AES256SHA1, body(r, "alice"))
	req, _ = asReq(t, r, "alice", "secret", AES256SHA1, body(r, "alice"))
	if got := codeOf(t, exchange(t, r, "udp", req)); got != krb.CodePreauthFailed {
		t.Errorf("old password: %s, want KDC_ERR_PREAUTH_FAILED", krb.ErrorName(got))
	}
}

func TestEnterpriseName(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"))
	b := body(r, "")
	b.Client = krb.Principal{Type: krb.NTEnterprise, Components: []string{"alice@" + r.Name()}}
	b.Options = krb.OptionCanonicalize
	tgt := login(t, r, "alice", "secret", AES256SHA1, b)
	if got := tgt.Client.String(); got != "alice@"+r.Name() || tgt.Client.Type != krb.NTPrincipal {
		t.Errorf("client %s of type %d", got, tgt.Client.Type)
	}
}

func TestNoPreauth(t *testing.T) {
	r := Start(t, WithUser("alice", "secret", NoPreauth()))
	key := keyOf(t, r, "alice", "secret", AES256SHA1)
	tgt, _ := openRep(t, krb.MsgASRep, exchange(t, r, "udp", marshalReq(t, krb.MsgASReq, nil, body(r, "alice"))), key, krb.UsageASRepEncPart)
	if tgt.Flags&krb.FlagPreAuthent != 0 {
		t.Error("ticket says that the client pre-authenticated")
	}
}

func TestResponseTooBig(t *testing.T) {
	r := Start(t, WithUDPLimit(2000), WithUser("alice", "secret", TicketPadding(3000)), WithService("HTTP/localhost"))
	req, key := asReq(t, r, "alice", "secret", AES256SHA1, body(r, "alice"))
	if got := codeOf(t, exchange(t, r, "udp", req)); got != krb.CodeResponseTooBig {
		t.Errorf("got %s", krb.ErrorName(got))
	}
	tgt, _ := openRep(t, krb.MsgASRep, exchange(t, r, "tcp", req), key, krb.UsageASRepEncPart)
	// The same packet over TCP must not be taken for a replay.
	tgs, subkey := tgsReq(t, r, tgt, forService(r, "HTTP/localhost"), nil)
	if got := codeOf(t, exchange(t, r, "udp", tgs)); got != krb.CodeResponseTooBig {
		t.Errorf("got %s", krb.ErrorName(got))
	}
	st, _ := openRep(t, krb.MsgTGSRep, exchange(t, r, "tcp", tgs), subkey, krb.UsageTGSRepSubkey)
	if len(st.Raw) < 3000 {
		t.Errorf("service ticket of %d bytes lost its authorization data", len(st.Raw))
	}
}

func TestAddresses(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"))
	// Addresses are not in krb.KDCReqBody: what matters is that they are kept.
	addresses := []byte{0x30, 0x0f, 0x30, 0x0d, 0xa0, 3, 2, 1, 2, 0xa1, 6, 4, 4, 127, 0, 0, 1}
	key := keyOf(t, r, "alice", "secret", AES256SHA1)
	req, err := parseRequest(marshalReq(t, krb.MsgASReq, []krb.PAData{timestamp(t, key, r.Now())}, body(r, "alice")))
	if err != nil {
		t.Fatal(err)
	}
	req.Addresses = addresses
	rep, no := r.as(req, r.Now())
	if no != nil {
		t.Fatal(no.text)
	}
	f, err := krb.ParseTicket(rep.ticket)
	if err != nil {
		t.Fatal(err)
	}
	tgsKey, _, err := r.lookup(krb.TGS(r.Name(), r.Name())).sealing()
	if err != nil {
		t.Fatal(err)
	}
	g, err := openTicket(f, tgsKey)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(addresses, g.addresses); d != "" {
		t.Error(d)
	}
}

func TestUndecodable(t *testing.T) {
	r := Start(t)
	for name, b := range map[string][]byte{"empty": {}, "text": []byte("GET / HTTP/1.1"), "truncated": {0x6a, 0x82, 0xff}} {
		if out := r.answer(nil, "udp", b); out.reply != nil {
			t.Errorf("%s: answered with %x", name, out.reply)
		}
	}
	if n := r.Count(Other); n != 3 {
		t.Errorf("%d recorded, want 3", n)
	}
}

// TestRenewExpired: what has ended cannot be renewed, however long it could have
// been. Service tickets are renewed like others.
func TestRenewExpired(t *testing.T) {
	clock := &Clock{}
	r := Start(t, WithClock(clock.Now), WithLifetime(time.Hour, 24*time.Hour), WithUser("alice", "secret"), WithService("HTTP/localhost"))
	b := body(r, "alice")
	b.Options = krb.OptionRenewable
	tgt := login(t, r, "alice", "secret", AES256SHA1, b)
	q := forService(r, "HTTP/localhost")
	q.Options = krb.OptionRenewable
	st := ticketFor(t, r, tgt, q)
	clock.Advance(59 * time.Minute)
	q.Options = krb.OptionRenew
	if got := ticketFor(t, r, st, q); !got.RenewTill.Equal(tgt.RenewTill) || !got.EndTime.After(st.EndTime) || !got.Server.SameName(st.Server) {
		t.Errorf("renewed %+v of %+v", got, st)
	}
	clock.Advance(2 * time.Minute)
	renew := body(r, "")
	renew.Options = krb.OptionRenew
	req, _ := tgsReq(t, r, tgt, renew, nil)
	if got := codeOf(t, exchange(t, r, "udp", req)); got != krb.CodeTicketExpired {
		t.Errorf("got %s, want KRB_AP_ERR_TKT_EXPIRED", krb.ErrorName(got))
	}
}

// TestRenewalRefusals: a ticket is renewed for whom the realm still knows, or another
// realm does, in time, and by a way that is allowed.
func TestRenewalRefusals(t *testing.T) {
	r := Start(t, WithoutSockets(), WithUser("alice", "secret"), WithUser("locked", "secret", Refuse(krb.CodeClientRevoked)), WithService("HTTP/localhost", Etypes(AES256SHA1)))
	r.DenyTransit("MIDDLE.EXAMPLE")
	ticket := minted(t, r, "alice", "HTTP/localhost")
	for name, tc := range map[string]struct {
		change func(*grant)
		etypes []int32
		want   int32
	}{
		"all is well":       {},
		"client is gone":    {change: func(g *grant) { g.client.Components = []string{"nobody"} }, want: krb.CodeClientUnknown},
		"client is locked":  {change: func(g *grant) { g.client.Components = []string{"locked"} }, want: krb.CodeClientRevoked},
		"another realm's":   {change: func(g *grant) { g.client.Realm = "OTHER.EXAMPLE" }},
		"life is over":      {change: func(g *grant) { g.renewTill = r.Now().Add(-time.Second) }, want: krb.CodeTicketExpired},
		"no common etype":   {etypes: []int32{AES128SHA1}, want: krb.CodeEtypeNoSupport},
		"path that is shut": {change: func(g *grant) { g.transited = marshalTransited([]string{"MIDDLE.EXAMPLE"}) }, want: krb.CodePolicy},
	} {
		t.Run(name, func(t *testing.T) {
			old := ticket
			if tc.change != nil {
				old = resealed(t, r, ticket, tc.change)
			}
			q := forService(r, "HTTP/localhost", tc.etypes...)
			q.Options = krb.OptionRenew
			req, key := tgsReq(t, r, old, q, nil)
			reply := r.answer(nil, "tcp", req).reply
			if tc.want == 0 {
				openRep(t, krb.MsgTGSRep, reply, key, krb.UsageTGSRepSubkey)
			} else if got := codeOf(t, reply); got != tc.want {
				t.Errorf("got %s, want %s", krb.ErrorName(got), krb.ErrorName(tc.want))
			}
		})
	}
}

// TestSkewAtTheLimit: clocks may differ by as much as the realm allows, and no more.
func TestSkewAtTheLimit(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	r := Start(t, WithoutSockets(), WithClock(func() time.Time { return at }), WithEtypes(AES256SHA1), WithSkew(time.Minute), WithFAST(),
		WithUser("alice", "secret", Iterations(4096)), WithService("host/armor"), WithService("HTTP/localhost"))
	tgt := minted(t, r, "alice", "krbtgt/"+r.Name())
	key, err := krb.StringToKey(AES256SHA1, "secret", krb.NewPrincipal(r.Name(), "alice").Salt(), []byte{0, 0, 0x10, 0})
	if err != nil {
		t.Fatal(err)
	}
	code := func(reply []byte) int32 {
		if e, err := krb.ParseKRBError(reply); err == nil {
			return e.Code
		}
		return 0
	}
	for name, ask := range map[string]func(client time.Time) int32{
		"authenticator": func(client time.Time) int32 {
			req, _ := tgsReq(t, r, tgt, forService(r, "HTTP/localhost"), func(a *krb.Authenticator) { a.CTime, a.Cusec = client, client.Nanosecond()/1000 })
			return code(r.answer(nil, "tcp", req).reply)
		},
		"timestamp": func(client time.Time) int32 {
			req := marshalReq(t, krb.MsgASReq, []krb.PAData{timestamp(t, key, client)}, body(r, "alice"))
			return code(r.answer(nil, "tcp", req).reply)
		},
		"challenge": func(client time.Time) int32 {
			w := fastHost(t, r, "alice")
			w.send()
			got, _ := w.send(w.challenge("alice", client))
			return got
		},
	} {
		for off, want := range map[time.Duration]int32{time.Minute: 0, time.Minute + time.Microsecond: krb.CodeSkew} {
			for _, client := range []time.Time{at.Add(off), at.Add(-off)} {
				if got := ask(client); got != want {
					t.Errorf("%s, %s off: %s, want %s", name, client.Sub(at), krb.ErrorName(got), krb.ErrorName(want))
				}
			}
		}
	}
}
