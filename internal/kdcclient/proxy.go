package kdcclient

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb"
)

const (
	maxProxied = maxReply + 1<<10   // bytes of a KDC-PROXY-MESSAGE
	maxHTTP    = maxProxied + 1<<16 // with header and framing
	maxInterim = 5                  // responses 1xx before the real one
)

var errProxyMessage = errors.New("the answer is no KDC-PROXY-MESSAGE")

// proxyMessage returns the DER of KDC-PROXY-MESSAGE ([MS-KKDCP] section 2.2.2)
// around a message, before which its length goes in four bytes, as over TCP.
func proxyMessage(msg []byte, realm string) ([]byte, error) {
	framed := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(msg)), uint32(len(msg)))
	return krb.ProxyMessage{Framed: append(framed, msg...), Domain: realm}.Marshal()
}

// parseProxyMessage returns the message in a KDC-PROXY-MESSAGE. What stands
// beside it, target-domain and dclocator-hint, means nothing in an answer.
func parseProxyMessage(b []byte) ([]byte, error) {
	m, err := krb.ParseProxyMessage(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProxyMessage, err)
	}
	if len(m.Framed) < 4 {
		return nil, fmt.Errorf("%w: no length before the message", errProxyMessage)
	}
	n, msg := binary.BigEndian.Uint32(m.Framed), m.Framed[4:]
	if n == 0 || n > maxReply || int(n) != len(msg) {
		return nil, fmt.Errorf("%w: a length of %d before a message of %d bytes", errProxyMessage, n, len(msg))
	}
	return msg, nil
}

// proxied posts the message to a proxy and reads the answer, over a connection
// for this alone.
func (x *exchange) proxied(ctx context.Context, conn net.Conn, k KDC) (*reply, error) {
	conf := new(tls.Config)
	if x.c.o.TLS != nil {
		special, err := x.c.o.TLS(x.realm)
		if err != nil {
			return nil, err
		}
		conf = special.Clone() // of nil: nil
		if conf == nil {
			conf = new(tls.Config)
		}
	}
	if conf.ServerName == "" {
		conf.ServerName = strings.TrimSuffix(k.Host, ".")
	}
	conf.NextProtos = []string{"http/1.1"}
	secure := tls.Client(conn, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS with the KDC proxy: %w", err)
	}
	body, err := proxyMessage(x.msg, x.realm)
	if err != nil {
		return nil, fmt.Errorf("message for the KDC proxy: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("message for the KDC proxy: %w", err)
	}
	req.Close = true
	req.Header.Set("Content-Type", "application/kerberos")
	req.Header.Set("Cache-Control", "no-cache")
	req.Header.Set("User-Agent", "kerbchain")
	if err := req.Write(secure); err != nil {
		return nil, fmt.Errorf("post to the KDC proxy: %w", err)
	}
	b, err := readResponse(io.LimitReader(secure, maxHTTP), req, func() { conn.Close() })
	if err != nil {
		return nil, err
	}
	msg, err := parseProxyMessage(b)
	if err != nil {
		return nil, err
	}
	if r := x.classify(msg); r != nil {
		return r, nil
	}
	return nil, errNotKerberos
}

// readResponse returns the body of a response with status 200; any other, a
// redirect too, is a failure. It hangs up when it is through, so that nothing is
// read but what counts.
func readResponse(from io.Reader, req *http.Request, hangUp func()) ([]byte, error) {
	r := bufio.NewReader(from)
	for range maxInterim + 1 {
		resp, err := http.ReadResponse(r, req)
		if err != nil {
			return nil, fmt.Errorf("read the answer of the KDC proxy: %w", err)
		}
		if resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue // without a body
		}
		defer resp.Body.Close()
		defer hangUp()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("the KDC proxy answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
		}
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxProxied+1))
		if err != nil {
			return nil, fmt.Errorf("read the answer of the KDC proxy: %w", err)
		}
		if len(b) > maxProxied {
			return nil, fmt.Errorf("the answer of the KDC proxy exceeds %d bytes", maxProxied)
		}
		return b, nil
	}
	return nil, errors.New("the KDC proxy sends nothing but interim responses")
}
