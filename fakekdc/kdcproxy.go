package fakekdc

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/kerbchain/kerbchain/fakekdc/internal/memnet"
)

// ConfigWithKDCProxy is [Realm.Config] with a KDC proxy's URL, such as
// https://localhost:8443/KdcProxy, in place of the KDCs of all realms. anchors
// is what MIT's clients verify the proxy's certificate with, such as
// FILE:/path/ca.pem; empty for the system's. See fakeweb.KDCProxy.
func (r *Realm) ConfigWithKDCProxy(url, anchors string, lines ...string) string {
	return r.config(false, func(b *strings.Builder, _ *Realm) {
		fmt.Fprintf(b, "\t\tkdc = %s\n", url)
		if anchors != "" {
			fmt.Fprintf(b, "\t\thttp_anchors = %s\n", anchors)
		}
	}, lines)
}

// dialProxied connects a KDC proxy to the KDCs of a realm, whichever of them answers.
func (r *Realm) dialProxied(domain string) (net.Conn, error) {
	for _, p := range r.acquainted() {
		if domain == "" && p != r || domain != "" && !strings.EqualFold(p.realm, domain) {
			continue
		}
		near, far := memnet.Pair(memoryClient, memnet.Addr(p.realm))
		if !p.behindProxies().serve(far) {
			return nil, syscall.ECONNREFUSED
		}
		return near, nil
	}
	return nil, fmt.Errorf("no realm %s among the friends of %s: %w", domain, r.realm, syscall.EHOSTUNREACH)
}

func (r *Realm) behindProxies() *KDC {
	r.lifeMu.Lock()
	k := r.proxied
	fresh := k == nil
	if fresh {
		k = r.newKDC(netip.AddrPort{}, func(_ *KDC, _ string, _ netip.Addr, packet []byte) outcome {
			return r.answer(nil, "kkdcp", packet)
		})
		k.forgetful = true
		r.proxied = k
	}
	r.lifeMu.Unlock()
	if fresh {
		r.OnClose(k.Close)
	}
	return k
}
