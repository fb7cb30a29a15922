package kcm

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/kerbchain/kerbchain/internal/alloctest"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/testmain"
)

func TestOpen(t *testing.T) {
	for name, tc := range map[string]struct {
		name   ccache.Name
		socket string
		says   string // "" for no error
	}{
		"collection":   {ccache.Name{Type: "KCM"}, "/s", ""},
		"one":          {ccache.Name{Type: "KCM", Residual: "1000:1"}, "/s", ""},
		"switched off": {ccache.Name{Type: "KCM"}, "", "kcm_socket = -"},
		"other type":   {ccache.Name{Type: "FILE", Residual: "/x"}, "/s", "FILE:/x"},
		"NUL":          {ccache.Name{Type: "KCM", Residual: "a\x00b"}, "/s", "NUL"},
		"long":         {ccache.Name{Type: "KCM", Residual: strings.Repeat("x", 2000)}, "/s", "1024"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Open(tc.name, Options{Socket: tc.socket})
			switch {
			case tc.says == "" && (err != nil || c == nil):
				t.Error(err)
			case tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says) || len(err.Error()) > 300):
				t.Errorf("%v, want an error about %s", err, tc.says)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	stale := filepath.Join(testmain.SocketDir(t), "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	denied := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	}
	for name, tc := range map[string]struct {
		o    Options
		is   error
		says string
	}{
		"absent":    {Options{Socket: filepath.Join(filepath.Dir(stale), "absent")}, fs.ErrNotExist, "sssd-kcm.socket"},
		"refused":   {Options{Socket: stale}, syscall.ECONNREFUSED, "sssd-kcm.socket"},
		"forbidden": {Options{Socket: "/s", Dial: denied}, fs.ErrPermission, "/s"},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, "KCM:", tc.o)
			st := primary(t, open(t, "KCM:1000", tc.o))
			_, loading := st.Load(t.Context())
			_, state := st.State(t.Context())
			_, primary := c.Primary(t.Context())
			_, stores := c.Stores(t.Context())
			_, single := open(t, "KCM:1000", tc.o).Stores(t.Context())
			for what, err := range map[string]error{
				"load": loading, "state": state, "primary": primary, "stores": stores, "stores of one": single,
				"add":     st.Add(t.Context(), credential(alice, "HTTP/a")),
				"replace": st.Replace(t.Context(), cacheOf(alice)),
			} {
				_, ok := errors.AsType[net.Error](err)
				if !ok || !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), tc.o.Socket) {
					t.Errorf("%s: %v", what, err)
				}
				if errors.Is(err, ccache.ErrNotOurs) {
					t.Errorf("%s: not ours: %v", what, err)
				}
			}
		})
	}
}

// sssd hangs up on clients that it has not heard of for a while.
func TestIdle(t *testing.T) {
	for name, d := range dialects {
		t.Run(name, func(t *testing.T) {
			d.hangUpAfter = 1
			f := start(t, d)
			st := f.store(t, "KCM:1000")
			want := cacheOf(alice, "krbtgt/R", "HTTP/a")
			if err := st.Replace(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			if text(t, load(t, st)) != text(t, want) {
				t.Error("another cache came back")
			}
			state(t, st)
			if n := f.dialled(); n < 8 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// One that never answers is dialled twice.
func TestHangsUp(t *testing.T) {
	f := start(t, dialect{maxRequest: 0})
	st := f.store(t, "KCM:1000")
	_, err := st.Load(t.Context())
	if !errors.Is(err, errHungUp) || !known(err) {
		t.Error(err)
	}
	if n := f.dialled(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// Every wait ends with the context, and says so.
func TestContext(t *testing.T) {
	calls := map[string]func(context.Context, ccache.Collection, ccache.Store) error{
		"load": func(ctx context.Context, _ ccache.Collection, st ccache.Store) error {
			_, err := st.Load(ctx)
			return err
		},
		"state": func(ctx context.Context, _ ccache.Collection, st ccache.Store) error {
			_, err := st.State(ctx)
			return err
		},
		"primary": func(ctx context.Context, c ccache.Collection, _ ccache.Store) error {
			_, err := c.Primary(ctx)
			return err
		},
		"stores": func(ctx context.Context, c ccache.Collection, _ ccache.Store) error {
			_, err := c.Stores(ctx)
			return err
		},
		"add": func(ctx context.Context, _ ccache.Collection, st ccache.Store) error {
			return st.Add(ctx, credential(alice, "HTTP/a"))
		},
		"replace": func(ctx context.Context, _ ccache.Collection, st ccache.Store) error {
			return st.Replace(ctx, cacheOf(alice))
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			// Ends while the daemon thinks.
			f := start(t, dialects["Heimdal"])
			c, st := f.open(t, "KCM:"), f.store(t, "KCM:1000")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			release := make(chan struct{})
			f.locked(func() {
				f.before = func(opcode, string) (int32, int32, bool) {
					cancel()
					<-release
					return 0, fccNoFile, true
				}
			})
			err := call(ctx, c, st)
			close(release)
			if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), f.socket) {
				t.Errorf("while waiting for a reply: %v", err)
			}

			// Ends in the middle of a reply.
			ctx, cancel = context.WithCancel(t.Context())
			defer cancel()
			half := Options{Socket: "half", Dial: func(context.Context, string, string) (net.Conn, error) {
				here, there := net.Pipe()
				go func() {
					defer there.Close()
					there.Read(make([]byte, 1<<16))
					there.Write(u32(100))
					cancel()
					there.Read(make([]byte, 1)) // until we hang up
				}()
				return here, nil
			}}
			if err := call(ctx, open(t, "KCM:", half), primary(t, open(t, "KCM:1000", half))); !errors.Is(err, context.Canceled) {
				t.Errorf("in the middle of a reply: %v", err)
			}

			// Ends while dialling, and had ended before.
			ctx, cancel = context.WithCancel(t.Context())
			slow := Options{Socket: "slow", Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				cancel()
				<-ctx.Done()
				return nil, errors.New("interrupted")
			}}
			if err := call(ctx, open(t, "KCM:", slow), primary(t, open(t, "KCM:1000", slow))); !errors.Is(err, context.Canceled) {
				t.Errorf("while dialling: %v", err)
			}
			if err := call(ctx, c, st); !errors.Is(err, context.Canceled) {
				t.Errorf("before: %v", err)
			}
			expired, cancel := context.WithTimeout(t.Context(), -1)
			defer cancel()
			if err := call(expired, c, st); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("deadline: %v", err)
			}
		})
	}
}

// What a call hangs on its context, it takes off again.
func TestContextOutlives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		loads, _ := streams(t)
		ctx, cancel := context.WithCancel(t.Context())
		closed := 0
		o := streaming(loads["sssd"])
		dial := o.Dial
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			return &counted{conn, &closed}, err
		}
		if _, err := primary(t, open(t, "KCM:1000", o)).Load(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if closed != 1 {
			t.Errorf("closed %d times", closed)
		}
	})
}

type counted struct {
	net.Conn
	closed *int
}

func (c *counted) Close() error {
	*c.closed++
	return c.Conn.Close()
}

func TestReplies(t *testing.T) {
	principal, err := ccache.MarshalPrincipal(alice)
	if err != nil {
		t.Fatal(err)
	}
	ok := reply(0, 0, principal)
	offset := reply(0, 0, u32(0))
	for name, tc := range map[string]struct {
		replies [][]byte
		is      error
		says    string
	}{
		"empty principal":          {[][]byte{reply(0, 0, nil)}, fs.ErrNotExist, "FCC_NOFILE"},
		"short principal":          {[][]byte{reply(0, 0, principal[:10])}, ccache.ErrTruncated, "component"},
		"more than a principal":    {[][]byte{reply(0, 0, append(slices.Clone(principal), 0))}, ccache.ErrMalformed, "the end"},
		"no result":                {[][]byte{slices.Concat(u32(0), u32(0))}, ccache.ErrTruncated, "a result"},
		"half a result":            {[][]byte{slices.Concat(u32(3), u32(0), []byte{1, 2, 3})}, ccache.ErrTruncated, "a result"},
		"half a header":            {[][]byte{{0, 0, 0, 4, 0}}, ccache.ErrTruncated, "length and status"},
		"half a reply":             {[][]byte{ok[:len(ok)-1]}, ccache.ErrTruncated, "a reply of"},
		"10 MiB and a byte":        {[][]byte{slices.Concat(u32(maxMessage+1), u32(0))}, ccache.ErrMalformed, "at most"},
		"4 GiB":                    {[][]byte{slices.Concat(u32(1<<32-1), u32(0))}, ccache.ErrMalformed, "at most"},
		"10 MiB announced":         {[][]byte{slices.Concat(u32(maxMessage), u32(0), make([]byte, 100))}, ccache.ErrTruncated, "10485760"},
		"status and bytes":         {[][]byte{slices.Concat(u32(4), u32(fccPerm&0xffffffff), u32(0))}, fs.ErrPermission, "FCC_PERM"},
		"unknown status":           {[][]byte{reply(-5, 0, nil)}, nil, "unknown error (-5)"},
		"unknown result":           {[][]byte{reply(0, 77777, nil)}, nil, "unknown error (77777)"},
		"malformed name":           {[][]byte{reply(0, ccBadName, nil)}, nil, "KCM:1000:work"},
		"ENOENT":                   {[][]byte{reply(0, sysNoEntry, nil)}, fs.ErrNotExist, "ENOENT"},
		"short offset":             {[][]byte{ok, reply(0, 0, u32(0)[:3])}, ccache.ErrMalformed, "offset"},
		"no number of credentials": {[][]byte{ok, offset, reply(0, 0, nil)}, ccache.ErrTruncated, "a number of credentials"},
		"4 billion credentials":    {[][]byte{ok, offset, reply(0, 0, u32(1<<32-1))}, ccache.ErrTruncated, "4294967295"},
		"too many credentials":     {[][]byte{ok, offset, reply(0, 0, append(u32(ccache.MaxEntries+1), make([]byte, 4*ccache.MaxEntries+4)...))}, ccache.ErrMalformed, "at most"},
		"credential beyond reply":  {[][]byte{ok, offset, reply(0, 0, slices.Concat(u32(1), u32(9), u32(0)))}, ccache.ErrTruncated, "9 bytes"},
		"number beyond list":       {[][]byte{ok, offset, reply(0, 0, slices.Concat(u32(2), u32(4), u32(0)))}, ccache.ErrTruncated, "length of a credential"},
		"empty credential":         {[][]byte{ok, offset, reply(0, 0, slices.Concat(u32(1), u32(0)))}, ccache.ErrTruncated, ""},
		"more than the list":       {[][]byte{ok, offset, reply(0, 0, u32(0)), ok}, nil, ""},
		"bytes behind the list":    {[][]byte{ok, offset, reply(0, 0, slices.Concat(u32(0), u32(0)))}, ccache.ErrMalformed, "the end"},
		"list refused":             {[][]byte{ok, offset, reply(0, ccNoMem, nil)}, nil, "GET_CRED_LIST"},
		"both lists refused":       {[][]byte{ok, offset, reply(0, fccInternal, nil), reply(0, fccInternal, nil)}, nil, "GET_CRED_UUID_LIST"},
		"a UUID and a half":        {[][]byte{ok, offset, reply(0, ccNoSupp, nil), reply(0, 0, make([]byte, 24))}, ccache.ErrTruncated, "16 bytes"},
		"too many UUIDs":           {[][]byte{ok, offset, reply(0, ccNoSupp, nil), reply(0, 0, make([]byte, 16*(ccache.MaxEntries+1)))}, ccache.ErrMalformed, "at most"},
		"one refused":              {[][]byte{ok, offset, reply(0, ccNoSupp, nil), reply(0, 0, make([]byte, 16)), reply(0, ccNoMem, nil)}, nil, "GET_CRED_BY_UUID"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := one(slices.Concat(tc.replies...)).Load(t.Context())
			if name == "more than the list" {
				if err != nil || !c.Client.Equal(alice) {
					t.Errorf("%v, %v", c, err)
				}
				return
			}
			if err == nil || c != nil || !known(err) || !strings.Contains(err.Error(), tc.says) || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v, %v", c, err)
			}
		})
	}
}

// The credentials of one cache together are bounded too.
func TestManyLarge(t *testing.T) {
	cred := credential(alice, "HTTP/a")
	cred.Raw = make([]byte, 9<<20)
	b, err := cred.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, dialects["Heimdal"])
	p, err := ccache.MarshalPrincipal(alice)
	if err != nil {
		t.Fatal(err)
	}
	f.locked(func() {
		c := f.initialize("1000", p)
		for range 8 {
			f.keep(c, b)
		}
	})
	_, err = f.store(t, "KCM:1000").Load(t.Context())
	if _, ok := errors.AsType[*ccache.ParseError](err); !ok || !strings.Contains(err.Error(), "67108864") {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	for name, tc := range map[string]struct {
		reply string
		want  string
		is    error
	}{
		"one":       {"1000:1\x00", "KCM:1000:1", nil},
		"no NUL":    {"1000", "", ccache.ErrTruncated},
		"nothing":   {"", "", ccache.ErrTruncated},
		"empty":     {"\x00", "", ccache.ErrMalformed},
		"and more":  {"1000\x00x", "", ccache.ErrMalformed},
		"two NULs":  {"1000\x00\x00", "", ccache.ErrMalformed},
		"very long": {strings.Repeat("x", maxName+1) + "\x00", "", ccache.ErrMalformed},
		"long":      {strings.Repeat("x", maxName) + "\x00", "KCM:" + strings.Repeat("x", maxName), nil},
	} {
		t.Run(name, func(t *testing.T) {
			st, err := open(t, "KCM:", streaming(reply(0, 0, []byte(tc.reply)))).Primary(t.Context())
			if tc.is != nil {
				if !errors.Is(err, tc.is) || !known(err) || st != nil {
					t.Errorf("%v, %v", st, err)
				}
				return
			}
			if err != nil || st.Name().String() != tc.want {
				t.Errorf("%v, %v", st, err)
			}
		})
	}
}

// Memory is taken for what arrives, not for what is announced.
func TestAnnounced(t *testing.T) {
	b := slices.Concat(u32(maxMessage), u32(0), make([]byte, 1000))
	if n := alloctest.Announced(1<<20, func() {
		if _, err := one(b).Load(context.Background()); !errors.Is(err, ccache.ErrTruncated) {
			t.Error(err)
		}
	}); n > 1<<20 {
		t.Errorf("%d bytes for a reply of %d", n, len(b))
	}
}

// A long reply that is all there arrives whole.
func TestReadN(t *testing.T) {
	for _, n := range []int{0, 1, firstRead - 1, firstRead, firstRead + 1, 3*firstRead + 7, 1 << 20} {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i * 7 >> 3)
		}
		in := append(slices.Concat(u32(uint32(n)), u32(0)), b...)
		status, got, err := readReply(strings.NewReader(string(in) + "next"))
		if err != nil || status != 0 || !slices.Equal(got, b) {
			t.Errorf("%d bytes: %d, status %d, %v", n, len(got), status, err)
		}
	}
}

// Secrets stay out of errors: a daemon's bytes are not in them.
func TestNoBytesInErrors(t *testing.T) {
	const canary = "CANARY-of-a-session-key"
	cred := credential(alice, "HTTP/a")
	cred.Raw = []byte(canary)
	b, err := cred.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	principal, err := ccache.MarshalPrincipal(alice)
	if err != nil {
		t.Fatal(err)
	}
	list := slices.Concat(u32(1), u32(uint32(len(b))), b)
	if !strings.Contains(string(list), canary) {
		t.Fatal("no canary")
	}
	for cut := range len(list) {
		short := slices.Clone(list[:cut])
		if cut >= 8 {
			binary.BigEndian.PutUint32(short[4:], uint32(cut-8))
		}
		_, err := one(slices.Concat(reply(0, 0, principal), reply(0, 0, u32(0)), reply(0, 0, short))).Load(t.Context())
		if err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}
