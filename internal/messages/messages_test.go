package messages

import (
	"errors"
	"net/http"
	"testing"

	"github.com/kerbchain/kerbchain/middleware"
)

// What the command says of errors is a golden test of its own (cmd/kerbchain).
func TestOf(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want Message
	}{
		"of somebody else": {errors.New("EOF"), Message{"no response", "EOF", ""}},
		"with a hint": {&middleware.Error{Kind: middleware.ErrKDC, Host: "h:1", SPN: "HTTP/h", Err: errors.New("x"), Hint: "y"},
			Message{middleware.ErrKDC.Error() + ": HTTP/h at h:1", "x", "y"}},
		"of a reason": {&middleware.Error{Kind: middleware.ErrNotVerified, Reason: middleware.ReasonNoToken},
			Message{middleware.ErrNotVerified.Error(), "no token", middleware.ReasonNoToken.Hint()}},
	} {
		if got := Of(tc.err); got != tc.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAbout(t *testing.T) {
	var n Notes
	resp := &http.Response{Status: "401 Unauthorized", StatusCode: 401}
	n.Trace(middleware.ChallengeEvent{Schemes: []string{"Basic"}})
	if m := n.About(resp); m.Why != "it offers Basic, and not Negotiate" || m.Try == "" {
		t.Errorf("%+v", m)
	}
	n.Trace(middleware.WithheldEvent{Err: &middleware.Error{Kind: middleware.ErrNotAllowed, Hint: "add it"}})
	if m := n.About(resp); m.Why != "no token was sent: "+middleware.ErrNotAllowed.Error() || m.Try != "add it" {
		t.Errorf("%+v", m)
	}
	n.Trace(middleware.ChallengeEvent{Schemes: []string{"Negotiate"}})
	n.Trace(middleware.RefusedEvent{Reason: middleware.ReasonRefused})
	if m := n.About(resp); m.Why != "refused" || m.Try != middleware.ReasonRefused.Hint() {
		t.Errorf("%+v", m)
	}
}
