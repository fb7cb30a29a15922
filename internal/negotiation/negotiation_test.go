package negotiation

import (
	"bytes"
	"errors"
	"strings"
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

// TestWhatToTry: what a server says is wrong has a hint, where there is something to try, and
// counts within a rejection as it does alone.
func TestWhatToTry(t *testing.T) {
	for code, want := range map[int32]string{
		krb.CodeBadIntegrity: "HTTP/localhost", krb.CodeModified: "HTTP/localhost", krb.CodeBadKvno: "HTTP/localhost", krb.CodeNoKey: "HTTP/localhost",
		krb.CodeNotUs: "HTTP/localhost", krb.CodeSkew: "clocks", krb.CodeTicketNotYet: "clocks", krb.CodeTicketExpired: "renew",
		krb.CodeRepeat: "twice", krb.CodeBadMatch: "fresh ticket", krb.CodePolicy: "",
	} {
		said, err := (&krb.KRBError{STime: time.Unix(1, 0), Code: code, Server: krb.NewPrincipal("R", "HTTP", "localhost")}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		alone := spnego.Frame(spnego.TokKRBError, said)
		for _, token := range [][]byte{alone, spnego.Resp{State: spnego.Reject, ResponseToken: alone}.Append(nil)} {
			_, err = new(Exchange).Answer(teller{}, token)
			if e, ok := errors.AsType[*middleware.Error](err); !ok || e.Code != code || e.Reason != middleware.ReasonKRBError || !strings.Contains(e.Hint, want) || (e.Hint == "") != (want == "") {
				t.Errorf("%d: %v", code, err)
			}
		}
	}
}

// TestRefused: what cannot continue an exchange, or be the AP-REP in it, is told as what it
// is, and not given to who carries out Kerberos.
func TestRefused(t *testing.T) {
	apRep := []byte("\x6f\x1c\x30\x1a\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x0f\xa2\x0e\x30\x0c\xa0\x03\x02\x01\x12\xa2\x05\x04\x03abc")
	for name, tc := range map[string]struct {
		token         []byte
		answer, reply middleware.Reason // ReasonNone where it is taken
	}{
		"nothing":           {nil, middleware.ReasonRefused, middleware.ReasonRefused},
		"NTLM":              {[]byte("NTLMSSP\x00\x02\x00\x00\x00"), middleware.ReasonWrongMechanism, middleware.ReasonWrongMechanism},
		"NegoEx":            {[]byte("NEGOEXTS\x01\x00"), middleware.ReasonWrongMechanism, middleware.ReasonWrongMechanism},
		"hints":             {spnego.EncodeInit([]spnego.OID{spnego.KRB5}, nil), middleware.ReasonMalformed, middleware.ReasonWrongMechanism},
		"an AP-REQ":         {spnego.Frame(spnego.TokAPReq, apRep), middleware.ReasonMalformed, middleware.ReasonMalformed},
		"a bad answer":      {[]byte("\xa1\x04\x30\x02\xe5\x00"), middleware.ReasonMalformed, middleware.ReasonMalformed},
		"a bad KRB-ERROR":   {spnego.Frame(spnego.TokKRBError, []byte{0x7e, 0}), middleware.ReasonMalformed, middleware.ReasonMalformed},
		"an AP-REP":         {spnego.Frame(spnego.TokAPRep, apRep), middleware.ReasonNone, middleware.ReasonNone},
		"an AP-REP, and on": {spnego.Frame(spnego.TokAPRep, append(apRep[:len(apRep):len(apRep)], 0)), middleware.ReasonNone, middleware.ReasonMalformed},
	} {
		reason := func(err error) middleware.Reason {
			if e, ok := errors.AsType[*middleware.Error](err); ok {
				return e.Reason
			}
			return middleware.ReasonNone
		}
		m := new(agreed)
		out, err := new(Exchange).Answer(m, tc.token)
		if got := reason(err); got != tc.answer || out != nil || m.established != (tc.answer == middleware.ReasonNone) {
			t.Errorf("%s answers: %v, %x, accepted %v", name, err, out, m.established)
		}
		out, err = Reply(teller{}, tc.token)
		if got := reason(err); got != tc.reply || (out != nil) != (tc.reply == middleware.ReasonNone) {
			t.Errorf("%s as an AP-REP: %x, %v", name, out, err)
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
		"complete":                      {resp: spnego.Resp{State: spnego.AcceptCompleted, ResponseToken: token}},
		"complete, by Microsoft's name": {resp: spnego.Resp{State: spnego.AcceptCompleted, SupportedMech: spnego.MSKRB5, ResponseToken: token}},
		"complete and signed":           {resp: spnego.Resp{State: spnego.AcceptCompleted, ResponseToken: token, MechListMIC: theirs}},
		"wants a signature":             {resp: spnego.Resp{State: spnego.RequestMIC, ResponseToken: token}, owed: &spnego.Resp{MechListMIC: []byte(signature)}},
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
