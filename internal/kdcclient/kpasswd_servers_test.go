package kdcclient_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
)

// hangsUp is a connection to one who reads what is sent, and says nothing.
type hangsUp struct{ net.Conn }

func (hangsUp) Read([]byte) (int, error) { return 0, io.EOF }

// TestChangePasswordServers: the next server is asked where the one before cannot have
// got the new password, and no other is.
func TestChangePasswordServers(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithUser("alice", password, fakekdc.Iterations(4096)), fakekdc.WithKpasswd(nil))
	host, _, err := net.SplitHostPort(r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	unlocated := errors.New("nobody knows")
	for name, tc := range map[string]struct {
		servers []string // nil: nobody is asked for them
		fails   error    // of that question
		dialled []string
		kind    kdcclient.Kind // 0: changed
		hint    string
		ended   bool // ctx, before all
	}{
		"one":              {servers: []string{"good"}, dialled: []string{"good"}},
		"first is down":    {servers: []string{"down", "good"}, dialled: []string{"down", "good"}},
		"first is unknown": {servers: []string{"unknown", "good"}, dialled: []string{"unknown", "good"}},
		"first says nothing": {
			servers: []string{"silent", "good"}, dialled: []string{"silent"}, kind: kdcclient.KindUnreachable, hint: "may have been changed or not",
		},
		"all are down": {
			servers: []string{"down", "unknown"}, dialled: []string{"down", "unknown"}, kind: kdcclient.KindUnreachable, hint: "is the old one still",
		},
		"given up": {
			servers: []string{"ended", "good"}, dialled: []string{"ended"}, kind: kdcclient.KindUnreachable, hint: "may have been changed or not",
		},
		"given up before": {servers: []string{"good"}, ended: true, kind: kdcclient.KindUnreachable},
		"none":            {servers: []string{}, kind: kdcclient.KindNoKDC, hint: "kpasswd_server"},
		"not located":     {servers: []string{}, fails: unlocated, kind: kdcclient.KindUnreachable},
		"not asked":       {kind: kdcclient.KindNoKDC, hint: "kpasswd_server"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var dialled []string
			o := kdcclient.Options{Now: r.Now, Etypes: krb.DefaultEtypes(false)}
			o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				at, _, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				if at == host {
					return r.Dial(ctx, network, address)
				}
				dialled = append(dialled, at)
				switch at {
				case "unknown":
					return nil, &net.OpError{Op: "lookup", Err: &net.DNSError{Err: "no such host", Name: at}}
				case "down":
					return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
				case "ended":
					cancel()
					return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
				}
				conn, err := new(net.Dialer).DialContext(ctx, network, r.KpasswdAddr())
				if at == "silent" {
					conn = hangsUp{conn}
				}
				return conn, err
			}
			o.Locate = func(context.Context, string) ([]kdcclient.KDC, error) {
				return []kdcclient.KDC{{Host: host, Port: 88, Network: "tcp"}}, nil
			}
			if tc.servers != nil {
				o.LocateKpasswd = func(context.Context, string) (servers []kdcclient.KDC, err error) {
					for _, at := range tc.servers {
						servers = append(servers, kdcclient.KDC{Host: at, Port: 464, Network: "tcp"})
					}
					return servers, tc.fails
				}
			}
			c, alice := kdcclient.New(o), krb.NewPrincipal(r.Name(), "alice")
			ticket, err := c.AS(t.Context(), kdcclient.ASRequest{Client: alice, Server: kdcclient.Changepw(r.Name()), Keys: kdcclient.Password(alice, password)})
			if err != nil {
				t.Fatal(err)
			}
			if tc.ended {
				cancel()
			}
			err = c.ChangePassword(ctx, ticket, secret.NewText(password))
			if !slices.Equal(dialled, tc.dialled) {
				t.Errorf("asked %q, want %q", dialled, tc.dialled)
			}
			if tc.kind == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e, ok := errors.AsType[*kdcclient.Error](err)
			if open := strings.Contains(tc.hint, "may have been changed"); ok && e.Unsettled != open {
				t.Errorf("unsettled: %v, want %v", e.Unsettled, open)
			}
			if !ok || e.Kind != tc.kind || len(e.KDCs) != len(tc.dialled) || !strings.Contains(e.Hint, tc.hint) || tc.fails != nil && !errors.Is(err, tc.fails) {
				t.Errorf("%+v", err)
			}
		})
	}
}
