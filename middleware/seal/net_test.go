package seal_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"

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
