package seal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/internal/winrm"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

// What of the caller's request goes with the empty request, and what with the
// message. The lengths are those of what is sent, and not of what the caller had.
func TestWhatIsSent(t *testing.T) {
	type sent struct {
		Method           string
		Header           http.Header
		Length           int64
		TransferEncoding []string
		Trailer          http.Header
		Close            bool
	}
	for name, header := range map[string]http.Header{
		"with a header": {"X-Own": {"mine"}, "Content-Type": {"text/xml"}, "Content-Length": {"7"}, "Connection": {"close"}, "Expect": {"100-continue"}},
		"without":       nil,
	} {
		t.Run(name, func(t *testing.T) {
			var got []sent
			var raw []*http.Request
			next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}), func(next kerbchain.Next) kerbchain.Next {
				return func(r *http.Request) (*http.Response, error) {
					h := r.Header.Clone()
					delete(h, "Authorization")
					got, raw = append(got, sent{r.Method, h, r.ContentLength, r.TransferEncoding, r.Trailer, r.Close}), append(raw, r)
					if r.ContentLength == 0 {
						if r.Body != http.NoBody || r.GetBody != nil {
							t.Error("the empty request has a body")
						}
						return next(r)
					}
					again, err := r.GetBody()
					if err != nil {
						return nil, err
					}
					b, err := io.ReadAll(again)
					if err != nil || int64(len(b)) != r.ContentLength || !strings.Contains(string(b), "Length=7\r\n") {
						t.Errorf("GetBody gives %q, %v", b, err)
					}
					return next(r)
				}
			}, server)(stagetest.NewServer(stagetest.Respond(200, "answer")).Next)
			r := request(t, "http://a.example/", "message")
			r.Method, r.Header, r.Close = http.MethodPut, header, true
			r.ContentLength, r.TransferEncoding, r.Trailer = -1, []string{"chunked"}, http.Header{"X-Sum": nil}
			resp, err := next(r)
			if err != nil {
				t.Fatal(err)
			}
			empty, message := http.Header{"Content-Type": {winrm.SOAP}}, http.Header{"Content-Type": {winrm.SPNEGO.ContentType()}}
			if header != nil {
				empty["X-Own"] = []string{"mine"}
				message["X-Own"], message["Connection"], message["Expect"] = []string{"mine"}, []string{"close"}, []string{"100-continue"}
			}
			want := []sent{
				{Method: http.MethodPost, Header: empty},
				{Method: http.MethodPut, Header: message, Length: got[len(got)-1].Length, Close: true},
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("sent (-want +got):\n%s", d)
			}
			// What was sent is over, and the caller goes on with what the answer names.
			if raw[1].Context().Err() == nil || resp.Request.Context().Err() != nil {
				t.Errorf("contexts: of what was sent %v, of the answer's request %v", raw[1].Context().Err(), resp.Request.Context().Err())
			}
		})
	}
}

// A message that cannot be sealed is not sent, and the session, which may have
// counted it, is over.
func TestNotSealed(t *testing.T) {
	broken, refused := errors.New("broken"), &middleware.Error{Stage: "fake", Kind: middleware.ErrCredentials}
	for name, tc := range map[string]struct {
		kind string // Content-Type
		err  error  // of the context
		want error
		own  bool // the error is the context's, as it is
	}{
		"a type that breaks the framing": {"text/xml;length=7", nil, middleware.ErrToken, false},
		"the context fails":              {"", broken, broken, false},
		"the context refuses":            {"", refused, refused, true},
	} {
		t.Run(name, func(t *testing.T) {
			in, sessions := initiator(), 0
			failing := middleware.InitiatorFunc(func(ctx context.Context, target middleware.Target) (middleware.SecurityContext, error) {
				sc, err := in.Initiate(ctx, target)
				if sessions++; err == nil && sessions == 1 {
					sc.(*sealer).cannotSeal = tc.err
				}
				return sc, err
			})
			srv := stagetest.NewServer(stagetest.Respond(200, "answer"))
			messages := 0
			next := kerbchain.Chain(seal.New(auth(failing), seal.Options{Resend: true}), onMessage(func(*http.Request) { messages++ }), server)(srv.Next)
			r := request(t, "http://a.example/", "message")
			r.Header.Set("Content-Type", tc.kind)
			_, err := next(r)
			var e *middleware.Error
			if !errors.Is(err, tc.want) || !errors.As(err, &e) || (e == refused) != tc.own || !tc.own && (e.Stage != "seal" || !errors.Is(e, middleware.ErrToken) || e.Host != "a.example:80") {
				t.Errorf("error %v", err)
			}
			if messages != 0 || sessions != 1 {
				t.Errorf("%d messages, %d sessions", messages, sessions)
			}
			if _, err := next(request(t, "http://a.example/", "message")); err != nil || messages != 1 || sessions != 2 {
				t.Errorf("the next one: error %v, %d messages, %d sessions", err, messages, sessions)
			}
		})
	}
}

// What is made of each status: an answer without a body passes without proof, save a
// redirect, which leads somewhere; one that opens is verified, whatever its status.
func TestStatus(t *testing.T) {
	for _, status := range []int{200, 204, 299, 300, 302, 399, 400, 404, 500} {
		for _, body := range []string{"", "answer"} {
			t.Run(fmt.Sprint(status, body), func(t *testing.T) {
				var told []middleware.VerdictEvent
				refused := 0
				r := request(t, "http://a.example/", "message")
				r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
					switch e := e.(type) {
					case middleware.VerdictEvent:
						if e.Mode == "sealed" {
							told = append(told, e)
						}
					case middleware.RefusedEvent:
						refused++
					}
				}))
				closes := 0
				resp, err := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}), func(next kerbchain.Next) kerbchain.Next {
					return func(r *http.Request) (*http.Response, error) {
						resp, err := next(r)
						if err == nil && r.ContentLength != 0 {
							resp.StatusCode = status
							if body == "" {
								resp.Body, resp.ContentLength = closer{strings.NewReader(""), &closes}, 0
							}
						}
						return resp, err
					}
				}, server)(stagetest.NewServer(stagetest.Respond(200, body)).Next)(r)
				want := middleware.VerdictEvent{Host: "a.example:80", SPN: "HTTP/a.example", Mode: "sealed", Status: status, Verified: true}
				var e *middleware.Error
				switch redirect := status >= 300 && status < 400; {
				case body == "" && redirect:
					want.Verified, want.Reason, want.Err = false, middleware.ReasonUnverifiedRedirect, err
					if !errors.As(err, &e) || e.Reason != middleware.ReasonUnverifiedRedirect || e.SPN != "HTTP/a.example" {
						t.Errorf("error %v", err)
					}
				case err != nil:
					t.Fatal(err)
				case body == "":
					want.Verified, want.Reason = false, middleware.ReasonNoToken
					if sc := middleware.SecurityOf(resp.Request); sc != nil || resp.Request.URL != r.URL || resp.Request.ContentLength != r.ContentLength || resp.Request.Context().Err() != nil {
						t.Errorf("the answer's request is not the caller's: %v, %+v", sc, resp.Request)
					}
				case !middleware.SecurityOf(resp.Request).Verified():
					t.Error("not verified")
				}
				if err == nil {
					if b, err := io.ReadAll(resp.Body); string(b) != body || err != nil || resp.StatusCode != status {
						t.Errorf("status %d, %q, %v", resp.StatusCode, b, err)
					}
				}
				if body == "" && closes == 0 {
					t.Error("the answer's body was not closed")
				}
				if d := cmp.Diff([]middleware.VerdictEvent{want}, told, cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) })); d != "" || refused != 0 {
					t.Errorf("told of %d refusals and (-want +got):\n%s", refused, d)
				}
			})
		}
	}
}

// What is wrong with an answer, and whom it is the fault of.
func TestRefused(t *testing.T) {
	torn := errors.New("torn")
	said := &middleware.Error{Stage: "fake", Kind: middleware.ErrNotVerified, Reason: middleware.ReasonReplayed, Principal: "HTTP/b.example", Hint: "look there", Err: errors.New("seen before")}
	sealed := winrm.SPNEGO.ContentType()
	for name, tc := range map[string]struct {
		kind string
		body io.Reader // nil for what the server sealed
		err  error     // of the context
		want middleware.VerdictEvent
		hint string
		says string
	}{
		"in clear":            {"text/plain", strings.NewReader("in clear"), nil, middleware.VerdictEvent{Reason: middleware.ReasonUnsealed}, "", `status 200 with 8 bytes of type "text/plain"`},
		"no framing":          {sealed, strings.NewReader("no framing"), nil, middleware.VerdictEvent{Reason: middleware.ReasonMalformed}, "", "without the delimiter"},
		"another protocol":    {strings.ReplaceAll(sealed, "SPNEGO", "CredSSP"), strings.NewReader("x"), nil, middleware.VerdictEvent{Reason: middleware.ReasonMalformed}, "", "another protocol"},
		"the context refuses": {sealed, nil, said, middleware.VerdictEvent{Reason: middleware.ReasonReplayed}, "look there", "seen before"},
		"the context fails":   {sealed, nil, errors.New("broken"), middleware.VerdictEvent{Reason: middleware.ReasonMalformed}, "", "broken"},
		"torn":                {sealed, iotest.ErrReader(torn), nil, middleware.VerdictEvent{}, "", "torn"},
	} {
		t.Run(name, func(t *testing.T) {
			in := initiator()
			failing := middleware.InitiatorFunc(func(ctx context.Context, target middleware.Target) (middleware.SecurityContext, error) {
				sc, err := in.Initiate(ctx, target)
				if err == nil {
					sc.(*sealer).cannotOpen = tc.err
				}
				return sc, err
			})
			var told []middleware.VerdictEvent
			closes := 0
			r := request(t, "http://a.example/", "message")
			r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.VerdictEvent); ok && e.Mode == "sealed" {
					told = append(told, e)
				}
			}))
			_, err := kerbchain.Chain(seal.New(auth(failing), seal.Options{}), func(next kerbchain.Next) kerbchain.Next {
				return func(r *http.Request) (*http.Response, error) {
					resp, err := next(r)
					if err == nil && r.ContentLength != 0 {
						resp.Header.Set("Content-Type", tc.kind)
						var body io.Reader = resp.Body
						if tc.body != nil {
							body, resp.ContentLength = tc.body, -1
						}
						resp.Body = closer{body, &closes}
					}
					return resp, err
				}
			}, server)(stagetest.NewServer(stagetest.Respond(200, "answer")).Next)(r)
			if err == nil || !strings.Contains(err.Error(), tc.says) || closes != 1 {
				t.Fatalf("error %v, the body was closed %d times", err, closes)
			}
			want := tc.want
			want.Host, want.SPN, want.Mode, want.Status, want.Err = "a.example:80", "HTTP/a.example", "sealed", 200, err
			if d := cmp.Diff([]middleware.VerdictEvent{want}, told, cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) })); d != "" {
				t.Errorf("told (-want +got):\n%s", d)
			}
			var e *middleware.Error
			if !errors.As(err, &e) {
				if !errors.Is(err, torn) {
					t.Errorf("error %v", err)
				}
				return
			}
			principal := ""
			if tc.err == error(said) {
				principal = said.Principal
			}
			if e.Reason != tc.want.Reason || e.Hint != tc.hint || e.Principal != principal || e.Stage != "seal" || e.Host != "a.example:80" || e.SPN != "HTTP/a.example" {
				t.Errorf("error %+v", e)
			}
		})
	}
}
