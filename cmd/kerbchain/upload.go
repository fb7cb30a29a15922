package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// fromStdin reports whether -T sends standard input, by either of curl's names for it.
func (f *getFlags) fromStdin() bool { return f.upload == "-" || f.upload == "." }

// setUpload sets the body that -T names, which no length bounds: a file is opened anew
// each time it is sent, and standard input or a pipe is sent as it comes. A URL that ends
// in a slash is for the file by its name, as of curl.
func (f *getFlags) setUpload(r *http.Request, w world) error {
	if f.fromStdin() {
		setStream(r, io.NopCloser(w.stdin))
		return nil
	}
	info, err := os.Stat(f.upload)
	switch {
	case err != nil:
		return fmt.Errorf("-T: %w", err)
	case info.IsDir():
		return fmt.Errorf("-T: %s is a folder", f.upload)
	}
	if u := r.URL; u.Path == "" || strings.HasSuffix(u.Path, "/") {
		name := filepath.Base(f.upload)
		u.RawPath = cmp.Or(u.EscapedPath(), "/") + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
		u.Path = cmp.Or(u.Path, "/") + name
	}
	if !info.Mode().IsRegular() {
		file, err := os.Open(f.upload)
		if err != nil {
			return fmt.Errorf("-T: %w", err)
		}
		setStream(r, file)
		return nil
	}
	if err := setFile(r, f.upload, info); err != nil {
		return fmt.Errorf("-T: %w", err)
	}
	return nil
}

// setStream sets a body that can be read once, and whose length nobody knows.
func setStream(r *http.Request, body io.ReadCloser) { r.Body, r.ContentLength = body, -1 }

// isStream reports whether setStream set the body.
func isStream(r *http.Request) bool { return r.ContentLength < 0 && r.GetBody == nil }

// setFile sets a regular file as the body. One that says nothing of its size, as those in
// /proc, is held in memory.
func setFile(r *http.Request, name string, info os.FileInfo) (err error) {
	if info.Size() == 0 {
		b, err := readFile(name)
		if err != nil {
			return err
		}
		setBytes(r, b)
		return nil
	}
	r.ContentLength = info.Size()
	r.GetBody = func() (io.ReadCloser, error) {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		return &fileBody{File: file, size: info.Size()}, nil
	}
	r.Body, err = r.GetBody()
	return err
}

// A fileBody is as much of a file as there was when its length was told. What is appended
// to it meanwhile, as to a log, stays.
type fileBody struct {
	*os.File
	size, read int64
}

func (b *fileBody) Read(p []byte) (int, error) {
	left := b.size - b.read
	if left == 0 {
		return 0, io.EOF
	}
	n, err := b.File.Read(p[:min(int64(len(p)), left)])
	b.read += int64(n)
	if err == io.EOF {
		err = fmt.Errorf("%s has become shorter: %d of %d bytes were read", b.Name(), b.read, b.size)
	}
	return n, err
}

// sendAgain makes a redirect's request one with the first one's body, which net/http
// leaves out after a 301 or 302. A stream cannot be sent again.
func sendAgain(next, first *http.Request) error {
	if isStream(first) {
		return http.ErrUseLastResponse
	}
	if next.Body != nil {
		next.Body.Close() // net/http has opened it after a 307 or 308
	}
	next.Method = first.Method
	next.ContentLength, next.GetBody, next.Body = first.ContentLength, first.GetBody, http.NoBody
	for name, values := range first.Header {
		if strings.HasPrefix(name, "Content-") {
			next.Header[name] = slices.Clone(values)
		}
	}
	if first.GetBody == nil {
		return nil
	}
	var err error
	next.Body, err = first.GetBody()
	return err
}
