package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/stagetest"
)

func TestASEtypes(t *testing.T) {
	for _, etype := range []int32{17, 18, 19, 20, 23} {
		for _, preauth := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d preauth %v", etype, preauth), func(t *testing.T) {
				k := newScripted(t, realmA)
				k.etypes, k.preauth = []int32{etype}, preauth
				k.now = func() time.Time { return epoch }
				k.start()
				c := client(Options{Now: k.now, Etypes: krb.DefaultEtypes(true)}, k)
				got, err := c.AS(t.Context(), ASRequest{
					Client: alice, Keys: known(alice, k.password), Forwardable: true, RenewLife: 48 * time.Hour,
				})
				if err != nil {
					t.Fatal(err)
				}
				start := epoch.Truncate(time.Second)
				want := &krb.Ticket{
					Client: alice, Server: tgsA, Flags: krb.FlagForwardable | krb.FlagRenewable,
					AuthTime: start, StartTime: start, EndTime: start.Add(10 * time.Hour), RenewTill: start.Add(48 * time.Hour),
				}
				session := k.answered().part.Key
				key, raw := got.Key, got.Raw
				bare := *got
				bare.Key, bare.Raw = krb.Key{}, nil
				if diff := cmp.Diff(want, &bare, cmp.AllowUnexported(krb.Key{})); diff != "" {
					t.Error(diff)
				}
				if key.Etype() != session.KeyType || string(key.Bytes()) != string(session.KeyValue) {
					t.Error("another session key")
				}
				if f, err := krb.ParseTicket(raw); err != nil || !f.Server.Equal(tgsA) {
					t.Errorf("ticket %v, %v", f, err)
				}
				want1 := 1
				if preauth {
					want1 = 2
				}
				if n := k.count(0); n != want1 {
					t.Errorf("%d requests, want %d", n, want1)
				}
			})
		}
	}
}

// What is asked for arrives as such, by gokrb5's reading.
func TestASRequest(t *testing.T) {
	k := newScripted(t, realmA)
	k.now = func() time.Time { return epoch }
	k.start()
	c := client(Options{Now: k.now}, k)
	_, err := c.AS(t.Context(), ASRequest{
		Client: alice, Keys: known(alice, k.password), Forwardable: true, Proxiable: true, Canonicalize: true,
		Lifetime: time.Hour, RenewLife: 2 * time.Hour, Etypes: []int32{17, 18},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := k.last()
	b := r.fields.ReqBody
	start := epoch.Truncate(time.Second)
	if !b.Till.Equal(start.Add(time.Hour)) || !b.RTime.Equal(start.Add(2*time.Hour)) || !b.From.IsZero() {
		t.Errorf("till %v rtime %v from %v", b.Till, b.RTime, b.From)
	}
	if diff := cmp.Diff([]int32{17, 18}, b.EType); diff != "" {
		t.Error(diff)
	}
	for bit, want := range map[int]bool{1: true, 3: true, 8: true, 15: true, 27: false, 30: false, 2: false} {
		if r.option(bit) != want {
			t.Errorf("option %d is %v", bit, !want)
		}
	}
	if b.Nonce <= 0 || b.Realm != realmA || b.SName.NameType != krb.NTSrvInst || b.CName.NameType != krb.NTPrincipal || len(b.Addresses) != 0 {
		t.Errorf("body %+v", b)
	}
	if first := k.seen()[0].fields.ReqBody.Nonce; first == b.Nonce {
		t.Error("two messages bear the same nonce")
	}
}

func TestASPreferredCommonEtype(t *testing.T) {
	k := newScripted(t, realmA)
	k.padata = func(*request) []byte { return k.methodData([]int32{23, 17, 20}) } // weakest first
	k.etypes = []int32{23, 17, 20}
	k.start()
	login(t, client(Options{Etypes: []int32{18, 20, 17, 23}}, k))
	if used := k.answered().etype; used != 20 {
		t.Errorf("pre-authenticated with %d, want 20: the first of ours that the KDC has", used)
	}
}

// The ways to say what salt a key has.
func TestASSalts(t *testing.T) {
	padata := func(p ...types.PAData) func(*request) []byte {
		b, err := asn1.Marshal(types.PADataSequence(p))
		if err != nil {
			t.Fatal(err)
		}
		return func(*request) []byte { return b }
	}
	der := func(v any) []byte {
		b, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	timestamp := types.PAData{PADataType: 2, PADataValue: []byte{}}
	const odd = "some other salt"
	for name, tc := range map[string]struct {
		salt   string
		etypes []int32
		padata func(*request) []byte
	}{
		"default": {realmA + "alice", []int32{18}, padata(timestamp, types.PAData{PADataType: 19, PADataValue: der([]struct {
			E int32 `asn1:"explicit,tag:0"`
		}{{18}})})},
		"ETYPE-INFO": {odd, []int32{23, 18}, padata(timestamp, types.PAData{PADataType: 11, PADataValue: der(types.ETypeInfo{{EType: 18, Salt: []byte(odd)}})})},
		"PW-SALT":    {odd, []int32{18}, padata(timestamp, types.PAData{PADataType: 3, PADataValue: []byte(odd)})},
		"nothing":    {realmA + "alice", []int32{18}, padata(timestamp)},
		// A KDC that says what the keys are, and nothing of how to prove one, takes timestamps.
		"INFO2 alone":   {odd, []int32{18}, padata(types.PAData{PADataType: 19, PADataValue: der(types.ETypeInfo2{{EType: 18, Salt: odd}})})},
		"INFO alone":    {odd, []int32{18}, padata(types.PAData{PADataType: 11, PADataValue: der(types.ETypeInfo{{EType: 18, Salt: []byte(odd)}})})},
		"PW-SALT alone": {odd, []int32{18}, padata(types.PAData{PADataType: 3, PADataValue: []byte(odd)})},
		"INFO2 counts":  {odd, []int32{18}, padata(types.PAData{PADataType: 11, PADataValue: der(types.ETypeInfo{{EType: 18, Salt: []byte("wrong")}})}, timestamp, types.PAData{PADataType: 19, PADataValue: der(types.ETypeInfo2{{EType: 18, Salt: odd}})})},
	} {
		t.Run(name, func(t *testing.T) {
			k := newScripted(t, realmA)
			k.salt, k.etypes, k.padata = tc.salt, tc.etypes, tc.padata
			k.change = func(a *answer) { a.fields.PAData = nil } // what was said before still holds
			k.start()
			login(t, client(Options{Etypes: tc.etypes}, k))
		})
	}
	t.Run("changes in the reply", func(t *testing.T) {
		k := newScripted(t, realmA)
		k.salt = odd
		k.preauth = false
		k.start()
		login(t, client(Options{}, k))
	})
}

func TestASKeyTable(t *testing.T) {
	k := newScripted(t, realmA)
	k.etypes = []int32{17, 18}
	k.start()
	key := func(etype int32) krb.Key {
		kk, err := krb.StringToKey(etype, k.password, k.salt, nil)
		if err != nil {
			t.Fatal(err)
		}
		return kk
	}
	stale, err := krb.GenerateKey(17)
	if err != nil {
		t.Fatal(err)
	}
	c := client(Options{}, k)
	keys := KeyTable([]KeyEntry{{Key: stale, Kvno: 2}, {Key: key(17), Kvno: 3}, {Key: stale, Kvno: 1}})
	if _, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: keys}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int32{17}, k.last().fields.ReqBody.EType); diff != "" {
		t.Errorf("offered etypes are those of the keytab: %s", diff)
	}
	// The version that the KDC names is used, where there is one.
	k.edit(func() { k.preauth, k.kvno = false, 3 })
	if _, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: KeyTable([]KeyEntry{{Key: stale, Kvno: 9}, {Key: key(17), Kvno: 3}})}); err != nil {
		t.Fatal(err)
	}
	got, err := KeyTable([]KeyEntry{{Key: stale, Kvno: 9}, {Key: key(17), Kvno: 3}}).Key(t.Context(), krb.EtypeInfo{Etype: 17}, 3)
	if err != nil || !got.Key.Equal(key(17)) {
		t.Errorf("kvno 3: %v, %v", got, err)
	}
	got, err = KeyTable([]KeyEntry{{Key: stale, Kvno: 9}, {Key: key(17), Kvno: 3}}).Key(t.Context(), krb.EtypeInfo{Etype: 17}, 4)
	if err != nil || !got.Key.Equal(stale) {
		t.Errorf("kvno not at hand: %v, %v", got, err)
	}

	before := k.count(0)
	_, err = c.AS(t.Context(), ASRequest{Client: alice, Keys: KeyTable([]KeyEntry{{Key: stale, Kvno: 1}}), Etypes: []int32{18}})
	if e := failure(t, err); e.Kind != KindKey || !e.Credentials() || !strings.Contains(e.Error(), "aes128") || k.count(0) != before {
		t.Errorf("no common etype: %v", err)
	}
	_, err = c.AS(t.Context(), ASRequest{Client: alice, Keys: KeyTable([]KeyEntry{{Key: stale, Kvno: 1}})})
	if e := failure(t, err); e.Kind != KindKey {
		t.Errorf("stale keytab: %v", err)
	}
}

func TestASRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		code        int32
		kind        Kind
		credentials bool
		temporary   bool
		says        []string
	}{
		"unknown client": {6, KindRefused, true, false, []string{"KDC_ERR_C_PRINCIPAL_UNKNOWN", "alice", realmA}},
		"unknown server": {7, KindRefused, false, false, []string{"KDC_ERR_S_PRINCIPAL_UNKNOWN", "krbtgt/A.TEST"}},
		"policy":         {12, KindRefused, false, false, []string{"KDC_ERR_POLICY"}},
		"etype":          {14, KindRefused, false, false, []string{"KDC_ERR_ETYPE_NOSUPP", "permitted_enctypes"}},
		"name expired":   {1, KindRefused, true, false, []string{"KDC_ERR_NAME_EXP", "account has expired"}},
		"revoked":        {18, KindRefused, true, false, []string{"KDC_ERR_CLIENT_REVOKED", "locked"}},
		"key expired":    {23, KindRefused, true, false, []string{"KDC_ERR_KEY_EXPIRED", "kpasswd"}},
		"wrong password": {24, KindKey, true, false, []string{"KDC_ERR_PREAUTH_FAILED", "password", "lock"}},
		"skew":           {37, KindSkew, false, false, []string{"KRB_AP_ERR_SKEW", "clock"}},
		"too big":        {52, KindRefused, false, false, []string{"KRB_ERR_RESPONSE_TOO_BIG"}},
		"generic":        {60, KindRefused, false, false, []string{"KRB_ERR_GENERIC", "as ordered"}},
		"wrong realm":    {68, KindRefused, false, false, []string{"KDC_ERR_WRONG_REALM", "OTHER.TEST"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newScripted(t, realmA)
			k.before = func(r *request) ([][]byte, bool) {
				b := k.refuse(r, tc.code, nil, func(e *messages.KRBError) {
					if tc.code == krb.CodeWrongRealm {
						e.CRealm = "OTHER.TEST"
					}
				})
				if r.network == "tcp" {
					b = framed(b)
				}
				return [][]byte{b}, true
			}
			k.start()
			c := client(Options{Timesync: true}, k)
			_, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: Password(alice, "x")})
			e := failure(t, err)
			if e.Kind != tc.kind || e.Code != tc.code || e.Credentials() != tc.credentials || e.Temporary() != tc.temporary || e.Exchange != "AS" || e.Realm != realmA || !e.Principal.Equal(alice) {
				t.Errorf("%+v", e)
			}
			if ke, ok := errors.AsType[*krb.KRBError](err); !ok || ke.Code != tc.code {
				t.Errorf("no KRB-ERROR %d in %v", tc.code, err)
			}
			for _, s := range append(tc.says, "alice@A.TEST", fmt.Sprint(k.addr.Port)) {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q is not in: %v", s, err)
				}
			}
			if tc.code == 68 && e.ClientRealm != "OTHER.TEST" {
				t.Errorf("realm %q", e.ClientRealm)
			}
			if tc.code == 37 && k.count(0) != 2 {
				t.Errorf("%d requests after a skew, want one retry", k.count(0))
			}
		})
	}
}

// A domain's reason takes the place of the guesses that its error code allows.
func TestASStatus(t *testing.T) {
	for _, status := range []krb.NTStatus{
		krb.StatusAccountDisabled, krb.StatusAccountExpired, krb.StatusAccountLockedOut, krb.StatusPasswordExpired,
		krb.StatusPasswordMustChange, krb.StatusInvalidLogonHours, krb.StatusInvalidWorkstation, krb.StatusAccountRestriction,
		krb.StatusLogonTypeNotGranted, krb.StatusSmartcardLogonRequired, krb.StatusAuthenticationFirewall, krb.StatusTimeDifferenceAtDC,
	} {
		hint := hints.NTStatus(status)
		if hint == "" {
			t.Errorf("%v: no hint", status)
		}
		for _, code := range []int32{krb.CodeClientRevoked, krb.CodePolicy, krb.CodePreauthFailed} {
			t.Run(fmt.Sprintf("%v, %s", status, krb.ErrorName(code)), func(t *testing.T) {
				k := newScripted(t, realmA)
				k.before = func(r *request) ([][]byte, bool) {
					b := k.refuse(r, code, krb.ExtendedError(status))
					if r.network == "tcp" {
						b = framed(b)
					}
					return [][]byte{b}, true
				}
				k.start()
				_, err := client(Options{}, k).AS(t.Context(), ASRequest{Client: alice, Keys: Password(alice, "x")})
				e := failure(t, err)
				if e.Hint != hint || e.Code != code || e.Temporary() || e.Credentials() != (code != krb.CodePolicy) || !strings.Contains(err.Error(), status.String()) {
					t.Errorf("%+v", e)
				}
				for _, wrong := range stagetest.Prose(err.Error()) {
					t.Errorf("%s: %v", wrong, err)
				}
			})
		}
	}
}

func TestASWrongPasswordIsSentOnce(t *testing.T) {
	k := newScripted(t, realmA).start()
	c := client(Options{Timesync: true}, k, k)
	_, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: Password(alice, "hunter2")})
	if e := failure(t, err); e.Kind != KindKey || e.Code != krb.CodePreauthFailed {
		t.Error(err)
	}
	if n := k.count(0); n != 2 {
		t.Errorf("%d requests, want one without and one with the password", n)
	}
	if s := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(s, "hunter2") {
		t.Error("the error tells the password")
	}

	k.edit(func() { k.preauth = false })
	_, err = c.AS(t.Context(), ASRequest{Client: alice, Keys: Password(alice, "hunter2")})
	if e := failure(t, err); e.Kind != KindKey || !errors.Is(err, krb.ErrIntegrity) || !strings.Contains(err.Error(), "password") {
		t.Errorf("without pre-authentication: %v", err)
	}
}

func TestASSkew(t *testing.T) {
	const ahead = 3 * time.Hour
	for name, tc := range map[string]struct {
		preauth, timesync bool
		requests          int
	}{
		"refused":                    {true, false, 2},
		"followed":                   {true, true, 3},
		"seen in the reply":          {false, false, 1},
		"followed without a refusal": {false, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			k := newScripted(t, realmA)
			k.now = func() time.Time { return epoch.Add(ahead) }
			k.preauth = tc.preauth
			k.start()
			c := client(Options{Now: func() time.Time { return epoch }, Timesync: tc.timesync}, k)
			tgt, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password)})
			if n := k.count(0); n != tc.requests {
				t.Errorf("%d requests, want %d", n, tc.requests)
			}
			if !tc.timesync {
				e := failure(t, err)
				if e.Kind != KindSkew || (e.Skew-ahead).Abs() > time.Second || !strings.Contains(err.Error(), "3h0m0s ahead of ours") || c.Offset(realmA) != 0 {
					t.Errorf("skew %v: %v", e.Skew, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := (c.Offset(realmA) - ahead).Abs(); d > time.Second {
				t.Errorf("offset %v, want %v", c.Offset(realmA), ahead)
			}
			// From here on without a detour.
			if _, err := c.TGS(t.Context(), tgt, web, TGSOptions{}); err != nil {
				t.Fatal(err)
			}
			if n := k.count(krb.MsgTGSReq); n != 1 {
				t.Errorf("%d TGS requests, want 1", n)
			}
		})
	}
	t.Run("small differences are left", func(t *testing.T) {
		k := newScripted(t, realmA)
		k.now = func() time.Time { return epoch.Add(-4 * time.Minute) }
		k.start()
		c := client(Options{Now: func() time.Time { return epoch }, Timesync: true}, k)
		login(t, c)
		if c.Offset(realmA) != 0 {
			t.Errorf("offset %v", c.Offset(realmA))
		}
	})
	t.Run("an offset known beforehand", func(t *testing.T) {
		k := newScripted(t, realmA)
		k.now = func() time.Time { return epoch.Add(ahead) }
		k.start()
		c := client(Options{Now: func() time.Time { return epoch }}, k)
		c.SetOffset(realmA, ahead)
		login(t, c)
	})
}

// What must not be believed in an AS-REP.
func TestASBadReplies(t *testing.T) {
	rc4, err := krb.GenerateKey(krb.RC4HMAC)
	if err != nil {
		t.Fatal(err)
	}
	bob := types.PrincipalName{NameType: 1, NameString: []string{"bob"}}
	other := types.PrincipalName{NameType: 2, NameString: []string{"krbtgt", "OTHER.TEST"}}
	for name, tc := range map[string]struct {
		change func(*answer)
		kind   Kind
		says   string
	}{
		"nonce":              {func(a *answer) { a.part.Nonce++ }, KindReply, "nonce"},
		"client":             {func(a *answer) { a.fields.CName = bob }, KindReply, "bob"},
		"client realm":       {func(a *answer) { a.fields.CRealm = "OTHER.TEST" }, KindReply, "OTHER.TEST"},
		"server":             {func(a *answer) { a.part.SName, a.fields.Ticket.SName = other, other }, KindReply, "krbtgt/OTHER.TEST"},
		"server realm":       {func(a *answer) { a.part.SRealm, a.fields.Ticket.Realm = realmB, realmB }, KindReply, "krbtgt/A.TEST@B.TEST"},
		"ticket's name":      {func(a *answer) { a.fields.Ticket.SName = other }, KindReply, "outside"},
		"ticket's realm":     {func(a *answer) { a.fields.Ticket.Realm = realmB }, KindReply, "outside"},
		"RC4 session key":    {func(a *answer) { a.part.Key = theirKey(rc4) }, KindReply, "arcfour"},
		"odd session key":    {func(a *answer) { a.part.Key.KeyType = 99 }, KindReply, "99"},
		"short session key":  {func(a *answer) { a.part.Key.KeyValue = a.part.Key.KeyValue[1:] }, KindReply, "bytes"},
		"sealed with RC4":    {func(a *answer) { a.etype, a.key = 23, theirKey(rc4) }, KindReply, "arcfour"},
		"another key":        {func(a *answer) { a.key.KeyValue = make([]byte, len(a.key.KeyValue)) }, KindKey, "password"},
		"another usage":      {func(a *answer) { a.usage = 8 }, KindKey, "password"},
		"too long":           {func(a *answer) { a.part.EndTime = a.part.EndTime.Add(24 * time.Hour) }, KindReply, "ends"},
		"ends before start":  {func(a *answer) { a.part.EndTime = a.part.StartTime }, KindReply, "before it starts"},
		"renewable too long": {func(a *answer) { a.part.RenewTill = a.part.RenewTill.Add(time.Second) }, KindReply, "renewable"},
		"postdated":          {func(a *answer) { a.part.StartTime = a.part.StartTime.Add(time.Hour) }, KindSkew, "1h0m0s ahead"},
		"empty info": {func(a *answer) {
			a.fields.PAData = types.PADataSequence{{PADataType: 19, PADataValue: []byte{0x30, 0}}}
		}, KindKey, "ETYPE-INFO2"},
		"iterations": {func(a *answer) {
			b, err := asn1.Marshal(types.ETypeInfo2{{EType: a.etype, Salt: "x", S2KParams: []byte{0xff, 0xff, 0xff, 0xff}}})
			if err != nil {
				t.Error(err)
			}
			a.fields.PAData = types.PADataSequence{{PADataType: 19, PADataValue: b}}
		}, KindReply, "iteration"},
		"few iterations": {func(a *answer) {
			b, err := asn1.Marshal(types.ETypeInfo2{{EType: a.etype, Salt: "x", S2KParams: []byte{0, 0, 0, 1}}})
			if err != nil {
				t.Error(err)
			}
			a.fields.PAData = types.PADataSequence{{PADataType: 19, PADataValue: b}}
		}, KindReply, "below 4096"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newScripted(t, realmA)
			k.now = func() time.Time { return epoch }
			k.change = tc.change
			k.start()
			c := client(Options{Now: k.now}, k)
			_, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password), RenewLife: 20 * time.Hour})
			if e := failure(t, err); e.Kind != tc.kind || !strings.Contains(err.Error(), tc.says) || e.Temporary() {
				t.Errorf("kind %d: %v", e.Kind, err)
			}
			if c.Offset(realmA) != 0 {
				t.Errorf("offset %v taken from a bad reply", c.Offset(realmA))
			}
		})
	}
}

// What a KDC, or someone in its name, may put into KDC_ERR_PREAUTH_REQUIRED.
func TestASBadMethodData(t *testing.T) {
	der := func(v any) []byte {
		b, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	entry := func(kind int32, v []byte) []byte {
		return der(types.PADataSequence{{PADataType: 2, PADataValue: []byte{}}, {PADataType: kind, PADataValue: v}})
	}
	for name, tc := range map[string]struct {
		data []byte
		kind Kind
		says string
	}{
		"none":          {nil, KindReply, "cannot be read"},
		"garbage":       {[]byte("garbage"), KindReply, "cannot be read"},
		"empty info":    {entry(19, []byte{0x30, 0}), KindReply, "ETYPE-INFO2"},
		"empty old":     {entry(11, []byte{0x30, 0}), KindReply, "ETYPE-INFO"},
		"garbage info":  {entry(19, []byte{0x30, 5, 1}), KindReply, "ETYPE-INFO2"},
		"garbage old":   {entry(11, []byte{0x30, 2, 0x30, 0}), KindReply, "ETYPE-INFO"},
		"RC4 alone":     {entry(19, der(types.ETypeInfo2{{EType: 23, Salt: ""}})), KindKey, "arcfour"},
		"odd etype":     {entry(19, der(types.ETypeInfo2{{EType: 26, Salt: ""}})), KindKey, "etype 26"},
		"2^32 rounds":   {entry(19, der(types.ETypeInfo2{{EType: 18, Salt: "", S2KParams: make([]byte, 4)}})), KindReply, "iteration"},
		"one round":     {entry(19, der(types.ETypeInfo2{{EType: 18, Salt: "", S2KParams: []byte{0, 0, 0, 1}}})), KindReply, "below 4096"},
		"one too few":   {entry(19, der(types.ETypeInfo2{{EType: 18, Salt: "", S2KParams: []byte{0, 0, 0x0f, 0xff}}})), KindReply, "4095 for aes256-cts-hmac-sha1-96, below 4096"},
		"params":        {entry(19, der(types.ETypeInfo2{{EType: 18, Salt: "", S2KParams: make([]byte, 5)}})), KindKey, "5 bytes"},
		"PKINIT alone":  {der(types.PADataSequence{{PADataType: 16, PADataValue: []byte{}}, {PADataType: 136, PADataValue: []byte{}}}), KindRefused, "(as ordered), and the KDC offers PKINIT (16), FAST (136) (KDCs"},
		"helpers alone": {der(types.PADataSequence{{PADataType: 133, PADataValue: []byte{}}, {PADataType: 17, PADataValue: []byte{}}}), KindRefused, "(as ordered) (KDCs"},
		"OTP": {der(types.PADataSequence{
			{PADataType: 136, PADataValue: []byte{}}, {PADataType: 19, PADataValue: der(types.ETypeInfo2{{EType: 18, Salt: ""}})}, {PADataType: 141, PADataValue: []byte{}},
			{PADataType: 133, PADataValue: []byte{}}, {PADataType: 136, PADataValue: []byte{}},
		}), KindRefused, "offers FAST (136), OTP within FAST (141) (KDCs"},
		"a long list": {der(func() (all types.PADataSequence) {
			for n := range 20 {
				all = append(all, types.PAData{PADataType: int32(200 + n), PADataValue: []byte{}})
			}
			return all
		}()), KindRefused, "type 207, 12 more (KDCs"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newScripted(t, realmA)
			k.padata = func(*request) []byte { return tc.data }
			k.start()
			_, err := client(Options{}, k).AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password)})
			if e := failure(t, err); e.Kind != tc.kind || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("kind %d: %v", e.Kind, err)
			}
			if n := k.count(0); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
			// Where the KDC names the types of its keys, there is nothing to guess.
			if guess := strings.Contains(err.Error(), "if the KDC has no key"); guess != (tc.kind == KindRefused && name != "OTP") {
				t.Errorf("a guess: %v: %v", guess, err)
			}
			for _, wrong := range stagetest.Prose(err.Error()) {
				t.Errorf("%s: %v", wrong, err)
			}
		})
	}
	t.Run("for ever", func(t *testing.T) {
		k := newScripted(t, realmA)
		k.before = func(r *request) ([][]byte, bool) {
			return [][]byte{k.refuse(r, krb.CodePreauthRequired, k.methodData([]int32{18}))}, true
		}
		k.start()
		_, err := client(Options{}, k).AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password)})
		if e := failure(t, err); e.Code != krb.CodePreauthRequired || k.count(0) != 2 || !strings.Contains(err.Error(), "though an encrypted timestamp was sent, and the KDC offers encrypted timestamp (2)") {
			t.Errorf("%d requests: %v", k.count(0), err)
		}
	})
}

func TestASCanonicalize(t *testing.T) {
	rename := func(a *answer) {
		a.fields.CName = types.PrincipalName{NameType: 1, NameString: []string{"alice.true"}}
	}
	move := func(a *answer) {
		name := types.PrincipalName{NameType: 2, NameString: []string{"krbtgt", realmB}}
		a.fields.CRealm, a.part.SRealm, a.fields.Ticket.Realm = realmB, realmB, realmB
		a.part.SName, a.fields.Ticket.SName = name, name
	}
	protect := func(a *answer, spoil byte, kind int32) {
		et, err := crypto.GetEtype(a.key.KeyType)
		if err != nil {
			t.Error(err)
			return
		}
		sum, err := et.GetChecksumHash(a.key.KeyValue, a.request.raw, krb.UsageASReqChecksum)
		if err != nil {
			t.Error(err)
			return
		}
		sum[0] ^= spoil
		b, err := asn1.Marshal(types.Checksum{CksumType: et.GetHashID() + kind, Checksum: sum})
		if err != nil {
			t.Error(err)
			return
		}
		types.SetFlag(&a.part.Flags, 15)
		a.part.EncPAData = types.PADataSequence{{PADataType: 149, PADataValue: b}, {PADataType: 136, PADataValue: []byte{}}}
	}
	for name, tc := range map[string]struct {
		change func(*answer)
		want   string // client, or what the error says
		ok     bool
	}{
		"same":               {nil, "alice@A.TEST", true},
		"renamed":            {rename, "alice.true@A.TEST", true},
		"moved":              {func(a *answer) { rename(a); move(a) }, "alice.true@B.TEST", true},
		"protected":          {func(a *answer) { rename(a); protect(a, 0, 0) }, "alice.true@A.TEST", true},
		"tampered":           {func(a *answer) { rename(a); protect(a, 1, 0) }, "changed on its way", false},
		"other checksum":     {func(a *answer) { protect(a, 0, 1) }, "want 16", false},
		"checksum forgotten": {func(a *answer) { types.SetFlag(&a.part.Flags, 15) }, "checksum", false},
		"client moved alone": {func(a *answer) { a.fields.CRealm = realmB }, "B.TEST", false},
		"other service": {func(a *answer) {
			name := types.PrincipalName{NameType: 2, NameString: []string{"HTTP", "www.a.test"}}
			a.part.SName, a.fields.Ticket.SName = name, name
		}, "HTTP/www.a.test", false},
	} {
		t.Run(name, func(t *testing.T) {
			k := newScripted(t, realmA)
			k.change = tc.change
			k.now = func() time.Time { return epoch.Add(time.Hour) }
			k.start()
			c := client(Options{Now: func() time.Time { return epoch }, Timesync: true}, k)
			got, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password), Canonicalize: true})
			if !tc.ok {
				if e := failure(t, err); e.Kind != KindReply || !strings.Contains(err.Error(), tc.want) {
					t.Error(err)
				}
				return
			}
			if err != nil || got.Client.String() != tc.want {
				t.Fatalf("%v, %v", got, err)
			}
			if d := c.Offset(got.Client.Realm); (d - time.Hour).Abs() > time.Second { // of the realm that is asked from now on
				t.Errorf("offset %v", d)
			}
		})
	}
}

func TestASBadArguments(t *testing.T) {
	c := New(Options{Locate: func(context.Context, string) ([]KDC, error) { t.Error("a KDC was looked for"); return nil, nil }})
	for name, r := range map[string]ASRequest{
		"no client": {Keys: Password(alice, "x")},
		"no realm":  {Client: krb.NewPrincipal("", "alice"), Keys: Password(alice, "x")},
		"no name":   {Client: krb.Principal{Realm: realmA}, Keys: Password(alice, "x")},
		"no keys":   {Client: alice},
		"no etypes": {Client: alice, Keys: Password(alice, "x"), Etypes: []int32{}},
	} {
		_, err := c.AS(t.Context(), r)
		if e := failure(t, err); e.Temporary() || e.Error() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPasswordDoesNotPrint(t *testing.T) {
	r := ASRequest{Client: alice, Keys: Password(alice, "hunter2")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, v := range []any{r, &r, r.Keys, struct{ k Keys }{r.Keys}, []Keys{r.Keys}} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, "hunter2") || strings.Contains(s, fmt.Sprintf("%x", "hunter2")) {
				t.Errorf("%s of %T tells the password: %s", verb, v, s)
			}
		}
	}
	if s := fmt.Sprint(r.Keys); !strings.Contains(s, "alice@A.TEST") {
		t.Errorf("the canary does not sing: %s", s)
	}
}

func TestNoKDC(t *testing.T) {
	keys := Password(alice, "x")
	for name, tc := range map[string]struct {
		locate    func(context.Context, string) ([]KDC, error)
		temporary bool
	}{
		"not asked":  {nil, false},
		"none":       {at(), false},
		"error":      {func(context.Context, string) ([]KDC, error) { return nil, errors.New("boom") }, false},
		"DNS silent": {func(context.Context, string) ([]KDC, error) { return nil, &net.DNSError{IsTimeout: true, Err: "boom"} }, true},
	} {
		_, err := New(Options{Locate: tc.locate}).AS(t.Context(), ASRequest{Client: alice, Keys: keys})
		e := failure(t, err)
		if e.Kind != KindNoKDC || e.Temporary() != tc.temporary || !strings.Contains(err.Error(), "[realms]") || !strings.Contains(err.Error(), "_kerberos._udp.A.TEST") {
			t.Errorf("%s: %v", name, err)
		}
		if (name == "error" || name == "DNS silent") && !strings.Contains(err.Error(), "boom") {
			t.Errorf("%s: the cause is lost: %v", name, err)
		}
	}
}

// Which names a reply may bear is decided for every combination of them: those that were
// asked for, and with canonicalization another client of the realm that was asked, or
// the TGT of another realm for a client of that. The TGT of one realm that another
// issued for its own client is the key to neither.
func TestASReplyNames(t *testing.T) {
	type names struct{ service, serviceRealm, client, clientRealm string }
	service := func(name, realm string) krb.Principal { return krb.NewPrincipal(realm, strings.Split(name, "/")...) }
	var next names
	k := newScripted(t, realmA)
	k.services["HTTP/"+realmA] = true
	k.change = func(a *answer) {
		sname := types.PrincipalName{NameType: 2, NameString: strings.Split(next.service, "/")}
		a.fields.CName.NameString = []string{next.client}
		a.fields.CRealm, a.part.SRealm, a.fields.Ticket.Realm = next.clientRealm, next.serviceRealm, next.serviceRealm
		a.part.SName, a.fields.Ticket.SName = sname, sname
	}
	k.start()
	services := []string{"krbtgt/" + realmA, "krbtgt/" + realmB, "HTTP/" + realmA, "HTTP/" + realmB}
	realms := []string{realmA, realmB}
	granted := 0
	for _, asked := range []string{"krbtgt/" + realmA, "krbtgt/" + realmB, "HTTP/" + realmA} {
		k.edit(func() { k.services[asked] = true })
		for _, canonicalize := range []bool{false, true} {
			for _, s := range services {
				for _, sr := range realms {
					for _, cr := range realms {
						for _, name := range []string{"alice", "mallory"} {
							n := names{s, sr, name, cr}
							k.edit(func() { next = n })
							same := s == asked && sr == realmA
							want := same && cr == realmA && name == "alice"
							if canonicalize {
								moved := strings.HasPrefix(asked, "krbtgt/") && s == "krbtgt/"+sr && cr == sr
								want = same && cr == realmA || moved
							}
							got, err := client(Options{}, k).AS(t.Context(), ASRequest{
								Client: alice, Server: service(asked, realmA), Keys: known(alice, k.password), Canonicalize: canonicalize,
							})
							switch {
							case (err == nil) != want:
								t.Errorf("asked for %s, canonicalize %v, got %+v: %v", asked, canonicalize, n, err)
							case err != nil:
								if e := failure(t, err); e.Kind != KindReply {
									t.Errorf("%+v: kind %v", n, e.Kind)
								}
							case !got.Server.Equal(service(s, sr)) || !got.Client.Equal(krb.NewPrincipal(cr, name)):
								t.Errorf("%+v: the ticket is %v", n, got)
							default:
								granted++
							}
						}
					}
				}
			}
		}
	}
	if granted == 0 {
		t.Error("nothing was granted")
	}
}
