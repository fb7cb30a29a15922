//go:build unix

package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// TestClosedPipe: who reads no further, as head, ends the command with the status of curl
// and without a word, and not by a signal: what it made for the time it runs is removed.
func TestClosedPipe(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{})
	ready := filepath.Join(l.dir, "ready")
	for _, args := range append(printing(l), []string{"kdc", "--dir", l.dir + "/kdc", "--for", "1m", "--ready-file", ready}) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd := asCommand(t.Context(), t, l.env, args...)
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = w, &stderr
		err = cmd.Run()
		w.Close()
		if code := exitCode(err); code != exitOutput || strings.Contains(stderr.String(), "cannot be written") {
			t.Errorf("%q: exit status %d, %v: %s", args, code, err, stderr.String())
		}
	}
	if _, err := os.Stat(ready); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the ready file is there: %v", err)
	}
}

// TestKDCVerboseClosed: what nobody reads any more ends the realm.
func TestKDCVerboseClosed(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ready, dir := filepath.Join(l.dir, "ready"), filepath.Join(l.dir, "kdc")
	cmd := asCommand(t.Context(), t, nil, "kdc", "-v", "--dir", dir, "--web", "--for", "1m", "--ready-file", ready)
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatal("it is not ready")
		}
	}
	r.Close()
	begin := time.Now()
	code, stdout, stderr := runWith(t.Context(), map[string]string{"KRB5_CONFIG": filepath.Join(dir, "krb5.conf"), "KRB5CCNAME": filepath.Join(dir, "alice.ccache")}, "", "doctor", "http://localhost:1/")
	if err := cmd.Wait(); err != nil || time.Since(begin) > 50*time.Second {
		t.Errorf("%v after %v; the doctor ended with %d: %s%s", err, time.Since(begin), code, stdout, stderr)
	}
}
