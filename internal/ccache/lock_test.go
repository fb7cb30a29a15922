//go:build unix

package ccache

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/childtest"
	"github.com/kerbchain/kerbchain/internal/krb"
)

func TestLockedCache(t *testing.T) {
	s := OpenFile(file(t, 4))
	cred := parse(t, testFile(t, 4)).Credentials[0]
	c := childtest.Start(t, "hold", "write", s.path)
	if got := c.Line(); got != "locked" {
		t.Fatal(got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Load(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("load: %v", err)
	}
	if err := s.Add(ctx, cred); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("add: %v", err)
	}
	// Looking is not reading.
	if _, err := s.State(ctx); err != nil {
		t.Errorf("state: %v", err)
	}
	done := make(chan error, 2)
	loads, adds := newWaiter(t), newWaiter(t)
	go func() {
		_, err := s.Load(loads)
		done <- err
	}()
	go func() { done <- s.Add(adds, cred) }()
	<-loads.waits
	<-adds.waits
	c.End()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}

	c = childtest.Start(t, "hold", "read", s.path)
	if got := c.Line(); got != "locked" {
		t.Fatal(got)
	}
	if _, err := s.Load(t.Context()); err != nil {
		t.Errorf("load beside a reader: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if err := s.Add(ctx, cred); !errors.Is(err, context.Canceled) {
		t.Errorf("add beside a reader: %v", err)
	}
	c.End()
}

// A waiter is a context that tells when somebody first waits for it to end.
type waiter struct {
	context.Context
	once  *sync.Once
	waits chan struct{}
}

func newWaiter(t *testing.T) waiter { return waiter{t.Context(), new(sync.Once), make(chan struct{})} }

func (w waiter) Done() <-chan struct{} {
	w.once.Do(func() { close(w.waits) })
	return w.Context.Done()
}

// Somebody who waits for the lock of a file that is replaced meanwhile goes on
// with the new one.
func TestReplacedWhileLocked(t *testing.T) {
	cred := like(parse(t, testFile(t, 4)).Credentials[1], "new", 1)
	for name, tc := range map[string]struct {
		client krb.Principal // in the new file; zero: no new file
		err    error
	}{
		"same client":  {alice, nil},
		"other client": {krb.NewPrincipal(realm, "bob"), ErrOtherClient},
		"removed":      {krb.Principal{}, fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			s := OpenFile(file(t, 4))
			c := childtest.Start(t, "hold", "write", s.path)
			if got := c.Line(); got != "locked" {
				t.Fatal(got)
			}
			old := open(t, s.path)
			added, loaded := make(chan error, 1), make(chan error, 1)
			adds, loads := newWaiter(t), newWaiter(t)
			go func() { added <- s.Add(adds, cred) }()
			var got *Cache
			go func() {
				var err error
				got, err = s.Load(loads)
				loaded <- err
			}()
			<-adds.waits
			<-loads.waits
			var err error
			if tc.client.IsZero() {
				err = os.Remove(s.path)
			} else {
				err = s.Replace(t.Context(), &Cache{Client: tc.client})
			}
			if err != nil {
				t.Fatal(err)
			}
			// So does kdestroy with what it takes away.
			if _, err := old.WriteAt(make([]byte, len(testFile(t, 4))), 0); err != nil {
				t.Fatal(err)
			}
			c.End()
			if err := <-added; !errors.Is(err, tc.err) {
				t.Errorf("add: %v, want %v", err, tc.err)
			}
			if err := <-loaded; tc.client.IsZero() != errors.Is(err, fs.ErrNotExist) || err == nil && !got.Client.Equal(tc.client) {
				t.Errorf("load: %v %v", got, err)
			}
			if tc.err != nil {
				return
			}
			if got, err := s.Load(t.Context()); err != nil || len(got.Credentials) != 1 || !got.Credentials[0].Server.Equal(cred.Server) {
				t.Errorf("the new file: %v %v", got, err)
			}
		})
	}
}

func open(tb testing.TB, path string) *os.File {
	tb.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	return f
}
