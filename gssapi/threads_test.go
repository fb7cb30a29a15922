package gssapi

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/middleware"
)

// A slow library is one whose first step waits until it is told to go on. It counts
// what it has given out.
type slow struct {
	begun, proceed     chan struct{}
	names, creds, ctxs atomic.Int64
	shared             bool // one socket
}

func (*slow) String() string                                           { return "slow" }
func (*slow) stores() bool                                             { return false }
func (s *slow) oneSocket() bool                                        { return s.shared }
func (*slow) seals() bool                                              { return false }
func (*slow) canonical(string, string) (string, *StatusError)          { return "HTTP/web.example@R", nil }
func (*slow) principal(uintptr) (string, *StatusError)                 { return "alice@R", nil }
func (*slow) sign(uintptr, []byte) ([]byte, *StatusError)              { return nil, nil }
func (*slow) verify(uintptr, []byte, []byte) *StatusError              { return nil }
func (s *slow) importName(string, bool) (uintptr, *StatusError)        { s.names.Add(1); return 1, nil }
func (s *slow) acquire(uintptr, []store) (uintptr, *StatusError)       { s.creds.Add(1); return 2, nil }
func (s *slow) releaseName(uintptr)                                    { s.names.Add(-1) }
func (s *slow) releaseCred(uintptr)                                    { s.creds.Add(-1) }
func (s *slow) deleteContext(uintptr)                                  { s.ctxs.Add(-1) }
func (*slow) wrap(uintptr, []byte, []byte) ([]byte, int, *StatusError) { return nil, 0, nil }
func (*slow) unwrap(uintptr, []byte, []byte) ([]byte, bool, *StatusError) {
	return nil, false, nil
}

func (s *slow) initiate(step) (stepped, *StatusError) {
	s.begun <- struct{}{}
	<-s.proceed
	s.ctxs.Add(1)
	return stepped{context: 3, token: spnego.Frame(spnego.TokAPReq, []byte("x"))}, nil
}

// A call that blocks does not hold its caller past the end of its context, takes the
// place of another until it ends, and what it made is released then.
func TestCallThatBlocks(t *testing.T) {
	lib := &slow{begun: make(chan struct{}), proceed: make(chan struct{})}
	in, err := newInitiator(Options{Calls: 1}, func(string) (library, error) { return lib, nil })
	if err != nil {
		t.Fatal(err)
	}
	target := middleware.Target{Host: "web.example", Port: "80"}
	first, err := in.Initiate(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-lib.begun
		cancel()
	}()
	if out, err := first.Step(ctx, nil); !errors.Is(err, context.Canceled) || out != nil || first.Verified() {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := first.Step(t.Context(), nil); err == nil {
		t.Errorf("a context that was left is used again: %q", out)
	}
	// There is one thread, which is still at it.
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := in.Initiate(ctx, target); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second: %v", err)
	}
	if lib.ctxs.Load() != 0 || lib.names.Load() != 1 || lib.creds.Load() != 1 {
		t.Error("handles that are in use were released")
	}
	lib.proceed <- struct{}{}
	third, err := in.Initiate(t.Context(), target) // when there is room again
	if err != nil {
		t.Fatal(err)
	}
	// The place is given back after the handles are.
	if lib.ctxs.Load() != 0 || lib.names.Load() != 1 || lib.creds.Load() != 1 {
		t.Errorf("kept: %d contexts, %d names, %d credentials", lib.ctxs.Load(), lib.names.Load()-1, lib.creds.Load()-1)
	}
	third.(*securityContext).held.Release()
	third.(*securityContext).held.Release()
	if lib.names.Load() != 0 || lib.creds.Load() != 0 {
		t.Error("released twice, or not at all")
	}
}

// Where threads share a socket to a daemon, one call runs in the whole process.
func TestOneCall(t *testing.T) {
	for name, tc := range map[string]struct {
		shared bool
		ccname string
		o      Options
		one    bool
	}{
		"KCM":                  {true, "KCM:0", Options{}, true},
		"krb5.conf may say it": {true, "", Options{Calls: 5}, true},
		"searched for":         {true, "FILE:/x", Options{Principal: "alice"}, true},
		"FILE":                 {true, "FILE:/x", Options{}, false},
		"a path":               {true, "/x", Options{}, false},
		"a library with locks": {false, "KCM:0", Options{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KRB5CCNAME", tc.ccname)
			open := func(string) (library, error) { return &slow{shared: tc.shared}, nil }
			a, err := newInitiator(tc.o, open)
			b, err2 := newInitiator(tc.o, open)
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			if one := a.calls == b.calls; one != tc.one || one && a.calls != oneCall {
				t.Errorf("one call at a time is %t", one)
			}
		})
	}
}

// Structures are laid out as C has them, byte for byte.
func TestLayout(t *testing.T) {
	wide, packed, narrow := layout{8, 8}, layout{8, 2}, layout{4, 4}
	if wide.oid(9, 1)[0] == 0 {
		t.Skip("the order of bytes is another")
	}
	u32, pad, ptr, null := []byte{9, 0, 0, 0}, []byte{0, 0, 0, 0}, []byte{1, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 8)
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for name, tc := range map[string]struct{ got, want []byte }{
		"oid":               {wide.oid(9, 1), join(u32, pad, ptr)},
		"oid, packed":       {packed.oid(9, 1), join(u32, ptr)},
		"oid, 32 bits":      {narrow.oid(9, 1), join(u32, ptr[:4])},
		"stores":            {wide.stores(9, 1), join(u32, pad, ptr)},
		"stores, packed":    {packed.stores(9, 1), join(u32, pad, ptr)},
		"stores, 32 bits":   {narrow.stores(9, 1), join(u32, ptr[:4])},
		"buffer":            {wide.buffer(1, 1), join(ptr, ptr)},
		"buffer, packed":    {packed.buffer(1, 1), join(ptr, ptr)},
		"iov":               {wide.iov(9, 1, 1), join(u32, pad, ptr, ptr)},
		"iov, packed":       {packed.iov(9, 1, 1), join(u32, ptr, ptr)},
		"iov, 32 bits":      {narrow.iov(9, 1, 1), join(u32, ptr[:4], ptr[:4])},
		"bindings":          {wide.bindings(1, 1), join(pad, pad, null, null, pad, pad, null, null, ptr, ptr)},
		"bindings, packed":  {packed.bindings(1, 1), join(pad, null, null, pad, null, null, ptr, ptr)},
		"bindings, 32 bits": {narrow.bindings(1, 1), join(pad, pad, pad, pad, pad, pad, ptr[:4], ptr[:4])},
	} {
		if d := cmp.Diff(tc.want, tc.got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// The realm of a service is what comes after the host.
func TestRealmIn(t *testing.T) {
	for name, want := range map[string]string{
		"HTTP/web.example@R": "R", "HTTP/web.example@": "", "HTTP/web.example": "", "HTTP@web.example": "", "HTTP": "", "": "",
		"HTTPS/web.example@R": "",
	} {
		if got := realmIn(name, "HTTP"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// What the library says is one of our sentinels, with what to try.
func TestExplain(t *testing.T) {
	krb := func(code int64) uint32 { return uint32(int32(firstError + code)) }
	minor := func(code int32) uint32 { return uint32(code) }
	for name, tc := range map[string]struct {
		s    StatusError
		kind error
		code int32
		hint bool
		temp bool
	}{
		"no credentials":       {StatusError{Major: noCred}, middleware.ErrCredentials, 0, true, false},
		"expired":              {StatusError{Major: credentialsExpired}, middleware.ErrCredentials, 0, true, false},
		"no cache":             {StatusError{Major: noCred, Minor: minor(fileNotThere)}, middleware.ErrCredentials, 0, true, false},
		"unknown service":      {StatusError{Major: 13 << 16, Minor: krb(7)}, middleware.ErrKDC, 7, true, false},
		"unknown client":       {StatusError{Major: 13 << 16, Minor: krb(6)}, middleware.ErrCredentials, 6, true, false},
		"wrong key":            {StatusError{Major: 13 << 16, Minor: krb(24)}, middleware.ErrCredentials, 24, true, false},
		"KDC out of reach":     {StatusError{Major: 13 << 16, Minor: minor(kdcUnreachable)}, middleware.ErrKDC, 0, true, true},
		"KDC busy":             {StatusError{Major: 13 << 16, Minor: krb(29)}, middleware.ErrKDC, 29, true, true},
		"unknown realm":        {StatusError{Major: 13 << 16, Minor: minor(realmUnknown)}, middleware.ErrKDC, 0, true, false},
		"no such mechanism":    {StatusError{Major: badMech}, middleware.ErrConfiguration, 0, true, false},
		"clocks":               {StatusError{Major: 13 << 16, Minor: krb(37)}, middleware.ErrKDC, 37, true, false},
		"nothing that we know": {StatusError{Major: 13 << 16, Minor: 5}, middleware.ErrCredentials, 0, false, false},
	} {
		hint, kind := tc.s.explain()
		if kind != tc.kind || tc.s.code() != tc.code || (hint != "") != tc.hint || tc.s.temporary() != tc.temp {
			t.Errorf("%s: %v, code %d, %q, temporary %t", name, kind, tc.s.code(), hint, tc.s.temporary())
		}
	}
}

// Options that contradict one another, or that the library cannot carry out.
func TestOptions(t *testing.T) {
	lib := &slow{}
	for name, o := range map[string]Options{
		"cache without stores":  {CCache: "FILE:/x"},
		"keytab without stores": {ClientKeytab: "FILE:/x"},
		"sealing without":       {Sealing: true},
		"calls":                 {Calls: -1},
		"service":               {Service: "HTTP/x"},
		"bindings":              {Bindings: 9},
		"delegation":            {Delegation: 9},
		"delegate to":           {DelegateTo: []string{"x.example"}},
		"zero byte":             {Principal: "a\x00b"},
		"proxy's principal":     {Proxy: &Options{Principal: "x"}},
		"proxy's calls":         {Proxy: &Options{Calls: 3}},
		"proxy's service":       {Proxy: &Options{Service: "a b"}},
	} {
		if _, err := newInitiator(o, func(string) (library, error) { return lib, nil }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(Options{Library: "/nowhere/libgssapi.so"}); !errors.Is(err, middleware.ErrConfiguration) {
		t.Errorf("no library: %v", err)
	}
}
