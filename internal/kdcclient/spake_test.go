package kdcclient

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spake"
)

// TestSPAKEChallenges has a KDC offer SPAKE and timestamps. What it answers to our
// groups decides; of the key nothing is sent to one that is not to be trusted.
func TestSPAKEChallenges(t *testing.T) {
	other, err := krb.GenerateKey(krb.AES256SHA1)
	if err != nil {
		t.Fatal(err)
	}
	party, err := spake.NewKDC(krb.SPAKEEdwards25519, other)
	if err != nil {
		t.Fatal(err)
	}
	challenge := func(edit func(*krb.SPAKEChallenge)) []byte {
		c := &krb.SPAKEChallenge{Group: 1, Public: party.Public, Factors: []krb.SPAKEFactor{{Type: krb.SPAKEFactorNone}}}
		edit(c)
		b, err := (&krb.SPAKE{Challenge: c}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, tc := range map[string]struct {
		value    []byte // nil: the KDC has none of our groups
		alone    bool   // no timestamps are taken
		kind     Kind   // 0: a ticket
		says     string
		requests int
	}{
		"garbage":             {value: []byte{1}, kind: KindReply, says: "PA-SPAKE", requests: 2},
		"of another kind":     {value: []byte{0xa0, 9, 0x30, 7, 0xa0, 5, 0x30, 3, 2, 1, 1}, kind: KindReply, says: "another kind", requests: 2},
		"group not offered":   {value: challenge(func(c *krb.SPAKEChallenge) { c.Group = 2 }), kind: KindReply, says: "P-256, which was not offered", requests: 2},
		"bad point":           {value: challenge(func(c *krb.SPAKEChallenge) { c.Public = c.Public[1:] }), kind: KindReply, says: "no element", requests: 2},
		"a second factor":     {value: challenge(func(c *krb.SPAKEChallenge) { c.Factors[0].Type = 2 }), kind: KindRefused, says: "second factor", requests: 2},
		"refused once it ran": {value: challenge(func(*krb.SPAKEChallenge) {}), kind: KindRefused, says: "KDC_ERR_PREAUTH_FAILED", requests: 3},
		"no group":            {requests: 3},
		"no group, alone":     {alone: true, kind: KindRefused, says: "none of the groups edwards25519", requests: 2},
	} {
		t.Run(name, func(t *testing.T) {
			k := newScripted(t, realmA)
			var seen atomic.Int32
			k.before = func(r *request) ([][]byte, bool) {
				m, err := krb.ParseKDCReq(r.raw)
				if err != nil {
					t.Error(err)
				}
				value, spoken := krb.FindPAData(m.PAData, krb.PASPAKE)
				if _, found := krb.FindPAData(m.PAData, krb.PAEncTimestamp); found {
					seen.Add(1)
					return nil, false
				}
				list, err := krb.ParsePADatas(k.methodData([]int32{18}))
				if err != nil {
					t.Error(err)
				}
				code, pa := krb.CodePreauthRequired, krb.PAData{Type: krb.PASPAKE, Value: []byte{}}
				if spoken {
					code = krb.CodePreauthFailed
					if s, err := krb.ParseSPAKE(value); err == nil && s.Response == nil && tc.value != nil {
						code, pa.Value = krb.CodeMorePreauthData, tc.value
					}
					cookie, _ := krb.FindPAData(m.PAData, krb.PAFXCookie)
					if string(cookie) != "crumb" {
						t.Errorf("cookie %q", cookie)
					}
				}
				var out []krb.PAData
				for _, p := range list {
					if p.Type != krb.PAEncTimestamp || !tc.alone {
						out = append(out, p)
					}
				}
				data, err := krb.MarshalPADatas(append(out, pa, krb.PAData{Type: krb.PAFXCookie, Value: []byte("crumb")}))
				if err != nil {
					t.Error(err)
				}
				return [][]byte{k.refuse(r, code, data)}, true
			}
			k.start()
			_, err := client(Options{}, k).AS(t.Context(), ASRequest{Client: alice, Keys: Password(alice, k.password)})
			timestamps := seen.Load()
			if tc.kind == 0 {
				if err != nil || timestamps != 1 {
					t.Errorf("%d timestamps, %v", timestamps, err)
				}
			} else if e := failure(t, err); e.Kind != tc.kind && tc.says != "KDC_ERR_PREAUTH_FAILED" || !strings.Contains(err.Error(), tc.says) || timestamps != 0 {
				t.Errorf("kind %d, %d timestamps: %v", e.Kind, timestamps, err)
			}
			if n := k.count(0); n != tc.requests {
				t.Errorf("%d requests, want %d", n, tc.requests)
			}
		})
	}
}

// spakeKDC makes a scripted KDC that offers SPAKE, and answers what proves the key:
// with its usual answer, sealed under the client's key, or by refusing it.
func spakeKDC(t *testing.T, refuse bool) *scripted {
	t.Helper()
	k := newScripted(t, realmA)
	other, err := krb.GenerateKey(krb.AES256SHA1)
	if err != nil {
		t.Fatal(err)
	}
	party, err := spake.NewKDC(krb.SPAKEEdwards25519, other)
	if err != nil {
		t.Fatal(err)
	}
	challenge, err := (&krb.SPAKE{Challenge: &krb.SPAKEChallenge{Group: krb.SPAKEEdwards25519, Public: party.Public, Factors: []krb.SPAKEFactor{{Type: krb.SPAKEFactorNone}}}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	k.before = func(r *request) ([][]byte, bool) {
		m, err := krb.ParseKDCReq(r.raw)
		if err != nil {
			t.Error(err)
			return nil, true
		}
		value, spoken := krb.FindPAData(m.PAData, krb.PASPAKE)
		list, err := krb.ParsePADatas(k.methodData([]int32{18}))
		if err != nil {
			t.Error(err)
		}
		code, pa := krb.CodePreauthRequired, krb.PAData{Type: krb.PASPAKE, Value: []byte{}}
		if s, err := krb.ParseSPAKE(value); spoken && err == nil && s.Response == nil {
			code, pa.Value = krb.CodeMorePreauthData, challenge
		} else if spoken && !refuse {
			k.preauth = false // as if this had proved the key
			return nil, false
		} else if spoken {
			code = krb.CodePreauthFailed
		}
		data, err := krb.MarshalPADatas(append(list, pa))
		if err != nil {
			t.Error(err)
		}
		return [][]byte{k.refuse(r, code, data)}, true
	}
	return k
}

// TestSPAKEReplyKey: what is sealed under the client's own key answers no exchange of
// SPAKE: whoever has that key alone has not taken part in it.
func TestSPAKEReplyKey(t *testing.T) {
	k := spakeKDC(t, false)
	k.start()
	_, err := client(Options{}, k).AS(t.Context(), ASRequest{Client: alice, Keys: Password(alice, k.password)})
	if e := failure(t, err); e.Kind != KindReply || !strings.Contains(err.Error(), "does not open under the key of the SPAKE exchange") {
		t.Errorf("%v", err)
	}
}

// TestSPAKERefused: another way is gone where the KDC takes none of our groups, and where it
// refuses the client none is.
func TestSPAKERefused(t *testing.T) {
	for code, want := range map[int32]int{krb.CodePreauthFailed: 3, krb.CodeClientRevoked: 2} {
		k := newScripted(t, realmA)
		k.padata = func(*request) []byte {
			list, err := krb.ParsePADatas(k.methodData([]int32{18}))
			if err != nil {
				t.Error(err)
			}
			data, err := krb.MarshalPADatas(append(list, krb.PAData{Type: krb.PASPAKE, Value: []byte{}}, krb.PAData{Type: krb.PAEncTimestamp}))
			if err != nil {
				t.Error(err)
			}
			return data
		}
		k.before = func(r *request) ([][]byte, bool) {
			if m, err := krb.ParseKDCReq(r.raw); err != nil {
				t.Error(err)
			} else if _, spoken := krb.FindPAData(m.PAData, krb.PASPAKE); spoken {
				return [][]byte{k.refuse(r, code, nil)}, true
			}
			return nil, false
		}
		k.start()
		_, err := client(Options{}, k).AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password)})
		if n := k.count(0); n != want || (err == nil) != (code == krb.CodePreauthFailed) {
			t.Errorf("%d: %d requests, want %d; %v", code, n, want, err)
		}
	}
}

// TestSPAKEIsNotUndone: when an exchange of SPAKE is to begin anew, what is offered then is
// not a timestamp alone: whoever stands on the way could read the password out of it.
func TestSPAKEIsNotUndone(t *testing.T) {
	for again, requests := range map[bool]int{false: 4, true: 5} { // SPAKE is offered again, and no group is taken
		testSPAKEIsNotUndone(t, again, requests)
	}
}

func testSPAKEIsNotUndone(t *testing.T, again bool, requests int) {
	k := spakeKDC(t, true)
	script, expired := k.before, false
	var sent atomic.Int32
	k.before = func(r *request) ([][]byte, bool) {
		m, err := krb.ParseKDCReq(r.raw)
		if err != nil {
			t.Error(err)
			return nil, true
		}
		value, spoken := krb.FindPAData(m.PAData, krb.PASPAKE)
		s, err := krb.ParseSPAKE(value)
		_, stamped := krb.FindPAData(m.PAData, krb.PAEncTimestamp)
		switch {
		case stamped:
			sent.Add(1)
			return nil, false
		case expired && spoken:
			return [][]byte{k.refuse(r, krb.CodePreauthFailed, nil)}, true
		case expired && !again:
			return [][]byte{k.refuse(r, krb.CodePreauthRequired, k.methodData([]int32{18}))}, true
		case spoken && err == nil && s.Response != nil:
			expired = true
			return [][]byte{k.refuse(r, krb.CodePreauthExpired, nil)}, true
		case spoken: // the challenge, with what the client needs to begin anew
			out, _ := script(r)
			ke, err := krb.ParseKRBError(out[0])
			if err != nil {
				t.Error(err)
			}
			list, err := krb.ParsePADatas(ke.Data)
			if err != nil {
				t.Error(err)
			}
			data, err := krb.MarshalPADatas(append(list, krb.PAData{Type: krb.PAFXCookie, Value: []byte("crumb")}))
			if err != nil {
				t.Error(err)
			}
			return [][]byte{k.refuse(r, krb.CodeMorePreauthData, data)}, true
		}
		return script(r)
	}
	k.start()
	_, err := client(Options{}, k).AS(t.Context(), ASRequest{Client: alice, Keys: Password(alice, k.password)})
	if failure(t, err); sent.Load() != 0 || k.count(0) != requests {
		t.Errorf("%d timestamps in %d requests: %v", sent.Load(), k.count(0), err)
	}
}

// TestSPAKEAtThePrimary: a password that was proved by SPAKE, and refused, is not sent
// in another form to the primary KDC, which is asked as MIT's clients do.
func TestSPAKEAtThePrimary(t *testing.T) {
	replica := spakeKDC(t, true)
	replica.start()
	primary := newScripted(t, realmA) // which takes timestamps alone
	var sent atomic.Int32
	primary.before = func(r *request) ([][]byte, bool) {
		if m, err := krb.ParseKDCReq(r.raw); err != nil {
			t.Error(err)
		} else if _, found := krb.FindPAData(m.PAData, krb.PAEncTimestamp); found {
			sent.Add(1)
		}
		return nil, false
	}
	primary.start()
	o := Options{LocatePrimary: func(context.Context, string) ([]KDC, error) { return []KDC{primary.addr}, nil }}
	_, err := client(o, replica).AS(t.Context(), ASRequest{Client: alice, Keys: Password(alice, "guess")})
	if failure(t, err); sent.Load() != 0 || primary.count(0) == 0 {
		t.Errorf("%d timestamps in %d requests at the primary: %v", sent.Load(), primary.count(0), err)
	}
}

// TestNoTimestamps: where krb5.conf forbids timestamps none is sent, whatever was left
// out of an offer on the way; and what it says of other realms does not count.
func TestNoTimestamps(t *testing.T) {
	for name, tc := range map[string]struct {
		realm string // of which timestamps are disabled
		sent  int32
	}{"this realm": {realmA, 0}, "another": {realmB, 1}} {
		k := newScripted(t, realmA)
		var sent atomic.Int32
		k.before = func(r *request) ([][]byte, bool) {
			if m, err := krb.ParseKDCReq(r.raw); err != nil {
				t.Error(err)
			} else if _, found := krb.FindPAData(m.PAData, krb.PAEncTimestamp); found {
				sent.Add(1)
			}
			return nil, false
		}
		k.start()
		o := Options{NoTimestamp: func(realm string) bool { return realm == tc.realm }}
		_, err := client(o, k).AS(t.Context(), ASRequest{Client: alice, Keys: Password(alice, k.password)})
		if sent := sent.Load(); sent != tc.sent || (err == nil) != (tc.sent == 1) || err != nil && !strings.Contains(err.Error(), "disable_encrypted_timestamp") {
			t.Errorf("%s: %d timestamps, %v", name, sent, err)
		}
	}
}
