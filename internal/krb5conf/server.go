package krb5conf

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Ports that are meant where none is written.
const (
	PortKDC   = 88
	PortAdmin = 749
	// PortKpasswd is where passwords are changed (RFC 3244).
	PortKpasswd = 464
	portHTTPS   = 443
)

// A Server is where a KDC or another server of a realm listens.
type Server struct {
	// Host is a name or an address, an IPv6 one without brackets; for Proto
	// "unix" the path of a socket.
	Host string
	Port int // 1 to 65535; 0 for Proto "unix"
	// Proto is "" for UDP and TCP, "udp" or "tcp" for one of them, "https" for
	// MS-KKDCP ([MS-KKDCP] 2.1), "unix" for a socket.
	Proto string
	URL   string // with Proto "https", where to post to
	Value        // what was written, and where
}

// Address returns "host:port", ready to be dialled; for Proto "unix" the path.
func (s Server) Address() string {
	if s.Proto == "unix" {
		return s.Host
	}
	return net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
}

var (
	errHost = errors.New("wanted host, host:port, [address]:port or https://host/path")
	errPort = errors.New("wanted a port from 1 to 65535")
	errURL  = errors.New("wanted https://host[:port]/path")
	errHTTP = errors.New("wanted https://host/path, host:port or tcp/host:port, and no other scheme")
)

// ParseServer reads a server as MIT krb5 does: host, host:port, an IPv6
// address in brackets with or without a port, https:// and a path for a
// KdcProxy, and a path of a socket; as Heimdal does: tcp/host and udp/host; and
// a bare IPv6 address. What follows a blank is not read. The default port is
// for names without one.
func ParseServer(text string, port int) (Server, error) {
	s := Server{Port: port, Value: Value{Text: text}}
	if i := strings.IndexFunc(text, blank); i >= 0 {
		text = text[:i]
	}
	if strings.HasPrefix(text, "/") {
		s.Host, s.Port, s.Proto = text, 0, "unix"
		return s, nil
	}
	if scheme, _, ok := strings.Cut(text, "://"); ok {
		if !strings.EqualFold(scheme, "https") {
			return Server{}, errHTTP
		}
		return s.https(text)
	}
	if proto, rest, ok := strings.Cut(text, "/"); ok {
		switch proto = strings.ToLower(proto); proto {
		case "udp", "tcp":
			s.Proto, text = proto, rest
		case "http":
			return Server{}, errHTTP
		default:
			return Server{}, errHost
		}
	}
	err := s.hostPort(text)
	if err != nil {
		return Server{}, err
	}
	return s, nil
}

func (s Server) https(text string) (Server, error) {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Fragment != "" {
		return Server{}, errURL // err would repeat the text
	}
	s.Proto, s.Port = "https", portHTTPS
	host := u.Hostname()
	if !goodHost(host) {
		return Server{}, errURL
	}
	s.Host = host
	if p := u.Port(); p != "" {
		if s.Port, err = parsePort(p); err != nil {
			return Server{}, err
		}
	}
	u.Scheme = "https"
	s.URL = u.String()
	return s, nil
}

func (s *Server) hostPort(text string) (err error) {
	if rest, ok := strings.CutPrefix(text, "["); ok {
		host, after, ok := strings.Cut(rest, "]")
		addr, err := netip.ParseAddr(host)
		if !ok || err != nil || !addr.Is6() {
			return errHost
		}
		s.Host = host
		if after == "" {
			return nil
		}
		port, ok := strings.CutPrefix(after, ":")
		if !ok {
			return errHost
		}
		s.Port, err = parsePort(port)
		return err
	}
	if strings.Count(text, ":") > 1 {
		if _, err := netip.ParseAddr(text); err != nil {
			return errHost
		}
		s.Host = text
		return nil
	}
	host, port, ok := strings.Cut(text, ":")
	if !goodHost(host) {
		return errHost
	}
	s.Host = host
	if ok {
		s.Port, err = parsePort(port)
		return err
	}
	if _, err := strconv.Atoi(host); err == nil {
		return errHost // a port alone, or something as odd
	}
	return nil
}

// goodHost refuses what cannot be a host and might do harm in a message or a
// URL.
func goodHost(host string) bool {
	return host != "" && len(host) <= 255 && !strings.ContainsFunc(host, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune(`/\@?#[]"<>`, r)
	})
}

func parsePort(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, errPort
	}
	return int(n), nil
}

// servers reads every server under a name of a realm, in the order of the
// files, and leaves out what cannot be read.
func (c *Config) servers(realm, name string, port int) []Server {
	var list []Server
	for _, v := range c.Profile.values([]string{"realms", realm, name}) {
		s, err := ParseServer(v.Text, port)
		if err != nil {
			text := clip(v.Text)
			if strings.Contains(text, "@") {
				text = "text with an @, which may hold a password"
			}
			c.warnf(realm, v, "%s of %s left out: %s: %v", name, clip(realm), text, err)
			continue
		}
		s.Value = v
		if s.Proto == "udp" || s.Proto == "tcp" {
			c.warnf(realm, v, "%s is Heimdal's spelling: MIT krb5 does not know it", clip(v.Text))
		}
		if strings.Contains(v.Text, ",") {
			c.warnf(realm, v, "%s = %s: one server stands on a line, write %[1]s again for each", name, clip(v.Text))
		} else if strings.ContainsFunc(v.Text, blank) {
			c.warnf(realm, v, "%s: what follows the blank is not read, a comment stands on a line of its own", clip(v.Text))
		}
		list = append(list, s)
	}
	return list
}
