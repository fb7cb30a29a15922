package sspi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/middleware"
)

const service = "HTTP/web.example"

func newRealm(t *testing.T) *fakekdc.Realm {
	t.Helper()
	return fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService(service))
}

func initiatorOn(t *testing.T, f *fake, o Options) *initiator {
	t.Helper()
	in, err := newInitiator(o, f.open)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

var target = middleware.Target{Host: "web.example", Port: "80"}

// first makes a context and its first token.
func first(t *testing.T, in middleware.Initiator) (middleware.SecurityContext, []byte, error) {
	t.Helper()
	sc, err := in.Initiate(t.Context(), target)
	if err != nil {
		return nil, nil, err
	}
	token, err := sc.Step(t.Context(), nil)
	return sc, token, err
}

// answer has the service answer a token.
func answer(t *testing.T, r *fakekdc.Realm, token []byte) []byte {
	t.Helper()
	s, err := r.Accept(token, fakekdc.AcceptOptions{Service: service})
	if err != nil {
		t.Fatal(err)
	}
	return s.Response()
}

// garbage runs cleanups until want is true.
func garbage(t *testing.T, want func() bool) {
	t.Helper()
	for range 200 {
		runtime.GC()
		if want() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("handles are left that nobody has")
}

// users returns how many contexts use the current credential.
func users(in *initiator) int {
	in.credentials.mu.Lock()
	defer in.credentials.mu.Unlock()
	if in.credentials.current == nil {
		return -1
	}
	return in.credentials.current.users - 1
}

// Handles are freed on every path: when an exchange is over, when it failed, and when
// it or the initiator is dropped; memory of Windows always.
func TestHandles(t *testing.T) {
	r := newRealm(t)
	for name, tc := range map[string]struct {
		set  func(*fake)
		o    Options
		work func(t *testing.T, in *initiator)
		left int // contexts, before the garbage is collected
	}{
		"over": {work: func(t *testing.T, in *initiator) {
			sc, token, err := first(t, in)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sc.Step(t.Context(), answer(t, r, token)); err != nil || !sc.Verified() {
				t.Errorf("verified %t, %v", sc.Verified(), err)
			}
		}},
		"over, completed": {set: func(f *fake) { f.completes = true }, work: func(t *testing.T, in *initiator) {
			sc, token, err := first(t, in)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sc.Step(t.Context(), answer(t, r, token)); err != nil || !sc.Verified() {
				t.Errorf("verified %t, %v", sc.Verified(), err)
			}
		}},
		"sealing": {o: Options{Sealing: true}, left: 1, work: func(t *testing.T, in *initiator) {
			sc, token, err := first(t, in)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sc.Step(t.Context(), answer(t, r, token)); err != nil {
				t.Error(err)
			}
		}},
		"no proof asked for": {o: Options{NoMutual: true}, left: 1, work: func(t *testing.T, in *initiator) {
			if sc, _, err := first(t, in); err != nil || sc.Verified() {
				t.Error(err)
			}
		}},
		"refused": {work: func(t *testing.T, in *initiator) {
			sc, _, err := first(t, in)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sc.Step(t.Context(), []byte("NTLMSSP\x00")); !errors.Is(err, middleware.ErrToken) {
				t.Error(err)
			}
		}},
		"CompleteAuthToken fails": {set: func(f *fake) { f.completes = true; f.refuse = map[string]status{"CompleteAuthToken": 0x80090304} }, work: func(t *testing.T, in *initiator) {
			if _, _, err := first(t, in); err == nil || !strings.Contains(err.Error(), "CompleteAuthToken: SEC_E_INTERNAL_ERROR") {
				t.Error(err)
			}
		}},
		"CompleteAuthToken fails at the end": {set: func(f *fake) { f.completes = true }, work: func(t *testing.T, in *initiator) {
			sc, token, err := first(t, in)
			if err != nil {
				t.Fatal(err)
			}
			in.lib.secur32.(*fake).refuse = map[string]status{"CompleteAuthToken": 0x80090304}
			if _, err := sc.Step(t.Context(), answer(t, r, token)); err == nil || sc.Verified() {
				t.Errorf("verified %t, %v", sc.Verified(), err)
			}
		}},
		"dropped": {left: 1, work: func(t *testing.T, in *initiator) {
			if _, _, err := first(t, in); err != nil {
				t.Error(err)
			}
		}},
		"never begun": {work: func(t *testing.T, in *initiator) {
			if _, err := in.Initiate(t.Context(), target); err != nil {
				t.Error(err)
			}
		}},
		"identity": {work: func(t *testing.T, in *initiator) {
			if who, err := in.Identity(t.Context(), target); err != nil || who != "alice@"+r.Name() {
				t.Errorf("%q, %v", who, err)
			}
			if n := users(in); n != 0 {
				t.Errorf("%d contexts use the credential", n)
			}
		}},
		"identity, nobody waits": {work: func(t *testing.T, in *initiator) {
			ctx, cancel := context.WithCancel(t.Context())
			f := in.lib.secur32.(*fake)
			proceed := make(chan struct{})
			f.acquiring = func() { cancel(); <-proceed }
			if _, err := in.Identity(ctx, target); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			close(proceed)
			garbage(t, func() bool { creds, _, _ := f.left(); return creds == 1 && users(in) == 0 })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, r)
			if tc.set != nil {
				tc.set(f)
			}
			in := initiatorOn(t, f, tc.o)
			tc.work(t, in)
			if creds, contexts, memory := f.left(); creds != 1 || contexts != tc.left || memory != 0 {
				t.Errorf("%d credentials, %d contexts, %d pieces of memory", creds, contexts, memory)
			}
			runtime.KeepAlive(in)
			in = nil
			garbage(t, func() bool {
				creds, contexts, _ := f.left()
				return creds+contexts == 0
			})
		})
	}
}

// No NTLM token is sent, and no context of another package trusted.
func TestNeverNTLM(t *testing.T) {
	r := newRealm(t)
	ntlm := []byte("NTLMSSP\x00\x01\x00\x00\x00")
	for name, set := range map[string]func(*fake){
		"NTLM":             func(f *fake) { f.token = ntlm },
		"NTLM in SPNEGO":   func(f *fake) { f.token = spnego.AppendInit(nil, ntlm) },
		"another package":  func(f *fake) { f.pkg = "NTLM" },
		"Negotiate itself": func(f *fake) { f.pkg = "Negotiate" },
		"nothing":          func(f *fake) { f.token = []byte{} },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, r)
			set(f)
			sc, token, err := first(t, initiatorOn(t, f, Options{}))
			if !errors.Is(err, middleware.ErrToken) || token != nil || sc.Verified() {
				t.Fatalf("%q, %v", token, err)
			}
			if _, contexts, _ := f.left(); contexts != 0 {
				t.Error("the context is still there")
			}
		})
	}
	f := newFake(t, r)
	sc, token, err := first(t, initiatorOn(t, f, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	f.pkg = "NTLM"
	var e *middleware.Error
	if _, err := sc.Step(t.Context(), answer(t, r, token)); !errors.As(err, &e) || e.Reason != middleware.ReasonWrongMechanism || sc.Verified() {
		t.Errorf("verified %t, %v", sc.Verified(), err)
	}
}

// What Windows is asked for: confidentiality, integrity, detection of messages that are
// out of sequence or replayed (ISC_REQ_ 0x10, 0x10000, 8, 4), and what options say:
// mutual authentication (2) and delegation (1). Nothing else, such as
// ISC_REQ_ALLOCATE_MEMORY.
func TestFlags(t *testing.T) {
	r := newRealm(t)
	for want, o := range map[uint32]Options{
		0x1001e: {},
		0x1001c: {NoMutual: true},
		0x1001f: {Delegation: DelegationPolicy},
	} {
		f := newFake(t, r)
		in := initiatorOn(t, f, o)
		sc, _, err := first(t, in)
		if err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		for _, c := range f.contexts {
			if c.request != want {
				t.Errorf("%+v: asked for %#x, want %#x", o, c.request, want)
			}
		}
		if len(f.contexts) != 1 {
			t.Errorf("%d contexts", len(f.contexts))
		}
		f.mu.Unlock()
		runtime.KeepAlive(sc)
	}
}

// The server has proved itself where Windows says so, and only there.
func TestMutualFlag(t *testing.T) {
	r := newRealm(t)
	f := newFake(t, r)
	f.lateImmediate = true
	sc, token, err := first(t, initiatorOn(t, f, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	var e *middleware.Error
	if _, err := sc.Step(t.Context(), answer(t, r, token)); !errors.As(err, &e) || e.Reason != middleware.ReasonNoToken || sc.Verified() {
		t.Errorf("verified %t, %v", sc.Verified(), err)
	}
}

// A user with a password: what Windows is told, and that a refused one is not sent
// again for a while.
func TestPassword(t *testing.T) {
	r := newRealm(t)
	f := newFake(t, r)
	in := initiatorOn(t, f, Options{Principal: "alice@" + r.Name(), Password: NewSecret("secret")})
	sc, _, err := first(t, in)
	if err != nil {
		t.Fatal(err)
	}
	if who := sc.(middleware.Identified).Principal(); who != "alice@"+r.Name() {
		t.Errorf("made as %q", who)
	}
	wrong := Options{Principal: "alice@" + r.Name(), Password: NewSecret("wrong canary")}
	in = initiatorOn(t, f, wrong)
	before := f.calls("InitializeSecurityContext")
	for range 3 {
		_, token, err := first(t, in)
		var said *StatusError
		if !errors.Is(err, middleware.ErrCredentials) || !errors.As(err, &said) || said.Status != 0x8009030c || token != nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q, %v", token, err)
		}
	}
	if n := f.calls("InitializeSecurityContext") - before; n != 1 {
		t.Errorf("a wrong password was sent %d times", n)
	}
	later := time.Now().Add(refusalHolds + time.Second)
	if k, err := in.credentials.take(later); err != nil {
		t.Errorf("a minute later: %v", err)
	} else {
		in.credentials.leave(k)
	}
	for _, v := range []any{in.credentials.who, *in.credentials.who, in.peers, wrong} {
		if text := fmt.Sprintf("%v %+v %#v", v, v, v); strings.Contains(text, "canary") {
			t.Errorf("a password is printed: %s", text)
		}
	}
}

// What may be the refusal of a password counts as one, whatever the call: the password is
// not sent again for a while. What stands for something else does not.
func TestRefusedOnce(t *testing.T) {
	r := newRealm(t)
	for call, all := range map[string]map[status]int{
		"AcquireCredentialsHandle": {
			0xc0000001: 1, // Wine's for a wrong password
			0x80099999: 1, // of no known meaning
			0xc0000234: 1,
			0x8009030e: 1,
			0xc000005e: 3,
		},
		"InitializeSecurityContext": {
			0x8009030c: 1,
			0xc000006a: 1,
			0x8009030e: 1, // there are none, with a password
			0x80099999: 1,
			0x80090311: 3, // no domain controller
			0x80090303: 3, // no such service
			0x80090317: 6, // the credentials ran out, and are acquired anew
		},
	} {
		for s, want := range all {
			f := newFake(t, r)
			f.refuse = map[string]status{call: s}
			in := initiatorOn(t, f, Options{Principal: "alice@" + r.Name(), Password: NewSecret("secret")})
			for range 3 {
				_, token, err := first(t, in)
				var e *middleware.Error
				if !errors.As(err, &e) || token != nil || e.Principal != "alice@"+r.Name() || e.Hint == "" && want == 1 || strings.Contains(e.Hint, "set Principal") {
					t.Errorf("%s, %v: %v", call, s.meaning().name, err)
				}
			}
			if n := f.calls(call); n != want {
				t.Errorf("%s, %#x: called %d times, want %d", call, uint32(s), n, want)
			}
			creds, contexts, _ := f.left()
			if creds > 1 || contexts != 0 {
				t.Errorf("%s, %#x: %d credentials and %d contexts are left", call, uint32(s), creds, contexts)
			}
		}
	}
}

// Credentials that ran out are acquired anew, and what becomes of the second try counts as
// that of the first: a refusal holds, and a credential that ran out as well is not kept.
func TestRefusedAfterRenewal(t *testing.T) {
	r := newRealm(t)
	for second, want := range map[status]int{statusLogonDenied: 2, statusContextExpired: 3} {
		f := newFake(t, r)
		f.once = []status{statusContextExpired, second}
		in := initiatorOn(t, f, Options{Principal: "alice@" + r.Name(), Password: NewSecret("secret")})
		for i := range 2 {
			_, _, err := first(t, in)
			if refused := i == 0 || second == statusLogonDenied; refused != (err != nil) {
				t.Errorf("%v, try %d: %v", second.meaning().name, i, err)
			}
		}
		if n := f.calls("InitializeSecurityContext"); n != want {
			t.Errorf("%v: %d steps, want %d", second.meaning().name, n, want)
		}
		if n := f.calls("AcquireCredentialsHandle"); n != want {
			t.Errorf("%v: acquired %d times, want %d", second.meaning().name, n, want)
		}
	}
}

// A password that was accepted, and is refused later, is not sent again either, nor by
// contexts that there are already.
func TestPasswordChanged(t *testing.T) {
	r := newRealm(t)
	f := newFake(t, r)
	in := initiatorOn(t, f, Options{Principal: "alice@" + r.Name(), Password: NewSecret("secret")})
	if _, _, err := first(t, in); err != nil {
		t.Fatal(err)
	}
	earlier, err := in.Initiate(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	f.refuse = map[string]status{"InitializeSecurityContext": statusLogonDenied}
	if _, _, err := first(t, in); err == nil {
		t.Fatal("not refused")
	}
	before := f.calls("InitializeSecurityContext")
	if _, err := earlier.Step(t.Context(), nil); !errors.Is(err, middleware.ErrCredentials) {
		t.Error(err)
	}
	if _, err := in.Initiate(t.Context(), target); !errors.Is(err, middleware.ErrCredentials) {
		t.Errorf("a context in spite of a refusal: %v", err)
	}
	if n := f.calls("InitializeSecurityContext") - before; n != 0 {
		t.Errorf("sent %d times more", n)
	}
}

// A password that was refused is sent by no other initiator either, which a program may make
// for each call; the right one is sent at once.
func TestPasswordOfAllInitiators(t *testing.T) {
	r := newRealm(t)
	f := newFake(t, r)
	lib, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	begin := func(user, password string) (middleware.SecurityContext, error) {
		in, err := newInitiator(Options{Principal: user + "@" + r.Name(), Password: NewSecret(password)}, func() (*library, error) { return lib, nil })
		if err != nil {
			t.Fatal(err)
		}
		return in.Initiate(t.Context(), target)
	}
	var all []middleware.SecurityContext // before anything is known of the password
	for _, user := range []string{"alice", "ALICE", "alice", "Alice"} {
		sc, err := begin(user, "wrong")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sc)
	}
	var wg sync.WaitGroup
	for _, sc := range all {
		wg.Go(func() {
			if _, err := sc.Step(t.Context(), nil); !errors.Is(err, middleware.ErrCredentials) || !strings.Contains(err.Error(), "SEC_E_LOGON_DENIED") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := begin("alice", "wrong"); !errors.Is(err, middleware.ErrCredentials) {
		t.Errorf("a context in spite of a refusal: %v", err)
	}
	if n := f.calls("InitializeSecurityContext"); n != 1 {
		t.Errorf("a wrong password was sent %d times", n)
	}
	for _, other := range [][2]string{{"alice", "secret"}, {"bob", "wrong"}} {
		sc, err := begin(other[0], other[1])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sc.Step(t.Context(), nil); (err == nil) != (other[0] == "alice") {
			t.Errorf("%s: %v", other[0], err)
		}
	}
	if n := f.calls("InitializeSecurityContext"); n != 3 {
		t.Errorf("%d passwords were sent, want 3", n)
	}
}

// Credentials that come after the end of their initiator are not kept, and what fails with
// older ones says nothing of those that took their place.
func TestCredentialsThatComeLate(t *testing.T) {
	f := newFake(t, newRealm(t))
	lib, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	take := func(c *credentials) *credential {
		t.Helper()
		k, err := c.take(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	c := newCredentials(lib, nil)
	expired := statusContextExpired.call("InitializeSecurityContext")
	older := take(c)
	c.failed(older, expired, time.Now())
	newer := take(c)
	c.failed(older, expired, time.Now())
	if c.current != newer {
		t.Error("the newer credential was dropped")
	}
	c.close()
	late := take(c)
	for _, k := range []*credential{older, newer, late} {
		c.leave(k)
	}
	if creds, _, _ := f.left(); creds != 0 {
		t.Errorf("%d credentials are left", creds)
	}
}

// Who waited for another's try, and finds the password accepted, holds nobody up.
func TestWaitedForATry(t *testing.T) {
	f := newFake(t, newRealm(t))
	lib, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	c := newCredentials(lib, &identity{})
	k := &credential{}
	done, refused, err := c.try(t.Context(), k)
	if refused != nil || err != nil {
		t.Fatal(refused, err)
	}
	ctx := watched{t.Context(), make(chan struct{}, 1)}
	waited := make(chan error)
	go func() {
		_, refused, err := c.try(ctx, k)
		if refused != nil {
			err = refused
		}
		waited <- err
	}()
	<-ctx.asked // it waits
	c.made(k)
	done()
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if n := lib.passwords.trying.Len(); n != 0 {
		t.Errorf("%d turns are taken", n)
	}
}

// A watched context tells when somebody is about to wait for its end.
type watched struct {
	context.Context
	asked chan struct{}
}

func (w watched) Done() <-chan struct{} {
	select {
	case w.asked <- struct{}{}:
	default:
	}
	return w.Context.Done()
}

// Windows has no password of ours in its call's memory once it has the credentials.
func TestPasswordWiped(t *testing.T) {
	r := newRealm(t)
	f := newFake(t, r)
	in := initiatorOn(t, f, Options{Principal: "alice@" + r.Name(), Password: NewSecret("secret")})
	if _, _, err := first(t, in); err != nil {
		t.Fatal(err)
	}
	if len(f.password) == 0 || slices.ContainsFunc(f.password, func(u uint16) bool { return u != 0 }) {
		t.Errorf("%d units of the password: %v", len(f.password), f.password)
	}
}

// Of many contexts that begin at once with a password that no KDC has accepted yet, one
// sends it, and the others wait for what becomes of it. With one that is accepted they do
// not wait any more.
func TestPasswordAtOnce(t *testing.T) {
	r := newRealm(t)
	const many = 20
	begin := func(t *testing.T, f *fake, password string) (*initiator, []middleware.SecurityContext) {
		in := initiatorOn(t, f, Options{Principal: "alice@" + r.Name(), Password: NewSecret(password)})
		var all []middleware.SecurityContext
		for range many {
			sc, err := in.Initiate(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, sc)
		}
		return in, all
	}
	t.Run("refused", func(t *testing.T) {
		f := newFake(t, r)
		in, all := begin(t, f, "wrong")
		var wg sync.WaitGroup
		for _, sc := range all {
			wg.Go(func() {
				if out, err := sc.Step(t.Context(), nil); out != nil || !errors.Is(err, middleware.ErrCredentials) || !strings.Contains(err.Error(), "SEC_E_LOGON_DENIED") {
					t.Errorf("%d bytes, %v", len(out), err)
				}
			})
		}
		wg.Wait()
		if n := f.calls("InitializeSecurityContext"); n != 1 {
			t.Errorf("a wrong password was sent %d times", n)
		}
		runtime.KeepAlive(in)
	})
	t.Run("nobody waits past the end of its context", func(t *testing.T) {
		f := newFake(t, r)
		begun, proceed := make(chan struct{}), make(chan struct{})
		f.began = func() { begun <- struct{}{}; <-proceed }
		in, all := begin(t, f, "secret")
		first := make(chan error)
		go func() {
			_, err := all[0].Step(t.Context(), nil)
			first <- err
		}()
		<-begun
		ctx, cancel := context.WithCancel(t.Context())
		second := make(chan error)
		go func() {
			_, err := all[1].Step(ctx, nil)
			second <- err
		}()
		cancel()
		if err := <-second; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(proceed)
		if err := <-first; err != nil {
			t.Error(err)
		}
		runtime.KeepAlive(in)
	})
	t.Run("accepted", func(t *testing.T) {
		f := newFake(t, r)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		begun, proceed := make(chan struct{}), make(chan struct{})
		f.began = func() {
			select {
			case begun <- struct{}{}:
			case <-ctx.Done():
			}
			<-proceed
		}
		in, all := begin(t, f, "secret")
		var wg sync.WaitGroup
		for _, sc := range all {
			wg.Go(func() {
				if _, err := sc.Step(t.Context(), nil); err != nil {
					t.Error(err)
				}
			})
		}
		<-begun // one tries the password
		proceed <- struct{}{}
		for i := range all[1:] {
			select {
			case <-begun:
			case <-ctx.Done():
				t.Errorf("%d of %d go on at once", i, len(all)-1)
			}
			if ctx.Err() != nil {
				break
			}
		}
		close(proceed)
		wg.Wait()
		runtime.KeepAlive(in)
	})
}

// Credentials are acquired once, and anew when they have run out or are refused.
func TestRenewal(t *testing.T) {
	r := newRealm(t)
	stamp := func(at time.Time) timeStamp {
		_, east := at.Local().Zone()
		n := (at.Unix() + int64(east) + 11644473600) * 10_000_000
		return timeStamp{uint32(n), int32(n >> 32)}
	}
	for name, tc := range map[string]struct {
		ends timeStamp
		want int
	}{
		"no end":      {timeStamp{}, 1},
		"far end":     {timeStamp{0xffffffff, 0x7fffffff}, 1},
		"in an hour":  {stamp(time.Now().Add(time.Hour)), 1},
		"in a second": {stamp(time.Now().Add(time.Second)), 3},
		"long ago":    {stamp(time.Now().Add(-time.Hour)), 3},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, r)
			f.ends = tc.ends
			in := initiatorOn(t, f, Options{})
			var kept []middleware.SecurityContext
			for range 3 {
				sc, _, err := first(t, in)
				if err != nil {
					t.Fatal(err)
				}
				kept = append(kept, sc)
			}
			if creds, _, _ := f.left(); creds != tc.want || f.calls("AcquireCredentialsHandle") != tc.want {
				t.Errorf("%d credentials, acquired %d times, want %d", creds, f.calls("AcquireCredentialsHandle"), tc.want)
			}
			for _, sc := range kept {
				sc.(*securityContext).held.Release()
			}
			if creds, contexts, _ := f.left(); creds != 1 || contexts != 0 {
				t.Errorf("%d credentials and %d contexts are left", creds, contexts)
			}
		})
	}
	for _, stale := range []status{statusContextExpired, statusInvalidHandle, statusNoCredentials} {
		t.Run("refused: "+stale.meaning().name, func(t *testing.T) {
			f := newFake(t, r)
			in := initiatorOn(t, f, Options{})
			if _, _, err := first(t, in); err != nil {
				t.Fatal(err)
			}
			f.refuse = map[string]status{"InitializeSecurityContext": stale}
			steps := f.calls("InitializeSecurityContext")
			if _, _, err := first(t, in); !errors.Is(err, middleware.ErrCredentials) {
				t.Error(err)
			}
			if n, m := f.calls("InitializeSecurityContext")-steps, f.calls("AcquireCredentialsHandle"); n != 2 || m != 2 {
				t.Errorf("%d steps, credentials acquired %d times", n, m)
			}
			f.refuse = nil
			if _, _, err := first(t, in); err != nil {
				t.Error(err)
			}
		})
	}
}

// What Windows says is one of our sentinels, with what to try.
func TestStatuses(t *testing.T) {
	r := newRealm(t)
	for call, all := range map[string]map[status]struct {
		kind error
		code int32
		hint string
		temp bool
	}{
		"AcquireCredentialsHandle": {
			0x8009030e: {middleware.ErrCredentials, 0, "log on", false},
			0xc0000001: {middleware.ErrCredentials, 0, "log on", false},
			0x80090305: {middleware.ErrConfiguration, 0, "package kerberos", false},
		},
		"InitializeSecurityContext": {
			0x80090303: {middleware.ErrKDC, 7, "setspn", false},
			0x80090311: {middleware.ErrKDC, 0, "domain controller", true},
			0x80090322: {middleware.ErrKDC, 0, "setspn -X", false},
			0x80090324: {middleware.ErrKDC, 37, "clocks", false},
			0x8009030c: {middleware.ErrCredentials, 0, "lock the account", false},
			0xc0000071: {middleware.ErrCredentials, 23, "expired", false},
			0xc0000234: {middleware.ErrCredentials, 18, "locked", false},
			0xc000005e: {middleware.ErrKDC, 0, "domain controller", true},
			0x80099999: {middleware.ErrCredentials, 0, "", false},
		},
	} {
		for s, tc := range all {
			f := newFake(t, r)
			f.refuse = map[string]status{call: s}
			_, token, err := first(t, initiatorOn(t, f, Options{}))
			var e *middleware.Error
			var said *StatusError
			if !errors.As(err, &e) || !errors.Is(err, tc.kind) || e.Code != tc.code || !strings.Contains(e.Hint, tc.hint) || (tc.hint == "") != (e.Hint == "") ||
				e.IsTemporary != tc.temp || e.SPN != service || e.Host == "" || token != nil {
				t.Errorf("%s: %v", s.meaning().name, err)
			}
			if !errors.As(err, &said) || said.Status != uint32(s) || said.Call != call || !strings.Contains(err.Error(), call) {
				t.Errorf("%s: %v", s.meaning().name, err)
			}
		}
	}
	known := meanings()
	for i, m := range known {
		if slices.ContainsFunc(known[:i], func(o meaning) bool { return o.status == m.status || o.name == m.name }) {
			t.Errorf("%s is there twice", m.name)
		}
	}
}

// A call that blocks does not hold its caller past the end of its context, takes the
// place of another until it ends, and what it made is freed then.
func TestCallThatBlocks(t *testing.T) {
	f := newFake(t, newRealm(t))
	begun, proceed := make(chan struct{}), make(chan struct{})
	f.began = func() { begun <- struct{}{}; <-proceed }
	in := initiatorOn(t, f, Options{Calls: 1})
	sc, err := in.Initiate(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	second, err := in.Initiate(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	if out, err := sc.Step(ctx, nil); !errors.Is(err, context.Canceled) || out != nil {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := sc.Step(t.Context(), nil); err == nil {
		t.Errorf("a context that was left is used again: %q", out)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := second.Step(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second: %v", err)
	}
	close(proceed)
	garbage(t, func() bool {
		_, contexts, _ := f.left()
		return contexts == 0 && f.calls("DeleteSecurityContext") == 1
	})
	runtime.KeepAlive(in)
}

// Where Windows does not tell whose credentials are, it is asked for the user's name.
func TestName(t *testing.T) {
	f := newFake(t, newRealm(t))
	f.nameless = true
	if who, err := initiatorOn(t, f, Options{}).Identity(t.Context(), target); err != nil || who != `CORP\alice` {
		t.Errorf("%q, %v", who, err)
	}
}

// Structures are laid out as sspi.h has them, on this system.
func TestLayout(t *testing.T) {
	w := uintptr(unsafe.Sizeof(uintptr(0)))
	for name, got := range map[string][2]uintptr{
		"SecHandle":                    {unsafe.Sizeof(handle{}), 2 * w},
		"SECURITY_INTEGER":             {unsafe.Sizeof(timeStamp{}), 8},
		"SEC_WINNT_AUTH_IDENTITY":      {unsafe.Sizeof(authIdentity{}), 6 * w},
		"SEC_WINNT_AUTH_IDENTITY flag": {unsafe.Offsetof(authIdentity{}.flags), 5*w + 4},
		"SecBuffer":                    {unsafe.Sizeof(buffer{}), 8 + w},
		"SecBufferDesc":                {unsafe.Sizeof(bufferDesc{}), 8 + w},
		"SecPkgInfo name":              {unsafe.Offsetof(packageInfo{}.name), 8 + max(4, w)},
		"SecPkgContext_Sizes":          {unsafe.Sizeof(sizes{}), 16},
	} {
		if name == "SEC_WINNT_AUTH_IDENTITY" && w == 4 {
			got[1] = 7 * w
		}
		if got[0] != got[1] {
			t.Errorf("%s: %d, want %d", name, got[0], got[1])
		}
	}
	want := make([]byte, 32, 64)
	binary.NativeEndian.PutUint32(want[24:], 4)
	binary.NativeEndian.PutUint32(want[28:], 32)
	if d := cmp.Diff(append(want, "data"...), channelBindings([]byte("data"))); d != "" {
		t.Error(d)
	}
	if got := fromUTF16(&utf16z("käse 🧀")[0]); got != "käse 🧀" || fromUTF16(nil) != "" {
		t.Errorf("%q", got)
	}
	who := identity{user: "alice", domain: "CORP", password: NewSecret("secret")}
	a, wipe := who.auth()
	if got := []string{fromUTF16(a.user), fromUTF16(a.domain), fromUTF16(a.password)}; !slices.Equal(got, []string{"alice", "CORP", "secret"}) || a.passwordLength != 6 || a.userLength != 5 || a.domainLength != 4 {
		t.Errorf("%q", got)
	}
	wipe()
	if got := fromUTF16(a.password); got != "" {
		t.Errorf("the password is still there: %q", got)
	}
}
