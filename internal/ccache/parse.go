package ccache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
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

// maxComponents bounds a principal; real ones have two or three.
const maxComponents = 64

const (
	confRealm    = "X-CACHECONF:"
	removedRealm = "X-RMED-CONF:"
	confName     = "krb5_ccache_conf_data"
)

// Parse reads a whole cache file. The result shares memory with b. Errors are
// of type [*ParseError]. Memory use is bounded by a small multiple of len(b).
func Parse(b []byte) (*Cache, error) {
	if len(b) > MaxSize {
		return nil, &ParseError{Offset: MaxSize, Want: fmt.Sprintf("a file of at most %d bytes", MaxSize), Err: ErrMalformed}
	}
	p := &parser{b: b, order: binary.BigEndian}
	c := p.cache()
	if p.err != nil {
		return nil, p.err
	}
	return c, nil
}

type parser struct {
	b       []byte
	off     int
	version int
	order   binary.ByteOrder
	err     *ParseError
}

func (p *parser) fail(off int, err error, want string) {
	if p.err == nil {
		p.err = &ParseError{Offset: off, Want: want, Err: err}
	}
}

// take returns the next n bytes, nil after a failure.
func (p *parser) take(n int, want string) []byte {
	if p.err != nil {
		return nil
	}
	if n > len(p.b)-p.off {
		p.fail(p.off, ErrTruncated, fmt.Sprintf("%s (%d bytes, %d remain)", want, n, len(p.b)-p.off))
		return nil
	}
	out := p.b[p.off : p.off+n : p.off+n]
	p.off += n
	return out
}

func (p *parser) u8(want string) uint8 {
	if b := p.take(1, want); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) u16(want string) uint16 {
	if b := p.take(2, want); b != nil {
		return p.order.Uint16(b)
	}
	return 0
}

func (p *parser) u32(want string) uint32 {
	if b := p.take(4, want); b != nil {
		return p.order.Uint32(b)
	}
	return 0
}

// count reads a number of elements of at least size bytes each.
func (p *parser) count(size int, want string) int {
	off := p.off
	n := p.u32("number of " + want)
	if p.err == nil && uint64(n)*uint64(size) > uint64(len(p.b)-p.off) {
		p.fail(off, ErrTruncated, fmt.Sprintf("number of %s that fits into the %d bytes that remain, not %d", want, len(p.b)-p.off, n))
	}
	if p.err != nil {
		return 0
	}
	return int(n)
}

func (p *parser) data(want string) []byte {
	n := p.count(1, "bytes of "+want)
	return p.take(n, want)
}

// time reads unsigned seconds: good until 2106.
func (p *parser) time(want string) time.Time {
	s := p.u32(want)
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
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
		c.KDCOffset = p.header()
	case 1, 2:
		p.guessOrder()
	}
	c.Client = p.principal("default principal")
	for p.err == nil && p.off < len(p.b) {
		cred, removed := p.credential()
		switch {
		case p.err != nil || removed:
		case cred.Server.Realm == removedRealm:
		case cred.Server.Realm == confRealm && len(cred.Server.Components) >= 2 && cred.Server.Components[0] == confName:
			entry := Config{Key: cred.Server.Components[1], Value: cred.Raw}
			if len(cred.Server.Components) > 2 {
				entry.Principal = cred.Server.Components[2]
			}
			c.Config = append(c.Config, entry)
		case cred.Server.Realm == confRealm: // of a later version: not a ticket, and nobody's to know
		default:
			c.Credentials = append(c.Credentials, cred)
		}
	}
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
		p.off = len(p.b)
		p.fail(p.off, ErrTruncated, "default principal")
		return
	}
	if n := p.b[at : at+4]; binary.LittleEndian.Uint32(n) < binary.BigEndian.Uint32(n) {
		p.order = binary.LittleEndian
	}
}

const tagDelta = 1

// header reads the tagged fields of version 4 and returns the KDC offset.
// Unknown tags are passed over.
func (p *parser) header() (offset time.Duration) {
	end := int(p.u16("header length"))
	if p.err != nil {
		return 0
	}
	if end > len(p.b)-p.off {
		p.fail(p.off, ErrTruncated, fmt.Sprintf("header (%d bytes, %d remain)", end, len(p.b)-p.off))
		return 0
	}
	end += p.off
	for p.err == nil && p.off < end {
		start := p.off
		tag := p.u16("header tag")
		n := int(p.u16("length of header field"))
		if p.err == nil && (start+4 > end || n > end-p.off) {
			p.fail(start, ErrMalformed, "header field that ends within the header")
		}
		value := p.take(n, "header field")
		if p.err != nil || tag != tagDelta {
			continue
		}
		if n != 8 {
			p.fail(start, ErrMalformed, fmt.Sprintf("KDC offset of 8 bytes, not %d", n))
			return 0
		}
		s, us := int32(binary.BigEndian.Uint32(value)), int32(binary.BigEndian.Uint32(value[4:]))
		if us <= -1e6 || us >= 1e6 {
			p.fail(start, ErrMalformed, "KDC offset with less than a million microseconds")
			return 0
		}
		offset = time.Duration(s)*time.Second + time.Duration(us)*time.Microsecond
	}
	return offset
}

func (p *parser) principal(want string) krb.Principal {
	var out krb.Principal
	if p.version > 1 {
		out.Type = int32(p.u32("name type of " + want))
	}
	off := p.off
	n := p.count(4, "components of "+want)
	if p.version == 1 { // counts the realm too
		if n--; n < 0 {
			p.fail(off, ErrMalformed, "at least one component of "+want)
		}
	}
	if n > maxComponents {
		p.fail(off, ErrMalformed, fmt.Sprintf("at most %d components of %s, not %d", maxComponents, want, n))
	}
	out.Realm = string(p.data("realm of " + want))
	if p.err != nil {
		return krb.Principal{}
	}
	out.Components = make([]string, 0, n)
	for range n {
		out.Components = append(out.Components, string(p.data("component of "+want)))
	}
	return out
}

func (p *parser) typed(want string) []Typed {
	n := p.count(6, want)
	var out []Typed
	for range n {
		t := Typed{Type: p.u16("type of " + want)}
		t.Data = p.data(want)
		if p.err != nil {
			return nil
		}
		out = append(out, t)
	}
	return out
}

// credential reads one entry. MIT removes one by giving it an end time of 0 and
// an authentication time of -1.
func (p *parser) credential() (c Credential, removed bool) {
	c.Client = p.principal("client")
	c.Server = p.principal("server")
	c.etype = int32(int16(p.u16("encryption type")))
	if p.version == 3 {
		p.u16("encryption type, second time")
	}
	c.key = hide(p.data("session key"))
	authTime := p.off
	c.AuthTime = p.time("authentication time")
	c.StartTime = p.time("start time")
	c.EndTime = p.time("end time")
	c.RenewTill = p.time("renewal limit")
	c.IsSKey = p.u8("user-to-user mark") != 0
	c.Flags = p.u32("ticket flags")
	c.Addresses = p.typed("addresses")
	c.AuthData = p.typed("authorization data")
	c.Raw = p.data("ticket")
	c.SecondTicket = p.data("second ticket")
	if p.err != nil {
		return Credential{}, false
	}
	removed = c.EndTime.IsZero() && p.order.Uint32(p.b[authTime:]) == 1<<32-1
	return c, removed
}
