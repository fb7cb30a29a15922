package fakeweb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/dertest"
	"github.com/kerbchain/kerbchain/internal/keytab"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// asReq asks for a ticket-granting ticket, for a user who needs no pre-authentication.
func asReq(tb testing.TB, realm, user string) []byte {
	tb.Helper()
	q := krb.KDCReqBody{
		Client: krb.NewPrincipal(realm, user), Realm: realm, Server: krb.TGS(realm, realm),
		Till: time.Now().Add(time.Hour), Nonce: 7, Etypes: []int32{krb.AES256SHA1},
	}
	body, err := q.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	b, err := krb.MarshalKDCReq(krb.MsgASReq, nil, body)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// framed is what goes over TCP.
func framed(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// proxyMessage is KDC-PROXY-MESSAGE with all of its fields.
func proxyMessage(message []byte, domain string, hint int64) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		dertest.AddOctets(b, 0, message)
		if domain != "" {
			dertest.AddString(b, 1, domain)
		}
		if hint != 0 {
			dertest.AddInt(b, 2, hint)
		}
	})
	return b.BytesOrPanic()
}

// post sends a message to the proxy and returns the KDC's answer.
func post(t *testing.T, s *Server, b []byte) (status int, reply []byte, err error) {
	t.Helper()
	tr := s.Transport()
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Post(s.URL()+"/KdcProxy", "application/kerberos", bytes.NewReader(b))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp.StatusCode, nil, err
	}
	if got := resp.Header.Get("Content-Type"); got != "application/kerberos" {
		t.Errorf("content type %q", got)
	}
	// Not with the parser of requests, which the fields of a reply would pass.
	seq := cryptobyte.String(body)
	var in, field, message cryptobyte.String
	if !seq.ReadASN1(&in, asn1.SEQUENCE) || !seq.Empty() || !in.ReadASN1(&field, krb.Ctx(0)) || !in.Empty() || !field.ReadASN1(&message, asn1.OCTET_STRING) {
		t.Fatalf("answer %x", body)
	}
	if n := binary.BigEndian.Uint32(message); int(n) != len(message)-4 {
		return resp.StatusCode, nil, errors.New("length of the message")
	}
	return resp.StatusCode, message[4:], nil
}

// proxyRealms are three, of which each trusts the next.
func proxyRealms(t *testing.T) (a, b, c *fakekdc.Realm) {
	t.Helper()
	start := func(name, user string) *fakekdc.Realm {
		return fakekdc.Start(t, fakekdc.WithRealm(name+".EXAMPLE"), fakekdc.WithUser(user, "secret", fakekdc.NoPreauth()))
	}
	a, b, c = start("A", "alice"), start("B", "bob"), start("C", "carol")
	for _, err := range []error{a.Trust(b), b.Trust(c)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return a, b, c
}

func TestKDCProxy(t *testing.T) {
	a, b, c := proxyRealms(t)
	s := Serve(a, KDCProxy(a), ServerOptions{TLS: true})
	for name, tc := range map[string]struct {
		realm  *fakekdc.Realm
		user   string
		domain string
	}{
		"its own":       {a, "alice", "A.EXAMPLE"},
		"without":       {a, "alice", ""},
		"small letters": {a, "alice", "a.example"},
		"trusted":       {b, "bob", "B.EXAMPLE"},
		"far away":      {c, "carol", "C.EXAMPLE"},
	} {
		req := asReq(t, tc.realm.Name(), tc.user)
		status, reply, err := post(t, s, proxyMessage(framed(req), tc.domain, 1<<30))
		if err != nil || status != http.StatusOK {
			t.Errorf("%s: %d, %v", name, status, err)
			continue
		}
		opened(t, tc.realm, tc.user, reply)
		if e := tc.realm.Exchanges()[len(tc.realm.Exchanges())-1]; e.Network != "kkdcp" || e.KDC != "" {
			t.Errorf("%s: recorded as %v at %q", name, e, e.KDC)
		}
	}
	_, reply, err := post(t, s, proxyMessage(framed(asReq(t, "A.EXAMPLE", "mallory")), "", 0))
	if err != nil {
		t.Fatal(err)
	}
	if e, err := krb.ParseKRBError(reply); err != nil || e.Code != krb.CodeClientUnknown {
		t.Errorf("nobody: %+v, %v", e, err)
	}
}

// opened checks that a reply is the user's, by the user's key.
func opened(t *testing.T, realm *fakekdc.Realm, user string, reply []byte) {
	t.Helper()
	rep, err := krb.ParseKDCRep(reply, krb.MsgASRep)
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range keytab.Entries(realm.Keytab(user)) {
		if err != nil {
			t.Fatal(err)
		}
		key, err := e.Key()
		if err != nil {
			t.Fatal(err)
		}
		if key.Etype() == rep.EncPart.Etype {
			if _, err := key.OpenData(krb.UsageASRepEncPart, rep.EncPart); err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Errorf("no key of type %d", rep.EncPart.Etype)
}

func TestKDCProxyRefusals(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithUser("alice", "secret", fakekdc.NoPreauth()), fakekdc.WithUDPLimit(1))
	good := asReq(t, r.Name(), "alice")
	for name, tc := range map[string]struct {
		method string
		body   []byte
		want   int
	}{
		"good":         {"POST", proxyMessage(framed(good), "", 0), 200},
		"get":          {"GET", nil, 405},
		"empty":        {"POST", nil, 400},
		"bare message": {"POST", framed(good), 400},
		"no length":    {"POST", proxyMessage(good, "", 0), 400},
		"short":        {"POST", proxyMessage([]byte{0, 0}, "", 0), 400},
		"other realm":  {"POST", proxyMessage(framed(good), "NOWHERE.EXAMPLE", 0), 503},
		"no request":   {"POST", proxyMessage(framed([]byte("hello")), "", 0), 503},
		"huge":         {"POST", bytes.Repeat([]byte{0x30}, maxKDCMessage+1), 413},
	} {
		w := httptest.NewRecorder()
		KDCProxy(r).ServeHTTP(w, httptest.NewRequest(tc.method, "/KdcProxy", bytes.NewReader(tc.body)))
		if w.Code != tc.want {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestKDCProxyFaults(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithUser("alice", "secret", fakekdc.NoPreauth()))
	s := Serve(r, KDCProxy(r), ServerOptions{TLS: true})
	req := asReq(t, r.Name(), "alice")
	message := proxyMessage(framed(req), r.Name(), 0)
	ask := func() string {
		switch status, reply, err := post(t, s, message); {
		case err != nil && strings.Contains(err.Error(), "length"):
			return "length"
		case errors.Is(err, io.ErrUnexpectedEOF) && status == http.StatusOK:
			return "half"
		case err != nil:
			return "broken"
		case status != http.StatusOK:
			return http.StatusText(status)
		default:
			if _, err := krb.ParseKDCRep(reply, krb.MsgASRep); err != nil {
				return "malformed"
			}
			return "ok"
		}
	}
	for name, tc := range map[string]struct {
		fault fakekdc.Fault
		want  string
	}{
		"drop":     {fakekdc.Drop(), "Service Unavailable"},
		"reset":    {fakekdc.ResetConnection(), "broken"},
		"truncate": {fakekdc.Truncate(), "half"},
		"huge":     {fakekdc.HugeFrame(), "length"},
		"garbage":  {fakekdc.Garbage(), "malformed"},
		"too big":  {fakekdc.TooBig(), "ok"}, // is of UDP
	} {
		r.FailNext(fakekdc.AS, tc.fault)
		if got := ask(); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
		r.ClearFaults()
	}
	r.Pause()
	if got := ask(); got != "Service Unavailable" {
		t.Errorf("paused: %s", got)
	}
	r.Resume()
	if got := ask(); got != "ok" {
		t.Errorf("resumed: %s", got)
	}
	// Silence ends with the realm.
	r.FailNext(fakekdc.AS, fakekdc.Silence())
	held := make(chan string)
	go func() { held <- ask() }()
	for r.PendingFaults() != 0 {
		time.Sleep(time.Millisecond) // until the exchange has met its order
	}
	r.Close()
	if got := <-held; got != "broken" {
		t.Errorf("silence: %s", got)
	}
}

// FuzzKDCProxy: any body has a status, and what is answered can be read.
func FuzzKDCProxy(f *testing.F) {
	r := fakekdc.Start(f, fakekdc.WithRealm("MIT.TEST"), fakekdc.WithUser("anyone", "secret", fakekdc.NoPreauth(), fakekdc.Iterations(4096)))
	proxy := KDCProxy(r)
	req := asReq(f, r.Name(), "anyone")
	seeds := [][]byte{
		proxyMessage(framed(req), "", 0),
		proxyMessage(framed(req), "MIT.TEST", 5),
		proxyMessage(framed(nil), "mit.test", 0),
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, b := range seeds {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w := httptest.NewRecorder()
		proxy.ServeHTTP(w, httptest.NewRequest("POST", "/", bytes.NewReader(b)))
		switch w.Code {
		case http.StatusOK:
			if _, err := parseProxyMessage(w.Body.Bytes()); err != nil {
				t.Errorf("answer %x: %v", w.Body, err)
			}
		case http.StatusBadRequest, http.StatusServiceUnavailable:
		default:
			t.Errorf("status %d", w.Code)
		}
	})
}
