package negotiate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

// stale is an initiator whose contexts understand "code N" from the server, and
// can drop their ticket as often as drops says.
type stale struct {
	stagetest.Initiator
	drops   int
	dropped int
}

func (s *stale) Initiate(ctx context.Context, t middleware.Target) (middleware.SecurityContext, error) {
	sc, err := s.Initiator.Initiate(ctx, t)
	if err != nil {
		return nil, err
	}
	return &staleContext{sc, s}, nil
}

type staleContext struct {
	middleware.SecurityContext
	s *stale
}

func (c *staleContext) Step(ctx context.Context, token []byte) ([]byte, error) {
	var code int32
	if n, err := fmt.Sscanf(string(token), "code %d", &code); n == 1 && err == nil {
		peer := &krb.KRBError{Code: code, STime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
		return nil, &middleware.Error{Stage: "fake", Kind: middleware.ErrToken, SPN: "HTTP/origin.example", Reason: middleware.ReasonKRBError, Code: code, Err: peer}
	}
	return c.SecurityContext.Step(ctx, token)
}

func (c *staleContext) Discard() bool {
	if c.s.dropped == c.s.drops {
		return false
	}
	c.s.dropped++
	return true
}

// A ticket that the server cannot use is dropped, and the request signed anew:
// once in a call, and for no other reason.
func TestDiscard(t *testing.T) {
	bare := stagetest.Challenge(401, "Negotiate")
	says := func(code int) stagetest.Reply {
		return stagetest.Challenge(401, stagetest.Value(middleware.Negotiate, fmt.Sprint("code ", code)))
	}
	proxySays := func(code int) stagetest.Reply {
		return stagetest.Challenge(407, stagetest.Value(middleware.Negotiate, fmt.Sprint("code ", code)))
	}
	ok := stagetest.Respond(200, "ok")
	type tokens = []string
	for name, tc := range map[string]struct {
		carried bool
		drops   int
		options negotiate.Options
		replies []stagetest.Reply
		want    tokens
		status  int
		dropped int
		refused string // what the RefusedEvent's error speaks of
	}{
		"31 bad integrity": {false, 9, negotiate.Options{}, []stagetest.Reply{bare, says(31), ok}, tokens{"", "client-1", "client-2"}, 200, 1, ""},
		"32 expired":       {false, 9, negotiate.Options{}, []stagetest.Reply{bare, says(32), ok}, tokens{"", "client-1", "client-2"}, 200, 1, ""},
		"41 modified":      {false, 9, negotiate.Options{}, []stagetest.Reply{bare, says(41), ok}, tokens{"", "client-1", "client-2"}, 200, 1, ""},
		"44 key version":   {false, 9, negotiate.Options{}, []stagetest.Reply{bare, says(44), ok}, tokens{"", "client-1", "client-2"}, 200, 1, ""},
		"for ever":         {false, 9, negotiate.Options{}, []stagetest.Reply{bare, says(44)}, tokens{"", "client-1", "client-2"}, 401, 1, "fresh ticket"},
		"one, then others": {false, 9, negotiate.Options{}, []stagetest.Reply{bare, says(44), says(31), ok}, tokens{"", "client-1", "client-2"}, 401, 1, "fresh ticket"},
		"cannot be dropped": {
			false, 0, negotiate.Options{}, []stagetest.Reply{bare, says(44), ok}, tokens{"", "client-1"}, 401, 0, "KRB_AP_ERR_BADKEYVER",
		},
		"no leg left": {
			false, 9, negotiate.Options{MaxSigned: 1}, []stagetest.Reply{bare, says(44), ok}, tokens{"", "client-1"}, 401, 0, "most for one call",
		},
		"34 repeat": {false, 9, negotiate.Options{}, []stagetest.Reply{bare, says(34), ok}, tokens{"", "client-1"}, 401, 0, "KRB_AP_ERR_REPEAT"},
		"35 not us": {false, 9, negotiate.Options{}, []stagetest.Reply{bare, says(35), ok}, tokens{"", "client-1"}, 401, 0, "KRB_AP_ERR_NOT_US"},
		"37 skew":   {false, 9, negotiate.Options{}, []stagetest.Reply{bare, says(37), ok}, tokens{"", "client-1"}, 401, 0, "clock says 2026-01-02T03:04:05Z"},
		"60":        {false, 9, negotiate.Options{}, []stagetest.Reply{bare, says(60), ok}, tokens{"", "client-1"}, 401, 0, "GENERIC"},

		"carried":                  {true, 9, negotiate.Options{}, []stagetest.Reply{says(44), ok}, tokens{"client-1", "client-2"}, 200, 1, ""},
		"carried, for ever":        {true, 9, negotiate.Options{}, []stagetest.Reply{says(44)}, tokens{"client-1", "client-2"}, 401, 1, "fresh ticket"},
		"carried, another code":    {true, 9, negotiate.Options{}, []stagetest.Reply{says(37), ok}, tokens{"client-1", "client-2"}, 200, 0, ""},
		"carried, another, then":   {true, 9, negotiate.Options{}, []stagetest.Reply{says(37), says(44), ok}, tokens{"client-1", "client-2", "client-3"}, 200, 1, ""},
		"carried, cannot be":       {true, 0, negotiate.Options{}, []stagetest.Reply{says(44), ok}, tokens{"client-1", "client-2"}, 200, 0, ""},
		"carried, no leg left":     {true, 9, negotiate.Options{MaxSigned: 1}, []stagetest.Reply{says(44)}, tokens{"client-1", "client-2"}, 401, 1, "most for one call"},
		"proxy":                    {false, 9, negotiate.Options{}, []stagetest.Reply{stagetest.Challenge(407, "Negotiate"), proxySays(44), ok}, tokens{"", " client-1", " client-2"}, 200, 1, ""},
		"origin, behind the proxy": {false, 9, negotiate.Options{}, []stagetest.Reply{stagetest.Challenge(407, "Negotiate"), bare, says(44), ok}, tokens{"", " client-1", "client-2 client-3", "client-4 client-5"}, 200, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := &stale{drops: tc.drops}
			srv := stagetest.NewServer(tc.replies...)
			r := request(t, "PUT", "http://origin.example/", "data")
			var discards []middleware.DiscardEvent
			refused := ""
			r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
				switch e := e.(type) {
				case middleware.DiscardEvent:
					discards = append(discards, e)
				case middleware.RefusedEvent:
					refused = fmt.Sprint(e.Err)
				}
			}))
			if tc.carried {
				r = carry(t, in, r)
			}
			tc.options.Proxy = viaProxy
			resp, err := negotiate.New(in, tc.options)(srv.Next)(r)
			finish(t, resp, err)
			if resp.StatusCode != tc.status || in.dropped != tc.dropped || len(discards) != tc.dropped {
				t.Errorf("status %d, %d tickets dropped, %d events", resp.StatusCode, in.dropped, len(discards))
			}
			for _, e := range discards {
				if e.SPN != "HTTP/origin.example" || !slices.Contains([]int32{31, 32, 41, 44}, e.Code) {
					t.Errorf("event %+v", e)
				}
			}
			if (refused == "") != (tc.refused == "") || !strings.Contains(refused, tc.refused) {
				t.Errorf("refused with %q, want %q", refused, tc.refused)
			}
			var got tokens
			for _, r := range srv.Requests() {
				if r.Body != "data" {
					t.Errorf("body %q", r.Body)
				}
				got = append(got, strings.TrimRight(strings.ReplaceAll(r.Auth+" "+r.Proxy, "Negotiate ", ""), " "))
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("tokens (-want +got):\n%s", d)
			}
		})
	}
}

// carry signs r as a stage outside does.
func carry(t *testing.T, in middleware.Initiator, r *http.Request) *http.Request {
	t.Helper()
	sc, err := in.Initiate(r.Context(), middleware.TargetOfURL(r.URL))
	if err != nil {
		t.Fatal(err)
	}
	token, err := sc.Step(r.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", stagetest.Value(middleware.Negotiate, string(token)))
	return middleware.WithSecurity(r, sc)
}

// large is an initiator of tokens of a size.
type large int

func (l large) Initiate(_ context.Context, t middleware.Target) (middleware.SecurityContext, error) {
	return largeContext{int(l), t}, nil
}

type largeContext struct {
	size   int
	target middleware.Target
}

func (c largeContext) Step(context.Context, []byte) ([]byte, error) {
	return bytes.Repeat([]byte("x"), c.size), nil
}
func (c largeContext) Verified() bool            { return false }
func (c largeContext) Target() middleware.Target { return c.target }

// A server that finds a request with a large token bad, or too large, is said to
// do so, with the size.
func TestTokenTooLarge(t *testing.T) {
	bare := stagetest.Challenge(401, "Negotiate")
	for name, tc := range map[string]struct {
		size    int
		carried bool
		replies []stagetest.Reply
		host    string // of the event; empty for none
	}{
		"400":                    {9000, false, []stagetest.Reply{bare, stagetest.Respond(400, "no")}, "origin.example:80"},
		"413":                    {9000, false, []stagetest.Reply{bare, stagetest.Respond(413, "no")}, "origin.example:80"},
		"414":                    {9000, false, []stagetest.Reply{bare, stagetest.Respond(414, "no")}, "origin.example:80"},
		"431":                    {9000, false, []stagetest.Reply{bare, stagetest.Respond(431, "no")}, "origin.example:80"},
		"431, carried":           {9000, true, []stagetest.Reply{stagetest.Respond(431, "no")}, "origin.example:80"},
		"400, carried":           {9000, true, []stagetest.Reply{stagetest.Respond(400, "no")}, "origin.example:80"},
		"431, carried, no name":  {9000, true, []stagetest.Reply{stagetest.Anonymous(stagetest.Respond(431, "no"))}, "origin.example:80"},
		"431 without a token":    {9000, false, []stagetest.Reply{stagetest.Respond(431, "no")}, ""},
		"431 with two tokens":    {9000, false, []stagetest.Reply{stagetest.Challenge(407, "Negotiate"), bare, stagetest.Respond(431, "no")}, "origin.example:80"},
		"400 of a proxy":         {9000, false, []stagetest.Reply{stagetest.Challenge(407, "Negotiate"), stagetest.Respond(400, "no")}, "proxy.example:3128"},
		"400, small token":       {1000, false, []stagetest.Reply{bare, stagetest.Respond(400, "no")}, ""},
		"431, small token":       {1000, false, []stagetest.Reply{bare, stagetest.Respond(431, "no")}, "origin.example:80"},
		"400 without a token":    {9000, false, []stagetest.Reply{stagetest.Respond(400, "no")}, ""},
		"403":                    {9000, false, []stagetest.Reply{bare, stagetest.Respond(403, "no")}, ""},
		"500":                    {9000, false, []stagetest.Reply{bare, stagetest.Respond(500, "no")}, ""},
		"400, token just so":     {3100, false, []stagetest.Reply{bare, stagetest.Respond(400, "no")}, "origin.example:80"},
		"400, token just not so": {3000, false, []stagetest.Reply{bare, stagetest.Respond(400, "no")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, "GET", "http://origin.example/", "")
			var got []middleware.RefusedEvent
			r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.RefusedEvent); ok {
					got = append(got, e)
				}
			}))
			if tc.carried {
				r = carry(t, large(tc.size), r)
			}
			resp, err := negotiate.New(large(tc.size), negotiate.Options{Proxy: viaProxy})(stagetest.NewServer(tc.replies...).Next)(r)
			if body := finish(t, resp, err); body != "no" {
				t.Errorf("body %q", body)
			}
			if tc.host == "" {
				if len(got) > 0 {
					t.Errorf("events %+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Host != tc.host || got[0].Reason != middleware.ReasonTokenTooLarge || got[0].Bytes != tc.size || got[0].Status != resp.StatusCode {
				t.Fatalf("events %+v", got)
			}
			for _, want := range []string{fmt.Sprintf("%d bytes", tc.size), "LimitRequestFieldSize", "large_client_header_buffers", "MaxFieldLength", "maxHttpHeaderSize", "groups"} {
				if text := got[0].Err.Error(); !strings.Contains(text, want) {
					t.Errorf("%q does not speak of %s", text, want)
				}
			}
		})
	}
}

// A server that goes on with NTLM is said to, in whatever way it does.
func TestFallsBackToNTLM(t *testing.T) {
	r := request(t, "GET", "http://origin.example/", "")
	var got []middleware.RefusedEvent
	r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
		if e, ok := e.(middleware.RefusedEvent); ok {
			got = append(got, e)
		}
	}))
	srv := stagetest.NewServer(stagetest.Challenge(401, "Negotiate", "NTLM"), stagetest.Challenge(401, "NTLM", "Basic"))
	resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{})(srv.Next)(r)
	finish(t, resp, err)
	if len(got) != 1 || got[0].Reason != middleware.ReasonWrongMechanism || !strings.Contains(fmt.Sprint(got[0].Err), "SPN is not registered") {
		t.Errorf("events %+v", got)
	}
}

// A session that is over: 401 and nothing else, to a request that was signed at
// once. It is signed anew, once.
func TestSessionEnds(t *testing.T) {
	over := stagetest.Respond(401, "")
	ok := stagetest.Respond(200, "ok")
	for name, tc := range map[string]struct {
		carried bool
		replies []stagetest.Reply
		want    []string
		status  int
	}{
		"signed anew":              {true, []stagetest.Reply{over, ok}, []string{"client-1", "client-2"}, 200},
		"for ever":                 {true, []stagetest.Reply{over}, []string{"client-1", "client-2"}, 401},
		"with a challenge":         {true, []stagetest.Reply{stagetest.Challenge(401, "Negotiate"), ok}, []string{"client-1", "client-2"}, 200},
		"with a page":              {true, []stagetest.Reply{stagetest.Respond(401, "log in"), ok}, []string{"client-1"}, 401},
		"with another scheme":      {true, []stagetest.Reply{stagetest.Respond(401, "", "WWW-Authenticate", "Bearer"), ok}, []string{"client-1"}, 401},
		"of a request never asked": {false, []stagetest.Reply{over, ok}, []string{""}, 401},
		"of our own token":         {false, []stagetest.Reply{stagetest.Challenge(401, "Negotiate"), over, ok}, []string{"", "client-1"}, 401},
		"of a proxy":               {true, []stagetest.Reply{stagetest.Respond(407, ""), ok}, []string{"client-1"}, 407},
	} {
		t.Run(name, func(t *testing.T) {
			in := new(stagetest.Initiator)
			srv := stagetest.NewServer(tc.replies...)
			r := request(t, "POST", "http://origin.example/", "data")
			if tc.carried {
				r = carry(t, in, r)
			}
			resp, err := negotiate.New(in, negotiate.Options{Proxy: viaProxy})(srv.Next)(r)
			finish(t, resp, err)
			var got []string
			for _, r := range srv.Requests() {
				got = append(got, strings.TrimPrefix(r.Auth, "Negotiate "))
				if r.Body != "data" {
					t.Errorf("body %q", r.Body)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" || resp.StatusCode != tc.status {
				t.Errorf("status %d, tokens (-want +got):\n%s", resp.StatusCode, d)
			}
		})
	}
}

// overHTTP2 makes a reply come over HTTP/2, from a transport that heeds wishes
// or does not.
func overHTTP2(reply stagetest.Reply, heeds bool) stagetest.Reply {
	return func(r *http.Request) (*http.Response, error) {
		resp, err := reply(r)
		if err != nil || stage.HTTP1Wanted(r) && heeds {
			return resp, err
		}
		resp.Proto, resp.ProtoMajor, resp.ProtoMinor = "HTTP/2.0", 2, 0
		if heeds {
			resp.Request = stage.OfferHTTP1(resp.Request)
		}
		return resp, nil
	}
}

// A token that is refused without a word over HTTP/2 is followed by one over
// HTTP/1.1, once.
func TestHTTP1(t *testing.T) {
	bare := stagetest.Challenge(401, "Negotiate")
	reject := stagetest.Challenge(401, stagetest.Value(middleware.Negotiate, stagetest.ServerReject))
	more := stagetest.Challenge(401, stagetest.Value(middleware.Negotiate, stagetest.ServerMore))
	ok := stagetest.Respond(200, "ok")
	for name, tc := range map[string]struct {
		heeds, carried bool
		stream         bool
		replies        []stagetest.Reply
		want           []string
		status         int
		events         int
	}{
		"accepted":                {true, false, false, []stagetest.Reply{bare, ok}, []string{"", "client-1"}, 200, 0},
		"refused over HTTP2":      {true, false, false, []stagetest.Reply{bare, bare, ok}, []string{"", "client-1", "client-2 HTTP/1.1"}, 200, 1},
		"refused over both":       {true, false, false, []stagetest.Reply{bare}, []string{"", "client-1", "client-2 HTTP/1.1"}, 401, 1},
		"another leg thereafter":  {true, false, false, []stagetest.Reply{bare, bare, more, ok}, []string{"", "client-1", "client-2 HTTP/1.1", "client-2-more HTTP/1.1"}, 200, 1},
		"refused with a reason":   {true, false, false, []stagetest.Reply{bare, reject, ok}, []string{"", "client-1"}, 401, 0},
		"of another transport":    {false, false, false, []stagetest.Reply{bare, bare, ok}, []string{"", "client-1"}, 401, 0},
		"carried":                 {true, true, false, []stagetest.Reply{bare, bare, ok}, []string{"client-1", "client-2", "client-3 HTTP/1.1"}, 200, 1},
		"body cannot be repeated": {true, false, true, []stagetest.Reply{bare, bare, ok}, []string{"", "client-1", "client-2 HTTP/1.1"}, 200, 1},
	} {
		t.Run(name, func(t *testing.T) {
			in := new(stagetest.Initiator)
			var replies []stagetest.Reply
			for _, reply := range tc.replies {
				replies = append(replies, overHTTP2(reply, tc.heeds))
			}
			srv := stagetest.NewServer(replies...)
			var got []string
			next := func(r *http.Request) (*http.Response, error) {
				resp, err := srv.Next(r)
				all := srv.Requests()
				s := strings.TrimPrefix(all[len(all)-1].Auth, "Negotiate ")
				if stage.HTTP1Wanted(r) {
					s += " HTTP/1.1"
				}
				if b := all[len(all)-1].Body; b != "data" {
					t.Errorf("body %q", b)
				}
				got = append(got, s)
				return resp, err
			}
			r := request(t, "POST", "https://origin.example/", "data")
			if tc.stream {
				r.GetBody = nil
			}
			events := 0
			r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.FallbackEvent); ok {
					events++
					if e.Host != "origin.example:443" || e.Err != nil {
						t.Errorf("event %+v", e)
					}
				}
			}))
			if tc.carried {
				r = carry(t, in, r)
			}
			resp, err := negotiate.New(in, negotiate.Options{})(next)(r)
			finish(t, resp, err)
			if d := cmp.Diff(tc.want, got); d != "" || resp.StatusCode != tc.status || events != tc.events {
				t.Errorf("status %d, %d events, tokens (-want +got):\n%s", resp.StatusCode, events, d)
			}
		})
	}
}

// Where a body can be sent once, and was, no fresh token helps.
func TestDiscardWithoutBody(t *testing.T) {
	in := &stale{drops: 1}
	says := stagetest.Challenge(401, stagetest.Value(middleware.Negotiate, "code 44"))
	r := request(t, "PUT", "http://origin.example/", "data")
	r.GetBody = nil
	r = carry(t, in, r)
	_, err := negotiate.New(in, negotiate.Options{BodyLimit: -1})(stagetest.NewServer(says).Next)(r)
	if !errors.Is(err, middleware.ErrBodyNotReplayable) {
		t.Errorf("error %v", err)
	}
}
