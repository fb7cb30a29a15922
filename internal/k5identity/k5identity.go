// Package k5identity reads .k5identity files, with which users of MIT krb5 say
// as whom they want to be known by which server (k5identity(5)).
//
// A line is a client principal and conditions on the server, all of which must
// hold; the first line that matches decides:
//
//	alice@KRBTEST.COM       realm=KRBTEST.COM
//	alice/root@EXAMPLE.COM  host=*.servers.example.com service=host
//
// Values are patterns of fnmatch(3). A condition of an unknown name never holds.
package k5identity

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb"
)

const (
	maxSize = 1 << 20 // bytes of a file
	maxLine = 1 << 16
)

// A File is what a .k5identity file says. It is safe for concurrent use.
type File struct{ lines []line }

type line struct {
	client     krb.Principal
	conditions [][2]string // field and pattern
}

// Parse reads a file of at most a mebibyte. Lines that say nothing, or nothing
// that can be understood, are passed over, as MIT does; comments begin with #.
// A principal without a realm is of the given one.
func Parse(r io.Reader, realm string) (*File, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSize {
		return nil, fmt.Errorf("more than %d bytes", maxSize)
	}
	f := &File{}
	scan := bufio.NewScanner(bytes.NewReader(b))
	scan.Buffer(nil, maxLine)
	for scan.Scan() {
		if l, ok := parseLine(scan.Text(), realm); ok {
			f.lines = append(f.lines, l)
		}
	}
	if errors.Is(scan.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("a line of more than %d bytes", maxLine)
	}
	return f, scan.Err()
}

func parseLine(text, realm string) (line, bool) {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\v' || r == '\f' })
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return line{}, false
	}
	p, err := krb.ParsePrincipal(words[0])
	if err != nil {
		return line{}, false
	}
	if p.Realm == "" {
		p.Realm = realm
	}
	l := line{client: p}
	for _, w := range words[1:] {
		field, pattern, ok := strings.Cut(w, "=")
		if !ok || field == "" {
			return line{}, false
		}
		l.conditions = append(l.conditions, [2]string{field, pattern})
	}
	return l, true
}

// Choose returns the client for a server; false where the file leaves it open.
// The server's realm is "" where it is not known.
func (f *File) Choose(server krb.Principal) (krb.Principal, bool) {
	for _, l := range f.lines {
		if l.matches(server) {
			return l.client, true
		}
	}
	return krb.Principal{}, false
}

func (l line) matches(server krb.Principal) bool {
	for _, c := range l.conditions {
		value := ""
		switch n := len(server.Components); {
		case c[0] == "realm":
			value = server.Realm
		case c[0] == "service" && n > 0:
			value = server.Components[0]
		case c[0] == "host" && n == 2:
			value = strings.ToLower(server.Components[1])
		default:
			return false
		}
		if !match(c[1], value) {
			return false
		}
	}
	return true
}
