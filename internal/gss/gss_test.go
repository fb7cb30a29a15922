package gss

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*h = b
	return err
}

// A vector is one context with an acceptor on MIT krb5 1.20.1.
type vector struct {
	Etype               int32    `json:"etype"`
	Mutual              bool     `json:"mutual"`
	SessionKey          hexBytes `json:"session_key"`
	InitiatorSubkey     hexBytes `json:"initiator_subkey"`
	AcceptorSubkey      hexBytes `json:"acceptor_subkey"`
	AcceptorSubkeyEtype int32    `json:"acceptor_subkey_etype"`
	CTime               int64    `json:"ctime_unix"`
	Cusec               int      `json:"cusec"`
	InitiatorSeq        uint32   `json:"initiator_seq"`
	AcceptorSeq         uint32   `json:"acceptor_seq"`
	CBApplicationData   hexBytes `json:"cb_application_data"`
	APReqToken          hexBytes `json:"ap_req_token"`
	APRepToken          hexBytes `json:"ap_rep_token"`
	AcceptorMIC         hexBytes `json:"acceptor_mic"`
	AcceptorSealed      hexBytes `json:"acceptor_wrap_conf_true"`
	AcceptorClear       hexBytes `json:"acceptor_wrap_conf_false"`
	AcceptorIOVHeader   hexBytes `json:"acceptor_wrap_iov_header"`
	AcceptorIOVData     hexBytes `json:"acceptor_wrap_iov_data"`
	AcceptorIOVPadding  hexBytes `json:"acceptor_wrap_iov_padding"`
	InitiatorSealed     hexBytes `json:"initiator_wrap_conf_true"`
	Message             hexBytes `json:"message"`
}

func (v vector) name() string { return fmt.Sprintf("etype %d mutual %v", v.Etype, v.Mutual) }

func vectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/gss-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var out []vector
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if len(out) != 10 {
		t.Fatalf("%d vectors, want 10", len(out))
	}
	return out
}

// context returns the state of the initiator that made the vector.
func (v vector) context(t testing.TB) *Context {
	t.Helper()
	key := func(etype int32, b []byte) krb.Key {
		k, err := krb.NewKey(etype, b)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	c := &Context{
		ticket: &krb.Ticket{Key: key(v.Etype, v.SessionKey)}, ctime: time.Unix(v.CTime, 0).UTC(), cusec: v.Cusec,
		established: !v.Mutual,
	}
	ch, err := NewChannel(Params{Subkey: key(v.Etype, v.InitiatorSubkey), SendSeq: v.InitiatorSeq, RecvSeq: v.InitiatorSeq})
	if err != nil {
		t.Fatal(err)
	}
	c.channel = *ch
	if v.Mutual {
		c.flags = FlagMutual
	}
	return c
}

func TestAcceptMIT(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.name(), func(t *testing.T) {
			c := v.context(t)
			if v.Mutual {
				if err := c.Accept(v.APRepToken); err != nil {
					t.Fatal(err)
				}
				if c.channel.recv != uint64(v.AcceptorSeq) {
					t.Errorf("acceptor's sequence number %d, want %d", c.channel.recv, v.AcceptorSeq)
				}
			}
			if !c.Established() {
				t.Fatal("not established")
			}
			// MIT made three tokens before its MIC.
			c.channel.recv += 3
			if err := c.VerifyMIC(v.Message, v.AcceptorMIC); err != nil {
				t.Error(err)
			}
			if err := c.VerifyMIC(v.Message, v.AcceptorMIC); !errors.Is(err, ErrMIC) {
				t.Errorf("a replayed MIC: %v, want ErrMIC", err)
			}
		})
	}
}

func TestAcceptRefuses(t *testing.T) {
	all := vectors(t)
	var rep, other vector
	for _, v := range all {
		if v.Mutual && v.Etype == 18 {
			rep = v
		}
		if v.Mutual && v.Etype == 17 {
			other = v
		}
	}
	flip := func(b []byte, i int) []byte {
		b = bytes.Clone(b)
		b[(len(b)+i)%len(b)] ^= 1
		return b
	}
	krbError, err := (&krb.KRBError{STime: time.Unix(1, 0), Code: krb.CodeSkew, Server: krb.NewPrincipal("R", "HTTP", "h")}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		token  []byte
		change func(*Context)
		want   error
	}{
		"changed cipher":    {token: flip(rep.APRepToken, -1), want: krb.ErrIntegrity},
		"other etype":       {token: other.APRepToken, want: krb.ErrEtype},
		"other session":     {token: rep.APRepToken, change: func(c *Context) { c.ticket.Key, _ = krb.GenerateKey(18) }, want: krb.ErrIntegrity},
		"other second":      {token: rep.APRepToken, change: func(c *Context) { c.ctime = c.ctime.Add(time.Second) }, want: ErrTime},
		"other microsecond": {token: rep.APRepToken, change: func(c *Context) { c.cusec++ }, want: ErrTime},
		"our own token":     {token: rep.APReqToken, want: krb.ErrMalformed},
		"truncated":         {token: rep.APRepToken[:len(rep.APRepToken)-1], want: spnego.ErrMalformed},
		"trailing byte":     {token: append(bytes.Clone(rep.APRepToken), 0), want: spnego.ErrMalformed},
		"empty":             {token: nil, want: spnego.ErrMalformed},
		"second":            {token: rep.APRepToken, change: func(c *Context) { c.established = true }, want: krb.ErrMalformed},
		"SPNEGO":            {token: spnego.EncodeInit([]spnego.OID{spnego.KRB5}, rep.APRepToken), want: spnego.ErrMechanism},
		"empty KRB-ERROR":   {token: spnego.Frame(spnego.TokKRBError, nil), want: krb.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			c := rep.context(t)
			if tc.change != nil {
				tc.change(c)
			}
			before := c.established
			if err := c.Accept(tc.token); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if c.established != before {
				t.Error("established by a token that was refused")
			}
		})
	}
	t.Run("KRB-ERROR", func(t *testing.T) {
		err := rep.context(t).Accept(spnego.Frame(spnego.TokKRBError, krbError))
		var e *krb.KRBError
		if !errors.As(err, &e) || e.Code != krb.CodeSkew {
			t.Errorf("got %v, want a KRB-ERROR with code %d", err, krb.CodeSkew)
		}
	})
}

// A token that is no MIC is refused for what it is, however short.
func TestMICShapes(t *testing.T) {
	msg := []byte("message")
	for _, etype := range etypes {
		initiator, acceptor := pair(t, etype)
		token, err := acceptor.MIC(msg)
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(token) {
			if err := initiator.VerifyMIC(msg, token[:n]); !errors.Is(err, ErrMIC) {
				t.Errorf("etype %d, %d bytes: %v", etype, n, err)
			}
		}
		if _, id, inner, err := spnego.Unframe(token); err == nil { // of RC4
			for n := range len(inner) {
				if err := initiator.VerifyMIC(msg, spnego.Frame(id, inner[:n])); !errors.Is(err, ErrMIC) {
					t.Errorf("etype %d, a frame of %d bytes: %v", etype, n, err)
				}
			}
		}
		for i := range token {
			if err := initiator.VerifyMIC(msg, change(token, i, token[i]^1)); !errors.Is(err, ErrMIC) {
				t.Errorf("etype %d, byte %d: %v", etype, i, err)
			}
		}
		if err := initiator.VerifyMIC([]byte("other"), token); !errors.Is(err, ErrMIC) {
			t.Errorf("etype %d, another message: %v", etype, err)
		}
		if etype == krb.RC4HMAC {
			continue
		}
		own, err := initiator.MIC(msg)
		if err != nil {
			t.Fatal(err)
		}
		if err := initiator.VerifyMIC(msg, own); !errors.Is(err, ErrMIC) || !errors.Is(err, ErrDirection) {
			t.Errorf("etype %d, our own: %v", etype, err)
		}
		if err := initiator.VerifyMIC(msg, token); err != nil {
			t.Errorf("etype %d, after all that: %v", etype, err)
		}
	}
}

// Without FlagMutual there is no AP-REP to come, and a genuine one changes nothing:
// neither the key nor the numbers of messages.
func TestAcceptNotAsked(t *testing.T) {
	for _, v := range vectors(t) {
		if !v.Mutual {
			continue
		}
		key, err := krb.NewKey(v.Etype, v.SessionKey)
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := Init(&krb.Ticket{Key: key, Raw: ticketOf(t, v.APReqToken)}, Options{Now: time.Unix(v.CTime, 0)})
		if err != nil {
			t.Fatal(err)
		}
		c.ctime, c.cusec = time.Unix(v.CTime, 0).UTC(), v.Cusec
		before := c.channel
		if err := c.Accept(v.APRepToken); !errors.Is(err, krb.ErrMalformed) {
			t.Errorf("%s: %v", v.name(), err)
		}
		if c.channel.recv != before.recv || c.channel.subkey != before.subkey || !c.established {
			t.Errorf("%s: the channel is another one", v.name())
		}
	}
}

// TestInitSecondOpinion has gokrb5 open what Init makes.
func TestInitSecondOpinion(t *testing.T) {
	for _, v := range vectors(t) {
		if !v.Mutual {
			continue
		}
		t.Run(v.name(), func(t *testing.T) {
			_, _, apReq, err := spnego.Unframe(v.APReqToken)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := krb.ParseAPReq(apReq)
			if err != nil {
				t.Fatal(err)
			}
			key, err := krb.NewKey(v.Etype, v.SessionKey)
			if err != nil {
				t.Fatal(err)
			}
			ticket := &krb.Ticket{
				Client: krb.NewPrincipal("MINI.TEST", "alice"), Server: parsed.Ticket.Server, Raw: parsed.RawTicket, Key: key,
			}
			now := time.Date(2031, 5, 6, 7, 8, 9, 123456789, time.FixedZone("", 7200))
			cred := []byte("a KRB-CRED")
			c, req, err := Init(ticket, Options{Flags: FlagMutual | FlagDeleg | FlagInteg, Bindings: new(cbt.Hash(v.CBApplicationData)), Delegation: cred, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			var got messages.APReq
			if err := got.Unmarshal(req); err != nil {
				t.Fatal(err)
			}
			if got.APOptions.Bytes[0] != 0x20 {
				t.Errorf("AP options %x, want mutual-required", got.APOptions.Bytes)
			}
			ekey := types.EncryptionKey{KeyType: v.Etype, KeyValue: v.SessionKey}
			plain, err := crypto.DecryptEncPart(got.EncryptedAuthenticator, ekey, 11)
			if err != nil {
				t.Fatal(err)
			}
			var a types.Authenticator
			if err := a.Unmarshal(plain); err != nil {
				t.Fatal(err)
			}
			if a.CRealm != "MINI.TEST" || a.CName.PrincipalNameString() != "alice" || a.AVNO != 5 {
				t.Errorf("authenticator of %s@%s", a.CName.PrincipalNameString(), a.CRealm)
			}
			if !a.CTime.Equal(c.ctime) || a.Cusec != c.cusec || a.CTime.Sub(now.UTC().Truncate(time.Second)).Abs() > time.Second {
				t.Errorf("authenticator's time %v %d, ours %v %d", a.CTime, a.Cusec, c.ctime, c.cusec)
			}
			if a.SeqNumber != int64(c.channel.send) || c.channel.send >= 1<<30 {
				t.Errorf("sequence number %d, ours %d", a.SeqNumber, c.channel.send)
			}
			if !bytes.Equal(a.SubKey.KeyValue, c.channel.key.Bytes()) || a.SubKey.KeyType != v.Etype {
				t.Error("subkeys differ")
			}
			bnd := cbt.Hash(v.CBApplicationData)
			want := append([]byte{16, 0, 0, 0}, bnd[:]...)
			want = binary.LittleEndian.AppendUint32(want, FlagMutual|FlagDeleg|FlagInteg)
			want = append(want, 1, 0, byte(len(cred)), 0)
			want = append(want, cred...)
			if a.Cksum.CksumType != 0x8003 || !bytes.Equal(a.Cksum.Checksum, want) {
				t.Errorf("checksum: %s", cmp.Diff(want, a.Cksum.Checksum))
			}
			if c.Established() {
				t.Error("established before the acceptor answered")
			}
			// And MIT's own bindings, flags aside, are the same 16 bytes.
			mit, err := key.OpenData(krb.UsageAPReqAuth, parsed.Authenticator)
			if err != nil {
				t.Fatal(err)
			}
			ma, err := krb.ParseAuthenticator(mit)
			if err != nil {
				t.Fatal(err)
			}
			if len(ma.Checksum.Value) < 24 || !bytes.Equal(ma.Checksum.Value[4:20], bnd[:]) {
				t.Errorf("the vector's bindings %x, ours %x", ma.Checksum.Value, bnd)
			}
		})
	}
}

func TestInitLimits(t *testing.T) {
	key, err := krb.GenerateKey(18)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Init(&krb.Ticket{Key: key}, Options{Flags: FlagDeleg, Delegation: make([]byte, 1<<16), Now: time.Now()}); err == nil {
		t.Error("65536 bytes of delegated credentials were taken")
	}
	if _, _, err := Init(&krb.Ticket{Key: key}, Options{Flags: FlagDeleg, Delegation: make([]byte, 1<<16-1), Now: time.Now()}); err != nil {
		t.Errorf("65535 bytes of delegated credentials: %v", err)
	}
	seen := map[uint64]bool{}
	for range 4 {
		if c, _, err := Init(&krb.Ticket{Key: key}, Options{Now: time.Now()}); err == nil {
			seen[c.channel.send] = true
		}
	}
	if len(seen) < 2 {
		t.Errorf("four contexts begin with the numbers %v", seen)
	}
	if _, _, err := Init(&krb.Ticket{}, Options{Now: time.Now()}); err == nil {
		t.Error("a ticket without a key was taken")
	}
	c := &Context{}
	if _, err := c.MIC(nil); err == nil {
		t.Error("a MIC before the context was established")
	}
	if err := c.VerifyMIC(nil, nil); err == nil {
		t.Error("a MIC verified before the context was established")
	}
}

// TestMICPeers makes tokens as the acceptor would from ours.
func TestMICPeers(t *testing.T) {
	for _, etype := range []int32{17, 18, 19, 20, 23} {
		key, err := krb.GenerateKey(etype)
		if err != nil {
			t.Fatal(err)
		}
		c := &Context{channel: Channel{key: key, send: 7, recv: 9, first: 9}, established: true}
		msg := []byte("message")
		token, err := c.MIC(msg)
		if err != nil {
			t.Fatal(err)
		}
		if c.channel.send != 8 {
			t.Errorf("etype %d: sequence number %d after a MIC, want 8", etype, c.channel.send)
		}
		// Our own token, reflected, is not the peer's.
		if err := c.VerifyMIC(msg, token); !errors.Is(err, ErrMIC) {
			t.Errorf("etype %d: a reflected MIC: %v", etype, err)
		}
	}
}

func FuzzAccept(f *testing.F) {
	all := vectors(f)
	for _, v := range all {
		if len(v.APRepToken) > 0 {
			f.Add(v.Etype, []byte(v.APRepToken))
		}
	}
	f.Add(int32(18), spnego.Frame(spnego.TokKRBError, []byte{0x7e, 0}))
	f.Fuzz(func(t *testing.T, etype int32, token []byte) {
		for _, v := range all {
			if !v.Mutual || v.Etype != etype {
				continue
			}
			c := v.context(t)
			if err := c.Accept(token); err == nil && !bytes.Equal(token, v.APRepToken) {
				// Only DER that says the same may differ: the frame's OID.
				_, _, inner, _ := spnego.Unframe(token)
				_, _, want, _ := spnego.Unframe(v.APRepToken)
				if !bytes.Equal(inner, want) {
					t.Errorf("accepted %x", token)
				}
			} else if err != nil && c.Established() {
				t.Error("established in spite of an error")
			}
		}
	})
}

// Init starts a context and returns the AP-REQ of its first token.
func Init(t *krb.Ticket, o Options) (*Context, []byte, error) {
	c := &Context{}
	w := krb.NewWriter(Room(t, o))
	if err := c.Init(&w, t, o); err != nil {
		return nil, nil, err
	}
	return c, w.Bytes(), nil
}
