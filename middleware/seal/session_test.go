package seal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

// A session is set up anew after it was idle for that long, and not sooner.
func TestIdle(t *testing.T) {
	for _, tc := range []struct{ idle, pause, answer, want time.Duration }{
		{0, time.Minute - 1, 0, 1}, {0, time.Minute, 0, 3},
		{time.Second, time.Second - 1, 0, 1}, {time.Second, time.Second, 0, 3},
		{-1, 24 * time.Hour, 0, 1},
		// It counts from the last answer, however long that took.
		{time.Second, time.Second - 1, time.Hour, 1},
	} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sessions := 0
				next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{Idle: tc.idle}), func(next kerbchain.Next) kerbchain.Next {
					return func(r *http.Request) (*http.Response, error) {
						if r.ContentLength == 0 {
							sessions++
						} else {
							time.Sleep(tc.answer)
						}
						return next(r)
					}
				}, server)(stagetest.NewServer(stagetest.Respond(200, "answer")).Next)
				for range 3 {
					if _, err := next(request(t, "http://a.example/", "message")); err != nil {
						t.Fatal(err)
					}
					time.Sleep(tc.pause)
				}
				if sessions != int(tc.want) {
					t.Errorf("%d sessions, want %d", sessions, tc.want)
				}
			})
		})
	}
}

// The empty request is sent again where it met a dead connection that had been
// used before, once. Nothing else is.
func TestDeadConnection(t *testing.T) {
	broken := errors.New("connection reset")
	for name, tc := range map[string]struct {
		reused, answered bool
		err              error
		always, leaves   bool
		sent             int
		fails            bool
	}{
		"dead":       {reused: true, err: broken, sent: 2},
		"dead twice": {reused: true, err: broken, always: true, sent: 2, fails: true},
		"alive, and the transport does not tell of the answer": {reused: true, always: true, sent: 1},
		"new":               {err: broken, sent: 1, fails: true},
		"began to answer":   {reused: true, answered: true, err: broken, sent: 1, fails: true},
		"a stage's error":   {reused: true, err: &middleware.Error{Kind: middleware.ErrKDC}, sent: 1, fails: true},
		"the caller leaves": {reused: true, err: broken, leaves: true, sent: 1, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			sent := 0
			next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}), func(next kerbchain.Next) kerbchain.Next {
				return func(r *http.Request) (*http.Response, error) {
					if r.ContentLength != 0 {
						return next(r)
					}
					sent++
					if sent > 1 && !tc.always {
						return next(r)
					}
					trace := httptrace.ContextClientTrace(r.Context())
					trace.GotConn(httptrace.GotConnInfo{Conn: &named{}, Reused: tc.reused})
					if tc.answered {
						trace.GotFirstResponseByte()
					}
					if tc.leaves {
						leave()
					}
					if tc.err == nil {
						return next(r)
					}
					return nil, tc.err
				}
			}, server)(stagetest.NewServer(stagetest.Respond(200, "answer")).Next)
			_, err := next(request(t, "http://a.example/", "message").WithContext(ctx))
			if sent != tc.sent || (err != nil) != tc.fails || tc.fails && !errors.Is(err, tc.err) {
				t.Errorf("%d sent, error %v", sent, err)
			}
		})
	}
}

// A challenge to a message is the answer, and is told of; with Resend the message
// goes once more.
func TestChallengeToAMessage(t *testing.T) {
	for _, status := range []int{401, 407} {
		for _, resend := range []bool{false, true} {
			t.Run(fmt.Sprint(status, resend), func(t *testing.T) {
				refused, messages := 0, 0
				srv := stagetest.NewServer(stagetest.Challenge(status), stagetest.Challenge(status), stagetest.Respond(200, "answer"))
				next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{Resend: resend}), func(next kerbchain.Next) kerbchain.Next {
					return func(r *http.Request) (*http.Response, error) {
						if r.ContentLength != 0 {
							messages++
						}
						return next(r)
					}
				}, server)(srv.Next)
				r := request(t, "http://a.example/", "message")
				r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
					if e, ok := e.(middleware.RefusedEvent); ok {
						if refused++; e.Status != status || e.Host != "a.example:80" || e.Err == nil {
							t.Errorf("%+v", e)
						}
					}
				}))
				resp, err := next(r)
				if err != nil || resp.StatusCode != status || resp.Request != r && middleware.SecurityOf(resp.Request) != nil {
					t.Fatal(resp, err)
				}
				want := 1
				if resend {
					want = 2
				}
				if resp.Request.Context().Err() != nil {
					t.Error("the context of the response's request has ended")
				}
				if messages != want || refused != 1 {
					t.Errorf("%d messages, %d times told", messages, refused)
				}
			})
		}
	}
}

// What is told of a challenge to a message depends on whether there ever was a session: a
// server that authenticates each request has none, which is not a matter of names and keys.
func TestChallengeToTheFirstMessage(t *testing.T) {
	for name, tc := range map[string]struct {
		status  int
		answers int // before the challenge
		why     string
		try     string
	}{
		"the first one":            {401, 0, "it authenticates each request and keeps no session, as WinRM does", "see whether WinRM listens at this URL"},
		"the second one":           {401, 1, "it has forgotten the session", "see whether the message was carried out"},
		"the first one of a proxy": {407, 0, "it has forgotten the session", "see whether the message was carried out"},
	} {
		t.Run(name, func(t *testing.T) {
			var answers []stagetest.Reply
			for range tc.answers {
				answers = append(answers, stagetest.Respond(200, "answer"))
			}
			var told []error
			next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}), server)(stagetest.NewServer(append(answers, stagetest.Challenge(tc.status))...).Next)
			for range tc.answers + 1 {
				r := request(t, "http://a.example/", "message")
				resp, err := next(r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
					if e, ok := e.(middleware.RefusedEvent); ok {
						told = append(told, e.Err)
					}
				})))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			var e *middleware.Error
			if len(told) != 1 || !errors.As(told[0], &e) || !strings.Contains(e.Err.Error(), tc.why) || !strings.Contains(e.Hint, tc.try) || e.SPN == "" || e.Reason != middleware.ReasonRefused {
				t.Errorf("told %v", told)
			}
		})
	}
}

// A challenge to the empty request is told of by the stages that answer it, and by
// nobody else.
func TestChallengeToTheEmptyRequest(t *testing.T) {
	refused := 0
	r := request(t, "http://a.example/", "message")
	r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
		if _, ok := e.(middleware.RefusedEvent); ok {
			refused++
		}
	}))
	resp, err := seal.New(auth(initiator()), seal.Options{})(stagetest.NewServer(stagetest.Challenge(401, "Negotiate")).Next)(r)
	if err != nil || resp.StatusCode != 401 || refused != 1 {
		t.Errorf("%v, %v, told of %d times", resp, err, refused)
	}
}

// After an answer that did not open, could not be read, or never came, nothing more
// is sent with the context that it should have been sealed with, and the message is
// not sent again.
func TestBrokenSessionEnds(t *testing.T) {
	lost := errors.New("lost")
	for name, spoil := range map[string]func(*http.Response) error{
		"in clear": func(resp *http.Response) error {
			resp.Header.Set("Content-Type", "text/plain")
			return nil
		},
		"breaks off": func(resp *http.Response) error {
			resp.Body = io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF))
			return nil
		},
		"a redirect": func(resp *http.Response) error {
			resp.StatusCode, resp.Body, resp.ContentLength = 302, http.NoBody, 0
			return nil
		},
		"lost": func(*http.Response) error { return lost },
	} {
		t.Run(name, func(t *testing.T) {
			sessions, answers := 0, 0
			next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{Resend: true}), func(next kerbchain.Next) kerbchain.Next {
				return func(r *http.Request) (*http.Response, error) {
					resp, err := next(r)
					if r.ContentLength == 0 {
						sessions++
					} else if answers++; err == nil && answers == 1 {
						if err := spoil(resp); err != nil {
							return nil, err
						}
					}
					return resp, err
				}
			}, server)(stagetest.NewServer(stagetest.Respond(200, "answer")).Next)
			for i := range 3 {
				resp, err := next(request(t, "http://a.example/", "message"))
				if (err != nil) != (i == 0) {
					t.Fatal(i, resp, err)
				}
			}
			if sessions != 2 || answers != 3 {
				t.Errorf("%d sessions, want 2; %d messages, want 3", sessions, answers)
			}
		})
	}
}

// A transport, or a stage below, that returns neither a response nor an error makes
// an error, and the session is over.
func TestNothingReturned(t *testing.T) {
	for _, what := range []string{"the empty request", "a message"} {
		t.Run(what, func(t *testing.T) {
			sessions, messages := 0, 0
			next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{Resend: true}), func(next kerbchain.Next) kerbchain.Next {
				return func(r *http.Request) (*http.Response, error) {
					n := &messages
					if r.ContentLength == 0 {
						n = &sessions
					}
					if *n++; *n == 1 && (n == &sessions) == (what == "the empty request") {
						return nil, nil
					}
					return next(r)
				}
			}, server)(stagetest.NewServer(stagetest.Respond(200, "answer")).Next)
			if resp, err := next(request(t, "http://a.example/", "message")); resp != nil || err == nil {
				t.Errorf("%v, %v", resp, err)
			}
			if _, err := next(request(t, "http://a.example/", "message")); err != nil || sessions != 2 {
				t.Errorf("the next message: error %v, %d sessions", err, sessions)
			}
		})
	}
}
