package spnego

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gofork "github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	second "github.com/jcmturner/gokrb5/v8/spnego"

	"github.com/kerbchain/kerbchain/internal/alloctest"
)

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func un64(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

const (
	derKRB5   = "06092a864886f712010202"
	derMSKRB5 = "06092a864882f712010202"
	derNTLM   = "060a2b06010401823702020a"
)

// hints is the first answer of MIT krb5 1.20.1 to an empty token.
const hints = "604706062b0601050502a03d303ba00d300b06092a864886f712010202a32a3028a0261b24" +
	"6e6f745f646566696e65645f696e5f5246433431373840706c656173655f69676e6f7265"

// A vector is one context set up with a real MIT acceptor; the file's origin
// is told where it is used in full, in internal/gss.
type vector struct {
	APReq  string `json:"ap_req_token"`
	APRep  string `json:"ap_rep_token"`
	Mutual bool   `json:"mutual"`
}

func vectors(tb testing.TB) []vector {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("..", "gss", "testdata", "gss-vectors.json"))
	if err != nil {
		tb.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(b, &vs); err != nil {
		tb.Fatal(err)
	}
	if len(vs) == 0 {
		tb.Fatal("no vectors")
	}
	return vs
}

func TestOID(t *testing.T) {
	for name, tc := range map[string]struct {
		oid    OID
		dotted string
		krb5   bool
	}{
		"SPNEGO":                {SPNEGO, "1.3.6.1.5.5.2", false},
		"Kerberos":              {KRB5, "1.2.840.113554.1.2.2", true},
		"Kerberos (Microsoft)":  {MSKRB5, "1.2.840.48018.1.2.2", true},
		"Kerberos (draft)":      {OldKRB5, "1.3.5.1.5.2", true},
		"Kerberos user-to-user": {KRB5U2U, "1.2.840.113554.1.2.2.3", false},
		"IAKERB":                {IAKERB, "1.3.6.1.5.2.5", false},
		"NTLM":                  {NTLM, "1.3.6.1.4.1.311.2.2.10", false},
		"NegoEx":                {NegoEx, "1.3.6.1.4.1.311.2.2.30", false},
	} {
		t.Run(name, func(t *testing.T) {
			var id gofork.ObjectIdentifier
			if rest, err := gofork.Unmarshal(appendOID(nil, tc.oid), &id); err != nil || len(rest) > 0 {
				t.Fatal(err, rest)
			}
			if id.String() != tc.dotted {
				t.Errorf("bytes are those of %s, want %s", id, tc.dotted)
			}
			if tc.oid.String() != name || tc.oid.IsKRB5() != tc.krb5 || intern([]byte(tc.oid)) != tc.oid {
				t.Errorf("%s, IsKRB5 %v", tc.oid, tc.oid.IsKRB5())
			}
		})
	}
	for oid, want := range map[OID]string{
		"\x2a\x03":                      "1.2.3",
		"":                              "no mechanism",
		"\x2a\x80":                      "invalid identifier of 2 bytes",
		OID(strings.Repeat("\x01", 99)): "invalid identifier of 99 bytes",
	} {
		if oid.String() != want {
			t.Errorf("%x: %s, want %s", string(oid), oid, want)
		}
	}
}

func TestResp(t *testing.T) {
	long := bytes.Repeat([]byte{0x5a}, 300)
	for name, tc := range map[string]struct {
		wire string
		want Resp
	}{
		// Seen from MIT krb5 1.20.1.
		"request-mic": {"a1143012a0030a0103a10b" + derKRB5, Resp{State: RequestMIC, SupportedMech: KRB5}},
		// The constants of gokrb5's server.
		"completed":       {hex.EncodeToString(un64(t, "oRQwEqADCgEAoQsGCSqGSIb3EgECAg==")), Resp{State: AcceptCompleted, SupportedMech: KRB5}},
		"incomplete":      {hex.EncodeToString(un64(t, "oRQwEqADCgEBoQsGCSqGSIb3EgECAg==")), Resp{State: AcceptIncomplete, SupportedMech: KRB5}},
		"reject":          {hex.EncodeToString(un64(t, "oQcwBaADCgEC")), Resp{State: Reject}},
		"Microsoft's":     {"a1143012a0030a0100a10b" + derMSKRB5, Resp{State: AcceptCompleted, SupportedMech: MSKRB5}},
		"NTLM selected":   {"a1153013a0030a0101a10c" + derNTLM, Resp{State: AcceptIncomplete, SupportedMech: NTLM}},
		"nothing":         {"a1023000", Resp{}},
		"token alone":     {"a109 3007 a205 0403 010203", Resp{ResponseToken: []byte{1, 2, 3}}},
		"empty token":     {"a10b 3009 a0030a0100 a2020400", Resp{State: AcceptCompleted, ResponseToken: []byte{}}},
		"MIC alone":       {"a108 3006 a304 0402 0102", Resp{MechListMIC: []byte{1, 2}}},
		"empty MIC":       {"a106 3004 a302 0400", Resp{MechListMIC: []byte{}}},
		"token and MIC":   {"a10c 300a a203040101 a303040102", Resp{ResponseToken: []byte{1}, MechListMIC: []byte{2}}},
		"unknown mech":    {"a108 3006 a104 06022a03", Resp{SupportedMech: "\x2a\x03"}},
		"longest mech":    {"a146 3044 a142 0640" + strings.Repeat("01", maxOID), Resp{SupportedMech: OID(strings.Repeat("\x01", maxOID))}},
		"two length byte": {"a1820138 30820134 a2820130 0482012c" + hex.EncodeToString(long), Resp{ResponseToken: long}},
	} {
		t.Run(name, func(t *testing.T) {
			wire := unhex(t, tc.wire)
			got, err := ParseResp(wire)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			if again := tc.want.Append([]byte("x")); string(again) != "x"+string(wire) {
				t.Errorf("encoded as %x, want %x", again[1:], wire)
			}
			if Classify(wire) != NegTokenResp {
				t.Errorf("classified as %s", Classify(wire))
			}
		})
	}
}

func TestRespTolerated(t *testing.T) {
	for name, tc := range map[string]struct {
		wire string
		want Resp
	}{
		"MIC that copies the token": {"a10c 300a a203040101 a303040101", Resp{ResponseToken: []byte{1}}},
		"member of a later edition": {"a10a 3008 a0030a0100 a4010a", Resp{State: AcceptCompleted}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseResp(unhex(t, tc.wire))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestRespRefused(t *testing.T) {
	for name, wire := range map[string]string{
		"nothing":           "",
		"trailing byte":     "a1023000 00",
		"trailing in outer": "a1033000 00",
		"truncated":         "a10b3009a0030a0100a20204",
		"no sequence":       "a100",
		"state 4":           "a107 3005 a0030a0104",
		"negative state":    "a107 3005 a0030a01ff",
		"state of 2 bytes":  "a108 3006 a0040a020000",
		"state of 0 bytes":  "a106 3004 a0020a00",
		"integer state":     "a107 3005 a003020100",
		"state, then more":  "a109 3007 a0050a01000500",
		"empty mech":        "a106 3004 a1020600",
		"mech, then more":   "a10a 3008 a106 06022a03 0500",
		"mech too long":     "a147 3045 a143 0641" + strings.Repeat("01", maxOID+1),
		"token of no bytes": "a106 3004 a202 0500",
		"token, then more":  "a108 3006 a204 0400 0500",
		"MIC of no bytes":   "a106 3004 a302 0500",
		"MIC, then more":    "a108 3006 a304 0400 0500",
		"wrong order":       "a10b 3009 a2020400 a0030a0100",
		"twice":             "a10c 300a a0030a0100 a0030a0100",
		"MIC twice":         "a10c 300a a303040101 a303040101",
		"universal member":  "a104 3002 0500",
		"private member":    "a104 3002 e500",
		"primitive member":  "a104 3002 8500",
		"primitive token":   "a106 3004 82020400",
		"long form":         "a181023000",
		"indefinite":        "a1803000 0000",
		"NegTokenInit":      hints,
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := ParseResp(unhex(t, wire)); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, %v", r, err)
			} else if d := cmp.Diff(Resp{}, r); d != "" {
				t.Errorf("a result beside the error: %s", d)
			}
		})
	}
}

func TestInit(t *testing.T) {
	const mitName = "not_defined_in_RFC4178@please_ignore"
	for name, tc := range map[string]struct {
		wire string
		want Init
	}{
		"hints of MIT": {hints, Init{MechTypes: []OID{KRB5}, MechTypesDER: unhex(t, "300b"+derKRB5), HintName: mitName}},
		"no token": {"6020 06062b0601050502 a016 3014 a012 3010" + derKRB5 + "06032a0304",
			Init{MechTypes: []OID{KRB5, "\x2a\x03\x04"}, MechTypesDER: unhex(t, "3010"+derKRB5+"06032a0304")}},
		"token and MIC": {"601f 06062b0601050502 a015 3013 a006300406022a03 a203040101 a304 04020203",
			Init{MechTypes: []OID{"\x2a\x03"}, MechTypesDER: unhex(t, "300406022a03"), MechToken: []byte{1}, MechListMIC: []byte{2, 3}}},
		"empty token":       {"6010 06062b0601050502 a006 3004 a2020400", Init{MechToken: []byte{}}},
		"nothing":           {"600c 06062b0601050502 a002 3000", Init{}},
		"hints, then a MIC": {"601c 06062b0601050502 a012 3010 a309 3007 a005 1b03 616263 a403 0401 01", Init{HintName: "abc", MechListMIC: []byte{1}}},
	} {
		t.Run(name, func(t *testing.T) {
			wire := unhex(t, tc.wire)
			got, err := ParseInit(wire)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			if again := tc.want.Append([]byte("x")); string(again) != "x"+string(wire) {
				t.Errorf("encoded as %x, want %x", again[1:], wire)
			}
			if Classify(wire) != NegTokenInit {
				t.Errorf("classified as %s", Classify(wire))
			}
			if list := AppendMechList(nil, got.MechTypes); len(got.MechTypes) > 0 && !bytes.Equal(list, got.MechTypesDER) {
				t.Errorf("list %x, want %x", list, got.MechTypesDER)
			}
		})
	}
}

func TestInitTolerated(t *testing.T) {
	mech := Init{MechTypes: []OID{"\x2a\x03"}, MechTypesDER: unhex(t, "300406022a03")}
	withToken := mech
	withToken.MechToken = []byte{1}
	withMIC := mech
	withMIC.MechListMIC = []byte{1}
	for name, tc := range map[string]struct {
		body string
		want Init
	}{
		"reqFlags":           {"a006300406022a03 a10403020106 a203040101", withToken},
		"hint address":       {"a006300406022a03 a306 3004 a1020400", mech},
		"hints not readable": {"a006300406022a03 a302 3100", mech},
		"MIC without hints":  {"a006300406022a03 a403 040101", withMIC},
		"later edition":      {"a006300406022a03 a303 040101 a500", withMIC},
	} {
		t.Run(name, func(t *testing.T) {
			body := unhex(t, tc.body)
			got, err := ParseInit(append(appendInitHead(nil, len(body)), body...))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestInitRefused(t *testing.T) {
	spnego := "06062b0601050502"
	many := bytes.Repeat(unhex(t, "06022a03"), maxMechs+1)
	manyBody := appendHead(appendHead(nil, field(0), tlvLen(len(many))), 0x30, len(many))
	manyBody = append(manyBody, many...)
	for name, tc := range map[string]struct {
		wire string
		err  error
	}{
		"nothing":            {"", ErrMalformed},
		"NegTokenResp":       {"a1023000", ErrMalformed},
		"no frame":           {"a0023000", ErrMalformed},
		"trailing byte":      {"600c" + spnego + "a002300000", ErrMalformed},
		"trailing inside":    {"600d" + spnego + "a002300000", ErrMalformed},
		"Kerberos frame":     {"600f" + derKRB5 + "a0023000", ErrMechanism},
		"frame alone":        {"6008" + spnego, ErrMalformed},
		"no mechanism":       {"6010" + spnego + "a0063004a0023000", ErrMalformed},
		"many mechanisms":    {hex.EncodeToString(append(appendInitHead(nil, len(manyBody)), manyBody...)), ErrMalformed},
		"wrong order":        {"6014" + spnego + "a00a3008a2020400a1020500", ErrMalformed},
		"private member":     {"600e" + spnego + "a0043002e500", ErrMalformed},
		"MIC twice":          {"6016" + spnego + "a00c300aa303040101a303040101", ErrMalformed},
		"reqFlags cut":       {"6010" + spnego + "a0063004a1050302", ErrMalformed},
		"empty OID":          {"6012" + spnego + "a0083006a00430020600", ErrMalformed},
		"list, then more":    {"6016" + spnego + "a00c300aa008300406022a030500", ErrMalformed},
		"token is none":      {"6010" + spnego + "a0063004a2020500", ErrMalformed},
		"MIC is none":        {"6010" + spnego + "a0063004a4020500", ErrMalformed},
		"MIC of hints twice": {"6018" + spnego + "a00e300ca3023000a4020400a4020400", ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if i, err := ParseInit(unhex(t, tc.wire)); !errors.Is(err, tc.err) {
				t.Errorf("got %v, %v", i, err)
			} else if d := cmp.Diff(Init{}, i); d != "" {
				t.Errorf("a result beside the error: %s", d)
			}
		})
	}
}

// Our offers, read by gokrb5, and its own, read by us.
func TestInitSecondOpinion(t *testing.T) {
	for n, v := range vectors(t) {
		token := unhex(t, v.APReq)
		wire := AppendInit(nil, token)
		var theirs second.SPNEGOToken
		if err := theirs.Unmarshal(wire); err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		if !theirs.Init || len(theirs.NegTokenInit.MechTypes) != 1 ||
			!theirs.NegTokenInit.MechTypes[0].Equal(gssapi.OIDKRB5.OID()) ||
			!bytes.Equal(theirs.NegTokenInit.MechTokenBytes, token) {
			t.Fatalf("%d: read as %+v", n, theirs.NegTokenInit)
		}
		back, err := (&second.SPNEGOToken{Init: true, NegTokenInit: theirs.NegTokenInit}).Marshal()
		if err != nil || !bytes.Equal(back, wire) {
			t.Errorf("%d: gokrb5 writes %x (%v), we %x", n, back, err, wire)
		}

		many := EncodeInit([]OID{NTLM, KRB5, MSKRB5}, nil)
		if err := theirs.Unmarshal(many); err != nil || len(theirs.NegTokenInit.MechTypes) != 3 || len(theirs.NegTokenInit.MechTokenBytes) != 0 {
			t.Errorf("%d: %v, read as %+v", n, err, theirs.NegTokenInit)
		}

		_, _, inner, err := Unframe(token)
		if err != nil {
			t.Fatal(err)
		}
		if whole := AppendInitFrame([]byte("x"), TokAPReq, inner); !bytes.Equal(whole[1:], wire) {
			t.Errorf("%d: AppendInitFrame gives %x, AppendInit %x", n, whole[1:], wire)
		}
		if i, err := ParseInit(wire); err != nil || i.MechTypes[0] != KRB5 || !bytes.Equal(i.MechToken, token) {
			t.Errorf("%d: %v, %v", n, i, err)
		}
	}
}

func TestRespSecondOpinion(t *testing.T) {
	states := map[State]second.NegState{
		AcceptCompleted: second.NegStateAcceptCompleted, AcceptIncomplete: second.NegStateAcceptIncomplete,
		Reject: second.NegStateReject, RequestMIC: second.NegStateRequestMIC,
	}
	for n, v := range vectors(t) {
		for ours, theirs := range states {
			r := Resp{State: ours, SupportedMech: KRB5, ResponseToken: unhex(t, v.APRep), MechListMIC: []byte{1, 2, 3}}
			if len(r.ResponseToken) == 0 {
				r.ResponseToken = nil
			}
			wire := r.Append(nil)
			var nt second.NegTokenResp
			if err := nt.Unmarshal(wire); err != nil {
				t.Fatalf("%d, %s: %v", n, ours, err)
			}
			if nt.State() != theirs || !nt.SupportedMech.Equal(gssapi.OIDKRB5.OID()) ||
				!bytes.Equal(nt.ResponseToken, r.ResponseToken) || !bytes.Equal(nt.MechListMIC, r.MechListMIC) {
				t.Errorf("%d, %s: read as %+v", n, ours, nt)
			}
			back, err := nt.Marshal()
			if err != nil || !bytes.Equal(back, wire) {
				t.Errorf("%d, %s: gokrb5 writes %x (%v), we %x", n, ours, back, err, wire)
			}
			if got, err := ParseResp(back); err != nil || !cmp.Equal(got, r) {
				t.Errorf("%d, %s: %v, %v", n, ours, got, err)
			}
		}
	}
}

// Tokens of a real MIT acceptor and its initiator.
func TestFrameVectors(t *testing.T) {
	seen := map[uint16]int{}
	for n, v := range vectors(t) {
		for text, want := range map[string]struct {
			tokID uint16
			kind  Kind
			tag   byte
		}{v.APReq: {TokAPReq, APReq, 0x6e}, v.APRep: {TokAPRep, APRep, 0x6f}} {
			if text == "" {
				continue
			}
			token := unhex(t, text)
			oid, tokID, inner, err := Unframe(token)
			if err != nil || oid != KRB5 || tokID != want.tokID || inner[0] != want.tag {
				t.Fatalf("%d: %s, %04x, %v", n, oid, tokID, err)
			}
			if got := Frame(tokID, inner); !bytes.Equal(got, token) {
				t.Errorf("%d: framed as %x, want %x", n, got, token)
			}
			if kind := Classify(token); kind != want.kind {
				t.Errorf("%d: classified as %s, want %s", n, kind, want.kind)
			}
			if len(token) != frameLen(len(inner)) {
				t.Errorf("%d: %d bytes, reckoned %d", n, len(token), frameLen(len(inner)))
			}
			seen[tokID]++
		}
		if v.Mutual != (v.APRep != "") {
			t.Errorf("%d: mutual %v, AP-REP of %d characters", n, v.Mutual, len(v.APRep))
		}
	}
	if seen[TokAPReq] == 0 || seen[TokAPRep] == 0 {
		t.Errorf("tokens seen: %v", seen)
	}
}

func TestFrameLengths(t *testing.T) {
	for _, n := range []int{0, 1, 113, 114, 115, 116, 127, 128, 241, 242, 243, 244, 255, 256, 65520, 65535, 65536, 1 << 20} {
		inner := bytes.Repeat([]byte{7}, n)
		wire := Frame(TokKRBError, inner)
		oid, tokID, got, err := Unframe(wire)
		if err != nil || oid != KRB5 || tokID != TokKRBError || !bytes.Equal(got, inner) {
			t.Errorf("%d: %s, %04x, %d bytes, %v", n, oid, tokID, len(got), err)
		}
		if cap(wire) > 2*len(wire) && n > 100 {
			t.Errorf("%d: capacity %d for %d bytes", n, cap(wire), len(wire))
		}
		i, err := ParseInit(AppendInit(nil, wire))
		if err != nil || !bytes.Equal(i.MechToken, wire) {
			t.Errorf("%d: %v, %v", n, i, err)
		}
	}
}

func TestUnframeNames(t *testing.T) {
	for _, tc := range []struct {
		oid OID
		err error
	}{{KRB5, nil}, {MSKRB5, nil}, {OldKRB5, nil}, {KRB5U2U, ErrMechanism}, {NTLM, ErrMechanism}, {SPNEGO, ErrMechanism}} {
		body := append(appendOID(nil, tc.oid), 2, 0, 'x')
		oid, tokID, inner, err := Unframe(append(appendHead(nil, tagFrame, len(body)), body...))
		if oid != tc.oid || !errors.Is(err, tc.err) {
			t.Errorf("%s: %s, %v", tc.oid, oid, err)
		}
		if tc.err == nil && (tokID != TokAPRep || string(inner) != "x") {
			t.Errorf("%s: %04x, %q", tc.oid, tokID, inner)
		}
	}
}

func TestUnframeRefused(t *testing.T) {
	good := Frame(TokAPRep, []byte("abc"))
	for name, b := range map[string][]byte{
		"nothing":          nil,
		"trailing byte":    append(bytes.Clone(good), 0),
		"no identifier":    unhex(t, "600b"+derKRB5),
		"half identifier":  unhex(t, "600c"+derKRB5+"02"),
		"not an OID":       unhex(t, "60020400"),
		"empty OID":        unhex(t, "600406000200"),
		"another tag":      append([]byte{0x61}, good[1:]...),
		"length past end":  unhex(t, "6084ffffffff"+derKRB5+"0200"),
		"length of length": unhex(t, "6089ffffffffffffffffff"),
	} {
		if _, _, _, err := Unframe(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range good {
		if _, _, _, err := Unframe(good[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestClassify(t *testing.T) {
	for name, tc := range map[string]struct {
		token []byte
		want  Kind
	}{
		"empty":                  {nil, Empty},
		"answer":                 {unhex(t, "a1023000"), NegTokenResp},
		"hints":                  {unhex(t, hints), NegTokenInit},
		"AP-REQ":                 {Frame(TokAPReq, []byte{0x6e, 0}), APReq},
		"AP-REP":                 {Frame(TokAPRep, []byte{0x6f, 0}), APRep},
		"KRB-ERROR":              {Frame(TokKRBError, []byte{0x7e, 0}), KRBError},
		"Microsoft's":            {unhex(t, "600f"+derMSKRB5+"02006f00"), APRep},
		"MIC token":              {Frame(0x0101, nil), Unknown},
		"bare AP-REP":            {unhex(t, "6f00"), BareAPRep},
		"bare KRB-ERROR":         {unhex(t, "7e00"), BareKRBError},
		"bare AP-REQ":            {unhex(t, "6e00"), Unknown},
		"NTLM":                   {[]byte("NTLMSSP\x00\x02\x00\x00\x00"), NTLMSSP},
		"NTLM, not quite":        {[]byte("NTLMSSP"), Unknown},
		"NegoEx":                 {[]byte("NEGOEXTS\x01\x00"), NEGOEXTS},
		"NTLM in a frame":        {unhex(t, "600e"+derNTLM+"0200"), Unknown},
		"hints in another frame": {unhex(t, "600f"+derKRB5+"a0023000"), Unknown},
		"answer in SPNEGO frame": {unhex(t, "600c 06062b0601050502 a1023000"), Unknown},
		"trailing":               {unhex(t, "a102300000"), Unknown},
		"cut":                    {unhex(t, "a10230"), Unknown},
		"one byte":               {[]byte{0x60}, Unknown},
		"text":                   {[]byte("hello"), Unknown},
	} {
		if got := Classify(tc.token); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestNames(t *testing.T) {
	for k := Unknown; k <= NEGOEXTS; k++ {
		if s := k.String(); s == "" || strings.HasPrefix(s, "kind") {
			t.Errorf("kind %d has no name", k)
		}
	}
	for s := StateAbsent; s <= RequestMIC; s++ {
		if n := s.String(); strings.HasPrefix(n, "state") {
			t.Errorf("state %d has no name", s)
		}
	}
	if got := (NEGOEXTS + 1).String() + ", " + (RequestMIC + 1).String(); got != "kind 11, state 5" {
		t.Error(got)
	}
	if d := cmp.Diff([]byte{0xa1, 2, 0x30, 0}, Resp{State: RequestMIC + 1}.Append(nil)); d != "" {
		t.Errorf("a state without a wire value is written\n%s", d)
	}
}

func TestFormatHidesTokens(t *testing.T) {
	values := []any{
		Resp{State: Reject, SupportedMech: NTLM, ResponseToken: []byte("secret"), MechListMIC: []byte("secret")},
		Init{MechTypes: []OID{KRB5}, MechToken: []byte("secret"), MechListMIC: []byte("secret")},
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range values {
			got := fmt.Sprintf(verb, v)
			if strings.Contains(got, "ecret") || strings.Contains(got, "7365") || strings.Contains(got, "115") ||
				!strings.Contains(got, "token of 6 bytes") {
				t.Errorf("%s shows %s", verb, got)
			}
		}
	}
}

func TestAllocations(t *testing.T) {
	inner := make([]byte, 1500)
	room := make([]byte, 0, 2000)
	resp := Resp{State: AcceptCompleted, SupportedMech: KRB5, ResponseToken: inner}
	wire := resp.Append(nil)
	framed := Frame(TokAPRep, inner)
	for name, tc := range map[string]struct {
		most int
		f    func()
	}{
		"AppendInitFrame":       {0, func() { AppendInitFrame(room, TokAPReq, inner) }},
		"AppendInitFrame, anew": {1, func() { AppendInitFrame(nil, TokAPReq, inner) }},
		"AppendInit":            {0, func() { AppendInit(room, inner) }},
		"Frame":                 {1, func() { Frame(TokAPReq, inner) }},
		"Resp.Append":           {0, func() { resp.Append(room) }},
		"ParseResp":             {0, func() { ParseResp(wire) }},
		"Unframe":               {0, func() { Unframe(framed) }},
		"Classify":              {0, func() { Classify(framed) }},
	} {
		if n := alloctest.Allocations(100, tc.most, tc.f); n > tc.most {
			t.Errorf("%s: %v allocations, want %v at most", name, n, tc.most)
		}
	}
}

// AppendInitFrame appends what AppendInit(dst, Frame(tokID, inner)) would,
// without the copy in between.
func AppendInitFrame(dst []byte, tokID uint16, inner []byte) []byte {
	dst = grow(dst, initLen(krb5InitLen(frameLen(len(inner)))))
	return append(AppendInitFrameHead(dst, tokID, len(inner)), inner...)
}
