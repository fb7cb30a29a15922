// Package replay remembers authenticators, so that nobody uses one twice (RFC 4120
// section 3.2.3).
package replay

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// limit bounds a cache; more authenticators than that within the skew are
// more than a test makes, and the oldest are then forgotten.
const limit = 1 << 16

// A Cache remembers authenticators for as long as they would be accepted
// (RFC 4120 section 3.2.3). There are no pointers in it, which the garbage collector
// would follow time and again.
type Cache struct {
	mu    sync.Mutex
	seen  map[key]entry
	order []key // oldest first
}

// A key is the hash of what makes an authenticator one: client, server and time.
type key [sha256.Size]byte

type entry struct {
	until   int64 // seconds since the epoch
	message [sha256.Size]byte
}

// Add remembers an authenticator and reports whether it may be used: it is new,
// or comes in the very message that it came in before. Only the KDC passes
// messages: to repeat one is how a client over UDP makes up for lost packets,
// and what it gets is of no use to anyone else.
func (c *Cache) Add(a *krb.Authenticator, server krb.Principal, message []byte, now time.Time, skew time.Duration) bool {
	var room [256]byte
	text := append(a.Client.AppendTo(room[:0]), 0)
	text = append(server.AppendTo(text), 0)
	text = binary.BigEndian.AppendUint64(text, uint64(a.CTime.Unix()))
	text = binary.BigEndian.AppendUint32(text, uint32(a.Cusec))
	k := key(sha256.Sum256(text))
	var sum [sha256.Size]byte
	if message != nil {
		sum = sha256.Sum256(message)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.seen[k]; ok {
		return message != nil && e.message == sum
	}
	if c.seen == nil {
		c.seen = make(map[key]entry)
	}
	for len(c.order) > 0 {
		old := c.order[0]
		if len(c.order) < limit && c.seen[old].until >= now.Unix() {
			break
		}
		delete(c.seen, old)
		c.order = c.order[1:]
	}
	c.seen[k] = entry{until: a.CTime.Add(skew).Add(skew).Add(time.Second).Unix(), message: sum}
	c.order = append(c.order, k)
	return true
}
