package fakekdc

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// An Option changes a realm before it starts.
type Option func(*settings)

type settings struct {
	realm    string
	addr     string
	kdcs     int
	now      func() time.Time
	etypes   []int32
	life     time.Duration
	renew    time.Duration
	skew     time.Duration
	udpLimit int
	hosts    []string
	pac      bool
	encPARep bool
	// Groups of SPAKE; nil where it is not offered.
	spakeGroups  []int32
	noTimestamps bool
	fast         bool
	fastRequired bool
	kpasswd      func(user, password string) error // nil: no password changes
	setup        []func(*Realm) error
}

func defaults() settings {
	return settings{
		addr:     "127.0.0.1:0",
		kdcs:     1,
		now:      time.Now,
		etypes:   krb.DefaultEtypes(false),
		life:     10 * time.Hour,
		renew:    7 * 24 * time.Hour,
		skew:     5 * time.Minute,
		udpLimit: 4096,
	}
}

const maxKDCs = 100

func checkRealm(name string) error {
	if name == "" || len(name) > 255 || strings.ContainsAny(name, `/@:\`) || !configurable(name) {
		return fmt.Errorf("realm name %q: want a name such as TEST.EXAMPLE", name)
	}
	return nil
}

// configurable reports whether a name can stand in krb5.conf and is the same there.
func configurable(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.ContainsFunc(name, func(c rune) bool {
		return unicode.IsSpace(c) || unicode.IsControl(c) || strings.ContainsRune(`{}[]=#;*"`, c)
	})
}

func (s *settings) check() error {
	if err := checkRealm(s.realm); err != nil {
		return err
	}
	if s.kdcs < 1 || s.kdcs > maxKDCs {
		return fmt.Errorf("realm %s: %d KDCs, want 1 to %d", s.realm, s.kdcs, maxKDCs)
	}
	ap, err := netip.ParseAddrPort(s.addr)
	if err != nil {
		return fmt.Errorf("address %q: want one such as 127.0.0.1:0: %w", s.addr, err)
	}
	if !ap.Addr().IsLoopback() {
		return fmt.Errorf("address %s is not a loopback address: this realm is for tests only", ap)
	}
	if s.now == nil {
		return fmt.Errorf("clock of realm %s is nil", s.realm)
	}
	if s.life < time.Second || s.skew < 0 {
		return fmt.Errorf("realm %s: lifetime %s, skew %s: want a second or more, and no negative skew", s.realm, s.life, s.skew)
	}
	for _, h := range s.hosts {
		if !configurable(h) {
			return fmt.Errorf("realm %s: host %q: want a name such as app.example", s.realm, h)
		}
	}
	return checkEtypes(s.etypes)
}

func checkEtypes(list []int32) error {
	if len(list) == 0 {
		return fmt.Errorf("list of encryption types is empty")
	}
	for i, e := range list {
		if err := krb.CheckEtype(e); err != nil {
			return err
		}
		if slices.Contains(list[:i], e) {
			return fmt.Errorf("encryption type %d is listed twice", e)
		}
	}
	return nil
}

// WithRealm names the realm, by convention in upper case. The default is a new
// name, TEST-xxxxxxxx.EXAMPLE.
func WithRealm(name string) Option { return func(s *settings) { s.realm = name } }

// WithAddress sets the loopback address and port of the first KDC. The default is
// 127.0.0.1:0, a free port; a port that is taken is an error of [New].
func WithAddress(hostport string) Option { return func(s *settings) { s.addr = hostport } }

// WithRemoteAddress is [WithAddress] for an address that other machines can
// reach, such as 0.0.0.0:88 in a container, which WithAddress refuses.
//
// TEST ONLY, once more: whoever reaches the port can log in with whatever
// passwords the test chose. [Realm.Config] names the address as it stands here.
func WithRemoteAddress(hostport string) Option {
	return func(s *settings) {
		// Options are checked before the realm is set up, its KDCs listen after.
		s.setup = append(s.setup, func(r *Realm) error {
			if _, err := netip.ParseAddrPort(hostport); err != nil {
				return fmt.Errorf("address %q: want one such as 0.0.0.0:88: %w", hostport, err)
			}
			s.addr, r.addr = hostport, hostport
			return nil
		})
	}
}

// WithClock replaces time.Now for everything that the realm and its web
// services do with time. It must be safe for concurrent use; see [Clock].
func WithClock(now func() time.Time) Option { return func(s *settings) { s.now = now } }

// WithEtypes sets the encryption types of the realm: those of the
// ticket-granting service, and of principals that set none of their own. The
// first is the most wanted. The default is 18, 17, 20, 19. They are also what
// [Realm.Config] permits.
func WithEtypes(etypes ...int32) Option {
	return func(s *settings) { s.etypes = slices.Clone(etypes) }
}

// WithLifetime bounds the life of tickets (default 10 hours) and for how long
// they can be renewed (default 7 days; 0 means not at all).
func WithLifetime(life, renewable time.Duration) Option {
	return func(s *settings) { s.life, s.renew = life, renewable }
}

// WithSkew sets how far clocks may be apart, 5 minutes by default.
func WithSkew(d time.Duration) Option { return func(s *settings) { s.skew = d } }

// WithUDPLimit sets the size in bytes above which a ticket's reply over UDP becomes
// KRB_ERR_RESPONSE_TOO_BIG, 4096 by default. With 1, all of them do. What is longer than a
// datagram of IPv4 can be always does, errors too.
func WithUDPLimit(n int) Option { return func(s *settings) { s.udpLimit = min(n, maxDatagram) } }

// WithEncPARep makes the KDC prove to clients that ask for it that their AS-REQ
// came as they sent it (RFC 6806 section 11), as MIT's and Active Directory do.
// The proof says too that the KDC speaks FAST (RFC 6113), since gokrb5 takes no
// other. Without [WithFAST] this one does not: it overlooks what a TGS-REQ has of it,
// which suits clients, but MIT's kpasswd and kinit -T fail with a credential cache from
// such a login, because they insist.
func WithEncPARep() Option { return func(s *settings) { s.encPARep = true } }

// WithHosts adds host or domain names to [domain_realm] of [Realm.Config].
// localhost and the hosts of services are there without it.
func WithHosts(names ...string) Option {
	return func(s *settings) { s.hosts = append(s.hosts, names...) }
}

// WithUser adds a user, as [Realm.AddUser] does.
func WithUser(name, password string, opts ...PrincipalOption) Option {
	return func(s *settings) {
		s.setup = append(s.setup, func(r *Realm) error { return r.addUser(name, password, opts) })
	}
}

// WithService adds a service, as [Realm.AddService] does.
func WithService(name string, opts ...PrincipalOption) Option {
	return func(s *settings) {
		s.setup = append(s.setup, func(r *Realm) error { return r.addService(name, opts) })
	}
}
