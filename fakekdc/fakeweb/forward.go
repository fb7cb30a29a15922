package fakeweb

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// ForwardProxy returns a handler that is an HTTP proxy: it forwards requests in
// absolute form over plain HTTP and opens tunnels for CONNECT. Whatever host is
// asked for, it connects to that port of 127.0.0.1 and nowhere else. It is for
// [Options.Next] together with [Options.Proxy].
func ForwardProxy() http.Handler {
	dial := func(ctx context.Context, _, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		d := net.Dialer{Timeout: 10 * time.Second}
		return d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Header.Del("Proxy-Authorization")
			r.Out.Trailer = r.In.Trailer // which has its values once the body is read
			r.SetXForwarded()
		},
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "proxy: "+err.Error(), http.StatusBadGateway)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect:
			tunnel(w, r, dial)
		case absolute(r.URL):
			forward.ServeHTTP(w, r)
		default:
			http.Error(w, "proxy: want a request in absolute form", http.StatusBadRequest)
		}
	})
}

func absolute(u *url.URL) bool { return u.Scheme == "http" && u.Host != "" }

// tunnel copies bytes both ways until one side is done or the server closes.
func tunnel(w http.ResponseWriter, r *http.Request, dial func(context.Context, string, string) (net.Conn, error)) {
	there, err := dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, "proxy: "+err.Error(), http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "proxy: "+err.Error(), http.StatusInternalServerError)
		return
	}
	defer here.Close()
	stop := context.AfterFunc(r.Context(), func() { here.Close(); there.Close() })
	defer stop()
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 Connection established\r\n")
	_ = w.Header().Write(&head) // a buffer takes everything
	head.WriteString("\r\n")
	if _, err := here.Write(head.Bytes()); err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(there, buffered.Reader) // ends when either side does
		there.Close()
	}()
	_, _ = io.Copy(here, there)
	here.Close()
	<-done
}
