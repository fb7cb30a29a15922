package negotiate_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// Requests that another stage signed for a proxy are as bare for the server as any,
// and their token goes once.
func TestSignedForProxyBefore(t *testing.T) {
	t.Parallel()
	broken := func(r *http.Request) (*http.Response, error) {
		if _, err := r.Body.Read(make([]byte, 1)); err != nil {
			return nil, err
		}
		return nil, errors.Join(&net.OpError{Op: "write", Err: syscall.EPIPE}, r.Body.Close())
	}
	failed := stagetest.Respond(http.StatusExpectationFailed, "")
	ask := stagetest.Challenge(http.StatusUnauthorized, "Negotiate")
	ok := stagetest.Respond(http.StatusOK, "ok")
	for name, tc := range map[string]struct {
		o       negotiate.Options
		kept    bool
		replies []stagetest.Reply
		want    []string
		err     error
	}{
		"refused":          {o: negotiate.Options{OneShot: negotiate.Refuse}, err: middleware.ErrBodyNotReplayable},
		"with Expect":      {o: negotiate.Options{OneShot: negotiate.Expect}, replies: []stagetest.Reply{ok}, want: []string{"PUT 100-continue: , client-1"}},
		"417":              {o: negotiate.Options{OneShot: negotiate.Expect}, replies: []stagetest.Reply{failed, ok}, want: []string{"PUT 100-continue: , client-1", "PUT: , client-2"}},
		"probe":            {o: negotiate.Options{OneShot: negotiate.Probe}, replies: []stagetest.Reply{ok, ok}, want: []string{"HEAD: , client-1", "PUT: , client-2"}},
		"probe, challenge": {o: negotiate.Options{OneShot: negotiate.Probe}, replies: []stagetest.Reply{ask, ok}, want: []string{"HEAD: , client-1", "PUT: client-2, client-3"}},
		"broken off":       {kept: true, replies: []stagetest.Reply{broken, ask, ok}, want: []string{"PUT: , client-1", "PUT 100-continue: , client-2", "PUT: client-3, client-4"}},
		"challenge":        {kept: true, replies: []stagetest.Reply{ask, ok}, want: []string{"PUT: , client-1", "PUT: client-2, client-3"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := new(stagetest.Initiator)
			var got []string
			server := func(r *http.Request) (*http.Response, error) {
				token := func(field string) string {
					_, text, _ := strings.Cut(r.Header.Get(field), " ")
					return decoded(text)
				}
				line := strings.TrimSpace(r.Method+" "+r.Header.Get("Expect")) + ": " + token("Authorization") + ", " + token("Proxy-Authorization")
				got = append(got, line)
				reply := tc.replies[len(got)-1]
				if r.Header.Get("Expect") == "" && r.Body != nil && !(len(got) == 1 && tc.kept) {
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						return nil, err
					}
				}
				return reply(r)
			}
			tc.o.BodyLimit, tc.o.Proxy = -1, viaProxy
			next := kerbchain.Chain(
				preemptive.New(in, nil, preemptive.Options{Proxies: preemptive.Always(), Proxy: viaProxy}),
				negotiate.New(in, tc.o),
			)(server)
			r := request(t, http.MethodPut, "http://origin.example/", "")
			stream(false)(t, r, 100)
			if tc.kept {
				kinds["GetBody"].make(t, r, 100)
			}
			resp, err := next(r)
			if err == nil {
				finish(t, resp, nil)
			}
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Errorf("error %v, want %v", err, tc.err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("requests (-want +got):\n%s", d)
			}
		})
	}
}

// What is signed for the server already, or is the caller's to sign, or can be sent
// twice, is sent as it is whatever OneShot says.
func TestOneShotIsForBareRequests(t *testing.T) {
	for _, how := range []negotiate.OneShot{negotiate.SendOnce, negotiate.Expect, negotiate.Probe, negotiate.Refuse} {
		for name, tc := range map[string]struct {
			policy preemptive.Policy
			own    bool
			twice  bool
			want   string
		}{
			"signed":            {policy: preemptive.Always(), want: "PUT, , Negotiate client-1"},
			"the caller's own":  {own: true, want: "PUT, , Basic own"},
			"can be sent twice": {twice: true, want: "PUT, , "},
		} {
			t.Run(fmt.Sprintf("%s, %v", name, how), func(t *testing.T) {
				var got []string
				server := func(r *http.Request) (*http.Response, error) {
					scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
					got = append(got, r.Method+", "+r.Header.Get("Expect")+", "+strings.TrimSpace(scheme+" "+decoded(text)))
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						return nil, err
					}
					return stagetest.Respond(http.StatusOK, "ok")(r)
				}
				in := new(stagetest.Initiator)
				next := kerbchain.Chain(
					preemptive.New(in, tc.policy, preemptive.Options{}), negotiate.New(in, negotiate.Options{BodyLimit: -1, OneShot: how}),
				)(server)
				r := request(t, http.MethodPut, "http://origin.example/", "")
				stream(false)(t, r, 100)
				if tc.twice {
					kinds["GetBody"].make(t, r, 100)
				}
				if tc.own {
					r.Header.Set("Authorization", "Basic b3du")
				}
				resp, err := next(r)
				finish(t, resp, err)
				if d := cmp.Diff([]string{tc.want}, got); d != "" {
					t.Errorf("requests (-want +got):\n%s", d)
				}
			})
		}
	}
}

// On a connection on which the server proved itself the request is signed for it
// too, and both tokens are made anew for another connection.
func TestSignedForProxyOnProvenConnection(t *testing.T) {
	in := new(stagetest.Initiator)
	conn, again := new(net.TCPConn), 0
	var got []string
	var sends int
	server := func(r *http.Request) (*http.Response, error) {
		trace := httptrace.ContextClientTrace(r.Context())
		for range again + 1 {
			trace.GotConn(httptrace.GotConnInfo{Conn: conn, Reused: len(got) > 0})
		}
		token := func(field string) string {
			_, text, _ := strings.Cut(r.Header.Get(field), " ")
			return decoded(text)
		}
		got = append(got, token("Authorization")+", "+token("Proxy-Authorization"))
		reply := stagetest.Respond(http.StatusOK, "ok")
		if r.Header.Get("Authorization") == "" {
			reply = stagetest.Challenge(http.StatusUnauthorized, "Negotiate")
		}
		resp, err := reply(r)
		resp.ProtoMajor = 1
		return resp, err
	}
	next := kerbchain.Chain(
		preemptive.New(in, nil, preemptive.Options{Proxies: preemptive.Always(), Proxy: viaProxy}),
		negotiate.New(in, negotiate.Options{Proxy: viaProxy}),
	)(server)
	call := func() {
		t.Helper()
		r := request(t, http.MethodGet, "http://origin.example/", "")
		r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
			if _, ok := e.(middleware.SendEvent); ok {
				sends++
			}
		}))
		resp, err := next(r)
		finish(t, resp, err)
	}
	call()
	if sends != 2 {
		t.Errorf("%d events of sending for two requests", sends)
	}
	if _, err := in.Contexts()[1].Step(t.Context(), []byte(stagetest.ServerOK)); err != nil {
		t.Fatal(err)
	}
	again = 1
	call()
	if d := cmp.Diff([]string{", client-1", "client-2, client-3", "client-6, client-7"}, got); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
}

// TestExpectBehindProxy: a proxy that asks for a token does not keep the server behind it
// from being heard before a body that can be sent once only.
func TestExpectBehindProxy(t *testing.T) {
	failed := stagetest.Respond(http.StatusExpectationFailed, "")
	ask, proxied := stagetest.Challenge(http.StatusUnauthorized, "Negotiate"), stagetest.Challenge(http.StatusProxyAuthRequired, "Negotiate")
	ok := stagetest.Respond(http.StatusOK, "ok")
	for name, tc := range map[string]struct {
		replies []stagetest.Reply
		want    []string
		err     error
	}{
		"the server asks":         {replies: []stagetest.Reply{proxied, ask, ok}, want: []string{"PUT 100-continue: , ", "PUT 100-continue: , client-1", "PUT: client-2, client-3"}},
		"it does not":             {replies: []stagetest.Reply{proxied, ok}, want: []string{"PUT 100-continue: , ", "PUT 100-continue: , client-1"}},
		"it knows no Expect":      {replies: []stagetest.Reply{proxied, failed, ok}, want: []string{"PUT 100-continue: , ", "PUT 100-continue: , client-1", "PUT: , client-2"}},
		"it knows none, and asks": {replies: []stagetest.Reply{proxied, failed, ask}, want: []string{"PUT 100-continue: , ", "PUT 100-continue: , client-1", "PUT: , client-2"}, err: middleware.ErrBodyNotReplayable},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			server := func(r *http.Request) (*http.Response, error) {
				token := func(field string) string {
					_, text, _ := strings.Cut(r.Header.Get(field), " ")
					return decoded(text)
				}
				got = append(got, strings.TrimSpace(r.Method+" "+r.Header.Get("Expect"))+": "+token("Authorization")+", "+token("Proxy-Authorization"))
				reply := tc.replies[len(got)-1]
				resp, err := reply(r)
				if r.Header.Get("Expect") == "" || resp.StatusCode == http.StatusOK {
					if n, err := io.Copy(io.Discard, r.Body); n != 100 || err != nil {
						t.Errorf("%d bytes, %v", n, err)
					}
				}
				return resp, errors.Join(err, r.Body.Close())
			}
			r := request(t, http.MethodPut, "http://origin.example/", "")
			stream(false)(t, r, 100)
			resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{OneShot: negotiate.Expect, BodyLimit: -1, Proxy: viaProxy})(server)(r)
			if err == nil {
				finish(t, resp, nil)
			}
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Errorf("error %v, want %v", err, tc.err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("requests (-want +got):\n%s", d)
			}
		})
	}
}
