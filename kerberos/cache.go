package kerberos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/krb5conf"
)

// CCache returns a source that uses a credential cache, such as
// "FILE:/tmp/krb5cc_1000", a bare path, or "DIR:/run/user/1000/krb5cc": of such a
// collection the cache of o.Principal, or the primary one. %{uid} and its like
// are expanded. The file is read when a ticket is first asked for, and again
// when it changed or what was read has run out. It is never written. Caches of
// other types are not supported yet, and the error says what to do.
func CCache(name string, o Options) (*Source, error) {
	s, err := newSource(o)
	if err != nil {
		return nil, err
	}
	creds, err := s.cache(name)
	if err != nil {
		return nil, err
	}
	s.creds = creds
	return s, nil
}

func (s *Source) cache(name string) (*cacheCredentials, error) {
	expanded, err := krb5conf.Options{Getenv: s.o.Getenv}.Expand(name)
	if err != nil {
		return nil, s.noCredentials(fmt.Errorf("credential cache %s: %w", name, err), "")
	}
	parsed, err := ccache.ParseName(expanded)
	if err != nil {
		return nil, s.noCredentials(fmt.Errorf("credential cache: %w", err), "name it as FILE:/path")
	}
	p, err := s.principal()
	if err != nil {
		return nil, err
	}
	return &cacheCredentials{s: s, name: parsed, want: p}, nil
}

// cacheCredentials are those that kinit left in a file.
type cacheCredentials struct {
	s    *Source
	name ccache.Name
	want krb.Principal // zero: anyone

	mu      sync.Mutex
	checked time.Time
	seen    stamp         // when it was last looked at
	last    *ccache.Cache // the last that could be read whole
	stamp   stamp         // of last
}

// A stamp tells one state of a file from another.
type stamp struct {
	modified time.Time
	size     int64
	file     os.FileInfo
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.ModTime(), info.Size(), info}, nil
}

func (a stamp) same(b stamp) bool {
	return a.file != nil && b.file != nil && a.size == b.size && a.modified.Equal(b.modified) && os.SameFile(a.file, b.file)
}

// interval is how often a cache file is looked at, at most.
const interval = time.Second

// changed looks at the file once a second at most. A file that is gone for a
// moment, as while kinit replaces it, has not changed.
func (c *cacheCredentials) changed(s *session, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := now.Sub(c.checked); d < 0 || d >= interval {
		c.checked = now
		// Of a collection, another cache may have become the primary one.
		if path, err := ccache.File(c.name, c.want); err == nil {
			if at, err := stampOf(path); err == nil {
				c.seen = at
			}
		}
	}
	return c.seen.file != nil && !c.seen.same(s.stamp)
}

func (c *cacheCredentials) open(context.Context) (*session, error) {
	cache, at, err := c.read()
	if err != nil {
		return nil, err
	}
	if !c.want.IsZero() && !c.want.Equal(cache.Client) {
		return nil, c.s.noCredentials(fmt.Errorf("%s holds credentials of %s", c.name, cache.Client),
			fmt.Sprintf("run kinit -c %s %s, or name a cache of that principal", c.name, c.want))
	}
	if c.s.conf.KDCTimesync && cache.KDCOffset != 0 {
		c.s.kdc.SetOffset(cache.Client.Realm, cache.KDCOffset)
	}
	s := &session{client: cache.Client, source: c.name.String(), stamp: at}
	query := func() ccache.Query {
		return ccache.Query{Etypes: these(c.s.conf.PermittedEnctypes), Now: c.s.o.Now()}
	}
	s.stored = func(server krb.Principal) (*krb.Ticket, bool) {
		t, err := cache.Ticket(server, query())
		return t, err == nil
	}
	tgt, err := cache.TGT(query())
	switch {
	case err == nil:
		s.tgt = tgt
	case errors.Is(err, ccache.ErrNoTicket) && len(cache.Credentials) > 0:
		// Service tickets alone are enough for their services.
	default:
		e := c.s.noCredentials(fmt.Errorf("%s: %w", c.name, err), "")
		e.Principal = cache.Client.String()
		return nil, e
	}
	return s, nil
}

// read returns the cache as it is now or, while it is being written, as it was.
func (c *cacheCredentials) read() (*ccache.Cache, stamp, error) {
	var at stamp
	var cache *ccache.Cache
	path, err := ccache.File(c.name, c.want)
	if err == nil {
		at, err = stampOf(path)
	}
	if err == nil {
		cache, err = ccache.Load(ccache.Name{Type: "FILE", Residual: path})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.last, c.stamp, c.seen = cache, at, at
		return cache, at, nil
	}
	if c.last != nil && (errors.Is(err, ccache.ErrTruncated) || errors.Is(err, fs.ErrNotExist)) {
		return c.last, c.stamp, nil
	}
	var unsupported *ccache.UnsupportedTypeError
	var malformed *ccache.ParseError
	hint := "run kinit"
	switch {
	case errors.As(err, &unsupported):
		return nil, stamp{}, c.s.noCredentials(err, "")
	case errors.As(err, &malformed):
		return nil, stamp{}, c.s.noCredentials(err, hint)
	case errors.Is(err, fs.ErrNotExist):
		hint = "run kinit, or name the cache in KRB5CCNAME"
	case errors.Is(err, fs.ErrPermission):
		hint = "the cache belongs to another user: run kinit, or name another in KRB5CCNAME"
	}
	return nil, stamp{}, c.s.noCredentials(fmt.Errorf("read credential cache %s: %w", c.name, err), hint)
}
