package kerberos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/ccache/kcm"
	"github.com/kerbchain/kerbchain/internal/ccache/keyring"
	"github.com/kerbchain/kerbchain/internal/flight"
	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/keytab"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/regularfile"
	"github.com/kerbchain/kerbchain/middleware"
)

// FromCCache returns a source that uses the credential cache of a name as MIT krb5
// spells it: "FILE:/tmp/krb5cc_1000" or a bare path, "DIR:/run/user/1000/krb5cc",
// "KCM:", "KEYRING:persistent:1000" (on Linux), or a "MEMORY:name" of
// o.MemoryCaches. %{uid} and its like are expanded. Where the name stands for a
// collection, the cache is chosen for each server: that of o.Principal if one is
// asked for; else the one that .k5identity names; else that of the server's
// realm; else the primary one. o.Principal must have a cache.
//
// Caches are read when a ticket is first asked for, and again when they changed,
// which is seen within a second, or what was read has run out. While kinit
// replaces one, what was read last stays in use. See SourceOptions.ReadOnlyCache for
// what is written.
func FromCCache(name string, o SourceOptions) (*Source, error) {
	s, err := newSource(o)
	if err != nil {
		return nil, err
	}
	creds, err := s.cache(name, true)
	if err != nil {
		return nil, err
	}
	if refused, ok := creds.collection.(refused); ok {
		return nil, s.noCredentials(refused.err, "")
	}
	s.creds = creds
	return s, nil
}

// cache returns the credentials of a name that was given, or is the default.
func (s *Source) cache(name string, given bool) (*cacheCredentials, error) {
	expanded, err := s.o.krb5conf().Expand(name)
	if err != nil {
		return nil, s.noCredentials(fmt.Errorf("credential cache %s: %w", name, err), "")
	}
	parsed, err := ccache.ParseName(expanded)
	if err != nil {
		return nil, s.noCredentials(fmt.Errorf("credential cache: %w", err), "name it as FILE:/path")
	}
	collection, err := s.collection(parsed, given)
	if err != nil {
		collection = refused{err}
	}
	c, err := s.cacheOf(parsed, collection)
	if err != nil {
		return nil, err
	}
	c.byDefault = !given
	return c, nil
}

func (s *Source) cacheOf(name ccache.Name, collection ccache.Collection) (*cacheCredentials, error) {
	p, err := s.principal()
	if err != nil {
		return nil, err
	}
	return &cacheCredentials{s: s, name: name, collection: collection, want: p, members: make(map[string]*member)}, nil
}

func (s *Source) collection(n ccache.Name, given bool) (ccache.Collection, error) {
	switch n.Type {
	case "KCM":
		return kcm.Open(n, kcm.Options{Socket: s.conf.KCMSocket})
	case "KEYRING":
		return keyring.Open(n)
	case "MEMORY":
		return s.o.MemoryCaches.open(n)
	}
	return ccache.OpenFor(n, func(ctx context.Context, o ccache.Owner) error { return s.mayRead(ctx, o, given) })
}

// refused are credentials that cannot be read, such as a cache of an unknown type, or no
// cache at all. Every use is an error, so that a client keytab is used in their place
// where there is one.
type refused struct{ err error }

func (r refused) Primary(context.Context) (ccache.Store, error)  { return nil, r.err }
func (r refused) Stores(context.Context) ([]ccache.Store, error) { return nil, r.err }

// cacheCredentials are those of one credential cache, or of a collection of caches.
type cacheCredentials struct {
	s          *Source
	name       ccache.Name
	collection ccache.Collection
	want       krb.Principal // zero: whichever suits the server
	byDefault  bool          // the name is the default, and was not given

	primaries look          // at the primary cache of the collection
	epoch     atomic.Uint64 // counts changes of the primary cache

	mu      sync.Mutex
	primary string
	members map[string]*member // by name
}

// A member is one cache of a collection.
type member struct {
	store ccache.Store
	seen  atomic.Pointer[string] // its state at the last look
	look  look                   // when to look at its state
	gone  atomic.Int64           // when it was found missing; 0 if it is there

	mu    sync.Mutex
	last  *ccache.Cache // as it was last read
	state string        // its state then
	held  holding       // what the choice among several caches needs to know of it
}

// member returns the member for a store, and adds it if it is new.
func (c *cacheCredentials) member(store ccache.Store) *member {
	name := store.Name().String()
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[name]
	if m == nil {
		if len(c.members) >= maxSessions {
			clear(c.members)
		}
		m = &member{store: store}
		c.members[name] = m
	}
	return m
}

// sees notes which cache is the primary one.
func (c *cacheCredentials) sees(primary ccache.Store) {
	name := primary.Name().String()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.primary != name {
		c.primary = name
		c.epoch.Add(1)
	}
}

// check reports whether the cache of a session changed. It looks once a second at most. A
// cache that is missing for a moment, as while kinit replaces it, counts as unchanged.
func (c *cacheCredentials) check(ctx context.Context, s *session, now time.Time) (uint64, bool) {
	c.primaries.due(ctx, now, c.s.o.Now, func(ctx context.Context) bool {
		primary, err := c.collection.Primary(ctx)
		if err == nil {
			c.sees(primary)
		}
		return err == nil
	})
	m := s.cache
	c.look(ctx, m, now)
	seen := m.seen.Load()
	return c.epoch.Load(), seen != nil && *seen != s.state || m.destroyed(now)
}

// look notes the state of a cache, once a second at most.
func (c *cacheCredentials) look(ctx context.Context, m *member, now time.Time) {
	m.look.due(ctx, now, c.s.o.Now, func(ctx context.Context) bool {
		state, err := m.store.State(ctx)
		if last := m.seen.Load(); err == nil && (last == nil || *last != state) {
			m.seen.Store(&state) // only where it differs, since comparing a string with itself is fast
		}
		gone := errors.Is(err, fs.ErrNotExist)
		m.missing(gone, now)
		return err == nil || gone
	})
}

// destroyedAfter is how long a cache must be missing before it counts as destroyed.
const destroyedAfter = 10 * time.Second

func (m *member) missing(gone bool, now time.Time) {
	switch {
	case !gone:
		m.gone.Store(0)
	default:
		m.gone.CompareAndSwap(0, now.UnixNano())
	}
}

// destroyed reports whether the cache is gone for good. After kdestroy, the tickets that
// are remembered must not be used either.
func (m *member) destroyed(now time.Time) bool {
	since := m.gone.Load()
	return since != 0 && now.UnixNano()-since >= int64(destroyedAfter)
}

func (c *cacheCredentials) open(ctx context.Context, name string) (*session, error) {
	c.mu.Lock()
	m := c.members[name]
	c.mu.Unlock()
	if m == nil {
		return nil, c.s.noCredentials(fmt.Errorf("credential cache %s is no longer used: too many of them", name), "")
	}
	cache, state, err := c.read(ctx, m)
	if err != nil {
		return nil, err
	}
	if !c.want.IsZero() && !c.is(c.want, cache.Client) {
		return nil, c.s.noCredentials(fmt.Errorf("%s holds credentials of %s", m.store.Name(), cache.Client),
			hints.Join(kinit(c.want, m.store.Name().String()), c.s.likeRealms(c.want, "")))
	}
	if c.s.conf.KDCTimesync && cache.KDCOffset != 0 {
		c.s.kdc.SetOffset(cache.Client.Realm, cache.KDCOffset)
	}
	s := &session{client: cache.Client, source: m.store.Name().String(), cache: m, state: state}
	s.stored = func(server krb.Principal) (*krb.Ticket, bool) {
		t, err := cache.Ticket(server, c.query())
		return t, err == nil
	}
	if !c.s.o.ReadOnlyCache {
		s.keep = func(ctx context.Context, t *krb.Ticket) { c.add(ctx, m, t) }
	}
	tgt, err := cache.TGT(c.query())
	switch {
	case err == nil:
		s.tgt = tgt
		s.refresh = c.refreshAt(tgt)
	case errors.Is(err, ccache.ErrNoTicket) && len(cache.Credentials) > 0:
		// Without a ticket-granting ticket, the service tickets can still be used.
		if s.of = impersonator(cache); s.of != "" {
			c.asService(s, cache)
		}
	default:
		e := c.s.noCredentials(fmt.Errorf("%s: %w", m.store.Name(), err), "")
		if errors.Is(err, ccache.ErrNoTicket) && cache.Torn != nil {
			e = c.unreadable(m, cache.Torn)
		}
		e.Principal = cache.Client.String()
		return nil, e
	}
	return s, nil
}

// asService adds to a session what the service needs to act for its client: the service's
// own ticket-granting ticket, and the client's ticket for the service, which is the
// evidence of S4U2Proxy.
func (c *cacheCredentials) asService(s *session, cache *ccache.Cache) {
	service, err := krb.ParsePrincipal(s.of)
	if err != nil {
		return
	}
	if service.Realm == "" {
		service.Realm = cache.Client.Realm
	}
	q := c.query()
	if evidence, err := cache.Ticket(service, q); err == nil {
		q.Client = service
		if tgt, err := cache.Ticket(krb.TGS(service.Realm, service.Realm), q); err == nil {
			s.evidence, s.service = evidence, tgt
		}
	}
}

// impersonator returns the service that acts for the client of a cache (MS-SFU), as
// mod_auth_gssapi leaves such caches; "" for an ordinary cache. The ticket-granting
// ticket in it is the service's.
func impersonator(cache *ccache.Cache) string {
	v, _ := cache.ConfigValue("proxy_impersonator", "")
	return string(v)
}

// is reports whether the client of a cache is the wanted principal: by the same name or,
// for an enterprise name, by the canonical name that a KDC returned for it in this
// process. Nothing else shows that the two names are one principal.
func (c *cacheCredentials) is(want, client krb.Principal) bool { return c.s.account(want).is(client) }

// kinit returns the command that gets a cache of a principal, under a certain name if one
// is given.
func kinit(p krb.Principal, cache string) string {
	if p.Type == krb.NTEnterprise && len(p.Components) == 1 {
		return fmt.Sprintf("an enterprise name is not taken for any other: run kinit -E %[1]s; or run kinit -E -C %[1]s, and ask for the canonical name that klist shows then", p.Components[0])
	}
	if cache != "" {
		return fmt.Sprintf("run kinit -c %s %s, or name a cache of that principal", cache, p)
	}
	return fmt.Sprintf("run kinit %s", p)
}

func (c *cacheCredentials) query() ccache.Query {
	return ccache.Query{Etypes: supported(c.s.conf.PermittedEnctypes), Now: c.s.o.Now(), Skip: c.s.stale.has}
}

// refreshAt returns when half of a ticket's life is over, by the local clock, if the
// ticket can be renewed.
func (c *cacheCredentials) refreshAt(tgt *krb.Ticket) time.Time {
	if !renewable(tgt) {
		return time.Time{}
	}
	return halfway(tgt).Add(-c.s.kdc.Offset(tgt.Client.Realm))
}

// A cache that is being written is read again soon, and then ever less often, unless it
// changed meanwhile, which shows that a program is still writing it. A cache that has
// been missing for a while is not being written.
const (
	firstRetry   = time.Millisecond
	retries      = 8 // within a quarter of a second
	retriesInAll = 200
)

// read returns the cache as it is now, or while it is being written, as it was before.
// kinit replaces a cache in several steps, between which it is missing, empty, or cut off
// in the middle of an entry. Of one that stays cut off, the whole entries count.
func (c *cacheCredentials) read(ctx context.Context, m *member) (*ccache.Cache, string, error) {
	defer flight.Doing(ctx, "reading credential cache "+m.store.Name().String())()
	try, seen := 0, ""
	for left := retriesInAll; ; left-- {
		cache, state, err := c.load(ctx, m)
		if state != seen {
			try, seen = 0, state
		}
		now := c.s.o.Now()
		m.missing(errors.Is(err, fs.ErrNotExist), now)
		whole := err == nil && c.enough(cache)
		m.mu.Lock()
		if whole {
			m.last, m.state = cache, state
			m.seen.Store(&state)
		}
		last, lastState := m.last, m.state
		m.mu.Unlock()
		unfinished := err == nil && !whole || errors.Is(err, ccache.ErrTruncated) || errors.Is(err, fs.ErrNotExist)
		switch {
		case whole:
			return cache, state, nil
		case unfinished && last != nil && c.good(last) && !m.destroyed(now):
			return last, lastState, nil
		case unfinished && left > 0 && try < retries && !m.destroyed(now):
			select {
			case <-ctx.Done():
				return nil, "", c.unreadable(m, context.Cause(ctx))
			case <-time.After(firstRetry << try):
			}
			try++
		case err == nil:
			return cache, state, nil // it stays empty or cut off
		default:
			return nil, "", c.unreadable(m, err)
		}
	}
}

// enough reports whether what was read of a cache suffices. A cache that is cut off may
// lack the ticket-granting ticket that is just being written.
func (c *cacheCredentials) enough(cache *ccache.Cache) bool {
	if cache.Torn != nil {
		_, err := cache.TGT(c.query())
		return err == nil
	}
	return len(cache.Credentials) > 0
}

// load reads a cache and its state. If the cache changes meanwhile, the state is the one
// before, so that the cache is read again.
func (c *cacheCredentials) load(ctx context.Context, m *member) (*ccache.Cache, string, error) {
	state, err := m.store.State(ctx)
	if err != nil {
		return nil, "", err
	}
	cache, err := m.store.Load(ctx)
	return cache, state, err
}

// good reports whether anything in a cache can still be used.
func (c *cacheCredentials) good(cache *ccache.Cache) bool {
	now := c.s.o.Now().Add(cache.KDCOffset)
	for i := range cache.Credentials {
		if now.Before(cache.Credentials[i].EndTime) {
			return true
		}
	}
	return false
}

func (c *cacheCredentials) unreadable(m *member, err error) *middleware.Error {
	hint := "run kinit"
	var foreign *foreignCacheError
	_, malformed := errors.AsType[*ccache.ParseError](err)
	switch {
	case errors.As(err, &foreign):
		hint = foreign.hint()
	case advised(m.store.Name(), err):
		hint = ""
	case errors.Is(err, regularfile.ErrIrregular):
		hint = "name a file in KRB5CCNAME, or a collection as DIR:/path"
	case malformed:
		hint = noCache(m.store.Name())
	case errors.Is(err, fs.ErrNotExist):
		hint = "run kinit, or name the cache in KRB5CCNAME"
	case errors.Is(err, fs.ErrPermission):
		hint = "the cache belongs to another user: run kinit, or name another in KRB5CCNAME"
	}
	if look := c.s.warnings("default_ccache_name"); c.byDefault && look != "" {
		hint = look
	}
	if malformed || strings.Contains(err.Error(), m.store.Name().String()) {
		return c.s.noCredentials(err, hint) // err names the cache
	}
	return c.s.noCredentials(fmt.Errorf("read credential cache %s: %w", m.store.Name(), err), hint)
}

// noCache is what to try about bytes that are no cache. kinit puts a cache in the place
// of whatever the file is.
func noCache(name ccache.Name) string {
	path, ok := name.File()
	if !ok {
		return "run kinit"
	}
	if isKeytab(path) {
		return hints.Keytab
	}
	return "run kinit, which writes the file anew; if it is no credential cache, name another in KRB5CCNAME"
}

// isKeytab reports whether a file has keys. A keytab of format 2 begins as a cache of that
// format does.
func isKeytab(path string) bool {
	f, err := regularfile.Open(path, os.O_RDONLY, nil)
	if err != nil {
		return false
	}
	defer f.Close()
	b, _, err := regularfile.ReadAll(f, keytab.MaxSize)
	if err != nil {
		return false
	}
	for _, err := range keytab.Entries(b) {
		return err == nil
	}
	return false
}

// lockTimeout bounds the wait for a cache that another program writes to.
const lockTimeout = time.Second

// add writes a ticket to the cache. The request has its ticket whether that succeeds or
// not, so a failure goes to the trace alone.
func (c *cacheCredentials) add(ctx context.Context, m *member, t *krb.Ticket) {
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	err := m.store.Add(ctx, ccache.FromTicket(t))
	middleware.Emit(ctx, middleware.CacheEvent{Cache: m.store.Name().String(), Server: t.Server.String(), Err: err})
}

// refresh renews the ticket-granting ticket, and replaces it in the cache.
func (c *cacheCredentials) refresh(ctx context.Context, old *session) (*session, error) {
	t, err := c.s.renewed(ctx, old)
	if err != nil {
		return nil, err
	}
	fresh := *old
	fresh.tgt = t
	fresh.refresh = c.refreshAt(t)
	if m := old.cache; !c.s.o.ReadOnlyCache {
		ctx, cancel := context.WithTimeout(ctx, lockTimeout)
		defer cancel()
		err := c.replace(ctx, m, old.tgt, t)
		middleware.Emit(ctx, middleware.CacheEvent{Cache: m.store.Name().String(), Server: t.Server.String(), Err: err})
	}
	return &fresh, nil
}

// replace writes the renewed ticket in the place of the old one, unless another program
// replaced that meanwhile. Entries that have not ended, or have no end, stay.
func (c *cacheCredentials) replace(ctx context.Context, m *member, old, renewed *krb.Ticket) error {
	cache, err := m.store.Load(ctx)
	if err != nil {
		return err
	}
	now := c.s.o.Now().Add(cache.KDCOffset)
	fresh := *cache
	fresh.Credentials = []ccache.Credential{ccache.FromTicket(renewed)}
	found := false
	for _, cred := range cache.Credentials {
		switch {
		case string(cred.Raw) == string(old.Raw):
			found = true
		case cred.EndTime.IsZero() || now.Before(cred.EndTime):
			fresh.Credentials = append(fresh.Credentials, cred)
		}
	}
	if !found {
		return nil
	}
	return m.store.Replace(ctx, &fresh)
}
