package dnslookup

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	udpSize     = 1232 // bytes of an answer that we ask to fit into UDP
	maxDatagram = 4096 // that we can take
)

// ask puts a question to one name server, by TCP where the answer does not fit
// into a datagram, and without EDNS0 where the server does not know it.
func (r *Resolver) ask(ctx context.Context, timeout time.Duration, server string, q dnsmessage.Question) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	a, err := r.send(ctx, server, q, true)
	if err == nil && (a.code == dnsmessage.RCodeFormatError || a.code == dnsmessage.RCodeNotImplemented) {
		a, err = r.send(ctx, server, q, false)
	}
	return a, err
}

func (r *Resolver) send(ctx context.Context, server string, q dnsmessage.Question, edns bool) (answer, error) {
	a, err := r.exchange(ctx, "udp", server, q, edns)
	if err == nil && a.truncated {
		a, err = r.exchange(ctx, "tcp", server, q, edns)
		if err == nil && a.truncated {
			return answer{}, errMalformed
		}
	}
	return a, err
}

func (r *Resolver) exchange(ctx context.Context, network, server string, q dnsmessage.Question, edns bool) (a answer, err error) {
	var id [2]byte
	rand.Read(id[:])
	query, err := newQuery(binary.BigEndian.Uint16(id[:]), q, edns)
	if err != nil {
		return answer{}, err
	}
	dial := r.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, network, server)
	if err != nil {
		return answer{}, ended(ctx, err)
	}
	defer conn.Close()
	released := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(released)
		conn.Close() // ends what waits on it
	})
	defer func() {
		if !stop() {
			<-released
		}
	}()
	if network == "udp" {
		a, err = datagrams(conn, query, q)
	} else {
		a, err = stream(conn, query, q)
	}
	return a, ended(ctx, err)
}

// ended returns err, after why ctx ended if it has.
func ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%w: %w", ctx.Err(), err)
}

// newQuery returns a standard query that wants recursion.
func newQuery(id uint16, q dnsmessage.Question, edns bool) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(q); err != nil {
		return nil, err
	}
	if edns {
		if err := b.StartAdditionals(); err != nil {
			return nil, err
		}
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, false); err != nil {
			return nil, err
		}
		if err := b.OPTResource(h, dnsmessage.OPTResource{}); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// datagrams sends a query and reads until something answers it: anybody can
// send junk to an open port.
func datagrams(conn net.Conn, query []byte, q dnsmessage.Question) (answer, error) {
	if _, err := conn.Write(query); err != nil {
		return answer{}, err
	}
	buf := make([]byte, maxDatagram)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return answer{}, err
		}
		a, err := parse(buf[:n], binary.BigEndian.Uint16(query), q)
		if errors.Is(err, errForeign) {
			continue
		}
		return a, err
	}
}

// stream sends and reads one message after its length in two bytes (RFC 1035
// section 4.2.2).
func stream(conn net.Conn, query []byte, q dnsmessage.Question) (answer, error) {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(query)))
	if _, err := conn.Write(append(framed, query...)); err != nil {
		return answer{}, err
	}
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return answer{}, err
	}
	b := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(conn, b); err != nil {
		return answer{}, err
	}
	return parse(b, binary.BigEndian.Uint16(query), q)
}
