package fakekdc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/internal/lookaside"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// A line is a connection to a KDC within the process.
type line struct {
	t       *testing.T
	network string
	net.Conn
}

func dialed(t *testing.T, r *Realm, network, addr string) *line {
	t.Helper()
	c, err := r.Dial(t.Context(), network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &line{t, network, c}
}

func (l *line) send(packet []byte) {
	l.t.Helper()
	if l.network == "tcp" {
		packet = append(binary.BigEndian.AppendUint32(nil, uint32(len(packet))), packet...)
	}
	if _, err := l.Write(packet); err != nil {
		l.t.Fatal(err)
	}
}

// hear returns what is answered, nil for silence.
func (l *line) hear() []byte {
	l.t.Helper()
	if err := l.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		l.t.Fatal(err)
	}
	b, err := received(l, l.network)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return b
}

func (l *line) ask(packet []byte) []byte {
	l.t.Helper()
	l.send(packet)
	return l.hear()
}

// TestSameBytesAgain: a client that waits for an answer sends what it sent before, which is
// no other exchange.
func TestSameBytesAgain(t *testing.T) {
	both := [][2]string{{"udp", "udp"}, {"udp", "tcp"}, {"tcp", "udp"}, {"tcp", "tcp"}}
	world := func(t *testing.T, opts ...Option) (r *Realm, login func() []byte) {
		r = Start(t, append([]Option{WithoutSockets(), WithUser("alice", "secret", NoPreauth())}, opts...)...)
		nonce := int64(0)
		return r, func() []byte {
			b := body(r, "alice", AES128SHA1)
			nonce++
			b.Nonce += nonce
			return marshalReq(t, krb.MsgASReq, nil, b)
		}
	}
	check := func(t *testing.T, r *Realm, exchanges, faults int) {
		t.Helper()
		if n := len(r.Exchanges()); n != exchanges {
			t.Errorf("%d exchanges, want %d:\n%v", n, exchanges, r.Exchanges())
		}
		if n := r.PendingFaults(); n != faults {
			t.Errorf("%d faults are left, want %d", n, faults)
		}
	}
	for name, tc := range map[string]struct {
		networks [][2]string
		run      func(t *testing.T, first, again string)
	}{
		"answered": {both, func(t *testing.T, first, again string) {
			r, login := world(t)
			a, b, packet := dialed(t, r, first, r.Addr()), dialed(t, r, again, r.Addr()), login()
			if got := a.ask(packet); got == nil || !bytes.Equal(got, b.ask(packet)) {
				t.Error("want the same answer")
			}
			if got := a.ask(packet); !bytes.Equal(got, b.ask(packet)) || bytes.Equal(got, a.ask(login())) {
				t.Error("want the same answer, and another to another")
			}
			check(t, r, 2, 0)
			r.ResetExchanges()
			time.Sleep(lookaside.Time + time.Second)
			dialed(t, r, again, r.Addr()).ask(packet)
			check(t, r, 1, 0)
		}},
		"failed": {both, func(t *testing.T, first, again string) {
			r, login := world(t)
			r.FailNext(AS, ReplyError(krb.CodePolicy, nil), WrongNonce(), Delay(0))
			a, b := dialed(t, r, first, r.Addr()), dialed(t, r, again, r.Addr())
			for left := 2; left >= 0; left-- {
				packet := login()
				if got := a.ask(packet); got == nil || !bytes.Equal(got, b.ask(packet)) {
					t.Error("want the same answer")
				}
				check(t, r, 3-left, left)
			}
		}},
		"not answered": {both, func(t *testing.T, first, again string) {
			r, login := world(t)
			packet := login()
			r.FailNext(AS, Silence(), Silence(), Silence())
			for left := 2; left >= 0; left-- {
				if got := dialed(t, r, first, r.Addr()).ask(packet); got != nil {
					t.Errorf("answer %x", got)
				}
				check(t, r, 3-left, left)
			}
			if got := dialed(t, r, again, r.Addr()).ask(packet); got == nil {
				t.Error("no answer")
			}
			check(t, r, 4, 0)
		}},
		"answered with junk": {[][2]string{{"udp", "udp"}, {"udp", "tcp"}}, func(t *testing.T, first, again string) {
			r, login := world(t)
			packet := login()
			r.FailNext(AS, Garbage(), Truncate())
			a := dialed(t, r, first, r.Addr())
			if x, y := a.ask(packet), a.ask(packet); bytes.Equal(x, y) {
				t.Error("the second try met no fault")
			}
			if rep, err := krb.ParseKDCRep(dialed(t, r, again, r.Addr()).ask(packet), krb.MsgASRep); err != nil {
				t.Error(rep, err)
			}
			check(t, r, 3, 0)
		}},
		"a datagram while the answer is being made": {[][2]string{{"udp", "udp"}, {"tcp", "udp"}}, func(t *testing.T, first, again string) {
			r, login := world(t)
			packet, release := login(), make(chan struct{})
			r.FailNext(AS, HoldUntil(release), ReplyError(krb.CodePolicy, nil))
			a, b := dialed(t, r, first, r.Addr()), dialed(t, r, again, r.Addr())
			a.send(packet)
			synctest.Wait()
			if got := b.ask(packet); got != nil {
				t.Errorf("answer %x", got)
			}
			close(release)
			if got := a.hear(); got == nil || !bytes.Equal(got, b.ask(packet)) {
				t.Error("want the same answer")
			}
			check(t, r, 1, 1)
		}},
		"a connection while the answer is being made": {[][2]string{{"udp", "tcp"}, {"tcp", "tcp"}}, func(t *testing.T, first, again string) {
			r, login := world(t)
			packet, release := login(), make(chan struct{})
			r.FailNext(AS, HoldUntil(release), ReplyError(krb.CodePolicy, nil))
			a, b := dialed(t, r, first, r.Addr()), dialed(t, r, again, r.Addr())
			a.send(packet)
			synctest.Wait()
			if got := b.ask(packet); got != nil {
				t.Errorf("answer %x", got)
			}
			close(release)
			if got := a.hear(); got == nil || !bytes.Equal(got, b.hear()) {
				t.Error("want the same answer")
			}
			check(t, r, 1, 1)
		}},
		"a connection while there will be no answer": {[][2]string{{"udp", "tcp"}}, func(t *testing.T, first, again string) {
			r, login := world(t)
			packet, release := login(), make(chan struct{})
			hold := Drop()
			hold.f.hold = release
			r.FailNext(AS, hold)
			a, b := dialed(t, r, first, r.Addr()), dialed(t, r, again, r.Addr())
			a.send(packet)
			synctest.Wait()
			b.send(packet)
			close(release)
			if a.hear() != nil || b.hear() == nil {
				t.Error("want an answer to the second try alone")
			}
			check(t, r, 2, 0)
		}},
		"closed while the answer is being made": {[][2]string{{"udp", "tcp"}, {"tcp", "tcp"}}, func(t *testing.T, first, again string) {
			r, login := world(t)
			packet := login()
			r.FailNext(AS, HoldUntil(nil))
			a, b := dialed(t, r, first, r.Addr()), dialed(t, r, again, r.Addr())
			a.send(packet)
			synctest.Wait()
			b.send(packet)
			synctest.Wait()
			r.Close()
		}},
		"too big for UDP": {[][2]string{{"udp", "tcp"}}, func(t *testing.T, first, again string) {
			r, login := world(t, WithUDPLimit(1))
			packet := login()
			a, b := dialed(t, r, first, r.Addr()), dialed(t, r, again, r.Addr())
			if got := codeOf(t, a.ask(packet)); got != krb.CodeResponseTooBig {
				t.Errorf("code %d", got)
			}
			a.ask(packet)
			if _, err := krb.ParseKDCRep(b.ask(packet), krb.MsgASRep); err != nil {
				t.Error(err)
			}
			check(t, r, 2, 0)
		}},
		"paused meanwhile": {[][2]string{{"udp", "udp"}}, func(t *testing.T, first, again string) {
			r, login := world(t)
			packet := login()
			a, b := dialed(t, r, first, r.Addr()), dialed(t, r, again, r.Addr())
			a.ask(packet)
			r.Pause()
			if got := b.ask(packet); got != nil {
				t.Errorf("answer %x", got)
			}
			check(t, r, 1, 0)
		}},
		"at another KDC": {both, func(t *testing.T, first, again string) {
			r, login := world(t, WithKDCs(1))
			other, err := r.memoryKDC()
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			r.kdcs = append(r.kdcs, other)
			packet := login()
			if got := dialed(t, r, first, r.Addr()).ask(packet); bytes.Equal(got, dialed(t, r, again, other.Addr()).ask(packet)) {
				t.Error("want another answer")
			}
			check(t, r, 2, 0)
		}},
	} {
		for _, n := range tc.networks {
			t.Run(name+", "+n[0]+" and "+n[1], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { tc.run(t, n[0], n[1]) })
			})
		}
	}
}

// TestSameBytesOverSockets sends the same bytes from two ports.
func TestSameBytesOverSockets(t *testing.T) {
	r := Start(t, WithUser("alice", "secret", NoPreauth()))
	packet := marshalReq(t, krb.MsgASReq, nil, body(r, "alice"))
	first := exchange(t, r, "udp", packet)
	for _, network := range []string{"udp", "tcp"} {
		if !bytes.Equal(first, exchange(t, r, network, packet)) {
			t.Errorf("%s: another answer", network)
		}
	}
	if n := r.Count(AS); n != 1 {
		t.Errorf("%d exchanges, want 1", n)
	}
}
