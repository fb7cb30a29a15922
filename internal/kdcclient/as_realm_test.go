package kdcclient

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/internal/krb"
)

var enterprise = krb.Principal{Type: krb.NTEnterprise, Components: []string{"alice@corp.test"}, Realm: realmA}

// chain returns realms each of which sends the client on to the next. The last
// knows her, by her enterprise name too.
func chain(tb testing.TB, names ...string) []*scripted {
	out := make([]*scripted, len(names))
	for i, name := range names {
		out[i] = newScripted(tb, name)
		out[i].aliases = map[string]bool{"alice@corp.test": true}
		if i+1 < len(names) {
			out[i].moved = map[string]string{"alice": names[i+1], "alice@corp.test": names[i+1]}
		}
	}
	share(out...)
	return out
}

func startAll(realms []*scripted) {
	for _, k := range realms {
		k.start()
	}
}

func count(realms []*scripted) int {
	n := 0
	for _, k := range realms {
		n += k.count(0)
	}
	return n
}

func TestASWrongRealm(t *testing.T) {
	for name, tc := range map[string]struct {
		client       krb.Principal
		canonicalize bool
		realms       []string
	}{
		"enterprise":         {enterprise, false, []string{realmA, realmB}},
		"enterprise at home": {enterprise, false, []string{realmA}},
		"three realms":       {enterprise, false, []string{realmA, realmB, "C.TEST"}},
		"plain name":         {alice, true, []string{realmA, realmB}},
		"lower case":         {krb.NewPrincipal("a.test", "alice"), true, []string{"a.test", realmA}},
	} {
		t.Run(name, func(t *testing.T) {
			realms := chain(t, tc.realms...)
			startAll(realms)
			c := client(Options{}, realms...)
			home := realms[len(realms)-1]
			got, err := c.AS(t.Context(), ASRequest{Client: tc.client, Keys: Password(tc.client, home.password), Canonicalize: tc.canonicalize})
			if err != nil {
				t.Fatal(err)
			}
			if want := krb.NewPrincipal(home.realm, "alice"); !got.Client.Equal(want) || !got.Server.Equal(krb.TGS(home.realm, home.realm)) {
				t.Errorf("ticket %v, want one of %v", got, want)
			}
			for i, k := range realms {
				for _, r := range k.seen() {
					b := r.fields.ReqBody
					if b.Realm != k.realm || b.SName.PrincipalNameString() != "krbtgt/"+k.realm || b.CName.NameType != tc.client.Type ||
						!slices.Equal(b.CName.NameString, tc.client.Components) || !r.option(15) {
						t.Errorf("to %s: %+v", k.realm, b)
					}
					if has := slices.ContainsFunc(r.fields.PAData, func(p types.PAData) bool { return p.PADataType == 2 }); has && i < len(realms)-1 {
						t.Errorf("a timestamp went to %s", k.realm)
					}
				}
			}
			if n := count(realms); n != len(realms)+1 {
				t.Errorf("%d requests, want %d", n, len(realms)+1)
			}
			// The ticket is good where it is from.
			if _, err := c.TGS(t.Context(), got, krb.NewPrincipal("", "HTTP", "www.a.test"), TGSOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// Nobody is sent elsewhere, and no name is changed, without having asked for it.
func TestASWrongRealmUnasked(t *testing.T) {
	realms := chain(t, realmA, realmB)
	startAll(realms)
	c := client(Options{}, realms...)
	_, err := c.AS(t.Context(), ASRequest{Client: alice, Keys: Password(alice, "x")})
	e := failure(t, err)
	if e.Kind != KindRefused || e.Code != krb.CodeWrongRealm || e.ClientRealm != realmB || !strings.Contains(err.Error(), "canonicalize") || !strings.Contains(e.Hint, realmB) {
		t.Errorf("%+v", e)
	}
	if diff := cmp.Diff([]string{realmA}, e.Path); diff != "" || realms[1].count(0) != 0 {
		t.Errorf("%d requests to the other realm, path %s", realms[1].count(0), diff)
	}

	k := newScripted(t, realmA)
	k.change = func(a *answer) { a.fields.CName = types.PrincipalName{NameType: 1, NameString: []string{"bob"}} }
	k.start()
	_, err = client(Options{}, k).AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password)})
	if e := failure(t, err); e.Kind != KindReply || !strings.Contains(err.Error(), "bob") {
		t.Error(err)
	}
}

// Old Active Directory tells the realm with another code.
func TestASWrongRealmOfOldAD(t *testing.T) {
	realms := chain(t, realmA, realmB)
	realms[0].before = func(r *request) ([][]byte, bool) {
		return [][]byte{realms[0].refuse(r, krb.CodeClientUnknown, nil, func(e *messages.KRBError) { e.CRealm = realmB })}, true
	}
	startAll(realms)
	c := client(Options{}, realms...)
	got, err := c.AS(t.Context(), ASRequest{Client: enterprise, Keys: Password(enterprise, realms[1].password)})
	if err != nil || got.Client.Realm != realmB {
		t.Error(got, err)
	}
}

func TestASWrongRealmLoops(t *testing.T) {
	long := make([]string, 15)
	for i := range long {
		long[i] = fmt.Sprintf("R%d.TEST", i)
	}
	for name, tc := range map[string]struct {
		realms   []string
		kind     Kind
		says     []string
		requests int
	}{
		"circle":     {[]string{realmA, realmB, realmA}, KindReferral, []string{`back to realm "A.TEST"`, `"A.TEST" > "B.TEST"`}, 2},
		"too far":    {long, KindReferral, []string{"more than 10 realms"}, 11},
		"no KDC":     {[]string{realmA, "FAR.TEST"}, KindNoKDC, []string{"[realms]", "FAR.TEST", `"A.TEST" > "FAR.TEST"`}, 1},
		"lower case": {[]string{realmA, "far.test"}, KindNoKDC, []string{"in capitals: FAR.TEST"}, 1},
		"no name":    {[]string{realmA, "x\x1b[2J"}, KindReferral, []string{"cannot be the name"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			realms := chain(t, tc.realms...)
			realms = realms[:len(realms)-1]
			startAll(realms)
			c := client(Options{}, realms...)
			from := enterprise
			from.Realm = tc.realms[0]
			_, err := c.AS(t.Context(), ASRequest{Client: from, Keys: Password(from, "x")})
			e := failure(t, err)
			if e.Kind != tc.kind || e.Temporary() || !e.Principal.Equal(from) {
				t.Errorf("kind %d: %+v", e.Kind, e)
			}
			for _, s := range tc.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q is not in: %v", s, err)
				}
			}
			if n := count(realms); n != tc.requests {
				t.Errorf("%d requests, want %d", n, tc.requests)
			}
		})
	}
}

// Once a timestamp made of the password is out, no error leads elsewhere.
func TestASWrongRealmAfterTimestamp(t *testing.T) {
	realms := chain(t, realmA, realmB)
	realms[0].before = func(r *request) ([][]byte, bool) {
		if slices.ContainsFunc(r.fields.PAData, func(p types.PAData) bool { return p.PADataType == 2 }) {
			return nil, false
		}
		return [][]byte{realms[0].refuse(r, krb.CodePreauthRequired, realms[0].methodData([]int32{18}))}, true
	}
	startAll(realms)
	c := client(Options{}, realms...)
	_, err := c.AS(t.Context(), ASRequest{Client: enterprise, Keys: Password(enterprise, "x")})
	if e := failure(t, err); e.Code != krb.CodeWrongRealm || e.ClientRealm != realmB || realms[1].count(0) != 0 {
		t.Errorf("%d requests to the other realm: %v", realms[1].count(0), err)
	}
}

// The clock of each realm is followed for itself.
func TestASWrongRealmSkew(t *testing.T) {
	realms := chain(t, realmA, realmB)
	realms[1].now = func() time.Time { return epoch.Add(2 * time.Hour) }
	realms[0].now = func() time.Time { return epoch }
	startAll(realms)
	c := client(Options{Timesync: true, Now: realms[0].now}, realms...)
	if _, err := c.AS(t.Context(), ASRequest{Client: enterprise, Keys: Password(enterprise, realms[1].password)}); err != nil {
		t.Fatal(err)
	}
	if a, b := c.Offset(realmA), c.Offset(realmB); a != 0 || (b-2*time.Hour).Abs() > time.Second {
		t.Errorf("offsets %v and %v", a, b)
	}
}

// A name without a salt has that of the realm where it was found, a renamed one
// that of its true name.
func TestASDefaultSaltElsewhere(t *testing.T) {
	for name, tc := range map[string]struct {
		client  krb.Principal
		preauth bool
		salt    string
	}{
		"plain name":            {alice, true, realmB + "alice"},
		"enterprise, asked":     {enterprise, true, realmB + "alice@corp.test"},
		"enterprise, in AS-REP": {enterprise, false, realmB + "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			realms := chain(t, realmA, realmB)
			k := realms[1]
			k.salt, k.preauth, k.etypes = tc.salt, tc.preauth, []int32{18}
			k.padata = func(*request) []byte {
				b, err := krb.MarshalPADatas([]krb.PAData{{Type: krb.PAEncTimestamp, Value: []byte{}}})
				if err != nil {
					t.Error(err)
				}
				return b
			}
			k.change = func(a *answer) {
				if tc.preauth { // the name was asked for with what had been said before
					a.fields.PAData = types.PADataSequence{}
					a.fields.CName = a.request.fields.ReqBody.CName
				} else {
					a.fields.PAData = nil
				}
			}
			startAll(realms)
			c := client(Options{Etypes: []int32{18}}, realms...)
			if _, err := c.AS(t.Context(), ASRequest{Client: tc.client, Keys: known(tc.client, k.password), Canonicalize: true}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A reply that says less of the salt than was said before changes nothing.
func TestASSaltRanks(t *testing.T) {
	k := newScripted(t, realmA)
	k.salt, k.etypes = "odd salt", []int32{18}
	k.change = func(a *answer) {
		a.fields.PAData = types.PADataSequence{{PADataType: 3, PADataValue: []byte("wrong")}}
	}
	k.start()
	login(t, client(Options{}, k))
}

// Active Directory takes a realm in small letters and answers in capitals.
func TestASRealmInCapitals(t *testing.T) {
	small := krb.NewPrincipal("a.test", "alice")
	k := newScripted(t, realmA)
	k.change = func(a *answer) {
		if a.request.option(15) {
			refer(a, realmA)
		}
	}
	k.start()
	c := client(Options{Locate: at(k.addr)})
	_, err := c.AS(t.Context(), ASRequest{Client: small, Keys: Password(small, k.password)})
	if e := failure(t, err); e.Kind != KindReply || !strings.Contains(e.Hint, "A.TEST: do the same") {
		t.Error(err)
	}
	got, err := c.AS(t.Context(), ASRequest{Client: small, Keys: Password(small, k.password), Canonicalize: true})
	if err != nil || !got.Client.Equal(alice) || !got.Server.Equal(tgsA) {
		t.Errorf("canonicalized: %v, %v", got, err)
	}

	k.edit(func() {
		k.before = func(r *request) ([][]byte, bool) {
			return [][]byte{k.refuse(r, krb.CodeClientUnknown, nil, func(e *messages.KRBError) { e.CRealm = "" })}, true
		}
	})
	_, err = c.AS(t.Context(), ASRequest{Client: small, Keys: Password(small, k.password)})
	if e := failure(t, err); e.Code != krb.CodeClientUnknown || !strings.Contains(e.Hint, "in capitals: A.TEST") {
		t.Error(err)
	}
	_, err = c.AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password)})
	if e := failure(t, err); e.Code != krb.CodeClientUnknown || strings.Contains(e.Hint, "capitals") {
		t.Error(err)
	}
	_, err = New(Options{Locate: at()}).AS(t.Context(), ASRequest{Client: small, Keys: Password(small, "x")})
	if e := failure(t, err); e.Kind != KindNoKDC || !strings.Contains(e.Hint, "in capitals: A.TEST") {
		t.Error(err)
	}
}

func TestASEtypeHints(t *testing.T) {
	k := newScripted(t, realmA)
	k.etypes = []int32{23}
	k.start()
	_, err := client(Options{}, k).AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password)})
	e := failure(t, err)
	if ke, ok := errors.AsType[*krb.KRBError](err); !ok || ke.Code != krb.CodeEtypeNoSupport || e.Code != ke.Code {
		t.Errorf("%+v", e)
	}
	for _, s := range []string{"aes256-cts", "allow_rc4", "Active Directory", "answered so"} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q is not in: %v", s, err)
		}
	}
}

func TestKeyTableVersionZero(t *testing.T) {
	key := func() krb.Key {
		k, err := krb.GenerateKey(18)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	zero, three := key(), key()
	keys := KeyTable([]KeyEntry{{Key: zero, Kvno: 0}, {Key: three, Kvno: 3}})
	for kvno, want := range map[uint32]krb.Key{0: three, 3: three, 7: three} {
		if got, err := keys.Key(t.Context(), krb.EtypeInfo{Etype: 18}, kvno); err != nil || !got.Key.Equal(want) {
			t.Errorf("version %d: another key, %v", kvno, err)
		}
	}
	if got, err := KeyTable([]KeyEntry{{Key: zero, Kvno: 0}}).Key(t.Context(), krb.EtypeInfo{Etype: 18}, 5); err != nil || !got.Key.Equal(zero) {
		t.Errorf("a keytab of version 0 alone: %v", err)
	}
}
