package fakekdc

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// KDCProxy returns a KDC proxy ([MS-KKDCP]): POST requests of any path bear a
// KDC-PROXY-MESSAGE, and are answered by this realm or, if that is its
// target-domain, another that [Realm.Trust] connects with it. Clients want https:
//
//	proxy := fakeweb.Serve(realm, realm.KDCProxy(), fakeweb.ServerOptions{TLS: true})
//	conf := realm.ConfigWithKDCProxy(proxy.URL()+"/KdcProxy", "")
//
// Exchanges are recorded with the network "kkdcp" and without a KDC's address.
// Faults of [Realm.FailNext] happen, to the HTTP response where they are of a
// connection; a KDC that does not answer is status 503, as are realms that the
// proxy knows nothing of. [Realm.Pause] and [Realm.Close] count, what is said to
// a [KDC] does not.
func (r *Realm) KDCProxy() http.Handler { return http.HandlerFunc(r.serveProxy) }

// ConfigWithKDCProxy is [Realm.Config] with a KDC proxy's URL, such as
// https://localhost:8443/KdcProxy, in place of the KDCs of all realms. anchors
// is what MIT's clients verify the proxy's certificate with, such as
// FILE:/path/ca.pem; empty for the system's.
func (r *Realm) ConfigWithKDCProxy(url, anchors string, lines ...string) string {
	return r.config(false, func(b *strings.Builder, _ *Realm) {
		fmt.Fprintf(b, "\t\tkdc = %s\n", url)
		if anchors != "" {
			fmt.Fprintf(b, "\t\thttp_anchors = %s\n", anchors)
		}
	}, lines)
}

func (r *Realm) serveProxy(w http.ResponseWriter, q *http.Request) {
	if q.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "KDC proxy: want POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxRequest))
	if err != nil {
		http.Error(w, "KDC proxy: request too long or broken off", http.StatusRequestEntityTooLarge)
		return
	}
	packet, domain, err := parseProxyMessage(body)
	if err != nil {
		http.Error(w, "KDC proxy: "+err.Error(), http.StatusBadRequest)
		return
	}
	realm := r.proxied(domain)
	if realm == nil {
		http.Error(w, "KDC proxy: no KDC of that realm", http.StatusServiceUnavailable)
		return
	}
	out := realm.answer(nil, "kkdcp", packet)
	switch out.how {
	case sendReset:
		panic(http.ErrAbortHandler) // net/http closes the connection and logs nothing
	case sendHang:
		select {
		case <-q.Context().Done():
		case <-realm.done:
		}
		panic(http.ErrAbortHandler)
	}
	if out.how == sendNothing || out.reply == nil {
		http.Error(w, "KDC proxy: the KDC does not answer", http.StatusServiceUnavailable)
		return
	}
	promised := uint32(len(out.reply))
	if out.how == sendHuge {
		promised = 1<<31 - 1
	}
	reply, err := krb.ProxyMessage{Framed: append(binary.BigEndian.AppendUint32(nil, promised), out.reply...)}.Marshal()
	if err != nil {
		http.Error(w, "KDC proxy: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/kerberos")
	w.Header().Set("Content-Length", fmt.Sprint(len(reply)))
	if out.how == sendHalf {
		_, _ = w.Write(reply[:len(reply)/2]) // the client may be gone
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(reply)
}

// proxied returns the realm of a target-domain, which need not be given.
func (r *Realm) proxied(domain string) *Realm {
	if domain == "" {
		return r
	}
	for _, p := range r.acquainted() {
		if strings.EqualFold(p.realm, domain) {
			return p
		}
	}
	return nil
}

// parseProxyMessage reads KDC-PROXY-MESSAGE ([MS-KKDCP] section 2.2.2). The
// message is without the length that precedes it there, as over TCP.
func parseProxyMessage(der []byte) (message []byte, domain string, err error) {
	m, err := krb.ParseProxyMessage(der)
	if err != nil {
		return nil, "", err
	}
	if len(m.Framed) < 4 || uint64(binary.BigEndian.Uint32(m.Framed)) != uint64(len(m.Framed)-4) {
		return nil, "", fmt.Errorf("%w: KDC-PROXY-MESSAGE: length of the message is not %d", krb.ErrMalformed, max(len(m.Framed)-4, 0))
	}
	return m.Framed[4:], m.Domain, nil
}
