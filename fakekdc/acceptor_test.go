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
		ticket  func(r *Realm, own *krb.Ticket) *krb.Ticket // in place of the client's own
		token   []byte                                      // in place of the client's
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
		"other bindings, to one who does not ask": {client: func(c *plainclient.Client) { c.Bindings = []byte("tls-server-end-point:y") }, options: AcceptOptions{Bindings: BindingsOff, EndPoint: endPoint}, verdict: "verified"},
		"bindings, to one who has none":           {client: func(c *plainclient.Client) { c.Bindings = endPoint }, verdict: "verified"},
		"knows of bindings, to one who has none":  {client: func(c *plainclient.Client) { c.Aware = true }, verdict: "verified"},
		"no bindings":                             {options: AcceptOptions{Bindings: BindingsRequired, EndPoint: endPoint}, code: krb.CodeGeneric, verdict: "KRB_ERR_GENERIC"},
		"ticket-granting ticket": {
			ticket: func(r *Realm, _ *krb.Ticket) *krb.Ticket {
				return minted(t, r, "alice", krb.TGS(r.Name(), r.Name()).Name())
			}, code: krb.CodeNotUs, verdict: "KRB_AP_ERR_NOT_US", says: "ticket is for krbtgt/",
		},
		"another realm's": {
			ticket: func(_ *Realm, own *krb.Ticket) *krb.Ticket {
				c := *own
				c.Raw = ticketDER("OTHER.EXAMPLE", krb.NewPrincipal("", "imap", "mail.example"), AES256SHA1, 1)
				return &c
			}, options: AcceptOptions{Service: service}, code: krb.CodeNotUs, verdict: "KRB_AP_ERR_NOT_US", says: "no such service",
		},
		"not yet valid": {
			ticket: func(r *Realm, own *krb.Ticket) *krb.Ticket { return with(t, r, own, krb.FlagInvalid) },
			code:   krb.CodeTicketNotYet, verdict: "KRB_AP_ERR_TKT_NYV",
		},
		"ended": {
			ticket: func(r *Realm, own *krb.Ticket) *krb.Ticket {
				return resealed(t, r, own, func(g *grant) { g.end = r.Now().Add(-time.Hour) })
			}, code: krb.CodeTicketExpired, verdict: "KRB_AP_ERR_TKT_EXPIRED",
		},
		"by way of a realm that is denied": {
			ticket: func(r *Realm, own *krb.Ticket) *krb.Ticket {
				r.DenyTransit("MIDDLE.EXAMPLE")
				return resealed(t, r, own, func(g *grant) {
					g.flags &^= krb.FlagTransitedOK
					g.transited = marshalTransited([]string{"MIDDLE.EXAMPLE"})
				})
			}, code: krb.CodePolicy, verdict: "KDC_ERR_POLICY",
		},
		"by such a way, which a KDC has checked": {
			ticket: func(r *Realm, own *krb.Ticket) *krb.Ticket {
				r.DenyTransit("MIDDLE.EXAMPLE")
				return resealed(t, r, own, func(g *grant) {
					g.flags |= krb.FlagTransitedOK
					g.transited = marshalTransited([]string{"MIDDLE.EXAMPLE"})
				})
			}, verdict: "verified",
		},
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
			if tc.ticket != nil {
				c.Ticket = tc.ticket(r, c.Ticket)
			}
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
				Flags: GSSInteg | GSSConf | GSSMutual, Mutual: true, Bound: tc.options.EndPoint != nil && tc.options.Bindings != BindingsOff, Aware: c.Aware,
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

// TestAcceptChecksums: the authenticator's checksum is that of GSS-API, or one of the
// session key over nothing; no other proves anything. What a client says of bindings is
// heard where it is said as [MS-KILE] has it.
func TestAcceptChecksums(t *testing.T) {
	r := Start(t, WithoutSockets(), WithUser("alice", "secret"), WithService("HTTP/localhost"))
	ticket := minted(t, r, "alice", "HTTP/localhost")
	of := func(data ...byte) krb.Checksum {
		sum, err := ticket.Key.Checksum(krb.UsageAPReqChecksum, data)
		if err != nil {
			t.Fatal(err)
		}
		return krb.Checksum{Type: ticket.Key.ChecksumType(), Value: sum}
	}
	says := func(e krb.AuthData) func(*krb.Authenticator) {
		return func(a *krb.Authenticator) { a.AuthData = krb.MarshalAuthData(e) }
	}
	options := func(b ...byte) krb.AuthData { return krb.AuthData{Type: krb.ADAPOptions, Data: b} }
	for name, tc := range map[string]struct {
		spoil func(*krb.Authenticator)
		code  int32
		flags uint32
	}{
		"as usual":          {func(*krb.Authenticator) {}, 0, GSSInteg | GSSConf | GSSMutual},
		"none":              {func(a *krb.Authenticator) { a.Checksum = krb.Checksum{} }, 0, 0},
		"of nothing":        {func(a *krb.Authenticator) { a.Checksum = of() }, 0, 0},
		"of something":      {func(a *krb.Authenticator) { a.Checksum = of('x') }, krb.CodeInappChecksum, 0},
		"of no key":         {func(a *krb.Authenticator) { a.Checksum = of(); a.Checksum.Type = krb.ChecksumRSAMD5 }, krb.CodeInappChecksum, 0},
		"cut short":         {func(a *krb.Authenticator) { a.Checksum.Value = a.Checksum.Value[:23] }, krb.CodeInappChecksum, 0},
		"knows of bindings": {says(krb.IfRelevant(options(0, 0x40, 0, 0))), krb.CodeGeneric, 0},
		"other options":     {says(krb.IfRelevant(options(0, 0x80, 0, 0))), 0, GSSInteg | GSSConf | GSSMutual},
		"short options":     {says(krb.IfRelevant(options(0, 0x40))), 0, GSSInteg | GSSConf | GSSMutual},
		"for those who must understand": {
			says(krb.AuthData{Type: krb.ADKDCIssued, Data: krb.MarshalAuthData(options(0, 0x40, 0, 0))}), 0, GSSInteg | GSSConf | GSSMutual,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := &plainclient.Client{TB: t, Now: r.Now, Ticket: ticket, Spoil: tc.spoil}
			sc, err := r.Accept(c.First(), AcceptOptions{EndPoint: []byte("tls-server-end-point:x")})
			if tc.code != 0 {
				if no, ok := errors.AsType[*AcceptError](err); !ok || no.Code != tc.code {
					t.Errorf("%v, want code %d", err, tc.code)
				}
				return
			}
			if err != nil || sc.Caller().Flags != tc.flags || sc.Caller().Aware {
				t.Errorf("context %+v, error %v, want flags %x", sc, err, tc.flags)
			}
		})
	}
}

// TestAcceptMutual: the context's flags say whether an initiator wants proof, and the option of its
// AP-REQ where there are none.
func TestAcceptMutual(t *testing.T) {
	r := Start(t, WithoutSockets(), WithUser("alice", "secret"), WithService("HTTP/localhost"))
	ticket := minted(t, r, "alice", "HTTP/localhost")
	const flagsAt = 20 // RFC 4121 section 4.1.1
	for name, tc := range map[string]struct {
		option, want bool
		spoil        func(*krb.Authenticator)
	}{
		"both":                 {true, true, nil},
		"neither":              {false, false, nil},
		"the flag alone":       {false, true, func(a *krb.Authenticator) { a.Checksum.Value[flagsAt] |= byte(GSSMutual) }},
		"the option alone":     {true, false, func(a *krb.Authenticator) { a.Checksum.Value[flagsAt] &^= byte(GSSMutual) }},
		"the option, no flags": {true, true, func(a *krb.Authenticator) { a.Checksum = krb.Checksum{} }},
		"no option, no flags":  {false, false, func(a *krb.Authenticator) { a.Checksum = krb.Checksum{} }},
	} {
		t.Run(name, func(t *testing.T) {
			c := &plainclient.Client{TB: t, Now: r.Now, Ticket: ticket, OneWay: !tc.option, Spoil: tc.spoil, Raw: true}
			sc, err := r.Accept(c.First(), AcceptOptions{})
			if err != nil || sc.Caller().Mutual != tc.want || (sc.Response() != nil) != tc.want {
				t.Errorf("context %+v, error %v", sc, err)
			}
		})
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
