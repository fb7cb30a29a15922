package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A detour leads connections elsewhere, as --resolve and --connect-to say. Which
// name the server must prove, and TLS asks for, stays that of the URL.
type detour struct {
	addresses map[string][]string // of host:port, from --resolve; the host may be *
	others    map[string]string   // from --connect-to; host and port may be empty
}

func (f *getFlags) detour() (*detour, error) {
	d := &detour{addresses: map[string][]string{}, others: map[string]string{}}
	for _, s := range f.resolve {
		at, list, err := parseResolve(s)
		if err != nil {
			return nil, err
		}
		d.addresses[at] = list
	}
	for _, s := range f.connectTo {
		parts := splitHosts(s)
		if len(parts) != 4 || parts[1] != "" && !isPort(parts[1]) || parts[3] != "" && !isPort(parts[3]) {
			return nil, fmt.Errorf("--connect-to %q: want HOST:PORT:HOST:PORT, each of which may be empty", s)
		}
		d.others[strings.ToLower(parts[0])+":"+parts[1]] = parts[2] + ":" + parts[3]
	}
	return d, nil
}

// parseResolve reads HOST:PORT:ADDRESS[,ADDRESS...].
func parseResolve(s string) (at string, list []string, err error) {
	wrong := fmt.Errorf("--resolve %q: want HOST:PORT:ADDRESS", s)
	parts := strings.SplitN(strings.TrimPrefix(s, "+"), ":", 3)
	if len(parts) != 3 || parts[0] == "" || !isPort(parts[1]) {
		return "", nil, wrong
	}
	for a := range strings.SplitSeq(parts[2], ",") {
		if in, ok := strings.CutPrefix(a, "["); ok {
			a, _ = strings.CutSuffix(in, "]")
		}
		ip, err := netip.ParseAddr(a)
		if err != nil {
			return "", nil, wrong
		}
		list = append(list, ip.String())
	}
	return strings.ToLower(parts[0]) + ":" + parts[1], list, nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// splitHosts splits at colons outside of brackets, which are left out.
func splitHosts(s string) []string {
	var parts []string
	var b strings.Builder
	depth := 0
	for _, c := range s {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == ':' && depth == 0:
			parts = append(parts, b.String())
			b.Reset()
		default:
			b.WriteRune(c)
		}
	}
	return append(parts, b.String())
}

// dial wraps a dialer.
func (d *detour) dial(next func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		host, port = d.other(strings.ToLower(host), port)
		list, ok := d.addresses[host+":"+port]
		if !ok {
			list, ok = d.addresses["*:"+port]
		}
		if !ok {
			list = []string{host}
		}
		var errs []error
		for _, a := range list {
			c, err := next(ctx, network, net.JoinHostPort(a, port))
			if err == nil {
				return c, nil
			}
			errs = append(errs, err)
		}
		return nil, errors.Join(errs...)
	}
}

// other returns where to connect to in place of a host and a port.
func (d *detour) other(host, port string) (string, string) {
	for _, key := range []string{host + ":" + port, ":" + port, host + ":", ":"} {
		to, ok := d.others[key]
		if !ok {
			continue
		}
		i := strings.LastIndex(to, ":")
		if to[:i] != "" {
			host = strings.ToLower(to[:i])
		}
		if to[i+1:] != "" {
			port = to[i+1:]
		}
		break
	}
	return host, port
}

// connections sets how the transport connects.
func (f *getFlags) connections(t *http.Transport) error {
	t.DisableCompression = !f.compressed
	if len(f.resolve)+len(f.connectTo) > 0 {
		d, err := f.detour()
		if err != nil {
			return err
		}
		next := t.DialContext
		if next == nil {
			next = (&net.Dialer{}).DialContext
		}
		t.DialContext = d.dial(next)
	}
	if f.cert == "" {
		if f.key != "" {
			return errors.New("--key needs --cert")
		}
		return nil
	}
	key := f.key
	if key == "" {
		key = f.cert
	}
	certPEM, err := readFile(f.cert)
	if err != nil {
		return &fileError{"--cert", f.cert, err}
	}
	keyPEM, err := readFile(key)
	if err != nil {
		return &fileError{"--key", key, err}
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return &fileError{"--cert", f.cert, err}
	}
	t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	return nil
}

// proxyURL reads the value of -x, which may leave the scheme out.
func proxyURL(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		if _, _, err := net.SplitHostPort(s); err == nil {
			s = "http://" + s
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return nil, errors.New("--proxy: want a URL such as http://proxy.example:3128")
	}
	return u, nil
}
