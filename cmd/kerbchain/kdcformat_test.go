package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestKDCFormats: all formats say the same, of a folder with a blank and a quote in its
// name, and a shell and a program understand them.
func TestKDCFormats(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a realm's $HOME")
	got := map[string]map[string]string{}
	for _, format := range []string{"sh", "env", "json"} {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"kdc", "--dir", dir, "--listen", "127.0.0.1:0", "--exit-with-stdin", "--format", format},
			world{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }})
		if code != exitOK {
			t.Fatalf("%s: exit status %d: %s", format, code, errs.String())
		}
		env := map[string]string{}
		switch text := out.String(); format {
		case "json":
			if err := json.Unmarshal([]byte(text), &env); err != nil || strings.Count(text, "\n") != 1 {
				t.Errorf("%v: %s", err, text)
			}
		case "sh":
			sh, err := exec.LookPath("sh")
			if err != nil {
				t.Log("no sh here")
				continue
			}
			cmd := exec.Command(sh, "-c", text+"env")
			cmd.Env = []string{}
			b, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
			fallthrough
		default:
			for line := range strings.Lines(text) {
				name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
				env[name] = value
			}
		}
		maps.DeleteFunc(env, func(name, _ string) bool { return !strings.HasPrefix(name, "KRB5") })
		if len(env) != 4 || !strings.Contains(env["KRB5_CONFIG"], dir) {
			t.Errorf("%s: %v", format, env)
		}
		got[format] = env
	}
	if d := cmp.Diff(got["json"], got["env"]); d != "" {
		t.Error(d)
	}
	if sh, ok := got["sh"]; ok {
		if d := cmp.Diff(got["json"], sh); d != "" {
			t.Error(d)
		}
	}
}

// A syncBuffer can be read while it is written to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestKDCLive: with --verbose what is asked is printed as it happens, once; and the realm
// lasts as long as standard input does.
func TestKDCLive(t *testing.T) {
	t.Parallel()
	stdin, hold := io.Pipe()
	out, in := io.Pipe()
	var errs syncBuffer
	code := make(chan int)
	go func() {
		code <- run(t.Context(), []string{"kdc", "--dir", filepath.Join(t.TempDir(), "r"), "--web", "-v", "--exit-with-stdin", "--format", "json"},
			world{stdin: stdin, stdout: in, stderr: &errs, getenv: func(string) string { return "" }})
	}()
	var env map[string]string
	if err := json.NewDecoder(out).Decode(&env); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if code, _, stderr := runWith(t.Context(), env, "", "get", env["KERBCHAIN_URL"]); code != exitOK {
			t.Fatal(stderr)
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for strings.Count(errs.String(), "200 alice@") < 2 {
		if time.Now().After(deadline) {
			t.Fatalf("not told while the realm runs: %s", errs.String())
		}
		time.Sleep(10 * time.Millisecond)
	}
	hold.Close()
	if c := <-code; c != exitOK {
		t.Errorf("exit status %d", c)
	}
	want := 1
	if runtime.GOOS == "windows" { // where the cache holds no service tickets for the next process
		want = 2
	}
	if n := strings.Count(errs.String(), "TGS/udp"); n != want {
		t.Errorf("one exchange is told %d times: %s", n, errs.String())
	}
}

func TestKDCFor(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "r")
	if code, stdout, stderr := runWith(t.Context(), nil, "", "kdc", "--dir", dir, "--for", "50ms"); code != exitOK || !strings.HasSuffix(stdout, "# ready\n") {
		t.Errorf("exit status %d: %s%s", code, stdout, stderr)
	}
	for _, args := range [][]string{{"--for", "-1s"}, {"--format", "xml"}} {
		if code, _, stderr := runWith(t.Context(), nil, "", append([]string{"kdc", "--dir", dir}, args...)...); code != exitUsage || !strings.Contains(stderr, args[0]) {
			t.Errorf("%v: exit status %d: %s", args, code, stderr)
		}
	}
}

// TestTail: each entry is told once, though the oldest quarter goes when a list is full.
func TestTail(t *testing.T) {
	var told []string
	var list []int
	var tl tail
	for i := range 100 {
		if len(list) == 16 {
			list = list[4:]
		}
		list = append(list, i)
		for _, n := range since(&tl, list, nil) {
			told = append(told, fmt.Sprint(n))
		}
	}
	if len(told) != 100 || told[99] != "99" {
		t.Errorf("%d of 100: %v", len(told), told)
	}
	pending := func(n int) bool { return n == 2 }
	tl = tail{}
	if got := since(&tl, []int{1, 2, 3}, pending); len(got) != 1 {
		t.Error(got)
	}
	if got := since(&tl, []int{1, 2, 3}, nil); len(got) != 2 {
		t.Error(got)
	}
}
