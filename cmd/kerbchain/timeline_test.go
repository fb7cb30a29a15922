package main

import (
	"errors"
	"strings"
	"testing"

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
