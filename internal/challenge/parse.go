package challenge

import "strings"

// A parser goes through list elements. An element either opens a challenge or
// is a further parameter of the one that is open, which RFC 9110 section
// 11.6.1 leaves to the reader to find out. A challenge stays open over the end
// of a line, because lines are one list (RFC 9110 section 5.3).
type parser struct {
	rest string    // what is left of the line
	cur  Challenge // the challenge being read
	open bool      // cur holds one
	done Challenge // the one before, complete
	full bool      // done holds one
	seen int       // challenges opened so far
}

// take hands out the challenge that the last element completed.
func (p *parser) take() (Challenge, bool) {
	c, ok := p.done, p.full
	p.done, p.full = Challenge{}, false
	return c, ok
}

// element reads one list element. It is false at the end of the line.
func (p *parser) element() bool {
	p.rest = strings.TrimLeft(p.rest, " \t,")
	if p.rest == "" || p.seen > MaxChallenges {
		return false
	}
	name := p.rest[:tokenLen(p.rest)]
	after := p.rest[len(name):]
	tail := trim(after)
	switch {
	case name == "":
		p.malformed()
	case tail == "" || tail[0] == ',':
		p.begin(name)
		p.rest = tail
	case tail[0] == '=':
		p.param()
	case len(tail) == len(after):
		// A token that runs into something else, such as "a/b", is neither a
		// scheme nor a parameter.
		p.malformed()
	default:
		p.begin(name)
		p.rest = tail
		if !p.token68() {
			p.param()
		}
	}
	return true
}

func (p *parser) begin(scheme string) {
	p.done, p.full = p.cur, p.open
	p.seen++
	p.cur, p.open = Challenge{Scheme: scheme}, p.seen <= MaxChallenges
}

// token68 reads a token68 that fills the rest of the element.
func (p *parser) token68() bool {
	padding := strings.TrimLeft(p.rest, token68Chars)
	after := strings.TrimLeft(padding, "=")
	tail := trim(after)
	if len(padding) == len(p.rest) || tail != "" && tail[0] != ',' {
		return false
	}
	p.cur.Token68, p.rest = p.rest[:len(p.rest)-len(after)], tail
	return true
}

// param reads one auth-param into the open challenge.
func (p *parser) param() {
	n := tokenLen(p.rest)
	name, tail := p.rest[:n], trim(p.rest[n:])
	if n == 0 || tail == "" || tail[0] != '=' {
		p.malformed()
		return
	}
	tail = trim(tail[1:])
	var value string
	var ok bool
	if strings.HasPrefix(tail, `"`) {
		value, tail, ok = quoted(tail)
		value = unescape(value)
	} else {
		n := tokenLen(tail)
		value, tail, ok = tail[:n], tail[n:], n > 0
	}
	tail = trim(tail)
	p.rest = tail
	// A challenge has a token68 or parameters, never both, and a parameter
	// before the first scheme belongs to nothing.
	if !ok || tail != "" && tail[0] != ',' || !p.open || p.cur.Token68 != "" {
		p.malformed()
		return
	}
	if len(p.cur.Params) < MaxParams {
		p.cur.Params = append(p.cur.Params, Param{name, value})
	}
}

// malformed skips to the next comma outside quotes.
func (p *parser) malformed() {
	if p.open {
		p.cur.Malformed = true
	}
	for p.rest != "" && p.rest[0] != ',' {
		if p.rest[0] == '"' {
			_, p.rest, _ = quoted(p.rest)
		} else if i := strings.IndexAny(p.rest, `",`); i >= 0 {
			p.rest = p.rest[i:]
		} else {
			p.rest = ""
		}
	}
}

// quoted parts the quoted-string that s starts with, its escapes unresolved, from the
// rest (RFC 9110 section 5.6.4). One without an end swallows all of s: what it holds
// is quoted, whatever it looks like.
func quoted(s string) (inside, rest string, ok bool) {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[1:i], s[i+1:], true
		}
	}
	return "", "", false
}

func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func trim(s string) string { return strings.TrimLeft(s, " \t") }

// tokenLen is the length of the token s starts with (RFC 9110 section 5.6.2).
func tokenLen(s string) int { return len(s) - len(strings.TrimLeft(s, tokenChars)) }

// What tokens and token68s are made of (RFC 9110 sections 5.6.2 and 11.2).
const (
	alnum        = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	tokenChars   = alnum + "!#$%&'*+-.^_`|~"
	token68Chars = alnum + "-._~+/"
)
