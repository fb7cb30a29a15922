package krb

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// gssVector is one context that was set up with a real MIT acceptor.
type gssVector struct {
	Etype              int32   `json:"etype"`
	Mutual             bool    `json:"mutual"`
	ServiceEtype       int32   `json:"service_etype"`
	ServicePassword    string  `json:"service_password"`
	ServicePrincipal   string  `json:"service_principal"`
	SessionKey         hexText `json:"session_key"`
	InitiatorSubkey    hexText `json:"initiator_subkey"`
	InitiatorSeq       uint32  `json:"initiator_seq"`
	AcceptorSubkey     hexText `json:"acceptor_subkey"`
	AcceptorSubkeyType int32   `json:"acceptor_subkey_etype"`
	AcceptorSeq        uint32  `json:"acceptor_seq"`
	CTime              int64   `json:"ctime_unix"`
	Cusec              int     `json:"cusec"`
	Bindings           hexText `json:"cb_application_data"`
	APReq              hexText `json:"ap_req_token"`
	APRep              hexText `json:"ap_rep_token"`
}

type hexText []byte

func (h *hexText) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*h = unhex(s)
	return nil
}

func gssVectors(t testing.TB) []gssVector {
	t.Helper()
	b, err := os.ReadFile("../gss/testdata/gss-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []gssVector
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("no vectors")
	}
	return list
}

// unframe takes off the frame of RFC 4121 section 4.1 and its token type.
func unframe(t testing.TB, token []byte, tokenType uint16) []byte {
	t.Helper()
	krb5 := asn1OID(1, 2, 840, 113554, 1, 2, 2)
	s := cryptobyte.String(token)
	var inner, oid cryptobyte.String
	var typ uint16
	if !s.ReadASN1(&inner, App(0)) || !s.Empty() ||
		!inner.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) || string(oid) != string(krb5) ||
		!inner.ReadUint16(&typ) || typ != tokenType {
		t.Fatalf("no krb5 token %#04x: %x", tokenType, token)
	}
	return inner
}

func asn1OID(parts ...int) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1ObjectIdentifier(parts)
	s := cryptobyte.String(must(b.Bytes()))
	var out cryptobyte.String
	if !s.ReadASN1(&out, asn1.OBJECT_IDENTIFIER) {
		panic("test data: object identifier")
	}
	return out
}

func TestContextsWithMIT(t *testing.T) {
	seen := map[string]bool{}
	for i, v := range gssVectors(t) {
		name := fmt.Sprintf("%d etype %d mutual %t", i, v.Etype, v.Mutual)
		seen[fmt.Sprint(v.Etype, v.Mutual)] = true
		t.Run(name, func(t *testing.T) {
			server := must(ParsePrincipal(v.ServicePrincipal))
			if server.Salt() != "MINI.TESTHTTPlocalhost" {
				t.Fatalf("salt %q", server.Salt())
			}
			service := must(StringToKey(v.ServiceEtype, v.ServicePassword, server.Salt(), nil))
			session := must(NewKey(v.Etype, v.SessionKey))

			req, err := ParseAPReq(unframe(t, v.APReq, 0x0100))
			if err != nil {
				t.Fatal(err)
			}
			if got := req.Options&APMutualRequired != 0; got != v.Mutual {
				t.Errorf("mutual required %t, want %t", got, v.Mutual)
			}
			if !req.Ticket.Server.Equal(server) {
				t.Errorf("ticket for %v, want %v", req.Ticket.Server, server)
			}

			plain, err := service.OpenData(UsageTicket, req.Ticket.EncPart)
			if err != nil {
				t.Fatalf("ticket: %v", err)
			}
			f := OpenApp("ticket part", 3, plain)
			f.Flags(0)
			inside := f.Key(1)
			client := Principal{Realm: f.Text(2)}
			client.Components = f.Name(3).Components
			if err := f.Err(false); err != nil {
				t.Fatal(err)
			}
			if !inside.Equal(session) {
				t.Error("the ticket holds another session key")
			}
			var theirs messages.EncTicketPart
			if err := theirs.Unmarshal(plain); err != nil {
				t.Fatal(err)
			}
			if theirs.Key.KeyType != v.Etype || string(theirs.Key.KeyValue) != string(v.SessionKey) {
				t.Error("gokrb5 finds another session key in the ticket")
			}

			plain, err = session.OpenData(UsageAPReqAuth, req.Authenticator)
			if err != nil {
				t.Fatalf("authenticator: %v", err)
			}
			auth, err := ParseAuthenticator(plain)
			if err != nil {
				t.Fatal(err)
			}
			if !auth.Client.Equal(client) {
				t.Errorf("authenticator of %v, ticket of %v", auth.Client, client)
			}
			ctime := time.Unix(v.CTime, 0)
			if !auth.CTime.Equal(ctime) || auth.Cusec != v.Cusec {
				t.Errorf("time %v %d, want %v %d", auth.CTime, auth.Cusec, ctime, v.Cusec)
			}
			if !auth.HasSeq || auth.Seq != v.InitiatorSeq {
				t.Errorf("sequence number %d, want %d", auth.Seq, v.InitiatorSeq)
			}
			if !auth.Subkey.Equal(must(NewKey(v.Etype, v.InitiatorSubkey))) {
				t.Error("another subkey")
			}
			bindings := md5.Sum(append(binary.LittleEndian.AppendUint32(make([]byte, 16), uint32(len(v.Bindings))), v.Bindings...))
			if sum := auth.Checksum; sum.Type != 0x8003 || len(sum.Value) < 24 || string(sum.Value[4:20]) != string(bindings[:]) {
				t.Errorf("checksum %#x %x, want bindings %x", sum.Type, sum.Value, bindings)
			}
			sum, err := ParseGSSChecksum(auth.Checksum.Value)
			if err != nil || sum.Bindings != bindings || v.Mutual != (sum.Flags&GSSMutual != 0) {
				t.Errorf("checksum %+v, %v", sum, err)
			}
			sameBytes(t, "checksum encoded anew", sum.Append(nil), auth.Checksum.Value)
			// What MIT wrote is what we would write.
			sameBytes(t, "authenticator encoded anew", must(auth.Marshal()), plain)

			if !v.Mutual {
				if len(v.APRep) != 0 {
					t.Error("an AP-REP without mutual authentication")
				}
				return
			}
			rep, err := OpenAPRep(session, unframe(t, v.APRep, 0x0200))
			if err != nil {
				t.Fatal(err)
			}
			want := &EncAPRepPart{
				CTime: ctime.UTC(), Cusec: v.Cusec, Seq: v.AcceptorSeq, HasSeq: true,
				Subkey: must(NewKey(v.AcceptorSubkeyType, v.AcceptorSubkey)),
			}
			diff(t, "AP-REP", rep, want)
			for what, key := range map[string]Key{"the initiator's subkey": auth.Subkey, "the service key": service} {
				if _, err := OpenAPRep(key, unframe(t, v.APRep, 0x0200)); err == nil {
					t.Errorf("the AP-REP opens with %s", what)
				}
			}
		})
	}
	for _, etype := range allEtypes {
		for _, mutual := range []bool{true, false} {
			if !seen[fmt.Sprint(etype, mutual)] {
				t.Errorf("no vector for %s, mutual %t", EtypeName(etype), mutual)
			}
		}
	}
}
