package fakekdc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc/internal/frames"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// A message is what a client sends: a packet, or over TCP the bytes of a frame that
// need not be a whole one.
type message struct {
	packet []byte
	frame  []byte // in place of packet over TCP
}

// heard says what is read from a connection next.
func heard(c net.Conn, network string) string {
	b, err := received(c, network)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "silence"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "broken off"
	case err != nil:
		return "end"
	}
	if e, err := krb.ParseKRBError(b); err == nil {
		return fmt.Sprintf("error %d", e.Code)
	}
	for _, kind := range []uint8{krb.MsgASRep, krb.MsgTGSRep} {
		if _, err := krb.ParseKDCRep(b, kind); err == nil {
			return fmt.Sprintf("reply %d", kind)
		}
	}
	return "junk"
}

func received(c net.Conn, network string) ([]byte, error) {
	if network == "udp" {
		b := make([]byte, 1<<16)
		n, err := c.Read(b)
		return b[:n], err
	}
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	b, err := io.ReadAll(io.LimitReader(c, int64(n)))
	if err == nil && uint32(len(b)) != n {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// conversation sends the messages over one connection, and returns what each was
// answered with, and the realm's records, for as many of which it waits.
func conversation(t *testing.T, r *Realm, c net.Conn, network string, quiet time.Duration, messages []message, records int) (said []string) {
	t.Helper()
	defer c.Close()
	for _, m := range messages {
		b := m.packet
		switch {
		case network == "tcp" && m.frame != nil:
			b = m.frame
		case network == "tcp":
			b = append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
		}
		if err := c.SetWriteDeadline(time.Now().Add(timeoutFor(false))); err != nil {
			t.Fatal(err)
		}
		// A peer that is gone is found out by reading.
		if _, err := c.Write(b); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(quiet)); err != nil {
			t.Fatal(err)
		}
		said = append(said, heard(c, network))
	}
	// On a slow machine there is silence before the KDC has read.
	for end := time.Now().Add(timeoutFor(false)); (r.PendingFaults() > 0 || len(r.Exchanges()) < records) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	r.Close() // what it has read is recorded
	for _, e := range r.Exchanges() {
		said = append(said, fmt.Sprintf("%v %s from %s to %s %d %d %s", e.Kind, e.Network, e.Client, e.Server, e.Code, e.Etype, e.Fault))
	}
	return said
}

// TestOneServingLoop holds the same conversations over sockets and within the
// process, and compares all that client and realm see of them.
func TestOneServingLoop(t *testing.T) {
	t.Parallel()
	type world struct {
		r       *Realm
		as, tgs func(addresses []byte) []byte // requests, with a ticket for certain addresses
	}
	for name, tc := range map[string]struct {
		say     func(w world) []message
		prepare func(w world)
		udp     []string // nil if it is not for datagrams
		tcp     []string
	}{
		"login":                {say: func(w world) []message { return []message{{packet: w.as(nil)}} }, udp: []string{"reply 11"}, tcp: []string{"reply 11"}},
		"ticket":               {say: func(w world) []message { return []message{{packet: w.tgs(nil)}} }, udp: []string{"reply 13"}, tcp: []string{"reply 13"}},
		"ticket for this host": {say: func(w world) []message { return []message{{packet: w.tgs(hereV4)}} }, udp: []string{"reply 13"}, tcp: []string{"reply 13"}},
		"ticket for another":   {say: func(w world) []message { return []message{{packet: w.tgs(there)}} }, udp: []string{"error 38"}, tcp: []string{"error 38"}},
		"one after the other": {
			say: func(w world) []message {
				return []message{{packet: w.as(nil)}, {packet: w.tgs(there)}, {packet: w.tgs(nil)}}
			},
			udp: []string{"reply 11", "error 38", "reply 13"}, tcp: []string{"reply 11", "error 38", "reply 13"},
		},
		"paused": {
			say: func(w world) []message { return []message{{packet: w.as(nil)}} }, prepare: func(w world) { w.r.Pause() },
			udp: []string{"silence"}, tcp: []string{"end"},
		},
		"paused, before a word": {
			say: func(world) []message { return []message{{frame: []byte{}}} }, prepare: func(w world) { w.r.Pause() }, tcp: []string{"end"},
		},
		"garbage":          {say: func(world) []message { return []message{{packet: []byte("GET / HTTP/1.1")}} }, udp: []string{"silence"}, tcp: []string{"end"}},
		"nothing":          {say: func(world) []message { return []message{{frame: []byte{0, 0, 0, 0}}} }, tcp: []string{"end"}},
		"too much":         {say: func(world) []message { return []message{{frame: []byte{0, 0x10, 0, 1}}, {frame: []byte{}}} }, tcp: []string{"error 61", "end"}},
		"the reserved bit": {say: func(world) []message { return []message{{frame: []byte{0x80, 0, 0, 1}}, {frame: []byte{}}} }, tcp: []string{"error 61", "end"}},
		"an unfinished frame": {
			say: func(w world) []message { return []message{{frame: []byte{0, 0, 1, 0, 0x6a}}} }, tcp: []string{"silence"},
		},
		"faults": {
			say: func(w world) []message {
				return []message{{packet: w.as(nil)}, {packet: w.as(nil)}, {packet: w.as(nil)}}
			},
			prepare: func(w world) { w.r.FailNext(AS, ReplyError(krb.CodeGeneric, nil), WrongNonce(), Garbage()) },
			udp:     []string{"error 60", "reply 11", "junk"}, tcp: []string{"error 60", "reply 11", "junk"},
		},
		"silence": {
			say: func(w world) []message { return []message{{packet: w.as(nil)}} }, prepare: func(w world) { w.r.FailNext(AS, Silence()) },
			udp: []string{"silence"}, tcp: []string{"silence"},
		},
		"reset": {
			say: func(w world) []message { return []message{{packet: w.as(nil)}} }, prepare: func(w world) { w.r.FailNext(AS, ResetConnection()) },
			udp: []string{"silence"}, tcp: []string{"reset"},
		},
		"truncated": {
			say: func(w world) []message { return []message{{packet: w.as(nil)}} }, prepare: func(w world) { w.r.FailNext(AS, Truncate()) },
			udp: []string{"junk"}, tcp: []string{"broken off"},
		},
	} {
		for network, want := range map[string][]string{"udp": tc.udp, "tcp": tc.tcp} {
			if want == nil {
				continue
			}
			t.Run(network+" "+name, func(t *testing.T) {
				t.Parallel()
				seen := map[string][]string{}
				records := 0
				for _, kind := range []string{"memory", "sockets"} {
					var opts []Option
					if kind == "memory" {
						opts = append(opts, WithoutSockets())
					}
					r := Start(t, append(opts, WithRealm("A.EXAMPLE"), WithUser("alice", "secret", NoPreauth()), WithService("HTTP/localhost"), WithEtypes(AES128SHA1))...)
					var logins int64
					w := world{r, func([]byte) []byte {
						b := body(r, "alice", AES128SHA1)
						logins++
						b.Nonce += logins // the same bytes would be given the same reply
						return marshalReq(t, krb.MsgASReq, nil, b)
					},
						func(addresses []byte) []byte {
							tgt := minted(t, r, "alice", krb.TGS(r.Name(), r.Name()).Name())
							if addresses != nil {
								tgt = addressed(t, r, tgt, addresses)
							}
							req, _ := tgsReq(t, r, tgt, forService(r, "HTTP/localhost"), nil)
							return req
						}}
					messages := tc.say(w)
					if tc.prepare != nil {
						tc.prepare(w)
					}
					dial := r.Dial
					if kind == "sockets" {
						dial = new(net.Dialer).DialContext
					}
					c, err := dial(t.Context(), network, r.Addr())
					if err != nil {
						t.Fatal(err)
					}
					seen[kind] = conversation(t, r, c, network, timeoutFor(want[0] == "silence"), messages, records)
					records = len(seen[kind]) - len(messages)
				}
				if runtime.GOOS == "windows" && strings.Contains(name, "reset") {
					t.Skip("Windows has error numbers of its own")
				}
				if d := cmp.Diff(seen["sockets"], seen["memory"]); d != "" {
					t.Errorf("-sockets +memory\n%s", d)
				}
				if got := seen["memory"]; len(got) < len(want) || !cmp.Equal(got[:len(want)], want) {
					t.Errorf("answers %q, want %q", got, want)
				}
			})
		}
	}
}

// TestRequestBeforeItsConnectionIsAccepted sends requests that nobody will read before
// the KDC knows of the connection. The client hears the end of it, and no reset, as it
// does if it is slower.
func TestRequestBeforeItsConnectionIsAccepted(t *testing.T) {
	for name, tc := range map[string]struct {
		pause bool
		frame []byte
		said  string // before the end
	}{
		"paused":   {true, []byte{0, 0, 0, 1, 0}, ""},
		"too much": {false, append([]byte{0, 0x10, 0, 1}, make([]byte, 1<<10)...), "error 61"},
		"garbage":  {false, []byte{0, 0, 0, 1, 0, 0, 0, 0, 1, 0}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := Start(t)
			k := r.KDCs()[0]
			if tc.pause {
				r.Pause()
			}
			k.mu.Lock()
			c, err := net.Dial("tcp", r.Addr())
			if err == nil {
				_, err = c.Write(tc.frame)
			}
			k.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(timeoutFor(false))); err != nil {
				t.Fatal(err)
			}
			got := heard(c, "tcp")
			if tc.said != "" {
				if got != tc.said {
					t.Errorf("heard %q, want %q", got, tc.said)
				}
				got = heard(c, "tcp")
			}
			if got != "end" {
				t.Errorf("heard %q, want the end", got)
			}
		})
	}
}

// TestGoroutinesAreUsedAgain: what is asked one after the other takes one goroutine, and
// of those that much at once takes a bounded number stays.
func TestGoroutinesAreUsedAgain(t *testing.T) {
	r := Start(t, WithUser("alice", "secret", NoPreauth()))
	k := r.KDCs()[0]
	request := marshalReq(t, krb.MsgASReq, nil, body(r, "alice"))
	eventually := func(what string, ok func() bool) {
		t.Helper()
		for range 1000 {
			if ok() {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("never: %s; %d goroutines are idle", what, k.idle.Load())
	}
	for range 10 {
		for _, network := range []string{"udp", "tcp"} {
			exchange(t, r, network, request)
			eventually("a goroutine is idle", func() bool { return k.idle.Load() > 0 })
		}
	}
	if n := k.idle.Load(); n > 5 { // one that is about to be idle is not used yet
		t.Errorf("%d goroutines for one exchange after the other", n)
	}
	conns := make([]net.Conn, 2*maxIdle)
	for i := range conns {
		var err error
		if conns[i], err = net.Dial("tcp", r.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	open := func(want int) func() bool {
		return func() bool {
			k.mu.Lock()
			defer k.mu.Unlock()
			return len(k.conns) == want
		}
	}
	eventually("all connections are served", open(len(conns)))
	for _, c := range conns {
		c.Close()
	}
	eventually("no connection is open", open(0))
	eventually("as many are idle as may be", func() bool { return k.idle.Load() == maxIdle })
}

// TestFramesOfAllSizes: requests that fit into the memory that frames are read with, and
// longer ones, whole and in pieces, one right after the other.
func TestFramesOfAllSizes(t *testing.T) {
	r := Start(t, WithUser("alice", "secret", NoPreauth()))
	for _, n := range []int{0, frames.Room - 500, frames.Room, 3 * frames.Room} {
		request := marshalReq(t, krb.MsgASReq, []krb.PAData{{Type: 4711, Value: make([]byte, n)}}, body(r, "alice"))
		frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...)
		for name, pieces := range map[string][][]byte{
			"whole": {frame}, "head apart": {frame[:4], frame[4:]}, "in the head": {frame[:2], frame[2:5], frame[5:]}, "two at once": {slices.Concat(frame, frame)},
		} {
			t.Run(fmt.Sprint(n, " ", name), func(t *testing.T) {
				c, err := net.Dial("tcp", r.Addr())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
					t.Fatal(err)
				}
				sent := 0
				for _, b := range pieces {
					if _, err := c.Write(b); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Millisecond)
					sent += len(b)
				}
				for range sent / len(frame) {
					if got := heard(c, "tcp"); got != "reply 11" {
						t.Errorf("heard %q", got)
					}
				}
			})
		}
	}
}
