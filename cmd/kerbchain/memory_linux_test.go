package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// TestMemoryIsFlat: what is sent and what is received is in memory in parts, however
// much it is. The race detector needs several times as much.
func TestMemoryIsFlat(t *testing.T) {
	t.Parallel()
	const size, most = 96 << 20, 48 << 20
	l := newLab(t, fakeweb.ServerOptions{})
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
			return
		}
		for b, n := make([]byte, 1<<20), 0; n < size; n += len(b) {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	})
	server := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: next}), fakeweb.ServerOptions{})
	body := l.zeros("body", size)
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"received":     {[]string{"-o", os.DevNull, "-w", "%{size_download}", server.URL()}, fmt.Sprint(size)},
		"sent":         {[]string{"--data-binary", "@" + body, server.URL()}, fmt.Sprint(size, " <nil>")},
		"sent at once": {[]string{"--preemptive", "always", "--data-binary", "@" + body, server.URL()}, fmt.Sprint(size, " <nil>")},
	} {
		t.Run(name, func(t *testing.T) {
			// The process is asked itself: what wait tells of its memory begins with that of
			// the process that started it.
			cmd := asCommand(t.Context(), t, l.env, append([]string{"get", "--read-only-cache"}, tc.args...)...)
			cmd.Env = append(cmd.Env, asTheCommand+"=measured")
			status, err := os.Create(filepath.Join(t.TempDir(), "status"))
			if err != nil {
				t.Fatal(err)
			}
			defer status.Close()
			cmd.ExtraFiles = []*os.File{status}
			out, err := cmd.Output()
			if err != nil || string(out) != tc.says {
				t.Errorf("%v, %q, want %q", err, out, tc.says)
			}
			about, err := os.ReadFile(status.Name())
			if err != nil {
				t.Fatal(err)
			}
			var kib int64
			_, line, _ := strings.Cut(string(about), "VmHWM:")
			if _, err := fmt.Sscanf(line, "%d kB", &kib); err != nil {
				t.Fatalf("no VmHWM in %q: %v", about, err)
			}
			if kib<<10 > most {
				t.Errorf("%d KiB of memory", kib)
			} else {
				t.Logf("%d KiB of memory", kib)
			}
		})
	}
}
