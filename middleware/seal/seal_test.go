package seal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/gss"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/internal/winrm"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

func TestMain(m *testing.M) { testmain.Run(m) }

// A sealer is a fake security context with the real protection of messages.
type sealer struct {
	middleware.SecurityContext
	mu   sync.Mutex
	ours *gss.Channel
	peer *gss.Channel // the server's end

	cannotSeal, cannotOpen error // in place of what they would return
}

func (s *sealer) SPN() string { return "HTTP/a.example" }

func (s *sealer) Seal(dst, plain []byte) ([]byte, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cannotSeal != nil {
		return nil, 0, s.cannotSeal
	}
	return s.ours.Seal(dst, plain)
}

func (s *sealer) Open(header, data []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cannotOpen != nil {
		return nil, s.cannotOpen
	}
	return s.ours.Open(header, data)
}

// initiator makes sealers.
func initiator() middleware.Initiator { return initiatorOf(krb.AES256SHA1) }

func initiatorOf(etype int32) middleware.Initiator {
	in := new(stagetest.Initiator)
	return middleware.InitiatorFunc(func(ctx context.Context, t middleware.Target) (middleware.SecurityContext, error) {
		sc, err := in.Initiate(ctx, t)
		if err != nil {
			return nil, err
		}
		key, err := krb.GenerateKey(etype)
		if err != nil {
			return nil, err
		}
		s := &sealer{SecurityContext: sc}
		p := gss.Params{Session: key, SendSeq: 1, RecvSeq: 1}
		if s.ours, err = gss.NewChannel(p); err != nil {
			return nil, err
		}
		p.Acceptor = true
		s.peer, err = gss.NewChannel(p)
		return s, err
	})
}

func auth(in middleware.Initiator) kerbchain.Middleware {
	return kerbchain.Chain(
		mutual.New(mutual.Options{}),
		preemptive.New(in, preemptive.Always(), preemptive.Options{}),
		negotiate.New(in, negotiate.Options{}),
	)
}

type lengthKey struct{}

// keepLength remembers the length that the caller's request had.
func keepLength(next kerbchain.Next) kerbchain.Next {
	return func(r *http.Request) (*http.Response, error) {
		return next(r.WithContext(context.WithValue(r.Context(), lengthKey{}, r.ContentLength)))
	}
}

// server is the other half of a sealed connection: it sets up contexts, passes
// on what was sealed in clear, and seals the answers.
func server(next kerbchain.Next) kerbchain.Next {
	var mu sync.Mutex
	var now *sealer // of the connection
	return func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") != "" {
			mu.Lock()
			defer mu.Unlock()
			now = middleware.SecurityOf(r).(*sealer)
			if r.Body != nil && r.Body != http.NoBody || r.Method != http.MethodPost {
				return nil, fmt.Errorf("a request that sets up a session is a %s with a body", r.Method)
			}
			return stagetest.Bearing(stagetest.ServerOK, stagetest.Respond(200, ""))(r)
		}
		mu.Lock()
		s := now
		mu.Unlock()
		if s == nil {
			return nil, errors.New("a message without a session")
		}
		plain, err := s.receive(r)
		if err != nil {
			return nil, err
		}
		resp, err := next(plain)
		if err != nil {
			return nil, err
		}
		return s.reply(resp)
	}
}

func (s *sealer) receive(r *http.Request) (*http.Request, error) {
	out := *r
	if n, ok := r.Context().Value(lengthKey{}).(int64); ok {
		out.ContentLength = n
	}
	if r.Body == nil || r.Body == http.NoBody {
		return &out, nil
	}
	b, err := readBody(r.Body, r.ContentLength)
	if err := errors.Join(err, r.Body.Close()); err != nil {
		return nil, err
	}
	if int64(len(b)) != r.ContentLength {
		return nil, fmt.Errorf("message of %d bytes with Content-Length %d", len(b), r.ContentLength)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := winrm.Open(r.Header.Get("Content-Type"), b, s.peer)
	if err != nil {
		return nil, err
	}
	out.Body = io.NopCloser(bytes.NewReader(m.Plain))
	return &out, nil
}

// readBody is io.ReadAll, without moving what it has read.
func readBody(r io.Reader, length int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(max(length, 0)) + bytes.MinRead)
	_, err := b.ReadFrom(r)
	return b.Bytes(), err
}

// reply seals an answer, save one that cannot be read or must not be.
func (s *sealer) reply(resp *http.Response) (*http.Response, error) {
	if slices.Contains([]int{101, 401, 407}, resp.StatusCode) {
		return resp, nil
	}
	b, err := readBody(resp.Body, resp.ContentLength)
	if cerr := resp.Body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		resp.Body, resp.ContentLength = io.NopCloser(iotest.ErrReader(err)), -1
		return resp, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, err = winrm.Seal(nil, winrm.SPNEGO, s.peer, winrm.SOAP, b); err != nil {
		return nil, err
	}
	resp.Header.Set("Content-Type", winrm.SPNEGO.ContentType())
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	return resp, nil
}

// The stage obeys the rules of all stages: sealing, with the server's half below
// it, and not sealing.
func TestConformance(t *testing.T) {
	for name, stage := range map[string]func() kerbchain.Middleware{
		"sealing": func() kerbchain.Middleware {
			return kerbchain.Chain(keepLength, seal.New(auth(initiator()), seal.Options{Mode: seal.Always}), server)
		},
		"not sealing": func() kerbchain.Middleware {
			return seal.New(auth(initiator()), seal.Options{Mode: seal.Never})
		},
		"without stages that authenticate": func() kerbchain.Middleware {
			return seal.New(nil, seal.Options{Mode: seal.Never})
		},
	} {
		t.Run(name, func(t *testing.T) { stagetest.Run(t, stage) })
	}
}

func request(t *testing.T, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Which requests are sealed.
func TestModes(t *testing.T) {
	type outcome struct{ Plain, Secure bool }
	for mode, want := range map[seal.Mode]outcome{
		seal.Auto: {true, false}, seal.Always: {true, true}, seal.Never: {false, false}, seal.Mode(7): {true, false},
	} {
		sealed := func(url string) (sealed bool) {
			resp, err := seal.New(auth(initiator()), seal.Options{Mode: mode})(func(r *http.Request) (*http.Response, error) {
				sealed = sealed || r.ContentLength == 0
				return stagetest.Respond(503, "")(r)
			})(request(t, url, "message"))
			if err != nil || resp.StatusCode != 503 {
				t.Errorf("%v: %v, %v", mode, resp, err)
			}
			return sealed
		}
		if d := cmp.Diff(want, outcome{sealed("http://a.example/"), sealed("HTTPS://a.example/")}); d != "" {
			t.Errorf("%v (-want +got):\n%s", mode, d)
		}
	}
	for mode, want := range map[seal.Mode]string{seal.Auto: "auto", seal.Always: "always", seal.Never: "never", -1: "mode -1", 3: "mode 3", 7: "mode 7"} {
		if got := mode.String(); got != want {
			t.Errorf("mode %d: %q, want %q", int(mode), got, want)
		}
	}
}

// A request without a URL is for the transport to refuse.
func TestNoURL(t *testing.T) {
	refuse := errors.New("no URL")
	for _, mode := range []seal.Mode{seal.Auto, seal.Always, seal.Never} {
		r := request(t, "http://a.example/", "message")
		r.URL = nil
		_, err := seal.New(nil, seal.Options{Mode: mode})(func(got *http.Request) (*http.Response, error) {
			if got != r {
				t.Errorf("%v: another request was sent", mode)
			}
			return nil, refuse
		})(r)
		if !errors.Is(err, refuse) {
			t.Errorf("%v: error %v", mode, err)
		}
	}
}

// User info in the URL is no reason not to seal; credentials of the caller's are.
func TestCredentialsInRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		url   string
		field string
		want  error
		says  middleware.CredentialsEvent
	}{
		"user info":               {"http://alice:pw@a.example/", "", nil, middleware.CredentialsEvent{Dropped: true}},
		"own":                     {"http://a.example/", "Authorization", middleware.ErrConfiguration, middleware.CredentialsEvent{}},
		"own, in lower case":      {"http://a.example/", "authorization", middleware.ErrConfiguration, middleware.CredentialsEvent{}},
		"own, beside a user info": {"http://alice:pw@a.example/", "Authorization", middleware.ErrConfiguration, middleware.CredentialsEvent{}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := stagetest.NewServer(stagetest.Respond(200, "answer"))
			var said []middleware.CredentialsEvent
			r := request(t, tc.url, "message")
			r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.CredentialsEvent); ok {
					said = append(said, e)
				}
			}))
			if tc.field != "" {
				r.Header[tc.field] = []string{"Basic bWU6bWU="}
			}
			resp, err := (&http.Client{Transport: kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}), server)(srv.Next)}).Do(r)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Fatalf("error %v", err)
			}
			if err == nil {
				if err := resp.Body.Close(); err != nil {
					t.Error(err)
				}
			}
			for _, r := range srv.Requests() {
				if r.Auth != "" || tc.want != nil {
					t.Errorf("sent %+v", r)
				}
			}
			tc.says.Stage, tc.says.Host, tc.says.Field = "seal", "a.example:80", "Authorization"
			if d := cmp.Diff([]middleware.CredentialsEvent{tc.says}, said); d != "" {
				t.Errorf("said (-want +got):\n%s", d)
			}
		})
	}
}

// What the stages that authenticate must bring about, or no message is sent.
func TestNoSession(t *testing.T) {
	plain := new(stagetest.Initiator) // whose contexts cannot seal
	h2 := func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			resp, err := next(r)
			if err == nil {
				resp.ProtoMajor = 2
			}
			return resp, err
		}
	}
	ok := stagetest.Bearing(stagetest.ServerOK, stagetest.Respond(200, ""))
	boom := errors.New("boom")
	const (
		nobody = "put preemptive or negotiate, and mutual outside them, into the first argument of seal.New"
		h1     = "switch HTTP/2 off in the transport"
		unlike = "security contexts of type *stagetest.Context cannot seal messages"
	)
	for name, tc := range map[string]struct {
		auth   kerbchain.Middleware
		reply  stagetest.Reply
		kind   error
		reason middleware.Reason
		status int
		says   string
		spn    string
	}{
		"no stages":                 {nil, ok, middleware.ErrNotVerified, middleware.ReasonNoToken, 0, nobody, ""},
		"no mutual stage":           {preemptive.New(initiator(), preemptive.Always(), preemptive.Options{}), ok, middleware.ErrNotVerified, middleware.ReasonNoToken, 0, "status 200 to the request that sets up a session", "HTTP/a.example"},
		"nobody asked":              {kerbchain.Chain(mutual.New(mutual.Options{Mode: mutual.Optional}), negotiate.New(initiator(), negotiate.Options{})), ok, middleware.ErrNotVerified, middleware.ReasonNoToken, 0, nobody, ""},
		"a status below 400":        {nil, stagetest.Respond(399, ""), middleware.ErrNotVerified, middleware.ReasonNoToken, 0, nobody, ""},
		"no proof":                  {auth(initiator()), stagetest.Respond(200, ""), middleware.ErrNotVerified, middleware.ReasonNoToken, 0, "", "HTTP/a.example"},
		"a wrong token":             {auth(initiator()), stagetest.Bearing("forged", stagetest.Respond(200, "")), middleware.ErrNotVerified, middleware.ReasonWrongKey, 0, "", "HTTP/a.example"},
		"contexts that do not seal": {auth(plain), ok, middleware.ErrConfiguration, middleware.ReasonNone, 0, unlike, ""},
		"HTTP/2":                    {kerbchain.Chain(auth(initiator()), h2), ok, middleware.ErrConfiguration, middleware.ReasonNone, 0, h1, ""},
		"an error":                  {auth(initiator()), stagetest.Fail(boom), boom, middleware.ReasonNone, 0, "", ""},
		"400":                       {nil, stagetest.Respond(400, "bad"), nil, middleware.ReasonNone, 400, "", ""},
		"401":                       {auth(initiator()), stagetest.Challenge(401, "Negotiate"), nil, middleware.ReasonNone, 401, "", ""},
		"a failure":                 {auth(initiator()), stagetest.Respond(503, "busy"), nil, middleware.ReasonNone, 503, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			srv := stagetest.NewServer(tc.reply)
			var closes []*int
			resp, err := seal.New(tc.auth, seal.Options{})(func(r *http.Request) (*http.Response, error) {
				resp, err := srv.Next(r)
				if err == nil {
					closes = append(closes, new(int))
					resp.Body = closer{resp.Body, closes[len(closes)-1]}
				}
				return resp, err
			})(request(t, "http://a.example/wsman", "message"))
			for _, r := range srv.Requests() {
				if r.Body != "" {
					t.Errorf("%q was sent", r.Body)
				}
			}
			for i, n := range closes {
				if *n == 0 {
					t.Errorf("answer %d of %d was not closed", i+1, len(closes))
				}
			}
			if tc.status != 0 {
				if err != nil || resp.StatusCode != tc.status {
					t.Errorf("%v, %v", resp, err)
				}
				if sc := middleware.SecurityOf(resp.Request); sc != nil && sc.Verified() {
					t.Error("the answer counts as verified")
				}
				return
			}
			var e *middleware.Error
			if !errors.Is(err, tc.kind) || errors.As(err, &e) && (e.Reason != tc.reason || e.SPN != tc.spn) || !strings.Contains(fmt.Sprint(err), tc.says) {
				t.Errorf("error %v, want %v, reason %v, %q, for %q", err, tc.kind, tc.reason, tc.says, tc.spn)
			}
			if tc.says != nobody && strings.Contains(fmt.Sprint(err), nobody) {
				t.Errorf("error %v blames who did sign", err)
			}
		})
	}
}

// The caller may leave while the answer to the empty request is read, whose
// connection is then of no use to a message.
func TestLeavesEarly(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	srv := stagetest.NewServer()
	next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}), onMessage(func(*http.Request) { t.Error("a message was sent") }), func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			resp, err := next(r)
			if err == nil {
				resp.Body, resp.ContentLength = io.NopCloser(reading(leave)), -1
			}
			return resp, err
		}
	}, server)(srv.Next)
	if _, err := next(request(t, "http://a.example/", "message").WithContext(ctx)); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "answer to the empty request") {
		t.Errorf("error %v", err)
	}
}

// A request taken from an answer, whose context has verified something, proves
// nothing about the next one.
func TestOldContext(t *testing.T) {
	next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}), server)(stagetest.NewServer().Next)
	resp, err := next(request(t, "http://a.example/", "message"))
	if err != nil || !middleware.SecurityOf(resp.Request).Verified() {
		t.Fatal(resp, err)
	}
	again := resp.Request.Clone(resp.Request.Context())
	again.Body = io.NopCloser(strings.NewReader("message"))
	_, err = seal.New(nil, seal.Options{})(stagetest.NewServer(stagetest.Respond(200, "")).Next)(again)
	var e *middleware.Error
	if !errors.As(err, &e) || e.Reason != middleware.ReasonNoToken {
		t.Errorf("error %v", err)
	}
	// Nor does one that the transport names.
	failed, err := seal.New(nil, seal.Options{})(func(*http.Request) (*http.Response, error) {
		return stagetest.Respond(503, "busy")(resp.Request)
	})(request(t, "http://a.example/", "message"))
	if err != nil || middleware.SecurityOf(failed.Request) != nil {
		t.Errorf("error %v, or an older context speaks for the answer", err)
	}
}

// What is not protected does not come through with what is.
func TestHeader(t *testing.T) {
	for name, tc := range map[string]struct{ fields, kept []string }{
		"all": {[]string{
			"Set-Cookie", "a=b", "Location", "http://elsewhere.example/", "WWW-Authenticate", "Negotiate AAAA",
			"Content-Encoding", "gzip", "Date", "today", "Server", "fake", "Server", "twice",
		}, []string{"Date", "today", "Server", "fake", "Server", "twice"}},
		"nothing to keep": {[]string{"Set-Cookie", "a=b"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			srv := stagetest.NewServer(stagetest.Respond(200, "answer", tc.fields...))
			resp, err := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}), server)(srv.Next)(request(t, "http://a.example/", "message"))
			if err != nil {
				t.Fatal(err)
			}
			want := http.Header{"Content-Type": {winrm.SOAP}, "Content-Length": {"6"}}
			for pair := range slices.Chunk(tc.kept, 2) {
				want.Add(pair[0], pair[1])
			}
			if d := cmp.Diff(want, resp.Header); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// The type of a message is in the framing, without blanks.
func TestType(t *testing.T) {
	for given, want := range map[string]string{
		"":                                     winrm.SOAP,
		"application/soap+xml":                 winrm.SOAP,
		"Application/SOAP+XML; charset=utf-8;": winrm.SOAP,
		"application/soap+xml; charset=utf-16": "application/soap+xml;charset=utf-16",
		"text/xml;":                            "text/xml",
	} {
		var body string
		r := request(t, "http://a.example/", "message")
		r.Header.Set("Content-Type", given)
		next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}), func(next kerbchain.Next) kerbchain.Next {
			return func(r *http.Request) (*http.Response, error) {
				if r.ContentLength == 0 {
					return next(r)
				}
				b, err := io.ReadAll(r.Body)
				body = string(b)
				return nil, errors.Join(err, errors.New("enough"))
			}
		}, server)(stagetest.NewServer().Next)
		if _, err := next(r); err == nil || !strings.Contains(body, "OriginalContent: type="+want+";Length=7\r\n") {
			t.Errorf("%q: %v, %q", given, err, body)
		}
	}
}

// Without a context that lives, nothing is waited for.
func TestTurn(t *testing.T) {
	reached, release := make(chan struct{}), make(chan struct{})
	srv := stagetest.NewServer(func(r *http.Request) (*http.Response, error) {
		close(reached)
		<-release
		return stagetest.Respond(200, "answer")(r)
	})
	next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}), server)(srv.Next)
	first := make(chan error, 1)
	go func() {
		_, err := next(request(t, "http://a.example/", "one"))
		first <- err
	}()
	<-reached
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("cause")
	cancel(cause)
	// Both end: a call whose context has ended, and one whose body never does.
	if _, err := next(request(t, "http://a.example/", "two").WithContext(ctx)); !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel = context.WithCancelCause(t.Context())
	stuck := request(t, "http://a.example/", "").WithContext(ctx)
	stuck.Body, stuck.ContentLength = r, -1
	done := make(chan error, 1)
	go func() {
		_, err := next(stuck)
		done <- err
	}()
	cancel(cause)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// Each message and its answer are reported.
func TestEvents(t *testing.T) {
	var got []string
	trace := func(e middleware.Event) {
		switch e := e.(type) {
		case middleware.SendEvent:
			got = append(got, fmt.Sprintf("send %s %d %v", e.Stage, e.Request, e.Again))
		case middleware.VerdictEvent:
			if e.Mode == "sealed" {
				got = append(got, fmt.Sprintf("%d %v %v", e.Status, e.Verified, e.Reason))
			}
		}
	}
	forge := false
	next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{Resend: true}), func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			resp, err := next(r)
			if err == nil && forge && r.ContentLength != 0 {
				resp.Header.Set("Content-Type", "text/plain")
			}
			return resp, err
		}
	}, server)(stagetest.NewServer(stagetest.Respond(200, "answer"), stagetest.Challenge(401), stagetest.Respond(500, "fault")).Next)
	for range 2 {
		r := request(t, "http://a.example/", "message")
		if _, err := next(r.WithContext(middleware.WithTrace(r.Context(), trace))); err != nil {
			t.Fatal(err)
		}
	}
	forge = true
	r := request(t, "http://a.example/", "message")
	if _, err := next(r.WithContext(middleware.WithTrace(r.Context(), trace))); err == nil {
		t.Fatal("no error")
	}
	want := []string{
		"send preemptive 1 false", "send seal 1 false", "200 true none",
		"send seal 1 false", "send preemptive 1 false", "send seal 2 true", "500 true none",
		"send seal 1 false", "500 false not encrypted",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
