package seal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

// A message that cannot be read whole, or is not what it says, is never sealed, not
// even in part.
func TestMessageIsWhole(t *testing.T) {
	bad := errors.New("bad")
	for name, tc := range map[string]struct {
		body   io.Reader
		length int64
		limit  int64
		sent   bool
		want   error // nil for any
	}{
		"as declared":       {strings.NewReader("message"), 7, 0, true, nil},
		"not declared":      {strings.NewReader("message"), -1, 0, true, nil},
		"declared as 0":     {strings.NewReader("message"), 0, 0, true, nil}, // which is not known, as net/http has it
		"any length":        {strings.NewReader("message"), -1, math.MaxInt64, true, nil},
		"just the limit":    {strings.NewReader("message"), 7, 7, true, nil},
		"the same, unknown": {strings.NewReader("message"), -1, 7, true, nil},
		"too long":          {strings.NewReader("message"), 7, 6, false, middleware.ErrConfiguration},
		"too long, unknown": {strings.NewReader("message"), -1, 6, false, middleware.ErrConfiguration},
		"too long unread":   {iotest.ErrReader(bad), 7, 6, false, middleware.ErrConfiguration},
		"64 MiB by default": {iotest.ErrReader(bad), 64 << 20, 0, false, bad},
		"and no more":       {iotest.ErrReader(bad), 64<<20 + 1, 0, false, middleware.ErrConfiguration},
		"longer than said":  {strings.NewReader("message"), 6, 0, false, nil},
		"shorter than said": {strings.NewReader("message"), 8, 0, false, nil},
		"fails":             {io.MultiReader(strings.NewReader("mess"), iotest.ErrReader(bad)), -1, 0, false, bad},
		"panics":            {io.MultiReader(strings.NewReader("mess"), panicking{}), -1, 0, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			srv, closes := stagetest.NewServer(stagetest.Respond(200, "answer")), 0
			messages := 0
			next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{MaxBody: tc.limit}), func(next kerbchain.Next) kerbchain.Next {
				return func(r *http.Request) (*http.Response, error) {
					if r.ContentLength != 0 {
						messages++
					}
					return next(r)
				}
			}, server)(srv.Next)
			r := request(t, "http://a.example/", "x")
			r.Body, r.ContentLength, r.GetBody = closer{tc.body, &closes}, tc.length, nil
			resp, err := next(r)
			if resp != nil {
				resp.Body.Close()
			}
			// A short limit is for the answer, too, which is longer here.
			if (tc.limit == 0 || tc.limit > 7) && (err == nil) != tc.sent || !tc.sent && (err == nil || tc.want != nil && !errors.Is(err, tc.want)) || (messages > 0) != tc.sent {
				t.Errorf("%d messages, error %v", messages, err)
			}
			if got := srv.Requests(); tc.sent && (len(got) != 1 || got[0].Body != "message") {
				t.Errorf("arrived: %+v", got)
			}
			if closes != 1 {
				t.Errorf("the body was closed %d times", closes)
			}
		})
	}
}

// A call that is refused, or whose context has ended, closes the body and reads
// nothing of it.
func TestUnreadMessage(t *testing.T) {
	for name, tc := range map[string]struct {
		own, ended, none bool
		want             error
	}{
		"credentials of its own":           {own: true, want: middleware.ErrConfiguration},
		"credentials of its own, no body":  {own: true, none: true, want: middleware.ErrConfiguration},
		"a context that has ended":         {ended: true, want: context.Canceled},
		"a context that ended, own header": {own: true, ended: true, want: middleware.ErrConfiguration},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tc.ended {
					cancel()
				}
				srv, reads, closes := stagetest.NewServer(), 0, 0
				r := request(t, "http://a.example/", "").WithContext(ctx)
				r.Body, r.ContentLength, r.GetBody = closer{reading(func() { reads++ }), &closes}, -1, nil
				if tc.none {
					r.Body, r.ContentLength, closes = nil, 0, 1
				}
				if tc.own {
					r.Header.Set("Authorization", "Basic b3du")
				}
				_, err := seal.New(auth(initiator()), seal.Options{})(srv.Next)(r)
				synctest.Wait()
				if !errors.Is(err, tc.want) || reads != 0 || closes != 1 || len(srv.Requests()) != 0 {
					t.Errorf("error %v, read %d times, closed %d times, sent %v", err, reads, closes, srv.Requests())
				}
			})
		})
	}
}

// A reading reader tells when it is read.
type reading func()

func (r reading) Read([]byte) (int, error) {
	r()
	return 0, io.EOF
}

// Whatever length an empty body declares, there is nothing to read, and nothing to
// hold against it.
func TestNothingToSeal(t *testing.T) {
	for name, body := range map[string]io.ReadCloser{"no body": nil, "NoBody": http.NoBody} {
		t.Run(name, func(t *testing.T) {
			srv := stagetest.NewServer(stagetest.Respond(200, "answer"))
			var messages []*http.Request
			next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}), onMessage(func(r *http.Request) { messages = append(messages, r) }), server)(srv.Next)
			r := request(t, "http://a.example/", "")
			r.Method, r.Body, r.ContentLength = http.MethodGet, body, 7
			r.Header.Set("Content-Type", "text/plain")
			resp, err := next(r)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); string(b) != "answer" || err != nil || !middleware.SecurityOf(resp.Request).Verified() {
				t.Errorf("%q, %v, its answer must be sealed", b, err)
			}
			if len(messages) != 1 || messages[0].Body != body || messages[0].Header.Get("Content-Type") != "text/plain" || messages[0].Method != http.MethodGet {
				t.Errorf("sent %+v", messages)
			}
		})
	}
}

// onMessage has f called with each request that comes without a token, which is
// one that bears a message.
func onMessage(f func(*http.Request)) kerbchain.Middleware {
	return func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") == "" {
				f(r)
			}
			return next(r)
		}
	}
}

// An answer that cannot be read whole is an error, and closed, whether it answers
// the empty request or a message, in clear or sealed. Nothing is sent again for it,
// and the next message is one of a new session.
func TestAnswerIsWhole(t *testing.T) {
	torn := errors.New("torn")
	text := func(n int) io.Reader { return strings.NewReader(strings.Repeat("x", n)) }
	for what, spoil := range map[string]struct {
		body   func() io.Reader
		length int64
		want   error
		reason middleware.Reason
		says   string
	}{
		"torn":              {func() io.Reader { return io.MultiReader(text(3), iotest.ErrReader(torn)) }, -1, torn, middleware.ReasonNone, "seal: reading the answer: "},
		"too long":          {func() io.Reader { return text(1001) }, -1, middleware.ErrNotVerified, middleware.ReasonMalformed, "raise Options.MaxBody"},
		"too long, unread":  {func() io.Reader { return iotest.ErrReader(torn) }, 1001, middleware.ErrNotVerified, middleware.ReasonMalformed, "raise Options.MaxBody"},
		"too long and torn": {func() io.Reader { return io.MultiReader(text(1001), iotest.ErrReader(torn)) }, -1, middleware.ErrNotVerified, middleware.ReasonMalformed, "answer of more than 1000 bytes"},
	} {
		for to, status := range map[string]int{"empty request, 401": 401, "empty request, 503": 503, "message": 200, "message, 401": 401, "message, 407": 407} {
			t.Run(what+", "+to, func(t *testing.T) {
				empty := strings.HasPrefix(to, "empty")
				sessions, messages, closes, spoiled := 0, 0, 0, false
				next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{MaxBody: 1000, Resend: true}), func(next kerbchain.Next) kerbchain.Next {
					return func(r *http.Request) (*http.Response, error) {
						resp, err := next(r)
						first := r.Header.Get("Authorization") != ""
						if first {
							sessions++
						} else {
							messages++
						}
						if err == nil && first == empty && !spoiled {
							spoiled = true
							resp.StatusCode, resp.Body, resp.ContentLength = status, closer{spoil.body(), &closes}, spoil.length
							resp.Header.Del("WWW-Authenticate")
						}
						return resp, err
					}
				}, server)(stagetest.NewServer(stagetest.Respond(204, "")).Next)
				_, err := next(request(t, "http://a.example/", "message"))
				var e *middleware.Error
				if !errors.Is(err, spoil.want) || errors.As(err, &e) && e.Reason != spoil.reason || !strings.Contains(fmt.Sprint(err), spoil.says) {
					t.Errorf("error %v", err)
				}
				if closes != 1 || sessions != 1 || empty == (messages != 0) || messages > 1 {
					t.Errorf("closed %d times, %d sessions, %d messages", closes, sessions, messages)
				}
				if _, err = next(request(t, "http://a.example/", "message")); err != nil || sessions != 2 {
					t.Errorf("the next message: %d sessions, error %v", sessions, err)
				}
			})
		}
	}
}

// A body that is not there, as with transports of tests, is an empty one.
func TestAnswerWithoutBody(t *testing.T) {
	for name, tc := range map[string]struct {
		empty  bool // it answers the empty request
		status int
		err    error
	}{
		"a message":                   {false, 200, nil},
		"a message, 401":              {false, 401, nil},
		"a message, 302":              {false, 302, middleware.ErrNotVerified},
		"the empty request, 503":      {true, 503, nil},
		"the empty request, no proof": {true, 200, middleware.ErrNotVerified},
	} {
		t.Run(name, func(t *testing.T) {
			// No mutual stage, so that the one at hand sees the answer first.
			signs := preemptive.New(initiator(), preemptive.Always(), preemptive.Options{})
			if !tc.empty {
				signs = auth(initiator())
			}
			next := kerbchain.Chain(seal.New(signs, seal.Options{}), func(next kerbchain.Next) kerbchain.Next {
				return func(r *http.Request) (*http.Response, error) {
					resp, err := next(r)
					if err == nil && tc.empty == (r.Header.Get("Authorization") != "") {
						resp.StatusCode, resp.Body, resp.ContentLength = tc.status, nil, 0
					}
					return resp, err
				}
			}, server)(stagetest.NewServer().Next)
			resp, err := next(request(t, "http://a.example/", "message"))
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Fatal(err)
			}
			if err == nil {
				if b, err := io.ReadAll(resp.Body); len(b) > 0 || err != nil || resp.StatusCode != tc.status {
					t.Errorf("status %d, %q, %v", resp.StatusCode, b, err)
				}
			}
		})
	}
}

type panicking struct{ io.Reader }

func (panicking) Read([]byte) (int, error) { panic("no reader") }

type closer struct {
	io.Reader
	n *int
}

func (c closer) Close() error {
	*c.n++
	return nil
}
