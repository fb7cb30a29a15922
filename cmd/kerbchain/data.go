package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// A datum is what one of the flags for data and -w said.
type datum struct{ flag, text string }

// data collects them in the order of the command line, as values of pflag.
type data struct {
	flag string
	list *[]datum
}

func (d data) String() string { return "" }
func (d data) Type() string   { return "data" }
func (d data) Set(s string) error {
	*d.list = append(*d.list, datum{d.flag, s})
	return nil
}

// file returns the file that a datum names.
func (d datum) file() (name string, ok bool) {
	if d.flag == "data-raw" || d.flag == "data-urlencode" {
		return "", false
	}
	return strings.CutPrefix(d.text, "@")
}

// encoded returns what --data-urlencode makes of "content", "=content", "name=content",
// "@file" and "name@file": the content as forms are encoded, and the name as it is.
func (d datum) encoded(w world) ([]byte, error) {
	name, content, inline := strings.Cut(d.text, "=")
	if !inline {
		var file string
		var named bool
		if name, file, named = strings.Cut(d.text, "@"); named {
			b, err := readInput(file, w)
			if err != nil {
				return nil, fmt.Errorf("--%s: %w", d.flag, err)
			}
			content = string(b)
		} else {
			name, content = "", d.text
		}
	}
	if name != "" {
		name += "="
	}
	return []byte(name + url.QueryEscape(content)), nil
}

// read returns what is to be sent for a datum: of a file whole, save that -d, and so -w,
// leave out line breaks and zero bytes, as curl does.
func (d datum) read(w world) ([]byte, error) {
	if d.flag == "data-urlencode" {
		return d.encoded(w)
	}
	name, file := d.file()
	if !file {
		return []byte(d.text), nil
	}
	b, err := readInput(name, w)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", d.flag, err)
	}
	if d.flag == "data" || d.flag == "write-out" {
		b = slices.DeleteFunc(b, func(c byte) bool { return c == '\r' || c == '\n' || c == 0 })
	}
	return b, nil
}

// joined returns all data, with & between them, but for those of --json.
func (f *getFlags) joined(w world) ([]byte, error) {
	var all []byte
	for i, d := range f.data {
		b, err := d.read(w)
		if err != nil {
			return nil, err
		}
		if i > 0 && d.flag != "json" {
			all = append(all, '&')
		}
		all = append(all, b...)
	}
	return all, nil
}

// body sets the request's body so that it can be sent again. One file alone that is
// sent as it is, is opened anew for each leg; all else is held in memory, as are pipes
// and files that say nothing of their size.
func (f *getFlags) body(r *http.Request, w world) error {
	name, file := f.data[0].file()
	if info, err := os.Stat(name); len(f.data) == 1 && file && name != "-" && f.data[0].flag != "data" && err == nil && info.Mode().IsRegular() {
		if err := setFile(r, name, info); err != nil {
			return fmt.Errorf("--%s: %w", f.data[0].flag, err)
		}
		return nil
	}
	b, err := f.joined(w)
	if err != nil {
		return err
	}
	setBytes(r, b)
	return nil
}

// setBytes sets a body that is held in memory.
func setBytes(r *http.Request, b []byte) {
	if len(b) == 0 {
		r.Body = http.NoBody
		return
	}
	r.ContentLength = int64(len(b))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	r.Body = io.NopCloser(bytes.NewReader(b))
}

// asQuery puts the data into the URL, as -G says.
func (f *getFlags) asQuery(r *http.Request, w world) error {
	b, err := f.joined(w)
	if err != nil {
		return err
	}
	for _, c := range b {
		if c <= ' ' || c == '#' || c == 0x7f {
			return errors.New("-G: the data hold a blank or another character that no URL may: write it as %20 and the like")
		}
	}
	switch q := &r.URL.RawQuery; {
	case *q == "":
		*q = string(b)
	case len(b) > 0:
		*q += "&" + string(b)
	}
	return nil
}

// longForm is up to how many bytes of a form go without asking first, as by curl.
const longForm = 1 << 20

// framing says where a message ends, which net/http writes by itself.
var framing = []string{"Content-Length", "Transfer-Encoding", "Trailer"}

// headerLines returns what -H gives, line by line where it is a file.
func (f *getFlags) headerLines(w world) ([]string, error) {
	var lines []string
	for _, h := range f.headers {
		b, err := datum{"header", h}.read(w)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(h, "@") {
			lines = append(lines, h)
			continue
		}
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimRight(line, "\r\n"); line != "" {
				lines = append(lines, line)
			}
		}
	}
	return lines, nil
}

// setHeader sets what -H, -A and the flags for data say. As of curl, "Name: value" is
// sent once for each time it is given, "Name;" is sent with no value, and "Name:"
// takes back what would be sent without it.
func (f *getFlags) setHeader(r *http.Request, w world) error {
	lines, err := f.headerLines(w)
	if err != nil {
		return err
	}
	h := r.Header
	h.Set("Accept", "*/*")
	if !httpguts.ValidHeaderFieldValue(f.agent) {
		return errors.New("-A: the name holds a line break or another character that no header may")
	}
	if f.agent != "" || f.noAgent {
		h.Set("User-Agent", f.agent) // an empty one tells net/http to send none
	}
	if f.upload != "" && r.GetBody != nil || len(f.form) > 0 && r.ContentLength > longForm {
		h.Set("Expect", "100-continue") // as of curl, so that a 401 comes before the body goes; of a stream HEAD sees to that
	}
	if len(f.data) > 0 && !f.query {
		h.Set("Content-Type", "application/x-www-form-urlencoded")
		switch last := f.data[len(f.data)-1]; {
		case last.flag == "json":
			h.Set("Content-Type", "application/json")
			h.Set("Accept", "application/json")
		case f.winrm:
			h.Set("Content-Type", "application/soap+xml;charset=UTF-8")
		}
	}
	given := map[string]bool{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		bare, none := strings.CutSuffix(strings.TrimSpace(line), ";")
		empty := !ok && none
		if empty {
			name = bare
		}
		name, value = http.CanonicalHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !ok && !empty || !httpguts.ValidHeaderFieldName(name):
			return errors.New(`-H: want "Name: value"`)
		case !httpguts.ValidHeaderFieldValue(value):
			return fmt.Errorf("-H: the value of %s holds a line break or another character that no header may", name)
		case name == "Host":
			r.Host = value
		case name == "Content-Type" && len(f.form) > 0:
			return errors.New("-H: Content-Type is for -F to say, which knows what stands between its parts")
		case name == "Transfer-Encoding" && strings.EqualFold(value, "chunked") && (r.GetBody != nil || isStream(r)):
			r.ContentLength = -1
		case name == "Content-Length" && value == strconv.FormatInt(r.ContentLength, 10):
		case slices.Contains(framing, name):
			return fmt.Errorf("-H: %s is for the data to say", name)
		case value == "" && !empty:
			h.Del(name)
			if name == "User-Agent" {
				h[name] = []string{""} // by which net/http is told to send none
			}
		default:
			if !given[name] {
				h.Del(name)
			}
			given[name] = true
			h.Add(name, value)
		}
	}
	return nil
}
