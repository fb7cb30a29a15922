package tunnel

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/kerbchain/kerbchain/middleware"
)

// A connection that nobody waits for any more reports nothing of its own: the
// verdict on the call may have been given.
func TestQuietAfterwards(t *testing.T) {
	n := 0
	c := newCall(middleware.WithTrace(t.Context(), func(middleware.Event) { n++ }))
	c.emit(middleware.SendEvent{})
	c.end()
	c.emit(middleware.SendEvent{})
	if n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// The memory is bounded.
func TestMemory(t *testing.T) {
	var m memory
	at := func(host string) middleware.Target {
		return middleware.TargetOf(&url.URL{Scheme: "http", Host: host + ":3128"})
	}
	for i := range 3 * maxProxies {
		m.put(at(fmt.Sprint("p", i)), middleware.Negotiate)
	}
	if n := len(m.schemes); n > maxProxies {
		t.Errorf("%d proxies", n)
	}
	m.put(at("proxy.example"), middleware.Kerberos)
	if s, ok := m.get(at("PROXY.example.")); !ok || s != middleware.Kerberos {
		t.Errorf("%q, %t", s, ok)
	}
	secure := at("proxy.example")
	secure.Secure = true
	if _, ok := m.get(secure); ok {
		t.Error("an https proxy is another one")
	}
}
