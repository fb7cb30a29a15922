package fakekdc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

const (
	maxRequest  = 1 << 20 // bytes in one TCP frame
	maxAtOnce   = 256     // datagrams being answered
	maxConns    = 1024
	idleTimeout = time.Minute // of a TCP connection
	listenTries = 64
)

// listen takes one port for TCP and UDP. The kernel hands out TCP ports without
// regard to UDP, so a free pair may take some tries.
func (r *Realm) listen() error {
	want := netip.MustParseAddrPort(r.settings.addr) // checked
	var last error
	for range listenTries {
		tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(want))
		if err != nil {
			return fmt.Errorf("KDC of %s at %s: %w", r.realm, want, err)
		}
		at := tcp.Addr().(*net.TCPAddr).AddrPort()
		udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err == nil {
			r.tcp, r.udp, r.addr = tcp, udp, at
			r.running.Go(r.serveUDP)
			r.running.Go(r.serveTCP)
			return nil
		}
		tcp.Close()
		last = err
		if want.Port() != 0 {
			break
		}
	}
	return fmt.Errorf("KDC of %s at %s: UDP port: %w", r.realm, want, last)
}

func (r *Realm) serveUDP() {
	slots := make(chan struct{}, maxAtOnce)
	buf := make([]byte, 1<<16)
	for {
		n, from, err := r.udp.ReadFromUDPAddrPort(buf)
		if err != nil { // such as a port unreachable of an earlier reply
			if r.closed(err) {
				return
			}
			continue
		}
		packet := append([]byte(nil), buf[:n]...)
		select {
		case slots <- struct{}{}:
		case <-r.done:
			return
		}
		r.running.Go(func() {
			defer func() { <-slots }()
			r.answerUDP(packet, from)
		})
	}
}

// closed reports whether a socket's error is the end. It takes its time over
// any other, lest a lasting one be met in a tight loop.
func (r *Realm) closed(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return true
	}
	t := time.NewTimer(time.Millisecond)
	defer t.Stop()
	select {
	case <-r.done:
		return true
	case <-t.C:
		return false
	}
}

func (r *Realm) answerUDP(packet []byte, from netip.AddrPort) {
	out := r.answer("udp", packet)
	switch out.how {
	case sendNothing, sendHang, sendReset:
		return
	case sendHalf:
		out.reply = out.reply[:len(out.reply)/2]
	}
	if out.reply != nil {
		// A client that is gone is no business of the KDC.
		_, _ = r.udp.WriteToUDPAddrPort(out.reply, from)
	}
}

func (r *Realm) serveTCP() {
	for {
		c, err := r.tcp.AcceptTCP()
		if err != nil { // such as too many open files
			if r.closed(err) {
				return
			}
			continue
		}
		if !r.keep(c) {
			c.Close()
			continue
		}
		r.running.Go(func() {
			defer r.forget(c)
			r.serveConn(c)
		})
	}
}

func (r *Realm) keep(c net.Conn) bool {
	r.connMu.Lock()
	defer r.connMu.Unlock()
	select {
	case <-r.done:
		return false
	default:
	}
	if r.paused.Load() || len(r.conns) >= maxConns {
		return false
	}
	r.conns[c] = true
	return true
}

func (r *Realm) forget(c net.Conn) {
	c.Close()
	r.connMu.Lock()
	defer r.connMu.Unlock()
	delete(r.conns, c)
}

func (r *Realm) dropConns() {
	r.connMu.Lock()
	defer r.connMu.Unlock()
	for c := range r.conns {
		c.Close()
	}
}

// serveConn answers the frames of one connection (RFC 4120 section 7.2.2).
func (r *Realm) serveConn(c *net.TCPConn) {
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
		if !r.answerTCP(c, packet) {
			return
		}
	}
}

func (r *Realm) answerTCP(c *net.TCPConn, packet []byte) (more bool) {
	out := r.answer("tcp", packet)
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
