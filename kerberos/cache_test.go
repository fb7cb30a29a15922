package kerberos_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

func TestCacheIsReadAgain(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now), fakekdc.WithUser("bob", "x"))
	path := testmain.File(t, "cc", realm.CCache("alice"))
	source, err := kerberos.FromCCache(path, environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	client := func(want string) {
		t.Helper()
		ticket, err := source.ServiceTicket(t.Context(), spn)
		if err != nil {
			t.Fatal(err)
		}
		if ticket.Client() != want+"@"+realm.Name() {
			t.Errorf("ticket of %s, want %s", ticket.Client(), want)
		}
	}
	client("alice")
	replace := func(b []byte) {
		t.Helper()
		// As kinit does: another file under the same name.
		if err := os.WriteFile(path+".new", b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		clock.Advance(2 * time.Second)
	}
	replace(realm.CCache("bob"))
	client("bob")
	b := realm.CCache("alice")
	replace(b[:len(b)-10]) // half written: the last good copy stands
	client("bob")
	replace(b)
	client("alice")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	clock.Advance(2 * time.Second)
	client("alice")
	// Gone for good, it is not used for ever.
	clock.Advance(11 * time.Second)
	if ticket, err := source.ServiceTicket(t.Context(), spn); !errors.Is(err, middleware.ErrCredentials) {
		t.Errorf("kdestroy is not heeded: %v, %v", ticket, err)
	}
	if err := os.WriteFile(path, realm.CCache("bob"), 0o600); err != nil {
		t.Fatal(err)
	}
	client("bob")
}

func TestDirCollection(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now), fakekdc.WithUser("bob", "x"))
	dir := t.TempDir()
	put := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("tktA", realm.CCache("alice"))
	put("tktB", realm.CCache("bob"))
	put("primary", []byte("tktB\n"))
	client := func(s kerberos.TicketSource, want string) {
		t.Helper()
		ticket, err := s.ServiceTicket(t.Context(), spn)
		if err != nil {
			t.Fatal(err)
		}
		if ticket.Client() != want+"@"+realm.Name() {
			t.Errorf("ticket of %s, want %s", ticket.Client(), want)
		}
	}
	primary, err := kerberos.FromEnvironment(environment(realm, "KRB5CCNAME=DIR:"+dir))
	if err != nil {
		t.Fatal(err)
	}
	client(primary, "bob")
	alice, err := kerberos.FromEnvironment(as(environment(realm, "KRB5CCNAME=DIR:"+dir), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	client(alice, "alice")
	one, err := kerberos.FromCCache("DIR::"+filepath.Join(dir, "tktA"), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	client(one, "alice")
	put("primary", []byte("tktA\n")) // kswitch
	clock.Advance(2 * time.Second)
	client(primary, "alice")
	nobody, err := kerberos.FromCCache("DIR:"+dir, as(environment(realm), "carol"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nobody.ServiceTicket(t.Context(), spn); !errors.Is(err, middleware.ErrCredentials) || !strings.Contains(err.Error(), "carol@") {
		t.Errorf("got %v", err)
	}
}

// servers returns the names of the tickets in a cache file.
func servers(t *testing.T, b []byte) []string {
	t.Helper()
	c, err := ccache.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, cred := range c.Credentials {
		out = append(out, cred.Server.Name())
	}
	return out
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// needWritten skips a test of what is written to cache files where none is.
func needWritten(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no cache file is written to on Windows")
	}
}

func TestTicketsAreWrittenBack(t *testing.T) {
	for name, readOnly := range map[string]bool{"written": false, "read only": true} {
		t.Run(name, func(t *testing.T) {
			if !readOnly {
				needWritten(t)
			}
			realm := start(t, fakekdc.WithService("HTTP/other"))
			path := testmain.File(t, "cc", realm.CCache("alice"))
			o := environment(realm)
			o.ReadOnlyCache = readOnly
			before := read(t, path)
			var events []middleware.CacheEvent
			ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.CacheEvent); ok {
					events = append(events, e)
				}
			})
			for i, name := range []string{spn, "HTTP/other", spn} {
				source, err := kerberos.FromCCache(path, o)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := source.ServiceTicket(ctx, name); err != nil {
					t.Fatal(i, err)
				}
			}
			tgt := "krbtgt/" + realm.Name()
			if readOnly {
				if !bytes.Equal(before, read(t, path)) || len(events) > 0 || realm.Count(fakekdc.TGS) != 3 {
					t.Errorf("%d TGS exchanges, events %v; the file holds %v", realm.Count(fakekdc.TGS), events, servers(t, read(t, path)))
				}
				return
			}
			if diff := cmp.Diff([]string{tgt, spn, "HTTP/other"}, servers(t, read(t, path))); diff != "" {
				t.Errorf("tickets in the cache (-want +got):\n%s", diff)
			}
			if n := realm.Count(fakekdc.TGS); n != 2 {
				t.Errorf("%d TGS exchanges, want 2", n)
			}
			want := []middleware.CacheEvent{
				{Cache: "FILE:" + path, Server: spn + "@" + realm.Name()},
				{Cache: "FILE:" + path, Server: "HTTP/other@" + realm.Name()},
			}
			if diff := cmp.Diff(want, events); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUnwritableCache: a ticket that cannot be written back is used all the same.
func TestUnwritableCache(t *testing.T) {
	needWritten(t)
	realm := start(t)
	path := testmain.File(t, "cc", realm.CCache("alice"))
	source, err := kerberos.FromCCache(path, environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
		switch e := e.(type) {
		case middleware.ExchangeEvent: // between reading and writing
			if err := os.Remove(path); err != nil {
				t.Error(err)
			}
		case middleware.CacheEvent:
			failed = e.Err
		}
	})
	if _, err := source.ServiceTicket(ctx, spn); err != nil {
		t.Error(err)
	}
	if !errors.Is(failed, os.ErrNotExist) {
		t.Errorf("the trace says %v", failed)
	}
}

func TestChoiceOfCache(t *testing.T) {
	t.Parallel()
	realm := start(t, fakekdc.WithRealm("ONE.TEST"), fakekdc.WithUser("bob", "x"), fakekdc.WithUser("carol", "x"),
		fakekdc.WithService("HTTP/www.two.test"), fakekdc.WithService("HTTP/www.elsewhere.test"))
	two := start(t, fakekdc.WithRealm("TWO.TEST"), fakekdc.WithService("HTTP/www.two.test"), fakekdc.WithService("HTTP/a.sub.two.test"), fakekdc.WithService("HTTP/b.two.test"))
	config := realm.Config() + "[realms]\nTWO.TEST = {\n kdc = " + two.Addr() + "\n}\n[domain_realm]\nmapped.test = TWO.TEST\n"
	two.AddService("HTTP/mapped.test")
	for name, tc := range map[string]struct {
		identity  string
		principal string
		spn       string
		want      string // client
		says      string
	}{
		"primary":               {spn: spn, want: "bob@ONE.TEST"},
		"principal":             {spn: spn, principal: "carol", want: "carol@ONE.TEST"},
		"principal beats all":   {spn: "HTTP/www.two.test@ONE.TEST", principal: "carol@ONE.TEST", identity: "bob@ONE.TEST", want: "carol@ONE.TEST"},
		"no such principal":     {spn: spn, principal: "dave@ONE.TEST", says: "dave@ONE.TEST"},
		"realm":                 {spn: "HTTP/www.two.test@TWO.TEST", want: "alice@TWO.TEST"},
		"mapped realm":          {spn: "HTTP/mapped.test", want: "alice@TWO.TEST"},
		"domain":                {spn: "HTTP/b.two.test", want: "alice@TWO.TEST"},
		"parent domain":         {spn: "HTTP/a.sub.two.test", want: "alice@TWO.TEST"},
		"domain of nobody":      {spn: "HTTP/www.elsewhere.test", want: "bob@ONE.TEST"},
		"identity":              {spn: spn, identity: "carol@ONE.TEST host=local*", want: "carol@ONE.TEST"},
		"identity, short name":  {spn: spn, identity: "carol", want: "carol@ONE.TEST"},
		"identity of others":    {spn: spn, identity: "carol@ONE.TEST host=*.test", want: "bob@ONE.TEST"},
		"identity beats realm":  {spn: "HTTP/www.two.test@ONE.TEST", identity: "carol@ONE.TEST service=HTTP", want: "carol@ONE.TEST"},
		"identity without any":  {spn: spn, identity: "dave@ONE.TEST", says: "dave@ONE.TEST, who is named in .k5identity"},
		"identity out of order": {spn: spn, identity: strings.Repeat("#\n", 1<<20), says: ".k5identity"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, home := t.TempDir(), t.TempDir()
			for file, b := range map[string][]byte{
				"primary": []byte("tktB\n"), "tktB": realm.CCache("bob"), "tktC": realm.CCache("carol"), "tktA": two.CCache("alice"),
			} {
				if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if tc.identity != "" {
				if err := os.WriteFile(filepath.Join(home, ".k5identity"), []byte(tc.identity), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			o := environment(realm, "HOME="+home)
			o.Krb5ConfText, o.Principal = config, tc.principal
			source, err := kerberos.FromCCache("DIR:"+dir, o)
			if err != nil {
				t.Fatal(err)
			}
			ticket, err := source.ServiceTicket(t.Context(), tc.spn)
			switch {
			case tc.says != "":
				if !errors.Is(err, middleware.ErrCredentials) || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("got %v, %v, want an error about %s", ticket, err, tc.says)
				}
			case err != nil:
				t.Error(err)
			case ticket.Client() != tc.want:
				t.Errorf("ticket of %s, want %s", ticket.Client(), tc.want)
			}
		})
	}
}

// TestValidCacheIsPreferred: of several caches of one client one that holds something
// valid is used, however the client was chosen; and nobody else's in its place.
func TestValidCacheIsPreferred(t *testing.T) {
	t.Parallel()
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now), fakekdc.WithUser("bob", "x"), fakekdc.WithLifetime(time.Hour, time.Hour))
	until := func(who string, end time.Duration, services ...string) []byte {
		c, err := ccache.Parse(realm.CCache(who, services...))
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.Credentials {
			c.Credentials[i].StartTime = clock.Now().Add(-time.Hour)
			c.Credentials[i].EndTime = clock.Now().Add(end)
		}
		b, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const over, good = -time.Minute, time.Hour
	withoutTGT := func(end time.Duration) []byte {
		c, err := ccache.Parse(until("alice", end, spn))
		if err != nil {
			t.Fatal(err)
		}
		c.Credentials = c.Credentials[1:]
		b, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ahead := func(b []byte) []byte { // its KDC's clock is two hours ahead of ours
		c, err := ccache.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		c.KDCOffset = 2 * time.Hour
		if b, err = c.Marshal(); err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, tc := range map[string]struct {
		caches    map[string][]byte
		principal string
		identity  string
		spn       string
		want      string // the cache
		says      string
	}{
		"primary":                  {caches: map[string][]byte{"tktA": until("alice", over), "tktB": until("bob", good), "tktC": until("alice", good)}, want: "tktC"},
		"primary is valid":         {caches: map[string][]byte{"tktA": until("alice", good), "tktC": until("alice", 2*good)}, want: "tktA"},
		"principal":                {caches: map[string][]byte{"tktA": until("bob", over), "tktB": until("alice", over), "tktC": until("alice", good)}, principal: "alice", want: "tktC"},
		"principal, in order":      {caches: map[string][]byte{"tktA": until("bob", over), "tktB": until("alice", good), "tktC": until("alice", 2*good)}, principal: "alice", want: "tktB"},
		"identity":                 {caches: map[string][]byte{"tktA": until("bob", good), "tktB": until("alice", over), "tktC": until("alice", good)}, identity: "alice", want: "tktC"},
		"realm":                    {caches: map[string][]byte{"tktA": until("alice", over), "tktB": until("bob", good), "tktC": until("alice", good)}, spn: spn + "@" + realm.Name(), want: "tktC"},
		"a service ticket is left": {caches: map[string][]byte{"tktA": until("alice", over), "tktB": withoutTGT(over), "tktC": withoutTGT(good)}, want: "tktC"},
		"too short a time is left": {caches: map[string][]byte{"tktA": until("alice", 20*time.Second), "tktC": until("alice", good)}, want: "tktC"},
		"ended by the KDC's clock": {caches: map[string][]byte{"tktA": ahead(until("alice", good)), "tktC": until("alice", good)}, want: "tktC"},
		"all are over":             {caches: map[string][]byte{"tktA": until("alice", over), "tktB": until("bob", good), "tktC": until("alice", over)}, says: "tktA"},
		"all are over, principal":  {caches: map[string][]byte{"tktA": until("bob", good), "tktB": until("alice", over), "tktC": until("alice", over)}, principal: "alice", says: "tktB"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, home := t.TempDir(), t.TempDir()
			tc.caches["primary"] = []byte("tktA\n")
			for file, b := range tc.caches {
				if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if tc.identity != "" {
				if err := os.WriteFile(filepath.Join(home, ".k5identity"), []byte(tc.identity), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			o := environment(realm, "HOME="+home)
			o.Principal, o.ReadOnlyCache = tc.principal, true
			source, err := kerberos.FromCCache("DIR:"+dir, o)
			if err != nil {
				t.Fatal(err)
			}
			if tc.spn == "" {
				tc.spn = spn
			}
			ticket, err := source.ServiceTicket(t.Context(), tc.spn)
			switch {
			case tc.says != "":
				if !errors.Is(err, middleware.ErrCredentials) || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("got %v, %v, want an error about %s", ticket, err, tc.says)
				}
			case err != nil:
				t.Error(err)
			case ticket.Client() != "alice@"+realm.Name() || !strings.HasSuffix(ticket.Source(), tc.want):
				t.Errorf("ticket of %s from %s, want one from %s", ticket.Client(), ticket.Source(), tc.want)
			}
		})
	}
}

// TestLargeCollection: caches that are looked at, to choose among them, are not kept.
func TestLargeCollection(t *testing.T) {
	realm := start(t)
	dir := t.TempDir()
	c, err := ccache.Parse(realm.CCache("alice"))
	if err != nil {
		t.Fatal(err)
	}
	c.Client.Components = []string{"somebody"}
	c.Credentials[0].SecondTicket = make([]byte, 1<<20)
	b, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	const large = 64
	for i := range large {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("tkt%02d", i)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "tktlast"), realm.CCache("alice"), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := kerberos.FromCCache("DIR:"+dir, as(environment(realm), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if ticket, err := source.ServiceTicket(t.Context(), spn); err != nil || ticket.Client() != "alice@"+realm.Name() {
		t.Fatal(ticket, err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := int64(after.HeapAlloc) - int64(before.HeapAlloc); n > large<<20/4 {
		t.Errorf("%d bytes are kept of %d caches of a MiB", n, large)
	}
	runtime.KeepAlive(source)
}

// TestOneSourceManyIdentities: a source keeps the tickets of several clients
// apart, and heeds kswitch for those that the primary cache decides alone.
func TestOneSourceManyIdentities(t *testing.T) {
	clock := new(fakekdc.Clock)
	one := start(t, fakekdc.WithRealm("ONE.TEST"), fakekdc.WithClock(clock.Now), fakekdc.WithUser("bob", "x"))
	two := start(t, fakekdc.WithRealm("TWO.TEST"), fakekdc.WithClock(clock.Now), fakekdc.WithService("HTTP/www.two.test"))
	dir := t.TempDir()
	put := func(file string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("tkt1", one.CCache("alice"))
	put("tkt2", one.CCache("bob"))
	put("tkt3", two.CCache("alice"))
	put("primary", []byte("tkt1\n"))
	o := environment(one)
	o.Krb5ConfText += "[realms]\nTWO.TEST = {\n kdc = " + two.Addr() + "\n}\n"
	source, err := kerberos.FromCCache("DIR:"+dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, primary := range []string{"alice", "bob", "alice"} {
		put("primary", []byte(map[string]string{"alice": "tkt1\n", "bob": "tkt2\n"}[primary]))
		clock.Advance(2 * time.Second)
		for range 2 {
			for name, want := range map[string]string{spn: primary + "@ONE.TEST", "HTTP/www.two.test": "alice@TWO.TEST"} {
				ticket, err := source.ServiceTicket(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				if ticket.Client() != want {
					t.Errorf("ticket of %s for %s, want %s", ticket.Client(), name, want)
				}
			}
		}
	}
}

// TestIdentityFromKeytab: .k5identity names somebody without a cache, whose key is
// in the client keytab; and nobody else's key will do.
func TestIdentityFromKeytab(t *testing.T) {
	t.Parallel()
	realm := start(t, oneType, fakekdc.WithUser("bob", "x"), fakekdc.WithUser("carol", "x"))
	cache := testmain.File(t, "cc", realm.CCache("alice"))
	keytab := testmain.File(t, "kt", realm.Keytab("bob", "carol"))
	for client, want := range map[string]bool{"carol": true, "bob": true, "dave": false} {
		identity := write(t, ".k5identity", []byte(client+"@"+realm.Name()+" service=HTTP"))
		source, err := kerberos.FromEnvironment(environment(realm, "HOME="+filepath.Dir(identity), "KRB5CCNAME="+cache, "KRB5_CLIENT_KTNAME="+keytab))
		if err != nil {
			t.Fatal(err)
		}
		ticket, err := source.ServiceTicket(t.Context(), spn)
		if (err == nil) != want || want && ticket.Client() != client+"@"+realm.Name() {
			t.Errorf("%s: %v of %s, %v", client, ticket, ticket.Client(), err)
		}
		if !want && !strings.Contains(err.Error(), "dave@") {
			t.Errorf("the error does not name dave: %v", err)
		}
	}
}

// TestDiscard: a ticket that the server cannot use is fetched again, and not
// taken from the cache any more; but not for every request.
func TestDiscard(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now))
	source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice", spn)), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(discarded bool, exchanges int) {
		t.Helper()
		sc, err := in.Initiate(t.Context(), middleware.Target{Host: "localhost", Port: "80"})
		if err != nil {
			t.Fatal(err)
		}
		if n := realm.Count(fakekdc.TGS); n != exchanges {
			t.Errorf("%d TGS exchanges, want %d", n, exchanges)
		}
		if got := sc.(interface{ Discard() bool }).Discard(); got != discarded {
			t.Errorf("discarded %v, want %v", got, discarded)
		}
	}
	refused(true, 0)
	refused(false, 1)
	refused(false, 1)
	clock.Advance(2 * time.Minute)
	refused(true, 1)
	refused(false, 2)
}

// TestDiscardsOne: of the tickets at hand the one that is dropped goes, and no other.
func TestDiscardsOne(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now), fakekdc.WithService("HTTP/one"), fakekdc.WithService("HTTP/two"))
	source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	if source.Discard(kerberos.Ticket{}) {
		t.Error("no ticket was dropped")
	}
	get := func(spn string) kerberos.Ticket {
		t.Helper()
		ticket, err := source.ServiceTicket(t.Context(), spn)
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	one := get("HTTP/one")
	get("HTTP/two")
	clock.Advance(2 * time.Minute)
	if !source.Discard(one) {
		t.Error("not dropped")
	}
	realm.ResetExchanges()
	if get("HTTP/two"); realm.Count(fakekdc.TGS) != 0 {
		t.Errorf("another was dropped: %v", realm.Exchanges())
	}
	if get("HTTP/one"); realm.Count(fakekdc.TGS) != 1 {
		t.Errorf("it is still there: %v", realm.Exchanges())
	}
}

// kinitSteps returns what kinit does to a cache file, step by step: it takes the old one
// away, makes a new one, and writes it piece by piece. After the last step it is whole.
func kinitSteps(t *testing.T, path string, b []byte) []func() {
	t.Helper()
	var f *os.File
	check := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	steps := []func(){
		func() { check(os.Remove(path)) },
		func() {
			var err error
			f, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			check(err)
		},
	}
	for len(b) > 0 {
		n := min(len(b), 1+rand.IntN(400))
		piece := b[:n]
		b = b[n:]
		last := len(b) == 0
		steps = append(steps, func() {
			_, err := f.Write(piece)
			check(err)
			if last {
				check(f.Close())
			}
		})
	}
	return steps
}

// TestCacheWhileItIsMade: what kinit does to a file step by step, a thousand
// times and until enough have read it, who have read it before or begin now. After some
// looks that come as they may, one who begins finds the file whole, since nothing else
// bounds how long the writer may be kept from going on.
func TestCacheWhileItIsMade(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the name of a file that is removed while it is read may not be free there until it is closed")
	}
	realm := start(t)
	path := testmain.File(t, "cc", realm.CCache("alice", spn))
	before, err := kerberos.FromCCache(path, environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.ServiceTicket(t.Context(), spn); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var making sync.Mutex // held while the file is not whole
	wg.Go(func() {
		for ctx.Err() == nil {
			if _, err := before.ServiceTicket(t.Context(), spn); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var began atomic.Int32
	wg.Go(func() {
		defer cancel() // without it, the writer would wait for one who gave up
		for ; ctx.Err() == nil; began.Add(1) {
			looks, most, whole := 0, rand.IntN(6), false
			o := environment(realm)
			o.Now = func() time.Time {
				if looks++; looks > most && !whole {
					whole = true
					making.Lock()
				}
				return time.Now()
			}
			source, err := kerberos.FromCCache(path, o)
			if err == nil {
				_, err = source.ServiceTicket(t.Context(), spn)
			}
			if whole {
				making.Unlock()
			}
			if err != nil {
				t.Errorf("a first reader after %d looks: %v", looks, err)
				return
			}
		}
	})
	for made := 0; (made < 1000 || began.Load() < 20) && ctx.Err() == nil; made++ {
		b := realm.CCache("alice", spn) // the file is whole while the KDC is asked
		making.Lock()
		for _, step := range kinitSteps(t, path, b) {
			step()
		}
		making.Unlock()
	}
	cancel()
	wg.Wait()
}

// TestFirstReaderWaitsForKinit: one who begins to read while kinit is at any of its steps
// waits as long as kinit goes on, however often the file is looked at between two steps.
func TestFirstReaderWaitsForKinit(t *testing.T) {
	t.Parallel()
	realm := start(t)
	path := testmain.File(t, "cc", realm.CCache("alice", spn))
	for _, every := range []int{1, 2, 5} { // looks for a step
		for at := 1; ; at++ {
			steps := kinitSteps(t, path, realm.CCache("alice", spn))
			if at > len(steps) {
				break
			}
			for _, step := range steps[:at] {
				step()
			}
			rest, looks := steps[at:], 0
			o := environment(realm)
			o.Now = func() time.Time {
				if looks++; looks%every == 0 && len(rest) > 0 {
					rest[0]()
					rest = rest[1:]
				}
				return time.Now()
			}
			source, err := kerberos.FromCCache(path, o)
			if err == nil {
				_, err = source.ServiceTicket(t.Context(), spn)
			}
			if err != nil {
				t.Errorf("begun at step %d of %d, a step every %d looks: %v; %d steps were left", at, len(steps), every, err, len(rest))
			}
			for _, step := range rest { // as the tickets may suffice before all is written
				step()
			}
		}
	}
}

// TestMissingCache: one that may be in the making is looked for again and again, and
// one that has been missing for a while once.
func TestMissingCache(t *testing.T) {
	t.Parallel()
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now))
	looks := 0
	o := environment(realm)
	o.Now = func() time.Time {
		looks++
		return clock.Now()
	}
	source, err := kerberos.FromCCache(filepath.Join(t.TempDir(), "cc"), o)
	if err != nil {
		t.Fatal(err)
	}
	get := func() int {
		looks = 0
		if _, err := source.ServiceTicket(t.Context(), spn); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		return looks
	}
	first := get()
	clock.Advance(11 * time.Second)
	if later := get(); first < 9 || later > first/2 {
		t.Errorf("the clock was looked at %d times at first, %d times later", first, later)
	}
}

func TestRenewalOnUse(t *testing.T) {
	for name, tc := range map[string]struct {
		readOnly bool
		down     bool // the KDC, when it is time
		renewals int
	}{
		"renewed":           {renewals: 1},
		"in memory alone":   {readOnly: true, renewals: 1},
		"the KDC is paused": {down: true},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "renewed" {
				needWritten(t)
			}
			clock := new(fakekdc.Clock)
			realm := start(t, fakekdc.WithClock(clock.Now), fakekdc.WithLifetime(time.Hour, 10*time.Hour))
			path := testmain.File(t, "cc", realm.CCache("alice", spn))
			before := read(t, path)
			o := environment(realm)
			o.ReadOnlyCache = tc.readOnly
			source, err := kerberos.FromCCache(path, o)
			if err != nil {
				t.Fatal(err)
			}
			get := func() {
				t.Helper()
				if _, err := source.ServiceTicket(t.Context(), spn); err != nil {
					t.Fatal(err)
				}
			}
			get()
			clock.Advance(29 * time.Minute)
			get()
			if n := realm.Count(fakekdc.TGS); n != 0 {
				t.Fatalf("%d TGS exchanges in the first half of the ticket's life", n)
			}
			clock.Advance(2 * time.Minute)
			if tc.down {
				realm.FailNext(fakekdc.TGS, fakekdc.ReplyError(fakekdc.CodeGeneric, nil))
				get()
				get()
				if n := realm.Count(fakekdc.TGS); n != 1 {
					t.Errorf("asked %d times within a minute", n)
				}
				clock.Advance(time.Minute)
				get()
				if n := realm.Count(fakekdc.TGS, 0); n != 1 {
					t.Errorf("%d renewals after the KDC was back", n)
				}
				return
			}
			get()
			get()
			if n := realm.Count(fakekdc.TGS); n != 1 {
				t.Errorf("%d renewals, want 1", n)
			}
			c, err := ccache.Parse(read(t, path))
			if err != nil {
				t.Fatal(err)
			}
			tgt := c.Credentials[0]
			renewed := tgt.EndTime.After(clock.Now().Add(55 * time.Minute))
			if renewed == tc.readOnly || tc.readOnly != bytes.Equal(before, read(t, path)) {
				t.Errorf("the ticket-granting ticket in the cache ends at %v, now is %v", tgt.EndTime, clock.Now())
			}
			if got := servers(t, read(t, path)); len(got) != 2 {
				t.Errorf("tickets in the cache: %v", got)
			}
			// The first ticket-granting ticket has ended, its successor not.
			clock.Advance(50 * time.Minute)
			get()
			if n := realm.Count(fakekdc.AS); n != 0 {
				t.Errorf("%d AS exchanges", n)
			}
		})
	}
}

// TestRenewalKeepsTheRest: entries without times, as of gssproxy, and fields of the
// header that mean nothing to us are not ours to drop; tickets that have ended are.
func TestRenewalKeepsTheRest(t *testing.T) {
	needWritten(t)
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now), fakekdc.WithLifetime(time.Hour, 10*time.Hour))
	c, err := ccache.Parse(realm.CCache("alice", spn))
	if err != nil {
		t.Fatal(err)
	}
	short := c.Credentials[1]
	short.Server.Components = []string{"HTTP", "short"}
	short.EndTime = clock.Now().Add(10 * time.Minute)
	c.Credentials = append(c.Credentials, short, ccache.Credential{
		Client: c.Client, Server: krb.NewPrincipal("X-GSSPROXY:", "Encrypted", "Credentials", "v1"), Raw: []byte("sealed"),
	})
	c.Config = append(c.Config, ccache.Config{Key: "proxy_impersonator", Value: []byte("web@" + realm.Name())})
	c.Header = []ccache.Typed{{Type: 77, Data: []byte("a later version's")}}
	b, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	path := testmain.File(t, "cc", b)
	source, err := kerberos.FromCCache(path, environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(31 * time.Minute)
	if _, err := source.ServiceTicket(t.Context(), spn); err != nil {
		t.Fatal(err)
	}
	got, err := ccache.Parse(read(t, path))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"krbtgt/" + realm.Name(), spn, "Encrypted/Credentials/v1"}; !slices.Equal(servers(t, read(t, path)), want) {
		t.Errorf("tickets %v, want %v", servers(t, read(t, path)), want)
	}
	if sealed := got.Credentials[len(got.Credentials)-1]; string(sealed.Raw) != "sealed" || !sealed.EndTime.IsZero() {
		t.Errorf("gssproxy's entry: %v, %q", sealed, sealed.Raw)
	}
	if diff := cmp.Diff([]any{c.Config, c.Header}, []any{got.Config, got.Header}); diff != "" {
		t.Error(diff)
	}
	if tgt := got.Credentials[0]; !tgt.EndTime.After(c.Credentials[0].EndTime) {
		t.Errorf("not renewed: %v", tgt)
	}
}

// TestTornCache: a program was stopped, or the disk was full, while a service ticket
// was appended. What is before it is used, nothing is put behind it, and a renewal
// leaves a whole file.
func TestTornCache(t *testing.T) {
	needWritten(t)
	const other = "HTTP/other"
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now), fakekdc.WithLifetime(time.Hour, 10*time.Hour), fakekdc.WithService(other))
	tgt, whole := len(realm.CCache("alice")), realm.CCache("alice", spn)
	fastest := time.Hour
	for _, cut := range []int{tgt + 1, tgt + 40, (tgt + len(whole)) / 2, len(whole) - 40, len(whole) - 1} {
		t.Run(fmt.Sprint(cut-tgt), func(t *testing.T) {
			whole := realm.CCache("alice", spn)
			path := testmain.File(t, "cc", whole[:cut])
			var told []error
			ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.CacheEvent); ok {
					told = append(told, e.Err)
				}
			})
			source, err := kerberos.FromCCache(path, environment(realm))
			if err != nil {
				t.Fatal(err)
			}
			before := time.Now()
			for _, name := range []string{spn, other} {
				if _, err := source.ServiceTicket(ctx, name); err != nil {
					t.Fatal(err)
				}
			}
			fastest = min(fastest, time.Since(before))
			if !bytes.Equal(whole[:cut], read(t, path)) {
				t.Errorf("the file was written to: %d bytes, before %d", len(read(t, path)), cut)
			}
			if len(told) != 2 || !errors.Is(told[0], ccache.ErrTruncated) || !errors.Is(told[1], ccache.ErrTruncated) {
				t.Errorf("told %v", told)
			}
			clock.Advance(31 * time.Minute)
			if _, err := source.ServiceTicket(ctx, spn); err != nil {
				t.Fatal(err)
			}
			c, err := ccache.Parse(read(t, path))
			if err != nil || c.Torn != nil || !c.Credentials[0].EndTime.After(clock.Now().Add(55*time.Minute)) {
				t.Errorf("after the renewal: %v, %v", c, err)
			}
			if err := told[len(told)-1]; err != nil {
				t.Error(err)
			}
		})
	}
	if fastest > 200*time.Millisecond {
		t.Errorf("it took %v at least, though the ticket-granting ticket is whole", fastest)
	}
}

// TestTornBeforeTheTicket: what is missing may be on its way, and is waited for; when
// it does not come, what there is serves.
func TestTornBeforeTheTicket(t *testing.T) {
	t.Parallel()
	realm := start(t)
	whole, err := ccache.Parse(realm.CCache("alice", spn))
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(whole.Credentials) // the ticket-granting one comes last
	b, err := whole.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	path := testmain.File(t, "cc", b[:len(b)-1])
	source, err := kerberos.FromCCache(path, environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	if ticket, err := source.ServiceTicket(t.Context(), spn); err != nil || ticket.SPN() != spn+"@"+realm.Name() {
		t.Errorf("the service ticket before it: %v, %v", ticket, err)
	}
	if n := realm.Count(fakekdc.TGS); n != 0 {
		t.Errorf("%d exchanges", n)
	}
	// The clock is looked at each time that the file was read: what is missing comes
	// while the reader is at it.
	realm.AddService("HTTP/other")
	get := func(mend int) (looks int, err error) {
		o := environment(realm)
		o.Now = func() time.Time {
			if looks++; looks == mend {
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Error(err)
				}
			}
			return time.Now()
		}
		source, err := kerberos.FromCCache(path, o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = source.ServiceTicket(t.Context(), "HTTP/other")
		return looks, err
	}
	looks, err := get(0)
	if !errors.Is(err, middleware.ErrCredentials) || looks < 10 {
		t.Errorf("nothing more came: looked %d times, %v", looks, err)
	}
	if _, err := get(looks - 8); err != nil {
		t.Errorf("the rest came: %v", err)
	}
}

// TestKeepFresh runs for ten hours of the realm's clock.
func TestKeepFresh(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]func(t *testing.T, realm *fakekdc.Realm) (*kerberos.Source, error){
		"cache": func(t *testing.T, realm *fakekdc.Realm) (*kerberos.Source, error) {
			return kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), inMemory(realm))
		},
		"password": func(t *testing.T, realm *fakekdc.Realm) (*kerberos.Source, error) {
			return kerberos.FromPassword(kerberos.NewSecret(password), as(inMemory(realm), "alice"))
		},
		"keytab": func(t *testing.T, realm *fakekdc.Realm) (*kerberos.Source, error) {
			return kerberos.FromEnvironment(inMemory(realm, "KRB5CCNAME=/nonexistent/cc", "KRB5_CLIENT_KTNAME="+testmain.File(t, "kt", realm.Keytab("alice"))))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := new(fakekdc.Clock)
				realm := start(t, fakekdc.WithoutSockets(), fakekdc.WithClock(clock.Now), fakekdc.WithLifetime(time.Hour, 20*time.Hour))
				s, err := source(t, realm)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				began := clock.Now()
				slept := 0
				s.SetAfter(func(d time.Duration) <-chan time.Time {
					if d <= 0 || d > time.Minute {
						t.Errorf("would sleep for %v", d)
					}
					if slept++; slept == 300 { // the KDC has an hour off within the last half hour of a ticket
						realm.FailNext(fakekdc.Any, fakekdc.Repeat(10, fakekdc.ReplyError(fakekdc.CodeUnavailable, nil))...)
					}
					clock.Advance(d)
					if clock.Now().Sub(began) > 10*time.Hour {
						cancel(errors.New("that will do"))
					}
					c := make(chan time.Time, 1)
					c <- time.Time{}
					return c
				})
				if err := s.KeepFresh(ctx); err == nil || err.Error() != "that will do" {
					t.Errorf("ended with %v", err)
				}
				renewals := realm.Count(fakekdc.TGS, 0) + realm.Count(fakekdc.AS, 0)
				if renewals < 19 || renewals > 24 {
					t.Errorf("%d renewals in ten hours of tickets of one hour", renewals)
				}
				if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
					t.Error(err)
				}
				if n := realm.Count(fakekdc.TGS, 0) + realm.Count(fakekdc.AS, 0); n != renewals+1 {
					t.Errorf("a request found nothing fresh: %d exchanges more", n-renewals)
				}
			})
		})
	}
}

func TestKeepFreshGivesUp(t *testing.T) {
	realm := start(t)
	s, err := kerberos.FromPassword(kerberos.NewSecret("wrong"), as(environment(realm), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.KeepFresh(t.Context()); !errors.Is(err, middleware.ErrCredentials) {
		t.Errorf("got %v", err)
	}
	if n := realm.Count(fakekdc.AS, 24); n != 1 {
		t.Errorf("the wrong password was sent %d times", n)
	}
}

func TestPasswordFunc(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now))
	answer, asked := password, 0
	var failure error
	s, err := kerberos.FromPasswordFunc(func(_ context.Context, principal string) (kerberos.Secret, error) {
		if asked++; principal != "alice@"+realm.Name() {
			t.Errorf("asked for the password of %s", principal)
		}
		return kerberos.NewSecret(answer), failure
	}, as(environment(realm), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	get := func(want error, wantAsked int) {
		t.Helper()
		if _, err := s.ServiceTicket(t.Context(), spn); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("got %v, want %v", err, want)
		}
		if asked != wantAsked {
			t.Errorf("asked %d times, want %d", asked, wantAsked)
		}
	}
	get(nil, 1)
	get(nil, 1)
	clock.Advance(25 * time.Hour)
	failure = errors.New("the vault is sealed")
	get(failure, 2)
	failure, answer = nil, "hunter2"
	get(middleware.ErrCredentials, 3)
	get(middleware.ErrCredentials, 4)
	if n := realm.Count(fakekdc.AS, 24); n != 1 {
		t.Errorf("the wrong password was sent %d times", n)
	}
	answer = password // another than the one that was refused is tried at once
	get(nil, 5)
	if _, err := kerberos.FromPasswordFunc(nil, as(environment(realm), "alice")); !errors.Is(err, middleware.ErrConfiguration) {
		t.Errorf("no function: %v", err)
	}
}

func TestMemoryCaches(t *testing.T) {
	t.Parallel()
	realm := start(t, oneType)
	var caches kerberos.MemoryCaches
	o := environment(realm)
	o.MemoryCaches = &caches
	s, err := kerberos.FromCCache("MEMORY:vault", o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), spn); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "MEMORY:vault") {
		t.Errorf("nothing there: %v", err)
	}
	if err := caches.Put("vault", []byte("junk")); !errors.Is(err, middleware.ErrCredentials) {
		t.Errorf("junk: %v", err)
	}
	if b := realm.CCache("alice", spn); !errors.Is(caches.Put("vault", b[:len(b)-1]), ccache.ErrTruncated) {
		t.Error("half a ticket was taken")
	}
	if err := caches.Put("vault", realm.CCache("alice")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
		t.Fatal(err)
	}
	b, ok := caches.Get("vault")
	if got := servers(t, b); !ok || len(got) != 2 || got[1] != spn {
		t.Errorf("the cache holds %v", got)
	}
	if err := caches.Put("vault", nil); err != nil {
		t.Fatal(err)
	}
	if _, ok := caches.Get("vault"); ok {
		t.Error("the cache is still there")
	}
	// Nobody gave any: the name means an empty cache, and a client keytab serves.
	s, err = kerberos.FromEnvironment(environment(realm, "KRB5CCNAME=MEMORY:x", "KRB5_CLIENT_KTNAME="+testmain.File(t, "kt", realm.Keytab("alice"))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
		t.Error(err)
	}
}

// TestCrowd: a thousand callers of fifty services with nothing at hand.
func TestCrowd(t *testing.T) {
	realm := start(t)
	for i := range 50 {
		realm.AddService(fmt.Sprintf("HTTP/host%d", i))
	}
	s, err := kerberos.FromPassword(kerberos.NewSecret(password), as(environment(realm), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			name := fmt.Sprintf("HTTP/host%d", i%50)
			if ticket, err := s.ServiceTicket(t.Context(), name); err != nil || !strings.HasPrefix(ticket.SPN(), name+"@") {
				t.Errorf("%v, %v", ticket, err)
			}
		})
	}
	wg.Wait()
	if as, tgs := realm.Count(fakekdc.AS, 0), realm.Count(fakekdc.TGS); as != 1 || tgs != 50 {
		t.Errorf("%d AS and %d TGS exchanges, want 1 and 50", as, tgs)
	}
}

// TestOffsetOfACache: the offset of a KDC's clock that kinit stored with the tickets is one
// that requests are made with.
func TestOffsetOfACache(t *testing.T) {
	realm := start(t)
	c, err := ccache.Parse(realm.CCache("alice"))
	if err != nil {
		t.Fatal(err)
	}
	c.KDCOffset = time.Hour
	b, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	o := environment(realm)
	o.Now = func() time.Time { return realm.Now().Add(-time.Hour) }
	source, err := kerberos.FromCCache(testmain.File(t, "cc", b), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.ServiceTicket(t.Context(), spn); err != nil || realm.Count(fakekdc.TGS) != 1 {
		t.Errorf("%v, %v", err, realm.Exchanges())
	}
}
