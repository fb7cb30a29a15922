//go:build interop

package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// keyringPlaces are caches in the kernel's keyrings, each under another anchor.
// Programs find them in a session of their own, which has a link to the keyring
// of the user, as a login makes it, and which they are let into by its name.
func keyringPlaces(t *testing.T, l *lab) map[string]*place {
	t.Helper()
	dir := tempDir(t)
	name := filepath.Base(dir) // as good as unique among the user's keys
	uid := strconv.Itoa(os.Getuid())
	ready := filepath.Join(dir, "ready")
	keyctl := tool(t, "keyctl")
	serve(t, environment{}, nil, nil, keyctl, "session", name, tool(t, "sh"), "-c",
		`"$1" link @u @s && "$1" setperm @s 0x3f3f0000 && : >"$2" && exec sleep 1h`, "sh", keyctl, ready)
	joined := func() bool { _, err := os.Stat(ready); return err == nil }
	if !await(t, joined, nil) {
		t.Fatal("no session keyring: the kernel, or the sandbox that this runs in, does not allow it")
	}
	within := []string{keyctl, "session", name}
	at := func(ccname string, collection bool) *place {
		return &place{env: l.env.with("KRB5CCNAME", "KEYRING:"+ccname), collection: collection, steps: 200, within: within}
	}
	places := map[string]*place{
		"KEYRING session": at("session:"+name, true),
		"KEYRING user":    at("user:"+name, true),
		"KEYRING legacy":  at(name+".legacy", false),
		// One cache of the user's collection: what else is there is not ours.
		"KEYRING persistent": at("persistent:"+uid+":"+name, false),
	}
	clean := func(env environment, args ...string) string {
		cmd := exec.Command(keyctl, append([]string{"session", name}, args...)...)
		cmd.Env = env.list()
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("keys are left behind: %v: %v", cmd, err)
		}
		return strings.TrimSpace(string(out))
	}
	persistent := clean(environment{}, keyctl, "get_persistent", "@s")
	_, err := exec.Command(keyctl, "session", name, keyctl, "search", persistent, "keyring", "_krb").Output()
	t.Cleanup(func() { // with the test's context at its end
		// What is in the session goes with it.
		for _, p := range []string{"KEYRING user", "KEYRING persistent"} {
			clean(places[p].env, tool(t, "kdestroy"))
		}
		remove := func(in, keyring string) {
			clean(environment{}, keyctl, "unlink", clean(environment{}, keyctl, "search", in, "keyring", keyring), in)
		}
		remove("@u", "_krb_"+name)
		if err != nil { // it was not there before
			remove(persistent, "_krb")
		}
	})
	return places
}

// testProcessKeyring names caches that live and die with the process that made
// them.
func testProcessKeyring(t *testing.T, l *lab) {
	for _, anchor := range []string{"process", "thread"} {
		env := l.env.with("KRB5CCNAME", "KEYRING:"+anchor+":interop")
		must(t, env, alicePassword+"\n", tool(t, "kinit"), "alice")
		r := l.get(t, env, l.url(t, "http", "/auth/hello"))
		wantGet(t, r, exitCredentials, "KEYRING:"+anchor+":interop", "kinit")
	}
}
