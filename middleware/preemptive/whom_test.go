package preemptive_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// User info in the URL is no reason not to sign; credentials of the caller's are,
// under a name in any case.
func TestCredentialsInRequest(t *testing.T) {
	const mine, host = "Basic bWU6bWU=", "a.example:80"
	for name, tc := range map[string]struct {
		policy preemptive.Policy
		url    string
		field  string
		want   string
		says   []middleware.Event
	}{
		"user info":               {preemptive.Always(), "http://alice:pw@a.example/", "", "Negotiate client-1", []middleware.Event{middleware.CredentialsEvent{Stage: "preemptive", Host: host, Field: "Authorization", Dropped: true}}},
		"user info, not chosen":   {preemptive.Hosts(), "http://alice:pw@a.example/", "", "", []middleware.Event{middleware.CredentialsEvent{Stage: "preemptive", Host: host, Field: "Authorization", Dropped: true}}},
		"own":                     {preemptive.Always(), "http://a.example/", "Authorization", "Basic me:me", []middleware.Event{middleware.CredentialsEvent{Stage: "preemptive", Host: host, Field: "Authorization"}}},
		"own, not chosen":         {preemptive.Hosts(), "http://a.example/", "Authorization", "Basic me:me", nil},
		"own, in lower case":      {preemptive.Always(), "http://a.example/", "authorization", "", []middleware.Event{middleware.CredentialsEvent{Stage: "preemptive", Host: host, Field: "Authorization"}}},
		"own, beside a user info": {preemptive.Always(), "http://alice:pw@a.example/", "Authorization", "Basic me:me", []middleware.Event{middleware.CredentialsEvent{Stage: "preemptive", Host: host, Field: "Authorization"}}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := stagetest.NewServer()
			var said []middleware.Event
			r, err := http.NewRequestWithContext(middleware.WithTrace(t.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.CredentialsEvent); ok {
					said = append(said, e)
				}
			}), http.MethodGet, tc.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tc.field != "" {
				r.Header[tc.field] = []string{mine}
			}
			resp, err := (&http.Client{Transport: preemptive.New(new(stagetest.Initiator), tc.policy, preemptive.Options{})(srv.Next)}).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
			if got := srv.Requests()[0].Auth; got != tc.want {
				t.Errorf("sent %q, want %q", got, tc.want)
			}
			if d := cmp.Diff(tc.says, said); d != "" {
				t.Errorf("said (-want +got):\n%s", d)
			}
		})
	}
}

// A redirect from https to plain http goes on without a token, and the trace names
// what to set.
func TestDowngrade(t *testing.T) {
	for _, allow := range []bool{false, true} {
		var why error
		r := httptest.NewRequest("GET", "http://a.example/", nil).WithContext(middleware.WithTrace(t.Context(), func(e middleware.Event) {
			if e, ok := e.(middleware.WithheldEvent); ok && e.Stage == "preemptive" && e.Host == "a.example:80" {
				why = e.Err
			}
		}))
		r.Response = &http.Response{Request: httptest.NewRequest("GET", "https://a.example/", nil)}
		srv := stagetest.NewServer()
		resp, err := preemptive.New(new(stagetest.Initiator), preemptive.Always(), preemptive.Options{AllowDowngrade: allow})(srv.Next)(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if signed := srv.Requests()[0].Auth != ""; signed != allow {
			t.Errorf("allowed %t: signed %t", allow, signed)
		}
		if !allow && (!errors.Is(why, middleware.ErrNotAllowed) || !strings.Contains(why.Error(), "AllowDowngrade")) || allow && why != nil {
			t.Errorf("allowed %t: the trace says %v", allow, why)
		}
	}
}

// A host that is none is an error under a policy that insists, and goes unsigned
// under one that has learned.
func TestNoHost(t *testing.T) {
	r := httptest.NewRequest("GET", "http://a.example/", nil)
	r.URL.Host = "a.example%.evil.test"
	in, srv := new(stagetest.Initiator), stagetest.NewServer()
	_, err := preemptive.New(in, preemptive.Always(), preemptive.Options{})(srv.Next)(r)
	if !errors.Is(err, middleware.ErrHost) || len(in.Contexts()) > 0 || len(srv.Requests()) > 0 {
		t.Errorf("error %v, sent %v", err, srv.Requests())
	}
}
