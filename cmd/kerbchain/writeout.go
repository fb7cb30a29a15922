package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/middleware"
)

// A transfer is what -w tells of a request.
type transfer struct {
	method, url string
	begin       time.Time
	sent        int64
	received    int64
	redirects   int
	exit        int
	message     string
	resp        *http.Response // nil where there is none

	mu      sync.Mutex
	remote  string // address:port
	first   time.Duration
	connect time.Duration
}

// hooks note what the transport tells.
func (t *transfer) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.remote = i.Conn.RemoteAddr().String()
			if t.connect == 0 {
				t.connect = time.Since(t.begin)
			}
		},
		GotFirstResponseByte: func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.first = time.Since(t.begin)
		},
	}
}

// variable returns the value of a variable of -w, by curl's names, and of two of ours.
func (t *transfer) variable(name string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	status, version, header := 0, "0", http.Header{}
	if t.resp != nil {
		status, header = t.resp.StatusCode, t.resp.Header
		version = strconv.Itoa(t.resp.ProtoMajor)
		if t.resp.ProtoMajor == 1 {
			version = fmt.Sprintf("1.%d", t.resp.ProtoMinor)
		}
	}
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }
	host, port, _ := net.SplitHostPort(t.remote)
	switch name {
	case "http_code", "response_code":
		return fmt.Sprintf("%03d", status), true
	case "http_version":
		return version, true
	case "content_type":
		return header.Get("Content-Type"), true
	case "redirect_url":
		if t.resp != nil {
			if u, err := t.resp.Location(); err == nil {
				return u.String(), true
			}
		}
		return "", true
	case "method":
		return t.method, true
	case "url", "url_effective":
		if name == "url_effective" && t.resp != nil && t.resp.Request != nil {
			return t.resp.Request.URL.String(), true
		}
		return t.url, true
	case "scheme":
		scheme, _, _ := strings.Cut(t.url, ":")
		return scheme, true
	case "num_redirects":
		return strconv.Itoa(t.redirects), true
	case "size_download":
		return strconv.FormatInt(t.received, 10), true
	case "size_upload":
		return strconv.FormatInt(t.sent, 10), true
	case "time_total":
		return seconds(time.Since(t.begin)), true
	case "time_connect", "time_appconnect":
		return seconds(t.connect), true
	case "time_starttransfer":
		return seconds(t.first), true
	case "remote_ip":
		return host, true
	case "remote_port":
		return port, true
	case "exitcode":
		return strconv.Itoa(t.exit), true
	case "errormsg":
		return t.message, true
	case "verified":
		if t.resp != nil {
			sc := middleware.SecurityOf(t.resp.Request)
			return strconv.FormatBool(sc != nil && sc.Verified() || middleware.Trusted(t.resp.Request)), true
		}
		return "false", true
	case "principal":
		if t.resp != nil && t.resp.Request != nil {
			return middleware.PrincipalOf(t.resp.Request), true
		}
		return "", true
	}
	if field, ok := strings.CutPrefix(name, "header{"); ok {
		h := header.Clone()
		redact(h)
		return h.Get(strings.TrimSuffix(field, "}")), true
	}
	return "", false
}

// expand writes the format of -w: variables in %{}, %% and the escapes \n, \r and \t.
func (t *transfer) expand(format string) string {
	var b strings.Builder
	for s := format; s != ""; {
		switch {
		case strings.HasPrefix(s, "%%"):
			b.WriteByte('%')
			s = s[2:]
		case strings.HasPrefix(s, "%{"):
			end := strings.Index(s, "}")
			if strings.HasPrefix(s, "%{header{") {
				if end = strings.Index(s, "}}"); end >= 0 {
					end++
				}
			}
			if end < 0 {
				b.WriteString(s)
				return b.String()
			}
			v, ok := t.variable(s[2:end])
			if !ok {
				v = s[:end+1]
			}
			b.WriteString(v)
			s = s[end+1:]
		case len(s) > 1 && s[0] == '\\' && strings.IndexByte("nrt", s[1]) >= 0:
			b.WriteByte(map[byte]byte{'n': '\n', 'r': '\r', 't': '\t'}[s[1]])
			s = s[2:]
		default:
			b.WriteByte(s[0])
			s = s[1:]
		}
	}
	return b.String()
}
