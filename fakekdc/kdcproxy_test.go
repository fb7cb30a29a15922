package fakekdc

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

	"github.com/kerbchain/kerbchain/internal/krb"
)

// framed is what goes over TCP.
func framed(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// proxyMessage is KDC-PROXY-MESSAGE with all of its fields.
func proxyMessage(message []byte, domain string, hint int64) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		krb.AddOctets(b, 0, message)
		if domain != "" {
			krb.AddString(b, 1, domain)
		}
		if hint != 0 {
			krb.AddInt(b, 2, hint)
		}
	})
	return b.BytesOrPanic()
}

func serveTLS(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	s.Client().Timeout = 10 * time.Second
	return s
}

// post sends a message to the proxy and returns the KDC's answer.
func post(t *testing.T, s *httptest.Server, b []byte) (status int, reply []byte, err error) {
	t.Helper()
	c := s.Client()
	defer c.CloseIdleConnections()
	resp, err := c.Post(s.URL+"/KdcProxy", "application/kerberos", bytes.NewReader(b))
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

func TestKDCProxy(t *testing.T) {
	a, b, c := threeRealms(t)
	s := serveTLS(t, a.KDCProxy())
	for name, tc := range map[string]struct {
		realm  *Realm
		user   string
		domain string
	}{
		"its own":       {a, "alice", "A.EXAMPLE"},
		"without":       {a, "alice", ""},
		"small letters": {a, "alice", "a.example"},
		"trusted":       {b, "bob", "B.EXAMPLE"},
		"far away":      {c, "carol", "C.EXAMPLE"},
	} {
		req, key := asReq(t, tc.realm, tc.user, "secret", AES256SHA1, body(tc.realm, tc.user))
		status, reply, err := post(t, s, proxyMessage(framed(req), tc.domain, 1<<30))
		if err != nil || status != http.StatusOK {
			t.Errorf("%s: %d, %v", name, status, err)
			continue
		}
		openRep(t, krb.MsgASRep, reply, key, krb.UsageASRepEncPart)
		if e := tc.realm.Exchanges()[len(tc.realm.Exchanges())-1]; e.Network != "kkdcp" || e.KDC != "" {
			t.Errorf("%s: recorded as %v at %q", name, e, e.KDC)
		}
	}
	req, _ := asReq(t, a, "alice", "guess", AES256SHA1, body(a, "alice"))
	if _, reply, err := post(t, s, proxyMessage(framed(req), "", 0)); err != nil || codeOf(t, reply) != krb.CodePreauthFailed {
		t.Errorf("wrong password: %x, %v", reply, err)
	}
}

func TestKDCProxyRefusals(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"), WithUDPLimit(1))
	good, _ := asReq(t, r, "alice", "secret", AES256SHA1, body(r, "alice"))
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
		"huge":         {"POST", bytes.Repeat([]byte{0x30}, maxRequest+1), 413},
	} {
		w := httptest.NewRecorder()
		r.KDCProxy().ServeHTTP(w, httptest.NewRequest(tc.method, "/KdcProxy", bytes.NewReader(tc.body)))
		if w.Code != tc.want {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestKDCProxyFaults(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"))
	s := serveTLS(t, r.KDCProxy())
	req, _ := asReq(t, r, "alice", "secret", AES256SHA1, body(r, "alice"))
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
		fault Fault
		want  string
	}{
		"drop":     {Drop(), "Service Unavailable"},
		"reset":    {ResetConnection(), "broken"},
		"truncate": {Truncate(), "half"},
		"huge":     {HugeFrame(), "length"},
		"garbage":  {Garbage(), "malformed"},
		"too big":  {TooBig(), "ok"}, // is of UDP
	} {
		r.FailNext(AS, tc.fault)
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
	r.FailNext(AS, Silence())
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

func TestConfigWithKDCProxy(t *testing.T) {
	a, _, _ := threeRealms(t)
	text := a.ConfigWithKDCProxy("https://localhost:8443/KdcProxy", "FILE:/x/ca.pem", "canonicalize = true")
	_, realms, _ := strings.Cut(text, "[realms]\n")
	realms, _, _ = strings.Cut(realms, "\n\n")
	want := ""
	for _, name := range []string{"A", "B", "C"} {
		want += "\t" + name + ".EXAMPLE = {\n\t\tkdc = https://localhost:8443/KdcProxy\n\t\thttp_anchors = FILE:/x/ca.pem\n\t}\n"
	}
	if realms+"\n" != want || !strings.Contains(text, "\tcanonicalize = true\n") {
		t.Errorf("got %s", text)
	}
	if strings.Contains(a.ConfigWithKDCProxy("https://x", ""), "http_anchors") {
		t.Error("anchors of none")
	}
}

// FuzzKDCProxy: any body has a status, and what is answered can be read.
func FuzzKDCProxy(f *testing.F) {
	r := fuzzRealm(f)
	req := marshalReq(f, krb.MsgASReq, nil, body(r, "anyone"))
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
		r.KDCProxy().ServeHTTP(w, httptest.NewRequest("POST", "/", bytes.NewReader(b)))
		switch w.Code {
		case http.StatusOK:
			if _, _, err := parseProxyMessage(w.Body.Bytes()); err != nil {
				t.Errorf("answer %x: %v", w.Body, err)
			}
		case http.StatusBadRequest, http.StatusServiceUnavailable:
		default:
			t.Errorf("status %d", w.Code)
		}
	})
}
