package fakeweb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// maxKDCMessage is what a KDC proxy takes of a request, and of what a KDC promises.
const maxKDCMessage = 1 << 20

// KDCProxy returns a KDC proxy ([MS-KKDCP]): POST requests of any path bear a
// KDC-PROXY-MESSAGE, and are answered by the realm or, if that is its target-domain,
// another that [fakekdc.Realm.Trust] connects with it. Clients want https:
//
//	proxy := fakeweb.Serve(realm, fakeweb.KDCProxy(realm), fakeweb.ServerOptions{TLS: true})
//	conf := realm.ConfigWithKDCProxy(proxy.URL()+"/KdcProxy", "")
//
// Exchanges are recorded with the network "kkdcp" and without a KDC's address. Faults of
// [fakekdc.Realm.FailNext] happen, to the HTTP response where they are of a connection;
// a KDC that does not answer is status 503, as are realms that the proxy knows nothing
// of. Realm.Pause and Realm.Close count, what is said to a [fakekdc.KDC] does not.
//
// [MS-KKDCP]: https://learn.microsoft.com/openspecs/windows_protocols/ms-kkdcp
func KDCProxy(r *fakekdc.Realm) http.Handler {
	closed := make(chan struct{})
	r.OnClose(func() { close(closed) })
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { proxyToKDC(w, q, r, closed) })
}

func proxyToKDC(w http.ResponseWriter, q *http.Request, r *fakekdc.Realm, closed <-chan struct{}) {
	if q.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "KDC proxy: want POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxKDCMessage))
	if err != nil {
		http.Error(w, "KDC proxy: request too long or broken off", http.StatusRequestEntityTooLarge)
		return
	}
	m, err := parseProxyMessage(body)
	if err != nil {
		http.Error(w, "KDC proxy: "+err.Error(), http.StatusBadRequest)
		return
	}
	framed, promised, err := exchange(q.Context(), r, m)
	switch {
	case errors.Is(err, errNoAnswer) && !done(closed):
		http.Error(w, "KDC proxy: "+err.Error(), http.StatusServiceUnavailable)
		return
	case err != nil:
		panic(http.ErrAbortHandler) // net/http closes the connection and logs nothing
	}
	reply, err := krb.ProxyMessage{Framed: framed}.Marshal()
	if err != nil {
		http.Error(w, "KDC proxy: "+err.Error(), http.StatusInternalServerError)
		return
	}
	missing := promised - (len(framed) - 4)
	if promised > maxKDCMessage {
		missing = 0 // the client is to find out
	}
	w.Header().Set("Content-Type", "application/kerberos")
	w.Header().Set("Content-Length", fmt.Sprint(len(reply)+missing))
	_, _ = w.Write(reply) // the client may be gone
	if missing > 0 {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func done(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

var errNoAnswer = errors.New("the KDC does not answer")

// exchange returns what the KDCs of a realm answer, after its length as over TCP, and the
// length itself. Less than that is no error; nothing at all is errNoAnswer.
func exchange(ctx context.Context, r *fakekdc.Realm, m krb.ProxyMessage) (framed []byte, promised int, err error) {
	c, err := r.Dial(ctx, "kkdcp", m.Domain)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if _, err := c.Write(m.Framed); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	framed = make([]byte, 4)
	if _, err := io.ReadFull(c, framed); err == io.EOF {
		return nil, 0, errNoAnswer
	} else if err != nil {
		return nil, 0, err
	}
	promised = int(binary.BigEndian.Uint32(framed))
	rest, err := io.ReadAll(io.LimitReader(c, int64(min(promised, maxKDCMessage))))
	return append(framed, rest...), promised, err
}

// parseProxyMessage reads KDC-PROXY-MESSAGE ([MS-KKDCP] section 2.2.2), whose message
// comes after its length as over TCP.
func parseProxyMessage(der []byte) (krb.ProxyMessage, error) {
	m, err := krb.ParseProxyMessage(der)
	if err != nil {
		return m, err
	}
	if len(m.Framed) < 4 || uint64(binary.BigEndian.Uint32(m.Framed)) != uint64(len(m.Framed)-4) {
		return m, fmt.Errorf("%w: KDC-PROXY-MESSAGE: length of the message is not %d", krb.ErrMalformed, max(len(m.Framed)-4, 0))
	}
	return m, nil
}
