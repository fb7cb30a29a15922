package spnego

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func addSeeds(f *testing.F, seeds ...[]byte) {
	f.Helper()
	n := 0
	for _, v := range vectors(f) {
		req, rep := unhex(f, v.APReq), unhex(f, v.APRep)
		seeds = append(seeds, req, rep, AppendInit(nil, req),
			Resp{State: AcceptCompleted, SupportedMech: KRB5, ResponseToken: rep, MechListMIC: req}.Append(nil))
	}
	for _, s := range seeds {
		f.Add(s)
		n++
	}
	if n == 0 {
		f.Fatal("empty seed corpus")
	}
}

// FuzzInit holds that a canonical token is written back byte by byte, and that
// any other reads the same once it has been rewritten.
func FuzzInit(f *testing.F) {
	addSeeds(f, unhex(f, hints), EncodeInit([]OID{NTLM, KRB5}, nil),
		Init{HintName: "x", MechListMIC: []byte{1}}.Append(nil),
		Init{MechTypes: []OID{NegoEx}, MechToken: []byte{}, MechListMIC: []byte{1}}.Append(nil),
		unhex(f, "601a 06062b0601050502 a010 300e a006300406022a03 a10403020106"),
		unhex(f, "6010 06062b0601050502 a006 3004 a4020400"),                               // a MIC where it is beside hints, without
		unhex(f, "600e 06062b0601050502 a004 3002 a500"),                                   // a member of a later edition
		unhex(f, "6014 06062b0601050502 a00a 3008 a306 3004 a0021b00"),                     // hints: an empty name
		unhex(f, "601d 06062b0601050502 a013 3011 a30f 300d a0051b03616263 a1040402 0102"), // a name and an address
		unhex(f, "6019 06062b0601050502 a00f 300d a30b 3007 a0051b03616263 0500"))          // a name, and more after the hints
	f.Fuzz(func(t *testing.T, b []byte) {
		i, canonical, err := parseInit(b)
		if err != nil {
			if !cmp.Equal(i, Init{}) {
				t.Fatalf("%v beside %v", i, err)
			}
			return
		}
		if Classify(b) != NegTokenInit {
			t.Fatalf("classified as %s", Classify(b))
		}
		wire := i.Append(nil)
		if canonical != bytes.Equal(wire, b) {
			t.Fatalf("canonical %v: %x was rewritten as %x", canonical, b, wire)
		}
		again, canonical, err := parseInit(wire)
		if err != nil || !canonical || !cmp.Equal(i, again) {
			t.Fatalf("rewritten as %x, reads as %v, %v, %v", wire, again, canonical, err)
		}
	})
}

// FuzzResp holds of answers what FuzzInit does of offers.
func FuzzResp(f *testing.F) {
	addSeeds(f, unhex(f, "a1023000"), unhex(f, "a10c300aa203040101a303040101"), unhex(f, "a10a3008a0030a0100a4010a"),
		Resp{State: Reject, ResponseToken: []byte{}}.Append(nil), Resp{State: AcceptIncomplete, SupportedMech: NTLM}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, canonical, err := parseResp(b)
		if err != nil {
			if !cmp.Equal(r, Resp{}) {
				t.Fatalf("%v beside %v", r, err)
			}
			return
		}
		if Classify(b) != NegTokenResp {
			t.Fatalf("classified as %s", Classify(b))
		}
		wire := r.Append(nil)
		if canonical != bytes.Equal(wire, b) {
			t.Fatalf("canonical %v: %x was rewritten as %x", canonical, b, wire)
		}
		again, canonical, err := parseResp(wire)
		if err != nil || !canonical || !cmp.Equal(r, again) {
			t.Fatalf("rewritten as %x, reads as %v, %v, %v", wire, again, canonical, err)
		}
	})
}

// FuzzUnframe holds that a frame of KRB5 is written back byte by byte.
func FuzzUnframe(f *testing.F) {
	addSeeds(f, Frame(TokKRBError, nil), unhex(f, "600f"+derMSKRB5+"02006f00"), unhex(f, "600e"+derNTLM+"0200"))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind := Classify(b)
		oid, tokID, inner, err := Unframe(b)
		if err != nil {
			if inner != nil || tokID != 0 || kind == APReq || kind == APRep || kind == KRBError {
				t.Fatalf("%s with %v", kind, err)
			}
			return
		}
		if oid == KRB5 && !bytes.Equal(Frame(tokID, inner), b) {
			t.Fatalf("%x was rewritten as %x", b, Frame(tokID, inner))
		}
		if want := map[uint16]Kind{TokAPReq: APReq, TokAPRep: APRep, TokKRBError: KRBError}[tokID]; kind != want {
			t.Fatalf("%04x classified as %s", tokID, kind)
		}
	})
}
