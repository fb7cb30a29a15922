package negotiate

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxCookies bounds how many cookies the challenges of a call can set. net/http
// takes none at all from a response with more than 3000.
const maxCookies = 256

// cookies are what the challenges of one call set (RFC 6265): a load balancer
// names with them the server that the next attempt must go to. They are sent with
// the attempts that follow, as if each challenge had been an answer to a client with
// a cookie jar, and given to the caller with the final response.
type cookies struct {
	lines   []string        // Set-Cookie lines, the oldest first
	jar     *cookiejar.Jar  // what they set; nil for nothing
	touched map[string]bool // names that they set, changed or deleted
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
		k.jar, k.touched = newJar(), make(map[string]bool)
	}
	set := (&http.Response{Header: http.Header{"Set-Cookie": lines}}).Cookies()
	u := cookieURL(r)
	for _, c := range set {
		if concerns(c, u) {
			k.touched[c.Name] = true
		}
	}
	k.jar.SetCookies(u, set)
}

// concerns reports whether c, were it not expired, would be sent to u: then it
// sets the cookie of its name, or deletes it.
func concerns(c *http.Cookie, u *url.URL) bool {
	lasting := *c
	lasting.MaxAge, lasting.Expires = 0, time.Time{}
	jar := newJar()
	jar.SetCookies(u, []*http.Cookie{&lasting})
	return len(jar.Cookies(u)) > 0
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
	if len(k.touched) == 0 {
		return r
	}
	fresh := k.jar.Cookies(cookieURL(r))
	var pairs []string
	put := func(of func(*http.Cookie) bool) {
		fresh = slices.DeleteFunc(fresh, func(c *http.Cookie) bool {
			if !of(c) {
				return false
			}
			pairs = append(pairs, pair(c))
			return true
		})
	}
	for _, line := range r.Header["Cookie"] {
		for own := range strings.SplitSeq(line, ";") {
			own = strings.TrimSpace(own)
			name, _, _ := strings.Cut(own, "=")
			switch name = strings.TrimSpace(name); {
			case own == "":
			case k.touched[name]:
				put(func(c *http.Cookie) bool { return c.Name == name })
			default:
				pairs = append(pairs, own)
			}
		}
	}
	put(func(*http.Cookie) bool { return true })
	out := *r
	out.Header = r.Header.Clone()
	if out.Header == nil {
		out.Header = make(http.Header)
	}
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
	resp.Header = resp.Header.Clone()
	if resp.Header == nil {
		resp.Header = make(http.Header)
	}
	resp.Header["Set-Cookie"] = slices.Concat(k.lines, resp.Header["Set-Cookie"])
	return resp
}
