package negotiate

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"

	stages "github.com/kerbchain/kerbchain/internal/stage"
)

// maxCookies bounds how many cookies the challenges of a call can set. net/http
// takes none at all from a response with more than 3000.
const maxCookies = 256

// cookies are what the challenges of one call set (RFC 6265): a load balancer
// names with them the server that the next attempt must go to. They are sent with
// the attempts that follow, as if each challenge had been an answer to a client with
// a cookie jar, and given to the caller with the final response.
type cookies struct {
	lines []string       // Set-Cookie lines, the oldest first
	jar   *cookiejar.Jar // what they set; nil for nothing
	names *cookiejar.Jar // the same as if none had expired: those that they set, changed or deleted
}

// take notes what resp, a challenge to r, sets.
func (k *cookies) take(r *http.Request, resp *http.Response) {
	lines := resp.Header["Set-Cookie"]
	lines = lines[:min(len(lines), maxCookies-len(k.lines))]
	if len(lines) == 0 {
		return
	}
	k.lines = append(k.lines, lines...)
	if k.jar == nil {
		k.jar, k.names = newJar(), newJar()
	}
	set := (&http.Response{Header: http.Header{"Set-Cookie": lines}}).Cookies()
	u := cookieURL(r)
	k.jar.SetCookies(u, set)
	for _, c := range set {
		c.MaxAge, c.Expires = 0, time.Time{}
	}
	// Over http, one that is Secure would do no more than hide the name of one before it.
	k.names.SetCookies(u, slices.DeleteFunc(set, func(c *http.Cookie) bool { return c.Secure && u.Scheme != "https" }))
}

func newJar() *cookiejar.Jar {
	jar, _ := cookiejar.New(nil) // there is nothing that could fail
	return jar
}

// cookieURL returns what cookies of r belong to, which is the host that r names to
// the server, as for [http.Client].
func cookieURL(r *http.Request) *url.URL {
	if r.Host == "" {
		return r.URL
	}
	u := *r.URL
	u.Host = r.Host
	return &u
}

// on returns r with the cookies as the challenges left them. A cookie that r bears
// is known by its name alone: its path and domain are the caller's secret. The
// others keep their places, and new ones follow.
func (k *cookies) on(r *http.Request) *http.Request {
	if k.jar == nil {
		return r
	}
	u := cookieURL(r)
	touched, fresh := k.names.Cookies(u), k.jar.Cookies(u)
	if len(touched) == 0 {
		return r
	}
	var pairs []string
	for _, line := range r.Header["Cookie"] {
		for own := range strings.SplitSeq(line, ";") {
			own = strings.TrimSpace(own)
			name, _, _ := strings.Cut(own, "=")
			named := func(c *http.Cookie) bool { return c.Name == strings.TrimSpace(name) }
			switch {
			case own == "":
			case slices.ContainsFunc(touched, named):
				for _, c := range fresh {
					if named(c) {
						pairs = append(pairs, pair(c))
					}
				}
				fresh = slices.DeleteFunc(fresh, named)
			default:
				pairs = append(pairs, own)
			}
		}
	}
	for _, c := range fresh {
		pairs = append(pairs, pair(c))
	}
	out := *r
	out.Header = stages.CloneHeader(r.Header)
	out.Header.Del("Cookie")
	if len(pairs) > 0 {
		out.Header.Set("Cookie", strings.Join(pairs, "; "))
	}
	return &out
}

// pair returns name=value as net/http writes it.
func pair(c *http.Cookie) string {
	r := http.Request{Header: make(http.Header)}
	r.AddCookie(c)
	return r.Header.Get("Cookie")
}

// give adds to the final response what the challenges before it set. Its own lines
// come last, and so win.
func (k *cookies) give(resp *http.Response) *http.Response {
	if len(k.lines) == 0 {
		return resp
	}
	resp.Header = stages.CloneHeader(resp.Header)
	resp.Header["Set-Cookie"] = slices.Concat(k.lines, resp.Header["Set-Cookie"])
	return resp
}
