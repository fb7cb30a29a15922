package dnslookup

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Messages as RFC 1035 section 4 writes them, with no help from the package
// that the resolver stands on.

func wireName(name string) (b []byte) {
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

// An rr is a resource record in bytes.
type rr []byte

func newRR(owner string, rtype, class uint16, ttl uint32, data []byte) rr {
	b := binary.BigEndian.AppendUint16(wireName(owner), rtype)
	b = binary.BigEndian.AppendUint16(b, class)
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

func uriRR(owner string, ttl uint32, priority, weight uint16, target string) rr {
	data := binary.BigEndian.AppendUint16(nil, priority)
	data = binary.BigEndian.AppendUint16(data, weight)
	return newRR(owner, 256, 1, ttl, append(data, target...))
}

func cnameRR(owner, target string) rr { return newRR(owner, 5, 1, 300, wireName(target)) }

// A query is what a server understood of one.
type query struct {
	network string
	raw     []byte
	id      uint16
	name    string
	qtype   uint16
	edns    bool
	size    uint16 // announced by EDNS0
}

const (
	bitResponse  = 1 << 15
	bitTruncated = 1 << 9
	bitRecursion = 1 << 8
)

func readQuery(tb testing.TB, network string, b []byte) (q query) {
	tb.Helper()
	q.network, q.raw = network, b
	if len(b) < 12 || binary.BigEndian.Uint16(b[2:]) != bitRecursion || binary.BigEndian.Uint16(b[4:]) != 1 {
		tb.Errorf("not a query that wants recursion: %x", b)
		return q
	}
	q.id = binary.BigEndian.Uint16(b)
	rest := b[12:]
	for rest[0] != 0 {
		q.name += string(rest[1:1+rest[0]]) + "."
		rest = rest[1+rest[0]:]
	}
	q.qtype = binary.BigEndian.Uint16(rest[1:])
	if class := binary.BigEndian.Uint16(rest[3:]); class != 1 {
		tb.Errorf("class %d", class)
	}
	if rest = rest[5:]; len(rest) > 0 {
		q.edns = rest[0] == 0 && binary.BigEndian.Uint16(rest[1:]) == 41
		q.size = binary.BigEndian.Uint16(rest[3:])
	}
	return q
}

// reply answers q with records.
func (q query) reply(bits uint16, records ...rr) []byte {
	b := binary.BigEndian.AppendUint16(nil, q.id)
	b = binary.BigEndian.AppendUint16(b, bitResponse|bitRecursion|bits)
	b = binary.BigEndian.AppendUint16(b, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(len(records)))
	b = append(b, 0, 0, 0, 0)
	b = append(b, wireName(q.name)...)
	b = binary.BigEndian.AppendUint16(b, q.qtype)
	b = append(b, 0, 1)
	for _, r := range records {
		b = append(b, r...)
	}
	return b
}

// A server answers by UDP and TCP on loopback.
type server struct {
	tb     testing.TB
	addr   string
	answer func(query) [][]byte

	mu    sync.Mutex
	asked []query
}

func (s *server) handle(network string, raw []byte) [][]byte {
	q := readQuery(s.tb, network, raw)
	s.mu.Lock()
	s.asked = append(s.asked, q)
	s.mu.Unlock()
	return s.answer(q)
}

func (s *server) queries() []query {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// log returns the networks of the queries.
func (s *server) log() (out []string) {
	for _, q := range s.queries() {
		edns := ""
		if q.edns {
			edns = fmt.Sprint(" edns ", q.size)
		}
		out = append(out, q.network+edns)
	}
	return out
}

func serve(tb testing.TB, answer func(query) [][]byte) *server {
	tb.Helper()
	s := &server{tb: tb, answer: answer}
	var l net.Listener
	var p net.PacketConn
	for try := 0; ; try++ {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			tb.Fatal(err)
		}
		if p, err = net.ListenPacket("udp", l.Addr().String()); err == nil {
			break
		}
		l.Close()
		if try == 20 {
			tb.Fatal(err)
		}
	}
	s.addr = l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, b := range s.handle("udp", append([]byte(nil), buf[:n]...)) {
				_, _ = p.WriteTo(b, from)
			}
		}
	})
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				var head [2]byte
				if _, err := io.ReadFull(conn, head[:]); err != nil {
					return
				}
				b := make([]byte, binary.BigEndian.Uint16(head[:]))
				if _, err := io.ReadFull(conn, b); err != nil {
					return
				}
				replies := s.handle("tcp", b)
				for _, r := range replies {
					_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...))
				}
				if len(replies) == 0 {
					_, _ = io.Copy(io.Discard, conn)
				}
			})
		}
	})
	tb.Cleanup(func() {
		l.Close()
		p.Close()
		wg.Wait()
	})
	return s
}

// resolver asks the given servers under the addresses 192.0.2.1, 192.0.2.2
// and so on.
func resolver(tb testing.TB, options string, servers ...*server) *Resolver {
	tb.Helper()
	text := options + "\n"
	addresses := map[string]string{}
	for i, s := range servers {
		host := fmt.Sprintf("192.0.2.%d", i+1)
		text += "nameserver " + host + "\n"
		addresses[host+":53"] = s.addr
	}
	path := filepath.Join(tb.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return &Resolver{Config: path, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		to, ok := addresses[address]
		if !ok {
			tb.Errorf("dialled %s", address)
		}
		return new(net.Dialer).DialContext(ctx, network, to)
	}}
}
