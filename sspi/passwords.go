package sspi

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/internal/lru"
	"github.com/kerbchain/kerbchain/internal/turns"
)

// passwords are what is known of those that Windows was given: refusals lock an account,
// whichever initiator causes them. A library has one, and all of secur32.dll share theirs.
type passwords struct {
	trying  turns.Turns // by account: one at a time sends a password
	secret  [sha256.Size]byte
	refused lru.Map[digest, refusal]
}

// A digest identifies a password of an account, and tells nobody else anything.
type digest [sha256.Size]byte

// A refusal is of one password.
type refusal struct {
	err   *StatusError
	until time.Time
}

const (
	// refusalHolds is how long a password that was refused is not tried again.
	refusalHolds = time.Minute
	maxRefused   = 1024
)

func newPasswords() *passwords {
	p := new(passwords)
	rand.Read(p.secret[:])
	return p
}

// account identifies the user, whose name Windows takes in any case.
func (i *identity) account() string { return strings.ToLower(i.user + "\x00" + i.domain) }

func (p *passwords) digest(who *identity) (d digest) {
	h := hmac.New(sha256.New, p.secret[:])
	io.WriteString(h, who.account()+"\x00"+who.password.Reveal()) // none of them has a zero byte
	h.Sum(d[:0])
	return d
}

// refuse notes that a password was refused.
func (p *passwords) refuse(d digest, err *StatusError, now time.Time) {
	p.refused.Put(d, refusal{err, now.Add(refusalHolds)}, maxRefused)
}

// refusal returns why a password was refused a short time ago, nil if it was not.
func (p *passwords) refusal(d digest, now time.Time) *StatusError {
	if r, ok := p.refused.Get(d); ok && now.Before(r.until) {
		return r.err
	}
	return nil
}
