package tunnel_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/tunnel"
)

// A stream is a body that can be had once.
type stream struct {
	first func() // called before the first read
	r     io.Reader

	mu            sync.Mutex
	reads, closes int
	closed        chan struct{} // if not nil, closed with the stream
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	s.reads++
	first := s.reads == 1
	s.mu.Unlock()
	if first {
		s.first()
	}
	return s.r.Read(p)
}

func (s *stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closes++
	if s.closes == 1 && s.closed != nil {
		close(s.closed)
	}
	return nil
}

func (s *stream) counts() (reads, closes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads, s.closes
}

// Nobody touches a body before there is a tunnel, and so it need not be had
// twice; and it is closed once, whatever happens.
func TestBodyIsUntouched(t *testing.T) {
	t.Parallel()
	payload := strings.Repeat("0123456789abcdef", 1<<16)
	for name, tc := range map[string]struct {
		quirks  fakeweb.Quirks
		options tunnel.Options
		h2      bool
		length  int64
		fails   bool
	}{
		"learned":                {length: int64(len(payload))},
		"learned, chunked":       {length: -1},
		"learned over HTTP/2":    {length: -1, h2: true},
		"closes after 407":       {length: -1, quirks: fakeweb.Quirks{EarlyChallenge: true}},
		"always":                 {length: -1, options: tunnel.Options{Always: true}},
		"no tunnel":              {length: -1, quirks: fakeweb.Quirks{Reject: true}, fails: true},
		"a forged proof":         {length: -1, quirks: fakeweb.Quirks{Proof: fakeweb.ProofForged}, fails: true},
		"hangs up":               {length: -1, quirks: fakeweb.Quirks{Hangup: true}, fails: true},
		"always, and no tunnel":  {length: -1, quirks: fakeweb.Quirks{Reject: true}, options: tunnel.Options{Always: true}, fails: true},
		"Negotiate not offered":  {length: -1, quirks: fakeweb.Quirks{Challenge: []string{"NTLM"}}, fails: true},
		"another leg is refused": {length: -1, quirks: fakeweb.Quirks{ExtraLeg: fakeweb.LegMIC}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			l := start(t, setup{web: quirk(tc.quirks), h2: tc.h2})
			rt := l.through(t, tc.options)
			s := &stream{r: strings.NewReader(payload), closed: make(chan struct{}), first: func() {
				if n := l.proxy.Tunnels(); n != 1 {
					t.Errorf("read with %d tunnels open", n)
				}
			}}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.origin.URL(), s)
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = tc.length
			before := *r
			resp, err := rt.RoundTrip(r)
			if r.Body != s || r.ContentLength != before.ContentLength || r.URL != before.URL || len(r.Header) != 0 {
				t.Error("the request was changed")
			}
			if tc.fails {
				if err == nil {
					t.Fatal("no error")
				}
				if reads, closes := s.counts(); reads != 0 || closes != 1 {
					t.Errorf("%d reads and %d closes, want 0 and 1", reads, closes)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.Request != r {
				t.Error("the response names another request")
			}
			b, err := io.ReadAll(resp.Body)
			if got, ok := strings.CutPrefix(string(b), payload); err != nil || !ok || !strings.HasPrefix(got, "hello") {
				t.Errorf("%d bytes arrived, %v", len(b), err)
			}
			<-s.closed // HTTP/2 may still be at it
			if _, closes := s.counts(); closes != 1 {
				t.Errorf("%d closes", closes)
			}
		})
	}
}

// A server that hangs up without an answer lets the transport send a request
// again by itself, with a body of GetBody; the new connection may then be the
// first whose proxy wants a token.
func TestBodyOfDeadConnection(t *testing.T) {
	broken := errors.New("no more")
	for name, tc := range map[string]struct {
		bodies int // that GetBody has
		want   error
		hits   []string
	}{
		"bodies enough": {2, nil, []string{"GET /", "POST /once", "POST /once"}},
		"one too few":   {1, middleware.ErrBodyNotReplayable, []string{"GET /", "POST /once"}},
	} {
		t.Run(name, func(t *testing.T) {
			var l *lab
			var once sync.Once
			l = start(t, setup{
				web: quirk(fakeweb.Quirks{Before: fakeweb.ForwardProxy()}),
				handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					b, err := io.ReadAll(r.Body)
					if err != nil || r.Method == http.MethodPost && string(b) != "payload" {
						t.Errorf("body %q, %v", b, err)
					}
					if r.URL.Path == "/once" {
						once.Do(func() {
							l.proxy.SetQuirks(fakeweb.Quirks{})
							panic(http.ErrAbortHandler)
						})
					}
					if _, err := io.WriteString(w, "hello over HTTP/1"); err != nil {
						t.Error(err)
					}
				}),
			})
			rt := l.through(t, tunnel.Options{})
			wantHello(t, rt, l.origin.URL()+"/")
			var bodies []*stream
			fresh := func() *stream {
				bodies = append(bodies, &stream{r: strings.NewReader("payload"), first: func() {}})
				return bodies[len(bodies)-1]
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.origin.URL()+"/once", fresh())
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = 7
			r.Header.Set("Idempotency-Key", "1")
			r.GetBody = func() (io.ReadCloser, error) {
				if len(bodies) > tc.bodies {
					return nil, broken
				}
				return fresh(), nil
			}
			body, err := do(rt, r)
			if tc.want == nil && (err != nil || body != "hello over HTTP/1") {
				t.Errorf("%q, %v", body, err)
			}
			if tc.want != nil && (!errors.Is(err, tc.want) || !errors.Is(err, broken) || !errors.Is(err, tunnel.ErrTunnel)) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			if diff := cmp.Diff(tc.hits, l.seen()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			for i, b := range bodies {
				if _, closes := b.counts(); closes != 1 {
					t.Errorf("body %d was closed %d times", i, closes)
				}
			}
		})
	}
}

// A body that cannot be had twice, and whose request the transport would not
// have sent again: the error is the transport's, and no CONNECT is tried anew.
func TestBodyWithoutGetBody(t *testing.T) {
	var l *lab
	l = start(t, setup{
		web: quirk(fakeweb.Quirks{Before: fakeweb.ForwardProxy()}),
		handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				l.proxy.SetQuirks(fakeweb.Quirks{})
				panic(http.ErrAbortHandler)
			}
			if _, err := io.WriteString(w, "hello over HTTP/1"); err != nil {
				t.Error(err)
			}
		}),
	})
	rt := l.with(t, l.initiator(t, kerberos.InitiatorOptions{}), tunnel.Options{})
	wantHello(t, rt, l.origin.URL())
	s := &stream{r: strings.NewReader("payload"), first: func() {}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.origin.URL(), s)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := do(rt, r); err == nil {
		t.Errorf("%q", body)
	}
	if n := len(l.proxy.Connects()); n != 1 {
		t.Errorf("%d CONNECTs, want 1", n)
	}
}
