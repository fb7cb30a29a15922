package kdcclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
)

// spent is a guard of one-time passwords alone.
type spent struct {
	busy    error // of Begin
	refused map[string]*kdcclient.Error
	turns   int
}

func (s *spent) Begin(context.Context) (func(), error) {
	s.turns++
	return func() { s.turns += 100 }, s.busy
}
func (s *spent) Refused(kdcclient.KeyEntry) *kdcclient.Error { return nil }
func (s *spent) Refuse(kdcclient.KeyEntry, *kdcclient.Error) {}
func (s *spent) RefusedOTP(v secret.Text) *kdcclient.Error   { return s.refused[v.Reveal()] }
func (s *spent) RefuseOTP(v secret.Text, why *kdcclient.Error) {
	if s.refused == nil {
		s.refused = make(map[string]*kdcclient.Error)
	}
	s.refused[v.Reveal()] = why
}

func answer(token int, value, pin string) kdcclient.OTP {
	o := kdcclient.OTP{Token: token, Value: secret.NewText(value)}
	if pin != "" {
		o.PIN = secret.NewText(pin)
	}
	return o
}

// TestOTP: a one-time password is asked for with what the KDC says of its tokens, sent
// once, and never again.
func TestOTP(t *testing.T) {
	plain, pinned := fakekdc.Token{Value: "123456", Vendor: "acme"}, fakekdc.Token{Value: "222222", PIN: "my-pin", Vendor: "pins", Challenge: "42", ID: "serial", Length: 6}
	joined := fakekdc.Token{Value: "333333", PIN: "11", JoinPIN: true}
	stepped := fakekdc.Token{Value: "444444", Next: "555555"}
	asked := errors.New("nobody is there")
	for name, tc := range map[string]struct {
		tokens  []fakekdc.Token
		answers []kdcclient.OTP
		fails   error
		faults  []fakekdc.Fault
		says    string // "" for a ticket
		kind    kdcclient.Kind
		sent    int // messages
		spent   []string
	}{
		"right":            {tokens: []fakekdc.Token{plain}, answers: []kdcclient.OTP{answer(0, "123456", "")}, sent: 2},
		"wrong":            {tokens: []fakekdc.Token{plain}, answers: []kdcclient.OTP{answer(0, "654321", "")}, says: "with a one-time password", kind: kdcclient.KindKey, sent: 2, spent: []string{"654321"}},
		"a PIN not asked":  {tokens: []fakekdc.Token{plain}, answers: []kdcclient.OTP{answer(0, "123456", "1")}, says: "KDC_ERR_PREAUTH_FAILED", kind: kdcclient.KindKey, sent: 2, spent: []string{"123456"}},
		"second token":     {tokens: []fakekdc.Token{plain, pinned}, answers: []kdcclient.OTP{answer(1, "222222", "my-pin")}, sent: 2},
		"wrong PIN":        {tokens: []fakekdc.Token{pinned}, answers: []kdcclient.OTP{answer(0, "222222", "no-pin")}, says: "KDC_ERR_PREAUTH_FAILED", kind: kdcclient.KindKey, sent: 2, spent: []string{"222222"}},
		"no PIN":           {tokens: []fakekdc.Token{pinned}, answers: []kdcclient.OTP{answer(0, "222222", "")}, says: "KDC_ERR_PREAUTH_FAILED", kind: kdcclient.KindKey, sent: 2, spent: []string{"222222"}},
		"PIN before":       {tokens: []fakekdc.Token{joined}, answers: []kdcclient.OTP{answer(0, "333333", "11")}, sent: 2},
		"the next one":     {tokens: []fakekdc.Token{plain, stepped}, answers: []kdcclient.OTP{answer(1, "444444", ""), answer(0, "555555", "")}, sent: 3},
		"the same as next": {tokens: []fakekdc.Token{stepped}, answers: []kdcclient.OTP{answer(0, "444444", ""), answer(0, "444444", "")}, says: "the one before was given", kind: kdcclient.KindKey, sent: 2, spent: []string{"444444"}},
		"wrong next": {tokens: []fakekdc.Token{stepped}, answers: []kdcclient.OTP{answer(0, "444444", ""), answer(0, "0", "")}, says: "KDC_ERR_PREAUTH_FAILED", kind: kdcclient.KindKey, sent: 3,
			spent: []string{"0", "444444"}},
		"no such token":   {tokens: []fakekdc.Token{plain}, answers: []kdcclient.OTP{answer(1, "123456", "")}, says: "token 1, there are 1", kind: kdcclient.KindRequest, sent: 1},
		"negative":        {tokens: []fakekdc.Token{plain}, answers: []kdcclient.OTP{answer(-1, "123456", "")}, says: "token -1", kind: kdcclient.KindRequest, sent: 1},
		"empty":           {tokens: []fakekdc.Token{plain}, answers: []kdcclient.OTP{answer(0, "", "1")}, says: "none was given", kind: kdcclient.KindKey, sent: 1},
		"nobody":          {tokens: []fakekdc.Token{plain}, fails: asked, says: "nobody is there", kind: kdcclient.KindKey, sent: 1},
		"armour key":      {tokens: []fakekdc.Token{plain}, answers: []kdcclient.OTP{answer(0, "123456", "")}, faults: []fakekdc.Fault{fakekdc.WrongArmorKey()}, says: "under the armour key", kind: kdcclient.KindReply, sent: 2, spent: []string{"123456"}},
		"reply's key":     {tokens: []fakekdc.Token{plain}, answers: []kdcclient.OTP{answer(0, "123456", "")}, faults: []fakekdc.Fault{fakekdc.WrongKey()}, says: "key that answers a one-time password", kind: kdcclient.KindReply, sent: 2, spent: []string{"123456"}},
		"nonce":           {tokens: []fakekdc.Token{plain}, answers: []kdcclient.OTP{answer(0, "123456", "")}, faults: []fakekdc.Fault{fakekdc.WrongNonce()}, says: "another nonce", kind: kdcclient.KindReply, sent: 2, spent: []string{"123456"}},
		"forged refusal":  {tokens: []fakekdc.Token{plain}, answers: []kdcclient.OTP{answer(0, "123456", "")}, faults: []fakekdc.Fault{fakekdc.ReplyError(fakekdc.CodePreauthFailed, nil)}, says: "not armoured", kind: kdcclient.KindKey, sent: 2, spent: []string{"123456"}},
		"forged skew":     {tokens: []fakekdc.Token{plain}, answers: []kdcclient.OTP{answer(0, "123456", "")}, faults: []fakekdc.Fault{fakekdc.ReplyError(fakekdc.CodeSkew, nil)}, says: "not armoured", kind: kdcclient.KindSkew, sent: 2, spent: []string{"123456"}},
		"connection lost": {tokens: []fakekdc.Token{plain}, answers: []kdcclient.OTP{answer(0, "123456", "")}, faults: []fakekdc.Fault{fakekdc.Drop()}, says: "no KDC answered", kind: kdcclient.KindUnreachable, sent: 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFastWorld(t, fakekdc.WithFAST(), fakekdc.WithUser("otto", "x", fakekdc.Tokens(tc.tokens...)))
			if len(tc.faults) > 0 {
				w.r.FailNext(fakekdc.AS, append([]fakekdc.Fault{fakekdc.Delay(0)}, tc.faults...)...)
			}
			guard, calls := &spent{}, 0
			login := func() error {
				got, err := w.login(t.Context(), func(q *kdcclient.ASRequest) {
					q.Client.Components, q.Keys, q.Guard = []string{"otto"}, nil, guard
					q.OTP = func(_ context.Context, p krb.Principal, service string, tokens []krb.OTPToken) (kdcclient.OTP, error) {
						if p.Components[0] != "otto" || service != w.r.Name() || calls == 0 && len(tokens) != len(tc.tokens) || calls == 1 && (len(tokens) != 1 || tokens[0].Flags != krb.OTPNextOTP) {
							t.Errorf("asked for %v, %q, %+v", p, service, tokens)
						}
						for _, token := range tokens {
							if token.Vendor == "pins" && (string(token.Challenge) != "42" || string(token.ID) != "serial" || *token.Length != 6 || token.Flags != krb.OTPCollectPIN|krb.OTPSeparatePIN) {
								t.Errorf("%+v", token)
							}
						}
						if calls++; tc.fails != nil {
							return kdcclient.OTP{}, tc.fails
						}
						return tc.answers[calls-1], nil
					}
				})
				if err == nil && (!got.FAST || got.Client.String() != "otto@"+w.r.Name()) {
					t.Errorf("%+v", got)
				}
				return err
			}
			err := login()
			if w.sent != tc.sent || calls != max(len(tc.answers), 1) || w.r.PendingFaults() != 0 {
				t.Errorf("%d messages, asked %d times: %v", w.sent, calls, w.r.Exchanges())
			}
			var refused []string
			for v := range guard.refused {
				refused = append(refused, v)
			}
			if slices.Sort(refused); !cmp.Equal(refused, tc.spent) {
				t.Errorf("spent are %q", refused)
			}
			if want := min(w.sent-1, 1) * 101; guard.turns != want {
				t.Errorf("%d turns", guard.turns)
			}
			if tc.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var e *kdcclient.Error
			if !errors.As(err, &e) || e.Kind != tc.kind || !strings.Contains(err.Error(), tc.says) || e.OTP != (w.sent > 1) || tc.fails != nil && !errors.Is(err, tc.fails) {
				t.Fatalf("%v", err)
			}
			// Names and addresses of the realm have digits of their own.
			text := strings.NewReplacer(w.r.Addr(), "", w.r.Name(), "").Replace(err.Error())
			for _, a := range tc.answers {
				if v := a.Value.Reveal(); len(v) > 1 && strings.Contains(text, v) || strings.Contains(text, "-pin") {
					t.Errorf("the error tells a secret: %v", err)
				}
			}
			// What was refused is not sent again.
			if len(tc.spent) == 1 && tc.answers[0].Value.Reveal() == tc.spent[0] {
				calls = 0
				if err := login(); !errors.As(err, &e) || !e.Kept || !e.OTP || w.sent != 1 {
					t.Errorf("again: %v, %v", err, w.r.Exchanges())
				}
			}
		})
	}
}

// TestOTPOnce: a message with a one-time password goes to the KDC that asked for it, over
// TCP, and to no other, nor to a primary one after that.
func TestOTPOnce(t *testing.T) {
	w := newFastWorld(t, fakekdc.WithFAST(), fakekdc.WithKDCs(3), fakekdc.WithUser("otto", "x", fakekdc.OTP("123456")))
	var kdcs []kdcclient.KDC
	for _, k := range w.r.KDCs() {
		host, _, err := net.SplitHostPort(k.Addr())
		if err != nil {
			t.Fatal(err)
		}
		kdcs = append(kdcs, kdcclient.KDC{Host: host, Port: 88})
	}
	for name, tc := range map[string]struct {
		network string // of the KDCs in krb5.conf
		value   string
		primary int
		dials   []string
	}{
		"any, right":     {"", "123456", 0, []string{"udp 0", "tcp 0"}},
		"any, wrong":     {"", "1", 1, []string{"udp 0", "tcp 0"}},
		"UDP alone":      {"udp", "1", 1, []string{"udp 0", "udp 0"}},
		"TCP alone":      {"tcp", "1", 1, []string{"tcp 0", "tcp 0"}},
		"another cannot": {"", "again", 1, []string{"udp 0", "tcp 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			var dials []string
			o := kdcclient.Options{Now: w.r.Now, UDPPreferenceLimit: kdcclient.DefaultUDPPreferenceLimit}
			o.Pacing.Next = time.Minute
			o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				host, _, _ := net.SplitHostPort(address)
				dials = append(dials, fmt.Sprint(network, " ", slices.IndexFunc(kdcs, func(k kdcclient.KDC) bool { return k.Host == host })))
				if tc.value == "again" && len(dials) == 2 {
					return nil, errors.New("refused")
				}
				return w.r.Dial(ctx, network, address)
			}
			all := slices.Clone(kdcs)
			for i := range all {
				all[i].Network = tc.network
			}
			o.Locate = func(context.Context, string) ([]kdcclient.KDC, error) { return all[:2], nil }
			o.LocatePrimary = func(context.Context, string) ([]kdcclient.KDC, error) { return all[2:], nil }
			w.c = kdcclient.New(o)
			_, err := w.login(t.Context(), func(q *kdcclient.ASRequest) {
				q.Client.Components, q.Keys = []string{"otto"}, nil
				q.OTP = func(context.Context, krb.Principal, string, []krb.OTPToken) (kdcclient.OTP, error) {
					return answer(0, tc.value, ""), nil
				}
			})
			if (err == nil) != (tc.value == "123456") || !cmp.Equal(dials, tc.dials) {
				t.Errorf("%v: %q", err, dials)
			}
		})
	}
}

// TestUnmet: what a KDC offers and cannot be met is named, with what would meet it.
func TestUnmet(t *testing.T) {
	otp := func(context.Context, krb.Principal, string, []krb.OTPToken) (kdcclient.OTP, error) {
		return answer(0, "123456", ""), nil
	}
	const armor, needsArmor = true, "set Armor"
	challenge, err := (&krb.OTPChallenge{Nonce: []byte("nonce"), Tokens: []krb.OTPToken{{}}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		opts   []fakekdc.Option
		user   []fakekdc.PrincipalOption
		armor  bool
		change func(q *kdcclient.ASRequest, o *kdcclient.Options)
		offer  []krb.PAData // in place of the KDC's own
		never  bool         // is anybody asked for a one-time password
		says   []string
	}{
		"PKINIT":             {offer: []krb.PAData{{Type: krb.PAPKASReq}}, says: []string{"offers PKINIT (16)", "takes a certificate"}},
		"hardware":           {offer: []krb.PAData{{Type: krb.PASAMChallenge2}}, says: []string{"offers hardware authentication (30)", "log in with kinit"}},
		"OTP, nobody asked":  {opts: []fakekdc.Option{fakekdc.WithFAST()}, user: []fakekdc.PrincipalOption{fakekdc.OTP("1")}, armor: armor, says: []string{"OTP within FAST (141)", "set OTP"}},
		"OTP, no armour":     {opts: []fakekdc.Option{fakekdc.WithFAST()}, user: []fakekdc.PrincipalOption{fakekdc.OTP("1")}, change: func(q *kdcclient.ASRequest, _ *kdcclient.Options) { q.OTP = otp }, says: []string{"FAST (136)", needsArmor}},
		"FAST alone":         {opts: []fakekdc.Option{fakekdc.WithFAST(), fakekdc.WithoutTimestamps()}, says: []string{"offers FAST (136)", needsArmor}},
		"no timestamps here": {change: func(_ *kdcclient.ASRequest, o *kdcclient.Options) { o.NoTimestamp = func(string) bool { return true } }, says: []string{"offers encrypted timestamp (2)", "disable_encrypted_timestamp of realm"}},
		"no groups of SPAKE": {opts: []fakekdc.Option{fakekdc.WithSPAKE(), fakekdc.WithoutTimestamps()}, change: func(_ *kdcclient.ASRequest, o *kdcclient.Options) { o.SPAKEGroups = []string{} }, says: []string{"offers SPAKE (151)", "spake_preauth_groups"}},
		"OTP in clear":       {offer: []krb.PAData{{Type: krb.PAOTPChallenge, Value: challenge}}, never: true, says: []string{"OTP within FAST (141)", needsArmor}},
		"PKINIT first":       {offer: []krb.PAData{{Type: krb.PAPKASReq}, {Type: krb.PAPWSalt, Value: []byte("salt")}}, says: []string{"offers PKINIT (16)", "takes a certificate"}},
		"nothing":            {offer: []krb.PAData{{Type: krb.PAFXCookie}}, says: []string{"have the KDC take SPAKE or encrypted timestamps"}},
		"a password":         {opts: []fakekdc.Option{fakekdc.WithFAST()}, armor: armor, change: func(q *kdcclient.ASRequest, _ *kdcclient.Options) { q.Keys, q.OTP = nil, otp }, says: []string{"one-time passwords alone"}},
		"no key at all":      {change: func(q *kdcclient.ASRequest, _ *kdcclient.Options) { q.Keys = nil }, says: []string{"no password and no keytab"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFastWorld(t, append(tc.opts, fakekdc.WithUser("bob", password, tc.user...))...)
			w.change = func(_ int, answer []byte) []byte {
				e, err := krb.ParseKRBError(answer)
				if err != nil || tc.offer == nil {
					return answer
				}
				if e.Data, err = krb.MarshalPADatas(tc.offer); err == nil {
					answer, err = e.Marshal()
				}
				if err != nil {
					t.Error(err)
				}
				return answer
			}
			if tc.change != nil {
				o := kdcclient.Options{Now: w.r.Now, Dial: w.r.Dial, Pacing: kdcclient.Pacing{Next: time.Minute}}
				host, _, err := net.SplitHostPort(w.r.Addr())
				if err != nil {
					t.Fatal(err)
				}
				o.Locate = func(context.Context, string) ([]kdcclient.KDC, error) {
					return []kdcclient.KDC{{Host: host, Port: 88, Network: "tcp"}}, nil
				}
				tc.change(&kdcclient.ASRequest{}, &o)
				w.c = kdcclient.New(o)
			}
			_, err := w.login(t.Context(), func(q *kdcclient.ASRequest) {
				q.Client.Components = []string{"bob"}
				q.Keys = kdcclient.Password(q.Client, password)
				if !tc.armor {
					q.Armor = nil
				}
				if tc.never {
					q.OTP = func(context.Context, krb.Principal, string, []krb.OTPToken) (kdcclient.OTP, error) {
						t.Error("asked for a one-time password")
						return answer(0, "123456", ""), nil
					}
				}
				if tc.change != nil {
					tc.change(q, &kdcclient.Options{})
				}
			})
			for _, want := range tc.says {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("want %q: %v", want, err)
				}
			}
		})
	}
}

// TestOTPAgain: a KDC that wants more after a one-time password gets another for the next of
// the same token, and nothing else: no password, and nothing in another realm.
func TestOTPAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(s *sealed)
		says   string
	}{
		"the same again": {func(s *sealed) { s.inner.Code = krb.CodePreauthRequired }, "though a one-time password was sent"},
		"a password": {func(s *sealed) {
			s.inner.Code = krb.CodePreauthRequired
			for i := range s.in.PAData {
				if s.in.PAData[i].Type == krb.PAOTPChallenge {
					s.in.PAData[i] = krb.PAData{Type: krb.PAEncryptedChallenge, Value: []byte{}}
				}
			}
		}, "though a one-time password was sent, and the KDC offers FAST (136), encrypted challenge within FAST (138)"},
		"another realm": {func(s *sealed) {
			s.inner.Code, s.inner.Client = krb.CodeWrongRealm, krb.NewPrincipal("ELSEWHERE.EXAMPLE", "otto")
		}, "belongs to realm ELSEWHERE.EXAMPLE"},
		"skew":      {func(s *sealed) { s.inner.Code, s.inner.STime = krb.CodeSkew, s.inner.STime.Add(time.Hour) }, "(wrong one-time password) with a one-time password: the KDC's clock"},
		"no reason": {func(s *sealed) { s.inner.Code = krb.CodeGeneric }, "KRB_ERR_GENERIC"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFastWorld(t, fakekdc.WithFAST(), fakekdc.WithUser("otto", password, fakekdc.OTP("123456")))
			w.change = func(n int, answer []byte) []byte {
				if n != 1 {
					return answer
				}
				key, found := armorKey(t, w.asked, w.armor.Key)
				if !found {
					t.Fatal("no armour")
				}
				return reseal(t, key, answer, tc.change)
			}
			asked := 0
			_, err := w.login(t.Context(), func(q *kdcclient.ASRequest) {
				q.Client.Components, q.Canonicalize = []string{"otto"}, true
				q.OTP = func(context.Context, krb.Principal, string, []krb.OTPToken) (kdcclient.OTP, error) {
					asked++
					return answer(0, "654321", ""), nil
				}
			})
			var e *kdcclient.Error
			if !errors.As(err, &e) || !e.OTP || !strings.Contains(err.Error(), tc.says) || w.sent != 2 || asked != 1 {
				t.Errorf("%d messages, asked %d times: %v", w.sent, asked, err)
			}
		})
	}
}

// TestOTPOutOfTurn: no one-time password is spent while another login of the client goes on.
func TestOTPOutOfTurn(t *testing.T) {
	w := newFastWorld(t, fakekdc.WithFAST(), fakekdc.WithUser("otto", "x", fakekdc.OTP("123456")))
	guard := &spent{busy: errors.New("busy")}
	_, err := w.login(t.Context(), func(q *kdcclient.ASRequest) {
		q.Client.Components, q.Keys, q.Guard = []string{"otto"}, nil, guard
		q.OTP = func(context.Context, krb.Principal, string, []krb.OTPToken) (kdcclient.OTP, error) {
			return answer(0, "123456", ""), nil
		}
	})
	if !errors.Is(err, guard.busy) || w.sent != 1 || guard.turns != 1 {
		t.Errorf("%d messages, %d turns: %v", w.sent, guard.turns, err)
	}
}

// TestOTPTwiceAtMost: a KDC gets one one-time password, and the next, however many it wants.
func TestOTPTwiceAtMost(t *testing.T) {
	w := newFastWorld(t, fakekdc.WithFAST(), fakekdc.WithUser("otto", password, fakekdc.Tokens(fakekdc.Token{Value: "1", Next: "2"})))
	w.change = func(n int, answer []byte) []byte {
		if n != 2 {
			return answer
		}
		key, found := armorKey(t, w.asked, w.armor.Key)
		if !found {
			t.Fatal("no armour")
		}
		return reseal(t, key, answer, func(s *sealed) {
			s.inner.Code = krb.CodePreauthRequired
			for i, p := range s.in.PAData {
				if p.Type != krb.PAOTPChallenge {
					continue
				}
				c, err := krb.ParseOTPChallenge(p.Value)
				if err != nil {
					t.Fatal(err)
				}
				for i := range c.Tokens {
					c.Tokens[i].Flags |= krb.OTPNextOTP
				}
				if s.in.PAData[i].Value, err = c.Marshal(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	asked := 0
	_, err := w.login(t.Context(), func(q *kdcclient.ASRequest) {
		q.Client.Components = []string{"otto"}
		q.OTP = func(context.Context, krb.Principal, string, []krb.OTPToken) (kdcclient.OTP, error) {
			asked++
			return answer(0, []string{"1", "wrong", "3"}[asked-1], ""), nil
		}
	})
	var e *kdcclient.Error
	if !errors.As(err, &e) || !e.OTP || !strings.Contains(err.Error(), "though a one-time password was sent") || w.sent != 3 || asked != 2 {
		t.Errorf("%d messages, asked %d times: %v", w.sent, asked, err)
	}
}

// TestOTPKey: the key of the answer is the armour's, whatever types the client's keys may be
// of.
func TestOTPKey(t *testing.T) {
	w := newFastWorld(t, fakekdc.WithFAST(), fakekdc.WithUser("otto", password, fakekdc.OTP("123456")))
	other := krb.AES256SHA384
	if w.armor.Key.Etype() == other {
		other = krb.AES256SHA1
	}
	got, err := w.login(t.Context(), func(q *kdcclient.ASRequest) {
		q.Client.Components, q.Keys, q.Etypes = []string{"otto"}, nil, []int32{other}
		q.OTP = func(context.Context, krb.Principal, string, []krb.OTPToken) (kdcclient.OTP, error) {
			return answer(0, "123456", ""), nil
		}
	})
	if err != nil || got.Key.Etype() != other {
		t.Errorf("%v, %v", got, err)
	}
}
