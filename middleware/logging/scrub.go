package logging

import (
	"cmp"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const redacted = "[redacted]"

// urlText returns scheme, host and path of u, without user, query, fragment and
// path parameters (RFC 3986 section 3.3), which carry session identifiers.
func urlText(u *url.URL) string {
	if u == nil {
		return ""
	}
	path := u.EscapedPath()
	if strings.Contains(path, ";") {
		segments := strings.Split(path, "/")
		for i, s := range segments {
			segments[i], _, _ = strings.Cut(s, ";")
		}
		path = strings.Join(segments, "/")
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String() + path
}

// errorText returns the text of err without the secrets that others may have
// put in it. Errors of this module hold none, but err may come from any
// transport below: net/http quotes URLs, and what a proxy function or another
// library quotes is not known.
func errorText(err error, r *http.Request) string {
	text := err.Error()
	for _, s := range secretsOf(err, r) {
		text = strings.ReplaceAll(text, s.value, s.instead)
	}
	text = anyURL.ReplaceAllStringFunc(text, cleanURL)
	return anyToken.ReplaceAllString(text, "$1 "+redacted)
}

// anyURL finds what may be a URL. It ends where text around a URL begins;
// quotes end it because errors quote URLs.
var anyURL = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>` + "`" + `]*`)

// anyToken finds credentials in the form of RFC 9110 section 11.4. They are
// longer than any word that may follow the name of a scheme.
var anyToken = regexp.MustCompile(`(?i)\b(negotiate|kerberos|ntlm|basic|bearer)[ \t]+[A-Za-z0-9+/._~-]{24,}=*`)

// cleanURL does for text what urlText does for a URL, and must not rely on the
// text being one.
func cleanURL(raw string) string {
	scheme, rest, _ := strings.Cut(raw, "://")
	// What ends a clause rather than a URL stays.
	end := len(strings.TrimRight(rest, ":,.;)"))
	rest, tail := rest[:end], rest[end:]
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	} else if strings.Contains(authority, ":") && strings.Contains(path, "@") {
		// A password that should have been escaped: its end cannot be told.
		return scheme + "://" + redacted + tail
	}
	if i := strings.IndexAny(path, "?#;"); i >= 0 {
		path = path[:i]
	}
	return scheme + "://" + authority + path + tail
}

// A secret is text to be replaced.
type secret struct{ value, instead string }

// secretsOf collects what must not be quoted, the longest first: the URLs of
// the errors in err, and of r the query, the password, and the values of the
// headers that authenticate. Values too short to be secrets are left out, since
// they occur anywhere.
func secretsOf(err error, r *http.Request) []secret {
	var out []secret
	add := func(value, instead string) {
		if len(value) < 4 || value == instead {
			return
		}
		out = append(out, secret{value, instead})
		if q := strconv.Quote(value); q[1:len(q)-1] != value {
			out = append(out, secret{q[1 : len(q)-1], instead})
		}
	}
	eachURLError(err, 0, func(e *url.Error) {
		instead := redacted
		if u, err := url.Parse(e.URL); err == nil {
			instead = urlText(u)
		}
		add(e.URL, instead)
	})
	hide := func(value string) { add(value, redacted) }
	if u := r.URL; u != nil {
		hide(u.RawQuery)
		for part := range strings.SplitSeq(u.RawQuery, "&") {
			_, value, _ := strings.Cut(part, "=")
			if len(value) < 8 || strings.Contains(u.Host, value) {
				continue // as good as any word, and the whole query is hidden
			}
			hide(value)
			if plain, err := url.QueryUnescape(value); err == nil {
				hide(plain)
			}
		}
		hide(u.Fragment)
		hide(u.User.String())
		if password, ok := u.User.Password(); ok {
			hide(password)
			hide(url.QueryEscape(password))
			_, escaped, _ := strings.Cut(u.User.String(), ":")
			hide(escaped)
		}
	}
	for name, lines := range r.Header {
		switch http.CanonicalHeaderKey(name) {
		case "Authorization", "Proxy-Authorization", "Cookie":
		default:
			continue
		}
		for _, line := range lines {
			hide(line)
			if _, token, ok := strings.Cut(line, " "); ok {
				hide(token)
			}
		}
	}
	if _, password, ok := r.BasicAuth(); ok {
		hide(password)
	}
	for _, c := range r.Cookies() {
		hide(c.Value)
	}
	slices.SortStableFunc(out, func(a, b secret) int { return cmp.Compare(len(b.value), len(a.value)) })
	return out
}

// eachURLError calls f with the [url.Error] values in err's tree, up to a depth that no
// sane error has.
func eachURLError(err error, depth int, f func(*url.Error)) {
	if err == nil || depth > 32 {
		return
	}
	if e, ok := err.(*url.Error); ok {
		f(e)
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		eachURLError(e.Unwrap(), depth+1, f)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			eachURLError(err, depth+1, f)
		}
	}
}
