package stagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kerbchain/kerbchain"
)

// T is the part of [testing.TB] that the kit reports to.
type T interface {
	Helper()
	Errorf(format string, args ...any)
}

// Run holds the stage that newStage makes to these rules, a subtest each peer:
//
//   - the caller's request is not changed, neither in passing nor for good;
//   - the caller's request body, and each that its GetBody makes, is closed
//     exactly once and not read afterwards, on every path;
//   - a body that is sent is sent whole;
//   - every response body is closed, or given to the caller, who can read it to
//     its end; the request's context stays alive that long;
//   - the result is a response or an error, never both, and never neither;
//   - the last error from below comes through for [errors.Is];
//   - a request that the stage sent is not changed afterwards, and the
//     transport may go on reading it;
//   - the caller's context, with its values and its end, reaches the transport,
//     and a call whose context has ended returns;
//   - a deadline that passes is a timeout, as the transport's error would be, and
//     Request.Cancel ends a call as the end of its context does;
//   - a response without Request, a request without Header and a TLS state
//     without certificates do no harm;
//   - a 101 response that comes through can still be written to;
//   - parallel calls do not get each other's responses (run it with -race);
//   - two wirings of one stage do not reach each other's transport.
//
// newStage is called many times, from one goroutine.
func Run(t *testing.T, newStage func() kerbchain.Middleware) {
	t.Helper()
	k := kit{newStage: newStage, timeout: 20 * time.Second}
	for _, p := range peers() {
		t.Run("peer "+p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { k.matrix(t, p) })
		})
	}
	for name, rule := range k.rules() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { rule(t) })
		})
	}
}

type kit struct {
	newStage func() kerbchain.Middleware
	timeout  time.Duration // after which a call is said to hang
}

func (k kit) rules() map[string]func(T) {
	return map[string]func(T){
		"context ended before the call":      k.endedBefore,
		"context ends below":                 k.endsBelow,
		"deadline below":                     k.deadlineBelow,
		"Request.Cancel":                     k.cancelled,
		"context ends during a stalled body": k.endsInBody,
		"parallel calls":                     k.parallel,
		"two wirings":                        k.wirings,
	}
}

// matrix sends requests of every shape to one peer, each twice, since a stage
// may remember the first.
func (k kit) matrix(t T, p peer) {
	t.Helper()
	for _, s := range shapes() {
		for _, anonymous := range []bool{false, true} {
			next := k.newStage()(transport(p, anonymous))
			for round := range 2 {
				l := newLab(context.Background(), s)
				k.call(l, next)
				l.report(t, fmt.Sprintf("%s to peer %q, anonymous responses %v, call %d", s.name, p.name, anonymous, round+1))
			}
		}
	}
}

func (k kit) endedBefore(t T) {
	t.Helper()
	for _, s := range shapes() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		l := newLab(ctx, s)
		k.call(l, k.newStage()(transport(peer{name: "heeds its context", serve: heed}, false)))
		l.report(t, s.name)
	}
}

func heed(_ *lab, r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, errors.Join(err, closeBody(r))
	}
	return answer(r, http.StatusOK)
}

func (k kit) endsBelow(t T) {
	t.Helper()
	for _, s := range shapes() {
		ctx, cancel := context.WithCancel(context.Background())
		p := peer{name: "waits", serve: func(_ *lab, r *http.Request) (*http.Response, error) {
			cancel()
			select {
			case <-r.Context().Done():
				return nil, errors.Join(r.Context().Err(), closeBody(r))
			case <-time.After(k.timeout / 2):
				return nil, errors.Join(errUnended, closeBody(r))
			}
		}}
		l := newLab(ctx, s)
		k.call(l, k.newStage()(transport(p, false)))
		reached := ctx.Err() != nil
		cancel()
		if reached && !errors.Is(l.got, context.Canceled) {
			l.problem("cancelled context: got error %v, want one that is context.Canceled", l.got)
		}
		l.report(t, s.name)
	}
}

// waits is a peer that never answers: it waits for its context, or its Cancel, as
// transports do.
func (k kit) waits(begun func()) peer {
	return peer{name: "waits", serve: func(_ *lab, r *http.Request) (*http.Response, error) {
		begun()
		select {
		case <-r.Context().Done():
			return nil, errors.Join(context.Cause(r.Context()), closeBody(r))
		//lint:ignore SA1019 callers still set it
		case <-r.Cancel:
			return nil, errors.Join(context.Canceled, closeBody(r))
		case <-time.After(k.timeout / 2):
			return nil, errors.Join(errUnended, closeBody(r))
		}
	}}
}

func (k kit) deadlineBelow(t T) {
	t.Helper()
	for _, s := range shapes() {
		reached := false
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		l := newLab(ctx, s)
		// What waits for the deadline, rather than meets it at once, answers with
		// an error that is a timeout itself.
		p := k.waits(func() { reached = true })
		serve := p.serve
		p.serve = func(l *lab, r *http.Request) (*http.Response, error) {
			_, err := serve(l, r)
			return nil, late{err}
		}
		k.call(l, k.newStage()(transport(p, false)))
		cancel()
		if reached {
			if e, ok := l.got.(interface{ Timeout() bool }); !ok || !e.Timeout() {
				l.problem("deadline: got error %v of type %T, want one that is a timeout by its own method", l.got, l.got)
			}
		}
		l.report(t, s.name)
	}
}

type late struct{ error }

func (l late) Unwrap() error { return l.error }
func (late) Timeout() bool   { return true }

func (k kit) cancelled(t T) {
	t.Helper()
	for _, s := range shapes() {
		ch := make(chan struct{})
		reached := false
		p := k.waits(func() {
			if !reached {
				close(ch)
			}
			reached = true
		})
		l := newLab(context.Background(), s)
		//lint:ignore SA1019 callers still set it
		l.r.Cancel = ch
		l.before = take(l.r)
		k.call(l, k.newStage()(transport(p, false)))
		if reached && !errors.Is(l.got, context.Canceled) {
			l.problem("Request.Cancel: got error %v, want one that is context.Canceled", l.got)
		}
		l.report(t, s.name)
	}
}

func (k kit) endsInBody(t T) {
	t.Helper()
	for _, status := range []int{200, 401, 404, 407} {
		for _, s := range shapes() {
			ctx, cancel := context.WithCancel(context.Background())
			p := peer{name: "stalls", serve: func(l *lab, r *http.Request) (*http.Response, error) {
				if _, err := l.consume(r); err != nil {
					return nil, err
				}
				resp, err := answer(r, status, "WWW-Authenticate", "Negotiate", "Proxy-Authenticate", "Negotiate")
				resp.ContentLength = -1
				resp.Body = l.track(r, &stalled{ctx: r.Context(), begin: cancel, timeout: k.timeout / 2})
				return resp, err
			}}
			l := newLab(ctx, s)
			l.torn = true
			k.call(l, k.newStage()(transport(p, false)))
			cancel()
			l.report(t, fmt.Sprintf("%s, status %d", s.name, status))
		}
	}
}

var errUnended = errors.New("stagetest: the context of the request that was sent does not end with the caller's")

// stalled is a body of which no byte ever comes.
type stalled struct {
	ctx     context.Context
	begin   func()
	timeout time.Duration
}

func (s *stalled) Read([]byte) (int, error) {
	s.begin()
	select {
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	case <-time.After(s.timeout):
		return 0, errUnended
	}
}

func (k kit) parallel(t T) {
	t.Helper()
	for _, p := range peers() {
		next := k.newStage()(transport(p, false))
		shared := http.Header{"X-Shared": {"yes"}}
		var all sync.WaitGroup
		var mu sync.Mutex
		for _, s := range shapes() {
			if s.header {
				continue
			}
			all.Go(func() {
				l := newLab(context.Background(), s)
				l.r.Header = shared
				l.before = take(l.r)
				k.call(l, next)
				mu.Lock()
				defer mu.Unlock()
				l.report(t, fmt.Sprintf("parallel %s to peer %q", s.name, p.name))
			})
		}
		all.Wait()
	}
}

func (k kit) wirings(t T) {
	t.Helper()
	stage := k.newStage()
	wire := func(name string) kerbchain.Next {
		return stage(func(r *http.Request) (*http.Response, error) {
			if l := labOf(r); l != nil && l.wiring != name {
				l.problem("wiring: a call through wiring %s came out of wiring %s", l.wiring, name)
			}
			return transport(challenging(), false)(r)
		})
	}
	a, b := wire("a"), wire("b")
	for range 3 {
		for _, w := range []struct {
			name string
			next kerbchain.Next
		}{{"a", a}, {"b", b}} {
			l := newLab(context.Background(), shapes()[0])
			l.wiring = w.name
			k.call(l, w.next)
			l.report(t, "call through wiring "+w.name)
		}
	}
}

// call sends l's request and checks all that can be seen from outside.
func (k kit) call(l *lab, next kerbchain.Next) {
	type result struct {
		resp  *http.Response
		err   error
		panic string
	}
	done := make(chan result, 1)
	go func() {
		var res result
		defer func() {
			if p := recover(); p != nil {
				res = result{panic: fmt.Sprintf("%v\n%s", p, debug.Stack())}
			}
			done <- res
		}()
		res.resp, res.err = next(l.r)
	}()
	var res result
	timer := time.NewTimer(k.timeout)
	defer timer.Stop()
	select {
	case res = <-done:
	case <-timer.C:
		l.problem("hang: the call did not return within %v", k.timeout)
		l.release()
		return
	}
	if res.panic != "" {
		l.problem("panic: %s", res.panic)
		l.release()
		return
	}
	l.checkUnchanged("after the call")
	l.got = res.err
	switch {
	case res.resp != nil && res.err != nil:
		l.problem("both: a response and the error %v", res.err)
	case res.resp == nil && res.err == nil:
		l.problem("neither a response nor an error")
	}
	if errors.Is(res.err, errUnknown) {
		l.problem("context values lost: a request was sent that does not carry the caller's")
	}
	if last := l.lastError(); last != nil {
		if res.err == nil {
			l.problem("error from below swallowed: %v", last)
		} else if !errors.Is(res.err, last) {
			l.problem("error from below lost: got %v, want one that is %v", res.err, last)
		}
	}
	if res.resp != nil {
		l.checkResponse(res.resp)
	}
	l.release()
	l.checkBodies()
	l.checkUnchanged("after everything")
}

// payload is long enough to need more than one read of most buffers.
var payload = bytes.Repeat([]byte("0123456789abcdef"), 4096)

func closeBody(r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	return r.Body.Close()
}
