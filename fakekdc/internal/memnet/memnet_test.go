package memnet

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// TestConn lets the conformance test of Go's networking judge.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		a, b := Pair("a.invalid:1", "b.invalid:2")
		return a, b, func() { a.Close(); b.Close() }, nil
	})
}

func TestConnEnds(t *testing.T) {
	a, b := Pair("a.invalid:1", "b.invalid:2")
	if _, err := a.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
	for name, err := range map[string]error{"deadline": a.SetDeadline(time.Now()), "read deadline": a.SetReadDeadline(time.Now()), "write deadline": a.SetWriteDeadline(time.Now())} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if got, err := io.ReadAll(b); err != nil || string(got) != "last words" {
		t.Errorf("%q, error %v", got, err)
	}
	if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write to nobody: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if a.LocalAddr().String() != "a.invalid:1" || a.RemoteAddr() != b.LocalAddr() || a.LocalAddr().Network() != "memory" {
		t.Errorf("addresses %v, %v", a.LocalAddr(), a.RemoteAddr())
	}
}

// TestReset: what was written before a reset is lost, as with sockets, and what
// was before another end is not.
func TestReset(t *testing.T) {
	for seconds, want := range map[int]error{0: syscall.ECONNRESET, 1: nil, -1: nil} {
		near, far := Pair("127.0.0.1:0", "127.0.0.1:88")
		if err := far.(interface{ SetLinger(int) error }).SetLinger(seconds); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		far.Close()
		if n, err := near.Read(make([]byte, 1)); !errors.Is(err, want) || n != 1 && want == nil {
			t.Errorf("linger %d: %d bytes, %v", seconds, n, err)
		}
	}
}
