package kerberos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/ccache/kcm"
	"github.com/kerbchain/kerbchain/internal/flight"
	"github.com/kerbchain/kerbchain/internal/k5identity"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// choose picks the cache for a server as krb5_cc_select does: the cache of the wanted
// principal, or of the one that .k5identity names; else the one whose client is of the
// server's realm, or of the longest realm that the host's name ends in; else the primary
// one. Where the chosen one holds nothing valid, another cache of the same client that
// does takes its place, which MIT's does not look for.
func (c *cacheCredentials) choose(ctx context.Context, server krb.Principal) (string, uint64, error) {
	done := flight.Doing(ctx, "looking for the credential cache")
	primary, err := c.collection.Primary(ctx)
	done()
	if err != nil {
		hint := "run kinit"
		if _, ok := errors.AsType[*ccache.UnsupportedTypeError](err); ok || advised(c.name, err) {
			hint = "" // the error says so already
		}
		if errors.Is(err, errNoDefaultCache) {
			hint = "name a cache in KRB5CCNAME, in default_ccache_name of krb5.ini, or to the client (CCache); or use a keytab"
		}
		return "", 0, c.s.noCredentials(err, hint)
	}
	c.sees(primary)
	epoch := c.epoch.Load()
	store, _, err := c.pick(ctx, primary, server)
	if err != nil {
		return "", 0, err
	}
	return c.member(store).store.Name().String(), epoch, nil
}

func (c *cacheCredentials) pick(ctx context.Context, primary ccache.Store, server krb.Principal) (store ccache.Store, why string, err error) {
	want := c.want
	said := "asked for"
	if want.IsZero() && !server.IsZero() {
		identity, err := c.s.identities()
		if err != nil {
			return nil, "", err
		}
		if identity != nil {
			want, _ = identity.Choose(server)
			said = "named in " + identityFile
		}
	}
	stores, err := c.collection.Stores(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		hint := "run kinit"
		if advised(c.name, err) {
			hint = ""
		}
		return nil, "", c.s.noCredentials(err, hint)
	}
	switch {
	case !want.IsZero():
		if len(stores) == 0 {
			return primary, whyOnly, nil // if it is unusable, reading it tells
		}
		if said == "asked for" && len(stores) == 1 {
			return stores[0], whyOnly, nil // likewise if it is another client's
		}
		if store := c.of(ctx, stores, func(client krb.Principal) bool { return c.is(want, client) }); store != nil {
			return store, "it is that of " + want.String() + ", who is " + said, nil
		}
		if ctx.Err() != nil {
			return nil, "", context.Cause(ctx)
		}
		e := c.s.noCredentials(&noCacheError{c.name, want, said}, kinit(want, ""))
		e.Principal = want.String()
		return nil, "", e
	case len(stores) == 0 || len(stores) == 1 && stores[0].Name() == primary.Name():
		return primary, whyOnly, nil
	}
	chosen, why := primary, whyPrimary
	if !server.IsZero() {
		if store := c.ofRealm(ctx, stores, server); store != nil {
			chosen, why = store, whyRealm
		}
	}
	if h, ok := c.holding(ctx, chosen); ok && !c.valid(h) {
		if store := c.of(ctx, stores, h.client.Equal); store != nil {
			if store.Name() != chosen.Name() {
				why = "it is of the same client as " + chosen.Name().String() + ", which holds nothing valid"
			}
			chosen = store
		}
	}
	return chosen, why, nil
}

// The reasons for a choice, for Choice.Why.
const (
	whyOnly    = "there is no other"
	whyPrimary = "it is the primary one, and nothing else decides"
	whyRealm   = "its client is of the realm of the service"
)

// of returns the first cache of a client that holds something valid, else the client's
// first cache, else nil.
func (c *cacheCredentials) of(ctx context.Context, stores []ccache.Store, is func(krb.Principal) bool) ccache.Store {
	var first ccache.Store
	for _, store := range stores {
		h, ok := c.holding(ctx, store)
		switch {
		case !ok || !is(h.client):
		case c.valid(h):
			return store
		case first == nil:
			first = store
		}
	}
	return first
}

// advised reports whether an error says what to try, and to run kinit would not help.
func advised(name ccache.Name, err error) bool {
	return noKeyrings(name, err) || errors.Is(err, kcm.ErrNoDaemon)
}

// noKeyrings reports whether the kernel offers no keyrings to this process, as in many
// containers. The error says so, and kinit would not help.
func noKeyrings(name ccache.Name, err error) bool {
	return name.Type == "KEYRING" && (errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported))
}

// A noCacheError says that a collection has no cache of a client.
type noCacheError struct {
	name   ccache.Name
	client krb.Principal
	said   string // why that client is wanted
}

func (e *noCacheError) Error() string {
	return fmt.Sprintf("credential cache %s: none of its caches is for %s, who is %s", e.name, e.client, e.said)
}

func (e *noCacheError) Unwrap() error { return fs.ErrNotExist }

// ofRealm returns the cache whose client is of the server's realm or, where that is not
// known, of a realm that the host's name ends in.
func (c *cacheCredentials) ofRealm(ctx context.Context, stores []ccache.Store, server krb.Principal) ccache.Store {
	realm, host := server.Realm, ""
	if len(server.Components) == 2 {
		host = strings.ToUpper(strings.TrimSuffix(hostOf(server), "."))
	}
	if realm == "" {
		_, realm, _ = strings.Cut(host, ".")
	}
	var best ccache.Store
	length := 0
	for _, store := range stores {
		h, ok := c.holding(ctx, store)
		if !ok {
			continue
		}
		if h.client.Realm == realm {
			return store
		}
		if n := len(h.client.Realm); n > length && strings.HasSuffix("."+host, "."+h.client.Realm) {
			best, length = store, n
		}
	}
	return best
}

// A holding is what is remembered of one cache among several. The caches themselves may
// be many and large.
type holding struct {
	state  string // of the cache when it was read
	client krb.Principal
	until  time.Time // end of its ticket-granting ticket, else of its last ticket, by the local clock
}

func (c *cacheCredentials) valid(h holding) bool { return c.s.o.Now().Before(h.until) }

// holding reads what the choice needs to know of a cache. It is false for a cache that
// cannot be read.
func (c *cacheCredentials) holding(ctx context.Context, store ccache.Store) (holding, bool) {
	if ctx.Err() != nil {
		return holding{}, false
	}
	m := c.member(store)
	state, err := store.State(ctx)
	if err != nil {
		return holding{}, false
	}
	m.mu.Lock()
	known := m.held
	m.mu.Unlock()
	if known.state == state {
		return known, true
	}
	cache, err := store.Load(ctx)
	if err != nil {
		return holding{}, false
	}
	h := holding{state, cache.Client, c.until(cache)}
	m.mu.Lock()
	m.held = h
	m.mu.Unlock()
	return h, true
}

// until returns when the last ticket that counts ends; zero if nothing in the cache is
// valid now.
func (c *cacheCredentials) until(cache *ccache.Cache) (end time.Time) {
	tgt, err := cache.TGT(c.query())
	switch {
	case err == nil:
		end = tgt.EndTime.Add(-spare(tgt))
	case errors.Is(err, ccache.ErrNoTicket):
		for i := range cache.Credentials {
			if t := cache.Credentials[i].EndTime; t.After(end) {
				end = t
			}
		}
	}
	if end.IsZero() {
		return end
	}
	return end.Add(-cache.KDCOffset)
}

const identityFile = ".k5identity"

// identities reads the user's .k5identity, nil where there is none.
func (s *Source) identities() (*k5identity.File, error) {
	home := s.o.Getenv("HOME")
	if home == "" {
		// user.Current may go by the environment.
		if u, err := user.LookupId(strconv.Itoa(os.Geteuid())); err == nil {
			home = u.HomeDir
		}
	}
	if home == "" {
		return nil, nil
	}
	path := filepath.Join(home, identityFile)
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil, nil // as in MIT krb5: a file that cannot be read counts as none
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil
	}
	defer f.Close()
	identities, err := k5identity.Parse(f, s.conf.DefaultRealm)
	if err != nil {
		return nil, s.noCredentials(fmt.Errorf("read %s: %w", path, err), "mend the file, or remove it")
	}
	return identities, nil
}

// alone is embedded in credentials that consist of one session, so that there is nothing
// to choose.
type alone struct{}

func (alone) choose(context.Context, krb.Principal) (string, uint64, error) { return "", 0, nil }
func (alone) check(context.Context, *session, time.Time) (uint64, bool)     { return 0, false }
