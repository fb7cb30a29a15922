//go:build interop

package interop

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/gss"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/internal/winrm"
)

// TestWrap has libgssapi open what we seal and seal what we open, in every form
// and as either side, and pywinrm frame it.
func TestWrap(t *testing.T) {
	for _, etype := range []int32{17, 18, 19, 20, 23} {
		t.Run(krb.EtypeName(etype), func(t *testing.T) {
			w := startWrapPeer(t, etype)
			for _, mutual := range []bool{true, false} {
				t.Run(fmt.Sprintf("initiator, mutual %v", mutual), func(t *testing.T) {
					c := w.connect(t)
					c.exchange(t, c.accept(t, mutual))
				})
				t.Run(fmt.Sprintf("acceptor, mutual %v", mutual), func(t *testing.T) {
					c := w.connect(t)
					c.exchange(t, c.initiate(t, mutual))
				})
			}
			t.Run("refused", func(t *testing.T) {
				c := w.connect(t)
				c.refuses(t, c.accept(t, true))
			})
		})
	}
}

// A wrapPeer is testdata/wrap_peer.py, with its realm.
type wrapPeer struct {
	realm *fakekdc.Realm
	etype int32
	url   string
}

func startWrapPeer(t *testing.T, etype int32) *wrapPeer {
	t.Helper()
	const python = "/usr/bin/python3" // which Debian's modules are for
	if out, err := exec.Command(python, "-c", "import gssapi, winrm").CombinedOutput(); err != nil {
		t.Fatalf("Python modules are missing: install the Debian packages python3-gssapi and python3-winrm (.ci/packages does): %v\n%s", err, out)
	}
	realm := fakekdc.Start(t, fakekdc.WithEtypes(etype), fakekdc.WithUser("alice", "correct horse"), fakekdc.WithService("HTTP/localhost"))
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	env := environment{
		"HOME": dir, "PYTHONDONTWRITEBYTECODE": "1",
		"KRB5_CONFIG":   file("krb5.conf", []byte(realm.Config())),
		"KRB5_KTNAME":   "FILE:" + file("keytab", realm.Keytab("HTTP/localhost")),
		"KRB5CCNAME":    "FILE:" + file("ccache", realm.CCache("alice", "HTTP/localhost")),
		"KRB5RCACHEDIR": dir,
	}
	addr := freePorts(t, 1)[0]
	serve(t, env, nil, []string{addr}, python, filepath.Join("testdata", "wrap_peer.py"), port(addr))
	return &wrapPeer{realm, etype, "http://" + addr}
}

// A wrapConn is one connection to the peer, with one security context.
type wrapConn struct {
	*wrapPeer
	client *http.Client
}

func (w *wrapPeer) connect(t *testing.T) *wrapConn {
	t.Helper()
	transport := &http.Transport{MaxConnsPerHost: 1}
	t.Cleanup(transport.CloseIdleConnections)
	return &wrapConn{w, &http.Client{Transport: transport, Timeout: patience}}
}

// post returns the peer's answer, or why there is none.
func (c *wrapConn) post(t *testing.T, path string, header http.Header, body []byte) (http.Header, []byte, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	resp, err := c.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s: %s, %s", path, resp.Status, b)
	}
	return resp.Header, b, nil
}

func (c *wrapConn) must(t *testing.T, path string, header http.Header, body []byte) []byte {
	t.Helper()
	_, b, err := c.post(t, path, header, body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// accept sets a context up that the peer accepts.
func (c *wrapConn) accept(t *testing.T, mutual bool) *gss.Channel {
	t.Helper()
	cache, err := ccache.Parse(c.realm.CCache("alice", "HTTP/localhost"))
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := cache.Ticket(krb.NewPrincipal(c.realm.Name(), "HTTP", "localhost"), ccache.Query{Etypes: []int32{c.etype}, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	flags := gss.FlagConf | gss.FlagInteg | gss.FlagReplay | gss.FlagSequence
	if mutual {
		flags |= gss.FlagMutual
	}
	context, req := new(gss.Context), new(krb.Writer)
	if err := context.Init(req, ticket, gss.Options{Flags: flags, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	rep := c.must(t, "/accept", nil, spnego.Frame(spnego.TokAPReq, req.Bytes()))
	if mutual {
		if err := context.Accept(rep); err != nil {
			t.Fatal(err)
		}
	}
	channel, err := context.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return channel
}

// initiate accepts a context that the peer sets up.
func (c *wrapConn) initiate(t *testing.T, mutual bool) *gss.Channel {
	t.Helper()
	header := http.Header{}
	if mutual {
		header.Set("X-Mutual", "yes")
	}
	_, id, b, err := spnego.Unframe(c.must(t, "/initiate", header, nil))
	if err != nil || id != spnego.TokAPReq {
		t.Fatalf("token %04x, %v", id, err)
	}
	req, err := krb.ParseAPReq(b)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := c.serviceKey(t).OpenData(krb.UsageTicket, req.Ticket.EncPart)
	if err != nil {
		t.Fatal(err)
	}
	fields := krb.OpenApp("ticket part", 3, plain)
	fields.Flags(0)
	session := fields.Key(1)
	if err := fields.Err(false); err != nil {
		t.Fatal(err)
	}
	if plain, err = session.OpenData(krb.UsageAPReqAuth, req.Authenticator); err != nil {
		t.Fatal(err)
	}
	auth, err := krb.ParseAuthenticator(plain)
	if err != nil {
		t.Fatal(err)
	}
	params := gss.Params{Acceptor: true, Session: session, Subkey: auth.Subkey, SendSeq: auth.Seq, RecvSeq: auth.Seq}
	if mutual {
		params.SendSeq = 4711
		params.AcceptorSubkey = auth.Subkey // as acceptors do with RC4
		if c.etype != krb.RC4HMAC {
			if params.AcceptorSubkey, err = krb.GenerateKey(c.etype); err != nil {
				t.Fatal(err)
			}
		}
		rep, err := krb.MakeAPRep(session, &krb.EncAPRepPart{
			CTime: auth.CTime, Cusec: auth.Cusec, Subkey: params.AcceptorSubkey, Seq: params.SendSeq, HasSeq: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.must(t, "/initiate", nil, spnego.Frame(spnego.TokAPRep, rep))
	}
	channel, err := gss.NewChannel(params)
	if err != nil {
		t.Fatal(err)
	}
	return channel
}

func (w *wrapPeer) serviceKey(t *testing.T) krb.Key {
	t.Helper()
	var kt keytab.Keytab
	if err := kt.Unmarshal(w.realm.Keytab("HTTP/localhost")); err != nil {
		t.Fatal(err)
	}
	for _, e := range kt.Entries {
		if e.Key.KeyType == w.etype {
			key, err := krb.NewKey(e.Key.KeyType, e.Key.KeyValue)
			if err != nil {
				t.Fatal(err)
			}
			return key
		}
	}
	t.Fatalf("no key of etype %d in the keytab", w.etype)
	return krb.Key{}
}

// exchange sends messages of many lengths in each form, and wants them back in
// upper case.
func (c *wrapConn) exchange(t *testing.T, ch *gss.Channel) {
	t.Helper()
	const message = "a message of its own" // the peer's MESSAGE
	for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 33, 82, 83, 84, 100, 255, 256, 5000, 1 << 16, 200_000} {
		plain := text(n)
		want := bytes.ToUpper(plain)
		check := func(what string, got []byte, err error) {
			t.Helper()
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s of %d bytes: %.100q, %v", what, n, got, err)
			}
		}
		for _, conf := range []bool{true, false} {
			token, err := ch.Wrap(plain, conf)
			if err != nil {
				t.Fatal(err)
			}
			got, sealed, err := ch.Unwrap(c.must(t, "/wrap", nil, token))
			check("wrap", got, err)
			if sealed != conf {
				t.Errorf("wrap of %d bytes: sealed %v, want %v", n, sealed, conf)
			}
		}

		header, data, err := ch.WrapIOV(plain)
		if err != nil {
			t.Fatal(err)
		}
		header, data = split(t, c.must(t, "/iov", http.Header{"X-Padding": {"buffer"}}, join(header, data)))
		got, err := ch.UnwrapIOV(header, data)
		check("IOV", got, err)

		out, cut, err := ch.Seal(nil, plain)
		if err != nil {
			t.Fatal(err)
		}
		header, data = split(t, c.must(t, "/iov", http.Header{"X-Padding": {"none"}}, join(out[:cut], out[cut:])))
		got, err = ch.UnwrapIOV(header, data)
		check("IOV without padding", got, err)

		body, err := winrm.Seal(nil, winrm.SPNEGO, ch, winrm.SOAP, plain)
		if err != nil {
			t.Fatal(err)
		}
		answer, body, err := c.post(t, "/wsman", http.Header{"Content-Type": {winrm.SPNEGO.ContentType()}}, body)
		if err != nil {
			t.Fatal(err)
		}
		m, err := winrm.Open(answer.Get("Content-Type"), body, ch)
		if err != nil {
			t.Fatalf("WinRM, %d bytes: %v", n, err)
		}
		check("WinRM", m.Plain, nil)

		mic, err := ch.MIC([]byte(message))
		if err != nil {
			t.Fatal(err)
		}
		if err := ch.VerifyMIC([]byte(message), c.must(t, "/mic", nil, mic)); err != nil {
			t.Fatal(err)
		}
	}
}

// refuses sends what libgssapi must not take, and then what it must.
func (c *wrapConn) refuses(t *testing.T, ch *gss.Channel) {
	t.Helper()
	token, err := ch.Wrap([]byte("first"), true)
	if err != nil {
		t.Fatal(err)
	}
	second, err := ch.Wrap([]byte("second"), true)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(token)
	changed[len(changed)-1] ^= 1
	refused := func(what string, token []byte) {
		t.Helper()
		if _, b, err := c.post(t, "/wrap", nil, token); err == nil {
			t.Errorf("%s: taken, and answered with %x", what, b)
		} else if !strings.Contains(err.Error(), "Error") && !strings.Contains(err.Error(), "Token") {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("changed", changed)
	refused("cut", token[:len(token)-1])
	got, _, err := ch.Unwrap(c.must(t, "/wrap", nil, token))
	if err != nil || string(got) != "FIRST" {
		t.Fatalf("%q, %v", got, err)
	}
	refused("replayed", token)
	got, _, err = ch.Unwrap(c.must(t, "/wrap", nil, second))
	if err != nil || string(got) != "SECOND" {
		t.Fatalf("%q, %v", got, err)
	}
}

// text is n random lower-case letters.
func text(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = 'a' + b[i]%26
	}
	return b
}

func join(header, data []byte) []byte {
	return slices.Concat(binary.LittleEndian.AppendUint32(nil, uint32(len(header))), header, data)
}

func split(t *testing.T, b []byte) (header, data []byte) {
	t.Helper()
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.LittleEndian.Uint32(b)) {
		t.Fatalf("answer of %d bytes", len(b))
	}
	n := 4 + binary.LittleEndian.Uint32(b)
	return b[4:n], b[n:]
}
