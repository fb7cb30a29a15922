package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kerbchain/kerbchain/middleware"
)

// A transfer is what -w tells of a request.
type transfer struct {
	method, url string
	begin       time.Time
	sent        atomic.Int64
	received    int64
	redirects   int
	exit        int
	message     string
	file        string         // of -o and -O
	resp        *http.Response // nil where there is none

	mu          sync.Mutex
	local       string // address:port
	remote      string
	connections int // new ones
	// When what came first, since the beginning. Of what there was none, 0.
	lookup, connect, handshake, request, first time.Duration
}

// sends notes what is sent. Of a stream that is known when it has been read.
func (t *transfer) sends(r *http.Request) {
	t.method = r.Method
	if !isStream(r) {
		t.sent.Store(max(r.ContentLength, 0))
		return
	}
	r.Body = &countedBody{counted{r.Body, func(n int) { t.sent.Add(int64(n)) }}, r.Body}
}

// hooks note what the transport tells.
func (t *transfer) hooks() *httptrace.ClientTrace {
	at := func(d *time.Duration) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if *d == 0 {
			*d = time.Since(t.begin)
		}
	}
	return &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.local, t.remote = i.Conn.LocalAddr().String(), i.Conn.RemoteAddr().String()
			if !i.Reused {
				t.connections++
			}
		},
		DNSDone: func(httptrace.DNSDoneInfo) { at(&t.lookup) },
		ConnectDone: func(_, _ string, err error) {
			if err == nil {
				at(&t.connect)
			}
		},
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err == nil {
				at(&t.handshake)
			}
		},
		WroteHeaders:         func() { at(&t.request) },
		GotFirstResponseByte: func() { at(&t.first) },
	}
}

// variable returns the value of a variable of -w, by curl's names, and of two of ours.
func (t *transfer) variable(name string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	status, version, header := 0, "0", http.Header{}
	if t.resp != nil {
		status, header = t.resp.StatusCode, t.resp.Header.Clone()
		redact(header)
		version = strconv.Itoa(t.resp.ProtoMajor)
		if t.resp.ProtoMajor == 1 {
			version = fmt.Sprintf("1.%d", t.resp.ProtoMinor)
		}
	}
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }
	speed := func(n int64) string { return fmt.Sprintf("%.0f", float64(n)/time.Since(t.begin).Seconds()) }
	localHost, localPort, _ := net.SplitHostPort(t.local)
	host, port, _ := net.SplitHostPort(t.remote)
	effective := t.url
	if t.resp != nil && t.resp.Request != nil {
		effective = t.resp.Request.URL.String()
	}
	switch name {
	case "http_code", "response_code":
		return fmt.Sprintf("%03d", status), true
	case "http_version":
		return version, true
	case "content_type":
		return header.Get("Content-Type"), true
	case "redirect_url":
		if t.resp != nil && t.resp.StatusCode/100 == 3 {
			if u, err := t.resp.Location(); err == nil {
				return u.String(), true
			}
		}
		return "", true
	case "method":
		return t.method, true
	case "url":
		return t.url, true
	case "url_effective":
		return effective, true
	case "scheme":
		scheme, _, _ := strings.Cut(effective, ":")
		return scheme, true
	case "num_redirects":
		return strconv.Itoa(t.redirects), true
	case "num_headers":
		n := 0
		for _, values := range header {
			n += len(values)
		}
		return strconv.Itoa(n), true
	case "num_connects":
		return strconv.Itoa(t.connections), true
	case "size_download":
		return strconv.FormatInt(t.received, 10), true
	case "size_upload":
		return strconv.FormatInt(t.sent.Load(), 10), true
	case "speed_download":
		return speed(t.received), true
	case "speed_upload":
		return speed(t.sent.Load()), true
	case "time_total":
		return seconds(time.Since(t.begin)), true
	case "time_namelookup":
		return seconds(t.lookup), true
	case "time_connect":
		return seconds(t.connect), true
	case "time_appconnect":
		return seconds(t.handshake), true
	case "time_pretransfer":
		return seconds(t.request), true
	case "time_starttransfer":
		return seconds(t.first), true
	case "local_ip":
		return localHost, true
	case "local_port":
		return localPort, true
	case "remote_ip":
		return host, true
	case "remote_port":
		return port, true
	case "filename_effective":
		return t.file, true
	case "header_json":
		lower := map[string][]string{}
		for field, values := range header {
			lower[strings.ToLower(field)] = values
		}
		b, err := json.Marshal(lower)
		return string(b), err == nil
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
	return "", false
}

// field returns a field of the response's header, by %header{NAME}.
func (t *transfer) field(name string) string {
	if t.resp == nil {
		return ""
	}
	h := t.resp.Header.Clone()
	redact(h)
	return h.Get(name)
}

// tell writes the format of -w: variables in %{}, fields of the header in %header{}, %%
// and the escapes \n, \r and \t. As by curl, what follows %{stderr} goes to standard
// error, what follows %{onerror} nowhere unless the command failed.
func (t *transfer) tell(format string, stdout, stderr io.Writer) error {
	var texts [2]strings.Builder // for stdout, stderr
	to := &texts[0]
format:
	for s := format; s != ""; {
		name, rest, ok := strings.Cut(s, "}")
		switch {
		case strings.HasPrefix(s, "%%"):
			to.WriteByte('%')
			s = s[2:]
		case ok && strings.HasPrefix(name, "%header{"):
			to.WriteString(t.field(name[len("%header{"):]))
			s = rest
		case ok && strings.HasPrefix(name, "%{"):
			switch name = name[2:]; name {
			case "stdout":
				to = &texts[0]
			case "stderr":
				to = &texts[1]
			case "onerror":
				if t.exit == exitOK {
					break format
				}
			default:
				v, known := t.variable(name)
				if !known {
					v = s[:len(s)-len(rest)]
				}
				to.WriteString(v)
			}
			s = rest
		case len(s) > 1 && s[0] == '\\':
			if c, ok := map[byte]string{'n': "\n", 'r': "\r", 't': "\t"}[s[1]]; ok {
				to.WriteString(c)
			} else {
				to.WriteString(s[:2])
			}
			s = s[2:]
		default:
			to.WriteByte(s[0])
			s = s[1:]
		}
	}
	for i, w := range []io.Writer{stdout, stderr} {
		if texts[i].Len() == 0 {
			continue
		}
		if _, err := io.WriteString(w, texts[i].String()); err != nil {
			return err
		}
	}
	return nil
}
