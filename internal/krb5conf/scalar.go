package krb5conf

import (
	"errors"
	"math"
	"strings"
	"time"
)

// ParseBool reads the words that MIT krb5 takes for true and false, in any
// case.
func ParseBool(text string) (value, ok bool) {
	switch strings.ToLower(text) {
	case "y", "yes", "true", "t", "1", "on":
		return true, true
	case "n", "no", "false", "nil", "0", "off":
		return false, true
	}
	return false, false
}

var (
	errDuration = errors.New("not a duration: write seconds, 1d2h3m4s or h:m[:s]")
	errTooLong  = errors.New("duration of more than 68 years")
)

// ParseDuration reads a length of time as MIT krb5's krb5_string_to_deltat
// does: plain seconds, "1d2h3m4s" with any of its parts and blanks between
// them, "h:m", "h:m:s" or "d-h:m:s". Parts may be negative. What follows a
// character that no form has is returned as rest: MIT does not look at it
// ("10D" is ten seconds).
func ParseDuration(text string) (d time.Duration, rest string, err error) {
	p := durationParser{text: text}
	p.space()
	seconds, err := p.parse()
	switch {
	case err != nil:
		return 0, "", err
	case seconds > math.MaxInt32 || seconds < math.MinInt32:
		return 0, "", errTooLong
	}
	return time.Duration(seconds) * time.Second, p.text, nil
}

type durationParser struct{ text string }

// peek returns the next byte, 0 at the end and at a byte that ends the text
// for MIT's scanner.
func (p *durationParser) peek() byte {
	if p.text == "" || !strings.Contains("0123456789dhms:- \t\n", p.text[:1]) {
		return 0
	}
	return p.text[0]
}

func (p *durationParser) space() (some bool) {
	for {
		switch p.peek() {
		case ' ', '\t', '\n':
			p.text = p.text[1:]
			some = true
		default:
			return some
		}
	}
}

// number reads digits; most says how many there may be.
func (p *durationParser) number(most int) (n int64, ok bool) {
	i := 0
	for ; i < len(p.text) && '0' <= p.text[i] && p.text[i] <= '9'; i++ {
		if n = n*10 + int64(p.text[i]-'0'); n > math.MaxInt32 {
			return 0, false
		}
	}
	p.text = p.text[i:]
	return n, i > 0 && i <= most
}

func (p *durationParser) signed() (n int64, ok bool) {
	negative := p.peek() == '-'
	if negative {
		p.text = p.text[1:]
	}
	if n, ok = p.number(10); negative {
		n = -n
	}
	return n, ok
}

// part reads a separator and one or two digits.
func (p *durationParser) part(separator byte) (n int64, ok bool) {
	if p.peek() != separator {
		return 0, false
	}
	p.text = p.text[1:]
	return p.number(2)
}

func (p *durationParser) parse() (seconds int64, err error) {
	n, ok := p.signed()
	if !ok {
		return 0, errDuration
	}
	switch p.peek() {
	case 0:
		return n, nil
	case ':':
		return p.clock(n, false)
	case '-':
		h, ok := p.part('-')
		if !ok || p.peek() != ':' {
			return 0, errDuration
		}
		s, err := p.clock(h, true)
		return n*86400 + s, err
	}
	return p.units(n)
}

// clock reads ":m:s" after the hours, or ":m" where seconds are not a must.
func (p *durationParser) clock(h int64, seconds bool) (int64, error) {
	m, ok := p.part(':')
	var s int64
	if ok && (seconds || p.peek() == ':') {
		s, ok = p.part(':')
	}
	if !ok || p.peek() != 0 {
		return 0, errDuration
	}
	return h*3600 + m*60 + s, nil
}

func (p *durationParser) units(n int64) (total int64, err error) {
	units := "dhms"
	sizes := []int64{86400, 3600, 60, 1}
	for {
		i := strings.IndexByte(units, p.peek())
		if i < 0 {
			return 0, errDuration
		}
		p.text = p.text[1:]
		total += n * sizes[i]
		units, sizes = units[i+1:], sizes[i+1:]
		if units != "" {
			p.space() // after seconds MIT allows none
		}
		if p.peek() == 0 {
			return total, nil
		}
		var ok bool
		if n, ok = p.signed(); !ok {
			return 0, errDuration
		}
	}
}
