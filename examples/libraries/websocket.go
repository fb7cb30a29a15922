package libraries

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/gorilla/websocket"

	"github.com/kerbchain/kerbchain/client"
)

// WebSocket opens a WebSocket as DialContext of d does, with a token, and gives it out
// if the server proved who it is. Over wss the token is bound to the connection, which
// is made here for that: d.NetDialTLSContext and d.Proxy have no say there.
//
// With an error the response is what the server said, nil if it said nothing. Each call
// is signed anew. A redirect is not followed.
func WebSocket(ctx context.Context, d *websocket.Dialer, s *client.Signer, rawURL string, header http.Header) (*websocket.Conn, *http.Response, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, nil, err
	}
	dialer := *d
	var signed client.Authorization
	if u.Scheme == "wss" {
		conn, err := dialTLS(ctx, d, u)
		if err != nil {
			return nil, nil, err
		}
		defer func() {
			if conn != nil {
				conn.Close() // it was not taken
			}
		}()
		if signed, err = s.SignOver(ctx, rawURL, conn.ConnectionState()); err != nil {
			return nil, nil, err
		}
		dialer.Proxy = nil
		dialer.NetDialTLSContext = func(context.Context, string, string) (net.Conn, error) {
			taken := conn
			conn = nil
			return taken, nil
		}
	} else if signed, err = s.Sign(ctx, rawURL); err != nil {
		return nil, nil, err
	}

	header = header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	header.Set(signed.Field(), signed.Value())
	ws, resp, err := dialer.DialContext(ctx, rawURL, header)
	if resp == nil {
		return nil, nil, err
	}
	if wrong := signed.Verify(ctx, resp.Header); wrong != nil {
		if ws != nil {
			ws.Close() // nothing was read from it yet
		}
		if err != nil {
			return nil, resp, fmt.Errorf("%w: %s: %w", err, resp.Status, wrong)
		}
		return nil, resp, wrong
	}
	if err != nil {
		// It is the server that was asked, and it says no.
		return nil, resp, fmt.Errorf("%w: %s", err, resp.Status)
	}
	return ws, resp, nil
}

// dialTLS connects to the host of a wss URL.
func dialTLS(ctx context.Context, d *websocket.Dialer, u *url.URL) (*tls.Conn, error) {
	config := &tls.Config{}
	if d.TLSClientConfig != nil {
		config = d.TLSClientConfig.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = u.Hostname()
	}
	config.NextProtos = []string{"http/1.1"}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	if d.HandshakeTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.HandshakeTimeout)
		defer cancel()
	}
	dial := d.NetDialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secure, nil
}
