package kdcclient

import (
	"errors"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// testFast is a client's side of FAST, and what seals the KDC's.
func testFast(t *testing.T) (f *fast, seal func(*krb.FastResponse) krb.PAData) {
	t.Helper()
	key, err := krb.GenerateKey(krb.AES256SHA1)
	if err != nil {
		t.Fatal(err)
	}
	return &fast{key: key}, func(r *krb.FastResponse) krb.PAData {
		t.Helper()
		plain, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := key.Seal(krb.UsageFastRep, plain)
		if err != nil {
			t.Fatal(err)
		}
		value, err := krb.MarshalPAFXFastReply(krb.EncryptedData{Etype: key.Etype(), Cipher: sealed})
		if err != nil {
			t.Fatal(err)
		}
		return krb.PAData{Type: krb.PAFXFast, Value: value}
	}
}

// TestFastVerify: a reply counts where the armour vouches for its ticket, client and
// request, and then what the armour holds takes the place of what stands outside.
func TestFastVerify(t *testing.T) {
	f, seal := testFast(t)
	ticket := []byte("the ticket")
	mac, err := f.key.Checksum(krb.UsageFastFinished, ticket)
	if err != nil {
		t.Fatal(err)
	}
	strengthen, err := krb.GenerateKey(krb.AES128SHA1)
	if err != nil {
		t.Fatal(err)
	}
	inside := []krb.PAData{{Type: krb.PAEtypeInfo2, Value: []byte("inside")}}
	for name, tc := range map[string]struct {
		change func(*krb.FastResponse)
		says   string
	}{
		"right":           {func(*krb.FastResponse) {}, ""},
		"unsigned nonce":  {func(r *krb.FastResponse) { r.Nonce = 1<<32 - 7 }, ""},
		"not strong":      {func(r *krb.FastResponse) { r.Strengthen = krb.Key{} }, ""},
		"another nonce":   {func(r *krb.FastResponse) { r.Nonce++ }, "another nonce"},
		"not finished":    {func(r *krb.FastResponse) { r.Finished = nil }, "does not finish"},
		"a checksum type": {func(r *krb.FastResponse) { r.Finished.Checksum.Type = krb.ChecksumRSAMD5 }, "of type 7"},
		"another ticket":  {func(r *krb.FastResponse) { r.Finished.Checksum.Value[3] ^= 1 }, "another than"},
	} {
		sum := append([]byte(nil), mac...)
		r := &krb.FastResponse{PAData: inside, Strengthen: strengthen, Nonce: -7,
			Finished: &krb.FastFinished{Time: epoch, Client: alice, Checksum: krb.Checksum{Type: f.key.ChecksumType(), Value: sum}}}
		tc.change(r)
		outside := krb.Principal{} // as with Heimdal's KDC
		rep := &krb.KDCRep{Client: outside, RawTicket: ticket, PAData: []krb.PAData{{Type: krb.PAPWSalt, Value: []byte("outside")}, seal(r)}}
		got, err := f.verify(rep, -7)
		if tc.says != "" {
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || !got.Equal(r.Strengthen) || len(rep.PAData) != 1 || string(rep.PAData[0].Value) != "inside" || !rep.Client.Equal(alice) {
			t.Errorf("%s: %v, %+v", name, err, rep)
		}
	}
	if _, err := f.verify(&krb.KDCRep{Client: alice, RawTicket: ticket}, -7); !errors.Is(err, errUnarmored) {
		t.Errorf("without armour: %v", err)
	}
}

// TestFastUnseal: of a KRB-ERROR what the armour holds counts; one that holds none, or that
// answers another request, stays as it is and counts for nothing.
func TestFastUnseal(t *testing.T) {
	f, seal := testFast(t)
	inner := &krb.KRBError{Code: krb.CodePreauthRequired, STime: epoch, Server: tgsA, Text: "inside"}
	value, err := inner.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	method := krb.PAData{Type: krb.PAFXCookie, Value: []byte("crumb")}
	wrapped := krb.PAData{Type: krb.PAFXError, Value: value}
	for name, tc := range map[string]struct {
		response *krb.FastResponse
		sealed   bool
	}{
		"right":         {&krb.FastResponse{PAData: []krb.PAData{method, wrapped}, Nonce: 7}, true},
		"alone":         {&krb.FastResponse{PAData: []krb.PAData{wrapped}, Nonce: 7}, true},
		"another nonce": {&krb.FastResponse{PAData: []krb.PAData{method, wrapped}, Nonce: 8}, false},
		"no error":      {&krb.FastResponse{PAData: []krb.PAData{method}, Nonce: 7}, false},
		"garbled":       {&krb.FastResponse{PAData: []krb.PAData{method, {Type: krb.PAFXError, Value: value[1:]}}, Nonce: 7}, false},
	} {
		data, err := krb.MarshalPADatas([]krb.PAData{seal(tc.response)})
		if err != nil {
			t.Fatal(err)
		}
		outer := &krb.KRBError{Code: krb.CodeGeneric, Text: "outside", Data: data}
		r := &reply{err: outer}
		attempts := []Attempt{{Err: errUnreachable}, {Err: outer}}
		f.unseal(r, 7, attempts)
		if r.sealed != tc.sealed || (r.err == outer) == tc.sealed || attempts[1].Err != error(r.err) || attempts[0].Err != errUnreachable {
			t.Errorf("%s: %+v, %v", name, r, attempts)
		}
		if tc.sealed {
			list, _ := krb.ParsePADatas(r.err.Data)
			if r.err.Text != "inside" || len(list) != len(tc.response.PAData)-1 {
				t.Errorf("%s: %+v", name, r.err)
			}
		}
	}
}

// TestKDCChallenge: a KDC that answers a challenge with one of its own has the client's
// key. Not to answer is no failure.
func TestKDCChallenge(t *testing.T) {
	f, _ := testFast(t)
	key, err := krb.GenerateKey(krb.AES256SHA1)
	if err != nil {
		t.Fatal(err)
	}
	value := func(of krb.Key, usage uint32) []byte {
		sealing, err := krb.KDCChallengeKey(f.key, of)
		if err != nil {
			t.Fatal(err)
		}
		b, err := krb.MakeEncChallenge(sealing, usage, epoch, 1)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sealing, err := krb.ClientChallengeKey(f.key, key)
	if err != nil {
		t.Fatal(err)
	}
	heimdals, err := krb.MakeEncChallenge(sealing, krb.UsageEncChallengeKDC, epoch, 1)
	if err != nil {
		t.Fatal(err)
	}
	own, err := krb.MakeEncChallenge(sealing, krb.UsageEncChallengeClient, epoch, 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		sent  bool
		value []byte
		good  bool
	}{
		"right":                {true, value(key, krb.UsageEncChallengeKDC), true},
		"none":                 {true, nil, true},
		"as Heimdal's":         {true, heimdals, true},
		"another key":          {true, value(f.key, krb.UsageEncChallengeKDC), false},
		"the client's own":     {true, value(key, krb.UsageEncChallengeClient), false},
		"sent back":            {true, own, false},
		"garbled":              {true, []byte{1}, false},
		"nobody asked for one": {false, []byte{1}, true},
	} {
		a := &asCall{fast: f, key: KeyEntry{Key: key}, challenge: tc.sent}
		rep := &krb.KDCRep{}
		if tc.value != nil {
			rep.PAData = []krb.PAData{{Type: krb.PAEncryptedChallenge, Value: tc.value}}
		}
		if err := a.checkChallenge(rep); (err == nil) != tc.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzFASTResponse: whatever stands in a FAST response, it counts only where it vouches for
// this request's ticket and client; and of a KRB-ERROR only what bears another in its armour.
func FuzzFASTResponse(f *testing.F) {
	key := fuzzKey
	ticket := []byte("the ticket")
	mac, err := key.Checksum(krb.UsageFastFinished, ticket)
	if err != nil {
		f.Fatal(err)
	}
	inner, err := (&krb.KRBError{Code: krb.CodePreauthRequired, STime: epoch, Server: tgsA}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	good := &krb.FastResponse{Strengthen: key, Nonce: 7, Finished: &krb.FastFinished{Time: epoch, Client: alice, Checksum: krb.Checksum{Type: key.ChecksumType(), Value: mac}}}
	wrapped := &krb.FastResponse{PAData: []krb.PAData{{Type: krb.PAFXCookie, Value: []byte("crumb")}, {Type: krb.PAFXError, Value: inner}}, Nonce: 7}
	for _, r := range []*krb.FastResponse{good, wrapped} {
		b, err := r.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	c := &fast{key: key}
	f.Fuzz(func(t *testing.T, plain []byte) {
		cipher, err := key.Seal(krb.UsageFastRep, plain)
		if err != nil {
			t.Fatal(err)
		}
		value, err := krb.MarshalPAFXFastReply(krb.EncryptedData{Etype: key.Etype(), Cipher: cipher})
		if err != nil {
			t.Fatal(err)
		}
		list := []krb.PAData{{Type: krb.PAFXFast, Value: value}}
		rep := &krb.KDCRep{Client: alice, RawTicket: ticket, PAData: list}
		if _, err := c.verify(rep, 7); err == nil {
			r, err := krb.ParseFastResponse(plain)
			if err != nil || uint32(r.Nonce) != 7 || r.Finished == nil || !r.Finished.Client.Equal(alice) || string(r.Finished.Checksum.Value) != string(mac) {
				t.Fatalf("believed %+v", r)
			}
		}
		data, err := krb.MarshalPADatas(list)
		if err != nil {
			t.Fatal(err)
		}
		outer := &krb.KRBError{Code: krb.CodeGeneric, STime: epoch, Server: tgsA, Data: data}
		r := &reply{err: outer}
		c.unseal(r, 7, nil)
		if response, err := krb.ParseFastResponse(plain); r.sealed {
			if _, found := krb.FindPAData(response.PAData, krb.PAFXError); err != nil || !found || uint32(response.Nonce) != 7 || r.err == outer {
				t.Fatalf("believed %+v", response)
			}
		} else if r.err != outer {
			t.Fatalf("steered by %+v", r.err)
		}
	})
}
