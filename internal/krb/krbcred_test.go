package krb

import (
	"bytes"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// TestKRBCredSecondOpinion has gokrb5 open what MakeKRBCred makes.
func TestKRBCredSecondOpinion(t *testing.T) {
	for _, etype := range []int32{17, 18, 19, 20, 23} {
		session, err := GenerateKey(etype)
		if err != nil {
			t.Fatal(err)
		}
		inner, err := GenerateKey(AES256SHA1)
		if err != nil {
			t.Fatal(err)
		}
		tkt := messages.Ticket{TktVNO: 5, Realm: "R", SName: types.NewPrincipalName(2, "krbtgt/R"), EncPart: types.EncryptedData{EType: 18, KVNO: 1, Cipher: []byte("sealed by the KDC, of no interest")}}
		raw, err := tkt.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2031, 2, 3, 4, 5, 6, 789000, time.UTC)
		b, err := MakeKRBCred(session, &Ticket{
			Client: NewPrincipal("R", "alice"), Server: TGS("R", "R"), Raw: raw, Key: inner,
			Flags: FlagForwardable | FlagForwarded, AuthTime: at, EndTime: at.Add(time.Hour), RenewTill: at.Add(2 * time.Hour),
		}, at)
		if err != nil {
			t.Fatal(err)
		}
		own, err := OpenKRBCred(b, Key{}, inner, session)
		if err != nil || !own.Key.Equal(inner) || !bytes.Equal(own.Raw, raw) || own.Client.String() != "alice@R" || own.Server.String() != "krbtgt/R@R" ||
			own.Flags != FlagForwardable|FlagForwarded || !own.EndTime.Equal(at.Add(time.Hour).Truncate(time.Second)) || own.RenewTill.IsZero() {
			t.Errorf("we open it to %+v, %v", own, err)
		}
		if got, err := OpenKRBCred(b, inner, Key{}); err == nil {
			t.Errorf("another key opens it to %v", got)
		}
		for n := range b {
			if got, err := OpenKRBCred(b[:n], session); err == nil {
				t.Errorf("cut at %d: %v", n, got)
			}
		}
		f := OpenApp("KRB-CRED", 22, b)
		f.Int32(0)
		f.Int32(1)
		f.Raw(2)
		part, err := session.OpenData(UsageKRBCred, f.Encrypted(3))
		if err != nil {
			t.Fatal(err)
		}
		if own, err := OpenKRBCred(inClear(b, part), inner); err != nil || !own.Key.Equal(inner) || !bytes.Equal(own.Raw, raw) {
			t.Errorf("in clear, as Heimdal sends it, we open it to %+v, %v", own, err)
		}
		var cred messages.KRBCred
		if err := cred.Unmarshal(b); err != nil {
			t.Fatal(err)
		}
		if err := cred.DecryptEncPart(theirKey(session)); err != nil {
			t.Fatal(err)
		}
		if len(cred.Tickets) != 1 || !bytes.Equal(cred.Tickets[0].EncPart.Cipher, tkt.EncPart.Cipher) {
			t.Errorf("tickets %v", cred.Tickets)
		}
		if len(cred.DecryptedEncPart.TicketInfo) != 1 {
			t.Fatalf("%d infos", len(cred.DecryptedEncPart.TicketInfo))
		}
		info := cred.DecryptedEncPart.TicketInfo[0]
		if !bytes.Equal(info.Key.KeyValue, inner.Bytes()) || info.PRealm != "R" || info.PName.PrincipalNameString() != "alice" ||
			info.SName.PrincipalNameString() != "krbtgt/R" || info.SRealm != "R" || !info.EndTime.Equal(at.Add(time.Hour).Truncate(time.Second)) ||
			info.Flags.Bytes[0] != 0x60 {
			t.Errorf("info %+v", info)
		}
		if !cred.DecryptedEncPart.Timestamp.Equal(at.Truncate(time.Second)) || cred.DecryptedEncPart.Usec != 789 {
			t.Errorf("time %v %d", cred.DecryptedEncPart.Timestamp, cred.DecryptedEncPart.Usec)
		}
	}
}

// inClear returns a KRB-CRED with its sealed part in clear (RFC 4120 section 5.8.1).
func inClear(cred, part []byte) []byte {
	f := OpenApp("KRB-CRED", 22, cred)
	f.Int32(0)
	f.Int32(1)
	tickets := f.Raw(2)
	w := NewWriter(len(cred))
	w.App(22, func() {
		w.Field(3, func() { w.Sequence(func() { w.Octets(2, part); w.Int(0, 0) }) })
		w.Field(2, func() { w.Raw(tickets) })
		w.Int(1, 22)
		w.Int(0, 5)
	})
	b, err := w.Result()
	if err != nil {
		panic(err)
	}
	return b
}
