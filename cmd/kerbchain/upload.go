package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
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
	return setFile(r, f.upload, info)
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
	r.GetBody = func() (io.ReadCloser, error) { return os.Open(name) }
	r.Body, err = r.GetBody()
	return err
}
