package middleware_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/middleware"
)

// redirected returns a request as http.Client makes the last one of a row of
// redirects.
func redirected(t *testing.T, urls ...string) *http.Request {
	t.Helper()
	var last *http.Request
	for _, raw := range urls {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		if last != nil {
			r.Response = &http.Response{StatusCode: http.StatusFound, Request: last}
		}
		last = r
	}
	return last
}

// Each half of each condition: host and port, scheme here and there.
func TestTargetFor(t *testing.T) {
	type outcome struct {
		from       string
		downgraded bool
	}
	for name, tc := range map[string]struct {
		urls []string
		want outcome
	}{
		"no redirect":            {[]string{"http://a.test/"}, outcome{}},
		"another path":           {[]string{"http://a.test/1", "http://a.test/2"}, outcome{}},
		"another host, one port": {[]string{"http://a.test:8080/", "http://b.test:8080/"}, outcome{from: "a.test:8080"}},
		"another port, one host": {[]string{"http://a.test:8080/", "http://a.test:8081/"}, outcome{from: "a.test:8080"}},
		"both":                   {[]string{"http://a.test:8080/", "http://b.test:8081/"}, outcome{from: "a.test:8080"}},
		"case, dot and zero":     {[]string{"http://a.test:80/", "http://A.Test.:080/"}, outcome{}},
		"the default port":       {[]string{"http://a.test/", "http://a.test:80/"}, outcome{}},
		"not ASCII":              {[]string{"http://b\u00fccher.test/", "http://xn--bcher-kva.test/"}, outcome{}},
		"below":                  {[]string{"http://a.test/", "http://www.a.test/"}, outcome{from: "a.test:80"}},
		"over another and back":  {[]string{"http://a.test/", "http://b.test/", "http://a.test/"}, outcome{}},
		"from the first":         {[]string{"http://a.test/", "http://b.test/", "http://c.test/"}, outcome{from: "a.test:80"}},
		"on the other host":      {[]string{"http://a.test/", "http://b.test/1", "http://b.test/2"}, outcome{from: "a.test:80"}},
		"up":                     {[]string{"http://a.test/", "https://a.test/"}, outcome{from: "a.test:80"}},
		"down":                   {[]string{"https://a.test/", "http://a.test/"}, outcome{"a.test:443", true}},
		"down on one port":       {[]string{"https://a.test:8080/", "http://a.test:8080/"}, outcome{downgraded: true}},
		"down and up":            {[]string{"https://a.test/", "http://a.test/", "https://a.test/"}, outcome{}},
		"down, and further":      {[]string{"https://a.test/", "http://b.test/", "http://c.test/"}, outcome{"a.test:443", true}},
		"up and down":            {[]string{"http://a.test/", "https://a.test/", "http://a.test/"}, outcome{downgraded: true}},
		"secure all the way":     {[]string{"https://a.test/", "https://b.test/"}, outcome{from: "a.test:443"}},
		"as far as it looks":     {append(slices.Repeat([]string{"http://a.test/"}, 64), "http://a.test/"), outcome{}},
		"further than it looks":  {append(slices.Repeat([]string{"http://a.test/"}, 65), "http://a.test/"), outcome{"a.test:80", true}},
		"the first out of sight": {append([]string{"http://a.test/"}, slices.Repeat([]string{"https://b.test/"}, 80)...), outcome{from: "b.test:443"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := redirected(t, tc.urls...)
			got := middleware.TargetOf(r)
			if (outcome{got.RedirectedFrom, got.Downgraded}) != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			got.RedirectedFrom, got.Downgraded = "", false
			if got != middleware.TargetOfURL(r.URL) {
				t.Errorf("not the target of the URL: %+v", got)
			}
		})
	}
	// What is not told is no redirect.
	r := redirected(t, "http://a.test/")
	for _, resp := range []*http.Response{{}, {Request: &http.Request{}}} {
		r.Response = resp
		if got := middleware.TargetOf(r); got != middleware.TargetOfURL(r.URL) {
			t.Errorf("%+v", got)
		}
	}
	// Nor does a loop keep anybody.
	r.Response = &http.Response{Request: r}
	if got := middleware.TargetOf(r); got.RedirectedFrom == "" {
		t.Errorf("%+v", got)
	}
}

func TestCheck(t *testing.T) {
	for raw, good := range map[string]bool{
		"http://a.test/": true, "http://a.test:8080/": true, "https://[fe80::1%25eth0]/": true, "http://b\u00fccher.test/": true,
		"http://a.test%25.evil.test/": false, "http://a.test:65536/": false, "http://a.test../": false, "/": false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		wrong := middleware.TargetOfURL(u).Check()
		switch {
		case good && wrong != nil:
			t.Errorf("%s: %v", raw, wrong)
		case !good && wrong == nil:
			t.Errorf("%s was taken for a host", raw)
		case !good && (!errors.Is(wrong, middleware.ErrHost) || wrong.Hint == "" || wrong.Temporary() || wrong.Host != middleware.TargetOfURL(u).HostPort()):
			t.Errorf("%s: %#v", raw, wrong)
		}
	}
	if wrong := (middleware.Target{Host: "a.test"}).Check(); wrong != nil {
		t.Errorf("no port: %v", wrong)
	}
	if wrong := (middleware.Target{Host: "a\x1b.test", Port: "80"}).Check(); strings.Contains(wrong.Error(), "\x1b") {
		t.Errorf("%q", wrong.Error())
	}
}

func TestOrigin(t *testing.T) {
	for raw, want := range map[string]string{
		"http://A.test/x": "http://a.test:80", "https://a.test./": "https://a.test:443", "http://a.test:443/": "http://a.test:443", "https://[::1]:8443/": "https://[::1]:8443",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := middleware.TargetOfURL(u).Origin(); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}
