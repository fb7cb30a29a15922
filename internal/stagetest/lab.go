package stagetest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"sync"

	"github.com/google/go-cmp/cmp"
)

type labKey struct{}

// A lab watches one call. It rides in the caller's context.
type lab struct {
	r      *http.Request
	before snapshot
	wiring string
	torn   bool  // the response's body ends in an error
	gated  bool  // what lingers does so after the stage has returned
	got    error // what the caller got

	returned   chan struct{} // closed once the stage has returned
	background sync.WaitGroup

	mu        sync.Mutex
	problems  []string
	requests  []*requestBody
	responses []*responseBody
	last      error // what the last request got from below
}

func labOf(r *http.Request) *lab {
	l, _ := r.Context().Value(labKey{}).(*lab)
	return l
}

func newLab(ctx context.Context, s shape) *lab {
	l := &lab{returned: make(chan struct{})}
	l.r = s.make(l).WithContext(context.WithValue(ctx, labKey{}, l))
	l.before = take(l.r)
	return l
}

func (l *lab) problem(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text := fmt.Sprintf(format, args...); !slices.Contains(l.problems, text) {
		l.problems = append(l.problems, text)
	}
}

func (l *lab) report(t T, where string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.problems {
		t.Errorf("%s: %s", where, p)
	}
}

// release lets what runs in the background end, and waits for it.
func (l *lab) release() {
	close(l.returned)
	l.background.Wait()
}

func (l *lab) lastError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// A snapshot is all of a request that a stage might change, copied.
type snapshot struct {
	Method, Host, Proto, RequestURI, RemoteAddr string

	URL              url.URL
	Header, Trailer  http.Header
	TransferEncoding []string
	ContentLength    int64
	Close, GetBody   bool

	body io.ReadCloser
	ctx  context.Context
	url  *url.URL
}

func take(r *http.Request) snapshot {
	return snapshot{
		Method:           r.Method,
		Host:             r.Host,
		Proto:            r.Proto,
		RequestURI:       r.RequestURI,
		RemoteAddr:       r.RemoteAddr,
		URL:              *r.URL,
		Header:           r.Header.Clone(),
		Trailer:          r.Trailer.Clone(),
		TransferEncoding: slices.Clone(r.TransferEncoding),
		ContentLength:    r.ContentLength,
		Close:            r.Close,
		GetBody:          r.GetBody != nil,
		body:             r.Body,
		ctx:              r.Context(),
		url:              r.URL,
	}
}

// diff says how b differs from a, empty if it does not.
func (a snapshot) diff(b snapshot) string {
	switch {
	case a.body != b.body:
		return "another Body"
	case a.ctx != b.ctx:
		return "another context"
	case a.url != b.url:
		return "another URL pointer"
	}
	a.body, a.ctx, a.url = nil, nil, nil
	b.body, b.ctx, b.url = nil, nil, nil
	if reflect.DeepEqual(a, b) {
		return "" // as nearly always, and cmp would take ten times as long to say so
	}
	return cmp.Diff(a, b, cmp.AllowUnexported(snapshot{}), cmp.Comparer(func(a, b *url.Userinfo) bool { return reflect.DeepEqual(a, b) }))
}

func (l *lab) checkUnchanged(when string) {
	if d := l.before.diff(take(l.r)); d != "" {
		l.problem("request changed %s: the caller's request is not what it was: %s", when, d)
	}
}

func (l *lab) checkResponse(resp *http.Response) {
	if resp.Body == nil {
		l.problem("response has a nil Body")
		return
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		if rw, ok := resp.Body.(io.ReadWriteCloser); !ok {
			l.problem("upgrade: the body of a 101 response is not an io.ReadWriteCloser any more")
		} else if _, err := rw.Write([]byte("x")); err != nil {
			l.problem("upgrade: writing to the body of a 101 response: %v", err)
		}
	}
	if id := resp.Header.Get(echoField); id != "" && id != l.id() {
		l.problem("mixed up: the response belongs to another call")
	}
	if resp.Request != nil && labOf(resp.Request) != l {
		l.problem("context values lost: resp.Request does not carry the caller's")
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil && !l.torn {
		l.problem("response cut short: reading its body: %v", err)
	}
	if err := resp.Body.Close(); err != nil {
		l.problem("closing the response's body: %v", err)
	}
}

func (l *lab) checkBodies() {
	l.mu.Lock()
	requests, responses := slices.Clone(l.requests), slices.Clone(l.responses)
	l.mu.Unlock()
	for i, b := range requests {
		b.mu.Lock()
		closes, late := b.closes, b.late
		b.mu.Unlock()
		if closes != 1 {
			l.problem("request body %d of %d was closed %d times, want once", i+1, len(requests), closes)
		}
		if late {
			l.problem("request body %d of %d was read after it had been closed", i+1, len(requests))
		}
	}
	for i, b := range responses {
		b.mu.Lock()
		closes, late := b.closes, b.late
		b.mu.Unlock()
		if closes == 0 {
			l.problem("response body leaked: number %d of %d was not closed", i+1, len(responses))
		}
		if late {
			l.problem("response body %d of %d was read after it had been closed", i+1, len(responses))
		}
	}
}

func (l *lab) id() string { return fmt.Sprintf("%p", l) }

// A requestBody is a body that the caller made.
type requestBody struct {
	mu     sync.Mutex
	rest   []byte
	closes int
	late   bool
}

func (l *lab) newRequestBody() *requestBody {
	b := &requestBody{rest: payload}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, b)
	return b
}

var errLate = errors.New("stagetest: read after close")

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closes > 0 {
		b.late = true
		return 0, errLate
	}
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *requestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closes++
	return nil
}

// A responseBody is a body that the peer made for a request.
type responseBody struct {
	l   *lab
	r   *http.Request
	src io.Reader

	mu     sync.Mutex
	closes int
	late   bool
}

// track makes src the body of the response to r.
func (l *lab) track(r *http.Request, src io.Reader) *responseBody {
	b := &responseBody{l: l, r: r, src: src}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.responses = append(l.responses, b)
	return b
}

func (b *responseBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.closes > 0 {
		b.late = true
	}
	closed := b.closes > 0
	b.mu.Unlock()
	if closed {
		return 0, errLate
	}
	if err := b.r.Context().Err(); err != nil && b.l.r.Context().Err() == nil {
		b.l.problem("context ended too soon: that of the request, before its response's body was read")
		return 0, err
	}
	return b.src.Read(p)
}

func (b *responseBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closes++
	return nil
}

// consume reads the body of r as a transport does, and closes it.
func (l *lab) consume(r *http.Request) (int, error) {
	if r.Body == nil {
		if l.before.body != nil && l.before.body != http.NoBody {
			l.problem("body lost: a request was sent without it")
		}
		return 0, nil
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, errors.Join(err, r.Body.Close())
	}
	if l.before.body != nil && l.before.body != http.NoBody && !bytes.Equal(b, payload) {
		l.problem("body cut short: %d bytes were sent, want %d", len(b), len(payload))
	}
	if r.ContentLength != l.before.ContentLength {
		l.problem("body length: a request was sent with ContentLength %d, want %d", r.ContentLength, l.before.ContentLength)
	}
	return len(b), r.Body.Close()
}

const echoField = "X-Echo"

// answer makes a response with a short body that is not tracked yet.
func answer(r *http.Request, status int, fields ...string) (*http.Response, error) {
	resp, err := Respond(status, "the body of the response", fields...)(r)
	if err != nil {
		return nil, err
	}
	if r.URL.Scheme == "https" {
		resp.TLS = &tls.ConnectionState{HandshakeComplete: true}
	}
	return resp, nil
}
