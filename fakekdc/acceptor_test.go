package fakekdc

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// TestAccept: without HTTP a token is verified by the rules of a Handler, and the
// response is one that the initiator understands.
func TestAccept(t *testing.T) {
	const service = "imap/mail.example"
	ntlm := spnego.EncodeInit([]spnego.OID{"1.3.6.1.4.1.311.2.2.10"}, []byte("NTLMSSP\x00"))
	endPoint := []byte("tls-server-end-point:x")
	for name, tc := range map[string]struct {
		client  func(c *plainclient.Client)
		token   []byte // in place of the client's
		options AcceptOptions
		code    int32  // of the refusal, 0 for none
		verdict string // of the initiator about the response
		says    string // in the reason of a refusal
	}{
		"SPNEGO":                    {options: AcceptOptions{Service: service}, verdict: "verified"},
		"Kerberos alone":            {client: func(c *plainclient.Client) { c.Raw = true }, options: AcceptOptions{Service: service}, verdict: "verified"},
		"any service":               {verdict: "verified"},
		"no proof wanted":           {client: func(c *plainclient.Client) { c.OneWay = true }, verdict: spnego.AcceptCompleted.String()},
		"no proof, Kerberos alone":  {client: func(c *plainclient.Client) { c.OneWay, c.Raw = true, true }, verdict: "no token"},
		"another service":           {options: AcceptOptions{Service: "HTTP/localhost"}, code: krb.CodeNotUs, verdict: "KRB_AP_ERR_NOT_US"},
		"another service, alone":    {client: func(c *plainclient.Client) { c.Raw = true }, options: AcceptOptions{Service: "HTTP/localhost"}, code: krb.CodeNotUs, verdict: "KRB_AP_ERR_NOT_US"},
		"another service, no proof": {client: func(c *plainclient.Client) { c.OneWay = true }, options: AcceptOptions{Service: "HTTP/localhost"}, code: krb.CodeNotUs, verdict: "reject"},
		"neither, Kerberos alone":   {client: func(c *plainclient.Client) { c.OneWay, c.Raw = true, true }, options: AcceptOptions{Service: "HTTP/localhost"}, code: krb.CodeNotUs, verdict: "no token"},
		"too old": {client: func(c *plainclient.Client) {
			c.Spoil = func(a *krb.Authenticator) { a.CTime = a.CTime.Add(-time.Hour) }
		}, code: krb.CodeSkew, verdict: "KRB_AP_ERR_SKEW"},
		"bindings":       {client: func(c *plainclient.Client) { c.Bindings = endPoint }, options: AcceptOptions{Bindings: BindingsRequired, EndPoint: endPoint}, verdict: "verified"},
		"other bindings": {client: func(c *plainclient.Client) { c.Bindings = []byte("tls-server-end-point:y") }, options: AcceptOptions{EndPoint: endPoint}, code: krb.CodeGeneric, verdict: "KRB_ERR_GENERIC"},
		"no bindings":    {options: AcceptOptions{Bindings: BindingsRequired, EndPoint: endPoint}, code: krb.CodeGeneric, verdict: "KRB_ERR_GENERIC"},
		"another mechanism first": {
			client: func(c *plainclient.Client) { c.Mechs = []spnego.OID{"1.3.6.1.4.1.311.2.2.10", spnego.KRB5} }, code: krb.CodeGeneric, verdict: "reject", says: "first mechanism",
		},
		"another mechanism": {token: ntlm, code: krb.CodeGeneric, verdict: "reject"},
		"cut short":         {token: ntlm[:len(ntlm)-1], code: krb.CodeGeneric, verdict: "no token"},
		"an answer":         {token: spnego.Resp{State: spnego.AcceptCompleted}.Append(nil), code: krb.CodeGeneric, verdict: "no token"},
		"garbage":           {token: []byte("GET"), code: krb.CodeGeneric, verdict: "no token"},
		"nothing":           {token: []byte{}, code: krb.CodeGeneric, verdict: "no token"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Start(t, WithoutSockets(), WithUser("alice", "secret"), WithService(service), WithService("HTTP/localhost"))
			c := &plainclient.Client{TB: t, Now: r.Now, Ticket: minted(t, r, "alice", service)}
			if tc.client != nil {
				tc.client(c)
			}
			token := tc.token
			if token == nil {
				token = c.First()
			}
			sc, err := r.Accept(token, tc.options)
			response := responseOf(sc, err)
			if _, verdict := c.Judge(response); verdict != tc.verdict {
				t.Errorf("the initiator says %q of the response, want %q", verdict, tc.verdict)
			}
			if tc.code != 0 {
				no, ok := errors.AsType[*AcceptError](err)
				if !ok || no.Code != tc.code || !strings.Contains(no.Reason, tc.says) || no.Reason == "" || sc != nil {
					t.Errorf("context %+v, error %v, want code %d", sc, err, tc.code)
				}
				return
			}
			want := Caller{
				Name: "alice@" + r.Name(), Service: service + "@" + r.Name(), Etype: AES256SHA1,
				Flags: GSSInteg | GSSConf | GSSMutual, Mutual: true, Bound: tc.options.EndPoint != nil,
			}
			if c.OneWay {
				want.Flags, want.Mutual = GSSInteg|GSSConf, false
			}
			if err != nil || sc.Caller() != want {
				t.Fatalf("context %+v, error %v, want %+v", sc, err, want)
			}
			// A token is good for once, with a Handler too.
			no, ok := errors.AsType[*AcceptError](second(r.Accept(token, tc.options)))
			if !ok || no.Code != krb.CodeRepeat {
				t.Errorf("a second time: %v", no)
			}
		})
	}
	r := Start(t, WithoutSockets())
	if _, err := r.Accept(nil, AcceptOptions{Service: "imap/nowhere"}); err == nil || !strings.Contains(err.Error(), "no principal imap/nowhere") {
		t.Errorf("a service that is not there: %v", err)
	}
}

func second(_ *SecurityContext, err error) error { return err }

// responseOf returns what goes back to the initiator.
func responseOf(sc *SecurityContext, err error) []byte {
	if no, ok := errors.AsType[*AcceptError](err); ok {
		return no.Response
	}
	if err != nil {
		return nil
	}
	return sc.Response()
}
