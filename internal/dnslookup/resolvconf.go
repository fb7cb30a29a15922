package dnslookup

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

const (
	maxConfig   = 64 << 10 // bytes of resolv.conf that are read
	maxServers  = 3        // as in resolv.conf(5)
	maxTimeout  = 2 * time.Second
	maxAttempts = 2
)

// A config is what resolv.conf says, within our bounds.
type config struct {
	servers  []string      // host:port, in the order of the file
	timeout  time.Duration // for one name server
	attempts int           // rounds over all of them
}

func (r *Resolver) load() (config, error) {
	path := r.Config
	if path == "" {
		path = defaultConfig(runtime.GOOS)
	}
	if path == "" {
		return config{}, fmt.Errorf("find out the name servers: Windows has no resolv.conf: %w", fs.ErrNotExist)
	}
	f, err := os.Open(path)
	if err != nil {
		return config{}, fmt.Errorf("find out the name servers: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig))
	if err != nil {
		return config{}, fmt.Errorf("find out the name servers: %w", err)
	}
	return parseConfig(string(b)), nil
}

// defaultConfig returns where a system keeps resolv.conf. On Windows the name would
// be in the root folder of the current drive, where others may put files.
func defaultConfig(goos string) string {
	if goos == "windows" {
		return ""
	}
	return "/etc/resolv.conf"
}

// parseConfig reads nameserver and the options timeout and attempts, which can
// only lower our own bounds; the rest does not concern us, and what cannot be
// understood is passed over, as everywhere. Without a name server the local
// machine is one (resolv.conf(5)).
func parseConfig(text string) config {
	c := config{timeout: maxTimeout, attempts: maxAttempts}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			// Whatever follows the address is a comment.
			if addr, err := netip.ParseAddr(words[1]); err == nil && len(c.servers) < maxServers {
				c.servers = append(c.servers, net.JoinHostPort(addr.String(), "53"))
			}
		case "options":
			for _, o := range words[1:] {
				name, value, _ := strings.Cut(o, ":")
				n, err := strconv.Atoi(value)
				if err != nil || n < 0 {
					continue
				}
				switch name {
				case "timeout":
					c.timeout = time.Duration(max(1, min(n, int(maxTimeout/time.Second)))) * time.Second
				case "attempts":
					c.attempts = max(1, min(n, maxAttempts))
				}
			}
		}
	}
	if len(c.servers) == 0 {
		c.servers = []string{"127.0.0.1:53", "[::1]:53"}
	}
	return c
}
