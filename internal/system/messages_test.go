package system

import (
	"bytes"
	"errors"
	"testing"

	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/middleware"
)

// A sealer is a library that does as it is told.
type sealer struct {
	sealed bool
	reason middleware.Reason
	err    error
	asked  int
}

func (s *sealer) Wrap(dst, plain []byte) ([]byte, int, error) {
	s.asked++
	return append(append(dst, "head"...), plain...), 4, s.err
}

func (s *sealer) Unwrap(header, data []byte) ([]byte, bool, middleware.Reason, error) {
	s.asked++
	return data, s.sealed, s.reason, s.err
}

// established returns a context in which the server has proved itself, or not yet.
func established(t *testing.T, verified bool) *Context {
	t.Helper()
	m := &script{out: Output{Token: apReq}}
	c := begin(t, Settings{}, middleware.Target{Host: "a.example", Port: "80"}, m, true)
	if _, err := c.Step(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if m.out = (Output{Complete: true, Mutual: true}); verified {
		if _, err := c.Step(t.Context(), spnego.Resp{State: spnego.AcceptCompleted, ResponseToken: apRep}.Append(nil)); err != nil || !c.Verified() {
			t.Fatal(err)
		}
	}
	return c
}

// Nothing is sealed or opened for a server that has not proved itself; a message that does
// not open leaves nothing of itself, and ends the session.
func TestMessages(t *testing.T) {
	failed := errors.New("failed")
	for name, tc := range map[string]struct {
		verified bool
		library  sealer
		kind     error // nil for none
		reason   middleware.Reason
	}{
		"opened":       {true, sealer{sealed: true}, nil, middleware.ReasonNone},
		"not sealed":   {true, sealer{}, middleware.ErrNotVerified, middleware.ReasonUnsealed},
		"wrong":        {true, sealer{sealed: true, reason: middleware.ReasonWrongKey, err: failed}, middleware.ErrNotVerified, middleware.ReasonWrongKey},
		"no answer":    {true, sealer{sealed: true, err: failed}, middleware.ErrToken, middleware.ReasonNone},
		"not verified": {false, sealer{sealed: true}, middleware.ErrToken, middleware.ReasonNoToken},
	} {
		m := NewMessages(established(t, tc.verified), &tc.library)
		data := []byte("a message")
		got, err := m.Open([]byte("head"), data)
		if tc.kind == nil {
			if err != nil || string(got) != "a message" {
				t.Errorf("%s: %q, %v", name, got, err)
			}
			if out, n, err := m.Seal([]byte("x"), []byte("answer")); err != nil || string(out) != "xheadanswer" || n != 4 {
				t.Errorf("%s: %q, %d, %v", name, out, n, err)
			}
			tc.library.err = failed
			if out, _, err := m.Seal(nil, []byte("answer")); !errors.Is(err, middleware.ErrToken) || out != nil {
				t.Errorf("%s: not sealed: %q, %v", name, out, err)
			}
			continue
		}
		e, _ := errors.AsType[*middleware.Error](err)
		if got != nil || !errors.Is(err, tc.kind) || e == nil || e.Reason != tc.reason || !bytes.Equal(data, make([]byte, len(data))) {
			t.Errorf("%s: %q, %v; left is %q", name, got, err, data)
		}
		tc.library = sealer{sealed: true}
		if out, _, again := m.Seal(nil, []byte("answer")); out != nil || again == nil || tc.library.asked > 0 {
			t.Errorf("%s: sealed after that: %q, %v", name, out, again)
		}
		if got, again := m.Open(nil, []byte("next")); got != nil || again == nil || tc.library.asked > 0 {
			t.Errorf("%s: opened after that: %q, %v", name, got, again)
		}
	}
}

// What the header of a message says is told whatever the library says of it, and no header
// is too short.
func TestWhatAHeaderShows(t *testing.T) {
	rc4 := func(algorithms string) []byte { return spnego.Frame(0x0201, []byte(algorithms))[:2+11+8] }
	long := append([]byte{0x60, 0x82, 1, 0}, rc4("\x11\x00\xff\xff\xff\xff")[2:]...)
	for name, tc := range map[string]struct {
		header []byte
		want   middleware.Reason
	}{
		"sealed":                  {[]byte{5, 4, 7}, middleware.ReasonNone},
		"clear":                   {[]byte{5, 4, 5}, middleware.ReasonUnsealed},
		"our own":                 {[]byte{5, 4, 6}, middleware.ReasonReflected},
		"a MIC":                   {[]byte{4, 4, 5}, middleware.ReasonNone},
		"of another kind":         {[]byte{5, 5, 5}, middleware.ReasonNone},
		"RC4":                     {rc4("\x11\x00\x10\x00\xff\xff"), middleware.ReasonNone},
		"RC4, clear":              {rc4("\x11\x00\xff\xff\xff\xff"), middleware.ReasonUnsealed},
		"RC4, clear, long":        {long, middleware.ReasonUnsealed},
		"RC4, half":               {rc4("\x11\x00\xff\x00\xff\xff"), middleware.ReasonNone},
		"RC4, the other half":     {rc4("\x11\x00\x00\xff\xff\xff"), middleware.ReasonNone},
		"another identifier":      {append(bytes.Clone(long[:len(long)-8]), 1, 1, 0x11, 0, 0xff, 0xff), middleware.ReasonNone},
		"half an identifier":      {append(bytes.Clone(long[:len(long)-8]), 2, 2, 0x11, 0, 0xff, 0xff), middleware.ReasonNone},
		"no frame":                {append([]byte{0x61}, rc4("\x11\x00\xff\xff\xff\xff")[1:]...), middleware.ReasonNone},
		"no mechanism":            {append([]byte{0x60, 10, 4}, rc4("\x11\x00\xff\xff\xff\xff")[3:]...), middleware.ReasonNone},
		"a length beyond the end": {[]byte{0x60, 0xff, 0x82}, middleware.ReasonNone},
	} {
		if got := shown(tc.header); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
		for n := range tc.header {
			if got := shown(bytes.Clone(tc.header[:n:n])); got == middleware.ReasonReflected || got == middleware.ReasonUnsealed && n < 3 {
				t.Errorf("%s, %d bytes: %v", name, n, got)
			}
		}
	}
}
