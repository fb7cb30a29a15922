package negotiate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/sign"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

// A request whose connection broke while it was written is sent once more and asks
// first: one that the server may still ask to be signed, and of which some is known not
// to have come, or was not written.
func TestBroken(t *testing.T) {
	op := func(op string, err error) error { return &net.OpError{Op: op, Net: "tcp", Err: err} }
	reset := os.NewSyscallError("read", syscall.ECONNRESET)
	const size = 100
	for name, tc := range map[string]struct {
		err    error
		whole  bool // the body was read
		stream bool // and cannot be again
		signed bool
		own    bool
		ends   bool // the context of the call
		fails  int  // which GetBody
		again  bool
		want   error // beside err
	}{
		"written":                  {err: op("write", syscall.EPIPE), whole: true, again: true},
		"written from":             {err: op("readfrom", syscall.EPIPE), again: true},
		"written too slowly":       {err: op("write", os.ErrDeadlineExceeded)},
		"read":                     {err: op("read", reset), again: true},
		"read, having sent all":    {err: op("read", reset), whole: true},
		"dialled":                  {err: op("dial", syscall.ECONNREFUSED)},
		"end":                      {err: fmt.Errorf("transport: %w", io.EOF), again: true},
		"end, having sent all":     {err: io.EOF, whole: true},
		"early end":                {err: io.ErrUnexpectedEOF, again: true},
		"early end, all sent":      {err: io.ErrUnexpectedEOF, whole: true},
		"another error":            {err: errors.New("no such host")},
		"cannot be sent again":     {err: op("write", syscall.EPIPE), stream: true},
		"signed already":           {err: op("write", syscall.EPIPE), signed: true},
		"the caller's own":         {err: op("write", syscall.EPIPE), own: true},
		"nobody waits for it":      {err: op("write", syscall.EPIPE), ends: true},
		"no body for another one":  {err: op("write", syscall.EPIPE), fails: 1, want: errGetBody},
		"no body after a 417 more": {err: op("write", syscall.EPIPE), fails: 2, again: true, want: errGetBody},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			in, bodies, sent := new(stagetest.Initiator), &opened{fails: tc.fails}, 0
			next := func(r *http.Request) (*http.Response, error) {
				defer r.Body.Close()
				switch sent++; sent {
				case 1:
					n := int64(1)
					if tc.whole {
						n = size + 1
					}
					if _, err := io.CopyN(io.Discard, r.Body, n); err != nil && !errors.Is(err, io.EOF) {
						t.Error(err)
					}
					if tc.ends {
						cancel()
					}
					return nil, tc.err
				case 2:
					if !r.Close || r.Header.Get("Expect") != "100-continue" || r.Header.Get("X") != "y" {
						t.Errorf("sent again with %v, to close the connection: %t", r.Header, r.Close)
					}
					if tc.fails == 2 {
						return stagetest.Respond(417, "")(r)
					}
				}
				if b, err := io.ReadAll(r.Body); len(b) != size || err != nil {
					t.Errorf("%d bytes came, %v", len(b), err)
				}
				return stagetest.Respond(200, "ok")(r)
			}
			r := request(t, http.MethodPut, "http://origin.example/", "").WithContext(ctx)
			bodies.on(r, size)
			r.Header.Set("X", "y")
			o := negotiate.Options{}
			if tc.stream {
				r.GetBody, o.BodyLimit = nil, -1
			}
			if tc.signed {
				r = carry(t, in, r)
			}
			if tc.own {
				r.Header.Set("Authorization", "Basic own")
			}
			before := r.Header.Clone()
			resp, err := negotiate.New(in, o)(next)(r)
			if err == nil {
				finish(t, resp, nil)
			}
			ok := tc.again && tc.want == nil
			if (err == nil) != ok || !ok && sent == 1 && !errors.Is(err, tc.err) || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("error %v", err)
			}
			if tc.want == nil && errors.Is(err, middleware.ErrBodyNotReplayable) {
				t.Errorf("the error speaks of a body that nobody asked for: %v", err)
			}
			if want := map[bool]int{false: 1, true: 2}[tc.again]; sent != want {
				t.Errorf("sent %d times, want %d", sent, want)
			}
			if d := cmp.Diff(before, r.Header); d != "" {
				t.Errorf("the caller's header changed:\n%s", d)
			}
			if bodies.count != 0 {
				t.Errorf("%d bodies are open", bodies.count)
			}
		})
	}
}

// Where a request is asked for first, what a transport may come up with is passed on.
func TestAsksFirst(t *testing.T) {
	below := errors.New("below")
	for _, how := range []negotiate.OneShot{negotiate.Expect, negotiate.Probe} {
		for name, tc := range map[string]struct {
			answer func(r *http.Request, cancel func()) (*http.Response, error)
			err    error
			sent   int // by Probe one more, where its request is not the answer
		}{
			"an error": {func(*http.Request, func()) (*http.Response, error) { return nil, below }, below, 1},
			"nothing":  {func(*http.Request, func()) (*http.Response, error) { return nil, nil }, nil, 1},
			"an error and a challenge": {func(r *http.Request, _ func()) (*http.Response, error) {
				resp, err := stagetest.Challenge(401, "Negotiate")(r)
				return resp, errors.Join(err, below)
			}, below, 1},
			"an error and a 417": {func(r *http.Request, _ func()) (*http.Response, error) {
				resp, err := stagetest.Respond(417, "")(r)
				return resp, errors.Join(err, below)
			}, below, 1},
			"417 that takes too long": {func(r *http.Request, cancel func()) (*http.Response, error) {
				resp, err := stagetest.Respond(417, "")(r)
				resp.Body = io.NopCloser(ending{cancel})
				return resp, err
			}, context.Canceled, 1},
		} {
			t.Run(fmt.Sprintf("%v, %s", how, name), func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				bodies, sent := new(opened), 0
				r := request(t, http.MethodPut, "http://origin.example/", "").WithContext(ctx)
				bodies.on(r, 10)
				r.GetBody = nil
				resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{BodyLimit: -1, OneShot: how})(func(r *http.Request) (*http.Response, error) {
					if r.Body != nil {
						defer r.Body.Close()
					}
					if sent++; sent == 1 {
						return tc.answer(r, cancel)
					}
					return nil, nil
				})(r)
				if resp != nil && err == nil {
					finish(t, resp, nil)
				}
				want := tc.sent
				if how == negotiate.Probe && tc.err == nil {
					want++
				}
				if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) || sent != want {
					t.Errorf("error %v, %d requests; want %v, %d", err, sent, tc.err, want)
				}
				if bodies.count != 0 {
					t.Errorf("%d bodies are open", bodies.count)
				}
			})
		}
	}
}

// What of a body is read before it is known whether the server wants it: nothing, but
// where that decides what becomes of a bare request. What cannot be read is not sent.
func TestReadAhead(t *testing.T) {
	const size = 100
	for name, tc := range map[string]struct {
		once   negotiate.OneShot
		expect string
		signed bool
		sure   bool
		fails  bool
		ahead  bool
	}{
		"sent once":           {once: negotiate.SendOnce},
		"Expect":              {once: negotiate.Expect, ahead: true},
		"Probe":               {once: negotiate.Probe, ahead: true},
		"Refuse":              {once: negotiate.Refuse, ahead: true},
		"expected already":    {once: negotiate.Expect, expect: "100-Continue "},
		"expecting otherwise": {once: negotiate.Expect, expect: "a miracle", ahead: true},
		"signed":              {once: negotiate.Expect, signed: true},
		"to be signed":        {once: negotiate.Expect, sure: true},
		"cannot be read":      {once: negotiate.Expect, ahead: true, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			bodies, sent := new(opened), 0
			r := request(t, http.MethodPut, "https://origin.example/", "")
			bad := errors.New("bad disk")
			rest := &io.LimitedReader{R: content(size), N: size}
			r.Body, r.ContentLength = bodies.body(size), -1
			r.Body.(*openBody).Reader = rest
			if tc.fails {
				r.Body.(*openBody).Reader = io.MultiReader(rest, failing{bad})
			}
			if tc.expect != "" {
				r.Header.Set("Expect", tc.expect)
			}
			in := new(stagetest.Initiator)
			if tc.signed {
				r = carry(t, in, r)
			}
			next := negotiate.New(in, negotiate.Options{OneShot: tc.once})(func(r *http.Request) (*http.Response, error) {
				sent++
				if ahead := rest.N == 0; ahead != tc.ahead {
					t.Errorf("%d bytes were left to be read when it was sent", rest.N)
				}
				if n, err := io.Copy(io.Discard, r.Body); n != size || err != nil || r.Body.Close() != nil {
					t.Errorf("%d bytes came, %v", n, err)
				}
				return stagetest.Respond(200, "ok")(r)
			})
			if tc.sure {
				next = surely(t, in)(next)
			}
			resp, err := next(r)
			if err == nil {
				finish(t, resp, nil)
			}
			if tc.fails != (err != nil) || tc.fails && (!errors.Is(err, bad) || sent > 0) {
				t.Errorf("error %v, %d requests", err, sent)
			}
			if bodies.count != 0 {
				t.Errorf("%d bodies are open", bodies.count)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// surely is a stage that signs a request when it has its connection.
func surely(t *testing.T, in middleware.Initiator) kerbchain.Middleware {
	return func(next kerbchain.Next) kerbchain.Next {
		s := sign.Signer{Initiator: in, Stage: "outer", Known: new(sign.Known)}
		s.Known.Tells()
		return func(r *http.Request) (*http.Response, error) {
			token, err := s.Surely(r.Context(), middleware.TargetOfURL(r.URL))
			if err != nil {
				t.Error(err)
			}
			return s.Send(next, r, sign.Attempt{Number: 1, Tokens: []sign.Token{token}})
		}
	}
}

// A request that another stage signs when it has its connection is left to it, whatever
// OneShot says, and what becomes of it is told with the size of that stage's token.
func TestSignedOnItsConnection(t *testing.T) {
	for _, how := range []negotiate.OneShot{negotiate.SendOnce, negotiate.Expect, negotiate.Probe, negotiate.Refuse} {
		t.Run(fmt.Sprint(how), func(t *testing.T) {
			var got []string
			var told []middleware.RefusedEvent
			in := new(stagetest.Initiator)
			next := kerbchain.Chain(surely(t, in), negotiate.New(in, negotiate.Options{BodyLimit: -1, OneShot: how}))(func(r *http.Request) (*http.Response, error) {
				tell(r, new(wire), false)
				got = append(got, strings.TrimSpace(r.Method+" "+r.Header.Get("Expect")+" "+signedWith(r)))
				if _, err := io.Copy(io.Discard, r.Body); err != nil || r.Body.Close() != nil {
					t.Error(err)
				}
				return stagetest.Respond(431, "no")(r)
			})
			r := request(t, http.MethodPut, "https://origin.example/", "")
			stream(false)(t, r, 100)
			resp, err := next(r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.RefusedEvent); ok {
					told = append(told, e)
				}
			})))
			finish(t, resp, err)
			token := in.Contexts()[len(in.Contexts())-1].Name()
			if d := cmp.Diff([]string{"PUT  " + token}, got); d != "" {
				t.Errorf("requests (-want +got):\n%s", d)
			}
			if len(told) != 1 || told[0].Reason != middleware.ReasonTokenTooLarge || told[0].Bytes != len(token) {
				t.Errorf("the trace says %+v", told)
			}
		})
	}
}

// A request whose body waits for the server to ask for it, and is there once only, ends
// its connection: net/http would send the body to keep that.
func TestEndsItsConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		body   string
		expect bool
		want   bool
	}{
		"once, asked for":      {"stream", true, true},
		"once":                 {"stream", false, false},
		"GetBody, asked for":   {"GetBody", true, false},
		"no body, asked for":   {"", true, false},
		"empty body, likewise": {"NoBody", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, http.MethodPut, "http://origin.example/", "")
			switch tc.body {
			case "stream":
				stream(false)(t, r, 100)
			case "GetBody":
				kinds["GetBody"].make(t, r, 100)
			case "NoBody":
				r.Body = http.NoBody
			}
			if tc.expect {
				r.Header.Set("Expect", "100-continue")
			}
			srv := stagetest.NewServer()
			resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{})(srv.Next)(r)
			finish(t, resp, err)
			if got := srv.Raw()[0].Close; got != tc.want || r.Close {
				t.Errorf("the request ends its connection: %t, the caller's: %t", got, r.Close)
			}
		})
	}
}

// A request with no header at all can be asked for first, and so can one that a cookie
// is to go with.
func TestNoHeader(t *testing.T) {
	for _, how := range []negotiate.OneShot{negotiate.SendOnce, negotiate.Expect, negotiate.Probe} {
		r := request(t, http.MethodPut, "http://origin.example/", "")
		stream(false)(t, r, 10)
		r.Header = nil
		o := negotiate.Options{OneShot: how}
		if how != negotiate.SendOnce {
			o.BodyLimit = -1
		}
		srv := stagetest.NewServer(setting(401, []string{"a=1"}, "WWW-Authenticate", "Negotiate"), stagetest.Respond(200, "ok"))
		resp, err := negotiate.New(new(stagetest.Initiator), o)(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Expect") != "" && r.Body != nil { // it is asked for with the token
				body := r.Body
				defer body.Close()
				r = r.Clone(r.Context())
				r.Body = nil
			}
			return srv.Next(r)
		})(r)
		finish(t, resp, err)
		last := srv.Raw()[len(srv.Raw())-1]
		if resp.StatusCode != 200 || last.Header.Get("Cookie") != "a=1" || signedWith(last) != "client-1" || r.Header != nil {
			t.Errorf("%v: status %d, sent %v, the caller's header is %v", how, resp.StatusCode, last.Header, r.Header)
		}
	}
}

// A request that waits for the server's challenge is sent as it is, below nothing of
// ours, and the answer names it, whatever was watched on its way.
func TestAnswerNamesTheRequest(t *testing.T) {
	other := request(t, http.MethodGet, "http://else.example/", "")
	for name, tc := range map[string]struct {
		named func(sent *http.Request) *http.Request
		err   error
	}{
		"that":    {named: func(sent *http.Request) *http.Request { return sent }},
		"another": {named: func(*http.Request) *http.Request { return other }},
		"none":    {named: func(*http.Request) *http.Request { return nil }},
		"error":   {err: io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, http.MethodPut, "http://origin.example/", "data")
			resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{WaitForChallenge: true})(func(r *http.Request) (*http.Response, error) {
				if _, err := io.Copy(io.Discard, r.Body); err != nil || r.Body.Close() != nil {
					t.Error(err)
				}
				if tc.err != nil {
					return nil, tc.err
				}
				resp, err := stagetest.Respond(200, "ok")(r)
				resp.Request = tc.named(r)
				return resp, err
			})(r)
			if tc.err != nil {
				if !errors.Is(err, tc.err) || resp != nil {
					t.Errorf("%v, error %v", resp, err)
				}
				return
			}
			finish(t, resp, err)
			switch got := resp.Request; {
			case name == "none":
				if got != nil {
					t.Errorf("the answer names a request for %v", got.URL)
				}
			case name == "another" && got.URL != other.URL, name == "that" && got.URL != r.URL:
				t.Errorf("the answer names a request for %v", got.URL)
			case httptrace.ContextClientTrace(got.Context()) != nil:
				t.Error("what the answer names is still watched")
			}
		})
	}
}
