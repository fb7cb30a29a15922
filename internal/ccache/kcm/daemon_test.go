package kcm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/testmain"
)

// A dialect is the ways of one daemon.
type dialect struct {
	list, replace  bool // knows GET_CRED_LIST, REPLACE
	newestFirst    bool // lists what was stored last first
	unknown        int32
	unknownAsError bool  // as status, not as result
	storeNowhere   int32 // STORE into a cache that is not there, as status
	listNowhere    int32 // GET_CRED_UUID_LIST of one
	noPrincipal    bool  // an uninitialised cache gives nothing, not an error
	noOffset       int32
	maxRequest     int
	hangUpAfter    int // replies, 0 for never
}

var dialects = map[string]dialect{
	"Heimdal": {unknown: fccInternal, listNowhere: fccNoFile, noPrincipal: true, maxRequest: 128 << 10},
	"sssd, old": {newestFirst: true, unknown: ccIO, unknownAsError: true, storeNowhere: ccNotFound, listNowhere: ccNotFound,
		noOffset: math.MaxInt32, maxRequest: maxMessage},
	"sssd": {list: true, newestFirst: true, unknown: ccNoSupp, unknownAsError: true, storeNowhere: ccNotFound, listNowhere: ccNotFound,
		noOffset: math.MaxInt32, maxRequest: maxMessage},
	"all extensions": {list: true, replace: true, unknown: ccNoSupp, listNowhere: ccNotFound, maxRequest: maxMessage},
}

// fake is a daemon in the process. What it holds is set under its lock.
type fake struct {
	dialect
	socket string

	mu sync.Mutex
	// before runs ahead of each request, under the lock; it may change what the
	// daemon holds, and answer itself.
	before  func(op opcode, name string) (status, result int32, answered bool)
	caches  []*kept
	primary string
	dials   int
	asked   []opcode
	serial  uint64
}

type kept struct {
	name      string
	id        uuid
	principal []byte
	offset    int32
	creds     []keptCred
}

type keptCred struct {
	id uuid
	b  []byte
}

func start(t *testing.T, d dialect) *fake {
	t.Helper()
	f := &fake{dialect: d, socket: filepath.Join(testmain.SocketDir(t), "s")}
	l, err := net.Listen("unix", f.socket)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			wg.Go(func() {
				f.serve(c)
				c.Close()
				mu.Lock()
				delete(conns, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return f
}

func (f *fake) serve(c net.Conn) {
	f.mu.Lock()
	f.dials++
	f.mu.Unlock()
	for served := 0; f.hangUpAfter == 0 || served < f.hangUpAfter; served++ {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint32(size[:]))
		if n > f.maxRequest {
			return
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		f.mu.Lock()
		status, result, body := f.answer(b)
		f.mu.Unlock()
		if _, err := c.Write(reply(status, result, body)); err != nil {
			return
		}
	}
}

// reply is a reply's bytes: nothing but a status, or result and body.
func reply(status, result int32, body []byte) []byte {
	if status != 0 {
		return slices.Concat(u32(0), u32(uint32(status)))
	}
	return slices.Concat(u32(uint32(4+len(body))), u32(0), u32(uint32(result)), body)
}

func (f *fake) newID() (id uuid) {
	f.serial++
	binary.BigEndian.PutUint64(id[8:], f.serial)
	return id
}

func (f *fake) find(name string) *kept {
	for _, c := range f.caches {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (f *fake) destroy(name string) {
	f.caches = slices.DeleteFunc(f.caches, func(c *kept) bool { return c.name == name })
}

func (f *fake) initialize(name string, principal []byte) *kept {
	c := f.find(name)
	if c == nil {
		c = &kept{name: name, id: f.newID()}
		f.caches = append(f.caches, c)
	}
	c.principal, c.creds, c.offset = principal, nil, f.noOffset
	return c
}

func (f *fake) keep(c *kept, b []byte) {
	entry := keptCred{f.newID(), b}
	if f.newestFirst {
		c.creds = slices.Insert(c.creds, 0, entry)
	} else {
		c.creds = append(c.creds, entry)
	}
}

// answer takes a request without its length.
func (f *fake) answer(b []byte) (status, result int32, body []byte) {
	if len(b) < 4 || b[0] != 2 || b[1] != 0 {
		return ccIO, 0, nil
	}
	op := opcode(binary.BigEndian.Uint16(b[2:]))
	f.asked = append(f.asked, op)
	b = b[4:]
	var name string
	switch op {
	case opGetCacheUUIDList, opGetCacheByUUID, opGetDefaultCache:
	default:
		n, rest, ok := bytes.Cut(b, []byte{0})
		if !ok {
			return ccIO, 0, nil
		}
		name, b = string(n), rest
	}
	if f.before != nil {
		if status, result, answered := f.before(op, name); answered {
			return status, result, nil
		}
	}
	c := f.find(name)
	switch op {
	case opGetPrincipal:
		switch {
		case c == nil:
			return 0, fccNoFile, nil
		case c.principal == nil && !f.noPrincipal:
			return 0, ccNotFound, nil
		}
		return 0, 0, c.principal
	case opGetKDCOffset:
		if c == nil {
			return 0, fccNoFile, nil
		}
		return 0, 0, u32(uint32(c.offset))
	case opGetCredUUIDList:
		if c == nil {
			return 0, f.listNowhere, nil
		}
		for _, cred := range c.creds {
			body = append(body, cred.id[:]...)
		}
		return 0, 0, body
	case opGetCredByUUID:
		if c == nil {
			return 0, fccNoFile, nil
		}
		for _, cred := range c.creds {
			if bytes.Equal(cred.id[:], b) {
				return 0, 0, cred.b
			}
		}
		return 0, ccEnd, nil
	case opGetDefaultCache:
		return 0, 0, stringz(f.primary)
	case opGetCacheUUIDList:
		if len(f.caches) == 0 {
			return 0, fccNoFile, nil
		}
		for _, c := range f.caches {
			body = append(body, c.id[:]...)
		}
		return 0, 0, body
	case opGetCacheByUUID:
		for _, c := range f.caches {
			if bytes.Equal(c.id[:], b) {
				return 0, 0, stringz(c.name)
			}
		}
		return 0, ccEnd, nil
	case opInitialize:
		f.initialize(name, b)
		return 0, 0, nil
	case opSetKDCOffset:
		if c == nil {
			return 0, fccNoFile, nil
		}
		c.offset = int32(binary.BigEndian.Uint32(b))
		return 0, 0, nil
	case opStore:
		if c == nil && f.storeNowhere != 0 {
			return f.storeNowhere, 0, nil
		}
		if c == nil {
			return 0, fccNoFile, nil
		}
		f.keep(c, b)
		return 0, 0, nil
	}
	switch {
	case op == opGetCredList && f.list:
		if c == nil {
			return 0, ccNotFound, nil
		}
		body = u32(uint32(len(c.creds)))
		for _, cred := range c.creds {
			body = append(append(body, u32(uint32(len(cred.b)))...), cred.b...)
		}
		return 0, 0, body
	case op == opReplace && f.replace:
		if !f.replaceAll(name, b) {
			return 0, ccIO, nil
		}
		return 0, 0, nil
	case f.unknownAsError:
		return f.unknown, 0, nil
	}
	return 0, f.unknown, nil
}

// replaceAll reads a clock offset, a principal and a list of credentials.
func (f *fake) replaceAll(name string, b []byte) bool {
	word := func(b []byte) int { return int(binary.BigEndian.Uint32(b)) }
	offset, b := word(b), b[4:]
	end := 8
	for range 1 + word(b[4:]) { // realm and components
		end += 4 + word(b[end:])
	}
	principal, b := b[:end], b[end:]
	count, b := word(b), b[4:]
	c := f.initialize(name, principal)
	c.offset = int32(offset)
	for range count {
		n := word(b)
		f.keep(c, b[4:4+n])
		b = b[4+n:]
	}
	return len(b) == 0
}

func (f *fake) open(t *testing.T, name string) ccache.Collection {
	t.Helper()
	return open(t, name, Options{Socket: f.socket})
}

// store opens one cache.
func (f *fake) store(t *testing.T, name string) ccache.Store {
	t.Helper()
	return primary(t, f.open(t, name))
}

func open(t testing.TB, name string, o Options) ccache.Collection {
	t.Helper()
	n, err := ccache.ParseName(name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(n, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func primary(t testing.TB, c ccache.Collection) ccache.Store {
	t.Helper()
	st, err := c.Primary(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	// The tests' caches are user 1000's, whoever runs them.
	st.(*store).daemon.uid = 1000
	return st
}

// A stream is a connection that answers from a list of bytes whatever is asked.
// One that is dialled after the first is at its end.
type stream struct {
	net.Conn
	r *bytes.Reader
}

func (s *stream) Read(b []byte) (int, error)  { return s.r.Read(b) }
func (s *stream) Write(b []byte) (int, error) { return len(b), nil }
func (s *stream) Close() error                { return nil }

func streaming(b []byte) Options {
	r := bytes.NewReader(b)
	return Options{Socket: "stream", Dial: func(context.Context, string, string) (net.Conn, error) {
		s := &stream{r: r}
		r = bytes.NewReader(nil)
		return s, nil
	}}
}

// one returns a store that reads from a stream.
func one(b []byte) ccache.Store {
	c, err := Open(ccache.Name{Type: kind, Residual: "1000:x"}, streaming(b))
	if err != nil {
		panic(err)
	}
	return c.(*single).store
}

// known reports whether an error is of a kind that the package promises.
func known(err error) bool {
	_, refusal := errors.AsType[*Error](err)
	_, parse := errors.AsType[*ccache.ParseError](err)
	return (refusal || parse || errors.Is(err, errHungUp)) && strings.HasPrefix(err.Error(), "credential cache KCM:")
}
