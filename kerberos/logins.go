package kerberos

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
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
// A one-time password that was sent in vain is not sent again for a day.
//
// For others it is only a minute, since anybody who can forge a datagram can forge a refusal. So
// a program with a wrong password counts against its account once a minute, as long
// as it asks for tickets.
//
// A password that expired, and was changed, stands for the new one with all sources, up to
// 1024 of them. Where the answer to a change was lost, either of the two stands for both, up
// to 1024 such pairs: the next login sends the new one, and the old one if the KDC refused
// that, until one of them has worked.
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
	replaced map[[sha256.Size]byte]replacement
	happened uint64 // counts changes, those that may have happened too
	// Changes that may have happened or not, the last one of each client.
	unsettled map[string]passwords
}

// A replacement is what took the place of a password, by which change.
type replacement struct {
	fresh Secret
	nth   uint64
}

// passwords are those before and after a change.
type passwords struct {
	old, fresh Secret
	nth        uint64 // of those that may have happened
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
	kept  time.Duration     // for how long in all
	of    [sha256.Size]byte // what the key was made of
}

// account is the memory of one client's logins, as one source sees it in a login.
type account struct {
	in     *Logins
	client krb.Principal
	id     string
	now    func() time.Time
	begun  uint64            // how many changes there had been when the login began
	proof  [sha256.Size]byte // what its keys are made of, zero before that is known
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
	in.mu.Lock()
	defer in.mu.Unlock()
	return &account{in: in, client: client, id: id.String(), now: s.o.Now, begun: in.happened}
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
	a.in.refused[of] = refusedLogin{why, now.Add(life), life, a.proof}
}

// with returns the account for a login by what its keys are made of.
func (a *account) with(proof [sha256.Size]byte) *account {
	of := *a
	of.proof = proof
	return &of
}

// overtaken reports whether the password of this login was changed since it began, or may
// have been.
func (a *account) overtaken() bool {
	a.in.mu.Lock()
	instead, lost := a.in.replaced[a.proof], a.in.unsettled[a.id]
	a.in.mu.Unlock()
	return instead.nth > a.begun || lost.nth > a.begun && a.ofPassword(lost.old) == a.proof
}

// Begin, and what follows it, make an account a [kdcclient.Guard].
func (a *account) Begin(ctx context.Context) (end func(), err error) {
	return a.in.turns.Take(ctx, a.id)
}

func (a *account) Refused(key kdcclient.KeyEntry) *kdcclient.Error {
	why := a.refusal(a.ofKeys(key))
	if why == nil && a.overtaken() {
		why = &kdcclient.Error{Kind: kdcclient.KindKey, Exchange: "AS", Realm: a.client.Realm, Principal: a.client,
			Code: krb.CodeKeyExpired, Err: errors.New("the password was changed meanwhile")}
	}
	return why
}

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
func (a *account) replace(change passwords) {
	from, to := a.ofPassword(change.old), a.ofPassword(change.fresh)
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	if a.in.replaced == nil {
		a.in.replaced = make(map[[sha256.Size]byte]replacement)
	}
	delete(a.in.replaced, to)
	makeRoom(a.in.replaced, maxChanges, func(replacement) bool { return false })
	a.in.happened++
	a.in.replaced[from] = replacement{change.fresh, a.in.happened}
	delete(a.in.unsettled, a.id)
	a.in.pardon(to)
}

// mayReplace notes that one password took the place of another, or not.
func (a *account) mayReplace(change passwords) {
	to := a.ofPassword(change.fresh)
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	if a.in.unsettled == nil {
		a.in.unsettled = make(map[string]passwords)
	}
	makeRoom(a.in.unsettled, maxChanges, func(passwords) bool { return false })
	a.in.happened++
	change.nth = a.in.happened
	a.in.unsettled[a.id] = change
	a.in.pardon(to)
}

// pardon forgets that a password was refused, which has been set since. The lock must be
// held.
func (l *Logins) pardon(password [sha256.Size]byte) {
	maps.DeleteFunc(l.refused, func(of [sha256.Size]byte, r refusedLogin) bool { return of == password || r.of == password })
}

// unsettled returns the change of which nobody knows whether it happened, if a password is
// one of the two.
func (a *account) unsettled(password Secret) (change passwords, ok bool) {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	change, ok = a.in.unsettled[a.id]
	return change, ok && (password.Reveal() == change.old.Reveal() || password.Reveal() == change.fresh.Reveal())
}

// worked notes that a KDC took a password, and so what became of a change.
func (a *account) worked(password Secret) {
	if change, ok := a.unsettled(password); ok && password.Reveal() == change.fresh.Reveal() {
		a.replace(change)
	}
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	delete(a.in.unsettled, a.id)
}

// replacement returns what took the place of a password in the end, zero if nothing did.
func (a *account) replacement(password Secret) (r replacement) {
	for {
		of := a.ofPassword(password)
		a.in.mu.Lock()
		next, ok := a.in.replaced[of]
		a.in.mu.Unlock()
		if !ok {
			return r
		}
		r, password = replacement{next.fresh, max(r.nth, next.nth)}, next.fresh
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
