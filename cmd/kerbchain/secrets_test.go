package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// TestNoSecretsShown: what a user passes on, and what a server puts into a redirect, is on
// no terminal, with -v neither, whatever becomes of the request.
func TestNoSecretsShown(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	const secret = "hunter2"
	locations := map[string]string{
		"/port":   "http://localhost:x/?code=" + secret,
		"/host":   "http://" + secret + "%zz/?code=" + secret,
		"/scheme": "ftp://localhost/?code=" + secret,
		"/user":   "http://alice:" + secret + "@localhost:1/?code=" + secret,
		"/escape": "/%zz?code=" + secret,
	}
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to, ok := locations[r.URL.Path]; ok {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}
	})
	server := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: next}), fakeweb.ServerOptions{})
	gone := fakeweb.Serve(l.Realm, l.service, fakeweb.ServerOptions{})
	gone.Close()
	_, at, _ := strings.Cut(server.URL(), "//")
	_, nobody, _ := strings.Cut(gone.URL(), "//")
	data := []string{"-d", "password=" + secret, "-H", "X-Token: " + secret, "-H", "Cookie: a=" + secret, "-A", secret}
	cases := map[string][]string{
		"a user in the URL":           {"http://alice:" + secret + "@" + at + "/?token=" + secret},
		"a user where nobody listens": {"http://alice:" + secret + "@" + nobody + "/?token=" + secret},
		"a user of the proxy":         {"-x", "http://alice:" + secret + "@" + nobody, "http://app.test/?token=" + secret},
		"a user of no host":           {"http://alice:" + secret + "@no such host/?token=" + secret},
		"a user of a bad port":        {"http://alice:" + secret + "@localhost:x/?token=" + secret},
		"a slash in the password":     {"http://alice:a/" + secret + "@localhost/?token=" + secret},
		"a broken proxy":              {"-x", "http://alice:" + secret + "@a b", "http://app.test/"},
		"a broken method":             {"-X", "A B", "http://alice:" + secret + "@" + at + "/?token=" + secret},
		"a header that is none":       {"-H", secret, server.URL()},
		"a header of two lines":       {"-H", "X: " + secret + "\r\nY: z", server.URL()},
		"a broken --resolve":          {"--resolve", "a", "http://alice:" + secret + "@" + at},
		"an own Authorization":        {"-H", "Authorization: Bearer " + secret, server.URL()},
	}
	for path := range locations {
		cases["a redirect by "+path] = []string{"-L", server.URL() + path}
	}
	for name, args := range cases {
		_, stdout, stderr := l.run("", append(append([]string{"get", "-v", "--mutual", "optional", "-w", "%{errormsg}"}, data...), args...)...)
		if strings.Contains(stdout+stderr, secret) || stdout+stderr == "" {
			t.Errorf("%s: %s%s", name, stdout, stderr)
		}
	}
}
