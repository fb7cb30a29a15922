package ccache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
)

// What a [*ParseError] wraps.
var (
	// ErrTruncated: the file ends before what it announces. It may be in the
	// middle of being written.
	ErrTruncated = errors.New("file ends too early")
	// ErrMalformed: the bytes are no credential cache.
	ErrMalformed = errors.New("malformed credential cache")
)

// ParseError says where reading stopped.
type ParseError struct {
	Name   string // of the cache, empty when bytes were parsed
	Offset int    // in bytes from the start of the file
	Want   string // what was expected there
	Err    error  // ErrTruncated or ErrMalformed
}

// Error names file, offset and what was expected.
func (e *ParseError) Error() string {
	name := e.Name
	if name == "" {
		name = "credential cache"
	} else {
		name = "credential cache " + name
	}
	return fmt.Sprintf("%s: %v: at offset %d, want %s", name, e.Err, e.Offset, e.Want)
}

// Unwrap gives ErrTruncated or ErrMalformed.
func (e *ParseError) Unwrap() error { return e.Err }

// MaxSize is the largest file that is read, in bytes.
const MaxSize = 64 << 20

// MaxEntries is how many entries of a cache are read, removed ones and
// configuration included: some hundred times what a busy cache holds.
const MaxEntries = 16384

// Fits is an error if a cache of so many entries would not be read again.
func Fits(entries int) error {
	if entries > MaxEntries {
		return fmt.Errorf("the cache would have %d entries, more than %d entries are not read", entries, MaxEntries)
	}
	return nil
}

// maxComponents bounds a principal; real ones have two or three.
const maxComponents = 64

const (
	confRealm    = "X-CACHECONF:"
	removedRealm = "X-RMED-CONF:"
	confName     = "krb5_ccache_conf_data"
)

// Parse reads a cache file. One that ends in the middle of an entry, as when a
// program was stopped while it appended one, or in which an entry is damaged, gives
// the entries before it, as to MIT's tools ([Cache.Torn]). The result shares memory with b, and its
// principals share memory with one another. Errors are of type [*ParseError].
// Memory use is bounded by a small multiple of len(b).
func Parse(b []byte) (*Cache, error) {
	c, _, err := parseFile(b)
	return c, err
}

// A layout is what one file's encoding of principals and credentials differs in
// from another's.
type layout struct {
	version int
	little  bool // integers of versions 1 and 2 have the byte order of a machine
}

// parseFile is Parse, and returns the parser too, for what it saw of the file.
func parseFile(b []byte) (*Cache, *parser, error) {
	if len(b) > MaxSize {
		return nil, nil, tooLarge("file")
	}
	p := newParser(b)
	c := p.cache()
	if p.err != nil {
		return nil, nil, p.err
	}
	return c, p, nil
}

func tooLarge(what string) *ParseError {
	return &ParseError{Offset: MaxSize, Want: fmt.Sprintf("a %s of at most %d bytes", what, MaxSize), Err: ErrMalformed}
}

// A parser stops at its first error: after it, nothing remains to be read, and
// what is read is zero.
type parser struct {
	layout
	b      []byte
	off    int
	err    *ParseError
	hidden secret.Bytes  // b
	known  krb.Principal // one that is likely to come again
	names  arena

	entries int // read so far
}

func newParser(b []byte) *parser {
	return &parser{layout: layout{version: 4}, b: b, hidden: secret.New(b)}
}

func (p *parser) fail(off int, err error, want string) {
	if p.err == nil {
		p.err = &ParseError{Offset: off, Want: want, Err: err}
	}
	p.off = len(p.b)
}

// blame says whose field the error is about.
func (p *parser) blame(about string) { p.err.Want = about + ": " + p.err.Want }

// short is the failure to read n bytes.
func (p *parser) short(n int, want string) {
	if p.err == nil {
		p.fail(p.off, ErrTruncated, fmt.Sprintf("%s (%d bytes, %d remain)", want, n, len(p.b)-p.off))
	}
}

// take returns the next n bytes, nil after a failure.
func (p *parser) take(n int, want string) []byte {
	if n > len(p.b)-p.off {
		p.short(n, want)
		return nil
	}
	out := p.b[p.off : p.off+n : p.off+n]
	p.off += n
	return out
}

func (p *parser) u16(want string) uint16 {
	b := p.take(2, want)
	switch {
	case b == nil:
		return 0
	case p.little:
		return binary.LittleEndian.Uint16(b)
	}
	return binary.BigEndian.Uint16(b)
}

func (p *parser) u32(want string) uint32 {
	if rest := p.b[p.off:]; len(rest) >= 4 {
		p.off += 4
		return p.uint32(rest)
	}
	p.short(4, want)
	return 0
}

func (p *parser) uint32(b []byte) uint32 {
	if p.little {
		return binary.LittleEndian.Uint32(b)
	}
	return binary.BigEndian.Uint32(b)
}

// count reads a number of elements of at least size bytes each.
func (p *parser) count(size int, want string) int {
	n := p.u32(want)
	if uint64(n)*uint64(size) > uint64(len(p.b)-p.off) {
		p.fail(p.off-4, ErrTruncated, fmt.Sprintf("%s that fits into the %d bytes that remain, not %d", want, len(p.b)-p.off, n))
		return 0
	}
	return int(n)
}

func (p *parser) data(want string) []byte {
	n := p.count(1, want)
	out := p.b[p.off : p.off+n : p.off+n]
	p.off += n
	return out
}

func (p *parser) cache() *Cache {
	head := p.take(2, "format version")
	if p.err != nil {
		return nil
	}
	if head[0] != 5 || head[1] < 1 || head[1] > 4 {
		p.fail(0, ErrMalformed, "format version 05 01 to 05 04")
		return nil
	}
	p.version = int(head[1])
	c := &Cache{Version: p.version}
	switch p.version {
	case 4:
		p.header(c)
	case 1, 2:
		p.guessOrder()
	}
	c.Client = p.principal("default principal")
	p.known = c.Client
	if p.err != nil {
		return nil
	}
	for p.off < len(p.b) {
		if p.entries == MaxEntries {
			p.fail(p.off, ErrMalformed, fmt.Sprintf("the end, since a cache has at most %d entries", MaxEntries))
			return nil
		}
		start, none := p.off, len(c.Credentials) == 0
		p.entry(c, false)
		if none && len(c.Credentials) == 1 {
			// The others will be about as long.
			n := (len(p.b) - p.off) / (p.off - start)
			c.Credentials = slices.Grow(c.Credentials, min(n+n/8, MaxEntries))
		}
	}
	c.Torn, p.err = p.err, nil
	return c
}

// guessOrder tells the byte order of versions 1 and 2, which is that of the
// machine that wrote the file, by the number of name components: read the wrong
// way round it is huge.
func (p *parser) guessOrder() {
	at := p.off
	if p.version == 2 {
		at += 4
	}
	if len(p.b)-at < 4 {
		p.fail(len(p.b), ErrTruncated, "default principal")
		return
	}
	n := p.b[at : at+4]
	p.little = binary.LittleEndian.Uint32(n) < binary.BigEndian.Uint32(n)
}

const tagDelta = 1

// header reads the tagged fields of version 4. Unknown ones are kept as they are.
func (p *parser) header(c *Cache) {
	end := int(p.u16("header length"))
	if end > len(p.b)-p.off {
		p.short(end, "header")
	}
	end += p.off
	for p.err == nil && p.off < end {
		start := p.off
		tag := p.u16("header tag")
		n := int(p.u16("length of header field"))
		if p.err == nil && n > end-p.off {
			p.fail(start, ErrMalformed, "header field that ends within the header")
		}
		value := p.take(n, "header field")
		if p.err != nil {
			return
		}
		if tag != tagDelta {
			c.Header = append(c.Header, Typed{tag, value})
			continue
		}
		if n != 8 {
			p.fail(start, ErrMalformed, fmt.Sprintf("KDC offset of 8 bytes, not %d", n))
			return
		}
		s, us := int32(binary.BigEndian.Uint32(value)), int32(binary.BigEndian.Uint32(value[4:]))
		if us <= -1e6 || us >= 1e6 {
			p.fail(start, ErrMalformed, "KDC offset with less than a million microseconds")
			return
		}
		c.KDCOffset = time.Duration(s)*time.Second + time.Duration(us)*time.Microsecond
	}
}

// principal reads one. Neither a realm nor a whole name that is known takes
// memory again.
func (p *parser) principal(role string) krb.Principal {
	if p.err != nil {
		return krb.Principal{}
	}
	var out krb.Principal
	if p.version > 1 {
		out.Type = int32(p.u32("name type"))
	}
	off := p.off
	n := p.count(4, "number of components")
	if p.version == 1 && p.err == nil { // counts the realm too
		if n--; n < 0 {
			p.fail(off, ErrMalformed, "at least one component")
		}
	}
	if n > maxComponents {
		p.fail(off, ErrMalformed, fmt.Sprintf("at most %d components, not %d", maxComponents, n))
	}
	realm := p.data("realm")
	known := &p.known
	if out.Realm = known.Realm; string(realm) != out.Realm {
		out.Realm = p.names.string(realm)
	} else if n == len(known.Components) && out.Type == known.Type && p.err == nil {
		start, same := p.off, true
		for i := 0; i < n && same; i++ {
			same = string(p.data("component")) == known.Components[i]
		}
		if same && p.err == nil {
			return *known
		}
		if p.err == nil {
			p.off = start
		}
	}
	if p.err == nil {
		out.Components = p.names.list(n)
	}
	for i := range out.Components {
		out.Components[i] = p.names.string(p.data("component"))
	}
	if p.err != nil {
		p.blame(role)
		return krb.Principal{}
	}
	return out
}

func (p *parser) typed(about string) []Typed {
	if p.err != nil {
		return nil
	}
	var out []Typed
	if n := p.count(6, "number"); n > 0 {
		out = make([]Typed, 0, n)
		for range n {
			out = append(out, Typed{Type: p.u16("type"), Data: p.data("value")})
			if p.err != nil {
				break
			}
		}
	}
	if p.err != nil {
		p.blame(about)
		return nil
	}
	return out
}

// seconds are unsigned: good until 2106.
func seconds(s uint32) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// entry reads one and adds it to c. As the last one it may not be followed by
// anything.
func (p *parser) entry(c *Cache, last bool) {
	p.entries++
	at := len(c.Credentials)
	c.Credentials = slices.Grow(c.Credentials, 1)[:at+1]
	cred := &c.Credentials[at]
	removed := p.credential(cred)
	if last {
		p.done("credential")
	}
	if p.err != nil || removed || !c.keep(cred) {
		*cred = Credential{}
		c.Credentials = c.Credentials[:at]
	}
}

// credential sets every field of c. MIT removes an entry by giving it an end time of 0 and
// an authentication time of -1.
func (p *parser) credential(c *Credential) (removed bool) {
	c.Client = p.principal("client")
	c.Server = p.principal("server")
	c.etype = int32(int16(p.u16("encryption type")))
	if p.version == 3 {
		p.u16("encryption type, second time")
	}
	key := p.data("session key")
	c.key = p.hidden.Part(p.off-len(key), p.off)
	if b := p.take(4*4+1+4, "times and flags"); b != nil {
		auth, end := p.uint32(b), p.uint32(b[8:])
		c.AuthTime = seconds(auth)
		c.StartTime = seconds(p.uint32(b[4:]))
		c.EndTime = seconds(end)
		c.RenewTill = seconds(p.uint32(b[12:]))
		c.IsSKey = b[16] != 0
		c.Flags = p.uint32(b[17:])
		removed = end == 0 && auth == 1<<32-1
	}
	c.Addresses = p.typed("addresses")
	c.AuthData = p.typed("authorization data")
	c.Raw = p.data("ticket")
	c.SecondTicket = p.data("second ticket")
	return removed
}
