//go:build interop

package interop

import (
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A signedLog stands in front of Apache and notes the requests that bear a token, as
// text without that token and without the client's name.
type signedLog struct {
	url  string
	mu   sync.Mutex
	last string
}

func startSignedLog(t *testing.T, origin string) *signedLog {
	t.Helper()
	to, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	rec := &signedLog{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = to.Host
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.Header.Get("Authorization") != "" {
			rec.note(r, body)
		}
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(string(body))), int64(len(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	rec.url = "http://localhost:" + port(server.Listener.Addr().String())
	return rec
}

func (rec *signedLog) note(r *http.Request, body []byte) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\n", r.Method, r.RequestURI, r.Host)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		values := r.Header[name]
		switch name {
		case "Authorization":
			continue
		case "User-Agent":
			if strings.HasPrefix(values[0], "curl/") || strings.HasPrefix(values[0], "Go-http-client/") {
				continue
			}
		case "Accept-Encoding":
			values = []string{"some"}
		}
		fmt.Fprintf(&b, "%s: %q\n", name, values)
	}
	fmt.Fprintf(&b, "\n%s", body)
	text := b.String()
	// Each has boundaries of its own, by which the length differs too.
	if _, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && params["boundary"] != "" {
		text = strings.ReplaceAll(text, params["boundary"], "boundary")
		text = strings.Replace(text, fmt.Sprintf("Content-Length: [\"%d\"]\n", len(body)), "", 1)
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.last = text
}

// take returns what the last signed request was.
func (rec *signedLog) take() string {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	s := rec.last
	rec.last = ""
	return s
}

// TestGetBesideCurl runs command lines by curl and by "kerbchain get": Apache must get the
// same request of both, and both must print and write the same.
func TestGetBesideCurl(t *testing.T) {
	r := startRealm(t, etypes[1])
	l := &lab{r, startWeb(t, r)}
	env := l.kinit(t)
	rec := startSignedLog(t, l.origins["http"])
	recPort := strings.TrimPrefix(rec.url, "http://localhost:")
	dir := t.TempDir()
	form := write(t, dir+"/form", "a=1\r\nb=2\n")
	out := dir + "/out"
	const hello, sum = "/auth/hello", "/auth/cgi/sum"
	for _, tc := range []struct {
		args  []string
		path  string
		stdin string
		fails bool // by status: 22 of ours, whatever curl says
	}{
		{path: hello},
		{args: []string{"-i"}, path: hello + "?quiet"},
		{args: []string{"-I"}, path: hello},
		{args: []string{"-d", "a=b"}, path: sum},
		{args: []string{"-d", "a=b", "-d", "c=d"}, path: sum},
		{args: []string{"-d", "a=b", "--data-raw", "@c"}, path: sum},
		{args: []string{"-d", "@" + form}, path: sum},
		{args: []string{"-d", "@" + form, "-d", "@" + form}, path: sum},
		{args: []string{"-d", "@-"}, path: sum, stdin: "x\ny\r\n"},
		{args: []string{"-d", ""}, path: sum},
		{args: []string{"--data-binary", "@" + form}, path: sum},
		{args: []string{"--data-binary", "@-"}, path: sum, stdin: "x\ny\r\n"},
		{args: []string{"--data-binary", "@" + form, "-d", "c"}, path: sum},
		{args: []string{"--json", `{"a":1}`}, path: sum},
		{args: []string{"--json", `{"a":`, "--json", "1}"}, path: sum},
		{args: []string{"--json", "@" + form}, path: sum},
		{args: []string{"--json", "{}", "-H", "Accept: text/plain"}, path: sum},
		{args: []string{"-X", "PUT", "-d", "x"}, path: sum},
		{args: []string{"-X", "DELETE"}, path: sum},
		{args: []string{"-X", "OPTIONS"}, path: sum},
		{args: []string{"-G", "-d", "a=b", "-d", "c=d"}, path: hello},
		{args: []string{"-G", "-d", "a=b"}, path: hello + "?x=y"},
		{args: []string{"-G", "-I", "-d", "a=b"}, path: hello},
		{args: []string{"-H", "X-A: 1"}, path: hello},
		{args: []string{"-H", "X-A: 1", "-H", "X-A: 2"}, path: hello},
		{args: []string{"-H", "X-Empty;"}, path: hello},
		{args: []string{"-H", "Accept:"}, path: hello},
		{args: []string{"-H", "Accept: a/b"}, path: hello},
		{args: []string{"-H", "Content-Type: text/xml", "-d", "<x/>"}, path: sum},
		{args: []string{"-H", "Host: other.example"}, path: hello},
		{args: []string{"-A", "me/1"}, path: hello},
		{args: []string{"-A", ""}, path: hello},
		{args: []string{"--compressed"}, path: hello},
		{args: []string{"-f"}, path: "/auth/missing", fails: true},
		{args: []string{"-f"}, path: "/auth/forbidden", fails: true},
		{args: []string{"-sS", "-f"}, path: "/auth/missing", fails: true},
		{args: []string{"-L"}, path: "/auth/cgi/moved"},
		{args: []string{}, path: "/auth/cgi/moved"},
		{args: []string{"-o", "-"}, path: hello},
		{args: []string{"-o", out}, path: hello},
		{args: []string{"-m", "20"}, path: hello},
		{args: []string{"-w", `%{http_code} %{response_code} %{size_download} %{content_type} %{method} %{num_redirects} %{http_version} %{remote_ip} %{exitcode}%%\n`}, path: hello},
		{args: []string{"-o", out, "-w", `%{redirect_url}`}, path: "/auth/cgi/moved"},
		{args: []string{"-L", "-o", out, "-w", `%{url_effective} %{num_redirects}`}, path: "/auth/cgi/moved"},
		{args: []string{"-w", `%header{content-type} %{num_connects} %{local_ip} a\x\\n%{`}, path: hello},
		{args: []string{"-w", `a%{stderr}b%{stdout}c%{onerror}d`}, path: hello},
		{args: []string{"-o", out, "-w", "%{filename_effective}"}, path: hello},
		{args: []string{"-w", "@-"}, path: hello, stdin: "%{http_code}\n"},
		{args: []string{"-I", "-X", "GET"}, path: hello},
		{args: []string{"-H", "Transfer-Encoding: chunked", "-d", "abc"}, path: sum},
		{args: []string{"-T", form}, path: sum},
		{args: []string{"-T", form}, path: sum + "/"},
		{args: []string{"-T", form}, path: sum + "/?x=y"},
		{args: []string{"-T", form, "-X", "POST", "-H", "Expect:"}, path: sum},
		{args: []string{"--data-urlencode", "a b&c", "--data-urlencode", "n=ü+~*", "-d", "c=d"}, path: sum},
		{args: []string{"--data-urlencode", "@" + form, "--data-urlencode", "n@" + form}, path: sum},
		{args: []string{"-G", "--data-urlencode", "a=b c#"}, path: hello},
		{args: []string{"-F", "a=b", "-F", "c= d "}, path: sum},
		{args: []string{"-F", `a="b;\"c";type=text/plain;charset=utf-8`}, path: sum},
		{args: []string{"-F", "a=b;filename=n.html"}, path: sum},
		{args: []string{"-F", "a=@" + form}, path: sum},
		{args: []string{"-F", "a=@" + form + ";type=x/y;filename=n", "-F", "b=<" + form}, path: sum},
		{args: []string{"-F", `a=@"` + write(t, dir+"/a,b.PNG", "png") + `"`, "-X", "PUT"}, path: sum},
		{args: []string{"-F", "a=<" + write(t, dir+"/page.html", "<p>")}, path: sum},
		{args: []string{"-F", "a=@-"}, path: sum, stdin: "x\ny\r\n"},
		{args: []string{"-F", "a=<-;type=x/y"}, path: sum, stdin: "x\ny\r\n"},
		{args: []string{"--form-string", "a=@b;type=x"}, path: sum},
		{args: []string{"-F", "a=@" + write(t, dir+"/big", strings.Repeat("x", 2<<20))}, path: sum},
		{path: "/./open/../auth/hello?x=/../y"},
		{args: []string{"--resolve", "localhost:" + recPort + ":127.0.0.1"}, path: hello},
		{args: []string{"--connect-to", "localhost:" + recPort + ":127.0.0.1:" + recPort}, path: hello},
		{args: []string{"-k", "--negotiate"}, path: hello},
	} {
		t.Run(strings.Join(append(slices.Clone(tc.args), tc.path), " "), func(t *testing.T) {
			url := rec.url + tc.path
			var requests, outputs, files []string
			for _, command := range [][]string{
				append([]string{tool(t, "curl"), "-s", "--negotiate", "-u", ":"}, tc.args...),
				append([]string{kerbchain(t), "get", "-s", "--negotiate", "-u", ":"}, tc.args...),
			} {
				os.Remove(out)
				r := run(t, env, tc.stdin, command[0], append(command[1:], url)...)
				if (r.code != 0) != tc.fails {
					t.Errorf("%v", r)
				}
				requests = append(requests, rec.take())
				outputs = append(outputs, r.stdout)
				b, _ := os.ReadFile(out)
				files = append(files, string(b))
			}
			if d := cmp.Diff(requests[0], requests[1]); d != "" || requests[0] == "" {
				t.Errorf("requests (-curl +kerbchain)\n%s", d)
			}
			// Heads are printed in another order, and their tokens not at all; and the sum of a
			// form is that of its boundaries too.
			own := func(flag string) bool { return slices.Contains([]string{"-i", "-I", "-F", "--form-string"}, flag) }
			if !slices.ContainsFunc(tc.args, own) {
				if d := cmp.Diff(outputs[0], outputs[1]); d != "" {
					t.Errorf("output (-curl +kerbchain)\n%s", d)
				}
			}
			if d := cmp.Diff(files[0], files[1]); d != "" {
				t.Errorf("file (-curl +kerbchain)\n%s", d)
			}
		})
	}
}

// TestKlistBesideMIT: caches and keytabs list the same principals, types and versions as
// MIT's klist does.
func TestKlistBesideMIT(t *testing.T) {
	r := startRealm(t, etypes[1])
	env := r.kinit(t)
	must(t, env, "", tool(t, "kvno"), "HTTP/localhost")
	ours := must(t, env, "", kerbchain(t), "klist").stdout
	theirs := must(t, env, "", tool(t, "klist"), "-e", "-f").stdout
	for _, s := range []string{"alice@" + r.name, "krbtgt/" + r.name + "@" + r.name, "HTTP/localhost@" + r.name} {
		if !strings.Contains(theirs, s) || !strings.Contains(ours, s) {
			t.Errorf("%s:\n%s%s", s, theirs, ours)
		}
	}
	if n, m := strings.Count(theirs, "Etype (skey, tkt)"), strings.Count(ours, "session key "); n != m || n != 2 {
		t.Errorf("%d tickets of MIT's, %d of ours:\n%s%s", n, m, theirs, ours)
	}
	keytab := r.path("service.keytab")
	ours = must(t, env, "", kerbchain(t), "klist", "-k", keytab).stdout
	theirs = must(t, env, "", tool(t, "klist"), "-k", "-e", keytab).stdout
	var list []string
	for line := range strings.Lines(theirs) {
		f := strings.Fields(line)
		if len(f) == 3 && strings.HasPrefix(f[2], "(") {
			list = append(list, f[1]+": key version "+f[0]+", "+strings.Trim(f[2], "()"))
		}
	}
	if len(list) == 0 || len(list) != strings.Count(ours, "key version") {
		t.Errorf("%d keys of MIT's:\n%s%s", len(list), theirs, ours)
	}
	for _, s := range list {
		if !strings.Contains(ours, s) {
			t.Errorf("not listed: %s\n%s", s, ours)
		}
	}
}
