package negotiation

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/middleware"
)

// teller is a mechanism that is asked for errors alone.
type teller struct{ Mechanism }

func (teller) SPN() string { return "HTTP/localhost" }

func (teller) Fail(reason middleware.Reason, err error) *middleware.Error {
	return &middleware.Error{Kind: middleware.ErrToken, Reason: reason, Err: err}
}

// TestServerGivesNoReason: KRB_ERR_GENERIC is no reason, what the server writes beside it
// is one.
func TestServerGivesNoReason(t *testing.T) {
	for text, want := range map[string]string{
		"": "the server gave no reason: its log may have one",
		"channel bindings are those of another connection": "",
	} {
		said, err := (&krb.KRBError{STime: time.Unix(1, 0), Code: krb.CodeGeneric, Server: krb.NewPrincipal("R", "HTTP", "localhost"), Text: text}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		_, err = new(Exchange).Answer(teller{}, spnego.Frame(spnego.TokKRBError, said))
		if e, ok := errors.AsType[*middleware.Error](err); !ok || e.Hint != want || e.Code != krb.CodeGeneric {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// An agreed mechanism accepts whatever it is given, and signs by a word of its own.
type agreed struct {
	teller
	established bool
}

const signature = "signed by us"

func (m *agreed) Accept([]byte) error           { m.established = true; return nil }
func (m *agreed) Established() bool             { return m.established }
func (*agreed) MIC(list []byte) ([]byte, error) { return []byte(signature), nil }

func (*agreed) VerifyMIC(list, mic []byte) error {
	if !bytes.Equal(list, mechList) || string(mic) != "signed by them" {
		return errors.New("not their signature")
	}
	return nil
}

// TestAnswer: what is owed to an acceptor is a signature of the list of mechanisms, once, if
// it wants one; whoever has signed it, too, is told that all is complete. A signature that
// is not the acceptor's ends it.
func TestAnswer(t *testing.T) {
	token := spnego.Frame(spnego.TokAPRep, []byte{0x6f, 0})
	theirs := []byte("signed by them")
	for name, tc := range map[string]struct {
		resp   spnego.Resp
		owed   *spnego.Resp
		reason middleware.Reason // of the error
	}{
		"complete":            {resp: spnego.Resp{State: spnego.AcceptCompleted, ResponseToken: token}},
		"complete and signed": {resp: spnego.Resp{State: spnego.AcceptCompleted, ResponseToken: token, MechListMIC: theirs}},
		"wants a signature":   {resp: spnego.Resp{State: spnego.RequestMIC, ResponseToken: token}, owed: &spnego.Resp{MechListMIC: []byte(signature)}},
		"incomplete": {
			resp: spnego.Resp{State: spnego.AcceptIncomplete, ResponseToken: token}, owed: &spnego.Resp{MechListMIC: []byte(signature)},
		},
		"incomplete and signed": {
			resp: spnego.Resp{State: spnego.AcceptIncomplete, ResponseToken: token, MechListMIC: theirs},
			owed: &spnego.Resp{State: spnego.AcceptCompleted, MechListMIC: []byte(signature)},
		},
		"another's signature": {resp: spnego.Resp{State: spnego.AcceptCompleted, ResponseToken: token, MechListMIC: []byte("x")}, reason: middleware.ReasonWrongKey},
		"without proof":       {resp: spnego.Resp{State: spnego.AcceptCompleted}, reason: middleware.ReasonNoToken},
		"another mechanism":   {resp: spnego.Resp{State: spnego.AcceptIncomplete, SupportedMech: "\x2a\x03", ResponseToken: token}, reason: middleware.ReasonWrongMechanism},
		"rejected":            {resp: spnego.Resp{State: spnego.Reject, ResponseToken: token}, reason: middleware.ReasonRefused},
	} {
		var e Exchange
		m := new(agreed)
		out, err := e.Answer(m, tc.resp.Append(nil))
		if tc.reason != middleware.ReasonNone {
			if failed, ok := errors.AsType[*middleware.Error](err); !ok || failed.Reason != tc.reason || out != nil {
				t.Errorf("%s: %x, %v", name, out, err)
			}
			continue
		}
		var want []byte
		if tc.owed != nil {
			want = tc.owed.Append(nil)
		}
		if err != nil || !bytes.Equal(out, want) {
			t.Errorf("%s: %x, %v", name, out, err)
		}
		if out, err := e.Answer(m, tc.resp.Append(nil)); tc.owed != nil && (err != nil || out != nil) {
			t.Errorf("%s, again: %x, %v", name, out, err)
		}
	}
}

// TestOpens: what may come before our first token is nothing, or what some acceptors have
// to say of themselves.
func TestOpens(t *testing.T) {
	for name, tc := range map[string]struct {
		token []byte
		want  bool
	}{
		"nothing":   {nil, true},
		"hints":     {spnego.EncodeInit([]spnego.OID{spnego.KRB5}, nil), true},
		"an answer": {spnego.Resp{State: spnego.AcceptCompleted}.Append(nil), false},
		"an AP-REP": {spnego.Frame(spnego.TokAPRep, []byte{0x6f, 0}), false},
		"NTLM":      {[]byte("NTLMSSP\x00\x02\x00\x00\x00"), false},
	} {
		if got := Opens(tc.token); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
