package mutual_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// A server that knows the user by a cookie proves nothing any more: the hint names
// the cookie, and not its value.
func TestSessionCookie(t *testing.T) {
	for name, tc := range map[string]struct {
		cookies []string
		fields  []string
		hint    string // part of it
		without string // what it must not hold
	}{
		"none":         {nil, nil, "asked for no authentication", "cookie"},
		"one":          {[]string{"JSESSIONID=secret"}, nil, "(JSESSIONID)", "secret"},
		"two":          {[]string{"a=1; b=2", "a=3"}, nil, "(a, b)", "1"},
		"many":         {[]string{"a=; b=; c=; d=; e=; f="}, nil, "(a, b, c, d, ...)", "e,"},
		"with a token": {[]string{"a=1"}, []string{wwwAuth, value("server-ok")}, "not signed by a stage inside mutual", "cookie"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "http://web.test/", nil)
			r.Header["Cookie"] = tc.cookies
			_, err := mutual.New(mutual.Options{})(kerbchain.Next(stagetest.Respond(200, "", tc.fields...)))(r)
			var e *middleware.Error
			if !errors.As(err, &e) || e.Reason != middleware.ReasonNoToken || !strings.Contains(e.Hint, tc.hint) || strings.Contains(e.Hint, tc.without) {
				t.Errorf("%v; want a hint with %q and without %q", err, tc.hint, tc.without)
			}
		})
	}
}
