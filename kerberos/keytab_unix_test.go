//go:build unix

package kerberos_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/regularfile"
	"github.com/kerbchain/kerbchain/kerberos"
)

// A pipe in the keytab's place is not waited for, whoever asks.
func TestKeytabIsNoPipe(t *testing.T) {
	t.Parallel()
	realm := start(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := kerberos.FromKeytab(fifo, environment(realm)); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("%v", err)
	}
	s, err := kerberos.FromEnvironment(environment(realm, "KRB5CCNAME=FILE:"+fifo+".none", "KRB5_CLIENT_KTNAME="+fifo))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), spn); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("%v", err)
	}
}

// A keytab that another program writes to is waited for, for a second or until
// the caller's context ends.
func TestKeytabIsLocked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		realm := start(t, fakekdc.WithoutSockets())
		path := keytabFile(t, realm, "alice", key{password, 1, 18, 0})
		s, err := kerberos.FromKeytab(path, inMemory(realm))
		if err != nil {
			t.Fatal(err)
		}
		writer, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer writer.Close()
		if err := regularfile.Lock(t.Context(), writer, true); err != nil {
			t.Fatal(err)
		}
		if _, err := kerberos.FromKeytab(path, inMemory(realm)); err == nil || !strings.Contains(err.Error(), "locked by another process") {
			t.Errorf("locked for longer than a second: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := s.ServiceTicket(ctx, spn); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := s.ServiceTicket(t.Context(), spn)
			done <- err
		}()
		writer.Close()
		if err := <-done; err != nil {
			t.Errorf("after the writer is through: %v", err)
		}
	})
}
