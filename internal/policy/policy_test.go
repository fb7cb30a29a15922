package policy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"testing"

	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/middleware"
)

// Who gets the user's credentials: servers that are listed, or all but those that a redirect
// led to, and no proxy.
func TestDelegate(t *testing.T) {
	site := middleware.Target{Host: "a.example", Port: "443"}
	proxy, redirected, other := site, site, site
	proxy.Proxy, redirected.RedirectedFrom, other.Host = true, "b.example:443", "b.example"
	for name, tc := range map[string]struct {
		to   []string
		want [4]bool // of site, proxy, redirected, other
	}{
		"to all":    {nil, [4]bool{true, false, false, true}},
		"to listed": {[]string{"a.example"}, [4]bool{true, false, true, false}},
		"to any":    {[]string{"*"}, [4]bool{true, false, true, true}},
	} {
		hosts, err := NewHosts(nil, tc.to)
		if err != nil {
			t.Fatal(err)
		}
		if got := [4]bool{hosts.Delegate(site), hosts.Delegate(proxy), hosts.Delegate(redirected), hosts.Delegate(other)}; got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// Values that are none of the modes are refused, and so are hosts that would be passed over.
func TestChecks(t *testing.T) {
	for b := BindingsAuto - 1; b <= BindingsOff+1; b++ {
		if err := b.Check(); (err == nil) != (b >= BindingsAuto && b <= BindingsOff) {
			t.Errorf("bindings %d: %v", b, err)
		}
	}
	for d := DelegationOff - 1; d <= DelegationAlways+1; d++ {
		known := d >= DelegationOff && d <= DelegationAlways
		if err := d.Check(nil); (err == nil) != known {
			t.Errorf("delegation %d: %v", d, err)
		}
		if err := d.Check([]string{"a.example"}); (err == nil) != (known && d != DelegationOff) {
			t.Errorf("delegation %d to a host: %v", d, err)
		}
	}
}

// Which tokens are bound, and where there are no bindings, who does without.
func TestWanted(t *testing.T) {
	secure := middleware.Target{Host: "a.example", Port: "443", Secure: true}
	known, plain, proxy := secure, secure, secure
	known.TLS, plain.Secure, proxy.Proxy = new(tls.ConnectionState), false, true
	for b, want := range map[Bindings][4]string{ // for a connection that is known, not yet, plain HTTP, a proxy
		BindingsAuto:     {"true", "false", "false", "false"},
		BindingsOff:      {"false", "false", "false", "false"},
		BindingsRequired: {"true", "later", "error", "error"},
	} {
		for i, target := range []middleware.Target{known, secure, plain, proxy} {
			wanted, err := b.Wanted(target)
			got := fmt.Sprint(wanted)
			if errors.Is(err, middleware.ErrNoBindings) {
				got = "later"
			} else if err != nil {
				got = "error"
			}
			if got != want[i] || err != nil && wanted {
				t.Errorf("mode %d, %d: %s, want %s: %v", b, i, got, want[i], err)
			}
		}
		if b.Spare(cbt.ErrUndefined) != (b == BindingsAuto) || b.Spare(cbt.ErrCertificate) || b.Spare(nil) {
			t.Errorf("mode %d spares", b)
		}
	}
}

// Ports that URLs leave out are in no principal, and a realm is given once.
func TestPrincipals(t *testing.T) {
	n, err := NewNamer(Names{PortInSPN: true, Realm: "R", HostOverrides: map[string]string{"b.example": "HTTP/c.example@S", "d.example": "HTTP/e.example"}})
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[middleware.Target]string{
		{Host: "a.example", Port: "80"}:   "HTTP/a.example@R",
		{Host: "a.example", Port: "443"}:  "HTTP/a.example@R",
		{Host: "a.example"}:               "HTTP/a.example@R",
		{Host: "a.example", Port: "8080"}: "HTTP/a.example:8080@R",
		{Host: "b.example", Port: "8080"}: "HTTP/c.example@S",
		{Host: "d.example", Port: "8080"}: "HTTP/e.example@R",
	} {
		if got, _ := n.For(target); got != want {
			t.Errorf("%v: %s, want %s", target, got, want)
		}
	}
	for _, service := range []string{"HT{P", "HT/P", "H P", "H@P", "\u017b"} {
		if _, err := NewNamer(Names{Service: service}); err == nil {
			t.Errorf("service class %q was taken", service)
		}
	}
}
