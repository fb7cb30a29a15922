package kdcclient

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/internal/krb"
)

func TestTGS(t *testing.T) {
	for _, etype := range []int32{17, 18, 19, 20, 23} {
		t.Run(fmt.Sprint(etype), func(t *testing.T) {
			k := newScripted(t, realmA)
			k.now = func() time.Time { return epoch }
			k.etypes = []int32{etype}
			k.start()
			c := client(Options{Now: k.now, Etypes: []int32{etype}}, k)
			tgt := login(t, c)
			got, err := c.TGS(t.Context(), tgt, web, TGSOptions{})
			if err != nil {
				t.Fatal(err)
			}
			session := k.answered().part.Key
			start := epoch.Truncate(time.Second)
			want := &krb.Ticket{
				Client: alice, Server: web, Flags: krb.FlagForwardable,
				AuthTime: start, StartTime: start, EndTime: tgt.EndTime,
			}
			bare := *got
			bare.Key, bare.Raw = krb.Key{}, nil
			if diff := cmp.Diff(want, &bare, cmp.AllowUnexported(krb.Key{})); diff != "" {
				t.Error(diff)
			}
			if got.Key.Etype() != session.KeyType || string(got.Key.Bytes()) != string(session.KeyValue) {
				t.Error("another session key")
			}
			if f, err := krb.ParseTicket(got.Raw); err != nil || !f.Server.Equal(web) {
				t.Errorf("ticket %v, %v", f, err)
			}
			r := k.last()
			b := r.fields.ReqBody
			if !b.Till.Equal(tgt.EndTime) || len(b.CName.NameString) != 0 || b.Realm != realmA || b.Nonce <= 0 {
				t.Errorf("body %+v", b)
			}
			for bit, want := range map[int]bool{1: true, 8: false, 15: true, 27: true, 30: false, 2: false} {
				if r.option(bit) != want {
					t.Errorf("option %d is %v", bit, !want)
				}
			}
			if r.auth.SubKey.KeyType != etype || string(r.auth.SubKey.KeyValue) == string(tgt.Key.Bytes()) {
				t.Error("no fresh subkey of the session key's type")
			}
		})
	}
}

func TestTGSOptions(t *testing.T) {
	k := newScripted(t, realmA).start()
	c := client(Options{}, k)
	tgt, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password), RenewLife: 20 * time.Hour, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.TGS(t.Context(), tgt, web, TGSOptions{}); err != nil {
		t.Fatal(err)
	}
	if k.last().option(1) {
		t.Error("forwardable asked of a ticket that is not")
	}
	if _, err := c.TGS(t.Context(), tgt, tgsA, TGSOptions{Options: krb.FlagForwarded, Etypes: []int32{17}}); err != nil {
		t.Fatal(err)
	}
	if r := k.last(); !r.option(2) || !cmp.Equal(r.fields.ReqBody.EType, []int32{17}) {
		t.Errorf("forwarded %v, etypes %v", r.option(2), r.fields.ReqBody.EType)
	}

	k.edit(func() {
		k.change = func(a *answer) { a.part.EndTime = a.part.EndTime.Add(30 * time.Minute) }
	})
	renewed, err := c.TGS(t.Context(), tgt, krb.Principal{}, TGSOptions{Renew: true})
	if err != nil {
		t.Fatal(err)
	}
	if r := k.last(); !r.option(30) || !r.option(8) || r.option(15) || r.option(27) {
		t.Error("wrong options for a renewal")
	}
	if !renewed.Server.Equal(tgsA) || !renewed.EndTime.After(tgt.EndTime) {
		t.Errorf("renewed %v", renewed)
	}
}

func TestTGSBadReplies(t *testing.T) {
	rc4, err := krb.GenerateKey(krb.RC4HMAC)
	if err != nil {
		t.Fatal(err)
	}
	other := types.PrincipalName{NameType: 3, NameString: []string{"HTTP", "evil.a.test"}}
	for name, tc := range map[string]struct {
		change func(*answer)
		says   string
	}{
		"nonce":          {func(a *answer) { a.part.Nonce-- }, "nonce"},
		"client":         {func(a *answer) { a.fields.CName = other }, "evil"},
		"client realm":   {func(a *answer) { a.fields.CRealm = realmB }, "alice@B.TEST"},
		"server":         {func(a *answer) { a.part.SName, a.fields.Ticket.SName = other, other }, "evil"},
		"server realm":   {func(a *answer) { a.part.SRealm, a.fields.Ticket.Realm = realmB, realmB }, "B.TEST"},
		"ticket's name":  {func(a *answer) { a.fields.Ticket.SName = other }, "outside"},
		"referral home":  {func(a *answer) { refer(a, realmA) }, "krbtgt/A.TEST@A.TEST"},
		"RC4 key":        {func(a *answer) { a.part.Key = theirKey(rc4) }, "arcfour"},
		"too long":       {func(a *answer) { a.part.EndTime = a.part.EndTime.Add(time.Second) }, "ends"},
		"ended":          {func(a *answer) { a.part.EndTime = a.part.StartTime.Add(-time.Second) }, "before it starts"},
		"postdated":      {func(a *answer) { a.part.StartTime = a.part.StartTime.Add(6 * time.Minute) }, "starts only in"},
		"another key":    {func(a *answer) { a.key = types.EncryptionKey{KeyType: 18, KeyValue: make([]byte, 32)} }, "neither"},
		"another etype":  {func(a *answer) { a.etype = 17 }, "neither"},
		"wrong usage":    {func(a *answer) { a.usage = krb.UsageASRepEncPart }, "neither"},
		"key cut":        {func(a *answer) { a.part.Key.KeyValue = nil }, "bytes"},
		"name without":   {func(a *answer) { a.part.SName.NameString = nil }, "asked was for"},
		"krbtgt without": {func(a *answer) { a.part.SName.NameString = []string{"krbtgt"} }, "asked was for"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newScripted(t, realmA)
			k.now = func() time.Time { return epoch }
			k.start()
			c := client(Options{Now: k.now}, k)
			tgt := login(t, c)
			k.edit(func() { k.change = tc.change })
			_, err := c.TGS(t.Context(), tgt, web, TGSOptions{})
			if e := failure(t, err); e.Kind != KindReply || e.Exchange != "TGS" || e.SPN() != "HTTP/www.a.test" || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("kind %d: %v", e.Kind, err)
			}
		})
	}
}

// Without a subkey, old Heimdal and Java's KDCs answer under the session key.
func TestTGSReplyUnderSessionKey(t *testing.T) {
	for _, etype := range []int32{18, 23} {
		k := newScripted(t, realmA)
		k.etypes = []int32{etype}
		k.start()
		c := client(Options{Etypes: []int32{etype}}, k)
		tgt := login(t, c)
		k.edit(func() {
			k.change = func(a *answer) { a.key, a.usage = theirKey(tgt.Key), krb.UsageTGSRepSessionKey }
		})
		if _, err := c.TGS(t.Context(), tgt, web, TGSOptions{}); err != nil {
			t.Errorf("etype %d: %v", etype, err)
		}
	}
}

// The time at which a ticket starts may be left out, and is then that of the login (RFC 4120
// section 5.4.2).
func TestRepliesWithoutStart(t *testing.T) {
	k := newScripted(t, realmA)
	k.now = func() time.Time { return epoch }
	k.change = func(a *answer) { a.part.StartTime = time.Time{} }
	k.start()
	c := client(Options{Now: k.now, Timesync: true}, k)
	tgt := login(t, c)
	got, err := c.TGS(t.Context(), tgt, web, TGSOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if start := epoch.Truncate(time.Second); !tgt.StartTime.Equal(start) || !got.StartTime.Equal(start) || c.Offset(realmA) != 0 {
		t.Errorf("from %v and %v, offset %v", tgt.StartTime, got.StartTime, c.Offset(realmA))
	}
}

func TestTGSUnknownServer(t *testing.T) {
	k := newScripted(t, realmA).start()
	c := client(Options{}, k)
	tgt := login(t, c)
	none := krb.NewPrincipal(realmA, "HTTP", "none.a.test")
	_, err := c.TGS(t.Context(), tgt, none, TGSOptions{})
	e := failure(t, err)
	if e.Kind != KindRefused || e.Code != krb.CodeServerUnknown || e.Credentials() || e.Temporary() || e.SPN() != "HTTP/none.a.test" {
		t.Errorf("%+v", e)
	}
	for _, s := range []string{"HTTP/none.a.test@A.TEST", "KDC_ERR_S_PRINCIPAL_UNKNOWN", "alice@A.TEST", "addprinc", "host name"} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q is not in: %v", s, err)
		}
	}
	if n := k.count(krb.MsgTGSReq); n != 2 {
		t.Errorf("%d requests, want one with canonicalize and one without", n)
	}

	// An old KDC that knows the name, but not the option.
	k.edit(func() {
		k.before = func(r *request) ([][]byte, bool) {
			if r.option(15) {
				return [][]byte{k.refuse(r, krb.CodeServerUnknown, nil)}, true
			}
			return nil, false
		}
	})
	if got, err := c.TGS(t.Context(), tgt, web, TGSOptions{}); err != nil || !got.Server.Equal(web) {
		t.Errorf("%v, %v", got, err)
	}
}

// referring returns KDCs that trust one another, each of which refers a service
// that it does not know to the next.
func referring(tb testing.TB, names ...string) []*scripted {
	out := make([]*scripted, len(names))
	for i, name := range names {
		out[i] = newScripted(tb, name)
		out[i].services = map[string]bool{"krbtgt/" + name: true}
	}
	share(out...)
	for i, k := range out {
		if i+1 < len(out) {
			next := names[i+1]
			k.services["HTTP/www.a.test"] = true
			k.change = func(a *answer) {
				if a.request.kind == krb.MsgTGSReq && a.part.SName.PrincipalNameString() == "HTTP/www.a.test" {
					refer(a, next)
				}
			}
		}
	}
	return out
}

func TestTGSReferrals(t *testing.T) {
	realms := referring(t, realmA, realmB, "C.TEST")
	realms[2].services["HTTP/www.a.test"] = true
	for _, k := range realms {
		k.start()
	}
	c := client(Options{}, realms...)
	tgt := login(t, c)
	for name, tc := range map[string]struct{ asked, want krb.Principal }{
		"no realm":   {krb.NewPrincipal("", "HTTP", "www.a.test"), krb.NewPrincipal("C.TEST", "HTTP", "www.a.test")},
		"home realm": {web, web},
	} {
		before := realms[2].count(0)
		got, err := c.TGS(t.Context(), tgt, tc.asked, TGSOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !got.Server.Equal(tc.want) || !got.Client.Equal(alice) {
			t.Errorf("%s: %v", name, got)
		}
		if f, err := krb.ParseTicket(got.Raw); err != nil || f.Server.Realm != "C.TEST" {
			t.Errorf("%s: ticket of %v, %v", name, f.Server, err)
		}
		if n := realms[2].count(0) - before; n != 1 {
			t.Errorf("%s: %d requests to the last realm", name, n)
		}
		// The authenticator names the client's realm in every hop.
		if crealm := realms[2].last().auth.CRealm; crealm != realmA {
			t.Errorf("%s: crealm %s", name, crealm)
		}
	}
}

// A referral that was not asked for.
func TestTGSReferralUnasked(t *testing.T) {
	realms := referring(t, realmA, realmB)
	realms[1].services["HTTP/www.a.test"] = true
	for _, k := range realms {
		k.start()
	}
	c := client(Options{}, realms...)
	tgt := login(t, c)
	realms[0].edit(func() {
		realms[0].before = func(r *request) ([][]byte, bool) {
			if r.option(15) {
				return [][]byte{realms[0].refuse(r, krb.CodeServerUnknown, nil)}, true
			}
			return nil, false
		}
	})
	_, err := c.TGS(t.Context(), tgt, web, TGSOptions{})
	if e := failure(t, err); e.Kind != KindReply || !strings.Contains(err.Error(), "krbtgt/B.TEST@A.TEST") || realms[1].count(0) != 0 {
		t.Error(err)
	}
}

func TestTGSOtherRealm(t *testing.T) {
	a, b, mid := newScripted(t, realmA), newScripted(t, realmB), newScripted(t, "TEST")
	share(a, b, mid)
	a.services["krbtgt/B.TEST"] = true
	b.services["HTTP/www.b.test"] = true
	for _, k := range []*scripted{a, b, mid} {
		k.start()
	}
	c := client(Options{}, a, b, mid)
	tgt := login(t, c)
	there := krb.NewPrincipal(realmB, "HTTP", "www.b.test")
	got, err := c.TGS(t.Context(), tgt, there, TGSOptions{})
	if err != nil || !got.Server.Equal(there) {
		t.Fatal(got, err)
	}
	if n := a.count(krb.MsgTGSReq) + b.count(krb.MsgTGSReq); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	// By way of a realm in between.
	a.edit(func() {
		a.change = func(an *answer) {
			if an.request.kind == krb.MsgTGSReq {
				refer(an, "TEST")
			}
		}
	})
	mid.edit(func() { mid.services["krbtgt/B.TEST"] = true })
	got, err = c.TGS(t.Context(), tgt, there, TGSOptions{})
	if err != nil || !got.Server.Equal(there) || mid.count(0) != 1 {
		t.Fatal(got, err)
	}
	// A cross-realm ticket from a cache starts in its own realm.
	a.edit(func() { a.change = nil })
	cross, err := c.TGS(t.Context(), tgt, krb.TGS(realmB, realmA), TGSOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before := a.count(0)
	if got, err = c.TGS(t.Context(), cross, there, TGSOptions{}); err != nil || a.count(0) != before {
		t.Fatal(got, err)
	}
	// No way there.
	_, err = c.TGS(t.Context(), tgt, krb.NewPrincipal("FAR.TEST", "HTTP", "www.far.test"), TGSOptions{})
	if e := failure(t, err); e.Code != krb.CodeServerUnknown || !strings.Contains(err.Error(), "krbtgt/FAR.TEST@A.TEST") {
		t.Error(err)
	}
}

func TestTGSReferralLoop(t *testing.T) {
	realms := referring(t, realmA, realmB, realmA)
	for _, k := range realms[:2] {
		k.start()
	}
	c := client(Options{}, realms[:2]...)
	_, err := c.TGS(t.Context(), login(t, c), web, TGSOptions{})
	if e := failure(t, err); e.Kind != KindReferral || e.Temporary() || !strings.Contains(err.Error(), realmB) {
		t.Error(err)
	}
	if n := realms[0].count(krb.MsgTGSReq) + realms[1].count(krb.MsgTGSReq); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestTGSTooManyReferrals(t *testing.T) {
	names := []string{realmA}
	for i := range 20 {
		names = append(names, fmt.Sprintf("R%d.TEST", i))
	}
	realms := referring(t, names...)
	for _, k := range realms {
		k.start()
	}
	c := client(Options{}, realms...)
	_, err := c.TGS(t.Context(), login(t, c), web, TGSOptions{})
	if e := failure(t, err); e.Kind != KindReferral || !strings.Contains(err.Error(), "more than 10 realms") {
		t.Error(err)
	}
	total := 0
	for _, k := range realms {
		total += k.count(krb.MsgTGSReq)
	}
	if total != maxHops+1 {
		t.Errorf("%d requests, want %d", total, maxHops+1)
	}
}

func TestTGSReferralToUnknownRealm(t *testing.T) {
	realms := referring(t, realmA, realmB)
	realms[0].start()
	c := client(Options{}, realms[0])
	_, err := c.TGS(t.Context(), login(t, c), web, TGSOptions{})
	if e := failure(t, err); e.Kind != KindNoKDC || e.Realm != realmB {
		t.Error(err)
	}
}

func TestTGSSkew(t *testing.T) {
	k := newScripted(t, realmA)
	k.now = func() time.Time { return epoch }
	k.start()
	var mu sync.Mutex
	shift := time.Duration(0)
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return epoch.Add(shift)
	}
	c := client(Options{Now: now, Timesync: true}, k)
	tgt := login(t, c)
	mu.Lock()
	shift = -time.Hour // the local clock is set back
	mu.Unlock()
	if _, err := c.TGS(t.Context(), tgt, web, TGSOptions{}); err != nil {
		t.Fatal(err)
	}
	if d := c.Offset(realmA); d != time.Hour || k.count(krb.MsgTGSReq) != 2 {
		t.Errorf("offset %v after %d requests", d, k.count(krb.MsgTGSReq))
	}

	strict := client(Options{Now: now}, k)
	_, err := strict.TGS(t.Context(), tgt, web, TGSOptions{})
	if e := failure(t, err); e.Kind != KindSkew || e.Skew != time.Hour || e.Code != krb.CodeSkew {
		t.Error(err)
	}

	k.edit(func() {
		k.before = func(r *request) ([][]byte, bool) { return [][]byte{k.refuse(r, krb.CodeSkew, nil)}, true }
	})
	before := k.count(0)
	_, err = c.TGS(t.Context(), tgt, web, TGSOptions{})
	if e := failure(t, err); e.Kind != KindSkew || k.count(0)-before != 2 {
		t.Errorf("%d requests: %v", k.count(0)-before, err)
	}

	// What else is refused is so whatever the clock says, and whatever comes with it: nothing
	// was armoured.
	sealed, err := krb.MarshalPAFXFastReply(krb.EncryptedData{Etype: 18, Cipher: make([]byte, 40)})
	if err != nil {
		t.Fatal(err)
	}
	data, err := krb.MarshalPADatas([]krb.PAData{{Type: krb.PAFXFast, Value: sealed}})
	if err != nil {
		t.Fatal(err)
	}
	k.edit(func() {
		k.before = func(r *request) ([][]byte, bool) { return [][]byte{k.refuse(r, krb.CodePolicy, data)}, true }
	})
	before = k.count(0)
	_, err = c.TGS(t.Context(), tgt, web, TGSOptions{})
	if e := failure(t, err); e.Code != krb.CodePolicy || k.count(0)-before != 1 {
		t.Errorf("%d requests: %v", k.count(0)-before, err)
	}
}

func TestTGSRefusals(t *testing.T) {
	k := newScripted(t, realmA).start()
	c := client(Options{}, k)
	tgt := login(t, c)
	for code, tc := range map[int32]struct {
		says        string
		credentials bool
	}{
		krb.CodePolicy:         {"policy", false},
		krb.CodeBadOption:      {"renewable", false},
		krb.CodeEtypeNoSupport: {"permitted_enctypes", false},
		krb.CodeTicketExpired:  {"kinit", true},
		krb.CodeTicketNotYet:   {"clock", false},
		krb.CodeBadIntegrity:   {"kinit", false},
	} {
		k.edit(func() {
			k.before = func(r *request) ([][]byte, bool) { return [][]byte{k.refuse(r, code, nil)}, true }
		})
		_, err := c.TGS(t.Context(), tgt, web, TGSOptions{})
		e := failure(t, err)
		if e.Code != code || e.Credentials() != tc.credentials || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), krb.ErrorName(code)) {
			t.Errorf("%d: %v", code, err)
		}
		if ke, ok := errors.AsType[*krb.KRBError](err); !ok || ke.Code != code {
			t.Errorf("%d: no KRB-ERROR", code)
		}
	}
}

func TestTGSBadArguments(t *testing.T) {
	c := New(Options{})
	key, err := krb.GenerateKey(18)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Etypes: []int32{}}).TGS(t.Context(), &krb.Ticket{Server: tgsA, Key: key}, web, TGSOptions{}); failure(t, err).Kind != KindRequest {
		t.Errorf("no etypes: %v", err)
	}
	for name, tc := range map[string]struct {
		tgt    *krb.Ticket
		server krb.Principal
		renew  bool
	}{
		"no ticket":      {nil, web, false},
		"no key":         {&krb.Ticket{Server: tgsA}, web, false},
		"service ticket": {&krb.Ticket{Server: web, Key: key}, web, false},
		"no server":      {&krb.Ticket{Server: tgsA, Key: key}, krb.Principal{}, false},
		"renew nothing":  {nil, web, true},
	} {
		_, err := c.TGS(t.Context(), tc.tgt, tc.server, TGSOptions{Renew: tc.renew})
		if e := failure(t, err); e.Kind != KindRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParallel(t *testing.T) {
	k := newScripted(t, realmA).start()
	c := client(Options{}, k)
	keys := known(alice, k.password)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			tgt, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: keys})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := c.TGS(t.Context(), tgt, web, TGSOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := make(map[string]bool)
	for _, r := range k.seen() {
		if r.kind == krb.MsgTGSReq {
			seen[fmt.Sprint(r.auth.CTime.Unix(), r.auth.Cusec)] = true
		}
	}
	if len(seen) != 8 {
		t.Errorf("%d distinct authenticators of 8", len(seen))
	}
}

// A TGS-REP is for what was asked for, by the realm that was asked; or where a referral
// was asked for, a TGT of that realm for another one. All combinations are tried of
// the service's name and realm.
func TestTGSReplyNames(t *testing.T) {
	for _, refer := range []bool{false, true} {
		for _, name := range []string{"HTTP/www.a.test", "HTTP/other.a.test", "krbtgt/" + realmA, "krbtgt/" + realmB, "krbtgt/B.TEST/x"} {
			for _, realm := range []string{realmA, realmB} {
				a, b := newScripted(t, realmA), newScripted(t, realmB)
				share(a, b)
				a.start()
				b.services["HTTP/www.a.test"] = true
				b.start()
				c := client(Options{}, a, b)
				tgt := login(t, c)
				a.edit(func() {
					if !refer { // whoever is not asked for a referral gives the ticket
						a.before = func(r *request) ([][]byte, bool) {
							if r.option(15) {
								return [][]byte{a.refuse(r, krb.CodeServerUnknown, nil)}, true
							}
							return nil, false
						}
					}
					a.change = func(an *answer) {
						sname := types.PrincipalName{NameType: 2, NameString: strings.Split(name, "/")}
						an.part.SName, an.fields.Ticket.SName = sname, sname
						an.part.SRealm, an.fields.Ticket.Realm = realm, realm
					}
				})
				got, err := c.TGS(t.Context(), tgt, web, TGSOptions{})
				exact := name == "HTTP/www.a.test" && realm == realmA
				referral := refer && name == "krbtgt/"+realmB && realm == realmA
				if (err == nil) != (exact || referral) || (b.count(0) > 0) != referral {
					t.Errorf("referrals %v, a ticket for %s@%s: %v, %d requests to the other realm; %v", refer, name, realm, got, b.count(0), err)
				}
				if err != nil {
					if e := failure(t, err); e.Kind != KindReply {
						t.Errorf("referrals %v, a ticket for %s@%s: kind %v", refer, name, realm, e.Kind)
					}
				}
			}
		}
	}
}

// What to try after a refusal depends on what was asked for, and on who can log in anew:
// to run kinit is for caches alone.
func TestTGSHints(t *testing.T) {
	k := newScripted(t, realmA).start()
	c := client(Options{}, k)
	tgt, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password), RenewLife: 20 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	codes := map[int32]string{ // and what is said of each in any case
		krb.CodePolicy: "policy", krb.CodeBadOption: "renew", krb.CodeTicketExpired: "expired", krb.CodeBadIntegrity: "cannot open our ticket-granting ticket",
		krb.CodeNotUs: "cannot open our ticket-granting ticket", krb.CodeTicketNotYet: "clock", krb.CodeServerUnknown: "no service principal", krb.CodeGeneric: "",
	}
	for code, says := range codes {
		k.edit(func() {
			k.before = func(r *request) ([][]byte, bool) { return [][]byte{k.refuse(r, code, nil)}, true }
		})
		for _, o := range []TGSOptions{{}, {Login: true}, {Renew: true}, {Renew: true, Login: true}} {
			server := web
			if o.Renew {
				server = krb.Principal{}
			}
			_, err := c.TGS(t.Context(), tgt, server, o)
			e := failure(t, err)
			dead := code == krb.CodeTicketExpired || code == krb.CodeBadIntegrity || code == krb.CodeNotUs
			kinit := dead && !o.Login
			if o.Renew && (code == krb.CodeBadOption || code == krb.CodeTicketExpired) {
				kinit = true
			}
			if n := strings.Count(e.Hint, "run kinit"); n != map[bool]int{true: 1}[kinit] || !strings.Contains(e.Hint, says) {
				t.Errorf("%s, renew %v, login %v: %q", krb.ErrorName(code), o.Renew, o.Login, e.Hint)
			}
		}
	}
	k.edit(func() {
		k.before = func(r *request) ([][]byte, bool) { return [][]byte{k.refuse(r, krb.CodeEtypeNoSupport, nil)}, true }
	})
	_, err = c.TGS(t.Context(), tgt, web, TGSOptions{Etypes: []int32{17, 20}})
	if !strings.Contains(err.Error(), "for session keys of types aes128-cts-hmac-sha1-96 aes256-cts-hmac-sha384-192") {
		t.Errorf("%v", err)
	}
}
