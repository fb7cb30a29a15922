package dnslookup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func write(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func TestParseConfig(t *testing.T) {
	local := []string{"127.0.0.1:53", "[::1]:53"}
	for name, tc := range map[string]struct {
		text string
		want config
	}{
		"nothing":  {"", config{local, maxTimeout, maxAttempts}},
		"comments": {"# nameserver 192.0.2.1\n;nameserver 192.0.2.2\n", config{local, maxTimeout, maxAttempts}},
		"usual": {
			"search example.com\nnameserver 192.0.2.1\nnameserver\t192.0.2.2 # the other\noptions ndots:2 edns0 timeout:1 attempts:1 rotate\n",
			config{[]string{"192.0.2.1:53", "192.0.2.2:53"}, time.Second, 1},
		},
		"IPv6":         {"nameserver 2001:db8::1\nnameserver fe80::1%eth0", config{[]string{"[2001:db8::1]:53", "[fe80::1%eth0]:53"}, maxTimeout, maxAttempts}},
		"Windows ends": {"nameserver 192.0.2.1\r\noptions timeout:1\r\n", config{[]string{"192.0.2.1:53"}, time.Second, maxAttempts}},
		"names":        {"nameserver ns.example.com\nnameserver\nnameserver 192.0.2.1:53", config{local, maxTimeout, maxAttempts}},
		"four":         {strings.Repeat("nameserver 192.0.2.1\n", 4), config{[]string{"192.0.2.1:53", "192.0.2.1:53", "192.0.2.1:53"}, maxTimeout, maxAttempts}},
		"bounds":       {"options timeout:0 attempts:0", config{local, time.Second, 1}},
		"odd options":  {"options timeout:x attempts timeout:-1 attempts:99999999999999999999 timeout:", config{local, maxTimeout, maxAttempts}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, parseConfig(tc.text), cmp.AllowUnexported(config{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDefaultConfig(t *testing.T) {
	for goos, want := range map[string]string{"linux": "/etc/resolv.conf", "darwin": "/etc/resolv.conf", "windows": ""} {
		if got := defaultConfig(goos); got != want {
			t.Errorf("%s: %q, want %q", goos, got, want)
		}
	}
}

func TestConfigIsBounded(t *testing.T) {
	r := &Resolver{Config: write(t, strings.Repeat("#\n", maxConfig/2)+"nameserver 192.0.2.1\n")}
	if c, err := r.load(); err != nil || c.servers[0] != "127.0.0.1:53" {
		t.Error(c, err)
	}
}
