package fakekdc

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
)

// WithoutSockets makes the KDCs of the realm listen nowhere: [Realm.Dial] leads to
// them, within the process. [Realm.Client] and [Realm.TicketSource] dial so by
// themselves; others are given Dial, as kerberos.Options.Dial. All else is as it
// is with sockets, records, faults and outages included. With
// [Realm.ServeMemory] the web service needs none either, and a whole test fits
// into a bubble of testing/synctest, where waiting for a ticket to expire takes no
// time.
//
// [WithAddress] does not matter then. [Realm.AddKDC], [Realm.Serve] and whatever
// changes passwords still listen.
func WithoutSockets() Option {
	return func(s *settings) {
		// The realm is set up before its KDCs listen, so none is left to do so.
		s.setup = append(s.setup, func(r *Realm) error {
			for range s.kdcs {
				k, err := r.memoryKDC()
				if err != nil {
					return err
				}
				r.kdcs = append(r.kdcs, k)
			}
			s.kdcs = 0
			return nil
		})
	}
}

// memoryNet is reserved for documentation (RFC 3849): nobody is there.
var memoryNet = netip.MustParsePrefix("2001:db8::/32")

// memoryKDC returns a KDC at an address of its own that leads nowhere.
func (r *Realm) memoryKDC() (*KDC, error) {
	at := memoryNet.Addr().As16()
	if _, err := rand.Read(at[memoryNet.Bits()/8:]); err != nil {
		return nil, err
	}
	return &KDC{
		realm: r, addr: netip.AddrPortFrom(netip.AddrFrom16(at), 88),
		tcp: new(net.TCPListener), udp: new(net.UDPConn), // which take Close
		done: make(chan struct{}), conns: make(map[net.Conn]bool),
	}, nil
}

// inMemory reports whether there are KDCs that Dial alone leads to.
func (r *Realm) inMemory() bool {
	for _, p := range r.acquainted() {
		for _, k := range p.KDCs() {
			if memoryNet.Contains(k.addr.Addr()) {
				return true
			}
		}
	}
	return false
}

// Dial connects to a KDC within the process, whether or not the KDC listens. The
// network is "udp" or "tcp", the address that of a KDC of the realm, or of one
// that [Realm.Trust] connects with it, as [Realm.Config] has them; nothing else
// can be reached. Connections end with the KDC.
func (r *Realm) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := r.dial(ctx, network, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: memoryAddr(address), Err: err}
	}
	return c, nil
}

func (r *Realm) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	want, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	for _, p := range r.acquainted() {
		for _, k := range p.KDCs() {
			if k.addr != want {
				continue
			}
			switch network {
			case "udp":
				return k.dialUDP()
			case "tcp":
				return k.dialTCP()
			}
			return nil, net.UnknownNetworkError(network)
		}
	}
	return nil, fmt.Errorf("no KDC of realm %s or its friends: %w", r.realm, syscall.EHOSTUNREACH)
}

// begin counts a goroutine of the KDC that is not started by another. It reports
// false when the KDC is closed. The lock keeps Close from waiting before.
func (k *KDC) begin() bool {
	select {
	case <-k.done:
		return false
	default:
	}
	k.running.Add(1)
	return true
}

// dialTCP makes a connection that the KDC may close at once, as it does with those
// that it accepts.
func (k *KDC) dialTCP() (net.Conn, error) {
	near, far := memoryPair("client.invalid:0", memoryAddr(k.Addr()))
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.begin() {
		return nil, syscall.ECONNREFUSED
	}
	if k.down() || len(k.conns) >= maxConns {
		k.running.Done()
		far.Close()
		return near, nil
	}
	k.conns[far] = true
	go func() {
		defer k.running.Done()
		defer k.forget(far)
		for k.serveFrame(far) {
		}
	}()
	return near, nil
}

// serveFrame answers one frame of a connection (RFC 4120 section 7.2.2).
func (k *KDC) serveFrame(c net.Conn) (more bool) {
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return false
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxRequest {
		return false
	}
	packet := make([]byte, n)
	if _, err := io.ReadFull(c, packet); err != nil {
		return false
	}
	out := k.realm.answer(k, "tcp", packet)
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(out.reply)))
	switch out.how {
	case sendHang:
		_, _ = io.Copy(io.Discard, c) // until either side closes
		return false
	case sendHalf:
		_, _ = c.Write(append(frame, out.reply[:len(out.reply)/2]...))
		return false
	case sendHuge:
		binary.BigEndian.PutUint32(frame, 1<<31-1)
		_, _ = c.Write(append(frame, out.reply...))
		return false
	case sendWhole:
		if out.reply == nil {
			return false
		}
		_, err := c.Write(append(frame, out.reply...))
		return err == nil
	}
	return false // there is no reset in memory
}

// dialUDP makes a connection of which each write is a datagram.
func (k *KDC) dialUDP() (net.Conn, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.begin() {
		return nil, syscall.ECONNREFUSED
	}
	near, far := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer k.running.Done()
		defer far.Close()
		select {
		case <-k.done:
		case <-ended:
		}
	}()
	// Begun by one that counts, or Close could be waiting already.
	k.running.Go(func() {
		defer close(ended)
		k.serveDatagrams(far)
	})
	return near, nil
}

func (k *KDC) serveDatagrams(c net.Conn) {
	slots := make(chan struct{}, maxAtOnce)
	buf := make([]byte, 1<<16)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		packet := append([]byte(nil), buf[:n]...)
		select {
		case slots <- struct{}{}:
		case <-k.done:
			return
		}
		k.running.Go(func() {
			defer func() { <-slots }()
			out := k.realm.answer(k, "udp", packet)
			if out.how == sendHalf {
				out.reply = out.reply[:len(out.reply)/2]
			}
			if out.reply != nil && (out.how == sendWhole || out.how == sendHalf || out.how == sendHuge) {
				_, _ = c.Write(out.reply) // to a client that may be gone
			}
		})
	}
}

// A memoryAddr is an address in memory, host:port.
type memoryAddr string

// Network returns "memory".
func (memoryAddr) Network() string { return "memory" }

// String returns host:port.
func (a memoryAddr) String() string { return string(a) }
