package client_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/dertest"
	"github.com/kerbchain/kerbchain/internal/gss"
	"github.com/kerbchain/kerbchain/internal/keytab"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// A forger is a service that holds all the right keys, and answers with what a
// test makes of them.
type forger struct {
	t    *testing.T
	keys map[string]krb.Key // of services, by name

	caches    map[string]string   // of users
	strangers map[string]*visitor // exchanges with another client or service

	mu      sync.Mutex
	status  int
	forge   func(*visitor) []string
	earlier []*visitor
}

// newForger makes a forger that knows the services' keys.
func newForger(t *testing.T, realm *fakekdc.Realm, services ...string) *forger {
	t.Helper()
	f := &forger{t: t, keys: map[string]krb.Key{}, caches: map[string]string{}, strangers: map[string]*visitor{}}
	for _, name := range services {
		for entry, err := range keytab.Entries(realm.Keytab(name)) {
			if err != nil {
				t.Fatal(err)
			}
			if f.keys[name], err = entry.Key(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return f
}

// set says how requests are answered from now on.
func (f *forger) set(status int, forge func(*visitor) []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status, f.forge = status, forge
}

// ServeHTTP asks for a token and answers it as it was told.
func (f *forger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scheme, text, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok {
		w.Header().Set("WWW-Authenticate", "Negotiate")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	v, err := f.open(text)
	if err != nil {
		f.t.Errorf("%s token: %v", scheme, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	status, forge := f.status, f.forge
	f.mu.Unlock()
	v.w, v.r = w, r
	lines := forge(v)
	f.mu.Lock()
	f.earlier = append(f.earlier, v)
	f.mu.Unlock()
	if len(lines) > 0 {
		w.Header()["WWW-Authenticate"] = lines
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, "page %d", status)
	for name, values := range v.trailer {
		w.Header()[http.TrailerPrefix+name] = values
	}
}

// before returns an exchange that went before, the latest first.
func (f *forger) before(n int) *visitor {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n >= len(f.earlier) {
		f.t.Fatalf("%d exchanges went before", len(f.earlier))
	}
	return f.earlier[len(f.earlier)-1-n]
}

// A visitor is a client's token with all that its service knows of it.
type visitor struct {
	f        *forger
	w        http.ResponseWriter
	r        *http.Request
	trailer  http.Header
	token    []byte // as it came
	framed   []byte // the AP-REQ in it
	req      *krb.APReq
	service  krb.Key
	session  krb.Key
	auth     *krb.Authenticator
	acceptor krb.Key // our subkey
	rep      []byte  // the genuine AP-REP, framed
}

func (f *forger) open(text string) (*visitor, error) {
	token, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	v := &visitor{f: f, token: token, framed: token}
	if spnego.Classify(token) == spnego.NegTokenInit {
		in, err := spnego.ParseInit(token)
		if err != nil {
			return nil, err
		}
		v.framed = in.MechToken
	}
	_, _, inner, err := spnego.Unframe(v.framed)
	if err != nil {
		return nil, err
	}
	if v.req, err = krb.ParseAPReq(inner); err != nil {
		return nil, err
	}
	v.service = f.keys[v.req.Ticket.Server.Name()]
	plain, err := v.service.OpenData(krb.UsageTicket, v.req.Ticket.EncPart)
	if err != nil {
		return nil, err
	}
	fields := krb.OpenApp("ticket part", 3, plain)
	fields.Flags(0)
	v.session = fields.Key(1)
	if err := fields.Err(false); err != nil {
		return nil, err
	}
	if plain, err = v.session.OpenData(krb.UsageAPReqAuth, v.req.Authenticator); err != nil {
		return nil, err
	}
	if v.auth, err = krb.ParseAuthenticator(plain); err != nil {
		return nil, err
	}
	v.acceptor = v.fresh()
	v.rep = v.apRep()
	return v, nil
}

// fresh returns a new key of the session's kind.
func (v *visitor) fresh() krb.Key {
	key, err := krb.GenerateKey(v.session.Etype())
	if err != nil {
		v.f.t.Error(err)
	}
	return key
}

// A rep is an AP-REP (RFC 4120 section 5.5.2) with everything in it that can be
// wrong.
type rep struct {
	vno, kind       int64
	outer, inner    uint8
	key             krb.Key
	usage           uint32
	etype           int32 // as labelled
	ctime           time.Time
	cusec           int64
	noTime, noSusec bool
	subkey          func(*cryptobyte.Builder)
	seq             int64
	tail            []byte              // after the sealed part's DER
	change          func([]byte) []byte // of what is sealed
	tokID           uint16
	after           []byte // after AP-REP, within the frame
}

// apRep returns an AP-REP, framed, that is genuine but for the changes.
func (v *visitor) apRep(changes ...func(*rep)) []byte {
	r := &rep{
		vno: 5, kind: 15, outer: 15, inner: 27, key: v.session, usage: krb.UsageAPRepEncPart, etype: v.session.Etype(),
		ctime: v.auth.CTime, cusec: int64(v.auth.Cusec), seq: 4711, tokID: spnego.TokAPRep,
		subkey: func(b *cryptobyte.Builder) { dertest.AddKey(b, 2, v.acceptor.Etype(), v.acceptor.Bytes()) },
	}
	for _, change := range changes {
		change(r)
	}
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(krb.App(r.inner), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			if !r.noTime {
				dertest.AddTime(b, 0, r.ctime)
			}
			if !r.noSusec {
				dertest.AddInt(b, 1, r.cusec)
			}
			if r.subkey != nil {
				r.subkey(b)
			}
			dertest.AddInt(b, 3, r.seq)
		})
	})
	sealed, err := r.key.Seal(r.usage, append(v.must(b.Bytes()), r.tail...))
	sealed = v.must(sealed, err)
	if r.change != nil {
		sealed = r.change(sealed)
	}
	b = cryptobyte.NewBuilder(nil)
	b.AddASN1(krb.App(r.outer), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			dertest.AddInt(b, 0, r.vno)
			dertest.AddInt(b, 1, r.kind)
			dertest.AddEncrypted(b, 2, r.etype, 0, sealed)
		})
	})
	return spnego.Frame(r.tokID, append(v.must(b.Bytes()), r.after...))
}

func (v *visitor) must(b []byte, err error) []byte {
	if err != nil {
		v.f.t.Error(err)
	}
	return b
}

// krbError returns a KRB-ERROR of the service, framed.
func (v *visitor) krbError(code int32) []byte {
	e := krb.KRBError{Code: code, Text: "as ordered", STime: v.auth.CTime, Susec: v.auth.Cusec, Server: v.req.Ticket.Server}
	b, err := e.Marshal()
	return spnego.Frame(spnego.TokKRBError, v.must(b, err))
}

// resp returns a NegTokenResp with our AP-REP, genuine but for the changes.
func (v *visitor) resp(changes ...func(*spnego.Resp)) []byte {
	r := spnego.Resp{State: spnego.AcceptCompleted, SupportedMech: spnego.KRB5, ResponseToken: v.rep}
	for _, change := range changes {
		change(&r)
	}
	return r.Append(nil)
}

// with returns a NegTokenResp around another token of the mechanism.
func (v *visitor) with(token []byte) []string {
	return line(v.resp(func(r *spnego.Resp) { r.ResponseToken = token }))
}

// mic returns a mechListMIC over a list, as the acceptor makes it.
func (v *visitor) mic(list []byte, changes ...func(*gss.Params)) []byte {
	p := gss.Params{Acceptor: true, Session: v.session, Subkey: v.auth.Subkey, AcceptorSubkey: v.acceptor, SendSeq: 4711, RecvSeq: v.auth.Seq}
	for _, change := range changes {
		change(&p)
	}
	ch, err := gss.NewChannel(p)
	if err != nil {
		v.f.t.Error(err)
		return nil
	}
	b, err := ch.MIC(list)
	return v.must(b, err)
}

// line is a header with a token.
func line(token []byte) []string {
	return []string{"Negotiate " + base64.StdEncoding.EncodeToString(token)}
}

func text(token []byte) string { return base64.StdEncoding.EncodeToString(token) }

// tlv returns an element with a definite length of the fewest bytes.
func tlv(tag byte, contents ...[]byte) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.Tag(tag), func(b *cryptobyte.Builder) {
		for _, c := range contents {
			b.AddBytes(c)
		}
	})
	return b.BytesOrPanic()
}

// readPage reads a body to its end.
func readPage(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}
