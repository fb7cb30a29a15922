package kdcclient

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

const (
	maxReply    = 1 << 20 // bytes of a reply over TCP
	maxDatagram = 1 << 16
	maxTries    = 64 // KDCs and addresses, times networks, per exchange
)

var (
	errNotKerberos = errors.New("the answer is no Kerberos message")
	errNoNetwork   = errors.New("this way of reaching a KDC is not supported")
	errNoAddress   = errors.New("the name has no address")
	errTimeout     = errors.New("the time is over that request_timeout in krb5.conf allows")
)

// A reply is a well-formed message from whoever answered first: one of err and
// rep is set.
type reply struct {
	err    *krb.KRBError
	rep    *krb.KDCRep
	at     time.Time // local clock, when it came
	sealed bool      // err came within FAST, and so from the KDC

	kpasswd *krb.KpasswdMessage // in place of both

	from  KDC      // who answered
	by    *try     // how
	asked []string // addresses, host:port, that the message was sent to
}

// where returns who answered, by the one address that did.
func (r *reply) where() KDC {
	k := r.from
	if k.Network == "unix" || k.Network == "https" || r.by == nil {
		return k
	}
	if host, _, err := net.SplitHostPort(r.by.address); err == nil {
		k.Host = host
	}
	return k
}

// An event is what a try's goroutine reports: first the connection, then how
// it ended; or a failure at once; or the addresses of a name.
type event struct {
	t     *try
	addrs []netip.Addr
	conn  net.Conn
	reply *reply
	err   error
}

// An exchange sends one message to the KDCs of a realm until one answers. It
// is run by one goroutine; the mutex is for what the tries' goroutines share.
type exchange struct {
	c     *Client
	about asking
	kind  uint8 // type of the reply wanted
	realm string
	msg   []byte
	tries []*try // in the order in which KDCs were located
	asked []*try // in the order in which they were asked

	except []string // addresses that are not asked
	before []string // addresses that were asked over UDP before

	events chan event
	wg     sync.WaitGroup
	mu     sync.Mutex
	conns  []net.Conn
	over   bool
}

// send asks the KDCs of realm and returns the first usable answer together with
// who was asked. A KRB-ERROR is an answer; the error says that none came.
func (c *Client) send(ctx context.Context, name string, kind uint8, realm string, msg []byte) (*reply, []Attempt, error) {
	return c.sendTo(ctx, asking{name: name}, kind, realm, msg, nil)
}

// asking is what is told of a request.
type asking struct {
	name    string // "AS", "TGS" or "kpasswd"
	armored bool   // by FAST
	preauth string // as in a [middleware.ExchangeEvent]
}

// chosen are the KDCs to ask in the place of a realm's own, except at some
// addresses.
type chosen struct {
	kdcs   []KDC
	except []string // host:port
	stream bool     // over TCP alone, where that is not excluded
}

// sendTo is send to the KDCs that were chosen, if any were.
func (c *Client) sendTo(ctx context.Context, about asking, kind uint8, realm string, msg []byte, only *chosen) (*reply, []Attempt, error) {
	if ctx.Err() != nil {
		return nil, nil, ended.Because(ctx, "", nil)
	}
	if c.o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.o.Timeout, errTimeout)
		defer cancel()
	}
	var kdcs []KDC
	var except []string
	var err error
	if only != nil {
		kdcs, except = only.kdcs, only.except
	} else {
		kdcs, err = c.Locate(ctx, realm)
	}
	if err != nil && ctx.Err() != nil {
		return nil, nil, ended.Because(ctx, "", nil)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNoKDC, err)
	}
	if len(kdcs) == 0 {
		return nil, nil, errNoKDC
	}
	first, second := "udp", "tcp"
	if len(msg) > c.o.UDPPreferenceLimit {
		first, second = second, first
	}
	if only != nil && only.stream {
		if first, second = "tcp", ""; !slices.ContainsFunc(kdcs, func(k KDC) bool { return k.Network != "udp" }) {
			first = "udp"
		}
	}
	tries, failed := c.plan(kdcs, first, second)
	x := &exchange{c: c, about: about, kind: kind, realm: realm, msg: msg, tries: spared(tries, except), except: except}
	r, err := x.run(ctx)
	attempts := append(x.attempts(), failed...)
	if r == nil || r.err == nil || r.err.Code != krb.CodeResponseTooBig {
		return r, attempts, err
	}
	// The same KDC again, and the others after it, over streams alone.
	answered := slices.IndexFunc(x.asked, func(t *try) bool { return t.done && t.err == error(r.err) })
	from := x.asked[answered]
	if from.network != "udp" {
		return r, attempts, nil
	}
	tries, _ = c.plan(kdcs, "tcp", "")
	if len(tries) == 0 {
		return r, attempts, nil
	}
	x = &exchange{c: c, about: about, kind: kind, realm: realm, msg: msg, tries: spared(overTCP(from, tries), except), except: except, before: x.sentTo()}
	r, err = x.run(ctx)
	return r, append(attempts, x.attempts()...), err
}

// run asks one after the other, listens to all, and returns when one has
// answered, none is left, or ctx ends. All goroutines have ended by then.
func (x *exchange) run(ctx context.Context) (r *reply, err error) {
	x.events = make(chan event, 2*capacity(x.tries)) // none ever waits to be heard
	inner, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		x.close()
		x.wg.Wait()
		x.settle(ctx)
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	pacing := x.c.o.Pacing
	for pass, tail := range pacing.Passes {
		for _, t := range slices.Clone(x.asked) {
			if pass == 0 || !x.again(ctx, t) {
				continue
			}
			if r, err := x.wait(ctx, timer, t, pacing.Next); r != nil || err != nil {
				return r, err
			}
		}
		// More than one round where names turn into addresses late.
		for more := true; more; more = x.next() != nil {
			for t := x.next(); t != nil; t = x.next() {
				x.begin(inner, t)
				if r, err := x.wait(ctx, timer, t, pacing.Next); r != nil || err != nil {
					return r, err
				}
			}
			if r, err := x.wait(ctx, timer, nil, tail); r != nil || err != nil {
				return r, err
			}
		}
		if !slices.ContainsFunc(x.asked, (*try).alive) {
			break
		}
	}
	if ctx.Err() != nil {
		return nil, ended.Because(ctx, "", nil)
	}
	return nil, errUnreachable
}

func (x *exchange) begin(ctx context.Context, t *try) {
	t.begun = time.Now()
	x.asked = append(x.asked, t)
	if t.name != "" {
		x.wg.Go(func() { x.lookup(ctx, t) })
		return
	}
	x.wg.Go(func() { x.talk(ctx, t) })
}

// again repeats the message where a datagram may have been lost. It reports
// whether that is worth waiting for.
func (x *exchange) again(ctx context.Context, t *try) bool {
	if t.network != "udp" || !t.alive() || t.conn == nil {
		return false
	}
	if _, err := t.conn.Write(x.msg); err != nil {
		x.end(ctx, t, err)
		return false
	}
	return true
}

// wait handles events until one is an answer, d has passed (longer where a
// connection was accepted), or t has failed; without a t, until all have or
// there is another to ask.
func (x *exchange) wait(ctx context.Context, timer *time.Timer, t *try, d time.Duration) (*reply, error) {
	end := time.Now().Add(d)
	for {
		if ctx.Err() != nil {
			return nil, ended.Because(ctx, "", nil)
		}
		if t != nil && t.done || t == nil && (!slices.ContainsFunc(x.asked, (*try).alive) || x.next() != nil) {
			return nil, nil
		}
		until := end
		for _, o := range x.asked {
			if o.alive() && o.network != "udp" && o.conn != nil {
				if e := o.connected.Add(x.c.o.Pacing.Connected); e.After(until) {
					until = e
				}
			}
		}
		timer.Reset(time.Until(until))
		select {
		case <-ctx.Done():
			return nil, ended.Because(ctx, "", nil)
		case <-timer.C:
			return nil, nil
		case ev := <-x.events:
			if r := x.handle(ctx, ev); r != nil {
				return r, nil
			}
		}
	}
}

func (x *exchange) handle(ctx context.Context, ev event) *reply {
	t := ev.t
	switch {
	case t.done: // failed while being asked again
	case ev.err != nil && ctx.Err() != nil:
		t.done, t.err = true, errAbandoned
	case ev.addrs != nil:
		x.expand(t, ev.addrs)
	case ev.conn != nil:
		t.conn, t.connected = ev.conn, time.Now()
	case ev.err != nil:
		x.end(ctx, t, ev.err)
	case ev.reply.err != nil && ev.reply.err.Code == krb.CodeUnavailable:
		x.end(ctx, t, ev.reply.err) // another KDC may not be as busy
	default:
		var err error
		if ev.reply.err != nil {
			err = ev.reply.err
		}
		x.end(ctx, t, err)
		x.c.forgive(t.where())
		ev.reply.from, ev.reply.by, ev.reply.asked = t.kdc, t, x.sentTo()
		return ev.reply
	}
	return nil
}

// end notes and reports how a try ended.
func (x *exchange) end(ctx context.Context, t *try, err error) {
	t.done, t.err = true, err
	ev := middleware.ExchangeEvent{
		Kind: x.about.name, Realm: x.realm, Address: t.address, Network: t.network,
		Duration: time.Since(t.begun), Err: err, Armored: x.about.armored, Preauth: x.about.preauth,
	}
	if ke, ok := err.(*krb.KRBError); ok {
		ev.Err, ev.Code = nil, ke.Code
	}
	if err != nil && (ev.Err != nil || ev.Code == krb.CodeUnavailable) {
		x.c.shun(t.where())
	}
	if t.name != "" {
		x.forget(t.name) // over another network it has no address either
	}
	middleware.Emit(ctx, ev)
}

// settle ends what was asked and has not answered.
func (x *exchange) settle(ctx context.Context) {
	for _, t := range x.asked {
		if !t.alive() {
			continue
		}
		waited := time.Since(t.begun)
		if waited < x.c.o.Pacing.Next {
			t.done, t.err = true, errAbandoned // no fault of its own
			continue
		}
		what := "no answer"
		if t.name != "" {
			what = "no address was found for the name"
		}
		x.end(ctx, t, fmt.Errorf("%s in %v: %w", what, waited.Round(time.Millisecond), os.ErrDeadlineExceeded))
	}
}

// sentTo returns the addresses that may have got the message.
func (x *exchange) sentTo() []string {
	out := slices.Clone(x.before)
	for _, t := range x.asked {
		if t.name == "" {
			out = append(out, t.address)
		}
	}
	return out
}

func (x *exchange) attempts() []Attempt {
	var out []Attempt
	for _, t := range x.asked {
		out = append(out, Attempt{Address: t.shown(), Network: t.network, Err: t.err})
	}
	return out
}

// own takes charge of a connection, unless the exchange is over.
func (x *exchange) own(conn net.Conn) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return false
	}
	x.conns = append(x.conns, conn)
	return true
}

func (x *exchange) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	for _, conn := range x.conns {
		conn.Close()
	}
}

// talk is the goroutine of a try.
func (x *exchange) talk(ctx context.Context, t *try) {
	conn, err := x.c.o.Dial(ctx, t.transport(), t.address)
	if err != nil {
		x.events <- event{t: t, err: err}
		return
	}
	if !x.own(conn) {
		conn.Close()
		return
	}
	x.events <- event{t: t, conn: conn}
	var r *reply
	switch t.network {
	case "udp":
		r, err = x.datagrams(conn)
	case "https":
		r, err = x.proxied(ctx, conn, t.kdc)
	default:
		r, err = x.stream(conn)
	}
	x.events <- event{t: t, reply: r, err: err}
}

// datagrams sends the message and reads until something is a Kerberos message
// of the right kind: anybody can send junk to an open port.
func (x *exchange) datagrams(conn net.Conn) (*reply, error) {
	if _, err := conn.Write(x.msg); err != nil {
		return nil, err
	}
	buf := make([]byte, maxDatagram)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if r := x.classify(bytes.Clone(buf[:n])); r != nil {
			return r, nil
		}
	}
}

// stream sends and reads one message after its length in four bytes (RFC 4120
// section 7.2.2).
func (x *exchange) stream(conn net.Conn) (*reply, error) {
	framed := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(x.msg)), uint32(len(x.msg)))
	if _, err := conn.Write(append(framed, x.msg...)); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, fmt.Errorf("read the length of the answer: %w", err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > maxReply {
		return nil, fmt.Errorf("the answer announces %d bytes, want 1 to %d", n, maxReply)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(conn, b); err != nil {
		return nil, fmt.Errorf("read the answer of %d bytes: %w", n, err)
	}
	if r := x.classify(b); r != nil {
		return r, nil
	}
	return nil, errNotKerberos
}

// classify returns nil for what is neither a KRB-ERROR nor the kind of reply
// that is wanted.
func (x *exchange) classify(b []byte) *reply {
	if m, err := krb.ParseKpasswd(b); x.kind == kindKpasswd && err == nil {
		return &reply{kpasswd: &m, at: x.c.o.Now()}
	}
	if ke, err := krb.ParseKRBError(b); err == nil {
		return &reply{err: ke, at: x.c.o.Now()}
	}
	if rep, err := krb.ParseKDCRep(b, x.kind); err == nil {
		return &reply{rep: rep, at: x.c.o.Now()}
	}
	return nil
}
