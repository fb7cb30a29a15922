package fakekdc

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/internal/orders"
	"github.com/kerbchain/kerbchain/fakekdc/internal/replay"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// TB is what [Start] needs of a *testing.T, *testing.B or *testing.F.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// A Realm is its principals and one or more running KDCs. Its methods are safe for
// concurrent use.
type Realm struct {
	settings
	tb    TB // nil for realms made by New
	start time.Time

	done    chan struct{}
	closing sync.Once
	paused  atomic.Bool

	mu         sync.RWMutex
	principals map[string]*principal // by Realm.id
	names      []string              // in the order they were added
	rids       uint32                // relative identifiers given out
	peers      []*Realm              // that it trusts or is trusted by
	directory

	trustMu sync.Mutex // see Realm.trust

	lifeMu  sync.Mutex // guards what Close ends
	kdcs    []*KDC     // one at least
	changes *KDC       // where passwords are changed; nil for nowhere
	proxied *KDC       // behind KDC proxies; nil until one asks
	endings []func()   // in the order in which they were given

	faults  orders.Queue[order]
	log     exchangeLog
	tgsSeen replay.Cache // authenticators that the ticket-granting service took
	apSeen  replay.Cache // authenticators that web services took
	spakes  spakeExchanges
	crumbs  [sha256.Size]byte // what cookies are made of
}

// Start starts a realm that ends with the test. Failure ends the test.
func Start(tb TB, opts ...Option) *Realm {
	tb.Helper()
	r, err := open(tb, opts)
	if err != nil {
		tb.Fatalf("fakekdc: %v", err)
		return nil
	}
	tb.Cleanup(r.Close)
	return r
}

// New starts a realm for a program that is no test, such as a demonstration.
// The caller closes it. Errors come from options that make no sense and from a
// port that cannot be had.
func New(opts ...Option) (*Realm, error) { return open(nil, opts) }

func open(tb TB, opts []Option) (*Realm, error) {
	s := defaults()
	for _, o := range opts {
		if o != nil {
			o(&s)
		}
	}
	if s.realm == "" {
		var b [4]byte
		rand.Read(b[:])
		s.realm = "TEST-" + strings.ToUpper(hex.EncodeToString(b[:])) + ".EXAMPLE"
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	r := &Realm{
		directory:  newDirectory(),
		settings:   s,
		tb:         tb,
		start:      s.now(),
		done:       make(chan struct{}),
		principals: make(map[string]*principal),
	}
	rand.Read(r.crumbs[:]) // never fails since Go 1.24
	tgs := krb.TGS(s.realm, s.realm)
	if err := r.add(&principal{name: tgs, policy: policy{etypes: s.etypes, forwardable: true, proxiable: true, renewable: true, postdate: true}}, nil); err != nil {
		return nil, err
	}
	for _, f := range s.setup {
		if err := f(r); err != nil {
			return nil, err
		}
	}
	at := netip.MustParseAddrPort(s.addr) // checked
	for range s.kdcs {
		if _, err := r.addKDC(at); err != nil {
			r.Close()
			return nil, err
		}
		at = netip.AddrPortFrom(at.Addr(), 0)
	}
	if r.kpasswd != nil {
		if err := r.startKpasswd(); err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil
}

// Name returns the realm's name.
func (r *Realm) Name() string { return r.realm }

// Addr returns the address of the KDC, the first of [Realm.KDCs], as host:port,
// the same for UDP and TCP.
func (r *Realm) Addr() string { return r.KDCs()[0].Addr() }

// Now returns the time by the realm's clock.
func (r *Realm) Now() time.Time { return r.now() }

// Pause makes all KDCs of the realm unreachable: datagrams go unanswered, connections are
// closed without an answer. The port stays taken, so no one else can get it.
// Web services go on. Calls do not nest.
func (r *Realm) Pause() {
	r.paused.Store(true)
	for _, k := range r.KDCs() {
		k.dropConns()
	}
	if r.changes != nil {
		r.changes.dropConns()
	}
}

// Resume ends what Pause began. A KDC that was paused by itself stays so.
func (r *Realm) Resume() { r.paused.Store(false) }

// Close ends the KDCs, closes their connections, does what [Realm.OnClose] was told,
// and returns when no goroutine of the KDCs is left. Further calls do nothing.
func (r *Realm) Close() {
	r.closing.Do(func() {
		close(r.done)
		r.lifeMu.Lock()
		endings, kdcs := r.endings, r.kdcs
		r.endings = nil
		r.lifeMu.Unlock()
		for _, k := range kdcs {
			k.Close()
		}
		if r.changes != nil {
			r.changes.Close()
		}
		for _, end := range endings {
			end()
		}
	})
}

// OnClose makes [Realm.Close] call end, for what serves the realm's users and should
// not outlive it. If the realm is closed already, end is called at once.
func (r *Realm) OnClose(end func()) {
	if !r.adopt(end) {
		end()
	}
}

func (r *Realm) adopt(end func()) bool {
	r.lifeMu.Lock()
	defer r.lifeMu.Unlock()
	select {
	case <-r.done:
		return false
	default:
	}
	r.endings = append(r.endings, end)
	return true
}

// Fail ends the test that [Start] was given, with an error that is not nil. In a realm
// made by [New] it just returns the error. It is for packages that add to a realm, as
// fakeweb does, and fail as its own methods do.
func (r *Realm) Fail(err error) error {
	if r.tb != nil {
		r.tb.Helper()
	}
	return r.fail(err)
}

func (r *Realm) fail(err error) error {
	if err != nil && r.tb != nil {
		r.tb.Helper()
		r.tb.Fatalf("fakekdc: %v", err)
	}
	return err
}

// String returns the name and address.
func (r *Realm) String() string { return fmt.Sprintf("realm %s at %s", r.realm, r.Addr()) }
