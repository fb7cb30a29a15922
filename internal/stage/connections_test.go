package stage

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/internal/testmain"
)

// wrapped tells what it wraps, hidden does not.
type (
	wrapped struct{ net.Conn }
	hidden  struct{ net.Conn }
	endless struct{ net.Conn }
)

func (w *wrapped) NetConn() net.Conn { return w.Conn }
func (e *endless) NetConn() net.Conn { return e }

func TestConnIDOf(t *testing.T) {
	tcp, other := new(net.TCPConn), new(net.TCPConn)
	unix := new(net.UnixConn)
	secure := tls.Client(tcp, &tls.Config{MinVersion: tls.VersionTLS12})
	for name, tc := range map[string]struct {
		a, b       net.Conn
		known, one bool
	}{
		"TCP":                      {tcp, tcp, true, true},
		"two of TCP":               {tcp, other, true, false},
		"unix":                     {unix, unix, true, true},
		"TLS":                      {secure, secure, true, true},
		"TLS is not what it wraps": {secure, tcp, true, false},
		"wrapper":                  {&wrapped{tcp}, &wrapped{&wrapped{tcp}}, true, true},
		"wrappers of two":          {&wrapped{tcp}, &wrapped{other}, true, false},
		"wrapped TLS":              {&wrapped{secure}, secure, true, true},
		"hidden":                   {&hidden{tcp}, &hidden{tcp}, false, true},
		"hidden within":            {&wrapped{&hidden{tcp}}, &hidden{tcp}, false, true},
		"endless":                  {&endless{}, &endless{}, false, true},
		"none":                     {nil, nil, false, true},
		"nil":                      {(*net.TCPConn)(nil), (*tls.Conn)(nil), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			a, ok := ConnIDOf(tc.a)
			b, also := ConnIDOf(tc.b)
			if ok != tc.known || also != tc.known || (a == b) != tc.one {
				t.Errorf("known %t and %t, the same %t", ok, also, a == b)
			}
			if !ok && a != (ConnID{}) {
				t.Error("an unknown connection has an ID")
			}
		})
	}
}

func TestMarks(t *testing.T) {
	var table Marks[string]
	a, b := id(t, new(net.TCPConn)), id(t, new(net.UnixConn))
	if _, ok := table.Get(a); ok || size(&table) != 0 {
		t.Error("an empty table has a mark")
	}
	table.Delete(a)
	table.Put(a, "one")
	table.Put(a, "two")
	if mark, ok := table.Get(a); mark != "two" || !ok || size(&table) != 1 {
		t.Errorf("%q, %t, %d", mark, ok, size(&table))
	}
	if _, ok := table.Get(b); ok {
		t.Error("a mark of another connection")
	}
	table.Delete(a)
	if _, ok := table.Get(a); ok || size(&table) != 0 {
		t.Error("a mark that was taken off")
	}
}

func id(t *testing.T, c net.Conn) ConnID {
	t.Helper()
	id, ok := ConnIDOf(c)
	if !ok {
		t.Fatalf("%T is not known", c)
	}
	return id
}

// Of connections that nobody holds no marks are left, however many there were.
func TestMarksForget(t *testing.T) {
	var table Marks[int]
	kept := new(net.TCPConn)
	table.Put(id(t, kept), -1)
	for n := range 6 * firstSweep {
		table.Put(id(t, new(net.TCPConn)), n)
		runtime.GC()
	}
	// What came since the last sweep, and what was alive in it by chance.
	if n := size(&table); n > 2*firstSweep {
		t.Errorf("%d marks, of one connection", n)
	}
	if mark, ok := table.Get(id(t, kept)); mark != -1 || !ok {
		t.Error("the one that is held was forgotten")
	}
	runtime.KeepAlive(kept)
}

// A table is bounded even if all connections live.
func TestMarksAreBounded(t *testing.T) {
	var table Marks[int]
	held := make([]*net.TCPConn, 3*maxMarks)
	for n := range held {
		held[n] = new(net.TCPConn)
		table.Put(id(t, held[n]), n)
		if size(&table) > maxMarks {
			t.Fatalf("%d marks", size(&table))
		}
		if mark, ok := table.Get(id(t, held[n])); mark != n || !ok {
			t.Fatalf("the mark of the newest is %d, %t", mark, ok)
		}
	}
	runtime.KeepAlive(held)
}

// A connection that takes the place of another, its address and file descriptor
// included, has no mark.
func TestReopened(t *testing.T) {
	path := filepath.Join(testmain.SocketDir(t), "s")
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	var table Marks[string]
	for n := range 50 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if mark, ok := table.Get(id(t, c)); ok {
			t.Fatalf("connection %d has the mark of %s", n, mark)
		}
		table.Put(id(t, c), strconv.Itoa(n))
		c.Close()
		there, err := lis.Accept()
		if err != nil {
			t.Fatal(err)
		}
		there.Close()
		runtime.GC()
	}
}

func TestMarksInParallel(t *testing.T) {
	var table Marks[int]
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for range 500 {
				c := new(net.TCPConn)
				i, _ := ConnIDOf(c)
				table.Put(i, n)
				if mark, ok := table.Get(i); !ok || mark != n {
					t.Errorf("mark %d, %t", mark, ok)
				}
				table.Delete(i)
				runtime.KeepAlive(c)
			}
		})
	}
	wg.Wait()
	if size(&table) != 0 {
		t.Errorf("%d marks are left", size(&table))
	}
}

// size returns how many marks there are, those of connections that are gone among them.
func size[M any](t *Marks[M]) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.marks)
}
