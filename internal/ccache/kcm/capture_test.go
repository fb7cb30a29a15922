package kcm

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// An exchange is a request and its reply, with their length words.
type exchange struct{ req, rep string }

// capture reads the exchanges of each tool run.
func capture(tb testing.TB) map[string][]exchange {
	tb.Helper()
	b, err := os.ReadFile("testdata/kinit-klist-kvno.txt")
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string][]exchange{}
	var run string
	var req []byte
	for line := range strings.Lines(string(b)) {
		what, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if what == "#" {
			run = rest
			for n := 2; out[run] != nil; n++ {
				run = fmt.Sprintf("%s, %d", rest, n)
			}
			out[run] = []exchange{}
			continue
		}
		b, err := hex.DecodeString(rest)
		switch {
		case err != nil:
			tb.Fatal(err)
		case what == "REQ":
			req = b
		case what == "REP":
			out[run] = append(out[run], exchange{string(req), string(b)})
		}
	}
	return out
}

// A script answers requests with what it has for them, and fails the test on
// any other.
type script struct {
	t       *testing.T
	answers map[string]string
	asked   []string
	dials   int
}

func replay(t *testing.T, lists ...[]exchange) *script {
	s := &script{t: t, answers: map[string]string{}}
	for _, list := range lists {
		if len(list) == 0 {
			t.Fatal("the capture has nothing")
		}
		for _, x := range list {
			s.answers[x.req] = x.rep
		}
	}
	return s
}

func (s *script) options() Options {
	return Options{Socket: "replay", Dial: func(context.Context, string, string) (net.Conn, error) {
		s.dials++
		return &scripted{script: s}, nil
	}}
}

type scripted struct {
	net.Conn
	script *script
	out    bytes.Buffer
}

func (c *scripted) Read(b []byte) (int, error) { return c.out.Read(b) }
func (c *scripted) Close() error               { return nil }
func (c *scripted) Write(b []byte) (int, error) {
	c.script.asked = append(c.script.asked, string(b))
	rep, ok := c.script.answers[string(b)]
	if !ok {
		c.script.t.Errorf("a request that MIT did not make: %x", b)
		return 0, net.ErrClosed
	}
	c.out.WriteString(rep)
	return len(b), nil
}

const (
	runKinit = "kinit alice (KRB5CCNAME=KCM:0:work)"
	runKlist = "klist (KRB5CCNAME=KCM:0:work)"
	runKvno  = "kvno HTTP/www.example.test (KRB5CCNAME=KCM:0:work)"
	runAll   = "klist -A (KRB5CCNAME=KCM:)"
)

var (
	captured = krb.NewPrincipal("KCM.TEST", "alice")
	tgs      = krb.TGS("KCM.TEST", "KCM.TEST")
	web      = krb.NewPrincipal("KCM.TEST", "HTTP", "www.example.test")
)

func load(t *testing.T, st ccache.Store) *ccache.Cache {
	t.Helper()
	c, err := st.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func owned(t *testing.T, name string, o Options) ccache.Store {
	t.Helper()
	st := primary(t, open(t, name, o))
	st.(*store).daemon.uid = 0 // who ran the capture
	return st
}

func names(c *ccache.Cache) (out []string) {
	for i := range c.Credentials {
		out = append(out, c.Credentials[i].Server.String())
	}
	return out
}

// What MIT's klist asked and was told, we ask and understand.
func TestCaptureLoad(t *testing.T) {
	runs := capture(t)
	for name, tc := range map[string]struct {
		run  string
		want []string
	}{
		"after kinit": {runKlist + ", 2", []string{tgs.String()}},
		"after kvno":  {runKlist + ", 3", []string{tgs.String(), web.String()}},
	} {
		t.Run(name, func(t *testing.T) {
			s := replay(t, runs[tc.run])
			c := load(t, owned(t, "KCM:0:work", s.options()))
			if diff := cmp.Diff(tc.want, names(c)); diff != "" {
				t.Error(diff)
			}
			if !c.Client.Equal(captured) || c.Version != 4 || c.KDCOffset != 0 {
				t.Errorf("client %v version %d offset %v", c.Client, c.Version, c.KDCOffset)
			}
			if v, ok := c.ConfigValue("pa_type", tgs.String()); !ok || string(v) != "2" {
				t.Errorf("pa_type %q %v", v, ok)
			}
			if _, err := c.TGT(ccache.Query{Now: c.Credentials[0].AuthTime}); err != nil {
				t.Error(err)
			}
			if s.dials != 1 {
				t.Errorf("%d connections", s.dials)
			}
			for _, x := range runs[tc.run] {
				if _, asked := find(s.asked, x.req); !asked {
					t.Errorf("klist asked %x and we did not", x.req)
				}
			}
		})
	}
	s := replay(t, runs[runKlist])
	if _, err := owned(t, "KCM:0:work", s.options()).Load(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a cache that is not there: %v", err)
	}
}

func find(list []string, s string) (int, bool) {
	for i, e := range list {
		if e == s {
			return i, true
		}
	}
	return 0, false
}

func TestCaptureStores(t *testing.T) {
	runs := capture(t)
	s := replay(t, runs[runAll])
	c := open(t, "KCM:", s.options())
	list, err := c.Stores(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, st := range list {
		got = append(got, st.Name().String()+" "+load(t, st).Client.String())
	}
	if diff := cmp.Diff([]string{"KCM:0:other bob@KCM.TEST", "KCM:0:work alice@KCM.TEST"}, got); diff != "" {
		t.Error(diff)
	}
	if st, err := c.Primary(t.Context()); err != nil || st.Name().String() != "KCM:0:other" {
		t.Errorf("primary %v, %v", st, err)
	}
}

// What we write is what MIT writes, byte for byte: kinit's attempt at REPLACE
// and what it does instead, and kvno's STORE.
func TestCaptureWrite(t *testing.T) {
	runs := capture(t)
	before := load(t, owned(t, "KCM:0:work", replay(t, runs[runKlist+", 2"]).options()))
	s := replay(t, runs[runKinit])
	if err := owned(t, "KCM:0:work", s.options()).Replace(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, x := range runs[runKinit] {
		if binary.BigEndian.Uint16([]byte(x.req[6:])) != uint16(opGetPrincipal) {
			want = append(want, x.req)
		}
	}
	if diff := cmp.Diff(want, s.asked); diff != "" {
		t.Error(diff)
	}

	after := load(t, owned(t, "KCM:0:work", replay(t, runs[runKlist+", 3"]).options()))
	s = replay(t, runs[runKvno])
	if err := owned(t, "KCM:0:work", s.options()).Add(t.Context(), after.Credentials[1]); err != nil {
		t.Fatal(err)
	}
	if len(s.asked) != 1 {
		t.Errorf("%d requests", len(s.asked))
	}
}

// A cut is an exchange of the other capture, of which long bodies were not
// written down whole.
type cut struct {
	op      opcode
	reqLen  int
	body    []byte
	repLen  int
	status  uint32
	payload []byte
}

func cuts(t *testing.T) (out []cut) {
	t.Helper()
	b, err := os.ReadFile("testdata/kinit-klist-kvno-cut.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		var c cut
		var body, payload string
		// Sscanf gives an error where the body is empty, having read the rest.
		if n, err := fmt.Sscanf(lines[i], "REQ len %d ver 2 0 op %d body %s", &c.reqLen, &c.op, &body); n < 2 {
			t.Fatal(lines[i], err)
		}
		if n, err := fmt.Sscanf(strings.TrimSpace(lines[i+1]), "REP len %d status %x payload %s", &c.repLen, &c.status, &payload); n != 3 {
			t.Fatal(lines[i+1], err)
		}
		var errs [2]error
		c.body, errs[0] = hex.DecodeString(body)
		c.payload, errs[1] = hex.DecodeString(payload)
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	if len(out) < 37 {
		t.Fatalf("%d exchanges", len(out))
	}
	return out
}

// whole returns the exchanges that were written down whole, from one on.
func whole(list []cut) (out []exchange) {
	for _, c := range list {
		req := request(c.op, c.body)
		if len(req)-4 == c.reqLen && len(c.payload) == c.repLen {
			rep := append(u32(uint32(c.repLen)), u32(c.status)...)
			out = append(out, exchange{string(req), string(rep) + string(c.payload)})
		}
	}
	return out
}

func TestCutCapture(t *testing.T) {
	list := cuts(t)
	last := list[len(list)-3:] // kdestroy, and what klist saw then
	before := list[:len(list)-3]

	s := replay(t, whole(before))
	c := open(t, "KCM:", s.options())
	stores, err := c.Stores(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(stores) != 1 || stores[0].Name().String() != "KCM:0:gaptest" {
		t.Errorf("stores %v", stores)
	}
	s.asked = nil
	p, err := c.Primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p.Name().String() != "KCM:0:gaptest" || len(s.asked) != 1 {
		t.Errorf("primary %v after %d requests", p.Name(), len(s.asked))
	}
	for name, op := range map[string]func(ccache.Store) error{
		"load":  func(st ccache.Store) error { _, err := st.Load(t.Context()); return err },
		"state": func(st ccache.Store) error { _, err := st.State(t.Context()); return err },
	} {
		if err := op(owned(t, "KCM:0:gaptest", replay(t, whole(last)).options())); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s after kdestroy: %v", name, err)
		}
	}
	if stores, err := open(t, "KCM:", replay(t, whole(last)).options()).Stores(t.Context()); err != nil || len(stores) != 0 {
		t.Errorf("stores after kdestroy: %v, %v", stores, err)
	}

	st := owned(t, "KCM:0:gaptest", replay(t, whole(before)).options())
	if state, err := st.State(t.Context()); err != nil || len(state) != 64 {
		t.Errorf("state %q, %v", state, err)
	}

	// Requests that the capture has in part: their length and first 60 bytes.
	alice, gap := krb.NewPrincipal("MINI.TEST", "alice"), krb.TGS("MINI.TEST", "MINI.TEST").String()
	f := start(t, dialects["Heimdal"])
	var got []cut
	o := Options{Socket: f.socket, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &tap{conn, &got}, err
	}}
	ticket := ccache.FromTicket(&krb.Ticket{Client: alice, Server: krb.TGS("MINI.TEST", "MINI.TEST"), EndTime: time.Unix(1e9, 0), Raw: []byte{1}})
	err = owned(t, "KCM:0:gaptest", o).Replace(t.Context(), &ccache.Cache{
		Client:      alice,
		Config:      []ccache.Config{{Key: "fast_avail", Principal: gap, Value: []byte("yes")}, {Key: "pa_type", Principal: gap, Value: []byte("2")}},
		Credentials: []ccache.Credential{ticket},
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []cut
	for _, x := range list[2:8] { // kinit
		x.repLen, x.status, x.payload = 0, 0, nil
		want = append(want, x)
	}
	if len(got) != len(want) {
		t.Fatalf("%d requests, want %d", len(got), len(want))
	}
	// The ticket is not MIT's.
	got[0].reqLen, got[5].reqLen = want[0].reqLen, want[5].reqLen
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(cut{})); diff != "" {
		t.Error(diff)
	}
}

// A tap writes down the requests that go through.
type tap struct {
	net.Conn
	seen *[]cut
}

func (c *tap) Write(b []byte) (int, error) {
	*c.seen = append(*c.seen, cut{
		op:     opcode(binary.BigEndian.Uint16(b[6:])),
		reqLen: int(binary.BigEndian.Uint32(b)),
		body:   b[8:min(len(b), 8+60)],
	})
	return c.Conn.Write(b)
}
