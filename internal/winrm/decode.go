package winrm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
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

// parse takes a body apart, and appends to parts, which are none, at least one that shares
// its memory. It is tolerant of what peers do to the framing: case, white space, line
// ends, a delimiter with a space in it, no charset, several messages; and strict about
// lengths: data are never searched for a delimiter, which ciphertext may contain, but end
// where their length says.
//
// Errors wrap [ErrNotEncrypted], [ErrProtocol] or [ErrMalformed].
func parse(parts []Part, contentType string, body []byte) (Protocol, []Part, error) {
	p, bound, err := parseType(contentType)
	if err != nil {
		return "", nil, err
	}
	d := &decoder{rest: bytes.TrimLeft(body, " \t\r\n"), bound: bound, protocol: p}
	end, ok := d.delimiter(0)
	if !ok || end {
		return "", nil, fmt.Errorf("%w: it begins without the delimiter --%s", ErrMalformed, bound)
	}
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

// A Part is one encrypted message.
type Part struct {
	// Type is the media type of the message, such as SOAP.
	Type string
	// Length is that of the message in bytes. Peers with padding count it or do
	// not.
	Length int
	// Signature is the first part of the token, 1 to maxSignature bytes; Data is
	// the rest.
	Signature, Data []byte
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
	if !ok || !is(name, "content-type") || !is(mediaType(value), "application/octet-stream") {
		return p, false, fmt.Errorf("%.80q before its data, want Content-Type: application/octet-stream", line)
	}
	// An empty line may stand here. Read as a length, its bytes are out of bounds.
	d.rest = bytes.TrimPrefix(d.rest, []byte("\r\n"))
	if len(d.rest) < 4 {
		return p, false, fmt.Errorf("it ends without data")
	}
	n := binary.LittleEndian.Uint32(d.rest)
	d.rest = d.rest[4:]
	if n < 1 || n > maxSignature || int(n) > len(d.rest) {
		return p, false, fmt.Errorf("signature of %d bytes with %d to come, want 1 to %d", n, len(d.rest), maxSignature)
	}
	p.Signature, d.rest = d.rest[:n:n], d.rest[n:]
	for excess := 0; excess <= maxExcess && p.Length <= len(d.rest)-excess; excess++ { // Length may be the largest int there is
		at, data := p.Length+excess, d.rest
		if end, ok := d.delimiter(at); ok {
			p.Data = data[:at:at]
			return p, end, nil
		}
	}
	return p, false, fmt.Errorf("no delimiter after %d bytes of data", p.Length)
}

// headers reads those of a message, and the delimiter before its data.
func (d *decoder) headers(p *Part) error {
	var names [maxHeaders][]byte
	seen := names[:0]
	typed := false
	for range maxHeaders {
		if end, ok := d.delimiter(0); ok {
			switch {
			case end:
				return fmt.Errorf("it ends before its data")
			case !typed || p.Type == "":
				return fmt.Errorf("want Content-Type and OriginalContent")
			}
			return nil
		}
		line, ok := d.line()
		if !ok {
			break
		}
		name, value := header(line)
		switch {
		case len(name) == 0 && len(value) == 0:
			continue
		case len(name) == 0:
			return fmt.Errorf("%.80q is no header", line)
		case slices.ContainsFunc(seen, func(other []byte) bool { return bytes.EqualFold(name, other) }):
			return fmt.Errorf("header %.80q twice", name)
		}
		seen = append(seen, name)
		switch {
		case is(name, "content-type"):
			if typed = is(mediaType(value), string(d.protocol)); !typed {
				return fmt.Errorf("it is of type %.80q, the body of %s", value, d.protocol)
			}
		case is(name, "originalcontent"):
			if err := original(value, p); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("headers without an end")
}

// original reads type=application/soap+xml;charset=UTF-8;Length=123.
func original(value []byte, p *Part) error {
	found := false
	var room [len(SOAP)]byte
	typ := room[:0]
	for field := range bytes.SplitSeq(value, []byte(";")) {
		field = bytes.TrimSpace(field)
		key, v, _ := bytes.Cut(field, []byte("="))
		key, v = bytes.TrimSpace(key), bytes.TrimSpace(v)
		switch {
		case is(key, "length"):
			n, err := strconv.ParseUint(string(v), 10, 31)
			if err != nil || found {
				return fmt.Errorf("length %.80q, want one number", v)
			}
			p.Length, found = int(n), true
		case is(key, "type") && len(typ) == 0:
			typ = append(typ, v...)
		case len(typ) > 0 && len(field) > 0:
			typ = append(append(typ, ';'), field...)
		}
	}
	if !found || len(typ) == 0 || !printable(typ) {
		return fmt.Errorf("OriginalContent %.80q, want type=%s;Length=123", value, SOAP)
	}
	if p.Type = SOAP; string(typ) != SOAP {
		p.Type = string(typ)
	}
	return nil
}

// delimiter reads the one that begins at an offset, if one does, and with it what stands
// before it. end says that it is the closing one.
func (d *decoder) delimiter(at int) (end, ok bool) {
	b, ok := bytes.CutPrefix(d.rest[at:], []byte("--"))
	if !ok {
		return false, false
	}
	if b, ok = bytes.CutPrefix(skipSpaces(b), []byte(d.bound)); !ok {
		return false, false
	}
	b, end = bytes.CutPrefix(b, []byte("--"))
	b = skipSpaces(b)
	rest, newline := bytes.CutPrefix(bytes.TrimPrefix(b, []byte("\r")), []byte("\n"))
	if !newline && (!end || len(b) > 0) {
		return false, false
	}
	d.rest = rest
	return end, true
}

// skipSpaces takes a few blanks off the beginning.
func skipSpaces(b []byte) []byte {
	n := 0
	for n < min(len(b), maxSpaces) && (b[n] == ' ' || b[n] == '\t') {
		n++
	}
	return b[n:]
}

// line reads a line without its end.
func (d *decoder) line() ([]byte, bool) {
	i := bytes.IndexByte(d.rest[:min(len(d.rest), maxLine)], '\n')
	if i < 0 {
		return nil, false
	}
	line := bytes.TrimSuffix(d.rest[:i], []byte("\r"))
	d.rest = d.rest[i+1:]
	return line, true
}

// header splits a line. A line without a colon has no name.
func header(line []byte) (name, value []byte) {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return nil, bytes.TrimSpace(line)
	}
	return bytes.TrimSpace(name), bytes.TrimSpace(value)
}

func mediaType(value []byte) []byte {
	typ, _, _ := bytes.Cut(value, []byte(";"))
	return bytes.TrimSpace(typ)
}

// is compares in any case.
func is(b []byte, s string) bool { return bytes.EqualFold(b, []byte(s)) }
