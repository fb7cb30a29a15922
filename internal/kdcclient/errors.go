package kdcclient

import (
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
)

// Kind is what kind of failure an [*Error] is.
type Kind int

const (
	// KindRequest: the caller asked for something that makes no sense.
	KindRequest Kind = iota + 1
	// KindRefused: the KDC answered with a KRB-ERROR, see Code.
	KindRefused
	// KindSkew: the KDC's clock and ours are too far apart, see Skew.
	KindSkew
	// KindKey: the client's password or key is wrong, or there is none of a
	// type that will do.
	KindKey
	// KindReply: a KDC's reply is not what was asked for.
	KindReply
	// KindReferral: referrals went in a circle, or too far.
	KindReferral
	// KindUnreachable: no KDC answered in time, or all are busy.
	KindUnreachable
	// KindNoKDC: no KDC is known for the realm.
	KindNoKDC
)

var (
	errNoKDC       = errors.New("no KDC is known for the realm")
	errUnreachable = errors.New("no KDC answered")
	errNoEtype     = errors.New("no encryption type is allowed")
	errAbandoned   = errors.New("another answered, or the wait was cut short")
)

// hintEtypes says where encryption types are allowed.
func hintEtypes() string {
	if fips140.Enforced() {
		return "GODEBUG=fips140=only leaves aes256-sha2 and aes128-sha2 alone: allow them in krb5.conf (permitted_enctypes), and give the principals such keys"
	}
	return "see permitted_enctypes and allow_rc4 in krb5.conf"
}

const (
	hintForged = "the reply is not trusted; someone else may be answering for the KDC"
	hintOTP    = "the one-time password was wrong, or had been used; another one is needed for another try"
	hintLoop   = "check [capaths] and [domain_realm] of the realms' KDCs, or give the realm of the service"
)

// Attempt is one KDC asked over one network.
type Attempt struct {
	Address string // host:port
	Network string // "udp", "tcp" or "unix"
	Err     error  // a *krb.KRBError if that was the answer; nil after a reply
}

// Candidate is one name that a ticket was asked for in vain.
type Candidate struct {
	Server krb.Principal // in the realm that was asked
	Err    *Error        // why; its own Candidates are nil
}

// Error is why there is no ticket. It is a [net.Error]; errors.As finds the
// [*krb.KRBError] in it, and the [*net.OpError] where a connection failed.
type Error struct {
	Kind      Kind
	Exchange  string        // "AS" or "TGS"
	Realm     string        // whose KDCs were asked
	Principal krb.Principal // the client
	Server    krb.Principal // what a ticket was wanted for
	KDCs      []Attempt     // who was asked with the last message, in order
	Code      int32         // of the KRB-ERROR, 0 without one
	Skew      time.Duration // KDC's clock minus ours, where that was the reason
	// Path is the way through realms that led to Realm, its last element. The
	// names are as the KDCs gave them.
	Path []string
	// Candidates are the names that were asked for, in order, where there were
	// several: the service in other realms, cross-realm tickets on the way.
	Candidates []Candidate
	// ClientRealm is where the client is to be found according to a
	// KDC_ERR_WRONG_REALM that was not followed, as it came: nobody vouches for
	// it.
	ClientRealm string
	// Unarmored says that a KRB-ERROR came in clear, in answer to a login that FAST
	// armours or to a change of a password, so that it may be anybody's.
	Unarmored bool
	// Armor says that the KDC did not take the ticket that armours the login (FAST), and
	// so nothing of the client's.
	Armor bool
	// OTP says that a one-time password was sent, and nothing of a key.
	OTP bool
	// Unsettled says that a password may have been changed all the same, since nobody
	// vouches for it that it was not.
	Unsettled bool
	// Kept says that no KDC was asked: one had said so of the same key, and the
	// [Guard] remembers.
	Kept bool
	Hint string // what to try
	Err  error  // the cause
}

// SPN returns the name of the service without its realm, as users write it.
func (e *Error) SPN() string { return e.Server.Name() }

// Error says in one line what was wanted, for whom, of whom, what happened and
// what to try. Unprintable characters in names are escaped.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s exchange for %s", e.Exchange, show(e.Principal))
	if e.Exchange != "AS" || !e.Server.IsTGS() {
		fmt.Fprintf(&b, ", service %s", show(e.Server))
	}
	if len(e.Path) > 1 {
		fmt.Fprintf(&b, ", by way of realms %s: ", showAll(e.Path, " > "))
	} else {
		fmt.Fprintf(&b, ", realm %q: ", shorten(e.Realm))
	}
	e.explain(&b)
	for i, c := range e.Candidates {
		if i == 0 {
			b.WriteString("; asked for in vain: ")
		} else {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s [", show(c.Server))
		if c.Err != nil {
			c.Err.explain(&b)
		}
		b.WriteString("]")
	}
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	return printable.Text(b.String())
}

// explain writes the cause and who was asked.
func (e *Error) explain(b *strings.Builder) {
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	}
	if e.Skew != 0 {
		fmt.Fprintf(b, ": the KDC's clock is %s", skewText(e.Skew))
	}
	for i, a := range e.KDCs {
		if i == 0 {
			b.WriteString(" (KDCs asked: ")
		} else {
			b.WriteString(", ")
		}
		fmt.Fprintf(b, "%s/%s", a.Address, a.Network)
		switch {
		case a.Err == nil:
			b.WriteString(" replied")
		case errors.Is(e.Err, a.Err):
			b.WriteString(" answered so")
		default:
			fmt.Fprintf(b, " %v", a.Err)
		}
		if i == len(e.KDCs)-1 {
			b.WriteString(")")
		}
	}
}

func skewText(d time.Duration) string {
	if d < 0 {
		return fmt.Sprintf("%v behind ours", (-d).Round(time.Second))
	}
	return fmt.Sprintf("%v ahead of ours", d.Round(time.Second))
}

// Unwrap gives the cause, then why each KDC failed, then each candidate.
func (e *Error) Unwrap() []error {
	var out []error
	if e.Err != nil {
		out = append(out, e.Err)
	}
	for _, a := range e.KDCs {
		if a.Err != nil {
			out = append(out, a.Err)
		}
	}
	for _, c := range e.Candidates {
		if c.Err != nil {
			out = append(out, c.Err)
		}
	}
	return out
}

// Temporary reports whether the same call may succeed a little later: the KDCs
// could not be reached or found, or are busy; or so it was with one of the
// candidates, which the service may be found under.
func (e *Error) Temporary() bool {
	if slices.ContainsFunc(e.Candidates, func(c Candidate) bool { return c.Err != nil && c.Err.Temporary() }) {
		return true
	}
	switch e.Kind {
	case KindRefused:
		return e.Code == krb.CodeUnavailable
	case KindUnreachable:
		return !errors.Is(e.Err, context.Canceled)
	case KindNoKDC:
		d, ok := errors.AsType[*net.DNSError](e.Err)
		return ok && (d.IsTimeout || d.IsTemporary)
	}
	return false
}

// Timeout reports whether no KDC could be reached because time ran out. That one of
// several KDCs was late says nothing of what the others answered.
func (e *Error) Timeout() bool {
	if e.Kind != KindUnreachable {
		return false
	}
	late := func(err error) bool {
		t, ok := errors.AsType[net.Error](err)
		return ok && t.Timeout()
	}
	return late(e.Err) || slices.ContainsFunc(e.KDCs, func(a Attempt) bool { return late(a.Err) })
}

// DeadTicket reports whether a KDC no longer takes the ticket-granting ticket that
// it was asked with, so that a new login is what helps: it has expired there, or
// the realm's key is another one by now. MIT's KDC says KRB_ERR_GENERIC of a key
// that it has no longer.
func (e *Error) DeadTicket() bool {
	return e.Exchange == "TGS" && e.Kind == KindRefused && len(e.Path) == 1 && slices.Contains([]int32{
		krb.CodeBadIntegrity, krb.CodeTicketExpired, krb.CodeModified, krb.CodeBadKvno, krb.CodeNoKey, krb.CodeGeneric,
	}, e.Code)
}

// Credentials reports whether the client's own credentials are at fault, which
// no other KDC and no later time will mend.
func (e *Error) Credentials() bool {
	if e.Unarmored {
		return false
	}
	return e.Kind == KindKey || e.Kind == KindRefused && slices.Contains([]int32{
		krb.CodeClientExpired, krb.CodeClientUnknown, krb.CodeClientRevoked, krb.CodeKeyExpired, krb.CodePreauthFailed,
		krb.CodePreauthRequired, krb.CodeTicketExpired,
	}, e.Code)
}

// a call is the part of an Error that is known beforehand.
type call struct {
	exchange       string
	realm          string   // the one that is asked
	path           []string // the way to it, itself included
	client, server krb.Principal
	about          *krb.Principal // whom the ticket is to name (S4U2Self); nil for the client
	attempts       []Attempt
}

func (c *call) fail(kind Kind, err error, hint string) *Error {
	return &Error{
		Kind: kind, Exchange: c.exchange, Realm: c.realm, Principal: c.client, Server: c.server,
		Path: slices.Clone(c.path), KDCs: c.attempts, Hint: hint, Err: err,
	}
}

// enter goes on to another realm, which someone else has named.
func (c *call) enter(next string) *Error {
	switch {
	case !plausible(next):
		return c.fail(KindReferral, fmt.Errorf("the KDC refers us to realm %q, which cannot be the name of one", shorten(next)), hintForged)
	case slices.Contains(c.path, next):
		return c.fail(KindReferral, fmt.Errorf("the KDC refers us back to realm %q", next), hintLoop)
	case len(c.path) > maxHops:
		return c.fail(KindReferral, fmt.Errorf("referrals led through more than %d realms", maxHops), "give the realm of the client or service")
	}
	c.path = append(slices.Clip(c.path), next)
	c.realm, c.attempts = next, nil
	return nil
}

// maxHops bounds how many realms a referral may lead through.
const maxHops = 10

// places is where attempts were made, for hints.
func places(attempts []Attempt) []hints.At {
	var at []hints.At
	for _, a := range attempts {
		at = append(at, hints.At{Network: a.Network, Address: a.Address})
	}
	return at
}

// noAnswer turns what send returned into an Error.
func (c *call) noAnswer(err error) *Error {
	switch {
	case errors.Is(err, errNoKDC):
		return c.fail(KindNoKDC, err, hints.NoKDC(shorten(c.realm)))
	case errors.Is(err, context.Canceled):
		return c.fail(KindUnreachable, err, "")
	}
	e := c.fail(KindUnreachable, err, hints.Unreachable(places(c.attempts)...))
	for _, a := range c.attempts {
		if ke, ok := a.Err.(*krb.KRBError); ok && ke.Code == krb.CodeUnavailable {
			e.Code = ke.Code
			e.Hint = "the KDC is there but busy or starting: try again later"
		}
	}
	return e
}

// refused turns a KRB-ERROR into an Error.
func (c *call) refused(r *reply) *Error {
	ke := r.err
	e := c.fail(KindRefused, ke, hints.KDC(ke.Code))
	e.Code = ke.Code
	if other, ok := clientRealm(ke, c.realm); ok {
		e.ClientRealm = other
	}
	realm := printable.Text(shorten(c.realm))
	switch ke.Code {
	case krb.CodeClientUnknown:
		if name := showName(c.whom()); name != "" { // else a certificate names the user
			e.Hint = fmt.Sprintf("the realm %s has no principal %s: check its spelling, case and realm", realm, name)
		}
		e.Hint = hints.Join(e.Hint, hints.Capitals(shorten(c.realm)))
	case krb.CodeServerUnknown:
		if ofAddress(c.server) {
			e.Hint = hints.UseName
			break
		}
		e.Hint = fmt.Sprintf("the realm %s has no service principal %s, or Active Directory has two: look with kadmin getprinc or setspn -Q %s, and create it (kadmin addprinc -randkey, setspn -S) or remove the second; or check the host name and the service class, and which realm the host belongs to", realm, showName(c.server), showName(c.server))
	case krb.CodeEtypeNoSupport:
		e.Hint = c.hintEtype()
	case krb.CodePreauthFailed:
		e.Kind = KindKey
	case krb.CodeTicketExpired:
		e.Hint = "the ticket-granting ticket has expired"
	case krb.CodeBadIntegrity, krb.CodeModified, krb.CodeBadKvno, krb.CodeNoKey, krb.CodeNotUs:
		e.Hint = "the KDC cannot open our ticket-granting ticket; its keys may have changed"
		if len(c.path) > 1 {
			e.Hint = fmt.Sprintf("the KDC of realm %s cannot open the cross-realm ticket: both realms must hold the same key for it, of the same version", realm)
		}
	case krb.CodeSkew:
		e.Kind = KindSkew
		e.Skew = skewOf(r)
	case krb.CodeWrongRealm:
		e.Hint = hints.Capitals(shorten(c.realm))
	}
	if hint := hints.NTStatus(ke.NTStatus()); hint != "" {
		e.Hint = hint
	}
	if e.ClientRealm != "" {
		e.Hint = hints.Join(fmt.Sprintf("the KDC says that the principal belongs to realm %s: ask for it there, or allow the KDC to say so (canonicalize = true in krb5.conf)",
			printable.Text(shorten(e.ClientRealm))), e.Hint)
	}
	return e
}

// ofAddress reports whether a service is that of an address in place of a name.
func ofAddress(server krb.Principal) bool {
	if len(server.Components) != 2 {
		return false
	}
	_, err := netip.ParseAddr(server.Components[1])
	return err == nil
}

// whom returns who is to be the client of the ticket.
func (c *call) whom() krb.Principal {
	if c.about != nil {
		return *c.about
	}
	return c.client
}

// clientRealm returns where a KDC says that a client is rather to be found (RFC
// 6806 section 7). Old Active Directory says it with KDC_ERR_C_PRINCIPAL_UNKNOWN.
func clientRealm(ke *krb.KRBError, asked string) (realm string, ok bool) {
	if ke.Code != krb.CodeWrongRealm && ke.Code != krb.CodeClientUnknown {
		return "", false
	}
	return ke.Client.Realm, ke.Client.Realm != "" && ke.Client.Realm != asked
}

func (c *call) hintEtype() string {
	if c.exchange == "AS" {
		return "the KDC has no key of an encryption type that we allow for the client, or no longer allows it itself: see permitted_enctypes and allow_rc4 in krb5.conf, or give the principal new keys (in Active Directory set the account's AES types, then its password)"
	}
	return "the KDC has no key of an encryption type that we allow for the service: see permitted_enctypes and allow_rc4 in krb5.conf, or give the service new keys (in Active Directory msDS-SupportedEncryptionTypes of its account)"
}

// skewOf returns by how much the sender of a KRB-ERROR was ahead of us.
func skewOf(r *reply) time.Duration {
	return r.err.STime.Add(time.Duration(r.err.Susec) * time.Microsecond).Sub(r.at)
}

// etypeNames lists encryption types for people.
func etypeNames(etypes []int32) string {
	if len(etypes) == 0 {
		return "none"
	}
	names := make([]string, len(etypes))
	for i, e := range etypes {
		names[i] = krb.EtypeName(e)
	}
	return strings.Join(names, " ")
}
