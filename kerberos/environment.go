package kerberos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// FromEnvironment returns a source that finds credentials as programs on MIT
// krb5 do: the cache that $KRB5CCNAME names, else default_ccache_name in
// krb5.conf, else FILE:/tmp/krb5cc_<uid>; and where that holds nothing of use,
// the client keytab of $KRB5_CLIENT_KTNAME or default_client_keytab_name.
// Nothing is read before a ticket is asked for, save krb5.conf. A cache file that
// has its name by default and belongs to another user is not used. On Windows no
// cache is the default.
func FromEnvironment(o SourceOptions) (*Source, error) {
	s, err := newSource(o)
	if err != nil {
		return nil, err
	}
	cache, err := s.defaultCache()
	if err != nil {
		return nil, err
	}
	keytabs := s.conf.ClientKeytabs()
	named := s.o.Getenv("KRB5_CLIENT_KTNAME")
	if named != "" {
		keytabs = []string{named}
	}
	creds := &environmentCredentials{cache: cache, named: named != ""}
	for _, name := range keytabs {
		kt, err := s.keytab(name)
		if err != nil {
			return nil, err
		}
		creds.keytabs = append(creds.keytabs, kt)
	}
	s.creds = creds
	return s, nil
}

// defaultCache returns the credentials of the cache that the environment or krb5.conf
// names, or of none.
func (s *Source) defaultCache() (*cacheCredentials, error) {
	if name := s.o.Getenv("KRB5CCNAME"); name != "" {
		return s.cache(name, true)
	}
	if name := s.conf.DefaultCCacheName; name != "" {
		return s.cache(name, false)
	}
	return s.cacheOf(ccache.Name{}, refused{errNoDefaultCache})
}

// errNoDefaultCache: on Windows MIT krb5 keeps the default cache in a process of its own,
// and anybody could plant a file under a name that all can guess.
var errNoDefaultCache = errors.New("no credential cache is named, and Windows has no default one")

// environmentCredentials are those of a cache, or else of a client keytab.
type environmentCredentials struct {
	cache   *cacheCredentials
	keytabs []*keytabCredentials
	named   bool // $KRB5_CLIENT_KTNAME names the keytab
}

// fromKeytab, followed by the wanted principal, if any, is the name of a session of a
// client keytab. No cache has such a name.
const fromKeytab = "client keytab "

func (c *environmentCredentials) choose(ctx context.Context, server krb.Principal) (string, uint64, error) {
	name, epoch, err := c.cache.choose(ctx, server)
	if err == nil {
		return name, epoch, nil
	}
	if c.keytab() == nil {
		return name, epoch, c.withoutKeytab(err)
	}
	name = fromKeytab
	if missing, ok := errors.AsType[*noCacheError](err); ok {
		// The principal that .k5identity names is needed; no other will do.
		name += missing.client.String()
	}
	return name, c.cache.epoch.Load(), nil
}

func (c *environmentCredentials) check(ctx context.Context, s *session, now time.Time) (uint64, bool) {
	if s.state == "" {
		// A session of a keytab stays until the next login, even if a cache appears.
		return c.cache.epoch.Load(), false
	}
	return c.cache.check(ctx, s, now)
}

func (c *environmentCredentials) open(ctx context.Context, name string) (*session, error) {
	var err error
	client, keytab := strings.CutPrefix(name, fromKeytab)
	if !keytab {
		var s *session
		if s, err = c.cache.open(ctx, name); err == nil {
			return s, nil
		}
		client = ""
	}
	if c.keytab() == nil {
		return nil, c.withoutKeytab(err)
	}
	kt, err := c.keytabOf(client)
	if err != nil {
		return nil, err
	}
	return kt.open(ctx, "")
}

func (c *environmentCredentials) refresh(ctx context.Context, s *session) (*session, error) {
	if s.state == "" {
		name := s.name
		if !strings.HasPrefix(name, fromKeytab) {
			name = fromKeytab
		}
		return c.open(ctx, name)
	}
	return c.cache.refresh(ctx, s)
}

// keytabOf returns the client keytab for the principal in a session's name, "" for any.
// The keytab exists.
func (c *environmentCredentials) keytabOf(client string) (*keytabCredentials, error) {
	kt := c.keytab()
	if kt == nil {
		return nil, c.cache.s.noCredentials(errors.New("the client keytab is gone"), "")
	}
	if client == "" {
		return kt, nil
	}
	as := *kt
	var err error
	if as.want, err = krb.ParsePrincipal(client); err != nil {
		return nil, kt.s.noCredentials(err, "")
	}
	if as.want.Equal(kt.want) {
		as.want = kt.want // it may be an enterprise name
	}
	return &as, nil
}

// withoutKeytab tells of an error of the cache that the client keytab is missing too, if
// somebody named it.
func (c *environmentCredentials) withoutKeytab(err error) error {
	e, ok := err.(*middleware.Error)
	if !ok || !c.named || !errors.Is(e, middleware.ErrCredentials) {
		return err
	}
	of := *e
	of.Err = fmt.Errorf("client keytab %s: %w; and %w", c.keytabs[0].path, fs.ErrNotExist, e.Err)
	return &of
}

// keytab returns the first client keytab that exists.
func (c *environmentCredentials) keytab() *keytabCredentials {
	for _, kt := range c.keytabs {
		if _, err := os.Stat(kt.path); !errors.Is(err, fs.ErrNotExist) {
			return kt
		}
	}
	return nil
}
