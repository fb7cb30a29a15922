package negotiate_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

// content returns size bytes that are the same each time, and of which no eight are like
// eight others.
func content(size int64) io.Reader { return io.LimitReader(new(numbers), size) }

// numbers is how many bytes were read of the multiples of an odd number, which are all
// different: to make and to check gigabytes must not be what these tests take.
type numbers uint64

func (n *numbers) Read(p []byte) (int, error) {
	const step = 0x9e3779b97f4a7c15
	size, at := len(p), uint64(*n)
	*n += numbers(size)
	for ; at%8 != 0 && len(p) > 0; at++ {
		p[0], p = byte((at/8+1)*step>>(at%8*8)), p[1:]
	}
	x := (at/8 + 1) * step
	for ; len(p) >= 8; x += step {
		binary.LittleEndian.PutUint64(p, x)
		p = p[8:]
	}
	for i := range p {
		p[i] = byte(x >> (i * 8))
	}
	return size, nil
}

// seed makes the sums of one process.
var seed = maphash.MakeSeed()

func newSum() *maphash.Hash {
	h := new(maphash.Hash)
	h.SetSeed(seed)
	return h
}

func sumOf(r io.Reader) (string, int64, error) {
	h := newSum()
	n, err := io.Copy(h, r)
	return fmt.Sprintf("%x", h.Sum(nil)), n, err
}

// A received is what came of one request's body.
type received struct {
	signed bool
	whole  bool // read to its end
	sum    string
	n      int64
	expect string
	sumIn  string // of the trailer
}

// receiver is a server that asks for a token and notes the bodies it gets.
type receiver struct {
	*httptest.Server
	conns atomic.Int64
	mu    sync.Mutex
	all   []received
}

// A manner is how a server says 401.
type manner struct {
	early bool // before it reads
	keep  bool // without closing the connection
	h2    bool
}

func receive(t *testing.T, m manner) *receiver {
	t.Helper()
	rec := new(receiver)
	rec.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rec.serve(w, r, m) }))
	quietly(rec.Server)
	rec.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			rec.conns.Add(1)
		}
	}
	if m.h2 {
		rec.EnableHTTP2 = true
		rec.TLS = &tls.Config{Certificates: []tls.Certificate{stagetest.SelfSigned(t)}}
		rec.StartTLS()
		rec.Client().Transport.(*http.Transport).TLSClientConfig.CurvePreferences = []tls.CurveID{tls.CurveP256}
	} else {
		rec.Start()
	}
	t.Cleanup(rec.Close)
	return rec
}

func (rec *receiver) serve(w http.ResponseWriter, r *http.Request, m manner) {
	got := received{signed: r.Header.Get("Authorization") != "", expect: r.Header.Get("Expect")}
	if got.signed || !m.early {
		var err error
		got.sum, got.n, err = sumOf(r.Body)
		got.whole = err == nil
		got.sumIn = r.Trailer.Get("X-Sum")
	}
	rec.mu.Lock()
	rec.all = append(rec.all, got)
	rec.mu.Unlock()
	if got.signed {
		w.Header().Set("WWW-Authenticate", stagetest.Value(middleware.Negotiate, stagetest.ServerOK))
		fmt.Fprintf(w, "%s %d", got.sum, got.n)
		return
	}
	w.Header().Set("WWW-Authenticate", "Negotiate")
	if m.early && !m.keep && !m.h2 {
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(http.StatusUnauthorized)
}

func (rec *receiver) requests() []received {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.all
}

func (rec *receiver) transport(t *testing.T) *http.Transport {
	tr := rec.Client().Transport.(*http.Transport).Clone()
	tr.ExpectContinueTimeout = time.Minute // never, here
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// kinds of bodies, by name.
var kinds = map[string]struct {
	make    func(t *testing.T, r *http.Request, size int64)
	options negotiate.Options
	once    bool // where it is larger than what is kept
	asks    bool // a server that reads first gets it, where it is not kept, and no token
}{
	"GetBody": {make: func(_ *testing.T, r *http.Request, size int64) {
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(content(size)), nil }
		r.Body, r.ContentLength = io.NopCloser(content(size)), size
	}, options: negotiate.Options{BodyLimit: -1}},
	"GetBody of unknown length": {make: func(_ *testing.T, r *http.Request, size int64) {
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(content(size)), nil }
		r.Body, r.ContentLength = io.NopCloser(content(size)), -1
	}, options: negotiate.Options{BodyLimit: -1}},
	"file": {make: func(t *testing.T, r *http.Request, size int64) {
		r.Body, r.ContentLength = fileOf(t, size), size
	}, options: negotiate.Options{BodyLimit: -1}},
	"file of unknown length": {make: func(t *testing.T, r *http.Request, size int64) {
		r.Body = fileOf(t, size)
	}, options: negotiate.Options{BodyLimit: -1}},
	"seeker": {make: func(t *testing.T, r *http.Request, size int64) {
		r.Body, r.ContentLength = &seeking{fileOf(t, size)}, size
	}, options: negotiate.Options{BodyLimit: -1}},
	"buffered": {make: stream(false), options: negotiate.Options{BodyLimit: 8 << 20}, once: true},
	"buffered, of unknown length": {
		make: stream(true), options: negotiate.Options{BodyLimit: 8 << 20}, once: true,
	},
	"spilled":                    {make: stream(false), options: negotiate.Options{BodyLimit: 1 << 10, SpillLimit: 1 << 30}},
	"spilled, of unknown length": {make: stream(true), options: negotiate.Options{BodyLimit: 1 << 10, SpillLimit: 1 << 30}},
	"asked with Expect":          {make: stream(false), options: negotiate.Options{BodyLimit: -1, OneShot: negotiate.Expect}, asks: true},
	"asked with Expect, of unknown length": {
		make: stream(true), options: negotiate.Options{BodyLimit: 1, OneShot: negotiate.Expect}, asks: true,
	},
	"asked with HEAD":                    {make: stream(false), options: negotiate.Options{BodyLimit: -1, OneShot: negotiate.Probe}},
	"asked with HEAD, of unknown length": {make: stream(true), options: negotiate.Options{BodyLimit: 1, OneShot: negotiate.Probe}},
	"Expect of the caller": {make: func(t *testing.T, r *http.Request, size int64) {
		stream(false)(t, r, size)
		r.Header.Set("Expect", "100-continue")
	}, options: negotiate.Options{BodyLimit: 1 << 20}, asks: true},
	"Expect of the caller, of unknown length": {make: func(t *testing.T, r *http.Request, size int64) {
		stream(true)(t, r, size)
		r.Header.Set("Expect", "100-continue")
	}, options: negotiate.Options{BodyLimit: 1 << 20}, asks: true},
	"trailer": {make: func(_ *testing.T, r *http.Request, size int64) {
		r.Trailer = http.Header{"X-Sum": nil}
		made := func() io.ReadCloser { return io.NopCloser(&summed{content(size), newSum(), r}) }
		r.GetBody = func() (io.ReadCloser, error) { return made(), nil }
		r.Body, r.ContentLength = made(), -1
	}, options: negotiate.Options{BodyLimit: -1}},
	"trailer of a stream": {make: func(_ *testing.T, r *http.Request, size int64) {
		r.Trailer = http.Header{"X-Sum": nil}
		r.Body, r.ContentLength = io.NopCloser(&summed{content(size), newSum(), r}), -1
	}, options: negotiate.Options{BodyLimit: 1 << 10, SpillLimit: 1 << 30}},
}

// stream makes a body that can be read once.
func stream(unknown bool) func(t *testing.T, r *http.Request, size int64) {
	return func(_ *testing.T, r *http.Request, size int64) {
		r.Body, r.ContentLength = io.NopCloser(content(size)), size
		if unknown {
			r.ContentLength = -1
		}
	}
}

func fileOf(t *testing.T, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "body"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, content(size)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return f
}

// seeking is a body that can be set back, and is no file.
type seeking struct{ io.ReadSeekCloser }

// summed fills in the trailer at its end, as callers do.
type summed struct {
	io.Reader
	h hash.Hash
	r *http.Request
}

func (s *summed) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	s.h.Write(b[:n])
	if err == io.EOF {
		s.r.Trailer.Set("X-Sum", fmt.Sprintf("%x", s.h.Sum(nil)))
	}
	return n, err
}

// largest is the size of a body of which neither memory, with 8 MiB here, nor the buffers of two
// sockets could keep more than a part.
const largest = 24 << 20

// Bodies of every kind and size, to servers that say 401 early or late: the one
// with the token arrives whole, and none arrives short.
func TestBodies(t *testing.T) {
	sizes := []int64{0, 1, 64 << 10, 5 << 20}
	if !testing.Short() {
		sizes = append(sizes, largest)
	}
	for _, size := range sizes {
		want, _, err := sumOf(content(size))
		if err != nil {
			t.Fatal(err)
		}
		for name, m := range map[string]manner{
			"late": {}, "early": {early: true}, "early, kept": {early: true, keep: true},
			"HTTP2, late": {h2: true}, "HTTP2, early": {h2: true, early: true},
		} {
			t.Run(fmt.Sprintf("%d bytes, %s", size, name), func(t *testing.T) {
				t.Parallel()
				rec, spill := receive(t, m), t.TempDir()
				for kind, k := range kinds {
					if size > 5<<20 && (k.once || m.h2 || m.keep || !strings.Contains(kind, "unknown") && kind != "seeker") {
						continue // what is left of the large ones takes long enough
					}
					t.Run(kind, func(t *testing.T) {
						rec.mu.Lock()
						rec.all = nil
						rec.mu.Unlock()
						r := request(t, http.MethodPut, rec.URL, "")
						k.make(t, r, size)
						k.options.SpillDir = spill
						resp, err := negotiate.New(new(stagetest.Initiator), k.options)(rec.transport(t).RoundTrip)(r)
						if k.asks && !m.early && size > k.options.BodyLimit {
							if !errors.Is(err, middleware.ErrBodyNotReplayable) {
								t.Errorf("error %v", err)
							}
							return
						}
						if got := finish(t, resp, err); got != fmt.Sprintf("%s %d", want, size) {
							t.Errorf("the server got %q", got)
						}
						check(t, rec.requests(), want, r.Trailer != nil)
						left, err := os.ReadDir(spill)
						if err != nil || len(left) > 0 {
							t.Errorf("files that are left: %v, %v", left, err)
						}
					})
				}
			})
		}
	}
}

// check looks for bodies that arrived in part and were taken for whole.
func check(t *testing.T, all []received, want string, trailer bool) {
	t.Helper()
	empty, _, err := sumOf(strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	signed := 0
	for i, got := range all {
		if got.signed {
			signed++
		}
		// A probe has no body, and says so.
		if got.whole && got.sum != want && (got.signed || got.sum != empty) {
			t.Errorf("request %d of %d: %d bytes arrived for a whole body", i+1, len(all), got.n)
		}
		if got.signed && trailer && got.sumIn != want {
			t.Errorf("request %d of %d: trailer %q", i+1, len(all), got.sumIn)
		}
	}
	if signed != 1 || len(all) > 3 {
		t.Errorf("%d requests, %d of them signed", len(all), signed)
	}
}

// What is never sent twice: a stream that a server has begun to read.
func TestOneShot(t *testing.T) {
	const size = 1 << 20
	for name, tc := range map[string]struct {
		m       manner
		options negotiate.Options
		unknown bool
		err     error
		want    []string
	}{
		"sent once, late":            {manner{}, negotiate.Options{}, false, middleware.ErrBodyNotReplayable, []string{"bare, whole"}},
		"Expect, to one that heeds":  {manner{early: true}, negotiate.Options{OneShot: negotiate.Expect}, false, nil, []string{"bare, expects", "signed, whole"}},
		"Expect, keeping":            {manner{early: true, keep: true}, negotiate.Options{OneShot: negotiate.Expect}, false, nil, []string{"bare, expects", "signed, whole"}},
		"Expect, to one that reads":  {manner{}, negotiate.Options{OneShot: negotiate.Expect}, false, middleware.ErrBodyNotReplayable, []string{"bare, expects, whole"}},
		"Expect, of unknown length":  {manner{early: true}, negotiate.Options{OneShot: negotiate.Expect}, true, nil, []string{"bare, expects", "signed, whole"}},
		"HEAD":                       {manner{}, negotiate.Options{OneShot: negotiate.Probe}, false, nil, []string{"bare, whole", "signed, whole"}},
		"refused":                    {manner{}, negotiate.Options{OneShot: negotiate.Refuse}, false, middleware.ErrBodyNotReplayable, nil},
		"refused, of unknown length": {manner{}, negotiate.Options{OneShot: negotiate.Refuse}, true, middleware.ErrBodyNotReplayable, nil},
		"not refused, for it fits":   {manner{}, negotiate.Options{OneShot: negotiate.Refuse, BodyLimit: size}, true, nil, []string{"bare, whole", "signed, whole"}},
		"no probe, for it fits":      {manner{}, negotiate.Options{OneShot: negotiate.Probe, BodyLimit: size}, true, nil, []string{"bare, whole", "signed, whole"}},
	} {
		t.Run(name, func(t *testing.T) {
			rec := receive(t, tc.m)
			r := request(t, http.MethodPost, rec.URL, "")
			stream(tc.unknown)(t, r, size)
			closed := &closedLater{Reader: r.Body, done: make(chan struct{})}
			r.Body = closed
			if tc.options.BodyLimit == 0 {
				tc.options.BodyLimit = 1 << 10
			}
			resp, err := negotiate.New(new(stagetest.Initiator), tc.options)(rec.transport(t).RoundTrip)(r)
			if err == nil {
				finish(t, resp, nil)
			}
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Errorf("error %v, want %v", err, tc.err)
			}
			var got []string
			for _, rec := range rec.requests() {
				s := map[bool]string{true: "signed", false: "bare"}[rec.signed]
				if rec.expect != "" {
					s += ", expects"
				}
				if rec.whole {
					s += ", whole"
				}
				got = append(got, s)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("requests (-want +got):\n%s", d)
			}
			<-closed.done
			if n := closed.n.Load(); n != 1 {
				t.Errorf("the body was closed %d times", n)
			}
		})
	}
}

// closedLater is a body that its transport may close when the call is over.
type closedLater struct {
	io.Reader
	n    atomic.Int64
	done chan struct{}
}

func (c *closedLater) Close() error {
	if c.n.Add(1) == 1 {
		close(c.done)
	}
	return nil
}

// The probe asks for nothing to be done.
func TestProbeHeader(t *testing.T) {
	srv := stagetest.NewServer(stagetest.Challenge(401, "Negotiate"), stagetest.Respond(201, ""))
	var seen []*http.Request
	next := func(r *http.Request) (*http.Response, error) {
		seen = append(seen, r)
		return srv.Next(r)
	}
	r := request(t, http.MethodPost, "http://origin.example/path?query", "")
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader("the body")), 8
	r.Header = http.Header{
		"Content-Type": {"text/plain"}, "Content-Md5": {"x"}, "If-Match": {`"x"`}, "X-Http-Method-Override": {"DELETE"},
		"Cookie": {"a=b"}, "Accept": {"*/*"}, "Expect": {"100-continue"},
	}
	before := r.Header.Clone()
	resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{BodyLimit: -1, OneShot: negotiate.Probe})(next)(r)
	finish(t, resp, err)
	want := []stagetest.Request{
		{Method: "HEAD", URL: r.URL.String()},
		{Method: "POST", URL: r.URL.String(), Auth: "Negotiate client-1", Body: "the body"},
	}
	if d := cmp.Diff(want, srv.Requests()); d != "" {
		t.Fatalf("sent (-want +got):\n%s", d)
	}
	if d := cmp.Diff(http.Header{"Cookie": {"a=b"}, "Accept": {"*/*"}}, seen[0].Header); d != "" {
		t.Errorf("header of the probe (-want +got):\n%s", d)
	}
	if d := cmp.Diff(before, r.Header); d != "" {
		t.Errorf("the caller's header changed (-before +after):\n%s", d)
	}
	if n := seen[0].ContentLength; n != 0 || seen[0].GetBody != nil || seen[0].Trailer != nil {
		t.Errorf("the probe has a length of %d, GetBody %v, Trailer %v", n, seen[0].GetBody != nil, seen[0].Trailer)
	}
}

// What a probe may be answered, and what then becomes of the request.
func TestProbeAnswers(t *testing.T) {
	bare, proxied := stagetest.Challenge(401, "Negotiate"), stagetest.Challenge(407, "Negotiate")
	ok := stagetest.Respond(200, "ok")
	below := errors.New("below")
	for name, tc := range map[string]struct {
		replies []stagetest.Reply
		fail    func(int, middleware.Target) error
		want    []string
		status  int
		err     error
	}{
		"not challenged":               {[]stagetest.Reply{ok, ok}, nil, []string{"HEAD ", "POST "}, 200, nil},
		"no such method":               {[]stagetest.Reply{stagetest.Respond(405, ""), ok}, nil, []string{"HEAD ", "POST "}, 200, nil},
		"not challenged, then it is":   {[]stagetest.Reply{ok, bare}, nil, []string{"HEAD ", "POST "}, 0, middleware.ErrBodyNotReplayable},
		"another scheme":               {[]stagetest.Reply{stagetest.Challenge(401, "Basic")}, nil, []string{"HEAD ", "POST "}, 401, nil},
		"challenged, and refused":      {[]stagetest.Reply{bare}, nil, []string{"HEAD ", "POST Negotiate client-1"}, 401, nil},
		"challenged, and another leg":  {[]stagetest.Reply{bare, stagetest.Challenge(401, stagetest.Value(middleware.Negotiate, stagetest.ServerMore))}, nil, []string{"HEAD ", "POST Negotiate client-1"}, 0, middleware.ErrBodyNotReplayable},
		"challenged, no credentials":   {[]stagetest.Reply{bare}, without, []string{"HEAD "}, 0, middleware.ErrCredentials},
		"fails":                        {[]stagetest.Reply{stagetest.Fail(below)}, nil, []string{"HEAD "}, 0, below},
		"challenged by a proxy, first": {[]stagetest.Reply{proxied, ok}, nil, []string{"HEAD ", "HEAD , for the proxy client-1", "POST , for the proxy client-2"}, 200, nil},
		"by a proxy, then challenged":  {[]stagetest.Reply{proxied, bare, ok}, nil, []string{"HEAD ", "HEAD , for the proxy client-1", "POST Negotiate client-2, for the proxy client-3"}, 200, nil},
		"challenged, then by a proxy":  {[]stagetest.Reply{bare, proxied}, nil, []string{"HEAD ", "POST Negotiate client-1"}, 0, middleware.ErrBodyNotReplayable},
		"by a proxy, and refused":      {[]stagetest.Reply{proxied}, nil, []string{"HEAD ", "HEAD , for the proxy client-1", "POST "}, 407, nil},
		"by a proxy, another scheme":   {[]stagetest.Reply{proxied, stagetest.Challenge(401, "Basic")}, nil, []string{"HEAD ", "HEAD , for the proxy client-1", "POST , for the proxy client-2"}, 401, nil},
		"by a proxy, then fails":       {[]stagetest.Reply{proxied, stagetest.Fail(below)}, nil, []string{"HEAD ", "HEAD , for the proxy client-1"}, 0, below},
	} {
		t.Run(name, func(t *testing.T) {
			srv := stagetest.NewServer(tc.replies...)
			r := request(t, http.MethodPost, "http://origin.example/", "")
			closed := &closing{Reader: strings.NewReader("the body")}
			r.Body, r.ContentLength = closed, 8
			o := negotiate.Options{BodyLimit: -1, OneShot: negotiate.Probe, Proxy: viaProxy}
			var answers []*closing
			var toProxy []string
			resp, err := negotiate.New(&stagetest.Initiator{Fail: tc.fail}, o)(func(r *http.Request) (*http.Response, error) {
				if _, token, ok := strings.Cut(r.Header.Get("Proxy-Authorization"), " "); ok {
					toProxy = append(toProxy, ", for the proxy "+decoded(token))
				} else {
					toProxy = append(toProxy, "")
				}
				resp, err := srv.Next(r)
				if err == nil {
					answers = append(answers, &closing{Reader: resp.Body})
					resp.Body = answers[len(answers)-1]
				}
				return resp, err
			})(r)
			defer func() {
				for i, a := range answers {
					if a.n == 0 {
						t.Errorf("the body of answer %d is open", i+1)
					}
				}
			}()
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if err == nil {
				finish(t, resp, nil)
				if resp.StatusCode != tc.status {
					t.Errorf("status %d", resp.StatusCode)
				}
			}
			var got []string
			for i, r := range srv.Requests() {
				got = append(got, r.Method+" "+r.Auth+toProxy[i])
				if r.Method == "POST" && r.Body != "the body" {
					t.Errorf("sent %q", r.Body)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("sent (-want +got):\n%s", d)
			}
			if closed.n != 1 {
				t.Errorf("the body was closed %d times", closed.n)
			}
		})
	}
}

// A large body takes no more memory than a small one.
func TestMemory(t *testing.T) {
	const size = largest
	whole := t // servers end together, since net/http's waits for half a second with a connection that it closed early
	for _, kind := range []string{"GetBody", "file", "seeker", "spilled", "spilled, of unknown length", "asked with Expect", "asked with HEAD"} {
		t.Run(kind, func(t *testing.T) {
			rec := receive(whole, manner{early: true})
			k := kinds[kind]
			r := request(t, http.MethodPut, rec.URL, "")
			k.make(t, r, size)
			k.options.SpillDir = t.TempDir()
			next := negotiate.New(new(stagetest.Initiator), k.options)(rec.transport(t).RoundTrip)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			resp, err := next(r)
			finish(t, resp, err)
			runtime.ReadMemStats(&after)
			// All that was allocated, the server's share included.
			if n := after.TotalAlloc - before.TotalAlloc; n > size/16 {
				t.Errorf("%d KiB were allocated", n>>10)
			}
		})
	}
}

// A server that takes a body for granted: it waits for it although it was told
// to say 100 first. After its timeout the transport sends it; if it is small
// enough it is there for another attempt.
func TestExpectIsNotHeeded(t *testing.T) {
	for name, limit := range map[string]int64{"kept": 1 << 20, "not kept": 1 << 10} {
		t.Run(name, func(t *testing.T) {
			const size = 100 << 10
			addr := raw(t, func(c net.Conn, br *bufio.Reader) {
				r, err := http.ReadRequest(br)
				if err != nil {
					return
				}
				sum, n, err := sumOf(r.Body)
				if err != nil {
					t.Error(err)
				}
				body := fmt.Sprintf("%s %d", sum, n)
				head := "HTTP/1.1 200 OK"
				if r.Header.Get("Authorization") == "" {
					head = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate"
				}
				fmt.Fprintf(c, "%s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body)
			})
			tr := &http.Transport{ExpectContinueTimeout: time.Millisecond}
			defer tr.CloseIdleConnections()
			r := request(t, http.MethodPut, addr, "")
			stream(false)(t, r, size)
			r.Header.Set("Expect", "100-continue")
			resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{BodyLimit: limit})(tr.RoundTrip)(r)
			if name == "not kept" {
				if !errors.Is(err, middleware.ErrBodyNotReplayable) {
					t.Errorf("error %v", err)
				}
				return
			}
			want, n, err2 := sumOf(content(size))
			if got := finish(t, resp, errors.Join(err, err2)); got != fmt.Sprintf("%s %d", want, n) {
				t.Errorf("the server got %q", got)
			}
		})
	}
}

// raw serves connections by hand, each once. It returns its URL.
func raw(t *testing.T, serve func(c net.Conn, br *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			all.Go(func() {
				defer c.Close()
				serve(c, bufio.NewReader(c))
			})
		}
	})
	return "http://" + l.Addr().String()
}

// A server that resets the connection in the middle of an upload, so that its
// 401 never arrives. The request is sent once more, and asks first.
func TestBreaksOff(t *testing.T) {
	const size = 16 << 20
	var mu sync.Mutex
	var seen []string
	addr := raw(t, func(c net.Conn, br *bufio.Reader) {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		mu.Lock()
		seen = append(seen, strings.TrimSpace(r.Header.Get("Expect")+" "+r.Header.Get("Authorization")))
		mu.Unlock()
		switch {
		case r.Header.Get("Authorization") != "":
			sum, n, err := sumOf(r.Body)
			if err != nil {
				t.Error(err)
			}
			body := fmt.Sprintf("%s %d", sum, n)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		case r.Header.Get("Expect") != "":
			io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		default:
			// With something unread, and no time to linger, this is a reset.
			_ = c.(*net.TCPConn).SetLinger(0)
		}
	})
	for _, replayable := range []bool{true, false} {
		t.Run(fmt.Sprintf("replayable %v", replayable), func(t *testing.T) {
			mu.Lock()
			seen = nil
			mu.Unlock()
			tr := &http.Transport{ExpectContinueTimeout: time.Minute}
			defer tr.CloseIdleConnections()
			r := request(t, http.MethodPost, addr, "")
			stream(false)(t, r, size)
			if replayable {
				kinds["GetBody"].make(t, r, size)
			}
			resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{})(tr.RoundTrip)(r)
			if !replayable {
				if err == nil {
					finish(t, resp, nil)
					t.Error("no error")
				}
				return
			}
			want, n, err2 := sumOf(content(size))
			if got := finish(t, resp, errors.Join(err, err2)); got != fmt.Sprintf("%s %d", want, n) {
				t.Errorf("the server got %q", got)
			}
			mu.Lock()
			defer mu.Unlock()
			token := stagetest.Value(middleware.Negotiate, "client-1")
			if d := cmp.Diff([]string{"", "100-continue", token}, seen); d != "" {
				t.Errorf("requests (-want +got):\n%s", d)
			}
		})
	}
}

// A transport that goes on reading the body of an attempt that is over reads nothing
// that another attempt sends.
func TestReadsOn(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	var all sync.WaitGroup
	next := func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") == "" {
			if _, err := io.ReadFull(r.Body, make([]byte, 100)); err != nil {
				return nil, err
			}
			all.Go(func() {
				_, _ = io.Copy(io.Discard, r.Body) // it may be taken away
				r.Body.Close()
			})
			return stagetest.Challenge(401, "Negotiate")(r)
		}
		b, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(b, text) {
			return nil, fmt.Errorf("%d bytes, %w", len(b), err)
		}
		return stagetest.Respond(200, "")(r)
	}
	for range 20 {
		for _, body := range []io.ReadCloser{&seeking{seekCloser{bytes.NewReader(text)}}, io.NopCloser(bytes.NewReader(text))} {
			r := request(t, http.MethodPut, "http://origin.example/", "")
			r.Body, r.ContentLength = body, int64(len(text))
			resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{})(next)(r)
			finish(t, resp, err)
		}
	}
	all.Wait()
}

type seekCloser struct{ io.ReadSeeker }

func (seekCloser) Close() error { return nil }
