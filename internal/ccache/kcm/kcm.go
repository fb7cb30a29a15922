package kcm

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/kerbchain/kerbchain/internal/ccache"
)

const (
	kind      = "KCM"
	maxName   = 1024 // bytes
	maxStores = 4096 // caches of a collection
)

// Options say how to reach the daemon.
type Options struct {
	// Socket is the path of its socket, kcm_socket in krb5.conf. Empty means
	// that KCM is switched off there.
	Socket string
	// Dial connects to it, with network "unix". Nil means a [net.Dialer].
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Open returns what n names: "KCM:" is the collection of the user who asks, and
// "KCM:1000:12345" or "KCM:1000" one cache, alone. The daemon is not asked yet.
// It is an error for KCM to be switched off.
func Open(n ccache.Name, o Options) (ccache.Collection, error) {
	switch {
	case n.Type != kind:
		return nil, fmt.Errorf("credential cache %s is not of type %s", n, kind)
	case strings.ContainsRune(n.Residual, 0) || len(n.Residual) > maxName:
		return nil, fmt.Errorf("credential cache %.80q: want a name of at most %d bytes without NUL, such as KCM:1000:12345", n, maxName)
	case o.Socket == "":
		return nil, fmt.Errorf("credential cache %s: KCM is switched off, kcm_socket = - in krb5.conf; name the daemon's socket there or choose another type of cache, KRB5CCNAME=FILE:/path", n)
	}
	d := &daemon{socket: o.Socket, dial: o.Dial, uid: os.Geteuid()}
	if d.dial == nil {
		d.dial = new(net.Dialer).DialContext
	}
	if n.Residual != "" {
		return &single{&store{daemon: d, name: n}}, nil
	}
	return &collection{d, n}, nil
}

// A daemon is where to reach one, and as whom.
type daemon struct {
	socket string
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	uid    int // -1 where users have no numbers
}

// single is one cache without its siblings.
type single struct{ store *store }

func (c *single) Primary(context.Context) (ccache.Store, error) { return c.store, nil }

func (c *single) Stores(ctx context.Context) ([]ccache.Store, error) {
	var out []ccache.Store
	err := c.store.daemon.talk(ctx, c.store.name, func(s *session) error {
		ok, err := s.exists(c.store.name.Residual)
		if ok {
			out = []ccache.Store{c.store}
		}
		return err
	})
	return out, err
}

// collection is all that the daemon keeps for the user.
type collection struct {
	daemon *daemon
	name   ccache.Name
}

func (c *collection) Primary(ctx context.Context) (ccache.Store, error) {
	var out ccache.Store
	err := c.daemon.talk(ctx, c.name, func(s *session) error {
		name, err := s.name(opGetDefaultCache)
		if err == nil {
			out = c.store(name)
		}
		return err
	})
	return out, err
}

func (c *collection) store(name string) *store {
	return &store{daemon: c.daemon, name: ccache.Name{Type: kind, Residual: name}}
}

// Stores asks whether the primary cache holds a principal. The others are as the
// daemon lists them: one may turn out not to exist when it is loaded.
func (c *collection) Stores(ctx context.Context) ([]ccache.Store, error) {
	var out []ccache.Store
	err := c.daemon.talk(ctx, c.name, func(s *session) error {
		uuids, err := s.uuids(opGetCacheUUIDList, "")
		if gone(err) {
			return nil // so both daemons say that there are none
		}
		if err != nil {
			return err
		}
		primary, err := s.name(opGetDefaultCache)
		if err != nil {
			return err
		}
		seen := map[string]bool{primary: true}
		if ok, err := s.exists(primary); err != nil {
			return err
		} else if ok {
			out = append(out, c.store(primary))
		}
		for _, id := range uuids[:min(len(uuids), maxStores)] {
			if len(out) == maxStores {
				break
			}
			name, err := s.name(opGetCacheByUUID, id[:])
			if gone(err) {
				continue // gone meanwhile
			}
			if err != nil {
				return err
			}
			if !seen[name] {
				seen[name] = true
				out = append(out, c.store(name))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
