package fakeweb

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
	"github.com/kerbchain/kerbchain/internal/challenge"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// connect sends one CONNECT over a connection of its own and returns the answer, and
// the connection if it is a tunnel now.
func connect(t *testing.T, p *Proxy, target, credentials string) (*http.Response, net.Conn) {
	t.Helper()
	var c net.Conn
	var err error
	if p.Server.Certificate() != nil {
		c, err = tls.Dial("tcp", p.Server.Addr(), &tls.Config{RootCAs: p.Server.CertPool(), ServerName: "proxy.example", MinVersion: tls.VersionTLS12})
	} else {
		c, err = net.Dial("tcp", p.Server.Addr())
	}
	if err != nil {
		t.Fatal(err)
	}
	head := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n"
	if credentials != "" {
		head += "Proxy-Authorization: " + credentials + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		c.Close()
		return resp, nil
	}
	t.Cleanup(func() { c.Close() })
	return resp, c
}

// echo sends back what it is sent, and returns its port.
func echo(t *testing.T) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c) // ends when the client is gone
			}()
		}
	}()
	t.Cleanup(func() {
		lis.Close()
		<-done
	})
	_, port, err := net.SplitHostPort(lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestServeProxy(t *testing.T) {
	for name, secure := range map[string]bool{"http": false, "https": true} {
		t.Run(name, func(t *testing.T) {
			r := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/proxy.example"), fakekdc.WithService("HTTP/other.example"))
			p := ServeProxy(r, "HTTP/proxy.example", Options{}, ServerOptions{Host: "proxy.example", TLS: secure})
			if u := p.URL(); u.Scheme != name || u.Hostname() != "proxy.example" {
				t.Errorf("URL %v", u)
			}
			// A name that is nobody's: loopback is all there is.
			target := "app.invalid:" + echo(t)
			c := &plainclient.Client{TB: t, Now: r.Now, Ticket: minted(t, r, "alice", "HTTP/proxy.example"), Proxy: true}
			fresh := func() string { return "Negotiate " + base64.StdEncoding.EncodeToString(c.First()) }

			resp, _ := connect(t, p, target, "")
			if resp.StatusCode != 407 || resp.Header.Get("Proxy-Authenticate") != "Negotiate" || resp.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("without credentials: %s, %v", resp.Status, resp.Header)
			}
			token := fresh()
			resp, tunnel := connect(t, p, target, token)
			if tunnel == nil {
				t.Fatalf("with a token: %s", resp.Status)
			}
			offered, _ := challenge.Find(resp.Header.Values("Proxy-Authenticate"), "Negotiate")
			proof, err := offered.Token()
			if err != nil {
				t.Fatal(err)
			}
			if _, verdict := c.Judge(proof); verdict != "verified" {
				t.Errorf("proof: %s", verdict)
			}
			for _, text := range []string{"one", "two"} {
				if _, err := io.WriteString(tunnel, text); err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 3)
				if _, err := io.ReadFull(tunnel, b); err != nil || string(b) != text {
					t.Errorf("through the tunnel: %q, %v", b, err)
				}
			}

			if resp, _ := connect(t, p, target, token); resp.StatusCode != 407 {
				t.Errorf("replayed: %s", resp.Status)
			}
			c.Ticket = minted(t, r, "alice", "HTTP/other.example")
			if resp, _ := connect(t, p, target, fresh()); resp.StatusCode != 407 {
				t.Errorf("another service's ticket: %s", resp.Status)
			}
			if resp, _ := connect(t, p, target, "Basic YTpi"); resp.StatusCode != 407 {
				t.Errorf("Basic: %s", resp.Status)
			}
			if resp, _ := connect(t, p, target, "Negotiate TlRMTVNTUAABAAAA"); resp.StatusCode != 407 {
				t.Errorf("NTLM: %s", resp.Status)
			}

			var got []string
			for _, rec := range p.Connects() {
				got = append(got, fmt.Sprintf("%s %d %d %s proved %t", rec.Scheme, rec.Status, rec.Code, rec.Caller.Name, rec.Proved))
			}
			want := []string{
				" 407 0  proved false", "Negotiate 200 0 alice@" + r.Name() + " proved true",
				fmt.Sprintf("Negotiate 407 %d  proved false", krb.CodeRepeat), fmt.Sprintf("Negotiate 407 %d  proved false", krb.CodeNotUs),
				"Basic 407 0  proved false", fmt.Sprintf("Negotiate 407 %d  proved false", krb.CodeGeneric),
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("CONNECTs (-want +got):\n%s", diff)
			}
			if n := p.Tunnels(); n != 1 {
				t.Errorf("%d tunnels", n)
			}
			p.DropTunnels()
			if _, err := tunnel.Read(make([]byte, 1)); err == nil {
				t.Error("a tunnel that was dropped is open")
			}
			c.Ticket = minted(t, r, "alice", "HTTP/proxy.example")
			if _, again := connect(t, p, target, fresh()); again == nil || p.Tunnels() != 2 {
				t.Errorf("after it: %d tunnels", p.Tunnels())
			}
		})
	}
}

// The transport goes through the proxy, whatever the URL, and knows certificates.
func TestProxyTransport(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/proxy.example"))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
	for name, tc := range map[string]struct {
		secure bool
		origin ServerOptions
		want   string
		hops   int // CONNECTs
	}{
		"plain":              {false, ServerOptions{Host: "app.example"}, "HTTP/1.1", 0},
		"https":              {false, ServerOptions{Host: "app.example", TLS: true}, "HTTP/1.1", 1},
		"h2":                 {false, ServerOptions{Host: "app.example", TLS: true, HTTP2: true}, "HTTP/2.0", 1},
		"https, https proxy": {true, ServerOptions{Host: "app.example", TLS: true}, "HTTP/1.1", 1},
		"h2, https proxy":    {true, ServerOptions{Host: "app.example", TLS: true, HTTP2: true}, "HTTP/2.0", 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := ServeProxy(r, "HTTP/proxy.example", Options{Quirks: Quirks{Before: ForwardProxy()}}, ServerOptions{Host: "proxy.example", TLS: tc.secure})
			s := Serve(r, handler, tc.origin)
			tr := p.Transport(s)
			defer tr.CloseIdleConnections()
			resp, err := (&http.Client{Transport: tr}).Get(s.URL())
			if err != nil {
				t.Fatal(err)
			}
			if got := plainclient.ReadAll(t, resp); got != tc.want || len(p.Connects()) != tc.hops || len(p.Requests()) != 1 {
				t.Errorf("%q by %v", got, p.Requests())
			}
		})
	}
}

// A service that there is not refuses everyone, in a realm made by New.
func TestServeProxyUnknown(t *testing.T) {
	r, err := fakekdc.New()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := ServeProxy(r, "HTTP/nobody.example", Options{}, ServerOptions{})
	resp, _ := connect(t, p, "localhost:1", "")
	if resp.StatusCode != 407 || !strings.HasPrefix(p.URL().String(), "http://localhost:") {
		t.Errorf("%s at %v", resp.Status, p.URL())
	}
}

// TestForwardedTrailers: what follows the body of a request arrives with its value (RFC 9110
// section 6.5), and so does what follows that of a response.
func TestForwardedTrailers(t *testing.T) {
	t.Parallel()
	r := fakekdc.Start(t)
	p := ServeProxy(r, "", Options{Quirks: Quirks{Before: ForwardProxy()}}, ServerOptions{})
	origin := Serve(r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Sum")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("Sum", r.Trailer.Get("Sum"))
	}), ServerOptions{})
	tr := p.Transport(origin)
	defer tr.CloseIdleConnections()
	pr, pw := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, origin.URL(), pr)
	if err != nil {
		t.Fatal(err)
	}
	req.Trailer = http.Header{"Sum": nil}
	go func() {
		_, _ = io.WriteString(pw, "hello")
		req.Trailer.Set("Sum", "of all")
		pw.Close()
	}()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if body := plainclient.ReadAll(t, resp); body != "hello" || resp.Trailer.Get("Sum") != "of all" {
		t.Errorf("body %q, trailer %v", body, resp.Trailer)
	}
}
