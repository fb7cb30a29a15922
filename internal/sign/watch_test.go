package sign_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/kerbchain/kerbchain/internal/sign"
)

// A hung is a connection that counts how often it was closed.
type hung struct {
	net.Conn
	proto  string // of TLS; empty for plain TCP
	closes atomic.Int32
}

func (h *hung) Close() error {
	h.closes.Add(1)
	return nil
}

// overTLS is a connection with a protocol chosen in the handshake.
type overTLS struct{ *hung }

func (c overTLS) ConnectionState() tls.ConnectionState {
	return tls.ConnectionState{NegotiatedProtocol: c.proto}
}

func (h *hung) conn() net.Conn {
	if h.proto == "" {
		return h
	}
	return overTLS{h}
}

// following returns what the transport calls for a request followed by w.
func following(t *testing.T, w *sign.Watch) *httptrace.ClientTrace {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://origin.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	out := w.On(r)
	if httptrace.ContextClientTrace(r.Context()) != nil {
		t.Error("the request itself was changed")
	}
	return httptrace.ContextClientTrace(out.Context())
}

func TestWatchLost(t *testing.T) {
	reset := &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	late := &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	idle := errors.New("http: server closed idle connection")
	for name, tc := range map[string]struct {
		conns []httptrace.GotConnInfo
		begun bool
		over  bool
		err   error
		want  bool
	}{
		"closed":             {conns: []httptrace.GotConnInfo{{Conn: &hung{}, Reused: true}}, err: io.EOF, want: true},
		"closed, wrapped":    {conns: []httptrace.GotConnInfo{{Conn: &hung{}, Reused: true}}, err: fmt.Errorf("a wrapper: %w", io.EOF), want: true},
		"closed while idle":  {conns: []httptrace.GotConnInfo{{Conn: &hung{}, Reused: true}}, err: idle, want: true},
		"reset":              {conns: []httptrace.GotConnInfo{{Conn: &hung{}, Reused: true}}, err: reset, want: true},
		"TLS":                {conns: []httptrace.GotConnInfo{{Conn: overTLS{&hung{proto: "http/1.1"}}, Reused: true}}, err: io.EOF, want: true},
		"timed out":          {conns: []httptrace.GotConnInfo{{Conn: &hung{}, Reused: true}}, err: late},
		"an answer began":    {conns: []httptrace.GotConnInfo{{Conn: &hung{}, Reused: true}}, begun: true, err: reset},
		"new":                {conns: []httptrace.GotConnInfo{{Conn: &hung{}}}, err: io.EOF},
		"used, then new":     {conns: []httptrace.GotConnInfo{{Conn: &hung{}, Reused: true}, {Conn: &hung{}}}, err: io.EOF},
		"HTTP/2":             {conns: []httptrace.GotConnInfo{{Conn: overTLS{&hung{proto: "h2"}}, Reused: true}}, err: io.EOF},
		"nothing told":       {err: io.EOF},
		"another error":      {conns: []httptrace.GotConnInfo{{Conn: &hung{}, Reused: true}}, err: errors.New("bad request body")},
		"body too short":     {conns: []httptrace.GotConnInfo{{Conn: &hung{}, Reused: true}}, err: io.ErrUnexpectedEOF},
		"heard of too late":  {conns: []httptrace.GotConnInfo{{Conn: &hung{}, Reused: true}}, over: true, err: io.EOF},
		"one after another":  {conns: []httptrace.GotConnInfo{{Conn: &hung{}}, {Conn: &hung{}, Reused: true}}, err: io.EOF, want: true},
		"a name within text": {conns: []httptrace.GotConnInfo{{Conn: &hung{}, Reused: true}}, err: fmt.Errorf("Post: %w", idle), want: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := new(sign.Watch)
			trace := following(t, w)
			if tc.over {
				w.End()
			}
			for _, c := range tc.conns {
				trace.GotConn(c)
			}
			if tc.begun {
				trace.GotFirstResponseByte()
			}
			if got := w.Lost(tc.err); got != tc.want {
				t.Errorf("%v: lost %t", tc.err, got)
			}
			w.End()
			for _, c := range tc.conns {
				if h, ok := c.Conn.(*hung); ok && h.closes.Load() > 0 {
					t.Error("a connection was closed")
				}
			}
		})
	}
}

func TestWatchDrop(t *testing.T) {
	for name, tc := range map[string]struct {
		proto  int
		silent bool // the transport tells of no connection
		over   bool
		put    []error // what became of putting it into the pool
		pooled bool
		closes int32
	}{
		"HTTP/1.1":            {proto: 1, closes: 1},
		"HTTP/2":              {proto: 2},
		"nothing told":        {proto: 1, silent: true},
		"over":                {proto: 1, over: true},
		"in the pool":         {proto: 1, put: []error{nil}, pooled: true},
		"not put there":       {proto: 1, put: []error{io.EOF}, closes: 1},
		"not put there again": {proto: 1, put: []error{nil, io.EOF}, closes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := new(sign.Watch), new(hung)
			trace := following(t, w)
			if !tc.silent {
				trace.GotConn(httptrace.GotConnInfo{Conn: c})
			}
			for _, err := range tc.put {
				trace.PutIdleConn(err)
			}
			if tc.over {
				w.End()
			}
			body := &closes{Reader: strings.NewReader("nope")}
			if pooled := w.Drop(&http.Response{ProtoMajor: tc.proto, Body: body}); pooled != tc.pooled {
				t.Errorf("in the pool: %t", pooled)
			}
			if c.closes.Load() != tc.closes || body.n != 1 {
				t.Errorf("the connection was closed %d times, the body %d", c.closes.Load(), body.n)
			}
			w.Drop(&http.Response{ProtoMajor: 2}) // has no body
		})
	}
	var none *sign.Watch
	none.End()
}

type closes struct {
	io.Reader
	n int
}

func (c *closes) Close() error {
	c.n++
	return nil
}

// A connection under TLS is closed without taking leave.
func TestWatchDropTLS(t *testing.T) {
	w, below := new(sign.Watch), new(hung)
	following(t, w).GotConn(httptrace.GotConnInfo{Conn: tls.Client(below, &tls.Config{MinVersion: tls.VersionTLS12})})
	w.Drop(&http.Response{ProtoMajor: 1})
	if below.closes.Load() != 1 {
		t.Errorf("closed %d times", below.closes.Load())
	}
}

func TestWatchFresh(t *testing.T) {
	for name, tc := range map[string]struct {
		fresh, reused bool
		proto         string
		over          bool
		closes        int32
	}{
		"used":             {fresh: true, reused: true, closes: 1},
		"used, TLS":        {fresh: true, reused: true, proto: "http/1.1", closes: 1},
		"new":              {fresh: true},
		"any":              {reused: true},
		"HTTP/2":           {fresh: true, reused: true, proto: "h2"},
		"used, when ended": {fresh: true, reused: true, over: true},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := &sign.Watch{Fresh: tc.fresh}, &hung{proto: tc.proto}
			trace := following(t, w)
			if tc.over {
				w.End()
			}
			trace.GotConn(httptrace.GotConnInfo{Conn: c.conn(), Reused: tc.reused})
			if c.closes.Load() != tc.closes {
				t.Errorf("closed %d times", c.closes.Load())
			}
		})
	}
}
