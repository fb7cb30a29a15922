package fakekdc

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// verdict is what a careful client makes of the reply to a login.
func verdict(tb testing.TB, r *Realm, network string, timeout time.Duration) string {
	tb.Helper()
	b := body(r, "alice")
	req, key := asReq(tb, r, "alice", "secret", AES256SHA1, b)
	reply, err := try(r, network, req, timeout)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	case err != nil:
		var op *net.OpError
		if errors.As(err, &op) {
			return "reset"
		}
		return err.Error()
	}
	if e, err := krb.ParseKRBError(reply); err == nil {
		if e.Code == krb.CodePreauthRequired {
			list, err := krb.ParsePADatas(e.Data)
			if err != nil {
				return "bad e-data"
			}
			if _, err := krb.ParseEtypeInfo2(list[0].Value); err != nil {
				return "bad etype info"
			}
		}
		return krb.ErrorName(e.Code)
	}
	rep, err := krb.ParseKDCRep(reply, krb.MsgASRep)
	if err != nil {
		return "malformed"
	}
	plain, err := key.OpenData(krb.UsageASRepEncPart, rep.EncPart)
	switch {
	case errors.Is(err, krb.ErrTooShort):
		return "too short"
	case err != nil:
		return "wrong key"
	}
	part, err := krb.ParseEncKDCRepPart(plain)
	switch {
	case err != nil:
		return "malformed"
	case part.Nonce != b.Nonce:
		return "nonce"
	case rep.Client.Realm != r.Name():
		return "realm"
	case !rep.Client.SameName(b.Client):
		return "client"
	case !part.Server.SameName(b.Server):
		return "server"
	case !part.EndTime.After(r.Now()):
		return "expired"
	}
	return "ok"
}

func TestFaults(t *testing.T) {
	t.Parallel()
	r := Start(t, WithUser("alice", "secret"))
	for name, tc := range map[string]struct {
		fault    Fault
		udp, tcp string
	}{
		"reply error": {ReplyError(krb.CodeUnavailable, nil), "KDC_ERR_SVC_UNAVAILABLE", "KDC_ERR_SVC_UNAVAILABLE"},
		// Pre-authentication is required, by what is no METHOD-DATA, and by ETYPE-INFO2 without entries:
		// SEQUENCE { SEQUENCE { [1] 19, [2] OCTET STRING { SEQUENCE {} } } }.
		"garbage e-data": {ReplyError(krb.CodePreauthRequired, []byte("\x30\x84\xff\xff\xff\xff\x01")), "bad e-data", "bad e-data"},
		"empty e-data":   {ReplyError(krb.CodePreauthRequired, []byte("\x30\x0d\x30\x0b\xa1\x03\x02\x01\x13\xa2\x04\x04\x02\x30\x00")), "bad etype info", "bad etype info"},
		"drop":           {Drop(), "timeout", "closed"},
		"silence":        {Silence(), "timeout", "timeout"},
		"reset":          {ResetConnection(), "timeout", "reset"},
		"truncate":       {Truncate(), "malformed", "malformed"},
		"huge frame":     {HugeFrame(), "ok", "ok"}, // try reads what there is
		"garbage":        {Garbage(), "malformed", "malformed"},
		"wrong nonce":    {WrongNonce(), "nonce", "nonce"},
		"wrong realm":    {WrongRealm(), "realm", "realm"},
		"wrong client":   {WrongClient(), "client", "client"},
		"wrong server":   {WrongServer(), "server", "server"},
		"wrong key":      {WrongKey(), "wrong key", "wrong key"},
		"short cipher":   {ShortCipher(), "too short", "too short"},
		"earlier ticket": {EarlierTicket(), "expired", "expired"},
		"delay":          {Delay(time.Microsecond), "ok", "ok"},
		"too big":        {TooBig(), "KRB_ERR_RESPONSE_TOO_BIG", "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			for network, want := range map[string]string{"udp": tc.udp, "tcp": tc.tcp} {
				r.FailNext(AS, tc.fault)
				timeout := 10 * time.Second
				if want == "timeout" {
					timeout = 30 * time.Millisecond
				}
				if got := verdict(t, r, network, timeout); got != want {
					t.Errorf("%s: %s, want %s", network, got, want)
				}
				for want == "timeout" && r.PendingFaults() > 0 { // on a slow machine there is silence before the KDC has read
					time.Sleep(time.Millisecond)
				}
				r.ClearFaults()
				if got := verdict(t, r, network, 10*time.Second); got != "ok" {
					t.Errorf("%s: afterwards %s, want ok", network, got)
				}
			}
		})
	}
}

func TestFaultQueue(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"), WithService("HTTP/localhost"))
	tgt := minted(t, r, "alice", krb.TGS(r.Name(), r.Name()).Name())
	r.FailNext(TGS, ReplyError(krb.CodeGeneric, nil))
	r.FailNext(AS, Repeat(2, ReplyError(krb.CodeUnavailable, nil))...)
	r.FailNext(Any, WrongNonce())
	var got []string
	for range 3 {
		got = append(got, verdict(t, r, "udp", 10*time.Second))
	}
	if want := []string{"KDC_ERR_SVC_UNAVAILABLE", "KDC_ERR_SVC_UNAVAILABLE", "nonce"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n := r.PendingFaults(); n != 1 {
		t.Errorf("%d orders left, want 1", n)
	}
	req, _ := tgsReq(t, r, tgt, forService(r, "HTTP/localhost"), nil)
	if got := codeOf(t, exchange(t, r, "udp", req)); got != krb.CodeGeneric {
		t.Errorf("TGS: %s", krb.ErrorName(got))
	}
	if e := r.Exchanges()[3]; e.Fault != "KRB_ERR_GENERIC" || e.Code != krb.CodeGeneric || e.Kind != TGS {
		t.Errorf("recorded as %v", e)
	}
	if s := Drop().String(); s != "drop" {
		t.Errorf("name %q", s)
	}
}

func TestHold(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"))
	release := make(chan struct{})
	r.FailNext(AS, HoldUntil(release))
	held := make(chan string)
	go func() { held <- verdict(t, r, "udp", 10*time.Second) }()
	for r.PendingFaults() != 0 {
		time.Sleep(time.Millisecond) // until the exchange has met its order
	}
	if got := verdict(t, r, "udp", 10*time.Second); got != "ok" {
		t.Errorf("beside the one held: %s", got)
	}
	close(release)
	if got := <-held; got != "ok" {
		t.Errorf("held: %s", got)
	}
}

func TestPauseResume(t *testing.T) {
	t.Parallel()
	r := Start(t, WithUser("alice", "secret"))
	for range 2 {
		r.Pause()
		if got := verdict(t, r, "udp", 30*time.Millisecond); got != "timeout" {
			t.Errorf("UDP while paused: %s", got)
		}
		if got := verdict(t, r, "tcp", 10*time.Second); got != "closed" && got != "reset" {
			t.Errorf("TCP while paused: %s", got)
		}
		r.Resume()
		for _, network := range []string{"udp", "tcp"} {
			if got := verdict(t, r, network, 10*time.Second); got != "ok" {
				t.Errorf("%s afterwards: %s", network, got)
			}
		}
	}
}

func TestCloseEndsWaits(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"))
	r.FailNext(AS, Delay(time.Hour), Silence(), HoldUntil(nil), HoldUntil(make(chan struct{})))
	conns := make([]net.Conn, 4)
	for i := range conns {
		req, _ := asReq(t, r, "alice", "secret", AES256SHA1, body(r, "alice"))
		c, err := net.Dial("tcp", r.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(append([]byte{0, 0, byte(len(req) >> 8), byte(len(req))}, req...)); err != nil {
			t.Fatal(err)
		}
		conns[i] = c
	}
	for r.PendingFaults() != 0 {
		time.Sleep(time.Millisecond)
	}
	r.Close()
	r.Close()
}

// TestReplyNTStatus: the reason arrives as Active Directory writes it.
func TestReplyNTStatus(t *testing.T) {
	r := Start(t, WithUser("alice", "secret"))
	r.FailNext(AS, ReplyNTStatus(krb.CodeClientRevoked, uint32(krb.StatusAccountDisabled)))
	e, err := krb.ParseKRBError(exchange(t, r, "udp", marshalReq(t, krb.MsgASReq, nil, body(r, "alice"))))
	if err != nil {
		t.Fatal(err)
	}
	if e.Code != krb.CodeClientRevoked || e.NTStatus() != krb.StatusAccountDisabled {
		t.Errorf("got %v", e)
	}
	if got := r.Exchanges()[0].Fault; got != "KDC_ERR_CLIENT_REVOKED, STATUS_ACCOUNT_DISABLED" {
		t.Errorf("recorded as %q", got)
	}
}
