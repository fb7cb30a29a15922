package kerberos

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb5conf"
)

const (
	maxAnchorFile  = 4 << 20 // bytes
	maxAnchorFiles = 1024    // in one folder
)

var (
	errAnchorForm = errors.New("wanted FILE:path, DIR:path or ENV:variable")
	errNoAnchor   = errors.New("there is no certificate in it")
)

// proxyTLS returns a function that gives the TLS configuration for the KDC proxies of a
// realm: SourceOptions.ProxyTLS, and if that names no roots, the http_anchors of the
// realm in krb5.conf. Their files are read anew for each connection.
func proxyTLS(o SourceOptions, conf *krb5conf.Config) func(realm string) (*tls.Config, error) {
	return func(realm string) (*tls.Config, error) {
		out := o.ProxyTLS.Clone()
		if out == nil {
			out = new(tls.Config)
		}
		values := conf.RealmValues(realm, "http_anchors")
		if out.RootCAs != nil || len(values) == 0 {
			return out, nil
		}
		out.RootCAs = x509.NewCertPool()
		for _, v := range values {
			if err := addAnchors(out.RootCAs, v.Text, o.Getenv); err != nil {
				return nil, fmt.Errorf("http_anchors in %s: %w", v.Where(), err)
			}
		}
		return out, nil
	}
}

// addAnchors adds the certificates of one value of http_anchors: those in a
// file, in all files of a folder, or where an environment variable says.
func addAnchors(to *x509.CertPool, value string, getenv func(string) string) error {
	kind, name, _ := strings.Cut(value, ":")
	if kind == "ENV" {
		kind, name, _ = strings.Cut(getenv(name), ":")
	}
	switch {
	case name == "":
		return errAnchorForm
	case kind == "FILE":
		b, err := readAnchors(name)
		if err != nil {
			return err
		}
		if !to.AppendCertsFromPEM(b) {
			return fmt.Errorf("%s: %w", name, errNoAnchor)
		}
		return nil
	case kind == "DIR":
		return addAnchorsIn(to, name)
	}
	return errAnchorForm
}

// addAnchorsIn adds the certificates in all files of a folder. Files of other kinds are
// passed over, as long as one file holds certificates.
func addAnchorsIn(to *x509.CertPool, dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Readdirnames(maxAnchorFiles)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	found := false
	for _, name := range names {
		b, err := readAnchors(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		found = to.AppendCertsFromPEM(b) || found
	}
	if !found {
		return fmt.Errorf("%s: %w", dir, errNoAnchor)
	}
	return nil
}

// readAnchors reads a regular file only: reading a pipe or a device might never end.
func readAnchors(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxAnchorFile {
		return nil, &fs.PathError{Op: "read certificates", Path: path, Err: errors.New("not a regular file of at most 4 MiB")}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxAnchorFile))
}
