package kerberos_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

const (
	spn      = "HTTP/localhost"
	password = "correct horse battery staple"
)

func start(t testing.TB, opts ...fakekdc.Option) *fakekdc.Realm {
	t.Helper()
	return fakekdc.Start(t, append([]fakekdc.Option{
		fakekdc.WithUser("alice", password),
		fakekdc.WithService(spn),
	}, opts...)...)
}

// oneType is for realms of which a keytab is asked that is made of passwords: for four types of
// keys, that takes more than ten times as long.
var oneType = fakekdc.WithEtypes(fakekdc.AES256SHA1)

// environment returns options for the realm, with nothing of the process's own.
func environment(realm *fakekdc.Realm, vars ...string) kerberos.SourceOptions {
	return kerberos.SourceOptions{
		Krb5ConfText: realm.Config(),
		Now:          realm.Now,
		Getenv: func(name string) string {
			for _, v := range vars {
				if value, ok := strings.CutPrefix(v, name+"="); ok {
					return value
				}
			}
			if name == "HOME" {
				return "/nonexistent"
			}
			return ""
		},
	}
}

// inMemory returns the same, but for KDCs that are reached within the process: what waits
// for them can be tested in virtual time.
func inMemory(realm *fakekdc.Realm, vars ...string) kerberos.SourceOptions {
	o := environment(realm, vars...)
	o.Dial = realm.Dial
	return o
}

func as(o kerberos.SourceOptions, principal string) kerberos.SourceOptions {
	o.Principal = principal
	return o
}

func write(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSources(t *testing.T) {
	t.Parallel()
	for _, etype := range []int32{17, 18, 19, 20, 23} {
		t.Run(fmt.Sprint("etype ", etype), func(t *testing.T) {
			t.Parallel()
			realm := start(t, fakekdc.WithEtypes(etype))
			// One for each: tickets are written back.
			cache := func() string { return testmain.File(t, "cc", realm.CCache("alice")) }
			full := testmain.File(t, "full", realm.CCache("alice", spn))
			keytab := testmain.File(t, "kt", realm.Keytab("alice"))
			alice := "alice@" + realm.Name()
			for name, tc := range map[string]struct {
				source  func() (kerberos.TicketSource, error)
				as, tgs int
			}{
				"password": {func() (kerberos.TicketSource, error) {
					return kerberos.FromPassword(kerberos.NewSecret(password), as(environment(realm), alice))
				}, 2, 1},
				"password in the default realm": {func() (kerberos.TicketSource, error) {
					return kerberos.FromPassword(kerberos.NewSecret(password), as(environment(realm), "alice"))
				}, 2, 1},
				"keytab": {func() (kerberos.TicketSource, error) { return kerberos.FromKeytab(keytab, environment(realm)) }, 2, 1},
				"keytab of principal": {func() (kerberos.TicketSource, error) {
					return kerberos.FromKeytab("FILE:"+keytab, as(environment(realm), alice))
				}, 2, 1},
				"cache":             {func() (kerberos.TicketSource, error) { return kerberos.FromCCache("FILE:"+cache(), environment(realm)) }, 0, 1},
				"cache with ticket": {func() (kerberos.TicketSource, error) { return kerberos.FromCCache(full, environment(realm)) }, 0, 0},
				"environment": {func() (kerberos.TicketSource, error) {
					return kerberos.FromEnvironment(environment(realm, "KRB5CCNAME="+cache()))
				}, 0, 1},
				"environment as principal": {func() (kerberos.TicketSource, error) {
					return kerberos.FromEnvironment(as(environment(realm, "KRB5CCNAME="+cache()), "alice"))
				}, 0, 1},
				"client keytab": {func() (kerberos.TicketSource, error) {
					return kerberos.FromEnvironment(environment(realm, "KRB5CCNAME="+cache()+".missing", "KRB5_CLIENT_KTNAME="+keytab))
				}, 2, 1},
			} {
				t.Run(name, func(t *testing.T) {
					realm.ResetExchanges()
					source, err := tc.source()
					if err != nil {
						t.Fatal(err)
					}
					for range 3 {
						ticket, err := source.ServiceTicket(t.Context(), spn)
						if err != nil {
							t.Fatal(err)
						}
						if ticket.Client() != alice || ticket.SPN() != spn+"@"+realm.Name() || ticket.Etype() != etype {
							t.Errorf("got %v of type %d", ticket, ticket.Etype())
						}
					}
					if got := realm.Count(fakekdc.AS); got != tc.as {
						t.Errorf("%d AS exchanges, want %d", got, tc.as)
					}
					if got := realm.Count(fakekdc.TGS); got != tc.tgs {
						t.Errorf("%d TGS exchanges, want %d", got, tc.tgs)
					}
				})
			}
		})
	}
}

// TestBadInput: what users meet, and what they are told.
func TestBadInput(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	clock := func() time.Time { return begun } // stands still, so that what errors say of it is exact
	realm := start(t, fakekdc.WithClock(clock), fakekdc.WithService("HTTP/old", fakekdc.Refuse(fakekdc.CodePolicy)))
	alice := "alice@" + realm.Name()
	whole := realm.CCache("alice", spn)
	login := func(o kerberos.SourceOptions) (kerberos.TicketSource, error) {
		return kerberos.FromPassword(kerberos.NewSecret(password), o)
	}
	silent := func(ctx context.Context, network, address string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	closed := func(ctx context.Context, network, address string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
	}
	for name, tc := range map[string]struct {
		source    func(kerberos.SourceOptions) (kerberos.TicketSource, error)
		options   func(*kerberos.SourceOptions)
		spn       string
		timeout   bool
		kind      error
		temporary bool
		says      []string
	}{
		"wrong password": {
			source: func(o kerberos.SourceOptions) (kerberos.TicketSource, error) {
				return kerberos.FromPassword(kerberos.NewSecret("hunter2"), o)
			},
			kind: middleware.ErrCredentials, says: []string{alice, "KDC_ERR_PREAUTH_FAILED", "password"},
		},
		"unknown principal": {
			source: login, options: func(o *kerberos.SourceOptions) { o.Principal = "mallory@" + realm.Name() },
			kind: middleware.ErrCredentials, says: []string{"mallory@" + realm.Name(), "KDC_ERR_C_PRINCIPAL_UNKNOWN"},
		},
		"unknown SPN": {
			source: login, spn: "HTTP/nowhere.example", kind: middleware.ErrKDC,
			says: []string{"HTTP/nowhere.example", alice, "KDC_ERR_S_PRINCIPAL_UNKNOWN"},
		},
		"policy": {source: login, spn: "HTTP/old", kind: middleware.ErrKDC, says: []string{"HTTP/old", "KDC_ERR_POLICY"}},
		"malformed SPN": {
			source: login, spn: "HTTP/h@A@B", kind: middleware.ErrCredentials, says: []string{"HTTP/h@A@B"},
		},
		"expired TGT": {
			source: func(o kerberos.SourceOptions) (kerberos.TicketSource, error) {
				return kerberos.FromCCache(testmain.File(t, "cc", whole), o)
			},
			options: func(o *kerberos.SourceOptions) { o.Now = func() time.Time { return clock().Add(11 * time.Hour) } },
			kind:    middleware.ErrCredentials, says: []string{alice, "expired", "kinit"},
		},
		"no ccache": {
			source: func(o kerberos.SourceOptions) (kerberos.TicketSource, error) {
				return kerberos.FromCCache("/nonexistent/cc", o)
			},
			kind: middleware.ErrCredentials, says: []string{"/nonexistent/cc", "kinit", "KRB5CCNAME"},
		},
		"truncated ccache": {
			source: func(o kerberos.SourceOptions) (kerberos.TicketSource, error) {
				return kerberos.FromCCache(testmain.File(t, "cc", whole[:len(whole)/2]), o)
			},
			kind: middleware.ErrCredentials, says: []string{"cc", "too early"},
		},
		"empty ccache": {
			source: func(o kerberos.SourceOptions) (kerberos.TicketSource, error) {
				return kerberos.FromCCache(testmain.File(t, "cc", nil), o)
			},
			kind: middleware.ErrCredentials, says: []string{"cc"},
		},
		"ccache of another": {
			source: func(o kerberos.SourceOptions) (kerberos.TicketSource, error) {
				return kerberos.FromCCache(testmain.File(t, "cc", whole), o)
			},
			options: func(o *kerberos.SourceOptions) { o.Principal = "bob@" + realm.Name() },
			kind:    middleware.ErrCredentials, says: []string{alice, "bob@" + realm.Name(), "kinit"},
		},
		"ccache type": {
			source: func(o kerberos.SourceOptions) (kerberos.TicketSource, error) { return kerberos.FromCCache("API:", o) },
			kind:   middleware.ErrCredentials, says: []string{"API:", "FILE:"},
		},
		"missing keytab": {
			source: func(o kerberos.SourceOptions) (kerberos.TicketSource, error) {
				return kerberos.FromKeytab("/nonexistent/kt", o)
			},
			kind: middleware.ErrCredentials, says: []string{"/nonexistent/kt", "not exist"},
		},
		"unreadable keytab": {
			source: func(o kerberos.SourceOptions) (kerberos.TicketSource, error) {
				return kerberos.FromKeytab(testmain.File(t, "kt", []byte("no keytab")), o)
			},
			kind: middleware.ErrCredentials, says: []string{"kt", "not a keytab"},
		},
		"keytab of another": {
			source: func(o kerberos.SourceOptions) (kerberos.TicketSource, error) {
				return kerberos.FromKeytab(testmain.File(t, "kt", realm.Keytab(spn)), o)
			},
			kind: middleware.ErrCredentials, says: []string{alice, spn},
		},
		"krb5.conf without the realm": {
			source: login, options: func(o *kerberos.SourceOptions) { o.Krb5ConfText = "[libdefaults]\ndns_lookup_kdc = false\n" },
			kind: middleware.ErrKDC, says: []string{realm.Name(), "[realms]"},
		},
		"broken krb5.conf": {
			source: login, options: func(o *kerberos.SourceOptions) { o.Krb5ConfText = "[realms\nR = {\n kdc = x\n" },
			kind: middleware.ErrConfiguration, says: []string{"krb5.conf"},
		},
		"no realm at all": {
			source: login, options: func(o *kerberos.SourceOptions) { o.Principal = "alice"; o.Krb5ConfText = "[libdefaults]\n" },
			kind: middleware.ErrConfiguration, says: []string{"alice", "default_realm"},
		},
		"KDC down": {
			source: login, options: func(o *kerberos.SourceOptions) { o.Dial = closed },
			kind: middleware.ErrKDC, temporary: true, says: []string{realm.Name(), realm.Addr(), "connection refused"},
		},
		"KDC silent": {
			source: login, options: func(o *kerberos.SourceOptions) { o.Dial = silent }, timeout: true,
			kind: middleware.ErrKDC, says: []string{"our patience is at an end", alice, spn, realm.Name(), realm.Addr()},
		},
		"clock skew": {
			source: login, options: func(o *kerberos.SourceOptions) {
				o.Now = func() time.Time { return clock().Add(-time.Hour) }
				o.Krb5ConfText = realm.Config("kdc_timesync = 0")
			},
			kind: middleware.ErrKDC, says: []string{"KRB_AP_ERR_SKEW", "1h"},
		},
		"nothing permitted": {
			source: login, options: func(o *kerberos.SourceOptions) {
				o.Krb5ConfText = regexp.MustCompile(`(_enctypes) = .*`).ReplaceAllString(realm.Config(), "$1 = camellia")
			},
			kind: middleware.ErrKDC, says: []string{"encryption type"},
		},
		"no password": {source: func(o kerberos.SourceOptions) (kerberos.TicketSource, error) {
			return kerberos.FromPassword(kerberos.Secret{}, o)
		}, kind: middleware.ErrConfiguration, says: []string{"password"}},
		"password, no principal":    {source: login, options: func(o *kerberos.SourceOptions) { o.Principal = "" }, kind: middleware.ErrConfiguration, says: []string{"Principal"}},
		"principal with two realms": {source: login, options: func(o *kerberos.SourceOptions) { o.Principal = "a@B@C" }, kind: middleware.ErrConfiguration, says: []string{"a@B@C"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := as(environment(realm), alice)
			if tc.options != nil {
				tc.options(&o)
			}
			ctx := t.Context()
			if tc.timeout {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, time.Millisecond, errors.New("our patience is at an end"))
				defer cancel()
			}
			if tc.spn == "" {
				tc.spn = spn
			}
			source, err := tc.source(o)
			if err == nil {
				_, err = source.ServiceTicket(ctx, tc.spn)
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, fault := range stagetest.Prose(err.Error()) {
				t.Errorf("%s: %v", fault, err)
			}
			if strings.Count(err.Error(), "credential cache FILE:") > 1 {
				t.Errorf("the cache is named twice: %v", err)
			}
			for _, want := range tc.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			for _, secret := range []string{password, "hunter2"} {
				if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
					t.Errorf("%#v tells the password", err)
				}
			}
			if !errors.Is(err, tc.kind) {
				t.Errorf("%q is not %q", err, tc.kind)
			}
			var e *middleware.Error
			if !errors.As(err, &e) {
				t.Fatalf("%T is no *middleware.Error", err)
			}
			if e.Temporary() != tc.temporary {
				t.Errorf("Temporary is %v for %q", e.Temporary(), err)
			}
			t.Log(err)
		})
	}
}

func TestPasswordIsNotSentAgain(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now))
	source, err := kerberos.FromPassword(kerberos.NewSecret("wrong"), as(environment(realm), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := source.ServiceTicket(t.Context(), spn); !errors.Is(err, middleware.ErrCredentials) {
			t.Fatal(err)
		}
	}
	if n := realm.Count(fakekdc.AS, 24); n != 1 {
		t.Errorf("a wrong password was sent %d times", n)
	}
	clock.Advance(2 * time.Minute)
	if _, err := source.ServiceTicket(t.Context(), spn); err == nil {
		t.Fatal("no error")
	}
	if n := realm.Count(fakekdc.AS, 24); n != 2 {
		t.Errorf("after two minutes a wrong password was sent %d times, want 2", n)
	}
}

func TestSingleFlight(t *testing.T) {
	realm := start(t)
	for i := range 5 {
		if err := realm.AddService(fmt.Sprintf("HTTP/h%d.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	source, err := kerberos.FromPassword(kerberos.NewSecret(password), as(environment(realm), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range 200 {
		wg.Go(func() {
			<-begin
			if _, err := source.ServiceTicket(t.Context(), fmt.Sprintf("HTTP/h%d.example@%s", i%5, realm.Name())); err != nil {
				t.Error(err)
			}
		})
	}
	close(begin)
	wg.Wait()
	if as, tgs := realm.Count(fakekdc.AS, 0), realm.Count(fakekdc.TGS); as != 1 || tgs != 5 {
		t.Errorf("%d AS and %d TGS exchanges, want 1 and 5", as, tgs)
	}
}

// TestLeavingCaller: a caller whose context ends leaves at once, and those who
// wait with it still get their ticket.
func TestLeavingCaller(t *testing.T) {
	realm := start(t)
	source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	realm.FailNext(fakekdc.TGS, fakekdc.HoldUntil(release))
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	first := make(chan error)
	go func() {
		_, err := source.ServiceTicket(ctx, spn)
		first <- err
	}()
	for realm.PendingFaults() > 0 {
		time.Sleep(time.Millisecond)
	}
	second := make(chan error)
	go func() {
		_, err := source.ServiceTicket(t.Context(), spn)
		second <- err
	}()
	cancel(enough)
	if err := <-first; !errors.Is(err, enough) {
		t.Errorf("got %v, want the cause of the context's end", err)
	}
	close(release)
	if err := <-second; err != nil {
		t.Errorf("the caller that stayed: %v", err)
	}
}

func TestTicketRunsOut(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now), fakekdc.WithLifetime(time.Hour, 0))
	source, err := kerberos.FromPassword(kerberos.NewSecret(password), as(environment(realm), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	get := func(wantAS, wantTGS int) {
		t.Helper()
		ticket, err := source.ServiceTicket(t.Context(), spn)
		if err != nil {
			t.Fatal(err)
		}
		if left := ticket.EndTime().Sub(clock.Now()); left <= 0 {
			t.Errorf("a ticket that ended %s ago", -left)
		}
		if as, tgs := realm.Count(fakekdc.AS, 0), realm.Count(fakekdc.TGS); as != wantAS || tgs != wantTGS {
			t.Errorf("%d AS and %d TGS exchanges, want %d and %d", as, tgs, wantAS, wantTGS)
		}
	}
	get(1, 1)
	clock.Advance(59 * time.Minute)
	get(1, 1)
	clock.Advance(45 * time.Second) // within the margin of the end
	get(2, 2)
	clock.Advance(3 * time.Hour)
	get(3, 3)
}

func TestConcurrentUse(t *testing.T) {
	realm := start(t)
	source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 50 {
				name := spn
				if i%2 == 0 {
					name += "@" + realm.Name()
				}
				if _, err := source.ServiceTicket(t.Context(), name); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
