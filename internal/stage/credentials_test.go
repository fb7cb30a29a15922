package stage_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/kerbchain/kerbchain/internal/stage"
)

func TestDropUserInfo(t *testing.T) {
	for name, tc := range map[string]struct {
		u       *url.URL
		header  http.Header
		dropped bool
	}{
		"user info":             {&url.URL{Host: "a.example", User: url.User("")}, http.Header{"Authorization": {"Basic Og=="}}, true},
		"no user info":          {&url.URL{Host: "a.example"}, http.Header{"Authorization": {"Basic Og=="}}, false},
		"no URL":                {nil, http.Header{"Authorization": {"Basic Og=="}}, false},
		"another value":         {&url.URL{Host: "a.example", User: url.User("")}, http.Header{"Authorization": {"Basic OjE="}}, false},
		"a value more":          {&url.URL{Host: "a.example", User: url.User("")}, http.Header{"Authorization": {"Basic Og==", "Basic Og=="}}, false},
		"under a name by hand":  {&url.URL{Host: "a.example", User: url.User("")}, http.Header{"authorization": {"Basic Og=="}}, false},
		"no header, user info":  {&url.URL{Host: "a.example", User: url.User("")}, nil, false},
		"no header and no user": {&url.URL{Host: "a.example"}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{URL: tc.u, Header: tc.header}
			out := stage.DropUserInfo(r, "test")
			if (out != r) != tc.dropped || len(r.Header) != len(tc.header) || tc.dropped == stage.Has(out.Header, "Authorization") && tc.header != nil {
				t.Errorf("dropped %t: %v", out != r, out.Header)
			}
		})
	}
}
