package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// TestUploadOnTheWire: what -T and --data-urlencode make of the request. Each is as curl
// 7.88 has it (interop TestGetBesideCurl).
func TestUploadOnTheWire(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	server := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: http.HandlerFunc(echo)}), fakeweb.ServerOptions{})
	file := l.write("a b&c+é.txt", []byte("x y&z\n"))
	empty := l.write("empty", nil)
	const name = "a%20b%26c%2B%C3%A9.txt"
	const expect = "Expect: 100-continue\n"
	for what, tc := range map[string]struct {
		args  []string
		stdin string
		path  string
		line  string
		has   string
		not   string
		body  string
	}{
		"a file":                   {args: []string{"-T", file}, path: "/to", line: "PUT /to", has: expect, not: "Content-Type", body: "x y&z\n"},
		"its length":               {args: []string{"-T", file}, path: "/to", line: "PUT /to", has: "Content-Length: 6\n", body: "x y&z\n"},
		"into a folder":            {args: []string{"-T", file}, path: "/to/", line: "PUT /to/" + name, body: "x y&z\n"},
		"into the root":            {args: []string{"-T", file}, path: "", line: "PUT /" + name, body: "x y&z\n"},
		"into a folder, a query":   {args: []string{"-T", file}, path: "/to/?op=x", line: "PUT /to/" + name + "?op=x", body: "x y&z\n"},
		"into an escaped folder":   {args: []string{"-T", file}, path: "/a%2fb/", line: "PUT /a%2fb/" + name, body: "x y&z\n"},
		"standard input":           {args: []string{"-T", "-"}, stdin: "hello", path: "/to/", line: "PUT /to/", not: "Content-Length", body: "hello"},
		"a dot":                    {args: []string{"--upload-file", "."}, stdin: "hello", path: "/to/", line: "PUT /to/", body: "hello"},
		"chunked":                  {args: []string{"-T", "-", "-H", "Transfer-Encoding: chunked"}, stdin: "hello", path: "/to", line: "PUT /to", body: "hello"},
		"an empty file":            {args: []string{"-T", empty}, path: "/to", line: "PUT /to", has: "Content-Length: 0\n", not: "Expect"},
		"another method":           {args: []string{"-X", "POST", "-T", file}, path: "/to", line: "POST /to", body: "x y&z\n"},
		"headers of one's own":     {args: []string{"-T", file, "-H", "Expect:", "-H", "Content-Type: a/b"}, path: "/to", line: "PUT /to", has: "Content-Type: a/b\n", not: "Expect", body: "x y&z\n"},
		"content":                  {args: []string{"--data-urlencode", "a b&c"}, line: "POST /", body: "a+b%26c"},
		"content after =":          {args: []string{"--data-urlencode", "=a b"}, line: "POST /", body: "a+b"},
		"a name":                   {args: []string{"--data-urlencode", "n=a b+~*"}, line: "POST /", body: "n=a+b%2B~%2A"},
		"a name and nothing":       {args: []string{"--data-urlencode", "n="}, line: "POST /", body: "n="},
		"two signs":                {args: []string{"--data-urlencode", "a=b=c@d"}, line: "POST /", body: "a=b%3Dc%40d"},
		"a file's content":         {args: []string{"--data-urlencode", "@" + file}, line: "POST /", body: "x+y%26z%0A"},
		"a file's, named":          {args: []string{"--data-urlencode", "n@" + file}, line: "POST /", body: "n=x+y%26z%0A"},
		"standard input's":         {args: []string{"--data-urlencode", "n@-"}, stdin: "é\n", line: "POST /", body: "n=%C3%A9%0A"},
		"joined":                   {args: []string{"--data-urlencode", "a=b c", "-d", "d=e", "--data-urlencode", "=f g"}, line: "POST /", body: "a=b+c&d=e&f+g"},
		"in the query":             {args: []string{"-G", "--data-urlencode", "a=b c#"}, line: "GET /?a=b+c%23"},
		"beside a query it is for": {args: []string{"-G", "--data-urlencode", "a=ü"}, path: "/?x", line: "GET /?x&a=%C3%BC"},
	} {
		t.Run(what, func(t *testing.T) {
			code, stdout, stderr := l.run(tc.stdin, append(append([]string{"get"}, tc.args...), server.URL()+tc.path)...)
			if code != exitOK || stderr != "" {
				t.Fatalf("exit status %d: %s", code, stderr)
			}
			head, body, _ := strings.Cut(stdout, "\n\n")
			line, fields, _ := strings.Cut(head+"\n", "\n")
			if want := tc.line + " " + strings.TrimPrefix(server.URL(), "http://"); line != want || body != tc.body {
				t.Errorf("%q with body %q, want %q with %q", line, body, want, tc.body)
			}
			if !strings.Contains(fields, tc.has) || tc.not != "" && strings.Contains(fields, tc.not+":") {
				t.Errorf("want %q, and no %q, in the header:\n%s", tc.has, tc.not, fields)
			}
		})
	}
}

// TestUploadUsage: what cannot be sent is said before anything is.
func TestUploadUsage(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	file := l.write("file", []byte("x"))
	for what, tc := range map[string]struct {
		args []string
		says string
	}{
		"no such file":          {[]string{"-T", filepath.Join(l.dir, "none")}, "-T: "},
		"a folder":              {[]string{"-T", l.dir}, "is a folder"},
		"an empty name":         {[]string{"-T", ""}, "--upload-file is empty"},
		"with -d":               {[]string{"-T", file, "-d", "x"}, "-T excludes"},
		"with -I":               {[]string{"-T", file, "-I"}, "-T excludes"},
		"with a password":       {[]string{"-T", "-", "--principal", "alice", "--password-file", "-"}, "standard input"},
		"no file to encode":     {[]string{"--data-urlencode", "n@" + filepath.Join(l.dir, "none")}, "--data-urlencode: "},
		"a length of one's own": {[]string{"-T", "-", "-H", "Content-Length: 5"}, "Content-Length"},
	} {
		t.Run(what, func(t *testing.T) {
			code, stdout, stderr := l.run("hello", append(append([]string{"get"}, tc.args...), l.server.URL())...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, tc.says) {
				t.Errorf("status %d, %q, %q", code, stdout, stderr)
			}
		})
	}
	if n := len(l.service.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestUploadArrives: whatever the server asks for meanwhile, it gets the whole body, or
// there is an error. WebHDFS sends uploads on to another server, by a 307.
func TestUploadArrives(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{})
	content := bytes.Repeat([]byte("0123456789abcdef"), 5<<16)
	file := l.write("file", content)
	var whole atomic.Int32
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/name" {
			http.Redirect(w, r, "/data", http.StatusTemporaryRedirect)
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(b, content) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		whole.Add(1)
		w.Header().Set("Location", "/data") // where it is, which is no redirect
		w.WriteHeader(http.StatusCreated)
	})
	server := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: next}), fakeweb.ServerOptions{})
	for what, tc := range map[string]struct {
		args  []string
		path  string
		code  int
		says  string
		lacks bool
	}{
		"a file":                    {args: []string{"-T", file}, path: "/data"},
		"a stream":                  {args: []string{"-T", "-"}, path: "/data"},
		"a stream, signed at once":  {args: []string{"-T", "-", "--preemptive", "always", "-H", "Expect:"}, path: "/data"},
		"a file that is sent on":    {args: []string{"-L", "-T", file}, path: "/name"},
		"a stream that is sent on":  {args: []string{"-L", "-T", "-"}, path: "/name", code: exitNetwork, says: "/data wants the body again", lacks: true},
		"a stream, -L without need": {args: []string{"-L", "-T", "-"}, path: "/data"},
		"a stream, without -L":      {args: []string{"-T", "-", "-w", ""}, path: "/name", lacks: true},
		"a stream, after a 100":     {args: []string{"-T", "-", "-H", "Expect: 100-continue"}, path: "/data", code: exitNetwork, says: "it is a stream, and longer than the 1048576 bytes kept of a body for another try\n  try: send a file, or sign at once (--preemptive always)\n", lacks: true},
	} {
		t.Run(what, func(t *testing.T) {
			before := whole.Load()
			code, _, stderr := l.run(string(content), append(append([]string{"get", "-w", "%{size_upload}\n"}, tc.args...), server.URL()+tc.path)...)
			if code != tc.code || !strings.Contains(stderr, tc.says) || whole.Load() == before != tc.lacks {
				t.Errorf("status %d, arrived %v: %s", code, whole.Load() != before, stderr)
			}
		})
	}
	code, stdout, stderr := l.run(string(content), "get", "-T", "-", "-w", "%{size_upload} %{method}", server.URL()+"/data")
	if want := fmt.Sprintf("%d PUT", len(content)); code != exitOK || stdout != want {
		t.Errorf("status %d, %q, want %q: %s", code, stdout, want, stderr)
	}
}

// TestUploadThroughProxy: what -T sends arrives whole, once, where a proxy asks for a token,
// whether the server behind it asks too or not.
func TestUploadThroughProxy(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{})
	content := bytes.Repeat([]byte("0123456789abcdef"), 5<<16)
	file := l.write("file", content)
	var whole atomic.Int32
	sink := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			return
		}
		if b, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(b, content) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		whole.Add(1)
	})
	asks := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: sink}), fakeweb.ServerOptions{})
	open := fakeweb.Serve(l.Realm, sink, fakeweb.ServerOptions{})
	for what, args := range map[string][]string{
		"a file":                {"-T", file, asks.URL()},
		"a stream":              {"-T", "-", asks.URL()},
		"a file, nobody asks":   {"-T", file, "--mutual", "optional", open.URL()},
		"a stream, nobody asks": {"-T", "-", "--mutual", "optional", open.URL()},
	} {
		proxy := fakeweb.ServeProxy(l.Realm, "HTTP/localhost", fakeweb.Options{}, fakeweb.ServerOptions{})
		before := whole.Load()
		code, _, stderr := l.run(string(content), append([]string{"get", "-x", proxy.URL().String()}, args...)...)
		if code != exitOK || whole.Load() != before+1 {
			t.Errorf("%s: status %d, arrived %d times: %s", what, code, whole.Load()-before, stderr)
		}
	}
}

// TestUploadRedirects: whichever redirects lead from one to the other, what -T sends arrives
// with its method and its type, as of curl, unless a 303 says that a GET is to follow; which
// expects nothing. No redirect makes an empty upload of one, and one of a stream that wants
// it again is an error.
func TestUploadRedirects(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{})
	const content = "what is to arrive"
	file := l.write("file", []byte(content))
	var end string
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "-")
		if status, err := strconv.Atoi(first); err == nil {
			w.Header().Set("Location", "/"+rest)
			w.WriteHeader(status)
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		end = fmt.Sprintf("%s %q %s, expects %s", r.Method, b, r.Header.Get("Content-Type"), r.Header.Get("Expect"))
	})
	server := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: next}), fakeweb.ServerOptions{})
	hops := []int{301, 302, 303, 307, 308}
	for _, first := range hops {
		for _, second := range hops {
			url := fmt.Sprintf("%s/%d-%d-end", server.URL(), first, second)
			end = ""
			code, _, stderr := l.run("", "get", "-L", "-T", file, "-H", "Content-Type: a/b", url)
			want := fmt.Sprintf("PUT %q a/b, expects 100-continue", content)
			if first == 303 || second == 303 {
				want = `GET "" , expects `
			}
			if code != exitOK || end != want {
				t.Errorf("%d, %d: status %d, %s, want %s: %s", first, second, code, end, want, stderr)
			}
			l.run("", "get", "-T", file, url) // which ends at the redirect
			if n := opened(file); n > 0 {
				t.Fatalf("%d, %d: the file is still open, %d times", first, second, n)
			}
			end = ""
			code, _, stderr = l.run(content, "get", "-L", "-T", "-", url)
			switch {
			case first == 303 && (code != exitOK || !strings.HasPrefix(end, `GET "" `)):
				t.Errorf("a stream, %d, %d: status %d, %s: %s", first, second, code, end, stderr)
			case first != 303 && (code != exitNetwork || end != "" || !strings.Contains(stderr, "wants the body again")):
				t.Errorf("a stream, %d, %d: status %d, %s: %s", first, second, code, end, stderr)
			}
		}
	}
	// So it is of one that is longer than what is kept of it, and that nobody reads.
	end = ""
	if code, _, stderr := l.run(strings.Repeat("x", 3<<20), "get", "-L", "-T", "-", server.URL()+"/303-307-308-end"); code != exitOK || !strings.HasPrefix(end, `GET "" `) {
		t.Errorf("a long stream: status %d, %s: %s", code, end, stderr)
	}
}

// opened counts how often the process has a file open, as far as the system tells, once net/http
// had the time to close what it no longer needs.
func opened(path string) (n int) {
	for wait := time.Millisecond; wait < 8*time.Second; wait *= 2 {
		all, _ := os.ReadDir("/proc/self/fd")
		n = 0
		for _, e := range all {
			if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && target == path {
				n++
			}
		}
		if n == 0 {
			break
		}
		time.Sleep(wait)
	}
	return n
}

// TestUploadOfALog: a file that grows while it is sent arrives as it was when its length
// was told, each time it is sent, and one that becomes shorter is an error that says so.
func TestUploadOfALog(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	content := strings.Repeat("one line of a log\n", 4096)
	for _, flags := range [][]string{{"-T"}, {"--data-binary"}} {
		for what, change := range map[string]func(f *os.File) error{
			"longer":  func(f *os.File) error { _, err := f.WriteString("and one more\n"); return err },
			"shorter": func(f *os.File) error { return f.Truncate(int64(len(content)) - 1) },
		} {
			file := l.write("log", []byte(content))
			var got []byte
			service := fakeweb.New(l.Realm, "", fakeweb.Options{Next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got, _ = io.ReadAll(r.Body)
			})})
			server := fakeweb.Serve(l.Realm, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "" {
					f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
					if err == nil {
						err = errors.Join(change(f), f.Close())
					}
					if err != nil {
						t.Error(err)
					}
				}
				service.ServeHTTP(w, r)
			}), fakeweb.ServerOptions{})
			name := file
			if flags[0] != "-T" {
				name = "@" + file
			}
			code, _, stderr := l.run("", append(append([]string{"get"}, flags...), name, server.URL())...)
			switch {
			case what == "longer" && (code != exitOK || string(got) != content):
				t.Errorf("%s, %s: status %d, %d of %d bytes: %s", flags, what, code, len(got), len(content), stderr)
			case what == "shorter" && (code != exitNetwork || !strings.Contains(stderr, "log has become shorter: ")):
				t.Errorf("%s, %s: status %d: %s", flags, what, code, stderr)
			}
		}
	}
}

// TestUploadThatIsStuck: nothing comes from standard input, and the command still ends
// when it is told to.
func TestUploadThatIsStuck(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{})
	stdin, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	defer w.Close()
	var out bytes.Buffer
	code := run(t.Context(), []string{"get", "-m", "0.1", "-T", "-", l.server.URL() + "/sum"},
		world{stdin: stdin, stdout: &out, stderr: &out, getenv: func(name string) string { return l.env[name] }})
	if code != exitNetwork || !strings.Contains(out.String(), "no response within 100ms") {
		t.Errorf("status %d: %s", code, out.String())
	}
}
