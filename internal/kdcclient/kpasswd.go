package kdcclient

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
	"github.com/kerbchain/kerbchain/internal/secret"
)

// kindKpasswd stands for answers of RFC 3244, which are no messages of a KDC.
const kindKpasswd uint8 = 0

// Changepw returns the service of a realm where passwords are changed, whose tickets are
// got by a login.
func Changepw(realm string) krb.Principal { return krb.NewPrincipal(realm, "kadmin", "changepw") }

// A ChangeError is the answer of a server that did not change a password (RFC 3244 section
// 2).
type ChangeError struct {
	Result uint16 // such as krb.KpasswdSoftError
	Text   string // of the server, or its rules in words; escaped, "" without one
	Clear  bool   // it came in clear, and may be anybody's
}

// Error says what the server said.
func (e *ChangeError) Error() string {
	s := fmt.Sprintf("kpasswd result %d", e.Result)
	if name, known := changeResults[e.Result]; known {
		s = name
	}
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

var changeResults = map[uint16]string{
	krb.KpasswdMalformed:         "the server found the request malformed",
	krb.KpasswdHardError:         "the server failed to change the password",
	krb.KpasswdAuthError:         "the server did not believe who asks",
	krb.KpasswdSoftError:         "the server does not take this new password",
	krb.KpasswdAccessDenied:      "the server does not let this user change the password",
	krb.KpasswdBadVersion:        "the server speaks another version of kpasswd",
	krb.KpasswdInitialFlagNeeded: "the server wants a ticket that was got by a login",
}

// ChangePassword changes the password of the client of a ticket for [Changepw] (RFC 3244).
// The new password is sent to one server. The error is of type [*Error], with a
// [*ChangeError] in it where a server said why not; one that is Unsettled leaves open
// whether the password was changed: the answer was lost, or is nobody's.
func (c *Client) ChangePassword(ctx context.Context, t *krb.Ticket, password secret.Text) error {
	realm := t.Server.Realm
	k := call{exchange: "kpasswd", realm: realm, path: []string{realm}, client: t.Client, server: t.Server}
	var servers []KDC
	if c.o.LocateKpasswd != nil {
		var err error
		if servers, err = c.o.LocateKpasswd(ctx, realm); err != nil {
			return k.noAnswer(err)
		}
	}
	if len(servers) == 0 {
		return k.fail(KindNoKDC, errors.New("no server is known that changes passwords"),
			fmt.Sprintf("add `kpasswd_server = host` to realm %s in krb5.conf", printable.Text(shorten(realm))))
	}
	var attempts []Attempt
	for _, at := range servers {
		q, err := newChange(t, password, c.o.Now().Add(c.Offset(realm)))
		if err != nil {
			return k.fail(KindRequest, err, "")
		}
		r, tried, err := c.sendTo(ctx, asking{name: "kpasswd"}, kindKpasswd, realm, q.msg, &chosen{kdcs: []KDC{at}, stream: true})
		attempts = append(attempts, tried...)
		k.attempts = attempts
		if err != nil && ctx.Err() == nil && !slices.ContainsFunc(tried, reached) {
			continue
		}
		if err != nil {
			e := k.noAnswer(err)
			if slices.ContainsFunc(tried, reached) {
				e.Unsettled, e.Hint = true, hintUnsettled
			}
			return e
		}
		return k.changed(q, r)
	}
	return k.fail(KindUnreachable, errors.New("no server answered that changes passwords"), hints.NoChange(places(attempts)...))
}

const hintUnsettled = "the password may have been changed or not: try both"

// reached reports whether a message may have got to whom it was sent.
func reached(a Attempt) bool {
	op, failed := errors.AsType[*net.OpError](a.Err)
	dns, _ := errors.AsType[*net.DNSError](a.Err)
	return dns == nil && (!failed || op.Op != "dial")
}

// A change is a request, and what its answer is checked against.
type change struct {
	session, subkey krb.Key
	ctime           time.Time
	cusec           int
	msg, priv       []byte
	password        secret.Text
}

func newChange(t *krb.Ticket, password secret.Text, now time.Time) (*change, error) {
	q := &change{session: t.Key, password: password}
	var err error
	if q.subkey, err = krb.GenerateKey(t.Key.Etype()); err != nil {
		return nil, err
	}
	var random [4]byte
	rand.Read(random[:]) // never fails since Go 1.24
	seq := binary.BigEndian.Uint32(random[:]) & 0x3fffffff
	q.ctime, q.cusec = krb.UniqueTime(now)
	auth := &krb.Authenticator{Client: t.Client, Subkey: q.subkey, CTime: q.ctime, Cusec: q.cusec, Seq: seq, HasSeq: true}
	ap, err := krb.MakeAPReq(t, auth, krb.UsageAPReqAuth, krb.APMutualRequired)
	if err != nil {
		return nil, err
	}
	// Servers do not look at the address, which would be another one behind NAT.
	if q.priv, err = krb.MakeKRBPriv(q.subkey, krb.KRBPriv{Data: []byte(password.Reveal()), Seq: seq, Sender: krb.HostAddressOf(netip.IPv4Unspecified())}); err != nil {
		return nil, err
	}
	q.msg, err = krb.KpasswdMessage{Version: krb.KpasswdChange, AP: ap, Rest: q.priv}.Marshal()
	return q, err
}

// changed reads an answer. One that nobody vouches for says nothing of what the server did.
func (k *call) changed(q *change, r *reply) error {
	if r.err != nil {
		return k.inClear(r)
	}
	if len(r.kpasswd.AP) == 0 {
		ke, err := krb.ParseKRBError(r.kpasswd.Rest)
		if err != nil {
			return k.unsettled(KindReply, fmt.Errorf("answer of the server: %w", err))
		}
		e := k.inClear(&reply{err: ke, at: r.at})
		if result, err := q.read(ke.Data); err == nil && result.Result != krb.KpasswdSuccess {
			result.Clear = true
			e.Err = fmt.Errorf("%w: %w", ke, result)
		}
		return e
	}
	data, err := q.open(*r.kpasswd)
	if err != nil {
		return k.unsettled(KindReply, err)
	}
	result, err := q.read(data)
	if err != nil {
		return k.unsettled(KindReply, err)
	}
	if result.Result == krb.KpasswdSuccess {
		return nil
	}
	return k.fail(KindRefused, result, "")
}

// inClear returns the error of a KRB-ERROR, which may be anybody's.
func (k *call) inClear(r *reply) *Error {
	e := k.refused(r)
	e.Unarmored, e.Unsettled = true, true
	e.Hint = hints.Join(e.Hint, "the answer came in clear and may be forged: the password may have been changed all the same")
	return e
}

func (k *call) unsettled(kind Kind, err error) *Error {
	e := k.fail(kind, err, hints.Join(hintForged, hintUnsettled))
	e.Unsettled = true
	return e
}

// open verifies an answer, and returns the result in it.
func (q *change) open(m krb.KpasswdMessage) ([]byte, error) {
	rep, err := krb.OpenAPRep(q.session, m.AP)
	if err != nil {
		return nil, err
	}
	if !rep.CTime.Equal(q.ctime) || rep.Cusec != q.cusec {
		return nil, errors.New("the answer is to another request")
	}
	// Our own message, sent back to us, would open too.
	if bytes.Equal(m.Rest, q.priv) {
		return nil, errors.New("the answer is our own request")
	}
	for _, key := range []krb.Key{rep.Subkey, q.subkey, q.session} {
		if key.IsZero() {
			continue
		}
		p, failed := krb.OpenKRBPrivInOrder(key, m.Rest)
		if failed == nil && rep.HasSeq && p.Seq != rep.Seq {
			return nil, errors.New("the result in the answer has another sequence number than the server's proof")
		}
		if err = failed; err == nil {
			return p.Data, nil
		}
	}
	return nil, fmt.Errorf("result in the answer: %w", err)
}

// read reads a result code and the text after it, which is not to tell the password.
func (q *change) read(data []byte) (*ChangeError, error) {
	if len(data) < 2 {
		return nil, errors.New("the answer holds no result")
	}
	e := &ChangeError{Result: binary.BigEndian.Uint16(data)}
	text := data[2:]
	switch rules, ok := domainRules(text); {
	case ok:
		e.Text = rules
	case utf8.Valid(text) && (q.password.Reveal() == "" || !strings.Contains(string(text), q.password.Reveal())):
		e.Text = printable.Text(strings.TrimSpace(strings.TrimRight(shorten(string(text)), "\x00")))
	}
	return e, nil
}

// domainRules puts into words what a domain controller of Active Directory says of its
// rules for passwords, in place of a text: two zero bytes, the least length, how many old
// ones are remembered, flags, and for how long a password may and must be kept, in units of
// 100 ns.
func domainRules(b []byte) (string, bool) {
	if len(b) != 30 || b[0] != 0 || b[1] != 0 {
		return "", false
	}
	length, history, flags := binary.BigEndian.Uint32(b[2:]), binary.BigEndian.Uint32(b[6:]), binary.BigEndian.Uint32(b[10:])
	least := binary.BigEndian.Uint64(b[22:])
	var rules []string
	if length > 0 {
		rules = append(rules, fmt.Sprintf("at least %d characters", length))
	}
	if history > 0 {
		rules = append(rules, fmt.Sprintf("none of the last %d passwords", history))
	}
	if flags&1 != 0 {
		rules = append(rules, "characters of three kinds, and no part of the user's name")
	}
	if days := least / (24 * 60 * 60 * 10_000_000); days > 0 {
		rules = append(rules, fmt.Sprintf("no change within %d days of the last", days))
	}
	if len(rules) == 0 {
		return "", true
	}
	return "the domain wants " + strings.Join(rules, ", "), true
}
