package kerberos

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"sync"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/middleware"
)

// MemoryCaches holds credential caches of type MEMORY, for programs whose credentials
// do not come from a disk but from a vault, say. Sources can share it. The zero value
// is empty and ready. It is safe for concurrent use.
type MemoryCaches struct {
	mu     sync.Mutex
	caches map[string]memoryCache
}

type memoryCache struct {
	file  []byte
	state uint64
}

// Put makes "MEMORY:name" stand for the contents of a credential cache file, in
// place of what was there; nil contents remove it. They are copied.
func (m *MemoryCaches) Put(name string, file []byte) error {
	if file != nil {
		c, err := ccache.Parse(file)
		if err == nil && c.Torn != nil {
			err = c.Torn
		}
		if err != nil {
			return &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, Err: fmt.Errorf("MEMORY:%s: %w", name, err),
				Hint: "give the bytes of a credential cache file, such as kinit -c FILE:/path makes"}
		}
	}
	m.put(name, file)
	return nil
}

func (m *MemoryCaches) put(name string, file []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.caches == nil {
		m.caches = make(map[string]memoryCache)
	}
	if file == nil {
		delete(m.caches, name)
		return
	}
	m.caches[name] = memoryCache{append([]byte(nil), file...), m.caches[name].state + 1}
}

// Get returns the contents of "MEMORY:name" as those of a file, service tickets
// that sources wrote back included, or false if there is no such cache. They
// hold keys.
func (m *MemoryCaches) Get(name string) (file []byte, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.caches[name]
	return append([]byte(nil), c.file...), ok
}

func (m *MemoryCaches) open(n ccache.Name) (ccache.Collection, error) {
	if m == nil {
		m = &MemoryCaches{}
	}
	return &memoryStore{m, n}, nil
}

// memoryStore is one cache, which is a collection of its own.
type memoryStore struct {
	in   *MemoryCaches
	name ccache.Name
}

func (s *memoryStore) Name() ccache.Name { return s.name }

func (s *memoryStore) Primary(context.Context) (ccache.Store, error) { return s, nil }

func (s *memoryStore) Stores(context.Context) ([]ccache.Store, error) {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	if _, ok := s.in.caches[s.name.Residual]; !ok {
		return nil, nil
	}
	return []ccache.Store{s}, nil
}

func (s *memoryStore) get() (memoryCache, error) {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	c, ok := s.in.caches[s.name.Residual]
	if !ok {
		return c, fmt.Errorf("credential cache %s: this program has put nothing there, and no other can: %w", s.name, fs.ErrNotExist)
	}
	return c, nil
}

func (s *memoryStore) State(context.Context) (string, error) {
	c, err := s.get()
	return strconv.FormatUint(c.state, 10), err
}

func (s *memoryStore) Load(context.Context) (*ccache.Cache, error) {
	c, err := s.get()
	if err != nil {
		return nil, err
	}
	return ccache.Parse(c.file)
}

func (s *memoryStore) Add(_ context.Context, credentials ...ccache.Credential) error {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	c, ok := s.in.caches[s.name.Residual]
	if !ok {
		return fmt.Errorf("credential cache %s: %w", s.name, fs.ErrNotExist)
	}
	parsed, err := ccache.Parse(c.file)
	if err != nil {
		return err
	}
	parsed.Credentials = append(parsed.Credentials, credentials...)
	return s.store(parsed)
}

func (s *memoryStore) Replace(_ context.Context, c *ccache.Cache) error {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	return s.store(c)
}

// store puts c in the place of the cache. The lock must be held.
func (s *memoryStore) store(c *ccache.Cache) error {
	file, err := c.Marshal()
	if err != nil {
		return err
	}
	if s.in.caches == nil {
		s.in.caches = make(map[string]memoryCache)
	}
	s.in.caches[s.name.Residual] = memoryCache{file, s.in.caches[s.name.Residual].state + 1}
	return nil
}
