package client_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// A liar is a transport that names any request it likes as the one that was
// answered, as one that keeps responses may.
type liar struct {
	lie    string
	status int
	token  string // of the server, "" for none

	caller   *http.Request  // as the stack got it
	verified *http.Response // of an earlier call, which was honest
	beside   *http.Request  // signed in another call
}

// What may become of a response by what it names as its request.
const (
	believed = iota // it is the one that was sent
	doubted         // whoever sent it may still tell, where nothing else is in between
	disputed        // it is another call's
)

var lies = map[string]int{
	"the request itself": believed, "none": doubted, "the caller's": doubted,
	"an older one that was verified": disputed, "a response that was kept": disputed, "one of another call": disputed,
}

func (l *liar) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	if r.Header.Get("Authorization") == "" {
		return &http.Response{
			StatusCode: 401, Header: http.Header{"Www-Authenticate": {"Negotiate"}}, Body: http.NoBody, Request: r, ProtoMajor: 1, ProtoMinor: 1,
		}, nil
	}
	resp := &http.Response{
		StatusCode: l.status, Header: http.Header{"Set-Cookie": {"planted=1"}}, Request: r, ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader("body")),
	}
	if l.token != "" {
		resp.Header.Set("Www-Authenticate", stagetest.Value("Negotiate", l.token))
	}
	switch l.lie {
	case "none":
		resp.Request = nil
	case "the caller's":
		resp.Request = l.caller
	case "an older one that was verified":
		resp.Request = l.verified.Request
	case "a response that was kept":
		kept := *l.verified
		kept.StatusCode, kept.Body, kept.Header = l.status, resp.Body, resp.Header
		return &kept, nil
	case "one of another call":
		resp.Request = l.beside
	}
	return resp, nil
}

// Promise 2, whatever the transport says: no response is taken for verified unless
// the context that signed that request, in that call, verified it.
func TestWhoSignedIt(t *testing.T) {
	in := new(stagetest.Initiator)
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	verified := 0
	for i := range 2000 {
		all, err := client.NewStack(client.Options{Initiator: in, Preemptive: preemptive.Always()})
		if err != nil {
			t.Fatal(err)
		}
		stack := all.Without(pick("", client.Sanitize), pick("", client.Mutual), pick("", client.Preemptive, client.Negotiate))
		l := &liar{status: 200, token: "server-ok"}
		rt := stack.Wrap(l)
		if i%2 == 0 { // the same stage twice
			rt = kerbchain.Wrap(rt, stack.Chain())
		}
		send := func(r *http.Request) (*http.Response, string, error) {
			l.caller = r
			resp, err := rt.RoundTrip(r)
			if err != nil {
				return nil, "", err
			}
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return resp, string(b), nil
		}
		request := func() *http.Request {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://web.test/", nil)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		mutual, sanitize := contains(stack, client.Mutual), contains(stack, client.Sanitize)
		first, _, err := send(request())
		if err != nil {
			t.Fatal(err)
		}
		l.verified = first
		other, err := in.Initiate(t.Context(), middleware.TargetOf(request().URL))
		if err != nil {
			t.Fatal(err)
		}
		l.beside, _ = middleware.Begin(request())
		l.beside = middleware.WithSecurity(l.beside, other)

		r := request()
		if rnd.IntN(2) == 0 {
			r = r.WithContext(first.Request.Context()) // made of an earlier response
		}
		l.lie = pick("the request itself", "none", "the caller's", "an older one that was verified", "a response that was kept", "one of another call")
		l.status, l.token = []int{200, 302, 404, 500}[rnd.IntN(4)], pick("server-ok", "server-ok", "")
		resp, body, err := send(r)

		what := fmt.Sprintf("%v twice %t, %s, status %d, token %q", stack.Names(), i%2 == 0, l.lie, l.status, l.token)
		proved := mutual && lies[l.lie] == believed && l.token == "server-ok"
		if proved {
			verified++
		}
		switch {
		case mutual && lies[l.lie] == doubted && l.token == "server-ok" && (errors.Is(err, middleware.ErrNotVerified) || err == nil):
		case mutual && !proved && l.status < 400:
			if !errors.Is(err, middleware.ErrNotVerified) {
				t.Errorf("%s: %v, want it refused", what, err)
			}
		case err != nil:
			t.Errorf("%s: %v", what, err)
		case sanitize && !proved && l.status >= 400:
			if body != "" || resp.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s: %q with %v, want it emptied", what, body, resp.Header)
			}
		case body != "body" || resp.StatusCode != l.status:
			t.Errorf("%s: %d, %q", what, resp.StatusCode, body)
		}
	}
	if verified < 100 {
		t.Errorf("%d verified responses only", verified)
	}
}

func contains(s client.Stack, name string) bool {
	for _, n := range s.Names() {
		if n == name {
			return true
		}
	}
	return false
}
