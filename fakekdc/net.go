package fakekdc

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/kerbchain/kerbchain/fakekdc/internal/lookaside"
	"github.com/kerbchain/kerbchain/fakekdc/internal/orders"
)

const listenTries = 64

// A KDC is one address where a realm answers, UDP and TCP on one port. All KDCs
// of a realm have the same principals and keys, and each can fail on its own. Its
// methods are safe for concurrent use.
type KDC struct {
	realm  *Realm
	addr   netip.AddrPort
	at     string // addr
	answer func(k *KDC, network string, sender netip.Addr, packet []byte) outcome

	sockets []io.Closer
	done    chan struct{}
	running sync.WaitGroup
	work    chan func() // for goroutines that are idle
	idle    atomic.Int32
	frames  sync.Pool // of *frames.Frames
	closing sync.Once
	paused  atomic.Bool
	faults  orders.Queue[order]
	seen    lookaside.Cache[outcome]

	forgetful bool // what comes again is answered anew

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// listen takes one port for TCP and UDP. The kernel hands out TCP ports without
// regard to UDP, so a free pair may take some tries.
func (r *Realm) listen(want netip.AddrPort, answer func(*KDC, string, netip.Addr, []byte) outcome) (*KDC, error) {
	var last error
	for range listenTries {
		tcp, err := listenTCP(want)
		if err != nil {
			return nil, fmt.Errorf("KDC of %s at %s: %w", r.realm, want, err)
		}
		at := tcp.Addr().(*net.TCPAddr).AddrPort()
		udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err == nil {
			k := r.newKDC(at, answer, tcp, udp)
			k.running.Go(func() { k.servePackets(udp) })
			k.running.Go(func() { k.serveListener(tcp) })
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

// listenTCP listens without what connections of one exchange have no use for, at five
// calls of the system each: they end after a minute, so there is nothing to keep alive.
func listenTCP(at netip.AddrPort) (net.Listener, error) {
	c := net.ListenConfig{KeepAlive: -1}
	c.SetMultipathTCP(false)
	return c.Listen(context.Background(), "tcp", at.String())
}

func (r *Realm) newKDC(at netip.AddrPort, answer func(*KDC, string, netip.Addr, []byte) outcome, sockets ...io.Closer) *KDC {
	return &KDC{
		realm: r, addr: at, at: at.String(), answer: answer, sockets: sockets, done: make(chan struct{}),
		work: make(chan func()), conns: make(map[net.Conn]bool),
	}
}
