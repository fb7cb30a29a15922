package kcm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kerbchain/kerbchain/internal/ccache"
)

// store is one cache. It is safe for concurrent use, and so are all of its
// copies.
type store struct {
	daemon *daemon
	name   ccache.Name
	// there is how many entries the cache had when it was last looked at, and
	// those since added. Other programs add to it too, and a daemon has a limit
	// of its own: this one keeps us from filling a cache beyond what is read.
	there atomic.Int64
}

func (st *store) Name() ccache.Name { return st.name }

// talk holds a session about this cache.
func (st *store) talk(ctx context.Context, f func(*session) error) error {
	return st.daemon.talk(ctx, st.name, f)
}

// State is a hash of principal, clock offset and the identifiers of the
// credentials: a daemon gives a new one to each that is stored. It costs three
// small requests over one connection.
func (st *store) State(ctx context.Context) (string, error) {
	sum := sha256.New()
	err := st.talk(ctx, func(s *session) error {
		p, err := s.principal(st.name.Residual)
		if err != nil {
			return err
		}
		b, err := ccache.MarshalPrincipal(p)
		if err != nil {
			return err
		}
		offset, err := s.offset(st.name.Residual)
		if err != nil {
			return err
		}
		ids, err := s.uuids(opGetCredUUIDList, st.name.Residual)
		if err != nil {
			return err
		}
		sum.Write(b)
		sum.Write(u32(uint32(offset)))
		for _, id := range ids {
			sum.Write(id[:])
		}
		st.there.Store(int64(len(ids)))
		return nil
	})
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// rounds is how often a cache is read that changes while it is.
const rounds = 4

// Load reads again if it sees that the cache was put in place anew meanwhile. In
// the end a credential that was listed and is gone is left out.
func (st *store) Load(ctx context.Context) (*ccache.Cache, error) {
	var out *ccache.Cache
	err := st.talk(ctx, func(s *session) error {
		for range rounds {
			c, settled, err := s.load(st.name.Residual)
			if err != nil {
				return err
			}
			if out = c; settled {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	st.there.Store(int64(len(out.Config) + len(out.Unknown) + len(out.Credentials)))
	return out, nil
}

// load reads a cache once; settled says that nothing was seen to change.
func (s *session) load(name string) (c *ccache.Cache, settled bool, err error) {
	c = &ccache.Cache{Version: 4}
	if c.Client, err = s.principal(name); err != nil {
		return nil, false, err
	}
	offset, err := s.offset(name)
	if err != nil {
		return nil, false, err
	}
	c.KDCOffset = time.Duration(offset) * time.Second
	list, settled, err := s.credentials(name)
	if err != nil {
		return nil, false, err
	}
	for _, b := range list {
		if err := c.Append(b); err != nil {
			return nil, false, s.explain(err)
		}
	}
	c.Config = first(c.Config)
	still, err := s.principal(name)
	if err != nil {
		return nil, false, err
	}
	return c, settled && still.Equal(c.Client), nil
}

// credentials returns the encoded credentials, by GET_CRED_LIST or else one by
// one; complete says that none had gone between the list and itself.
func (s *session) credentials(name string) (list [][]byte, complete bool, err error) {
	b, err := s.call(opGetCredList, stringz(name))
	if err == nil {
		list, err := parseList(b)
		return list, true, s.explain(err)
	}
	if !unsupported(err) {
		return nil, false, err
	}
	ids, err := s.uuids(opGetCredUUIDList, name)
	if err != nil {
		return nil, false, err
	}
	if len(ids) > ccache.MaxEntries {
		return nil, false, s.explain(tooMany(len(ids)))
	}
	complete = true
	total := 0
	for _, id := range ids {
		b, err := s.call(opGetCredByUUID, stringz(name), id[:])
		if gone(err) {
			complete = false
			continue
		}
		if err != nil {
			return nil, false, err
		}
		if total += len(b); total > ccache.MaxSize {
			return nil, false, s.explain(malformed(0, fmt.Sprintf("a cache of at most %d bytes", ccache.MaxSize)))
		}
		list = append(list, b)
	}
	return list, complete, nil
}

// first keeps the first entry about each thing: sssd lists what was stored last
// first, and some of its versions remove nothing.
func first(config []ccache.Config) []ccache.Config {
	type about struct{ key, principal string }
	seen := map[about]bool{}
	var out []ccache.Config
	for _, e := range config {
		if k := (about{e.Key, e.Principal}); !seen[k] {
			seen[k] = true
			out = append(out, e)
		}
	}
	return out
}

// ours is an error if the cache's name says that it is another user's: daemons
// have it begin with the user's number, and let root write to all.
func (st *store) ours() error {
	user, _, _ := strings.Cut(st.name.Residual, ":")
	uid, err := strconv.ParseUint(user, 10, 32)
	if err == nil && st.daemon.uid >= 0 && uid != uint64(st.daemon.uid) {
		return fmt.Errorf("credential cache %s: %w: it is user %d's, and we are %d", st.name, ccache.ErrNotOurs, uid, st.daemon.uid)
	}
	return nil
}

// Add stores one credential after the other. Those before an error are stored.
// None is where the cache would have more of them than are read.
func (st *store) Add(ctx context.Context, credentials ...ccache.Credential) error {
	if err := st.ours(); err != nil || len(credentials) == 0 {
		return err
	}
	list, err := marshal(credentials)
	if err != nil {
		return err
	}
	if err := ccache.Fits(int(st.there.Load()) + len(list)); err != nil {
		return fmt.Errorf("credential cache %s: %w", st.name, err)
	}
	return st.talk(ctx, func(s *session) error { return st.put(s, list) })
}

func (st *store) put(s *session, list [][]byte) error {
	for _, b := range list {
		if _, err := s.call(opStore, stringz(st.name.Residual), b); err != nil {
			return err
		}
		st.there.Add(1)
	}
	return nil
}

func marshal(credentials []ccache.Credential) ([][]byte, error) {
	var out [][]byte
	for i := range credentials {
		b, err := credentials[i].Marshal()
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// Replace makes the cache if there is none. With a daemon that has no REPLACE,
// such as Heimdal's, the cache is emptied first and then filled, as by kinit:
// readers see it half full for a moment, and an error leaves it so.
// The clock offset is kept in whole seconds.
func (st *store) Replace(ctx context.Context, c *ccache.Cache) error {
	if err := st.ours(); err != nil {
		return err
	}
	principal, err := ccache.MarshalPrincipal(c.Client)
	if err != nil {
		return err
	}
	all := c.Entries()
	if err := ccache.Fits(len(all)); err != nil {
		return fmt.Errorf("credential cache %s: %w", st.name, err)
	}
	list, err := marshal(all)
	if err != nil {
		return err
	}
	seconds := c.KDCOffset.Round(time.Second) / time.Second
	if seconds < math.MinInt32 || seconds >= math.MaxInt32 {
		return fmt.Errorf("credential cache %s: KDC offset %v exceeds 32 bits of seconds", st.name, c.KDCOffset)
	}
	name, offset := stringz(st.name.Residual), u32(uint32(int32(seconds)))

	return st.talk(ctx, func(s *session) error {
		params := [][]byte{name, offset, principal, u32(uint32(len(list)))}
		for _, b := range list {
			params = append(params, u32(uint32(len(b))), b)
		}
		// Heimdal hangs up on what is longer than 128 KiB.
		_, err := s.call(opReplace, params...)
		if err == nil {
			st.there.Store(int64(len(list)))
		}
		if !unsupported(err) && !errors.Is(err, errHungUp) {
			return err
		}
		if _, err := s.call(opInitialize, name, principal); err != nil {
			return err
		}
		st.there.Store(0)
		if _, err := s.call(opSetKDCOffset, name, offset); err != nil && !(refused(err) && seconds == 0) {
			return err
		}
		return st.put(s, list)
	})
}
