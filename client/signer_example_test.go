package client_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// upgrade asks for another protocol over a connection, and returns what speaks it, as
// libraries for WebSockets do.
func upgrade(conn net.Conn, url string, header http.Header) (io.ReadWriter, *http.Response, error) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	r.Header = header.Clone()
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	if err := r.Write(conn); err != nil {
		return nil, nil, err
	}
	buffered := bufio.NewReader(conn)
	resp, err := http.ReadResponse(buffered, r)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, resp, errors.New("bad handshake")
	}
	return struct {
		io.Reader
		io.Writer
	}{buffered, conn}, resp, nil
}

// chat is a server of a protocol that is upgraded to.
var chat = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	caller, _ := fakeweb.CallerOf(r.Context())
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "echo")
	fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\n")
	_ = w.Header().Write(rw)
	fmt.Fprint(rw, "\r\n")
	_ = rw.Flush()
	line, _ := rw.ReadString('\n')
	fmt.Fprintf(rw, "%s says %s", caller.Name, line)
	_ = rw.Flush()
})

// The handshake of a WebSocket, whichever library makes it: signed before, and its
// answer verified before anything is read from the socket.
func ExampleSigner() {
	intranet := newIntranet("HTTP/localhost", fakeweb.Options{Next: chat})
	defer intranet.close()
	ctx := context.Background()

	s, err := client.NewSigner(intranet.options) // client.Options{} in earnest
	if err != nil {
		log.Fatal(err)
	}
	a, err := s.Sign(ctx, "ws://localhost/chat")
	if err != nil {
		log.Fatal(err)
	}
	conn, err := net.Dial("tcp", intranet.server.Addr())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	socket, resp, err := upgrade(conn, intranet.url+"/chat", a.Header()) // your library's Dial in earnest
	if err != nil {
		if resp != nil {
			err = errors.Join(err, a.Verify(ctx, resp.Header)) // says why, if the server does
		}
		log.Fatal(err)
	}
	if err := a.Verify(ctx, resp.Header); err != nil {
		log.Fatal(err) // somebody else answered
	}
	fmt.Fprintln(socket, "hello")
	line, err := bufio.NewReader(socket).ReadString('\n')
	fmt.Print(line, err)
	// Output:
	// alice@EXAMPLE.COM says hello
	// <nil>
}

// Metadata is a header by another name. This is what an interceptor of gRPC does, with
// the options of grpc.Header and grpc.Trailer to get the answer's.
func ExampleAuthorization_Verify() {
	intranet := newIntranet("HTTP/localhost", fakeweb.Options{})
	defer intranet.close()

	s, err := client.NewSigner(intranet.options)
	if err != nil {
		log.Fatal(err)
	}
	// invoke stands for a call of gRPC; metadata has names in lower case.
	invoke := func(ctx context.Context, method string, md map[string][]string) (header map[string][]string, err error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, intranet.url+method, nil)
		if err != nil {
			return nil, err
		}
		for name, values := range md {
			r.Header[http.CanonicalHeaderKey(name)] = values
		}
		tr := intranet.server.Transport()
		defer tr.CloseIdleConnections()
		resp, err := tr.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		header = map[string][]string{}
		for name, values := range resp.Header {
			header[strings.ToLower(name)] = values
		}
		return header, resp.Body.Close()
	}
	// call signs each call anew, for a token is good for one, and verifies its answer.
	call := func(ctx context.Context, method string) error {
		a, err := s.Sign(ctx, intranet.url)
		if err != nil {
			return err
		}
		header, err := invoke(ctx, method, map[string][]string{"authorization": {a.Value()}})
		if err != nil {
			return err
		}
		return a.Verify(ctx, header)
	}
	fmt.Println(call(context.Background(), "/helloworld.Greeter/SayHello"))

	intranet.web.SetQuirks(fakeweb.Quirks{Proof: fakeweb.ProofForged})
	err = call(context.Background(), "/helloworld.Greeter/SayHello")
	fmt.Println(errors.Is(err, middleware.ErrNotVerified))
	// Output:
	// <nil>
	// true
}

// Over TLS: first the connection, then a token that is bound to it, as servers with
// Extended Protection demand.
func ExampleSigner_SignOver() {
	intranet := newIntranet("HTTP/localhost", fakeweb.Options{})
	defer intranet.close()
	secure := fakeweb.Serve(intranet.realm, fakeweb.New(intranet.realm, "HTTP/localhost", fakeweb.Options{
		Next: chat, Bindings: fakekdc.BindingsRequired,
	}), fakeweb.ServerOptions{TLS: true})
	ctx := context.Background()

	o := intranet.options
	o.Bindings = kerberos.BindingsRequired
	s, err := client.NewSigner(o)
	if err != nil {
		log.Fatal(err)
	}
	config := secure.Transport().TLSClientConfig // &tls.Config{} in earnest
	config.ServerName = "localhost"
	conn, err := tls.Dial("tcp", secure.Addr(), config)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	a, err := s.SignOver(ctx, secure.URL(), conn.ConnectionState())
	if err != nil {
		log.Fatal(err)
	}
	_, resp, err := upgrade(conn, secure.URL(), a.Header())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status, a.Verify(ctx, resp.Header))
	// Output:
	// 101 Switching Protocols <nil>
}

// A tunnel that is asked for by hand, through a proxy that wants to know who asks.
func ExampleSigner_SignProxy() {
	intranet := newIntranet("HTTP/localhost", fakeweb.Options{})
	defer intranet.close()
	proxy := fakeweb.ServeProxy(intranet.realm, "HTTP/localhost", fakeweb.Options{}, fakeweb.ServerOptions{})

	s, err := client.NewSigner(intranet.options)
	if err != nil {
		log.Fatal(err)
	}
	a, err := s.SignProxy(context.Background(), proxy.URL().String())
	if err != nil {
		log.Fatal(err)
	}
	conn, err := net.Dial("tcp", proxy.Server.Addr())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: intranet.server.Addr()}, Host: intranet.server.Addr(), Header: a.Header()}
	if err := r.Write(conn); err != nil {
		log.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.StatusCode, a.Verify(context.Background(), resp.Header))
	// Output:
	// 200 <nil>
}
