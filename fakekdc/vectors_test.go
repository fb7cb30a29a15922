package fakekdc

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

type vector struct {
	Etype               int32  `json:"etype"`
	Mutual              bool   `json:"mutual"`
	ServiceEtype        int32  `json:"service_etype"`
	ServicePrincipal    string `json:"service_principal"`
	ServicePassword     string `json:"service_password"`
	SessionKey          string `json:"session_key"`
	InitiatorSubkey     string `json:"initiator_subkey"`
	AcceptorSubkey      string `json:"acceptor_subkey"`
	AcceptorSubkeyEtype int32  `json:"acceptor_subkey_etype"`
	CTime               int64  `json:"ctime_unix"`
	Cusec               int    `json:"cusec"`
	InitiatorSeq        uint64 `json:"initiator_seq"`
	AcceptorSeq         uint64 `json:"acceptor_seq"`
	AcceptorMIC         string `json:"acceptor_mic"`
	Message             string `json:"message"`
	APReq               string `json:"ap_req_token"`
	Bindings            string `json:"cb_application_data"`
}

func vectors(t *testing.T) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/mit-contexts.json")
	if err != nil {
		t.Fatal(err)
	}
	var out []vector
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if len(out) != 10 {
		t.Fatalf("%d vectors, want 10", len(out))
	}
	return out
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAcceptsMIT gives the acceptor what MIT's library sent to its own.
func TestAcceptsMIT(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(krb.EtypeName(v.Etype), func(t *testing.T) {
			name, realm, _ := strings.Cut(v.ServicePrincipal, "@")
			at := time.Unix(v.CTime, 0).Add(3 * time.Second)
			r := Start(t, WithRealm(realm), WithClock(func() time.Time { return at }),
				WithService(name, ServicePassword(v.ServicePassword), Etypes(v.ServiceEtype)))
			_, id, inner, err := spnego.Unframe(unhex(t, v.APReq))
			if err != nil || id != spnego.TokAPReq {
				t.Fatalf("token %x: %v", id, err)
			}
			d := demand{service: krb.NewPrincipal(realm, "HTTP", "localhost"), AcceptOptions: AcceptOptions{Bindings: BindingsOff}}
			if v.Bindings != "" {
				d.Bindings, d.EndPoint = BindingsRequired, []byte(v.Bindings)
				if b, err := hex.DecodeString(v.Bindings); err == nil {
					d.EndPoint = b
				}
			}
			a, no := r.accept(inner, d)
			if no != nil {
				t.Fatalf("code %d: %s", no.code, no.text)
			}
			if hex.EncodeToString(a.session.Bytes()) != v.SessionKey || hex.EncodeToString(a.auth.Subkey.Bytes()) != v.InitiatorSubkey ||
				a.auth.CTime.Unix() != v.CTime || a.auth.Cusec != v.Cusec || a.peerSeq != v.InitiatorSeq {
				t.Errorf("another context: %+v", a.auth)
			}
			if a.caller.Mutual != v.Mutual || (a.caller.Flags&GSSMutual != 0) != v.Mutual || a.caller.Bound != (v.Bindings != "") {
				t.Errorf("caller %+v", a.caller)
			}
			if _, no := r.accept(inner, d); no == nil || no.code != krb.CodeRepeat {
				t.Errorf("second use: %+v, want KRB_AP_ERR_REPEAT", no)
			}
			if v.Bindings != "" {
				fresh := Start(t, WithRealm(realm), WithClock(r.now), WithService(name, ServicePassword(v.ServicePassword), Etypes(v.ServiceEtype)))
				d.EndPoint = []byte("tls-server-end-point:another")
				if _, no := fresh.accept(inner, d); no == nil || no.code != krb.CodeGeneric {
					t.Errorf("other bindings: %+v", no)
				}
			}
		})
	}
}

// TestMICsAreMITs compares with tokens that MIT's acceptor made.
func TestMICsAreMITs(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(krb.EtypeName(v.Etype), func(t *testing.T) {
			key := func(etype int32, s string) krb.Key {
				if s == "" {
					return krb.Key{}
				}
				k, err := krb.NewKey(etype, unhex(t, s))
				if err != nil {
					t.Fatal(err)
				}
				return k
			}
			a := &acceptance{
				session: key(v.Etype, v.SessionKey), auth: &krb.Authenticator{Subkey: key(v.Etype, v.InitiatorSubkey)},
				subkey: key(v.AcceptorSubkeyEtype, v.AcceptorSubkey),
			}
			first := v.AcceptorSeq
			if !v.Mutual {
				first = v.InitiatorSeq
			}
			// Three messages went before.
			got, err := a.mic(true, first+3, unhex(t, v.Message))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(v.AcceptorMIC, hex.EncodeToString(got)); d != "" {
				t.Error(d)
			}
		})
	}
}

type mitRequest struct {
	Origin  string `json:"origin"`
	Time    int64  `json:"time_unix"`
	Request string `json:"request"`
}

func mitRequests(tb testing.TB) []mitRequest {
	tb.Helper()
	b, err := os.ReadFile("testdata/mit-requests.json")
	if err != nil {
		tb.Fatal(err)
	}
	var out []mitRequest
	if err := json.Unmarshal(b, &out); err != nil {
		tb.Fatal(err)
	}
	if len(out) == 0 {
		tb.Fatal("no requests")
	}
	return out
}

// TestMITRequests answers what MIT's programs sent to another realm of the
// same name: logins work, tickets of the other realm's key do not.
func TestMITRequests(t *testing.T) {
	var now atomic.Int64
	r := Start(t, WithRealm("MIT.TEST"), WithClock(func() time.Time { return time.Unix(now.Load(), 0) }),
		WithEtypes(allEtypes...), WithUser("alice", "secret"), WithService("HTTP/localhost"))
	for _, m := range mitRequests(t) {
		now.Store(m.Time)
		packet := unhex(t, m.Request)
		q, err := parseRequest(packet)
		if err != nil {
			t.Errorf("%s: %v", m.Origin, err)
			continue
		}
		var want int32
		_, proven := q.find(krb.PAEncTimestamp)
		switch {
		case q.kind == TGS:
			want = krb.CodeBadIntegrity
		case !proven:
			want = krb.CodePreauthRequired
		}
		reply := r.answer(nil, "udp", packet).reply
		if want != 0 {
			if got := codeOf(t, reply); got != want {
				t.Errorf("%s: %s, want %s", m.Origin, krb.ErrorName(got), krb.ErrorName(want))
			}
			continue
		}
		key := keyOf(t, r, "alice", "secret", q.Etypes[0])
		_, part := openRep(t, krb.MsgASRep, reply, key, krb.UsageASRepEncPart)
		if int64(part.Nonce) != q.Nonce {
			t.Errorf("%s: nonce %d, want %d", m.Origin, part.Nonce, q.Nonce)
		}
	}
}
