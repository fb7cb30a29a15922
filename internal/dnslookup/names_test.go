package dnslookup

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// TestNamesOfLocalhost: no name server learns of localhost, and one is asked for others.
func TestNamesOfLocalhost(t *testing.T) {
	var asked atomic.Bool // by two lookups at once
	names := Names{&net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		asked.Store(true)
		return nil, errors.New("no network")
	}}}
	for host, want := range map[string]bool{
		"localhost": false, "localhost.": false, "LocalHost.": false, "a.localhost.": false,
		"notlocalhost.": true, "localhost.test.": true,
	} {
		asked.Store(false)
		name, err := names.LookupCNAME(t.Context(), host)
		if asked.Load() != want || !want && (name != strings.ToLower(strings.TrimSuffix(host, ".")) || err != nil) {
			t.Errorf("%s: %q, %v, and a name server was asked: %v, want %v", host, name, err, asked.Load(), want)
		}
	}
	if runtime.GOOS == "windows" {
		return // its hosts file does not name localhost, which Go's own resolver looks for there
	}
	asked.Store(false)
	name, err := names.LookupCNAME(t.Context(), "localhost.")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := names.LookupNetIP(t.Context(), "ip", name); asked.Load() {
		t.Errorf("a name server was asked for the addresses of %s: %v", name, err)
	}
}
