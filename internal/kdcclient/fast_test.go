package kdcclient_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// A fastWorld is a realm that speaks FAST, or not, its client, and a host's ticket.
type fastWorld struct {
	r     *fakekdc.Realm
	c     *kdcclient.Client
	armor *krb.Ticket
	alice krb.Principal
	keys  kdcclient.Keys
	// change may spoil the answer to the n-th message, from 0; nil does not.
	change func(n int, answer []byte) []byte
	sent   int
	asked  []byte // the last message
}

// newFastWorld makes one whose alice has a keytab, for which no count of iterations matters.
func newFastWorld(t *testing.T, opts ...fakekdc.Option) *fastWorld {
	t.Helper()
	return newFastWorldOf(t, fakekdc.WithUser("alice", password, fakekdc.Iterations(1)), opts...)
}

func newFastWorldOf(t *testing.T, alice fakekdc.Option, opts ...fakekdc.Option) *fastWorld {
	t.Helper()
	r := fakekdc.Start(t, append([]fakekdc.Option{fakekdc.WithoutSockets(), alice, fakekdc.WithService("host/armor"), fakekdc.WithService("HTTP/localhost")}, opts...)...)
	w := &fastWorld{r: r, alice: krb.NewPrincipal(r.Name(), "alice")}
	w.keys = keysOf(t, r.Keytab("alice"))
	o := kdcclient.Options{Now: r.Now, UDPPreferenceLimit: 0, Etypes: krb.DefaultEtypes(true), Timesync: true}
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := r.Dial(ctx, network, address)
		n := w.sent
		w.sent++
		return &edited{Conn: conn, wrote: func(b []byte) { w.asked = b[4:] }, edit: func(b []byte) []byte {
			if w.change == nil {
				return b
			}
			return w.change(n, b)
		}}, err
	}
	o.Pacing.Next = time.Minute
	host, _, err := net.SplitHostPort(r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	o.Locate = func(context.Context, string) ([]kdcclient.KDC, error) {
		return []kdcclient.KDC{{Host: host, Port: 88, Network: "tcp"}}, nil
	}
	w.c = kdcclient.New(o)
	cache, err := ccache.Parse(r.CCache("host/armor"))
	if err != nil {
		t.Fatal(err)
	}
	if w.armor, err = cache.Credentials[0].Ticket(); err != nil {
		t.Fatal(err)
	}
	return w
}

// login logs alice in, in armour.
func (w *fastWorld) login(ctx context.Context, change func(*kdcclient.ASRequest)) (*krb.Ticket, error) {
	w.sent = 0
	q := kdcclient.ASRequest{Client: w.alice, Keys: w.keys, Armor: func(context.Context, string) (*krb.Ticket, error) { return w.armor, nil }}
	if change != nil {
		change(&q)
	}
	return w.c.AS(ctx, q)
}

// edited is a connection on which what the KDC answers is changed.
type edited struct {
	net.Conn
	wrote func([]byte)
	edit  func([]byte) []byte
	rest  []byte
	done  bool
}

func (e *edited) Write(p []byte) (int, error) {
	e.wrote(append([]byte(nil), p...))
	return e.Conn.Write(p)
}

func (e *edited) Read(p []byte) (int, error) {
	if !e.done {
		b := make([]byte, 1<<16)
		n, err := e.Conn.Read(b) // all of it, within the process
		for n < 4 || n < 4+int(b[2])<<8+int(b[3]) {
			more, err := e.Conn.Read(b[n:])
			if n += more; err != nil {
				return 0, err
			}
		}
		if err != nil {
			return 0, err
		}
		answer := e.edit(b[4:n])
		e.rest = append([]byte{0, 0, byte(len(answer) >> 8), byte(len(answer))}, answer...)
		e.done = true
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// TestFASTFaults: what a KDC does wrong within FAST is an error that says so, and nothing
// in it is believed. A cookie that the KDC no longer takes is good for one more try.
func TestFASTFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		opts      []fakekdc.Option
		noPreauth bool
		faults    []fakekdc.Fault
		says      string // "" for a ticket
		kind      kdcclient.Kind
		sent      int
	}{
		"right":                        {sent: 2},
		"right, no pre-auth":           {noPreauth: true, sent: 1},
		"no FAST":                      {opts: []fakekdc.Option{fakekdc.WithEncPARep()}, says: "does not speak FAST", kind: kdcclient.KindRefused, sent: 1},
		"no FAST, no pre-auth":         {opts: []fakekdc.Option{}, noPreauth: true, says: "does not speak FAST", kind: kdcclient.KindReply, sent: 1},
		"armour key of an error":       {faults: []fakekdc.Fault{fakekdc.WrongArmorKey()}, says: "not armoured by FAST", kind: kdcclient.KindRefused, sent: 1},
		"armour key of a ticket":       {noPreauth: true, faults: []fakekdc.Fault{fakekdc.WrongArmorKey()}, says: "open under the armour key", kind: kdcclient.KindReply, sent: 1},
		"armour key after a challenge": {faults: []fakekdc.Fault{fakekdc.Delay(0), fakekdc.WrongArmorKey()}, says: "open under the armour key", kind: kdcclient.KindReply, sent: 2},
		"not finished":                 {noPreauth: true, faults: []fakekdc.Fault{fakekdc.MissingFinished()}, says: "does not finish", kind: kdcclient.KindReply, sent: 1},
		"wrong cookie":                 {faults: []fakekdc.Fault{fakekdc.WrongCookie()}, sent: 4},
		"wrong cookies":                {faults: []fakekdc.Fault{fakekdc.WrongCookie(), fakekdc.Delay(0), fakekdc.WrongCookie()}, says: "KDC_ERR_PREAUTH_EXPIRED", kind: kdcclient.KindRefused, sent: 4},
		"nonce":                        {noPreauth: true, faults: []fakekdc.Fault{fakekdc.WrongNonce()}, says: "another nonce", kind: kdcclient.KindReply, sent: 1},
		"client":                       {noPreauth: true, faults: []fakekdc.Fault{fakekdc.WrongClient()}, says: "mallory", kind: kdcclient.KindReply, sent: 1},
		"server":                       {noPreauth: true, faults: []fakekdc.Fault{fakekdc.WrongServer()}, says: "mallory", kind: kdcclient.KindReply, sent: 1},
		"key":                          {noPreauth: true, faults: []fakekdc.Fault{fakekdc.WrongKey()}, says: "does not open", kind: kdcclient.KindKey, sent: 1},
		"unsealed refusal":             {faults: []fakekdc.Fault{fakekdc.ReplyError(fakekdc.CodePreauthRequired, nil)}, says: "not armoured by FAST", kind: kdcclient.KindRefused, sent: 1},
		"unsealed, of the armour":      {faults: []fakekdc.Fault{fakekdc.ReplyError(fakekdc.CodeBadIntegrity, nil)}, says: "get a new one", kind: kdcclient.KindRefused, sent: 1},
	} {
		t.Run(name, func(t *testing.T) {
			opts := tc.opts
			if opts == nil {
				opts = []fakekdc.Option{fakekdc.WithFAST()}
			}
			w := newFastWorld(t, opts...)
			if tc.noPreauth {
				if err := w.r.Modify("alice", fakekdc.NoPreauth()); err != nil {
					t.Fatal(err)
				}
			}
			w.r.FailNext(fakekdc.AS, tc.faults...)
			got, err := w.login(t.Context(), nil)
			if w.sent != tc.sent || w.r.PendingFaults() != 0 {
				t.Errorf("%d messages: %v", w.sent, w.r.Exchanges())
			}
			if tc.says == "" {
				if err != nil || !got.FAST {
					t.Errorf("%v, %v", got, err)
				}
				return
			}
			var e *kdcclient.Error
			if !errors.As(err, &e) || e.Kind != tc.kind || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v", err)
			}
			if e.Armor != (tc.says == "get a new one") {
				t.Errorf("the armour is to blame: %v", e.Armor)
			}
		})
	}
}

// TestFASTOptional: who may go without armour does so until the KDC offers FAST, or is
// known to speak it; and a KDC that proves that it does, after an offer that did not say
// so, shows that the offer was changed on the way.
func TestFASTOptional(t *testing.T) {
	withoutOffer := func(n int, answer []byte) []byte {
		e, err := krb.ParseKRBError(answer)
		if err != nil {
			return answer
		}
		list, err := krb.ParsePADatas(e.Data)
		if err != nil {
			return answer
		}
		var rest []krb.PAData
		for _, pa := range list {
			if pa.Type != krb.PAFXFast {
				rest = append(rest, pa)
			}
		}
		if e.Data, err = krb.MarshalPADatas(rest); err == nil {
			answer, err = e.Marshal()
		}
		if err != nil {
			t.Error(err)
		}
		return answer
	}
	for name, tc := range map[string]struct {
		opts   []fakekdc.Option
		known  bool
		change func(int, []byte) []byte
		says   string
		kinds  string // of each message: p plain, f FAST
	}{
		"offered":              {opts: []fakekdc.Option{fakekdc.WithFAST()}, kinds: "pff"},
		"known":                {opts: []fakekdc.Option{fakekdc.WithFAST()}, known: true, kinds: "ff"},
		"required":             {opts: []fakekdc.Option{fakekdc.WithFASTRequired()}, kinds: "pff"},
		"not offered":          {kinds: "pp"},
		"known, and not true":  {known: true, says: "does not speak FAST", kinds: "p"},
		"offer taken out":      {opts: []fakekdc.Option{fakekdc.WithFAST()}, change: withoutOffer, says: "did not say so", kinds: "pp"},
		"taken out, but known": {opts: []fakekdc.Option{fakekdc.WithFAST()}, known: true, change: withoutOffer, says: "not armoured", kinds: "f"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFastWorld(t, tc.opts...)
			w.armor.FAST, w.change = tc.known, tc.change
			_, err := w.login(t.Context(), func(q *kdcclient.ASRequest) { q.ArmorOptional = true })
			kinds := ""
			for _, e := range w.r.Exchanges() {
				if e.FAST {
					kinds += "f"
				} else {
					kinds += "p"
				}
			}
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) || kinds != tc.kinds {
				t.Errorf("%v, after %v", err, w.r.Exchanges())
			}
		})
	}
}

// TestAskFAST: a login without armour learns from the KDC whether it speaks FAST, and from
// nobody else.
func TestAskFAST(t *testing.T) {
	for name, tc := range map[string]struct {
		opt        fakekdc.Option
		ask, speak bool
	}{"speaks": {fakekdc.WithFAST(), true, true}, "not asked": {fakekdc.WithFAST(), false, false}, "does not": {nil, true, false}} {
		w := newFastWorld(t, tc.opt)
		got, err := w.login(t.Context(), func(q *kdcclient.ASRequest) { q.Armor, q.AskFAST = nil, tc.ask })
		if err != nil || got.FAST != tc.speak {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if direct, err := w.login(t.Context(), func(q *kdcclient.ASRequest) {
			q.Armor, q.AskFAST, q.Server = nil, true, krb.NewPrincipal(w.r.Name(), "HTTP", "localhost")
		}); err != nil || direct.FAST {
			t.Errorf("%s: a ticket of the login for a service: %v", name, err)
		}
		// A renewed ticket is of the same KDC; one for a service is no ticket-granting one.
		if renewable, err := w.login(t.Context(), func(q *kdcclient.ASRequest) {
			q.Armor, q.AskFAST, q.RenewLife = nil, tc.ask, 48*time.Hour
		}); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if renewed, err := w.c.TGS(t.Context(), renewable, krb.Principal{}, kdcclient.TGSOptions{Renew: true}); err != nil || renewed.FAST != tc.speak {
			t.Errorf("%s: renewed: %v", name, err)
		}
		if service, err := w.c.TGS(t.Context(), got, krb.NewPrincipal("", "HTTP", "localhost"), kdcclient.TGSOptions{FAST: true}); err != nil || service.FAST {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFASTWithoutArmor: where there is no ticket to armour with, nothing is sent, and the
// reason is named.
func TestFASTWithoutArmor(t *testing.T) {
	w := newFastWorld(t, fakekdc.WithFAST())
	for _, optional := range []bool{false, true} {
		_, err := w.login(t.Context(), func(q *kdcclient.ASRequest) {
			q.ArmorOptional = optional
			q.Armor = func(context.Context, string) (*krb.Ticket, error) {
				return nil, &kdcclient.Error{Kind: kdcclient.KindUnreachable, Exchange: "AS", Err: errors.New("the host has no KDC")}
			}
		})
		var e *kdcclient.Error
		if !errors.As(err, &e) || !e.Temporary() || w.sent != 0 || !strings.Contains(err.Error(), "the host has no KDC") {
			t.Errorf("%d messages, %v", w.sent, err)
		}
	}
}

// TestFASTOnce: the armour is got once for a login, which may ask a primary KDC too.
func TestFASTOnce(t *testing.T) {
	w := newFastWorldOf(t, fakekdc.WithUser("alice", password), fakekdc.WithFAST(), fakekdc.WithKDCs(2))
	var kdcs []kdcclient.KDC
	for _, k := range w.r.KDCs() {
		host, _, err := net.SplitHostPort(k.Addr())
		if err != nil {
			t.Fatal(err)
		}
		kdcs = append(kdcs, kdcclient.KDC{Host: host, Port: 88, Network: "tcp"})
	}
	o := kdcclient.Options{Now: w.r.Now, Dial: w.r.Dial}
	o.Pacing.Next = time.Minute
	o.Locate = func(context.Context, string) ([]kdcclient.KDC, error) { return kdcs[:1], nil }
	o.LocatePrimary = func(context.Context, string) ([]kdcclient.KDC, error) { return kdcs[1:], nil }
	w.c = kdcclient.New(o)
	got := 0
	_, err := w.login(t.Context(), func(q *kdcclient.ASRequest) {
		q.Keys = kdcclient.Password(w.alice, "guess")
		q.Armor = func(context.Context, string) (*krb.Ticket, error) { got++; return w.armor, nil }
	})
	if err == nil || got != 1 || w.r.Count(fakekdc.AS, fakekdc.CodePreauthFailed) != 2 {
		t.Errorf("%d tickets to armour with: %v, %v", got, err, w.r.Exchanges())
	}
	if err != nil && (strings.Count(err.Error(), "KDC_ERR_PREAUTH_FAILED") != 2 || !strings.Contains(err.Error(), "tcp answered so")) {
		t.Error(err)
	}
}

// TestChallengeOutsideOfFAST: what a KDC offers without armour, and cannot be met without,
// is passed over.
func TestChallengeOutsideOfFAST(t *testing.T) {
	w := newFastWorld(t)
	w.change = func(_ int, answer []byte) []byte {
		e, err := krb.ParseKRBError(answer)
		if err != nil {
			return answer
		}
		list, err := krb.ParsePADatas(e.Data)
		if err == nil {
			e.Data, err = krb.MarshalPADatas(append([]krb.PAData{{Type: krb.PAEncryptedChallenge, Value: []byte{}}, {Type: krb.PAOTPChallenge, Value: []byte{1}}}, list...))
		}
		if err == nil {
			answer, err = e.Marshal()
		}
		if err != nil {
			t.Error(err)
		}
		return answer
	}
	if _, err := w.login(t.Context(), func(q *kdcclient.ASRequest) { q.Armor = nil }); err != nil {
		t.Error(err)
	}
}

// TestFASTSkew: a KDC cannot seal what it says of an authenticator that it does not take.
// Its clock is followed once.
func TestFASTSkew(t *testing.T) {
	clock := &fakekdc.Clock{}
	w := newFastWorld(t, fakekdc.WithFAST(), fakekdc.WithClock(clock.Now))
	clock.Advance(time.Hour) // the KDC's
	w.c = nil
	o := kdcclient.Options{Etypes: krb.DefaultEtypes(false), Dial: w.r.Dial, Timesync: true}
	o.Pacing.Next = time.Minute
	host, _, err := net.SplitHostPort(w.r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	o.Locate = func(context.Context, string) ([]kdcclient.KDC, error) {
		return []kdcclient.KDC{{Host: host, Port: 88, Network: "tcp"}}, nil
	}
	for _, sync := range []bool{true, false} {
		o.Timesync = sync
		w.c = kdcclient.New(o)
		w.r.ResetExchanges()
		_, err := w.login(t.Context(), nil)
		if (err == nil) != sync || w.r.Count(fakekdc.AS, fakekdc.CodeSkew) != 1 {
			t.Errorf("timesync %v: %v, %v", sync, err, w.r.Exchanges())
		}
		if e := new(kdcclient.Error); !sync && (!errors.As(err, &e) || e.Kind != kdcclient.KindSkew) {
			t.Errorf("%v", err)
		}
	}
}

// TestFASTForged: whatever bit of an answer is changed, nothing but the very ticket of the
// KDC comes of it, whole: the armour vouches for what the key of the reply does not.
func TestFASTForged(t *testing.T) {
	w := newFastWorld(t, fakekdc.WithEtypes(krb.AES256SHA1), fakekdc.WithFAST())
	at, which := -1, 0
	var right []byte
	w.change = func(n int, answer []byte) []byte {
		if n != which {
			return answer
		}
		right = append([]byte(nil), answer...)
		if at >= 0 && at < len(answer) {
			answer[at] ^= 1 << (at % 8)
		}
		return answer
	}
	tgt, err := w.login(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	// whole reports whether a ticket is the one in the answer as the KDC sent it.
	whole := func(got *krb.Ticket, kind uint8) bool {
		rep, err := krb.ParseKDCRep(right, kind)
		if err != nil {
			t.Fatal(err)
		}
		return cmp.Equal(got.Raw, rep.RawTicket) && cmp.Equal(got.Client, rep.Client) && got.Server.Equal(rep.Ticket.Server)
	}
	for name, tc := range map[string]struct {
		kind  uint8
		which int // message
		do    func(ctx context.Context) (*krb.Ticket, error)
	}{
		"AS-REP": {krb.MsgASRep, 1, func(ctx context.Context) (*krb.Ticket, error) { return w.login(ctx, nil) }},
		"TGS-REP": {krb.MsgTGSRep, 0, func(ctx context.Context) (*krb.Ticket, error) {
			w.sent = 0
			return w.c.TGS(ctx, tgt, krb.NewPrincipal(w.r.Name(), "HTTP", "localhost"), kdcclient.TGSOptions{FAST: true})
		}},
	} {
		taken, tried := 0, 0
		for at, which, right = 0, tc.which, nil; at == 0 || at < len(right); at++ {
			got, err := tc.do(t.Context())
			if tried++; err == nil {
				if taken++; !whole(got, tc.kind) {
					t.Errorf("%s, byte %d: another ticket, %v", name, at, got)
				}
			}
		}
		// The number of a key's version, and the name outside.
		if tried < 800 || taken > 40 {
			t.Errorf("%s: %d of %d changed answers were taken", name, taken, tried)
		}
	}
	// Of a KRB-ERROR what is outside of the armour steers nothing.
	taken, tried := 0, 0
	for at, which, right = 0, 0, nil; at == 0 || at < len(right); at++ {
		_, err := w.login(t.Context(), nil)
		e, perr := krb.ParseKRBError(right)
		if perr != nil {
			t.Fatal(perr)
		}
		if tried++; err == nil {
			taken++
		}
		// With another time in it, an answer may be a byte shorter than the one before.
		if start := len(right) - len(e.Data); at >= start+30 && at < len(right) && err == nil {
			t.Errorf("byte %d of %d, in the armour, was changed, and the login went on", at, len(right))
		}
	}
	if tried < 300 || taken == 0 {
		t.Errorf("%d of %d changed errors were passed over", taken, tried)
	}
}

// TestFASTStripped: a KDC may answer a request for a ticket without FAST, as Heimdal's does
// though it speaks it. What is there must be right.
func TestFASTStripped(t *testing.T) {
	w := newFastWorld(t) // which overlooks FAST in a TGS-REQ
	for _, known := range []bool{false, true} {
		w.armor.FAST = known
		got, err := w.c.TGS(t.Context(), w.armor, krb.NewPrincipal("", "HTTP", "localhost"), kdcclient.TGSOptions{FAST: true})
		if err != nil {
			t.Errorf("known %v: %v, %v", known, got, err)
		}
	}
	// What is there must be right.
	w = newFastWorld(t, fakekdc.WithFAST())
	for name, fault := range map[string]fakekdc.Fault{"open under the armour key": fakekdc.WrongArmorKey(), "does not finish": fakekdc.MissingFinished()} {
		w.armor.FAST = false
		w.r.FailNext(fakekdc.TGS, fault)
		got, err := w.c.TGS(t.Context(), w.armor, krb.NewPrincipal("", "HTTP", "localhost"), kdcclient.TGSOptions{FAST: true})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	// A KRB-ERROR is what the armour holds, whatever stands outside.
	w.change = func(_ int, answer []byte) []byte {
		e, err := krb.ParseKRBError(answer)
		if err != nil {
			t.Error(err)
			return answer
		}
		e.Code = krb.CodePolicy
		out, err := e.Marshal()
		if err != nil {
			t.Error(err)
		}
		return out
	}
	var e *kdcclient.Error
	if _, err := w.c.TGS(t.Context(), w.armor, krb.NewPrincipal(w.r.Name(), "HTTP", "nowhere"), kdcclient.TGSOptions{FAST: true}); !errors.As(err, &e) || e.Code != krb.CodeServerUnknown {
		t.Errorf("%v", err)
	}
}

// TestPolicyWithoutArmor: the error of a login that policy forbids names armour where there
// is none, since Active Directory says no more of who must have it.
func TestPolicyWithoutArmor(t *testing.T) {
	for name, tc := range map[string]struct {
		refused, armor, want bool
	}{
		"without":             {want: true},
		"without, for good":   {refused: true, want: true},
		"with, and forbidden": {refused: true, armor: true},
	} {
		w := newFastWorld(t, fakekdc.WithFASTRequired())
		if tc.refused {
			if err := w.r.Modify("alice", fakekdc.Refuse(fakekdc.CodePolicy)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := w.login(t.Context(), func(q *kdcclient.ASRequest) {
			if !tc.armor {
				q.Armor = nil
			}
		})
		if err == nil || !strings.Contains(err.Error(), "KDC_ERR_POLICY") || strings.Contains(err.Error(), "set Armor") != tc.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
