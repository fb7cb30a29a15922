package kerberos_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
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

var overrides = kerberos.InitiatorOptions{HostOverrides: map[string]string{
	"outer.example":     "Inner.local.",
	"*.cluster.example": "balancer.example",
	"win.example":       "WSMAN/win",
	"far.example":       "HTTP/far@FAR.TEST",
	"app.example:8443":  "admin.example",
	"app.example:443":   "user.example",
}}

func TestSPN(t *testing.T) {
	for name, tc := range map[string]struct {
		o    kerberos.InitiatorOptions
		host string
		from string
		want string
	}{
		"override of another":     {o: kerberos.InitiatorOptions{HostOverride: "inner.local"}, host: "stranger.example", from: "outer.example:443", want: "HTTP/stranger.example"},
		"IDN":                     {host: "Bücher.example", want: "HTTP/xn--bcher-kva.example"},
		"no IDN":                  {host: "a\u200fb.example", want: ""},
		"port":                    {o: kerberos.InitiatorOptions{PortInSPN: true}, host: "web", want: "HTTP/web:8443"},
		"override without port":   {o: kerberos.InitiatorOptions{PortInSPN: true, HostOverride: "inner"}, host: "web", want: "HTTP/inner"},
		"override for the host":   {o: overrides, host: "outer.example", want: "HTTP/inner.local"},
		"override by wildcard":    {o: overrides, host: "a.cluster.example", want: "HTTP/balancer.example"},
		"override with a service": {o: overrides, host: "win.example", want: "WSMAN/win"},
		"override with a realm":   {o: overrides, host: "far.example", want: "HTTP/far@FAR.TEST"},
		"override for the port":   {o: overrides, host: "app.example", want: "HTTP/admin.example"},
		"overrides for others":    {o: overrides, host: "web.example", want: "HTTP/web.example"},
		"host":                    {host: "web.example.org", want: "HTTP/web.example.org"},
		"upper case":              {host: "Web.Example.ORG", want: "HTTP/web.example.org"},
		"dot at the end":          {host: "web.example.org.", want: "HTTP/web.example.org"},
		"short":                   {host: "web", want: "HTTP/web"},
		"IPv4":                    {host: "127.0.0.1", want: "HTTP/127.0.0.1"},
		"IPv6":                    {host: "::1", want: "HTTP/::1"},
		"IPv6 with a zone":        {host: "fe80::1%eth0", want: "HTTP/fe80::1"},
		"service":                 {o: kerberos.InitiatorOptions{Service: "WSMAN"}, host: "win", want: "WSMAN/win"},
		"override":                {o: kerberos.InitiatorOptions{HostOverride: "Inner.local"}, host: "outer.example", want: "HTTP/inner.local"},
		"realm":                   {o: kerberos.InitiatorOptions{Realm: "OTHER.EXAMPLE"}, host: "web", want: "HTTP/web@OTHER.EXAMPLE"},
		"no host":                 {want: ""},
		"slash":                   {host: "a/b", want: ""},
		"at":                      {host: "a@b", want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			in, err := kerberos.NewInitiator(r, tc.o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = in.Initiate(t.Context(), middleware.Target{Host: tc.host, Port: "8443", RedirectedFrom: tc.from})
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.Join(r.spns, " ")
			if got != tc.want {
				t.Errorf("asked for %q, want %q", got, tc.want)
			}
			var e *middleware.Error
			if !errors.As(err, &e) || e.SPN != tc.want || e.Host == "" && tc.host != "" {
				t.Errorf("error %v does not name host and SPN", err)
			}
		})
	}
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

// exchange sends one token to the web service by hand, and steps the context
// with what comes back, until nobody owes anything.
func exchange(t *testing.T, in middleware.Initiator, server *fakeweb.Server, scheme middleware.Scheme) (middleware.SecurityContext, *http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", server.URL()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	target := middleware.TargetOfURL(req.URL)
	target.Scheme = scheme
	transport := server.Transport()
	defer transport.CloseIdleConnections()
	if target.Secure {
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		target.TLS = resp.TLS
	}
	sc, err := in.Initiate(t.Context(), target)
	if err != nil {
		return nil, nil, err
	}
	token, err := sc.Step(t.Context(), nil)
	if err != nil {
		return sc, nil, err
	}
	for leg := 1; ; leg++ {
		if leg > 4 {
			t.Fatal("the exchange does not end")
		}
		r := req.Clone(t.Context())
		r.Header.Set("Authorization", string(scheme)+" "+base64.StdEncoding.EncodeToString(token))
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		// The legs of one context belong to one connection.
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		_, text, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), " ")
		answer, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if len(answer) == 0 && sc.Verified() {
			return sc, resp, nil
		}
		token, err = sc.Step(t.Context(), answer)
		if err != nil || token == nil || resp.StatusCode != 401 {
			return sc, resp, err
		}
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
			sc, resp, err := exchange(t, in, server, middleware.Negotiate)
			if err != nil || resp.StatusCode != 200 || !sc.Verified() {
				t.Fatalf("skew %s: response %v, error %v", skew, resp, err)
			}
		}
		if n := realm.Count(fakekdc.TGS); n != 1 {
			t.Errorf("skew %s: %d TGS exchanges, want 1", skew, n)
		}
	}
}
