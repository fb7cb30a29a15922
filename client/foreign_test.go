package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/sign"
	"github.com/kerbchain/kerbchain/middleware"
)

var errClosed = errors.New("no connection is open")

// A station is a transport of somebody else's that takes the connections it is told.
type station struct {
	t      *testing.T
	track  map[string]net.Conn // by name
	take   []string            // for the next request, each if the one before is closed
	used   string              // by the last one
	closed int                 // times that idle connections were
	before func()              // before the next one has a connection
	during func()              // while the last one is on its way
	quiet  bool                // do not tell the connection
}

func (s *station) RoundTrip(r *http.Request) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(r.Context())
	if before := s.before; before != nil {
		s.before = nil
		before()
	}
	s.used = ""
	for _, name := range s.take {
		c := s.conn(name)
		if !s.quiet {
			trace.GotConn(httptrace.GotConnInfo{Conn: c})
		}
		if _, err := c.Write([]byte("x")); err != nil {
			delete(s.track, name)
			continue
		}
		s.used = name
		if s.during != nil {
			s.during()
		}
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
	return nil, errClosed
}

func (s *station) CloseIdleConnections() { s.closed++ }

// conn returns the connection of that name, a new one if it was closed.
func (s *station) conn(name string) net.Conn {
	s.t.Helper()
	if c := s.track[name]; c != nil {
		return c
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	there, err := l.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		c.Close()
		there.Close()
	})
	switch {
	case strings.HasPrefix(name, "h2"):
		c = shared{c}
	case strings.HasPrefix(name, "wrapped"):
		c = struct{ net.Conn }{c} // of a kind that cannot be told
	}
	s.track[name] = c
	return c
}

// shared is a connection of HTTP/2.
type shared struct{ net.Conn }

func (s shared) NetConn() net.Conn { return s.Conn }
func (shared) ConnectionState() tls.ConnectionState {
	return tls.ConnectionState{HandshakeComplete: true, NegotiatedProtocol: "h2"}
}

// A trip is one request over a foreign transport.
type trip struct {
	how  string // as who signs it, "" for nobody, or "own" or "untold"
	now  string // who is logged in
	take string // the connections, with blanks between
	used string // the one that it went over; "" if it is refused
}

func TestForeign(t *testing.T) {
	for name, tc := range map[string]struct {
		in     middleware.Initiator // nil: who is logged in is told
		trips  []trip
		closed int // times that idle connections were
	}{
		"one user": {nil, []trip{{"", "alice", "A", "A"}, {"alice", "alice", "A", "A"}, {"", "alice", "A", "A"}, {"alice", "alice", "B", "B"}}, 0},
		"another user": {nil, []trip{
			{"alice", "alice", "A", "A"}, {"bob", "bob", "A", ""}, {"bob", "bob", "A", "A"}, {"bob", "bob", "A", "A"}, {"alice", "alice", "B", "B"},
		}, 2},
		"another connection is there": {nil, []trip{{"alice", "alice", "A", "A"}, {"bob", "bob", "A B", "B"}, {"bob", "bob", "B", "B"}}, 1},
		"not signed, by another":      {nil, []trip{{"alice", "alice", "A", "A"}, {"", "bob", "A", ""}, {"", "", "B", "B"}}, 2},
		"not signed, and nobody's":    {nil, []trip{{"alice", "alice", "A", "A"}, {"", "", "A", ""}}, 1},
		"the caller's own": {nil, []trip{
			{"alice", "alice", "A", "A"}, {"own", "alice", "A", ""}, {"own", "alice", "B", "B"}, {"own", "alice", "B", "B"}, {"alice", "alice", "B", ""}, {"alice", "alice", "C", "C"},
		}, 0},
		"the caller's own, first":           {nil, []trip{{"own", "alice", "A", "A"}, {"", "alice", "A", ""}}, 1},
		"the caller's own, for the proxy":   {nil, []trip{{"own for the proxy", "alice", "A", "A"}, {"alice", "alice", "A", ""}}, 1},
		"not signed, nobody's yet":          {nil, []trip{{"alice", "alice", "A", "A"}, {"", "alice", "B", "B"}, {"bob", "bob", "B", "B"}}, 1},
		"HTTP/2, where requests are signed": {nil, []trip{{"alice", "alice", "h2", "h2"}, {"bob", "bob", "h2", "h2"}}, 1},
		"connections that cannot be told":   {nil, []trip{{"alice", "alice", "wrapped", "wrapped"}, {"bob", "bob", "wrapped", "wrapped"}}, 1},
		"by who does not tell":              {mute{&someone{}}, []trip{{"untold", "", "A", "A"}, {"", "", "A", "A"}, {"untold", "", "A", "A"}}, 0},
		"by who does not tell, and another": {mute{&someone{}}, []trip{{"alice", "", "A", "A"}, {"", "", "A", ""}, {"bob", "", "A", "A"}, {"untold", "", "A", ""}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			in := new(someone)
			s := &station{t: t, track: map[string]net.Conn{}}
			f := newForeign(middleware.Initiator(in), nil, s)
			if tc.in != nil {
				f = newForeign(tc.in, nil, s)
			}
			for i, trip := range tc.trips {
				in.origin = trip.now
				r := get(t, siteA)
				switch trip.how {
				case "":
				case "own":
					r.Header.Set(toOrigin, "Basic b3duOm93bg==")
				case "own for the proxy":
					r.Header.Set(toProxy, "Basic b3duOm93bg==")
				case "untold":
					r = signed(r, unnamed{})
				default:
					r = signedBy(r, trip.how)
				}
				s.take = strings.Fields(trip.take)
				resp, err := f.RoundTrip(r)
				if s.used != trip.used {
					t.Errorf("trip %d went over %q, want %q; %v", i, s.used, trip.used, err)
				}
				if err == nil {
					if resp.Request != r {
						t.Errorf("trip %d: the response names another request", i)
					}
					continue
				}
				e, ok := errors.AsType[*middleware.Error](err)
				if !ok || !errors.Is(err, middleware.ErrConnection) || !errors.Is(err, errClosed) || e.Host != "a.example:80" || !e.Temporary() {
					t.Errorf("trip %d: %v", i, err)
				}
				if ok && tc.in == nil && trip.how == trip.now && e.Principal != trip.now {
					t.Errorf("trip %d: the error names %q", i, e.Principal)
				}
			}
			if s.closed != tc.closed {
				t.Errorf("idle connections were closed %d times, want %d", s.closed, tc.closed)
			}
			f.CloseIdleConnections()
			if s.closed != tc.closed+1 {
				t.Error("CloseIdleConnections did not reach the transport")
			}
		})
	}
}

// Nobody is asked whose a request is before somebody was authenticated, and then once.
func TestForeignAsks(t *testing.T) {
	in := &someone{origin: "alice"}
	s := &station{t: t, track: map[string]net.Conn{}}
	f := newForeign(in, nil, s)
	send := func(take string, r *http.Request, asked int) {
		t.Helper()
		s.take, in.asked = []string{take}, nil
		if _, err := f.RoundTrip(r); err != nil || s.used != take || len(in.asked) != asked {
			t.Errorf("over %q, asked %d times, want %q and %d; %v", s.used, len(in.asked), take, asked, err)
		}
	}
	send("A", get(t, siteA), 0)
	// Until the request has its connection, another one is authenticated on that.
	s.before = func() { send("A", signedBy(get(t, siteA), "alice"), 0) }
	send("A", get(t, siteA), 1)
	send("A", get(t, siteA), 1)
	send("B", get(t, siteA), 1)
	s.quiet = true
	send("A", get(t, siteA), 1)
}

// A transport's own error stays what it is, and so does the end of a context.
func TestForeignFails(t *testing.T) {
	in := &someone{origin: "alice"}
	s := &station{t: t, track: map[string]net.Conn{}}
	f := newForeign(in, nil, s)
	if _, err := f.RoundTrip(get(t, siteA)); err != errClosed {
		t.Errorf("%v", err)
	}
	s.take = []string{"A"}
	if _, err := f.RoundTrip(signedBy(get(t, siteA), "alice")); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.RoundTrip(signedBy(get(t, siteA), "bob").WithContext(ctx)); err != errClosed {
		t.Errorf("a context that has ended: %v", err)
	}
	r := signedBy(get(t, siteA), "bob")
	r.URL = nil
	if _, err := f.RoundTrip(signedBy(get(t, siteA), "alice")); err != nil {
		t.Error(err)
	}
	if _, err := f.RoundTrip(r); !errors.Is(err, middleware.ErrConnection) {
		t.Errorf("without a URL: %v", err)
	}
}

// A request that is signed when it has its connection is of whoever signs it then; until
// that is known the connection is for nobody else.
func TestForeignPending(t *testing.T) {
	for name, tc := range map[string]struct {
		known  bool // who is logged in is told
		before bool // somebody was authenticated before
		must   bool
		signs  bool // it is signed, though it need not be
		later  map[string]bool
	}{
		"must be":                    {true, false, true, false, map[string]bool{"somebody meanwhile": false, "alice": true, "bob": false}},
		"must be, and tells no more": {true, true, true, false, map[string]bool{"somebody meanwhile": false, "alice": true, "bob": false}},
		"is":                         {true, false, false, true, map[string]bool{"somebody meanwhile": false, "alice": true, "bob": false}},
		"is, after others":           {true, true, false, true, map[string]bool{"somebody meanwhile": false, "alice": true, "bob": false}},
		"is not":                     {true, false, false, false, map[string]bool{"somebody meanwhile": false, "alice": true, "bob": true}},
		"is, by somebody":            {false, false, false, true, map[string]bool{"somebody meanwhile": false, "alice": true, "bob": false}},
		"is not, by somebody":        {false, false, false, false, map[string]bool{"somebody meanwhile": false, "alice": true, "bob": true}},
	} {
		t.Run(name+", not told", func(t *testing.T) {
			in := &someone{origin: "alice"}
			s := &station{t: t, track: map[string]net.Conn{}, take: []string{"A"}, quiet: true}
			r := get(t, siteA)
			signer := sign.Signer{Initiator: in, Stage: "test"}
			resp, err := signer.Send(newForeign(in, nil, s).RoundTrip, r, sign.Attempt{Number: 1, Tokens: []sign.Token{
				signer.LaterIf(middleware.TargetOfURL(r.URL), func(net.Conn) (middleware.Target, bool) { return middleware.TargetOfURL(r.URL), true })}})
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		})
		for user, fine := range tc.later {
			t.Run(name+", then "+user, func(t *testing.T) {
				in := &someone{origin: "alice"}
				s := &station{t: t, track: map[string]net.Conn{}}
				f := newForeign(in, nil, s)
				if !tc.known {
					f = newForeign(mute{in}, nil, s)
				}
				send := func(take string, r *http.Request) error {
					s.take = []string{take}
					_, err := f.RoundTrip(r)
					return err
				}
				if tc.before {
					if err := send("B", signedBy(get(t, siteA), "alice")); err != nil {
						t.Error(err)
					}
				}
				r := get(t, siteA)
				signer := sign.Signer{Initiator: in, Stage: "test"}
				target := middleware.TargetOfURL(r.URL)
				token := signer.Later(target)
				if !tc.must {
					token = signer.LaterIf(target, func(net.Conn) (middleware.Target, bool) { return target, tc.signs })
				}
				s.take = []string{"A"}
				if user == "somebody meanwhile" {
					s.during = func() {
						s.during = nil
						if err := send("A", signedBy(get(t, siteA), user)); (err == nil) != fine {
							t.Errorf("%s: %v", user, err)
						}
					}
				}
				resp, err := signer.Send(f.RoundTrip, r, sign.Attempt{Number: 1, Tokens: []sign.Token{token}})
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if user == "somebody meanwhile" {
					return
				}
				in.origin = user
				if err := send("A", signedBy(get(t, siteA), user)); (err == nil) != fine {
					t.Errorf("%s's request over the same connection: %v", user, err)
				}
				if known := tc.known && (tc.must || tc.before || tc.signs); known && (s.closed > 0) != (user != "alice") {
					t.Errorf("%s's request: idle connections were closed %d times", user, s.closed)
				}
			})
		}
	}
}

// Of two users whose connections asked for them at the same time the one that is told
// of last finds no idle connection of the other's.
func TestForeignUsersAtOnce(t *testing.T) {
	in := &someone{origin: "alice"}
	s := &station{t: t, track: map[string]net.Conn{}}
	f := newForeign(in, nil, s)
	signer := sign.Signer{Initiator: in, Stage: "test"}
	send := func(take string) {
		t.Helper()
		s.take = []string{take}
		r := get(t, siteA)
		target := middleware.TargetOfURL(r.URL)
		token := signer.LaterIf(target, func(net.Conn) (middleware.Target, bool) { return target, true })
		resp, err := signer.Send(f.RoundTrip, r, sign.Attempt{Number: 1, Tokens: []sign.Token{token}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	s.during = func() {
		s.during = nil
		in.origin = "bob"
		send("B")
		if s.closed != 0 {
			t.Errorf("idle connections were closed %d times before anybody else was known", s.closed)
		}
	}
	send("A")
	if s.closed != 1 {
		t.Errorf("idle connections were closed %d times", s.closed)
	}
}
