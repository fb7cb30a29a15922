package fakekdc

import (
	"encoding/binary"
	"errors"
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
)

// packets are datagrams on their way, over a socket or in memory. Once closed,
// ReadFrom fails with [net.ErrClosed].
type packets interface {
	ReadFrom(p []byte) (n int, from net.Addr, err error)
	WriteTo(p []byte, to net.Addr) (int, error)
}

// servePackets answers datagrams until no more can come.
func (k *KDC) servePackets(c packets) {
	slots := make(chan struct{}, maxAtOnce)
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(buf)
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
			if reply := k.answerPacket(packet, from); reply != nil {
				// A client that is gone is no business of the KDC.
				_, _ = c.WriteTo(reply, from)
			}
		})
	}
}

// closed reports whether an error of a socket is the end. It takes its time over
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

// answerPacket returns what is sent back, nil for nothing.
func (k *KDC) answerPacket(packet []byte, from net.Addr) []byte {
	out := k.answer(k, "udp", senderAt(from), packet)
	switch out.how {
	case sendNothing, sendHang, sendReset:
		return nil
	case sendHalf:
		return out.reply[:len(out.reply)/2]
	}
	return out.reply
}

// serveListener serves connections until the listener is closed.
func (k *KDC) serveListener(l net.Listener) {
	for {
		c, err := l.Accept()
		if err == nil {
			k.serve(c)
			continue
		}
		if k.closed(err) { // any other is such as too many open files
			return
		}
	}
}

// serve serves a connection in the background, or closes it where the KDC is down or
// has too many. It reports false when the KDC is closed for good.
func (k *KDC) serve(c net.Conn) (open bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.done:
		c.Close()
		return false
	default:
	}
	if len(k.conns) >= maxConns {
		c.Close()
		return true
	}
	down := k.down()
	k.conns[c] = true
	// The lock is held, so Close, which takes it too, does not wait yet.
	k.running.Go(func() {
		defer k.forget(c)
		if !down {
			k.serveConn(c)
		}
		hangUp(c)
	})
	return true
}

// hangUp ends a connection after all that was answered. A request that nobody reads
// would make a plain close a reset, if it came before the close and not after it.
func hangUp(c net.Conn) {
	h, ok := c.(interface{ CloseWrite() error })
	if !ok || h.CloseWrite() != nil || c.SetDeadline(time.Now().Add(idleTimeout)) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, c)
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
func (k *KDC) serveConn(c net.Conn) {
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
		if !k.answerFrame(c, packet) {
			return
		}
	}
}

// senderAt returns the host of a client, which need not be known.
func senderAt(a net.Addr) netip.Addr {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr()
}

// A resetter is a connection that can be reset, as [net.TCPConn] is: with a zero
// linger, Close does so.
type resetter interface{ SetLinger(seconds int) error }

func (k *KDC) answerFrame(c net.Conn, packet []byte) (more bool) {
	out := k.answer(k, "tcp", senderAt(c.RemoteAddr()), packet)
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(out.reply)), uint32(len(out.reply)))
	switch out.how {
	case sendNothing:
		return false
	case sendReset:
		if r, ok := c.(resetter); ok {
			_ = r.SetLinger(0) // if it cannot, a plain close it is
		}
		c.Close()
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
