// Package dnslookup is a stub resolver for the one kind of DNS record that
// Kerberos wants and the standard library cannot look up: URI (RFC 7553).
//
// It asks the name servers of resolv.conf, with EDNS0 (RFC 6891) over UDP and
// over TCP where an answer does not fit. Search domains play no part: names are
// whole. What it costs to find the name servers dead is bounded, every wait
// ends with the caller's context, and no goroutine or socket outlives a call.
package dnslookup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A URI is the content of one record (RFC 7553 section 4).
type URI struct {
	Priority uint16 // the lowest is to be tried first
	Weight   uint16 // how often to choose it among those of one priority
	Target   string // not empty; anything may be in it
}

// A Resolver asks name servers. The zero value uses /etc/resolv.conf and the
// network. It holds no state and is safe for concurrent use.
type Resolver struct {
	// Dial connects to a name server; network is "udp" or "tcp". It must
	// return soon after ctx ends. Nil means a plain [net.Dialer].
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Config names the file with the name servers; "" means /etc/resolv.conf.
	// It is read on every lookup.
	Config string
}

const typeURI dnsmessage.Type = 256 // RFC 7553 section 6

// maxLookup bounds a lookup, all name servers and repetitions together.
const maxLookup = 5 * time.Second

var (
	errForeign   = errors.New("not the answer to our question")
	errMalformed = errors.New("malformed answer")
)

// URI returns the URI records of a name, in no particular order, and for how
// long they hold. Without any the error is a [*net.DNSError], IsNotFound where a
// name server said so and IsTemporary where none could say. Where there is no
// resolv.conf, errors.Is finds [io/fs.ErrNotExist].
func (r *Resolver) URI(ctx context.Context, name string) (records []URI, ttl time.Duration, err error) {
	fail := func(e net.DNSError) ([]URI, time.Duration, error) {
		e.Name = name
		return nil, 0, &e
	}
	qname, ok := wholeName(name)
	if !ok {
		return fail(net.DNSError{Err: "no such name is possible", IsNotFound: true})
	}
	conf, err := r.load()
	if err != nil {
		return nil, 0, err
	}
	q := dnsmessage.Question{Name: qname, Type: typeURI, Class: dnsmessage.ClassINET}
	inner, cancel := context.WithTimeout(ctx, maxLookup)
	defer cancel()
	last := net.DNSError{Err: "no name server answered", IsTimeout: true, IsTemporary: true}
	for range conf.attempts {
		for _, server := range conf.servers {
			a, err := r.ask(inner, conf.timeout, server, q)
			switch {
			case ctx.Err() != nil:
				return fail(net.DNSError{Err: ctx.Err().Error(), UnwrapErr: ctx.Err(), Server: server,
					IsTimeout: errors.Is(ctx.Err(), context.DeadlineExceeded), IsTemporary: true})
			case inner.Err() != nil:
				return fail(last)
			case err != nil:
				timeout := errors.Is(err, context.DeadlineExceeded)
				last = net.DNSError{Err: err.Error(), UnwrapErr: err, Server: server, IsTimeout: timeout, IsTemporary: true}
			case a.code == dnsmessage.RCodeNameError || a.code == dnsmessage.RCodeSuccess && len(a.records) == 0:
				return fail(net.DNSError{Err: "no such record", Server: server, IsNotFound: true})
			case a.code != dnsmessage.RCodeSuccess:
				last = net.DNSError{Err: fmt.Sprintf("the name server answered with code %d", a.code), Server: server, IsTemporary: true}
			default:
				return a.records, a.ttl, nil
			}
		}
	}
	return fail(last)
}

// wholeName turns a name, with or without the dot at its end, into one that can
// be asked for.
func wholeName(name string) (dnsmessage.Name, bool) {
	name = strings.TrimSuffix(name, ".")
	if len(name) > 253 {
		return dnsmessage.Name{}, false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return dnsmessage.Name{}, false
		}
	}
	n, err := dnsmessage.NewName(name + ".")
	return n, err == nil
}
