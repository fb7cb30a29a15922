package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// A redirect from https to plain http is followed without a token, the timeline
// says what to set, and the flag sets it.
func TestDowngrade(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	secure := fakeweb.Serve(l.Realm, http.RedirectHandler(l.server.URL()+"/", http.StatusFound), fakeweb.ServerOptions{TLS: true})
	args := []string{"get", "-v", "-k", "-L", "--mutual", "optional"}
	code, _, says := l.run("", append(args, secure.URL())...)
	if code != exitStatus || !strings.Contains(says, "AllowDowngrade") {
		t.Errorf("exit %d: %s", code, says)
	}
	code, body, says := l.run("", append(args, "--allow-downgrade", secure.URL())...)
	if code != exitOK || !strings.HasPrefix(body, "alice") {
		t.Errorf("exit %d, %q: %s", code, body, says)
	}
}

// User info in the URL is not sent, and the timeline says so.
func TestUserInfo(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	_, rest, _ := strings.Cut(l.server.URL(), "://")
	for _, user := range []string{":@", "bob@", "bob:secret@"} {
		code, body, says := l.run("", "get", "-v", "http://"+user+rest)
		if code != exitOK || !strings.HasPrefix(body, "alice") || !strings.Contains(says, "user info in the URL is not used") || strings.Contains(says, "secret") {
			t.Errorf("%s: exit %d, %q: %s", user, code, body, says)
		}
	}
	code, _, says := l.run("", "get", "-v", "--mutual", "optional", "-H", "authorization: Bearer mine", l.server.URL())
	if code != exitStatus || !strings.Contains(says, "bears Authorization of its own") || strings.Contains(says, "mine") {
		t.Errorf("exit %d: %s", code, says)
	}
	// A host that is none is wrong usage.
	code, _, says = l.run("", "get", "--preemptive", "always", "http://localhost%25.evil.test/")
	if code != exitUsage || !strings.Contains(says, "localhost%.evil.test") {
		t.Errorf("exit %d: %s", code, says)
	}
}
