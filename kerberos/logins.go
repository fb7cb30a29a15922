package kerberos

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/turns"
)

// Logins remembers for sources what KDCs said of logins: which keys and passwords
// they refused, and the true names of enterprise names. All sources of a process
// share one, unless [SourceOptions] gives them another, since repeated refusals lock
// the principal's account whichever source causes them.
//
// A key or password that a KDC refused (because pre-authentication failed, the
// account is locked or has expired, or the password has) is not sent again for a
// minute; the refusal is returned at once. The memory holds a keyed digest of realm,
// KDCs, principal, encryption type, version and key, so a corrected keytab is used at
// once. Of several that log in as one principal at the same time, one sends its key
// first, and the others learn of a refusal before they send theirs.
//
// A one-time password that was sent in vain is not sent again for a day. A password that
// expired, and was changed, stands for the new one with all sources, up to 1024 of them.
//
// For others it is only a minute, since anybody who can forge a datagram can forge a refusal. So
// a program with a wrong password counts against its account once a minute, as long
// as it asks for tickets.
//
// The zero value is empty and ready. It is safe for concurrent use, and holds at most
// 4096 refusals.
type Logins struct {
	turns turns.Turns // by client: one login at a time sends a key

	mu      sync.Mutex
	secret  []byte // so that the digests tell nobody else anything
	refused map[[sha256.Size]byte]refusedLogin
	names   map[string]krb.Principal
	// What took the place of a password that had expired. There are no circles: what is
	// set anew is no longer replaced.
	replaced map[[sha256.Size]byte]Secret
}

// processLogins are shared by all sources of the process: an account does not tell them
// apart, and sources made by different parts of a program lock it together.
var processLogins Logins

const (
	quarantine = time.Minute
	spentOTP   = 24 * time.Hour // for one-time passwords, whose refusals FAST vouches for
	maxRefused = 4096
	maxNames   = 1024
	maxChanges = 1024
)

type refusedLogin struct {
	err   *kdcclient.Error
	until time.Time
	kept  time.Duration // for how long in all
}

// account is the memory of one client's logins, as one source sees it.
type account struct {
	in     *Logins
	client krb.Principal
	id     string
	now    func() time.Time
}

func (s *Source) account(client krb.Principal) *account {
	in := s.o.Logins
	if in == nil {
		in = &processLogins
	}
	// Realms of the same name with other KDCs, as in tests, are different realms.
	var id strings.Builder
	for _, k := range s.conf.KDCs(client.Realm) {
		id.WriteString(k.Address() + k.URL + "\x00")
	}
	id.WriteString("\x00" + client.String())
	return &account{in, client, id.String(), s.o.Now}
}

// digest identifies a key or password.
func (a *account) digest(kind string, parts ...[]byte) (out [sha256.Size]byte) {
	a.in.mu.Lock()
	if a.in.secret == nil {
		a.in.secret = make([]byte, sha256.Size)
		rand.Read(a.in.secret)
	}
	h := hmac.New(sha256.New, a.in.secret)
	a.in.mu.Unlock()
	for _, p := range append([][]byte{[]byte(a.id), []byte(kind)}, parts...) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write(p)
	}
	h.Sum(out[:0])
	return out
}

func (a *account) ofPassword(password Secret) [sha256.Size]byte {
	return a.digest("password", []byte(password.Reveal()))
}

func (a *account) ofOTP(value Secret) [sha256.Size]byte {
	return a.digest("one-time password", []byte(value.Reveal()))
}

func (a *account) ofKeys(keys ...kdcclient.KeyEntry) [sha256.Size]byte {
	parts := make([][]byte, 0, 2*len(keys))
	for _, k := range keys {
		kind := binary.BigEndian.AppendUint32(nil, uint32(k.Key.Etype()))
		parts = append(parts, binary.BigEndian.AppendUint32(kind, k.Kvno), k.Key.Bytes())
	}
	return a.digest("keys", parts...)
}

// refusal returns the KDC's refusal within the last minute, nil if there is none.
func (a *account) refusal(of [sha256.Size]byte) *kdcclient.Error {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	r := a.in.refused[of]
	if left := r.until.Sub(a.now()); left <= 0 || left > r.kept {
		delete(a.in.refused, of)
		return nil
	}
	return r.err
}

// refuse notes a KDC's refusal.
func (a *account) refuse(of [sha256.Size]byte, why *kdcclient.Error) { a.keep(of, why, quarantine) }

func (a *account) keep(of [sha256.Size]byte, why *kdcclient.Error, life time.Duration) {
	now := a.now()
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	if a.in.refused == nil {
		a.in.refused = make(map[[sha256.Size]byte]refusedLogin)
	}
	makeRoom(a.in.refused, maxRefused, func(r refusedLogin) bool { return !now.Before(r.until) })
	a.in.refused[of] = refusedLogin{why, now.Add(life), life}
}

// Begin, and what follows it, make an account a [kdcclient.Guard].
func (a *account) Begin(ctx context.Context) (end func(), err error) {
	return a.in.turns.Take(ctx, a.id)
}

func (a *account) Refused(key kdcclient.KeyEntry) *kdcclient.Error { return a.refusal(a.ofKeys(key)) }

func (a *account) Refuse(key kdcclient.KeyEntry, why *kdcclient.Error) { a.refuse(a.ofKeys(key), why) }

// RefusedOTP and RefuseOTP are the same of one-time passwords.
func (a *account) RefusedOTP(value Secret) *kdcclient.Error { return a.refusal(a.ofOTP(value)) }

func (a *account) RefuseOTP(value Secret, why *kdcclient.Error) {
	a.keep(a.ofOTP(value), why, spentOTP)
}

// changing waits until no other source has the password of the client changed.
func (a *account) changing(ctx context.Context) (done func(), err error) {
	return a.in.turns.Take(ctx, "change\x00"+a.id)
}

// replace notes that one password took the place of another.
func (a *account) replace(old, fresh Secret) {
	from, to := a.ofPassword(old), a.ofPassword(fresh)
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	if a.in.replaced == nil {
		a.in.replaced = make(map[[sha256.Size]byte]Secret)
	}
	delete(a.in.replaced, to)
	makeRoom(a.in.replaced, maxChanges, func(Secret) bool { return false })
	a.in.replaced[from] = fresh
}

// replacement returns what took the place of a password in the end, zero if nothing did.
func (a *account) replacement(password Secret) (fresh Secret) {
	for {
		of := a.ofPassword(password)
		a.in.mu.Lock()
		next, ok := a.in.replaced[of]
		a.in.mu.Unlock()
		if !ok {
			return fresh
		}
		fresh, password = next, next
	}
}

// isNamed notes the canonical name that a KDC returned for an enterprise name.
func (a *account) isNamed(canonical krb.Principal) {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	if a.in.names == nil {
		a.in.names = make(map[string]krb.Principal)
	}
	makeRoom(a.in.names, maxNames, func(krb.Principal) bool { return false })
	a.in.names[a.id] = canonical
}

// is reports whether a principal is the client, by its own name or by the one that a KDC
// returned for it.
func (a *account) is(p krb.Principal) bool {
	if p.Equal(a.client) {
		return true
	}
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	canonical, ok := a.in.names[a.id]
	return ok && p.Equal(canonical)
}
