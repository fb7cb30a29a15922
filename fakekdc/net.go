package fakekdc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxRequest  = 1 << 20 // bytes in one TCP frame
	maxAtOnce   = 256     // datagrams being answered
	maxConns    = 1024
	idleTimeout = time.Minute // of a TCP connection
	listenTries = 64
)

// A KDC is one address where a realm answers, UDP and TCP on one port. All KDCs
// of a realm have the same principals and keys, and each can fail on its own. Its
// methods are safe for concurrent use.
type KDC struct {
	realm  *Realm
	addr   netip.AddrPort
	tcp    *net.TCPListener
	udp    *net.UDPConn
	answer func(k *KDC, network string, sender netip.Addr, packet []byte) outcome

	done    chan struct{}
	running sync.WaitGroup
	closing sync.Once
	paused  atomic.Bool
	faults  faultQueue

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// listen takes one port for TCP and UDP. The kernel hands out TCP ports without
// regard to UDP, so a free pair may take some tries.
func (r *Realm) listen(want netip.AddrPort, answer func(*KDC, string, netip.Addr, []byte) outcome) (*KDC, error) {
	var last error
	for range listenTries {
		tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(want))
		if err != nil {
			return nil, fmt.Errorf("KDC of %s at %s: %w", r.realm, want, err)
		}
		at := tcp.Addr().(*net.TCPAddr).AddrPort()
		udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err == nil {
			k := &KDC{realm: r, addr: at, tcp: tcp, udp: udp, answer: answer, done: make(chan struct{}), conns: make(map[net.Conn]bool)}
			k.running.Go(k.serveUDP)
			k.running.Go(k.serveTCP)
			return k, nil
		}
		tcp.Close()
		last = err
		if want.Port() != 0 {
			break
		}
	}
	return nil, fmt.Errorf("KDC of %s at %s: UDP port: %w", r.realm, want, last)
}

func (k *KDC) serveUDP() {
	slots := make(chan struct{}, maxAtOnce)
	buf := make([]byte, 1<<16)
	for {
		n, from, err := k.udp.ReadFromUDPAddrPort(buf)
		if err != nil { // such as a port unreachable of an earlier reply
			if k.closed(err) {
				return
			}
			continue
		}
		packet := append([]byte(nil), buf[:n]...)
		select {
		case slots <- struct{}{}:
		case <-k.done:
			return
		}
		k.running.Go(func() {
			defer func() { <-slots }()
			k.answerUDP(packet, from)
		})
	}
}

// closed reports whether a socket's error is the end. It takes its time over
// any other, lest a lasting one be met in a tight loop.
func (k *KDC) closed(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return true
	}
	t := time.NewTimer(time.Millisecond)
	defer t.Stop()
	select {
	case <-k.done:
		return true
	case <-t.C:
		return false
	}
}

func (k *KDC) answerUDP(packet []byte, from netip.AddrPort) {
	out := k.answer(k, "udp", from.Addr(), packet)
	switch out.how {
	case sendNothing, sendHang, sendReset:
		return
	case sendHalf:
		out.reply = out.reply[:len(out.reply)/2]
	}
	if out.reply != nil {
		// A client that is gone is no business of the KDC.
		_, _ = k.udp.WriteToUDPAddrPort(out.reply, from)
	}
}

func (k *KDC) serveTCP() {
	for {
		c, err := k.tcp.AcceptTCP()
		if err != nil { // such as too many open files
			if k.closed(err) {
				return
			}
			continue
		}
		if !k.keep(c) {
			c.Close()
			continue
		}
		k.running.Go(func() {
			defer k.forget(c)
			k.serveConn(c)
		})
	}
}

func (k *KDC) keep(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.done:
		return false
	default:
	}
	if k.down() || len(k.conns) >= maxConns {
		return false
	}
	k.conns[c] = true
	return true
}

func (k *KDC) forget(c net.Conn) {
	c.Close()
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.conns, c)
}

func (k *KDC) dropConns() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for c := range k.conns {
		c.Close()
	}
}

// serveConn answers the frames of one connection (RFC 4120 section 7.2.2).
func (k *KDC) serveConn(c *net.TCPConn) {
	for {
		if err := c.SetDeadline(time.Now().Add(idleTimeout)); err != nil {
			return
		}
		var head [4]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > maxRequest { // the reserved high bit included
			return
		}
		packet, err := io.ReadAll(io.LimitReader(c, int64(n)))
		if err != nil || uint32(len(packet)) != n {
			return
		}
		if !k.answerTCP(c, packet) {
			return
		}
	}
}

func addrOf(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr()
	}
	return netip.Addr{}
}

func (k *KDC) answerTCP(c *net.TCPConn, packet []byte) (more bool) {
	out := k.answer(k, "tcp", addrOf(c), packet)
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(out.reply)), uint32(len(out.reply)))
	switch out.how {
	case sendNothing:
		return false
	case sendReset:
		// Zero linger makes Close send a reset; if it cannot, a plain close it is.
		_ = c.SetLinger(0)
		return false
	case sendHang:
		// Until the client gives up or the realm closes the connection.
		_, _ = io.Copy(io.Discard, c)
		return false
	case sendHalf:
		frame = append(frame, out.reply[:len(out.reply)/2]...)
		more = false
	case sendHuge:
		binary.BigEndian.PutUint32(frame, 1<<31-1)
		frame = append(frame, out.reply...)
	default:
		if out.reply == nil {
			return false
		}
		frame = append(frame, out.reply...)
		more = true
	}
	_, err := c.Write(frame)
	return more && err == nil
}
