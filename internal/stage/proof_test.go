package stage

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"testing"

	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
)

// A scripted context says what it is told to.
type scripted struct {
	err      error
	verifies bool
	verified bool
}

func (s *scripted) Step(context.Context, []byte) ([]byte, error) {
	s.verified = s.verifies
	return nil, s.err
}
func (s *scripted) Verified() bool            { return s.verified }
func (s *scripted) Target() middleware.Target { return middleware.Target{Host: "a.example"} }
func (s *scripted) SPN() string               { return "HTTP/a.example@EXAMPLE" }

// What proves a peer, what proves nothing, and what is worse than nothing.
func TestProve(t *testing.T) {
	token := "Negotiate " + base64.StdEncoding.EncodeToString([]byte("token"))
	lost := errors.New("lost")
	none := &middleware.Error{Kind: middleware.ErrToken, Reason: middleware.ReasonNoToken}
	forged := &middleware.Error{Kind: middleware.ErrToken, Reason: middleware.ReasonWrongKey}
	for name, tc := range map[string]struct {
		lines  []string
		sc     scripted
		proved bool
		why    error
		reason middleware.Reason
		err    error
	}{
		"a token that proves":         {[]string{token}, scripted{verifies: true}, true, nil, 0, nil},
		"after another challenge":     {[]string{`Basic realm="a"`, token}, scripted{verifies: true}, true, nil, 0, nil},
		"no token":                    {nil, scripted{verifies: true}, false, nil, 0, nil},
		"a bare challenge":            {[]string{"Negotiate"}, scripted{verifies: true}, false, nil, 0, nil},
		"a token of another scheme":   {[]string{"Kerberos dG9rZW4="}, scripted{verifies: true}, false, nil, 0, nil},
		"no base64":                   {[]string{"Negotiate !!"}, scripted{verifies: true}, false, nil, middleware.ReasonMalformed, nil},
		"refused by the context":      {[]string{token}, scripted{err: lost}, false, nil, 0, lost},
		"forged":                      {[]string{token}, scripted{err: forged}, false, nil, middleware.ReasonWrongKey, forged},
		"verified, and yet refused":   {[]string{token}, scripted{err: lost, verifies: true}, false, nil, 0, lost},
		"taken, and nothing proved":   {[]string{token}, scripted{}, false, nil, middleware.ReasonMalformed, ErrUnproved},
		"completed without any proof": {[]string{token}, scripted{err: none}, false, none, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			proved, why, err := Prove(t.Context(), &tc.sc, tc.lines)
			if proved != tc.proved || why != tc.why {
				t.Errorf("proved %t, because %v", proved, why)
			}
			var e *middleware.Error
			switch {
			case tc.reason != 0 && (!errors.As(err, &e) || e.Reason != tc.reason || e.Kind == nil):
				t.Errorf("error %#v", err)
			case tc.reason == 0 && tc.err == nil && err != nil, !errors.Is(err, tc.err) && tc.err != nil:
				t.Errorf("error %v", err)
			}
		})
	}
}

// What an inner error knows is said once, in the name of the outer.
func TestBlame(t *testing.T) {
	outer := middleware.Error{Stage: "test", Kind: middleware.ErrNotVerified, Host: "a.example:80", SPN: "HTTP/a.example", Hint: "ours"}
	inner := &middleware.Error{Kind: middleware.ErrToken, SPN: "HTTP/b.example", Principal: "alice", KDC: "k", Code: 41, Reason: middleware.ReasonWrongKey, Hint: "theirs", IsTemporary: true, Err: errors.New("cause")}
	if e := Blame(outer, nil); e.Err != nil || e.Error() != outer.Error() {
		t.Errorf("of nothing: %v", e)
	}
	if e := Blame(outer, errors.New("cause")); e.Hint != "ours" || e.SPN != "HTTP/a.example" || e.Err.Error() != "cause" {
		t.Errorf("of a foreign error: %v", e)
	}
	e := Blame(outer, inner)
	want := "test: server did not prove its identity (host a.example:80, SPN HTTP/b.example, principal alice, KDC k, code 41, reason wrong key): bad security token: cause; theirs"
	if e.Error() != want || !errors.Is(e, middleware.ErrToken) || !errors.Is(e, inner) {
		t.Errorf("got  %v\nwant %s", e, want)
	}
	if e.Temporary() {
		t.Error("an unverified peer is not worth a retry")
	}
	for name, tc := range map[string]struct {
		said middleware.Error
		want string // of Err; "" for none
	}{
		"nothing":                {middleware.Error{}, ""},
		"what the outer says":    {middleware.Error{Kind: middleware.ErrNotVerified}, ""},
		"a kind alone":           {middleware.Error{Kind: middleware.ErrToken}, "bad security token"},
		"a cause alone":          {middleware.Error{Err: io.EOF}, "EOF"},
		"a cause of that kind":   {middleware.Error{Kind: middleware.ErrNotVerified, Err: io.EOF}, "EOF"},
		"a cause and its kind":   {middleware.Error{Kind: middleware.ErrToken, Err: io.EOF}, "bad security token: EOF"},
		"is not asked for again": {middleware.Error{Kind: middleware.ErrToken, IsTemporary: true}, "bad security token"},
	} {
		e := Blame(outer, &tc.said)
		if got := e.Err; tc.want == "" && got != nil || tc.want != "" && (got == nil || got.Error() != tc.want) || e.Temporary() {
			t.Errorf("%s: %v, temporary %v", name, got, e.Temporary())
		}
		if e.SPN != "HTTP/a.example" {
			t.Errorf("%s: SPN %q", name, e.SPN)
		}
		if wantReason := map[bool]middleware.Reason{true: middleware.ReasonMalformed}[tc.said.Kind == middleware.ErrToken]; e.Reason != wantReason {
			t.Errorf("%s: reason %v", name, e.Reason)
		}
	}
	outer.Kind = middleware.ErrToken
	inner.IsTemporary = false
	if e := Blame(outer, inner); e.Temporary() {
		t.Error("worth a retry, though nobody said so")
	}
	inner.IsTemporary = true
	if e := Blame(outer, inner); !e.Temporary() || e.Err.Error() != "cause" {
		t.Errorf("of the same kind: %v", e)
	}
	inner.Reason = middleware.ReasonNone
	if e := Blame(outer, inner); e.Reason != middleware.ReasonNone {
		t.Errorf("reason %v where nothing was to be proved", e.Reason)
	}
	outer.Kind = middleware.ErrNotVerified
	if e := Blame(outer, inner); e.Reason != middleware.ReasonMalformed {
		t.Errorf("reason %v of a bad token", e.Reason)
	}
}

func TestSPN(t *testing.T) {
	if got := SPN(&scripted{}); got != "HTTP/a.example@EXAMPLE" {
		t.Error(got)
	}
	sc, err := new(stagetest.Initiator).Initiate(t.Context(), middleware.Target{Host: "a.example"})
	if err != nil {
		t.Fatal(err)
	}
	if got := SPN(sc); got != "" {
		t.Errorf("%s of a context that does not tell", got)
	}
}
