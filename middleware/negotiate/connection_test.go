package negotiate_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

// A proxy that swallows all that comes on a connection on which it said 407 to a
// request with a body, and never says a word again, as Squid does with more than
// 64 KiB.
func TestSilentProxy(t *testing.T) {
	t.Parallel()
	sizes := []int64{0, 1, 1 << 10, 64<<10 - 1, 64 << 10, 1 << 20, 8 << 20}
	bodies := map[string]struct {
		kind   string
		expect bool
	}{
		"GetBody":        {kind: "GetBody"},
		"unknown length": {kind: "GetBody of unknown length"},
		"file":           {kind: "file"},
		"Expect":         {kind: "GetBody", expect: true},
	}
	for name, b := range bodies {
		for _, page := range []string{"", "sign in"} {
			for _, size := range sizes {
				t.Run(fmt.Sprintf("%s of %d bytes, 407 with %d", name, size, len(page)), func(t *testing.T) {
					var mu sync.Mutex
					conns := 0
					addr := raw(t, func(c net.Conn, br *bufio.Reader) {
						mu.Lock()
						conns++
						mu.Unlock()
						for {
							r, err := http.ReadRequest(br)
							if err != nil {
								return
							}
							if r.Header.Get("Proxy-Authorization") == "" {
								fmt.Fprintf(c, "HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Negotiate\r\nContent-Length: %d\r\n\r\n%s", len(page), page)
								if r.ContentLength != 0 {
									_, _ = io.Copy(io.Discard, br) // until the client gives up
									return
								}
								continue
							}
							if r.Header.Get("Expect") != "" {
								io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
							}
							sum, n, err := sumOf(r.Body)
							if err != nil {
								return
							}
							body := fmt.Sprintf("%s %d", sum, n)
							fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
						}
					})
					u, err := url.Parse(addr)
					if err != nil {
						t.Fatal(err)
					}
					proxy := func(*http.Request) (*url.URL, error) { return u, nil }
					tr := &http.Transport{Proxy: proxy, ExpectContinueTimeout: time.Minute}
					defer tr.CloseIdleConnections()
					next := negotiate.New(new(stagetest.Initiator), negotiate.Options{Proxy: proxy})(tr.RoundTrip)
					want, n, err := sumOf(content(size))
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					r := request(t, http.MethodPost, "http://origin.example/", "").WithContext(ctx)
					kinds[b.kind].make(t, r, size)
					if size == 0 {
						r.Body, r.GetBody, r.ContentLength = nil, nil, 0
					}
					if b.expect {
						r.Header.Set("Expect", "100-continue")
					}
					resp, err := next(r)
					if got := finish(t, resp, err); got != fmt.Sprintf("%s %d", want, n) {
						t.Errorf("the proxy got %q", got)
					}
					mu.Lock()
					defer mu.Unlock()
					if want := min(size, 1) + 1; int64(conns) != want {
						t.Errorf("%d connections, want %d", conns, want)
					}
				})
			}
		}
	}
}

// The connection of a challenge is used again where the server can be trusted to
// have read the request, and not where it may have stopped reading.
func TestSpoiltConnections(t *testing.T) {
	for name, tc := range map[string]struct {
		size   int64
		kind   string
		early  bool
		status int
		same   bool
	}{
		"401, late":                  {1 << 20, "GetBody", false, 401, true},
		"401, late, unknown length":  {1 << 20, "GetBody of unknown length", false, 401, true},
		"401, early, short":          {64<<10 - 1, "GetBody", true, 401, true},
		"401, early, long":           {64 << 10, "GetBody", true, 401, false},
		"401, early, unknown length": {64 << 10, "GetBody of unknown length", true, 401, false},
		"401, early, length not set": {64 << 10, "length not set", true, 401, false},
		"401, Expect":                {1, "Expect", true, 401, false},
		"407, late":                  {1, "GetBody", false, 407, false},
		"407, late, no body":         {0, "", false, 407, true},
		"407, late, NoBody":          {0, "NoBody", false, 407, true},
		"401, early, no body":        {0, "", true, 401, true},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			conns := 0
			addr := raw(t, func(c net.Conn, br *bufio.Reader) {
				mu.Lock()
				conns++
				mu.Unlock()
				for {
					r, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					answer := "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
					signed := r.Header.Get("Authorization")+r.Header.Get("Proxy-Authorization") != ""
					if !signed {
						field := map[int]string{401: "WWW", 407: "Proxy"}[tc.status]
						answer = fmt.Sprintf("HTTP/1.1 %d No\r\n%s-Authenticate: Negotiate\r\nContent-Length: 4\r\n\r\nnope", tc.status, field)
					}
					if !signed && tc.early {
						if r.Header.Get("Expect") == "" {
							_, _ = r.Body.Read(make([]byte, 1)) // some was sent
						}
						io.WriteString(c, answer)
						answer = ""
					}
					if signed && r.Header.Get("Expect") != "" {
						io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
					}
					if _, _, err := sumOf(r.Body); err != nil {
						return
					}
					io.WriteString(c, answer)
				}
			})
			u, err := url.Parse(addr)
			if err != nil {
				t.Fatal(err)
			}
			tr := &http.Transport{}
			o := negotiate.Options{}
			if tc.status == 407 {
				o.Proxy = func(*http.Request) (*url.URL, error) { return u, nil }
				tr.Proxy, addr = o.Proxy, "http://origin.example/"
			}
			defer tr.CloseIdleConnections()
			r := request(t, http.MethodPost, addr, "")
			expects := tc.kind == "Expect"
			switch tc.kind {
			case "Expect":
				tr.ExpectContinueTimeout = time.Minute
				kinds["GetBody"].make(t, r, tc.size)
				r.Header.Set("Expect", "100-continue")
			case "length not set": // as http.NewRequest leaves it for a reader that it does not know
				kinds["GetBody"].make(t, r, tc.size)
				r.ContentLength = 0
			case "NoBody":
				r.Body = http.NoBody
			case "":
			default:
				kinds[tc.kind].make(t, r, tc.size)
			}
			if tc.early && r.Body != nil && !expects {
				// The last byte is written when the answer is there. Of what is not
				// waited for, the last ones then come slowly, so that there are
				// some left, whenever the stage looks.
				answered := make(chan struct{})
				rest, get := r.Body, r.GetBody
				b := &held{ReadCloser: rest, left: tc.size - 1, until: answered}
				if !tc.same {
					b.left, b.slow = tc.size/2, true
				}
				r.Body = b
				r.GetBody = get
				inner := tr
				next := func(r *http.Request) (*http.Response, error) {
					resp, err := inner.RoundTrip(r)
					select {
					case <-answered:
					default:
						close(answered)
					}
					return resp, err
				}
				resp, err := negotiate.New(new(stagetest.Initiator), o)(next)(r)
				finish(t, resp, err)
			} else {
				resp, err := negotiate.New(new(stagetest.Initiator), o)(tr.RoundTrip)(r)
				finish(t, resp, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if (conns == 1) != tc.same {
				t.Errorf("%d connections", conns)
			}
		})
	}
}

// A request without a body keeps its connection, the signed one too.
func TestNoBodyIsNotSpoilt(t *testing.T) {
	var mu sync.Mutex
	conns := 0
	addr := raw(t, func(c net.Conn, br *bufio.Reader) {
		mu.Lock()
		conns++
		mu.Unlock()
		for {
			r, err := http.ReadRequest(br)
			switch {
			case err != nil:
				return
			case r.Header.Get("Authorization") == "":
				io.WriteString(c, "HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 4\r\n\r\nnope")
			case r.Header.Get("Proxy-Authorization") == "":
				io.WriteString(c, "HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nContent-Length: 4\r\n\r\nnope")
			default:
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		}
	})
	u, err := url.Parse(addr)
	if err != nil {
		t.Fatal(err)
	}
	proxy := func(*http.Request) (*url.URL, error) { return u, nil }
	tr := &http.Transport{Proxy: proxy}
	defer tr.CloseIdleConnections()
	resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{Proxy: proxy})(tr.RoundTrip)(request(t, http.MethodPost, "http://origin.example/", ""))
	finish(t, resp, err)
	mu.Lock()
	defer mu.Unlock()
	if resp.StatusCode != 200 || conns != 1 {
		t.Errorf("status %d over %d connections", resp.StatusCode, conns)
	}
}

// held is a body whose last byte waits.
type held struct {
	io.ReadCloser
	left  int64
	until chan struct{}
	slow  bool // a byte at a time from then on
}

func (h *held) Read(p []byte) (int, error) {
	if h.left == 0 {
		<-h.until
		if h.slow && len(p) > 0 {
			time.Sleep(time.Millisecond)
			p = p[:1]
		}
		return h.ReadCloser.Read(p)
	}
	n, err := h.ReadCloser.Read(p[:min(int64(len(p)), h.left)])
	h.left -= int64(n)
	return n, err
}

// A server that closes after its 401, at any moment and without saying so, costs
// no call, and no token twice. What a server began to answer is not sent again.
func TestServerCloses(t *testing.T) {
	t.Parallel()
	const calls = 400
	for name, make := range map[string]func(r *http.Request){
		"no body":           func(*http.Request) {},
		"GetBody":           func(r *http.Request) { setBody(r, 10, true) },
		"kept":              func(r *http.Request) { setBody(r, 10, false) },
		"GetBody, 200 kB":   func(r *http.Request) { setBody(r, 200<<10, true) },
		"kept, of 200 kB":   func(r *http.Request) { setBody(r, 200<<10, false) },
		"idempotent method": func(r *http.Request) { r.Method = http.MethodPut; setBody(r, 10, true) },
	} {
		t.Run(name, func(t *testing.T) {
			s := &closer{tokens: map[string]bool{}, done: map[string]int{}, spoke: map[string]bool{}}
			addr := raw(t, s.serve)
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			next := negotiate.New(new(stagetest.Initiator), negotiate.Options{})(tr.RoundTrip)
			failed := 0
			for n := range calls {
				r := request(t, http.MethodPost, addr, "")
				make(r)
				id := fmt.Sprint(n)
				r.Header.Set("Call", id)
				resp, err := next(r)
				if err == nil {
					finish(t, resp, nil)
				}
				s.mu.Lock()
				if s.spoke[id] != (err != nil) {
					failed++
					t.Logf("call %s: %v; an answer that broke off: %t", id, err, s.spoke[id])
				}
				if s.done[id] != 1 {
					t.Errorf("call %s was carried out %d times", id, s.done[id])
				}
				s.mu.Unlock()
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if failed > 0 {
				t.Errorf("%d calls of %d", failed, calls)
			}
			if s.replays > 0 {
				t.Errorf("%d tokens came twice", s.replays)
			}
			if len(s.spoke) == 0 || s.closed == 0 {
				t.Errorf("%d answers broke off, %d connections closed in silence", len(s.spoke), s.closed)
			}
		})
	}
}

func setBody(r *http.Request, size int64, again bool) {
	r.Body, r.ContentLength = io.NopCloser(content(size)), size
	if again {
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(content(size)), nil }
	}
}

// closer is a server that closes connections after its 401.
type closer struct {
	mu      sync.Mutex
	tokens  map[string]bool
	done    map[string]int  // how often calls were carried out
	spoke   map[string]bool // calls whose answer began and broke off
	replays int
	closed  int // connections, after a 401
}

func (s *closer) serve(c net.Conn, br *bufio.Reader) {
	for challenged := false; ; challenged = true {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		token := r.Header.Get("Authorization")
		if token == "" {
			io.WriteString(c, "HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 4\r\n\r\nnope")
			if s.hangsUp(c, br) {
				return
			}
			continue
		}
		id := r.Header.Get("Call")
		breaks := challenged && rand.IntN(3) == 0
		s.mu.Lock()
		if s.tokens[token] {
			s.replays++
		}
		s.tokens[token] = true
		s.done[id]++
		if breaks {
			s.spoke[id] = true
		}
		s.mu.Unlock()
		if breaks {
			io.WriteString(c, "H")
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
		return
	}
}

// hangsUp closes the connection more often than not: at once or later, when
// there may be a request in it, or when some of it was read.
func (s *closer) hangsUp(c net.Conn, br *bufio.Reader) bool {
	how := rand.IntN(6)
	switch how {
	case 0:
		return false
	case 1:
		_ = c.(*net.TCPConn).SetLinger(0)
	case 2:
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
	case 3:
		_, _ = br.ReadByte()
	case 4:
		_, _ = br.ReadString('\n')
		_ = c.(*net.TCPConn).SetLinger(0)
	}
	s.mu.Lock()
	s.closed++
	s.mu.Unlock()
	return true
}

// Only once, and only where it is safe.
func TestSentAgainOnce(t *testing.T) {
	answers := map[string]func(c net.Conn){
		"closes": func(net.Conn) {},
		"resets": func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) },
	}
	for how, ends := range answers {
		for name, tc := range map[string]struct {
			always bool // every signed request meets that, on new connections too
			closes bool // the 401 ends its connection, and a new one is lost
			make   func(r *http.Request)
			o      negotiate.Options
			fail   int // of the initiator, 0 never
			want   []string
			err    error
		}{
			"once":           {make: func(r *http.Request) { setBody(r, 5, true) }, want: []string{"", "client-1", "client-2"}},
			"no more":        {always: true, make: func(r *http.Request) { setBody(r, 5, true) }, want: []string{"", "client-1", "client-2"}, err: errAny},
			"at the bound":   {make: func(r *http.Request) { setBody(r, 5, true) }, o: negotiate.Options{MaxSigned: 1}, want: []string{"", "client-1", "client-2"}},
			"announced":      {closes: true, make: func(r *http.Request) { setBody(r, 5, true) }, want: []string{"", "client-1"}, err: errAny},
			"sent once only": {make: func(r *http.Request) { setBody(r, 5, false) }, o: negotiate.Options{BodyLimit: -1}, want: []string{""}, err: middleware.ErrBodyNotReplayable},
			"not at all":     {make: func(r *http.Request) { setBody(r, 5, true) }, o: negotiate.Options{NoResend: true}, want: []string{"", "client-1"}, err: errAny},
			"no credentials": {make: func(r *http.Request) { setBody(r, 5, true) }, fail: 2, want: []string{"", "client-1"}, err: middleware.ErrCredentials},
		} {
			t.Run(how+", "+name, func(t *testing.T) {
				var mu sync.Mutex
				var got []string
				addr := raw(t, func(c net.Conn, br *bufio.Reader) {
					for first := true; ; first = false {
						r, err := http.ReadRequest(br)
						if err != nil {
							return
						}
						b, err := io.ReadAll(r.Body)
						if err != nil {
							return
						}
						token := strings.TrimPrefix(r.Header.Get("Authorization"), "Negotiate ")
						mu.Lock()
						got = append(got, decoded(token))
						mu.Unlock()
						switch {
						case token == "" && tc.closes:
							io.WriteString(c, "HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
							return
						case token == "":
							io.WriteString(c, "HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n")
							continue
						case tc.always || tc.closes || !first:
							ends(c)
							return
						}
						fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
					}
				})
				in := &stagetest.Initiator{Fail: func(n int, target middleware.Target) error {
					if n == tc.fail {
						return without(n, target)
					}
					return nil
				}}
				tr := &http.Transport{}
				defer tr.CloseIdleConnections()
				r := request(t, http.MethodPost, addr, "")
				tc.make(r)
				resp, err := negotiate.New(in, tc.o)(tr.RoundTrip)(r)
				if err == nil {
					want, err := io.ReadAll(content(5))
					if got := finish(t, resp, err); !bytes.Equal([]byte(got), want) {
						t.Errorf("the server got %q", got)
					}
				}
				if (err == nil) != (tc.err == nil) || tc.err != errAny && !errors.Is(err, tc.err) {
					t.Errorf("error %v, want %v", err, tc.err)
				}
				mu.Lock()
				defer mu.Unlock()
				if fmt.Sprint(got) != fmt.Sprint(tc.want) {
					t.Errorf("tokens %q, want %q", got, tc.want)
				}
			})
		}
	}
}

// Once in a call, over whatever exchanges it goes.
func TestSentAgainOnceInACall(t *testing.T) {
	var mu sync.Mutex
	got := 0
	addr := raw(t, func(c net.Conn, br *bufio.Reader) {
		for first := true; ; first = false {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			mu.Lock()
			got++
			mu.Unlock()
			switch {
			case r.Header.Get("Proxy-Authorization") == "":
				io.WriteString(c, "HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n")
			case first && r.Header.Get("Authorization") == "":
				io.WriteString(c, "HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n")
			default:
				return
			}
		}
	})
	u, err := url.Parse(addr)
	if err != nil {
		t.Fatal(err)
	}
	proxy := func(*http.Request) (*url.URL, error) { return u, nil }
	tr := &http.Transport{Proxy: proxy}
	defer tr.CloseIdleConnections()
	resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{Proxy: proxy})(tr.RoundTrip)(request(t, http.MethodPost, "http://origin.example/", ""))
	if err == nil {
		finish(t, resp, nil)
		t.Error("no error")
	}
	mu.Lock()
	defer mu.Unlock()
	// 407; lost; again, 401; lost.
	if got != 4 {
		t.Errorf("%d requests, want 4", got)
	}
}

var errAny = errors.New("any error")

func decoded(token string) string {
	b, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
