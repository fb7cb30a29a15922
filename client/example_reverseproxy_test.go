package client_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// reverseProxy returns a handler that passes requests on to one server, as the one
// principal of rt. Whoever may use it acts as that principal there: let a handler
// around it say who may.
func reverseProxy(upstream *url.URL, rt http.RoundTripper) http.Handler {
	// What the server tells us and no visitor: its token, what it authenticates, and
	// sessions: with such a cookie, a visitor could go to the server as our principal,
	// and without us.
	ours := []string{"WWW-Authenticate", "Authentication-Info", "Persistent-Auth", "Set-Cookie"}
	proxy := &httputil.ReverseProxy{
		Transport: rt,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream) // and no Host of the visitor's
			r.SetXForwarded()
			// What the visitor says to us is not for the server behind. Any
			// Authorization would also be taken for the caller's own, and ours not be
			// sent; a session's cookie would have the server go by the session.
			r.Out.Header.Del("Authorization")
			r.Out.Header.Del("Cookie")
		},
		ModifyResponse: func(resp *http.Response) error {
			if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusProxyAuthRequired {
				// It is we who were not let in. A visitor's browser would answer
				// the challenge, and show us a token of its user's.
				return fmt.Errorf("the server behind says %s", resp.Status)
			}
			for _, name := range ours {
				resp.Header.Del(name)
			}
			return nil
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(finalOnly{w}, r)
		for _, name := range ours { // the header is out; what is left are trailers
			w.Header().Del(name)
			w.Header().Del(http.TrailerPrefix + name)
		}
	})
}

// finalOnly leaves out informational responses (RFC 9110 section 15.2), which a
// ReverseProxy passes on before the server has proved anything.
type finalOnly struct{ http.ResponseWriter }

func (w finalOnly) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status)
	}
}

// Unwrap is for [http.ResponseController], with which a ReverseProxy flushes.
func (w finalOnly) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A reverse proxy signs for the server behind it. Visitors send it no token, or one
// of their own for the proxy itself, and see none of the server's.
func ExampleNewTransport_reverseProxy() {
	intranet := newIntranet("HTTP/localhost", fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := fakeweb.CallerOf(r.Context())
		http.SetCookie(w, &http.Cookie{Name: "session", Value: caller.Name})
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s says %s", caller.Name, body)
	})})
	defer intranet.close()
	upstream, err := url.Parse(intranet.url)
	if err != nil {
		log.Fatal(err)
	}

	o := intranet.options // client.Options{} in earnest
	// Bodies go on as they come: no 401 asks for one a second time.
	o.Preemptive = preemptive.Always()
	rt, err := client.NewTransport(o)
	if err != nil {
		log.Fatal(err)
	}
	front := httptest.NewServer(reverseProxy(upstream, rt))
	defer front.Close()
	defer (&http.Client{Transport: rt}).CloseIdleConnections()

	visitor := front.Client()
	r, err := http.NewRequest(http.MethodPost, front.URL+"/report", http.NoBody)
	if err != nil {
		log.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer the visitor's")
	r.Header.Set("Cookie", "session=the visitor's")
	resp, err := visitor.Do(r)
	if err == nil {
		fmt.Printf("cookies %q, tokens %q\n", resp.Header["Set-Cookie"], resp.Header["Www-Authenticate"])
	}
	show(resp, err)
	fmt.Println("the server saw", intranet.web.Statuses())
	// Output:
	// cookies [], tokens []
	// 200 alice@EXAMPLE.COM says
	// the server saw [200]
}
