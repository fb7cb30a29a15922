//go:build unix

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// TestUploadOfAPipe: a named pipe is sent as it comes, and a bar shows how much of it has been.
func TestUploadOfAPipe(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	server := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: http.HandlerFunc(echo)}), fakeweb.ServerOptions{})
	pipe := filepath.Join(l.dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(pipe, []byte("hello"), 0) }()
	code, stdout, stderr := l.run("", "get", "-T", pipe, server.URL()+"/to/")
	if err := <-wrote; code != exitOK || err != nil || !strings.HasPrefix(stdout, "PUT /to/pipe ") ||
		!strings.HasSuffix(stdout, "\nhello") || strings.Contains(stdout, "Content-Length") {
		t.Errorf("status %d, %v: %s%s", code, err, stdout, stderr)
	}

	r, err := http.NewRequest(http.MethodPut, "http://localhost/", nil)
	if err != nil {
		t.Fatal(err)
	}
	setStream(r, http.NoBody)
	(&progress{now: time.Now}).sends(r)
	if _, shown := r.Body.(*countedBody); !shown {
		t.Errorf("the bar does not see a %T", r.Body)
	}
}

// TestUploadUnreadable: of a file that is there and cannot be read, it is said which flag
// named it.
func TestUploadUnreadable(t *testing.T) {
	const file = "/proc/self/mem" // even root reads nothing at its beginning
	if _, err := os.ReadFile(file); err == nil || os.IsNotExist(err) {
		t.Skipf("%s: %v", file, err)
	}
	l := newLab(t, fakeweb.ServerOptions{})
	for flag, args := range map[string][]string{"-T": {"-T", file}, "--data-binary": {"--data-binary", "@" + file}, "--data": {"-d", "@" + file}} {
		code, stdout, stderr := l.run("", append(append([]string{"get"}, args...), l.server.URL())...)
		if code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, "kerbchain: "+flag+": ") || !strings.Contains(stderr, file) {
			t.Errorf("%s: status %d, %q, %q", flag, code, stdout, stderr)
		}
	}
}
