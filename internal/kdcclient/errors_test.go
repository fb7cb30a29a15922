package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// errors.As reaches what lies beneath: of the last message, and of every
// candidate.
func TestErrorsAs(t *testing.T) {
	realms := realmsOf(t, map[string][]string{realmA: {"krbtgt/DOWN.TEST"}, realmB: nil})
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	down := KDC{Host: "127.0.0.1", Port: nobody.Addr().(*net.TCPAddr).Port, Network: "tcp"}
	nobody.Close()
	c := client(Options{Pacing: restless, Locate: func(_ context.Context, realm string) ([]KDC, error) {
		if realm == "DOWN.TEST" {
			return []KDC{down}, nil
		}
		return []KDC{realms[realm].addr}, nil
	}})
	tgt := login(t, client(Options{}, realms[realmA]))
	for name, tc := range map[string]struct {
		server   krb.Principal
		fallback []string
		code     int32
	}{
		"the realm is down":            {krb.NewPrincipal("DOWN.TEST", "HTTP", "www"), nil, 0},
		"the fallback's realm is down": {krb.NewPrincipal("", "HTTP", "www"), []string{"DOWN.TEST"}, krb.CodeServerUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.TGS(t.Context(), tgt, tc.server, TGSOptions{Fallback: func(context.Context) []string { return tc.fallback }})
			e := failure(t, err)
			if e.Code != tc.code || !e.Temporary() {
				t.Errorf("%+v", e)
			}
			// A refused connection is no timeout, whatever else was tried.
			if ne, ok := errors.AsType[net.Error](err); !ok || ne.Timeout() {
				t.Errorf("%#v", ne)
			}
			if oe, ok := errors.AsType[*net.OpError](err); !ok || oe.Op != "dial" {
				t.Errorf("%#v", oe)
			}
			ke, ok := errors.AsType[*krb.KRBError](err)
			if ok != (tc.code != 0) || ok && ke.Code != tc.code {
				t.Errorf("KRB-ERROR %v", ke)
			}
			if !errors.Is(err, errUnreachable) || !strings.Contains(err.Error(), "refused") || !strings.Contains(err.Error(), "127.0.0.1") {
				t.Error(err)
			}
			for _, c := range e.Candidates {
				if c.Err == nil || c.Err == e || c.Err.Candidates != nil {
					t.Errorf("candidate %v: %v", c.Server, c.Err)
				}
			}
		})
	}
}

func TestJoin(t *testing.T) {
	for want, in := range map[string][2]string{"": {}, "a": {"a", ""}, "b": {"", "b"}, "a; b": {"a", "b"}} {
		if got := hints.Join(in[0], in[1]); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// That one KDC was late does not make a refusal by another a matter of time.
func TestErrorTimeout(t *testing.T) {
	late := []Attempt{{Err: fmt.Errorf("no answer: %w", os.ErrDeadlineExceeded)}}
	for name, tc := range map[string]struct {
		e    Error
		want bool
	}{
		"the caller's deadline": {Error{Kind: KindUnreachable, Err: context.DeadlineExceeded}, true},
		"the caller's cancel":   {Error{Kind: KindUnreachable, Err: context.Canceled}, false},
		"silence":               {Error{Kind: KindUnreachable, Err: errUnreachable, KDCs: late}, true},
		"closed ports":          {Error{Kind: KindUnreachable, Err: errUnreachable, KDCs: []Attempt{{Err: syscall.ECONNREFUSED}}}, false},
		"a wrong password":      {Error{Kind: KindKey, Err: errUnreachable, KDCs: late}, false},
		"a refusal":             {Error{Kind: KindRefused, Err: errUnreachable, KDCs: late}, false},
	} {
		if got := tc.e.Timeout(); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
