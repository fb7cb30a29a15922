package fakekdc

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/kerbchain/kerbchain/fakekdc/internal/memnet"
)

// WithoutSockets makes the KDCs of the realm listen nowhere: [Realm.Dial] leads to
// them, within the process. What client/clienttest makes dials so by itself; others
// are given Dial, as kerberos.SourceOptions.Dial. All else is as it
// is with sockets, records, faults and outages included. With
// InMemory of fakeweb.ServerOptions the web service needs none either, and a whole test
// fits into a bubble of testing/synctest, where waiting for a ticket to expire takes no
// time.
//
// [WithAddress] does not matter then. [Realm.AddKDC] and whatever changes passwords still
// listen.
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
	return r.newKDC(netip.AddrPortFrom(netip.AddrFrom16(at), 88), r.answerFrom), nil
}

// InMemory reports whether there are KDCs that [Realm.Dial] alone leads to, of this
// realm or of those that [Realm.Trust] connects with it.
func (r *Realm) InMemory() bool {
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
//
// The network "kkdcp" is for KDC proxies ([MS-KKDCP]), such as fakeweb.KDCProxy. The
// address is a realm's name, empty for this one, and messages are framed as over TCP.
// Exchanges are recorded without a KDC's address, and what is said to a [KDC] does not
// count.
//
// [MS-KKDCP]: https://learn.microsoft.com/openspecs/windows_protocols/ms-kkdcp
func (r *Realm) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := r.dial(ctx, network, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: memnet.Addr(address), Err: err}
	}
	return c, nil
}

func (r *Realm) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if network == "kkdcp" {
		return r.dialProxied(address)
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

// memoryClient is where clients within the process are, as those of sockets are
// that listen on a loopback address.
const memoryClient memnet.Addr = "127.0.0.1:0"

var memoryClientAt = netip.MustParseAddrPort(string(memoryClient))

// dialTCP makes a connection that the KDC may close at once, as it does with those
// that it accepts.
func (k *KDC) dialTCP() (net.Conn, error) {
	near, far := memnet.Pair(memoryClient, memnet.Addr(k.Addr()))
	if !k.serve(far) {
		return nil, syscall.ECONNREFUSED
	}
	return near, nil
}

// dialUDP makes a connection of which each write is a datagram.
func (k *KDC) dialUDP() (net.Conn, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.done:
		return nil, syscall.ECONNREFUSED
	default:
	}
	near, far := net.Pipe()
	ended := make(chan struct{})
	// The lock is held, so Close, which takes it too, does not wait yet.
	k.running.Go(func() {
		defer far.Close()
		select {
		case <-k.done:
		case <-ended:
		}
	})
	k.running.Go(func() {
		defer close(ended)
		k.servePackets(memnet.Datagrams{Conn: far, From: memoryClientAt})
	})
	return near, nil
}
