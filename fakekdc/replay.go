package fakekdc

import (
	"crypto/sha256"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// maxReplays bounds a cache; more authenticators than that within the skew are
// more than a test makes, and the oldest are then forgotten.
const maxReplays = 1 << 16

// A replayCache remembers authenticators for as long as they would be accepted
// (RFC 4120 section 3.2.3).
type replayCache struct {
	mu    sync.Mutex
	seen  map[string]replayEntry
	order []string // oldest first
}

type replayEntry struct {
	until   time.Time
	message [sha256.Size]byte
}

// add remembers an authenticator and reports whether it may be used: it is new,
// or comes in the very message that it came in before. Only the KDC passes
// messages: to repeat one is how a client over UDP makes up for lost packets,
// and what it gets is of no use to anyone else.
func (c *replayCache) add(a *krb.Authenticator, server krb.Principal, message []byte, now time.Time, skew time.Duration) bool {
	key := strings.Join([]string{
		a.Client.String(), server.String(),
		strconv.FormatInt(a.CTime.Unix(), 10), strconv.Itoa(a.Cusec),
	}, "\x00")
	var sum [sha256.Size]byte
	if message != nil {
		sum = sha256.Sum256(message)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.seen[key]; ok {
		return message != nil && e.message == sum
	}
	if c.seen == nil {
		c.seen = make(map[string]replayEntry)
	}
	for len(c.order) > 0 {
		old := c.order[0]
		if len(c.order) < maxReplays && !c.seen[old].until.Before(now) {
			break
		}
		delete(c.seen, old)
		c.order = c.order[1:]
	}
	c.seen[key] = replayEntry{until: a.CTime.Add(2*skew + time.Second), message: sum}
	c.order = append(c.order, key)
	return true
}
