package negotiate_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"weak"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/sign"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// What a transport may come up with that is neither an answer nor an error, or both, and
// answers without a body.
func TestOddTransports(t *testing.T) {
	below := errors.New("below")
	for name, tc := range map[string]struct {
		next kerbchain.Next
		fail func(int, middleware.Target) error
		err  error
		sent int
	}{
		"nothing": {next: func(*http.Request) (*http.Response, error) { return nil, nil }, sent: 1},
		"both": {next: func(r *http.Request) (*http.Response, error) {
			resp, err := stagetest.Challenge(401, "Negotiate")(r)
			return resp, errors.Join(err, below)
		}, err: below, sent: 1},
		"no body, no ticket": {next: func(r *http.Request) (*http.Response, error) {
			resp, err := stagetest.Challenge(401, "Negotiate")(r)
			resp.Body = nil
			return resp, err
		}, fail: without, err: middleware.ErrCredentials, sent: 1},
	} {
		for _, wait := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				sent := 0
				resp, err := negotiate.New(&stagetest.Initiator{Fail: tc.fail}, negotiate.Options{WaitForChallenge: wait})(func(r *http.Request) (*http.Response, error) {
					sent++
					return tc.next(r)
				})(request(t, http.MethodGet, "http://origin.example/", ""))
				if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) || err == nil && resp != nil || sent != tc.sent {
					t.Errorf("%v, error %v, %d requests", resp, err, sent)
				}
			})
		}
	}
}

// A call whose context is over sends nothing, and closes the body.
func TestOverBeforeItBegins(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	bodies := new(opened)
	r := request(t, http.MethodPut, "http://origin.example/", "").WithContext(ctx)
	bodies.on(r, 10)
	resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{})(func(*http.Request) (*http.Response, error) {
		t.Error("it was sent")
		return nil, nil
	})(r)
	if !errors.Is(err, context.Canceled) || resp != nil || bodies.count != 0 {
		t.Errorf("%v, error %v, %d bodies are open", resp, err, bodies.count)
	}
}

// An answer that names an older request, which a server proved itself to, is not said to
// be proved when the call is over.
func TestNamesAnotherCalls(t *testing.T) {
	in := new(stagetest.Initiator)
	older := carry(t, in, request(t, http.MethodGet, "http://origin.example/older", ""))
	if _, err := in.Contexts()[0].Step(t.Context(), []byte(stagetest.ServerOK)); err != nil {
		t.Fatal(err)
	}
	resp, err := negotiate.New(in, negotiate.Options{WaitForChallenge: true})(func(r *http.Request) (*http.Response, error) {
		resp, err := stagetest.Respond(200, "ok")(r)
		resp.Request = older
		return resp, err
	})(request(t, http.MethodGet, "http://origin.example/", ""))
	finish(t, resp, err)
	if sc := middleware.SecurityOf(resp.Request); sc != nil {
		t.Errorf("the answer carries %v", sc)
	}
}

// A connection is not kept alive by the requests that went over it, nor by the answer.
func TestConnectionsAreNotKept(t *testing.T) {
	for name, answers := range map[string][]stagetest.Reply{
		"at once":    {stagetest.Respond(200, "ok")},
		"challenged": {stagetest.Challenge(401, "Negotiate"), stagetest.Respond(200, "ok")},
	} {
		for _, wait := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				srv := stagetest.NewServer(answers...)
				var conns []weak.Pointer[wire]
				r := request(t, http.MethodPost, "http://origin.example/", "data")
				resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{WaitForChallenge: wait})(func(r *http.Request) (*http.Response, error) {
					w := new(wire)
					conns = append(conns, weak.Make(w))
					tell(r, w, true)
					return srv.Next(r)
				})(r)
				finish(t, resp, err)
				for range 5 {
					runtime.GC()
				}
				for i, w := range conns {
					if w.Value() != nil {
						t.Errorf("connection %d of %d is kept", i+1, len(conns))
					}
				}
				runtime.KeepAlive(resp)
				runtime.KeepAlive(srv) // it has the requests
			})
		}
	}
}

// A request that a stage outside signs when it has its connection, and may leave
// unsigned, is that stage's: none of ours takes its place.
func TestPendingIsNotSignedTwice(t *testing.T) {
	in := new(stagetest.Initiator)
	s := sign.Signer{Initiator: in, Stage: "outer"}
	srv := stagetest.NewServer()
	next := negotiate.New(in, negotiate.Options{})(func(r *http.Request) (*http.Response, error) {
		tell(r, new(net.TCPConn), true)
		return srv.Next(r)
	})
	r := request(t, http.MethodGet, "http://origin.example/", "")
	resp, err := s.Send(next, r, sign.Attempt{Number: 1, Tokens: []sign.Token{s.Later(middleware.TargetOfURL(r.URL))}})
	finish(t, resp, err)
	if got := srv.Requests()[0].Auth; got != "Negotiate client-1" {
		t.Errorf("sent %q", got)
	}
}

// A request that came signed for a proxy is sent as it came where nothing of ours goes
// with it, and no more where there is no other token for the proxy.
func TestProxyTokenThatCame(t *testing.T) {
	failed := stagetest.Respond(http.StatusExpectationFailed, "")
	ok := stagetest.Respond(http.StatusOK, "ok")
	for name, tc := range map[string]struct {
		replies []stagetest.Reply
		fail    int
		want    []string
		sends   []int // attempts of ours that the trace tells of
		err     error
	}{
		"taken":          {replies: []stagetest.Reply{ok}, want: []string{"client-1"}},
		"417":            {replies: []stagetest.Reply{failed, ok}, want: []string{"client-1", "client-2"}, sends: []int{2}},
		"417, no ticket": {replies: []stagetest.Reply{failed, ok}, fail: 2, want: []string{"client-1"}, err: middleware.ErrCredentials},
	} {
		t.Run(name, func(t *testing.T) {
			in := &stagetest.Initiator{Fail: func(n int, target middleware.Target) error {
				if n == tc.fail {
					return without(n, target)
				}
				return nil
			}}
			bodies := new(opened)
			var got []string
			var sends []int
			next := kerbchain.Chain(
				preemptive.New(in, nil, preemptive.Options{Proxies: preemptive.Always(), Proxy: viaProxy}),
				negotiate.New(in, negotiate.Options{Proxy: viaProxy, BodyLimit: -1, OneShot: negotiate.Expect, WaitForChallenge: true}),
			)(func(r *http.Request) (*http.Response, error) {
				_, text, _ := strings.Cut(r.Header.Get("Proxy-Authorization"), " ")
				got = append(got, decoded(text))
				defer r.Body.Close()
				if r.Header.Get("Expect") == "" {
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						return nil, err
					}
				}
				return tc.replies[len(got)-1](r)
			})
			r := request(t, http.MethodPut, "http://origin.example/", "")
			bodies.on(r, 10)
			r.GetBody = nil
			resp, err := next(r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.SendEvent); ok && e.Stage == "negotiate" {
					sends = append(sends, e.Request)
				}
			})))
			if err == nil {
				finish(t, resp, nil)
			}
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) || !slices.Equal(sends, tc.sends) {
				t.Errorf("error %v, want %v; the trace tells of %v, want %v", err, tc.err, sends, tc.sends)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("tokens (-want +got):\n%s", d)
			}
			if bodies.count != 0 {
				t.Errorf("%d bodies are open", bodies.count)
			}
		})
	}
}

// What goes over a connection on which the server is just proving itself, or did by
// Kerberos alone, is signed in that way; and nothing is known of connections that hide
// what they are, nor over HTTP/2.
func TestSignedAtOnce(t *testing.T) {
	type hidden struct{ net.Conn }
	known := new(net.TCPConn)
	for name, tc := range map[string]struct {
		conn   net.Conn
		scheme string
		within bool // the second call is sent before the first one is over
		want   string
	}{
		"proved":          {conn: known, scheme: "Negotiate", want: "Negotiate client-2"},
		"by Kerberos":     {conn: known, scheme: "Kerberos", want: "Kerberos client-2"},
		"about to be":     {conn: known, scheme: "Negotiate", within: true, want: "Negotiate client-2"},
		"hidden":          {conn: hidden{known}, scheme: "Negotiate"},
		"hidden, not yet": {conn: hidden{known}, scheme: "Negotiate", within: true},
	} {
		t.Run(name, func(t *testing.T) {
			in := new(stagetest.Initiator)
			var next kerbchain.Next
			got, calls := "", 0
			second := func() {
				resp, err := next(request(t, http.MethodGet, "http://origin.example/second", ""))
				finish(t, resp, err)
			}
			next = kerbchain.Chain(mutual.New(mutual.Options{Mode: mutual.Optional}), negotiate.New(in, negotiate.Options{}))(func(r *http.Request) (*http.Response, error) {
				tell(r, tc.conn, calls > 0)
				calls++
				signed := r.Header.Get("Authorization") != ""
				if r.URL.Path == "/second" {
					scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
					got = strings.TrimSpace(scheme + " " + signedWith(r))
					return stagetest.Respond(200, "ok")(r)
				}
				if !signed {
					return stagetest.Challenge(401, tc.scheme)(r)
				}
				if tc.within {
					second()
				}
				return stagetest.Respond(200, "", "WWW-Authenticate", stagetest.Value(middleware.Scheme(tc.scheme), stagetest.ServerOK))(r)
			})
			resp, err := next(request(t, http.MethodGet, "http://origin.example/", ""))
			finish(t, resp, err)
			if !tc.within {
				second()
			}
			if got != tc.want {
				t.Errorf("the second call was sent with %q, want %q", got, tc.want)
			}
		})
	}
}
