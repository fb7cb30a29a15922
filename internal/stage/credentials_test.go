package stage_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/alloctest"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
)

func TestDropUserInfo(t *testing.T) {
	for name, tc := range map[string]struct {
		u       *url.URL
		header  http.Header
		dropped bool
	}{
		"user info":             {&url.URL{Scheme: "http", Host: "a.example", User: url.User("")}, http.Header{"Authorization": {"Basic Og=="}}, true},
		"no user info":          {&url.URL{Scheme: "http", Host: "a.example"}, http.Header{"Authorization": {"Basic Og=="}}, false},
		"no URL":                {nil, http.Header{"Authorization": {"Basic Og=="}}, false},
		"another value":         {&url.URL{Scheme: "http", Host: "a.example", User: url.User("")}, http.Header{"Authorization": {"Basic OjE="}}, false},
		"a value more":          {&url.URL{Scheme: "http", Host: "a.example", User: url.User("")}, http.Header{"Authorization": {"Basic Og==", "Basic Og=="}}, false},
		"under a name by hand":  {&url.URL{Scheme: "http", Host: "a.example", User: url.User("")}, http.Header{"authorization": {"Basic Og=="}}, false},
		"no header, user info":  {&url.URL{Scheme: "http", Host: "a.example", User: url.User("")}, nil, false},
		"no header and no user": {&url.URL{Scheme: "http", Host: "a.example"}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, events := traced(&http.Request{URL: tc.u, Header: tc.header})
			before := tc.header.Clone()
			out := stage.DropUserInfo(r, "test")
			if d := cmp.Diff(before, tc.header); d != "" {
				t.Errorf("the caller's header was changed: -before +after\n%s", d)
			}
			var want []middleware.Event
			if tc.dropped {
				want = []middleware.Event{middleware.CredentialsEvent{Stage: "test", Host: "a.example:80", Field: "Authorization", Dropped: true}}
			}
			if d := cmp.Diff(want, *events); d != "" {
				t.Errorf("-want +told\n%s", d)
			}
			if (out != r) != tc.dropped || len(r.Header) != len(tc.header) || tc.dropped == stage.Has(out.Header, "Authorization") && tc.header != nil {
				t.Errorf("dropped %t: %v", out != r, out.Header)
			}
		})
	}
}

// traced returns r with a trace, and where its events go.
func traced(r *http.Request) (*http.Request, *[]middleware.Event) {
	events := new([]middleware.Event)
	return r.WithContext(middleware.WithTrace(context.Background(), func(e middleware.Event) { *events = append(*events, e) })), events
}

// What the caller answers for is seen under its name in any case, since net/http sends
// it as it stands in the map.
func TestOwn(t *testing.T) {
	for name, tc := range map[string]struct {
		header http.Header
		want   bool
	}{
		"none":                       {nil, false},
		"one":                        {http.Header{"Authorization": {"x"}}, true},
		"an empty value":             {http.Header{"Authorization": {""}}, true},
		"no value":                   {http.Header{"Authorization": {}}, false},
		"by hand":                    {http.Header{"authorization": {"x"}}, true},
		"by hand, loud":              {http.Header{"AUTHORIZATION": {"x"}}, true},
		"by hand, no value":          {http.Header{"authorization": {}}, false},
		"by hand beside none":        {http.Header{"Authorization": nil, "authorization": {"x"}}, true},
		"another field":              {http.Header{"Proxy-Authorization": {"x"}, "Authorizations": {"x"}}, false},
		"another of the same length": {http.Header{"Authorizatiom": {"x"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, events := traced(&http.Request{URL: &url.URL{Scheme: "https", Host: "a.example"}, Header: tc.header})
			if got := stage.Own(r, "test", "Authorization"); got != tc.want {
				t.Errorf("own: %v", got)
			}
			var want []middleware.Event
			if tc.want {
				want = []middleware.Event{middleware.CredentialsEvent{Stage: "test", Host: "a.example:443", Field: "Authorization"}}
			}
			if d := cmp.Diff(want, *events); d != "" {
				t.Errorf("-want +told\n%s", d)
			}
		})
	}
	r, events := traced(&http.Request{Header: http.Header{"Authorization": {"x"}}})
	if !stage.Own(r, "test", "Authorization") || len(*events) != 1 {
		t.Errorf("without a URL: %v", *events)
	}
	if !stage.Own(&http.Request{Header: r.Header}, "test", "Authorization") {
		t.Error("without a trace")
	}
}

// A token of any length that is put into a field is read from it again, and is what
// encoding/base64 makes of it.
func TestFieldOfToken(t *testing.T) {
	for _, scheme := range []middleware.Scheme{"", middleware.Negotiate, middleware.Kerberos} {
		sc, err := new(stagetest.Initiator).Initiate(t.Context(), middleware.Target{Host: "a.example", Scheme: scheme})
		if err != nil {
			t.Fatal(err)
		}
		word := "Negotiate "
		if scheme == middleware.Kerberos {
			word = "Kerberos "
		}
		for _, n := range []int{0, 1, 2, 3, 767, 768, 769, 1535, 1536, 1537, 65536} {
			token := bytes.Repeat([]byte{0xfb, 0xff, 1}, n)[:n]
			value := stage.Value(sc, token)
			if want := word + base64.StdEncoding.EncodeToString(token); value != want {
				t.Fatalf("%d bytes: %.40s, want %.40s", n, value, want)
			}
			for _, field := range []string{"Authorization", "Proxy-Authorization"} {
				r := &http.Request{Header: http.Header{field: {value}}}
				if got, ok := stage.Signed(r, field, sc); !ok || !bytes.Equal(got, token) {
					t.Errorf("%d bytes: read %d, %v", n, len(got), ok)
				}
				if got, ok := stage.SignedBytes(r, field, sc); !ok || got != n {
					t.Errorf("%d bytes: counted %d, %v", n, got, ok)
				}
				if got := alloctest.Allocations(10, 0, func() { stage.SignedBytes(r, field, sc) }); got > 0 {
					t.Errorf("%v allocations to count %d bytes", got, n)
				}
			}
		}
		if got := alloctest.Allocations(10, 2, func() { stage.Value(sc, make([]byte, 3000)[:]) }); got > 2 {
			t.Errorf("%v allocations", got)
		}
		for name, value := range map[string]string{
			"another scheme": "Basic AAAA", "no base64": word + "A", "no space": strings.TrimSpace(word) + "AAAA", "none": "",
			"padding within": word + strings.Repeat("A", 1022) + "==AAAA", "other signs": word + "AA?A",
		} {
			r := &http.Request{Header: http.Header{"Authorization": {value}}}
			if got, ok := stage.Signed(r, "Authorization", sc); ok {
				t.Errorf("%s: read %x", name, got)
			}
			if got, ok := stage.SignedBytes(r, "Authorization", sc); ok {
				t.Errorf("%s: counted %d", name, got)
			}
		}
	}
	if _, ok := stage.Signed(&http.Request{Header: http.Header{"Authorization": {"Negotiate AAAA"}}}, "Authorization", nil); ok {
		t.Error("a token of no context")
	}
	if got := stage.Field(middleware.Target{Proxy: true}) + ", " + stage.Field(middleware.Target{}); got != "Proxy-Authorization, Authorization" {
		t.Error(got)
	}
}
