package winrm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

const (
	maxLine    = 1024
	maxHeaders = 16
	maxParts   = 1024
	maxSpaces  = 8
	// maxExcess is how much longer than its message the second part of a token
	// may be. It is as long with Windows; peers that cut the token of gss_wrap
	// after 16 bytes leave confounder, header, MAC and padding in it.
	maxExcess = 128
)

// Parse takes a body apart. The parts share its memory, and there is at least
// one. It is tolerant of what peers do to the framing: case, white space, line
// ends, a delimiter with a space in it, no charset, several messages; and strict
// about lengths: data are never searched for a delimiter, which ciphertext may
// contain, but end where their length says.
//
// Errors wrap [ErrNotEncrypted], [ErrProtocol] or [ErrMalformed].
func Parse(contentType string, body []byte) (Protocol, []Part, error) {
	p, bound, err := parseType(contentType)
	if err != nil {
		return "", nil, err
	}
	d := &decoder{rest: bytes.TrimLeft(body, " \t\r\n"), bound: bound, protocol: p}
	end, ok := d.delimiter(0)
	if !ok || end {
		return "", nil, fmt.Errorf("%w: it begins without the delimiter --%s", ErrMalformed, bound)
	}
	var parts []Part
	for !end {
		if len(parts) == maxParts {
			return "", nil, fmt.Errorf("%w: more than %d messages", ErrMalformed, maxParts)
		}
		var part Part
		if part, end, err = d.part(); err != nil {
			return "", nil, fmt.Errorf("%w: message %d: %w", ErrMalformed, len(parts)+1, err)
		}
		parts = append(parts, part)
	}
	if rest := bytes.TrimLeft(d.rest, " \t\r\n"); len(rest) > 0 {
		return "", nil, fmt.Errorf("%w: %d bytes after its end", ErrMalformed, len(rest))
	}
	return p, parts, nil
}

type decoder struct {
	rest     []byte
	bound    string
	protocol Protocol
}

// part reads from after the first delimiter of a message to after the one that
// follows it.
func (d *decoder) part() (p Part, end bool, err error) {
	if err := d.headers(&p); err != nil {
		return p, false, err
	}
	line, ok := d.line()
	name, value := header(line)
	if !ok || name != "content-type" || !strings.EqualFold(mediaType(value), "application/octet-stream") {
		return p, false, fmt.Errorf("%.80q before its data, want Content-Type: application/octet-stream", line)
	}
	// What looks like an empty line is none of a length within bounds.
	d.rest = bytes.TrimPrefix(d.rest, []byte("\r\n"))
	if len(d.rest) < 4 {
		return p, false, fmt.Errorf("it ends without data")
	}
	n := binary.LittleEndian.Uint32(d.rest)
	d.rest = d.rest[4:]
	if n < 1 || n > MaxSignature || int(n) > len(d.rest) {
		return p, false, fmt.Errorf("signature of %d bytes with %d to come, want 1 to %d", n, len(d.rest), MaxSignature)
	}
	p.Signature, d.rest = d.rest[:n:n], d.rest[n:]
	for excess := range maxExcess + 1 {
		at := p.Length + excess
		data := d.rest
		if end, ok := d.delimiter(at); ok {
			p.Data = data[:at:at]
			return p, end, nil
		}
	}
	return p, false, fmt.Errorf("no delimiter after %d bytes of data", p.Length)
}

// headers reads those of a message, and the delimiter before its data.
func (d *decoder) headers(p *Part) error {
	seen := map[string]bool{}
	for range maxHeaders {
		if end, ok := d.delimiter(0); ok {
			switch {
			case end:
				return fmt.Errorf("it ends before its data")
			case !seen["content-type"] || !seen["originalcontent"]:
				return fmt.Errorf("want Content-Type and OriginalContent")
			}
			return nil
		}
		line, ok := d.line()
		if !ok {
			break
		}
		name, value := header(line)
		if name == "" && value == "" {
			continue
		}
		if seen[name] {
			return fmt.Errorf("header %.80q twice", name)
		}
		seen[name] = true
		switch name {
		case "":
			return fmt.Errorf("%.80q is no header", line)
		case "content-type":
			if !strings.EqualFold(mediaType(value), string(d.protocol)) {
				return fmt.Errorf("it is of type %.80q, the body of %s", value, d.protocol)
			}
		case "originalcontent":
			if err := original(value, p); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("headers without an end")
}

// original reads type=application/soap+xml;charset=UTF-8;Length=123.
func original(value string, p *Part) error {
	found := false
	for field := range strings.SplitSeq(value, ";") {
		field = strings.TrimSpace(field)
		key, v, _ := strings.Cut(field, "=")
		key, v = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(v)
		switch {
		case key == "length":
			n, err := strconv.ParseUint(v, 10, 31)
			if err != nil || found {
				return fmt.Errorf("length %.80q, want one number", v)
			}
			p.Length, found = int(n), true
		case key == "type" && p.Type == "":
			p.Type = v
		case p.Type != "" && field != "":
			p.Type += ";" + field
		}
	}
	if !found || p.Type == "" || !printable(p.Type) {
		return fmt.Errorf("OriginalContent %.80q, want type=%s;Length=123", value, SOAP)
	}
	return nil
}

// delimiter reads one that begins at an offset, after which nothing is left of
// what was before it. end says that it is the closing one.
func (d *decoder) delimiter(at int) (end, ok bool) {
	if at > len(d.rest) {
		return false, false
	}
	b, ok := bytes.CutPrefix(d.rest[at:], []byte("--"))
	if !ok {
		return false, false
	}
	for range maxSpaces {
		if len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
			b = b[1:]
		}
	}
	if b, ok = bytes.CutPrefix(b, []byte(d.bound)); !ok {
		return false, false
	}
	b, end = bytes.CutPrefix(b, []byte("--"))
	for range maxSpaces {
		if len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
			b = b[1:]
		}
	}
	switch {
	case bytes.HasPrefix(b, []byte("\r\n")):
		b = b[2:]
	case bytes.HasPrefix(b, []byte("\n")):
		b = b[1:]
	case !end || len(b) > 0:
		return false, false
	}
	d.rest = b
	return end, true
}

// line reads a line without its end.
func (d *decoder) line() (string, bool) {
	i := bytes.IndexByte(d.rest[:min(len(d.rest), maxLine)], '\n')
	if i < 0 {
		return "", false
	}
	line := string(bytes.TrimSuffix(d.rest[:i], []byte("\r")))
	d.rest = d.rest[i+1:]
	return line, true
}

// header splits a line; the name is in lower case. A line without a colon has no
// name.
func header(line string) (name, value string) {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return "", strings.TrimSpace(line)
	}
	return strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
}

func mediaType(value string) string {
	typ, _, _ := strings.Cut(value, ";")
	return strings.TrimSpace(typ)
}
