//go:build interop

package interop

import (
	"cmp"
	"maps"
	"regexp"
	"strings"
	"testing"
)

// exitFailed is the exit status of the command's doctor where a check failed.
const exitFailed = 1

// A complaint is what the doctor says of one fault of a real peer.
type complaint struct {
	env    environment
	args   []string
	url    string // "" for the page behind authentication
	failed string // the only check that fails, "" for none
	says   []string
	try    string // part of what is to be tried first
}

// TestDoctor: what the doctor says of KDCs and servers that nobody wrote for it.
func TestDoctor(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) *lab{
		"MIT":     func(t *testing.T) *lab { r := startRealm(t, etypes[3]); return &lab{r, startWeb(t, r)} },
		"Heimdal": func(t *testing.T) *lab { r := startHeimdal(t, etypes[1]); return &lab{r, startWeb(t, r)} },
		"Samba":   func(t *testing.T) *lab { r := startSamba(t); return &lab{r, startWeb(t, r)} },
	} {
		t.Run(name, func(t *testing.T) {
			l := start(t)
			complaints := l.complaints(t)
			if name == "Samba" {
				maps.Copy(complaints, l.complaintsOfAD(t))
			}
			for name, c := range complaints {
				t.Run(name, func(t *testing.T) { l.testComplaint(t, c) })
			}
		})
	}
}

// complaints are the faults that every peer can have.
func (l *lab) complaints(t *testing.T) map[string]complaint {
	cache := l.kinit(t)
	nobody := freePorts(t, 2)
	ticket := "ticket         HTTP/localhost@" + l.name + " for alice@" + l.name
	proved := "the server proved that it is HTTP/localhost@" + l.name
	return map[string]complaint{
		"nothing is wrong": {env: cache, says: []string{
			"ok    kdc            " + l.name + ": " + l.kdc + " over udp answers in ", l.kdc + " over tcp answers in ",
			"ok    clock          " + l.kdc + " of " + l.name + " has the time of this machine",
			"ok    server         401 Unauthorized over HTTP/1.1", "Apache/2.4", "ok    offer          Negotiate", ticket, "; sealed with key version ",
			"ok    answer         200 OK: " + proved,
		}},
		"nothing is wrong over HTTP/2": {env: cache, url: l.url(t, "h2", "/auth/hello"), says: []string{"over HTTP/2.0, TLS 1.3", "ok    bindings       tls-server-end-point", "ok    answer         200 OK: " + proved}},
		"a keytab":                     {env: l.env, args: []string{"--keytab", l.path("alice.keytab"), "--principal", "alice"}, says: []string{"ok    keytab ", ticket, proved}},
		"nobody ran kinit":             {env: l.env, failed: "credentials", try: "run kinit"},
		"a wrong password": {
			env: l.env, args: []string{"--principal", "bob", "--password-file", passwordFile(t, "wrong")},
			failed: "login", says: []string{"bob@" + l.name}, try: "the password or key is wrong",
		},
		"no such user": {
			env: l.env, args: []string{"--principal", "nobody", "--password-file", passwordFile(t, "wrong")},
			failed: "login", says: []string{"KDC_ERR_C_PRINCIPAL_UNKNOWN"}, try: "has no principal nobody",
		},
		"no such service": {
			env: cache, args: []string{"--host-override", "nowhere.example"},
			failed: "ticket", says: []string{"HTTP/nowhere.example@" + l.name, "KDC_ERR_S_PRINCIPAL_UNKNOWN"}, try: "setspn -Q HTTP/nowhere.example",
		},
		"the principal is another account's": {
			env: cache, args: []string{"--host-override", "stranger.example"},
			failed: "answer", says: []string{"FAIL  answer         401 Unauthorized"}, try: "keytab",
		},
		"no KDC": {
			env:    l.env.with("KRB5_CONFIG", l.config(t, "nowhere.conf", nobody[0])),
			args:   []string{"--keytab", l.path("alice.keytab"), "--principal", "alice"},
			failed: "kdc", says: []string{nobody[0] + " over udp does not answer", nobody[0] + " over tcp does not answer"}, try: "is the KDC up",
		},
		"no server":       {env: cache, url: "http://localhost:" + port(nobody[1]) + "/", failed: "server", says: []string{ticket}, try: "see whether the server runs"},
		"another CA":      {env: cache, args: []string{"--cacert", l.otherCA(t)}, url: l.url(t, "https", "/auth/hello"), failed: "server", try: "trust the authority"},
		"not for alice":   {env: cache, url: l.url(t, "http", "/auth/forbidden"), failed: "answer", says: []string{"403 Forbidden: " + proved + ", and refuses alice@" + l.name}, try: "look there for who is allowed in"},
		"not there":       {env: cache, url: l.url(t, "http", "/auth/missing"), says: []string{"warn  answer         404 Not Found: " + proved}},
		"for everybody":   {env: cache, url: l.url(t, "http", "/open/hello"), failed: "answer", says: []string{"warn  offer          it does not ask for authentication"}, try: "ask for a URL that needs authentication"},
		"sends on":        {env: cache, url: l.url(t, "http", "/open/moved"), failed: "answer", says: []string{"sends on to http://localhost"}, try: "examine http://localhost"},
		"not on the list": {env: cache, args: []string{"--allowed-hosts", "*.example"}, failed: "allowed", try: "add localhost to --allowed-hosts"},
		"a typing error":  {env: cache.with("KRB5_CONFIG", write(t, l.path("typo.conf"), "[libdefaults\n")), failed: "configuration", try: "mend the file"},
		"another realm":   {env: cache.with("KRB5_CONFIG", write(t, l.path("other.conf"), strings.Replace(readAll(t, l.conf), "localhost = "+l.name, "localhost = OTHER.TEST", 1))), failed: "realm", says: []string{"OTHER.TEST, by localhost = OTHER.TEST"}, try: "if localhost is not of realm OTHER.TEST"},
	}
}

// complaintsOfAD are those about a domain of Active Directory.
func (l *lab) complaintsOfAD(t *testing.T) map[string]complaint {
	cache := l.kinit(t)
	allowed := *l.realm
	allowed.etype.name += " arcfour-hmac"
	return map[string]complaint{
		"many groups": {env: cache, says: []string{"token ", " bytes, which make a header field of "}},
		"RC4 is not allowed": {
			env: cache, args: []string{"--host-override", "rc4.corp.example"},
			failed: "ticket", says: []string{"KDC_ERR_ETYPE_NOSUPP"}, try: "msDS-SupportedEncryptionTypes",
		},
		"RC4 is allowed, and the server has no such key": {
			env:    cache.with("KRB5_CONFIG", allowed.config(t, "allowed.conf", l.kdc, "allow_rc4 = true")),
			args:   []string{"--host-override", "rc4.corp.example"},
			failed: "answer", says: []string{"warn  ticket ", "arcfour-hmac"}, try: "",
		},
	}
}

func (l *lab) testComplaint(t *testing.T, c complaint) {
	args := []string{"doctor"}
	if !strings.Contains(strings.Join(c.args, " "), "--cacert") {
		args = append(args, "--cacert", l.ca)
	}
	args = append(args, c.args...)
	r := run(t, c.env, "", kerbchain(t), append(args, cmp.Or(c.url, l.url(t, "http", "/auth/hello")))...)
	failed := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^FAIL  (\S+)`).FindAllStringSubmatch(r.stdout, -1) {
		failed[line[1]] = true
	}
	want := map[string]bool{}
	code := exitOK
	if c.failed != "" {
		want[c.failed], code = true, exitFailed
	}
	if r.code != code || !maps.Equal(failed, want) {
		t.Errorf("exit status %d and %v failed, want %d and %v: %v", r.code, failed, code, want, r)
	}
	_, first, _ := strings.Cut(r.stdout, "\ntry 1: ")
	first, _, _ = strings.Cut(first, "\n")
	if !strings.Contains(first, c.try) {
		t.Errorf("try %q, want %q", first, c.try)
	}
	for _, text := range c.says {
		if !strings.Contains(r.stdout, text) {
			t.Errorf("want %q: %v", text, r)
		}
	}
	if strings.Contains(r.stdout, alicePassword) || r.stderr != "" {
		t.Error(r)
	}
}
