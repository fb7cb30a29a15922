package kdcclient

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
)

func testChange(tb testing.TB) (q *change, changepw *krb.Ticket) {
	tb.Helper()
	changepw = &krb.Ticket{Client: alice, Server: Changepw(realmA), Key: fuzzKey, Raw: []byte{0x61, 0}}
	q, err := newChange(changepw, secret.NewText("brand new"), epoch)
	if err != nil {
		tb.Fatal(err)
	}
	return q, changepw
}

func result(code uint16, text string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, code), text...)
}

// answerTo makes a server's answer, of which all may be changed.
func answerTo(tb testing.TB, q *change, rep krb.EncAPRepPart, key krb.Key, seq uint32, data []byte) krb.KpasswdMessage {
	tb.Helper()
	ap, err := krb.MakeAPRep(q.session, &rep)
	if err != nil {
		tb.Fatal(err)
	}
	priv, err := krb.MakeKRBPriv(key, krb.KRBPriv{Data: data, Seq: seq, Sender: krb.HostAddressOf(netip.IPv6Loopback())})
	if err != nil {
		tb.Fatal(err)
	}
	return krb.KpasswdMessage{Version: krb.KpasswdChange, AP: ap, Rest: priv}
}

// TestKpasswdAnswer: a result counts if the server proved itself for this very request, and
// the result is its own.
func TestKpasswdAnswer(t *testing.T) {
	other, err := krb.GenerateKey(krb.AES256SHA1)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(q *change, rep *krb.EncAPRepPart, key *krb.Key, seq *uint32)
		whole  func(q *change, m *krb.KpasswdMessage)
		says   string // "" where it is believed
	}{
		"right":               {},
		"under a new subkey":  {change: func(_ *change, rep *krb.EncAPRepPart, key *krb.Key, _ *uint32) { rep.Subkey, *key = other, other }},
		"under the session":   {change: func(q *change, _ *krb.EncAPRepPart, key *krb.Key, _ *uint32) { *key = q.session }},
		"without numbers":     {change: func(_ *change, rep *krb.EncAPRepPart, _ *krb.Key, seq *uint32) { rep.HasSeq, *seq = false, 5 }},
		"another key":         {change: func(_ *change, _ *krb.EncAPRepPart, key *krb.Key, _ *uint32) { *key = other }, says: "integrity"},
		"another time":        {change: func(_ *change, rep *krb.EncAPRepPart, _ *krb.Key, _ *uint32) { rep.CTime = rep.CTime.Add(time.Second) }, says: "another request"},
		"another microsecond": {change: func(_ *change, rep *krb.EncAPRepPart, _ *krb.Key, _ *uint32) { rep.Cusec ^= 1 }, says: "another request"},
		"another number":      {change: func(_ *change, _ *krb.EncAPRepPart, _ *krb.Key, seq *uint32) { *seq++ }, says: "another sequence number"},
		"our own":             {whole: func(q *change, m *krb.KpasswdMessage) { m.Rest = q.priv }, says: "our own request"},
		"another session":     {change: func(q *change, _ *krb.EncAPRepPart, _ *krb.Key, _ *uint32) { q.session = other }, whole: func(q *change, _ *krb.KpasswdMessage) { q.session = fuzzKey }, says: "AP-REP"},
		"nothing sealed":      {whole: func(_ *change, m *krb.KpasswdMessage) { m.Rest = nil }, says: "KRB-PRIV"},
	} {
		q, _ := testChange(t)
		rep := krb.EncAPRepPart{CTime: q.ctime, Cusec: q.cusec, Seq: 77, HasSeq: true}
		key, seq := q.subkey, uint32(77)
		if tc.change != nil {
			tc.change(q, &rep, &key, &seq)
		}
		m := answerTo(t, q, rep, key, seq, result(krb.KpasswdSuccess, "done"))
		if tc.whole != nil {
			tc.whole(q, &m)
		}
		data, err := q.open(m)
		if (err == nil) != (tc.says == "") || err == nil && string(data[2:]) != "done" {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !strings.Contains(err.Error(), tc.says) && tc.says != "AP-REP" && tc.says != "integrity" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Requests are numbered as it happens.
	seen := map[uint32]bool{}
	for range 4 {
		q, _ := testChange(t)
		p, err := krb.OpenKRBPrivInOrder(q.subkey, q.priv)
		if err != nil {
			t.Fatal(err)
		}
		seen[p.Seq] = true
	}
	if len(seen) < 2 {
		t.Errorf("four requests have the numbers %v", seen)
	}
}

// TestKpasswdResults: what a server says becomes words that do not tell the password, and
// nobody's word but the server's is taken for success.
func TestKpasswdResults(t *testing.T) {
	rules := make([]byte, 30)
	binary.BigEndian.PutUint32(rules[2:], 12)
	binary.BigEndian.PutUint32(rules[6:], 24)
	binary.BigEndian.PutUint32(rules[10:], 1)
	binary.BigEndian.PutUint64(rules[22:], 36*60*60*10_000_000)
	for name, tc := range map[string]struct {
		data []byte
		says string
	}{
		"policy":     {result(krb.KpasswdSoftError, "too \x1b[2Jshort\x00"), `does not take this new password: too \x1b[2Jshort`},
		"no text":    {result(krb.KpasswdAccessDenied, ""), "does not let this user"},
		"not known":  {result(99, "what"), "kpasswd result 99: what"},
		"the rules":  {result(krb.KpasswdSoftError, string(rules)), "at least 12 characters, none of the last 24 passwords, characters of three kinds, and no part of the user's name, no change within 1 days of the last"},
		"no rules":   {result(krb.KpasswdSoftError, string(make([]byte, 30))), "does not take this new password"},
		"the secret": {result(krb.KpasswdSoftError, "brand new is too short"), "does not take this new password"},
		"no UTF-8":   {result(krb.KpasswdSoftError, "\xff\xfe"), "does not take this new password"},
	} {
		q, changepw := testChange(t)
		k := call{exchange: "kpasswd", realm: realmA, client: alice, server: changepw.Server}
		m := answerTo(t, q, krb.EncAPRepPart{CTime: q.ctime, Cusec: q.cusec}, q.subkey, 0, tc.data)
		err := k.changed(q, &reply{kpasswd: &m})
		var e *Error
		var said *ChangeError
		if !errors.As(err, &e) || e.Kind != KindRefused || e.Unsettled || e.Unarmored || !errors.As(err, &said) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "brand new") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %v", name, err)
		}
	}
	q, changepw := testChange(t)
	k := call{exchange: "kpasswd", realm: realmA, client: alice, server: changepw.Server}
	good := answerTo(t, q, krb.EncAPRepPart{CTime: q.ctime, Cusec: q.cusec}, q.subkey, 0, result(krb.KpasswdSuccess, "done"))
	if err := k.changed(q, &reply{kpasswd: &good}); err != nil {
		t.Error(err)
	}
	// A KRB-ERROR is anybody's.
	for _, data := range [][]byte{result(krb.KpasswdSuccess, "done"), result(krb.KpasswdAuthError, "no"), nil, {0}} {
		ke := &krb.KRBError{Code: krb.CodeGeneric, STime: epoch, Server: changepw.Server, Data: data}
		der, err := ke.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []*reply{{kpasswd: &krb.KpasswdMessage{Rest: der}}, {err: ke}} {
			err := k.changed(q, r)
			if e, ok := errors.AsType[*Error](err); !ok || e.Kind != KindRefused || e.Code != krb.CodeGeneric || !e.Unsettled || !e.Unarmored || strings.Contains(err.Error(), "result 0") {
				t.Errorf("%x: %v", data, err)
			}
			if said := err != nil && strings.Contains(err.Error(), "did not believe"); said != (r.kpasswd != nil && len(data) > 2 && data[1] == 3) {
				t.Errorf("%x: %v", data, err)
			}
		}
	}
	for _, data := range [][]byte{nil, {0}} {
		m := answerTo(t, q, krb.EncAPRepPart{CTime: q.ctime, Cusec: q.cusec}, q.subkey, 0, data)
		if e, ok := errors.AsType[*Error](k.changed(q, &reply{kpasswd: &m})); !ok || !e.Unsettled {
			t.Errorf("%x: taken for an answer", data)
		}
	}
}

// TestKpasswdRules: of a domain's rules those are told that there are, and what only has
// their length is a text.
func TestKpasswdRules(t *testing.T) {
	rules := func(length, history, flags uint32, least uint64) string {
		b := binary.BigEndian.AppendUint32([]byte{0, 0}, length)
		b = binary.BigEndian.AppendUint32(b, history)
		b = binary.BigEndian.AppendUint32(b, flags)
		b = binary.BigEndian.AppendUint64(b, 42*24*60*60*10_000_000) // for how long it may be kept
		return string(binary.BigEndian.AppendUint64(b, least))
	}
	const day = 24 * 60 * 60 * 10_000_000
	for text, want := range map[string]string{
		rules(12, 0, 0, 0):                "the domain wants at least 12 characters",
		rules(0, 24, 0, 0):                "the domain wants none of the last 24 passwords",
		rules(0, 0, 1, 0):                 "the domain wants characters of three kinds, and no part of the user's name",
		rules(0, 0, 2, 0):                 "",
		rules(0, 0, 0, day):               "the domain wants no change within 1 days of the last",
		rules(0, 0, 0, day-1):             "",
		"no\xff\xfe":                      "",
		strings.Repeat("x", 30):           strings.Repeat("x", 30),
		"x\x00" + strings.Repeat("y", 28): `x\x00` + strings.Repeat("y", 28),
		"\x00x" + strings.Repeat("y", 28): `\x00x` + strings.Repeat("y", 28),
	} {
		q, changepw := testChange(t)
		k := call{exchange: "kpasswd", realm: realmA, client: alice, server: changepw.Server}
		m := answerTo(t, q, krb.EncAPRepPart{CTime: q.ctime, Cusec: q.cusec}, q.subkey, 0, result(krb.KpasswdSoftError, text))
		said, ok := errors.AsType[*ChangeError](k.changed(q, &reply{kpasswd: &m}))
		if !ok || said.Text != want {
			t.Errorf("%q: %+v, want %q", text, said, want)
		}
	}
	// Nothing is in every text.
	q, changepw := testChange(t)
	q.password = secret.Text{}
	k := call{exchange: "kpasswd", realm: realmA, client: alice, server: changepw.Server}
	m := answerTo(t, q, krb.EncAPRepPart{CTime: q.ctime, Cusec: q.cusec}, q.subkey, 0, result(krb.KpasswdSoftError, "say something"))
	if said, ok := errors.AsType[*ChangeError](k.changed(q, &reply{kpasswd: &m})); !ok || said.Text != "say something" {
		t.Errorf("of an empty password: %+v", said)
	}
}

// FuzzKpasswdAnswer: whatever comes in place of an answer is an error that tells nothing,
// since nobody else has the keys.
func FuzzKpasswdAnswer(f *testing.F) {
	q, changepw := testChange(f)
	good := answerTo(f, q, krb.EncAPRepPart{CTime: q.ctime, Cusec: q.cusec}, q.subkey, 0, result(krb.KpasswdSoftError, "no"))
	for _, m := range []krb.KpasswdMessage{good, {Rest: good.Rest}, {AP: good.AP, Rest: q.priv}} {
		b, err := m.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, m.Rest)
	}
	f.Fuzz(func(t *testing.T, b, data []byte) {
		k := call{exchange: "kpasswd", realm: realmA, client: alice, server: changepw.Server}
		x := &exchange{c: New(Options{Now: func() time.Time { return epoch }}), kind: kindKpasswd}
		if r := x.classify(b); r != nil {
			e, ok := errors.AsType[*Error](k.changed(q, r))
			said, result := errors.AsType[*ChangeError](error(e))
			if !ok || e.Unsettled != (!result || said.Clear) || strings.Contains(e.Error(), "brand new") {
				t.Fatal(e)
			}
		}
		// And whatever the server itself says.
		m := answerTo(t, q, krb.EncAPRepPart{CTime: q.ctime, Cusec: q.cusec}, q.subkey, 0, data)
		err := k.changed(q, &reply{kpasswd: &m})
		if (err == nil) != (len(data) >= 2 && data[0] == 0 && data[1] == 0) || err != nil && strings.Contains(err.Error(), "brand new") {
			t.Fatal(err)
		}
	})
}
