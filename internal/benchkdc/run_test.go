package benchkdc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/testmain"
)

func TestMain(m *testing.M) { testmain.Run(m) }

func target(r *fakekdc.Realm) Target {
	return Target{
		Addr: r.Addr(), Client: krb.NewPrincipal(r.Name(), "alice"), Password: "secret",
		Service: krb.NewPrincipal(r.Name(), "HTTP", "localhost"), Etype: krb.AES256SHA1,
	}
}

func start(t *testing.T) (*fakekdc.Realm, *Session) {
	t.Helper()
	r := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	s, err := Login(t.Context(), target(r))
	if err != nil {
		t.Fatal(err)
	}
	r.ResetExchanges()
	return r, s
}

func kindOf(e Exchange) fakekdc.Kind {
	if e == AS {
		return fakekdc.AS
	}
	return fakekdc.TGS
}

// The KDC must have seen what is counted, and nothing else.
func TestRun(t *testing.T) {
	for name, p := range map[string]Plan{
		"AS, UDP":  {AS, "udp", 3, 50 * time.Millisecond},
		"AS, TCP":  {AS, "tcp", 3, 50 * time.Millisecond},
		"TGS, UDP": {TGS, "udp", 3, 50 * time.Millisecond},
		"TGS, TCP": {TGS, "tcp", 3, 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := start(t)
			got, err := s.Run(t.Context(), p)
			for err == nil && got.Exchanges == 0 && p.Duration < 10*time.Second { // on a machine that is busy with other things
				p.Duration *= 4
				got, err = s.Run(t.Context(), p)
			}
			if err != nil {
				t.Fatal(err)
			}
			seen := r.Exchanges()
			if got.Exchanges == 0 || got.Elapsed <= 0 || len(seen) < min(got.Exchanges, 8000) {
				t.Errorf("%+v, the KDC saw %d", got, len(seen))
			}
			for _, e := range seen {
				if e.Kind != kindOf(p.Exchange) || e.Code != 0 || e.Network != p.Network {
					t.Fatalf("%v", e)
				}
			}
		})
	}
}

// Anything but the right ticket ends the run.
func TestRunFails(t *testing.T) {
	for name, tc := range map[string]struct {
		fault fakekdc.Fault
		want  string
	}{
		"refusal":     {fakekdc.ReplyError(fakekdc.CodePolicy, nil), "KDC_ERR_POLICY"},
		"garbage":     {fakekdc.Garbage(), "malformed"},
		"wrong nonce": {fakekdc.WrongNonce(), "nonce"},
		"wrong key":   {fakekdc.WrongKey(), "integrity"},
		"other":       {fakekdc.WrongServer(), "for"},
		"half":        {fakekdc.Truncate(), "EOF"},
		"reset":       {fakekdc.ResetConnection(), "exchange over tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := start(t)
			r.FailNext(fakekdc.Any, tc.fault)
			got, err := s.Run(t.Context(), Plan{TGS, "tcp", 1, MaxDuration})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%+v, error %v, want %q in it", got, err, tc.want)
			}
		})
	}
}

func TestRunEnds(t *testing.T) {
	_, s := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := s.Run(ctx, Plan{AS, "udp", 2, MaxDuration}); !errors.Is(err, context.Canceled) || got.Exchanges != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestPlan(t *testing.T) {
	_, s := start(t)
	good := Plan{AS, "udp", 1, time.Millisecond}
	for name, spoil := range map[string]func(*Plan){
		"no exchange": func(p *Plan) { p.Exchange = 0 },
		"network":     func(p *Plan) { p.Network = "unix" },
		"no workers":  func(p *Plan) { p.Workers = 0 },
		"an army":     func(p *Plan) { p.Workers = MaxWorkers + 1 },
		"no time":     func(p *Plan) { p.Duration = 0 },
		"for ever":    func(p *Plan) { p.Duration = MaxDuration + 1 },
	} {
		p := good
		spoil(&p)
		if _, err := s.Run(t.Context(), p); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLogin(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"))
	good := target(r)
	for name, tc := range map[string]struct {
		spoil func(*Target)
		want  string
	}{
		"far away":       {func(g *Target) { g.Addr = "192.0.2.1:88" }, "not a loopback address"},
		"a name":         {func(g *Target) { g.Addr = "localhost:88" }, "loopback address"},
		"wrong password": {func(g *Target) { g.Password = "wrong" }, "KDC_ERR_PREAUTH_FAILED"},
		"nobody":         {func(g *Target) { g.Client.Components = []string{"nobody"} }, "KDC_ERR_C_PRINCIPAL_UNKNOWN"},
	} {
		bad := good
		tc.spoil(&bad)
		if _, err := Login(t.Context(), bad); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
