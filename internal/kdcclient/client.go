package kdcclient

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spake"
)

// A KDC is where a key distribution centre listens.
type KDC struct {
	// Host is a name or an address, an IPv6 one without brackets; for Network
	// "unix" the path of a socket.
	Host string
	// Port is 1 to 65535; 0 means 88, and 443 for Network "https".
	Port int
	// Network is "udp", "tcp", "unix" or "https", which is a proxy for KDCs
	// ([MS-KKDCP]); empty means UDP and TCP.
	Network string
	// URL is where to post to with Network "https"; Host and Port are those in
	// it.
	URL string
}

// port returns the port to connect to.
func (k KDC) port() int {
	switch {
	case k.Port != 0:
		return k.Port
	case k.Network == "https":
		return 443
	}
	return 88
}

// Options are what a Client needs of its surroundings. They may be copied; the
// functions must be safe for concurrent use.
type Options struct {
	// Locate returns the KDCs of a realm in order of preference. No KDC and no
	// error means that none is known.
	Locate func(ctx context.Context, realm string) ([]KDC, error)
	// LocatePrimary returns the KDCs of a realm that know of every change at once.
	// One of them is asked where another KDC refused a login. Nil means that none
	// is known.
	LocatePrimary func(ctx context.Context, realm string) ([]KDC, error)
	// LocateKpasswd returns where passwords of a realm are changed, in order of
	// preference. Nil means that this is not known.
	LocateKpasswd func(ctx context.Context, realm string) ([]KDC, error)
	// Dial connects to a KDC; network is "udp", "tcp" or "unix". It must
	// return soon after ctx ends. Nil means a plain [net.Dialer].
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Lookup returns the addresses of a host, in the order in which to try
	// them: each counts as a KDC. It must return soon after ctx ends. Nil means
	// [net.DefaultResolver], unless Dial is set: then Dial is given names.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// TLS returns what is special about TLS to the proxies of a realm, such as
	// whom to trust; it is asked before each connection, and the result is not
	// changed. Nil means nothing special.
	TLS func(realm string) (*tls.Config, error)
	// Now is the local clock; nil means [time.Now].
	Now func() time.Time
	// Etypes are the encryption types allowed for keys of any kind, preferred
	// first; nil means all that are supported but RC4.
	Etypes []int32
	// SPAKEGroups are the names of the groups for SPAKE pre-authentication, as in
	// spake_preauth_groups of krb5.conf; nil means edwards25519, MIT's default.
	SPAKEGroups []string
	// NoTimestamp reports whether a client of the realm is to send no encrypted
	// timestamp, whatever a KDC asks for: whoever gets one can guess passwords at
	// leisure (disable_encrypted_timestamp of krb5.conf). It holds wherever the client
	// is referred to. Nil means never.
	NoTimestamp func(realm string) bool
	// UDPPreferenceLimit is the longest request, in bytes, that goes to UDP
	// before TCP, as in krb5.conf: 0 means TCP first, always.
	UDPPreferenceLimit int
	// Clockskew is by how much clocks may differ; 0 means 5 minutes.
	Clockskew time.Duration
	// Timesync lets the client follow the KDC's clock where the two differ by
	// more than Clockskew; without it that is an error.
	Timesync bool
	// Timeout bounds each message and the wait for its answer, all KDCs
	// together (request_timeout in krb5.conf); 0 means that Pacing alone does.
	Timeout time.Duration
	// Pacing is how long to wait for whom.
	Pacing Pacing

	// Path returns the realms from one to another, both included, as far as
	// the configuration knows or guesses them ([capaths], or the hierarchy of
	// names). Nil means that every realm is reached at once, or by the ways
	// that KDCs say.
	Path func(from, to string) []string
}

// DefaultUDPPreferenceLimit is MIT's value of udp_preference_limit.
const DefaultUDPPreferenceLimit = 1465

// Pacing says how long KDCs are waited for. The zero value of a field means
// MIT's. All that were asked are listened to until the exchange is over.
type Pacing struct {
	// Next is the time after which the next KDC is asked too; 1 s.
	Next time.Duration
	// Passes are the waits after all were asked; at the end of each but the
	// last, those asked by UDP are asked again. 2 s, 4 s, 8 s.
	Passes []time.Duration
	// Connected is how long a KDC that accepted a TCP connection has to answer
	// before the next is asked; 10 s.
	Connected time.Duration
	// Shun is for how long a KDC that did not answer is asked last; 1 minute.
	Shun time.Duration
}

// A Client makes exchanges. It keeps which KDCs did not answer of late and how
// far a realm's clock is off, both bounded, and no tickets or keys. It is safe
// for concurrent use and runs nothing between calls.
type Client struct {
	o      Options
	groups []int32 // of SPAKE

	mu      sync.Mutex
	shunned map[string]time.Time     // see try.where: until
	offsets map[string]time.Duration // realm: KDC's clock minus ours
}

// maxRemembered bounds each of a Client's maps.
const maxRemembered = 256

// New returns a client.
func New(o Options) *Client {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
		if o.Lookup == nil {
			o.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
				return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
			}
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Etypes == nil {
		o.Etypes = krb.DefaultEtypes(false)
	}
	o.Etypes = slices.Clone(o.Etypes)
	if o.Clockskew == 0 {
		o.Clockskew = 5 * time.Minute
	}
	p := &o.Pacing
	if p.Next == 0 {
		p.Next = time.Second
	}
	if len(p.Passes) == 0 {
		p.Passes = []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second}
	}
	p.Passes = slices.Clone(p.Passes)
	if p.Connected == 0 {
		p.Connected = 10 * time.Second
	}
	if p.Shun == 0 {
		p.Shun = time.Minute
	}
	if o.SPAKEGroups == nil {
		o.SPAKEGroups = []string{"edwards25519"}
	}
	return &Client{o: o, groups: spake.Groups(o.SPAKEGroups), shunned: make(map[string]time.Time), offsets: make(map[string]time.Duration)}
}

// Locate returns the KDCs of a realm in order of preference, none and no error
// where none is known.
func (c *Client) Locate(ctx context.Context, realm string) ([]KDC, error) {
	if c.o.Locate == nil {
		return nil, nil
	}
	return c.o.Locate(ctx, realm)
}

// Offset returns what to add to the local clock to get that of realm's KDC. It
// is 0 until an exchange found, or [Client.SetOffset] said, otherwise.
func (c *Client) Offset(realm string) time.Duration {
	d, _ := c.offset(realm)
	return d
}

func (c *Client) offset(realm string) (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.offsets[realm]
	return d, ok
}

// follow returns the offset to use from now on, where one was assumed and an
// authentic reply says that the KDC is ahead by skew. What the reply confirms, in
// the whole seconds that it tells, stays; clocks that differ by no more than they
// may are left alone.
func (c *Client) follow(assumed, skew time.Duration) time.Duration {
	const grain = 2 * time.Second
	switch {
	case (skew - assumed).Abs() <= grain:
		return assumed
	case skew.Abs() <= c.o.Clockskew:
		return 0
	}
	return skew
}

// SetOffset says how far the clock of realm's KDC is ahead of ours, as a
// credential cache knows it.
func (c *Client) SetOffset(realm string, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	makeRoom(c.offsets, realm)
	c.offsets[realm] = d
}

// makeRoom drops some entry of a full map if key would be a new one.
func makeRoom[V any](m map[string]V, key string) {
	if _, ok := m[key]; ok || len(m) < maxRemembered {
		return
	}
	for k := range m {
		delete(m, k)
		return
	}
}

func (c *Client) shun(where string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	makeRoom(c.shunned, where)
	// Not Options.Now: a clock made for tickets may stand still.
	c.shunned[where] = time.Now().Add(c.o.Pacing.Shun)
}

func (c *Client) forgive(where string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.shunned, where)
}

func (c *Client) isShunned(where string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, ok := c.shunned[where]
	if ok && !time.Now().Before(until) {
		delete(c.shunned, where)
		return false
	}
	return ok
}
