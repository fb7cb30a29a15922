package sspi

import (
	"context"
	"sync"
	"time"
)

// credentials are those that an initiator signs with: one handle at a time, which
// contexts share, and which is freed when it is replaced and no context uses it.
type credentials struct {
	lib *library
	who *identity // nil for the user who is logged on

	account  string // who's, and the digest of the password
	password digest

	acquiring sync.Mutex // one at a time; held while Windows is asked

	mu      sync.Mutex
	closed  bool
	current *credential
}

func newCredentials(lib *library, who *identity) *credentials {
	c := &credentials{lib: lib, who: who}
	if who != nil {
		c.account, c.password = who.account(), lib.passwords.digest(who)
	}
	return c
}

// A credential is a handle. Its fields are guarded by mu of the credentials.
type credential struct {
	handle handle
	name   string // of the user, "" where Windows does not tell
	ends   timeStamp
	proved bool // Windows made a token with it
	users  int  // contexts that use it, and one more while it is the current one
}

// have returns the current credential, if it lasts and may be used. Whoever gets it
// gives it back by leave.
func (c *credentials) have(now time.Time) (*credential, bool) {
	refused := c.refusal(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil || c.current.ends.passed(now) || refused != nil {
		return nil, false
	}
	c.current.users++
	return c.current, true
}

// take is have, and acquires a credential where there is none. It waits for Windows.
func (c *credentials) take(now time.Time) (*credential, *StatusError) {
	c.acquiring.Lock()
	defer c.acquiring.Unlock()
	if k, ok := c.have(now); ok {
		return k, nil
	}
	if err := c.refusal(now); err != nil {
		return nil, err
	}
	h, name, ends, err := c.lib.acquire(c.who)
	if err != nil {
		c.failed(nil, err, now)
		return nil, err
	}
	k := &credential{handle: h, name: name, ends: ends, users: 1}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop()
	if !c.closed {
		c.current = k
		k.users++
	}
	return k, nil
}

// refusal returns why the password was refused a short time ago, nil if it was not.
func (c *credentials) refusal(now time.Time) *StatusError {
	if c.who == nil {
		return nil
	}
	return c.lib.passwords.refusal(c.password, now)
}

// failed notes that Windows made no token with a credential, or no credential where k
// is nil. One that is stale is not used again, and a password that was refused not for
// a while.
func (c *credentials) failed(k *credential, err *StatusError, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.who != nil && err.refusal() {
		c.lib.passwords.refuse(c.password, err, now)
		if k != nil {
			k.proved = false // the password was changed since
		}
	}
	if k != nil && c.current == k && err.stale() {
		c.drop()
	}
}

// try waits until it is known what became of the account's password with another caller, since
// all that begin at once would send it, and accounts are locked after a few wrong ones. Who
// may use the credential calls done once that is known. Credentials without a password,
// and those that made a token before, are for all at once.
func (c *credentials) try(ctx context.Context, k *credential) (done func(), refused *StatusError, err error) {
	if c.who == nil || c.isProved(k) {
		return func() {}, nil, nil
	}
	done, err = c.lib.passwords.trying.Take(ctx, c.account)
	if err != nil {
		return nil, nil, err
	}
	if refused := c.refusal(time.Now()); refused != nil {
		done()
		return nil, refused, nil
	}
	if c.isProved(k) {
		done()
	}
	return done, nil, nil
}

func (c *credentials) isProved(k *credential) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return k.proved
}

// made notes that Windows made a token with a credential.
func (c *credentials) made(k *credential) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.proved = true
}

// leave gives a credential back.
func (c *credentials) leave(k *credential) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unuse(k)
}

// close frees the current credential, once no context uses it, and keeps no other.
func (c *credentials) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.drop()
}

// drop makes the current credential one of the past. Whoever calls it has the lock.
func (c *credentials) drop() {
	if k := c.current; k != nil {
		c.current = nil
		c.unuse(k)
	}
}

func (c *credentials) unuse(k *credential) {
	if k.users--; k.users == 0 {
		c.lib.FreeCredentialsHandle(&k.handle)
	}
}

// passed reports whether a time, which is local, is over, or will be soon. 0 is none.
func (t timeStamp) passed(now time.Time) bool {
	const (
		from1601 = 11644473600 // seconds until 1970
		ticks    = 10_000_000  // in a second
		margin   = 60
	)
	at := int64(t.high)<<32 | int64(t.low)
	if at <= 0 {
		return false
	}
	_, east := now.Local().Zone()
	return at/ticks-from1601 <= now.Unix()+int64(east)+margin
}
