package kerberos_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/initiatortest"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// A recorder is a ticket source that keeps the SPNs it is asked for.
type recorder struct {
	mu   sync.Mutex
	spns []string
}

var errRecorded = errors.New("recorded")

func (r *recorder) ServiceTicket(_ context.Context, spn string) (kerberos.Ticket, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spns = append(r.spns, spn)
	return kerberos.Ticket{}, errRecorded
}

func TestNewInitiatorRefuses(t *testing.T) {
	r := &recorder{}
	for name, tc := range map[string]struct {
		source kerberos.TicketSource
		o      kerberos.InitiatorOptions
		says   string
	}{
		"no source":         {nil, kerberos.InitiatorOptions{}, "ticket source"},
		"delegation":        {r, kerberos.InitiatorOptions{Delegation: kerberos.DelegationAlways}, "cannot delegate"},
		"delegation policy": {r, kerberos.InitiatorOptions{Delegation: kerberos.DelegationPolicy}, "cannot delegate"},
		"delegation mode":   {r, kerberos.InitiatorOptions{Delegation: 7}, "mode of delegation 7"},
		"service":           {r, kerberos.InitiatorOptions{Service: "HTTP/x"}, "HTTP/x"},
		"override is a URL": {r, kerberos.InitiatorOptions{HostOverride: "http://x"}, "http://x"},
		"bindings":          {r, kerberos.InitiatorOptions{Bindings: 9}, "9"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := kerberos.NewInitiator(tc.source, tc.o)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want an error that says %q", err, tc.says)
			}
		})
	}
}

func TestInitiatorEvents(t *testing.T) {
	realm := start(t)
	source, err := kerberos.FromPassword(kerberos.NewSecret(password), as(environment(realm), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
		switch e := e.(type) {
		case middleware.ExchangeEvent:
			got = append(got, fmt.Sprintf("%s %s %d", e.Kind, e.Network, e.Code))
		case middleware.TicketEvent:
			got = append(got, fmt.Sprintf("ticket %s cached %v from %s", e.SPN, e.Cached, e.Source))
		case middleware.TokenEvent:
			got = append(got, fmt.Sprintf("token %s mutual %v bound %v", e.Scheme, e.Mutual, e.Bound))
			if e.Bytes < 300 {
				t.Errorf("token of %d bytes", e.Bytes)
			}
		}
	})
	for range 2 {
		sc, err := in.Initiate(ctx, middleware.Target{Host: "localhost", Port: "80"})
		if err != nil {
			t.Fatal(err)
		}
		// Nobody answers what was not asked.
		if out, err := sc.Step(ctx, spnego.Frame(spnego.TokAPRep, []byte{0x6f, 0})); out != nil || !errors.Is(err, middleware.ErrToken) {
			t.Fatalf("% x, %v", out, err)
		}
		if _, err := sc.Step(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"AS udp 25", "AS udp 0", "TGS udp 0",
		"ticket HTTP/localhost@" + realm.Name() + " cached false from password",
		"token Negotiate mutual true bound false",
		"ticket HTTP/localhost@" + realm.Name() + " cached true from password",
		"token Negotiate mutual true bound false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestSkewIsFollowed: with a clock that is far off, KDC and service are both
// told the KDC's time (kdc_timesync).
func TestSkewIsFollowed(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, time.Hour} {
		realm := start(t)
		o := as(environment(realm), "alice")
		o.Now = func() time.Time { return realm.Now().Add(skew) }
		source, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
		if err != nil {
			t.Fatal(err)
		}
		in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{Now: o.Now})
		if err != nil {
			t.Fatal(err)
		}
		server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{}), fakeweb.ServerOptions{})
		for range 2 {
			sc, resp, err := initiatortest.Exchange(t, in, server, middleware.Negotiate)
			if err != nil || resp.StatusCode != 200 || !sc.Verified() {
				t.Fatalf("skew %s: response %v, error %v", skew, resp, err)
			}
		}
		if n := realm.Count(fakekdc.TGS); n != 1 {
			t.Errorf("skew %s: %d TGS exchanges, want 1", skew, n)
		}
	}
}
