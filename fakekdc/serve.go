package fakekdc

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/internal/frames"
)

const (
	maxRequest  = 1 << 20 // bytes in one TCP frame
	maxDatagram = 65507   // bytes over IPv4
	maxAtOnce   = 256     // datagrams being answered
	maxConns    = 1024
	idleTimeout = time.Minute // of a TCP connection
)

// packets are datagrams on their way, over a socket or in memory. Once closed, reading
// fails with [net.ErrClosed].
type packets interface {
	ReadFromUDPAddrPort(p []byte) (n int, from netip.AddrPort, err error)
	WriteToUDPAddrPort(p []byte, to netip.AddrPort) (int, error)
}

// servePackets answers datagrams until no more can come.
func (k *KDC) servePackets(c packets) {
	slots := make(chan struct{}, maxAtOnce)
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
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
		k.run(func() {
			defer func() { <-slots }()
			if reply := k.answerPacket(packet, from); reply != nil {
				// A client that is gone is no business of the KDC.
				_, _ = c.WriteToUDPAddrPort(reply, from)
			}
		})
	}
}

// maxIdle bounds the goroutines that wait for more to do.
const maxIdle = 32

// run calls f in a goroutine, one that has nothing to do if there is one: the stack of
// a new one would have to grow for each request.
func (k *KDC) run(f func()) {
	select {
	case k.work <- f:
	default:
		k.running.Go(func() { k.worker(f) })
	}
}

func (k *KDC) worker(f func()) {
	for {
		f()
		if k.idle.Add(1) > maxIdle {
			k.idle.Add(-1)
			return
		}
		select {
		case f = <-k.work:
			k.idle.Add(-1)
		case <-k.done:
			return
		}
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
func (k *KDC) answerPacket(packet []byte, from netip.AddrPort) []byte {
	out := k.answerOnce("udp", from.Addr().Unmap(), packet)
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
	k.run(func() {
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
	f, ok := k.frames.Get().(*frames.Frames)
	if !ok {
		f = frames.New()
	}
	f.Reset(c)
	defer func() {
		f.Reset(nil)
		k.frames.Put(f)
	}()
	for {
		if err := c.SetDeadline(time.Now().Add(idleTimeout)); err != nil {
			return
		}
		packet, err := f.Next(maxRequest)
		if errors.Is(err, frames.ErrTooLong) && !k.down() {
			_, _ = c.Write(k.realm.refuseFrame(k)) // the client may be gone
		}
		if err != nil || !k.answerFrame(c, f, packet) {
			return
		}
	}
}

// senderAt returns the host of a client, which need not be known.
func senderAt(a net.Addr) netip.Addr {
	if a, ok := a.(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr()
}

// A resetter is a connection that can be reset, as [net.TCPConn] is: with a zero
// linger, Close does so.
type resetter interface{ SetLinger(seconds int) error }

func (k *KDC) answerFrame(c net.Conn, f *frames.Frames, packet []byte) (more bool) {
	out := k.answerOnce("tcp", senderAt(c.RemoteAddr()), packet)
	// An answer may have been held for longer than a client is waited for.
	if err := c.SetDeadline(time.Now().Add(idleTimeout)); err != nil {
		return false
	}
	f.Out = binary.BigEndian.AppendUint32(f.Out[:0], uint32(len(out.reply)))
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
		if err := c.SetDeadline(time.Time{}); err == nil {
			_, _ = io.Copy(io.Discard, c)
		}
		return false
	case sendHalf:
		f.Out = append(f.Out, out.reply[:len(out.reply)/2]...)
		more = false
	case sendHuge:
		binary.BigEndian.PutUint32(f.Out, 1<<31-1)
		f.Out = append(f.Out, out.reply...)
	default:
		if out.reply == nil {
			return false
		}
		f.Out = append(f.Out, out.reply...)
		more = true
	}
	_, err := c.Write(f.Out)
	return more && err == nil
}
