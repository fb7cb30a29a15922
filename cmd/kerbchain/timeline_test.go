package main

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
)

// Every line of a timeline is a whole one, and says what to try where that is known.
func TestTimelineReads(t *testing.T) {
	for name, tc := range map[string]struct {
		e    middleware.Event
		want string
	}{
		"an offer":        {middleware.ChallengeEvent{Host: "h:80", Status: 401, Schemes: []string{"Negotiate", "Basic"}}, "401 from h:80, which offers Negotiate, Basic"},
		"no offer":        {middleware.ChallengeEvent{Host: "h:80", Status: 401}, "401 from h:80, and offers no way to authenticate"},
		"refused":         {middleware.RefusedEvent{Host: "h:80", Status: 401, Reason: middleware.ReasonRefused}, "401 from h:80 stands: refused; the server rejected the token without a reason: check the SPN"},
		"known":           {middleware.RefusedEvent{Host: "h:80", Status: 401, Reason: middleware.ReasonNotAuthorized, Err: errors.New("the exchange is complete")}, "known, but not authorized: the exchange is complete; the server took the token and refuses its user"},
		"with its advice": {middleware.RefusedEvent{Host: "h:80", Status: 401, Reason: middleware.ReasonRefused, Err: &middleware.Error{Kind: middleware.ErrToken, Reason: middleware.ReasonRefused}}, "check the SPN"},
		"no credentials":  {middleware.RefusedEvent{Host: "h:80", Status: 401, Err: errors.New("no cache")}, "401 from h:80 stands: no cache"},
	} {
		var out strings.Builder
		newTimeline(&out).trace(tc.e)
		line := strings.TrimSpace(out.String())
		_, text, ok := strings.Cut(line, "negotiate  ")
		if !ok || !strings.Contains(text, tc.want) {
			t.Errorf("%s: %q does not say %q", name, line, tc.want)
		}
		for _, fault := range stagetest.Prose(strings.TrimSpace(text)) {
			t.Errorf("%s: %s: %q", name, fault, text)
		}
		if strings.Count(text, "check the SPN") > 1 {
			t.Errorf("%s: the advice is there twice: %q", name, text)
		}
	}
}

// TestTimelineOfLogins: -v says how the login was proved to the KDC, and whether FAST
// protected it, and the tickets after it.
func TestTimelineOfLogins(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		realm   []fakekdc.Option
		armored bool
		want    []string
		not     string
	}{
		"timestamp": {want: []string{", with an encrypted timestamp, answered in "}, not: "FAST"},
		"SPAKE":     {realm: []fakekdc.Option{fakekdc.WithSPAKE()}, want: []string{", with SPAKE, answered KDC_ERR_MORE_PREAUTH_DATA_REQUIRED in ", ", with SPAKE, answered in "}, not: "timestamp"},
		"FAST": {realm: []fakekdc.Option{fakekdc.WithFAST()}, armored: true,
			want: []string{", with an encrypted challenge, within FAST, answered in ", "TGS exchange with ", " within FAST, answered in "}},
	} {
		realm := fakekdc.Start(t, append(tc.realm, fakekdc.WithUser("alice", password), fakekdc.WithService("HTTP/localhost"), fakekdc.WithService("host/localhost"))...)
		l := &lab{t: t, dir: t.TempDir(), Realm: realm}
		l.server = fakeweb.Serve(realm, fakeweb.New(realm, "", fakeweb.Options{}), fakeweb.ServerOptions{})
		l.env = map[string]string{"KRB5_CONFIG": l.write("krb5.conf", []byte(realm.Config())), "KRB5CCNAME": "FILE:/nonexistent"}
		args := []string{"get", "-v", "--keytab", l.write("alice.keytab", realm.Keytab("alice"))}
		if tc.armored {
			args = append(args, "--armor-ccache", l.write("host.cache", realm.CCache("host/localhost")))
		}
		code, _, stderr := runWith(t.Context(), maps.Clone(l.env), "", append(args, l.server.URL())...)
		for _, want := range tc.want {
			if code != exitOK || !strings.Contains(stderr, want) || tc.not != "" && strings.Contains(stderr, tc.not) {
				t.Errorf("%s: exit status %d, want %q, and no %q:\n%s", name, code, want, tc.not, stderr)
			}
		}
	}
	var out strings.Builder
	newTimeline(&out).trace(middleware.ExchangeEvent{Kind: "AS", Realm: "A.TEST", Address: "h:88", Network: "udp", Preauth: "OTP", Armored: true})
	if want := "AS exchange with h:88/udp of A.TEST, with a one-time password, within FAST, answered in 0.00 ms\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// A ticket that is looked at twice for one request has one line, and one for each request.
func TestTimelineOfTickets(t *testing.T) {
	var out strings.Builder
	tl := newTimeline(&out)
	cached := middleware.TicketEvent{SPN: "HTTP/a", Client: "b", Source: "c", Cached: true, Duration: 1}
	again := cached
	again.Duration = 2
	for _, e := range []middleware.Event{cached, again, middleware.SendEvent{Stage: "preemptive", Host: "a:80", Request: 1}, cached, again} {
		tl.trace(e)
	}
	if n := strings.Count(out.String(), "at hand"); n != 2 {
		t.Errorf("%d lines of tickets:\n%s", n, out.String())
	}
	code, stdout, stderr := runWith(t.Context(), nil, "", "demo")
	if n := strings.Count(stdout, "at hand"); code != exitOK || n != 2 || !strings.Contains(stdout, "with an encrypted timestamp") {
		t.Errorf("exit status %d, %d lines of tickets at hand, want one in each of two calls:\n%s%s", code, n, stdout, stderr)
	}
}
