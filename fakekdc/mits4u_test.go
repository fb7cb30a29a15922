package fakekdc

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A mitCapture is what MIT's programs sent to a realm of this package whose keys
// are known, so that tickets in it can be opened again.
type mitCapture struct {
	Origin   string `json:"origin"`
	Time     int64  `json:"time_unix"`
	Etype    int32  `json:"etype"` // of all keys
	TGSKey   string `json:"krbtgt_key"`
	Request  string `json:"request"`
	Kpasswd  bool   `json:"kpasswd"` // sent to the service for password changes
	Exchange string `json:"exchange"`
}

func mitCaptures(tb testing.TB) []mitCapture {
	tb.Helper()
	b, err := os.ReadFile("testdata/mit-s4u-requests.json")
	if err != nil {
		tb.Fatal(err)
	}
	var out []mitCapture
	if err := json.Unmarshal(b, &out); err != nil {
		tb.Fatal(err)
	}
	if len(out) == 0 {
		tb.Fatal("no requests")
	}
	return out
}

// capturedRealm is the realm that the requests were sent to, or another just
// like it.
func capturedRealm(tb testing.TB, etype int32, tgsKey string, now func() time.Time) *Realm {
	tb.Helper()
	r := Start(tb, WithRealm("MIT.TEST"), WithClock(now), WithEtypes(etype), WithKpasswd(nil), WithEncPARep(),
		WithUser("alice", "secret", Postdatable()), WithUser("bob", "secret", UserToUserOnly()),
		WithService("HTTP/front", ServicePassword("front"), TrustedToAuth(), AllowedToDelegateTo("HTTP/back")),
		WithService("HTTP/plain", ServicePassword("plain")),
		WithService("HTTP/back", ServicePassword("back"), AllowedToDelegateFrom("HTTP/plain")))
	value, err := hex.DecodeString(tgsKey)
	if err != nil {
		tb.Fatal(err)
	}
	key, err := krb.NewKey(etype, value)
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range []krb.Principal{krb.TGS("MIT.TEST", "MIT.TEST"), changepw} {
		r.lookup(name).keys = []keyset{{kvno: 1, keys: map[int32]func() (krb.Key, error){etype: func() (krb.Key, error) { return key, nil }}}}
	}
	return r
}

// TestMITS4U answers them as they were answered then.
func TestMITS4U(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	realms := make(map[string]*Realm)
	special := 0
	for _, c := range mitCaptures(t) {
		now.Store(c.Time)
		r := realms[c.TGSKey]
		if r == nil {
			r = capturedRealm(t, c.Etype, c.TGSKey, func() time.Time { return time.Unix(now.Load(), 0) })
			realms[c.TGSKey] = r
		}
		packet := unhex(t, c.Request)
		if c.Kpasswd {
			r.answerKpasswd(r.changes, "tcp", netip.Addr{}, packet)
		} else {
			r.answer(nil, "tcp", packet)
		}
		got := strings.Replace(r.Exchanges()[len(r.Exchanges())-1].String(), "/tcp", "", 1)
		if got != c.Exchange {
			t.Errorf("%s: %s, want %s", c.Origin, got, c.Exchange)
		}
		if strings.Contains(got, "S4U2") || strings.Contains(got, "user to user") || c.Kpasswd {
			special++
		}
	}
	if special < 20 {
		t.Errorf("%d of them are what this is about", special)
	}
}

// TestS4UFormsAreMITs: what MIT's programs sent is what we would write of it.
func TestS4UFormsAreMITs(t *testing.T) {
	forms := map[int32]int{}
	for _, c := range mitCaptures(t) {
		q, err := krb.ParseKDCReq(unhex(t, c.Request))
		if c.Kpasswd || err != nil {
			continue
		}
		for _, pa := range q.PAData {
			var again []byte
			var err error
			switch pa.Type {
			case krb.PAForUser:
				var p krb.PAForUserEnc
				if p, err = krb.ParsePAForUser(pa.Value); err == nil {
					again, err = p.Marshal()
				}
			case krb.PAS4UX509User:
				var p krb.PAS4UX509
				var id krb.S4UUserID
				if p, err = krb.ParsePAS4UX509(pa.Value); err != nil {
					break
				}
				if id, err = krb.ParseS4UUserID(p.UserID); err != nil {
					break
				}
				if p.UserID, err = id.Marshal(); err == nil {
					again, err = p.Marshal()
				}
			case krb.PAPACOptions:
				var flags uint32
				flags, err = krb.ParsePAPACOptions(pa.Value)
				again = krb.MarshalPAPACOptions(flags)
			default:
				continue
			}
			forms[pa.Type]++
			if err != nil || !bytes.Equal(pa.Value, again) {
				t.Errorf("%s, type %d: %x, again %x, %v", c.Origin, pa.Type, pa.Value, again, err)
			}
		}
	}
	if len(forms) != 3 {
		t.Errorf("forms met: %v", forms)
	}
}
