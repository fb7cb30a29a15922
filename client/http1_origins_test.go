package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// The memory of origins is bounded, and forgets none while there is room.
func TestHTTP1Origins(t *testing.T) {
	f := new(http1Fallback)
	for i := range 3 * http1Origins {
		key := fmt.Sprintf("https://host%d:443", i)
		f.remember(key)
		f.remember(key)
		if !f.remembers(key) || f.origins.Len() != min(i+1, http1Origins) {
			t.Fatalf("after %d origins: %d are remembered, the last one: %v", i+1, f.origins.Len(), f.remembers(key))
		}
	}
}

func (f *http1Fallback) remembers(key string) bool {
	_, ok := f.origins.Get(key)
	return ok
}

func TestOriginOf(t *testing.T) {
	for raw, want := range map[string]string{
		"https://a.test/path":     "https://a.test:443",
		"HTTPS://A.Test.:443/?q":  "https://a.test:443",
		"https://a.test:8443":     "https://a.test:8443",
		"https://[2001:DB8::1]/x": "https://[2001:db8::1]:443",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := middleware.TargetOfURL(u).Origin(); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

func TestNeedsHTTP1(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"of x/net":        {http2.StreamError{StreamID: 1, Code: http2.ErrCodeHTTP11Required}, true},
		"of x/net, else":  {http2.StreamError{StreamID: 1, Code: http2.ErrCodeCancel}, false},
		"own":             {fmt.Errorf("wrapped: %w", streamError{StreamID: 1, Code: 0xd}), true},
		"another code":    {streamError{StreamID: 1, Code: 0x8}, false},
		"connection":      {goAway("HTTP_1_1_REQUIRED"), true},
		"connection else": {goAway("PROTOCOL_ERROR"), false},
		"another":         {errors.New("connection reset"), false},
	} {
		if got := needsHTTP1(tc.err); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// goAway is what net/http says when a connection ends.
func goAway(code string) error {
	return errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=" + code + ", debug=\"\"")
}

// scripted is a transport that fails or answers in turn, and reads some of each
// body.
type scripted struct {
	read    int
	replies []error
	seen    []string
}

func (s *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	got := ""
	if r.Body != nil {
		b, err := io.ReadAll(io.LimitReader(r.Body, int64(s.read)))
		if err != nil {
			return nil, errors.Join(err, r.Body.Close())
		}
		got = string(b)
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	s.seen = append(s.seen, got)
	err := s.replies[0]
	s.replies = s.replies[1:]
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, ProtoMajor: 2, Body: http.NoBody, Request: r}, nil
}

// What was read of a body that can be had once is not sent twice, nor in part.
func TestHTTP1Bodies(t *testing.T) {
	required := streamError{StreamID: 1, Code: errHTTP11Required}
	for name, tc := range map[string]struct {
		getBody bool
		read    int // by the first transport
		errs    []error
		first   []string
		second  []string
		want    error
	}{
		"GetBody, read":    {true, 3, []error{required}, []string{"the"}, []string{"the body"}, nil},
		"GetBody, unread":  {true, 0, []error{required}, []string{""}, []string{"the body"}, nil},
		"stream, unread":   {false, 0, []error{required}, []string{""}, []string{"the body"}, nil},
		"stream, read":     {false, 3, []error{required}, []string{"the"}, nil, middleware.ErrBodyNotReplayable},
		"stream, answered": {false, 99, []error{nil}, []string{"the body"}, nil, nil},
		"another error":    {true, 3, []error{io.ErrUnexpectedEOF}, []string{"the"}, nil, io.ErrUnexpectedEOF},
		"nothing was sent": {false, 0, []error{io.ErrUnexpectedEOF}, []string{""}, nil, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := &scripted{read: tc.read, replies: tc.errs}, &scripted{read: 99, replies: []error{nil}}
			f := &http1Fallback{any: first, plain: second}
			r, err := http.NewRequest(http.MethodPut, "https://a.test/", strings.NewReader("the body"))
			if err != nil {
				t.Fatal(err)
			}
			closes := 0
			if !tc.getBody {
				r.GetBody = nil
				r.Body = counting{r.Body, &closes}
			}
			resp, err := f.RoundTrip(r)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("error %v", err)
			}
			if err == nil {
				if c := resp.Request.Context(); c == nil || resp.Request.Body != r.Body && !tc.getBody {
					t.Errorf("the response names another request")
				}
				if !stage.HTTP1Offered(resp) {
					t.Error("HTTP/1.1 is not offered")
				}
			}
			if tc.want == middleware.ErrBodyNotReplayable && !errors.As(err, new(streamError)) {
				t.Errorf("%v does not say why", err)
			}
			if !slices.Equal(first.seen, tc.first) || !slices.Equal(second.seen, tc.second) {
				t.Errorf("sent %q, then %q", first.seen, second.seen)
			}
			if !tc.getBody && closes != 1 {
				t.Errorf("the body was closed %d times", closes)
			}
		})
	}
}

// Which transport a request goes to, and what is said of the answer.
func TestHTTP1Choice(t *testing.T) {
	bad := errors.New("bad")
	other := get(t, secureA)
	for name, tc := range map[string]struct {
		url     string // none if empty
		wanted  bool   // HTTP/1.1, by a stage
		known   bool   // of the origin
		answer  http.Response
		err     error
		plain   bool // it goes over HTTP/1.1
		learned bool
		offered bool
	}{
		"HTTP/2":               {secureA, false, false, http.Response{StatusCode: 200, ProtoMajor: 2}, nil, false, false, true},
		"HTTP/1.1":             {secureA, false, false, http.Response{StatusCode: 200, ProtoMajor: 1}, nil, false, false, false},
		"wanted":               {secureA, true, false, http.Response{StatusCode: 200, ProtoMajor: 1}, nil, true, true, false},
		"wanted, in vain":      {secureA, true, false, http.Response{StatusCode: 401, ProtoMajor: 1}, nil, true, false, false},
		"wanted, and an error": {secureA, true, false, http.Response{}, bad, true, false, false},
		"known":                {"HTTPS://A.example:443/", false, true, http.Response{StatusCode: 200, ProtoMajor: 1}, nil, true, true, false},
		"http":                 {siteA, false, false, http.Response{StatusCode: 200, ProtoMajor: 1}, nil, false, false, false},
		"http, wanted":         {siteA, true, false, http.Response{StatusCode: 200, ProtoMajor: 1}, nil, false, false, false},
		"http, by HTTP/2":      {siteA, false, false, http.Response{StatusCode: 200, ProtoMajor: 2}, nil, false, false, false},
		"no URL":               {"", false, false, http.Response{StatusCode: 200, ProtoMajor: 1}, nil, false, false, false},
	} {
		for answers, named := range map[string]func(*http.Request) *http.Request{
			"its request":     func(r *http.Request) *http.Request { return r },
			"no request":      func(*http.Request) *http.Request { return nil },
			"another request": func(*http.Request) *http.Request { return other },
		} {
			t.Run(name+", naming "+answers, func(t *testing.T) {
				took := ""
				over := func(name string) http.RoundTripper {
					return kerbchain.Next(func(r *http.Request) (*http.Response, error) {
						took = name
						resp := tc.answer
						if resp.Body, resp.Request = http.NoBody, named(r); tc.err != nil {
							return nil, tc.err
						}
						return &resp, nil
					})
				}
				f := &http1Fallback{any: over("any"), plain: over("plain")}
				if tc.known {
					f.remember("https://a.example:443")
				}
				r := get(t, tc.url)
				if tc.url == "" {
					r.URL = nil
				}
				if tc.wanted {
					r = stage.WantHTTP1(r)
				}
				resp, err := f.RoundTrip(r)
				if err != tc.err {
					t.Fatal(err)
				}
				if (took == "plain") != tc.plain || f.remembers("https://a.example:443") != tc.learned {
					t.Errorf("it went over %q, and the origin is known: %v", took, f.remembers("https://a.example:443"))
				}
				if err != nil {
					return
				}
				if offered := resp.Request != nil && stage.HTTP1Offered(resp); offered != (tc.offered && named(r) != nil) {
					t.Errorf("HTTP/1.1 is offered: %v", offered)
				}
				if want := named(r); !tc.offered && resp.Request != want {
					t.Error("the response names another request")
				}
			})
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := new(http1Fallback)
	if _, err := f.RoundTrip(get(t, secureA).WithContext(ctx)); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}

// Which transports may choose HTTP/2, and what is left of that in one that must not.
func TestChoosesHTTP2(t *testing.T) {
	h1, both := new(http.Protocols), new(http.Protocols)
	h1.SetHTTP1(true)
	both.SetHTTP1(true)
	both.SetHTTP2(true)
	type upgrades = map[string]func(string, *tls.Conn) http.RoundTripper
	upgrade := func(string, *tls.Conn) http.RoundTripper { return nil }
	dial := func(string, string) (net.Conn, error) { return nil, errors.New("no") }
	for name, tc := range map[string]struct {
		t    *http.Transport
		want bool
	}{
		"as it comes":               {&http.Transport{}, true},
		"no upgrades":               {&http.Transport{TLSNextProto: upgrades{}}, false},
		"another implementation":    {&http.Transport{TLSNextProto: upgrades{"h2": upgrade}, TLSClientConfig: &tls.Config{NextProtos: []string{"h2", "http/1.1"}}}, true},
		"HTTP/1.1":                  {&http.Transport{Protocols: h1}, false},
		"both":                      {&http.Transport{Protocols: both, TLSNextProto: upgrades{}}, true},
		"a TLS dialer":              {&http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return dial("", "") }, Protocols: both}, false},
		"a TLS dialer, the old way": {&http.Transport{DialTLS: dial, Protocols: both}, false}, //lint:ignore SA1019 it still counts
	} {
		if got := choosesHTTP2(tc.t); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
		only := http1Only(tc.t)
		if choosesHTTP2(only) || !only.Protocols.HTTP1() || only.TLSNextProto != nil {
			t.Errorf("%s: HTTP/1.1 alone is %v, with upgrades %v", name, only.Protocols, only.TLSNextProto)
		}
		if c := only.TLSClientConfig; c != nil && !slices.Equal(c.NextProtos, []string{"http/1.1"}) && tc.t.TLSClientConfig.NextProtos != nil {
			t.Errorf("%s: HTTP/1.1 alone offers %q", name, c.NextProtos)
		}
	}
}

type counting struct {
	io.ReadCloser
	n *int
}

func (c counting) Close() error {
	*c.n++
	return c.ReadCloser.Close()
}
