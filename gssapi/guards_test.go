package gssapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/middleware"
)

// A scripted library does as it is told, and notes the names that it is asked for.
type scripted struct {
	slow
	names    []string
	noName   string // that is no name
	acquired *StatusError
	acquires chan struct{} // acquire waits until it can send, and again
	realm    string        // of services; "" for R, "-" for none
	step     func(name string, s step) (stepped, *StatusError)
	verified *StatusError
}

func (s *scripted) stores() bool { return true }

func (s *scripted) importName(text string, hostBased bool) (uintptr, *StatusError) {
	if text == s.noName {
		return 0, &StatusError{Call: "gss_import_name", Major: badName}
	}
	s.names = append(s.names, fmt.Sprintf("%s %t", text, hostBased))
	s.slow.names.Add(1)
	return uintptr(len(s.names)), nil
}

func (s *scripted) canonical(service, host string) (string, *StatusError) {
	return service + "/" + host + "@" + strings.TrimSuffix(cmp.Or(s.realm, "R"), "-"), nil
}

func (s *scripted) acquire(name uintptr, stores []store) (uintptr, *StatusError) {
	if s.acquires != nil {
		s.acquires <- struct{}{}
		s.acquires <- struct{}{}
	}
	if s.acquired != nil {
		return 0, s.acquired
	}
	return s.slow.acquire(name, stores)
}

func (s *scripted) initiate(in step) (stepped, *StatusError) {
	out := stepped{context: 3, token: spnego.Frame(spnego.TokAPReq, []byte("x")), flags: in.flags}
	s.ctxs.Add(1)
	if s.step != nil {
		made, err := s.step(s.names[in.name-1], in)
		if made.context = 3; err != nil || made.token != nil {
			return made, err
		}
		out.flags = made.flags
	}
	return out, nil
}

func (s *scripted) verify(uintptr, []byte, []byte) *StatusError { return s.verified }

// kept says what was not given back.
func (s *scripted) kept() string {
	return fmt.Sprintf("%d names, %d credentials, %d contexts", s.slow.names.Load(), s.creds.Load(), s.ctxs.Load())
}

const nothing = "0 names, 0 credentials, 0 contexts"

func (s *scripted) initiator(t *testing.T, o Options) *initiator {
	t.Helper()
	in, err := newInitiator(o, func(string) (library, error) { return s, nil })
	if err != nil {
		t.Fatal(err)
	}
	return in
}

var web = middleware.Target{Host: "web.example", Port: "80"}

// failed is a failure of the mechanism with a code of RFC 4120.
func failed(code int64) *StatusError {
	return &StatusError{Call: "gss_init_sec_context", Major: 13 << 16, Minor: uint32(int32(firstError + code))}
}

// What the library made is given back where it made no more, and where nobody wants it.
func TestGivenBack(t *testing.T) {
	noCredentials := &StatusError{Call: "gss_acquire_cred", Major: noCred}
	for name, tc := range map[string]struct {
		lib   *scripted
		o     Options
		steps bool
		fails error
	}{
		"no name":               {lib: &scripted{noName: "HTTP/web.example@R"}, fails: middleware.ErrCredentials},
		"no name for the user":  {lib: &scripted{noName: "alice"}, o: Options{Principal: "alice"}, fails: middleware.ErrCredentials},
		"no credentials":        {lib: &scripted{acquired: noCredentials}, fails: middleware.ErrCredentials},
		"none for the user":     {lib: &scripted{acquired: noCredentials}, o: Options{Principal: "alice"}, fails: middleware.ErrCredentials},
		"no token":              {lib: &scripted{step: func(string, step) (stepped, *StatusError) { return stepped{}, failed(60) }}, steps: true, fails: middleware.ErrKDC},
		"a token of others":     {lib: &scripted{step: func(string, step) (stepped, *StatusError) { return stepped{token: []byte("NTLMSSP\x00")}, nil }}, steps: true, fails: middleware.ErrToken},
		"nothing is forwarded":  {lib: &scripted{step: func(string, step) (stepped, *StatusError) { return stepped{flags: flagMutual}, nil }}, o: Options{Delegation: DelegationAlways}, steps: true, fails: ErrNotForwardable},
		"as policy has it":      {lib: &scripted{step: func(string, step) (stepped, *StatusError) { return stepped{flags: flagMutual}, nil }}, o: Options{Delegation: DelegationPolicy}, steps: true},
		"dropped":               {lib: &scripted{}, steps: true},
		"dropped, and for user": {lib: &scripted{}, o: Options{Principal: "alice"}, steps: true},
		"never begun":           {lib: &scripted{}},
	} {
		t.Run(name, func(t *testing.T) {
			sc, err := tc.lib.initiator(t, tc.o).Initiate(t.Context(), web)
			if err == nil && tc.steps {
				_, err = sc.Step(t.Context(), nil)
			}
			if !errors.Is(err, tc.fails) || tc.fails == nil && err != nil {
				t.Errorf("got %v, want %v", err, tc.fails)
			}
			if tc.fails != nil && tc.lib.kept() != nothing {
				t.Errorf("kept after %v: %s", err, tc.lib.kept())
			}
			runtime.KeepAlive(sc)
			for range 200 {
				if runtime.GC(); tc.lib.kept() == nothing {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
			t.Errorf("kept when it was dropped: %s", tc.lib.kept())
		})
	}
}

// Who left before a call began has nothing, and the library is not asked; what it made
// for who left meanwhile is given back.
func TestLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	lib := &scripted{}
	in := lib.initiator(t, Options{Calls: 1})
	if _, err := in.Initiate(ctx, web); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	sc, err := in.Initiate(t.Context(), web) // after whatever the first one began
	if err != nil || len(lib.names) != 1 {
		t.Errorf("%v, asked for %q", err, lib.names)
	}
	runtime.KeepAlive(sc)

	lib = &scripted{acquires: make(chan struct{})}
	in = lib.initiator(t, Options{Calls: 1})
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		<-lib.acquires
		cancel()
	}()
	if _, err := in.Initiate(ctx, web); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-lib.acquires
	if err := in.calls.Enter(t.Context()); err != nil || lib.kept() != nothing {
		t.Errorf("%v, kept %s", err, lib.kept())
	}
}

// A service whose realm nobody knows has none in what users see, and a host is without
// its port where the library is asked for its other name.
func TestNamesOfServices(t *testing.T) {
	for realm, want := range map[string]string{"": "HTTP/web.example@R", "-": "HTTP/web.example"} {
		lib := &scripted{realm: realm}
		c, err := lib.initiator(t, Options{}).begin(t.Context(), web)
		if err != nil || c.SPN() != want {
			t.Errorf("%q, %v, want %q", c.SPN(), err, want)
		}
	}
	for spn, want := range map[string]string{"HTTP/web": "web", "HTTP/web:8443": "web", "HTTP/::1": "::1", "HTTP/fe80::1": "fe80::1"} {
		if service, host := hostBased(spn); service != "HTTP" || host != want {
			t.Errorf("%s: %s of %s", spn, service, host)
		}
	}
}

// Another name of a service is looked for where that was asked for, the KDC does not know
// the first one, and nobody said which it is.
func TestCanonicalize(t *testing.T) {
	const second = "HTTP@web.example true"
	proxy := web
	proxy.Proxy = true
	for name, tc := range map[string]struct {
		o      Options
		target middleware.Target
		code   int64
		want   bool
	}{
		"unknown":              {Options{Canonicalize: true}, web, 7, true},
		"not asked for":        {Options{}, web, 7, false},
		"another failure":      {Options{Canonicalize: true}, web, 60, false},
		"named":                {Options{Canonicalize: true, HostOverride: "web.example"}, web, 7, false},
		"named with a realm":   {Options{Canonicalize: true, Realm: "R"}, web, 7, false},
		"an address":           {Options{Canonicalize: true}, middleware.Target{Host: "127.0.0.1", Port: "80"}, 7, false},
		"a port in it":         {Options{Canonicalize: true, PortInSPN: true}, middleware.Target{Host: "web.example", Port: "8080"}, 7, true},
		"proxy, as others":     {Options{Canonicalize: true}, proxy, 7, true},
		"proxy, not asked for": {Options{Canonicalize: true, Proxy: &Options{}}, proxy, 7, false},
		"proxy alone":          {Options{Proxy: &Options{Canonicalize: true}}, proxy, 7, true},
		"proxy, the others":    {Options{Proxy: &Options{Canonicalize: true}}, web, 7, false},
	} {
		t.Run(name, func(t *testing.T) {
			lib := &scripted{step: func(name string, _ step) (stepped, *StatusError) {
				if name == second {
					return stepped{}, nil
				}
				return stepped{}, failed(tc.code)
			}}
			sc, err := lib.initiator(t, tc.o).Initiate(t.Context(), tc.target)
			if err != nil {
				t.Fatal(err)
			}
			_, err = sc.Step(t.Context(), nil)
			asked := slices.ContainsFunc(lib.names, func(name string) bool { return strings.HasSuffix(name, " true") }) // by whatever name
			if asked != tc.want || asked && !slices.Contains(lib.names, second) || (err == nil) != tc.want {
				t.Errorf("asked for %q, %v", lib.names, err)
			}
			if kept := lib.ctxs.Load(); err != nil && kept != 0 || err == nil && kept != 1 {
				t.Errorf("%d contexts are kept: %v", kept, err)
			}
		})
	}
}

// A number is missing before the first message of an acceptor that was not asked to
// prove itself, with Heimdal's library. Nothing else is overlooked.
func TestGap(t *testing.T) {
	for name, tc := range map[string]struct {
		noMutual bool
		major    uint32
		ok       bool
	}{
		"as it should be": {false, 0, true},
		"gap":             {false, gapToken, false},
		"gap, no proof":   {true, gapToken, true},
		"old, no proof":   {true, oldToken | gapToken, false},
		"wrong, no proof": {true, badMIC, false},
		"gap and wrong":   {true, badMIC | gapToken, false},
	} {
		lib := &scripted{}
		if tc.major != 0 {
			lib.verified = &StatusError{Major: tc.major}
		}
		c, err := lib.initiator(t, Options{NoMutual: tc.noMutual}).begin(t.Context(), web)
		if err != nil {
			t.Fatal(err)
		}
		if err := (mechanism{c}).VerifyMIC([]byte("x"), []byte("y")); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
		runtime.KeepAlive(c)
	}
}

// As whom a token would be made is asked of the library once a second, and what it made
// for that is given back.
func TestIdentity(t *testing.T) {
	lib := &scripted{}
	in := lib.initiator(t, Options{})
	for range 3 {
		if who, err := in.Identity(t.Context(), web); who != "alice@R" || err != nil {
			t.Errorf("%q, %v", who, err)
		}
	}
	if !slices.Equal(lib.names, []string{"HTTP/web.example@R false"}) || lib.kept() != nothing {
		t.Errorf("asked for %q, kept %s", lib.names, lib.kept())
	}
	now := time.Now()
	var told told
	told.put("HTTP/x", "alice", now)
	for after, want := range map[time.Duration]bool{0: true, interval - 1: true, interval: false} {
		if who, ok := told.get("HTTP/x", now.Add(after)); ok != want || who != "alice" {
			t.Errorf("after %v: %q, %t", after, who, ok)
		}
	}
}

// Why a message does not open, and why an AP-REP is none.
func TestReasons(t *testing.T) {
	krb := func(code int64) uint32 { return uint32(int32(firstError + code)) }
	minor := func(code int32) uint32 { return uint32(code) }
	for name, tc := range map[string]struct {
		s    StatusError
		open middleware.Reason
		rep  middleware.Reason
	}{
		"twice":                   {StatusError{Major: duplicateToken}, middleware.ReasonReplayed, middleware.ReasonMalformed},
		"old":                     {StatusError{Major: oldToken}, middleware.ReasonOutOfOrder, middleware.ReasonMalformed},
		"early":                   {StatusError{Major: unseqToken}, middleware.ReasonOutOfOrder, middleware.ReasonMalformed},
		"gap":                     {StatusError{Major: gapToken}, middleware.ReasonOutOfOrder, middleware.ReasonMalformed},
		"signature":               {StatusError{Major: badMIC}, middleware.ReasonTampered, middleware.ReasonWrongKey},
		"integrity":               {StatusError{Major: 13 << 16, Minor: krb(31)}, middleware.ReasonTampered, middleware.ReasonWrongKey},
		"modified":                {StatusError{Major: 13 << 16, Minor: krb(41)}, middleware.ReasonMalformed, middleware.ReasonWrongKey},
		"answer to another":       {StatusError{Major: 13 << 16, Minor: minor(mutualFailed)}, middleware.ReasonMalformed, middleware.ReasonWrongTime},
		"to another, by Heimdal":  {StatusError{Major: 13 << 16, Minor: krb(46)}, middleware.ReasonMalformed, middleware.ReasonWrongTime},
		"defective":               {StatusError{Major: defectiveToken}, middleware.ReasonMalformed, middleware.ReasonMalformed},
		"a code of the library's": {StatusError{Major: 13 << 16, Minor: krb(128 + 31)}, middleware.ReasonMalformed, middleware.ReasonMalformed},
		"no code":                 {StatusError{Major: 13 << 16, Minor: minor(-31)}, middleware.ReasonMalformed, middleware.ReasonMalformed},
	} {
		if code := (&StatusError{Minor: krb(-5)}).code(); code != 0 {
			t.Errorf("code %d", code)
		}
		if got := tc.s.openReason(); got != tc.open {
			t.Errorf("%s: a message is %v, want %v", name, got, tc.open)
		}
		if got := tc.s.reason(); got != tc.rep {
			t.Errorf("%s: an answer is %v, want %v", name, got, tc.rep)
		}
	}
}

// What is known of each library that is installed: whose socket is one for all threads,
// and in whose words a failure is told.
func TestLibraries(t *testing.T) {
	runtime.LockOSThread() // as those do who make contexts: the library keeps the text of an error by thread
	defer runtime.UnlockOSThread()
	for file, heimdal := range map[string]bool{"libgssapi_krb5.so.2": false, "libgssapi.so.3": true} {
		lib, err := open(file)
		if err != nil {
			t.Logf("not tried: %v", err)
			continue
		}
		if one := lib.oneSocket(); one != (heimdal && runtime.GOOS != "darwin") {
			t.Errorf("%s: one call at a time is %t", file, one)
		}
		t.Setenv("KRB5CCNAME", "FILE:/nonexistent/cache")
		if _, fault := lib.acquire(0, nil); fault != nil && fault.Minor != 0 && !strings.Contains(fault.Text, "/nonexistent/cache") {
			t.Errorf("%s: the text of %v says nothing of the cause", file, fault)
		}
	}
}
