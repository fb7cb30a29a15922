package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// A part is what one -F or --form-string says.
type part struct {
	name, text  string
	file        string // whose content it is, in place of text
	filename    string // what the server is told; "" for nothing
	contentType string
}

// parsePart reads name=content as curl does: @file or <file for what a file holds, whose name
// only @ tells; words in quotes; and after semicolons the parameters type and filename.
func parsePart(d datum) (p part, err error) {
	name, content, ok := strings.Cut(d.text, "=")
	if p.name = name; !ok || name == "" {
		return p, fmt.Errorf("--%s: want name=content", d.flag)
	}
	if d.flag == "form-string" {
		p.text = content
		return p, nil
	}
	if strings.HasPrefix(content, "(") {
		return p, errors.New("-F: parts within parts are not sent: for text that begins with ( take --form-string")
	}
	kind, of := "", content
	if strings.HasPrefix(content, "@") || strings.HasPrefix(content, "<") {
		kind, of = content[:1], content[1:]
	}
	word, rest := cutWord(of)
	switch {
	case kind == "":
		p.text = word
	case word == "":
		return p, fmt.Errorf("-F: want a file after %s, or - for standard input", kind)
	case kind == "@" && of[0] != '"' && strings.Contains(word, ","):
		return p, errors.New(`-F: want one file for each -F, and one whose name has a comma in quotes: name=@"a,b"`)
	default:
		p.file = word
	}
	if kind == "@" {
		p.filename = filepath.Base(word)
	}
	if err := p.parameters(rest); err != nil {
		return p, err
	}
	if strings.ContainsAny(p.contentType, "\r\n") {
		return p, errors.New("-F: the type holds a line break")
	}
	if p.contentType == "" {
		p.contentType = p.guess()
	}
	return p, nil
}

// guess is the type of what says none, as curl has it.
func (p part) guess() string {
	kind, file := typeOf(p.filename), p.file != "" && p.file != "-"
	if file {
		kind = cmp.Or(kind, typeOf(p.file))
	}
	switch {
	case p.filename == "" && kind == "text/plain":
		return "" // as of text
	case p.filename != "" && kind == "" && file:
		return "application/octet-stream"
	}
	return kind
}

// parameters reads what comes after the content: ;type=TYPE, which may have parameters of
// its own, and ;filename=NAME.
func (p *part) parameters(rest string) error {
	for typed := false; rest != ""; {
		key, _, _ := strings.Cut(strings.TrimSpace(rest[1:]), "=")
		_, value, _ := strings.Cut(rest, "=")
		value, after := cutWord(value)
		switch {
		case key == "type":
			p.contentType, typed = value, true
		case key == "filename":
			p.filename = value
		case typed && !strings.ContainsAny(key, "; "): // such as charset
			p.contentType += strings.TrimRight(rest[:len(rest)-len(after)], " ")
		default:
			return fmt.Errorf("-F: %q is no parameter: want type or filename, and for text with a semicolon quotes or --form-string", key)
		}
		rest = after
	}
	return nil
}

// cutWord returns a text up to a semicolon, or within quotes, and what comes after it.
func cutWord(s string) (word, rest string) {
	s = strings.TrimLeft(s, " \t\r\n")
	if quoted, ok := strings.CutPrefix(s, `"`); ok {
		var b strings.Builder
		for i := 0; i < len(quoted); i++ {
			switch {
			case quoted[i] == '\\' && i+1 < len(quoted) && strings.IndexByte(`\"`, quoted[i+1]) >= 0:
				i++
			case quoted[i] == '"':
				_, rest, more := strings.Cut(quoted[i+1:], ";")
				if more {
					rest = ";" + rest
				}
				return b.String(), rest
			}
			b.WriteByte(quoted[i])
		}
	}
	i := strings.IndexByte(s+";", ';')
	return strings.TrimRight(s[:i], " \t\r\n"), s[i:]
}

// typeOf is curl's guess at what a file holds, "" for none.
func typeOf(name string) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".gif":
		return "image/gif"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".png":
		return "image/png"
	case ".svg":
		return "image/svg+xml"
	case ".txt":
		return "text/plain"
	case ".htm", ".html":
		return "text/html"
	case ".pdf":
		return "application/pdf"
	case ".xml":
		return "application/xml"
	}
	return ""
}

// header is what comes before the part's content.
func (p part) header() textproto.MIMEHeader {
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`"`, "%22", "\r", "%0D", "\n", "%0A").Replace(s) + `"`
	}
	disposition := "form-data; name=" + quote(p.name)
	if p.filename != "" {
		disposition += "; filename=" + quote(p.filename)
	}
	h := textproto.MIMEHeader{"Content-Disposition": {disposition}}
	if p.contentType != "" {
		h["Content-Type"] = []string{p.contentType}
	}
	return h
}

// A piece is so much of a form, which is opened when it is sent.
type piece struct {
	size int64
	open func() (io.ReadCloser, error)
}

func pieceOf(b []byte) piece {
	return piece{int64(len(b)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
}

// content returns the piece for the part's content. What says nothing of its size is read.
func (p part) content(w world) (piece, error) {
	if p.file == "" {
		return pieceOf([]byte(p.text)), nil
	}
	info, err := os.Stat(p.file)
	if p.file != "-" && err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		return piece{info.Size(), func() (io.ReadCloser, error) {
			f, err := os.Open(p.file)
			if err != nil {
				return nil, err
			}
			return &fileBody{File: f, size: info.Size()}, nil
		}}, nil
	}
	b, err := readInput(p.file, w)
	return pieceOf(b), err
}

// setForm sets the body that -F and --form-string make together (RFC 7578).
func (f *getFlags) setForm(r *http.Request, w world) error {
	var head bytes.Buffer
	form := multipart.NewWriter(&head)
	var pieces []piece
	cut := func() { // what was written to head
		pieces = append(pieces, pieceOf(bytes.Clone(head.Bytes())))
		head.Reset()
	}
	for _, d := range f.form {
		p, err := parsePart(d)
		if err != nil {
			return err
		}
		content, err := p.content(w)
		if err != nil {
			return fmt.Errorf("-F: %w", err)
		}
		_, _ = form.CreatePart(p.header()) // to memory
		cut()
		pieces = append(pieces, content)
	}
	form.Close()
	cut()
	r.Header.Set("Content-Type", form.FormDataContentType())
	for _, p := range pieces {
		r.ContentLength += p.size
	}
	r.GetBody = func() (io.ReadCloser, error) { return &formBody{rest: slices.Clone(pieces)}, nil }
	r.Body, _ = r.GetBody()
	return nil
}

// A formBody reads one piece after the other. Transports close bodies while they are read.
type formBody struct {
	mu   sync.Mutex
	rest []piece
	now  io.ReadCloser // nil before the next one is opened
}

func (b *formBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if b.now == nil {
			if len(b.rest) == 0 {
				return 0, io.EOF
			}
			var err error
			if b.now, err = b.rest[0].open(); err != nil {
				return 0, err
			}
			b.rest = b.rest[1:]
		}
		n, err := b.now.Read(p)
		if err == io.EOF {
			err = b.now.Close()
			b.now = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (b *formBody) Close() (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now != nil {
		err = b.now.Close()
	}
	b.rest, b.now = nil, nil
	return err
}
