package client_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// callKey finds the number of a call in its context.
type callKey struct{}

// A notary makes contexts that know their own tokens from all others, and keeps
// which call checked which response.
type notary struct {
	made atomic.Int64

	mu      sync.Mutex
	checked map[string]int // response, by its name, to call
}

func (n *notary) Initiate(_ context.Context, t middleware.Target) (middleware.SecurityContext, error) {
	return &deed{notary: n, target: t, name: fmt.Sprint("client-", n.made.Add(1))}, nil
}

func (n *notary) checkedIn(response string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.checked[response]
}

// A deed is a context whose peer's token is its own first one and the name of the
// response.
type deed struct {
	*notary
	target   middleware.Target
	name     string
	verified atomic.Bool
}

func (d *deed) Target() middleware.Target { return d.target }
func (d *deed) Verified() bool            { return d.verified.Load() }

func (d *deed) Step(ctx context.Context, token []byte) ([]byte, error) {
	if token == nil {
		return []byte(d.name), nil
	}
	name, response, _ := strings.Cut(string(token), "/")
	if name != d.name || d.Verified() {
		return nil, &middleware.Error{Stage: "deed", Kind: middleware.ErrNotVerified, Reason: middleware.ReasonWrongTime}
	}
	d.mu.Lock()
	d.checked[response], _ = ctx.Value(callKey{}).(int)
	d.mu.Unlock()
	d.verified.Store(true)
	return nil, nil
}

// A liar is a transport that names any request that it has ever seen as the one
// that it answers, and gives out old responses again.
type liar struct {
	lie    string
	status int
	token  string // whose is in the response

	mu        sync.Mutex
	rnd       *rand.Rand
	seen      []*http.Request
	responses []*http.Response
}

var (
	lies   = []string{"", "none", "the caller's", "any", "a response that was kept"}
	tokens = []string{"its own", "its own", "none", "another's", "forged"}
)

func (l *liar) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, r)
	name := fmt.Sprint("response-", len(l.seen))
	resp := &http.Response{
		StatusCode: l.status, Header: http.Header{"Set-Cookie": {"planted=1"}, "X-Name": {name}}, Request: r, ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader("body")),
	}
	_, signed, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case signed == "":
		resp.StatusCode, resp.Body = 401, http.NoBody
		resp.Header.Set("Www-Authenticate", "Negotiate")
	case l.token == "its own":
		own, err := base64.StdEncoding.DecodeString(signed)
		if err != nil {
			return nil, err
		}
		resp.Header.Set("Www-Authenticate", stagetest.Value("Negotiate", string(own)+"/"+name))
	case l.token == "another's":
		resp.Header.Set("Www-Authenticate", stagetest.Value("Negotiate", "client-"+strconv.Itoa(1+l.rnd.IntN(len(l.seen)))+"/"+name))
	case l.token == "forged":
		resp.Header.Set("Www-Authenticate", stagetest.Value("Negotiate", "x"))
	}
	switch l.lie {
	case "none":
		resp.Request = nil
	case "the caller's":
		resp.Request, _ = r.Context().Value(callersKey{}).(*http.Request)
	case "any":
		resp.Request = l.seen[l.rnd.IntN(len(l.seen))]
	case "a response that was kept":
		if len(l.responses) > 0 && signed != "" {
			kept := *l.responses[l.rnd.IntN(len(l.responses))]
			kept.Body = io.NopCloser(strings.NewReader("body"))
			return &kept, nil
		}
	}
	if signed != "" {
		kept := *resp
		l.responses = append(l.responses, &kept)
	}
	return resp, nil
}

// keep lets the liar know the response as the caller got it.
func (l *liar) keep(resp *http.Response) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := *resp
	l.responses = append(l.responses, &kept)
	if resp.Request != nil {
		l.seen = append(l.seen, resp.Request)
	}
}

// callersKey finds the request that the caller made, as a transport could that
// knows its callers.
type callersKey struct{}

// again is a stage that sends each request twice, the second one made of the first
// one's response, as some retry loops do.
func again(next kerbchain.Next) kerbchain.Next {
	return func(r *http.Request) (*http.Response, error) {
		resp, err := next(r)
		if err != nil || resp.Request == nil {
			return resp, err
		}
		resp.Body.Close()
		// Of one that was named falsely it may have ended, or be another call's.
		ctx := context.WithValue(context.WithoutCancel(resp.Request.Context()), callKey{}, r.Context().Value(callKey{}))
		return next(r.WithContext(ctx))
	}
}

// race is a stage that sends each request twice at once and takes one response.
func race(next kerbchain.Next) kerbchain.Next {
	return func(r *http.Request) (*http.Response, error) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			if resp, err := next(r); err == nil {
				resp.Body.Close()
			}
		}()
		resp, err := next(r)
		<-done
		return resp, err
	}
}

// Promise 2, whatever the transport says and however stages are stacked: no
// response is taken for verified, by a stage or by an application that asks for its
// context, unless its own token was checked in that very call.
func TestWhoSignedIt(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	modes := []mutual.Mode{mutual.Required, mutual.Optional, mutual.Disabled}
	verified, refused := 0, 0
	for range 300 {
		n := &notary{checked: make(map[string]int)}
		l := &liar{rnd: rand.New(rand.NewPCG(rnd.Uint64(), 0))}
		// Stages of one to three stacks, one over the other, with some left out and
		// others in between.
		var stack client.Stack
		honest := true // nothing in between
		for range 1 + rnd.IntN(3) {
			all, err := client.NewStack(client.Options{Initiator: n, Preemptive: preemptive.Always(), Mutual: modes[rnd.IntN(3)]})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range all {
				if rnd.IntN(4) > 0 {
					stack = append(stack, s)
				}
				switch rnd.IntN(12) {
				case 0:
					stack, honest = append(stack, client.Stage{Name: "again", Middleware: again}), false
				case 1:
					stack, honest = append(stack, client.Stage{Name: "race", Middleware: race}), false
				}
			}
		}
		rt := stack.Wrap(l)
		strict := requires(t, n, stack)
		signs := slices.Contains(namesOf(stack), client.Preemptive) || slices.Contains(namesOf(stack), client.Negotiate)
		var earlier context.Context
		for call := 1; call <= 12; call++ {
			l.lie, l.token = lies[rnd.IntN(len(lies))], tokens[rnd.IntN(len(tokens))]
			l.status = []int{200, 302, 404, 500}[rnd.IntN(4)]
			ctx := t.Context()
			if earlier != nil && rnd.IntN(3) == 0 {
				ctx = earlier
			}
			r, err := http.NewRequestWithContext(context.WithValue(ctx, callKey{}, call), http.MethodGet, "http://web.test/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r = r.WithContext(context.WithValue(r.Context(), callersKey{}, r))
			what := fmt.Sprintf("%v, call %d, %q, status %d, token %s", namesOf(stack), call, l.lie, l.status, l.token)
			resp, err := rt.RoundTrip(r)
			if err != nil {
				refused++
				if honest && l.lie == "" && l.token == "its own" && signs && !errors.Is(err, middleware.ErrNotVerified) {
					t.Errorf("%s: %v", what, err)
				}
				if !errors.Is(err, middleware.ErrNotVerified) {
					t.Errorf("%s: %v", what, err)
				}
				continue
			}
			resp.Body.Close()
			name := resp.Header.Get("X-Name")
			emptied := name == ""
			checked := !emptied && n.checkedIn(name) == call
			sc := middleware.SecurityOf(resp.Request)
			told := sc != nil && sc.Verified()
			switch {
			case told && !emptied && !checked:
				t.Errorf("%s: %s is said to be verified, and was not checked", what, name)
			case strict && !checked && resp.StatusCode < 400:
				t.Errorf("%s: %s passed, and was not checked", what, name)
			case middleware.Trusted(resp.Request):
				t.Errorf("%s: trusted", what)
			}
			if checked && told {
				verified++
			}
			if resp.Request != nil {
				earlier = context.WithoutCancel(resp.Request.Context())
			}
			l.keep(resp)
		}
	}
	t.Logf("%d verified, %d refused", verified, refused)
	if verified < 200 || refused < 200 {
		t.Errorf("%d verified and %d refused responses only", verified, refused)
	}
}

// requires reports whether one of the stages refuses what is not verified: such as
// a response to a request that nothing signed.
func requires(t *testing.T, in middleware.Initiator, s client.Stack) bool {
	t.Helper()
	for _, stage := range s {
		if stage.Name != client.Mutual {
			continue
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://web.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := stage.Middleware(kerbchain.Next(stagetest.Respond(200, "")))(r)
		if err != nil {
			return true
		}
		resp.Body.Close()
	}
	return false
}
