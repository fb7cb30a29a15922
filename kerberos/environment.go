package kerberos

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"
)

// FromEnvironment returns a source that finds credentials as programs on MIT
// krb5 do: the cache that $KRB5CCNAME names, else default_ccache_name in
// krb5.conf, else FILE:/tmp/krb5cc_<uid>; and where that holds nothing of use,
// the client keytab of $KRB5_CLIENT_KTNAME or default_client_keytab_name.
// Nothing is read before a ticket is asked for, save krb5.conf.
func FromEnvironment(o Options) (*Source, error) {
	s, err := newSource(o)
	if err != nil {
		return nil, err
	}
	name := s.o.Getenv("KRB5CCNAME")
	if name == "" {
		name = s.conf.DefaultCCacheName
	}
	cache, err := s.cache(name)
	if err != nil {
		return nil, err
	}
	keytabs := s.conf.ClientKeytabs()
	if name := s.o.Getenv("KRB5_CLIENT_KTNAME"); name != "" {
		keytabs = []string{name}
	}
	creds := &environmentCredentials{cache: cache}
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

// environmentCredentials are a cache, or else a client keytab.
type environmentCredentials struct {
	cache   *cacheCredentials
	keytabs []*keytabCredentials
}

func (c *environmentCredentials) changed(s *session, now time.Time) bool {
	// A session from a keytab has no stamp: a cache that appears later is used
	// from the next login on.
	return s.stamp.file != nil && c.cache.changed(s, now)
}

func (c *environmentCredentials) open(ctx context.Context) (*session, error) {
	s, err := c.cache.open(ctx)
	if err == nil {
		return s, nil
	}
	for _, kt := range c.keytabs {
		if _, statErr := os.Stat(strings.TrimPrefix(kt.path, "FILE:")); errors.Is(statErr, fs.ErrNotExist) {
			continue
		}
		return kt.open(ctx)
	}
	return nil, err
}
