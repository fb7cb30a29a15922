package seal_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

// A transport that tells of its connections, which the test names.
type connections struct {
	names []string // of each request in turn; "" tells of none
	all   map[string]net.Conn
	n     int
}

type named struct{ net.Conn }

func (c *connections) stage(next kerbchain.Next) kerbchain.Next {
	return func(r *http.Request) (*http.Response, error) {
		name := c.names[c.n]
		c.n++
		for _, name := range strings.Split(name, ",") {
			if name == "" {
				continue
			}
			if c.all[name] == nil {
				if c.all == nil {
					c.all = map[string]net.Conn{}
				}
				c.all[name] = &named{}
			}
			httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{Conn: c.all[name]})
		}
		return next(r)
	}
}

// Messages go on the connection that was authenticated and on no other.
func TestConnections(t *testing.T) {
	for name, tc := range map[string]struct {
		names  []string // of the connections of each request
		bodies []string // of the requests that arrived, "" for empty ones
		err    bool
	}{
		"one":                           {[]string{"a", "a", "a"}, []string{"", "message", "message"}, false},
		"nobody tells":                  {[]string{"", "", ""}, []string{"", "message", "message"}, false},
		"another one":                   {[]string{"a", "a", "b", "b", "b"}, []string{"", "message", "moved", "", "message"}, false},
		"another one at once":           {[]string{"a", "b", "b", "b", "b"}, []string{"", "moved", "", "message", "message"}, false},
		"signed anew on the second":     {[]string{"a,b", "b", "b"}, []string{"", "message", "message"}, false},
		"each another":                  {[]string{"a", "b", "c", "d", "e", "f"}, []string{"", "moved", "", "moved"}, true},
		"the transport takes a new one": {[]string{"a", "a,b", "b", "b", "b"}, []string{"", "moved", "", "message", "message"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			conns := &connections{names: tc.names}
			var bodies []string
			log := func(next kerbchain.Next) kerbchain.Next {
				return func(r *http.Request) (*http.Response, error) {
					b, err := io.ReadAll(r.Body)
					if err != nil {
						return nil, err
					}
					switch {
					case len(b) == 0 && r.ContentLength > 0:
						bodies = append(bodies, "moved")
						if r.Context().Err() == nil {
							t.Error("the request's context has not ended")
						}
						again, err := r.GetBody()
						if err != nil {
							t.Error(err)
						} else if b, err := io.ReadAll(again); len(b) > 0 || err != nil {
							t.Errorf("GetBody gives %d bytes, %v", len(b), err)
						}
						return nil, errors.New("http: ContentLength with Body length 0")
					case len(b) > 0:
						bodies = append(bodies, "message")
					default:
						bodies = append(bodies, "")
					}
					if bytes.Contains(b, []byte("secret")) {
						t.Error("sent in clear")
					}
					if len(b) > 0 {
						r.Body = io.NopCloser(bytes.NewReader(b))
					}
					return next(r)
				}
			}
			next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}), conns.stage, log, server)(stagetest.NewServer(stagetest.Respond(200, "answer")).Next)
			var err error
			for range 2 {
				var resp *http.Response
				if resp, err = next(request(t, "http://a.example/", "secret")); err != nil {
					break
				}
				if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "answer" {
					t.Fatalf("%q, %v", b, err)
				}
			}
			var e *middleware.Error
			if (err != nil) != tc.err || err != nil && (!errors.As(err, &e) || !e.Temporary() || e.Stage != "seal") {
				t.Errorf("error %v", err)
			}
			if got, want := strings.Join(bodies, " "), strings.Join(tc.bodies, " "); got != want {
				t.Errorf("sent %q, want %q", got, want)
			}
		})
	}
}

// A value is a connection that is no pointer.
type value struct{ net.Conn }

// An incomparable is one that the operator == panics with.
type incomparable struct {
	net.Conn
	_ []byte
}

// A transport that takes another connection, rude or not, keeps no message, and the
// error is the caller's end where that came first.
func TestMoved(t *testing.T) {
	a, b := &named{}, &named{}
	for name, tc := range map[string]struct {
		conns  []net.Conn // of the requests in turn
		method string
		rude   bool // it answers all the same
		leaves bool // the caller, in the meantime
		sent   string
		want   error
	}{
		"a message":                  {conns: []net.Conn{a, b, b, b}, method: "POST", sent: "session moved session message"},
		"no body":                    {conns: []net.Conn{a, b, b, b}, method: "GET", sent: "session moved session message"},
		"answered all the same":      {conns: []net.Conn{a, b, b, b}, method: "POST", rude: true, sent: "session moved session message"},
		"always":                     {conns: []net.Conn{a, b, a, b}, method: "POST", rude: true, sent: "session moved session moved", want: middleware.ErrConnection},
		"the caller leaves":          {conns: []net.Conn{a, b, a, a}, method: "POST", leaves: true, sent: "session moved", want: context.Canceled},
		"the caller leaves, no body": {conns: []net.Conn{a, b, a, a}, method: "GET", rude: true, leaves: true, sent: "session moved", want: context.Canceled},
		"another of a kind":          {conns: []net.Conn{value{a}, value{b}, value{b}, value{b}}, method: "POST", sent: "session moved session message"},
		"the same of a kind":         {conns: []net.Conn{value{a}, value{a}}, method: "POST", sent: "session message"},
		"another kind":               {conns: []net.Conn{a, value{a}, value{a}, value{a}}, method: "POST", sent: "session moved session message"},
		"told of none":               {conns: []net.Conn{a, nil, a, a}, method: "POST", sent: "session moved session message"},
		// Nothing tells whether it is the one that was authenticated.
		"no comparing": {conns: []net.Conn{incomparable{Conn: a}, incomparable{Conn: a}, incomparable{Conn: a}, incomparable{Conn: a}}, method: "POST", sent: "session moved session moved", want: middleware.ErrConnection},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, leave := context.WithCancelCause(t.Context())
			defer leave(nil)
			var sent []string
			answers, closes := 0, 0
			next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}), func(next kerbchain.Next) kerbchain.Next {
				return func(r *http.Request) (*http.Response, error) {
					conn := tc.conns[len(sent)]
					httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{Conn: conn})
					switch {
					case r.Header.Get("Authorization") != "":
						sent = append(sent, "session")
						return next(r)
					case r.Context().Err() == nil:
						sent = append(sent, "message")
						return next(r)
					}
					sent = append(sent, "moved")
					if r.Body != nil {
						if b, err := io.ReadAll(r.Body); len(b) > 0 || err != nil {
							t.Errorf("%q goes to another connection, %v", b, err)
						}
					}
					if tc.leaves {
						leave(errors.New("I have left"))
					}
					if !tc.rude {
						return nil, context.Cause(r.Context())
					}
					answers++
					resp, err := stagetest.Respond(200, "")(r)
					resp.Body = closer{strings.NewReader("to nothing"), &closes}
					return resp, err
				}
			}, server)(stagetest.NewServer(stagetest.Respond(200, "answer")).Next)
			r := request(t, "http://a.example/", "message").WithContext(ctx)
			if r.Method = tc.method; r.Method == "GET" {
				r.Body, r.GetBody, r.ContentLength = nil, nil, 0
			}
			resp, err := next(r)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			var e *middleware.Error
			if known := errors.As(err, &e); known != (tc.want == middleware.ErrConnection) || known && (!e.Temporary() || e.Hint == "") {
				t.Errorf("error %v", err)
			}
			if err == nil {
				if b, err := io.ReadAll(resp.Body); string(b) != "answer" || err != nil {
					t.Errorf("%q, %v", b, err)
				}
			}
			if got := strings.Join(sent, " "); got != tc.sent || closes != answers {
				t.Errorf("sent %q, want %q; closed %d answers of %d", got, tc.sent, closes, answers)
			}
			if !tc.leaves {
				return
			}
			// The session has counted a message that the server never got.
			if _, err := next(request(t, "http://a.example/", "message")); err != nil || len(sent) != 4 {
				t.Errorf("the next message: error %v, sent %q", err, sent)
			}
		})
	}
}

// A transport that tells of something when the call has ended, as one does that goes
// on dialling, is not kept waiting.
func TestToldLate(t *testing.T) {
	var traces []*httptrace.ClientTrace
	next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}), func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			traces = append(traces, httptrace.ContextClientTrace(r.Context()))
			if len(traces) == 1 {
				return nil, errors.New("no connection")
			}
			return next(r)
		}
	}, server)(stagetest.NewServer().Next)
	for i := range 2 {
		if _, err := next(request(t, "http://a.example/", "message")); (err != nil) != (i == 0) {
			t.Fatal(i, err)
		}
	}
	if len(traces) != 3 {
		t.Fatalf("%d requests, want an empty one that failed, another and the message", len(traces))
	}
	for i, trace := range traces {
		told := make(chan struct{})
		go func() {
			trace.GotConn(httptrace.GotConnInfo{Conn: &named{}})
			trace.GotFirstResponseByte()
			close(told)
		}()
		select {
		case <-told:
		case <-time.After(20 * time.Second):
			t.Fatalf("request %d: the hooks wait", i+1)
		}
	}
}

// An answer that an application keeps does not keep the connection alive that it came
// on, even if the transport tells of it again.
func TestAnswerKeepsNoConnection(t *testing.T) {
	for _, status := range []int{401, 503} {
		for _, late := range []bool{false, true} {
			var made weak.Pointer[named]
			var trace *httptrace.ClientTrace
			tell := func() {
				conn := &named{}
				made = weak.Make(conn)
				trace.GotConn(httptrace.GotConnInfo{Conn: conn})
			}
			resp, err := seal.New(auth(initiator()), seal.Options{})(func(r *http.Request) (*http.Response, error) {
				trace = httptrace.ContextClientTrace(r.Context())
				tell()
				return stagetest.Respond(status, "no")(r)
			})(request(t, "http://a.example/", "message"))
			if err != nil {
				t.Fatal(err)
			}
			if late {
				tell()
			}
			for range 100 {
				if runtime.GC(); made.Value() == nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if made.Value() != nil {
				t.Errorf("status %d, told late %t: the connection is kept", status, late)
			}
			runtime.KeepAlive(resp)
		}
	}
}

// A session is for one origin.
func TestOrigins(t *testing.T) {
	var mu sync.Mutex
	var urls []string
	next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{Mode: seal.Always}), func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			kind := " message"
			if r.ContentLength == 0 {
				kind = " session"
			}
			urls = append(urls, r.URL.String()+kind)
			return next(r)
		}
	}, server)(stagetest.NewServer(stagetest.Respond(200, "answer")).Next)
	for _, url := range []string{"http://a.example/1", "http://A.example:80/2", "https://a.example/3", "http://a.example:81/4"} {
		if _, err := next(request(t, url, "message")); err != nil {
			t.Fatal(err)
		}
	}
	want := "http://a.example/1 session, http://a.example/1 message, http://A.example:80/2 message, " +
		"https://a.example/3 session, https://a.example/3 message, http://a.example:81/4 session, http://a.example:81/4 message"
	if got := strings.Join(urls, ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A connection that either side closes after the answer is not used again.
func TestClose(t *testing.T) {
	for name, tc := range map[string]struct {
		client, server bool
		sessions       int
	}{
		"nobody": {false, false, 1}, "the server": {false, true, 3}, "the caller": {true, false, 3},
	} {
		t.Run(name, func(t *testing.T) {
			sessions := 0
			next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}), func(next kerbchain.Next) kerbchain.Next {
				return func(r *http.Request) (*http.Response, error) {
					if r.ContentLength == 0 {
						sessions++
						if r.Close {
							t.Error("the connection is closed before the message")
						}
						return next(r)
					}
					resp, err := next(r)
					if err == nil {
						resp.Close = tc.server
					}
					return resp, err
				}
			}, server)(stagetest.NewServer(stagetest.Respond(200, "answer")).Next)
			for range 3 {
				r := request(t, "http://a.example/", "message")
				r.Close = tc.client
				if _, err := next(r); err != nil {
					t.Fatal(err)
				}
			}
			if sessions != tc.sessions {
				t.Errorf("%d sessions, want %d", sessions, tc.sessions)
			}
		})
	}
}
