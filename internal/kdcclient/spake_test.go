package kdcclient

import (
	"strings"
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
			timestamps := 0
			k.before = func(r *request) ([][]byte, bool) {
				m, err := krb.ParseKDCReq(r.raw)
				if err != nil {
					t.Error(err)
				}
				value, spoken := krb.FindPAData(m.PAData, krb.PASPAKE)
				if _, found := krb.FindPAData(m.PAData, krb.PAEncTimestamp); found {
					timestamps++
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
