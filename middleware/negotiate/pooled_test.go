package negotiate_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

// A challenge without a body, whose connection the transport has in its pool by then, ends
// nothing that another request has got of it meanwhile; the answer goes over another one.
func TestChallengeWithoutBodySparesOthers(t *testing.T) {
	asked, answered := make(chan struct{}), make(chan struct{})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/beside":
			close(asked)
			<-answered
		case r.Header.Get("Proxy-Authorization") == "":
			w.Header().Set("Proxy-Authenticate", "Negotiate")
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		case r.URL.Path == "/both" && r.Header.Get("Authorization") == "":
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.Copy(w, r.Body)
	}))
	defer proxy.Close()
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	through := http.ProxyURL(u)
	tr := &http.Transport{Proxy: through}
	defer tr.CloseIdleConnections()
	next := negotiate.New(new(stagetest.Initiator), negotiate.Options{Proxy: through})(tr.RoundTrip)
	send := func(ctx context.Context, path string) (body string, conns []net.Conn, err error) {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { conns = append(conns, info.Conn) }})
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://origin.example"+path, strings.NewReader("body of "+path))
		if err != nil {
			return "", nil, err
		}
		resp, err := next(r)
		if err != nil {
			return "", conns, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return string(b), conns, err
	}

	challenged := make(chan struct{})
	type outcome struct {
		body  string
		conns []net.Conn
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
			if _, ok := e.(middleware.ChallengeEvent); ok {
				close(challenged)
				<-asked
			}
		})
		var o outcome
		o.body, o.conns, o.err = send(ctx, "/asked")
		close(answered)
		done <- o
	}()
	<-challenged
	body, beside, err := send(t.Context(), "/beside")
	if body != "body of /beside" || err != nil {
		t.Errorf("the request beside it: %q, %v", body, err)
	}
	o := <-done
	if o.body != "body of /asked" || o.err != nil {
		t.Errorf("the one that was challenged: %q, %v", o.body, o.err)
	}
	if len(beside) != 1 || beside[0] != o.conns[0] || o.conns[len(o.conns)-1] == o.conns[0] {
		t.Error("the request beside it took another connection, or the answer the same")
	}

	// Where nobody takes it, the answer goes over another one all the same.
	body, conns, err := send(t.Context(), "/again")
	if body != "body of /again" || err != nil || conns[0] == conns[len(conns)-1] {
		t.Errorf("%q, %v, over %d connections", body, err, len(conns))
	}

	// What the server asks for then goes over the one that the answer took.
	body, conns, err = send(t.Context(), "/both")
	if n := len(conns); body != "body of /both" || err != nil || n < 3 || conns[n-1] != conns[n-2] {
		t.Errorf("%q, %v, over %v", body, err, conns)
	}
}
