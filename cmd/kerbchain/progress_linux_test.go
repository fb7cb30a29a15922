package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// A screen is the other side of a terminal: it keeps what is written to it.
type screen struct {
	t             *testing.T
	master, slave *os.File
	columns       int
	done          chan struct{}

	mu      sync.Mutex
	changed sync.Cond
	written []byte
}

// newScreen opens a terminal of the system's.
func newScreen(t *testing.T, columns int) *screen {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	s := &screen{t: t, master: os.NewFile(uintptr(fd), "/dev/ptmx"), columns: columns, done: make(chan struct{})}
	s.changed.L = &s.mu
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if s.slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.done)
		b := make([]byte, 4096)
		for {
			n, err := s.master.Read(b) // EIO when the last one on the other side is gone
			s.mu.Lock()
			s.written = append(s.written, b[:n]...)
			s.changed.Broadcast()
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { s.slave.Close(); s.master.Close(); <-s.done })
	return s
}

// wait waits until a text was written.
func (s *screen) wait(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !bytes.Contains(s.written, []byte(text)) {
		s.changed.Wait()
	}
}

// end closes the terminal and returns what was written in all, and what a user then
// sees.
func (s *screen) end() (all, seen string) {
	s.slave.Close()
	<-s.done
	var lines [][]rune
	row, column := 0, 0
	for _, c := range string(s.written) {
		switch {
		case c == '\r':
			column = 0
			continue
		case c == '\n':
			row++
			continue
		case c < ' ':
			s.t.Errorf("the control character %q is written", c)
			continue
		case column == s.columns: // a further one wraps the line
			row, column = row+1, 0
		}
		for len(lines) <= row {
			lines = append(lines, []rune(strings.Repeat(" ", s.columns)))
		}
		lines[row][column] = c
		column++
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(strings.TrimRight(string(l), " ") + "\n")
	}
	return string(s.written), b.String()
}

// drip serves a body slowly until it is told to stop, and with "broken" breaks off then.
func drip(stop <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/known" {
			w.Header().Set("Content-Length", "1000000")
		}
		n := 0
		for tick := time.NewTicker(5 * time.Millisecond); ; n += 100 {
			select {
			case <-tick.C:
				fmt.Fprintf(w, "%100d", n)
				w.(http.Flusher).Flush()
				continue
			case <-r.Context().Done():
				return
			case <-stop:
			}
			break
		}
		switch r.URL.Path {
		case "/known":
			w.Write(make([]byte, 1000000-n))
		case "/broken":
			panic(http.ErrAbortHandler)
		}
	})
}

// TestProgress: on a terminal a bar shows how far a long transfer is, is gone when it
// has ended, and spoils nothing that is written there meanwhile.
func TestProgress(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{})
	out := filepath.Join(t.TempDir(), "out")
	for name, tc := range map[string]struct {
		path string
		args []string
		code int
		says string // on the terminal, while it goes on
		seen string // in the end
	}{
		"of known length":   {"/known", []string{"-o", out}, exitOK, "% ", ""},
		"of unknown length": {"/unknown", nil, exitOK, "received (", ""},
		"broken":            {"/broken", []string{"-o", out}, exitNetwork, "received (", "kerbchain: the response broke off after N bytes: unexpected EOF\n"},
		"with a status":     {"/known", []string{"-o", out, "-w", "%{http_code}"}, exitOK, "received", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stop := make(chan struct{})
			s := newScreen(t, 80)
			server := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: drip(stop)}), fakeweb.ServerOptions{})
			go func() { s.wait(tc.says); close(stop) }()
			var stdout bytes.Buffer
			args := append(append([]string{"get", "--read-only-cache"}, tc.args...), server.URL()+tc.path)
			code := run(t.Context(), args, world{stdout: &stdout, stderr: s.slave, getenv: func(name string) string { return l.env[name] }})
			all, seen := s.end()
			seen = regexp.MustCompile(`[0-9]+`).ReplaceAllString(seen, "N")
			if strings.TrimLeft(seen, "\n") != tc.seen || code != tc.code {
				t.Errorf("exit status %d, and on the terminal %q, want %q", code, seen, tc.seen)
			}
			for part := range strings.SplitSeq(all, "\r") {
				if len(part) > 80 && !strings.HasPrefix(part, "kerbchain: ") {
					t.Errorf("a line is longer than the terminal is wide: %q", part)
				}
			}
		})
	}
}

// TestProgressOfUploads: the same of what is sent, each time anew.
func TestProgressOfUploads(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{})
	s := newScreen(t, 100)
	read := make(chan struct{})
	go func() { s.wait("sent"); close(read) }()
	server := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Fast enough that the sender goes on all the time: room in the buffers of a connection
		// is told in pieces of megabytes.
		for b := make([]byte, 10000); ; {
			select {
			case <-read:
				n, err := io.Copy(io.Discard, r.Body)
				fmt.Fprint(w, n > 0, err)
				return
			default:
			}
			r.Body.Read(b)
			time.Sleep(time.Millisecond)
		}
	})}), fakeweb.ServerOptions{})
	body := l.zeros("body", 64<<20)
	var stdout bytes.Buffer
	code := run(t.Context(), []string{"get", "--data-binary", "@" + body, server.URL()},
		world{stdout: &stdout, stderr: s.slave, getenv: func(name string) string { return l.env[name] }})
	if _, seen := s.end(); code != exitOK || strings.TrimSpace(seen) != "" || stdout.String() != "true <nil>" {
		t.Errorf("exit status %d, %q, and on the terminal %q", code, stdout.String(), seen)
	}
}

// TestNoProgress: there is no bar where nobody wants it.
func TestNoProgress(t *testing.T) {
	t.Parallel()
	s, narrow := newScreen(t, 80), newScreen(t, progressWidth-1)
	file, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, tc := range map[string]struct {
		stderr, out io.Writer
		want        bool
	}{
		"to a file":           {s.slave, file, true},
		"to a buffer":         {s.slave, &bytes.Buffer{}, true},
		"to a terminal":       {s.slave, s.slave, false},
		"standard error, too": {file, file, false},
		"no file":             {&bytes.Buffer{}, &bytes.Buffer{}, false},
		"narrow":              {narrow.slave, file, false},
	} {
		if got := progressOn(tc.stderr, tc.out, time.Now); (got != nil) != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	// Nothing is drawn for what takes less than a second, nor with -s (or -sS) for what takes more.
	p := progressOn(s.slave, file, func() time.Time { return time.Unix(1, 0) })
	p.start("received", 10)(9)
	p.end()
	// Nor for a request that is still read when its answer is there.
	now := time.Unix(1, 0)
	p = progressOn(s.slave, file, func() time.Time { return now })
	late := p.start("sent", 10)
	p.start("received", 10)
	now = now.Add(time.Hour)
	late(9)
	p.end()
	late(1)
	l := newLab(t, fakeweb.ServerOptions{})
	stop := make(chan struct{})
	time.AfterFunc(progressAfter*5/4, func() { close(stop) })
	server := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: drip(stop)}), fakeweb.ServerOptions{})
	if code := run(t.Context(), []string{"get", "-sS", server.URL()},
		world{stdout: &bytes.Buffer{}, stderr: s.slave, getenv: func(name string) string { return l.env[name] }}); code != exitOK {
		t.Errorf("exit status %d", code)
	}
	if all, _ := s.end(); all != "" {
		t.Errorf("%q was written", all)
	}
}

// TestProgressGivesWay: what is written while there is a bar stands in its place, and a
// bar that was drawn before the end of a transfer is drawn no more.
func TestProgressGivesWay(t *testing.T) {
	s := newScreen(t, 80)
	now := time.Unix(1, 0)
	p := progressOn(s.slave, &bytes.Buffer{}, func() time.Time { return now })
	add := p.start("received", 100)
	add(1)
	now = now.Add(progressAfter)
	add(50)
	s.wait("received")
	fmt.Fprintln(p, "a line")
	p.end()
	add(1)
	if _, seen := s.end(); seen != "a line\n" {
		t.Errorf("on the terminal: %q", seen)
	}
}

// TestFilesOfNoSize: a file of the system's, which says that it has no bytes, is sent with
// those that it has.
func TestFilesOfNoSize(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	want, err := os.ReadFile("/proc/version")
	if err != nil {
		t.Skip(err)
	}
	if code, stdout, stderr := l.run("", "get", "--data-binary", "@/proc/version", l.server.URL()+"/sum"); code != exitOK || stdout != fmt.Sprintf("POST %d bytes <nil>", len(want)) {
		t.Errorf("exit status %d: %s%s", code, stdout, stderr)
	}
}

// TestProgressInterrupted: Ctrl-C on the terminal ends the command as shells expect, and
// leaves a clean line with why.
func TestProgressInterrupted(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{})
	s := newScreen(t, 80)
	server := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: drip(nil)}), fakeweb.ServerOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := asCommand(ctx, t, l.env, "get", "-v", "-o", filepath.Join(l.dir, "out"), server.URL()+"/known")
	cmd.Stdin, cmd.Stderr = s.slave, s.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.wait("received")
	if _, err := s.master.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if _, seen := s.end(); exitCode(err) != exitInterrupted || strings.Contains(seen, "received") || !strings.Contains(seen, "\nkerbchain: interrupt after ") {
		t.Errorf("%v, and on the terminal:\n%s", err, seen)
	}
}
