package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// A lack is why no token can be made.
type lack struct {
	change func(*testing.T, *fakekdc.Realm, *client.Options)
	err    error // without ReturnChallenge
	code   int32
	left   bool // with it, the challenge is the response
}

func lacks() map[string]lack {
	unknown := func(change func(*client.Options)) lack {
		return lack{func(_ *testing.T, _ *fakekdc.Realm, o *client.Options) { change(o) }, middleware.ErrKDC, 7, true}
	}
	return map[string]lack{
		"host unknown":     unknown(func(o *client.Options) { o.HostOverride = "legacy.example" }),
		"service unknown":  unknown(func(o *client.Options) { o.Service = "LEGACY" }),
		"override unknown": unknown(func(o *client.Options) { o.HostOverrides = map[string]string{"localhost": "legacy.example"} }),
		"unknown, canonical names": unknown(func(o *client.Options) {
			o.HostOverride, o.Canonicalize = "legacy.example", kerberos.CanonicalizeAsConfigured
		}),
		"no cache":          {func(t *testing.T, _ *fakekdc.Realm, o *client.Options) { o.CCache = t.TempDir() + "/none" }, middleware.ErrCredentials, 0, true},
		"another principal": {func(_ *testing.T, r *fakekdc.Realm, o *client.Options) { o.Principal = "bob@" + r.Name() }, middleware.ErrCredentials, 0, true},
		"wrong password": {func(_ *testing.T, r *fakekdc.Realm, o *client.Options) {
			o.CCache, o.Principal, o.Password = "", "alice@"+r.Name(), kerberos.NewSecret("wrong")
		}, middleware.ErrCredentials, 24, true},
		"policy of the KDC": {func(_ *testing.T, r *fakekdc.Realm, _ *client.Options) {
			r.FailNext(fakekdc.TGS, fakekdc.ReplyError(12, nil))
		}, middleware.ErrKDC, 12, false},
		"no KDC": {func(_ *testing.T, _ *fakekdc.Realm, o *client.Options) {
			o.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("nobody there") }
		}, middleware.ErrKDC, 0, false},
	}
}

// challengesWithBasic are ways to offer both schemes.
var challengesWithBasic = [][]string{
	{"Negotiate", `Basic realm="x"`},
	{`Basic realm="x"`, "Negotiate"},
	{`Basic realm="x", Negotiate`},
	{`negotiate, basic realm="x"`},
	{"NTLM", "Negotiate", `Basic realm="x", charset="UTF-8"`},
}

// With ReturnChallenge, a challenge for which there are no credentials, or no such
// service, comes whole to what stands outside, and nothing was signed; so that a
// fallback to Basic gets its answer, body and all, whatever else is set. Without it
// that is an error, as a KDC that fails otherwise is in any case, and then no password
// leaves.
func TestFallback(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(14, uint64(len(challengesWithBasic))))
	pick := func(n int) bool { return rnd.IntN(n) == 0 }
	for name, why := range lacks() {
		for i, challenge := range challengesWithBasic {
			for _, give := range []bool{true, false} {
				size := []int{0, 1, 70_000}[rnd.IntN(3)]
				so := fakeweb.ServerOptions{TLS: true, HTTP2: pick(3), InMemory: true}
				early := pick(4) && !so.HTTP2
				keep, policy := pick(2), []preemptive.Policy{nil, preemptive.Learned()}[rnd.IntN(2)]
				mode := []mutual.Mode{mutual.Required, mutual.Optional, mutual.Disabled}[rnd.IntN(3)]
				title := fmt.Sprintf("%s, challenge %d, given back %v, %d bytes, HTTP2 %v, early %v, kept %v, learned %v, %v",
					name, i, give, size, so.HTTP2, early, keep, policy != nil, mode)
				t.Run(title, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { // the cache that is missing is waited for
						realm := start(t, fakekdc.WithoutSockets(), fakekdc.WithUser("bob", "other"))
						h := fakeweb.New(realm, spn, fakeweb.Options{Quirks: fakeweb.Quirks{Challenge: challenge, EarlyChallenge: early}})
						front := &basicFront{Handler: h}
						s := fakeweb.Serve(realm, front, so)
						o := kinit(t, realm)
						o.Transport, o.KeepErrorBodies, o.Mutual, o.Preemptive, o.ReturnChallenge = s.Transport(), keep, mode, policy, give
						why.change(t, realm, &o)
						rt, err := client.NewTransport(o)
						if err != nil {
							t.Fatal(err)
						}
						plain := s.Transport()
						t.Cleanup(plain.CloseIdleConnections)
						var left *http.Response
						c := &http.Client{Transport: kerbchain.Wrap(rt, orBasic(plain, "alice", "old"), nil, noting(&left))}
						t.Cleanup(c.CloseIdleConnections)

						body := strings.Repeat("b", size)
						r := put(t, s.URL(), strings.NewReader(body))
						status, text, err := do(t, c, r.WithContext(t.Context()))
						if !give || !why.left {
							var e *middleware.Error
							if !errors.Is(err, why.err) || !errors.As(err, &e) || e.Code != why.code {
								t.Errorf("status %d, %v; want %v, code %d", status, err, why.err, why.code)
							}
							if want := []string{"bare"}; !slices.Equal(front.seen(), want) {
								t.Errorf("requests %q, want %q", front.seen(), want)
							}
							return
						}
						if err != nil || status != 200 || text != "hello alice, "+body {
							t.Errorf("status %d, %d bytes, %v", status, len(text), err)
						}
						if want := []string{"bare", "Basic"}; !slices.Equal(front.seen(), want) {
							t.Errorf("requests %q, want %q", front.seen(), want)
						}
						if left == nil || left.StatusCode != 401 {
							t.Fatalf("what stands outside got %v", left)
						}
						if d := cmp.Diff(challenge, left.Header.Values("WWW-Authenticate")); d != "" {
							t.Errorf("challenge (-sent +got)\n%s", d)
						}
					})
				})
			}
		}
	}
}

// noting keeps the last response that came up.
func noting(last **http.Response) kerbchain.Middleware {
	return func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			resp, err := next(r)
			*last = resp
			return resp, err
		}
	}
}

// A basicFront takes a password before a service, and notes how requests come.
type basicFront struct {
	http.Handler
	mu   sync.Mutex
	came []string
}

func (b *basicFront) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if scheme == "" {
		scheme = "bare"
	}
	b.mu.Lock()
	b.came = append(b.came, scheme)
	b.mu.Unlock()
	if name, password, ok := r.BasicAuth(); ok && name == "alice" && password == "old" {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "hello %s, %s", name, body)
		return
	}
	b.Handler.ServeHTTP(w, r)
}

func (b *basicFront) seen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.came)
}
