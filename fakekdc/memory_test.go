package fakekdc

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// timeoutFor is how long an answer is waited for: briefly where none is to come, else
// longer than any machine takes.
func timeoutFor(silence bool) time.Duration {
	if silence {
		return 100 * time.Millisecond
	}
	return 20 * time.Second
}

// outcomeOf says what one exchange over a connection came to: "reply",
// "KRB-ERROR", "nothing" for silence, "end" for a closed connection, "short".
func outcomeOf(c net.Conn, network string, timeout time.Duration, packet []byte) string {
	defer c.Close()
	if network == "tcp" {
		packet = append(binary.BigEndian.AppendUint32(nil, uint32(len(packet))), packet...)
	}
	// What is silence begins once the KDC can have the packet.
	if err := c.SetWriteDeadline(time.Now().Add(timeoutFor(false))); err != nil {
		return err.Error()
	}
	if _, err := c.Write(packet); err != nil && !errors.Is(err, syscall.EPIPE) {
		return err.Error()
	}
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return err.Error()
	}
	var b []byte
	if network == "udp" {
		b = make([]byte, 1<<16)
		n, err := c.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return "nothing"
		}
		b = b[:n]
	} else {
		var head [4]byte
		switch _, err := io.ReadFull(c, head[:]); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return "nothing"
		case err != nil:
			return "end"
		}
		n := binary.BigEndian.Uint32(head[:])
		var err error
		if b, err = io.ReadAll(io.LimitReader(c, int64(n))); err != nil || uint32(len(b)) != n {
			return "short"
		}
	}
	if _, err := krb.ParseKRBError(b); err == nil {
		return "KRB-ERROR"
	}
	if _, err := krb.ParseKDCRep(b, krb.MsgASRep); err == nil {
		return "reply"
	}
	return "junk"
}

// TestMemoryFaults: a fault looks the same with sockets and without.
func TestMemoryFaults(t *testing.T) {
	t.Parallel()
	faults := map[string]Fault{
		"none": {}, "error": ReplyError(krb.CodeGeneric, nil), "drop": Drop(), "silence": Silence(), "reset": ResetConnection(),
		"truncate": Truncate(), "huge frame": HugeFrame(), "garbage": Garbage(), "too big": TooBig(), "wrong nonce": WrongNonce(),
	}
	silent := map[string]bool{"udp drop": true, "udp silence": true, "udp reset": true, "tcp silence": true}
	for _, network := range []string{"udp", "tcp"} {
		for name, f := range faults {
			t.Run(network+" "+name, func(t *testing.T) {
				t.Parallel()
				seen := map[string]string{}
				for kind, opts := range map[string][]Option{"sockets": nil, "memory": {WithoutSockets()}} {
					r := Start(t, append(opts, WithUser("alice", "secret", NoPreauth()), WithEtypes(AES128SHA1))...)
					packet := marshalReq(t, krb.MsgASReq, nil, body(r, "alice", AES128SHA1))
					r.FailNext(AS, f)
					dial := r.Dial
					if kind == "sockets" {
						dial = new(net.Dialer).DialContext
					}
					c, err := dial(t.Context(), network, r.Addr())
					if err != nil {
						t.Fatal(err)
					}
					seen[kind] = outcomeOf(c, network, timeoutFor(silent[network+" "+name]), packet)
				}
				if seen["memory"] != seen["sockets"] {
					t.Errorf("without sockets %q, with %q", seen["memory"], seen["sockets"])
				}
			})
		}
	}
}

func TestMemoryOutage(t *testing.T) {
	t.Parallel()
	r := Start(t, WithoutSockets(), WithKDCs(2), WithUser("alice", "secret", NoPreauth()))
	packet := marshalReq(t, krb.MsgASReq, nil, body(r, "alice"))
	dial := func(k *KDC, network string) net.Conn {
		t.Helper()
		c, err := r.Dial(t.Context(), network, k.Addr())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second := r.KDCs()[0], r.KDCs()[1]
	waiting := dial(first, "tcp")
	first.Pause()
	if _, err := waiting.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a connection in an outage: %v", err)
	}
	for network, want := range map[string]string{"udp": "nothing", "tcp": "end"} {
		if got := outcomeOf(dial(first, network), network, timeoutFor(want == "nothing"), packet); got != want {
			t.Errorf("paused, %s: %q, want %q", network, got, want)
		}
		if got := outcomeOf(dial(second, network), network, timeoutFor(false), packet); got != "reply" {
			t.Errorf("the other, %s: %q", network, got)
		}
	}
	first.Resume()
	if got := outcomeOf(dial(first, "udp"), "udp", timeoutFor(false), packet); got != "reply" {
		t.Errorf("resumed: %q", got)
	}
	open := []net.Conn{dial(first, "tcp"), dial(first, "udp")}
	first.Close()
	for _, c := range open {
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after Close: %v", err)
		}
	}
	for _, network := range []string{"udp", "tcp"} {
		if _, err := r.Dial(t.Context(), network, first.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("closed, %s: %v", network, err)
		}
	}
}

func TestDialElsewhere(t *testing.T) {
	r := Start(t, WithoutSockets())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		ctx              context.Context
		network, address string
		says             string
	}{
		"another address": {t.Context(), "tcp", "127.0.0.1:88", "no KDC of realm"},
		"a name":          {t.Context(), "tcp", "kdc.example:88", "ParseAddr"},
		"another network": {t.Context(), "unix", r.Addr(), "unknown network unix"},
		"too late":        {ended, "tcp", r.Addr(), "canceled"},
	} {
		_, err := r.Dial(tc.ctx, tc.network, tc.address)
		var op *net.OpError
		if !errors.As(err, &op) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
}

// TestMemoryTrust: realms without sockets refer to one another, and to one with.
func TestMemoryTrust(t *testing.T) {
	a := Start(t, WithoutSockets(), WithUser("alice", "secret"))
	b := Start(t, WithoutSockets())
	c := Start(t, WithService("HTTP/app.example"))
	for _, err := range []error{a.Trust(b), b.Trust(c), a.Refer("HTTP/app.example", b.Name()), b.Refer("HTTP/app.example", c.Name())} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ticket, err := sourceOf(t, a, "alice").ServiceTicket(t.Context(), "HTTP/app.example")
	if err != nil || ticket.SPN() != "HTTP/app.example@"+c.Name() || ticket.Client() != "alice@"+a.Name() {
		t.Errorf("ticket %v, error %v", ticket, err)
	}
	for _, r := range []*Realm{a, b, c} {
		if got := done(r); got != "TGS ok" {
			t.Errorf("%s: %s", r, got)
		}
	}
}
