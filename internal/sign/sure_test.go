package sign_test

import (
	"net/http"
	"testing"

	"github.com/kerbchain/kerbchain/internal/sign"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
)

// A request that will be signed for sure is one of an attempt under way: one that is made of
// an earlier response's is not.
func TestSure(t *testing.T) {
	for name, tells := range map[string]bool{"known": true, "not known": false} {
		t.Run(name, func(t *testing.T) {
			s := sign.Signer{Initiator: new(stagetest.Initiator), Stage: "test", Known: new(sign.Known)}
			if tells {
				s.Known.Tells()
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://web.test/", nil)
			if err != nil {
				t.Fatal(err)
			}
			token, err := s.Surely(t.Context(), middleware.TargetOfURL(r.URL))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.Send(func(sent *http.Request) (*http.Response, error) {
				if got := sign.Sure(sent); got != tells {
					t.Errorf("on the way: %t", got)
				}
				return &http.Response{StatusCode: 200, Body: http.NoBody, Request: sent}, nil
			}, r, sign.Attempt{Number: 1, Tokens: []sign.Token{token}})
			if err != nil {
				t.Fatal(err)
			}
			if sign.Sure(resp.Request) || sign.Sure(r) {
				t.Error("sure of a request that no attempt is about")
			}
			// It was not told which connection there was.
			if token, err = s.Surely(t.Context(), middleware.TargetOfURL(r.URL)); err != nil || token.Bytes == nil {
				t.Errorf("%+v, %v, want a token at once", token, err)
			}
		})
	}
}

// What fails before there is a connection fails then.
func TestSurelyFailsAtOnce(t *testing.T) {
	s := sign.Signer{Initiator: &stagetest.Initiator{Fail: func(int, middleware.Target) error { return middleware.ErrCredentials }}, Stage: "test", Known: new(sign.Known)}
	s.Known.Tells()
	if _, err := s.Surely(t.Context(), middleware.Target{Host: "web.test", Port: "443", Secure: true}); err == nil {
		t.Error("no error")
	}
}
